"""Tiny configs and networks, one for each kind of task, shared by the tests."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from unetseg import Image, Segmentation, SegmentationConfig, UNet

# task, classes, background
KINDS: dict[str, tuple[str, tuple[str, ...], str | None]] = {
    "binary": ("binary", ("liver",), "background"),
    "multiclass": ("multiclass", ("land", "road", "water"), None),
    "multiclass with background": ("multiclass", ("cat", "dog"), "nothing"),
    "one-vs-rest": ("one-vs-rest", ("land", "road", "water"), None),
    "one-vs-rest with background": ("one-vs-rest", ("cat", "dog", "bird"), "nothing"),
}
PALETTE = ("#102030", "#e4572e", "#17bebb", "#ffc914")
RGB: dict[str, Any] = {"channels": ("red", "green", "blue"), "mean": (0.4, 0.5, 0.6), "std": (0.2, 0.25, 0.3)}


def config_for(kind: str, **changes: Any) -> SegmentationConfig:  # noqa: ANN401, any field
    """The config of a tiny grey network for one of KINDS; `changes` replace fields."""
    task, classes, background = KINDS[kind]
    labels = len(classes) + (background is not None)
    exclusive = task == "multiclass"
    fields = {
        "task": task,
        "classes": classes,
        "background": background,
        "palette": PALETTE[:labels],
        "channels": ("gray",),
        "mean": (0.4,),
        "std": (0.25,),
        "widths": (4, 8),
        "temperatures": (1.0,) * (1 if exclusive else len(classes)),
        "thresholds": (0.5,) * (labels if exclusive else len(classes)),
    }
    return SegmentationConfig(**{**fields, **changes})


def picture_config(**changes: Any) -> SegmentationConfig:  # noqa: ANN401, any field
    """The config of a network whose pictures have labels too, a cat or a dog."""
    return config_for(
        "multiclass with background", **{"format": 2, "picture_rule": "mean", "picture_temperature": 1.0, **changes}
    )


def network_for(config: SegmentationConfig) -> UNet:
    """A seeded network in eval mode that has seen some batches and is sure of different labels in a picture."""
    torch.manual_seed(1)
    network = UNet(config)
    with torch.no_grad():
        for _ in range(3):
            network(torch.randn(4, len(config.channels), 16, 16))
        network.head.weight.mul_(10)
    return network.eval()


def segmented(logits: torch.Tensor, picture: NDArray[np.uint8], config: SegmentationConfig) -> Segmentation:
    """Logits (D,K,H,W) as what a network found in a picture (D,H,W,3)."""
    return Segmentation(logits, Image(picture, (0, 255), stated=True), config, drawn=picture)
