"""The test picture that a checkpoint gets, from a run or by `verify --write`."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from configs import config_for, network_for

from unetseg import hub
from unetseg.__main__ import main
from unetseg.files import EXPECTED, PICTURE
from unetseg.fitting.report.proving import find_proof
from unetseg.formats import read_image
from unetseg.hub.info import description


def test_a_checkpoint_without_a_test_picture_is_said_to_have_none_and_can_be_given_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = hub.copy(hub.find("liver-unet").folder, tmp_path / "liver-unet")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    (folder / PICTURE).unlink()
    (folder / EXPECTED).unlink()
    assert "test picture: none, so it can't be verified" in description(hub.find(folder))
    assert main(["verify", str(folder), "--only", "float32"]) == 1
    assert f"error: {folder} has no test picture" in caplog.text
    assert main(["verify", str(folder), "--only", "float32", "--write"]) == 0
    assert read_image(folder / PICTURE).pixels.shape == (1, 64, 64, 1)
    assert {name: (folder / name).read_bytes() for name in before if name != EXPECTED} == {
        name: data for name, data in before.items() if name != EXPECTED
    }
    assert main(["verify", str(folder), "--only", "float32", "--write"]) == 1
    assert "has a test picture; remove sample.png and expected.safetensors to have another" in caplog.text


def test_a_network_that_never_finds_a_class_gets_no_picture_and_is_told_why(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    network = network_for(config_for("binary"))
    with torch.no_grad():
        network.head.bias -= 1000
    assert find_proof(network, network.config) is None
    folder = network.save_pretrained(tmp_path / "checkpoint")
    assert main(["verify", str(folder), "--write"]) == 1
    assert "gets no test picture: of the generated pictures that were tried there is none on which" in caplog.text


def test_no_picture_of_eight_bits_is_tried_on_a_network_of_other_kinds() -> None:
    for config in (
        config_for("binary", value_range=((0.0, 4095.0),)),
        config_for("binary", channels=("a", "b"), mean=(0.0,) * 2, std=(1.0,) * 2),
    ):
        assert find_proof(network_for(config), config) is None
