"""A contact sheet: some pictures of a folder with their masks, as training will see them, on one page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
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
from ...render import UNKNOWN, as_rgb, colourised, overlay, palette
from ..data.folder import in_words, known_labels, read_labels, telling_slice
from ..data.joined import read_joined, read_stored
from ..data.layouts import Pair, is_volume
from ..recipe import IGNORE_NAME, Recipe
from ..words import percent
from .checks import named
from .choosing import Candidate
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
    Sets of images or masks that fit alike come first, with a picture of each.
    Raises ValueError where `path` is there already and is no contact sheet.
    """
    _refuse_other(path)
    rivals: list[Files] = [(candidate.example, None) for candidate in diagnosis.candidates]
    recipe, config = proposed(diagnosis)
    shown, troubled = chosen(diagnosis, MOST)
    title_font, font, small = (ImageFont.load_default(size) for size in (24, 15, 13))
    cell_width, cell_height = 3 * CELL + 2 * GAP, CELL + 44
    width = 2 * MARGIN + ACROSS * cell_width + (ACROSS - 1) * MARGIN
    legend = [] if config is None else list(_legend(diagnosis, config, width - 2 * MARGIN, font))
    top = MARGIN + 54 + 28 * (legend[-1][1] + 1 if legend else 0)
    rows = -(-(len(rivals) + len(shown)) // ACROSS)
    page = PIL.Image.new("RGB", (width, top + rows * (cell_height + 14) + MARGIN - 14), PAPER)
    draw = ImageDraw.Draw(page)
    draw.text((MARGIN, MARGIN - 6), _fitted(headline(diagnosis), width - 2 * MARGIN, title_font), INK, title_font)
    for left, row, colour, text in legend:
        x, y = MARGIN + left, MARGIN + 40 + 28 * row
        draw.rounded_rectangle((x, y, x + 18, y + 18), 4, colour, PALE)
        draw.text((x + 26, y + 9), text, INK, font, anchor="lm")
    pairs = {s.pair.image: s.pair for s in diagnosis.examined}
    place_of = {example.image: f"{example.group} · {example.split}" for example in diagnosis.examples}
    for number, (image, mask) in enumerate([*rivals, *shown]):
        x = MARGIN + number % ACROSS * (cell_width + MARGIN)
        y = top + number // ACROSS * (cell_height + 14)
        name = named(image, diagnosis.folder)
        if number < len(rivals):
            candidate = diagnosis.candidates[number]
            drawn, trouble = candidate_view(candidate, CELL)
            name, trouble = candidate.name, trouble or f"are these the {candidate.what}?"
        else:
            drawn, trouble = views(pairs.get(image, image), recipe, config, CELL)
        for column in range(3):
            left = x + column * (CELL + GAP)
            draw.rectangle((left, y, left + CELL - 1, y + CELL - 1), "#edebe4")
            if column < len(drawn):
                view = drawn[column]
                page.paste(view, (left + (CELL - view.width) // 2, y + (CELL - view.height) // 2))
        ink = RED if number < len(rivals) or (image, mask) in troubled else INK
        draw.text((x, y + CELL + 6), _fitted(name, cell_width, font), ink, font)
        below = _fitted(trouble or place_of.get(image, ""), cell_width, small)
        draw.text((x, y + CELL + 25), below, RED if trouble else PALE, small)
    information = PngInfo()
    information.add_text("Software", SOFTWARE)
    with whole(path) as temporary:
        page.save(temporary, format="PNG", optimize=True, pnginfo=information)


def proposed(diagnosis: Diagnosis) -> tuple[Recipe | None, SegmentationConfig | None]:
    """The proposed recipe, and the config of its labels and colours."""
    recipe = diagnosis.parsed()
    return recipe, None if recipe is None else recipe.config(*((x,) * len(recipe.data.channels) for x in (0.0, 1.0)))


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


def pictures_of(diagnosis: Diagnosis) -> list[Files]:
    """All images of a folder with their masks, those without one at the end."""
    every: list[Files] = [(s.pair.image, s.pair.mask) for s in diagnosis.examined]
    return every + [(path, None) for path in diagnosis.lone]


def concerned(diagnosis: Diagnosis, names: Iterable[str]) -> dict[str, Files]:
    """Of the names of a finding those of images or masks, each with its files; several of one pair count once."""
    files_of = {
        named(path, diagnosis.folder): files for files in pictures_of(diagnosis) for path in files if path is not None
    }
    # a name may say more, `a.png (32 x 32, mask 30 x 30)`, and may have brackets of its own
    found = {name: files_of.get(name) or files_of.get(name.rpartition(" (")[0]) for name in names}
    first = {files: name for name, files in reversed(found.items()) if files is not None}
    return {name: files for name, files in found.items() if files is not None and first[files] == name}


def chosen(diagnosis: Diagnosis, most: int) -> tuple[list[Files], list[Files]]:
    """So many files to show, of all groups, and all that a question is about, of which a few are shown first."""
    group_of = {example.image: example.group for example in diagnosis.examples}
    asked = [name for finding in diagnosis.findings if finding.weight == "question" for name in finding.names]
    wrong = set(concerned(diagnosis, asked).values())
    every = pictures_of(diagnosis)
    troubled = [files for files in every if files in wrong]
    few = min(TROUBLED, len(troubled))
    shown = [troubled[i * len(troubled) // few] for i in range(few)]
    by_group: dict[str, list[Files]] = {}
    for files in every:
        if files not in shown:
            by_group.setdefault(group_of.get(files[0], ""), []).append(files)
    groups = list(by_group.values())
    room = min(most - len(shown), sum(map(len, groups)))
    turns = Counter(i * len(groups) // room if len(groups) > room else i % len(groups) for i in range(room))
    for number, count in sorted(turns.items()):
        here = groups[number]
        count = min(count, len(here))
        shown += [here[(2 * i + 1) * len(here) // (2 * count)] for i in range(count)]
    return shown, troubled


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


def views(
    source: Pair | Path, recipe: Recipe | None, config: SegmentationConfig | None, side: int
) -> tuple[list[PIL.Image.Image], str | None]:
    """Image, mask and both, the longer side so long, as far as they can be shown; and what went wrong, in short.

    source: a pair, or an image without a mask. Of a volume it is the slice in the middle of those that show a class.
    """
    drawn = []
    try:
        image = read_image(source) if isinstance(source, Path) else read_joined(source)
        shape = image.pixels.shape[:3]
        step = max(1, round(max(shape[1:]) / (2 * side)))  # more pixels than that take time and change little
        masks, trouble = _masks(source, recipe, config, image)
        shown = telling_slice(masks) if masks is not None and len(masks) == shape[0] > 1 else shape[0] // 2
        slice_ = image.alone(shown)
        picture = _as_shown(replace(slice_, pixels=slice_.pixels[:, ::step, ::step], valid=None), config)
        drawn.append(_reduced(picture, side))
    except ValueError as error:
        return drawn, str(error).partition(";")[0]
    if masks is None:
        return drawn, trouble
    labels = masks[min(shown, len(masks) - 1)]
    if recipe is None or config is None:
        return [*drawn, _reduced(_stretched(labels), side)], None
    thinned = labels[::step, ::step]
    known = thinned != IGNORE
    coloured = colourised(np.where(known, thinned, 0), config)
    coloured[~known] = UNKNOWN
    drawn.append(_reduced(coloured, side))
    if masks.shape != shape:
        return drawn, f"the image is {in_words(shape)} pixels, its mask {in_words(masks.shape)}"
    both = overlay(picture, np.where(known, thinned, 0), config)
    both[~known] = UNKNOWN
    return [*drawn, _outlined(_reduced(both, side), labels, config)], None


def stored_view(path: Path, side: int) -> tuple[list[PIL.Image.Image], str | None]:
    """A file of which nothing is known, from its darkest to its brightest value."""
    drawn, trouble = views(path, None, None, side)
    return drawn, None if drawn else trouble


def candidate_view(candidate: Candidate, side: int) -> tuple[list[PIL.Image.Image], str | None]:
    """Its example as it is stored; of annotations a picture and what is drawn on it."""
    return stored_view(candidate.example, side) if candidate.pair is None else views(candidate.pair, None, None, side)


def _outlined(view: PIL.Image.Image, labels: NDArray[np.uint8], config: SegmentationConfig) -> PIL.Image.Image:
    """A line in its full colour around what each class (H,W) covers, so that it shows on its own colour too."""
    inside = np.asarray(PIL.Image.fromarray(labels).resize(view.size, PIL.Image.Resampling.NEAREST))
    height, width = inside.shape
    wide = max(1, max(view.size) // 160)
    around = np.pad(inside, wide, mode="edge")
    line = np.zeros(inside.shape, dtype=bool)
    for y, x in ((0, wide), (2 * wide, wide), (wide, 0), (wide, 2 * wide)):
        line |= around[y : y + height, x : x + width] != inside
    line &= inside != IGNORE
    if config.background is not None:
        line &= inside != 0
    pixels = np.array(view)
    pixels[line] = palette(config)[inside[line]]
    return PIL.Image.fromarray(pixels)


def _masks(
    source: Pair | Path, recipe: Recipe | None, config: SegmentationConfig | None, image: Image
) -> tuple[NDArray[Any] | None, str | None]:
    """The labels (D,H,W) of a mask or, without a recipe, its numbers, which may be colours; or what is wrong."""
    if isinstance(source, Path):
        return None, "no mask"
    try:
        if recipe is None or config is None:
            stored = read_stored(source, image.place, image.pixels.shape[1:3])
            return (stored if stored.ndim == 3 and is_volume(source.mask) else stored[None]), None
        labels = read_labels(source, recipe.data, config, image.place, image.pixels.shape[1:3])
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


def _reduced(pixels: NDArray[np.uint8], side: int) -> PIL.Image.Image:
    height, width = pixels.shape[:2]
    ratio = side / max(height, width)
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
