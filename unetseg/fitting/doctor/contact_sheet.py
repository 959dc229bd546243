"""A contact sheet: some pictures of a folder with their masks, as training will see them, on one page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
from numpy.typing import NDArray
from PIL import ImageDraw, ImageFont

from ...config import IGNORE, SegmentationConfig, hex_to_rgb
from ...files import whole
from ...formats import Image, read_image, read_mask
from ...prepare import scale
from ...render import as_rgb, palette
from ..folder import read_labels
from ..recipe import Data

CELL = 168
GAP = 6
MARGIN = 28
ACROSS = 3
PAPER, INK, PALE, RED = "#fbfaf7", "#22262b", "#7a818a", "#c0281c"
IGNORED = "#eb40c8"

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@dataclass(frozen=True)
class Entry:
    """A picture on the sheet: its files, the line below it, and whether something is wrong with it."""

    image: Path
    mask: Path | None
    caption: str
    group: str
    troubled: bool = False


@dataclass(frozen=True)
class Chip:
    """A colour of the legend and its text."""

    colour: str
    text: str


def write_contact_sheet(
    path: Path,
    title: str,
    entries: Sequence[Entry],
    chips: Sequence[Chip],
    data: Data | None,
    config: SegmentationConfig | None,
) -> None:
    """Draw entries in rows of three, each as image, mask in the palette, and both; PNG.

    data, config: how masks are read and coloured; None shows the masks as they are stored.
    """
    cell_width, cell_height = 3 * CELL + 2 * GAP, CELL + 44
    width = 2 * MARGIN + ACROSS * cell_width + (ACROSS - 1) * MARGIN
    rows = -(-len(entries) // ACROSS)
    title_font, font, small = (ImageFont.load_default(size) for size in (24, 15, 13))
    legend = _legend_rows(chips, width - 2 * MARGIN, font)
    top = MARGIN + 40 + 28 * len(legend) + 14
    page = PIL.Image.new("RGB", (width, top + rows * (cell_height + 14) + MARGIN - 14), PAPER)
    draw = ImageDraw.Draw(page)
    draw.text((MARGIN, MARGIN - 6), _fitted(title, width - 2 * MARGIN, title_font), INK, title_font)
    for number, row in enumerate(legend):
        for x, chip in row:
            y = MARGIN + 40 + 28 * number
            draw.rounded_rectangle((MARGIN + x, y, MARGIN + x + 18, y + 18), 4, chip.colour, PALE)
            draw.text((MARGIN + x + 26, y + 9), chip.text, INK, font, anchor="lm")
    for number, entry in enumerate(entries):
        x = MARGIN + number % ACROSS * (cell_width + MARGIN)
        y = top + number // ACROSS * (cell_height + 14)
        views, trouble = _views(entry, data, config)
        for column, view in enumerate(views):
            left = x + column * (CELL + GAP)
            draw.rectangle((left, y, left + CELL - 1, y + CELL - 1), "#edebe4")
            if view is not None:
                page.paste(view, (left + (CELL - view.width) // 2, y + (CELL - view.height) // 2))
        draw.text((x, y + CELL + 6), _fitted(entry.caption, cell_width, font), RED if entry.troubled else INK, font)
        draw.text(
            (x, y + CELL + 25), _fitted(trouble or entry.group, cell_width, small), RED if trouble else PALE, small
        )
    with whole(path) as temporary:
        page.save(temporary, format="PNG", optimize=True)


def _views(
    entry: Entry, data: Data | None, config: SegmentationConfig | None
) -> tuple[list[PIL.Image.Image | None], str | None]:
    """Image, mask and overlay, reduced, None for what can't be shown; and what went wrong, in short."""
    try:
        image = read_image(entry.image)
        height, width = image.pixels.shape[1:3]
        step = max(1, max(height, width) // (4 * CELL))  # more pixels than that change nothing on the sheet
        pixels = _as_shown(replace(image, pixels=image.pixels[:, ::step, ::step]), config)
        picture = _small(pixels)
    except ValueError as error:
        return [None, None, None], str(error).partition(";")[0]
    if entry.mask is None:
        return [picture, None, None], "no mask"
    try:
        if data is None or config is None:
            return [picture, _small(_stretched(read_mask(entry.mask))), None], None
        labels = read_labels(entry.mask, data, config)
    except ValueError as error:
        return [picture, None, None], str(error).partition(";")[0]
    colours, opacities = _colours(config)
    thinned = labels[::step, ::step]
    coloured = colours[thinned]  # (H,W,3)
    if labels.shape != (height, width):
        differ = f"the image is {width} x {height} pixels, its mask {labels.shape[1]} x {labels.shape[0]}"
        return [picture, _small(coloured), None], differ
    weights = opacities[thinned][..., None]
    mixed = pixels * (1 - weights) + coloured * weights
    return [picture, _small(coloured), _small(np.rint(mixed).astype(np.uint8))], None


def _as_shown(image: Image, config: SegmentationConfig | None) -> NDArray[np.uint8]:
    """As the network will see it (H,W,3), or from the darkest to the brightest pixel where no config says."""
    return as_rgb(scale(image, config))[0] if config is not None else _stretched(image.pixels[0])


def _stretched(array: NDArray[Any]) -> NDArray[np.uint8]:
    """Numbers (H,W) or (H,W,C) from black to white, (H,W,3)."""
    values = np.atleast_3d(array).astype(np.float32)
    values = values if values.shape[2] == 3 else values[..., :1].repeat(3, axis=2)
    low, high = values.min(), values.max()
    shown: NDArray[np.uint8] = np.rint((values - low) / max(high - low, 1e-9) * 255).astype(np.uint8)
    return shown


def _small(pixels: NDArray[np.uint8]) -> PIL.Image.Image:
    height, width = pixels.shape[:2]
    ratio = CELL / max(height, width)
    size = max(1, round(width * ratio)), max(1, round(height * ratio))
    way = PIL.Image.Resampling.BOX if ratio < 1 else PIL.Image.Resampling.NEAREST
    return PIL.Image.fromarray(pixels).resize(size, way)


def _colours(config: SegmentationConfig) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """For every label id and IGNORE: its colour (256,3) and how much it covers the picture (256,)."""
    colours = np.zeros((256, 3), dtype=np.uint8)
    opacities = np.zeros(256, dtype=np.float32)
    given = palette(config)
    colours[: len(given)], opacities[: len(given)] = given, 0.5
    if config.background is not None:
        opacities[0] = 0
    colours[IGNORE], opacities[IGNORE] = hex_to_rgb(IGNORED), 0.5
    return colours, opacities


def _legend_rows(chips: Sequence[Chip], width: int, font: Font) -> list[list[tuple[int, Chip]]]:
    """Chips and where they start, in as many rows as they need."""
    rows: list[list[tuple[int, Chip]]] = []
    x = width + 1
    for chip in chips:
        wide = 26 + round(font.getlength(chip.text)) + 30
        if x + wide - 30 > width:
            rows.append([])
            x = 0
        rows[-1].append((x, chip))
        x += wide
    return rows


def _fitted(text: str, width: int, font: Font) -> str:
    """One line of text, its middle left out where it is too long."""
    text = " ".join(text.encode("utf-8", "replace").decode("utf-8").split())
    if font.getlength(text) <= width:
        return text
    keep = next(n for n in range(len(text), -1, -1) if font.getlength(_middle_left_out(text, n)) <= width or n == 0)
    return _middle_left_out(text, keep)


def _middle_left_out(text: str, keep: int) -> str:
    return text[: -(-keep // 2)] + "..." + text[len(text) - keep // 2 :]
