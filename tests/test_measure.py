"""Pieces, areas and volumes of labels, checked by eye and by brute force; and their cleaning."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from configs import config_for, segmented
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from unetseg import Image
from unetseg.formats.grid import Grid
from unetseg.formats.volume import Volume
from unetseg.measure import Cleaning, cleaned, measured

BINARY, ANIMALS = config_for("binary"), config_for("one-vs-rest with background")
SMALL = arrays(np.uint8, (3, 5, 6), elements=st.integers(0, 3))


def image_of(labels: NDArray[np.uint8], **changes: Any) -> Image:  # noqa: ANN401, any field
    return dataclasses.replace(Image(labels[..., None], (0, 255)), **changes)


def pieces(mask: NDArray[np.bool_]) -> list[set[tuple[int, ...]]]:
    """By walking from voxel to voxel, over sides and corners."""
    left, found = {tuple(place) for place in np.argwhere(mask).tolist()}, []
    while left:
        piece, border = set(), {left.pop()}
        while border:
            here = border.pop()
            piece.add(here)
            near = {p for p in left if max(abs(a - b) for a, b in zip(p, here, strict=True)) <= 1}
            left -= near
            border |= near
        found.append(piece)
    return found


@given(SMALL)
def test_pieces_pixels_and_shares_are_those_of_a_walk_over_the_voxels(labels: NDArray[np.uint8]) -> None:
    rows = measured(labels, [None, 1.0, 1.0, 1.0], image_of(labels), ANIMALS)
    assert [row["name"] for row in rows] == ["nothing", "cat", "dog", "bird"]
    assert sum(row["pixels"] for row in rows) == labels.size
    assert sum(row["share"] for row in rows) == pytest.approx(1, abs=1e-5)
    for row in rows[1:]:
        assert row["pixels"] == (labels == row["label"]).sum()
        assert row["pieces"] == len(pieces(labels == row["label"]))
        here = np.flatnonzero((labels == row["label"]).any(axis=(1, 2))) + 1
        assert row["slices"] == ([here[0], here[-1]] if here.size else None)


@given(SMALL, st.integers(0, 12), st.booleans())
def test_what_stays_is_large_enough_and_nothing_else_changes(
    labels: NDArray[np.uint8], minimum: int, largest: bool
) -> None:
    found = cleaned(labels, ANIMALS, Cleaning(largest=largest, minimum=minimum))
    assert ((found == labels) | (found == 0)).all()
    for label in (1, 2, 3):
        before, after = pieces(labels == label), pieces(found == label)
        kept = [piece for piece in before if len(piece) >= minimum]
        if largest:
            assert len(after) == (1 if kept else 0)
            assert not after or len(after[0]) == max(map(len, kept))
        else:
            assert sorted(map(len, after)) == sorted(map(len, kept))


def test_holes_are_filled_with_what_encloses_them_and_other_classes_stay() -> None:
    labels = np.array([[[1, 1, 1, 0, 0], [1, 0, 1, 0, 0], [1, 2, 1, 0, 2], [1, 1, 1, 0, 0]]], dtype=np.uint8)
    found = cleaned(labels, ANIMALS, Cleaning(holes=True))
    assert found.tolist() == [[[1, 1, 1, 0, 0], [1, 1, 1, 0, 0], [1, 2, 1, 0, 2], [1, 1, 1, 0, 0]]]
    assert labels[0, 1, 1] == 0


def test_nothing_is_cleaned_unless_asked_and_never_without_a_background() -> None:
    labels = np.zeros((1, 2, 2), dtype=np.uint8)
    assert cleaned(labels, BINARY, Cleaning()) is labels
    with pytest.raises(ValueError, match="labels without a background can't be cleaned"):
        cleaned(labels, config_for("multiclass"), Cleaning(largest=True))


def test_a_report_says_what_was_read_decided_and_found() -> None:
    logits = torch.full((2, 1, 4, 5), -2.0)
    logits[0, 0, 1:3, 1:4] = 3.0  # 6 voxels
    grid = Grid((5, 4, 2), np.diag([10.0, 10.0, 5.0, 1.0]))  # half a millilitre each
    picture = np.zeros((2, 4, 5, 3), dtype=np.uint8)
    found = dataclasses.replace(segmented(logits, picture, BINARY), notices=("Look.",), model="a model")
    found = dataclasses.replace(found, image=dataclasses.replace(found.image, place=Volume(grid), facts=("a CT",)))
    told = found.report([0.4])
    assert told["model"] == "a model"
    assert told["notices"] == ["Look."]
    assert told["decided_by"] == {"liver": 0.4}
    assert told["cleaning"] is None
    assert "2 slices of 5 x 4 pixels" in told["read"]
    assert "a CT" in told["read"]
    background, liver = told["labels"]
    assert background == {
        "name": "background",
        "label": 0,
        "pixels": 34,
        "share": 0.85,
        "volume_ml": 17.0,
        "mean_probability": None,
    }
    assert liver == {
        "name": "liver", "label": 1, "pixels": 6, "share": 0.15, "volume_ml": 3.0, "pieces": 1, "slices": [1, 1],
        "mean_probability": pytest.approx(1 / (1 + np.exp(-3)), abs=1e-4),
    }  # fmt: skip
    assert found.report(cleaning=Cleaning(minimum=7))["labels"][1]["pixels"] == 0
    assert found.report(cleaning=Cleaning(minimum=7))["cleaning"] == {"largest": False, "minimum": 7, "holes": False}


def test_only_what_is_valid_counts() -> None:
    labels = np.array([[[1, 1], [0, 0]]], dtype=np.uint8)
    valid = np.array([[[True, False], [True, True]]])
    background, liver = measured(labels, [None, 0.9], image_of(labels, valid=valid), BINARY)
    assert (background["pixels"], liver["pixels"]) == (2, 1)
    assert liver["share"] == pytest.approx(1 / 3, abs=1e-5)
    assert liver["mean_probability"] == 0.9


def test_more_pieces_than_16_bits_can_number_are_counted() -> None:
    labels = np.zeros((1, 600, 600), dtype=np.uint8)
    labels[0, ::2, ::2] = 1  # 90,000 spots
    assert measured(labels, [None, 0.0], image_of(labels), BINARY)[1]["pieces"] == 90_000
    assert (cleaned(labels, BINARY, Cleaning(minimum=2)) == 0).all()
