"""How much of the error goes when the pictures that are trusted least are set aside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

SET_ASIDE = (0.1, 0.2, 0.3, 0.5)


@dataclass(frozen=True)
class Judged:
    """A picture that was scored, and what was said of it before its truth was known.

    dice: the mean over the classes that it has, None without any. error: 1 - dice, or the share of wrong pixels where
    there is no background; None where nothing could be wrong. agreement, distance: as in `Segmentation`.
    foreign: whether it is beyond the gate's limit; None where there is none.
    """

    dice: float | None
    error: float | None
    agreement: float | None
    distance: float | None
    foreign: bool | None


def error_left(errors: Sequence[float], trust: Sequence[float], share: float) -> float | None:
    """The share of all error that is left when a share of the pictures is set aside, those least trusted first.

    Chance leaves 1 - share. Pictures that are trusted equally go together, each in part (risk-coverage curves:
    El-Yaniv and Wiener 2010, JMLR 11). None without any error.

    >>> error_left([0.0, 0.0, 0.6, 0.2], [0.9, 0.8, 0.1, 0.2], 0.25)
    0.25
    >>> error_left([0.0, 0.0, 0.6, 0.2], [1.0, 1.0, 1.0, 1.0], 0.25)
    0.75
    """
    total = float(sum(errors))
    if not total:
        return None
    values, order = np.unique(np.asarray(trust, dtype=float), return_inverse=True)
    sizes = np.bincount(order, minlength=len(values))
    sums = np.bincount(order, weights=np.asarray(errors, dtype=float), minlength=len(values))
    left, gone = share * len(errors), 0.0
    for size, error in zip(sizes, sums, strict=True):
        part = min(1.0, left / size)
        gone, left = gone + part * error, left - part * size
    return round(float(1 - gone / total), 4)


def judged(pictures: Sequence[Judged]) -> dict[str, Any]:
    """Of a split: error_left, by share set aside, and what the truth itself would leave; foreign pictures and others.

    Of these, how many there are, and their mean Dice.
    """
    known = [(p.error, p.agreement) for p in pictures if p.error is not None and p.agreement is not None]
    errors, trust = [error for error, _ in known], [agreement for _, agreement in known]
    found: dict[str, Any] = {
        "error_left": {str(share): error_left(errors, trust, share) for share in SET_ASIDE} if known else None,
        "error_left_at_best": {
            str(share): error_left(errors, [-error for error in errors], share) for share in SET_ASIDE
        }
        if known
        else None,
        "foreign": None,
    }
    if any(p.foreign is not None for p in pictures):
        parts = {name: [p for p in pictures if bool(p.foreign) == is_foreign] for name, is_foreign in KINDS}
        found["foreign"] = {
            name: {"pictures": len(some), "dice": _mean([p.dice for p in some if p.dice is not None])}
            for name, some in parts.items()
        }
    return found


KINDS = (("foreign", True), ("others", False))


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None
