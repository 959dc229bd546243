"""Temperatures and thresholds, on logits whose true calibration is known."""

import numpy as np
import pytest
import torch
from configs import config_for
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics.functional.classification import binary_calibration_error

from unetseg import IGNORE, ConfusionMatrix, SegmentationConfig
from unetseg.prepare import working_grid
from unetseg.scores.calibration import (
    BINS,
    EQUALLY_GOOD,
    NEAR,
    THRESHOLDS,
    Reliability,
    Sample,
    calibrated,
    curves,
    joined,
    sample,
    trust,
    uncalibrated,
)
from unetseg.task import activate, decode


def honest(config: SegmentationConfig, pixels: int, *, seed: int = 0, spread: float = 1.5) -> Sample:
    """Pixels whose labels are drawn with the probabilities that their logits say; half of them near a boundary.

    Sigmoids can't all be right, as a pixel has one label only; one alone can.
    """
    random = np.random.default_rng(seed)
    logits = random.normal(0, spread, (len(config.outputs), pixels)).astype(np.float32)
    p = activate(torch.from_numpy(logits)[None, :, None], uncalibrated(config))[0, :, 0].numpy().astype(float)
    if config.exclusive or config.background is None:
        labels = (random.random(pixels) < p.cumsum(axis=0) / p.sum(axis=0)).argmax(axis=0)
    else:
        labels = np.zeros(pixels)
        for k, row in enumerate(p):
            labels[random.random(pixels) < row] = k + 1
    return Sample(torch.from_numpy(logits), labels.astype(np.uint8), np.arange(pixels) % 2 == 0)


def louder(pixels: Sample, factor: float, where: np.ndarray | None = None) -> Sample:
    """The same pixels, surer than they should be: all, or some of them."""
    logits = pixels.logits.clone()
    chosen = torch.ones(logits.shape[1], dtype=torch.bool) if where is None else torch.from_numpy(where)
    logits[:, chosen] *= factor
    return Sample(logits, pixels.labels, pixels.near)


@pytest.mark.parametrize("kind", ["binary", "multiclass", "multiclass with background"])
@pytest.mark.parametrize("factor", [0.6, 1.0, 2.5])
def test_the_temperature_is_how_much_too_sure_the_network_is(kind: str, factor: float) -> None:
    config = config_for(kind)
    pixels = louder(honest(config, 40_000), factor)
    found = calibrated(config, pixels)
    assert found.temperatures == (pytest.approx(factor, rel=0.06),)
    assert trust(pixels, found).everywhere.errors.max() < 0.012


def test_each_sigmoid_has_a_temperature_of_its_own() -> None:
    config = config_for("one-vs-rest with background")
    # rare enough that a pixel of one class is hardly ever one of another, too
    random = np.random.default_rng(1)
    logits = (random.normal(-3.5, 1, (3, 60_000))).astype(np.float32)
    labels = np.zeros(60_000, dtype=np.uint8)
    for k in range(3):
        labels[random.random(60_000) < 1 / (1 + np.exp(-logits[k]))] = k + 1
    factors = (0.7, 1.5, 2.0)
    pixels = Sample(torch.from_numpy(logits) * torch.tensor(factors)[:, None], labels, np.arange(60_000) % 2 == 0)
    assert calibrated(config, pixels).temperatures == pytest.approx(factors, rel=0.12)


@given(seed=st.integers(0, 1000), factor=st.floats(0.3, 4), pixels=st.integers(0, 200))
@settings(max_examples=25)
def test_near_a_boundary_calibration_never_makes_it_worse(
    config: SegmentationConfig, seed: int, factor: float, pixels: int
) -> None:
    some = honest(config, pixels, seed=seed)
    some = louder(some, factor, ~some.near)
    found = calibrated(config, some)
    assert SegmentationConfig.model_validate(found.model_dump()) == found
    before, after = trust(some, uncalibrated(config)), trust(some, found)
    if config.exclusive:
        assert after.near.errors.mean() <= before.near.errors.mean() + 1e-9
    else:
        assert (after.near.errors <= before.near.errors + 1e-9).all()


