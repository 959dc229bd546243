"""A folder of images and masks: pairing, splitting by group, and reading."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...config import IGNORE, SegmentationConfig
from ...files import read_json
from ...formats import Image, Place, Raster, read_mask
from ...formats.annotations import GIVEN
from ...prepare import ranges, scaled
from ...task import picture_labels
from ..recipe import IGNORE_NAME, NAME, SPLITS, Data, Split, number_range
from .annotated import pair_annotated, read_parts, without_objects
from .drawing import Drawing, numbered
from .joined import Files, read_joined, read_stored
from .layouts import SUFFIXES, Layout, Lone, Pair, Pairing, is_volume, pair, pictures_in, without_ending
from .lists import split_by_lists
from .manifest import read_manifest
from .splits import Key, group_of, joined_groups, splits_of

__all__ = [
    "SPLITS",
    "Example",
    "Split",
    "colour_codes",
    "find_examples",
    "in_words",
    "known_labels",
    "pictures_by_split",
    "read_example",
    "read_labels",
    "read_slices",
    "read_truth",
    "shared_pictures",
    "telling_slice",
]


@dataclass(frozen=True)
class Example:
    """One image, a volume as a whole, and its mask, the group it must not be parted from, and its split.

    inside: of a layout with `{folder}`, the folder that they lie in. more_images, more_masks, mask_ids, drawing: as in
    `Pair`.
    """

    image: Path
    mask: Path
    group: str
    split: Split
    inside: str = ""
    more_images: tuple[Path, ...] = ()
    more_masks: tuple[Path, ...] = ()
    mask_ids: tuple[int, ...] = ()
    drawing: Drawing | None = field(default=None, compare=False, repr=False)

    @property
    def name(self) -> str:
        """The image's name without its ending, after that of its folder if there are several."""
        own = without_ending(self.image)
        return f"{self.inside}/{own}" if self.inside else own


def find_examples(data: Data, folder: Path, seed: int = 0, *, pairing: Pairing | None = None) -> list[Example]:
    """Every image of a folder with its mask, group and split, sorted by name.

    pairing: that of these data, if it is known already; large files of annotations then aren't read once more.
    Raises ValueError that names what is missing: a folder, images, masks, a row of the manifest, a group.
    """
    layout = Layout.of(data)
    if data.annotations is not None:
        pairing = _annotated(folder, layout, data, pairing)
    else:
        _refuse_empty(folder, layout)
        pairing = pairing or pair(folder, layout)
    if pairing.twice:
        first, second = pairing.twice[0]
        raise ValueError(f"{first.name} and {second.name} in {first.parent} {_as_one(layout)}; remove one")
    if pairing.incomplete:
        partial, template = pairing.incomplete[0]
        raise ValueError(f"{partial.image.name} has no {template} beside it; every image has all files of its channels")
    found: dict[Key, Lone] = {(one.split, one.name): one for one in (*pairing.pairs, *pairing.lone)}
    rows, listed = None, None
    if data.manifest is not None:
        columns = [column for column in (data.group_column, data.split_column) if column is not None]
        rows = read_manifest(_inside(folder, data.manifest), columns)
        if absent := sorted(rows.keys() - {name for _, name in found}):
            raise ValueError(
                f"{data.manifest} lists {absent[0]!r}, but {data.images} has no such image ({len(absent)} so)"
            )
        found = {key: paths for key, paths in found.items() if key[1] in rows}
    if data.split_lists is not None:
        lists = {split: _inside(folder, name) for split, name in data.split_lists.items()}
        listed = split_by_lists(lists, {name: one.image for (_, name), one in found.items()}, folder)
        found = {key: one for key, one in found.items() if key[1] in listed}
    if data.unannotated == "leave out" and pairing.pairs:
        found = {key: one for key, one in found.items() if isinstance(one, Pair)}
    if bare := [key for key, one in found.items() if not isinstance(one, Pair)]:
        split, name = min(bare, key=lambda key: key[1])
        image = found[split, name].image
        raise ValueError(
            f"{len(bare)} of {len(found)} images have no mask, first {image.name!r}; "
            f"expected {layout.expected_mask(name, split, image)} (or another picture ending)"
        )
    groups = joined_groups({key: group_of(key[1], data, rows) for key in found}, data.same_group)
    splits = splits_of(groups, data, rows, listed, seed)
    order = sorted(found, key=lambda key: (key[1], splits[key]))
    return [
        Example(
            one.image,
            one.mask,
            groups[key],
            splits[key],
            key[1] if layout.by_folder else key[1].rpartition("/")[0],
            one.more_images,
            one.more_masks,
            one.mask_ids,
            one.drawing,
        )
        for key in order
        if isinstance(one := found[key], Pair)
    ]


