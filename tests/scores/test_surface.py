"""Distances between outlines, against looking at every pair of pixels."""

import time
import tracemalloc

import numpy as np
import pytest
from configs import config_for
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from unetseg import IGNORE
from unetseg.scores.surface import BLOCK, CHUNK, TOLERANCE, SurfaceScores, distances, label_borders, outline, within

Mask = NDArray[np.bool_]
SHAPES = st.tuples(st.integers(1, 9), st.integers(1, 9))
PAIRS = SHAPES.flatmap(lambda shape: st.tuples(arrays(bool, shape), arrays(bool, shape)))


def all_distances(start: Mask, goal: Mask) -> NDArray[np.float64]:
    """From each pixel of one mask to each of the other."""
    gaps = np.argwhere(start)[:, None] - np.argwhere(goal)[None]
    return np.sqrt((gaps**2).sum(axis=2))


def square(left: int, size: int = 12, height: int = 40) -> NDArray[np.uint8]:
    labels = np.zeros((height, 40), dtype=np.uint8)
    labels[10 : 10 + size, left : left + size] = 1
    return labels


def scored(truth: NDArray[np.uint8], prediction: NDArray[np.uint8]) -> SurfaceScores:
    scores = SurfaceScores(config_for("binary"))
    scores.update(truth, prediction)
    return scores


@given(PAIRS)
def test_distances_are_the_least_over_all_pairs(pair: tuple[Mask, Mask]) -> None:
    start, goal = pair
    found = distances(start, goal)
    expected = all_distances(start, goal).min(axis=1) if goal.any() else np.full(start.sum(), np.inf)
    np.testing.assert_allclose(found, expected)


def test_distances_across_a_large_picture_are_exact() -> None:
    start, goal = np.zeros((2, 300, 400), dtype=bool)
    start[0, 0], start[299, 3], goal[299, 399], goal[0, 350] = True, True, True, True
    assert distances(start, goal).tolist() == [350.0, 396.0]


@given(st.integers(0, 10**6), st.integers(1, 12))
@settings(max_examples=20, deadline=None)
def test_distances_are_exact_over_many_blocks_of_rows_and_many_pixels(seed: int, goals: int) -> None:
    random = np.random.default_rng(seed)
    start, goal = np.zeros((2, 6 * BLOCK + 7, 30), dtype=bool)
    start[:, :24] = True
    goal.flat[random.integers(0, goal.size, goals)] = True
    assert start.sum() > CHUNK
    np.testing.assert_array_equal(distances(start, goal), all_distances(start, goal).min(axis=1))


def test_what_is_far_takes_no_longer_and_memory_is_that_of_the_picture() -> None:
    """Half of a picture against a slanting line: the nearest row is neither that of the pixel nor a near one."""
    start, goal = np.zeros((2, 1200, 1000), dtype=bool)
    start[:, :80] = True
    goal[np.arange(1200), 999 - np.arange(1200) // 3] = True
    begin = time.process_time()
    found = distances(start, goal)
    assert time.process_time() - begin < 5
    y, x = 300, 40
    assert found[y * 80 + x] == np.hypot(*(np.argwhere(goal) - (y, x)).T).min()
    few = start & (np.arange(1000) == 3)
    tracemalloc.start()
    distances(few, goal)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 25 * goal.size


@given(PAIRS, st.integers(0, 3), st.integers(0, 3))
def test_empty_surroundings_change_no_score(pair: tuple[Mask, Mask], above: int, left: int) -> None:
    truth, prediction = (mask.astype(np.uint8) for mask in pair)
    wide = (np.pad(labels, ((1 + above, 2), (1 + left, 1))) for labels in (truth, prediction))
    assert scored(*wide).summary() == scored(np.pad(truth, 1), np.pad(prediction, 1)).summary()


@given(arrays(bool, SHAPES), st.integers(0, 12))
def test_within_is_what_is_no_farther_than_that(mask: Mask, distance: int) -> None:
    everywhere = np.ones(mask.shape, dtype=bool)
    expected = (distances(everywhere, mask) <= distance).reshape(mask.shape)
    assert (within(mask, distance) == expected).all()


@given(arrays(bool, SHAPES))
def test_an_outline_is_what_touches_the_outside_over_an_edge(mask: Mask) -> None:
    height, width = mask.shape
    for y, x in np.ndindex(mask.shape):
        neighbours = ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1))
        open_ = any(not (0 <= r < height and 0 <= c < width and mask[r, c]) for r, c in neighbours)
        assert outline(mask)[y, x] == (mask[y, x] and open_)