def test_a_temperature_for_all_pixels_that_spoils_the_boundary_is_not_taken() -> None:
    """Nine of ten pixels are far away and too sure; those near a boundary are honest already."""
    config = config_for("binary")
    pixels = honest(config, 40_000)
    pixels = Sample(pixels.logits, pixels.labels, np.arange(40_000) % 10 == 0)
    pixels = louder(pixels, 3, ~pixels.near)
    all_alike = calibrated(config, Sample(pixels.logits, pixels.labels, np.ones(40_000, dtype=bool)))
    assert all_alike.temperatures[0] > 2
    assert calibrated(config, pixels).temperatures[0] == pytest.approx(1, abs=0.1)


def test_calibrating_again_changes_nothing(config: SegmentationConfig) -> None:
    pixels = louder(honest(config, 3000), 2)
    once = calibrated(config, pixels)
    assert once != config
    assert calibrated(once, pixels) == once
    others = config.model_copy(update={"thresholds": tuple(0.9 for _ in config.thresholds)})
    assert calibrated(others, pixels) == once


def test_the_threshold_is_the_one_nearest_to_a_half_of_those_whose_labels_have_the_best_dice() -> None:
    config = config_for("binary")
    pixels = honest(config, 4000)
    found = calibrated(config, pixels)
    dice = []
    for threshold in THRESHOLDS:
        matrix = ConfusionMatrix(config)
        labels = decode(pixels.logits[None, :, None], found, [threshold])[0].numpy()
        matrix.update(pixels.labels[None], labels)
        dice.append(matrix.dice["liver"])
    good = [t for t, value in zip(THRESHOLDS, dice, strict=True) if value >= max(dice) - EQUALLY_GOOD]
    assert 0 < len(good) < len(THRESHOLDS)
    assert found.thresholds[0] == min(good, key=lambda t: abs(t - 0.5))
    assert curves(pixels, found)["liver"]["dice"] == pytest.approx(dice, abs=1e-5)


def test_curves_are_those_of_each_class_alone(config: SegmentationConfig) -> None:
    pixels = honest(config, 500)
    found = curves(pixels, config)
    first = len(config.labels) - len(config.outputs)
    for k, name in enumerate(config.outputs):
        p, truth = pixels.probabilities(config)[k], pixels.labels == first + k
        for i in (0, 30, 49, 98):
            claimed = p >= np.float32(THRESHOLDS[i])
            hits = (claimed & truth).sum()
            assert found[name]["precision"][i] == (
                pytest.approx(hits / claimed.sum(), abs=1e-5) if claimed.any() else None
            )
            assert found[name]["recall"][i] == pytest.approx(hits / truth.sum(), abs=1e-5)


@given(seed=st.integers(0, 200))
@settings(max_examples=15)
def test_the_labels_of_several_classes_are_never_worse_than_with_one_half(seed: int) -> None:
    config = config_for("one-vs-rest with background")
    pixels = honest(config, 300, seed=seed)
    found = calibrated(config, pixels)
    dice = []
    for thresholds in (found.thresholds, (0.5, 0.5, 0.5)):
        matrix = ConfusionMatrix(config)
        matrix.update(pixels.labels[None], decode(pixels.logits[None, :, None], found, thresholds)[0].numpy())
        dice.append(np.mean(list(matrix.dice.values())))
    assert dice[0] >= dice[1]


def test_a_class_that_no_pixel_has_stays_as_it_is(config: SegmentationConfig) -> None:
    pixels = honest(config, 800)
    absent = config.labels.index(config.classes[-1])
    keep = pixels.labels != absent
    some = Sample(pixels.logits[:, torch.from_numpy(keep)] * 3, pixels.labels[keep], pixels.near[keep])
    found = calibrated(config, some)
    assert found.thresholds[-1] == 0.5
    if not config.exclusive:
        assert found.temperatures[-1] == 1.0


def test_nothing_to_fit_on_leaves_everything(config: SegmentationConfig) -> None:
    assert calibrated(config, honest(config, 0)) == uncalibrated(config)


