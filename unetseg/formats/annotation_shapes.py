"""The shapes that annotation tools draw, as pixels; and the codings that they keep masks in.

One rule for all outlines: a pixel belongs to a shape when its centre lies inside. Pixel (row, column) reaches from
column to column + 1, as the tools have it, so its centre is at column + 0.5. A centre exactly on an outline belongs to
the shape at its right or below: neighbours that share an edge share no pixel and leave none out. A ring that crosses
itself is filled by the even-odd rule.
"""

from __future__ import annotations

import base64
import binascii
import io
import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from .image import MAX_PIXELS
from .quiet import quiet

FAR = 1e9
"""Pixels from a picture, beyond which a point may as well lie here: its numbers stay exact."""
CROSSINGS = 2**20
"""About so many crossings of rows and edges are held at once."""
MAX_GROUPS = 7
"""Characters of 5 bits that a number of compressed COCO runs may have: 32 bits."""
WORD, SIZES = 8, 4
"""Of Label Studio's coding: bits of a number, and how many lengths a block may have."""
OPAQUE = 128
"""Of 255: a brush's pixel that is covered by half, as its centre is."""

Ring = NDArray[np.float64]
Window = tuple[slice, slice]


@dataclass(frozen=True)
class Polygons:
    """The union of parts, each an outer ring and its holes; a ring is (n,2) of x and y.

    relative: whether x and y are shares of the picture's width and height instead of pixels.
    """

    parts: tuple[tuple[Ring, ...], ...]
    relative: bool = False


@dataclass(frozen=True)
class Ellipse:
    """A circle or an ellipse, turned clockwise by so many degrees around its centre."""

    x: float
    y: float
    radius_x: float
    radius_y: float
    degrees: float = 0.0


@dataclass(frozen=True)
class Runs:
    """A mask of (height, width) whose upper left pixel lies at (left, top), as lengths of runs, the first outside.

    by_columns: whether they run down the columns, as COCO's, instead of along the rows.
    """

    lengths: NDArray[np.int32]
    height: int
    width: int
    left: int = 0
    top: int = 0
    by_columns: bool = False


Shape = Polygons | Ellipse | Runs


