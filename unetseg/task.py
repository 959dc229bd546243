"""What logits mean: labels to targets, logits to probabilities, logits to labels.

Two kinds of output. *Exclusive* (`multiclass`): one softmax over all labels, label i is channel i. *Independent*
(`binary`, `one-vs-rest`): one sigmoid per class; with a background, label 0 is the background and class k is
label k + 1; without one, class k is label k. `IGNORE` (255) marks pixels that no loss and no score sees.

Shapes: B batch (or slices), K output channels, H height, W width. In the examples `liver` is the config of a binary
task, `land` of a multiclass one (land, road, water), `animals` of one-vs-rest (nothing, then cat, dog and bird),
`digits` of a multiclass task whose pictures have labels too (paper, then zero and one).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .config import IGNORE, SegmentationConfig


def encode(labels: Tensor, config: SegmentationConfig) -> tuple[Tensor, Tensor]:
    """Turn a label map into what the loss wants: (target, valid).

    labels: integer (B,H,W), ids of `config.labels` or IGNORE.
    target: exclusive, the ids themselves, int64 (B,H,W), IGNORE kept (CrossEntropyLoss one-hots inside and takes
        `ignore_index`); independent, float32 (B,K,H,W), the shape of the output, 0 where ignored.
    valid: bool (B,H,W), False where ignored.
    Raises ValueError for any other id.

    >>> target, valid = encode(torch.tensor([[[0, 1, 255]]]), liver)
    >>> target.tolist(), valid.tolist()
    ([[[[0.0, 1.0, 0.0]]]], [[[True, True, False]]])
    >>> encode(torch.tensor([[[2, 0]]]), land)[0].tolist()
    [[[2, 0]]]
    >>> encode(torch.tensor([[[0, 1, 3]]]), animals)[0].tolist()
    [[[[0.0, 1.0, 0.0]], [[0.0, 0.0, 0.0]], [[0.0, 0.0, 1.0]]]]
    """
    labels = labels.long()
    valid = labels != IGNORE
    wrong = labels[valid & ((labels < 0) | (labels >= len(config.labels)))]
    if wrong.numel():
        raise ValueError(
            f"label map holds the ids {sorted(set(wrong.tolist()))[:8]}, expected 0..{len(config.labels) - 1} "
            f"({', '.join(config.labels)}) or {IGNORE} for ignore"
        )
    if config.exclusive:
        return labels, valid
    first = 0 if config.background is None else 1
    ids = torch.arange(first, first + len(config.classes), device=labels.device)
    return (labels[:, None] == ids[:, None, None]).float(), valid  # (B,K,H,W), (B,H,W)


def activate(logits: Tensor, config: SegmentationConfig) -> Tensor:
    """Calibrated probabilities of logits (B,K,H,W): softmax over K, or a sigmoid each.

    >>> activate(torch.tensor([[[[0.0, 100.0]]]]), liver).tolist()
    [[[[0.5, 1.0]]]]
    >>> round(activate(torch.zeros(1, 3, 1, 1), land).sum().item(), 6)
    1.0
    """
    scaled = _tempered(logits, config)
    return scaled.softmax(dim=1) if config.exclusive else scaled.sigmoid()


def decode(logits: Tensor, config: SegmentationConfig, thresholds: Sequence[float] | None = None) -> Tensor:
    """The decision that is scored, saved and called *the labels*: uint8 (B,H,W) of logits (B,K,H,W).

    Exclusive: argmax; thresholds don't touch it. Independent with a background: the likeliest class whose
    probability reaches its own threshold, else the background. Independent without one: the
    likeliest class.
    thresholds: one per output channel; None takes those of the config.

    >>> logits = torch.tensor([[[[-1.0, 0.0, 1.0]]]])  # probabilities 0.27, 0.5, 0.73
    >>> decode(logits, liver).tolist(), decode(logits, liver, [0.6]).tolist()
    ([[[0, 1, 1]]], [[[0, 0, 1]]])
    >>> decode(torch.tensor([[[[2.0]], [[3.0]], [[-1.0]]]]), land).tolist()  # the largest of three logits
    [[[1]]]
    >>> decode(torch.tensor([[[[2.0]], [[3.0]], [[-1.0]]]]), animals, [0.5, 0.99, 0.5]).tolist()  # dog: 0.95 < 0.99
    [[[1]]]
    """
    thresholds = checked_thresholds(thresholds, config)
    if config.exclusive:
        return _largest(logits)
    scaled = _tempered(logits, config)
    if config.background is None:
        return _largest(scaled)
    claimed = scaled.sigmoid() >= scaled.new_tensor(thresholds)[:, None, None]
    if len(config.outputs) == 1:
        return claimed[:, 0].to(torch.uint8)
    # ranked by logit, not by probability: sigmoids that saturate at 1.0 tie
    best, index = scaled.masked_fill(~claimed, -torch.inf).max(dim=1)
    return torch.where(best > -torch.inf, index + 1, 0).to(torch.uint8)


def ranked(logits: Tensor, config: SegmentationConfig) -> Tensor:
    """The channels of independent logits (B,K,H,W) from the likeliest to the least likely, int64 (B,K,H,W).

    With a background the first whose probability reaches its threshold is what `decode` decides on.

    >>> ranked(torch.tensor([[[[2.0]], [[3.0]], [[-1.0]]]]), animals).flatten().tolist()
    [1, 0, 2]
    """
    return _tempered(logits, config).sort(dim=1, descending=True, stable=True).indices


def argmax(logits: Tensor, config: SegmentationConfig) -> Tensor:
    """The index of the largest logit as a label map, uint8 (B,H,W); no activation, temperature or threshold.

    An independent task with a background gets a zero logit for it first: for binary that is p > 0.5.

    >>> argmax(torch.tensor([[[[-1.0, 0.0, 1.0]]]]), liver).tolist()
    [[[0, 0, 1]]]
    """
    if not config.exclusive and config.background is not None:
        logits = torch.cat([torch.zeros_like(logits[:, :1]), logits], dim=1)  # (B,1+K,H,W)
    return _largest(logits)


def picture_logits(logits: Tensor, config: SegmentationConfig, valid: Tensor | None = None) -> Tensor:
    """Logits (B,C) of what each picture shows as a whole, one for each of C classes, of pixel logits (B,K,H,W).

    By the rule `mean`: the mean over the foreground, where each pixel weighs as much as it is none of the background.
    Without a background all pixels weigh the same. valid: bool (B,H,W), the pixels that count; None for all.
    Raises ValueError for a config without a rule.

    >>> logits = torch.tensor([[[[9.0, -9.0]], [[-4.0, 1.0]], [[-4.0, 3.0]]]])  # the left pixel is background
    >>> [round(value, 3) for value in picture_logits(logits, digits)[0].tolist()]
    [1.0, 3.0]
    """
    if config.picture_rule is None:
        raise ValueError("this model labels pixels only: its config has no picture_rule; train with model.picture_rule")
    pixels = logits.flatten(2)  # (B,K,N)
    classes = pixels[:, -len(config.classes) :]
    known = torch.ones_like(pixels[:, :1]) if valid is None else valid.flatten(1)[:, None].to(pixels)  # (B,1,N)
    if config.background is None:
        weight = known
    else:  # how much is decided by the pixels' own loss
        weight = (classes.logsumexp(dim=1, keepdim=True) - pixels[:, :1]).sigmoid().detach() * known
    return (classes * weight).sum(dim=2) / weight.sum(dim=2).clamp(min=1e-30)


def picture_labels(labels: Tensor, config: SegmentationConfig) -> Tensor:
    """The one class that each label map (B,H,W) shows, int64 (B): its place in `config.classes`; IGNORE for none.

    Raises ValueError where a label map shows two.

    >>> picture_labels(torch.tensor([[[0, 2, 255]], [[0, 0, 255]]]), digits).tolist()
    [1, 255]
    """
    first = len(config.labels) - len(config.classes)
    counts = torch.stack([(labels == id_).flatten(1).any(dim=1) for id_ in range(first, len(config.labels))], dim=1)
    if (several := counts.sum(dim=1) > 1).any():
        shown = [name for name, here in zip(config.classes, counts[several][0].tolist(), strict=True) if here]
        raise ValueError(f"a picture shows {' and '.join(shown)}, expected one class for the label of a picture")
    return counts.long().argmax(dim=1).where(counts.any(dim=1), IGNORE)  # (B)


def picture_probabilities(logits: Tensor, config: SegmentationConfig) -> Tensor:
    """Calibrated probabilities (B,C) of `picture_logits` (B,C).

    >>> picture_probabilities(torch.tensor([[0.0, 0.0]]), digits).tolist()
    [[0.5, 0.5]]
    """
    assert config.picture_temperature is not None
    return (logits / config.picture_temperature).softmax(dim=1)


def checked_thresholds(thresholds: Sequence[float] | None, config: SegmentationConfig) -> tuple[float, ...]:
    """One threshold per output channel in 0..1, those of the config for None; ValueError otherwise.

    >>> checked_thresholds(None, liver), checked_thresholds([0.9], liver)
    ((0.5,), (0.9,))
    """
    if thresholds is None:
        return config.thresholds
    if len(thresholds) != len(config.outputs) or not all(0 <= t <= 1 for t in thresholds):
        raise ValueError(
            f"thresholds need one number from 0 to 1 for each of {', '.join(config.outputs)}, got {list(thresholds)}"
        )
    return tuple(thresholds)


def _largest(logits: Tensor) -> Tensor:
    # of equal ones both give the first, and `argmax` takes 13 times as long: findings/torch_argmax_channels.sh
    return logits.max(dim=1).indices.to(torch.uint8)


def _tempered(logits: Tensor, config: SegmentationConfig) -> Tensor:
    return logits / logits.new_tensor(config.temperatures)[:, None, None]
