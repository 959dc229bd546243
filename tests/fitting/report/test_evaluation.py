from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from configs import KINDS, config_for, network_for, segmented
from numpy.typing import NDArray
from PIL import Image

from unetseg import IGNORE, Predictor, SegmentationConfig
from unetseg.fitting.data.folder import Example, read_labels
from unetseg.fitting.recipe import IGNORE_NAME, Data
from unetseg.fitting.report import evaluation
from unetseg.fitting.report.evaluation import Case, assess, cases, check_same_labels, collect, evaluate, synthetic_cases
from unetseg.fitting.report.panel import LONGEST, panel_row, thinned
from unetseg.samples import ct_phantom
from unetseg.scores.calibration import trust, uncalibrated
from unetseg.scores.surface import SurfaceScores

Labels = NDArray[Any]

MASK_VALUE_OF_IGNORE = 99


def data_for(config: SegmentationConfig) -> Data:
    """`[data]` with the labels of a config, whose masks hold ten times the id."""
    return Data(
        task=config.task,
        classes=config.classes,
        background=config.background,
        palette=config.palette,
        channels=config.channels,
        mask_values={str(10 * i): name for i, name in enumerate(config.labels)}
        | {str(MASK_VALUE_OF_IGNORE): IGNORE_NAME},
    )


