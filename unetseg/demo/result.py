"""A finished run: what was found, and the facts of it that the page words."""

from __future__ import annotations

import base64
import re
import threading
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from .. import task
from ..batch import stem_of
from ..formats import Image, Raster, Series, Volume
from ..segmentation import Segmentation, foreign
from .downloads import offered
from .packed import counted, entropy, packed, tile, valid_bands
from .uploads import Upload

SHOWN_SIDE = 768
LARGE = 2**22
"""Pixels of a slice."""
SLIDER = tuple(k / 100 for k in range(101))
"""The steps of the page's sliders."""


@dataclass
class Result:
    """What was found in an upload. model: as the page calls it. full: at the stored size. seconds: that it took.

    Of a result that waits for an answer, which series it is or how it is to be read, `full` is None: it has but the
    upload, which is run again with the answer.
    """

    upload: Upload
    model: str = ""
    full: Segmentation | None = None
    info: dict[str, Any] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)
    packed: dict[int, bytes] = field(default_factory=dict)

    @property
    def nbytes(self) -> int:
        """Of the arrays that it holds, and of what was packed of them."""
        if self.full is None:
            return 0
        image = self.full.image
        arrays = (image.pixels, image.valid, self.full.drawn)
        tensors = (self.full.network_logits, self.full.features, self.full.agreed)
        held = {
            owner.__array_interface__["data"][0]: owner.nbytes for owner in map(_owner, arrays) if owner is not None
        }
        held |= {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors if t is not None}
        return sum(held.values()) + sum(map(len, self.packed.values()))

    @property
    def is_large(self) -> bool:
        """Whether what is made of a slice takes much memory: one such thing is made at a time."""
        return self.full is not None and self.full.shape[1] * self.full.shape[2] > LARGE

    def slice(self, index: int) -> bytes:
        """What the viewer draws a slice from; that which is shown first is made once."""
        with self.lock:
            if index in self.packed:
                return self.packed[index]
        full = self._of(index)
        made = packed(self.shown(index), index, full.shape[1:], counted(full, index))
        if index == self.info["first"]:
            with self.lock:
                self.packed[index] = made
        return made

    def entropy(self, index: int) -> bytes:
        """How sure the network is of a slice, at the shown size; see `packed.entropy`."""
        return entropy(self.shown(index))

    def tile(self, index: int, top: int, left: int, bottom: int, right: int) -> bytes:
        """A region of a slice at full size; see `packed.tile`."""
        return tile(self._of(index), index, top, left, bottom, right)

    def shown(self, index: int) -> Segmentation:
        """A slice at the shown size: some of its pixels, the picture antialiased."""
        alone = self._of(index).alone(index)
        return alone.reduced(SHOWN_SIDE)

    def counts(self, thresholds: Sequence[float] | None, index: int) -> list[int]:
        """Pixels of each label of a slice at full size, band by band, as `packed.counted` counts them."""
        full = self._of(index)
        count = len(full.config.labels)
        total = torch.zeros(count, dtype=torch.int64)
        for band in valid_bands(full, index):
            total += task.decode(band, full.config, thresholds).flatten().bincount(minlength=count)
        return [int(pixels) for pixels in total]

    def values(self, index: int, y: int, x: int) -> dict[str, Any]:
        """The stored numbers of a pixel, and where it lies in the world, if its file says so."""
        image = self._of(index).image
        if not (y < image.pixels.shape[1] and x < image.pixels.shape[2]):
            raise ValueError(f"{image.name} has no pixel at {y}, {x}")
        return {"values": image.pixels[index, y, x].tolist(), "place": _place(image, index, y, x)}

    def _of(self, index: int) -> Segmentation:
        assert self.full is not None
        if not 0 <= index < self.full.shape[0]:
            raise ValueError(f"{self.full.name} has the slices 0 to {self.full.shape[0] - 1}, not {index}")
        return self.full


def facts(key: str, result: Result, *, synthetic: bool, seconds: float, expires: float) -> dict[str, Any]:
    """INFO: what the page shows of a result but its pixels; words are the page's own, in the visitor's language.

    first: the slice with most of the classes. nothing: `found` is whether any label but background was found; `highest`
    and the percentiles `here` and `there` (of the training) explain why not. picture: what it shows as a whole, as
    probabilities by class; None where the model labels pixels only. profile: see `profile`.
    """
    full = result.full
    assert full is not None
    config, image = full.config, full.image
    shares = profile(full) if full.shape[0] > 1 else None
    stem = re.sub(r'[\x00-\x1f/\\:*?"<>|]', "_", stem_of(Path(Path(full.name).name)))  # no system has these in a name
    return {
        "key": key,
        "model": result.model,
        "name": full.name,
        "stem": stem,
        "synthetic": synthetic,
        "description": full.description(),
        "shape": list(full.shape),
        "shown": list(shown_shape(*full.shape[1:])),
        "first": 0 if shares is None else _first(shares, full),
        "hounsfield": image.hounsfield,
        "window": list(full.between[0]) if image.hounsfield and full.between else None,
        "seconds": round(seconds, 2),
        "source": full.model,
        "network": full.network,
        "notices": _notices(full),
        "gate": _gate(full),
        "nothing": _nothing(full),
        "agreement": full.agreement,
        "picture": full.named_picture,
        "ground": _ground(full),
        **_patient(image),
        "unit": _unit(image),
        "profile": None if shares is None else _encoded(shares),
        "expires_s": expires,
        "thresholds": list(config.thresholds),
        "downloads": offered(full, stem),
    }


