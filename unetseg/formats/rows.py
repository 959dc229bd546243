"""Rows that a header speaks of and a file does not hold: libraries show them as black, or as grey, and say nothing."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from .image import Damaged

WIDTH, HEIGHT = 256, 257  # of TIFF 6.0, as all that follow
STRIPS, TILES, TILE_WIDTH = (278, 273, 279), (323, 324, 325), 322  # rows of each, offsets, counts of bytes
SIZES = (WIDTH, HEIGHT, TILE_WIDTH, *STRIPS, *TILES)
YCBCR = 6
PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by the type of colour
# where the passes of an interlaced PNG begin, and how many columns and rows lie between their pixels
PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
JPEG_BLOCK, JPEG_GREY = 8, 128


def refuse_missing(rows: int, height: int, name: str) -> None:
    """Damaged for a picture that lacks so many of its rows."""
    if rows:
        raise Damaged(f"{name} lacks {rows:,} of its {height:,} rows; save or download it again")


def missing_of_png(picture: PIL.Image.Image, data: bytes) -> int:
    """How many rows a PNG lacks that Pillow has read; of an interlaced one, as many as hold so many bytes."""
    if data[12:16] != b"IHDR":  # as Apple's own kind
        return 0
    interlaced = data[28] == 1
    # to inflate it once more takes a while, and what is missing is black
    if not interlaced and np.asarray(picture.crop((0, picture.height - 1, *picture.size))).any():
        return 0
    bits, expected = data[24] * PNG_CHANNELS[data[25]], 0
    for left, top, across, down in PASSES if interlaced else [(0, 0, 1, 1)]:
        columns, rows = -(-(picture.width - left) // across), -(-(picture.height - top) // down)
        expected += rows * (1 + -(-columns * bits // 8)) if columns > 0 else 0
    inflated, at, found = zlib.decompressobj(), 8, 0
    try:
        while at < len(data) and found < expected:
            length, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
            if kind == b"IDAT":
                found += len(inflated.decompress(data[at + 8 : at + 8 + length], expected - found))
            at += 12 + length
    except zlib.error:  # behind the last row, for Pillow has read them all
        return 0
    return -(-(expected - found) * picture.height // expected)


def missing_of_tiff(tags: Mapping[int, tuple[Any, ...]]) -> int:
    """How many rows of a TIFF no strip or tile holds, by what its directory says."""
    known = {tag: values for tag, values in tags.items() if all(type(value) is int for value in values)}
    height, width = (known.get(tag, (0,))[0] for tag in (HEIGHT, WIDTH))
    rows, offsets, counts = TILES if TILES[1] in tags else STRIPS
    each, wide = known.get(rows, (height,))[0], known.get(TILE_WIDTH, (width,))[0] if rows == TILES[0] else width
    if min(height, width, each, wide) < 1 or offsets not in known:
        return 0  # something else is wrong with it
    planes = known.get(277, (1,))[0] if known.get(284) == (2,) else 1
    held = len(known[offsets]) // max(1, -(-width // wide) * planes) * each
    uncompressed = known.get(259, (1,)) == (1,) and known.get(262) != (YCBCR,)
    if uncompressed and rows == STRIPS[0] and counts in known:
        held = min(held, sum(known[counts]) // max(1, -(-width * sum(known.get(258, (1,))) // 8)))
    return int(max(0, height - held))


def grey_rows(stored: NDArray[Any]) -> int:
    """How many of the last rows (H,W[,C]) of a JPEG are of the grey that is shown for blocks that it lacks."""
    count = 0
    while count < len(stored) and (stored[-1 - count] == JPEG_GREY).all():
        count += 1
    return count
