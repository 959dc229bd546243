"""Folders of pictures as data sets have them, small; what their masks mean can be read from the pictures."""

import json
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unetseg.fitting import Recipe
from unetseg.fitting.data.folder import find_examples, read_truth
from unetseg.fitting.data.joined import read_joined
from unetseg.fitting.doctor import Diagnosis

SIZE = 32
STEP = 30
"""Red (or grey) of a picture is this for each id, and less than it above."""
Pixels = NDArray[np.uint8]
Files = Iterable[tuple[str, Pixels | str]]


def scene(number: int, classes: int = 2) -> tuple[Pixels, Pixels]:
    """A picture (H,W,3) and its ids (H,W): a square of each class in noise."""
    random = np.random.default_rng(number)
    ids = np.zeros((SIZE, SIZE), dtype=np.uint8)
    for one in range(1, classes + 1):
        y, x = random.integers(4, SIZE - 9, 2)
        ids[y : y + 8, x : x + 8] = one
        ids[:3, 3 * one : 3 * one + 3] = one  # none is hidden by the others
    picture = random.integers(0, 250, (SIZE, SIZE, 3), dtype=np.uint8)
    picture[..., 0] = STEP * ids + picture[..., 0] % (STEP - 8) + 4
    return picture, ids


def white(mask: NDArray[np.bool_]) -> Pixels:
    """255 where a mask is true."""
    return mask.astype(np.uint8) * np.uint8(255)


def build(folder: Path, files: Files) -> Path:
    """Write pictures, and texts, by their names."""
    for name, content in files:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, str):
            path.write_text(content)
        else:
            Image.fromarray(content).save(path, **({"quality": 100, "subsampling": 0} if ".jpg" in name else {}))
    return folder


def wrong_pixels(folder: Path, recipe: Recipe) -> int:
    """How many pixels of all masks are read otherwise than the pictures say; ids in the order of the classes."""
    data = recipe.data
    config = recipe.config(*((value,) * len(data.channels) for value in (0.0, 1.0)))
    wrong = 0
    for example in find_examples(data, folder):
        image = read_joined(example)
        labels = read_truth(example, image, data, config)
        ids = image.pixels[..., 0] // STEP
        ids = ids > 0 if data.task == "binary" else ids
        wrong += int((labels != ids).sum())
    return wrong


def answers(diagnosis: Diagnosis) -> Iterator[tuple[str, Recipe]]:
    """Every `for X write FIELD = VALUE, ...` of the questions, and the recipe that follows it."""
    recipe = tomllib.loads(diagnosis.recipe or "")
    for finding in diagnosis.findings:
        for way in finding.advice.split("; ") if finding.weight == "question" else ():
            what, write, lines = way.partition(" write ")
            if write:
                answered = recipe | {"data": recipe["data"] | tomllib.loads(f"all = {{ {lines} }}")["all"]}
                yield what, Recipe.model_validate_json(json.dumps(answered))
