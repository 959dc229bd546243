"""How a network's logits, its targets, its loss and its labels belong together, a lesson at a time.

B pictures in a batch, K output channels, H x W pixels. The tests use PyTorch's own losses first, and then show
that the project's loss is the same thing, minus the pixels that nobody labelled.
"""

import ast
import json
import math
import re
import shlex
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from configs import config_for, picture_config, segmented
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import Tensor
from torch.nn import BCELoss, BCEWithLogitsLoss, CrossEntropyLoss, NLLLoss

from unetseg import IGNORE, ConfusionMatrix, Predictor, SegmentationConfig
from unetseg.fitting import Recipe
from unetseg.fitting.losses import segmentation_loss, soft_dice_loss
from unetseg.fitting.report.evaluation import Case, assess
from unetseg.formats import as_image
from unetseg.samples import draw_sample
from unetseg.scores.picture import Labelled, picture_scores
from unetseg.task import activate, argmax, decode, encode

ROOT = Path(__file__).resolve().parent.parent
B, H, W = 2, 5, 6


def random_logits(channels: int) -> Tensor:
    return torch.randn(B, channels, H, W, generator=torch.Generator().manual_seed(channels))


def random_labels(config: SegmentationConfig, *, ignored: float = 0.3) -> Tensor:
    """A label map (B,H,W), some of its pixels unknown."""
    generator = torch.Generator().manual_seed(7)
    labels = torch.randint(len(config.labels), (B, H, W), generator=generator)
    return labels.masked_fill(torch.rand(B, H, W, generator=generator) < ignored, IGNORE)


# --- one class: a sigmoid ---------------------------------------------------------------------------------------


def test_bce_with_logits_is_a_sigmoid_and_a_bce() -> None:
    """The network of a binary task ends with a convolution; the loss brings the sigmoid along."""
    logits = random_logits(1)
    liver = (random_labels(config_for("binary"), ignored=0) == 1)[:, None].float()  # (B,1,H,W)
    torch.testing.assert_close(BCEWithLogitsLoss()(logits, liver), BCELoss()(logits.sigmoid(), liver))


def test_in_one_step_a_network_that_is_surely_wrong_still_learns() -> None:
    """In two steps the sigmoid rounds to 1, its slope to 0, and nothing is learnt from the worst mistakes."""
    wrong, target = torch.tensor([200.0], requires_grad=True), torch.tensor([0.0])
    BCELoss()(wrong.sigmoid(), target).backward()
    assert wrong.grad is not None
    assert wrong.grad.item() == 0
    wrong.grad = None
    BCEWithLogitsLoss()(wrong, target).backward()
    assert wrong.grad.item() == 1


@pytest.mark.parametrize(("kind", "limit"), [(torch.float32, 16.64), (torch.float16, 8.32), (torch.bfloat16, 6.25)])
def test_a_sigmoid_of_its_own_is_soon_sure_beyond_recovery(kind: torch.dtype, limit: float) -> None:
    """From this logit on, in steps of a hundredth, it is exactly 1, with a slope of 0; before it is not."""
    logits = (torch.arange(2001) / 100).to(kind).requires_grad_()
    probabilities = logits.sigmoid()
    probabilities.sum().backward()
    sure = logits >= torch.tensor(limit, dtype=kind)
    assert torch.equal(probabilities == 1, sure)
    assert logits.grad is not None
    assert torch.equal(logits.grad == 0, sure)


def test_the_target_of_a_binary_task_has_the_shape_and_type_of_the_output() -> None:
    """One channel of floats (B,1,H,W); a map (B,H,W) does not fit."""
    config = config_for("binary")
    labels = random_labels(config)
    target, valid = encode(labels, config)
    logits = random_logits(1)
    assert (target.shape, target.dtype) == (logits.shape, logits.dtype)
    assert (valid.shape, valid.dtype) == ((B, H, W), torch.bool)
    with pytest.raises(ValueError, match="must be the same"):
        BCEWithLogitsLoss()(logits, target[:, 0])


def test_one_sigmoid_is_a_softmax_over_two_channels_of_which_one_is_zero() -> None:
    """A binary task needs no second channel: p(liver) = softmax([0, z])[1]."""
    z = random_logits(1)
    both = torch.cat([torch.zeros_like(z), z], dim=1).softmax(dim=1)  # (B,2,H,W)
    torch.testing.assert_close(z.sigmoid(), both[:, 1:])
    config = config_for("binary")
    assert torch.equal(argmax(z, config), both.argmax(dim=1).byte())


