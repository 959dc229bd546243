"""The one path of every prediction: picture -> prepare -> tiled network -> Segmentation."""

from __future__ import annotations

import dataclasses
import logging
import math
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, Unpack

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils import convert_conv2d_weight_memory_format

from . import task
from .agreement import Agreement
from .change import AS_IT_IS, LARGEST, Change, nearest, to_ground
from .config import SegmentationConfig
from .formats import MAX_PIXELS, Image, Place, Raster, Reading, Streamed, as_image, labels_by_rows, read_image, streamed
from .gate import Gate, evenly_chosen
from .hub.download import Access
from .model import Faster, UNet, fused, packed
from .prepare import Ranges, at_working_size, doubts, normalise, ranges, rescale, rescaled, scaled, working_shape
from .segmentation import Segmentation, agreed, described, foreign
from .tiling import BAND, Rows, bands, kept, once_for_constants, resized, tiled

log = logging.getLogger(__name__)

ONCE_MORE = 0.75
"""Of the first scale, at which a thorough agreement looks."""
LOOKED_AT = 5
"""Slices of a volume that a proposal is made from."""
MIDDLE = 1024
"""Pixels a side of the middle of a large picture that is looked at."""

Found = Callable[[Tensor, int, int, int, int], None]
"""What is told of logits (n,K,rows,w) that were found, float32 at the size that the network sees: the first of their
slices, the first of their rows, and how many slices and rows there are."""

Precision = Literal["auto", "float32", "bfloat16"]
Compiled = Literal["never", "faster", "always"]


@dataclass(frozen=True)
class Written:
    """What `Predictor.write` wrote: the file, what was read and how, what a reader should know; shape: its (H,W).

    distance, agreement: as in `Segmentation`.
    """

    path: Path
    description: str
    notices: tuple[str, ...]
    shape: tuple[int, int]
    distance: float | None = None
    agreement: float | None = None


