"""A folder of images and masks: pairing, splitting by group, reading, and crops for training."""

from __future__ import annotations

import csv
import math
import random
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset

from ..config import IGNORE, SegmentationConfig, hex_to_rgb
from ..formats import as_image, read_image, read_mask
from ..prepare import at_working_size, normalise, scale
from ..samples import ct_phantom, draw_sample
from .augment import random_crop, random_intensity
from .recipe import IGNORE_NAME, Data, Recipe

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
SUFFIXES = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif", ".webp", ".pgm", ".ppm"}
# generated pictures for training start here; tests and examples stay far below
FIRST_TRAINING_SEED = 1_000_000


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


class Pictures:
    """The training pictures at the working size, kept in memory as far as they fit."""

    def __init__(self, examples: Sequence[Example], recipe: Recipe) -> None:
        self.examples, self.recipe = list(examples), recipe
        channels = len(recipe.data.channels)
        # not yet normalised: mean and std are measured on these very pictures
        self.config = recipe.config((0.0,) * channels, (1.0,) * channels)
        share = recipe.train.synthetic_share if recipe.train.synthetic else 0
        self.synthetic = round(len(self.examples) * share)
        self.cache: dict[int, tuple[Tensor, Tensor]] = {}
        self.room = recipe.train.cache_gb * 1e9

    def __len__(self) -> int:
        return len(self.examples) + self.synthetic

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """Image float32 (C,h,w) in 0..1 and labels uint8 (h,w), at the working size."""
        if index in self.cache:
            return self.cache[index]
        if index < len(self.examples):
            scaled, labels = read_example(self.examples[index], self.recipe.data, self.config)
        else:
            scaled, labels = self._generated(FIRST_TRAINING_SEED + index - len(self.examples))
        image = at_working_size(scaled[None], self.config)[0]
        resized = F.interpolate(torch.from_numpy(labels)[None, None], image.shape[1:], mode="nearest-exact")[0, 0]
        size = image.nbytes + resized.nbytes
        if size <= self.room:
            self.room -= size
            self.cache[index] = image, resized
        return image, resized

    def _generated(self, seed: int) -> tuple[Tensor, NDArray[np.uint8]]:
        kind = self.recipe.train.synthetic or "ct"
        # every fourth slice shows no liver: most of a scan is like that, and hardly any real training slice
        pixels, labels = ct_phantom(seed, liver=False) if kind == "ct" and seed % 4 == 0 else draw_sample(kind, seed)
        return scale(as_image(pixels), self.config)[0], labels


def measure(pictures: Pictures) -> tuple[tuple[float, ...], tuple[float, ...], list[int]]:
    """Mean and standard deviation of each channel, and the pixels of each label, over the training pictures.

    Raises ValueError for a class without a single pixel.
    """
    config = pictures.config
    total = torch.zeros(len(config.channels), dtype=torch.float64)
    squares, pixels = torch.zeros_like(total), 0
    counts = torch.zeros(256, dtype=torch.int64)
    for index in range(len(pictures)):
        image, labels = pictures[index]
        total += image.sum(dim=(1, 2), dtype=torch.float64)
        squares += image.double().square().sum(dim=(1, 2))
        pixels += labels.numel()
        counts += torch.bincount(labels.flatten().long(), minlength=256)
    for label, name in enumerate(config.labels):
        if counts[label] == 0:
            raise ValueError(
                f"{name!r} has no pixel in the {len(pictures)} training pictures, so it can't be learnt; "
                "take it out of classes, or check mask_values and the split"
            )
    mean = total / pixels
    # a floor, for pictures of one single tone
    std = (squares / pixels - mean.square()).clamp(min=0).sqrt().clamp(min=1e-3)
    return (
        tuple(round(v, 5) for v in mean.tolist()),
        tuple(round(v, 5) for v in std.tolist()),
        counts[: len(config.labels)].tolist(),
    )


class Crops(Dataset[tuple[Tensor, Tensor]]):
    """Augmented crops: item (epoch, i) depends on the seed, the epoch and i alone."""

    def __init__(self, pictures: Pictures, config: SegmentationConfig) -> None:
        self.pictures, self.config = pictures, config
        self.augment, self.train = pictures.recipe.augment, pictures.recipe.train
        area = self.train.crop**2
        self.order = [
            index for index in range(len(pictures)) for _ in range(max(1, math.ceil(pictures[index][1].numel() / area)))
        ]

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, key: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Normalised image (C,crop,crop) and labels (crop,crop)."""
        epoch, i = key
        generator = torch.Generator().manual_seed(random.Random(f"{self.train.seed}/{epoch}/{i}").getrandbits(63))
        image, labels = self.pictures[self.order[i]]
        image, labels = random_crop(image, labels, self.train.crop, self.augment, generator)
        image = random_intensity(image, self.augment, generator)
        return normalise(image, self.config), labels

    def batches(self, epoch: int, start: int = 0) -> list[list[tuple[int, int]]]:
        """The keys of an epoch's batches from number `start` on, shuffled; a last incomplete batch is left out."""
        order = list(range(len(self)))
        random.Random(f"{self.train.seed}/{epoch}").shuffle(order)
        size = min(self.train.batch_size, len(order))
        whole = [order[i : i + size] for i in range(0, len(order) - size + 1, size)]
        return [[(epoch, i) for i in batch] for batch in whole[start:]]


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
