"""Results with every edge case of a decision in them, for the packing and for the viewer."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from configs import config_for, segmented
from numpy.typing import NDArray

from unetseg import Image, Segmentation

OWN = {
    "binary": {"thresholds": (0.4375123,), "temperatures": (1.7,)},
    "multiclass": {"thresholds": (0.24, 0.123456, 0.0)},
    "multiclass with background": {"thresholds": (0.5, 1.0, 0.999), "temperatures": (0.859,)},
    "one-vs-rest": {"thresholds": (0.3, 0.3001, 0.5), "temperatures": (0.5, 1.0, 3.0)},
    "one-vs-rest with background": {"thresholds": (0.0049, 0.5, 0.71), "temperatures": (2.0, 1.1, 0.7)},
}
"""Thresholds off the slider's grid and on it, and temperatures, of each of KINDS."""


def scene(kind: str, height: int, width: int, **changes: Any) -> Segmentation:  # noqa: ANN401, any field
    """Real-valued logits with steps of the slider, ties, zeros and saturation in them, over a picture in colour."""
    config = config_for(kind, **{**OWN[kind], **changes})
    random = torch.Generator().manual_seed(height * width)
    logits = torch.randn(1, len(config.outputs), height, width, generator=random) * 3
    flat = logits.flatten(2)  # (1,K,H*W), of which each part is an edge case
    some = torch.arange(flat.shape[2]) % 6
    steps = torch.tensor([*(k / 100 for k in range(101)), *config.thresholds])
    edges = torch.cat([torch.logit(steps), torch.tensor([0.0, -0.0, 90.0, -90.0, 1e-8, -1e-8])]).nan_to_num()
    at = torch.arange(flat.shape[2]) // 6 % len(edges)
    flat[:, :, some == 0] = (edges[at] * torch.tensor(config.temperatures)[:, None])[:, some == 0]
    flat[:, 1:, some == 1] = flat[:, :1, some == 1]  # ties
    flat[:, :, some == 2] *= 40  # where sigmoids saturate, and tie
    picture = torch.randint(0, 256, (1, height, width, 3), generator=random, dtype=torch.uint8).numpy()
    return segmented(logits, picture, config)


def ct(values: NDArray[Any], window: tuple[float, float] = (-160.0, 240.0)) -> Segmentation:
    """Hounsfield units (H,W) as a result of a binary task."""
    config = config_for("binary", window=window)
    logits = torch.linspace(-4, 4, values.size).reshape(1, 1, *values.shape)
    image = Image(np.ascontiguousarray(values[None, ..., None]), hounsfield=True)
    return Segmentation(logits, image, config, between=(window,))
