"""How scales agree: laws of the Dice coefficient."""

from __future__ import annotations

import pytest
import torch
from configs import config_for

from unetseg.agreement import Agreement
from unetseg.config import SegmentationConfig

BINARY, LAND = config_for("binary"), config_for("multiclass", background=None)


def value(config: SegmentationConfig, *scales: torch.Tensor) -> list[float]:
    agreement = Agreement(config)
    agreement.update(scales)
    both, each = agreement.counts.T
    return (both / each).tolist()


def logits(config: SegmentationConfig, labels: torch.Tensor) -> torch.Tensor:
    """Sure logits of labels (B,H,W)."""
    if config.exclusive:
        return torch.nn.functional.one_hot(labels, len(config.outputs)).permute(0, 3, 1, 2) * 40.0 - 20
    return labels[:, None] * 40.0 - 20


def blocks(*values: int) -> torch.Tensor:
    """Labels (1,4,2n): two columns of each value."""
    return torch.tensor(values).repeat_interleave(2).expand(1, 4, -1)


@pytest.mark.parametrize("config", [BINARY, LAND], ids=["binary", "land"])
def test_the_same_labels_agree_wholly_and_others_not_at_all(config: SegmentationConfig) -> None:
    one, other = logits(config, blocks(1, 0, 0, 1)), logits(config, blocks(0, 1, 1, 0))
    assert value(config, one, one) == [1.0]
    assert value(config, one, other) == [0.0]


def test_background_does_not_count_and_all_pixels_do_where_there_is_none() -> None:
    assert value(BINARY, *(logits(BINARY, blocks(*v)) for v in ((1, 1, 0, 0), (1, 0, 0, 0)))) == [pytest.approx(2 / 3)]
    assert value(LAND, *(logits(LAND, blocks(*v)) for v in ((1, 1, 0, 0), (1, 0, 0, 0)))) == [pytest.approx(3 / 4)]


def test_pictures_count_apart_and_bands_and_pairs_add_up() -> None:
    one = torch.cat([logits(BINARY, blocks(1, 1, 0, 0)), logits(BINARY, blocks(0, 0, 1, 1))])
    other = torch.cat([logits(BINARY, blocks(1, 1, 0, 0)), logits(BINARY, blocks(1, 1, 0, 0))])
    assert value(BINARY, one, other) == [1.0, 0.0]
    whole, parts = Agreement(BINARY), Agreement(BINARY)
    whole.update([one, other])
    for top in (0, 2):
        parts.update([one[:, :, top : top + 2], other[:, :, top : top + 2]])
    assert torch.equal(whole.counts, parts.counts)
    three = Agreement(BINARY)
    three.update([one, other, one])
    assert torch.equal(three.counts[0], 3 * whole.counts[0])
    assert (three.counts[1, 0] / three.counts[1, 1]).item() == pytest.approx(1 / 3)
