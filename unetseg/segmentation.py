"""What the network found, kept as logits; labels, views, files and the report are derived when they are asked for."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from . import render, task
from .change import Change
from .config import SegmentationConfig
from .formats import Image, Kind, save_labels, save_probabilities
from .gate import PERCENTILES, Gate
from .measure import Cleaning, cleaned, report
from .prepare import Ranges, evenly, restore, restored, scaled
from .tiling import bands

NOTHING = Cleaning()
SOMETHING = 0.001
"""The share of pixels that a lower threshold would have to show."""
SPREAD = (5, 50, 95)
MOST_VALUES = 2**20


@dataclass(frozen=True)
class Explanation:
    """Why nothing or little is found.

    highest: of each class its name, its highest probability, and the threshold that would show SOMETHING of it, if one
    would. here, there: SPREAD of the grey values of the picture, and of those of the training, from 0 to 1.
    """

    highest: tuple[tuple[str, float, float | None], ...]
    here: tuple[float, ...] | None = None
    there: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Segmentation:
    """What the network found in one picture or volume, kept as logits at the size it saw; all else is derived.

    network_logits: float32 (D,K,h,w); D slices (1 for a picture), K output channels.
    image: what was segmented, (D,H,W,C) as stored.
    notices: what a reader of the result should know.
    between: what was black and white to the network, as `prepare.ranges` says of all slices.
    drawn: uint8 (D,H,W,3), the picture where it is not drawn from the image.
    model, network: what found it, as `Predictor.model` and `Predictor.runs` say.
    features: float32 (D,n,F), what the network saw of n windows of each slice; see `gate.pooled`.
    agreed: float32 (D,2), how its scales agree; see `Agreement.counts`. None of a single scale.
    gate: what the checkpoint knows of the pictures that it was trained on, if anything.
    proposal: a change after which the network would know the image better. accepted: one that was made.
    """

    network_logits: Tensor
    image: Image
    config: SegmentationConfig
    notices: tuple[str, ...] = ()
    between: Ranges = None
    drawn: NDArray[np.uint8] | None = None
    model: str = ""
    network: str = ""
    features: Tensor | None = None
    agreed: Tensor | None = None
    gate: Gate | None = None
    proposal: Change | None = None
    accepted: Change | None = None

    @property
    def name(self) -> str:
        """What the picture is called in messages."""
        return self.image.name

    @property
    def shape(self) -> tuple[int, int, int]:
        """(D,H,W) as stored."""
        return self.image.pixels.shape[:3]

    @property
    def distance(self) -> float | None:
        """How far the image is from what the network was trained on, of a volume the median of its slices."""
        if self.gate is None or self.features is None:
            return None
        return float(self.gate.distances(self.features).median())

    @property
    def limit(self) -> float | None:
        """The distance beyond which an image is foreign; None where the checkpoint knows none."""
        return None if self.gate is None else self.gate.limit

    @property
    def is_suspect(self) -> bool:
        """Whether the image may be foreign to the network, or lie otherwise than those that it was trained on."""
        if self.gate is None or self.features is None:
            return False
        if self.limit is not None and self.distance is not None and self.distance > self.limit:
            return True
        return self.gate.views is not None and float(self.gate.upright(self.features).median()) < 0.5

    @property
    def agreement(self) -> float | None:
        """From 0 to 1 how well the scales of the network agree; 1 where none finds anything.

        None of a single scale, unless the predictor was asked for a thorough agreement.
        """
        return None if self.agreed is None else agreed(self.agreed)

    def found_nothing(self, thresholds: Sequence[float] | None = None, *, cleaning: Cleaning = NOTHING) -> bool:
        """Whether all labels are background, those that `save` writes."""
        if self.config.background is None:
            return False
        if cleaning:
            return _nothing(cleaned(self.labels(thresholds), self.config, cleaning, self.image.valid), self.image)
        return all(_nothing(self.labels(thresholds, index=i)[None], self.image.alone(i)) for i in range(self.shape[0]))

    def explanation(self, *, index: int | None = None) -> Explanation:
        """Why nothing or little is found, as numbers; index: of one slice alone."""
        part = self if index is None else self.alone(index)
        logits = evenly_spread(part.network_logits.transpose(0, 1).flatten(1))  # (K,n)
        probabilities = task.activate(logits[None, :, None], self.config)[0, :, 0]
        first = len(self.config.outputs) - len(self.config.classes)
        highest = []
        for name, values in zip(self.config.classes, probabilities[first:], strict=True):
            some = float(values.kthvalue(max(1, round(len(values) * (1 - SOMETHING)))).values)
            shows = some if some >= 0.005 and not self.config.exclusive else None
            highest.append((name, float(values.max()), shows))
        if self.gate is None:
            return Explanation(tuple(highest))
        step = max(1, math.isqrt(part.image.pixels[0, ..., 0].size // MOST_VALUES))
        every = (slice(None, None, -(-len(part.image.pixels) // 8)), *[slice(None, None, step)] * 2)
        x = scaled(part.image.pixels[every], self.between, self.config).transpose(0, 1)  # (C,D,H,W)
        valid = part.image.valid
        values = x.flatten() if valid is None else x[:, torch.from_numpy(valid[every])].flatten()
        if not len(values):
            return Explanation(tuple(highest))
        here = np.percentile(evenly_spread(values).numpy(), SPREAD).tolist()  # torch sorts, and takes longer
        there = self.gate.intensities.mean(dim=0)[[PERCENTILES.index(p) for p in SPREAD]].tolist()
        return Explanation(tuple(highest), tuple(here), tuple(there))

    def explain(self, *, index: int | None = None) -> str:
        """Why nothing or little is found, in sentences: probabilities, and the grey values against the training's.

        index: of one slice alone.
        """
        why = self.explanation(index=index)
        said = []
        for name, highest, some in why.highest:
            shows = "" if some is None else f"; a threshold of {some:.2g} would show a thousandth of the picture"
            said.append(f"The highest probability of {name} is {highest:.2g}{shows}.")
        if why.here is not None and why.there is not None:
            words = [", ".join(f"{value:.2f}" for value in values) for values in (why.here, why.there)]
            said.append(
                f"From black (0) to white (1), its 5th, 50th and 95th percentiles are {words[0]}; those of the "
                f"training pictures were {words[1]}."
            )
        return " ".join(said)

    @property
    def logits(self) -> Tensor:
        """Float32 (D,K,H,W) at the stored size: restored at each access, of a volume slice by slice."""
        return torch.cat(list(map(self._restored, range(len(self.network_logits)))))

    @property
    def probabilities(self) -> Tensor:
        """Calibrated probabilities (D,K,H,W): softmax over K for multiclass, else a sigmoid each."""
        return torch.cat(list(map(self._probabilities, range(len(self.network_logits)))))

    @property
    def rgb(self) -> NDArray[np.uint8]:
        """The picture (D,H,W,3) as the network was given it, drawn at each access."""
        return np.concatenate(list(map(self._rgb, range(len(self.network_logits)))))

    def picture(self, index: int = 0) -> Tensor:
        """What a picture, or the slice `index`, shows as a whole: calibrated probabilities of the classes, float32 (C).

        By the config's `picture_rule`, from what the network said at the size it saw; see `task.picture_logits`.
        Raises ValueError for a model without a rule.
        """
        return task.picture_probabilities(self.picture_logits(index), self.config)[0]

    @property
    def named_picture(self) -> dict[str, float] | None:
        """`picture` by name of the class; None of a volume, and of a model without a rule."""
        if self.config.picture_rule is None or len(self.network_logits) > 1:
            return None
        return dict(zip(self.config.classes, (round(p, 5) for p in self.picture().tolist()), strict=True))

    def picture_logits(self, index: int = 0) -> Tensor:
        """The same before temperature and softmax, float32 (1,C)."""
        logits = self.network_logits[index][None]  # (1,K,h,w)
        valid = None
        if self.image.valid is not None:
            rows, columns = (evenly(*sides) for sides in zip(self.shape[1:], logits.shape[2:], strict=True))
            valid = torch.from_numpy(self.image.valid[index][np.ix_(rows, columns)])[None]
        return task.picture_logits(logits, self.config, valid)

    def description(self) -> str:
        """What was read and how, and between which values the network saw it; see `Image.description`."""
        return described(self.image, self.between)

    def labels(self, thresholds: Sequence[float] | None = None, *, index: int | None = None) -> NDArray[np.uint8]:
        """The decision as label ids (D,H,W), or (H,W) of the slice `index`; see `task.decode`."""
        if index is not None:
            found = restored(self.network_logits[index][None], *self.shape[1:])  # (1,K,n,W) each
            return np.concatenate([task.decode(band, self.config, thresholds)[0].numpy() for band in found])
        labels = np.empty(self.shape, dtype=np.uint8)
        for number in range(len(labels)):
            labels[number] = self.labels(thresholds, index=number)
        return labels

    def argmax(self, index: int = 0) -> NDArray[np.uint8]:
        """The index of the largest logit (H,W) of a slice; see `task.argmax`."""
        return task.argmax(self._restored(index), self.config)[0].numpy()

    def view(
        self,
        kind: render.View,
        *,
        class_name: str | None = None,
        thresholds: Sequence[float] | None = None,
        index: int = 0,
    ) -> NDArray[np.uint8]:
        """One slice drawn as RGB (H,W,3), uint8.

        kind: `probability`, the float output as grey, of one class or, without class_name, of the winner;
            `thresholded`, 0/255, of one class or, without class_name, every claim in its class's colour;
            `argmax`, the index of the largest logit in the palette; `overlay`, the labels over the picture;
            `entropy`, how undecided the probabilities are, as grey.
        """
        if kind not in render.VIEWS:
            raise ValueError(f"unknown view {kind!r}; choose one of {', '.join(render.VIEWS)}")
        if class_name is None and len(self.config.outputs) == 1:
            class_name = self.config.outputs[0]
        if class_name is not None and class_name not in self.config.outputs:
            raise ValueError(f"unknown class {class_name!r}; choose one of {', '.join(self.config.outputs)}")
        channel = None if class_name is None else self.config.outputs.index(class_name)
        if kind == "probability":
            return render.probability(self._probabilities(index)[0].numpy(), channel)
        if kind == "thresholded":
            limits = task.checked_thresholds(thresholds, self.config)
            return render.thresholded(self._probabilities(index)[0].numpy(), limits, self.config, channel)
        if kind == "entropy":
            return render.entropy(self._probabilities(index)[0].numpy(), self.config, channel)
        if kind == "argmax":
            return render.colourised(self.argmax(index), self.config)
        return render.overlay(self._rgb(index)[0], self.labels(thresholds, index=index), self.config)

    def alone(self, index: int) -> Segmentation:
        """One slice as a Segmentation of its own, without a place in the world."""
        part = slice(index, index + 1)
        drawn = None if self.drawn is None else self.drawn[part]
        image = self.image.alone(index)
        return dataclasses.replace(
            self,
            network_logits=self.network_logits[part],
            image=image,
            drawn=drawn,
            features=None if self.features is None else self.features[part],
            agreed=None if self.agreed is None else self.agreed[part],
        )

    def reduced(self, longest: int) -> Segmentation:
        """A copy with at most `longest` pixels a side, for showing: some of the same logits, none invented.

        Every view but the overlay of the copy is made of pixels of the full view; the picture is antialiased.
        """
        depth, height, width = self.shape
        if max(height, width) <= longest:
            return self
        h, w = (max(1, round(side * longest / max(height, width))) for side in (height, width))
        rows, columns = evenly(height, h), evenly(width, w)
        kept = [self._some(index, rows, columns) for index in range(depth)]
        drawn = np.stack([render.resized(self._rgb(index)[0], h, w) for index in range(depth)])
        valid = None if self.image.valid is None else self.image.valid[:, rows][:, :, columns]
        pixels = self.image.pixels[:, rows][:, :, columns]
        image = dataclasses.replace(self.image, pixels=pixels, valid=valid, place=None)
        return dataclasses.replace(self, network_logits=torch.cat(kept), image=image, drawn=drawn)

    def save(
        self,
        path: str | Path,
        thresholds: Sequence[float] | None = None,
        *,
        kind: Kind | None = None,
        cleaning: Cleaning = NOTHING,
        tolerance: float = 0,
    ) -> Path:
        """Write the labels on the grid that the input's file stores, by the ending of `path`, or as `kind` says.

        .png: indexed, pixel values are ids. .dcm: DICOM-SEG of a DICOM series. .nii.gz, .nrrd, .mha: of a volume or a
        series. .tif: GeoTIFF of a raster. .gpkg, .geojson, .parquet: polygons of a raster with a place on the ground,
        simplified by a `tolerance` in pixels.
        """
        labels = cleaned(self.labels(thresholds), self.config, cleaning, self.image.valid)

        def probabilities() -> NDArray[np.float32]:
            return self._probabilities(0)[0].numpy()

        return save_labels(
            Path(path),
            labels,
            self.image,
            self.config,
            kind=kind,
            model=self.model,
            tolerance=tolerance,
            probabilities=probabilities,
        )

    def save_probabilities(self, path: str | Path) -> Path:
        """Write the probabilities: .npz (D,K,H,W); .tif of a raster; .nii.gz of a volume, one for each output."""
        each = (self._probabilities(index)[0].numpy() for index in range(self.shape[0]))
        return save_probabilities(Path(path), each, self.image, self.config)

    def report(self, thresholds: Sequence[float] | None = None, *, cleaning: Cleaning = NOTHING) -> dict[str, Any]:
        """What was read and how, and what was found: for each label its pixels, share, area or volume, pieces."""
        config = self.config
        limits = task.checked_thresholds(thresholds, config)
        labels = cleaned(self.labels(limits), config, cleaning, self.image.valid)
        nothing = config.background is not None and _nothing(labels, self.image)
        first = len(config.labels) - len(config.outputs)  # a background without an output has no probability
        sums: list[float | None] = [None] * first + [0.0] * len(config.outputs)
        for index, slice_ in enumerate(labels):
            probabilities = self._probabilities(index)[0].numpy()
            for channel in range(len(config.outputs)):
                here = slice_ == channel + first
                if self.image.valid is not None:
                    here &= self.image.valid[index]
                sums[channel + first] = (sums[channel + first] or 0.0) + float(probabilities[channel][here].sum())
        return report(
            labels,
            sums,
            self.image,
            config,
            thresholds=limits,
            cleaning=cleaning,
            model=self.model,
            network=self.network,
            read=self.description(),
            notices=self.notices,
            picture=self.named_picture,
            trust={
                "agreement": self.agreement,
                "distance": self.distance,
                "limit": self.limit,
                "proposal": None if self.proposal is None else str(self.proposal),
                "accepted": None if self.accepted is None else str(self.accepted),
                "explanation": self.explain() if nothing else None,
            },
        )

    def _restored(self, index: int) -> Tensor:
        return restore(self.network_logits[index][None], *self.shape[1:])  # (1,K,H,W)

    def _some(self, index: int, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> Tensor:
        """Rows and columns of what is restored, (1,K,h,w), without all of it in memory."""
        found, top = [], 0
        for band in restored(self.network_logits[index][None], *self.shape[1:]):  # (1,K,n,W) each
            here = rows[(rows >= top) & (rows < top + band.shape[2])] - top
            found.append(band[:, :, here][:, :, :, columns])
            top += band.shape[2]
        return torch.cat(found, dim=2)

    def _probabilities(self, index: int) -> Tensor:
        return task.activate(self._restored(index), self.config)

    def _rgb(self, index: int) -> NDArray[np.uint8]:
        part = slice(index, None if index == -1 else index + 1)
        if self.drawn is not None:
            return self.drawn[part]
        # band by band: as floats, all of a large one would be as much as its logits
        pixels = self.image.pixels[part]
        drawn = [
            render.as_rgb(scaled(pixels[:, top:bottom], self.between, self.config))
            for top, bottom in bands(pixels.shape[1])
        ]
        return drawn[0] if len(drawn) == 1 else np.concatenate(drawn, axis=1)


def foreign(
    name: str,
    distance: float | None,
    limit: float | None,
    proposal: Change | None = None,
    accepted: Change | None = None,
) -> tuple[str, ...]:
    """What is to be said of an image at a distance from what a network was trained on."""
    said = []
    if accepted is not None:
        said.append(f"{name} was {accepted} before it was segmented, as was proposed")
    if distance is not None and limit is not None and distance > limit:
        said.append(
            f"{name} is unlike the pictures that this model was trained on (distance {distance:.2f}, usually up to "
            f"{limit:.2f}); look at the result with care"
        )
    if proposal is not None:
        said.append(f"{name} would be nearer to the pictures that this model was trained on if it were {proposal}")
    return tuple(said)


def _nothing(labels: NDArray[np.uint8], image: Image) -> bool:
    return not (labels > 0 if image.valid is None else (labels > 0) & image.valid).any()


def evenly_spread(values: Tensor) -> Tensor:
    """At most MOST_VALUES of many values (...,N)."""
    return values[..., :: -(-values.shape[-1] // MOST_VALUES)]


def agreed(counts: Tensor) -> float:
    """From 0 to 1 how well scales agree, by `Agreement.counts` (D,2); 1 where none finds anything."""
    both, each = counts.sum(dim=0).tolist()
    return both / each if each else 1.0


def described(image: Image, between: Ranges, shape: tuple[int, int] | None = None) -> str:
    """What was read and how, and between which values the network saw it; shape: as `Image.description` takes it."""
    said = image.description(shape)
    known = image.value_range is not None and not image.hounsfield
    if between is None or (known and all(pair == image.value_range for pair in between)):
        return said
    pairs = dict.fromkeys(f"{low:g} to {high:g}" for low, high in between)
    return f"{said}, {'window' if image.hounsfield else 'values'} {', '.join(pairs)}"
