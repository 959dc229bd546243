"""Ray Data on a cluster of this machine, one of whose workers is killed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import psutil
import pytest
from configs import config_for, network_for

from unetseg import Predictor
from unetseg.__main__ import main
from unetseg.samples import draw_sample

COUNT = 150
PATIENCE = 120


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the checkpoint ct and pictures in the folder in."""
    network_for(config_for("binary")).save_pretrained(tmp_path / "ct")
    for number in range(COUNT):
        path = tmp_path / "in" / f"p{number % 3}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        PIL.Image.fromarray(draw_sample("ct", number % 7, 32)[0]).save(path)
    (tmp_path / "in" / "bad.png").write_text("no picture")
    return tmp_path


def lines(out: Path) -> list[dict[str, Any]]:
    found = "".join(path.read_text() for path in out.glob("journal*.jsonl"))
    return [json.loads(line) for line in found.splitlines(keepends=True) if line.endswith("\n")]


def kill_one(driver: int, out: Path) -> None:
    """Kill a worker when some inputs are done, but not between a line of the journal and the file that it tells of."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        time.sleep(0.01)
        processes = psutil.Process(driver).children(recursive=True)
        workers = [process for process in processes if process.name().startswith("ray::MapWorker")]
        if len(lines(out)) < 10 or len(workers) < 2:
            continue
        workers[0].suspend()
        if all((out / name).exists() for line in lines(out) for name in line["outputs"]):
            workers[0].kill()
            return
        workers[0].resume()
    raise AssertionError("Ray's workers do nothing")


def test_a_worker_that_is_killed_costs_nothing(folder: Path) -> None:
    out = folder / "out"
    command = [sys.executable, "-m", "unetseg", "predict", "ct", "in", "--out", "out", "--device", "cpu"]
    with subprocess.Popen(
        [*command, "--engine", "ray", "--workers", "2"], cwd=folder, stderr=subprocess.PIPE, text=True
    ) as driver:
        try:
            kill_one(driver.pid, out)
            assert 10 <= len(lines(out)) < COUNT
            started = psutil.Process(driver.pid).children(recursive=True)
            _, errors = driver.communicate(timeout=PATIENCE)
        except BaseException:
            driver.send_signal(signal.SIGINT)
            raise
    assert driver.returncode == 1, errors
    assert errors.splitlines()[-1].startswith("failed: bad.png is not a readable picture"), errors
    inputs = {path.relative_to(folder / "in").as_posix() for path in (folder / "in").rglob("*/*.png")}
    assert Counter(line["input"] for line in lines(out)) == dict.fromkeys(inputs, 1)
    there = {path.relative_to(out).as_posix() for path in out.rglob("*_labels.png") if ".tmp" not in str(path)}
    assert there == {f"{name.removesuffix('.png')}_labels.png" for name in inputs}
    own = Predictor.from_pretrained(folder / "ct", device="cpu")
    for name in inputs:
        labels = np.asarray(PIL.Image.open((out / name).with_name(f"{Path(name).stem}_labels.png")))
        np.testing.assert_array_equal(labels, own(folder / "in" / name).labels()[0])
    gone = psutil.wait_procs(started, timeout=20)[1]
    assert [process for process in gone if process.status() != psutil.STATUS_ZOMBIE] == []
    (folder / "in" / "bad.png").unlink()
    assert main(["predict", str(folder / "ct"), str(folder / "in"), "--out", str(out), "--device", "cpu"]) == 0
    assert len(lines(out)) == COUNT


def test_without_ray_it_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)  # as where it is not installed
    assert main(["predict", "liver-unet", str(tmp_path), "--engine", "ray"]) == 1
    assert caplog.messages == ["error: --engine ray needs ray: pip install 'unetseg[ray]'"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--workers", "2"], "--workers and --ray-address do nothing without --engine ray; leave them out, or take it"),
        (["--ray-address", "auto"], "--workers and --ray-address do nothing without --engine ray; leave them out"),
        (["--engine", "ray", "--workers", "0"], "there is at least one worker, got --workers 0"),
    ],
)
def test_what_does_nothing_is_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, words: list[str], sentence: str
) -> None:
    assert main(["predict", "liver-unet", str(tmp_path), *words]) == 1
    assert caplog.text.count(sentence) == 1
