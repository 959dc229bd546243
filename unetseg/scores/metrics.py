"""Every score from one table of counts. In the examples `land` is the config of three labels: land, road, water."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..config import IGNORE, SegmentationConfig

GROUPS_NEEDED = 5
"""For an interval over groups: resamples of fewer are hardly more than the groups themselves."""


class ConfusionMatrix:
    """Counts of (true label, predicted label) over all pixels seen, ignored ones left out.

    Tables add up: the counts of a patient are the sum over slices, those of a split the sum over patients. Scores
    by class leave a background out, which almost every picture is full of; accuracy counts it.

    >>> matrix = ConfusionMatrix(land)
    >>> matrix.update(np.array([0, 0, 1, 255]), np.array([0, 1, 1, 2]))  # truth, prediction; 255 is ignored
    >>> matrix.counts.tolist()
    [[1, 1, 0], [0, 1, 0], [0, 0, 0]]
    >>> matrix.recall, round(matrix.accuracy, 3)
    ({'land': 0.5, 'road': 1.0}, 0.667)
    >>> (matrix + matrix).counts[0].tolist()  # tables add up
    [2, 2, 0]
    """

    def __init__(self, config: SegmentationConfig) -> None:
        self.config = config
        size = len(config.labels)
        self.counts: NDArray[np.int64] = np.zeros((size, size), dtype=np.int64)

    def update(self, truth: NDArray[np.uint8], prediction: NDArray[np.uint8]) -> None:
        """Count two label maps of the same shape; truth may hold IGNORE."""
        if truth.shape != prediction.shape:
            raise ValueError(f"truth has shape {truth.shape}, prediction {prediction.shape}; they must be equal")
        size = len(self.counts)
        valid = truth != IGNORE
        pairs = truth[valid].astype(np.int64) * size + prediction[valid]
        if pairs.size and (truth[valid].max() >= size or prediction[valid].max() >= size):
            raise ValueError(
                f"label ids must be below {size} ({', '.join(self.config.labels)}) or {IGNORE} in the truth"
            )
        self.counts += np.bincount(pairs, minlength=size * size).reshape(size, size)

    def __add__(self, other: ConfusionMatrix) -> ConfusionMatrix:
        total = ConfusionMatrix(self.config)
        total.counts = self.counts + other.counts
        return total

    @property
    def dice(self) -> dict[str, float]:
        """2 TP / (2 TP + FP + FN) of each class that truth or prediction has."""
        hits, errors = self._hits_and_errors()
        return self._by_class(2 * hits, 2 * hits + errors)

    @property
    def iou(self) -> dict[str, float]:
        """TP / (TP + FP + FN) of each class that truth or prediction has."""
        hits, errors = self._hits_and_errors()
        return self._by_class(hits, hits + errors)

    @property
    def precision(self) -> dict[str, float]:
        """TP / (TP + FP) of each class that the prediction has."""
        return self._by_class(np.diag(self.counts), self.counts.sum(axis=0))

    @property
    def recall(self) -> dict[str, float]:
        """TP / (TP + FN) of each class that the truth has."""
        return self._by_class(np.diag(self.counts), self.counts.sum(axis=1))

    @property
    def accuracy(self) -> float:
        """The share of pixels whose label is right, background included; nan without any pixel."""
        total = self.counts.sum()
        return float(np.trace(self.counts) / total) if total else float("nan")

    def _hits_and_errors(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        hits = np.diag(self.counts)
        return hits, self.counts.sum(axis=0) + self.counts.sum(axis=1) - 2 * hits

    def _by_class(self, part: NDArray[np.int64], whole: NDArray[np.int64]) -> dict[str, float]:
        first = len(self.config.labels) - len(self.config.classes)
        return {name: float(part[i] / whole[i]) for i, name in enumerate(self.config.labels) if i >= first and whole[i]}


def scores(groups: dict[str, ConfusionMatrix]) -> dict[str, object]:
    """The scores of a split from the counts of its groups (patients, tiles).

    `dice`, `iou`, `precision`, `recall` by class and `miou`, `accuracy` from all pixels pooled; `group_dice` is the
    mean over the classes that a group has, `mean_group_dice` the mean over the groups that have any.

    >>> one, other = ConfusionMatrix(land), ConfusionMatrix(land)
    >>> one.update(np.array([0, 0, 0, 0, 0, 0]), np.array([0, 0, 0, 0, 0, 0]))
    >>> other.update(np.array([1, 1]), np.array([1, 2]))
    >>> found = scores({"one": one, "other": other})
    >>> found["accuracy"]  # 7 of 8 pixels, not the mean of 1.0 and 0.5
    0.875
    >>> found["group_dice"]["one"], round(found["group_dice"]["other"], 3)
    (1.0, 0.333)
    """
    if not groups:
        raise ValueError("no pictures to score")
    total = sum(list(groups.values())[1:], start=next(iter(groups.values())))
    group_dice = {name: mean(list(matrix.dice.values())) for name, matrix in groups.items()}
    return {
        "dice": total.dice,
        "iou": total.iou,
        "precision": total.precision,
        "recall": total.recall,
        "miou": mean(list(total.iou.values())),
        "accuracy": total.accuracy if total.counts.any() else None,
        "group_dice": group_dice,
        "mean_group_dice": mean([v for v in group_dice.values() if v is not None]),
    }


def intervals(
    groups: dict[str, ConfusionMatrix], *, resamples: int = 2000, seed: int = 0
) -> dict[str, tuple[float, float] | None]:
    """95 % bootstrap intervals (low, high) of `mean_group_dice`, `miou` and `accuracy` over groups.

    Groups are drawn with replacement, as often as there are groups, and scored as in `scores` (the percentile method
    of Efron and Tibshirani 1993): what other patients or tiles of the same kind might have given. None where fewer
    than GROUPS_NEEDED groups have what a score is of: any pixel, or for Dice and IoU one of a class.

    >>> matrix = ConfusionMatrix(land)
    >>> matrix.update(np.array([0, 1]), np.array([0, 0]))
    >>> intervals({str(i): matrix for i in range(5)})["accuracy"]  # all groups alike
    (0.5, 0.5)
    >>> intervals({"1": matrix})["accuracy"] is None  # too few
    True
    """
    tables = [matrix.counts for matrix in groups.values()]
    right = np.stack([np.diag(table) for table in tables])  # (G,L)
    either = np.stack([table.sum(axis=0) + table.sum(axis=1) for table in tables]) - right
    config = next(iter(groups.values())).config
    first = len(config.labels) - len(config.classes)
    dice = np.array([mean(list(matrix.dice.values())) for matrix in groups.values()], dtype=float)  # nan for None
    number = len(groups)
    drawn = np.random.default_rng(seed).multinomial(number, [1 / number] * number, size=resamples)  # (R,G)
    hits, union = drawn @ right, drawn @ either  # (R,L)
    pixels = drawn @ np.array([table.sum() for table in tables])
    # 0 / 0 is what a resample without the class has: left out
    found = {
        "mean_group_dice": _ratio(drawn @ np.nan_to_num(dice), drawn @ ~np.isnan(dice)),
        "miou": _mean_of_rows(_ratio(hits[:, first:], union[:, first:])),
        "accuracy": _ratio(hits.sum(axis=1), pixels),
    }
    scored = {
        "mean_group_dice": (~np.isnan(dice)).sum(),
        "miou": either[:, first:].any(axis=1).sum(),
        "accuracy": sum(table.any() for table in tables),
    }
    result: dict[str, tuple[float, float] | None] = dict.fromkeys(found)
    for name, values in found.items():
        if scored[name] >= GROUPS_NEEDED:
            low, high = np.nanpercentile(values, (2.5, 97.5))
            result[name] = float(low), float(high)
    return result


def mean(values: list[float]) -> float | None:
    """The mean, or None (null in JSON) of nothing.

    >>> mean([0.5, 1.0]), mean([])
    (0.75, None)
    """
    return float(np.mean(values)) if values else None


def _ratio(part: NDArray[Any], whole: NDArray[Any]) -> NDArray[np.float64]:
    ratio = np.full(part.shape, np.nan)
    np.divide(part, whole, out=ratio, where=whole > 0)
    return ratio


def _mean_of_rows(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return _ratio(np.nansum(values, axis=1), (~np.isnan(values)).sum(axis=1))
