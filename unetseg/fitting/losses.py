"""The losses. Each contains its activation and sees only valid pixels.

Independent tasks: BCEWithLogitsLoss on float targets of the output's own shape. Exclusive: CrossEntropyLoss on a
label map of ids, which one-hots and applies softmax inside. To either, soft Dice can be added (Milletari et al.
2016, arXiv 1606.04797), which counts small classes as much as large ones.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from ..config import IGNORE, SegmentationConfig
from ..task import encode, picture_labels, picture_logits
from .distributed import total


def segmentation_loss(
    logits: Tensor,
    labels: Tensor,
    config: SegmentationConfig,
    *,
    dice_weight: float,
    batch_dice: bool = True,
    weights: Tensor | None = None,
    picture_weight: float = 0,
) -> Tensor:
    """Cross entropy plus dice_weight times soft Dice loss, a scalar, of the batch of all processes together.

    logits: (B,K,H,W). labels: ids (B,H,W), IGNORE where unknown. batch_dice: see `soft_dice_loss`.
    weights: (K,), of the pixels of each label where labels exclude each other, else of each class's own pixels
        against the others; in the cross entropy only. picture_weight: how much `picture_loss` is added.
    """
    logits = logits.float()
    target, valid = encode(labels, config)
    if config.exclusive:
        entropy = F.cross_entropy(logits, target, weights, ignore_index=IGNORE, reduction="sum")
        weight = valid.sum() if weights is None else (weights[target.where(valid, 0)] * valid).sum()
        probabilities = logits.softmax(dim=1)
        channels = torch.arange(logits.shape[1], device=logits.device)
        target = (target[:, None] == channels[:, None, None]).float()  # (B,K,H,W); soft Dice has no ids
    else:
        positive = None if weights is None else weights[:, None, None]
        entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none", pos_weight=positive)
        entropy = (entropy * valid[:, None]).sum()
        weight = valid.sum() * logits.shape[1]
        probabilities = logits.sigmoid()
    # a batch of nothing but ignored pixels has no weight
    loss = total(entropy) / total(weight.float()).clamp(min=1e-6)
    if dice_weight:
        loss = loss + dice_weight * soft_dice_loss(probabilities, target, valid, batch=batch_dice)
    if picture_weight:
        loss = loss + picture_weight * picture_loss(logits, labels, config, valid)
    return loss


def picture_loss(logits: Tensor, labels: Tensor, config: SegmentationConfig, valid: Tensor) -> Tensor:
    """Cross entropy of what each picture shows as a whole, by the config's rule; pictures without a class don't count.

    logits: (B,K,H,W). labels: ids (B,H,W). valid: bool (B,H,W).
    """
    shown = picture_labels(labels, config)  # (B)
    entropy = F.cross_entropy(picture_logits(logits, config, valid), shown, ignore_index=IGNORE, reduction="sum")
    return total(entropy) / total((shown != IGNORE).sum().float()).clamp(min=1)


def soft_dice_loss(
    probabilities: Tensor, target: Tensor, valid: Tensor, *, batch: bool = True, smooth: float = 1.0
) -> Tensor:
    """1 - Dice of probabilities (B,K,H,W), averaged over the K channels.

    batch: pool the pixels of the batch; else each picture counts alone, so that one with little or nothing of a
    class weighs as much as one that is full of it. `smooth` pixels are added to both sides, so that a channel
    absent from target and prediction counts as right.
    """
    mask = valid[:, None].float()
    pooled = (0, 2, 3) if batch else (2, 3)
    hits = (probabilities * target * mask).sum(dim=pooled)  # (K,) or (B,K)
    sizes = ((probabilities + target) * mask).sum(dim=pooled)
    if batch:
        hits, sizes = total(hits), total(sizes)
        return 1 - ((2 * hits + smooth) / (sizes + smooth)).mean()
    dice = (2 * hits + smooth) / (sizes + smooth)
    return 1 - total(dice.sum()) / total(dice.new_tensor(dice.numel()))


def class_weights(pixels: Sequence[int], config: SegmentationConfig, balance: float) -> Tensor | None:
    """The weights (K,) that `segmentation_loss` takes, from the pixels of each label; None for no balance.

    balance: 1 gives all labels, or a class and what is not it, the same total weight; 0 every pixel the same.
    """
    if balance == 0:
        return None
    counts = torch.tensor(pixels, dtype=torch.float64)
    if config.exclusive:
        weights = (counts.mean() / counts) ** balance
    else:
        own = counts[-len(config.classes) :]  # a background is no output
        weights = ((counts.sum() - own) / own) ** balance
    return weights.float()