def test_of_two_channels_for_one_class_only_the_difference_counts() -> None:
    """What one of them is told, the other is told with the opposite sign: twice the numbers, one decision."""
    two = random_logits(2).requires_grad_()
    liver = (random_labels(config_for("binary"), ignored=0) == 1).long()
    loss = CrossEntropyLoss()(two, liver)
    one = two[:, 1:] - two[:, :1]
    torch.testing.assert_close(loss, BCEWithLogitsLoss()(one, liver[:, None].float()))
    loss.backward()
    assert two.grad is not None
    torch.testing.assert_close(two.grad[:, 0], -two.grad[:, 1])


def test_a_target_without_its_channel_is_multiplied_with_every_other_picture() -> None:
    """PyTorch's losses refuse it; a Dice written by hand broadcasts (B,1,H,W) and (B,H,W) to (B,B,H,W) in silence."""
    config = config_for("binary")
    target, valid = encode(random_labels(config, ignored=0), config)
    probabilities = random_logits(1).sigmoid()
    assert (probabilities * target).shape == (B, 1, H, W)
    assert (probabilities * target[:, 0]).shape == (B, B, H, W)
    right = soft_dice_loss(probabilities, target, valid)
    by_hand = 1 - (2 * (probabilities * target).sum() + 1) / (probabilities.sum() + target.sum() + 1)
    wrong = 1 - (2 * (probabilities * target[:, 0]).sum() + 1) / (probabilities.sum() + target.sum() + 1)
    torch.testing.assert_close(right, by_hand)
    assert abs(wrong - right) > 0.1


# --- several classes, of which each pixel has one: a softmax ----------------------------------------------------


def test_cross_entropy_takes_ids_and_does_softmax_and_one_hot_itself() -> None:
    """The same number, first by hand, then as everyone should write it."""
    logits, labels = random_logits(3), random_labels(config_for("multiclass"), ignored=0)
    one_hot = torch.eye(3)[labels].movedim(-1, 1)  # (B,3,H,W)
    by_hand = -(one_hot * logits.log_softmax(dim=1)).sum(dim=1).mean()
    torch.testing.assert_close(CrossEntropyLoss()(logits, labels), by_hand)


def test_a_softmax_before_cross_entropy_is_one_too_many() -> None:
    """It runs, and it can never get near zero: even a perfect network is told that it is wrong."""
    perfect, label = torch.tensor([[100.0, 0.0, 0.0]]), torch.tensor([0])
    assert CrossEntropyLoss()(perfect, label).item() == 0
    assert CrossEntropyLoss()(perfect.softmax(dim=1), label).item() > 0.5


@given(st.integers(2, 20))
def test_a_softmax_too_many_leaves_a_floor_under_the_loss(classes: int) -> None:
    """It can only offer the loss numbers from 0 to 1: log(1 + (K - 1) / e) remains of a perfect answer."""
    perfect = torch.nn.functional.one_hot(torch.tensor([0]), classes).float()
    loss = CrossEntropyLoss()(perfect, torch.tensor([0])).item()
    assert loss == pytest.approx(math.log(1 + (classes - 1) / math.e), abs=1e-5)


def test_of_pytorchs_losses_two_contain_the_activation_and_two_do_not() -> None:
    """BCEWithLogits and CrossEntropy take logits; BCE takes probabilities, NLL log-probabilities."""
    logits, labels = random_logits(3), random_labels(config_for("multiclass"), ignored=0)
    torch.testing.assert_close(CrossEntropyLoss()(logits, labels), NLLLoss()(logits.log_softmax(dim=1), labels))
    with pytest.raises(RuntimeError, match="between 0 and 1"):
        BCELoss()(logits, torch.zeros_like(logits))


