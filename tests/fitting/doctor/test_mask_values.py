"""`unetseg.fitting.doctor.mask_values`: what is no label, and what is one label by several values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from unetseg.fitting import Recipe
from unetseg.fitting.data.folder import find_examples, read_example
from unetseg.fitting.doctor import Diagnosis, diagnose, report_text

SIDE = 64


def put(path: Path, pixels: NDArray[np.generic]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def disc(i: int, radius: float = 10) -> NDArray[np.bool_]:
    y, x = np.mgrid[:SIDE, :SIDE]
    return np.asarray(np.hypot(y - 20 - 5 * (i % 4), x - 22 - 4 * (i % 5)) < radius)


def folder_of(folder: Path, masks: Sequence[NDArray[np.generic]], ending: str = ".png") -> Path:
    """Pictures of noise, bright where `disc` lies, and these masks."""
    for i, mask in enumerate(masks):
        image = np.random.default_rng(i).integers(0, 100, (SIDE, SIDE, 3)) + 100 * disc(i)[..., None]
        put(folder / f"images/{i}.png", image.astype(np.uint8))
        put(folder / f"masks/{i}{ending}", mask)
    return folder


def told(diagnosis: Diagnosis, *words: str) -> str:
    """The weight of the one finding that says all of these words."""
    hits = [found for found in diagnosis.findings if all(word in found.sentence for word in words)]
    assert len(hits) == 1, report_text(diagnosis)
    return hits[0].weight


def label_maps(diagnosis: Diagnosis) -> list[NDArray[np.uint8]]:
    """As training reads them by the proposed recipe, in the order of the files."""
    recipe = diagnosis.parsed()
    assert recipe is not None
    return label_maps_by(recipe, diagnosis.folder)


def label_maps_by(recipe: Recipe, folder: Path) -> list[NDArray[np.uint8]]:
    config = recipe.config((0.0,) * len(recipe.data.channels), (1.0,) * len(recipe.data.channels))
    examples = sorted(find_examples(recipe.data, folder, recipe.train.seed), key=lambda e: int(e.image.stem))
    return [read_example(example, recipe.data, config)[1] for example in examples]


def ringed(i: int, inside: int, around: int) -> NDArray[np.int32]:
    return np.where(disc(i), inside, np.where(disc(i, 12), around, 0)).astype(np.int32)


@pytest.mark.parametrize(
    ("inside", "void", "kind", "weight"),
    [
        (15, 255, np.uint8, "warning"),
        (15, 254, np.uint8, "warning"),
        (300, 65535, np.uint16, "warning"),
        (1, -1, np.int32, "warning"),
        (7, -1, np.int32, "warning"),
        (128, 255, np.uint8, "question"),  # a membrane around a cell, or a border left open around a class
    ],
)
def test_a_void_beside_numbers_with_gaps_is_ignored(
    tmp_path: Path, inside: int, void: int, kind: type[np.generic], weight: str
) -> None:
    masks = [ringed(i, inside, void).astype(kind) for i in range(8)]
    diagnosis = diagnose(folder_of(tmp_path, masks, ".tif" if void < 0 else ".png"))
    assert told(diagnosis, f"{void} stands beside the numbers 0, {inside}", "as a thin border", "ignores it") == weight
    assert [finding.weight for finding in diagnosis.findings if finding.weight == "question"] == ["question"] * (
        weight == "question"
    )
    for i, labels in enumerate(label_maps(diagnosis)):
        np.testing.assert_array_equal(labels, np.where(disc(i), 1, np.where(disc(i, 12), 255, 0)))


@pytest.mark.parametrize(
    ("values", "classes"),
    [((0, 255), 1), ((0, 128, 255), 2), ((0, 15, 255), 2), ((0, 254), 1), ((50, 100, 255), 3), ((0, 65535), 1)],
)
def test_what_fills_regions_beside_few_numbers_is_a_class(
    tmp_path: Path, values: tuple[int, ...], classes: int
) -> None:
    blocks = (np.arange(SIDE)[:, None] // 16 + np.arange(SIDE) // 16) % len(values)
    table = np.array(values, dtype=np.uint16 if max(values) > 255 else np.uint8)
    diagnosis = diagnose(folder_of(tmp_path, [np.roll(table[blocks], i, axis=0) for i in range(6)]))
    assert not diagnosis.ambiguous
    assert diagnosis.labels is not None
    assert len(diagnosis.labels.classes) == classes
    assert "ignore" not in diagnosis.labels.values.values()


def test_a_void_that_fills_regions_beside_ids_with_gaps_is_ignored(tmp_path: Path) -> None:
    blocks = (np.arange(SIDE)[:, None] // 16 + np.arange(SIDE) // 16) % 4
    masks = [np.roll(np.array([0, 1, 7, 255], dtype=np.uint8)[blocks], i, axis=0) for i in range(6)]
    diagnosis = diagnose(folder_of(tmp_path, masks))
    assert told(diagnosis, "255 stands beside the numbers 0, 1, 7, on") == "warning"
    np.testing.assert_array_equal(label_maps(diagnosis)[0], np.array([0, 1, 2, 255])[blocks])


def painted(i: int, below: NDArray[np.generic]) -> NDArray[np.uint8]:
    """A red disc and a green square, opaque, over a transparent colour."""
    mask = np.zeros((SIDE, SIDE, 4), dtype=np.uint8)
    mask[..., :3] = below
    mask[disc(i)] = (255, 0, 0, 255)
    mask[50:60, 5:15] = (0, 255, 0, 255)
    return mask


@pytest.mark.parametrize(
    "below",
    [
        lambda i: np.array((255, 0, 0)),  # erased from a red layer
        lambda i: np.random.default_rng(i).integers(60, 90, 3),  # another one in each file
        lambda i: np.random.default_rng(i).integers(0, 256, (SIDE, SIDE, 3)),
    ],
)
def test_a_colour_below_full_transparency_is_nothing(
    tmp_path: Path, below: Callable[[int], NDArray[np.generic]]
) -> None:
    diagnosis = diagnose(folder_of(tmp_path, [painted(i, below(i)) for i in range(6)]))
    assert told(diagnosis, "6 masks with colours under full transparency", "masks/0.png") == "note"
    assert not diagnosis.ambiguous
    assert diagnosis.labels is not None
    assert list(diagnosis.labels.values) == ["#000000", "#00ff00", "#ff0000"]
    square = np.zeros((SIDE, SIDE), dtype=np.uint8)
    square[50:60, 5:15] = 1
    for i, labels in enumerate(label_maps(diagnosis)):
        np.testing.assert_array_equal(labels, np.where(square, 1, np.where(disc(i), 2, 0)))


def test_a_half_transparent_rim_is_told_and_grey_with_transparency_is_read_likewise(tmp_path: Path) -> None:
    coloured, grey = [], []
    for i in range(6):
        mask = painted(i, np.zeros(3))
        mask[disc(i, 12) & ~disc(i)] = (255, 0, 0, 128)
        coloured.append(mask)
        grey.append(np.stack([np.full((SIDE, SIDE), 7), disc(i) * 255], axis=-1).astype(np.uint8))
        grey[-1][:9, :9] = (3, 255)
    diagnosis = diagnose(folder_of(tmp_path / "coloured", coloured))
    assert told(diagnosis, "6 masks in part half transparent", "masks/0.png") == "warning"
    assert not diagnosis.ambiguous
    diagnosis = diagnose(folder_of(tmp_path / "grey", grey))
    assert diagnosis.labels is not None
    assert list(diagnosis.labels.values) == ["0", "3", "7"]


def test_a_mask_that_is_transparent_everywhere_is_asked_about(tmp_path: Path) -> None:
    masks = [painted(i, np.zeros(3)) for i in range(6)]
    masks[2][..., 3] = 0
    diagnosis = diagnose(folder_of(tmp_path, masks))
    assert told(diagnosis, "2.png is transparent everywhere but holds several colours") == "question"
