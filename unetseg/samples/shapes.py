"""What both kinds of sample are made of: a seeded generator, outlines and smooth noise."""

from __future__ import annotations

from math import pi

import numpy as np
from numpy.random import Generator, default_rng
from numpy.typing import NDArray
from PIL import Image

Points = NDArray[np.float64]  # (N, 2): x to the right, y downwards


def generator(seed: int, size: int, least: int = 32) -> Generator:
    """The random numbers of one sample; ValueError for a size or a seed that makes none."""
    if size < least:
        raise ValueError(f"size is {size}; a sample needs at least {least} pixels a side")
    if seed < 0:
        raise ValueError(f"seed is {seed}; expected 0 or more")
    return default_rng(seed)


def blob(rng: Generator, rough: float) -> Points:
    """Draw the outline of an irregular disc of radius about 1: (64, 2)."""
    angle, wave = np.linspace(0, 2 * pi, 64, endpoint=False), np.arange(2, 8)
    swing = rng.normal(0, rough, 6) * 1.4 / wave
    radius = 1 + np.cos(angle[:, None] * wave + rng.uniform(0, 2 * pi, 6)) @ swing  # (64,)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)


def rounded(points: Points) -> Points:
    """Cut the corners of a closed outline three times (Chaikin): (8 N, 2)."""
    for _ in range(3):
        after = np.roll(points, -1, axis=0)
        points = np.stack([0.75 * points + 0.25 * after, 0.25 * points + 0.75 * after], 1).reshape(-1, 2)
    return points


def value_noise(rng: Generator, size: int, cells: int) -> NDArray[np.float32]:
    """Draw smooth noise (size, size) with a grain of size / cells pixels."""
    coarse = Image.fromarray(rng.standard_normal((cells, cells), np.float32))
    return np.asarray(coarse.resize((size, size), Image.Resampling.BICUBIC), np.float32)
