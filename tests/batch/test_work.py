"""Many inputs in one command: what is done, what is skipped, what is kept, and what is left when it is stopped."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import resource
import shutil
import signal
import subprocess
import sys
import termios
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dicom_files
import numpy as np
import PIL.Image
import pytest
import torch
import warm
from configs import config_for, network_for

from unetseg import Image, Predictor, Segmentation, hub
from unetseg.__main__ import main
from unetseg.batch import Job, Outcome, Output, Share, Task, Worker, run
from unetseg.batch.record import Journal
from unetseg.formats import Reading
from unetseg.predictor import Precision
from unetseg.samples import draw_sample


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = config_for("binary", window=(-200, 200), orientation="LPS")
    return network_for(config).save_pretrained(tmp_path_factory.mktemp("models") / "ct")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a.png, p1/a.png, p1/b.png and notes.txt."""
    for seed, name in enumerate(("a.png", "p1/a.png", "p1/b.png")):
        draw(tmp_path / "in" / name, seed)
    (tmp_path / "in" / "notes.txt").write_text("none")
    return tmp_path / "in"


def draw(path: Path, seed: int, size: int = 32) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(draw_sample("ct", seed, size)[0]).save(path)


def predict(*words: object) -> int:
    return main(["predict", *map(str, words), "--device", "cpu"])


def said(caplog: pytest.LogCaptureFixture) -> str:
    """All that was logged since the last time."""
    text = "\n".join(record.getMessage() for record in caplog.records)
    caplog.clear()
    return text


def files(out: Path) -> dict[str, bytes]:
    """Everything in a folder but the journals, hidden files too."""
    found = (path for path in out.rglob("*") if path.is_file() and path.suffix != ".jsonl")
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in found}


def lines(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for path in sorted(out.glob("journal*")) for line in path.read_text().splitlines()]


# --- done, skipped, done again ----------------------------------------------------------------------------------


