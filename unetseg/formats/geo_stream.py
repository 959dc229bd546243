"""A TIFF of any size, read row by row while others work on the rows before."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray

from .geo import Source, narrow, opened, turned_place
from .ground import Raster
from .image import MAX_PIXELS, Image, Reading
from .raster import TIFF, is_simple_tiff, tiff_tags
from .rows import HEIGHT, WIDTH

MAX_BLOCK = 2**29
"""Bytes, of 8 for each number: a block is in memory at once, and so is a row of them."""
STEP = 128
"""Rows that are read at once where a block has fewer."""
SAMPLE = 250_000
"""Pixels that stand for all of a raster."""

Pixels = tuple[NDArray[Any], NDArray[np.bool_] | None]


@dataclass(frozen=True)
class Streamed:
    """A TIFF of any size.

    shape: (H,W). image: what `read_raster` gives, but its pixels are a sample, with the lowest and the highest number
    of all among them, unless they are bytes. place: where it lies. complete: whether all of it is valid.
    """

    shape: tuple[int, int]
    image: Image
    complete: bool
    place: Raster
    source: Source
    step: int
    pool: ThreadPoolExecutor

    def reader(self) -> Reader:
        """Reads its rows from the top to the bottom; several may, each at its own place."""
        return Reader(self)

    def block(self, index: int) -> Pixels:
        """What `read_raster` gives of `step` rows: pixels (n,W,C), and where they are valid (n,W) or None."""
        top = index * self.step
        pixels, valid = self.source.rows(top, min(top + self.step, self.shape[0]))
        with np.errstate(over="ignore"):
            pixels = pixels.astype(self.image.pixels.dtype, copy=False)
        if valid is not None:
            pixels[~valid] = 0
        return pixels, valid


class Reader:
    """Rows of a raster; the following ones are read meanwhile, in one thread for all readers."""

    def __init__(self, raster: Streamed) -> None:
        self.raster = raster
        self.blocks: dict[int, Future[Pixels]] = {}

    def __call__(self, top: int, bottom: int) -> Pixels:
        """Pixels (1,n,W,C), and where they are valid (1,n,W); None where all are."""
        raster = self.raster
        first, last = top // raster.step, (bottom - 1) // raster.step
        # the one before is kept: the next tile begins somewhat above the end of this one
        kept = {index: block for index, block in self.blocks.items() if index >= first - 1}
        needed = range(first, min(last + 2, -(-raster.shape[0] // raster.step)))
        self.blocks = kept | {i: raster.pool.submit(raster.block, i) for i in needed if i not in kept}
        parts = []
        for index in range(first, last + 1):
            pixels, valid = self.blocks[index].result()
            start = index * raster.step
            part = slice(max(0, top - start), bottom - start)
            parts.append((pixels[part], None if valid is None else valid[part]))
        pixels = np.concatenate([pixels for pixels, _ in parts])[None]
        if all(valid is None for _, valid in parts):
            return pixels, None
        valids = [np.ones(pixels.shape[:2], dtype=bool) if valid is None else valid for pixels, valid in parts]
        return pixels, np.concatenate(valids)[None]


def is_too_large(path: Path) -> bool:
    """Whether a file is a TIFF with more pixels than are read at once."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        if file.read(4) not in TIFF:
            return False
        file.seek(0)
        tags = tiff_tags(file)
    (width,), (height,) = tags.get(WIDTH, (0,)), tags.get(HEIGHT, (0,))
    return bool(width * height > MAX_PIXELS)


@contextmanager
def streamed(path: Path, **reading: Unpack[Reading]) -> Iterator[Streamed]:
    """A TIFF of any size, looked through once unless it holds bytes alone.

    Raises ValueError as `read_raster` does, and for what can't be streamed.
    """
    if reading.get("hounsfield") or reading.get("series") is not None:
        raise ValueError(f"{path.name} is a picture, without Hounsfield units or series; leave out what says so")
    with path.open("rb") as file:
        if file.read(4) not in TIFF:
            raise ValueError(
                f"{path.name} is no TIFF, and only those are read row by row; Predictor(path) takes it whole"
            )
    with opened(path, max_pixels=sys.maxsize, reading=reading) as source, ThreadPoolExecutor(1) as pool:
        header, name = source.header, source.name
        if header.dtype == "uint16" and source.value_range is None and is_simple_tiff(path):
            source.value_range = (0, 65535)  # a plain picture, as Pillow reads it
        if header.orientation != 1:
            raise ValueError(f"{name} is stored turned by its orientation; save it upright (gdalwarp), and stream that")
        if header.block > MAX_BLOCK:
            raise ValueError(
                f"{name} is stored in blocks of {header.block / 2**20:,.0f} MB, which are too large to stream; "
                "write it in tiles (gdal_translate -co TILED=YES)"
            )
        rows = source.dataset.block_shapes[0][0]
        step = rows * max(1, STEP // rows)
        image, complete = _survey(source, step)
        place = turned_place(header, source.bands)
        yield Streamed(header.place.shape, image, complete, place, source, step, pool)


def _survey(source: Source, step: int) -> tuple[Image, bool]:
    """What `read_raster` gives, with a sample of its pixels (1,1,n,C); and whether all are valid."""
    (height, width), channels = source.header.place.shape, len(source.bands)
    spread = max(1, height * width // SAMPLE)
    sample, ends, missing = list[NDArray[Any]](), list[Any](), 0
    tops = range(0, height, step)
    if source.header.dtype == "uint8" and source.complete:  # nothing is checked of bytes but their colours
        tops = tops[:: max(1, len(tops) // 16)]
    for top in tops:
        pixels, valid = source.rows(top, min(top + step, height))
        channels = pixels.shape[-1]
        values = pixels.reshape(-1, channels) if valid is None else pixels[valid]
        missing += 0 if valid is None else int(valid.size - valid.sum())
        if values.size:
            if not np.isfinite(values).all():
                raise ValueError(source.infinite)
            ends += [values.min(), values.max()]
            sample.append(values[::spread].copy())
    if not ends:
        raise ValueError(source.empty)
    limits = np.array([min(ends), max(ends)])
    # what is checked of all pixels of a picture is checked of its lowest and its highest number
    edges = np.repeat(limits, channels).reshape(2, channels)
    with np.errstate(over="ignore"):
        pixels = np.concatenate([*sample, edges]).astype(narrow(edges.dtype, limits), copy=False)[None, None]
    share = missing / (height * width)
    return source.image(pixels, pixels, missing=share, transparent=source.partly_transparent), missing == 0
