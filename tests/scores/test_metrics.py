"""Scores against torchmetrics, which has its own way of counting."""

import tracemalloc

import numpy as np
import pytest
import torch
from configs import config_for
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from torchmetrics.functional.classification import (
    multiclass_accuracy,
    multiclass_f1_score,
    multiclass_jaccard_index,
    multiclass_precision,
    multiclass_recall,
)

from unetseg import IGNORE, ConfusionMatrix, SegmentationConfig
from unetseg.scores.metrics import intervals, scores

Labels = NDArray[np.uint8]


def pairs(config: SegmentationConfig) -> st.SearchStrategy[tuple[Labels, Labels]]:
    """True labels, some ignored, and predicted ones."""
    ids = range(len(config.labels))
    shapes = st.tuples(st.integers(1, 5), st.integers(1, 5))
    return shapes.flatmap(
        lambda shape: st.tuples(
            arrays(np.uint8, shape, elements=st.sampled_from([*ids, IGNORE])),
            arrays(np.uint8, shape, elements=st.sampled_from(ids)),
        )
    )


def counted(config: SegmentationConfig, truth: Labels, prediction: Labels) -> ConfusionMatrix:
    matrix = ConfusionMatrix(config)
    matrix.update(truth, prediction)
    return matrix


def line(*ids: int) -> Labels:
    return np.array([ids], dtype=np.uint8)


@given(data=st.data())
def test_scores_are_those_of_torchmetrics(config: SegmentationConfig, data: st.DataObject) -> None:
    truth, prediction = data.draw(pairs(config))
    valid = truth != IGNORE
    assume(valid.any())
    matrix = counted(config, truth, prediction)
    size = len(config.labels)
    # a batch of one, as torchmetrics expects it
    both = torch.from_numpy(prediction)[None].long(), torch.from_numpy(truth)[None].long()
    dice = multiclass_f1_score(*both, num_classes=size, average=None, ignore_index=IGNORE)
    iou = multiclass_jaccard_index(*both, num_classes=size, average=None, ignore_index=IGNORE)
    accuracy = multiclass_accuracy(*both, num_classes=size, average="micro", ignore_index=IGNORE)
    seen = set(truth[valid].tolist()) | set(prediction[valid].tolist())
    present = [i for i, name in enumerate(config.labels) if name in config.classes and i in seen]
    assert matrix.dice == pytest.approx({config.labels[i]: dice[i].item() for i in present})
    assert matrix.iou == pytest.approx({config.labels[i]: iou[i].item() for i in present})
    assert matrix.accuracy == pytest.approx(accuracy.item())


def test_a_class_in_neither_truth_nor_prediction_has_no_score() -> None:
    config = config_for("one-vs-rest with background")  # 0 nothing, 1 cat, 2 dog, 3 bird
    matrix = counted(config, line(0, 1, 1, IGNORE), line(0, 1, 2, 3))
    assert matrix.dice == pytest.approx({"cat": 2 / 3, "dog": 0.0})
    assert matrix.iou == pytest.approx({"cat": 1 / 2, "dog": 0.0})


@given(data=st.data())
def test_tables_add_up(config: SegmentationConfig, data: st.DataObject) -> None:
    parts = data.draw(st.lists(pairs(config), min_size=1, max_size=3))
    whole = counted(config, *(np.concatenate([map_.ravel() for map_ in maps]) for maps in zip(*parts, strict=True)))
    total, updated = ConfusionMatrix(config), ConfusionMatrix(config)
    for truth, prediction in parts:
        total = total + counted(config, truth, prediction)
        updated.update(truth, prediction)
    assert (total.counts == whole.counts).all()
    assert (updated.counts == whole.counts).all()


def test_rows_are_the_truth_and_columns_the_prediction() -> None:
    assert counted(config_for("binary"), line(0, 0, 0, 1), line(1, 1, 0, 1)).counts.tolist() == [[1, 2], [0, 1]]


def test_accuracy_of_no_pixels_is_not_a_number() -> None:
    assert np.isnan(counted(config_for("binary"), line(IGNORE), line(0)).accuracy)


def test_wrong_ids_and_wrong_shapes_are_refused() -> None:
    config = config_for("binary")
    for truth, prediction in ((line(2), line(0)), (line(0), line(2)), (line(0), line(IGNORE))):
        with pytest.raises(ValueError, match=r"below 2 \(background, liver\) or 255 in the truth"):
            counted(config, truth, prediction)
    with pytest.raises(ValueError, match=r"truth has shape \(1, 1\), prediction \(1, 2\)"):
        counted(config, line(0), line(0, 1))


