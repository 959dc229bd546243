"""The one path of every prediction: picture -> prepare -> tiled network -> Segmentation."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Unpack

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils import convert_conv2d_weight_memory_format

from . import render, task
from .config import SegmentationConfig
from .formats import Image, as_image, read_image, write_labels
from .hub.download import Access
from .model import UNet, fused
from .prepare import doubts, evenly, prepare, rescale, restore, scale
from .tiling import tiled

Precision = Literal["auto", "float32", "bfloat16"]


@dataclass(frozen=True)
class Segmentation:
    """What the network found in one picture, kept as logits; everything else is derived.

    logits: float32 (D,K,H,W) at the stored size; D slices (1 for a picture), K output channels.
    picture: uint8 (D,H,W,3), the picture as the network was given it.
    notices: what a reader of the result should know.
    """

    logits: Tensor
    picture: NDArray[np.uint8]
    config: SegmentationConfig
    name: str = "picture"
    notices: tuple[str, ...] = ()

    @cached_property
    def probabilities(self) -> Tensor:
        """Calibrated probabilities (D,K,H,W): softmax over K for multiclass, else a sigmoid each."""
        return task.activate(self.logits, self.config)

    def labels(self, thresholds: Sequence[float] | None = None) -> NDArray[np.uint8]:
        """The decision as label ids (D,H,W); see `task.decode`."""
        return task.decode(self.logits, self.config, thresholds).numpy()

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
        part = slice(index, index + 1)
        if kind == "probability":
            return render.probability(self.probabilities[index].numpy(), channel)
        if kind == "thresholded":
            limits = task.checked_thresholds(thresholds, self.config)
            return render.thresholded(self.probabilities[index].numpy(), limits, self.config, channel)
        if kind == "argmax":
            return render.colourised(task.argmax(self.logits[part], self.config)[0].numpy(), self.config)
        labels = task.decode(self.logits[part], self.config, thresholds)[0].numpy()
        return render.overlay(self.picture[index], labels, self.config)

    def reduced(self, longest: int) -> Segmentation:
        """A copy with at most `longest` pixels a side, for showing: some of the same logits, none invented.

        Every view but the overlay of the copy is made of pixels of the full view; the picture is antialiased.
        """
        height, width = self.logits.shape[2:]
        if max(height, width) <= longest:
            return self
        h, w = (max(1, round(side * longest / max(height, width))) for side in (height, width))
        rows, columns = evenly(height, h), evenly(width, w)
        picture = np.stack([render.resized(slice_, h, w) for slice_ in self.picture])
        return dataclasses.replace(self, logits=self.logits[:, :, rows][:, :, :, columns], picture=picture)

    def save(self, path: str | Path, thresholds: Sequence[float] | None = None) -> Path:
        """Write the labels as an indexed PNG; ids are pixel values, colours the palette's."""
        if len(self.logits) > 1:
            raise ValueError(f"{self.name} has {len(self.logits)} slices, expected 1; write its labels slice by slice")
        return write_labels(Path(path), self.labels(thresholds)[0], self.config.palette)


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

    def __call__(self, image: Image | NDArray[Any] | str | Path) -> Segmentation:
        """Segment a picture: a path, an array (H,W[,C]) or an `Image`; ValueError says what doesn't fit."""
        if isinstance(image, (str, Path)):
            image = read_image(image)
        elif not isinstance(image, Image):
            image = as_image(np.asarray(image))
        height, width = image.pixels.shape[1:3]
        x = prepare(image, self.config)  # (D,C,h,w)
        with torch.no_grad():
            logits = torch.cat([restore(self._run(slice_[None]), height, width) for slice_ in x])  # (D,K,H,W)
        picture = render.as_rgb(scale(image, self.config))
        return Segmentation(logits, picture, self.config, image.name, (*image.notices, *doubts(image, self.config)))

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
