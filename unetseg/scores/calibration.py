"""How far probabilities can be trusted, and the temperatures and thresholds that make the most of them.

Fitted on pixels that training never saw, always from logits as the network gives them: calibrating a calibrated
checkpoint again changes nothing. Shapes: K output channels, H x W as stored, N pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .. import task
from ..config import IGNORE, SegmentationConfig
from ..prepare import evenly, working_grid
from .metrics import ConfusionMatrix, mean
from .surface import label_borders, within

BINS = 15
NEAR = 10
"""A pixel is near a boundary within so many pixels of it, at the working size."""
HOTTEST = 8
"""The highest temperature that is tried, and its inverse the lowest."""
THRESHOLDS = tuple(i / 100 for i in range(1, 100))
EQUALLY_GOOD = 0.002
"""Thresholds whose Dice is so near to the best count as good: other pictures would rank them differently."""
PIXELS = 2**18
"""At most so many pixels of one picture are looked at, evenly spread: all of 512 x 512."""


@dataclass(frozen=True)
class Sample:
    """Pixels whose label is known. logits: float32 (K,N), uncalibrated. labels: uint8 (N). near: bool (N)."""

    logits: Tensor
    labels: NDArray[np.uint8]
    near: NDArray[np.bool_]

    def probabilities(self, config: SegmentationConfig) -> NDArray[np.float32]:
        """p(class) of each channel, (K,N)."""
        values: NDArray[np.float32] = task.activate(self.logits[None, :, None], config)[0, :, 0].numpy()
        return values

    def truth(self, config: SegmentationConfig) -> NDArray[np.bool_]:
        """Whether each pixel has the class of each channel, (K,N)."""
        first = len(config.labels) - len(config.outputs)
        ids = np.arange(first, len(config.labels), dtype=np.uint8)
        truth: NDArray[np.bool_] = self.labels == ids[:, None]
        return truth


def sample(logits: Tensor, truth: NDArray[np.uint8], config: SegmentationConfig, limit: int = PIXELS) -> Sample:
    """Pixels of one picture: logits (K,H,W) and labels (H,W), both picked at the working size.

    Near a boundary is what lies within NEAR pixels of a change of label in the truth or in the argmax, which no
    temperature moves: before and after are about the same pixels. limit: at most so many pixels, evenly spread.
    """
    height, width = truth.shape
    rows, columns = working_grid(height, width, config)
    logits, truth = logits[:, rows][:, :, columns], truth[np.ix_(rows, columns)]  # (K,h,w), (h,w)
    predicted = task.argmax(logits[None], config)[0].numpy()
    near = within(label_borders(truth) | label_borders(np.where(truth == IGNORE, truth, predicted)), NEAR)
    share = min(1.0, math.sqrt(limit / truth.size))
    rows, columns = (evenly(size, max(1, int(size * share))) for size in truth.shape)
    some = np.ix_(rows, columns)
    known = truth[some] != IGNORE
    return Sample(logits[:, rows][:, :, columns][:, torch.from_numpy(known)], truth[some][known], near[some][known])


def joined(samples: Sequence[Sample]) -> Sample:
    """The pixels of several pictures as one sample."""
    return Sample(
        torch.cat([s.logits for s in samples], dim=1),
        np.concatenate([s.labels for s in samples]),
        np.concatenate([s.near for s in samples]),
    )


class Reliability:
    """By class and bin of p(class): pixels, the sum of p, and how many have the class. Tables add up.

    The error of a class is the mean gap between p and the share of pixels that have it, weighted by pixels: the
    expected calibration error of Guo et al. 2017, arXiv 1706.04599, class by class as in arXiv 1910.12656.
    """

    def __init__(self, config: SegmentationConfig) -> None:
        self.config = config
        self.pixels, self.expected, self.found = np.zeros((3, len(config.outputs), BINS))

    def update(self, probabilities: NDArray[np.float32], truth: NDArray[np.bool_]) -> None:
        """Count pixels: probabilities and truth (K,N)."""
        for k, (p, is_class) in enumerate(zip(probabilities, truth, strict=True)):
            bins = np.minimum((p * BINS).astype(np.int64), BINS - 1)
            self.pixels[k] += np.bincount(bins, minlength=BINS)
            self.expected[k] += np.bincount(bins, weights=p, minlength=BINS)
            self.found[k] += np.bincount(bins[is_class], minlength=BINS)

    def __add__(self, other: Reliability) -> Reliability:
        total = Reliability(self.config)
        for name in ("pixels", "expected", "found"):
            setattr(total, name, getattr(self, name) + getattr(other, name))
        return total

    @property
    def errors(self) -> NDArray[np.float64]:
        """The expected calibration error of each channel (K); 0 without pixels."""
        gaps = np.abs(self.expected - self.found).sum(axis=1)
        errors: NDArray[np.float64] = gaps / np.maximum(self.pixels.sum(axis=1), 1)
        return errors

    def bins(self) -> dict[str, dict[str, list[Any]]]:
        """By class: the pixels of each bin, their mean probability and the share that has the class, None if empty."""
        result: dict[str, dict[str, list[Any]]] = {}
        for k, name in enumerate(self.config.outputs):
            rows = list(zip(self.pixels[k], self.expected[k], self.found[k], strict=True))
            result[name] = {
                "pixels": [int(n) for n, _, _ in rows],
                "probability": [round(float(e / n), 5) if n else None for n, e, _ in rows],
                "frequency": [round(float(f / n), 5) if n else None for n, _, f in rows],
            }
        return result


@dataclass(frozen=True)
class Trust:
    """Reliability on all pixels and on those near a boundary."""

    everywhere: Reliability
    near: Reliability

    def __add__(self, other: Trust) -> Trust:
        return Trust(self.everywhere + other.everywhere, self.near + other.near)

    def summary(self) -> dict[str, Any]:
        """Calibration errors by class and their mean, everywhere and near a boundary."""
        return {
            place: {
                "mean": mean([round(v, 5) for v in table.errors.tolist()]),
                "by_class": dict(zip(table.config.outputs, (round(v, 5) for v in table.errors.tolist()), strict=True)),
            }
            for place, table in (("everywhere", self.everywhere), (f"within_{NEAR}_pixels", self.near))
        }

    def bins(self) -> dict[str, Any]:
        """The bins of both tables."""
        return {"everywhere": self.everywhere.bins(), f"within_{NEAR}_pixels": self.near.bins()}


def trust(pixels: Sample, config: SegmentationConfig) -> Trust:
    """How well p(class) under the temperatures of a config agrees with the labels."""
    both = Trust(Reliability(config), Reliability(config))
    probabilities, truth = pixels.probabilities(config), pixels.truth(config)
    both.everywhere.update(probabilities, truth)
    both.near.update(probabilities[:, pixels.near], truth[:, pixels.near])
    return both


def uncalibrated(config: SegmentationConfig) -> SegmentationConfig:
    """The config with temperatures of 1 and thresholds of 0.5."""
    return config.model_copy(
        update={
            "temperatures": (1.0,) * len(config.temperatures),
            "thresholds": (0.5,) * len(config.thresholds),
        }
    )


def calibrated(config: SegmentationConfig, pixels: Sample) -> SegmentationConfig:
    """The config with temperatures and thresholds fitted to a sample; what it had of them before doesn't matter.

    A temperature fitted on all pixels can make probabilities near boundaries worse, where they matter, and one fitted
    there can make all others worse. So both are fitted, each by the least negative log likelihood, and of these two,
    three between them and 1 the one with the least sum of both calibration errors is taken, among those that don't
    raise the one near boundaries. A threshold is the one nearest to 0.5 among those with the best pooled Dice of its
    class. A class that no pixel has, or all have, keeps 1 and 0.5.
    """
    plain = uncalibrated(config)
    truth = pixels.truth(config)
    fittable = [bool(row.any() and not row.all()) for row in truth]
    near = torch.from_numpy(pixels.near)
    ends = (
        _least_surprising(pixels.logits, truth, fittable, config),
        _least_surprising(pixels.logits[:, near], truth[:, pixels.near], fittable, config),
    )
    candidates = [plain.temperatures, *(tuple(row) for row in np.geomspace(*ends, 5).round(3).tolist())]
    found = [trust(pixels, plain.model_copy(update={"temperatures": t})) for t in candidates]
    everywhere, close = (
        np.array([table.errors for table in tables])
        for tables in zip(*((t.everywhere, t.near) for t in found), strict=True)
    )  # (6,K) each
    if config.exclusive:  # one temperature for all
        everywhere, close = everywhere.mean(axis=1, keepdims=True), close.mean(axis=1, keepdims=True)
    total = np.where(close > close[0], np.inf, everywhere + close)
    best = total.argmin(axis=0)  # (temperatures)
    tempered = plain.model_copy(update={"temperatures": tuple(candidates[c][k] for k, c in enumerate(best))})
    return _with_thresholds(tempered, pixels, fittable)


def curves(pixels: Sample, config: SegmentationConfig) -> dict[str, Any]:
    """Precision, recall and Dice of each class alone at each of THRESHOLDS; None where that is 0 / 0."""
    limits = np.asarray(THRESHOLDS, dtype=np.float32)  # as task.decode compares
    result: dict[str, Any] = {"thresholds": list(THRESHOLDS)}
    for name, p, truth in zip(config.outputs, pixels.probabilities(config), pixels.truth(config), strict=True):
        reached = np.searchsorted(limits, p, side="right")  # how many of the thresholds p reaches
        claims, hits = (
            np.bincount(r, minlength=len(limits) + 1)[::-1].cumsum()[::-1][1:] for r in (reached, reached[truth])
        )
        total = int(truth.sum())
        result[name] = {
            "precision": [round(float(h / c), 5) if c else None for h, c in zip(hits, claims, strict=True)],
            "recall": [round(float(h / total), 5) if total else None for h in hits],
            "dice": [
                round(float(2 * h / (c + total)), 5) if c + total else None for h, c in zip(hits, claims, strict=True)
            ],
        }
    return result


def _with_thresholds(config: SegmentationConfig, pixels: Sample, fittable: Sequence[bool]) -> SegmentationConfig:
    by_class = curves(pixels, config)
    thresholds = []
    for k, name in enumerate(config.outputs):
        dice = [value or 0.0 for value in by_class[name]["dice"]]
        good = [t for t, value in zip(THRESHOLDS, dice, strict=True) if value >= max(dice) - EQUALLY_GOOD]
        thresholds.append(min(good, key=lambda t: abs(t - 0.5)) if fittable[k] else 0.5)
    chosen = config.model_copy(update={"thresholds": tuple(thresholds)})
    if not config.exclusive and config.background is not None and len(config.classes) > 1:
        # each class was judged alone, but a pixel that several claim goes to one: what decides is the labels
        return max((config, chosen), key=lambda c: _dice(c, pixels))
    return chosen


def _dice(config: SegmentationConfig, pixels: Sample) -> float:
    matrix = ConfusionMatrix(config)
    matrix.update(pixels.labels[None], task.decode(pixels.logits[None, :, None], config)[0].numpy())
    return mean(list(matrix.dice.values())) or 0.0


def _least_surprising(
    logits: Tensor, truth: NDArray[np.bool_], fittable: Sequence[bool], config: SegmentationConfig
) -> tuple[float, ...]:
    """The temperatures with the least negative log likelihood: one of the softmax, or one of each sigmoid."""
    target = torch.from_numpy(truth)
    if config.exclusive:
        return (temperature_of(logits, target, softmax=True) if any(fittable) else 1.0,)
    return tuple(
        temperature_of(logits[k : k + 1], target[k : k + 1], softmax=False) if fittable[k] else 1.0
        for k in range(len(logits))
    )


def temperature_of(logits: Tensor, truth: Tensor, *, softmax: bool) -> float:
    """The temperature with the least negative log likelihood of logits (K,N) with truth bool (K,N), at most HOTTEST.

    The likelihood is convex in 1 / T, so its slope says on which side the best one lies.
    """
    if not logits.shape[1]:
        return 1.0
    low, high = -math.log(HOTTEST), math.log(HOTTEST)
    for _ in range(18):
        middle = (low + high) / 2
        scaled = logits / math.exp(middle)
        surplus = (scaled.softmax(dim=0) if softmax else scaled.sigmoid()).sub_(truth.float())
        if (surplus * logits).sum(dtype=torch.float64) > 0:
            low = middle  # too sure
        else:
            high = middle
    return math.exp((low + high) / 2)
