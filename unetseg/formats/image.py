"""A picture of any kind in memory, with what its numbers mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Image:
    """Pixels as stored, and what is known of them.

    pixels: (D,H,W,C) in the stored type; D slices, 1 for a picture; C channels.
    value_range: (low, high) that the stored numbers can span; None where their type does not say: floats must lie in
        0..1 then, and other integers need the range of the model.
    hounsfield: whether the numbers are Hounsfield units.
    notices: what a reader of the result should know, one sentence each.
    """

    pixels: NDArray[Any]
    value_range: tuple[float, float] | None = None
    hounsfield: bool = False
    name: str = "array"
    notices: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.pixels.ndim != 4 or 0 in self.pixels.shape:
            raise ValueError(
                f"{self.name}: got pixels of shape {self.pixels.shape}, expected (slices, height, width, channels), "
                "none of them 0"
            )
        if self.value_range is not None and not -np.inf < self.value_range[0] < self.value_range[1] < np.inf:
            raise ValueError(f"{self.name}: value_range goes from low to high, got {self.value_range}")


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
    return Image(pixels, value_range, name=name)
