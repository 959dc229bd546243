"""An image whose channels lie in several files, and a mask that is several files, read as one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ...formats import Image, Place, read_image, read_mask
from .drawing import Drawing
from .layouts import JPEGS, ending, is_volume


class Files(Protocol):
    """What an image and its labels are read from; a `Pair` or an `Example`."""

    @property
    def image(self) -> Path: ...
    @property
    def more_images(self) -> tuple[Path, ...]: ...
    @property
    def mask(self) -> Path: ...
    @property
    def more_masks(self) -> tuple[Path, ...]: ...
    @property
    def mask_ids(self) -> tuple[int, ...]: ...
    @property
    def drawing(self) -> Drawing | None: ...


def read_joined(files: Files) -> Image:
    """The image, of several files with their channels one after the other; ValueError where these don't go together."""
    image = read_image(files.image)
    if not files.more_images:
        return image
    others = [read_image(path) for path in files.more_images]
    for other in others:
        for what, one, two in (
            ("size", image.pixels.shape[:3], other.pixels.shape[:3]),
            ("type of numbers", image.pixels.dtype, other.pixels.dtype),
            ("range", image.value_range, other.value_range),
            ("unit", image.hounsfield, other.hounsfield),
        ):
            if one != two:
                raise ValueError(
                    f"{image.name} and {other.name} are channels of one image and of another {what} ({one} and {two}); "
                    "save them alike"
                )
    return replace(
        image,
        pixels=np.concatenate([image.pixels, *(other.pixels for other in others)], axis=3),
        notices=tuple(dict.fromkeys(notice for one in (image, *others) for notice in one.notices)),
        valid=_all_valid([image, *others]),
    )


def _all_valid(images: list[Image]) -> NDArray[np.bool_] | None:
    known = [image.valid for image in images if image.valid is not None]
    return np.logical_and.reduce(known) if known else None


def read_stored(files: Files, place: Place | None = None, size: tuple[int, int] | None = None) -> NDArray[Any]:
    """The numbers of a mask as `formats.read_mask` gives them, of several files laid over each other.

    Of annotations those that they are drawn as; size: (height, width) of the image, which else is read for it.

    The larger number counts, of colours in each channel; of files that show one class each the one that shows less, by
    its number in `mask_ids`: a part lies on the whole. Raises ValueError for files of several sizes or kinds.
    """
    if files.drawing is not None:
        height, width = size or read_joined(files).pixels.shape[1:3]
        return files.drawing.of_size(height, width)
    paths = (files.mask, *files.more_masks)
    stored = [read_mask(path, place=place) for path in paths]
    if files.mask_ids:
        stored = [_inside(raw, path) for raw, path in zip(stored, paths, strict=True)]
    elif len(stored) > 1 and len({raw.ndim for raw in stored}) > 1:  # some saved as RGB
        stored = [_grey(raw, path) for raw, path in zip(stored, paths, strict=True)]
    for raw, path in zip(stored, paths, strict=True):
        if raw.shape != stored[0].shape:
            sizes = [" x ".join(str(side) for side in one.shape[::-1]) for one in (stored[0], raw)]
            raise ValueError(
                f"{paths[0].name} and {path.name} are masks of one image and of {sizes[0]} and {sizes[1]} pixels; "
                "save all of them at its size"
            )
    if not files.mask_ids:
        return stored[0] if len(stored) == 1 else np.maximum.reduce(stored)
    labels = np.zeros(stored[0].shape, dtype=np.uint8)
    for inside, number in sorted(zip(stored, files.mask_ids, strict=True), key=lambda one: -np.count_nonzero(one[0])):
        labels[inside] = number
    return labels


def read_inside(path: Path) -> NDArray[np.bool_]:
    """Where a mask that shows one class shows it; ValueError where it can't be read or holds more."""
    return _inside(read_mask(path), path)


def _inside(raw: NDArray[Any], path: Path) -> NDArray[np.bool_]:
    """Where a mask that shows one class isn't black; of a JPEG where it is rather white."""
    if ending(path) in JPEGS:
        return np.asarray(raw > 127)
    if raw.ndim == 3 and not is_volume(path):
        raw = raw.astype(np.int32) @ np.array([1 << 16, 1 << 8, 1])
    values = np.unique(raw)
    if len(values) > 2 or (len(values) == 2 and values[0] != 0):
        held = ", ".join(str(value) for value in values[:4].tolist()) + (" and more" if len(values) > 4 else "")
        raise ValueError(
            f"{path.name} is the mask of one class and holds the numbers {held}; expected 0 and one other, "
            "so save it with these two"
        )
    inside: NDArray[np.bool_] = raw != 0
    return inside


def _grey(raw: NDArray[Any], path: Path) -> NDArray[Any]:
    if raw.ndim == 2:
        return raw
    if not (raw == raw[..., :1]).all():
        raise ValueError(f"{path.name} holds colours and other masks of its image numbers; save all in one way")
    return raw[..., 0]