def bounds(shape: Shape) -> tuple[float, float, float, float]:
    """(left, top, right, bottom) of a shape, of a mask those of its frame."""
    if isinstance(shape, Runs):
        return shape.left, shape.top, shape.left + shape.width, shape.top + shape.height
    if isinstance(shape, Ellipse):
        cosine, sine = math.cos(math.radians(shape.degrees)), math.sin(math.radians(shape.degrees))
        across = math.hypot(shape.radius_x * cosine, shape.radius_y * sine)
        down = math.hypot(shape.radius_x * sine, shape.radius_y * cosine)
        return shape.x - across, shape.y - down, shape.x + across, shape.y + down
    points = np.concatenate([part[0] for part in shape.parts])
    (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
    return float(left), float(top), float(right), float(bottom)


def scaled(shape: Shape, height: int, width: int) -> Shape:
    """A shape in pixels, whose numbers may be shares of a picture of this size."""
    if not isinstance(shape, Polygons) or not shape.relative:
        return shape
    return Polygons(tuple(tuple(ring * (width, height) for ring in part) for part in shape.parts))


def drawn(shape: Shape, height: int, width: int) -> tuple[Window, NDArray[np.bool_]]:
    """The part of a picture of this size in which a shape lies, and there its pixels; neither holds any if outside."""
    shape = scaled(shape, height, width)
    left, top, right, bottom = bounds(shape)
    left, right = (int(np.clip(math.ceil(np.clip(x, -FAR, FAR) - 0.5), 0, width)) for x in (left, right))
    top, bottom = (int(np.clip(math.ceil(np.clip(y, -FAR, FAR) - 0.5), 0, height)) for y in (top, bottom))
    if isinstance(shape, Ellipse):  # its outline belongs to it all around
        right, bottom = min(right + 1, width), min(bottom + 1, height)
    window = slice(top, bottom), slice(left, right)
    if left >= right or top >= bottom:
        return window, np.zeros((bottom - top, right - left), dtype=bool)
    if isinstance(shape, Runs):
        ahead = slice(top - shape.top, bottom - shape.top), slice(left - shape.left, right - shape.left)
        return window, mask_of(shape)[ahead]
    if isinstance(shape, Ellipse):
        return window, _ellipse(shape, window)
    inside = np.zeros((bottom - top, right - left), dtype=bool)
    for outer, *holes in shape.parts:
        part = _filled(outer, window)
        for hole in holes:
            part &= ~_filled(hole, window)
        inside |= part
    return window, inside


def mask_of(runs: Runs) -> NDArray[np.bool_]:
    """(height, width): the mask that runs stand for."""
    flat = np.repeat(np.arange(len(runs.lengths)) % 2 == 1, runs.lengths)
    if runs.by_columns:
        return flat.reshape(runs.width, runs.height).T
    return flat.reshape(runs.height, runs.width)


def runs_of(mask: NDArray[np.bool_], *, left: int = 0, top: int = 0) -> Runs:
    """A mask (height, width) as runs along its rows."""
    flat = mask.ravel()
    ends = np.concatenate([[0] if flat[:1].any() else [], np.flatnonzero(np.diff(flat)) + 1, [flat.size]])
    lengths = np.diff(ends, prepend=0).astype(np.int32)
    height, width = mask.shape
    return Runs(lengths, height, width, left, top)


def checked_runs(
    lengths: Sequence[int] | NDArray[np.int64],
    height: int,
    width: int,
    *,
    left: int = 0,
    top: int = 0,
    by_columns: bool = False,
) -> Runs:
    """Runs that end where the mask ends; ValueError, the reason in a few words, for others."""
    if not 0 < height * width <= MAX_PIXELS:
        raise ValueError(f"its mask of {width} x {height} is not of 1 to {MAX_PIXELS / 1e6:.0f} million pixels")
    if not isinstance(lengths, np.ndarray) and not all(type(length) is int for length in lengths):
        raise ValueError("its runs are not whole numbers")
    if max(lengths, default=0) > MAX_PIXELS or min(lengths, default=0) < 0:
        raise ValueError("its runs are not lengths within a picture")
    counts = np.array(lengths, dtype=np.int64)
    if counts.sum() != height * width:
        raise ValueError(f"its runs make {counts.sum():,} pixels, and its mask has {height * width:,}")
    return Runs(counts.astype(np.int32), height, width, left, top, by_columns)


def coco_lengths(text: str) -> NDArray[np.int64]:
    """The lengths in a compressed run-length code of COCO; ValueError for what is none.

    5 bits a character from "0" on, the lowest first; 32 says that more follow, 16 in the last one that the number is
    negative. From the fourth on a number is the difference to the last but one. Source: maskApi.c of the COCO API.
    """
    codes = np.frombuffer(text.encode("utf-8", errors="surrogatepass"), dtype=np.uint8).astype(np.int64) - 48
    if not len(codes):
        return codes
    last = (codes & 32) == 0
    if codes.min() < 0 or codes.max() > 63 or not last[-1]:
        raise ValueError("its compressed runs are damaged")
    starts = np.concatenate([[0], np.flatnonzero(last)[:-1] + 1])
    groups = np.diff(starts, append=len(codes))
    if groups.max() > MAX_GROUPS:
        raise ValueError("its compressed runs are damaged")
    place = np.arange(len(codes)) - np.repeat(starts, groups)
    numbers: NDArray[np.int64] = np.bitwise_or.reduceat((codes & 31) << 5 * place, starts)
    negative = (codes[last] & 16) > 0
    numbers[negative] |= np.int64(-1) << 5 * groups[negative]
    numbers[1::2], numbers[2::2] = np.cumsum(numbers[1::2]), np.cumsum(numbers[2::2])
    return numbers


def brush_mask(coded: bytes, height: int, width: int) -> NDArray[np.bool_]:
    """(height, width): the mask of a brush of Label Studio, whose code holds four bytes a pixel, the last its opacity.

    32 bits: how many numbers; 5: bits of each, less one; 4 times 4: bits of a length, less one. Then blocks: a bit,
    which of the four lengths, the length less one; after a set bit one number that is repeated, else all of them.
    Raises ValueError, the reason in a few words. Source: rle-pack of thi.ng/umbrella.
    """
    place = 0

    def read(bits: int) -> int:
        nonlocal place
        place, start = place + bits, place
        if place > 8 * len(coded):
            raise ValueError("its brush is cut off")
        part = int.from_bytes(coded[start // 8 : (place + 7) // 8], "big")
        return part >> -place % 8 & (1 << bits) - 1

    size, word = read(32), read(5) + 1
    if word != WORD or size != 4 * height * width or not 0 < height * width <= MAX_PIXELS:
        raise ValueError(f"its brush has {size:,} numbers of {word} bits, expected {4 * height * width:,} of {WORD}")
    lengths = [read(4) + 1 for _ in range(SIZES)]
    numbers, filled = np.zeros(size, dtype=np.uint8), 0
    while filled < size:
        repeated, length = read(1), 0
        length = min(read(lengths[read(2)]) + 1, size - filled)
        if repeated:
            numbers[filled : filled + length] = read(WORD)
        else:
            numbers[filled : filled + length] = np.frombuffer(read(WORD * length).to_bytes(length, "big"), np.uint8)
        filled += length
    return numbers[3::4].reshape(height, width) >= OPAQUE


def picture_mask(text: str, *, most: int, deflated: bool = False) -> NDArray[np.bool_]:
    """(height, width): the mask in a PNG of at most so many pixels, in base64; `deflated` by zlib before.

    What counts is its transparency if it has one, else what isn't 0. ValueError, the reason in a few words.
    """
    try:
        data = base64.b64decode(text, validate=True)
        if deflated:
            # a mask that deflates to more than its pixels, four bytes each, is none
            inflating = zlib.decompressobj()
            data = inflating.decompress(data, 4 * most + 2**16)
            if not inflating.eof:
                raise ValueError("its mask is cut off, or larger than its picture")
    except (binascii.Error, zlib.error):
        raise ValueError("its mask is damaged") from None
    try:
        with quiet():
            picture = PIL.Image.open(io.BytesIO(data), formats=["PNG"])
            if picture.width * picture.height > most:
                raise ValueError(f"its mask of {picture.width} x {picture.height} is larger than its picture")
            picture.load()
    except ValueError:
        raise
    # Pillow raises almost anything on a broken file
    except Exception:
        raise ValueError("its mask is no whole PNG") from None
    transparent = picture.mode in ("LA", "RGBA") or "transparency" in picture.info
    array = np.asarray(picture.convert("RGBA").getchannel("A") if transparent else picture)
    mask: NDArray[np.bool_] = np.any(np.atleast_3d(array), axis=-1)
    return mask


def _ellipse(shape: Ellipse, window: Window) -> NDArray[np.bool_]:
    rows, columns = (np.arange(side.start, side.stop) + 0.5 for side in window)
    x, y = columns[None, :] - shape.x, rows[:, None] - shape.y
    cosine, sine = math.cos(math.radians(shape.degrees)), math.sin(math.radians(shape.degrees))
    with np.errstate(over="ignore"):  # of a tiny radius
        inside: NDArray[np.bool_] = (
            ((x * cosine + y * sine) / shape.radius_x) ** 2 + ((y * cosine - x * sine) / shape.radius_y) ** 2
        ) <= 1
    return inside


def _filled(ring: Ring, window: Window) -> NDArray[np.bool_]:
    """Of a window the pixels whose centre lies in a ring: right of an odd number of its edges."""
    rows, columns = window
    height, width = rows.stop - rows.start, columns.stop - columns.start
    one = np.clip(ring, -FAR, FAR)
    other = np.roll(one, -1, axis=0)
    # from above to below, so that neighbours reckon the same crossings of the edge that they share
    downward = one[:, 1] <= other[:, 1]
    (x1, y1), (x2, y2) = np.where(downward[:, None], one, other).T, np.where(downward[:, None], other, one).T
    first, end = (np.clip(np.ceil(y - 0.5), rows.start, rows.stop).astype(np.int64) for y in (y1, y2))
    crossed = end - first
    flips = np.zeros(height * (width + 1), dtype=np.int64)
    edges = np.flatnonzero(crossed)
    for part in np.split(edges, np.flatnonzero(np.diff(np.cumsum(crossed[edges]) // CROSSINGS)) + 1):
        edge = np.repeat(part, crossed[part])
        starts = np.cumsum(crossed[part]) - crossed[part]
        row = np.arange(len(edge)) - np.repeat(starts, crossed[part]) + first[edge]
        x = x1[edge] + (row + 0.5 - y1[edge]) * (x2[edge] - x1[edge]) / (y2[edge] - y1[edge])
        column = np.clip(np.ceil(x - 0.5), columns.start, columns.stop).astype(np.int64) - columns.start
        flips += np.bincount((row - rows.start) * (width + 1) + column, minlength=len(flips))
    odd: NDArray[np.bool_] = np.cumsum(flips.reshape(height, width + 1), axis=1)[:, :width] % 2 == 1
    return odd
