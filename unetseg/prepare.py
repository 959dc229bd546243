"""A picture of any kind to the network's input, and its logits back to the picture's size.

Shapes: D slices, C channels of the config, H x W as stored, h x w as the network sees it. In the examples `liver` is
the config of a grey model (mean 0.5, std 0.25, window -100 to 100 HU), `small` the same at a working size of 16.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from functools import reduce
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .config import SegmentationConfig
from .formats import Image, looks_hounsfield, proposed_range
from .tiling import bands, resized

Ranges = Sequence[tuple[float, float]] | None
"""(low, high) of each channel, or None for numbers that are scaled already."""
FEW_TONES = 65536 // 4
"""An image of 16 bits that spans fewer is nearly of one tone as it is."""
OFFSETS = (1024, 8192, 32768)
"""What is added to Hounsfield units so that none is negative, as DICOM stores them and as PNG of 16 bits must."""
LUMINANCE = (0.299, 0.587, 0.114)  # ITU-R BT.601


def scale(image: Image, config: SegmentationConfig) -> Tensor:
    """Stored numbers as float32 (D,C,H,W) from 0 to 1, in the channels of the config.

    The scale is `ranges`'. Raises ValueError where channels or values don't fit.

    >>> grey = as_image(np.array([[0, 51, 255]], dtype=np.uint8))
    >>> [round(value, 3) for value in scale(grey, liver).flatten().tolist()]
    [0.0, 0.2, 1.0]
    >>> scale(Image(np.array([-1000, 0, 50, 400]).reshape(1, 1, 4, 1), hounsfield=True), liver).flatten().tolist()
    [0.0, 0.5, 0.75, 1.0]
    """
    return scaled(image.pixels, ranges(image, config), config)


def scaled(pixels: NDArray[Any], between: Ranges, config: SegmentationConfig) -> Tensor:
    """Some slices of an image (D,H,W,C) as (D,C,H,W) from 0 to 1, by the `ranges` of all of it.

    >>> scaled(np.array([0, 5, 20]).reshape(1, 1, 3, 1), [(0, 10)], liver).flatten().tolist()
    [0.0, 0.5, 1.0]
    """
    # copied by NumPy: torch takes no flipped views and no foreign byte order, and is slow where channels come last
    x = torch.from_numpy(np.moveaxis(pixels, -1, 1).astype(np.float32, order="C"))  # (D,C,H,W)
    x = _match_channels(x, config)
    if between is None:
        return x.contiguous()  # grey as colour would be one channel seen three times, which nothing may write to
    lows, highs = torch.tensor(between, dtype=torch.float32).T[..., None, None].unbind()  # (C,1,1) each
    return (x - lows).div_(highs - lows).clamp_(0, 1)


def ranges(image: Image, config: SegmentationConfig) -> Ranges:
    """What is black and what is white in an image, for each channel of the config; None for floats from 0 to 1.

    Hounsfield units go through the config's window, which every other image has already been through. Else it is what
    was stated of the image, or the config's, or the range of the stored type; never the picture's own minimum and
    maximum. Raises ValueError where none of these fits, with the range that its values suggest.

    >>> ranges(as_image(np.array([[0, 4095]], dtype=np.uint16), value_range=(0, 4095)), liver)
    ((0, 4095),)
    """
    _check_channels(image, config)
    channels = len(config.channels)
    if config.window is not None and image.modality not in (None, "CT"):
        raise ValueError(f"{image.name} is of modality {image.modality}, and this model was trained on CT; give a CT")
    if image.hounsfield:
        if config.window is None:
            raise ValueError(
                f"{image.name} is in Hounsfield units and this model has no window for them; give a picture"
            )
        return (config.window,) * channels
    if image.stated and image.value_range is not None:
        return (image.value_range,) * channels
    if config.value_range is not None:
        if image.value_range is not None and image.value_range[1] < min(high for _, high in config.value_range):
            raise ValueError(
                f"{image.name} has values up to {image.value_range[1]:g}, the model was trained on "
                f"{list(config.value_range)}; give a picture of the same kind"
            )
        return config.value_range
    if image.doubt is not None:
        raise ValueError(image.doubt)
    kind, lowest, highest = image.pixels.dtype.kind, image.pixels.min(), image.pixels.max()
    if kind == "f" and image.value_range is None:
        if lowest < 0 or highest > 1:
            raise ValueError(
                f"{image.name} holds floats from {lowest:g} to {highest:g}, expected 0 to 1; "
                f"if it is a picture and no measurement, {_proposal(image, config)}"
            )
        return None
    if image.value_range is None or (image.value_range == (0, 65535) and 0 < highest - lowest < FEW_TONES):
        raise ValueError(
            f"{image.name}: {image.pixels.dtype} values from {lowest} to {highest} have no natural black and white; "
            f"{_proposal(image, config)}"
        )
    return (image.value_range,) * channels


def _proposal(image: Image, config: SegmentationConfig) -> str:
    if config.window is not None:
        for offset in OFFSETS:
            if looks_hounsfield(image.pixels[..., 0], offset):
                low, high = (edge + offset for edge in config.window)
                return (
                    f"its air and soft tissue look like Hounsfield units + {offset}: give value_range "
                    f"(--value-range {low:g} {high:g}), the window of this model"
                )
    hounsfield = ""
    if config.window is not None and image.pixels.min() < 0:
        hounsfield = "say hounsfield (--hounsfield) if these are Hounsfield units, or "
    low, high = proposed_range(image) or (float(image.pixels.min()), float(image.pixels.max()) + 1)
    return f"{hounsfield}give value_range, its low and high: nearly all lie within --value-range {low:.6g} {high:.6g}"


def doubts(image: Image, config: SegmentationConfig) -> tuple[str, ...]:
    """Whether a picture may be another kind than the model's, in colour or in range: a sentence for each doubt.

    >>> doubts(as_image(np.full((1, 1, 3), [9, 90, 200], dtype=np.uint8), name="a.png"), liver)[0].partition(" and ")[0]
    'a.png is in colour'
    """
    found = []
    if config.window is not None and len(image.pixels) > 1 and image.pixels.dtype == np.uint8 and not image.stated:
        found.append(f"{image.name} is a volume of 8 bits, which are no Hounsfield units; it may be labels, not a CT")
    grey = "is grey and this model was trained on colour; another model may be meant for it"
    if image.pixels.shape[-1] == 1:
        if config.channels == ("red", "green", "blue"):
            found.append(
                f"{image.name} is grey and this model was trained on colour; another model may be meant for it"
            )
        return tuple(found)
    highest = image.pixels.max()
    channels = np.moveaxis(image.pixels, -1, 0)  # one by one: NumPy is slow along so short an axis
    colours = (reduce(np.maximum, channels) - reduce(np.minimum, channels)).mean()
    # a grey picture saved as a colour JPEG, or with a coloured mark in it, stays below a hundredth
    if config.channels == ("gray",) and colours > 0.01 * highest:
        found.append(f"{image.name} is in colour and this model sees grey alone; another model may be meant for it")
    if config.channels == ("red", "green", "blue") and colours == 0:
        found.append(f"{image.name} {grey}")
    return tuple(found)


def prepare(image: Image, config: SegmentationConfig) -> Tensor:
    """The network's input (D,C,h,w): scaled, at the working size, normalised by mean and std.

    >>> prepare(as_image(np.array([[0, 255]], dtype=np.uint8)), liver).tolist()
    [[[[-2.0, 2.0]]]]
    """
    return normalise(at_working_size(scale(image, config), config), config)


def at_working_size(x: Tensor, config: SegmentationConfig) -> Tensor:
    """Resize (D,C,H,W) as `working_size` or `working_scale` say: antialiased, aspect kept.

    >>> at_working_size(torch.full((1, 1, 24, 32), 0.5), small).shape
    torch.Size([1, 1, 12, 16])
    """
    resized = _resized(x, working_shape(x.shape[2], x.shape[3], config))
    return x if resized is x else resized.clamp_(0, 1)


def working_shape(height: int, width: int, config: SegmentationConfig) -> tuple[int, int]:
    """The h x w that the network sees of a picture of height x width pixels.

    >>> working_shape(24, 32, small), working_shape(24, 32, liver)
    ((12, 16), (24, 32))
    """
    if config.working_size is None:
        ratio: float | Fraction = config.working_scale
    else:
        ratio = Fraction(config.working_size, max(height, width))  # exact: not every runtime has float64
    return max(1, round(height * ratio)), max(1, round(width * ratio))


def working_grid(height: int, width: int, config: SegmentationConfig) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The rows and columns of a picture of H x W pixels that stand for it at the working size.

    >>> rows, columns = working_grid(2, 48, small)
    >>> rows.tolist(), columns.tolist()[:4]
    ([0], [1, 4, 7, 10])
    """
    h, w = working_shape(height, width, config)
    return evenly(height, h), evenly(width, w)


