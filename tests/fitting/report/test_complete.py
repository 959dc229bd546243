"""What a finished run leaves, on generated pictures and a tiny network."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from configs import config_for, network_for, picture_config
from PIL import Image

from unetseg import Predictor, SegmentationConfig, hub
from unetseg.__main__ import main
from unetseg.fitting import Recipe
from unetseg.fitting.data.folder import Example, read_example
from unetseg.fitting.recipe import Card, Data, Model, Train
from unetseg.fitting.report.card import Facts
from unetseg.fitting.report.complete import LOOKS, complete, count_look, intensities, json_text, write_worst
from unetseg.fitting.report.evaluation import assess, cases, collect
from unetseg.fitting.report.results import as_text, group_rows, split_scores
from unetseg.samples import ct_phantom
from unetseg.scores.calibration import calibrated, uncalibrated

FACTS = Facts(steps=9, minutes=2, processes=1, threads=2, processor="a CPU")
CARD = Card(title="T", summary="S.", license="other", data="D.", limits="L.", earlier_test_looks=3)
GROUPS = {"train": ("a", "a"), "val": ("b", "b", "c"), "test": ("d", "e")}


def recipe_for(config: SegmentationConfig, **changes: Any) -> Recipe:  # noqa: ANN401
    data = Data(
        task=config.task, classes=config.classes, background=config.background, palette=config.palette,
        channels=config.channels, mask_values={str(i): name for i, name in enumerate(config.labels)},
    )  # fmt: skip
    fields = {"data": data, "model": Model(widths=config.widths), "train": Train(), "card": CARD}
    return Recipe(**(fields | changes))


def write_examples(folder: Path, labels: int = 2) -> list[Example]:
    """Generated slices of 48 pixels of five groups; with more labels the liver is cut into stripes of them."""
    examples = []
    for split, groups in GROUPS.items():
        for number, group in enumerate(groups):
            pixels, truth = ct_phantom(len(examples), 48)
            if labels > 2:
                truth = truth * (1 + np.arange(48, dtype=np.uint8) // 6 % (labels - 1))
            paths = folder / f"{group}{number}.png", folder / f"{group}{number}_mask.png"
            for path, array in zip(paths, (pixels, truth), strict=True):
                Image.fromarray(array).save(path)
            examples.append(Example(*paths, group=group, split=split))  # type: ignore[arg-type]
    return examples


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def completed(folder: Path, config: SegmentationConfig, recipe: Recipe, examples: list[Example], **more: Any) -> Path:  # noqa: ANN401
    folder.mkdir(exist_ok=True)
    checkpoint = hub.save(folder / "checkpoint", config, network_for(config).state_dict())
    complete(checkpoint, recipe, examples, FACTS, device="cpu", **more)
    return checkpoint


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Recipe, list[Example]]:
    """A finished run of a binary task: its folder, its recipe, its pictures."""
    folder = tmp_path_factory.mktemp("run")
    config = config_for("binary", working_size=32)
    (folder / "data").mkdir()
    recipe, examples = recipe_for(config), write_examples(folder / "data")
    completed(folder, config, recipe, examples)
    return folder, recipe, examples


def test_a_checkpoint_gets_its_files_and_the_pictures_of_patients_stay_in_the_run_folder(
    run: tuple[Path, Recipe, list[Example]],
) -> None:
    folder, _, _ = run
    assert sorted(files(folder / "checkpoint")) == [
        "README.md", "calibration.json", "config.json", "gate.safetensors", "model.safetensors", "reliability.png",
        "scores.json", "split.json", "thresholds.png",
    ]  # fmt: skip
    assert sorted(files(folder)) == [LOOKS, "worst.png"]
    for path in [*folder.glob("*.png"), *(folder / "checkpoint").glob("*.png")]:
        with Image.open(path) as picture:
            picture.load()
            assert min(picture.size) > 300


def test_the_config_is_what_validation_asks_for(run: tuple[Path, Recipe, list[Example]]) -> None:
    folder, recipe, examples = run
    predictor = Predictor.from_pretrained(folder / "checkpoint", device="cpu")
    validation = [e for e in examples if e.split == "val"]
    bare = uncalibrated(predictor.config)
    assert predictor.config == calibrated(bare, collect([(predictor, validation)], recipe.data)[0]) != bare
    calibration = json.loads((folder / "checkpoint" / "calibration.json").read_text())
    assert tuple(calibration["temperatures"]) == predictor.config.temperatures
    assert tuple(calibration["thresholds"]) == predictor.config.thresholds
    assert calibration["fitted_on"]["what"] == "validation"
    assert (calibration["fitted_on"]["pictures"], calibration["fitted_on"]["groups"]) == (3, ["b", "c"])
    assert calibration["fitted_on"]["pixels"] == 3 * 32 * 32
    scores = json.loads((folder / "checkpoint" / "scores.json").read_text())
    assert scores["val"]["calibration"] == calibration["error"]
    assert scores["val"] == json.loads(
        json_text(split_scores(assess(cases(predictor, validation, recipe.data), predictor.config)))
    )


def test_what_is_not_to_be_calibrated_is_measured_and_left_alone(
    run: tuple[Path, Recipe, list[Example]], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder, recipe, examples = run
    shutil.copytree(folder, tmp_path / "run")
    caplog.set_level("INFO", "unetseg")
    left = recipe.model_copy(update={"train": Train(calibrate=False)})
    complete(tmp_path / "run" / "checkpoint", left, examples, FACTS, device="cpu")
    config, _ = hub.load(tmp_path / "run" / "checkpoint")
    assert config == uncalibrated(config)
    calibration = json.loads((tmp_path / "run" / "checkpoint" / "calibration.json").read_text())
    assert calibration["error"]["before"] == calibration["error"]["after"]
    told = "the checkpoint gets no test picture: of the generated pictures that were tried there is none on which"
    assert told in caplog.text
    assert "left as they are, and measured on validation" in (tmp_path / "run" / "checkpoint" / "README.md").read_text()


def test_completing_again_gives_the_same_bytes(run: tuple[Path, Recipe, list[Example]], tmp_path: Path) -> None:
    """The first calibration is no part of the second one, and the same test scores are no second look."""
    folder, recipe, examples = run
    shutil.copytree(folder, tmp_path / "run")
    complete(tmp_path / "run" / "checkpoint", recipe, examples, FACTS, device="cpu")
    assert files(tmp_path / "run" / "checkpoint") == files(folder / "checkpoint")
    assert files(tmp_path / "run") == files(folder)


def test_a_card_that_was_edited_stays_with_its_pictures(
    run: tuple[Path, Recipe, list[Example]], tmp_path: Path
) -> None:
    folder, recipe, examples = run
    shutil.copytree(folder, tmp_path / "run")
    checkpoint = tmp_path / "run" / "checkpoint"
    text = (checkpoint / "README.md").read_text() + "\n![Of my own](mine.png)\n"
    (checkpoint / "README.md").write_text(text)
    (checkpoint / "mine.png").write_bytes(b"a picture")
    complete(checkpoint, recipe, examples, FACTS)
    assert (checkpoint / "README.md").read_text() == text
    assert (checkpoint / "mine.png").read_bytes() == b"a picture"
    assert (checkpoint / "README.new.md").read_bytes() == (folder / "checkpoint" / "README.md").read_bytes()


def test_each_other_checkpoint_is_one_more_look_at_the_test_split(
    run: tuple[Path, Recipe, list[Example]], tmp_path: Path
) -> None:
    folder, _, _ = run
    shutil.copytree(folder, tmp_path / "run")
    checkpoint = tmp_path / "run" / "checkpoint"
    assert json.loads((checkpoint / "scores.json").read_text())["test"]["looks"] == 1 + CARD.earlier_test_looks
    config, weights = hub.load(checkpoint)
    assert count_look(checkpoint, config) == 1
    assert count_look(checkpoint, config.model_copy(update={"thresholds": (0.123,)})) == 2
    hub.save(checkpoint, config, {key: value + 1 for key, value in weights.items()})
    assert count_look(checkpoint, config) == 3
    assert count_look(checkpoint, config) == 3


def test_folds_are_what_calibration_is_fitted_on(tmp_path: Path) -> None:
    config = config_for("one-vs-rest with background")
    recipe, examples = recipe_for(config, card=None), write_examples(tmp_path, labels=4)
    other = network_for(config)
    weights = {key: value * (0.5 if key.startswith("head") else 1) for key, value in other.state_dict().items()}
    fold = hub.save(tmp_path / "fold", config, weights)
    some = [e for e in examples if e.split == "train"]
    checkpoint = completed(
        tmp_path / "run", config, recipe, [e for e in examples if e.split != "test"], folds=[(fold, some)]
    )
    pixels = collect([(Predictor.from_pretrained(fold, device="cpu"), some)], recipe.data)[0]
    assert hub.load(checkpoint)[0] == calibrated(config, pixels)
    calibration = json.loads((checkpoint / "calibration.json").read_text())
    assert calibration["fitted_on"]["what"] == "out-of-fold predictions of 1 checkpoints"
    assert calibration["fitted_on"]["groups"] == ["a"]
    scores = json.loads((checkpoint / "scores.json").read_text())
    assert list(scores) == ["val", "folds"]
    unseen = assess(cases(Predictor.from_pretrained(fold, device="cpu"), some, recipe.data), calibrated(config, pixels))
    assert json_text(split_scores(unseen)) == json_text(scores["folds"])
    assert not (tmp_path / "run" / LOOKS).exists()


@pytest.mark.parametrize("kind", ["multiclass", "one-vs-rest"])
def test_tasks_without_background_have_a_report_too(kind: str, tmp_path: Path) -> None:
    config = config_for(kind)
    recipe = recipe_for(config, train=Train(synthetic=None))
    checkpoint = completed(tmp_path / "run", config, recipe, write_examples(tmp_path, labels=3))
    scores = json.loads((checkpoint / "scores.json").read_text())
    assert scores["test"]["surface"].keys() == set(config.classes)
    assert scores["test"]["without_class"]["pictures"] == 0
    assert "land" in as_text("title", scores["test"])


def test_pictures_without_any_class_have_a_report_too(tmp_path: Path) -> None:
    config = config_for("binary", working_size=32)
    says_nothing = {key: value * 0 for key, value in network_for(config).state_dict().items()}
    says_nothing["head.bias"] -= 9
    examples = [e for e in write_examples(tmp_path) if e.split != "test"]
    for example in examples:
        Image.new("L", (48, 48)).save(example.mask)
    checkpoint = hub.save(tmp_path / "run" / "checkpoint", config, says_nothing)
    complete(checkpoint, recipe_for(config), examples, FACTS, device="cpu")
    result = json.loads((checkpoint / "scores.json").read_text())["val"]
    assert (result["dice"], result["mean_group_dice"], result["worst"]) == ({}, None, [])
    assert result["without_class"] == {"pictures": 3, "false_alarms": 0, "more_than_pixels": 50}
    assert "no picture has any class" in as_text("title", result)
    assert hub.load(checkpoint)[0] == config
    assert (
        "Of 3 pictures without any class 0 have more than 50 predicted pixels" in (checkpoint / "README.md").read_text()
    )
    assert not (tmp_path / "run" / "worst.png").exists()


def test_the_scores_of_a_split_agree_with_each_other(run: tuple[Path, Recipe, list[Example]]) -> None:
    folder, _, _ = run
    result = json.loads((folder / "checkpoint" / "scores.json").read_text())["test"]
    counts = np.array(result["confusion"]["counts"])
    assert result["confusion"]["labels"] == ["background", "liver"]
    assert counts.sum() == 2 * 48 * 48
    assert result["accuracy"] == pytest.approx(np.trace(counts) / counts.sum())
    assert result["precision"]["liver"] == pytest.approx(counts[1, 1] / counts[:, 1].sum())
    assert result["recall"]["liver"] == pytest.approx(counts[1, 1] / counts[1].sum())
    assert {name: group["dice"].get("liver") for name, group in result["groups"].items()} == result["group_dice"]
    assert result["uncalibrated"].keys() == {"mean_group_dice", "miou", "accuracy"}
    assert result["uncalibrated"]["accuracy"] != result["accuracy"]
    assert sum(group["pixels"]["liver"] for group in result["groups"].values()) == counts[1].sum()
    assert result["pictures"] == sum(group["pictures"] for group in result["groups"].values()) == 2
    assert [w["dice"] for w in result["worst"]] == sorted(w["dice"] for w in result["worst"])


def test_the_text_says_what_the_file_says(run: tuple[Path, Recipe, list[Example]]) -> None:
    folder, _, _ = run
    result = json.loads((folder / "checkpoint" / "scores.json").read_text())["test"]
    text = as_text("somewhere", result)
    assert text.startswith("somewhere: 2 pictures of 2 groups\n")
    assert re.search(rf"mean IoU +{result['miou']:.3f}\n", text)  # two groups are too few for an interval
    result["intervals"]["miou"] = (0.25, 0.75)
    assert f"{result['miou']:.3f} (0.250 to 0.750)" in as_text("somewhere", result)
    assert max(map(len, text.splitlines())) < 160
    assert len(text.splitlines()) < 40
    for error in result["calibration"].values():
        assert f"{error['within_10_pixels']['by_class']['liver']:.4f}" in text
    groups = [line.split()[0] for line in text.splitlines() if line.startswith(("d ", "e "))]
    assert groups == sorted(result["group_dice"], key=lambda name: result["group_dice"][name])


def test_groups_are_listed_by_dice_and_of_many_only_the_worst_and_the_best() -> None:
    def found(dice: dict[str, float | None]) -> list[str]:
        group = {"pictures": 1, "accuracy": 0.5, "surface_dice_2_pixels": {}, "pixels": {}}
        return [row[0] for row in group_rows({"group_dice": dice, "groups": dict.fromkeys(dice, group)})]

    few: dict[str, float | None] = {f"g{i:02}": i / 100 for i in range(24)}
    assert found({"nothing": None, **few}) == [*few, "nothing"]
    many: dict[str, float | None] = {f"g{i:02}": i / 100 for i in range(100)}
    names = list(many)
    assert found({"nothing": None, **many}) == [*names[:15], "... 81 more", *names[-5:]]
    assert found({**dict.fromkeys(names, None), "one": 0.5}) == ["one", "... 100 more"]


def test_intensities_are_those_of_the_pictures(tmp_path: Path) -> None:
    config = config_for("binary")
    examples = write_examples(tmp_path)
    values = np.concatenate([np.asarray(Image.open(e.image)).ravel() for e in examples]) / 255
    found = intensities(examples, config)
    assert (found["pictures"], found["gray"]["mean"], found["gray"]["std"]) == (
        7, pytest.approx(values.mean(), abs=1e-4), pytest.approx(values.std(), abs=1e-4),
    )  # fmt: skip
    for percent, value in found["gray"]["percentiles"].items():
        assert value == pytest.approx(np.percentile(values, int(percent), method="inverted_cdf"), abs=1e-4)


def test_the_worst_pictures_are_drawn_with_their_errors(tmp_path: Path) -> None:
    config = config_for("binary")
    recipe = recipe_for(config)
    found = assess(cases(Predictor(network_for(config), device="cpu"), write_examples(tmp_path), recipe.data), config)
    write_worst(tmp_path / "worst.png", {"val": found.worst}, config)
    pixels = np.asarray(Image.open(tmp_path / "worst.png"))
    assert pixels.shape[0] > 4 * 256
    write_worst(tmp_path / "none.png", {"val": []}, config)
    assert not (tmp_path / "none.png").exists()


RECIPE = """
[data]
task = "binary"
classes = ["liver"]
background = "background"
palette = ["#102030", "#e4572e"]
channels = ["gray"]
images = "."
masks = "."
mask_name = "{name}_mask"
mask_values = { 0 = "background", 1 = "liver" }
group_pattern = "^(.)"
val = ["b", "c"]
test = ["d", "e"]
[model]
widths = [4, 8]
[card]
title = "T"
summary = "S."
license = "other"
data = "D."
limits = "L."
earlier_test_looks = 3
"""


def test_evaluate_prints_the_same_report_and_counts_looks_where_there_is_a_run(
    run: tuple[Path, Recipe, list[Example]], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder, _, _ = run
    shutil.copytree(folder, tmp_path / "run")
    (tmp_path / "recipe.toml").write_text(RECIPE)
    checkpoint = tmp_path / "run" / "checkpoint"

    def evaluate(split: str) -> dict[str, Any]:
        caplog.clear()
        arguments = ["--recipe", "recipe.toml", "--json", "found.json", "--worst", "worst.png"]
        arguments = [str(tmp_path / a) if "." in a else a for a in arguments]
        with caplog.at_level("INFO"):
            assert (
                main(["evaluate", str(checkpoint), "--data", str(folder / "data"), "--split", split, *arguments]) == 0
            )
        found: dict[str, Any] = json.loads((tmp_path / "found.json").read_text())
        return found

    before = json.loads((checkpoint / "scores.json").read_text())
    assert evaluate("val") == before["val"]
    assert as_text(f"{checkpoint} on the val split of {folder / 'data'}", before["val"]) in caplog.text
    assert (tmp_path / "worst.png").is_file()
    assert "was trained on" not in caplog.text
    every = evaluate("all")  # with pictures to train on, and no look at a split
    assert every["pictures"] > before["val"]["pictures"] + before["test"]["pictures"]
    assert every["groups"].keys() > before["val"]["groups"].keys() | before["test"]["groups"].keys()
    assert "counted nowhere" in caplog.text  # pictures of the test split are among them
    known = every["pictures"] - before["val"]["pictures"] - before["test"]["pictures"]
    assert f"was trained on {known} of these pictures, so the scores flatter" in caplog.text
    # a checkpoint alone: nowhere to count
    assert evaluate("test") == {key: value for key, value in before["test"].items() if key != "looks"}
    assert "counted nowhere" in caplog.text
    (tmp_path / "run" / "state.safetensors").touch()
    assert evaluate("test") == before["test"]  # the very checkpoint that the run scored
    assert "counted nowhere" not in caplog.text
    config, weights = hub.load(checkpoint)
    hub.save(checkpoint, config.model_copy(update={"thresholds": (0.4,)}), weights)
    assert evaluate("test")["looks"] == before["test"]["looks"] + 1


def test_json_is_that_of_the_library_and_refuses_what_json_has_no_word_for() -> None:
    value = {"a": [1, None, "[ x ]"], "b": {"c": [[1, 2], [3]], "d": {}}, "e": [], "f": (True, 1.5), "g": [{"h": 1}]}
    assert json.loads(json_text(value)) == json.loads(json.dumps(value))
    assert '"a": [1, null, "[ x ]"],\n' in json_text(value)
    with pytest.raises(ValueError, match="not JSON compliant"):
        json_text({"a": [float("nan")]})


def test_labels_of_pictures_are_fitted_scored_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A run of a model with a picture_rule: of each picture the argmax is compared with the one class of its mask."""
    config = picture_config(working_size=32)
    examples = write_examples(tmp_path)
    for number, example in enumerate(examples):
        if number % 2:
            mask = np.asarray(Image.open(example.mask))
            Image.fromarray(mask * np.uint8(2)).save(example.mask)
    recipe = recipe_for(config, model=Model(widths=config.widths, working_size=32, picture_rule="mean"))
    checkpoint = completed(tmp_path / "run", config, recipe, examples)
    predictor = Predictor.from_pretrained(checkpoint, device="cpu")
    for split in ("val", "test"):
        result = json.loads((checkpoint / "scores.json").read_text())[split]
        right, shown = 0, 0
        for number, example in enumerate(examples):
            if example.split == split and np.asarray(Image.open(example.mask)).any():
                found = predictor(example.image).picture()
                right += int(found.argmax() == number % 2)
                shown += 1
        assert result["picture_accuracy"] == result["picture"]["accuracy"] == right / shown
        assert result["picture"]["pictures"] == shown
        assert "The label of the picture is right for" in as_text("title", result)
    calibration = json.loads((checkpoint / "calibration.json").read_text())["picture"]
    assert calibration["temperature"] == predictor.config.picture_temperature
    counts = np.array(result["confusion"]["counts"])
    inside = counts[1:, 1:].sum() / (counts.sum() - counts[0, 0])
    assert result["picture"]["foreground_iou"] == pytest.approx(inside)
    card = (checkpoint / "README.md").read_text()
    assert "## The label of the picture" in card
    assert "| truth \\ label | cat | dog | right |" in card
    # and on the command line
    words = ["predict", str(checkpoint), str(examples[0].image), "--out", str(tmp_path / "out"), "--report"]
    assert main(words) == 0
    picture = predictor(examples[0].image).named_picture
    assert picture is not None
    label = max(picture, key=lambda name: picture[name])
    assert f"{examples[0].image.name} shows {label} ({picture[label]:.3f})" in caplog.text
    (written,) = (tmp_path / "out").glob("*.json")
    assert json.loads(written.read_text())["picture"] == {"label": label, "classes": picture}


def test_a_picture_of_two_classes_is_named(tmp_path: Path) -> None:
    config = picture_config(working_size=32)
    (example, *_) = write_examples(tmp_path)
    mask = np.asarray(Image.open(example.mask)).copy()
    mask[:4, :4] = 2
    Image.fromarray(mask).save(example.mask)
    recipe = recipe_for(config, model=Model(widths=config.widths, picture_rule="mean"))
    with pytest.raises(ValueError, match=f"^{example.image.name}: a picture shows cat and dog, expected one class"):
        read_example(example, recipe.data, config)
