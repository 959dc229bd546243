"""Distances between outlines: surface Dice and the 95th percentile Hausdorff distance, by slice, in pixels."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ..config import IGNORE, SegmentationConfig

Mask = NDArray[np.bool_]

TOLERANCE = 2
"""Outlines at most so many pixels apart count as the same in the surface Dice."""
BLOCK, CHUNK = 32, 2**12  # rows and pixels that `distances` looks at together


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
        prediction = np.where(truth == IGNORE, truth, prediction)
        present = set(np.unique(truth).tolist()) | set(np.unique(prediction).tolist())
        for k in range(len(self.config.classes)):
            if first + k not in present:
                continue
            box = _box(truth == first + k, prediction == first + k)
            ours, theirs = outline(truth[box] == first + k), outline(prediction[box] == first + k)
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
        """By class, ready for JSON: see `fitting.results.split_scores`."""
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

    Along each row first. Then over blocks of rows, from the most promising one on until no other can have anything
    nearer: far goals cost little more than near ones. Memory is that of a few pictures. Without any goal all are
    infinite.
    """
    rows, columns = np.nonzero(start)
    (lines,) = np.nonzero(goal.any(axis=1))  # (L), the rows that have a goal
    if not len(lines):
        return np.full(len(rows), np.inf)
    along = _along(goal[lines])  # (L,W)
    first = np.arange(0, len(lines), BLOCK)
    last = np.minimum(first + BLOCK, len(lines)) - 1
    nearest = np.minimum.reduceat(along, first, axis=0)  # (blocks,W)
    squared = np.empty(len(rows), dtype=np.int64)
    for begin in range(0, len(rows), CHUNK):
        part = slice(begin, begin + CHUNK)
        y, x, best = rows[part], columns[part], squared[part]
        best[:] = np.iinfo(np.int64).max
        gap = np.maximum(np.maximum(lines[first, None] - y, y - lines[last, None]), 0)
        least = gap**2 + nearest[:, x].astype(np.int64) ** 2  # (blocks,N), no pixel of a block is nearer
        pixel = np.arange(len(y))
        while len(pixel):
            block = least[:, pixel].argmin(axis=0)
            promising = least[block, pixel] < best[pixel]
            pixel, block = pixel[promising], block[promising]
            line = np.minimum(first[block] + np.arange(BLOCK)[:, None], last[block])  # (BLOCK,N)
            apart = (lines[line] - y[pixel]) ** 2 + along[line, x[pixel]].astype(np.int64) ** 2
            best[pixel] = np.minimum(best[pixel], apart.min(axis=0))
            least[block, pixel] = np.iinfo(np.int64).max
    found: NDArray[np.float64] = np.sqrt(squared)
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


def _box(one: Mask, other: Mask) -> tuple[slice, slice]:
    """The rows and columns in which one of two masks (H,W), not both empty, has a pixel."""
    rows, columns = (np.nonzero(one.any(axis=axis) | other.any(axis=axis))[0] for axis in (1, 0))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def _along(goal: Mask) -> NDArray[np.int32]:
    """How far each pixel is from the nearest goal of its row, int32 (L,W); each row has one."""
    width = goal.shape[1]
    x = np.arange(width, dtype=np.int32)
    before = np.where(goal, x, np.int32(-width))
    np.maximum.accumulate(before, axis=1, out=before)
    np.subtract(x, before, out=before)
    after = np.where(goal, x, np.int32(2 * width))[:, ::-1]
    np.minimum.accumulate(after, axis=1, out=after)
    return np.minimum(before, after[:, ::-1] - x, out=before)
