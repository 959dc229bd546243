"""A folder of images and masks: pairing, splitting by group, and reading."""

from __future__ import annotations

import csv
import random
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ..config import IGNORE, SegmentationConfig, hex_to_rgb
from ..formats import read_image, read_mask
from ..prepare import scale
from .recipe import IGNORE_NAME, Data

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
SUFFIXES = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif", ".webp", ".pgm", ".ppm"}


@dataclass(frozen=True)
class Example:
    """One image and its mask, the group it must not be parted from, and its split."""

    image: Path
    mask: Path
    group: str
    split: Split


def find_examples(data: Data, folder: Path, seed: int = 0) -> list[Example]:
    """Every image of a folder with its mask, group and split, sorted by name.

    Raises ValueError that names what is missing: a folder, images, masks, a row of the manifest, a group.
    """
    images, masks = (
        _by_stem(_inside(folder, name), what) for name, what in ((data.images, "images"), (data.masks, "masks"))
    )
    rows = _manifest(data, folder)
    if rows is not None:
        if absent := sorted(rows.keys() - images.keys()):
            raise ValueError(
                f"{data.manifest} lists {absent[0]!r}, but {data.images} has no such image ({len(absent)} so)"
            )
        images = {stem: path for stem, path in images.items() if stem in rows}
    if absent := sorted(images.keys() - masks.keys()):
        raise ValueError(
            f"{len(absent)} of {len(images)} images have no mask, first {images[absent[0]].name!r}; "
            f"expected {data.masks}/{absent[0]}.png (or another picture ending)"
        )
    groups = {stem: _group(stem, data, rows) for stem in images}
    if rows is not None and data.split_column is not None:
        splits = {stem: _checked_split(rows[stem], stem, data) for stem in images}
        _refuse_leaks(groups, splits)
    else:
        by_group = _split_groups(sorted(set(groups.values())), data, seed)
        splits = {stem: by_group[group] for stem, group in groups.items()}
    return [Example(images[s], masks[s], groups[s], splits[s]) for s in sorted(images)]


def names_by_split(examples: Sequence[Example]) -> dict[Split, dict[str, list[str]]]:
    """The names of the pictures of each split by group, as `split.json` holds them."""
    names: dict[Split, dict[str, list[str]]] = {split: {} for split in SPLITS}
    for example in examples:
        names[example.split].setdefault(example.group, []).append(example.image.stem)
    return names


def read_labels(path: Path, data: Data, config: SegmentationConfig) -> NDArray[np.uint8]:
    """A mask file as a label map (H,W) of ids and IGNORE, by the recipe's `mask_values`.

    Raises ValueError that lists every value that the recipe doesn't name, and how often it occurs.
    """
    raw = read_mask(path)
    as_colors = next(iter(data.mask_values)).startswith("#")
    if as_colors:
        if raw.ndim == 2:
            raise ValueError(f"{path.name} holds numbers, but mask_values names colours; name {_common(raw)} instead")
        raw = (raw.astype(np.int64) @ (65536, 256, 1)).astype(np.int64)  # 0xRRGGBB
    elif raw.ndim == 3:
        if not (raw == raw[..., :1]).all():
            raise ValueError(f"{path.name} holds colours, but mask_values names numbers; name its colours (#rrggbb)")
        raw = raw[..., 0]
    labels = np.full(raw.shape, IGNORE, dtype=np.uint8)
    named = np.zeros(raw.shape, dtype=bool)
    for value, name in data.mask_values.items():
        number = int(np.dot(hex_to_rgb(value), (65536, 256, 1))) if as_colors else int(value)
        here = raw == number
        named |= here
        if name != IGNORE_NAME:
            labels[here] = config.labels.index(name)
    if not named.all():
        raise ValueError(
            f"{path.name} holds values that mask_values does not name: {_common(raw[~named], as_colors)}; "
            f"named are {', '.join(data.mask_values)}"
        )
    return labels


def read_example(example: Example, data: Data, config: SegmentationConfig) -> tuple[Tensor, NDArray[np.uint8]]:
    """An image, scaled to 0..1 (C,H,W), and its label map (H,W), both as stored; sizes must agree."""
    scaled = scale(read_image(example.image), config)[0]
    labels = read_labels(example.mask, data, config)
    check_sizes(example, scaled.shape[1:], labels.shape)
    return scaled, labels


def check_sizes(example: Example, image: Sequence[int], mask: Sequence[int]) -> None:
    """ValueError where an image (height, width) and its mask differ."""
    if tuple(image) != tuple(mask):
        raise ValueError(
            f"{example.image.name} is {image[1]} x {image[0]} pixels, "
            f"its mask {example.mask.name} is {mask[1]} x {mask[0]}; they must be equal"
        )