def test_a_folder_is_mirrored_and_each_input_has_its_line(
    model: Path, folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    out = tmp_path / "out"
    assert predict(model, folder, "--out", out) == 0
    assert files(out).keys() == {"a_labels.png", "p1/a_labels.png", "p1/b_labels.png"}
    own = Predictor.from_pretrained(model, device="cpu")
    for name in ("a", "p1/a", "p1/b"):
        labels = np.asarray(PIL.Image.open(out / f"{name}_labels.png"))
        np.testing.assert_array_equal(labels, own(folder / f"{name}.png").labels()[0])
    assert {line["input"]: list(line["outputs"]) for line in lines(out)} == {
        f"{name}.png": [f"{name}_labels.png"] for name in ("a", "p1/a", "p1/b")
    }
    text = said(caplog)
    assert "left out: files that are no pictures (1)" in text
    assert text.endswith("done 3")
    assert str(tmp_path) not in json.dumps(lines(out))


def test_the_same_command_does_what_is_missing_or_changed(
    model: Path, folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    out = tmp_path / "out"
    command = (model, folder, "--out", out)

    def done_again(*words: object) -> set[str]:
        """What this command wrote."""
        before = len(lines(out))
        assert predict(*command, *words) == 0
        return {line["input"] for line in lines(out)[before:]}

    assert len(done_again()) == 3
    caplog.clear()
    assert done_again() == set()
    assert said(caplog).endswith("done before 3")
    (out / "a_labels.png").unlink()
    assert done_again() == {"a.png"}
    draw(folder / "p1" / "b.png", 7)
    draw(folder / "c.png", 8)
    assert done_again() == {"p1/b.png", "c.png"}
    assert done_again("--threshold", "0.3") == {"a.png", "p1/a.png", "p1/b.png", "c.png"}
    assert done_again("--threshold", "0.3", "--report") == {"a.png", "p1/a.png", "p1/b.png", "c.png"}
    assert len(files(out)) == 8
    other = network_for(config_for("binary", window=(-150, 200), orientation="LPS")).save_pretrained(tmp_path / "m")
    command = (other, folder, "--out", out)
    assert len(done_again("--threshold", "0.3", "--report")) == 4
    shutil.copytree(other, tmp_path / "elsewhere" / "m")
    shutil.copytree(folder, tmp_path / "elsewhere" / "in")
    command = (tmp_path / "elsewhere" / "m", tmp_path / "elsewhere" / "in", "--out", out)
    assert done_again("--threshold", "0.3", "--report") == set()


def test_what_the_journal_does_not_know_is_not_replaced(
    model: Path, folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "a_labels.png").write_bytes(b"mine")
    assert predict(model, folder, "--out", out) == 1
    assert files(out)["a_labels.png"] == b"mine"
    text = said(caplog)
    sentence = f"{out}/a_labels.png is there already; name another folder with --out, or replace it with --overwrite"
    assert f"error: {sentence}" in text
    assert text.endswith(f"done 2, failed 1\nfailed: a.png: {sentence}")
    assert predict(model, folder, "--out", out, "--overwrite") == 0
    assert files(out)["a_labels.png"] != b"mine"
    corrected = PIL.Image.new("L", (32, 32), 1)
    corrected.save(out / "a_labels.png")
    drawn = files(out)["a_labels.png"]
    assert predict(model, folder, "--out", out) == 0  # done, whatever became of it
    assert predict(model, folder, "--out", out, "--threshold", "0.3") == 1
    assert "a_labels.png is there already and is not what the journal says of this input;" in said(caplog)
    assert files(out)["a_labels.png"] == drawn


def test_options_that_alternate_replace_their_own_results_and_none_becomes_an_input(
    model: Path, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    command = [model, folder, "--out", folder]
    for view in ("labels", "overlay", "labels", "overlay"):
        assert predict(*command, "--view", view) == 0, said(caplog)
    assert "done before 3" in said(caplog)
    results = {name for name in files(folder) if name.endswith(("_labels.png", "_overlay.png"))}
    assert results == {f"{stem}_{view}.png" for stem in ("a", "p1/a", "p1/b") for view in ("labels", "overlay")}
    draw(folder / "a.png", 9)
    assert predict(*command) == 0, "what was written before another view is still its own"


def test_a_journal_that_can_not_be_written_leaves_the_results_that_were_there(
    model: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    assert predict(model, folder, "--out", out) == 0
    before = files(out)
    draw(folder / "a.png", 9)

    def no_room(*_: object) -> None:
        raise OSError("no room to write the journal")

    monkeypatch.setattr(Journal, "add", no_room)
    assert predict(model, folder, "--out", out) == 1
    assert files(out) == before


def test_what_another_command_wrote_meanwhile_is_not_replaced(
    model: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, theirs = tmp_path / "out", b"of another command"
    write = Output.write

    def meanwhile(self: Output, segmentation: Segmentation, place: Path, stem: str) -> list[Path]:
        (out / "a_labels.png").write_bytes(theirs)
        return write(self, segmentation, place, stem)

    monkeypatch.setattr(Output, "write", meanwhile)
    assert predict(model, folder / "a.png", "--out", out) == 1
    assert files(out) == {"a_labels.png": theirs}


def test_numbers_beside_a_header_are_part_of_an_input(tmp_path: Path) -> None:
    (tmp_path / "a.mhd").write_text("ElementDataFile = a.raw")
    (tmp_path / "a.raw").write_bytes(b"1")
    (tmp_path / "b.raw").write_bytes(b"1")
    job = Job(tmp_path / "a.mhd", "a")
    first = job.digest()
    (tmp_path / "b.raw").write_bytes(b"2")
    assert job.digest() == first
    (tmp_path / "a.raw").write_bytes(b"2")
    assert job.digest() != first


def test_two_kinds_of_one_name_are_refused(model: Path, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert predict(model, folder, "--as", "geotiff", "cog") == 1
    assert "two of geotiff, cog would be the same file; take one of them" in said(caplog)


def test_a_picture_of_the_same_name_from_another_folder_replaces_nothing(
    model: Path, folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    out = tmp_path / "out"
    assert predict(model, folder, "--out", out) == 0
    before = files(out)
    draw(tmp_path / "other" / "in" / "a.png", 9)
    assert predict(model, tmp_path / "other" / "in", "--out", out) == 1
    assert "a_labels.png is there already and is not what the journal says of this input;" in said(caplog)
    assert files(out) == before


def test_a_second_file_of_the_same_stem_leaves_the_result_of_the_first(
    model: Path, folder: Path, tmp_path: Path
) -> None:
    assert predict(model, folder, "--out", tmp_path / "out") == 0
    before = files(tmp_path / "out")
    draw(folder / "a.bmp", 5)
    assert predict(model, folder, "--out", tmp_path / "out") == 0
    assert files(tmp_path / "out") == before | {"a.bmp_labels.png": files(tmp_path / "out")["a.bmp_labels.png"]}


def test_the_journal_names_nobody(model: Path, tmp_path: Path) -> None:
    dicom_files.written(tmp_path / "in" / "s", dicom_files.slices(3, shape=(16, 16)))
    assert predict(model, tmp_path / "in", "--out", tmp_path / "out", "--as", "nifti", "--report") == 0
    (line,) = lines(tmp_path / "out")
    assert (line["input"], line["series"]) == ("s", "1.2.3.4")
    for value in dicom_files.PATIENT.values():
        assert not any(part.casefold() in json.dumps(line).casefold() for part in value.split("^"))


def test_damaged_pixels_of_one_of_several_series_are_a_failure(
    model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("a", "b"):
        made = dicom_files.slices(2, shape=(16, 16), SeriesInstanceUID=f"1.2.3.{ord(name)}")
        dicom_files.written(tmp_path / "in" / name, made)
    cut = tmp_path / "in" / "b" / "000.dcm"
    cut.write_bytes(cut.read_bytes()[:-200])
    assert predict(model, tmp_path / "in", "--out", tmp_path / "out") == 1
    assert said(caplog).splitlines()[-2:] == [
        "done 1, failed 1",
        "failed: b (1.2.3.98): 000.dcm in b has pixels that are damaged or cut off; save or download it again",
    ]


def test_series_of_which_none_fits_are_a_failure_but_of_a_shard(model: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        made = dicom_files.slices(2, shape=(16, 16), modality="MR", SeriesInstanceUID=f"1.2.3.{ord(name)}")
        dicom_files.written(tmp_path / "in" / name, made)
    assert predict(model, tmp_path / "in", "--out", tmp_path / "out") == 1
    assert [predict(model, tmp_path / "in", "--out", tmp_path / "out", "--shard", f"{n}/2") for n in (1, 2)] == [0, 0]


# --- several commands, and one that is stopped ------------------------------------------------------------------


def test_shards_together_do_all_and_know_of_each_other(model: Path, folder: Path, tmp_path: Path) -> None:
    for number in range(9):
        draw(folder / f"{number}.png", number)
    out = tmp_path / "out"
    for number in (1, 2, 3):
        assert predict(model, folder, "--out", out, "--shard", f"{number}/3") == 0
        assert (out / f"journal-{number}-of-3.jsonl").exists()
    assert Counter(line["input"] for line in lines(out)) == dict.fromkeys((line["input"] for line in lines(out)), 1)
    assert len(files(out)) == 12
    assert predict(model, folder, "--out", out) == 0
    assert not (out / "journal.jsonl").exists()


def test_commands_at_once_tear_nothing(model: Path, folder: Path, tmp_path: Path) -> None:
    for number in range(30):
        draw(folder / f"{number}.png", number)
    command = ("-m", "unetseg", "predict", str(model), "in", "--out", "out")
    with (
        warm.start(*command, cwd=tmp_path, env=os.environ) as one,
        warm.start(*command, cwd=tmp_path, env=os.environ) as two,
    ):
        errors = [process.communicate()[1] for process in (one, two)]
    assert [one.returncode, two.returncode] == [0, 0], errors
    assert len(files(tmp_path / "out")) == 33
    last = {line["input"]: line for line in lines(tmp_path / "out")}
    assert len(last) == 33
    own = Predictor.from_pretrained(model, device="cpu")
    for name in last:
        labels = np.asarray(PIL.Image.open(tmp_path / "out" / f"{name[:-4]}_labels.png"))
        np.testing.assert_array_equal(labels, own(folder / name).labels()[0])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_what_was_stopped_goes_on(model: Path, tmp_path: Path, number: signal.Signals) -> None:
    count = 120
    for seed in range(count):
        draw(tmp_path / "in" / f"{seed}.png", seed)
    command = ("-m", "unetseg", "predict", str(model), "in", "--out", "out")
    journal = tmp_path / "out" / "journal.jsonl"
    with warm.start(*command, cwd=tmp_path, env=os.environ) as process:
        while not journal.exists() or journal.read_bytes().count(b"\n") < 10:
            assert process.returncode is None
            time.sleep(0.01)
        process.send_signal(number)
        _, errors = process.communicate()
    known = {name for line in lines(tmp_path / "out") for name in line["outputs"]}
    assert 10 <= len(known) < count
    there = files(tmp_path / "out")
    if number != signal.SIGKILL:
        assert process.returncode == 130
        assert errors.endswith("stopped; what was written is whole\n")
        assert there.keys() == known
    assert there.keys() - known == {name for name in there if ".tmp" in name}
    done = warm.run(*command, cwd=tmp_path, env=os.environ)
    assert done.returncode == 0, done.stderr
    assert f"done before {len(there.keys() & known)}" in done.stderr
    last = {line["input"]: line for line in lines(tmp_path / "out")}
    assert {name for name in files(tmp_path / "out") if ".tmp" not in name} == {f"{n}_labels.png" for n in range(count)}
    assert len(last) == count


# --- how it runs ------------------------------------------------------------------------------------------------


class Counting:
    """In place of a worker: how many inputs it has at a time, and which it had."""

    def __init__(self) -> None:
        self.stopping, self.lock = threading.Event(), threading.Lock()
        self.now = self.most = 0
        self.had: list[str] = []

    def share(self, count: int) -> Share:
        return Share(2, 1, 1)

    def __call__(self, jobs: Sequence[Job]) -> list[Outcome]:
        (job,) = jobs
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
            self.had.append(job.name)
        time.sleep(0.01 if int(job.name) % 2 else 0.002)
        with self.lock:
            self.now -= 1
        return [Outcome("done", pixels=int(job.name))]


def test_few_inputs_are_held_at_a_time_and_come_in_their_order() -> None:
    worker = Counting()
    jobs = [Job(Path(), str(number)) for number in range(40)]
    came = [(job.name, outcome.pixels) for job, outcome in run(worker, jobs)]  # type: ignore[arg-type]
    assert came == [(str(number), number) for number in range(40)]
    assert worker.most == 3


def test_what_is_not_under_way_is_not_begun_when_it_is_closed() -> None:
    worker = Counting()
    outcomes = run(worker, [Job(Path(), str(number)) for number in range(40)])  # type: ignore[arg-type]
    next(outcomes)
    outcomes.close()
    assert worker.stopping.is_set()
    assert worker.now == 0
    assert len(worker.had) < 10


def test_the_next_input_is_read_while_the_network_has_one(model: Path, folder: Path, tmp_path: Path) -> None:
    worker = Worker(Task(hub.find(model), "cpu", {}, Output(), tmp_path / "out", "journal.jsonl"))
    second_is_read = threading.Event()
    network = worker.predictor

    class Waiting(Predictor):
        def __init__(self) -> None:
            self.__dict__.update(network.__dict__)

        def several(self, images: Sequence[Image], **options: bool) -> list[Segmentation]:
            assert second_is_read.wait(20)
            return super().several(images, **options)

    @dataclass(frozen=True)
    class Read(Job):
        def image(self, reading: Reading) -> Image:
            image = super().image(reading)
            if self.name == "1":
                second_is_read.set()
            return image

    worker.predictor = Waiting()
    jobs = [Read(path, str(number), input=path.name) for number, path in enumerate(sorted(folder.rglob("*.png")))]
    assert [outcome.state for _, outcome in run(worker, jobs)] == ["done"] * 3


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_small_pictures_of_one_shape_have_the_network_together_and_lose_nothing(
    model: Path, tmp_path: Path, precision: Precision
) -> None:
    """Six of one shape, one broken, one of another shape, one too large: their labels are those that each has alone."""
    folder, out = tmp_path / "in", tmp_path / "out"
    for number in range(9):
        draw(folder / f"{number}.png", number, {4: 48, 7: 1040}.get(number, 32))
    (folder / "2.png").write_bytes(b"no picture")
    worker = Worker(Task(hub.find(model), "cpu", {}, Output(), out, "journal.jsonl"))
    worker.predictor = alone = Predictor.from_pretrained(model, device="cpu", precision=precision)
    had: list[list[str]] = []

    class Counted(Predictor):
        def __init__(self) -> None:
            self.__dict__.update(alone.__dict__)

        def several(self, images: Sequence[Image], **options: bool) -> list[Segmentation]:
            had.append([image.name for image in images])
            return super().several(images, **options)

    worker.predictor = Counted()
    jobs = [Job(folder / f"{number}.png", f"{number}", input=f"{number}.png") for number in range(9)]
    outcomes = [outcome for first in range(0, 9, 3) for outcome in worker(jobs[first : first + 3])]
    assert [outcome.state for outcome in outcomes] == ["done"] * 2 + ["failed"] + ["done"] * 6
    assert had == [["0.png", "1.png"], ["3.png"], ["4.png"], ["5.png"], ["6.png"], ["7.png"], ["8.png"]]
    for job in jobs[:2] + jobs[3:]:
        labels = np.asarray(PIL.Image.open(out / f"{job.name}_labels.png"))
        assert (labels == alone(job.path).labels()[0]).all()


def test_one_that_the_network_cannot_take_leaves_those_beside_it(model: Path, folder: Path, tmp_path: Path) -> None:
    worker = Worker(Task(hub.find(model), "cpu", {}, Output(), tmp_path / "out", "journal.jsonl"))
    plain = worker.predictor

    class Short(Predictor):
        def __init__(self) -> None:
            self.__dict__.update(plain.__dict__)

        def several(self, images: Sequence[Image], **options: bool) -> list[Segmentation]:
            if any(image.name == "b.png" for image in images):
                raise RuntimeError("no memory")
            return super().several(images, **options)

    worker.predictor = Short()
    names = ("a.png", "p1/b.png", "p1/a.png")
    outcomes = worker([Job(folder / name, name[:-4], input=name) for name in names])
    assert [outcome.state for outcome in outcomes] == ["done", "failed", "done"]


def test_cores_are_divided_among_inputs(model: Path, tmp_path: Path) -> None:
    worker = Worker(Task(hub.find(model), "cpu", {}, Output(), tmp_path / "out", "journal.jsonl"))
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(6)
        together = worker.predictor.together
        shares = [Share(1, 6, 1), Share(2, 3, 1), Share(3, 2, 1), Share(4, 1, together)]
        assert [worker.share(count) for count in (1, 2, 3, 100)] == shares
    finally:
        torch.set_num_threads(before)


def test_an_input_that_memory_is_too_short_for_leaves_the_others(model: Path, folder: Path, tmp_path: Path) -> None:
    worker = Worker(Task(hub.find(model), "cpu", {}, Output(), tmp_path / "out", "journal.jsonl"))

    class Short(Job):
        def image(self, reading: Reading) -> Image:
            torch.empty(1 << 60)  # torch says that it can't
            raise AssertionError

    jobs = [Short(folder / "a.png", "a", input="a.png"), Job(folder / "p1" / "a.png", "b", input="p1/a.png")]
    (_, failed), (_, done) = run(worker, jobs)
    assert (failed.state, done.state) == ("failed", "done")
    assert failed.why.startswith("a.png could not be segmented (")
    assert len(failed.why.splitlines()) == 1


def test_a_full_disk_leaves_nothing_half_written(model: Path, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    worker = Worker(Task(hub.find(model), "cpu", {}, Output(), out, "journal.jsonl"))
    job = Job(folder / "a.png", "p/a", input="p/a.png")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (30, before[1]))
    try:
        (outcome,) = worker([job])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert outcome.state == "failed"
    assert outcome.why.startswith(f"no room to write {out}/p/a_labels.png (")
    assert files(out) == {}
    assert [outcome.state for outcome in worker([job])] == ["done"]
    assert files(out).keys() == {"p/a_labels.png"}


def test_a_terminal_has_a_bar_that_no_line_breaks(model: Path, folder: Path, tmp_path: Path) -> None:
    (folder / "bad.png").write_text("no picture")
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 120))
    command = [sys.executable, "-m", "unetseg", "predict", str(model), "in", "--out", "out"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=theirs) as process:
        os.close(theirs)
        shown = b""
        with contextlib.suppress(OSError):  # how a terminal ends
            while part := os.read(ours, 1000):
                shown += part
    os.close(ours)
    assert process.returncode == 1
    text = shown.decode()
    assert re.search(r"predicting: .*3/4 \[.*<.*, .*input/s, .* megapixels/s\]", text), text
    lines_shown = [line.rpartition("\r")[2].rstrip() for line in text.replace("\r\n", "\n").split("\n")]
    for name in ("a", "p1/a", "p1/b"):
        assert f"out/{name}_labels.png" in lines_shown
    assert lines_shown[-3] == "done 3, failed 1"