def _annotated(folder: Path, layout: Layout, data: Data, pairing: Pairing | None) -> Pairing:
    """Images with their annotations, drawn as the recipe has it; ValueError for a label that it doesn't name."""
    numbers = numbered(data.annotation_labels)
    if pairing is None:
        _inside(folder, data.images)
        _inside(folder, data.masks)
        pairing = pair_annotated(folder, layout, read_parts(folder, layout), numbers)
    if clash := next((problem for problem in pairing.problems if problem.what == "twice"), None):
        raise ValueError(clash.words)
    if not pairing.pairs:
        raise ValueError(
            f"none of the pictures in {folder / data.images} is one that the annotations in {data.masks} speak of; "
            "name the folder of the pictures as images in the recipe's [data]"
        )
    pairs = []
    for one in pairing.pairs:
        assert one.drawing is not None
        drawing = replace(one.drawing, numbers=numbers, overlap=data.overlap or one.drawing.overlap)
        if unnamed := sorted(drawing.labels - numbers.keys() - GIVEN.keys()):
            raise ValueError(
                f"{one.drawing.annotated.source} has objects of {', '.join(map(repr, unnamed))}, first on "
                f"{one.image.name}, which annotation_labels does not name; named are {', '.join(numbers)}"
            )
        pairs.append(replace(one, drawing=drawing))
    if pairing.lone and data.unannotated is None:
        raise ValueError(
            f"{len(pairing.lone)} images are in no annotation, first {pairing.lone[0].image.name!r}; "
            'say unannotated = "background" if they show none of the classes, or "leave out"'
        )
    if data.unannotated == "background":
        pairs += [without_objects(one, pairs[0]) for one in pairing.lone]
    return replace(pairing, pairs=tuple(pairs), lone=())


def _as_one(layout: Layout) -> str:
    return "are both the picture of that folder" if layout.by_folder else "have the same name"


def pictures_by_split(examples: Sequence[Example]) -> dict[Split, dict[str, dict[str, str]]]:
    """The pictures of each split by group, as `split.json` holds them: names, each with a digest of its file."""
    pictures: dict[Split, dict[str, dict[str, str]]] = {split: {} for split in SPLITS}
    for example in examples:
        pictures[example.split].setdefault(example.group, {})[example.name] = _digest(example)
    return pictures


def shared_pictures(checkpoint: Path, split: Split, examples: Sequence[Example]) -> int | None:
    """How many of these pictures were in a split when a checkpoint was trained; None if no `split.json` tells.

    It is their files that are compared: names and groups may be others, or the same by chance.
    """
    path = checkpoint / "split.json"
    if not path.exists():
        return None
    try:
        groups = read_json(path)[split].values()
        digests = {digest for pictures in groups for digest in pictures.values()}
    except (AttributeError, KeyError, TypeError, ValueError):
        raise ValueError(f"{path} is not such as a run writes it; get it again") from None
    return sum(_digest(example) in digests for example in examples)


