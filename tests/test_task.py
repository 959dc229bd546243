"""Labels to targets, logits to probabilities, logits to labels, for every kind of task."""

import numpy as np
import pytest
import torch
from configs import config_for, picture_config
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import Tensor

from unetseg import IGNORE, SegmentationConfig
from unetseg.task import (
    activate,
    argmax,
    checked_thresholds,
    decode,
    encode,
    picture_labels,
    picture_logits,
    picture_probabilities,
)

SHAPES = st.tuples(st.integers(1, 2), st.integers(1, 4), st.integers(1, 4))


def label_maps(config: SegmentationConfig) -> st.SearchStrategy[Tensor]:
    ids = st.sampled_from([*range(len(config.labels)), IGNORE])
    return arrays(np.uint8, SHAPES, elements=ids).map(torch.from_numpy)


def logit_maps(config: SegmentationConfig) -> st.SearchStrategy[Tensor]:
    shapes = SHAPES.map(lambda shape: (shape[0], len(config.outputs), *shape[1:]))
    return shapes.flatmap(lambda shape: arrays(np.float32, shape, elements=st.floats(-6, 6, width=16))).map(
        torch.from_numpy
    )


def certain_logits(target: Tensor, config: SegmentationConfig) -> Tensor:
    """What a network would answer that is sure of a target."""
    if config.exclusive:
        channels = torch.arange(len(config.outputs))[:, None, None]
        target = (target[:, None] == channels).float()  # (B,K,H,W)
    return 40 * target - 20


def pixel(*logits: float) -> Tensor:
    """The logits (1,K,1,1) of one pixel."""
    return torch.tensor(logits, dtype=torch.float32)[None, :, None, None]


@given(data=st.data())
def test_decode_undoes_encode(config: SegmentationConfig, data: st.DataObject) -> None:
    labels = data.draw(label_maps(config))
    target, valid = encode(labels, config)
    logits = certain_logits(target, config)
    for decoded in (decode(logits, config), argmax(logits, config)):
        assert decoded.dtype == torch.uint8
        assert torch.equal(decoded[valid], labels[valid])


@given(data=st.data())
def test_ignored_pixels_are_not_valid_and_no_class_of_the_target(
    config: SegmentationConfig, data: st.DataObject
) -> None:
    labels = data.draw(label_maps(config))
    target, valid = encode(labels, config)
    assert torch.equal(valid, labels != IGNORE)
    ignored = target.movedim(1, -1)[~valid] if target.dim() == 4 else target[~valid]
    assert (ignored == (IGNORE if config.exclusive else 0)).all()


def test_wrong_ids_are_listed_with_what_was_expected(config: SegmentationConfig) -> None:
    count = len(config.labels)
    labels = torch.tensor([[[0, IGNORE, count, 9, 9, -1]]])
    with pytest.raises(ValueError, match=rf"the ids \[-1, {count}, 9\], expected 0\.\.{count - 1} .*255 for ignore"):
        encode(labels, config)


@given(data=st.data())
def test_probabilities_are_softmax_or_sigmoids(config: SegmentationConfig, data: st.DataObject) -> None:
    logits = data.draw(logit_maps(config)).double()
    exponentials = logits.exp()
    expected = exponentials / (exponentials.sum(1, keepdim=True) if config.exclusive else 1 + exponentials)
    torch.testing.assert_close(activate(logits, config), expected)


def test_temperatures_divide_the_logits_of_their_channel() -> None:
    independent = config_for("one-vs-rest", temperatures=(1.0, 2.0, 4.0))
    torch.testing.assert_close(activate(pixel(2, 2, 2), independent), pixel(2, 1, 0.5).sigmoid())
    exclusive = config_for("multiclass", temperatures=(2.0,))
    torch.testing.assert_close(activate(pixel(6, 2, 0), exclusive), pixel(3, 1, 0).softmax(dim=1))


@given(data=st.data())
def test_the_likeliest_class_that_reaches_its_own_threshold_wins(data: st.DataObject) -> None:
    config = config_for("one-vs-rest with background", temperatures=(0.5, 1.0, 2.0))
    logits = data.draw(logit_maps(config))
    thresholds = data.draw(st.lists(st.floats(0, 1, width=32), min_size=3, max_size=3))
    labels, probabilities = decode(logits, config, thresholds), activate(logits, config)
    for b, y, x in np.ndindex(*labels.shape):
        p = probabilities[b, :, y, x].tolist()
        reached = [(p[k], k + 1) for k in range(3) if p[k] >= thresholds[k]]
        if not reached:
            assert labels[b, y, x] == 0
        else:  # of equally likely classes any will do
            assert (max(reached)[0], int(labels[b, y, x])) in reached


def test_a_less_likely_class_wins_where_the_likeliest_misses_its_threshold() -> None:
    config = config_for("one-vs-rest with background", thresholds=(0.9, 0.4, 0.4))
    assert decode(pixel(2.0, 0.5, 0.1), config).item() == 2  # p = 0.88, 0.62, 0.52
    assert decode(pixel(3.0, 0.5, 0.1), config).item() == 1
    assert decode(pixel(2.0, -1.0, -1.0), config).item() == 0


