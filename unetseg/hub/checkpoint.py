"""Checkpoints: finding, loading strictly, saving whole. Folders, in the layout of a model repo.

What goes over the network is in `download` and `upload`.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

import safetensors

from ..config import VARIANCE, SegmentationConfig
from ..files import COMPANIONS, CONFIG, README, WEIGHTS, one_line, whole_folder
from . import download, model_card
from .download import Access, Source

if TYPE_CHECKING:
    from torch import Tensor


def checkpoints_folder() -> Path:
    """`checkpoints/` beside the package, as in a clone."""
    return Path(__file__).resolve().parents[2] / "checkpoints"


def find(
    name: str | Path, *, revision: str | None = None, companions: bool = False, **access: Unpack[Access]
) -> Source:
    """Find a checkpoint: an existing folder, else a name under `checkpoints/` beside the package, else on the hub.

    name: on the hub `owner/name` or `owner/name@revision`. revision: a branch, a tag or a commit hash.
    companions: get the README, scores and pictures of a repo too, not only config and weights.
    access: see `download.Access`.
    Raises FileNotFoundError that lists the names there are; ValueError or OSError of one sentence.
    """
    if unknown := sorted(access.keys() - Access.__annotations__.keys()):
        known = ", ".join(("revision", *Access.__annotations__))
        raise TypeError(f"unknown option {unknown[0]!r} of opening a checkpoint; known are {known}")
    for folder in (Path(name), checkpoints_folder() / name):
        if (folder / CONFIG).is_file():
            if revision is not None:
                raise ValueError(f"{folder} is a folder here and has no revision {revision!r}; leave revision out")
            return Source(str(name), folder)
    repo = download.parse(str(name), revision)
    if repo is None:
        raise FileNotFoundError(
            f"no checkpoint {str(name)!r}: expected a folder with {CONFIG} and {WEIGHTS}, "
            f"one of the names {', '.join(shipped()) or '(none)'} in checkpoints/, or owner/name on the hub"
        )
    return download.fetch(*repo, companions=companions, **access)


def companions(folder: Path) -> dict[str, bytes]:
    """What lies beside config and weights and belongs to a checkpoint: its papers, and the pictures of its README."""
    readme = folder / README
    text = readme.read_text(encoding="utf-8", errors="replace") if readme.is_file() else ""
    names = [name for name in (*COMPANIONS, *model_card.pictures(text)) if (folder / name).is_file()]
    return {name: (folder / name).read_bytes() for name in names}


def copy(folder: Path, target: Path) -> Path:
    """Write the checkpoint of a folder to another one, byte by byte, whole or not at all."""
    return replace(target, {name: (folder / name).read_bytes() for name in (CONFIG, WEIGHTS)} | companions(folder))


def shipped() -> list[str]:
    """The names under `checkpoints/` beside the package, sorted."""
    return sorted(path.parent.name for path in checkpoints_folder().glob(f"*/{CONFIG}"))


def load(folder: Path) -> tuple[SegmentationConfig, dict[str, Tensor]]:
    """Config and weights of a checkpoint, checked key by key and shape by shape against the network.

    Only safetensors is read. Raises ValueError that names the first thing that doesn't fit.
    """
    import torch
    from safetensors.torch import load_file

    config = SegmentationConfig.from_file(folder / CONFIG)
    path = folder / WEIGHTS
    if not path.is_file():
        others = sorted(p.name for p in folder.iterdir() if p.suffix in (".bin", ".pt", ".pth", ".ckpt", ".pkl"))
        hint = f"; {', '.join(others)} is a pickle, which is never opened: convert it to safetensors" if others else ""
        raise ValueError(f"{folder} has no {WEIGHTS}{hint or '; save the checkpoint again'}")
    try:
        weights = load_file(path)
    except (safetensors.SafetensorError, OSError) as error:
        raise ValueError(f"{path} is not a whole safetensors file ({one_line(error)}); get or save it again") from None
    expected = config.weights
    for what, names in (("lacks", expected.keys() - weights.keys()), ("has unknown", weights.keys() - expected.keys())):
        if names:
            first = sorted(names)[0]
            raise ValueError(
                f"{path} {what} {len(names)} of the network's weights, first {first!r}; "
                f"it does not belong to this {CONFIG}"
            )
    for key, weight in weights.items():
        shape = expected[key]
        got, fits = _kind(weight.dtype, weight.shape), _kind(torch.float32 if shape else torch.int64, shape)
        if got != fits:
            raise ValueError(f"{path}: {key} is {got}, expected {fits}; it does not belong to this {CONFIG}")
    if wrong := faulty(weights):
        raise ValueError(f"{path} is damaged: {wrong}; get or save it again")
    return config, weights


def faulty(weights: Mapping[str, Tensor]) -> str | None:
    """What no network can have among its weights, in words: a number that isn't finite, or a variance below 0."""
    for key, weight in weights.items():
        low, high = (float(edge) for edge in weight.aminmax()) if weight.is_floating_point() else (0.0, 0.0)
        if not -math.inf < low <= high < math.inf:
            return f"{key} holds numbers that are not finite"
        if key.endswith(VARIANCE) and low < 0:
            return f"{key} holds a negative variance ({low:g})"
    return None


def save(
    folder: Path,
    config: SegmentationConfig,
    weights: Mapping[str, Tensor],
    files: Mapping[str, str | bytes] | None = None,
) -> Path:
    """Write a checkpoint whole or not at all; one that is there already is replaced.

    files: what else belongs into it by name, e.g. README.md, split.json. Raises ValueError for `faulty` weights.
    """
    from safetensors.torch import save as as_bytes

    if wrong := faulty(weights):
        raise ValueError(f"{folder} is not written: {wrong}, which no one could load; train with a lower learning_rate")
    # contiguous: safetensors refuses channels_last. Not save_file, whose files only their owner can read
    data = as_bytes({k: v.detach().cpu().contiguous() for k, v in weights.items()})
    return replace(folder, {CONFIG: config.to_json(), WEIGHTS: data, **(files or {})})


def replace(folder: Path, files: Mapping[str, str | bytes]) -> Path:
    """Make these the files of a checkpoint folder, all or none of them; one that is there already is replaced."""
    return whole_folder(folder, files, kind="checkpoint", mark=CONFIG)


def recover(folder: Path) -> None:
    """After a process was killed while it saved a checkpoint: put the last whole one back, remove what it left."""
    for old in sorted(folder.parent.glob(f".{folder.name}.*.old")):
        if not folder.exists():
            old.rename(folder)
        shutil.rmtree(old, ignore_errors=True)
    for new in folder.parent.glob(f".{folder.name}.*.new"):
        shutil.rmtree(new)
    for temporary in folder.parent.glob(".*.tmp"):
        temporary.unlink()


def _kind(dtype: object, shape: Sequence[int]) -> str:
    return f"{str(dtype).removeprefix('torch.')} {tuple(shape)}"
