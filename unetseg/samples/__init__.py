"""Seeded synthetic pictures with exact masks: for examples, for tests, and mixed into training.

They imitate tone, scale and orientation of real data and contain none of it. Everything is drawn at twice its
size, the picture and its labels from the same outlines, and then reduced.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..files import make_folder, whole
from .aerial import aerial_scene
from .ct import ct_phantom
from .digits import digit

__all__ = ["SAMPLE_LABELS", "SampleKind", "aerial_scene", "ct_phantom", "digit", "draw_sample", "write_samples"]

SampleKind = Literal["ct", "aerial", "digits"]
SAMPLE_LABELS: dict[SampleKind, int] = {"ct": 2, "aerial": 5, "digits": 11}


def draw_sample(kind: SampleKind, seed: int, size: int | None = None) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Picture and labels of a kind, at its usual size (256 for CT, 512 for aerial, 28 for digits) unless given."""
    if kind == "ct":
        return ct_phantom(seed, 256 if size is None else size)
    if kind == "aerial":
        return aerial_scene(seed, 512 if size is None else size)
    if kind == "digits":
        return digit(seed, 28 if size is None else size)
    raise ValueError(f"kind is {kind!r}; expected 'ct', 'aerial' or 'digits'")


def write_samples(folder: Path, kind: SampleKind, *, count: int, seed: int = 0, size: int | None = None) -> None:
    """Write pictures to folder/images and their masks, as PNG of the same names, to folder/masks.

    Picture synthetic_KIND_NNNN.png comes from the seed in its name: seed to seed + count - 1. CT masks are 0 and
    255, aerial masks and those of digits ids. Raises ValueError for an unknown kind or fewer than one picture.
    """
    if count < 1:
        raise ValueError(f"count is {count}; ask for at least one picture")
    draw_sample(kind, seed, size)  # refuses a bad kind, seed or size before a folder is made
    for name in ("images", "masks"):
        make_folder(folder / name)
    for number in range(seed, seed + count):
        image, labels = draw_sample(kind, number, size)
        name = f"synthetic_{kind}_{number:04d}.png"
        labels = labels * np.uint8(255 if kind == "ct" else 1)
        for kept, picture in (("images", image), ("masks", labels)):
            with whole(folder / kept / name) as temporary:  # each process of a run writes them
                Image.fromarray(picture).save(temporary, "PNG")
