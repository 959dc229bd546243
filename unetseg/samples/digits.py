"""Digits as if written by hand, with the exact mask of their ink (synthetic)."""

from __future__ import annotations

from math import cos, pi, sin

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from .shapes import Points, generator

SIDE = 28
"""Pixels of MNIST's pictures, whose digits fill 20 of them."""
FINE = 8
"""Times that size at which a digit is drawn."""
INK = 128
"""Of 255: from here on a pixel is ink, as in the masks that `training/prepare_mnist.py` writes."""


def _arc(x: float, y: float, rx: float, ry: float, start: float, end: float) -> list[tuple[float, float]]:
    """Points on an ellipse; angles in quarters of a turn, 0 to the right, 1 below."""
    angles = (start + (end - start) * k / 23 for k in range(24))
    return [(x + rx * cos(a * pi / 2), y + ry * sin(a * pi / 2)) for a in angles]


STROKES: tuple[tuple[list[tuple[float, float]], ...], ...] = (
    (_arc(0, 0, 0.6, 1, -1, 3),),
    ([(-0.12, -0.8), (0.1, -1), (0.1, 1)],),
    ([*_arc(0, -0.45, 0.55, 0.55, -2.2, 0.4), (-0.6, 1), (0.65, 1)],),
    ([*_arc(0, -0.5, 0.52, 0.5, -2.3, 1), *_arc(0, 0.5, 0.6, 0.5, -1, 2.3)],),
    ([(0.15, -1), (-0.6, 0.3), (0.65, 0.3)], [(0.35, -0.35), (0.35, 1)]),
    ([(0.55, -1), (-0.4, -1), (-0.5, -0.1), *_arc(0, 0.4, 0.6, 0.6, -1.3, 2.2)],),
    ([(0.4, -1), (-0.25, -0.4), *_arc(0, 0.45, 0.55, 0.55, -2, 2)],),
    ([(-0.6, -1), (0.6, -1), (-0.1, 1)],),
    ([*_arc(0, -0.5, 0.48, 0.5, 1, -3), *_arc(0, 0.5, 0.58, 0.5, -1, 3)],),
    ([*_arc(0, -0.45, 0.52, 0.55, 0, -4), (0.45, 0.3), (0.2, 1)],),
)
"""Of each digit the lines of a pen, in a box from -1 to 1: x to the right, y downwards."""


def digit(seed: int, size: int = SIDE) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Draw a digit: grey image (H,W), white on black, and labels (H,W), 0 paper and k + 1 the digit k.

    Seeds that follow each other show different digits. It lies as in MNIST: 20 of 28 pixels high or wide, with its
    centre of mass in the middle. Raises ValueError for a size below 28 or a negative seed.
    """
    rng = generator(seed, size, SIDE)
    value = (7 * seed + 7) % 10  # 7, 4, 1, 8, ...
    lean, turn, wide = rng.normal(0, 0.12), rng.normal(0, 0.08), rng.uniform(0.85, 1.15)
    turned = np.array([[cos(turn), sin(turn)], [-sin(turn), cos(turn)]]) @ np.array([[wide, 0], [-lean, 1]])
    jitter = np.repeat(rng.normal(0, 0.05, (4, 2)), 6, axis=0)  # a hand wavers slowly
    lines = [(_waver(np.array(stroke), jitter)) @ turned for stroke in STROKES[value]]
    points = np.concatenate(lines)
    low, high = points.min(axis=0), points.max(axis=0)
    pen = rng.uniform(0.09, 0.16)  # of the longer side
    unit = 20 / SIDE * size * FINE / (1 + pen) / (high - low).max()
    picture = Image.new("L", (FINE * size, FINE * size), 0)
    draw = ImageDraw.Draw(picture)
    radius = pen * unit * (high - low).max() / 2
    for line in lines:
        at = (line - (low + high) / 2) * unit + FINE * size / 2
        draw.line(at.ravel().tolist(), fill=255, width=round(2 * radius), joint="curve")
        for x, y in at.tolist():
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
    grey = _centred(np.asarray(picture.reduce(FINE)))
    return grey, np.where(grey >= INK, np.uint8(value + 1), np.uint8(0))


def _waver(line: Points, by: Points) -> Points:
    """A line through more points, each moved a little."""
    along = np.linspace(0, len(line) - 1, len(by))
    fine = np.stack([np.interp(along, np.arange(len(line)), line[:, axis]) for axis in range(2)], axis=1)
    smooth = np.stack([np.convolve(np.pad(by[:, axis], 3, mode="edge"), np.ones(7) / 7, "valid") for axis in range(2)])
    moved: Points = fine + smooth.T
    return moved


def _centred(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The picture moved by whole pixels, so that its centre of mass lies in its middle."""
    middle, room = (len(grey) - 1) / 2, len(grey) // 7  # that is left beside 20 of 28
    shares = grey / grey.sum()
    for axis in range(2):
        off = round(middle - float((shares.sum(axis=1 - axis) * np.arange(len(grey))).sum()))
        grey = np.roll(grey, min(max(off, -room), room), axis=axis)
    return grey
