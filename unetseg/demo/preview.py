"""What is shown of a run before it is done: how large it is, its picture, and the rows that were found so far."""

from __future__ import annotations

import base64
import io
import time
import zlib
from typing import Any

import numpy as np
import PIL.Image
from numpy.typing import NDArray
from torch import Tensor

from .. import task
from ..config import SegmentationConfig
from ..formats import Image
from ..prepare import evenly, ranges, scaled, working_shape
from ..render import as_rgb
from .jobs import Job
from .result import shown_shape
from .uploads import Upload

OFTEN = 0.15
"""Seconds between two events of a run at least."""
MIDDLING = 2**18
"""Pixels of a slice, where the size of a file is all that is known."""


def picture(image: Image, config: SegmentationConfig) -> dict[str, Any]:
    """The picture, of a volume its middle slice, at the shown size: roughly, for it is soon replaced."""
    slices, height, width, _ = image.pixels.shape
    rows, columns = map(evenly, (height, width), shown_shape(height, width))
    some = image.pixels[slices // 2 : slices // 2 + 1][:, rows][:, :, columns]
    file = io.BytesIO()
    drawn = as_rgb(scaled(some, ranges(image, config), config))[0]
    if len(config.channels) == 1:
        drawn = drawn[..., 0]
    PIL.Image.fromarray(drawn).save(file, "PNG", compress_level=1)
    data = base64.b64encode(file.getvalue()).decode()
    return {"picture": data, "height": height, "width": width, "description": image.description()}


def seen(shape: tuple[int, ...], config: SegmentationConfig) -> int:
    """Pixels that the network sees of (D,H,W,...), at its first scale."""
    h, w = working_shape(shape[1], shape[2], config)
    return shape[0] * h * w


def size(upload: Upload, config: SegmentationConfig) -> tuple[int, int]:
    """Pixels of an upload as stored and as the network sees it, by a picture's header or the bytes of its files."""
    if upload.path.is_dir():
        stored = sum(file.stat().st_size for file in upload.path.iterdir()) // 2
    else:
        try:
            with PIL.Image.open(upload.path) as opened:
                return opened.width * opened.height, seen((1, opened.height, opened.width), config)
        except Exception:  # no picture of Pillow's, or a damaged one: told when it is read
            stored = upload.path.stat().st_size
    if config.working_size is None:
        return stored, stored
    return stored, max(1, stored // MIDDLING) * config.working_size**2


class Progress:
    """Is told what the network found, as `Predictor` takes it; tells the visitor how far it is, and the rows so far.

    Ends the run, between two bands, if nobody waits for it any more.
    """

    def __init__(self, job: Job, image: Image, config: SegmentationConfig, *, twice: bool) -> None:
        """twice: whether the picture is changed and segmented once more; what is found then lies otherwise."""
        self.job, self.config, self.twice = job, config, twice
        self.slices, height, width, _ = image.pixels.shape
        self.shown = shown_shape(height, width)
        self._rows: list[NDArray[np.uint8]] = []
        self._top, self._told = 0, time.monotonic()

    def __call__(self, logits: Tensor, first: int, top: int, slices: int, height: int) -> None:
        """logits: (n,K,rows,w) of the slices from `first`, the rows from `top`, of so many slices and rows."""
        self.job.go_on()
        bottom = top + logits.shape[2]
        done = (first * height + len(logits) * bottom) / (slices * height)
        self.job.done = done / 2 if self.twice else done
        if slices == 1 and not self.twice and bottom - top < height:
            self._rows.append(self._labels(logits, top, height))
        if time.monotonic() - self._told >= OFTEN:
            self._tell()

    def _labels(self, logits: Tensor, top: int, height: int) -> NDArray[np.uint8]:
        """Of the rows and columns that are shown, the nearest."""
        rows, columns = (
            (2 * np.arange(count) + 1) * side // (2 * count)
            for count, side in zip(self.shown, (height, logits.shape[3]), strict=True)
        )
        here = rows[(rows >= top) & (rows < top + logits.shape[2])] - top
        return task.decode(logits[:, :, here][..., columns], self.config, None)[0].numpy()

    def _tell(self) -> None:
        self._told = time.monotonic()
        event = {"state": "running", "done": round(self.job.done, 3), "seconds": round(self.job.remaining, 1)}
        labels = np.concatenate(self._rows) if self._rows else np.empty((0, 0), np.uint8)
        if len(labels):
            data = base64.b64encode(zlib.compress(labels.tobytes(), 1)).decode()
            bottom = self._top + len(labels)
            event["rows"] = {"top": self._top, "bottom": bottom, "of": self.shown[0], "labels": data}
            self._top, self._rows = bottom, []
        self.job.tell(event)
