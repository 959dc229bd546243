"""How often the label of a whole picture is right: accuracy is argmax against labels.

Shapes: N pictures that show a class, C classes. In the examples `digits` is the config of two: zero and one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .. import task
from ..config import SegmentationConfig
from .calibration import BINS, temperature_of

NORMAL = 1.959964
"""95 % of a normal distribution lie within so many standard deviations."""
MISTAKES = 12


@dataclass(frozen=True)
class Labelled:
    """Pictures that show a class, and what the rule makes of each.

    names: N of them. truth: int64 (N), places in `config.classes`. logits: float32 (N,C), uncalibrated. votes: int64
    (N), the class that most pixels of the label map have; IGNORE where none has any.

    >>> Labelled(("a", "b"), torch.tensor([0, 1]), torch.eye(2), torch.tensor([0, 255])).names
    ('a', 'b')
    """

    names: tuple[str, ...]
    truth: Tensor
    logits: Tensor
    votes: Tensor


def fitted_temperature(pictures: Labelled) -> float:
    """The temperature with the least negative log likelihood, to three digits behind the point.

    >>> ten = Labelled(("a",) * 10, torch.zeros(10).long(), 9 * torch.eye(2)[[0] * 9 + [1]], torch.zeros(10).long())
    >>> temperature = fitted_temperature(ten)  # nine of ten are right
    >>> round(torch.tensor([9 / temperature, 0]).softmax(0)[0].item(), 2)
    0.9
    """
    classes = pictures.logits.shape[1]
    return round(temperature_of(pictures.logits.T, torch.eye(classes).bool()[pictures.truth].T, softmax=True), 3)


def picture_scores(pictures: Labelled, config: SegmentationConfig) -> dict[str, Any]:
    """The scores of labels of pictures, ready for JSON.

    pictures: how many. accuracy: the share whose argmax is the truth; interval: its 95 % interval (Wilson 1927).
    top_2: the share whose truth is among the two likeliest. by_class: the accuracy of the pictures of each class.
    confusion: counts with a row for each true one of the `classes` and a column for each predicted one. agreement: the
    share whose label is the class that most of its labelled pixels have. calibration: the expected calibration error of
    the likeliest class (Guo et al. 2017, arXiv 1706.04599), with a temperature of 1 and with that of the config.
    mistakes: the wrong ones that were held for the surest.

    >>> ten = Labelled(("a",) * 10, torch.tensor([0] * 5 + [1] * 5), torch.eye(2)[[0] * 6 + [1] * 4], torch.zeros(10))
    >>> found = picture_scores(ten, digits)
    >>> found["accuracy"], found["by_class"], found["confusion"]  # argmax against labels
    (0.9, {'zero': 1.0, 'one': 0.8}, [[5, 0], [1, 4]])
    """
    truth, logits = pictures.truth, pictures.logits
    count, classes = logits.shape
    label = logits.argmax(dim=1)  # (N)
    right = label == truth
    confusion = torch.bincount(truth * classes + label, minlength=classes**2).reshape(classes, classes)
    probabilities = task.picture_probabilities(logits, config)
    surest = sorted(
        (-float(probabilities[i, label[i]]), pictures.names[i], i) for i in (~right).nonzero()[:, 0].tolist()
    )
    return {
        "pictures": count,
        "accuracy": float(right.double().mean()),
        "interval": wilson(int(right.sum()), count),
        "top_2": float((logits.topk(2, dim=1).indices == truth[:, None]).any(dim=1).double().mean()),
        "by_class": {
            name: int(confusion[k, k]) / total
            for k, name in enumerate(config.classes)
            if (total := int(confusion[k].sum()))
        },
        "classes": list(config.classes),
        "confusion": confusion.tolist(),
        "agreement": float((label == pictures.votes).double().mean()),
        "calibration": {
            "before": _calibration_error(logits.softmax(dim=1), right),
            "after": _calibration_error(probabilities, right),
        },
        "mistakes": [
            {
                "picture": name,
                "truth": config.classes[int(truth[i])],
                "label": config.classes[int(label[i])],
                "probability": round(-minus, 4),
            }
            for minus, name, i in surest[:MISTAKES]
        ],
    }


def wilson(right: int, count: int) -> tuple[float, float]:
    """The 95 % interval (low, high) of a share of `right` out of `count` (Wilson 1927).

    >>> [round(end, 3) for end in wilson(9, 10)]
    [0.596, 0.982]
    """
    share, square = right / count, NORMAL**2
    middle = (share + square / (2 * count)) / (1 + square / count)
    half = NORMAL / (1 + square / count) * math.sqrt(share * (1 - share) / count + square / (4 * count**2))
    return round(middle - half, 12), round(middle + half, 12)


def joined_pictures(found: Sequence[Labelled]) -> Labelled:
    """The pictures of several as one.

    >>> one = Labelled(("a",), torch.tensor([0]), torch.zeros(1, 2), torch.tensor([1]))
    >>> joined_pictures([one, one]).truth.tolist()
    [0, 0]
    """
    return Labelled(
        tuple(name for one in found for name in one.names),
        *(torch.cat([getattr(one, field) for one in found]) for field in ("truth", "logits", "votes")),
    )


def _calibration_error(probabilities: Tensor, right: Tensor) -> float:
    sure = probabilities.amax(dim=1).double()
    bins = (sure * BINS).long().clamp(max=BINS - 1)
    gaps = torch.zeros(BINS, dtype=torch.float64).index_add(0, bins, sure - right.double())
    return round(float(gaps.abs().sum()) / len(sure), 5)
