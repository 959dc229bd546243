"""The losses. Each contains its activation and sees only valid pixels.

Independent tasks: BCEWithLogitsLoss on float targets of the output's own shape. Exclusive: CrossEntropyLoss on a
label map of ids, which one-hots and applies softmax inside. To either, soft Dice can be added (Milletari et al.
2016, arXiv 1606.04797), which counts small classes as much as large ones.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ..config import IGNORE, SegmentationConfig
from ..task import encode


def segmentation_loss(
    logits: Tensor, labels: Tensor, config: SegmentationConfig, *, dice_weight: float, batch_dice: bool = True
) -> Tensor:
    """Cross entropy plus dice_weight times soft Dice loss, a scalar.

    logits: (B,K,H,W). labels: ids (B,H,W), IGNORE where unknown. batch_dice: see `soft_dice_loss`.
    """
    logits = logits.float()
    target, valid = encode(labels, config)
    if config.exclusive:
        total = F.cross_entropy(logits, target, ignore_index=IGNORE, reduction="sum")
        entropy = total / valid.sum().clamp(min=1)
        probabilities = logits.softmax(dim=1)
        channels = torch.arange(logits.shape[1], device=logits.device)
        target = (target[:, None] == channels[:, None, None]).float()  # (B,K,H,W); soft Dice has no ids
    else:
        total = (F.binary_cross_entropy_with_logits(logits, target, reduction="none") * valid[:, None]).sum()
        entropy = total / (valid.sum() * logits.shape[1]).clamp(min=1)
        probabilities = logits.sigmoid()
    if dice_weight == 0:
        return entropy
    return entropy + dice_weight * soft_dice_loss(probabilities, target, valid, batch=batch_dice)


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
    return 1 - ((2 * hits + smooth) / (sizes + smooth)).mean()
