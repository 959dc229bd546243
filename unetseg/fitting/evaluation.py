"""How good a predictor is on a split: the path of a prediction, and one table of counts per group."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from ..config import SegmentationConfig
from ..formats import as_image
from ..metrics import ConfusionMatrix
from ..predictor import Predictor
from ..samples import SampleKind, draw_sample
from .folder import Example, check_sizes, read_labels
from .recipe import Data


def evaluate(
    predictor: Predictor, examples: Sequence[Example], data: Data, *, progress: bool = False
) -> dict[str, ConfusionMatrix]:
    """Counts per group (patient, tile), each picture segmented and compared at the size it is stored in."""
    groups: dict[str, ConfusionMatrix] = {}
    for example in tqdm(examples, desc="evaluating", unit="picture", disable=not progress, leave=False):
        labels = predictor(example.image).labels()[0]
        truth = read_labels(example.mask, data, predictor.config)
        check_sizes(example, labels.shape, truth.shape)
        groups.setdefault(example.group, ConfusionMatrix(predictor.config)).update(truth, labels)
    return groups


def evaluate_synthetic(predictor: Predictor, kind: SampleKind, count: int = 40) -> dict[str, ConfusionMatrix]:
    """Counts per generated picture, seeds 0 to count - 1; training draws from other seeds."""
    groups = {}
    for seed in range(count):
        pixels, truth = draw_sample(kind, seed)
        groups[f"synthetic {seed}"] = matrix = ConfusionMatrix(predictor.config)
        matrix.update(truth, predictor(as_image(pixels)).labels()[0])
    return groups


def check_same_labels(config: SegmentationConfig, data: Data, name: str | Path) -> None:
    """ValueError where a checkpoint and a recipe don't speak of the same labels in the same order."""
    labels = data.classes if data.background is None else (data.background, *data.classes)
    if labels != config.labels:
        raise ValueError(
            f"checkpoint {name} has the labels {list(config.labels)}, the recipe {list(labels)}; "
            "take the recipe that the checkpoint was trained with"
        )