def test_a_one_hot_target_is_larger_than_the_map_that_it_comes_from() -> None:
    """Five classes: 20 bytes a pixel as floats, 8 as the ids that the loss takes, 1 as they are kept."""
    labels = random_labels(config_for("multiclass"), ignored=0)
    one_hot = torch.nn.functional.one_hot(labels, 5).movedim(-1, 1).float()
    assert [tensor.nbytes // labels.numel() for tensor in (one_hot, labels, labels.byte())] == [20, 8, 1]


def test_the_target_of_a_multiclass_task_is_a_map_of_integers() -> None:
    """No channel and no one-hot: (B,H,W) of ids, with 255 where nobody knows."""
    config = config_for("multiclass")
    labels = random_labels(config)
    target, _ = encode(labels.byte(), config)
    assert (target.shape, target.dtype) == ((B, H, W), torch.int64)
    assert torch.equal(target, labels)


@given(arrays(np.float64, (4, 3), elements=st.integers(-12, 12).map(float)))
def test_softmax_does_not_change_the_argmax(pixels: np.ndarray) -> None:
    """It keeps the order, so the labels can be read from the logits."""
    logits = torch.from_numpy(pixels)
    winners = logits == logits.max(dim=1, keepdim=True).values
    probabilities = logits.softmax(dim=1)
    assert torch.equal(winners, probabilities == probabilities.max(dim=1, keepdim=True).values)


# --- several classes, each a yes or no: K sigmoids --------------------------------------------------------------


def test_one_vs_rest_is_k_binary_tasks_side_by_side() -> None:
    """Its target has a channel for each class, and its loss is the mean of their losses."""
    config = config_for("one-vs-rest with background")
    labels, logits = random_labels(config, ignored=0), random_logits(3)
    target, _ = encode(labels, config)
    assert target.shape == logits.shape
    each = [BCEWithLogitsLoss()(logits[:, k], (labels == k + 1).float()) for k in range(3)]
    torch.testing.assert_close(BCEWithLogitsLoss()(logits, target), torch.stack(each).mean())


def test_k_sigmoids_are_merged_into_one_label_map() -> None:
    """Two claims: the surer one wins. No claim: the background."""
    config = config_for("one-vs-rest with background")  # 0 nothing, 1 cat, 2 dog, 3 bird
    cat = torch.tensor([[4.0, 1.0], [-2.0, -5.0]])
    dog = torch.tensor([[2.0, 3.0], [-1.0, 6.0]])
    bird = torch.tensor([[-3.0, -3.0], [-3.0, 5.0]])
    merged = decode(torch.stack([cat, dog, bird])[None], config)
    assert merged.tolist() == [[[1, 2], [0, 2]]]


def test_k_binary_networks_are_merged_by_the_largest_of_their_logits() -> None:
    """Side by side they are the K sigmoids of one network; every pixel gets a class, even one that all refuse."""
    single = config_for("binary")
    together = config_for("one-vs-rest")
    each = [random_logits(1) + k - 2 for k in range(3)]
    merged = torch.cat(each, dim=1)
    assert torch.equal(decode(merged, together), merged.argmax(dim=1).byte())
    torch.testing.assert_close(
        activate(merged, together), torch.cat([activate(logits, single) for logits in each], dim=1)
    )
    refused = torch.stack([decode(logits, single) for logits in each]).sum(dim=0) == 0
    assert refused.any()


# --- what is shown ----------------------------------------------------------------------------------------------


@given(
    arrays(np.float64, (4, 4), elements=st.integers(-6, 6).map(float)),
    st.tuples(st.floats(0, 1), st.floats(0, 1)).map(sorted),
)
def test_a_higher_threshold_only_takes_pixels_away_and_does_not_touch_the_argmax(
    pixels: np.ndarray, thresholds: list[float]
) -> None:
    config = config_for("binary")
    logits = torch.from_numpy(pixels)[None, None]
    more, less = (decode(logits, config, [threshold]) for threshold in thresholds)
    assert (less <= more).all()
    half = decode(logits, config, [0.5])
    # at exactly 0.5 the threshold says yes, the argmax of [0, z] takes the first
    assert torch.equal(argmax(logits, config)[logits[0] != 0], half[logits[0] != 0])


def test_thresholds_of_a_softmax_leave_pixels_to_nobody_or_to_two_and_its_argmax_to_one() -> None:
    """Of three even probabilities none reaches 0.5 and two reach 0.33; the largest is the label all the same."""
    logits = torch.tensor([0.3, 0.1, 0.2])[None, :, None, None]
    config = config_for("multiclass")
    assert not (activate(logits, config) >= 0.5).any()
    assert (activate(logits, config) >= 0.33).sum() == 2
    assert decode(logits, config).item() == 0


# --- the project's loss -----------------------------------------------------------------------------------------


def test_the_loss_is_pytorchs_own_on_the_valid_pixels(config: SegmentationConfig) -> None:
    logits, labels = random_logits(len(config.outputs)), random_labels(config)
    target, valid = encode(labels, config)
    if config.exclusive:
        expected = CrossEntropyLoss(ignore_index=IGNORE)(logits, labels)
    else:
        expected = BCEWithLogitsLoss()(logits.movedim(1, -1)[valid], target.movedim(1, -1)[valid])
    torch.testing.assert_close(segmentation_loss(logits, labels, config, dice_weight=0), expected)


@pytest.mark.parametrize("dice_weight", [0, 1])
def test_nothing_is_learnt_from_ignored_pixels(config: SegmentationConfig, dice_weight: float) -> None:
    """255 is no class: its pixels have no gradient, and every other pixel has one."""
    logits, labels = random_logits(len(config.outputs)).requires_grad_(), random_labels(config)
    segmentation_loss(logits, labels, config, dice_weight=dice_weight).backward()
    assert logits.grad is not None
    touched = (logits.grad != 0).any(dim=1)  # (B,H,W)
    assert torch.equal(touched, labels != IGNORE)


@pytest.mark.parametrize("dice_weight", [0, 1])
def test_a_picture_without_any_label_teaches_nothing_and_breaks_nothing(
    config: SegmentationConfig, dice_weight: float
) -> None:
    """A mean over no pixels would be nan, and one nan spoils all weights."""
    logits = random_logits(len(config.outputs)).requires_grad_()
    loss = segmentation_loss(logits, torch.full((B, H, W), IGNORE), config, dice_weight=dice_weight)
    loss.backward()
    assert loss.item() == 0
    assert logits.grad is not None
    assert not logits.grad.any()


# --- the score --------------------------------------------------------------------------------------------------


def test_accuracy_compares_the_argmax_with_the_labels() -> None:
    """Not the probabilities, and not the ignored pixels."""
    config = config_for("multiclass")
    logits, labels = random_logits(3), random_labels(config)
    right = logits.argmax(dim=1) == labels
    matrix = ConfusionMatrix(config)
    matrix.update(labels.byte().numpy(), decode(logits, config).numpy())
    assert matrix.accuracy == pytest.approx(right[labels != IGNORE].float().mean().item())


def test_accuracy_of_a_binary_task_is_that_of_the_labels_which_save_writes(tmp_path: Path) -> None:
    """p >= the calibrated threshold, which need not be the argmax, p > 0.5."""
    config = config_for("binary").model_copy(update={"temperatures": (2.0,), "thresholds": (0.3,)})
    logits = torch.tensor([4.0, -1.0, -4.0])[None, None, None]  # (1,1,1,3), p = 0.88, 0.38, 0.12
    segmentation = segmented(logits, np.zeros((1, 1, 3, 3), np.uint8), config)
    saved = np.asarray(PIL.Image.open(segmentation.save(tmp_path / "labels.png")))
    assert saved.tolist() == [[1, 1, 0]]
    assert argmax(logits, config).tolist() == [[[1, 0, 0]]]
    assert assess([Case("picture", "group", segmentation, saved)], config).groups["group"].accuracy == 1


def test_accuracy_of_pictures_compares_the_argmax_with_the_labels_too() -> None:
    """The lesson of the three classifiers: ten digits, ten logits; the largest is the answer."""
    config = picture_config()
    logits = torch.randn(40, len(config.classes), generator=torch.Generator().manual_seed(0))
    labels = torch.randint(len(config.classes), (40,), generator=torch.Generator().manual_seed(1))
    accuracy = (logits.argmax(dim=1) == labels).float().mean().item()
    pictures = Labelled(tuple(map(str, range(40))), labels, logits, labels)
    assert 0 < accuracy < 1
    assert picture_scores(pictures, config)["accuracy"] == pytest.approx(accuracy)


def test_accuracy_praises_a_network_that_finds_nothing() -> None:
    """On 40 generated slices, 93.3 % of the pixels are background."""
    config = config_for("binary")
    matrix = ConfusionMatrix(config)
    for seed in range(40):
        _, truth = draw_sample("ct", seed)
        matrix.update(truth, np.zeros_like(truth))
    assert matrix.accuracy == pytest.approx(0.933, abs=0.0005)
    assert matrix.dice == {"liver": 0}


def test_dice_can_pool_a_batch_or_take_each_picture_alone() -> None:
    """Pooled, a small object hardly counts beside a large one; alone, it counts as much."""
    target = torch.zeros(2, 1, 8, 8)
    target[0], target[1, :, 0, 0] = 1, 1  # a full picture, and one pixel
    found_only_the_large = target.clone()
    found_only_the_large[1] = 0
    valid = torch.ones(2, 8, 8, dtype=torch.bool)
    pooled = soft_dice_loss(found_only_the_large, target, valid)
    alone = soft_dice_loss(found_only_the_large, target, valid, batch=False)
    assert pooled < 0.01
    assert alone == pytest.approx((0 + 0.5) / 2)  # 1 - (0 + 1) / (1 + 1): smooth adds a pixel to both sides
    each = [soft_dice_loss(found_only_the_large[i : i + 1], target[i : i + 1], valid[i : i + 1]) for i in range(2)]
    torch.testing.assert_close(alone, torch.stack(each).mean())


# --- docs/lessons.md --------------------------------------------------------------------------------------------


def test_every_test_and_command_that_the_lessons_name_exists() -> None:
    text = (ROOT / "docs" / "lessons.md").read_text(encoding="utf-8")
    tests = re.findall(r"(tests/\w+\.py)::(\w+)", text)
    assert tests
    functions = {
        path: {
            node.name for node in ast.walk(ast.parse((ROOT / path).read_text())) if isinstance(node, ast.FunctionDef)
        }
        for path, _ in tests
    }
    assert [f"{path}::{name}" for path, name in tests if name not in functions[path]] == []
    files = [*re.findall(r"python (\S+\.py)", text), *re.findall(r"\]\(\.\./([^)#]+)\)", text)]
    assert [path for path in files if not (ROOT / path).exists()] == []


def test_the_settings_in_the_lessons_are_fields_of_a_recipe() -> None:
    text = (ROOT / "docs" / "lessons.md").read_text(encoding="utf-8")
    (settings,) = re.findall(r"--set ((?:.|\n)*?)\n\n", text)
    changes = dict(setting.split("=", 1) for setting in shlex.split(settings.replace("\\\n", " ")))
    assert len(changes) >= 3
    Recipe.from_file(ROOT / "training" / "recipes" / "satellite.toml", changes)


def test_the_thresholds_in_the_lessons_are_those_of_the_shipped_checkpoint() -> None:
    """A new checkpoint needs a new table: python benchmarks/thresholds.py liver-unet."""
    text = (ROOT / "docs" / "lessons.md").read_text(encoding="utf-8")
    (seed,) = re.findall(r"Dice, slice (\d+) \|", text)
    pixels, truth = draw_sample("ct", int(seed))
    segmentation = Predictor.from_pretrained(ROOT / "checkpoints" / "liver-unet", precision="float32")(as_image(pixels))
    rows = re.findall(r"^\| (0\.\d+) \| .* \| ([01]\.\d{3}) \|$", text, flags=re.MULTILINE)
    assert len(rows) >= 7
    for threshold, dice in rows:
        matrix = ConfusionMatrix(segmentation.config)
        matrix.update(truth, segmentation.labels([float(threshold)])[0])
        assert matrix.dice["liver"] == pytest.approx(float(dice), abs=0.002)


def test_the_scales_in_the_lessons_are_those_of_the_shipped_checkpoint() -> None:
    text = (ROOT / "docs" / "lessons.md").read_text(encoding="utf-8")
    shipped = ROOT / "checkpoints" / "liver-unet"
    scores = json.loads((shipped / "scores.json").read_text(encoding="utf-8"))["val"]
    assert f"| both | {scores['mean_group_dice']:.3f} | {scores['miou']:.3f} |" in text
    scales = SegmentationConfig.from_file(shipped / "config.json").scales
    assert all(f"| {scale:g} | " in text for scale in scales)


def test_every_lesson_is_shown_by_a_test_or_a_command() -> None:
    text = (ROOT / "docs" / "lessons.md").read_text(encoding="utf-8")
    lessons = re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    assert len(lessons) >= 6
    assert [
        lesson.splitlines()[0] for lesson in lessons if not re.search(r"tests/\w+\.py::|python \S+\.py", lesson)
    ] == []