@pytest.mark.parametrize("kind", ["one-vs-rest", "multiclass", "multiclass with background"])
@given(data=st.data())
def test_thresholds_move_no_label_of_other_tasks(kind: str, data: st.DataObject) -> None:
    config = config_for(kind)
    logits = data.draw(logit_maps(config))
    thresholds = data.draw(st.lists(st.floats(0, 1), min_size=3, max_size=3))
    assert torch.equal(decode(logits, config, thresholds), logits.argmax(dim=1).byte())


def test_a_probability_equal_to_the_threshold_reaches_it_but_is_not_the_argmax() -> None:
    config = config_for("binary")
    assert activate(pixel(0), config).item() == 0.5
    assert decode(pixel(0), config).item() == 1
    assert argmax(pixel(0), config).item() == 0


@pytest.mark.parametrize("kind", ["one-vs-rest", "one-vs-rest with background"])
def test_saturated_sigmoids_do_not_tie(kind: str) -> None:
    config = config_for(kind)
    logits = pixel(40, 60, 50)
    assert (activate(logits, config) == 1).all()
    assert config.labels[decode(logits, config).item()] == config.outputs[1]
    assert config.labels[argmax(logits, config).item()] == config.outputs[1]


@pytest.mark.parametrize("threshold", [0.0, 0.1, 0.9, 1.0])
def test_the_argmax_of_a_binary_task_is_p_above_a_half_whatever_the_threshold(threshold: float) -> None:
    config = config_for("binary", thresholds=(threshold,), temperatures=(3.0,))
    logits = torch.linspace(-4, 4, 32)[None, None, None]
    assert torch.equal(argmax(logits, config), (logits[:, 0].sigmoid() > 0.5).byte())
    reached = (logits[:, 0] / 3).sigmoid() >= threshold
    assert torch.equal(decode(logits, config), reached.byte())


def test_temperatures_rank_the_classes_of_labels_but_not_of_the_argmax() -> None:
    config = config_for("one-vs-rest", temperatures=(4.0, 1.0, 1.0))
    assert decode(pixel(4, 3, 0), config).item() == 1
    assert argmax(pixel(4, 3, 0), config).item() == 0


@pytest.mark.parametrize("thresholds", [[], [0.5], [0.5, 0.5, 1.01], [0.5, 0.5, -0.1], [0.5, 0.5, float("nan")]])
def test_thresholds_that_do_not_fit_are_refused(thresholds: list[float]) -> None:
    with pytest.raises(ValueError, match="one number from 0 to 1 for each of cat, dog, bird"):
        checked_thresholds(thresholds, config_for("one-vs-rest with background"))


@given(st.data())
def test_the_label_of_a_picture_is_that_of_its_foreground(data: st.DataObject) -> None:
    """What lies on sure background, and what is not valid, has no say; of one pixel the picture has its logits."""
    config = picture_config()
    one = torch.tensor(data.draw(st.lists(st.floats(-5, 5, width=32), min_size=3, max_size=3)))
    logits = one[None, :, None, None].expand(1, 3, 4, 4).clone()
    torch.testing.assert_close(picture_logits(logits, config), one[None, 1:])
    y, x = data.draw(st.integers(0, 3)), data.draw(st.integers(0, 3))
    logits[0, :, y, x] = torch.tensor([60.0, 9.0, -9.0])
    torch.testing.assert_close(picture_logits(logits, config), one[None, 1:], rtol=1e-4, atol=1e-4)
    logits[0, :, y, x] = torch.tensor([-60.0, 9.0, -9.0])
    valid = torch.ones(1, 4, 4, dtype=torch.bool)
    valid[0, y, x] = False
    torch.testing.assert_close(picture_logits(logits, config, valid), one[None, 1:])
    probabilities = picture_probabilities(picture_logits(logits, config), config)
    torch.testing.assert_close(probabilities.sum(), torch.tensor(1.0))


def test_a_picture_of_nothing_has_equal_probabilities_and_of_two_classes_no_label() -> None:
    config = picture_config()
    nothing = torch.tensor([900.0, 3.0, 1.0])[None, :, None, None].expand(1, 3, 2, 2)
    assert picture_probabilities(picture_logits(nothing, config), config).tolist() == [[0.5, 0.5]]
    with pytest.raises(ValueError, match="a picture shows cat and dog, expected one class"):
        picture_labels(torch.tensor([[[0, 1], [2, IGNORE]]]), config)
    with pytest.raises(ValueError, match="this model labels pixels only: its config has no picture_rule"):
        picture_logits(nothing, config_for("multiclass with background"))


def test_without_a_background_every_pixel_weighs_the_same() -> None:
    config = config_for("multiclass", format=2, picture_rule="mean", picture_temperature=2.0)
    logits = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(picture_logits(logits, config), logits.mean(dim=(2, 3)))
    found = picture_probabilities(picture_logits(logits, config), config)
    torch.testing.assert_close(found, (logits.mean(dim=(2, 3)) / 2).softmax(dim=1))
