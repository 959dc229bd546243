import csv
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import one_step
import pytest
import torch
import warm
from safetensors.torch import load_file

from unetseg import ConfusionMatrix
from unetseg.fitting import distributed
from unetseg.fitting.lock import held
from unetseg.samples import write_samples

ROOT = Path(__file__).parents[2]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node"]
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "PATH": "", "PYTHONPATH": str(ROOT)}
RECIPE = """
[data]
task = "TASK"
classes = CLASSES
palette = ["#000000", "#e4572e"]
channels = ["gray"]
mask_values = { 0 = "background", 255 = "liver" }

[model]
widths = [8, 16, 24]
working_size = 32

[augment]
rotate = 20
noise = 0.05

[train]
epochs = 10
validate_every = 5
batch_size = 9
crop = 32
learning_rate = 5e-3
ema = 0.95
balance = 0.5
batch_dice = BATCH_DICE
"""
BINARY = ('"liver"]\nbackground = "background"', "binary")
MULTICLASS = ('"background", "liver"]', "multiclass")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("distributed")
    write_samples(folder / "data", "ct", count=84, size=32)
    write_samples(folder / "more", "ct", count=252, size=32)
    for name, (classes, task) in (("binary", BINARY), ("multiclass", MULTICLASS)):
        text = RECIPE.replace("CLASSES", f"[{classes}").replace("TASK", task)
        (folder / f"{name}.toml").write_text(text.replace("BATCH_DICE", "true" if name == "binary" else "false"))
    return folder


def run(processes: int, *command: str, folder: Path) -> None:
    """Started warm, as torchrun would; what depends on how torchrun starts and ends them runs below it."""
    for done in warm.torchrun(processes, *command, cwd=folder, env=ENVIRONMENT):
        assert done.returncode == 0, done.stderr[-3000:]


def run_cold(*command: str, folder: Path) -> None:
    done = subprocess.run(
        [*TORCHRUN, "2", *command], cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]


def test_a_run_folder_in_use_is_refused_by_all_processes(folder: Path, tmp_path: Path) -> None:
    arguments = (str(ROOT / "training" / "train.py"), str(folder / "binary.toml"), "--data", str(folder / "data"))
    with held(tmp_path, torch.device("cpu")):
        first, second = warm.torchrun(2, *arguments, "--run-dir", str(tmp_path), cwd=folder, env=ENVIRONMENT)
    assert (first.returncode, second.returncode) == (1, 1)
    assert first.stderr.splitlines()[-1].startswith(f"error: {tmp_path} is being trained in by process {os.getpid()} ")
    assert second.stderr == f"error: {tmp_path} can't be trained in, as the first process says\n"
    assert not list(tmp_path.iterdir())


def test_two_processes_have_the_gradient_of_one(folder: Path) -> None:
    """Of the same global batch, with frozen batch norms; a batch of 9 is shared as 5 and 4."""
    recipes = [str(folder / f"{task}.toml") for task in ("binary", "multiclass")]
    for out in ("1", "2"):
        (folder / out).mkdir()
    run(2, str(Path(one_step.__file__)), "data", "2", *recipes, folder=folder)
    one_step.main(str(folder / "data"), str(folder / "1"), *recipes)
    for task in ("binary", "multiclass"):
        one, two = (load_file(folder / count / f"{task}.safetensors") for count in ("1", "2"))
        assert one.keys() == two.keys()
        assert one["contracting.0.0.weight"].abs().max() > 1e-4
        for name, gradient in one.items():
            torch.testing.assert_close(two[name], gradient, atol=1e-5, rtol=0)


def test_two_processes_validate_one_network_each_picture_once(tmp_path: Path) -> None:
    code = """
import numpy as np, torch
from configs import config_for
from one_step import threads_of_a_group
from torch.nn.parallel import DistributedDataParallel
from unetseg import ConfusionMatrix
from unetseg.fitting import distributed
from unetseg.fitting.lock import held

def stopped():
    network = DistributedDataParallel(torch.nn.Linear(1, 1))
    network(torch.ones(1, 1)).sum().backward()
    assert threads_of_a_group()
    raise ValueError("stopped")

try:
    with distributed.processes(torch.device("cpu")):
        norm = torch.nn.BatchNorm2d(2)
        norm.running_mean += 1 + distributed.rank()  # of its own share of the pictures
        distributed.same_buffers(norm)
        assert norm.running_mean.tolist() == [1, 1], norm.running_mean
        groups, config = {}, config_for("binary")
        for number in distributed.share(range(5)):  # not padded to 6
            labels = np.full((1, 1, 10 ** number), number % 2, np.uint8)
            groups.setdefault(f"g{number % 3}", ConfusionMatrix(config)).update(labels, labels)
        found = distributed.merged(groups, config)
        counts = {name: int(matrix.counts.sum()) for name, matrix in found.items()}
        assert counts == {"g0": 1001, "g1": 10010, "g2": 100}
        stopped()
except ValueError as error:
    assert str(error) == "stopped"
    assert not threads_of_a_group(), "the group lives on in the frames of the error"
else:
    raise AssertionError("nothing was raised")
"""
    environment = ENVIRONMENT | {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}:{ROOT / 'tests' / 'fitting'}"}
    command = [*TORCHRUN, "2", "--no-python", sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]


