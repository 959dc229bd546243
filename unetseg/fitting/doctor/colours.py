"""Colours for labels that nobody chose any for."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

# told apart by hue and by lightness; the first is the class of a binary task
COLOURS = (
    "#e4572e", "#3a86ff", "#2a9d5c", "#ffc914", "#8338ec", "#17bebb", "#ff70a6", "#8d5b3f", "#b8de29", "#5c677d",
    "#9d0208", "#0a3d91", "#90e0ef", "#f4a261", "#c77dff", "#3f6212",
)  # fmt: skip
USUAL_COLOURS = {
    "water": "#3a86ff", "vegetation": "#2a9d5c", "tree": "#2a9d5c", "forest": "#2a9d5c", "grass": "#b8de29",
    "building": "#e4572e", "road": "#5c677d", "street": "#5c677d", "land": "#f4a261", "soil": "#f4a261",
}  # fmt: skip


def palette_for(names: Sequence[str], has_background: bool) -> tuple[str, ...]:
    """Colours that are told apart, water in blue."""
    usual = {name: USUAL_COLOURS[name.lower()] for name in reversed(names) if name.lower() in USUAL_COLOURS}
    chosen = {colour: name for name, colour in usual.items()}  # of two names for one colour, the first
    free = [colour for colour in COLOURS if colour not in chosen]
    for i in range(len(names)):  # golden steps around the hues, light and dark in turns
        parts = colorsys.hsv_to_rgb(i * 0.618 % 1, 0.55 + 0.4 * (i % 3 == 0), 0.6 + 0.35 * (i % 2))
        free.append("#" + "".join(f"{round(part * 255):02x}" for part in parts))
    rest = iter(free)
    usual = {name: colour for colour, name in chosen.items()}
    return tuple("#000000" if has_background and i == 0 else usual.get(n) or next(rest) for i, n in enumerate(names))