class Predictor:
    """A network ready to segment pictures of any size."""

    def __init__(
        self,
        network: UNet,
        *,
        device: str = "auto",
        precision: Precision = "auto",
        tile: int = 960,
        overlap: int = 128,
        compiled: Compiled = "never",
        agreement: Literal["scales", "thorough"] = "scales",
    ) -> None:
        """device: `auto` takes a GPU where there is one. precision: `auto` takes bfloat16 where hardware has it.

        tile, overlap: in pixels at the working size; a larger tile is faster, a smaller one needs less memory.
        compiled: `faster` compiles the network for the first shapes that it meets, which takes a minute, and takes
            what is faster; `always` takes it anyway.
        agreement: between the scales of the network, if it has several; `thorough` looks once more, at three quarters
            of the first, for the agreement alone.
        """
        self.config, self.source = network.config, network.source
        self.device = usable(device)
        if precision == "auto":
            precision = "bfloat16" if has_bfloat16(self.device) else "float32"
        if precision not in ("float32", "bfloat16"):
            raise ValueError(f"unknown precision {precision!r}; choose auto, float32 or bfloat16")
        self.dtype = torch.float32 if precision == "float32" else torch.bfloat16
        self.tile, self.overlap, self.stride = tile, overlap, network.stride
        # in bfloat16 a slice gives the same bits whatever runs beside it; in float32 it doesn't
        self.together = 1 if self.dtype == torch.float32 else 4
        plain = fused(network).to(self.device, self.dtype)
        convert_conv2d_weight_memory_format(plain, torch.channels_last)
        self.network = packed(plain) if self.device.type == "cpu" else plain
        self.faster = None if compiled == "never" else Faster(self.network, plain, always=compiled == "always")
        self.gate: Gate | None = None
        if agreement not in ("scales", "thorough"):
            raise ValueError(f"unknown agreement {agreement!r}; choose scales or thorough")
        once_more = (ONCE_MORE * self.config.scales[0],) if agreement == "thorough" else ()
        self.seen_at = (*self.config.scales, *once_more)

    @classmethod
    def from_pretrained(
        cls,
        name: str | Path,
        *,
        revision: str | None = None,
        device: str = "auto",
        precision: Precision = "auto",
        compiled: Compiled = "never",
        agreement: Literal["scales", "thorough"] = "scales",
        **access: Unpack[Access],
    ) -> Predictor:
        """The predictor of a checkpoint, found as `UNet.from_pretrained` finds it, with the same options."""
        network = UNet.from_pretrained(name, revision=revision, **access)
        predictor = cls(network, device=device, precision=precision, compiled=compiled, agreement=agreement)
        assert network.source is not None
        try:
            predictor.gate = Gate.load(network.source.folder, network.config)
        except ValueError as error:
            log.warning("note: %s, and is not used", error)
        return predictor

    def __call__(
        self,
        image: Image | NDArray[Any] | str | Path,
        *,
        accept_proposals: bool = False,
        progress: Found | None = None,
        **reading: Unpack[Reading],
    ) -> Segmentation:
        """Segment a picture or a volume: a path, an array (H,W[,C]) or an `Image`; ValueError says what doesn't fit.

        accept_proposals: change a picture that is foreign to the model as `propose` says; labels come back as it lies.
        progress: is called as logits are found, see `Found`, and so once more for a changed picture; what it raises
            ends the work.
        reading: what the file of a path may not say of itself, e.g. `series=`, `bands=`, `value_range=`.
        """
        if isinstance(image, (str, Path)):
            image = read_image(image, **reading)
        elif reading:
            raise ValueError(f"{', '.join(reading)} say how a file is read; give its path, or an Image that holds it")
        elif not isinstance(image, Image):
            image = as_image(np.asarray(image))
        (segmentation,) = self.several([image], accept_proposals=accept_proposals, progress=progress)
        return segmentation

    def several(
        self, images: Sequence[Image], *, accept_proposals: bool = False, progress: Found | None = None
    ) -> list[Segmentation]:
        """Segment images of one height and width, `together` of their slices at a time; as a call does each."""
        found = self._segmented(images, progress=progress)
        return [self._judged(one, accept_proposals=accept_proposals, progress=progress) for one in found]

    def propose(self, image: Image) -> Change | None:
        """The change that brings an image clearly nearer to what the network was trained on; None if there is none.

        Of a volume some slices are looked at, of a large picture its middle.
        """
        if (change := self._to_ground(image)) is not None:
            return change
        if self.gate is None:
            return None
        pixels = image.pixels[evenly_chosen(len(image.pixels), LOOKED_AT)]
        if self.config.working_size is None:
            pixels = pixels[:, _middle(pixels.shape[1]), _middle(pixels.shape[2])]
        x = at_working_size(scaled(pixels, ranges(image, self.config), self.config), self.config)

        return nearest(
            self.gate,
            partial(self.features, x),
            x,
            contrast=not image.hounsfield,
            sizes=self.config.working_size is None,
        )

    @torch.no_grad()
    def features(self, x: Tensor, change: Change = AS_IT_IS) -> Tensor:
        """What the network sees of pictures (B,C,h,w) at the working size, from 0 to 1, after a change: (B,n,F).

        Of large ones the middle is looked at.
        """
        x = x[:, :, _middle(x.shape[2]), _middle(x.shape[3])]
        x = normalise(rescale(change.values(x), change.zoom * self.config.scales[0]), self.config)
        down, right = (-side % self.stride for side in x.shape[2:])
        return self.network.features(self._given(F.pad(x, (0, right, 0, down), mode="replicate"))).cpu()

    def _segmented(
        self, images: Sequence[Image], change: Change = AS_IT_IS, *, progress: Found | None = None
    ) -> list[Segmentation]:
        between = [change.between(ranges(image, self.config), len(self.config.channels)) for image in images]
        slices = [
            (change.pixels(image.pixels[index : index + 1]), known)
            for image, known in zip(images, between, strict=True)
            for index in range(len(image.pixels))
        ]
        height, width = slices[0][0].shape[1:3]
        size = rescaled(*working_shape(height, width, self.config), change.zoom)
        logits = torch.empty(len(slices), len(self.config.outputs), *size)
        seen: list[_Seen] = []
        for first in range(0, len(slices), self.together):
            some = slice(first, first + self.together)
            seen.append(_Seen(self.config))
            rows = self._rows(partial(_scaled_rows, slices[some], self.config), (height, width), size, seen[-1])
            for top, bottom in bands(size[0]):
                logits[some, :, top:bottom] = rows(top, bottom)
                if progress is not None:
                    progress(logits[some, :, top:bottom], first, top, len(slices), size[0])
        counts = [len(image.pixels) for image in images]
        for image, found in zip(images, torch.split(logits, counts), strict=True):
            self._check(found, image.name)
        features = torch.split(torch.cat([one.features for one in seen]), counts)
        alike: Sequence[Tensor | None] = [None] * len(images)
        if len(self.seen_at) > 1:
            alike = torch.split(torch.cat([one.agreement.counts for one in seen]), counts)
        return [
            Segmentation(
                found,
                image,
                self.config,
                (*image.notices, *doubts(image, self.config)),
                known,
                model=self.model,
                network=self.runs,
                features=windows,
                agreed=same,
                gate=self.gate,
            )
            for found, image, known, windows, same in zip(
                torch.split(change.back(logits), counts), images, between, features, alike, strict=True
            )
        ]

    def _judged(self, segmentation: Segmentation, *, accept_proposals: bool, progress: Found | None) -> Segmentation:
        """It with a sentence where its image is foreign to the network, or segmented as is proposed."""
        image = segmentation.image
        said = self._ground(image.name, image.place)
        if not said and not segmentation.is_suspect:
            return segmentation
        proposal, accepted = self.propose(image), None
        if proposal is not None and accept_proposals:
            (segmentation,) = self._segmented([image], proposal, progress=progress)
            proposal, accepted = None, proposal
        said += foreign(image.name, segmentation.distance, segmentation.limit, proposal, accepted)
        return dataclasses.replace(
            segmentation, notices=(*segmentation.notices, *said), proposal=proposal, accepted=accepted
        )

    def _metres(self, place: Place | None) -> float | None:
        """Metres on the ground of a pixel, where that is known of it and of the training."""
        return place.metres if self.config.ground_resolution is not None and isinstance(place, Raster) else None

    def _ground(self, name: str, place: Place | None) -> tuple[str, ...]:
        """What is to be said of the size of its pixels on the ground."""
        metres, trained_on = self._metres(place), self.config.ground_resolution
        if metres is None or trained_on is None or to_ground(metres, trained_on, math.inf) is None:
            return ()
        low, high = trained_on
        return (f"{name} has {metres:.3g} m a pixel on the ground, and this model was trained on {low:g} to {high:g}",)

    def _to_ground(self, image: Image) -> Change | None:
        metres, trained_on = self._metres(image.place), self.config.ground_resolution
        # with a working size the whole picture is brought to it, whatever its pixels are
        if metres is None or trained_on is None or self.config.working_size is not None:
            return None
        return to_ground(metres, trained_on, min(LARGEST, math.sqrt(MAX_PIXELS / image.pixels[0, ..., 0].size)))

    def write(
        self,
        source: str | Path,
        target: str | Path,
        thresholds: Sequence[float] | None = None,
        *,
        kind: Literal["geotiff", "cog"] = "geotiff",
        progress: Callable[[int, int], None] | None = None,
        **reading: Unpack[Reading],
    ) -> Written:
        """Segment a TIFF of any size row by row, and write its labels as a GeoTIFF: those of `Segmentation.save`.

        What stands in memory depends on the tile and on the width of the raster, not on its height. The file is
        looked through once before. progress: is called now and then with the rows that are done, and all of them; what
        it raises ends the work. Raises ValueError as a call does.
        """
        path = Path(target)
        with streamed(Path(source), **reading) as raster:
            between = ranges(raster.image, self.config)
            size = working_shape(*raster.shape, self.config)
            # the bands of a call: then each bit is that of a call
            seen = _Seen(self.config)
            at_size = self._rows(partial(_streamed_rows, raster, between, self.config), raster.shape, size, seen)
            logits = kept(at_size(top, bottom) for top, bottom in bands(size[0]))
            rows = resized(logits, size, raster.shape, antialias=False)
            masks = None if raster.complete else raster.reader()
            with labels_by_rows(path, raster.place, self.config, kind) as write, ThreadPoolExecutor(1) as pool:
                behind: Future[None] | None = None
                for top, bottom in bands(raster.shape[0]):
                    found = rows(top, bottom)
                    self._check(found, raster.image.name)
                    labels = task.decode(found, self.config, thresholds)[0].numpy()
                    valid = None if masks is None else masks(top, bottom)[1]
                    if behind is not None:
                        behind.result()
                    behind = pool.submit(write, top, labels, None if valid is None else valid[0])
                    if progress is not None:
                        progress(bottom, raster.shape[0])
                if behind is not None:
                    behind.result()
        gate = self.gate
        distance = None if gate is None else float(gate.distances(seen.features))
        notices = (
            *raster.image.notices,
            *doubts(raster.image, self.config),
            *self._ground(raster.image.name, raster.place),
            *foreign(raster.image.name, distance, None if gate is None else gate.limit),
        )
        agreement = None if len(self.seen_at) == 1 else agreed(seen.agreement.counts)
        return Written(path, described(raster.image, between, raster.shape), notices, raster.shape, distance, agreement)

    @property
    def model(self) -> str:
        """What the checkpoint is called, with its commit where it has one; of a folder its name, never its path."""
        if self.source is None:
            return "unnamed"
        return str(self.source) if self.source.commit else self.source.folder.name

    @property
    def runs(self) -> str:
        """How the network runs: precision, device, whether it is compiled; labels differ by them in a few pixels."""
        said = f"{str(self.dtype).removeprefix('torch.')} on {self.device.type}"
        return said if self.faster is None else f"{said}, {self.faster.said}"

    def _check(self, logits: Tensor, name: str) -> None:
        """ValueError for logits that are no numbers: decoded, they would be labels like any others."""
        # piece by piece: what is made to find out is more than the logits themselves
        if not all(bool(rows.isfinite().all()) for rows in torch.split(logits, BAND, dim=2)):
            raise ValueError(
                f"of {name} the network makes numbers that are not finite ({self.runs}): its weights are too large, or "
                "the values of the picture; get or train the weights anew, or take float32"
            )

    def _rows(self, opened: Callable[[], Rows], stored: tuple[int, int], size: tuple[int, int], seen: _Seen) -> Rows:
        """Logits (B,K,n,w) at a size, the mean of those at every scale.

        opened: gives pictures (B,C,n,W) from 0 to 1, of the stored size, for each scale from the top.
        """

        def normalised(read: Rows) -> Rows:
            at_size = resized(read, stored, size, antialias=True)

            def rows(top: int, bottom: int) -> Tensor:
                x = at_size(top, bottom)
                return normalise(x if size == stored else x.clamp_(0, 1), self.config)

            return rows

        count = len(self.config.scales)
        found = [
            self._at_scale(normalised(opened()), size, factor, None if number else seen.windows)
            for number, factor in enumerate(self.seen_at)
        ]

        def mean(top: int, bottom: int) -> Tensor:
            logits = [rows(top, bottom) for rows in found]
            seen.agreement.update(logits)
            total, *others = logits[:count]
            for other in others:
                total = total + other
            return total.div_(count) if others else total

        return torch.no_grad()(mean)

    def _at_scale(self, read: Rows, size: tuple[int, int], factor: float, windows: list[Tensor] | None) -> Rows:
        own = rescaled(*size, factor)
        pictures = resized(read, size, own, antialias=True)

        def seen(top: int, bottom: int) -> Tensor:
            if bottom - top == own[0]:
                return pictures(top, bottom)
            # piece by piece: rows of a wide raster in float32, and what they are made of, would fill the memory
            x = None
            for at in range(top, bottom, BAND):
                piece = pictures(at, min(at + BAND, bottom))
                if x is None:
                    x = piece.new_empty(*piece.shape[:2], bottom - top, piece.shape[3], dtype=self.dtype)
                x[:, :, at - top : at - top + piece.shape[2]] = piece
            assert x is not None
            return x

        run = once_for_constants(self._run)

        def network(x: Tensor) -> Tensor:
            found, features = run(x)
            if windows is not None:
                windows.append(features)
            return found

        logits = tiled(
            network,
            seen,
            *own,
            channels=len(self.config.outputs),
            stride=self.stride,
            tile=self.tile,
            overlap=self.overlap,
        )
        return resized(kept(logits), own, size, antialias=False)

    def _run(self, x: Tensor) -> tuple[Tensor, Tensor]:
        logits, features = (self.faster or self.network).with_features(self._given(x))
        return logits, features.cpu()

    def _given(self, x: Tensor) -> Tensor:
        return x.to(self.device, self.dtype, memory_format=torch.channels_last)


class _Seen:
    """What is noticed of some slices while they are segmented."""

    def __init__(self, config: SegmentationConfig) -> None:
        self.agreement = Agreement(config)
        self.windows: list[Tensor] = []

    @property
    def features(self) -> Tensor:
        """Of all windows: (B,n,F)."""
        return torch.cat(self.windows, dim=1)


def _middle(side: int) -> slice:
    start = max(0, (side - MIDDLE) // 2)
    return slice(start, start + MIDDLE)


def _scaled_rows(slices: Sequence[tuple[NDArray[Any], Ranges]], config: SegmentationConfig) -> Rows:
    return lambda top, bottom: torch.cat([scaled(pixels[:, top:bottom], between, config) for pixels, between in slices])


def _streamed_rows(raster: Streamed, between: Ranges, config: SegmentationConfig) -> Rows:
    read = raster.reader()
    return lambda top, bottom: scaled(read(top, bottom)[0], between, config)


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
