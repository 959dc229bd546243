import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
import warm
from annotated_folders import yolo
from PIL import Image
from safetensors import safe_open
from scripts import TRAINING, load

from unetseg import hub
from unetseg.__main__ import main
from unetseg.fitting import Recipe, fit
from unetseg.fitting.lock import held
from unetseg.samples import write_samples

SCRIPT = TRAINING / "train.py"
# -I: the package is found without being installed, named in PYTHONPATH or lying in the working directory
COMMAND = [sys.executable, "-I", "-W", "error", str(SCRIPT)]
# one thread, so that two runs add numbers in the same order
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "PATH": ""}
RECIPE = """
[data]
task = "binary"
classes = ["liver"]
background = "background"
palette = ["#000000", "#e4572e"]
channels = ["gray"]
mask_values = { 0 = "background", 255 = "liver" }

[model]
widths = [4, 8]
working_size = 32

[augment]
rotate = 20
noise = 0.05

[train]
epochs = 4
batch_size = 2
crop = 16
learning_rate = 1e-2
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory with a recipe and data: 20 pictures for training, in 4 crops each, so 40 steps an epoch."""
    folder = tmp_path_factory.mktemp("train")
    write_samples(folder / "data", "ct", count=25, size=32)
    (folder / "tiny.toml").write_text(RECIPE)
    return folder


def start(folder: Path, *arguments: str) -> warm.Process:
    return warm.start(str(SCRIPT), *arguments, cwd=folder, env=ENVIRONMENT)


def train(folder: Path, *arguments: str) -> tuple[int, list[str]]:
    """Exit code and lines of stderr, of a process as a user starts it."""
    done = subprocess.run(
        [*COMMAND, *arguments], cwd=folder, env=ENVIRONMENT, capture_output=True, encoding="utf-8", check=False
    )
    return done.returncode, done.stderr.splitlines()


def wait_for(process: warm.Process | subprocess.Popen[str], pattern: str) -> None:
    """Read the progress bar until it shows a pattern."""
    assert process.stderr is not None
    seen = ""
    while not re.search(pattern, seen):
        character = process.stderr.read(1)
        assert character, seen
        seen += character


@pytest.fixture(scope="module")
def command() -> ModuleType:
    """training/train.py as a module, where a process of its own would show nothing more."""
    return load("train")


