"""What can be done to a picture so that a model knows it better: a turn, an inversion, other contrast, other size."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .gate import AFTER, INVERTED, Gate, turned, turned_back
from .prepare import Ranges

WORDS = (
    "",
    "mirrored left to right",
    "turned by a quarter to the left",
    "mirrored along its rising diagonal",
    "turned upside down",
    "mirrored top to bottom",
    "turned by a quarter to the right",
    "mirrored along its falling diagonal",
)
"""Of each view, see `gate.turned`."""


@dataclass(frozen=True)
class Change:
    """A change of a picture before it is segmented; labels come back as the picture lies.

    view: what it is turned by, see `gate.turned`. inverted: white for black. window: the values that become black and
    white, where 0 and 1 are those of now. zoom: what its height and width are multiplied by.
    """

    view: int = 0
    inverted: bool = False
    window: tuple[float, float] | None = None
    zoom: float = 1.0

    def pixels(self, pixels: NDArray[np.generic]) -> NDArray[np.generic]:
        """Pixels (D,H,W,C) turned, without a copy."""
        x = np.rot90(pixels, self.view // 2, (1, 2))
        return x[:, :, ::-1] if self.view % 2 else x

    def between(self, between: Ranges, channels: int) -> Ranges:
        """What is black and white, changed; see `prepare.ranges`."""
        if self.window is None and not self.inverted:
            return between
        low, high = self.window or (0.0, 1.0)
        if self.inverted:
            low, high = high, low
        pairs = between or ((0.0, 1.0),) * channels
        return tuple((first + low * (last - first), first + high * (last - first)) for first, last in pairs)

    def back(self, logits: Tensor) -> Tensor:
        """Logits (...,h,w) of the turned picture as the picture lies."""
        return turned_back(logits, self.view)

    def values(self, x: Tensor) -> Tensor:
        """Values (B,C,h,w) from 0 to 1 changed, and turned; not zoomed."""
        x = turned(x, self.view)
        if self.window is not None:
            low, high = self.window
            x = ((x - low) / (high - low)).clamp(0, 1)
        return 1 - x if self.inverted else x

    def __str__(self) -> str:
        parts = [WORDS[self.view]] if self.view else []
        if self.inverted:
            parts.append("inverted")
        if self.window is not None:
            low, high = self.window
            parts.append(f"shown from {low:.0%} to {high:.0%} of its grey range")
        if self.zoom != 1:
            parts.append(f"{'enlarged' if self.zoom > 1 else 'reduced'} to {self.zoom:.2g} times its size")
        return " and ".join(parts)


AS_IT_IS = Change()


def upright(view: int) -> Change:
    """What brings a picture upright that lies in a view.

    >>> str(upright(2)), str(upright(1))
    ('turned by a quarter to the right', 'mirrored left to right')
    """
    return Change(view=next(back for back in range(INVERTED) if AFTER[view][back] == 0))


LARGEST = 8.0
"""What a picture is enlarged to at most, a side."""


def to_ground(metres: float, trained_on: tuple[float, float], most: float = LARGEST) -> Change | None:
    """What brings a picture of so many metres a pixel to the nearest of those of a training.

    None if nothing need be, and if it would have to be enlarged more than `most`.

    >>> to_ground(0.1, (0.2, 1.0)), to_ground(0.5, (0.2, 1.0)), to_ground(2.0, (0.2, 1.0)).zoom
    (Change(view=0, inverted=False, window=None, zoom=0.5), None, 2.0)
    >>> to_ground(10.0, (0.2, 1.0)) is None
    True
    """
    low, high = trained_on
    if NEARLY * low <= metres <= high / NEARLY:
        return None
    zoom = metres / (low if metres < low else high)
    return Change(zoom=zoom) if zoom <= most else None


NEARLY = 0.8
"""A resolution that differs by less counts as the same."""
CLEARLY = 0.8
"""A change brings a picture clearly nearer if its distance is below this share of the one before."""
WIDTHS = (0.06, 0.08, 0.1, 0.13, 0.17, 0.22, 0.3, 0.4, 0.6)
"""Of windows that are tried, as shares of the grey range."""
TONE = 0.55
"""Where in such a window the most frequent grey lies: soft tissue in that of the abdomen."""
SIZES = (0.5, 2.0)


def nearest(
    gate: Gate, features: Callable[[Change], Tensor], x: Tensor, *, contrast: bool, sizes: bool
) -> Change | None:
    """The change after which pictures are clearly nearer to what a gate knows; None if none of those tried is.

    features: of the pictures after a change, (B,n,F). x: the pictures (B,C,h,w) from 0 to 1. contrast, sizes: whether
    other windows, and other resolutions, are tried.
    """

    def distance(change: Change) -> float:
        return float(gate.distances(features(change)).median())

    now = distance(AS_IT_IS)
    is_foreign = gate.limit is not None and now > gate.limit
    if gate.views is not None:
        seen = torch.stack([gate.seen_as(features(Change(view=view))).mean(dim=0) for view in range(INVERTED)])
        view, margin = gate.view(seen)
        looks = AS_IT_IS
        if float(seen[:, INVERTED].mean()) > math.log(0.5):  # what no turn changes
            looks = Change(inverted=True)
        elif margin > gate.margin:
            looks = upright(view)
        # of what is no such picture at all, the views say nothing
        if looks != AS_IT_IS and (not is_foreign or distance(looks) <= max(gate.limit or 0.0, CLEARLY * now)):
            return looks
    if not is_foreign:
        return None
    candidates = [Change(inverted=True)]
    if contrast:
        candidates += [Change(window=window) for window in _windows(x)]
    if sizes:
        candidates += [Change(zoom=zoom) for zoom in SIZES]
    distances = [distance(change) for change in candidates]
    best = min(range(len(candidates)), key=distances.__getitem__)
    return candidates[best] if distances[best] < CLEARLY * now else None


def _windows(x: Tensor) -> list[tuple[float, float]]:
    """Windows about the most frequent grey of pictures (B,C,h,w) that is neither black nor white."""
    counts = torch.histc(x, bins=128, min=0, max=1)
    counts = torch.nn.functional.avg_pool1d(counts[None], 5, stride=1, padding=2)[0]
    counts[:4], counts[-4:] = 0, 0
    tone = (float(counts.argmax()) + 0.5) / 128
    found = []
    for width in WIDTHS:
        low = tone - TONE * width
        found.append((max(0.0, low), min(1.0, low + width)))
    return found
