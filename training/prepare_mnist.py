"""Turn MNIST, or what has its form, into a folder to train on: `python training/prepare_mnist.py IDX_FOLDER OUT`.

IDX_FOLDER holds the published files, packed by gzip or not: `train-images-idx3-ubyte.gz`, `train-labels-idx1-ubyte.gz`
and the same of `t10k` (LeCun et al. 1998). Fashion-MNIST (Xiao et al. 2017) has the same form and takes `--ink 10`, for
clothes are darker than ink. A set may come in several parts, `train1-...` and `train2-...`, which are joined in order.
OUT gets what `recipes/digits.toml` and `recipes/clothes.toml` read:

    images/train_00000.png  the picture, byte for byte
    masks/train_00000.png   ids: 0 background, label + 1 where the picture is at least as bright as `--ink`
    manifest.csv            stem, block, split: the last tenth of the training pictures is for validation

A block is a thousand pictures that follow each other: scores get intervals over blocks. Stopped, the same command goes
on: pairs that are there already are left alone.
"""

from __future__ import annotations

import argparse
import gzip
import logging
import re
import sys
import zlib
from pathlib import Path
from typing import IO

import numpy as np
import PIL.Image
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # a clone works without being installed

from unetseg.files import whole  # noqa: E402
from unetseg.process import exit_code  # noqa: E402

NAME = re.compile(r"(?P<set>train|t10k|test)(?P<part>\d*)-(?P<kind>images|labels)[-.]idx(?P<sides>[13])-ubyte(\.gz)?")
GZIP = b"\x1f\x8b"
BYTES = 8
"""The code of unsigned bytes in an IDX header: 0, 0, code, dimensions, then each side as a big-endian number."""
MOST = 1 << 30
BLOCK = 1000
MOST_LABELS = 254


def read_idx(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """The bytes of an IDX file, packed by gzip or not; ValueError where it is no such file, or cut off."""
    with path.open("rb") as file:
        packed = file.read(2) == GZIP
    with gzip.open(path) if packed else path.open("rb") as file:
        try:
            return _read(file, dimensions)
        except (ValueError, EOFError, OSError, zlib.error) as error:
            raise ValueError(f"{path.name} is no IDX file of {dimensions} dimensions ({error}); get it again") from None


def _read(file: IO[bytes], dimensions: int) -> NDArray[np.uint8]:
    header = file.read(4)
    if header != bytes((0, 0, BYTES, dimensions)):
        raise ValueError(f"it begins with {header.hex(' ') or 'nothing'}")
    sides = np.frombuffer(file.read(4 * dimensions), ">u4").astype(np.int64)
    if len(sides) < dimensions or not 0 < (size := int(sides.prod())) <= MOST:
        raise ValueError(f"its sides are {sides.tolist()}")
    content = file.read(size + 1)
    if len(content) != size:
        raise ValueError(f"it should hold {size} bytes, and has {'more' if len(content) > size else len(content)}")
    return np.frombuffer(content, np.uint8).reshape(sides)


def read_sets(folder: Path) -> dict[str, tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    """Images (N,H,W) and labels (N) of `train` and `t10k`; ValueError says what is missing or doesn't fit."""
    parts: dict[str, dict[int, dict[str, Path]]] = {}
    for path in sorted(folder.iterdir()):
        if match := NAME.fullmatch(path.name):
            name = "train" if match["set"] == "train" else "t10k"
            kinds = parts.setdefault(name, {}).setdefault(int(match["part"] or 0), {})
            if match["kind"] in kinds:
                raise ValueError(f"{folder} holds {kinds[match['kind']].name} and {path.name}, the same; remove one")
            kinds[match["kind"]] = path
    sets = {}
    for name in ("train", "t10k"):
        if name not in parts:
            raise ValueError(f"{folder} holds no {name}-images-idx3-ubyte.gz; give the folder of the published files")
        pairs = []
        for number, kinds in sorted(parts[name].items()):
            if missing := {"images", "labels"} - kinds.keys():
                raise ValueError(f"{folder} has no {missing.pop()} of {name}{number or ''}; get them too")
            images, labels = read_idx(kinds["images"], 3), read_idx(kinds["labels"], 1)
            if len(images) != len(labels) or labels.max() >= MOST_LABELS:
                raise ValueError(
                    f"{kinds['labels'].name} has {len(labels)} labels up to {labels.max()}, expected one below "
                    f"{MOST_LABELS} for each of {len(images)} pictures"
                )
            pairs.append((images, labels))
        if len({images.shape[1:] for images, _ in pairs}) > 1:
            raise ValueError(f"the parts of {name} in {folder} differ in the size of their pictures; get them again")
        images, labels = (np.concatenate(some) for some in zip(*pairs, strict=True))
        sets[name] = images, labels
    return sets


def prepare(folder: Path, out: Path, ink: int) -> dict[str, int]:
    """Write all pairs that are not there yet, and the manifest; how many pictures each split has."""
    counts = {"train": 0, "val": 0, "test": 0}
    rows = ["stem,block,split"]
    for name in ("images", "masks"):
        (out / name).mkdir(parents=True, exist_ok=True)
    for name, (images, labels) in read_sets(folder).items():
        blocks = -(-len(images) // BLOCK)
        for number, (image, label) in enumerate(zip(images, labels, strict=True)):
            stem, block = f"{name}_{number:05d}", number // BLOCK
            mask = np.where(image >= ink, label + np.uint8(1), np.uint8(0))
            if not mask.any():
                raise ValueError(f"{stem} has no pixel of at least {ink}; give a lower --ink")
            for kind, pixels in (("masks", mask), ("images", image)):
                if not (path := out / kind / f"{stem}.png").exists():
                    with whole(path) as temporary:
                        PIL.Image.fromarray(pixels).save(temporary, format="PNG")
            split = "test" if name == "t10k" else "val" if block >= blocks - max(1, blocks // 10) else "train"
            rows.append(f"{stem},{name}_{block:02d},{split}")
            counts[split] += 1
    with whole(out / "manifest.csv") as temporary:
        temporary.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return counts


def main(arguments: list[str] | None = None) -> int:
    """Run the command; 0 when all pairs are there, 1 with one sentence on what is wrong, 130 when stopped."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, metavar="IDX_FOLDER", help="the folder of the published files")
    parser.add_argument("out", type=Path, metavar="OUT", help="the folder to write")
    parser.add_argument(
        "--ink", type=int, choices=range(1, 256), default=128, metavar="1..255", help="the darkest ink; 128 by default"
    )
    options = parser.parse_args(arguments)

    def work() -> None:
        counts = prepare(options.source, options.out, options.ink)
        told = ", ".join(f"{split} {count}" for split, count in counts.items())
        logging.info("%s holds %d pictures: %s", options.out, sum(counts.values()), told)

    return exit_code(work)


if __name__ == "__main__":
    sys.exit(main())
