import pytest
import torch
from configs import config_for, picture_config
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from unetseg.config import IGNORE
from unetseg.fitting.losses import class_weights, picture_loss, segmentation_loss
from unetseg.task import encode, picture_logits


@given(pixels=st.lists(st.integers(1, 10**9), min_size=3, max_size=3))
def test_fully_balanced_labels_weigh_the_same_in_total(pixels: list[int]) -> None:
    weights = class_weights(pixels, config_for("multiclass"), 1)
    assert weights is not None
    totals = weights.double() * torch.tensor(pixels)
    torch.testing.assert_close(totals, totals.mean().expand(3), rtol=1e-5, atol=0)
    weights = class_weights(pixels[:2], config_for("binary"), 1)
    assert weights is not None
    assert weights.item() * pixels[1] == pytest.approx(pixels[0], rel=1e-5)


def test_no_balance_has_no_weights_and_half_has_their_roots() -> None:
    config = config_for("multiclass")
    assert class_weights([1, 2, 3], config, 0) is None
    whole, half = class_weights([1, 20, 300], config, 1), class_weights([1, 20, 300], config, 0.5)
    assert whole is not None
    assert half is not None
    torch.testing.assert_close(half.square(), whole)


def test_weights_of_exclusive_labels_are_those_of_cross_entropy() -> None:
    config = config_for("multiclass")
    torch.manual_seed(0)
    logits = torch.randn(2, len(config.labels), 5, 6)
    labels = torch.randint(0, len(config.labels), (2, 5, 6))
    labels[0, 0] = IGNORE
    weights = torch.tensor([0.5, 3.0, 1.0])[: len(config.labels)]
    mine = segmentation_loss(logits, labels, config, dice_weight=0, weights=weights)
    torch.testing.assert_close(mine, F.cross_entropy(logits, labels, weights, ignore_index=IGNORE))


def test_weights_of_independent_classes_count_their_own_pixels_more() -> None:
    config = config_for("binary")
    torch.manual_seed(0)
    logits, labels = torch.randn(2, 1, 5, 6), torch.randint(0, 2, (2, 5, 6))
    mine = segmentation_loss(logits, labels, config, dice_weight=0, weights=torch.tensor([4.0]))
    expected = F.binary_cross_entropy_with_logits(logits[:, 0], labels.float(), pos_weight=torch.tensor(4.0))
    torch.testing.assert_close(mine, expected)


@pytest.mark.parametrize("kind", ["binary", "multiclass"])
@pytest.mark.parametrize("batch_dice", [True, False])
def test_a_batch_of_ignored_pixels_only_has_a_finite_loss(kind: str, batch_dice: bool) -> None:
    config = config_for(kind)
    logits = torch.randn(1, len(config.outputs), 4, 4, requires_grad=True)
    labels = torch.full((1, 4, 4), IGNORE)
    loss = segmentation_loss(logits, labels, config, dice_weight=1, batch_dice=batch_dice)
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.isfinite()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def test_the_label_of_the_picture_has_a_cross_entropy_of_its_own() -> None:
    """It is added with its weight; pictures that show no class, and pixels that nobody labelled, say nothing."""
    config = picture_config()
    torch.manual_seed(0)
    logits = torch.randn(3, 3, 4, 5, requires_grad=True)
    labels = torch.tensor([0, 1, 2])[:, None, None].expand(3, 4, 5).clone()  # nothing, a cat, a dog
    labels[1, :2], labels[2, 0] = 0, IGNORE
    valid = encode(labels, config)[1]
    found = picture_loss(logits, labels, config, valid)
    shown = picture_logits(logits, config, valid)
    torch.testing.assert_close(found, F.cross_entropy(shown[1:], torch.tensor([0, 1])))
    (slopes,) = torch.autograd.grad(found, logits)
    assert not slopes[0].any()
    assert not slopes[2, :, 0].any()
    assert not slopes[:, 0].any()  # where the foreground lies is left to the pixels
    assert slopes[1, 1:].any()
    without, with_it = (
        segmentation_loss(logits, labels, config, dice_weight=0, picture_weight=weight) for weight in (0, 0.5)
    )
    torch.testing.assert_close(with_it, without + 0.5 * found)
    nothing = torch.zeros_like(labels)
    assert picture_loss(logits, nothing, config, nothing == 0) == 0
