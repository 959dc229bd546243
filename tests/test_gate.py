"""How far a picture is from the training's: windows, distances, turns; and the file, bound to its weights."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from configs import config_for, network_for
from hypothesis import given
from hypothesis import strategies as st

from unetseg import SegmentationConfig, UNet
from unetseg.files import GATE, WEIGHTS
from unetseg.gate import AFTER, INVERTED, NEAREST, VIEWS, Gate, features, fitted, pooled, turned, turned_back

CONFIG = config_for("binary")


def known(count: int = 40, seed: int = 0, config: SegmentationConfig = CONFIG) -> torch.Tensor:
    return torch.randn(count, features(config), generator=torch.Generator().manual_seed(seed))


def intensities(config: SegmentationConfig = CONFIG) -> torch.Tensor:
    return torch.linspace(0, 1, 7).repeat(len(config.channels), 1)


# --- turns ------------------------------------------------------------------------------------------------------


def test_the_eight_views_are_all_turns_and_mirror_images_each_once() -> None:
    mark = torch.arange(6).view(2, 3)
    views = [turned(mark, view).tolist() for view in range(INVERTED)]
    assert all(one != other for one, other in itertools.combinations(views, 2))


@given(st.integers(0, INVERTED - 1), st.integers(0, INVERTED - 1))
def test_views_are_undone_and_follow_each_other(first: int, then: int) -> None:
    x = torch.rand(2, 3, 5)
    assert torch.equal(turned_back(turned(x, first), first), x)
    assert torch.equal(turned(turned(x, first), then), turned(x, AFTER[first][then]))


# --- windows ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("side", "windows"), [(16, 1), (256, 1), (512, 4), (640, 4), (960, 16)])
def test_a_picture_is_compared_in_windows_of_about_256_pixels(side: int, windows: int) -> None:
    network = UNet(CONFIG).eval()
    with torch.no_grad():
        found = network.features(torch.rand(2, len(CONFIG.channels), side, side))
    assert found.shape == (2, windows, features(CONFIG))


def test_features_are_means_and_standard_deviations_of_the_deepest_maps() -> None:
    maps = [torch.rand(1, 2, 16 // 2**depth, 24 // 2**depth) for depth in range(4)]
    expected = [value for x in maps[-3:] for value in (x.mean(dim=(2, 3)), x.flatten(2).std(dim=2, correction=0))]
    torch.testing.assert_close(pooled(maps)[0], torch.cat(expected, dim=1))


def test_features_and_logits_come_from_one_pass_that_changes_neither() -> None:
    network, x = network_for(CONFIG).eval(), torch.rand(1, len(CONFIG.channels), 32, 48)
    with torch.no_grad():
        logits, found = network.with_features(x)
        torch.testing.assert_close(logits, network(x))
        torch.testing.assert_close(found, network.features(x))


# --- distances --------------------------------------------------------------------------------------------------


def test_a_picture_is_the_farther_the_more_it_differs() -> None:
    gate = fitted(known(), intensities())
    near = known(1)[None]
    distances = [float(gate.distances(near + shift)) for shift in (0.0, 1.0, 3.0, 10.0)]
    assert distances == sorted(distances)
    assert distances[0] < distances[2] / 2


def test_the_distance_is_the_mean_to_the_nearest_and_over_windows() -> None:
    plain = replace(fitted(known(), intensities()), basis=torch.eye(features(CONFIG)), known=known())
    plain = replace(plain, center=torch.zeros(features(CONFIG)), spread=torch.ones(features(CONFIG)))
    two = known(2, seed=1)
    each = torch.stack([(known() - x).norm(dim=1).sort().values[:NEAREST].mean() for x in two])
    torch.testing.assert_close(plain.distances(two[None]), each.mean()[None])
    torch.testing.assert_close(plain.distances(two[:, None]), each)


def test_the_classifier_tells_views_and_all_eight_together_tell_better() -> None:
    """Each view has features of its own, and noise: one look errs now and then, eight that must agree don't."""
    mean = known(VIEWS, seed=2)

    def seen(view: int, count: int, seed: int) -> torch.Tensor:
        return mean[view] * 0.3 + known(count, seed)

    gate = fitted(known(), intensities(), views=[seen(view, 60, view) for view in range(VIEWS)])
    right_once = right_together = 0
    for number, lies in itertools.product(range(10), range(INVERTED)):
        looks = torch.cat(
            [gate.seen_as(seen(AFTER[lies][g], 1, 1000 + 99 * number + g)[None]) for g in range(INVERTED)]
        )
        right_once += int(looks[0].argmax()) == lies
        right_together += gate.view(looks)[0] == lies
    assert right_once < right_together
    assert right_together >= 76
    assert gate.view(torch.eye(VIEWS)[[AFTER[3][g] for g in range(INVERTED)]])[0] == 3