def write_examples(folder: Path, config: SegmentationConfig) -> list[Example]:
    """Three pictures of two patients; a fifth of each mask is ignored."""
    random = np.random.default_rng(5)
    examples = []
    for stem, group, size in (("a1", "a", (23, 40)), ("b1", "b", (31, 30)), ("a2", "a", (18, 22))):
        paths = folder / f"{stem}.png", folder / f"{stem}_mask.png"
        mask = random.integers(0, len(config.labels), size) * 10
        mask[random.random(size) < 0.2] = MASK_VALUE_OF_IGNORE
        for path, pixels in zip(paths, (random.integers(0, 256, size), mask), strict=True):
            Image.fromarray(pixels.astype(np.uint8)).save(path)
        examples.append(Example(*paths, group=group, split="val"))
    return examples


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("working_size", [None, 24])
def test_the_counts_are_those_of_the_saved_labels_against_the_mask_files(
    kind: str, working_size: int | None, tmp_path: Path
) -> None:
    config = config_for(kind, working_size=working_size)
    predictor = Predictor(network_for(config), device="cpu")
    examples = write_examples(tmp_path, config)
    expected = {group: np.zeros((len(config.labels),) * 2, dtype=int) for group in "ab"}
    for example in examples:
        saved = predictor(example.image).save(tmp_path / "labels.png")
        labels, mask = (np.asarray(Image.open(path)) for path in (saved, example.mask))
        assert labels.shape == mask.shape  # the size they are stored in
        for value, label in zip(mask.flat, labels.flat, strict=True):
            if value != MASK_VALUE_OF_IGNORE:
                expected[example.group][value // 10, label] += 1
    found = evaluate(predictor, examples, data_for(config))
    assert {group: matrix.counts.tolist() for group, matrix in found.items()} == {
        group: counts.tolist() for group, counts in expected.items()
    }
    # the network is sure of different labels, so that a mix-up of ids would show
    assert (sum(expected.values()).sum(axis=0) > 0).sum() > 1


def test_generated_pictures_are_counted_one_by_one() -> None:
    config = config_for("binary", working_size=32)
    predictor = Predictor(network_for(config), device="cpu")
    found = assess(synthetic_cases(predictor, "ct", count=3), config).groups
    assert list(found) == ["synthetic 0", "synthetic 1", "synthetic 2"]
    image, truth = ct_phantom(2)
    labels = predictor(image).labels()[0]
    assert found["synthetic 2"].counts.tolist() == [
        [((truth == i) & (labels == j)).sum() for j in (0, 1)] for i in (0, 1)
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_one_pass_counts_what_is_counted_alone(kind: str, tmp_path: Path) -> None:
    config = config_for(kind, working_size=24)
    predictor = Predictor(network_for(config), device="cpu")
    examples = write_examples(tmp_path, config)
    found = assess(cases(predictor, examples, data_for(config)), config)
    counts = evaluate(predictor, examples, data_for(config))
    assert {g: m.counts.tolist() for g, m in found.groups.items()} == {g: m.counts.tolist() for g, m in counts.items()}
    assert found.pictures == {"a": 2, "b": 1}
    pixels = collect([(predictor, examples)], data_for(config))[0]
    assert found.after is not None
    assert found.after.summary() == trust(pixels, config).summary()
    distances = SurfaceScores(config)
    for example in examples[::2]:
        distances.update(read_labels(example.mask, data_for(config), config), predictor(example.image).labels()[0])
    assert found.surfaces["a"].summary() == distances.summary()


def test_labels_and_reliability_follow_the_config_that_is_asked_for(tmp_path: Path) -> None:
    config = config_for("binary")
    predictor = Predictor(network_for(config), device="cpu")
    examples = write_examples(tmp_path, config)
    other = config.model_copy(update={"temperatures": (3.0,), "thresholds": (0.9,)})
    one, two = (assess(cases(predictor, examples, data_for(config)), c) for c in (config, other))
    assert all(a is not None for a in (one.before, one.after, two.before, two.after))
    assert one.before.summary() == one.after.summary() == two.before.summary()  # type: ignore[union-attr]
    assert two.after.summary() != two.before.summary()  # type: ignore[union-attr]
    assert sum(m.counts[:, 1].sum() for m in two.groups.values()) < sum(
        m.counts[:, 1].sum() for m in one.groups.values()
    )


def case(name: str, truth: Labels, probability: Labels | float, config: SegmentationConfig) -> Case:
    """A picture whose network says `probability` everywhere, or where the truth has the class."""
    p = np.clip(np.broadcast_to(probability, truth.shape), 1e-4, 1 - 1e-4)
    logits = torch.from_numpy(np.log(p / (1 - p)).astype(np.float32))[None, None]
    picture = np.zeros((1, *truth.shape, 3), dtype=np.uint8)
    return Case(name, name, segmented(logits, picture, config), truth)


def test_false_alarms_are_pictures_without_a_class_that_get_more_than_a_few_pixels_of_it() -> None:
    config = config_for("binary", working_size=32)
    empty, some = np.zeros((64, 64), dtype=np.uint8), np.zeros((64, 64), dtype=np.uint8)
    some[:10, :10] = 1
    few, many = np.zeros((64, 64)), np.zeros((64, 64))
    few[: 2 * 5, : 2 * 10], many[: 2 * 5, : 2 * 11] = 1, 1  # 50 and 55 pixels of 32 x 32
    ignored = np.where(many > 0, IGNORE, 0).astype(np.uint8)
    found = assess(
        [
            case("few", empty, few, config),
            case("many", empty, many, config),
            case("ignored", ignored, many, config),
            case("some", some, many, config),
            case("unknown", np.full((64, 64), IGNORE, dtype=np.uint8), many, config),
        ],
        config,
    )
    assert (found.without_class, found.false_alarms) == (3, 1)


def test_the_worst_pictures_come_first_and_those_without_any_class_not_at_all() -> None:
    config = config_for("binary")
    truth = np.zeros((10, 10), dtype=np.uint8)
    truth[:5] = 1
    pictures = [case(f"right to {n}", truth, np.where(np.arange(10)[:, None] < n, 1.0, 0.0), config) for n in range(6)]
    nothing = case("nothing", np.zeros_like(truth), 0.0, config)
    invented = case("invented", np.zeros_like(truth), 1.0, config)
    found = assess([*pictures[::-1], nothing, invented], config)
    assert [w.name for w in found.worst] == ["invented", "right to 0", "right to 1", "right to 2"]
    assert [w.dice for w in found.worst] == pytest.approx([0, 0, 2 / 6, 4 / 7])


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_labels_would_be_without_calibration_is_counted_too(kind: str, tmp_path: Path) -> None:
    config = config_for(kind)
    predictor = Predictor(network_for(config), device="cpu")
    examples = write_examples(tmp_path, config)
    if not config.exclusive:
        channels = len(config.classes)
        changes = {"temperatures": (4.0, 1.0, 0.5)[:channels], "thresholds": (0.9, 0.2, 0.7)[:channels]}
        config = config.model_copy(update=changes)
    found = assess(cases(predictor, examples, data_for(config)), config)
    bare = assess(cases(predictor, examples, data_for(config)), uncalibrated(config))
    plain, expected = (
        {group: table.counts.tolist() for group, table in tables.items()}
        for tables in (found.uncalibrated, bare.groups)
    )
    assert plain == expected
    same = {group: table.counts.tolist() for group, table in found.groups.items()} == plain
    assert same == config.exclusive


def test_of_a_large_picture_that_went_badly_only_some_pixels_are_kept() -> None:
    config = config_for("binary", working_size=32)
    truth = np.zeros((40, 5 * LONGEST), dtype=np.uint8)
    truth[:, ::2] = 1
    found = assess([case("large", truth, 0.0, config)], config).worst[0]
    assert (found.wrong_pixels, found.dice) == (truth.sum(), 0.0)
    assert found.picture.shape == (8, LONGEST, 3)
    assert found.truth.shape == found.labels.shape == (8, LONGEST)
    assert found.truth.base is None
    assert thinned(found.truth).shape == found.truth.shape
    rows = [
        panel_row("large", picture, labels, labels, config).tobytes()
        for picture, labels in ((np.zeros((*truth.shape, 3), dtype=np.uint8), truth), (found.picture, found.truth))
    ]
    assert rows[0] == rows[1]


def test_pixels_for_calibration_stay_within_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = config_for("one-vs-rest with background")
    predictor = Predictor(network_for(config), device="cpu")
    examples = write_examples(tmp_path, config)
    whole = collect([(predictor, examples)], data_for(config))[0]
    monkeypatch.setattr(evaluation, "LOGITS_IN_MEMORY", 900)
    less = collect([(predictor, examples)], data_for(config))[0]
    assert whole.logits.numel() > 3000
    assert 300 < less.logits.numel() <= 900
    # logits are those of the bare network, whatever a checkpoint was calibrated to
    predictor.config = config.model_copy(update={"temperatures": (3.0, 0.5, 1.0)})
    again = collect([(predictor, examples)], data_for(config))[0]
    assert torch.equal(again.logits, less.logits)


def test_a_mask_of_another_size_is_refused(tmp_path: Path) -> None:
    config = config_for("binary")
    example = write_examples(tmp_path, config)[0]
    Image.new("L", (23, 40)).save(example.mask)
    with pytest.raises(ValueError, match=r"a1.png is 40 x 23 pixels, its mask a1_mask.png is 23 x 40"):
        evaluate(Predictor(network_for(config), device="cpu"), [example], data_for(config))


@pytest.mark.parametrize(("kind", "other"), [(kind, other) for kind in KINDS for other in KINDS])
def test_a_checkpoint_and_a_recipe_must_speak_of_the_same_labels(kind: str, other: str) -> None:
    config, data = config_for(kind), data_for(config_for(other))
    if config.labels == config_for(other).labels:
        check_same_labels(config, data, "name")
        return
    with pytest.raises(ValueError, match="checkpoint name has the labels") as caught:
        check_same_labels(config, data, "name")
    assert all(label in str(caught.value) for label in (*config.labels, *config_for(other).labels))


def test_the_order_of_the_labels_matters() -> None:
    config = config_for("multiclass")
    with pytest.raises(ValueError, match="the recipe"):
        check_same_labels(config, data_for(config.model_copy(update={"classes": config.classes[::-1]})), "name")
