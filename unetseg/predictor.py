"""The one path of every prediction: picture -> prepare -> tiled network -> Segmentation."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Unpack

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils import convert_conv2d_weight_memory_format

from . import render, task
from .config import SegmentationConfig
from .formats import Image, Kind, Reading, as_image, read_image, save_labels, save_probabilities
from .hub.download import Access
from .measure import Cleaning, cleaned, report
from .model import UNet, fused
from .prepare import Ranges, at_working_size, doubts, evenly, normalise, ranges, rescale, restore, scaled
from .tiling import tiled

NOTHING = Cleaning()
Precision = Literal["auto", "float32", "bfloat16"]


@dataclass(frozen=True)
class Segmentation:
    """What the network found in one picture or volume, kept as logits at the size it saw; all else is derived.

    network_logits: float32 (D,K,h,w); D slices (1 for a picture), K output channels.
    image: what was segmented, (D,H,W,C) as stored.
    notices: what a reader of the result should know.
    between: what was black and white to the network, as `prepare.ranges` says of all slices.
    drawn: uint8 (D,H,W,3), the picture where it is not drawn from the image.
    model: what found it, as `Predictor.model` says.
    """

    network_logits: Tensor
    image: Image
    config: SegmentationConfig
    notices: tuple[str, ...] = ()
    between: Ranges = None
    drawn: NDArray[np.uint8] | None = None
    model: str = ""

    @property
    def name(self) -> str:
        """What the picture is called in messages."""
        return self.image.name

    @property
    def shape(self) -> tuple[int, int, int]:
        """(D,H,W) as stored."""
        return self.image.pixels.shape[:3]

    @property
    def logits(self) -> Tensor:
        """Float32 (D,K,H,W) at the stored size: restored at each access, of a volume slice by slice."""
        return torch.cat(list(map(self._restored, range(len(self.network_logits)))))

    @property
    def probabilities(self) -> Tensor:
        """Calibrated probabilities (D,K,H,W): softmax over K for multiclass, else a sigmoid each."""
        return torch.cat(list(map(self._probabilities, range(len(self.network_logits)))))

    @property
    def picture(self) -> NDArray[np.uint8]:
        """The picture (D,H,W,3) as the network was given it, drawn at each access."""
        return np.concatenate(list(map(self._picture, range(len(self.network_logits)))))

    def description(self) -> str:
        """What was read and how, and between which values the network saw it; see `Image.description`."""
        if self.between is None or (self.image.value_range is not None and not self.image.hounsfield):
            return self.image.description()
        pairs = dict.fromkeys(f"{low:g} to {high:g}" for low, high in self.between)
        return f"{self.image.description()}, {'window' if self.image.hounsfield else 'values'} {', '.join(pairs)}"

    def labels(self, thresholds: Sequence[float] | None = None, *, index: int | None = None) -> NDArray[np.uint8]:
        """The decision as label ids (D,H,W), or (H,W) of the slice `index`; see `task.decode`."""
        if index is not None:
            return task.decode(self._restored(index), self.config, thresholds)[0].numpy()
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
            `argmax`, the index of the largest logit in the palette; `overlay`, the labels over the picture.
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
        if kind == "argmax":
            return render.colourised(self.argmax(index), self.config)
        return render.overlay(self._picture(index)[0], self.labels(thresholds, index=index), self.config)

    def alone(self, index: int) -> Segmentation:
        """One slice as a Segmentation of its own, without a place in the world."""
        part = slice(index, index + 1)
        drawn = None if self.drawn is None else self.drawn[part]
        image = self.image.alone(index)
        return dataclasses.replace(self, network_logits=self.network_logits[part], image=image, drawn=drawn)

    def reduced(self, longest: int) -> Segmentation:
        """A copy with at most `longest` pixels a side, for showing: some of the same logits, none invented.

        Every view but the overlay of the copy is made of pixels of the full view; the picture is antialiased.
        """
        depth, height, width = self.shape
        if max(height, width) <= longest:
            return self
        h, w = (max(1, round(side * longest / max(height, width))) for side in (height, width))
        rows, columns = evenly(height, h), evenly(width, w)
        kept = [self._restored(index)[:, :, rows][:, :, :, columns] for index in range(depth)]
        drawn = np.stack([render.resized(self._picture(index)[0], h, w) for index in range(depth)])
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
            read=self.description(),
            notices=self.notices,
        )

    def _restored(self, index: int) -> Tensor:
        return restore(self.network_logits[index][None], *self.shape[1:])  # (1,K,H,W)

    def _probabilities(self, index: int) -> Tensor:
        return task.activate(self._restored(index), self.config)

    def _picture(self, index: int) -> NDArray[np.uint8]:
        part = slice(index, None if index == -1 else index + 1)
        if self.drawn is not None:
            return self.drawn[part]
        return render.as_rgb(scaled(self.image.pixels[part], self.between, self.config))


class Predictor:
    """A network ready to segment pictures of any size."""

    def __init__(
        self,
        network: UNet,
        *,
        device: str = "auto",
        precision: Precision = "auto",
        tile: int = 512,
        overlap: int = 128,
    ) -> None:
        """device: `auto` takes a GPU where there is one. precision: `auto` takes bfloat16 where hardware has it.

        tile, overlap: in pixels at the working size; a larger tile is faster, a smaller one needs less memory.
        """
        self.config, self.source = network.config, network.source
        self.device = usable(device)
        if precision == "auto":
            precision = "bfloat16" if has_bfloat16(self.device) else "float32"
        if precision not in ("float32", "bfloat16"):
            raise ValueError(f"unknown precision {precision!r}; choose auto, float32 or bfloat16")
        self.dtype = torch.float32 if precision == "float32" else torch.bfloat16
        self.tile, self.overlap, self.stride = tile, overlap, network.stride
        self.network = fused(network).to(self.device, self.dtype)
        convert_conv2d_weight_memory_format(self.network, torch.channels_last)

    @classmethod
    def from_pretrained(
        cls,
        name: str | Path,
        *,
        revision: str | None = None,
        device: str = "auto",
        precision: Precision = "auto",
        **access: Unpack[Access],
    ) -> Predictor:
        """The predictor of a checkpoint, found as `UNet.from_pretrained` finds it, with the same options."""
        network = UNet.from_pretrained(name, revision=revision, **access)
        return cls(network, device=device, precision=precision)

    def __call__(self, image: Image | NDArray[Any] | str | Path, **reading: Unpack[Reading]) -> Segmentation:
        """Segment a picture or a volume: a path, an array (H,W[,C]) or an `Image`; ValueError says what doesn't fit.

        reading: what the file of a path may not say of itself, e.g. `series=`, `bands=`, `value_range=`.
        """
        if isinstance(image, (str, Path)):
            image = read_image(image, **reading)
        elif reading:
            raise ValueError(f"{', '.join(reading)} say how a file is read; give its path, or an Image that holds it")
        elif not isinstance(image, Image):
            image = as_image(np.asarray(image))
        between = ranges(image, self.config)
        logits = None
        with torch.no_grad():
            for index, slice_ in enumerate(image.pixels):
                x = at_working_size(scaled(slice_[None], between, self.config), self.config)  # (1,C,h,w)
                found = self._run(normalise(x, self.config))  # (1,K,h,w)
                if logits is None:
                    logits = torch.empty(len(image.pixels), *found.shape[1:])
                logits[index] = found[0]
        assert logits is not None, "an Image has at least one slice"
        notices = (*image.notices, *doubts(image, self.config))
        return Segmentation(logits, image, self.config, notices, between, model=self.model)

    @property
    def model(self) -> str:
        """What the checkpoint is called, with its commit where it has one; of a folder its name, never its path."""
        if self.source is None:
            return "unnamed"
        return str(self.source) if self.source.commit else self.source.folder.name

    def _run(self, x: Tensor) -> Tensor:
        """The mean of the logits at every scale: (1,C,h,w) -> (1,K,h,w)."""
        height, width = x.shape[2:]
        first, *others = self.config.scales
        total = restore(self._tiled(rescale(x, first)), height, width)
        for factor in others:
            total += restore(self._tiled(rescale(x, factor)), height, width)
        return total.div_(len(self.config.scales))

    def _tiled(self, x: Tensor) -> Tensor:
        def network(part: Tensor) -> Tensor:
            part = part.to(self.device, self.dtype, memory_format=torch.channels_last)
            logits: Tensor = self.network(part)
            return logits

        channels = len(self.config.outputs)
        return tiled(network, x[0], channels=channels, stride=self.stride, tile=self.tile, overlap=self.overlap)[None]


def best_device() -> str:
    """`cuda`, `mps` or `cpu`: the fastest there is."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def usable(name: str) -> torch.device:
    """A device by name, `auto` being the fastest; ValueError where it can't be used."""
    try:
        place = torch.device(best_device() if name == "auto" else name)
        torch.zeros(1, device=place)
    except (RuntimeError, AssertionError):  # for an unknown name; for one that this build of torch can't use
        raise ValueError(f"device {name!r} can't be used here; {best_device()!r} can") from None
    return place


def has_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 runs in hardware, and so faster than float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    # without these instructions bfloat16 is emulated, several times slower; torch has no public question for it
    return device.type == "cpu" and bool(torch.cpu._is_avx512_bf16_supported())
