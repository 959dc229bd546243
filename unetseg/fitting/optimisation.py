"""A step of training: the optimizers, the gradient, the learning rate, the averages of weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_
from torch.optim.swa_utils import update_bn

from ..model import UNet
from ..predictor import has_bfloat16
from .data.augment import collate
from .data.dataset import Crops
from .recipe import Train

# a part of a batch: normalised images (B,C,H,W) and labels (B,H,W), to its loss
Loss = Callable[[Tensor, Tensor], Tensor]

# of crops, to measure batch norm's statistics on
NORM_BATCHES = 40

Optimizers = Sequence[torch.optim.Optimizer]
"""Each has some of a network's parameters; together they have all."""


class Muon(torch.optim.Optimizer):
    """Momentum made orthogonal, for weights of convolutions: no direction is learnt much slower than another.

    A weight counts as a matrix with a row for each of its first channels. Its steps are as long as AdamW's at the same
    learning rate. Source: Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/, for the length Liu et al.
    2025, arXiv 2502.16982. (torch.optim.Muon takes matrices only, and bfloat16 where hardware has none too.)
    """

    def __init__(self, weights: Iterable[nn.Parameter], lr: float, weight_decay: float, momentum: float = 0.95) -> None:
        super().__init__(weights, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Change each weight by its gradient."""
        for group in self.param_groups:
            for weight in group["params"]:
                state = self.state[weight]
                if not state:
                    state["momentum"] = torch.zeros_like(weight)
                state["momentum"].lerp_(weight.grad, 1 - group["momentum"])
                matrix = weight.grad.lerp(state["momentum"], group["momentum"]).flatten(1)  # as Nesterov's
                length = 0.2 * math.sqrt(max(matrix.shape))
                weight.mul_(1 - group["lr"] * group["weight_decay"])
                weight.add_(orthogonal(matrix).reshape(weight.shape), alpha=-group["lr"] * length)


def orthogonal(matrix: Tensor) -> Tensor:
    """A matrix of the same singular vectors, whose singular values all lie near 1, roughly between 0.7 and 1.2.

    By five steps of Newton and Schulz, with the coefficients of Jordan et al. 2024, in bfloat16 where hardware has it.
    """
    x: Tensor = matrix.bfloat16() if has_bfloat16(matrix.device) else matrix
    x = x / x.norm().clamp(min=1e-7)
    tall = x.shape[0] > x.shape[1]
    wide = x.T if tall else x
    for _ in range(5):
        square = wide @ wide.T
        wide = 3.4445 * wide + (-4.7750 * square + 2.0315 * square @ square) @ wide
    return (wide.T if tall else wide).to(matrix.dtype)


def optimizers(network: UNet, train: Train) -> Optimizers:
    """What a recipe's `optimizer` names; Muon leaves vectors, the first convolution and the head to AdamW."""
    rate, decay = train.learning_rate, train.weight_decay
    ends = ("contracting.0.0.weight", "head.weight")
    inner = [p for name, p in network.named_parameters() if p.dim() == 4 and name not in ends]
    others = [p for name, p in network.named_parameters() if p.dim() != 4 or name in ends]
    if train.optimizer == "adamw":
        return (torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=decay),)
    return Muon(inner, lr=rate, weight_decay=decay), torch.optim.AdamW(others, lr=rate, weight_decay=decay)


def step(
    loss: Loss, images: Tensor, labels: Tensor, optimizers: Optimizers, *, clip_norm: float, parts: int = 1
) -> float:
    """One step of the optimizers down the gradient of a batch's loss, clipped; the loss.

    Where the loss or its gradient is not finite, the weights stay as they are and the loss is nan.
    parts: compute the gradient of so many parts of the batch one after the other, which needs less memory; the
    loss is then the mean over them.
    """
    for optimizer in optimizers:
        optimizer.zero_grad()
    value = 0.0
    for some_images, some_labels in zip(images.chunk(parts), labels.chunk(parts), strict=True):
        part = loss(some_images, some_labels) * (len(some_images) / len(images))
        part.backward()  # type: ignore[no-untyped-call]
        value += part.item()
    norm = clip_grad_norm_([p for o in optimizers for group in o.param_groups for p in group["params"]], clip_norm)
    if not (math.isfinite(value) and math.isfinite(norm.item())):
        return math.nan  # the weights stay as they are
    for optimizer in optimizers:
        optimizer.step()
    return value


def learning_rate(step: int, per_epoch: int, train: Train) -> float:
    """Linear warm-up, then half a cosine to 0 (Loshchilov and Hutter 2017, arXiv 1608.03983); with `swa` no fall."""
    total = train.epochs * per_epoch
    warmup = min(train.warmup_epochs * per_epoch, total / 2)
    if step < warmup:
        return train.learning_rate * min(1, (step + 1) / warmup)
    if train.swa:
        return train.learning_rate
    return train.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - warmup) / (total - warmup)))


def averaged(step: int, per_epoch: int, train: Train) -> int:
    """Of how many steps the plain mean of weights consists after so many steps; 0 while there is none."""
    return max(0, step - math.floor(train.swa * train.epochs * per_epoch)) if train.swa else 0


def update_average(average: UNet, network: UNet, decay: float, step: int) -> None:
    """Exponential moving average of weights; early on it forgets faster, so that no random start remains."""
    _mix(average, network, 1 - min(decay, step / (step + 10)))


def update_mean(mean: UNet, network: UNet, count: int) -> None:
    """Make the mean of `count` - 1 networks that of `count`; the first replaces what was there.

    Izmailov et al. 2018, arXiv 1803.05407; of every step's weights, as Cha et al. 2021, arXiv 2102.08604, take it.
    """
    _mix(mean, network, 1 / count)


def measure_norms(mean: UNet, crops: Crops, epoch: int) -> None:
    """Batch norm's statistics of a mean of networks are those of none of them: measure its own, on some of an epoch."""
    device = next(mean.parameters()).device

    def images() -> Iterator[Tensor]:
        for number, keys in enumerate(crops.batches(epoch)[:NORM_BATCHES]):
            batch = collate([crops[key] for key in keys]).to(device)
            part, _ = crops.finished(batch, crops.size_at(epoch, number))
            yield part.contiguous(memory_format=torch.channels_last)

    with torch.autocast(device.type, torch.bfloat16, enabled=has_bfloat16(device)):
        update_bn(images(), mean)


@torch.no_grad()
def _mix(into: UNet, network: UNet, share: float) -> None:
    for mine, new in zip(into.state_dict().values(), network.state_dict().values(), strict=True):
        if mine.is_floating_point():
            mine.lerp_(new, share)
        else:
            mine.copy_(new)
