"""A contact sheet: some pictures of a folder with their masks, as training will see them, on one page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
from numpy.typing import NDArray
from PIL import ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from ...config import IGNORE, SegmentationConfig
from ...files import whole
from ...formats import Image, read_image
from ...prepare import scale
from ...render import UNKNOWN, as_rgb, colourised, overlay
from ..data.folder import in_words, known_labels, read_labels, telling_slice
from ..data.joined import read_joined, read_stored
from ..data.layouts import Pair, is_volume
from ..recipe import IGNORE_NAME, Recipe
from ..words import percent
from .checks import named
from .diagnosis import Diagnosis
from .report import headline

MOST = 12
TROUBLED = 4
CELL = 168
GAP = 6
MARGIN = 28
ACROSS = 3
PAPER, INK, PALE, RED = "#fbfaf7", "#22262b", "#7a818a", "#c0281c"
SOFTWARE = "unetseg doctor"

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
Files = tuple[Path, Path | None]


def draw_sheet(diagnosis: Diagnosis, path: Path) -> None:
    """Write the contact sheet as PNG: up to four pictures with something wrong, then pictures of all groups.

    Each as image, mask in the palette, and both; masks as they are stored where no recipe says how to read them.
    Raises ValueError where `path` is there already and is no contact sheet.
    """
    _refuse_other(path)
    chosen, troubled = _chosen(diagnosis)
    recipe = diagnosis.parsed()
    config = None if recipe is None else recipe.config(*((x,) * len(recipe.data.channels) for x in (0.0, 1.0)))
    title_font, font, small = (ImageFont.load_default(size) for size in (24, 15, 13))
    cell_width, cell_height = 3 * CELL + 2 * GAP, CELL + 44
    width = 2 * MARGIN + ACROSS * cell_width + (ACROSS - 1) * MARGIN
    legend = [] if config is None else list(_legend(diagnosis, config, width - 2 * MARGIN, font))
    top = MARGIN + 54 + 28 * (legend[-1][1] + 1 if legend else 0)
    rows = -(-len(chosen) // ACROSS)
    page = PIL.Image.new("RGB", (width, top + rows * (cell_height + 14) + MARGIN - 14), PAPER)
    draw = ImageDraw.Draw(page)
    draw.text((MARGIN, MARGIN - 6), _fitted(headline(diagnosis), width - 2 * MARGIN, title_font), INK, title_font)
    for left, row, colour, text in legend:
        x, y = MARGIN + left, MARGIN + 40 + 28 * row
        draw.rounded_rectangle((x, y, x + 18, y + 18), 4, colour, PALE)
        draw.text((x + 26, y + 9), text, INK, font, anchor="lm")
    pairs = {s.pair.image: s.pair for s in diagnosis.examined}
    place_of = {example.image: f"{example.group} · {example.split}" for example in diagnosis.examples}
    for number, (image, mask) in enumerate(chosen):
        x = MARGIN + number % ACROSS * (cell_width + MARGIN)
        y = top + number // ACROSS * (cell_height + 14)
        views, trouble = _views(pairs.get(image, image), recipe, config)
        for column in range(3):
            left = x + column * (CELL + GAP)
            draw.rectangle((left, y, left + CELL - 1, y + CELL - 1), "#edebe4")
            if column < len(views):
                view = views[column]
                page.paste(view, (left + (CELL - view.width) // 2, y + (CELL - view.height) // 2))
        ink = RED if (image, mask) in troubled else INK
        draw.text((x, y + CELL + 6), _fitted(named(image, diagnosis.folder), cell_width, font), ink, font)
        below = _fitted(trouble or place_of.get(image, ""), cell_width, small)
        draw.text((x, y + CELL + 25), below, RED if trouble else PALE, small)
    information = PngInfo()
    information.add_text("Software", SOFTWARE)
    with whole(path) as temporary:
        page.save(temporary, format="PNG", optimize=True, pnginfo=information)


def _refuse_other(path: Path) -> None:
    """A folder's namesake may be somebody's picture."""
    if not path.exists():
        return
    try:
        with PIL.Image.open(path) as picture:
            ours = picture.info.get("Software") == SOFTWARE
    except OSError:  # no picture
        ours = False
    if not ours:
        raise ValueError(f"{path} is there already and is no contact sheet; name another file for the sheet")


def _chosen(diagnosis: Diagnosis) -> tuple[list[Files], list[Files]]:
    """The files to show, and all of which something is wrong."""
    group_of = {example.image: example.group for example in diagnosis.examples}
    wrong = {name.partition(" (")[0] for f in diagnosis.findings if f.weight == "question" for name in f.names}
    every: list[Files] = [(s.pair.image, s.pair.mask) for s in diagnosis.examined]
    every += [(path, None) for path in diagnosis.lone]
    troubled = [files for files in every if any(p is not None and named(p, diagnosis.folder) in wrong for p in files)]
    most = min(TROUBLED, len(troubled))
    chosen = [troubled[i * len(troubled) // most] for i in range(most)]
    by_group: dict[str, list[Files]] = {}
    for files in every:
        if files not in chosen:
            by_group.setdefault(group_of.get(files[0], ""), []).append(files)
    groups = list(by_group.values())
    room = min(MOST - len(chosen), sum(map(len, groups)))
    turns = Counter(i * len(groups) // room if len(groups) > room else i % len(groups) for i in range(room))
    for number, count in sorted(turns.items()):
        here = groups[number]
        count = min(count, len(here))
        chosen += [here[(2 * i + 1) * len(here) // (2 * count)] for i in range(count)]
    return chosen, troubled


def _legend(
    diagnosis: Diagnosis, config: SegmentationConfig, width: int, font: Font
) -> Iterator[tuple[int, int, str, str]]:
    """Where each label stands (pixels from the left, row), its colour, and its name with its share of the pixels."""
    shares: dict[str, float] = {}
    if diagnosis.labels is not None:
        for key, name in diagnosis.labels.values.items():
            shares[name] = shares.get(name, 0.0) + diagnosis.labels.shares[key]
    x = row = 0
    ignored = "#" + bytes(UNKNOWN).hex()
    for name, colour in zip((*config.labels, IGNORE_NAME), (*config.palette, ignored), strict=True):
        if name in shares:
            text = f"{name}  {percent(shares[name])}"
            wide = 26 + round(font.getlength(text))
            if x and x + wide > width:
                x, row = 0, row + 1
            yield x, row, colour, text
            x += wide + 30


def _views(
    source: Pair | Path, recipe: Recipe | None, config: SegmentationConfig | None
) -> tuple[list[PIL.Image.Image], str | None]:
    """Image, mask and both, reduced, as far as they can be shown; and what went wrong, in short.

    source: a pair, or an image without a mask. Of a volume it is the slice in the middle of those that show a class.
    """
    views = []
    try:
        image = read_image(source) if isinstance(source, Path) else read_joined(source)
        shape = image.pixels.shape[:3]
        step = max(1, max(shape[1:]) // (4 * CELL))  # more pixels than that change nothing on the sheet
        masks, trouble = _masks(source, recipe, config, image)
        shown = telling_slice(masks) if masks is not None and len(masks) == shape[0] > 1 else shape[0] // 2
        slice_ = image.alone(shown)
        picture = _as_shown(replace(slice_, pixels=slice_.pixels[:, ::step, ::step], valid=None), config)
        views.append(_small(picture))
    except ValueError as error:
        return views, str(error).partition(";")[0]
    if masks is None:
        return views, trouble
    labels = masks[min(shown, len(masks) - 1)]
    if recipe is None or config is None:
        return [*views, _small(_stretched(labels))], None
    thinned = labels[::step, ::step]
    known = thinned != IGNORE
    coloured = colourised(np.where(known, thinned, 0), config)
    coloured[~known] = UNKNOWN
    views.append(_small(coloured))
    if masks.shape != shape:
        return views, f"the image is {in_words(shape)} pixels, its mask {in_words(masks.shape)}"
    both = overlay(picture, np.where(known, thinned, 0), config)
    both[~known] = UNKNOWN
    return [*views, _small(both)], None


def _masks(
    source: Pair | Path, recipe: Recipe | None, config: SegmentationConfig | None, image: Image
) -> tuple[NDArray[Any] | None, str | None]:
    """The labels (D,H,W) of a mask or, without a recipe, its numbers, which may be colours; or what is wrong."""
    if isinstance(source, Path):
        return None, "no mask"
    try:
        if recipe is None or config is None:
            stored = read_stored(source, image.place)
            return (stored if stored.ndim == 3 and is_volume(source.mask) else stored[None]), None
        labels = read_labels(source, recipe.data, config, image.place)
    except ValueError as error:
        return None, str(error).partition(";")[0]
    labels = labels if labels.ndim == 3 else labels[None]
    return (known_labels(labels, image) if labels.shape == image.pixels.shape[:3] else labels), None


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


def _fitted(text: str, width: int, font: Font) -> str:
    """One line of text, its end left out where it is too long."""
    text = " ".join(text.encode("utf-8", "replace").decode("utf-8").split())
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "...") > width:
        text = text[:-1]
    return text + "..."
