"""How well what a network sees at one of its scales agrees with what it sees at another."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor

from . import task
from .config import SegmentationConfig


class Agreement:
    """Counts by which the labels at two scales agree, for B pictures.

    They make the Dice coefficient of both, of all classes together; where each pixel has a class, that is the share of
    pixels with the same (pairwise Dice tells a bad segmentation best among simple measures: Zenk et al. 2024,
    arXiv 2406.03323). Every second row and column is looked at.
    """

    def __init__(self, config: SegmentationConfig) -> None:
        self.config = config
        self.counts = torch.zeros(1, 2)
        """Twice the pixels that both have, and the sum of those that each has: (B,2)."""

    def update(self, scales: Sequence[Tensor]) -> None:
        """Count some rows: their logits (B,K,n,w) at each scale, brought to one size."""
        masks = [task.decode(logits[:, :, ::2, ::2], self.config) for logits in scales]
        for one, other in itertools.combinations(masks, 2):
            self.counts = self.counts + self._same(one, other)

    def _same(self, one: Tensor, other: Tensor) -> Tensor:
        if self.config.background is None:
            both, each = one == other, torch.ones_like(one).float() * 2
        else:
            both, each = (one == other) & (one > 0), (one > 0).float() + (other > 0).float()
        return torch.stack([2 * both.flatten(1).sum(dim=1).float(), each.flatten(1).sum(dim=1)], dim=1)
