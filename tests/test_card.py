"""The card says what the files beside it say."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from configs import config_for, network_for
from huggingface_hub import ModelCard
from PIL import Image
from test_report import CARD, FACTS, completed, recipe_for, write_examples

from unetseg import Predictor
from unetseg.fitting.card import views_picture
from unetseg.fitting.panel import FALSE, HEAD, MISSED, MIXED_UP, SIDE, UNKNOWN, panel, panel_row
from unetseg.fitting.plots import Chart


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
        low, high = result["intervals"]["miou"]
        assert f"{result['miou']:.3f} ({low:.3f} to {high:.3f})" in card.text
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
