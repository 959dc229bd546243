"""The example of prediction without torch, as a program of its own that can import neither torch nor unetseg."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from configs import KINDS, RGB, config_for, network_for

from unetseg import Predictor, UNet
from unetseg.export import as_onnx
from unetseg.samples import draw_sample

EXAMPLE = Path(__file__).parent.parent / "docs" / "without_torch.py"
BLOCKED = """
import runpy, sys
sys.modules["torch"] = sys.modules["unetseg"] = None
runpy.run_path({!r}, run_name="__main__")
"""


def run(*arguments: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", BLOCKED.format(str(EXAMPLE)), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=arguments[0].parent)


@pytest.mark.parametrize(("kind", "fields"), [*((kind, {}) for kind in KINDS), ("binary", RGB)])
def test_the_example_writes_the_labels_of_the_predictor(kind: str, fields: dict[str, object], tmp_path: Path) -> None:
    network = network_for(config_for(kind, **fields, scales=(1.0, 0.5)))
    (tmp_path / "a.onnx").write_bytes(as_onnx(network))
    PIL.Image.fromarray(draw_sample("aerial", 3, 97)[0]).save(tmp_path / "a.png")  # a grey model takes it too
    done = run(tmp_path / "a.onnx", tmp_path / "a.png", tmp_path / "labels.png")
    assert (done.returncode, done.stderr) == (0, "")
    expected = Predictor(network, device="cpu", precision="float32")(tmp_path / "a.png").labels()[0]
    assert (np.asarray(PIL.Image.open(tmp_path / "labels.png")) == expected).mean() >= 0.9997


def test_a_picture_that_it_can_not_read_is_refused_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_bytes(as_onnx(network_for(config_for("binary"))))
    PIL.Image.fromarray(np.zeros((4, 4), np.uint16)).save(tmp_path / "a.png")
    done = run(tmp_path / "a.onnx", tmp_path / "a.png", tmp_path / "labels.png")
    assert done.returncode == 1
    assert done.stderr == f"{tmp_path / 'a.png'} is of mode I;16; save it as grey or RGB of 8 bits\n"


def test_tiles_cover_a_large_picture_and_hardly_change_it(monkeypatch: pytest.MonkeyPatch) -> None:
    specification = importlib.util.spec_from_file_location("without_torch", EXAMPLE)
    assert specification is not None
    assert specification.loader is not None
    example = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(example)
    monkeypatch.setattr(example, "TILE", 320)
    monkeypatch.setattr(example, "OVERLAP", 192)
    for size in (100, 320, 321, 1000):
        slices = example.tiles(size)
        assert set().union(*(range(size)[one] for one in slices)) == set(range(size))
        assert all(one.start % 64 == 0 for one in slices)
    network = UNet.from_pretrained("satellite-unet")
    session = example.onnxruntime.InferenceSession(as_onnx(network), providers=["CPUExecutionProvider"])
    x = np.float32(draw_sample("aerial", 1, 512)[0].transpose(2, 0, 1)[None] / 255)
    whole, tiled = (example.probabilities(session, x, whole) for whole in (True, False))
    assert (whole.argmax(axis=0) == tiled.argmax(axis=0)).mean() > 0.97
    assert not np.array_equal(whole, tiled)


def test_it_is_short_enough_to_be_read() -> None:
    assert len(EXAMPLE.read_text(encoding="utf-8").splitlines()) <= 80