@given(arrays(np.uint8, SHAPES, elements=st.sampled_from([0, 1, 2, IGNORE])))
def test_borders_lie_on_both_sides_of_a_change_and_not_beside_the_unknown(labels: NDArray[np.uint8]) -> None:
    height, width = labels.shape
    for y, x in np.ndindex(labels.shape):
        beside = [
            labels[r, c]
            for r, c in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1))
            if 0 <= r < height and 0 <= c < width
        ]
        known = labels[y, x] != IGNORE
        assert label_borders(labels)[y, x] == (known and any(b not in (labels[y, x], IGNORE) for b in beside))


def test_the_same_outline_is_no_distance_away() -> None:
    summary = scored(square(5), square(5)).summary()["liver"]
    assert (summary["surface_dice_2_pixels"], summary["hd95_pixels_median"], summary["slices"]) == (1.0, 0.0, 1)


def test_a_shift_within_the_tolerance_costs_nothing_and_one_beyond_does() -> None:
    assert scored(square(5), square(5 + TOLERANCE)).surface_dice == {"liver": 1.0}
    far = scored(square(5), square(8))
    # of the upper and lower edges all but the last pixels lie on each other
    assert 0.4 < far.surface_dice["liver"] < 0.8
    assert far.summary()["liver"]["hd95_pixels_worst"] == 3.0


def test_the_farther_direction_counts_and_the_last_twentieth_does_not() -> None:
    """A speck far away: the way there is short for each pixel of the truth, the way back long for the speck's."""
    prediction = square(5)
    prediction[38, 38] = 1
    assert scored(square(5), prediction).summary()["liver"]["hd95_pixels_median"] == 0.0
    prediction[32:38, 32:38] = 1
    assert scored(square(5), prediction).summary()["liver"]["hd95_pixels_median"] > 15


@given(PAIRS)
def test_scores_are_those_of_all_pairs(pair: tuple[Mask, Mask]) -> None:
    truth, prediction = (mask.astype(np.uint8) for mask in pair)
    summary = scored(truth, prediction).summary()["liver"]
    ours, theirs = outline(pair[0]), outline(pair[1])
    if not ours.any() or not theirs.any():
        assert summary["hd95_pixels_median"] is None
        assert (summary["empty_predictions"], summary["empty_truths"]) == (int(ours.any()), int(theirs.any()))
        assert summary["surface_dice_2_pixels"] == (0.0 if ours.any() or theirs.any() else None)
        return
    table = all_distances(ours, theirs)
    there, back = table.min(axis=1), table.min(axis=0)
    hd95 = max(np.percentile(there, 95), np.percentile(back, 95))
    close = ((there <= TOLERANCE).sum() + (back <= TOLERANCE).sum()) / (len(there) + len(back))
    assert summary["hd95_pixels_mean"] == pytest.approx(hd95)
    assert summary["surface_dice_2_pixels"] == pytest.approx(close)


def test_slices_add_up_and_empty_ones_are_counted_apart() -> None:
    empty = np.zeros((40, 40), dtype=np.uint8)
    total = (
        scored(square(5), square(9)) + scored(square(5), empty) + scored(empty, square(5)) + scored(empty, empty)
        + scored(square(5), square(5))
    )  # fmt: skip
    summary = total.summary()["liver"]
    assert (summary["slices"], summary["empty_predictions"], summary["empty_truths"]) == (2, 1, 1)
    assert (summary["hd95_pixels_mean"], summary["hd95_pixels_worst"]) == (2.0, 4.0)
    # what is missed or invented is close to nothing
    assert total.surface_dice["liver"] < scored(square(5), square(9)).surface_dice["liver"]


def test_what_the_truth_ignores_belongs_to_no_class() -> None:
    truth, prediction = square(5), square(5)
    truth[:, 30:], prediction[0:4, 32:36] = IGNORE, 1
    assert scored(truth, prediction).summary() == scored(square(5), square(5)).summary()


def test_classes_are_told_apart_where_there_is_no_background() -> None:
    config = config_for("multiclass")  # 0 land, 1 road, 2 water
    scores = SurfaceScores(config)
    scores.update(square(5), square(5) * 2)
    summary = scores.summary()
    assert summary["land"]["surface_dice_2_pixels"] == 1.0
    assert (summary["road"]["empty_predictions"], summary["water"]["empty_truths"]) == (1, 1)