def _inside(folder: Path, name: str) -> Path:
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise ValueError(f"{name!r} leads out of the data folder {folder}; name a path inside it")
    return path


def _by_stem(folder: Path, what: str) -> dict[str, Path]:
    if not folder.is_dir():
        raise ValueError(f"no folder {folder} with {what}; name it in the recipe's [data], or check --data")
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in SUFFIXES and not path.name.startswith("."):
            if path.stem in found:
                raise ValueError(f"{found[path.stem].name} and {path.name} in {folder} have the same name; remove one")
            found[path.stem] = path
    if not found:
        raise ValueError(f"{folder} has no {what}; expected files ending in {', '.join(sorted(SUFFIXES))}")
    return found


def _manifest(data: Data, folder: Path) -> dict[str, dict[str, str]] | None:
    if data.manifest is None:
        return None
    path = _inside(folder, data.manifest)
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:  # spreadsheets write a byte order mark
            reader = csv.DictReader(file)
            columns = set(reader.fieldnames or ())
            rows = list(reader)
    except OSError as error:
        raise ValueError(f"manifest {path} can't be read: {error.strerror}") from None
    for column in ("stem", data.group_column, data.split_column):
        if column is not None and column not in columns:
            raise ValueError(f"{path.name} has no column {column!r}; it has {', '.join(sorted(columns))}")
    by_stem = {row["stem"]: row for row in rows}
    if len(by_stem) < len(rows):
        stem = Counter(row["stem"] for row in rows).most_common(1)[0][0]
        raise ValueError(f"{path.name} lists {stem!r} twice; every picture has one row")
    return by_stem


def _group(stem: str, data: Data, rows: dict[str, dict[str, str]] | None) -> str:
    if rows is not None and data.group_column is not None:
        if not rows[stem][data.group_column]:
            raise ValueError(f"{data.manifest} gives {stem!r} no {data.group_column}; every picture needs one")
        return rows[stem][data.group_column]
    if data.group_pattern is None:
        return stem
    match = re.search(data.group_pattern, stem)
    if match is None or match.group(1) is None:
        raise ValueError(f"group_pattern {data.group_pattern!r} finds no group in the name {stem!r}")
    return match.group(1)


def _checked_split(row: dict[str, str], stem: str, data: Data) -> Split:
    for split in SPLITS:
        if row[str(data.split_column)] == split:
            return split
    raise ValueError(
        f"{data.manifest} puts {stem!r} into {row[str(data.split_column)]!r}, expected {', '.join(SPLITS)}"
    )


def _refuse_leaks(groups: dict[str, str], splits: dict[str, Split]) -> None:
    seen: dict[str, Split] = {}
    for stem, group in groups.items():
        if seen.setdefault(group, splits[stem]) != splits[stem]:
            raise ValueError(
                f"group {group!r} is in {seen[group]} and in {splits[stem]}; a group must stay in one split, "
                "or the scores say nothing about new ones"
            )


def _split_groups(groups: list[str], data: Data, seed: int) -> dict[str, Split]:
    order = list(groups)
    random.Random(seed).shuffle(order)
    splits: dict[str, Split] = dict.fromkeys(groups, "train")
    held_out: list[tuple[Split, tuple[str, ...] | float]] = [("test", data.test), ("val", data.val)]
    held_out.sort(key=lambda item: isinstance(item[1], float))  # names first: a share must not take them
    for split, wanted in held_out:
        free = [group for group in order if splits[group] == "train"]
        if isinstance(wanted, float):
            # at least one of several, and never all
            wanted = tuple(free[: min(max(1, round(wanted * len(groups))), len(free) - 1)] if wanted else ())
        for group in wanted:
            if group not in free:
                raise ValueError(
                    f"{split} names the group {group!r}, which is not there or is taken; "
                    f"there are {', '.join(sorted(free))}"
                )
            splits[group] = split
    return splits


def _common(values: NDArray[Any], as_colors: bool = False) -> str:
    """The most frequent values in words: `128 (57 pixels), 3 (2 pixels)`."""
    counts = Counter(dict(zip(*(a.tolist() for a in np.unique(values, return_counts=True)), strict=True)))
    words = [
        f"{f'#{value:06x}' if as_colors else value} ({count} pixel{'s' * (count != 1)})"
        for value, count in counts.most_common(8)
    ]
    more = len(counts) - len(words)
    return ", ".join(words) + (f" and {more} more" if more > 0 else "")
