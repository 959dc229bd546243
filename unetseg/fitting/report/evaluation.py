"""How good a predictor is on a split: the path of a prediction, and tables of counts per group."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from ... import task
from ...config import IGNORE, SegmentationConfig
from ...formats import as_image
from ...predictor import Predictor
from ...prepare import working_grid
from ...samples import SampleKind, draw_sample
from ...scores.calibration import PIXELS, Sample, Trust, joined, sample, trust, uncalibrated
from ...scores.coverage import Judged
from ...scores.metrics import ConfusionMatrix, mean
from ...scores.picture import Labelled
from ...scores.surface import SurfaceScores
from ...segmentation import Segmentation
from ..data.folder import Example, read_truth
from ..data.joined import read_joined
from ..recipe import Data
from .panel import thinned

WORST = 4
FALSE_PIXELS = 50
"""More predicted pixels than this, at the working size, on a picture without any class is a false alarm."""
LOGITS_IN_MEMORY = 2**24


@dataclass(frozen=True)
class Case:
    """A picture, or a volume as a whole, that was segmented, and its true labels: (H,W), or (D,H,W)."""

    name: str
    group: str
    segmentation: Segmentation
    truth: NDArray[np.uint8]

    def slices(self) -> Iterator[Case]:
        """Each slice as a case of its own: logits of all of them at the stored size would be many times the volume."""
        for index, truth in enumerate(self.truth.reshape(self.segmentation.shape)):
            yield replace(self, segmentation=self.segmentation.alone(index), truth=truth[None])


@dataclass(frozen=True)
class Worst:
    """A picture that went badly: its Dice, mean over the classes it has, and what to look at.

    picture (h,w,3), truth and labels (h,w): as `panel.thinned` leaves of them; Dice and wrong_pixels are of all pixels.
    slice_number: of a volume the slice that these show, one with the most wrong pixels; the first is 1.
    """

    name: str
    group: str
    dice: float
    wrong_pixels: int
    picture: NDArray[np.uint8]
    truth: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    slice_number: int | None = None


@dataclass
class Assessment:
    """All that is counted on a split in one pass.

    uncalibrated: as groups, with labels of temperatures of 1 and thresholds of 0.5.
    before, after: reliability with temperatures of 1 and with those of the config. without_class: pictures in which
    the truth has no class, only the background; false_alarms: those of them with more than FALSE_PIXELS predicted
    pixels, none where there is no background. worst: WORST pictures, the worst first. A volume counts as one picture;
    outlines are compared slice by slice. judged: all pictures, with what was said of them before. familiar: as groups,
    without the pictures that are foreign to the network. labelled: of a model that labels pictures too, each that shows
    a class.
    """

    config: SegmentationConfig
    groups: dict[str, ConfusionMatrix] = field(default_factory=dict)
    uncalibrated: dict[str, ConfusionMatrix] = field(default_factory=dict)
    surfaces: dict[str, SurfaceScores] = field(default_factory=dict)
    pictures: dict[str, int] = field(default_factory=dict)
    before: Trust | None = None
    after: Trust | None = None
    without_class: int = 0
    false_alarms: int = 0
    worst: list[Worst] = field(default_factory=list)
    judged: list[Judged] = field(default_factory=list)
    familiar: dict[str, ConfusionMatrix] = field(default_factory=dict)
    labelled: list[Labelled] = field(default_factory=list)

    def update(self, case: Case) -> None:
        """Count one picture."""
        matrix, plain, surface = ConfusionMatrix(self.config), ConfusionMatrix(self.config), SurfaceScores(self.config)
        bare = uncalibrated(self.config)
        predicted, limit = 0, _share(PIXELS, case)
        wrong: list[int] = []  # pixels of each slice
        for part in case.slices():
            truth, labels = part.truth[0], part.segmentation.labels()[0]
            matrix.update(truth, labels)
            wrong.append(int(matrix.counts.sum() - np.trace(matrix.counts)) - sum(wrong))
            if wrong[-1] == max(wrong):
                shown, found = part, labels
            surface.update(truth, labels)
            self.labelled += labelled(part)
            if not self.config.exclusive and bare != self.config:
                plain.update(truth, replace(part.segmentation, config=bare).labels()[0])
            pixels = sample(part.segmentation.logits[0], truth, self.config, limit)
            before, after = trust(pixels, bare), trust(pixels, self.config)
            self.before = before if self.before is None else self.before + before
            self.after = after if self.after is None else self.after + after
            height, width = labels.shape
            grid = np.ix_(*working_grid(height, width, self.config))
            predicted += int(((labels > 0) & (truth != IGNORE))[grid].sum())
        if self.config.exclusive or bare == self.config:
            plain = matrix
        for tables, table in ((self.groups, matrix), (self.uncalibrated, plain)):
            tables[case.group] = tables.get(case.group, ConfusionMatrix(self.config)) + table
        self.surfaces[case.group] = self.surfaces.get(case.group, SurfaceScores(self.config)) + surface
        self.pictures[case.group] = self.pictures.get(case.group, 0) + 1
        if self.config.background is not None and matrix.counts[0].any() and not matrix.counts[1:].any():
            self.without_class += 1
            self.false_alarms += int(predicted > FALSE_PIXELS)
        dice = mean(list(matrix.dice.values()))
        distance, farthest = case.segmentation.distance, case.segmentation.limit
        foreign = None if distance is None or farthest is None else distance > farthest
        right = matrix.accuracy if matrix.counts.any() else None
        score = right if self.config.background is None else dice
        error = None if score is None else 1 - score
        self.judged.append(Judged(dice, error, case.segmentation.agreement, distance, foreign))
        if not foreign:
            self.familiar[case.group] = self.familiar.get(case.group, ConfusionMatrix(self.config)) + matrix
        if dice is not None:
            picture, truth, labels = (thinned(p) for p in (shown.segmentation.rgb[0], shown.truth[0], found))
            number = len(wrong) - wrong[::-1].index(max(wrong)) if len(wrong) > 1 else None
            self.worst.append(Worst(case.name, case.group, dice, sum(wrong), picture, truth, labels, number))
            self.worst = sorted(self.worst, key=lambda w: (w.dice, -w.wrong_pixels, w.name))[:WORST]


def labelled(case: Case) -> list[Labelled]:
    """A picture as scores of its label need it; nothing of a model without a rule, and of a picture without a class."""
    segmentation, config = case.segmentation, case.segmentation.config
    if config.picture_rule is None:
        return []
    truth = task.picture_labels(torch.from_numpy(case.truth.reshape(segmentation.shape)), config)
    if truth.item() == IGNORE:
        return []
    votes = np.bincount(segmentation.labels()[0].ravel(), minlength=len(config.labels))[-len(config.classes) :]
    most = int(votes.argmax()) if votes.any() else IGNORE
    return [Labelled((case.name,), truth, segmentation.picture_logits(), torch.tensor([most]))]


def _share(limit: int, case: Case) -> int:
    """How many pixels to take of each slice, for so many of a picture."""
    return max(1, limit // case.segmentation.shape[0])


def cases(predictor: Predictor, examples: Sequence[Example], data: Data, *, progress: bool = False) -> Iterator[Case]:
    """Segment each picture and read its mask, both at the size the picture is stored in."""
    for example in tqdm(examples, desc="evaluating", unit="picture", disable=not progress, leave=False):
        image = read_joined(example)
        segmentation = predictor(image)
        yield Case(example.name, example.group, segmentation, read_truth(example, image, data, predictor.config))


def synthetic_cases(predictor: Predictor, kind: SampleKind, count: int = 40) -> Iterator[Case]:
    """Generated pictures, seeds 0 to count - 1, each its own group; training draws from other seeds."""
    for seed in range(count):
        pixels, truth = draw_sample(kind, seed)
        yield Case(f"synthetic {seed}", f"synthetic {seed}", predictor(as_image(pixels)), truth)


def evaluate(
    predictor: Predictor, examples: Sequence[Example], data: Data, *, progress: bool = False
) -> dict[str, ConfusionMatrix]:
    """Counts per group (patient, tile), each picture segmented and compared at the size it is stored in."""
    groups: dict[str, ConfusionMatrix] = {}
    for case in cases(predictor, examples, data, progress=progress):
        matrix = groups.setdefault(case.group, ConfusionMatrix(predictor.config))
        for part in case.slices():
            matrix.update(part.truth, part.segmentation.labels())
    return groups


def assess(found: Iterable[Case], config: SegmentationConfig) -> Assessment:
    """Everything that the report says of a split, under the temperatures and thresholds of a config."""
    assessment = Assessment(config)
    for case in found:
        assessment.update(replace(case, segmentation=replace(case.segmentation, config=config)))
    return assessment


def collect(
    predictors: Sequence[tuple[Predictor, Sequence[Example]]], data: Data, *, progress: bool = False
) -> tuple[Sample, list[Labelled]]:
    """Pixels to calibrate on, of each picture equally many at most, so that all logits fit LOGITS_IN_MEMORY.

    And pictures, where the model labels those too.
    """
    pictures = sum(len(examples) for _, examples in predictors)
    channels = len(predictors[0][0].config.outputs)
    limit = min(PIXELS, max(1, LOGITS_IN_MEMORY // (channels * max(1, pictures))))
    samples: list[Sample] = []
    whole: list[Labelled] = []
    for predictor, examples in predictors:
        for case in cases(predictor, examples, data, progress=progress):
            for part in case.slices():
                logits = part.segmentation.logits[0]
                samples.append(sample(logits, part.truth[0], predictor.config, _share(limit, case)))
                whole += labelled(part)
    return joined(samples), whole


def check_same_labels(config: SegmentationConfig, data: Data, name: str | Path) -> None:
    """ValueError where a checkpoint and a recipe don't speak of the same labels in the same order."""
    labels = data.classes if data.background is None else (data.background, *data.classes)
    if labels != config.labels:
        raise ValueError(
            f"checkpoint {name} has the labels {list(config.labels)}, the recipe {list(labels)}; "
            "take the recipe that the checkpoint was trained with"
        )
