"""The card says what the files beside it say."""

import io
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from configs import config_for, network_for, segmented
from huggingface_hub import ModelCard
from PIL import Image, ImageColor
from test_complete import CARD, FACTS, completed, recipe_for, write_examples
from test_evaluation import data_for

from unetseg import Predictor, SegmentationConfig
from unetseg.fitting import Recipe
from unetseg.fitting.recipe import Model
from unetseg.fitting.report.card import Facts, card_text, views_picture
from unetseg.fitting.report.evaluation import Case, assess
from unetseg.fitting.report.panel import FALSE, HEAD, MISSED, MIXED_UP, SIDE, panel, panel_row
from unetseg.fitting.report.plots import (
    BLUE,
    CLASSES,
    ORANGE,
    PAPER,
    Chart,
    least_calibrated,
    reliability_picture,
    threshold_picture,
)
from unetseg.fitting.report.results import as_text, split_scores
from unetseg.render import UNKNOWN
from unetseg.scores.calibration import HOTTEST, curves, joined, sample, trust, uncalibrated


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of a one-vs-rest task, whose thresholds decide the labels."""
    folder = tmp_path_factory.mktemp("card")
    config = config_for("one-vs-rest with background")
    return completed(folder / "run", config, recipe_for(config), write_examples(folder, labels=4))


def test_the_numbers_of_the_card_are_those_of_the_files(checkpoint: Path) -> None:
    card = ModelCard.load(checkpoint / "README.md")
    scores, calibration, config = (
        json.loads((checkpoint / name).read_text()) for name in ("scores.json", "calibration.json", "config.json")
    )
    told = {(r.dataset_split, r.metric_type): r.metric_value for r in card.data.eval_results}
    for split in ("val", "test"):
        result = scores[split]
        assert told[split, "miou"] == pytest.approx(result["miou"], abs=1e-4)
        assert f"| mean IoU | {scores['val']['miou']:.3f} | {scores['test']['miou']:.3f} |" in card.text  # few groups
        for name in ("cat", "dog", "bird"):
            numbers = [result[key].get(name) for key in ("dice", "iou", "precision", "recall")]
            row = " | ".join("" if n is None else f"{n:.3f}" for n in (
                *numbers, result["surface"][name]["surface_dice_2_pixels"]
            ))  # fmt: skip
            assert f"| {name} | {row} |" in card.text
            for place in ("everywhere", "within_10_pixels"):
                errors = [result["calibration"][when][place]["by_class"][name] for when in ("before", "after")]
                assert " | ".join(f"{e:.4f}" for e in errors) in card.text
        assert all(w["picture"] in card.text for w in result["worst"])
    assert f"Temperatures ({', '.join(f'{t:g}' for t in config['temperatures'])})" in card.text
    for name, threshold in zip(config["classes"], config["thresholds"], strict=True):
        assert f"{name} {threshold:g}" in card.text
    assert f"{calibration['fitted_on']['pictures']} pictures of 2 groups" in card.text
    assert f"looked at {scores['test']['looks']} times" in card.text
    assert scores["test"]["looks"] == CARD.earlier_test_looks + 1
    assert f"{FACTS.steps} steps" in card.text


def test_the_recipe_on_the_card_is_the_one_of_the_run(checkpoint: Path, tmp_path: Path) -> None:
    (text,) = re.findall(r"```toml\n(.*?)```", (checkpoint / "README.md").read_text(), flags=re.DOTALL)
    (tmp_path / "recipe.toml").write_text(text)
    expected = recipe_for(SegmentationConfig.from_file(checkpoint / "config.json"))
    assert Recipe.from_file(tmp_path / "recipe.toml") == expected.model_copy(update={"card": None})


def test_every_picture_of_the_card_is_there_and_the_tables_are_whole(checkpoint: Path) -> None:
    text = (checkpoint / "README.md").read_text()
    pictures = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", text)
    assert pictures == ["reliability.png", "thresholds.png"]
    assert all((checkpoint / name).is_file() for name in pictures)
    for table in re.findall(r"(?:^\|.*\n)+", text, flags=re.MULTILINE):
        assert len({line.count("|") for line in table.splitlines()}) == 1, table


def test_a_softmax_says_that_its_thresholds_serve_a_view_only(tmp_path: Path) -> None:
    config = config_for("multiclass")
    examples = [e for e in write_examples(tmp_path, labels=3) if e.split != "test"]
    text = (completed(tmp_path / "run", config, recipe_for(config), examples) / "README.md").read_text()
    assert "thresholds serve the thresholded view only" in text
    assert "looked at" not in text


def test_the_views_are_those_of_the_calibrated_config() -> None:
    config = config_for("binary", working_size=32)
    predictor = Predictor(network_for(config), device="cpu")
    never = config.model_copy(update={"thresholds": (1.0,), "temperatures": (5.0,)})
    pictures = {name: views_picture(predictor, c, "ct") for name, c in (("plain", config), ("never", never))}
    assert pictures["plain"] != pictures["never"]


def test_errors_are_told_apart_by_colour() -> None:
    config = config_for("multiclass with background")  # 0 nothing, 1 cat, 2 dog
    truth = np.repeat(np.array([1, 1, 0, 1, 255], dtype=np.uint8), 20)[None].repeat(100, axis=0)
    labels = np.repeat(np.array([1, 0, 1, 2, 1], dtype=np.uint8), 20)[None].repeat(100, axis=0)
    row = panel_row("a caption", np.full((100, 100, 3), 100, dtype=np.uint8), truth, labels, config)
    errors = np.asarray(row)[HEAD + SIDE // 2, -8 - SIDE :]
    found = [tuple(errors[round((i + 0.5) * SIDE / 5)].tolist()) for i in range(5)]
    assert found == [(100, 100, 100), MISSED, FALSE, MIXED_UP, UNKNOWN]
    assert panel([row, row], config).height == 2 * row.height + HEAD


def test_a_line_of_a_chart_goes_where_its_axes_say() -> None:
    chart = Chart("title", "x", "y", width=400, height=300, x_range=(0, 10), y_range=(0, 2))
    chart.dots([(5, 1)], "#ff0000", radius=3)
    red = np.argwhere((np.asarray(chart.finished()).astype(int) @ (1, -1, -1)) > 150)
    ticks = chart.finished().size
    assert ticks == (400, 300)
    chart = Chart("title", "x", "y", width=400, height=300, x_range=(4, 6), y_range=(0.5, 1.5))
    chart.dots([(5, 1)], "#ff0000", radius=3)
    again = np.argwhere((np.asarray(chart.finished()).astype(int) @ (1, -1, -1)) > 150)
    # the middle of the axes either way
    assert red.mean(axis=0) == pytest.approx(again.mean(axis=0), abs=0.5)
    assert len(red) > 15


def test_the_pictures_of_calibration_are_of_every_class(checkpoint: Path) -> None:
    heights = {}
    for name in ("reliability.png", "thresholds.png"):
        with Image.open(checkpoint / name) as picture:
            heights[name] = picture.height
    assert heights == {"reliability.png": 3 * 380, "thresholds.png": 2 * 380}


def test_a_card_of_many_classes_and_groups_stays_readable() -> None:
    names = ("road | track", *(f"class {i}" for i in range(19)))
    config = config_for(
        "one-vs-rest", classes=names, palette=tuple(f"#0000{i:02x}" for i in range(20)),
        temperatures=(1.5,) * 20, thresholds=(0.3,) * 20,
    )  # fmt: skip
    random = np.random.default_rng(2)
    some = []
    for group in (f"patient {i:03}" for i in range(100)):
        truth = random.integers(0, 20, (12, 12)).astype(np.uint8)
        logits = random.normal(0, 2, (1, 20, 12, 12)).astype(np.float32)
        picture = np.zeros((1, 12, 12, 3), dtype=np.uint8)
        some.append(Case(group, group, segmented(torch.from_numpy(logits), picture, config), truth))
    result = split_scores(assess(some, config))
    pixels = joined([sample(c.segmentation.logits[0], c.truth, config) for c in some])
    before, after = trust(pixels, uncalibrated(config)), trust(pixels, config)
    fitted_on = {
        "what": "validation",
        "fitted": True,
        "pictures": 1,
        "groups": ["one"],
        "pixels": 144,
        "working_size": None,
    }
    calibration = {
        "fitted_on": fitted_on,
        "error": {"before": before.summary(), "after": after.summary()},
        "reliability": {"before": before.bins(), "after": after.bins()},
        "curve": curves(pixels, config),
        "gate": {"limit": None, "held_out": 1},
    }
    recipe = Recipe(data=data_for(config), model=Model(widths=config.widths))
    split = {"train": {"one": ["one"]}, "val": {}, "test": {}}
    facts = Facts(steps=1, minutes=1, processes=2, threads=1, processor="a CPU", generated=0.066)
    text = card_text(config, recipe, {"val": result}, calibration, facts, split)  # type: ignore[arg-type]

    shown = least_calibrated(calibration)
    errors = after.summary()["everywhere"]["by_class"]
    assert len(shown) == CLASSES
    assert min(errors[name] for name in shown) >= max(errors[name] for name in names if name not in shown)
    assert f"the {CLASSES} of 20 classes with the largest error" in text
    assert "the worst and the best; scores.json has all" in text
    assert "... 80 more" in text
    assert len(text.splitlines()) < 245
    for table in re.findall(r"(?:^\|.*\n)+", text, flags=re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1, table
    assert r"| road \| track |" in text
    assert "1 picture of 1 group; `split.json`" in text
    assert "1 minute on 2 processes of 1 thread each" in text
    assert "is the highest that is tried" not in text
    config, facts = config.model_copy(update={"temperatures": (HOTTEST,) * 20}), replace(facts, minutes=0.4)
    early = card_text(config, recipe, {"val": result}, calibration, facts, split)  # type: ignore[arg-type]
    assert "A temperature of 8 is the highest that is tried" in early
    assert "less than a minute on 2 processes" in early
    assert "7% of the crops were cut from generated pictures (synthetic)." in text
    assert not re.search(r"\b1 (pictures|groups|steps|minutes|threads)\b", text)
    assert "20 labels" in as_text("title", result)
    assert max(map(len, as_text("title", result).splitlines())) < 160
    for drawn, height in (
        (reliability_picture(calibration), CLASSES * 380 + 40),
        (threshold_picture(calibration, config.outputs, config.thresholds), CLASSES // 2 * 380 + 40),
    ):
        with Image.open(io.BytesIO(drawn)) as sheet:
            assert sheet.height == height
            colours = np.array(sheet.getpalette()).reshape(-1, 3)
        for color in (ORANGE, BLUE, PAPER):  # as they were drawn, not mixed with others
            assert np.abs(colours - ImageColor.getrgb(color)[:3]).sum(axis=1).min() < 30