def _digest(example: Example) -> str:
    digests = [_file_digest(path) for image in (example.image, *example.more_images) for path in _files(image)]
    # of a series whatever its files are called
    whole = digests[0] if len(digests) == 1 else hashlib.sha256("".join(sorted(digests)).encode()).hexdigest()
    return whole[:16]


def _files(image: Path) -> list[Path]:
    if not image.is_dir():
        return [image]
    return [path for path in image.rglob("*") if path.is_file() and not path.name.startswith(".")]


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_labels(
    mask: Path | Files,
    data: Data,
    config: SegmentationConfig,
    place: Place | None = None,
    size: tuple[int, int] | None = None,
) -> NDArray[np.uint8]:
    """A mask, a file or all those of a pair, as a label map (H,W), or (D,H,W), of ids and IGNORE by `mask_values`.

    Of annotations by `annotation_labels`. place, size: of its image, see `read_stored`.
    Raises ValueError that lists every value that the recipe doesn't name, and how often it occurs.
    """
    path = mask if isinstance(mask, Path) else mask.mask
    raw = read_mask(path, place=place) if isinstance(mask, Path) else read_stored(mask, place, size)
    if not isinstance(mask, Path) and mask.drawing is not None:
        ids = np.full(256, IGNORE, dtype=np.uint8)  # a crowd is drawn as 255
        for label, number in mask.drawing.numbers.items():
            if (name := data.annotation_labels.get(label, IGNORE_NAME)) != IGNORE_NAME:
                ids[number] = config.labels.index(name)
        ids[0] = 0 if config.background is not None else IGNORE
        labels: NDArray[np.uint8] = ids[raw]
        return labels
    channels = raw.ndim == 3 and not is_volume(path)
    as_colors = next(iter(data.mask_values)).startswith("#")
    if as_colors:
        if not channels:
            raise ValueError(
                f"the mask {path.name} holds numbers, but mask_values names colours; name {_common(raw)} instead"
            )
        raw = colour_codes(raw)
    elif channels:
        if not (raw == raw[..., :1]).all():
            raise ValueError(
                f"the mask {path.name} holds colours, but mask_values names numbers; name its colours (#rrggbb)"
            )
        raw = raw[..., 0]
    labels = np.full(raw.shape, IGNORE, dtype=np.uint8)
    named = np.zeros(raw.shape, dtype=bool)
    for value, name in data.mask_values.items():
        if as_colors:
            here = raw == int(value[1:], 16)
        else:
            low, high = number_range(value)
            here = (raw >= low) & (raw <= high)
        named |= here
        if name != IGNORE_NAME:
            labels[here] = config.labels.index(name)
    if not named.all():
        raise ValueError(
            f"the mask {path.name} holds values that mask_values does not name: {_common(raw[~named], as_colors)}; "
            f"named are {', '.join(data.mask_values)}"
        )
    return labels


def colour_codes(colours: NDArray[np.uint8]) -> NDArray[np.int32]:
    """RGB (H,W,3) as one number a pixel, 0xRRGGBB (H,W)."""
    codes = colours[..., 0].astype(np.int32)  # channel by channel: a matrix product would take many times the memory
    for channel in (1, 2):
        codes <<= 8
        codes |= colours[..., channel]
    return codes


def read_truth(example: Example, image: Image, data: Data, config: SegmentationConfig) -> NDArray[np.uint8]:
    """The labels of an image that was read (D,H,W); sizes must agree. What a raster says holds no data is IGNORE.

    Raises ValueError where it shows two classes, and is to be given the label of one.
    """
    height, width = image.pixels.shape[1:3]
    labels = read_labels(example, data, config, image.place, (height, width))
    labels = labels if labels.ndim == 3 else labels[None]
    if labels.shape != image.pixels.shape[:3]:
        image_size, mask_size = in_words(image.pixels.shape[:3]), in_words(labels.shape)
        raise ValueError(
            f"{example.image.name} is {image_size} pixels, its mask {example.mask.name} is {mask_size}; "
            "they must be equal"
        )
    labels = known_labels(labels, image)
    if config.picture_rule is not None:
        try:
            picture_labels(torch.from_numpy(labels), config)
        except ValueError as error:
            raise ValueError(f"{example.image.name}: {error}") from None
    return labels