def test_a_run_in_two_processes_ends_as_good_as_one(folder: Path) -> None:
    """Over six seeds they differed by at most 0.009 (by up to 0.12 in a run too short and steep to settle)."""
    script = str(ROOT / "training" / "train.py")
    common = (script, "binary.toml", "--data", "more", "--device", "cpu")
    run_cold(*common, "--run-dir", "two", folder=folder)
    run(1, *common, "--run-dir", "one", folder=folder)
    scores = {}
    for name in ("one", "two"):
        with (folder / name / "metrics.csv").open(newline="") as file:
            assert [row["epoch"] for row in csv.DictReader(file)] == [str(i) for i in range(1, 11)]
        scores[name] = json.loads((folder / name / "checkpoint" / "scores.json").read_text())["val"]
    assert scores["one"]["mean_group_dice"] > 0.5
    assert scores["two"]["mean_group_dice"] == pytest.approx(scores["one"]["mean_group_dice"], abs=0.02)
    card = (folder / "two" / "checkpoint" / "README.md").read_text()
    assert "2 processes" in card


def test_a_cross_validation_in_two_processes_comes_to_its_end(folder: Path) -> None:
    script = str(ROOT / "training" / "train.py")
    short = ("--train.epochs", "1", "--folds", "2", "--run-dir", "folds")
    run(2, script, "binary.toml", "--data", "data", "--device", "cpu", *short, folder=folder)
    summary = json.loads((folder / "folds" / "cross_validation.json").read_text())
    assert len(summary["folds"]) == 2
    assert (folder / "folds" / "checkpoint" / "calibration.json").is_file()


def test_processes_that_are_stopped_together_go_on_together(folder: Path) -> None:
    """Ctrl-C reaches torchrun and its processes alike; what they resume ends with the bytes of an uninterrupted run."""
    script = str(ROOT / "training" / "train.py")
    short = ("binary.toml", "--data", "data", "--device", "cpu", "--train.epochs", "6")
    run(2, script, *short, "--run-dir", "whole", folder=folder)
    stopped = (script, *short, "--run-dir", "stopped")
    cold = [*TORCHRUN, "2", *stopped]
    with subprocess.Popen(
        cold, cwd=folder, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stderr is not None
        said = ""
        while "epoch 3/" not in said:
            line = process.stderr.readline()
            assert line, said
            said += line
        os.killpg(process.pid, signal.SIGINT)
        said += process.communicate()[1]
    assert "go on with --resume" in said
    assert process.returncode != 0
    run(2, *stopped, "--resume", folder=folder)
    weights = [(folder / name / "checkpoint" / "model.safetensors").read_bytes() for name in ("stopped", "whole")]
    assert weights[0] == weights[1]


def test_more_processes_than_crops_in_a_batch_are_refused(folder: Path) -> None:
    script = str(ROOT / "training" / "train.py")
    arguments = (script, "binary.toml", "--data", "data", "--run-dir", "many", "--train.batch_size", "1")
    for done in warm.torchrun(2, *arguments, cwd=folder, env=ENVIRONMENT):
        assert done.returncode != 0
        assert "2 processes can't share a batch of 1" in done.stderr


def test_alone_everything_is_ones_own() -> None:
    x = torch.ones(3, requires_grad=True)
    assert distributed.total(x) is x
    assert (distributed.rank(), distributed.count()) == (0, 1)
    assert distributed.share([1, 2, 3]) == [1, 2, 3]
    assert [distributed.any_of_them(flag, torch.device("cpu")) for flag in (True, False)] == [True, False]
    groups: dict[str, ConfusionMatrix] = {}
    assert distributed.merged(groups, None) is groups  # type: ignore[arg-type]