def test_pixels_are_pooled_within_a_group_and_groups_are_averaged() -> None:
    """A patient's slices are one volume; a patient without any liver, found or missed, has no Dice."""
    config = config_for("binary")
    one = counted(config, line(1, 1, 1, 1), line(1, 1, 1, 0)) + counted(config, line(1, 0, 0, 0), line(0, 1, 0, 0))
    groups = {
        "one": one,
        "two": counted(config, line(1, 0), line(1, 0)),
        "without": counted(config, line(0, 0), line(0, 0)),
    }
    result = scores(groups)
    assert result["group_dice"] == {"one": pytest.approx(6 / 9), "two": 1.0, "without": None}
    assert result["mean_group_dice"] == pytest.approx((6 / 9 + 1) / 2)
    assert result["dice"] == {"liver": pytest.approx(8 / 11)}
    assert result["iou"] == {"liver": pytest.approx(4 / 7)}
    assert result["miou"] == pytest.approx(4 / 7)
    assert result["accuracy"] == pytest.approx(9 / 12)


def test_no_groups_no_scores() -> None:
    with pytest.raises(ValueError, match="no pictures"):
        scores({})


def test_without_a_pixel_there_is_no_accuracy() -> None:
    assert scores({"empty": ConfusionMatrix(config_for("binary"))})["accuracy"] is None


@given(data=st.data())
def test_precision_and_recall_are_those_of_torchmetrics(config: SegmentationConfig, data: st.DataObject) -> None:
    truth, prediction = data.draw(pairs(config))
    valid = truth != IGNORE
    assume(valid.any())
    matrix = counted(config, truth, prediction)
    size = len(config.labels)
    both = torch.from_numpy(prediction)[None].long(), torch.from_numpy(truth)[None].long()
    for found, function, map_ in (
        (matrix.precision, multiclass_precision, prediction),
        (matrix.recall, multiclass_recall, truth),
    ):
        expected = function(*both, num_classes=size, average=None, ignore_index=IGNORE)
        seen = set(map_[valid].tolist())
        present = [i for i, name in enumerate(config.labels) if name in config.classes and i in seen]
        assert found == pytest.approx({config.labels[i]: expected[i].item() for i in present})


def several_groups(config: SegmentationConfig) -> dict[str, ConfusionMatrix]:
    """Six groups, one of them without any class that is not in every picture."""
    random = np.random.default_rng(3)
    groups = {}
    for number in range(5):
        truth = random.integers(0, len(config.labels), (1, 30)).astype(np.uint8)
        wrong = random.random(truth.shape) < 0.1 * number
        groups[f"g{number}"] = counted(config, truth, np.where(wrong, 0, truth).astype(np.uint8))
    return groups | {"empty": counted(config, line(0, 0), line(0, 0))}


def test_intervals_are_those_of_scoring_each_resample_by_itself(config: SegmentationConfig) -> None:
    groups = several_groups(config)
    drawn = np.random.default_rng(7).multinomial(6, [1 / 6] * 6, size=60)
    results = [
        scores({f"{name} {i}": groups[name] for name, n in zip(groups, row, strict=True) for i in range(n)})
        for row in drawn
    ]
    found = intervals(groups, resamples=60, seed=7)
    for key in ("mean_group_dice", "miou", "accuracy"):
        values = [result[key] for result in results if result[key] is not None]
        assert found[key] == pytest.approx(tuple(np.percentile(values, (2.5, 97.5))))


def test_intervals_hold_the_score_and_come_out_the_same_again() -> None:
    groups = several_groups(config_for("binary"))
    result, found = scores(groups), intervals(groups)
    assert found == intervals(groups)
    for key, interval in found.items():
        assert interval is not None
        assert interval[0] < float(str(result[key])) < interval[1]


def test_intervals_of_many_labels_need_little_memory() -> None:
    classes = tuple(f"class {i}" for i in range(200))
    many = {"palette": tuple(f"#0000{i:02x}" for i in range(200)), "thresholds": (0.5,) * 200}
    config = config_for("multiclass", classes=classes, **many)
    ids = np.arange(200, dtype=np.uint8)[None]
    groups = {str(i): counted(config, ids, np.roll(ids, i % 2)) for i in range(6)}
    tracemalloc.start()
    found = intervals(groups)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    low, high = found["accuracy"] or (0.5, 0.5)
    assert 0 <= low < 0.5 < high <= 1
    assert most < 10**8


def test_a_few_groups_have_no_interval() -> None:
    one = counted(config_for("binary"), line(1, 0), line(1, 1))
    assert set(intervals({str(i): one for i in range(4)}).values()) == {None}
    assert None not in intervals({str(i): one for i in range(5)}).values()
    # patients without the class tell nothing of its Dice
    empty = counted(config_for("binary"), line(0, 0), line(0, 0))
    found = intervals({"ill": one, **{str(i): empty for i in range(5)}})
    assert (found["mean_group_dice"], found["miou"]) == (None, None)
    assert found["accuracy"] is not None


def test_groups_without_any_class_have_no_interval_of_dice() -> None:
    nothing = counted(config_for("binary"), line(0, 0), line(0, 0))
    found = intervals({str(i): nothing for i in range(5)})
    assert (found["mean_group_dice"], found["miou"], found["accuracy"]) == (None, None, (1.0, 1.0))
