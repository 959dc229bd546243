"""What the files of a folder hold: facts of every image and mask, read once, on the path that training takes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
from numpy.typing import NDArray
from tqdm import tqdm

from ...formats import read_image, read_mask
from ...prepare import LUMINANCE
from ..folder import colour_codes
from ..layouts import Pair

HASH_SIDE = 16
MOST_VALUES = 2048
"""So many of the most frequent values of a mask are kept; no label set is larger, blurred colours are."""


@dataclass(frozen=True)
class ImageFacts:
    """Of one image: shape, stored type, smallest and largest number, whether three channels differ anywhere.

    stored_range: what the type can span; None for floats. digest: of the pixels. gradients: (256,) bool, whether a
    thumbnail gets brighter to the right (a difference hash), which survives another size, tone or compression.
    """

    height: int
    width: int
    channels: int
    dtype: str
    stored_range: tuple[float, float] | None
    low: float
    high: float
    coloured: bool
    digest: bytes
    gradients: NDArray[np.bool_]
    notices: tuple[str, ...]


@dataclass(frozen=True)
class MaskFacts:
    """Of one mask: shape, pixels of each value, and how many of them are firm.

    channels: 1 or 3; then values are 0xRRGGBB. A pixel is firm when its right and its lower neighbour have its value:
    regions consist of such pixels, blurred borders and specks don't. Of the values the most frequent are kept.
    """

    height: int
    width: int
    channels: int
    coloured: bool
    pixels: dict[int, int]
    firm: dict[int, int]
    digest: bytes


@dataclass(frozen=True)
class Surveyed:
    """A pair and its facts; where a file can't be read, the sentence that says why."""

    pair: Pair
    image: ImageFacts | str
    mask: MaskFacts | str


def survey(pairs: Sequence[Pair], *, progress: bool = False) -> list[Surveyed]:
    """Read all images and masks, in the order given; RGB masks count as numbers where none of them has a colour."""
    # decoding runs outside the interpreter's lock; more threads would hold more pictures at once
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        work = pool.map(_surveyed, pairs)
        examined = list(tqdm(work, "reading", len(pairs), False, unit="pair", disable=not progress))
    if any(isinstance(one.mask, MaskFacts) and one.mask.coloured for one in examined):
        return examined  # a mask that is all black is then one of colours
    return [replace(s, mask=_as_numbers(s.mask)) if isinstance(s.mask, MaskFacts) else s for s in examined]


def _as_numbers(mask: MaskFacts) -> MaskFacts:
    if mask.channels == 1:
        return mask
    pixels, firm = ({value & 255: n for value, n in counts.items()} for counts in (mask.pixels, mask.firm))
    return replace(mask, channels=1, pixels=pixels, firm=firm)


def _surveyed(pair: Pair) -> Surveyed:
    image: ImageFacts | str
    mask: MaskFacts | str
    try:
        image = image_facts(pair.image)
    except ValueError as error:
        image = str(error)
    try:
        mask = mask_facts(pair.mask)
    except ValueError as error:
        mask = str(error)
    return Surveyed(pair, image, mask)


def image_facts(path: Path) -> ImageFacts:
    """Read an image; ValueError where it can't be."""
    image = read_image(path)
    pixels = image.pixels[0]  # (H,W,C)
    height, width, channels = pixels.shape
    return ImageFacts(
        height=height,
        width=width,
        channels=channels,
        dtype=str(pixels.dtype),
        stored_range=image.value_range,
        low=float(pixels.min()),
        high=float(pixels.max()),
        coloured=channels == 3 and _has_colour(pixels),
        digest=_digest(pixels),
        gradients=_gradients(pixels),
        notices=image.notices,
    )


def mask_facts(path: Path) -> MaskFacts:
    """Read a mask; ValueError where it can't be, or holds negative numbers."""
    raw = read_mask(path)
    height, width = raw.shape[:2]
    codes = colour_codes(raw) if raw.ndim == 3 else raw
    if codes.min() < 0:
        raise ValueError(f"{path.name} holds the number {codes.min()}; labels are numbers from 0 on")
    firm = np.zeros(codes.shape, dtype=np.uint8)
    firm[:-1, :-1] = (codes[:-1, :-1] == codes[:-1, 1:]) & (codes[:-1, :-1] == codes[1:, :-1])
    # runs of equal values instead of pixels: sorting them costs little
    flat = codes.ravel()
    starts = np.concatenate(([0], np.flatnonzero(flat[1:] != flat[:-1]) + 1))
    values, runs = np.unique(flat[starts], return_inverse=True)
    pixels = np.bincount(runs, np.diff(starts, append=flat.size)).astype(np.int64)
    firm_runs = np.add.reduceat(firm.ravel(), starts, dtype=np.int64)
    firm_pixels = np.bincount(runs, firm_runs).astype(np.int64)
    kept = np.argsort(-pixels, kind="stable")[:MOST_VALUES]
    return MaskFacts(
        height=height,
        width=width,
        channels=1 if raw.ndim == 2 else 3,
        coloured=raw.ndim == 3 and _has_colour(raw),
        pixels=dict(zip(values[kept].tolist(), pixels[kept].tolist(), strict=True)),
        firm=dict(zip(values[kept].tolist(), firm_pixels[kept].tolist(), strict=True)),
        digest=_digest(raw),
    )


def _has_colour(pixels: NDArray[Any]) -> bool:
    return bool((pixels[..., 0] != pixels[..., 1]).any() or (pixels[..., 1] != pixels[..., 2]).any())


def _digest(array: NDArray[Any]) -> bytes:
    return blake2b(repr((array.shape, array.dtype.str)).encode() + array.tobytes(), digest_size=16).digest()


def _gradients(pixels: NDArray[Any]) -> NDArray[np.bool_]:
    step = max(1, min(pixels.shape[:2]) // (8 * HASH_SIDE))
    some = pixels[::step, ::step].astype(np.float32)
    grey = some @ np.array(LUMINANCE, dtype=np.float32) if some.shape[2] == 3 else some[..., 0]
    thumbnail = PIL.Image.fromarray(grey).resize((HASH_SIDE + 1, HASH_SIDE), PIL.Image.Resampling.BOX)
    small = np.asarray(thumbnail)  # (16,17)
    return (small[:, 1:] > small[:, :-1]).ravel()