def shown_shape(height: int, width: int) -> tuple[int, int]:
    """The size at which a picture is shown: that of `Segmentation.reduced`."""
    longest = max(height, width)
    if longest <= SHOWN_SIDE:
        return height, width
    return max(1, round(height * SHOWN_SIDE / longest)), max(1, round(width * SHOWN_SIDE / longest))


def profile(full: Segmentation) -> NDArray[np.float64]:
    """Shares of each slice at the size that the network saw.

    Where thresholds decide, of each output the share that reaches each of SLIDER and, last, its own threshold
    (D,K,102); else that of each label (D,L).
    """
    config = full.config
    by_threshold = not config.exclusive and config.background is not None
    found = []
    for logits in full.network_logits:
        if not by_threshold:
            labels = task.decode(logits[None], config, None)
            found.append(
                torch.bincount(labels.flatten(), minlength=len(config.labels)).double().numpy() / labels.numel()
            )
            continue
        rows = []
        for values, own in zip(task.activate(logits[None], config)[0], config.thresholds, strict=True):
            ordered = np.sort(values.numpy(), axis=None)
            steps = np.array([*SLIDER, own], dtype=np.float32)
            rows.append(1 - np.searchsorted(ordered, steps) / ordered.size)
        found.append(np.array(rows))
    return np.array(found)


def _first(shares: NDArray[np.float64], full: Segmentation) -> int:
    found = shares[..., -1] if shares.ndim == 3 else shares[:, full.config.background is not None :]
    return int(found.sum(axis=1).argmax())


def _encoded(shares: NDArray[np.float64]) -> dict[str, Any]:
    """The profile of a volume: 65535 is all of a slice; little-endian, packed by zlib, in base64."""
    data = np.rint(shares * 65535).astype("<u2").tobytes()
    kind = "claims" if shares.ndim == 3 else "labels"
    return {"kind": kind, "shape": list(shares.shape), "data": base64.b64encode(zlib.compress(data, 6)).decode()}


def _notices(full: Segmentation) -> list[str]:
    """What readers say; the gate's own sentences are facts of `gate`."""
    own = foreign(full.name, full.distance, full.limit, full.proposal, full.accepted)
    return [notice for notice in full.notices if notice not in own]


def _gate(full: Segmentation) -> dict[str, Any]:
    far = full.distance is not None and full.limit is not None and full.distance > full.limit
    found: dict[str, Any] = {"distance": full.distance, "limit": full.limit, "foreign": far}
    for name, change in (("proposal", full.proposal), ("accepted", full.accepted)):
        found[name] = change and {
            "view": change.view,
            "inverted": change.inverted,
            "window": change.window and list(change.window),
            "zoom": change.zoom,
            "words": str(change),
        }
    return found


def _nothing(full: Segmentation) -> dict[str, Any]:
    why = full.explanation()
    return {
        "found": not full.found_nothing(),
        "highest": [{"output": name, "highest": top, "shows": shows} for name, top, shows in why.highest],
        "here": why.here and list(why.here),
        "there": why.there and list(why.there),
    }


def _ground(full: Segmentation) -> dict[str, Any] | None:
    place = full.image.place
    if not isinstance(place, Raster):
        return None
    trained = full.config.ground_resolution
    return {
        "metres": place.metres,
        "crs": place.crs,
        "transform": place.transform and list(place.transform),
        "trained_on": trained and list(trained),
    }


def _patient(image: Image) -> dict[str, Any]:
    """spacing: millimetres between slices, rows, columns. affine: from (slice, row, column) to millimetres in RAS."""
    place = image.place
    if not isinstance(place, (Volume, Series)) or (isinstance(place, Series) and not place.measured):
        return {"spacing": None, "affine": None}
    grid = place.grid
    turned = np.zeros((4, 4))
    turned[3, 3] = 1
    turned[:3, 3] = grid.affine[:3, 3]
    for column, (axis, backwards) in enumerate(zip(grid.axes, grid.flipped, strict=True)):
        step = grid.affine[:3, axis]
        turned[:3, column] = -step if backwards else step
        if backwards:
            turned[:3, 3] += step * (grid.shape[axis] - 1)
    return {"spacing": [float(grid.spacing[axis]) for axis in grid.axes], "affine": turned.tolist()}


def _unit(image: Image) -> dict[str, float] | None:
    """What a pixel measures: of a volume in mm3 and, within its slice, mm2; of a raster in m2, in its middle."""
    unit = None if image.place is None else image.place.unit
    if unit is None:
        return None
    if unit[0] == "ha":
        return {"area_m2": unit[1] * 10_000}
    spacing = _patient(image)["spacing"]
    return {"volume_mm3": unit[1] * 1000} | ({"area_mm2": spacing[1] * spacing[2]} if spacing else {})


def _place(image: Image, index: int, y: int, x: int) -> dict[str, Any] | None:
    place = image.place
    if isinstance(place, Raster):
        if place.transform is None:
            return None
        a, b, c, d, e, f = place.transform
        column, row = x + 0.5, y + 0.5
        return {"kind": "ground", "at": [a * column + b * row + c, d * column + e * row + f]}
    affine = _patient(image)["affine"]
    if affine is None:
        return None
    return {"kind": "patient", "at": (np.array(affine) @ [index, y, x, 1])[:3].tolist()}


def _owner(array: NDArray[Any] | None) -> NDArray[Any] | None:
    """The array that holds the memory of another."""
    while array is not None and isinstance(array.base, np.ndarray):
        array = array.base
    return array
