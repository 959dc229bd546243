"""What the files of a folder hold: facts of every image and mask, read once, on the path that training takes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
from numpy.typing import NDArray
from tqdm import tqdm

from ...formats import Place, exif_turn, mask_palette, mask_transparency, read_image, read_mask, some
from ...prepare import LUMINANCE
from ..data.folder import colour_codes
from ..data.joined import Files, read_joined, read_stored
from ..data.layouts import Pair, is_volume

HASH_SIDE = 16
GRID = 64
"""Cells a side in which edges and borders are kept."""
MOST_OBJECTS = 20
"""Up to so many numbers without a gap may be classes, so it counts how they lie."""
MOST_VALUES = 2048
"""So many of the most frequent values of a mask are kept; no label set is larger, blurred colours are."""
MOST_NUMBERS = 10_000
"""About so many numbers of an image tell its percentiles."""


@dataclass(frozen=True)
class ImageFacts:
    """Of one image: shape, stored type, smallest and largest number, whether three channels differ anywhere.

    bright: of 16 bits, what all but a thousandth of the numbers reach at most, so without hot pixels; else `high`.
    levels: (101,), the percentiles 0 to 100 of some numbers, evenly spread. Where there is no data, no number counts.
    stored_range: what the type can span; None for floats. stated: whether it is its metadata that says so.
    place: where it lies. digest: of the pixels. gradients: (256,) bool, whether a thumbnail (of a volume's middle
    slice) gets brighter to the right (a difference hash), which survives another size, tone or compression.
    edges: (GRID * GRID,), how steep each cell of that slice is beside the others, 0 to 255. turn: the EXIF orientation
    that was undone.
    """

    slices: int
    height: int
    width: int
    channels: int
    dtype: str
    stored_range: tuple[float, float] | None
    low: float
    high: float
    bright: float
    levels: NDArray[np.float64]
    coloured: bool
    hounsfield: bool
    stated: bool
    place: Place | None
    digest: bytes
    gradients: NDArray[np.bool_]
    edges: NDArray[np.uint8]
    turn: int
    notices: tuple[str, ...]

    @property
    def measures(self) -> bool:
        """Whether neither its file nor its type says what is black and white."""
        return not self.hounsfield and self.stored_range is None


@dataclass(frozen=True)
class MaskFacts:
    """Of one mask: shape, pixels of each value, and how many of them are firm.

    channels: 1 or 3; then values are 0xRRGGBB. A pixel is firm when its right and its lower neighbour have its value:
    regions consist of such pixels, blurred borders and specks don't. Of the values the most frequent are kept.
    between: how many runs of a value, along the rows, lie between a lower and a higher one, less those that don't:
    on blurred borders most do. parting: likewise, how many part two different values. objects: whether 1 to n, of 2
    to 20 numbers, lie as numbered objects do; not of a volume. All is counted slice by slice.
    palette: of a file with one, the colour of each number that occurs. borders: (GRID * GRID / 8,), packed bits of
    the cells of the middle slice in which several values meet. turn: as of images. hidden, faint: pixels of a colour
    that is fully transparent, and pixels half transparent. rim: pixels of each value in the outermost rows and columns.
    """

    slices: int
    height: int
    width: int
    channels: int
    coloured: bool
    pixels: dict[int, int]
    firm: dict[int, int]
    between: dict[int, int]
    parting: dict[int, int]
    objects: bool
    palette: dict[int, str]
    borders: NDArray[np.uint8]
    turn: int
    hidden: int
    faint: int
    rim: dict[int, int]
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
    masks = in_one_way([one.mask for one in examined if isinstance(one.mask, MaskFacts)])
    return [replace(s, mask=next(masks)) if isinstance(s.mask, MaskFacts) else s for s in examined]


def in_one_way(masks: Sequence[MaskFacts]) -> Iterator[MaskFacts]:
    """RGB masks as numbers where none of them has a colour; else one that is all black is of colours too."""
    return iter(masks) if any(mask.coloured for mask in masks) else map(_as_numbers, masks)


def _as_numbers(mask: MaskFacts) -> MaskFacts:
    if mask.channels == 1:
        return mask
    pixels, firm, between, parting, rim = (
        {value & 255: n for value, n in counts.items()}
        for counts in (mask.pixels, mask.firm, mask.between, mask.parting, mask.rim)
    )
    return replace(mask, channels=1, pixels=pixels, firm=firm, between=between, parting=parting, rim=rim)


def _surveyed(pair: Pair) -> Surveyed:
    image: ImageFacts | str
    mask: MaskFacts | str
    place = None
    try:
        image = image_facts(pair)
        place = image.place
    except ValueError as error:
        image = str(error)
    try:
        # of annotations the image is what can't be read
        size = None if isinstance(image, str) else (image.height, image.width)
        mask = image if pair.drawing is not None and isinstance(image, str) else mask_facts(pair, place, size)
    except ValueError as error:
        mask = str(error)
    return Surveyed(pair, image, mask)


def image_facts(source: Path | Files) -> ImageFacts:
    """Read an image, one file or all those of its channels; ValueError where it can't be."""
    path = source if isinstance(source, Path) else source.image
    image = read_image(path) if isinstance(source, Path) else read_joined(source)
    slices, height, width, channels = image.pixels.shape
    middle = image.pixels[slices // 2]  # (H,W,C)
    # a scanner fills what it didn't see with air, a raster with any number
    numbers = image.pixels[image.valid] if image.valid is not None and slices == 1 else image.pixels
    high = float(numbers.max())
    most = int(0.999 * (numbers.size - 1))
    return ImageFacts(
        slices=slices,
        height=height,
        width=width,
        channels=channels,
        dtype=str(numbers.dtype),
        stored_range=image.value_range,
        low=float(numbers.min()),
        high=high,
        bright=float(np.partition(numbers, most, axis=None)[most]) if numbers.dtype == np.uint16 else high,
        levels=np.percentile(some(image, MOST_NUMBERS), np.arange(101)),
        coloured=channels == 3 and _has_colour(middle),
        hounsfield=image.hounsfield,
        stated=image.stated,
        place=image.place,
        digest=_digest(image.pixels),
        gradients=_gradients(middle),
        edges=_edges(middle),
        turn=1 if is_volume(path) else exif_turn(path),
        notices=image.notices,
    )


def mask_facts(source: Path | Files, place: Place | None = None, size: tuple[int, int] | None = None) -> MaskFacts:
    """Read a mask, one file or several laid over each other; ValueError where it can't be, or for numbers below -1.

    place, size: of its image, see `read_stored`.
    """
    path = source if isinstance(source, Path) else source.mask
    raw = read_mask(path, place=place) if isinstance(source, Path) else read_stored(source, place, size)
    channels = 3 if raw.ndim == 3 and not is_volume(path) else 1
    codes = colour_codes(raw) if channels == 3 else raw
    stack = codes if codes.ndim == 3 else codes[None]  # (D,H,W)
    slices, height, width = stack.shape
    if stack.min() < -1:
        raise ValueError(f"{path.name} holds the number {stack.min()}; labels are numbers from 0 on, and -1 for none")
    values, *counts = (np.concatenate(parts) for parts in zip(*map(_counts, stack), strict=True))
    values, places = np.unique(values, return_inverse=True)
    table = [np.bincount(places, count).astype(np.int64) for count in counts]
    pixels = table[0]
    coloured = channels == 3 and _has_colour(raw)
    made = not isinstance(source, Path) and (source.mask_ids or source.drawing is not None)
    palette = {} if is_volume(path) or made else mask_palette(path) or {}
    hidden, faint = (0, 0) if is_volume(path) or made else mask_transparency(path)
    kept = np.argsort(-pixels, kind="stable")[:MOST_VALUES]
    held, firm, between, parting = (dict(zip(values[kept].tolist(), n[kept].tolist(), strict=True)) for n in table)
    return MaskFacts(
        slices=slices,
        height=height,
        width=width,
        channels=channels,
        coloured=coloured,
        pixels=held,
        firm=firm,
        between=between,
        parting=parting,
        objects=slices == 1 and not coloured and _holds_objects(stack[0] if channels == 1 else raw[..., 0]),
        palette={value: palette[value] for value in values.tolist() if value in palette},
        borders=_borders(stack[slices // 2]),
        turn=1 if is_volume(path) else exif_turn(path),
        hidden=hidden,
        faint=faint,
        rim=_rim(stack),
        digest=_digest(raw),
    )


def _counts(codes: NDArray[Any]) -> tuple[NDArray[Any], ...]:
    """The values of a slice (H,W), and of each its pixels, those that are firm, how often it lies between and parts."""
    firm = np.zeros(codes.shape, dtype=np.uint8)
    firm[:-1, :-1] = (codes[:-1, :-1] == codes[:-1, 1:]) & (codes[:-1, :-1] == codes[1:, :-1])
    # runs of equal values instead of pixels: sorting them costs little
    flat = codes.ravel()
    starts = np.concatenate(([0], np.flatnonzero(flat[1:] != flat[:-1]) + 1))
    levels = flat[starts]
    values, runs = np.unique(levels, return_inverse=True)
    pixels = np.bincount(runs, np.diff(starts, append=flat.size)).astype(np.int64)
    firm_runs = np.add.reduceat(firm.ravel(), starts, dtype=np.int64)
    firm_pixels = np.bincount(runs, firm_runs).astype(np.int64)
    rises = levels[1:] > levels[:-1]
    between = np.full(starts.size, -1)
    between[1:-1][rises[1:] == rises[:-1]] = 1
    parting = np.zeros(starts.size)
    parting[1:-1] = np.where(levels[:-2] == levels[2:], -1, 1)
    return values, pixels, firm_pixels, *(np.bincount(runs, n).astype(np.int64) for n in (between, parting))


def _rim(stack: NDArray[Any]) -> dict[int, int]:
    sides = (stack[:, 0], stack[:, -1], stack[:, :, 0], stack[:, :, -1])
    values, counts = np.unique(np.concatenate([side.ravel() for side in sides]), return_counts=True)
    return dict(zip(values.tolist(), counts.tolist(), strict=True))


def _holds_objects(labels: NDArray[Any]) -> bool:
    """Whether every number from 1 on, up to 20, lies in one piece and borders on 0 for more than a third.

    Objects may touch; a class that lies on another one (a lesion on its organ) hardly borders on 0.
    """
    highest = int(labels.max())
    if not 2 <= highest <= MOST_OBJECTS:
        return False
    padded = np.pad(labels, 1)
    return all(_is_object(padded, value) for value in range(1, highest + 1))


def _is_object(labels: NDArray[Any], value: int) -> bool:
    inside = labels == value
    ends = inside[:, 1:] != inside[:, :-1]
    on_ground = ends & ((labels[:, 1:] == 0) | (labels[:, :-1] == 0))
    upright, level = inside[:, 1:] | inside[:, :-1], inside[1:] | inside[:-1]
    corners = upright[1:] | upright[:-1]
    # Euler: corners - sides + pixels = pieces - holes
    pieces = int(corners.sum() - upright.sum() - level.sum() + inside.sum())
    return pieces <= 1 and 3 * int(on_ground.sum()) > int(ends.sum())


def _has_colour(pixels: NDArray[Any]) -> bool:
    return bool((pixels[..., 0] != pixels[..., 1]).any() or (pixels[..., 1] != pixels[..., 2]).any())


def _digest(array: NDArray[Any]) -> bytes:
    digest = blake2b(repr((array.shape, array.dtype.str)).encode(), digest_size=16)
    for part in [array] if array.flags.c_contiguous else array:  # a turned volume has no bytes in a row
        digest.update(np.ascontiguousarray(part).data)
    return digest.digest()


def _gradients(pixels: NDArray[Any]) -> NDArray[np.bool_]:
    step = max(1, min(pixels.shape[:2]) // (8 * HASH_SIDE))
    few = pixels[::step, ::step].astype(np.float32)
    grey = few @ np.array(LUMINANCE, dtype=np.float32) if few.shape[2] == 3 else few[..., 0]
    thumbnail = PIL.Image.fromarray(grey).resize((HASH_SIDE + 1, HASH_SIDE), PIL.Image.Resampling.BOX)
    small = np.asarray(thumbnail)  # (16,17)
    return (small[:, 1:] > small[:, :-1]).ravel()


def _edges(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    """The ranks, 0 to 255, of the steepest change in each cell of a picture (H,W,C)."""
    bands = [pixels[..., i] for i in range(min(pixels.shape[2], 3))]
    bands = [band if band.dtype == np.uint8 else band.astype(np.float32) for band in bands]
    # copied pixels would have their edges in some rows of cells only
    way = PIL.Image.Resampling.BOX if min(pixels.shape[:2]) > 2 * GRID else PIL.Image.Resampling.BILINEAR
    small = [np.asarray(PIL.Image.fromarray(band).resize((2 * GRID, 2 * GRID), way)) for band in bands]
    steep = np.zeros((2 * GRID, 2 * GRID), dtype=np.float32)
    for band in small:
        tones = band.astype(np.float32)
        change = np.zeros_like(steep)
        change[:, :-1] = np.abs(np.diff(tones, axis=1))
        change[:-1] += np.abs(np.diff(tones, axis=0))
        np.maximum(steep, change, out=steep)
    cells = steep.reshape(GRID, 2, GRID, 2).max(axis=(1, 3)).ravel()
    order = np.sort(cells)
    rank = np.searchsorted(order, cells, "left") + np.searchsorted(order, cells, "right")
    ranks: NDArray[np.uint8] = (rank * (255 / (2 * cells.size))).astype(np.uint8)
    return ranks


def _borders(codes: NDArray[Any]) -> NDArray[np.uint8]:
    """The cells of labels (H,W) in which several values meet, packed."""
    rows, columns = ((2 * np.arange(2 * GRID) + 1) * side // (4 * GRID) for side in codes.shape)
    few = codes[rows[:, None], columns]
    meet = np.zeros(few.shape, dtype=bool)
    meet[:, :-1] = few[:, 1:] != few[:, :-1]
    meet[:-1] |= few[1:] != few[:-1]
    return np.packbits(meet.reshape(GRID, 2, GRID, 2).any(axis=(1, 3)).ravel())
