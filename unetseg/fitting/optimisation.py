"""A step of training: the gradient, the learning rate, the moving average of weights."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from ..model import UNet
from .recipe import Train

# a part of a batch: normalised images (B,C,H,W) and labels (B,H,W), to its loss
Loss = Callable[[Tensor, Tensor], Tensor]


def step(
    loss: Loss, images: Tensor, labels: Tensor, optimizer: torch.optim.Optimizer, *, clip_norm: float, parts: int = 1
) -> float:
    """One step of an optimizer down the gradient of a batch's loss, clipped; the loss.

    Where the loss or its gradient is not finite, the weights stay as they are and the loss is nan.
    parts: compute the gradient of so many parts of the batch one after the other, which needs less memory; the
    loss is then the mean over them.
    """
    optimizer.zero_grad()
    value = 0.0
    for some_images, some_labels in zip(images.chunk(parts), labels.chunk(parts), strict=True):
        part = loss(some_images, some_labels) * (len(some_images) / len(images))
        part.backward()  # type: ignore[no-untyped-call]
        value += part.item()
    norm = clip_grad_norm_([p for group in optimizer.param_groups for p in group["params"]], clip_norm)
    if not (math.isfinite(value) and math.isfinite(norm.item())):
        return math.nan  # the weights stay as they are
    optimizer.step()
    return value


def learning_rate(step: int, per_epoch: int, train: Train) -> float:
    """Linear warm-up, then half a cosine to 0 (Loshchilov and Hutter 2017, arXiv 1608.03983)."""
    total = train.epochs * per_epoch
    warmup = min(train.warmup_epochs * per_epoch, total / 2)
    if step < warmup:
        return train.learning_rate * min(1, (step + 1) / warmup)
    return train.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - warmup) / (total - warmup)))


@torch.no_grad()
def update_average(average: UNet, network: UNet, decay: float, step: int) -> None:
    """Exponential moving average of weights; early on it forgets faster, so that no random start remains."""
    decay = min(decay, step / (step + 10))
    for mine, new in zip(average.state_dict().values(), network.state_dict().values(), strict=True):
        if mine.is_floating_point():
            mine.lerp_(new, 1 - decay)
        else:
            mine.copy_(new)
