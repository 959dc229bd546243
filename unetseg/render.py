"""The views as RGB arrays (H,W,3), uint8: arrays and a config in, no files, no page."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from .config import SegmentationConfig, hex_to_rgb

if TYPE_CHECKING:
    from torch import Tensor

View = Literal["probability", "thresholded", "argmax", "overlay", "entropy"]
VIEWS: tuple[View, ...] = get_args(View)

RGB = NDArray[np.uint8]
UNKNOWN = (150, 150, 150)
"""The colour of pixels whose label nobody knows."""


def probability(probabilities: NDArray[np.float32], channel: int | None) -> RGB:
    """Probabilities (K,H,W) as grey, black 0 and white 1: one channel, or the winner's for None."""
    one = probabilities.max(axis=0) if channel is None else probabilities[channel]
    return _grey(np.rint(one * 255).astype(np.uint8))


def thresholded(
    probabilities: NDArray[np.float32], thresholds: Sequence[float], config: SegmentationConfig, channel: int | None
) -> RGB:
    """Where probabilities (K,H,W) reach their thresholds: 0/255 for one channel, else each claim in its colour.

    Without a channel a pixel claimed by several classes gets the mean of their colours; by none, black.
    """
    claims = probabilities >= np.asarray(thresholds, dtype=np.float32)[:, None, None]  # (K,H,W)
    if channel is not None:
        return _grey(claims[channel].astype(np.uint8) * 255)
    colors = palette(config)[-len(config.outputs) :].astype(np.float32)  # (K,3)
    total = np.einsum("khw,kc->hwc", claims.astype(np.float32), colors)
    means: RGB = np.rint(total / np.maximum(claims.sum(axis=0), 1)[..., None]).astype(np.uint8)
    return means


def entropy(probabilities: NDArray[np.float32], config: SegmentationConfig, channel: int | None = None) -> RGB:
    """How undecided probabilities (K,H,W) are, as grey: black is sure, white is all classes alike.

    Shannon's entropy by its largest value: over all channels of an exclusive task; else of one channel, class or not,
    or for None of the least decided one.
    """
    p = np.maximum(probabilities, np.finfo(np.float32).tiny)
    if config.exclusive:
        found = -(p * np.log(p)).sum(axis=0) / np.log(len(p))
    else:
        q = np.maximum(1 - probabilities, np.finfo(np.float32).tiny)
        each = -(p * np.log(p) + q * np.log(q)) / np.log(2)
        found = each.max(axis=0) if channel is None else each[channel]
    return _grey(np.rint(found.clip(0, 1) * 255).astype(np.uint8))


def colourised(labels: NDArray[np.uint8], config: SegmentationConfig) -> RGB:
    """A label map (H,W) in the palette's colours."""
    return palette(config)[labels]


def overlay(
    picture: RGB,
    labels: NDArray[np.uint8],
    config: SegmentationConfig,
    opacity: float = 0.45,
    *,
    hidden: Collection[int] = (),
    outline: bool = False,
) -> RGB:
    """The labels (H,W) in colour over the picture (H,W,3); a background stays as it is.

    hidden: ids of labels that are left out. outline: in full colour where a label ends.
    """
    colors = palette(config)
    drawn = np.array([label not in hidden for label in range(len(colors))])  # (L,)
    if config.background is not None:
        drawn[0] = False
    weights = np.where(drawn, np.float32(opacity), np.float32(0))[:, None]
    mixed: RGB = np.rint(picture * (1 - weights)[labels] + (colors * weights)[labels]).astype(np.uint8)
    if outline:
        line = _edges(labels) & drawn[labels]
        mixed[line] = colors[labels[line]]
    return mixed


def _edges(labels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Pixels (H,W) with another label beside, above or below them."""
    edges = np.zeros(labels.shape, dtype=np.bool_)
    for one, other in ((np.s_[1:], np.s_[:-1]), (np.s_[:, 1:], np.s_[:, :-1])):
        differ = labels[one] != labels[other]
        edges[one] |= differ
        edges[other] |= differ
    return edges


def as_rgb(scaled: Tensor) -> RGB:
    """Scaled pictures (D,C,H,W) from 0 to 1 as (D,H,W,3): grey repeated, else the first three channels."""
    pixels = (scaled[:, :3] * 255).round().byte().permute(0, 2, 3, 1).numpy()  # (D,H,W,<=3)
    return pixels if pixels.shape[3] == 3 else np.repeat(pixels[..., :1], 3, axis=3)


def resized(picture: RGB, height: int, width: int) -> RGB:
    """A picture (H,W,3) at another size, antialiased."""
    return np.asarray(PIL.Image.fromarray(picture).resize((width, height), PIL.Image.Resampling.BOX))


def palette(config: SegmentationConfig) -> RGB:
    """The colours of the labels (L,3), in order of id."""
    return np.array([hex_to_rgb(color) for color in config.palette], dtype=np.uint8)


def _grey(values: NDArray[np.uint8]) -> RGB:
    return np.repeat(values[..., None], 3, axis=2)
