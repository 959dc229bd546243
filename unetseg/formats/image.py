"""A picture of any kind in memory, with what its numbers mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypedDict

import numpy as np
from numpy.typing import NDArray

MAX_PIXELS = 64_000_000
"""Larger pictures, and volumes with larger slices, are refused from their header, before a pixel is decoded."""
MAX_VOXELS = 1_000_000_000
"""Of a volume; it has two bytes for each."""


class Damaged(ValueError):  # noqa: N818, what it is
    """A file is what it should be, but not whole."""


class Reading(TypedDict, total=False):
    """What a file may not say of itself, and a reader is told.

    value_range: (low, high) of the stored numbers that are black and white, e.g. 12 bits in 16.
    bands: which bands of a raster are the channels, in order; the first is 1.
    series: which of several DICOM series: its UID, or its number in the list that the error shows.
    files: of a folder, by their names relative to it, those that are looked at; all unless given.
    hounsfield: whether the numbers are Hounsfield units, where a file can't say so.
    name: what it is called in messages; the name of its file unless given.
    max_pixels: of one slice; larger ones are refused from their header.
    """

    value_range: tuple[float, float] | None
    bands: tuple[int, ...] | None
    series: str | None
    files: Sequence[str] | None
    hounsfield: bool | None
    name: str | None
    max_pixels: int


class Place(Protocol):
    """Where the pixels of an image lie in the world, and as what its results are written unless told otherwise."""

    @property
    def suffix(self) -> str:
        """Of a label map in the family of the input, e.g. `.nii.gz`."""

    @property
    def unit(self) -> tuple[str, float] | None:
        """What one pixel of the image measures: ("mL", volume) or ("ha", area); None where that isn't known."""


@dataclass(frozen=True)
class Image:
    """Pixels as stored, and what is known of them.

    pixels: (D,H,W,C) in the stored type; D slices, 1 for a picture; C channels.
    value_range: (low, high) that the stored numbers can span; None where their type does not say: floats must lie in
        0..1 then, and other integers need the range of the model.
    hounsfield: whether the numbers are Hounsfield units.
    notices: what a reader of the result should know, one sentence each.
    stated: whether value_range comes from the file's metadata or from its giver; else it is that of the type.
    modality: of DICOM: CT, MR, PT, US, ...
    facts: what was read and how, a few words each: series, bands, spacing, orientation.
    place: where it lies in the patient or on the ground, if its file says so.
    doubt: why it may be no picture, and what makes one of it; a model that knows its own range takes it.
    valid: (D,H,W), False where a file says that there is nothing: nodata, outside of a scanner's circle; None: all is.
    """

    pixels: NDArray[Any]
    value_range: tuple[float, float] | None = None
    hounsfield: bool = False
    name: str = "array"
    notices: tuple[str, ...] = ()
    stated: bool = False
    modality: str | None = None
    facts: tuple[str, ...] = ()
    place: Place | None = None
    valid: NDArray[np.bool_] | None = None
    doubt: str | None = None

    def __post_init__(self) -> None:
        if self.pixels.ndim != 4 or 0 in self.pixels.shape:
            raise ValueError(
                f"{self.name}: got pixels of shape {self.pixels.shape}, expected (slices, height, width, channels), "
                "none of them 0"
            )
        if self.value_range is not None and not -np.inf < self.value_range[0] < self.value_range[1] < np.inf:
            raise ValueError(f"{self.name}: value_range goes from low to high, got {self.value_range}")

    def alone(self, index: int) -> Image:
        """One slice as an Image of its own; without a place in the world, unless it is the only one."""
        part = slice(index, index + 1)
        valid = None if self.valid is None else self.valid[part]
        place = self.place if len(self.pixels) == 1 else None
        return replace(self, pixels=self.pixels[part], valid=valid, place=place)

    def description(self, shape: tuple[int, int] | None = None) -> str:
        """What was read and how, in a few words: size, channels, type and range, and what its file says of its place.

        shape: (H,W) of all of it, where these pixels are but some.

        >>> as_image(np.zeros((2, 3), dtype=np.uint8), name="a.png").description()
        'a.png: 3 x 2 pixels, 1 channel, uint8, values 0 to 255 from black to white'
        """
        slices, height, width, channels = self.pixels.shape
        height, width = shape or (height, width)
        several = f"{slices} slices of " if slices > 1 else ""
        facts = [f"{several}{width} x {height} pixels", f"{channels} channel{'s' * (channels != 1)}"]
        facts.append(str(self.pixels.dtype))
        if self.hounsfield:
            facts.append("Hounsfield units")
        elif self.value_range is not None:
            facts.append("values {:g} to {:g} from black to white".format(*self.value_range))
        return f"{self.name}: {', '.join((*facts, *self.facts))}"


def as_image(array: NDArray[Any], *, value_range: tuple[float, float] | None = None, name: str = "array") -> Image:
    """An array (H,W) or (H,W,C) as an Image; the value range is that of its type unless given.

    Raises ValueError for other shapes and for types that hold no picture.

    >>> image = as_image(np.array([[0, 128], [255, 3]], dtype=np.uint8))
    >>> image.pixels.shape, image.value_range  # slices, height, width, channels
    ((1, 2, 2, 1), (0, 255))
    >>> as_image(np.array([[0, 4095]], dtype=np.uint16), value_range=(0, 4095)).value_range
    (0, 4095)
    """
    if array.ndim not in (2, 3):
        raise ValueError(f"{name}: got an array of shape {array.shape}, expected (height, width[, channels])")
    stated = value_range is not None
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    if array.dtype == np.bool_:
        array = array.astype(np.uint8)
        value_range = value_range or (0, 1)
    elif array.dtype in (np.uint8, np.uint16):
        value_range = value_range or (0, int(np.iinfo(array.dtype).max))
    elif array.dtype.kind == "f":
        if not np.isfinite(array).all():
            raise ValueError(f"{name}: holds values that are not finite; replace them before segmentation")
    elif array.dtype.kind not in "iu":
        raise ValueError(f"{name}: got an array of {array.dtype}, expected numbers")
    pixels = array[None, :, :, None] if array.ndim == 2 else array[None]  # (1,H,W,C)
    return Image(pixels, value_range, name=name, stated=stated)