def known_labels(labels: NDArray[np.uint8], image: Image) -> NDArray[np.uint8]:
    """Labels (D,H,W), IGNORE where a raster has no data; outside of a scanner's circle there is air, and no class."""
    if image.valid is None or not isinstance(image.place, Raster):
        return labels
    return np.where(image.valid, labels, np.uint8(IGNORE))


def telling_slice(labels: NDArray[Any]) -> int:
    """The slice in the middle of those of labels (D,H,W) that show any beside 0; of all where none does."""
    inside = np.flatnonzero([((here > 0) & (here != IGNORE)).any() for here in labels])
    return int(inside[len(inside) // 2]) if len(inside) else len(labels) // 2


def in_words(shape: Sequence[int]) -> str:
    """A size (D,H,W): `40 x 23`, of a volume `40 x 23 x 12`."""
    depth, height, width = shape
    return f"{width} x {height}" + (f" x {depth}" if depth > 1 else "")


def read_slices(example: Example, data: Data, config: SegmentationConfig) -> Iterator[tuple[Tensor, NDArray[np.uint8]]]:
    """Each slice of an image, scaled to 0..1 (C,H,W), and its label map (H,W), both as stored; sizes must agree."""
    image = read_joined(example)
    between = ranges(image, config)
    labels = read_truth(example, image, data, config)
    for index, here in enumerate(labels):
        yield scaled(image.pixels[index : index + 1], between, config)[0], here


def read_example(example: Example, data: Data, config: SegmentationConfig) -> tuple[Tensor, NDArray[np.uint8]]:
    """The first of `read_slices`, of a picture the only one; whatever doesn't fit in any of them is told."""
    return next(read_slices(example, data, config))


def _inside(folder: Path, name: str) -> Path:
    if Path(name).is_absolute() or ".." in Path(name).parts:  # a link inside may lead where its owner wants
        raise ValueError(f"{name!r} leads out of the data folder {folder}; name a path inside it")
    return folder / name


def _refuse_empty(folder: Path, layout: Layout) -> None:
    there = layout.places(folder)
    for place in layout.by_split():
        of_split = [one for one in there if one.split == place.split]
        images = [(name, one) for one in of_split for name in layout.image_folders(one)[:1]]
        masks = [(name, one) for one in of_split for name in layout.mask_folders(one)]
        called = layout.image_name if isinstance(layout.image_name, str) else " and ".join(layout.image_name)
        for what, name, inner, is_one, template in (
            ("images", place.images, images, lambda p, one: layout.image_of(p, one) is not None, called),
            ("masks", place.masks, masks, layout.is_mask, layout.mask_name),
        ):
            here = _inside(folder, name)
            if not any((folder / path).is_dir() for path, _ in inner):
                raise ValueError(f"no folder {here} with {what}; name it in the recipe's [data], or check --data")
            if not any(is_one(path, one) for where, one in inner for path in pictures_in(folder / where)):
                called = "" if template == NAME else f" called {template}"
                endings = ", ".join(sorted(SUFFIXES))
                raise ValueError(f"{here} has no {what}{called}; expected files ending in {endings}")


def _common(values: NDArray[Any], as_colors: bool = False) -> str:
    """The most frequent values in words: `128 (57 pixels), 3 (2 pixels)`."""
    counts = Counter(dict(zip(*(a.tolist() for a in np.unique(values, return_counts=True)), strict=True)))
    words = [
        f"{f'#{value:06x}' if as_colors else value} ({count} pixel{'s' * (count != 1)})"
        for value, count in counts.most_common(8)
    ]
    more = len(counts) - len(words)
    return ", ".join(words) + (f" and {more} more" if more > 0 else "")