def evenly(size: int, count: int) -> NDArray[np.int64]:
    """The pixels, of `size` in a row, in which the middles of `count` equal parts of the row lie.

    A middle between two pixels takes the first and the second in turn: always the second, as nearest neighbour does,
    would put labels of half the size a quarter of a pixel beside their image.

    >>> evenly(9, 3).tolist(), evenly(8, 4).tolist()
    ([1, 4, 7], [0, 3, 4, 7])
    """
    part = np.arange(count)
    middle = (2 * part + 1) * size  # in pixels / (2 * count)
    between = middle % (2 * count) == 0
    places: NDArray[np.int64] = middle // (2 * count) - (between & (part % 2 == 0))
    return places


def normalise(x: Tensor, config: SegmentationConfig) -> Tensor:
    """Subtract the mean and divide by the standard deviation of each channel of (D,C,h,w).

    >>> normalise(torch.tensor([[[[0.5, 0.75]]]]), liver).tolist()
    [[[[0.0, 1.0]]]]
    """
    mean = x.new_tensor(config.mean)[:, None, None]
    std = x.new_tensor(config.std)[:, None, None]
    return (x - mean).div_(std)


def rescale(x: Tensor, factor: float) -> Tensor:
    """(D,C,h,w) as the network sees it at another of `scales`: antialiased.

    >>> rescale(torch.zeros(1, 1, 8, 6), 0.5).shape
    torch.Size([1, 1, 4, 3])
    """
    return _resized(x, rescaled(x.shape[2], x.shape[3], factor))


