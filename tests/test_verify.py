"""A checkpoint proves itself in every way there is, and fails where its weights or a runtime are others."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from configs import config_for, network_for
from numpy.typing import NDArray

from unetseg import Predictor, UNet, hub
from unetseg.__main__ import main
from unetseg.export import as_onnx
from unetseg.files import EXPECTED, ONNX, PICTURE, WEIGHTS
from unetseg.hub.info import description
from unetseg.proof import Proof
from unetseg.verify import WAYS, verify

QUICK = tuple(way for way in WAYS if way != "compiled")


def copied(name: str, folder: Path) -> Path:
    return hub.copy(hub.find(name).folder, folder / name)


def small(folder: Path) -> Path:
    """A tiny checkpoint with a test picture of noise, which is none that a run would choose."""
    path = network_for(config_for("binary")).save_pretrained(folder / "checkpoint")
    pixels = np.random.default_rng(0).integers(0, 256, (40, 48), dtype=np.uint8)
    return proven(path, pixels)


def proven(path: Path, pixels: NDArray[np.uint8]) -> Path:
    found = Predictor.from_pretrained(path, device="cpu", precision="float32")(pixels)
    file = io.BytesIO()
    PIL.Image.fromarray(pixels).save(file, "PNG")
    proof = Proof(file.getvalue(), found.labels()[0], found.probabilities[0].numpy())
    for name, data in proof.files((path / WEIGHTS).read_bytes()).items():
        (path / name).write_bytes(data)
    return path


@pytest.mark.parametrize("name", hub.shipped())
def test_a_shipped_checkpoint_proves_itself_in_every_way(name: str) -> None:
    for outcome in verify(UNet.from_pretrained(name), QUICK):
        assert outcome.passed, outcome
        assert outcome.lacking is None or outcome.way == "bfloat16"


@pytest.mark.parametrize("name", hub.shipped())
def test_the_picture_of_a_shipped_checkpoint_shows_every_class_and_all_probabilities(name: str) -> None:
    source = hub.find(name)
    config, _ = hub.load(source.folder)
    proof = Proof.load(source.folder, config)
    assert proof is not None
    assert np.bincount(proof.labels.flatten(), minlength=len(config.labels)).min() >= 0.02 * proof.labels.size
    assert np.histogram(proof.probabilities, bins=10, range=(0, 1))[0].min() > 0
    assert (source.folder / PICTURE).stat().st_size + (source.folder / EXPECTED).stat().st_size < 60_000
    assert "test picture: 64 x 64 pixels" in description(source)


@pytest.mark.parametrize("name", hub.shipped())
def test_one_weight_in_a_thousand_that_is_a_tenth_larger_is_found(name: str, tmp_path: Path) -> None:
    folder = copied(name, tmp_path)
    network = UNet.from_pretrained(folder)
    proof = Proof.load(folder, network.config)
    assert proof is not None
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.flatten()[::1000] *= 1.1
    changed = network.save_pretrained(tmp_path / "changed")
    for file in (PICTURE, EXPECTED):
        (changed / file).write_bytes((folder / file).read_bytes())
    with pytest.raises(ValueError, match=r"belongs to another model\.safetensors"):
        list(verify(UNet.from_pretrained(changed)))
    for file, data in proof.files((changed / WEIGHTS).read_bytes()).items():  # as if they had been so from the start
        (changed / file).write_bytes(data)
    for outcome in verify(UNet.from_pretrained(changed), ("float32", "onnxruntime", "openvino")):
        assert not outcome.passed
        assert outcome.difference is not None
        assert outcome.difference > 3 * outcome.bounds.difference


def test_compiled_is_a_way_too_or_says_why_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A compiler takes half a minute: what stands for it here gives the function back, or fails as without C++."""

    def no_compiler(*_: object, **__: object) -> object:
        def run(x: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("no C++ compiler")

        return run

    network = UNet.from_pretrained(small(tmp_path))
    monkeypatch.setattr(torch, "compile", lambda run, **_: run)
    (outcome,) = verify(network, ["compiled"])
    assert (outcome.passed, outcome.agreement, outcome.lacking) == (True, 1, None)
    monkeypatch.setattr(torch, "compile", no_compiler)
    (outcome,) = verify(network, ["compiled"])
    assert outcome.lacking == "the network can't be compiled here (no C++ compiler)"


def test_the_onnx_file_beside_the_weights_is_the_one_that_runs(tmp_path: Path) -> None:
    folder = small(tmp_path)
    network = UNet.from_pretrained(folder)
    (folder / ONNX).write_bytes(as_onnx(network))
    assert all(outcome.passed for outcome in verify(network, ("onnxruntime", "openvino")))
    with torch.no_grad():
        network.head.bias += 0.1
    (folder / ONNX).write_bytes(as_onnx(network))
    assert not any(outcome.passed for outcome in verify(UNet.from_pretrained(folder), ("onnxruntime", "openvino")))


@pytest.mark.parametrize(
    ("module", "way", "told"),
    [
        ("onnxruntime", "onnxruntime", "onnxruntime: pip install 'unetseg[onnx]'"),
        ("openvino", "openvino", "openvino: pip install 'unetseg[openvino]'"),
        ("onnx", "onnxruntime", "onnx: pip install 'unetseg[onnx]'"),
        ("rasterio", "streamed", "rasterio: pip install 'unetseg[geo]'"),
    ],
)
def test_a_way_that_is_not_installed_is_said_to_be_lacking(
    module: str, way: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder = small(tmp_path)
    monkeypatch.setitem(sys.modules, module, None)
    (outcome,) = verify(UNet.from_pretrained(folder), [way])
    assert (outcome.lacking, outcome.passed) == (told, True)
    assert main(["verify", str(folder), "--only", way, "--only", "float32"]) == 1, "it was asked for by name"
    assert f"{way:12} not here: {told}" in caplog.text


def test_the_command_prints_a_line_for_each_way_and_fails_beyond_the_bounds(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = small(tmp_path)
    options = ["--only", "float32", "--only", "streamed"]
    assert main(["verify", str(folder), *options]) == 0
    lines = [record.getMessage() for record in caplog.records if record.name == "unetseg"]
    assert [line.split()[:2] for line in lines] == [["float32", "100.000%"], ["streamed", "100.000%"]]
    other = Proof.load(folder, UNet.from_pretrained(folder).config)
    assert other is not None
    labels = 1 - other.labels
    for name, data in Proof(other.picture, labels, other.probabilities).files((folder / WEIGHTS).read_bytes()).items():
        (folder / name).write_bytes(data)
    assert main(["verify", str(folder), *options]) == 1
    assert f"error: {folder} does not prove itself here: float32, streamed" in caplog.text
    assert main(["verify", str(folder), "--only", "magic"]) == 1
    assert "error: unknown way 'magic'; choose of float32, bfloat16" in caplog.text