def test_a_run_that_is_stopped_killed_and_resumed_ends_with_the_bytes_of_an_uninterrupted_one(
    command: ModuleType, folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """In a working directory of its own, by relative paths, with the run folder named by the recipe."""
    tiny = ("tiny.toml", "--data", "data")
    run, whole = folder / "runs" / "tiny", folder / "whole"

    for number, epoch, resume in ((signal.SIGTERM, 1, ()), (signal.SIGINT, 2, ("--resume",))):
        with start(folder, *tiny, *resume) as process:
            wait_for(process, rf"epoch {epoch}/4: +[1-9]\d?%")
            process.send_signal(number)
            _, errors = process.communicate()
        assert process.returncode == 130
        last = errors.splitlines()[-1]
        assert re.fullmatch(r"stopped at step \d+ of 160; go on with --resume", last)
        assert not (run / "checkpoint" / "scores.json").exists()

    with start(folder, *tiny, "--resume") as process:
        wait_for(process, r"epoch 3/4: +[1-9]\d?%")
        with monkeypatch.context() as patch:
            patch.chdir(folder)
            assert command.main([*tiny, "--resume"]) == 1  # it is running
        assert re.match(r"error: runs/tiny is being trained in by process \d+ on ", caplog.messages[-1])
        process.kill()
    assert process.returncode == -signal.SIGKILL
    with safe_open(run / "state.safetensors", framework="pt") as state:
        assert json.loads(state.metadata()["position"])["epoch"] == 2
    hub.load(run / "checkpoint")
    with (run / "metrics.csv").open(newline="") as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["1", "2"]

    code, lines = train(folder, *tiny, "--resume")
    assert code == 0
    assert f"checkpoint: {Path('runs/tiny/checkpoint')}" in lines
    monkeypatch.chdir(folder)
    assert command.main([*tiny, "--run-dir", "whole"]) == 0
    for name in ("model.safetensors", "config.json", "scores.json", "split.json"):
        assert (run / "checkpoint" / name).read_bytes() == (whole / "checkpoint" / name).read_bytes()
    assert sorted(path.name for path in run.iterdir()) == sorted(path.name for path in whole.iterdir())


def test_without_arguments_it_trains_on_samples_that_it_generates(
    command: ModuleType, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The recipe is a smaller one than that of samples.toml; all else is as a newcomer's first run."""
    monkeypatch.chdir(tmp_path)
    recipe = tmp_path / "samples.toml"
    recipe.write_text(RECIPE.replace("epochs = 4", "epochs = 1").replace("crop = 16", "crop = 32"))
    assert command.SAMPLES.is_file()
    monkeypatch.setattr(command, "SAMPLES", recipe)
    assert command.main([]) == 0
    assert len(list((tmp_path / "runs" / "samples" / "data" / "images").iterdir())) == 160
    config, _ = hub.load(tmp_path / "runs" / "samples" / "checkpoint")
    assert config.classes == ("liver",)


def test_a_full_disk_is_told_and_the_last_good_state_stays(folder: Path, tmp_path: Path) -> None:
    """A limit on the size of files, below that of the state, is what a full disk looks like to a process."""
    tiny = ("tiny.toml", "--data", str(folder / "data"), "--run-dir", str(tmp_path / "run"), "--train.epochs")
    shutil.copy(folder / "tiny.toml", tmp_path)
    with start(tmp_path, *tiny, "4") as process:
        wait_for(process, r"epoch 2/4: +[1-9]\d?%")
        process.send_signal(signal.SIGTERM)
        process.communicate()
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    room = (tmp_path / "run" / "state.safetensors").stat().st_size // 2
    limited = "import resource, runpy, sys; resource.setrlimit(resource.RLIMIT_FSIZE, ({0}, {0})); sys.argv = {1}; "
    limited += "runpy.run_path(sys.argv[0], run_name='__main__')"
    arguments = [str(SCRIPT), *tiny, "4", "--resume", "--train.save_minutes", "1e-9"]
    done = subprocess.run(
        [*COMMAND[:-1], "-c", limited.format(room, arguments)],
        cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("error: no room to write")
    assert "state.safetensors" in last
    assert {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()} == before
    with start(tmp_path, *tiny, "4", "--resume") as process:
        process.communicate()
    assert process.returncode == 0


def test_every_field_of_a_recipe_is_an_option(
    command: ModuleType, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    shutil.copy(folder / "tiny.toml", tmp_path)
    given = (
        "--train.epochs",
        "1",
        "--model.widths",
        "[4, 4]",
        "--augment.flip",
        '["vertical"]',
        "--train.keep",
        "last",
    )
    arguments = ["tiny.toml", "--data", str(folder / "data"), *given]
    assert command.main(arguments) == 0
    config, _ = hub.load(tmp_path / "runs" / "tiny" / "checkpoint")
    assert config.widths == (4, 4)
    with (tmp_path / "runs" / "tiny" / "metrics.csv").open(newline="") as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["1"]
    with pytest.raises(SystemExit):
        command.main(["--help"])
    told = capsys.readouterr().out
    for section, part in Recipe.sections().items():
        assert all(f"--{section}.{field} VALUE" in told for field in part.model_fields)


def test_a_run_that_is_there_keeps_its_recipe(
    command: ModuleType, folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("state.safetensors", "recipe.toml"):
        (tmp_path / name).write_text("of the run")
    assert command.main([str(folder / "data"), "--run-dir", str(tmp_path)]) == 1
    assert "holds a run already" in caplog.text
    assert (tmp_path / "recipe.toml").read_text() == "of the run"
    assert command.main([str(folder / "data"), "--run-dir", str(tmp_path / "none"), "--resume"]) == 1
    assert "nothing to resume" in caplog.text


def test_folds_come_before_the_run_and_are_summed_up(
    command: ModuleType, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(folder / "tiny.toml", tmp_path)
    arguments = ["tiny.toml", "--data", str(folder / "data"), "--folds", "2", "--train.epochs", "1"]
    assert command.main(arguments) == 0
    run = tmp_path / "runs" / "tiny"
    summary = json.loads((run / "cross_validation.json").read_text())
    held_out = [set(fold["groups"]) for fold in summary["folds"]]
    assert len(held_out) == 2
    assert held_out[0].isdisjoint(held_out[1])
    assert len(held_out[0] | held_out[1]) == 25
    values = [fold["accuracy"] for fold in summary["folds"]]
    assert summary["accuracy"]["mean"] == pytest.approx(sum(values) / 2)
    for number, groups in enumerate(held_out, start=1):
        split = json.loads((run / "folds" / str(number) / "checkpoint" / "split.json").read_text())
        assert set(split["val"]) == groups
    assert "out-of-fold predictions of 2 checkpoints" in (run / "checkpoint" / "calibration.json").read_text()
    without = [argument for argument in arguments if argument not in {"--folds", "2"}]
    assert command.main([*without, "--resume"]) == 1  # or calibration would be fitted anew, on validation
    assert "was begun with --folds; give --folds with the same number beside --resume" in caplog.text
    (run / "state.safetensors").unlink()  # as while folds are trained
    assert command.main(arguments) == 1
    assert "holds a run already; go on with --resume" in caplog.text


@pytest.mark.parametrize("resume", [[], ["--resume"]])
def test_a_run_that_goes_on_elsewhere_is_neither_resumed_nor_replaced(
    resume: list[str], command: ModuleType, folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "recipe.toml").write_text("as it was")
    (tmp_path / "state.safetensors").touch()
    with held(tmp_path, torch.device("cpu")):
        assert command.main([str(folder / "data"), "--run-dir", str(tmp_path), *resume]) == 1
    assert re.search(r"is being trained in by process \d+ on .*; wait until that ends, or name another", caplog.text)
    assert (tmp_path / "recipe.toml").read_text() == "as it was"


def test_ctrl_c_saves_also_where_workers_are_processes_of_their_own_making(folder: Path, tmp_path: Path) -> None:
    """Which is so on macOS and Windows, and on Linux from Python 3.14 on; a terminal sends the signal to them too."""
    script = (
        "import multiprocessing, runpy, sys; sys.argv = sys.argv[1:]; multiprocessing.set_start_method('forkserver')"
    )
    (tmp_path / "main.py").write_text(
        f"if __name__ == '__main__':\n    {script}\n    runpy.run_path(sys.argv[0], run_name='__main__')\n"
    )
    arguments = [str(folder / "tiny.toml"), "--data", str(folder / "data"), "--run-dir", "run", "--train.workers", "1"]
    with subprocess.Popen(
        [sys.executable, "main.py", str(SCRIPT), *arguments, "--train.epochs", "20"],
        cwd=tmp_path, env=ENVIRONMENT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, encoding="utf-8", errors="replace", start_new_session=True,
    ) as process:  # fmt: skip
        wait_for(process, r"epoch 1/20: +[1-9]\d?%")
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate()
    assert process.returncode == 130, errors
    assert "go on with --resume" in errors
    assert (tmp_path / "run" / "state.safetensors").is_file()


def test_a_second_run_starts_from_the_checkpoint_that_init_names(
    command: ModuleType, folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    arguments = [str(folder / "tiny.toml"), "--data", str(folder / "data"), "--train.epochs", "1", "--run-dir"]
    assert command.main([*arguments, str(tmp_path / "1")]) == 0
    assert command.main([*arguments, str(tmp_path / "2"), "--init", str(tmp_path / "1" / "checkpoint")]) == 0
    cards = [(tmp_path / run / "checkpoint" / "README.md").read_text() for run in "12"]
    began = "Training began with the weights of 1/checkpoint (SHA-256 "  # of which run, for each calls its own so
    assert [began in card for card in cards] == [False, True]
    again = [*arguments, str(tmp_path / "2"), "--resume", "--init"]
    assert command.main([*again, str(tmp_path / "gone")]) == 0  # the state has its weights
    again[-3] = str(tmp_path / "1")
    assert command.main([*again, str(tmp_path / "2" / "checkpoint")]) == 1
    assert "was begun without --init; leave it out to go on" in caplog.text
    assert command.main([*arguments, str(tmp_path / "3"), "--init", str(tmp_path / "nowhere")]) == 1
    assert f"no checkpoint '{tmp_path / 'nowhere'}'" in caplog.text


def test_folds_that_begin_with_weights_that_know_their_pictures_say_so(
    command: ModuleType, folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    arguments = [str(folder / "tiny.toml"), "--data", str(folder / "data"), "--train.epochs", "1", "--run-dir"]
    assert command.main([*arguments, str(tmp_path / "1")]) == 0
    known = sum(map(len, json.loads((tmp_path / "1/checkpoint/split.json").read_text())["train"].values()))
    folds = ["--init", str(tmp_path / "1/checkpoint"), "--folds", "2", "--train.seed", "1"]  # another val
    assert command.main([*arguments, str(tmp_path / "2"), *folds]) == 0
    card = (tmp_path / "2/checkpoint/README.md").read_text()
    assert f"which were trained on {known} of the pictures scored here" in card
    assert "without the picture's group, from weights of which *Training* tells." in card


def test_without_validation_all_is_trained_on_and_the_folds_say_how_good_it_is(
    command: ModuleType, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(folder / "tiny.toml", tmp_path)
    arguments = ["tiny.toml", "--data", str(folder / "data"), "--data.val", "[]", "--train.epochs", "2"]
    assert command.main(arguments) == 1
    assert "the val split is empty (25 pictures in all); add pictures or groups, or cross-validate" in caplog.text
    assert command.main([*arguments, "--folds", "2"]) == 0
    run = tmp_path / "runs" / "tiny"
    split, scores = (json.loads((run / "checkpoint" / f"{name}.json").read_text()) for name in ("split", "scores"))
    assert (len(split["train"]), split["val"]) == (25, {})
    assert scores.keys() == {"folds"}
    assert scores["folds"]["pictures"] == 25
    assert "cross-validation, 25 pictures of 25 groups" in (run / "checkpoint" / "README.md").read_text()
    assert (run / "curves.png").is_file()
    assert command.main([*arguments, "--folds", "2", "--resume"]) == 0  # a finished run is written again


def test_a_fold_without_a_class_is_told_before_the_first_is_trained(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "data", tmp_path / "data")
    masks = sorted((tmp_path / "data" / "masks").iterdir())
    for path in masks[1:]:
        Image.new("L", (32, 32)).save(path)
    with pytest.raises(ValueError, match=r"fold \d of 2 would train without a pixel of 'liver'"):
        fit(Recipe.from_file(folder / "tiny.toml"), tmp_path / "data", tmp_path / "run", folds=2)
    assert not (tmp_path / "run").exists()


def test_a_cross_validation_that_was_stopped_goes_on(
    command: ModuleType, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(folder / "tiny.toml", tmp_path)
    arguments = ["tiny.toml", "--data", str(folder / "data"), "--folds", "2", "--train.epochs", "2"]
    with start(tmp_path, *arguments) as process:
        wait_for(process, r"epoch 2/2: +[1-9]\d?%[^\r]*dice=\d\.\d{3}, left=\d+min, loss=\d\.\d{3}")
        process.send_signal(signal.SIGTERM)
        process.communicate()
    assert process.returncode == 130
    monkeypatch.chdir(tmp_path)
    assert command.main([*arguments, "--resume"]) == 0
    assert (tmp_path / "runs" / "tiny" / "checkpoint" / "scores.json").is_file()
    assert len(json.loads((tmp_path / "runs" / "tiny" / "cross_validation.json").read_text())["folds"]) == 2


def test_ctrl_c_says_how_to_go_on_when_a_fold_has_begun(
    command: ModuleType, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "fit", interrupted)
    caplog.set_level("INFO")
    arguments = [str(folder / "tiny.toml"), "--data", str(folder / "data"), "--run-dir", str(tmp_path / "run")]
    assert command.main([*arguments, "--folds", "2"]) == 130
    assert caplog.messages[-1] == "stopped before there was anything to keep"
    state = tmp_path / "run" / "folds" / "1" / "state.safetensors"
    state.parent.mkdir(parents=True)
    state.touch()
    assert command.main([*arguments, "--folds", "2", "--resume"]) == 130
    assert caplog.messages[-1] == "stopped; go on with --resume"


def test_tensorboard_that_is_not_installed_is_told_before_the_first_fold(
    command: ModuleType, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    run = tmp_path / "run"
    arguments = [str(folder / "tiny.toml"), "--data", str(folder / "data"), "--run-dir", str(run)]
    assert command.main([*arguments, "--folds", "2", "--tensorboard"]) == 1
    assert "pip install tensorboard" in caplog.text
    assert not list(run.rglob("*.safetensors"))


def test_an_error_is_one_line_and_exit_code_1(folder: Path) -> None:
    """Also while a progress bar is open."""
    (folder / "wild.toml").write_text(RECIPE.replace("1e-2", "1e12"))
    code, lines = train(folder, "wild.toml", "--data", "data")
    assert code == 1
    assert lines[-1].startswith("error: step 0 took the weights out of range")
    assert "Traceback" not in "".join(lines)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("tiny.toml", "--data", "nowhere"), "no folder"),
        (("tiny.toml", "--data", "data", "--resume"), "nothing to resume"),
        (("tiny.toml", "--data", "data", "--run-dir", "tiny.toml/run"), "tiny.toml"),
        (("tiny.toml", "--data", "data", "--device", "abacus"), "abacus"),
        (("tiny.toml", "--data", "data", "--device", "cuda:99"), "cuda:99"),
    ],
)
def test_what_does_not_fit_is_an_error_that_names_it(
    command: ModuleType, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...],
    words: str, caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    shutil.copytree(folder / "data", tmp_path / "data")
    shutil.copy(folder / "tiny.toml", tmp_path)
    monkeypatch.chdir(tmp_path)
    assert command.main(list(arguments)) == 1
    (message,) = [record.message for record in caplog.records if record.levelname == "ERROR"]
    assert message.startswith("error: ")
    assert words in message
    assert "\n" not in message
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "tiny.toml"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["tiny.toml"], "a recipe needs --data"),
        (["nowhere", "--data", "data"], "nowhere is not there; give a folder of images and masks, or a recipe"),
        (["--data", "data"], "--data needs a recipe"),
        (["--epochs", "3"], "--epochs"),
    ],
)
def test_a_wrong_usage_is_told_with_exit_code_2(
    command: ModuleType, folder: Path, arguments: list[str], words: str, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(folder)
    with pytest.raises(SystemExit) as caught:
        command.main(arguments)
    assert caught.value.code == 2
    assert words in capsys.readouterr().err


def test_a_folder_of_annotations_trains_to_a_checkpoint_that_is_scored_by_its_recipe(
    command: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    yolo(tmp_path / "pets")
    short = ["--train.epochs", "1", "--model.widths", "[4, 8]", "--train.validate_every", "1"]
    assert command.main(["pets", *short]) == 0
    run = tmp_path / "runs" / "pets"
    assert (run / "checkpoint" / "model.safetensors").is_file()
    assert (run / "report.html").is_file()
    told = ["--recipe", str(run / "recipe.toml"), "--data", "pets", "--split", "val", "--device", "cpu"]
    assert main(["evaluate", str(run / "checkpoint"), *told]) == 0
