"""The views, drawn from a few pixels that can be worked out by hand."""

import numpy as np
import pytest
import torch
from configs import config_for
from numpy.typing import NDArray

from unetseg.render import as_rgb, colourised, entropy, overlay, palette, probability, resized, thresholded

NOTHING, CAT, DOG, BIRD = (0x10, 0x20, 0x30), (0xE4, 0x57, 0x2E), (0x17, 0xBE, 0xBB), (0xFF, 0xC9, 0x14)
ANIMALS = config_for("one-vs-rest with background")


def row(*pixels: tuple[float, ...]) -> NDArray[np.float32]:
    """Probabilities (K,1,W) of pixels (W,K)."""
    return np.array(pixels, dtype=np.float32).T[:, None]


def grey(*values: int) -> list[list[int]]:
    return [[value] * 3 for value in values]


def test_a_probability_is_a_rounded_grey() -> None:
    view = probability(row((0.0,), (0.5,), (0.002,), (0.0019,), (1.0,)), 0)
    assert view[0].tolist() == grey(0, 128, 1, 0, 255)


def test_without_a_class_the_winners_probability_is_drawn() -> None:
    assert probability(row((0.2, 1.0, 0.0), (0.4, 0.2, 0.4)), None)[0].tolist() == grey(255, 102)


def test_a_class_is_white_from_its_own_threshold_on() -> None:
    probabilities = row((0.9, 0.5, 0.0), (0.9, 0.51, 0.0), (0.0, 0.7, 0.0), (0.9, 0.7, 1.0))
    assert thresholded(probabilities, (0.0, 0.7, 0.0), ANIMALS, 1)[0].tolist() == grey(0, 0, 255, 255)


def test_claims_are_drawn_in_their_colours_two_of_them_mixed_and_none_black() -> None:
    probabilities = row((0.9, 0.1, 0.1), (0.1, 0.1, 0.1), (0.1, 0.6, 0.9), (0.1, 0.9, 0.1))
    mixed = tuple(round((a + b) / 2) for a, b in zip(DOG, BIRD, strict=True))
    view = thresholded(probabilities, (0.5, 0.5, 0.5), ANIMALS, None)
    assert [tuple(pixel) for pixel in view[0].tolist()] == [CAT, (0, 0, 0), mixed, DOG]


def test_without_a_background_the_first_class_has_the_first_colour() -> None:
    view = thresholded(row((0.9, 0.1, 0.1)), (0.5, 0.5, 0.5), config_for("one-vs-rest"), None)
    assert tuple(view[0, 0].tolist()) == NOTHING


def test_a_background_that_is_a_channel_has_its_colour() -> None:
    config = config_for("multiclass with background")
    view = thresholded(row((0.9, 0.1, 0.0), (0.0, 0.0, 1.0)), (0.5, 0.5, 0.5), config, None)
    assert [tuple(pixel) for pixel in view[0].tolist()] == [NOTHING, DOG]


@pytest.mark.parametrize("kind", ["multiclass", "one-vs-rest"])
def test_entropy_is_black_where_a_network_is_sure_and_white_where_it_knows_nothing(kind: str) -> None:
    share = 1 / 3 if kind == "multiclass" else 0.5
    view = entropy(row((1.0, 0.0, 0.0), (share,) * 3), config_for(kind))
    assert view[0].tolist() == grey(0, 255)


def test_entropy_of_an_exclusive_task_is_that_of_all_its_channels() -> None:
    view = entropy(row((0.5, 0.25, 0.25), (0.5, 0.5, 0.0)), config_for("multiclass"), 1)
    bits = np.array([1.5, 1.0]) / np.log2(3)
    assert view[0].tolist() == grey(*np.rint(255 * bits).astype(int).tolist())


def test_entropy_of_independent_classes_is_of_one_or_of_the_least_decided() -> None:
    probabilities = row((0.5, 0.25, 1.0), (0.0, 0.25, 1.0))
    quarter = round(255 * (0.25 * 2 + 0.75 * np.log2(4 / 3)))
    assert entropy(probabilities, ANIMALS, 1)[0].tolist() == grey(quarter, quarter)
    assert entropy(probabilities, ANIMALS)[0].tolist() == grey(255, quarter)


def test_labels_are_painted_in_the_palette() -> None:
    assert palette(ANIMALS).tolist() == [list(color) for color in (NOTHING, CAT, DOG, BIRD)]
    view = colourised(np.array([[3, 0, 1]], dtype=np.uint8), ANIMALS)
    assert [tuple(pixel) for pixel in view[0].tolist()] == [BIRD, NOTHING, CAT]


def test_an_overlay_tints_the_classes_and_leaves_a_background_as_it_is() -> None:
    picture = np.array([[[7, 99, 200], [100, 100, 100], [255, 0, 1]]], dtype=np.uint8)
    view = overlay(picture, np.array([[0, 1, 0]], dtype=np.uint8), ANIMALS, opacity=0.25)
    assert view[0, [0, 2]].tolist() == picture[0, [0, 2]].tolist()
    assert view[0, 1].tolist() == [round(0.75 * 100 + 0.25 * c) for c in CAT]


def test_an_overlay_leaves_out_what_is_hidden_and_lines_what_is_not() -> None:
    labels = np.array([[1, 1, 1, 2], [1, 1, 1, 2], [1, 1, 1, 0]], dtype=np.uint8)
    picture = np.full((3, 4, 3), 100, dtype=np.uint8)
    view = overlay(picture, labels, ANIMALS, opacity=0, hidden=[2], outline=True)
    lined = (view == palette(ANIMALS)[1]).all(axis=2)
    assert lined.tolist() == [[False, False, True, False]] * 3
    assert (view[~lined] == 100).all()


@pytest.mark.parametrize("kind", ["one-vs-rest", "multiclass"])
def test_without_a_background_every_pixel_is_tinted(kind: str) -> None:
    picture = np.full((1, 3, 3), 100, dtype=np.uint8)
    view = overlay(picture, np.array([[0, 1, 2]], dtype=np.uint8), config_for(kind), opacity=1)
    assert [tuple(pixel) for pixel in view[0].tolist()] == [NOTHING, CAT, DOG]


@pytest.mark.parametrize(
    ("channels", "expected"), [(1, [51, 51, 51]), (2, [51, 51, 51]), (3, [51, 102, 153]), (5, [51, 102, 153])]
)
def test_any_number_of_channels_is_shown_as_rgb(channels: int, expected: list[int]) -> None:
    scaled = torch.tensor([0.2, 0.4, 0.6, 0.8, 1.0])[None, :channels, None, None].expand(2, -1, 3, 4)
    rgb = as_rgb(scaled)
    assert (rgb.dtype, rgb.shape) == (np.uint8, (2, 3, 4, 3))
    assert (rgb == expected).all()


def test_a_reduced_picture_is_averaged() -> None:
    board = np.repeat((np.indices((8, 12)).sum(axis=0) % 2 * 200).astype(np.uint8)[..., None], 3, axis=2)
    small = resized(board, 4, 6)
    assert small.shape == (4, 6, 3)
    assert (small == 100).all()