# --- the file ---------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return network_for(CONFIG).save_pretrained(tmp_path / "checkpoint")


def written(folder: Path, gate: Gate) -> Path:
    (folder / GATE).write_bytes(gate.save((folder / WEIGHTS).read_bytes()))
    return folder


def test_a_gate_is_saved_and_loaded_with_its_weights(folder: Path) -> None:
    assert Gate.load(folder, CONFIG) is None
    views = [known(5, seed) for seed in range(VIEWS)]
    gate = replace(fitted(known(), intensities(), views=views), limit=2.5, margin=0.5)
    back = Gate.load(written(folder, gate), CONFIG)
    assert back is not None
    assert (back.limit, back.margin) == (2.5, 0.5)
    for name in ("center", "spread", "basis", "known", "intensities", "views"):
        assert torch.equal(getattr(back, name), getattr(gate, name))
    without = Gate.load(written(folder, replace(gate, limit=None, views=None)), CONFIG)
    assert without is not None
    assert (without.limit, without.views) == (None, None)


def test_it_goes_with_the_checkpoint_as_long_as_the_weights_are_the_same(folder: Path, tmp_path: Path) -> None:
    written(folder, fitted(known(), intensities()))
    network = UNet.from_pretrained(folder)
    assert Gate.load(network.save_pretrained(tmp_path / "same"), CONFIG) is not None
    with torch.no_grad():
        network.head.bias += 1
    assert Gate.load(network.save_pretrained(tmp_path / "changed"), CONFIG) is None


def test_a_gate_of_other_weights_is_refused(folder: Path) -> None:
    (folder / GATE).write_bytes(fitted(known(), intensities()).save(b"other weights"))
    with pytest.raises(ValueError, match=r"gate\.safetensors belongs to other weights than model\.safetensors"):
        Gate.load(folder, CONFIG)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"center": torch.zeros(3)}, r"is no gate of this network: center is float32 \(3,\), expected float32 \(24,\)"),
        ({"known": torch.zeros(0, 24)}, r"is no gate of this network: known is float32 \(0, 24\)"),
        ({"known": torch.zeros(())}, r"is no gate of this network: known is float32 \(\)"),
        ({"basis": torch.zeros(())}, "is no gate of this network: basis is float32"),
        ({"views": torch.zeros(2, 2)}, r"is no gate of this network: views is float32 \(2, 2\)"),
        ({"center": torch.zeros(24, dtype=torch.float64)}, "center is float64 .24,., expected float32 .24,."),
        ({"spread": torch.full((24,), torch.nan)}, "is damaged: spread holds what is no such number"),
        ({"spread": torch.zeros(24)}, "is damaged: spread holds what is no such number"),
        ({"center": torch.full((24,), 3e38)}, "is damaged: center holds what is no such number"),
        ({"limit": torch.inf}, "is damaged: limits holds what is no such number"),
        ({"limit": -1.0}, "is damaged: limits holds what is no such number"),
        ({"margin": torch.nan}, "is damaged: limits holds what is no such number"),
    ],
)
def test_what_is_no_gate_of_the_network_is_refused(folder: Path, change: dict[str, Any], message: str) -> None:
    gate = fitted(known(), intensities())
    with pytest.raises(ValueError, match=message):
        Gate.load(written(folder, replace(gate, **change)), CONFIG)


def test_a_damaged_or_too_large_file_is_refused(folder: Path) -> None:
    (folder / GATE).write_bytes(b"no safetensors")
    with pytest.raises(ValueError, match=r"is not a whole safetensors file"):
        Gate.load(folder, CONFIG)
    (folder / GATE).write_bytes(bytes(2_000_001))
    with pytest.raises(ValueError, match=r"has 2,000,001 bytes, expected at most 2,000,000"):
        Gate.load(folder, CONFIG)


def test_the_gates_of_large_networks_stay_below_their_limit() -> None:
    for widths in ((64, 128, 256, 512, 1024), (64, 128, 256, 512, 1024, 1024)):
        count = features(config_for("binary", widths=widths))
        gate = fitted(torch.randn(2000, count), intensities(), views=[torch.randn(9, count) for _ in range(VIEWS)])
        assert len(gate.save(b"")) < 2_000_000
