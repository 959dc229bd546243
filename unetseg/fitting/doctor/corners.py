"""Corners of a picture, described by what lies around them in a form that no turn, mirror or tone changes.

After Shi and Tomasi (1994).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product

import numpy as np
import PIL.Image
from numpy.typing import NDArray

SMALLEST = 40
"""On a smaller side there is no room for corners."""
FINEST, COARSEST = -4, 4
"""Levels at which corners are described, each four halving the size: of two pictures at half to twice the scale, two
differ by a tenth at most. A picture that is smaller than the others is enlarged too: else it had hardly any corners.
"""
PATCH = np.arange(-11, 12, 2)
"""What is sampled around a corner, each way."""
FAINT = 2.0
"""Corners with less contrast are noise."""
WAVES = [(u, n - u) for n in range(1, 7) for u in range(n + 1)]
"""Half waves over the patch, across and down, that describe a corner."""
AREA = 150
"""There is a corner for so many pixels, at most."""

_Array = NDArray[np.float32]
_Grey = NDArray[np.uint8]


@dataclass(frozen=True)
class Corners:
    """at: (N,2), x and y. level: (N,). waves: (N,W), of length 127. turn: (N,), which of 8 gave that form."""

    at: NDArray[np.float32]
    level: NDArray[np.int8]
    waves: NDArray[np.int8]
    turn: NDArray[np.int8]


def _basis() -> _Array:
    """(144,W): waves under a window; the higher ones, which are weaker in pictures, count more."""
    place = np.arange(len(PATCH))
    window = np.cos((place - place.mean()) / len(PATCH) * 0.9 * np.pi)
    wave = [np.cos(np.pi * (2 * place + 1) * n / (2 * len(PATCH))) * window for n in range(WAVES[-1][0] + 1)]
    level = np.outer(window, window)
    columns = []
    for u, v in WAVES:
        column = np.outer(wave[v], wave[u])
        column -= level * column.sum() / level.sum()  # brightness doesn't count
        columns.append(column.ravel() / np.sqrt((column**2).sum()) * np.hypot(u, v))
    return np.array(columns, dtype=np.float32).T


_BASIS = _basis()
_ACROSS, _DOWN = WAVES.index((1, 0)), WAVES.index((0, 1))
BITS = [i for i in range(len(WAVES)) if i not in (_ACROSS, _DOWN)]
_ODD = np.array(WAVES).T % 2 == 1  # (2,W)
_SWAPPED = [WAVES.index((v, u)) for u, v in WAVES]
TURNS = np.array(
    [[[0, y], [x, 0]] if swap else [[x, 0], [0, y]] for swap, y, x in product((False, True), (1.0, -1.0), (1.0, -1.0))]
)  # (8,2,2)
BETWEEN = np.array([[(b.T @ a == TURNS).all(axis=(1, 2)).argmax() for b in TURNS] for a in TURNS])  # (8,8)


def corners_of(grey: _Grey, side: float, area: int = AREA) -> Corners:
    """The corners of a picture at all levels, one for so much of its area at most; side: of most pictures."""
    height, width = grey.shape
    first = round(4 * math.log2((height * width) ** 0.5 / side))
    picture = PIL.Image.fromarray(grey.astype(np.float32))
    rim = int(PATCH[-1]) + 1
    places, levels, described = [], [], []
    for number in range(min(0, max(FINEST, first)), COARSEST + 1):
        part = 2 ** (-number / 4)
        h, w = round(height * part), round(width * part)
        if min(h, w) < SMALLEST - 8:  # as many levels as have room
            break
        small = picture if number == 0 else picture.resize((w, h), PIL.Image.Resampling.BICUBIC)
        x = mean_of(np.asarray(small), 3)
        strength = _cornerness(x)
        strength[strength != _highest(strength, 5)] = 0
        strength = strength[rim:-rim, rim:-rim]
        order = np.argsort(-strength, axis=None, kind="stable")[: h * w // area]
        row, column = np.divmod(order[strength.ravel()[order] > FAINT], strength.shape[1])
        row, column = row + rim, column + rim
        around = (row * w + column)[:, None] + (PATCH[:, None] * w + PATCH).ravel()
        described.append(x.ravel()[around] @ _BASIS)
        places.append(np.stack([(column + 0.5) * width / w, (row + 0.5) * height / h], axis=1).astype(np.float32))
        levels.append(np.full(len(row), number, dtype=np.int8))
    return Corners(np.concatenate(places), np.concatenate(levels), *_upright(np.concatenate(described)))


def _cornerness(x: _Array) -> _Array:
    """The smaller eigenvalue of the tensor of gradients."""
    across, down = np.zeros_like(x), np.zeros_like(x)
    across[:, 1:-1], down[1:-1] = x[:, 2:] - x[:, :-2], x[2:] - x[:-2]
    a, b, c = (mean_of(product, 5) for product in (across * across, down * down, across * down))
    return ((a + b) / 2 - np.sqrt(((a - b) / 2) ** 2 + c * c)).astype(np.float32)


def _highest(x: _Array, side: int) -> _Array:
    """Of so many pixels each way."""
    height, width = x.shape
    x = np.pad(x, side // 2, mode="edge")
    rows = x[:height].copy()
    for i in range(1, side):
        np.maximum(rows, x[i : i + height], out=rows)
    highest = rows[:, :width].copy()
    for i in range(1, side):
        np.maximum(highest, rows[:, i : i + width], out=highest)
    return highest


def _upright(waves: _Array) -> tuple[NDArray[np.int8], NDArray[np.int8]]:
    """Waves (N,W) as they are after the mirrors and the swap that let it get brighter to the left, most that way."""
    left, up = waves[:, _ACROSS] < 0, waves[:, _DOWN] < 0
    waves = np.where((left[:, None] & _ODD[0]) ^ (up[:, None] & _ODD[1]), -waves, waves)
    swap = waves[:, _DOWN] > waves[:, _ACROSS]
    waves = np.where(swap[:, None], waves[:, _SWAPPED], waves)
    waves *= 127 / np.sqrt((waves**2).sum(axis=1, keepdims=True)).clip(1e-6)
    return waves.round().astype(np.int8), (left + 2 * up + 4 * swap).astype(np.int8)


def mean_of(x: _Array, side: int) -> _Array:
    """Of so many pixels each way, those at the edge repeated."""
    height, width = x.shape
    x = np.pad(x, side // 2, mode="edge")
    rows = x[:height].copy()
    for i in range(1, side):
        rows += x[i : i + height]
    mean = rows[:, :width].copy()
    for i in range(1, side):
        mean += rows[:, i : i + width]
    mean /= side * side
    return mean
