from pathlib import Path

import numpy as np
import pytest
from configs import KINDS, config_for, network_for
from PIL import Image

from unetseg import Predictor, SegmentationConfig
from unetseg.fitting.evaluation import check_same_labels, evaluate, evaluate_synthetic
from unetseg.fitting.folder import Example
from unetseg.fitting.recipe import IGNORE_NAME, Data
from unetseg.samples import ct_phantom

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
    found = evaluate_synthetic(predictor, "ct", count=3)
    assert list(found) == ["synthetic 0", "synthetic 1", "synthetic 2"]
    image, truth = ct_phantom(2)
    labels = predictor(image).labels()[0]
    assert found["synthetic 2"].counts.tolist() == [
        [((truth == i) & (labels == j)).sum() for j in (0, 1)] for i in (0, 1)
    ]


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
