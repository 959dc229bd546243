"""What the README promises, taken from the README."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import dicom_files
import numpy as np
import PIL.Image
import pydicom
import pytest
import rasterio
from affine import Affine

from unetseg.__main__ import main, parser
from unetseg.fitting import Recipe, fit
from unetseg.samples import draw_sample, write_samples

ROOT = Path(__file__).resolve().parent.parent


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)


def test_the_scores_are_those_of_the_shipped_checkpoints() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    test = {
        name: json.loads((ROOT / f"checkpoints/{name}/scores.json").read_text(encoding="utf-8"))["test"]
        for name in ("liver-unet", "satellite-unet")
    }
    liver, satellite = test.values()
    assert f"mean Dice per patient {liver['mean_group_dice']:.3f} on {len(liver['groups'])} test patients |" in text
    words = (
        f"mIoU {satellite['miou']:.3f}, accuracy {satellite['accuracy']:.3f} on {satellite['pictures']} test pictures"
    )
    assert words in text


def test_the_gate_runs_the_readmes_test_command() -> None:
    (command,) = (block for block in blocks("sh") if block.rstrip().endswith("pytest"))
    gate = (ROOT / ".ci" / "run").read_text().replace(" -q --disable-pip-version-check", "")
    assert f"{command.strip()} -p no:cacheprovider" in gate


@pytest.fixture
def inputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with the files that the README names: a slice, a series, a scene."""
    monkeypatch.chdir(tmp_path)
    PIL.Image.fromarray(draw_sample("ct", 7)[0]).save("slice.png")
    dicom_files.written(tmp_path / "ct_series", dicom_files.slices(3, shape=(64, 64)))
    scene = np.moveaxis(draw_sample("aerial", 7, 96)[0], 2, 0)
    place = {"crs": "EPSG:32633", "transform": Affine(2, 0, 500_000, 0, -2, 4_600_000)}
    with rasterio.open("scene.tif", "w", driver="GTiff", count=3, height=96, width=96, dtype="uint8", **place) as file:
        file.write(scene)
    return tmp_path


def test_the_lines_of_python_segment_a_series(inputs: Path) -> None:
    code, from_the_hub = blocks("python")
    assert "import UNet" in from_the_hub
    assert len([line for line in code.splitlines() if line]) == 4
    exec(code, {})
    assert pydicom.dcmread("liver.dcm").NumberOfFrames == 3
    exec(code.replace('"ct_series/"', '"slice.png"').replace("liver.dcm", "liver.png"), {})
    with PIL.Image.open("liver.png") as labels:
        assert labels.size == (256, 256)


def test_the_commands_of_prediction_write_what_they_say(inputs: Path) -> None:
    (block,) = (block for block in blocks("sh") if "unetseg predict" in block)
    promised = set()
    for line in block.strip().splitlines():
        command, _, comment = line.partition("#")
        assert main(shlex.split(command)[3:]) == 0
        promised |= set(comment.strip().split(", "))
    assert len(promised) == 5
    there = {"slice.png", "ct_series", "scene.tif", "journal.jsonl"}
    assert {path.name for path in inputs.iterdir()} == promised | there


def test_the_recipe_trains_on_a_plain_folder(tmp_path: Path) -> None:
    (text,) = blocks("toml")
    write_samples(tmp_path / "folder", "ct", count=5, size=32)
    small = "\n[model]\nwidths = [4, 8]\n[train]\nepochs = 1\ncrop = 32\nbatch_size = 2\n"
    (tmp_path / "crack.toml").write_text(text + small)
    checkpoint = fit(Recipe.from_file(tmp_path / "crack.toml"), tmp_path / "folder", tmp_path / "run")
    assert (checkpoint / "model.safetensors").is_file()


def test_the_commands_are_those_of_the_command_line() -> None:
    lines = [line for block in blocks("sh") for line in block.splitlines() if line.startswith("python -m unetseg")]
    assert len(lines) >= 5
    for line in lines:
        assert callable(parser().parse_args(shlex.split(line, comments=True)[3:]).run)


def test_every_file_that_the_readme_links_to_is_there() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", (ROOT / "README.md").read_text())
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
