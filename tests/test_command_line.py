"""`python -m unetseg`, as a user types it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import warm
from configs import KINDS, config_for, network_for

from unetseg import Predictor, SegmentationConfig
from unetseg.__main__ import main
from unetseg.fitting import Recipe, fit
from unetseg.render import VIEWS
from unetseg.samples import draw_sample, write_samples

RECIPE = """
[data]
task = "multiclass"
classes = ["building", "land", "road", "vegetation", "water"]
palette = ["#d1495b", "#e9c46a", "#6c757d", "#2a9d5c", "#3a86ff"]
mask_values = { 0 = "building", 1 = "land", 2 = "road", 3 = "vegetation", 4 = "water" }
val = 0.4
[model]
widths = [4, 8]
[train]
epochs = 1
crop = 32
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data/, recipe.toml and run/checkpoint."""
    folder = tmp_path_factory.mktemp("trained")
    write_samples(folder / "data", "aerial", count=5, size=64)
    (folder / "recipe.toml").write_text(RECIPE)
    fit(Recipe.from_file(folder / "recipe.toml"), folder / "data", folder / "run")
    return folder


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return warm.run("-m", "unetseg", *arguments, cwd=folder, env=os.environ)


def test_predict_writes_labels_and_views_and_goes_on_after_a_bad_picture(trained: Path, tmp_path: Path) -> None:
    good, bad = tmp_path / "good.png", tmp_path / "bad.png"
    PIL.Image.fromarray(draw_sample("aerial", 3, 50)[0]).save(good)
    bad.write_text("no picture")
    checkpoint = str(trained / "run" / "checkpoint")
    done = run(tmp_path, "predict", checkpoint, str(bad), str(good), "--out", "out")
    assert done.returncode == 1
    assert "error: bad.png is not a readable picture" in done.stderr
    assert "Traceback" not in done.stderr
    own = Predictor.from_pretrained(checkpoint)(good)
    np.testing.assert_array_equal(np.asarray(PIL.Image.open(tmp_path / "out" / "good_labels.png")), own.labels()[0])
    done = run(tmp_path, "predict", checkpoint, str(good), "--view", "probability", "--class", "water")
    assert done.returncode == 0, done.stderr
    view = np.asarray(PIL.Image.open(tmp_path / "good_probability.png"))
    np.testing.assert_array_equal(view, own.view("probability", class_name="water"))
    view_before = (tmp_path / "good_probability.png").read_bytes()
    (tmp_path / "journal.jsonl").unlink()
    again = ("predict", checkpoint, str(good), "--view", "probability", "--class", "road")
    done = run(tmp_path, *again)
    assert (done.returncode, done.stderr.splitlines()[-1]) == (
        1,
        "error: good_probability.png is there already; name another folder with --out, or replace it with --overwrite",
    )
    assert (tmp_path / "good_probability.png").read_bytes() == view_before
    assert run(tmp_path, *again, "--overwrite").returncode == 0
    assert (tmp_path / "good_probability.png").read_bytes() != view_before
    names = ["bad.png", "good.png", "good_probability.png", "journal.jsonl", "out"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names


def test_evaluate_writes_the_scores_that_the_run_measured(trained: Path, tmp_path: Path) -> None:
    target = tmp_path / "scores.json"
    recipe, data = str(trained / "recipe.toml"), str(trained / "data")
    checkpoint = trained / "run" / "checkpoint"
    done = run(
        tmp_path,
        "evaluate",
        str(checkpoint),
        "--recipe",
        recipe,
        "--data",
        data,
        "--split",
        "val",
        "--json",
        str(target),
    )
    assert done.returncode == 0, done.stderr
    scores = json.loads(target.read_text())
    assert {"dice", "iou", "miou", "accuracy", "group_dice", "mean_group_dice"} <= set(scores)
    assert scores["miou"] == pytest.approx(
        json.loads((checkpoint / "scores.json").read_text())["val"]["miou"], abs=1e-3
    )


def test_evaluate_says_what_it_can_not_know(trained: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("config.json", "model.safetensors"):
        shutil.copy(trained / "run" / "checkpoint" / name, bare)
    recipe, data = str(trained / "recipe.toml"), str(trained / "data")
    done = run(tmp_path, "evaluate", "bare", "--recipe", recipe, "--data", data, "--split", "val")
    assert done.returncode == 0, done.stderr
    assert "bare has no split.json: if it was trained on these pictures, the scores flatter" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["predict", "nobody", "x.png"], "error: no checkpoint 'nobody'"),
        (["predict", "{checkpoint}", "missing.png"], "error: missing.png can't be read"),
        (["predict", "{checkpoint}", "a/x.png", "b/x.png"], "error: two of the inputs have the same name"),
        (["predict", "{checkpoint}", "x.png", "--device", "gpu"], "error: device 'gpu' can't be used here"),
        (["predict", "{checkpoint}", "x.png", "--class", "water"], "error: --class does nothing to --view labels"),
        (
            ["predict", "{checkpoint}", "x.png", "--threshold", "0.9"],
            "error: --threshold does nothing to --view labels of a multiclass model; leave it out, or",
        ),
        (["evaluate", "{checkpoint}", "--recipe", "none.toml", "--data", "."], "error: none.toml can't be read"),
        (
            ["evaluate", "{checkpoint}", "--recipe", "{recipe}", "--data", "{data}", "--json", "none/x.json"],
            "error: none/x.json can't be written: there is no folder none; make it, or name another file",
        ),
        (["doctor", "{data}", "--sheet", "."], "error: . is a folder; name a file to write"),
        (["evaluate", "{checkpoint}", "--recipe", "{recipe}", "--data", "{data}", "--split", "test"], "test split of"),
    ],
)
def test_what_is_wrong_is_one_sentence(trained: Path, tmp_path: Path, arguments: list[str], sentence: str) -> None:
    paths = {"checkpoint": trained / "run" / "checkpoint", "recipe": trained / "recipe.toml", "data": trained / "data"}
    done = run(tmp_path, *(argument.format(**paths) for argument in arguments))
    assert done.returncode == 1
    assert sentence in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def checkpoint_and_picture(config: SegmentationConfig, folder: Path) -> Path:
    """A tiny checkpoint `checkpoint` in a folder, and beside it a picture, whose path it is."""
    network_for(config).save_pretrained(folder / "checkpoint")
    picture = folder / "x.png"
    PIL.Image.fromarray(draw_sample("ct", 3, 32)[0]).save(picture)
    return picture


@pytest.mark.parametrize("kind", KINDS)
def test_a_class_is_refused_exactly_where_it_changes_nothing(
    kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = config_for(kind)
    picture = checkpoint_and_picture(config, tmp_path)
    segmentation = Predictor(network_for(config))(picture)
    for view in VIEWS:
        one, other = (segmentation.view(view, class_name=name) for name in (config.outputs[0], config.outputs[-1]))
        words = ["predict", str(tmp_path / "checkpoint"), str(picture), "--view", view, "--overwrite"]
        code = main([*words, "--out", str(tmp_path), "--class", config.outputs[-1]])
        if code == 0:
            assert len(config.outputs) == 1 or (one != other).any(), view
            np.testing.assert_array_equal(np.asarray(PIL.Image.open(tmp_path / f"x_{view}.png")), other)
        else:
            np.testing.assert_array_equal(one, other)
            assert f"--class does nothing to --view {view}, which shows all classes" in caplog.text


@pytest.mark.parametrize("kind", KINDS)
def test_a_threshold_is_refused_exactly_where_it_changes_nothing(
    kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = config_for(kind)
    picture = checkpoint_and_picture(config, tmp_path)
    for view in ("labels", *VIEWS):
        codes, results = [], []
        for threshold in ("0.01", "0.99"):
            words = ["predict", str(tmp_path / "checkpoint"), str(picture), "--view", view, "--overwrite"]
            words += ["--out", str(tmp_path), "--threshold", *[threshold] * len(config.outputs)]
            codes.append(main(words))
            if codes[-1] == 0:
                results.append(np.asarray(PIL.Image.open(tmp_path / f"x_{view}.png")))
        if codes == [0, 0]:
            assert (results[0] != results[1]).any(), view
        else:
            assert codes == [1, 1]
            assert f"--threshold does nothing to --view {view} of a {config.task} model" in caplog.text
            segmentation = Predictor(network_for(config))(picture)
            low, high = ([t] * len(config.outputs) for t in (0.01, 0.99))
            if view == "labels":
                np.testing.assert_array_equal(segmentation.labels(low), segmentation.labels(high))
            else:
                shown = [segmentation.view(view, thresholds=thresholds) for thresholds in (low, high)]
                np.testing.assert_array_equal(*shown)
