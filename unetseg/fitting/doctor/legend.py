"""Names of mask values from a file beside the pictures, and colours for labels that nobody chose any for."""

from __future__ import annotations

import colorsys
from collections.abc import Iterator, Sequence
from itertools import chain, count
from pathlib import Path

from ...files import read_json

LEGENDS = ("classes.json", "labels.json", "legend.json")
# told apart by hue and by lightness; the first is the class of a binary task
COLOURS = (
    "#e4572e", "#3a86ff", "#2a9d5c", "#ffc914", "#8338ec", "#17bebb", "#ff70a6", "#8d5b3f", "#b8de29", "#5c677d",
    "#9d0208", "#0a3d91", "#90e0ef", "#f4a261", "#c77dff", "#3f6212",
)  # fmt: skip
# a map with blue land and violet water misleads
USUAL_COLOURS = {
    "water": "#3a86ff", "vegetation": "#2a9d5c", "tree": "#2a9d5c", "forest": "#2a9d5c", "grass": "#b8de29",
    "building": "#e4572e", "road": "#5c677d", "street": "#5c677d", "land": "#f4a261", "soil": "#f4a261",
}  # fmt: skip


def read_legend(folder: Path) -> tuple[str | None, dict[str, str]]:
    """The file that names mask values, and value (`3` or `#3c1098`) to name; None and nothing where there is none.

    It is JSON: a list of names, an object of value to name, or a list of objects with `name`, and `id` or `hex`;
    or an object that has one of these as `classes`.
    """
    for name in LEGENDS:
        try:
            content = read_json(folder / name)
        except ValueError:
            continue
        if isinstance(content, dict) and "classes" in content:
            content = content["classes"]
        names = {str(value).lower(): " ".join(t.split()) for value, t in _entries(content) if isinstance(t, str)}
        if legend := {value: text for value, text in names.items() if text}:
            return name, legend
    return None, {}


def _entries(content: object) -> Iterator[tuple[object, object]]:
    if isinstance(content, dict):
        yield from content.items()
    elif isinstance(content, list):
        for number, entry in enumerate(content):
            if isinstance(entry, dict):
                yield from ((entry.get(key), entry.get("name")) for key in ("id", "hex"))
            else:
                yield number, entry


def palette_for(names: Sequence[str], has_background: bool) -> tuple[str, ...]:
    """Colours that are told apart, black for a background; what is known by a colour gets it."""
    wanted = {USUAL_COLOURS[name.lower()]: name for name in reversed(names) if name.lower() in USUAL_COLOURS}
    usual = {name: colour for colour, name in wanted.items()}  # of two names for one colour, the first
    rest = (colour for colour in chain(COLOURS, _more()) if colour not in wanted)
    return tuple("#000000" if has_background and i == 0 else usual.get(n) or next(rest) for i, n in enumerate(names))


def _more() -> Iterator[str]:
    """Golden steps around the hues, light and dark in turns."""
    for i in count():
        parts = colorsys.hsv_to_rgb(i * 0.618 % 1, 0.55 + 0.4 * (i % 3 == 0), 0.6 + 0.35 * (i % 2))
        yield "#" + "".join(f"{round(part * 255):02x}" for part in parts)
