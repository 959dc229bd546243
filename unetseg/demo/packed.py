"""A slice of a result as bytes from which a browser draws every view at every threshold by itself.

A length (uint32, little-endian), a header of that length (JSON), and planes, each a zlib stream. Probabilities travel
as levels: the number of cuts that one reaches, where every step of the slider and the checkpoint's own threshold is a
cut. So `level >= at[k]` is `p >= threshold` for each pixel, and the grey is within one of `render.probability`.

Shapes: K output channels, L labels, h x w pixels at the shown size, H x W of the full size.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from .. import render, task
from ..config import SegmentationConfig
from ..prepare import restored, scaled
from ..segmentation import Segmentation

VERSION = 1
STEPS = 100
"""The slider goes from 0 to 1 in so many steps."""
HALVES = np.array([half / (2 * STEPS) for half in range(2 * STEPS + 1)], dtype=np.float32)
"""The cuts of every channel: the steps, and a middle between two so that a grey is nearly that of the probability."""


def packed(shown: Segmentation, index: int, full: tuple[int, int], counts: Mapping[str, Any] | None = None) -> bytes:
    """One slice at the shown size. index: its number; full: (H,W); counts: of all its pixels, see `counted`."""
    logits = shown.logits
    header = _header(shown, index, full) | {"counts": counts}
    return _bytes(header, _planes(logits, shown))


def tile(full: Segmentation, index: int, top: int, left: int, bottom: int, right: int) -> bytes:
    """A region of a slice at full size, in the same form, with `top` and `left` in the header."""
    height, width = full.shape[1:]
    if not (0 <= top < bottom <= height and 0 <= left < right <= width):
        raise ValueError(f"a tile lies within {height} x {width} pixels, not at {top}, {left} to {bottom}, {right}")
    some = restored(full.network_logits[index][None], height, width, top, bottom)  # (1,K,n,W) each
    logits = torch.cat([band[..., left:right] for band in some], dim=2)
    image = full.image
    pixels = image.pixels[index : index + 1, top:bottom, left:right]
    drawn = full.drawn[index : index + 1, top:bottom, left:right] if full.drawn is not None else None
    part = replace(full, image=replace(image, pixels=pixels, valid=None, place=None), drawn=drawn)
    header = _header(part, index, (height, width)) | {"top": top, "left": left, "counts": None}
    return _bytes(header, _planes(logits, part))


def entropy(shown: Segmentation) -> bytes:
    """One plane, the grey of `render.entropy` of each channel, and for several that of all; see `Segmentation.view`."""
    probabilities = shown.probabilities[0].numpy()
    several = len(shown.config.outputs) > 1 and not shown.config.exclusive
    channels = [None, *range(len(shown.config.outputs))] if several else [None]
    planes = {
        "entropy" if channel is None else f"entropy{channel}": render.entropy(probabilities, shown.config, channel)[
            ..., 0
        ]
        for channel in channels
    }
    return _bytes({"version": VERSION, "height": shown.shape[1], "width": shown.shape[2]}, planes)


def counted(full: Segmentation, index: int) -> dict[str, Any]:
    """Pixels of a slice at full size, band by band; those that are not valid don't count.

    claims: (K,102) of each channel those that reach each step and, last, its own threshold. argmax: (L,). labels: (L,)
    by the decision, None where thresholds make it. of: how many there are.
    """
    config = full.config
    labels = np.zeros((2, len(config.labels)), dtype=np.int64)
    reached = [np.zeros(len(cuts.values) + 1, dtype=np.int64) for cuts in _cuts(config)]
    fixed = config.exclusive or config.background is None
    for band in valid_bands(full, index):
        found = task.argmax(band, config)
        labels[0] += torch.bincount(found.flatten(), minlength=labels.shape[1]).numpy()
        if fixed and not config.exclusive:
            decided = task.decode(band, config)
            labels[1] += torch.bincount(decided.flatten(), minlength=labels.shape[1]).numpy()
        probabilities = task.activate(band, config)[0].numpy()
        for values, cuts, sums in zip(probabilities, _cuts(config), reached, strict=True):
            sums[: len(cuts.values)] += np.bincount(cuts.levels(values).ravel(), minlength=len(cuts.values))
    claims = []
    for cuts, sums in zip(_cuts(config), reached, strict=True):
        at_least = sums[::-1].cumsum()[::-1]
        claims.append(at_least[[*cuts.steps, cuts.own]].tolist())
    decision = labels[0 if config.exclusive else 1].tolist() if fixed else None
    return {"claims": claims, "argmax": labels[0].tolist(), "labels": decision, "of": int(labels[0].sum())}


def valid_bands(full: Segmentation, index: int) -> Iterator[torch.Tensor]:
    """The logits of a slice at full size in bands (1,K,n,W), or (1,K,1,n) of those pixels that are valid."""
    valid, top = full.image.valid, 0
    for band in restored(full.network_logits[index][None], *full.shape[1:]):
        bottom = top + band.shape[2]
        yield band if valid is None else band[:, :, torch.from_numpy(valid[index, top:bottom])][:, :, None]
        top = bottom


@dataclass(frozen=True)
class _Cuts:
    """The cuts of a channel, float32 and rising. steps: which of them are those of the slider; own: the threshold."""

    values: NDArray[np.float32]
    steps: tuple[int, ...]
    own: int

    @property
    def greys(self) -> list[int]:
        """The grey in the middle of what each level may be: (levels,)."""
        low = np.rint(self.values * 255)
        high = np.rint(np.append(np.nextafter(self.values[1:], 0), np.float32(1)) * 255)
        return [int(grey) for grey in (low + high) // 2]

    def levels(self, probabilities: NDArray[np.float32]) -> NDArray[np.uint8]:
        """The number of the last cut that each probability reaches."""
        levels = (probabilities * (2 * STEPS)).astype(np.uint8)
        # rounding may have taken it over a cut, or not quite to it
        levels -= probabilities < HALVES[levels]
        levels += probabilities >= np.append(HALVES[1:], np.float32(np.inf))[levels]
        if len(self.values) > len(HALVES):
            levels += probabilities >= self.values[self.own]
        return levels


def _cuts(config: SegmentationConfig) -> list[_Cuts]:
    found = []
    for threshold in config.thresholds:
        own = np.float32(threshold)
        values = HALVES if own in HALVES else np.sort(np.append(HALVES, own))
        steps = tuple(np.searchsorted(values, HALVES[::2]).tolist())
        found.append(_Cuts(values, steps, int(np.searchsorted(values, own))))
    return found


def _header(shown: Segmentation, index: int, full: tuple[int, int]) -> dict[str, Any]:
    config = shown.config
    return {
        "version": VERSION,
        "height": shown.image.pixels.shape[1],
        "width": shown.image.pixels.shape[2],
        "full": list(full),
        "index": index,
        "task": {
            "kind": config.task,
            "exclusive": config.exclusive,
            "background": config.background,
            "labels": list(config.labels),
            "outputs": list(config.outputs),
            "palette": list(config.palette),
        },
        "levels": [
            {"at": list(cuts.steps), "own": {"value": threshold, "level": cuts.own}, "grey": cuts.greys}
            for cuts, threshold in zip(_cuts(config), config.thresholds, strict=True)
        ],
        "window": list(shown.between[0]) if shown.image.hounsfield and shown.between else None,
    }


def _planes(logits: torch.Tensor, shown: Segmentation) -> dict[str, NDArray[Any]]:
    """Of logits (1,K,h,w) at the size of the picture of `shown`."""
    config = shown.config
    probabilities = task.activate(logits, config)[0].numpy()
    planes: dict[str, NDArray[Any]] = {
        f"level{k}": cuts.levels(values)
        for k, (values, cuts) in enumerate(zip(probabilities, _cuts(config), strict=True))
    }
    planes["argmax"] = task.argmax(logits, config)[0].numpy()
    if not config.exclusive and config.background is None:
        labels = task.decode(logits, config)[0].numpy()  # by tempered logits, argmax by others
        if not np.array_equal(labels, planes["argmax"]):
            planes["labels"] = labels
    elif not config.exclusive and len(config.outputs) > 1:
        ranked = task.ranked(logits, config)[0].numpy().astype(np.uint8)  # (K,h,w)
        planes |= {f"order{j}": one for j, one in enumerate(ranked)}
    stored, drawn = shown.image.pixels[0, ..., 0], shown.drawn
    if _whole_hounsfield(shown, stored):
        planes["hounsfield"] = stored.astype(np.int16)
        if drawn is None:
            return planes
    picture = (render.as_rgb(scaled(shown.image.pixels, shown.between, config)) if drawn is None else drawn)[0]
    grey = bool((picture == picture[..., :1]).all())
    planes["picture"] = picture[..., 0] if grey else np.ascontiguousarray(np.moveaxis(picture, 2, 0))
    return planes


def _whole_hounsfield(shown: Segmentation, stored: NDArray[Any]) -> bool:
    """Whether a picture is of Hounsfield units that 16 bits hold: then the browser draws it in any window."""
    if not shown.image.hounsfield or shown.image.pixels.shape[3] != 1 or shown.between is None:
        return False
    low, high = float(stored.min()), float(stored.max())
    return low >= -(2**15) and high < 2**15 and bool((stored == np.rint(stored)).all())


def _bytes(header: Mapping[str, Any], planes: Mapping[str, NDArray[Any]]) -> bytes:
    described: list[dict[str, Any]] = []
    parts: list[bytes] = []
    for name, plane in planes.items():
        photographed = name in ("picture", "hounsfield")
        # red and blue follow green
        channels = [plane[0] - plane[1], plane[1], plane[2] - plane[1]] if plane.ndim == 3 else [plane]
        raw = b"".join(map(_medians if photographed else _sums, channels))
        # what is left is noise and runs, in which no other strings repeat: a fifth of the time, and fewer bytes
        packing = zlib.compressobj(6, strategy=zlib.Z_RLE)
        data = packing.compress(raw) + packing.flush()
        described.append(
            {
                "name": name,
                "type": str(plane.dtype),
                "shape": list(plane.shape),
                "filter": "median" if photographed else "plane",
                "offset": sum(map(len, parts)),
                "bytes": len(data),
            }
        )
        parts.append(data)
    text = json.dumps({**header, "planes": described}, ensure_ascii=False).encode()
    return b"".join([len(text).to_bytes(4, "little"), text, *parts])


def _sums(plane: NDArray[np.uint8]) -> bytes:
    """What each pixel is more than left and above less above left: the plane on which its neighbours lie."""
    rows = np.diff(plane, axis=0, prepend=np.uint8(0))
    return bytes(np.diff(rows, axis=1, prepend=np.uint8(0)))


def _medians(plane: NDArray[Any]) -> bytes:
    """What each pixel is more than the median of left, above, and their sum less that above left (LOCO-I).

    Weinberger, Seroussi and Sapiro 2000. Of 16 bits all low bytes, then all high ones, folded so that small differences
    of either sign have a high byte of 0.
    """
    wide = np.pad(plane.astype(np.int32), ((1, 0), (1, 0)))
    left, above, corner = wide[1:, :-1], wide[:-1, 1:], wide[:-1, :-1]
    low, high = np.minimum(left, above), np.maximum(left, above)
    rest = wide[1:, 1:] - np.clip(left + above - corner, low, high)
    if plane.dtype == np.uint8:
        return bytes(rest.astype(np.uint8))
    short = rest.astype(np.int16)
    folded = ((short << 1) ^ (short >> 15)).astype(np.uint16)
    return bytes((folded & 255).astype(np.uint8)) + bytes((folded >> 8).astype(np.uint8))
