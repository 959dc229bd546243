"""What can be done to a picture: geometry that comes back, contrast, words; and which change is proposed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from configs import config_for
from hypothesis import given
from hypothesis import strategies as st
from test_gate import intensities, known

from unetseg.change import AS_IT_IS, SIZES, Change, nearest, upright
from unetseg.gate import AFTER, INVERTED, VIEWS, fitted, turned

CONFIG = config_for("binary")
views = st.integers(0, INVERTED - 1)


@given(views)
def test_pixels_values_and_logits_turn_alike_and_come_back(view: int) -> None:
    pixels = np.random.default_rng(view).integers(0, 255, (2, 3, 5, 1), dtype=np.uint8)
    change = Change(view=view)
    x = torch.from_numpy(pixels).permute(0, 3, 1, 2).float()
    by_pixels = torch.from_numpy(np.moveaxis(change.pixels(pixels), -1, 1).copy()).float()
    assert torch.equal(by_pixels, change.values(x))
    assert torch.equal(change.back(by_pixels), x)


@given(views)
def test_what_brings_upright_does(view: int) -> None:
    x = torch.rand(1, 1, 3, 5)
    assert torch.equal(upright(view).values(turned(x, view)), x)


def test_contrast_is_the_same_for_stored_numbers_and_for_values() -> None:
    stored = torch.linspace(0, 200, 21)[None]
    for change in (Change(inverted=True), Change(window=(0.2, 0.7)), Change(window=(0.2, 0.7), inverted=True)):
        pair = change.between(((0.0, 200.0),), 1)
        assert pair is not None
        low, high = pair[0]
        shown = ((stored - low) / (high - low)).clamp(0, 1)
        torch.testing.assert_close(shown, change.values(stored / 200))
    assert AS_IT_IS.between(None, 1) is None
    assert Change(inverted=True).between(None, 2) == ((1.0, 0.0), (1.0, 0.0))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (Change(view=1), "mirrored left to right"),
        (Change(view=4), "turned upside down"),
        (Change(inverted=True), "inverted"),
        (Change(window=(0.4, 0.6)), "shown from 40% to 60% of its grey range"),
        (Change(zoom=2.0), "enlarged to 2 times its size"),
        (Change(zoom=0.5, view=2), "turned by a quarter to the left and reduced to 0.5 times its size"),
    ],
)
def test_a_change_in_words(change: Change, words: str) -> None:
    assert str(change) == words


@pytest.mark.parametrize(
    "right", [Change(inverted=True), Change(zoom=SIZES[0]), Change(zoom=SIZES[1]), Change(window=(0.4, 0.6))], ids=str
)
def test_the_nearest_change_is_proposed_where_it_is_clearly_nearer(right: Change) -> None:
    gate = replace(fitted(known(), intensities()), limit=1.0)
    x = torch.full((1, 1, 8, 8), 0.52)

    def kind(change: Change) -> object:
        return type(change), change.inverted, change.zoom, change.window is not None

    def features(change: Change) -> torch.Tensor:
        return known(1)[None] + (0.0 if kind(change) == kind(right) else 5.0)

    found = nearest(gate, features, x, contrast=True, sizes=True)
    assert found is not None
    assert kind(found) == kind(right)
    assert nearest(gate, lambda _: known(1)[None] + 5, x, contrast=True, sizes=True) is None
    assert nearest(gate, lambda _: known(1)[None], x, contrast=True, sizes=True) is None
    assert nearest(replace(gate, limit=None), features, x, contrast=True, sizes=True) is None
    refused = nearest(gate, features, x, contrast=False, sizes=False)
    assert (refused is None) == (kind(right) != kind(Change(inverted=True)))


def test_windows_are_tried_about_the_most_frequent_grey() -> None:
    gate = replace(fitted(known(), intensities()), limit=1.0)
    x = torch.zeros(1, 1, 16, 16)
    x[..., 4:12] = 0.45
    tried = []

    def features(change: Change) -> torch.Tensor:
        tried.append(change.window)
        return known(1)[None] + 5

    nearest(gate, features, x, contrast=True, sizes=False)
    windows = [window for window in tried if window is not None]
    assert len(windows) >= 5
    assert all(low < 0.45 < high for low, high in windows)


def test_a_turn_needs_its_margin() -> None:
    mean = known(VIEWS, seed=2)
    gate = fitted(known(), intensities(), views=[mean[view] + 0.1 * known(30, view) for view in range(VIEWS)])
    x = torch.zeros(1, 1, 4, 4)

    def features(change: Change) -> torch.Tensor:  # of a picture that lies in view 5
        return mean[AFTER[5][change.view]][None, None]

    assert nearest(gate, features, x, contrast=True, sizes=True) == upright(5)
    assert nearest(replace(gate, margin=1e9), features, x, contrast=True, sizes=True) is None
    inverted = mean[INVERTED][None, None]
    assert nearest(gate, lambda _: inverted, x, contrast=True, sizes=True) == Change(inverted=True)
    far = 4 * inverted
    near = replace(gate, limit=float(gate.distances(far)) * 0.9)
    assert nearest(near, lambda _: far, x, contrast=False, sizes=False) is None, "no nearer when it is changed"
    better = nearest(near, lambda change: known(1)[None] if change.inverted else far, x, contrast=False, sizes=False)
    assert better == Change(inverted=True)
