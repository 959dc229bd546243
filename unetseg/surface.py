"""Distances between outlines: surface Dice and the 95th percentile Hausdorff distance, by slice, in pixels."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from .config import IGNORE, SegmentationConfig

Mask = NDArray[np.bool_]

TOLERANCE = 2
"""Outlines at most so many pixels apart count as the same in the surface Dice."""


class SurfaceScores:
    """How far outlines lie apart, slice by slice; tables add up like those of `metrics.ConfusionMatrix`.

    Per class: `close` of `length` outline pixels, of truth and prediction together, lie within TOLERANCE of the other
    outline; `hd95` has a distance for each slice in which both have the class; the slices where only one has it
    are counted in `empty_predictions` and `empty_truths`, and their outlines are close to nothing.
    """

    def __init__(self, config: SegmentationConfig) -> None:
        self.config = config
        self.close, self.length, self.empty_predictions, self.empty_truths = np.zeros(
            (4, len(config.classes)), dtype=np.int64
        )
        self.hd95: list[list[float]] = [[] for _ in config.classes]

    def update(self, truth: NDArray[np.uint8], prediction: NDArray[np.uint8]) -> None:
        """Compare the label maps (H,W) of one slice; what the truth ignores belongs to no class in either."""
        first = len(self.config.labels) - len(self.config.classes)
        valid = truth != IGNORE
        for k in range(len(self.config.classes)):
            ours, theirs = outline(truth == first + k), outline((prediction == first + k) & valid)
            self.length[k] += ours.sum() + theirs.sum()
            if ours.any() and theirs.any():
                there, back = distances(ours, theirs), distances(theirs, ours)
                self.close[k] += (there <= TOLERANCE).sum() + (back <= TOLERANCE).sum()
                self.hd95[k].append(float(max(np.percentile(there, 95), np.percentile(back, 95))))
            else:
                self.empty_predictions[k] += ours.any()
                self.empty_truths[k] += theirs.any()

    def __add__(self, other: SurfaceScores) -> SurfaceScores:
        total = SurfaceScores(self.config)
        for name in ("close", "length", "empty_predictions", "empty_truths"):
            setattr(total, name, getattr(self, name) + getattr(other, name))
        total.hd95 = [a + b for a, b in zip(self.hd95, other.hd95, strict=True)]
        return total

    @property
    def surface_dice(self) -> dict[str, float]:
        """The share of outline pixels within TOLERANCE of the other outline, of each class that has any.

        The normalised surface Dice of Nikolov et al. 2018, arXiv 1809.04430, over the slices of one table pooled.
        """
        pairs = zip(self.config.classes, self.close, self.length, strict=True)
        return {name: float(close / length) for name, close, length in pairs if length}

    def summary(self) -> dict[str, dict[str, float | int | None]]:
        """By class, ready for JSON: see `fitting.report`."""
        surface_dice = self.surface_dice
        return {
            name: {
                f"surface_dice_{TOLERANCE}_pixels": surface_dice.get(name),
                "hd95_pixels_median": float(np.median(self.hd95[k])) if self.hd95[k] else None,
                "hd95_pixels_mean": float(np.mean(self.hd95[k])) if self.hd95[k] else None,
                "hd95_pixels_worst": max(self.hd95[k], default=None),
                "slices": len(self.hd95[k]),
                "empty_predictions": int(self.empty_predictions[k]),
                "empty_truths": int(self.empty_truths[k]),
            }
            for k, name in enumerate(self.config.classes)
        }


def outline(mask: Mask) -> Mask:
    """The pixels of a mask (H,W) with one of four neighbours outside it; beyond the picture is outside."""
    padded = np.pad(mask, 1)
    inside = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    outer: Mask = mask & ~inside
    return outer


def label_borders(labels: NDArray[np.uint8]) -> Mask:
    """The pixels of a label map (H,W) with another label above, below or beside them; IGNORE borders on nothing."""
    borders = np.zeros(labels.shape, dtype=bool)
    known = labels != IGNORE
    for one, other in ((np.s_[1:, :], np.s_[:-1, :]), (np.s_[:, 1:], np.s_[:, :-1])):
        differ = (labels[one] != labels[other]) & known[one] & known[other]
        borders[one] |= differ
        borders[other] |= differ
    return borders


def distances(start: Mask, goal: Mask) -> NDArray[np.float64]:
    """The exact Euclidean distance from each pixel of `start` (H,W), row by row, to the nearest one of `goal` (H,W).

    Along each row first, then over rows nearer than the best so far: memory is that of a few pictures. Without any
    goal all are infinite.
    """
    rows, columns = np.nonzero(start)
    if not goal.any():
        return np.full(len(rows), np.inf)
    height, width = goal.shape
    far, x = height + width, np.arange(width)
    before = np.maximum.accumulate(np.where(goal, x, -far), axis=1)
    after = np.minimum.accumulate(np.where(goal, x, width + far)[:, ::-1], axis=1)[:, ::-1]
    along = np.minimum(x - before, after - x)  # (H,W), at least far in a row without a goal
    best = along[rows, columns] ** 2
    for step in range(1, height):
        (open_,) = np.nonzero(best > step * step)
        if not len(open_):
            break
        for row in (rows[open_] - step, rows[open_] + step):
            there = (row >= 0) & (row < height)
            index = open_[there]
            best[index] = np.minimum(best[index], step * step + along[row[there], columns[index]] ** 2)
    found: NDArray[np.float64] = np.sqrt(best)
    return found


def within(mask: Mask, distance: int) -> Mask:
    """The pixels (H,W) at most `distance` pixels, Euclidean, from one of the mask."""
    height, width = mask.shape
    sums = np.cumsum(np.pad(mask, ((0, 0), (distance + 1, distance))), axis=1, dtype=np.int32)
    result = np.zeros(mask.shape, dtype=bool)
    for step in range(-min(distance, height - 1), min(distance, height - 1) + 1):
        reach = math.isqrt(distance * distance - step * step)
        last, first = distance + 1 + reach, distance - reach
        hit = sums[:, last : last + width] > sums[:, first : first + width]  # any in columns x - reach to x + reach
        result[max(0, step) : height + min(0, step)] |= hit[max(0, -step) : height + min(0, -step)]
    return result