def rescaled(height: int, width: int, factor: float) -> tuple[int, int]:
    """The h x w of a picture of height x width pixels at another of `scales`.

    >>> rescaled(8, 6, 0.5)
    (4, 3)
    """
    return max(1, round(height * factor)), max(1, round(width * factor))


def restore(logits: Tensor, height: int, width: int) -> Tensor:
    """Logits (D,K,h,w) at the size of the picture (D,K,H,W), bilinearly.

    >>> restore(torch.tensor([[[[0.0, 4.0]]]]), 1, 4).tolist()
    [[[[0.0, 1.0, 3.0, 4.0]]]]
    """
    found = list(restored(logits, height, width))
    return found[0] if len(found) == 1 else torch.cat(found, dim=2)


def restored(logits: Tensor, height: int, width: int, top: int = 0, bottom: int | None = None) -> Iterator[Tensor]:
    """What `restore` gives, in bands (D,K,n,W) from the top, as `tiling.bands` says; of them the rows top to bottom.

    >>> [band.shape[2] for band in restored(torch.zeros(1, 1, 700, 1), 1400, 1)][-3:]
    [64, 64, 56]
    >>> [band.shape[2] for band in restored(torch.zeros(1, 1, 700, 1), 1400, 1, 100, 130)]
    [28, 2]
    """
    end = height if bottom is None else bottom
    size = (logits.shape[2], logits.shape[3])
    rows = resized(lambda top, bottom: logits[:, :, top:bottom], size, (height, width), antialias=False)
    # whole bands: of a part of one the last bit of a sum may be another
    some = ((first, last) for first, last in bands(height) if first < end and last > top)
    return (rows(first, last)[:, :, max(0, top - first) : end - first] for first, last in some)


def _resized(x: Tensor, shape: tuple[int, int]) -> Tensor:
    size = (x.shape[2], x.shape[3])
    if size == shape:
        return x
    return resized(lambda top, bottom: x[:, :, top:bottom], size, shape, antialias=True)(0, shape[0])


def _match_channels(x: Tensor, config: SegmentationConfig) -> Tensor:
    got, expected = x.shape[1], len(config.channels)
    if got == expected:
        return x
    if got == 1:
        return x.expand(-1, 3, -1, -1)
    weights = x.new_tensor(LUMINANCE)[:, None, None]
    return (x * weights).sum(dim=1, keepdim=True)


def _check_channels(image: Image, config: SegmentationConfig) -> None:
    got, expected = image.pixels.shape[-1], len(config.channels)
    grey_as_colour = got == 1 and config.channels == ("red", "green", "blue")
    colour_as_grey = got == 3 and config.channels == ("gray",)
    if got != expected and not grey_as_colour and not colour_as_grey:
        raise ValueError(
            f"{image.name} has {got} channel{'s' * (got != 1)}, expected {expected} ({', '.join(config.channels)}) "
            "in one file or array"
        )