def test_the_error_is_that_of_torchmetrics() -> None:
    config = config_for("one-vs-rest with background")
    pixels = honest(config, 5000)
    found = trust(pixels, config)
    p, truth = pixels.probabilities(config), pixels.truth(config)
    for mask, table in ((np.ones(5000, dtype=bool), found.everywhere), (pixels.near, found.near)):
        for k in range(3):
            expected = binary_calibration_error(
                torch.from_numpy(p[k, mask]), torch.from_numpy(truth[k, mask]).long(), n_bins=BINS, norm="l1"
            )
            assert table.errors[k] == pytest.approx(expected.item(), abs=1e-5)


def test_bins_hold_their_pixels_mean_probability_and_share() -> None:
    table = Reliability(config_for("binary"))
    table.update(np.array([[0.01, 0.03, 0.99, 1.0]], dtype=np.float32), np.array([[False, True, True, True]]))
    bins = table.bins()["liver"]
    assert bins["pixels"] == [2, *[0] * (BINS - 2), 2]
    assert bins["probability"] == [0.02, *[None] * (BINS - 2), 0.995]
    assert bins["frequency"] == [0.5, *[None] * (BINS - 2), 1.0]
    assert table.errors == pytest.approx([(2 * 0.48 + 2 * 0.005) / 4])


def test_tables_of_pictures_add_up(config: SegmentationConfig) -> None:
    one, two = honest(config, 300, seed=1), honest(config, 200, seed=2)
    total, whole = trust(one, config) + trust(two, config), trust(joined([one, two]), config)
    assert total.summary() == whole.summary()
    assert total.bins() == whole.bins()


def test_a_sample_pairs_each_logit_with_the_label_of_its_own_pixel() -> None:
    config = config_for("binary", working_size=32)
    truth = np.zeros((64, 48), dtype=np.uint8)
    truth[20:40, 10:30] = 1
    truth[:4] = IGNORE
    logits = torch.from_numpy(truth.astype(np.float32) * 1000)[None] + torch.arange(48.0)  # (1,64,48)
    found = sample(logits, truth, config)
    rows, columns = working_grid(64, 48, config)
    assert (len(rows), len(columns)) == (32, 24)
    assert len(found.labels) == 30 * 24  # two rows of the 32 are ignored
    assert ((found.logits[0] >= 1000).numpy() == (found.labels == 1)).all()


def test_near_is_counted_in_pixels_of_the_working_size() -> None:
    config = config_for("binary", working_size=64)
    truth = np.zeros((256, 256), dtype=np.uint8)
    truth[:, 128:] = 1
    found = sample(torch.from_numpy(truth * 2.0 - 1)[None], truth, config)
    near = found.near.reshape(64, 64)
    assert near.all(axis=0).sum() == near.any(axis=0).sum() == 2 * (NEAR + 1)


def test_near_is_beside_a_predicted_boundary_too_whatever_the_temperature() -> None:
    config = config_for("binary")
    truth = np.zeros((40, 40), dtype=np.uint8)
    logits = torch.full((1, 40, 40), -5.0)
    assert not sample(logits, truth, config).near.any()
    logits[:, :, 35:] = 0.1
    near = sample(logits, truth, config).near.reshape(40, 40)
    assert near[0].tolist() == [x >= 34 - NEAR for x in range(40)]
    hot = config.model_copy(update={"temperatures": (3.0,), "thresholds": (0.9,)})
    assert (sample(logits, truth, hot).near == near.ravel()).all()


def test_a_large_picture_gives_evenly_spread_pixels_up_to_the_limit() -> None:
    config = config_for("binary")
    logits = torch.arange(100.0 * 80).reshape(1, 100, 80)
    found = sample(logits, np.zeros((100, 80), dtype=np.uint8), config, limit=500)
    assert 400 < len(found.labels) <= 500
    rows = np.unique(found.logits.numpy() // 80)
    assert set(np.diff(rows)) <= {3, 4, 5}
    assert found.logits.mean().item() == pytest.approx(logits.mean().item(), rel=0.02)
