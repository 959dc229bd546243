"""One run at a time in a run folder, whatever becomes of its process."""

import logging
import os
import platform
import signal
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
import torch
from clients import forkserver

from unetseg.fitting import lock
from unetseg.fitting.lock import RUNNING, held

CPU = torch.device("cpu")


def hold(run_dir: Path, connection: Connection) -> None:
    """What a process of its own does: hold the folder, say so, and end as it is told."""
    with held(run_dir, CPU):
        connection.send(os.getpid())
        if connection.recv() == "an error":
            raise ValueError("an error")


def holder(run_dir: Path) -> tuple[BaseProcess, Connection, int]:
    here, there = forkserver.Pipe()
    process = forkserver.Process(target=hold, args=(run_dir, there))
    process.start()
    return process, here, here.recv()


def test_a_folder_that_a_live_process_has_is_refused_and_free_when_that_ends(tmp_path: Path) -> None:
    run = tmp_path / "deep" / "run"
    for way in ("its end", "an error", signal.SIGINT):
        process, connection, pid = holder(run)
        with pytest.raises(
            ValueError, match=rf"^{run} is being trained in by process {pid} on {platform.node()}; wait [^\n]*$"
        ):
            held(run, CPU).__enter__()
        if isinstance(way, str):
            connection.send(way)
        else:
            os.kill(pid, way)
        process.join()
        assert not run.exists()


def test_what_a_killed_process_left_is_taken_over_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    process, _, pid = holder(tmp_path)
    os.kill(pid, signal.SIGKILL)
    process.join()
    assert (tmp_path / RUNNING).exists()
    with caplog.at_level(logging.WARNING), held(tmp_path, CPU):
        assert caplog.messages == [
            f"note: {tmp_path} is taken over from process {pid} on {platform.node()}, which ended in the middle"
        ]
        assert (tmp_path / RUNNING).read_text() == f"process {os.getpid()} on {platform.node()}\n"
    assert not (tmp_path / RUNNING).exists()


def test_a_lock_that_the_workers_of_a_killed_process_still_have_is_waited_for(tmp_path: Path) -> None:
    """Processes that were forked from it have its open file, and end a little later."""
    process, _, pid = holder(tmp_path)
    os.kill(pid, signal.SIGSTOP)  # what it has stays locked, as by a worker
    gone = forkserver.Process(target=os.getpid)
    gone.start()
    gone.join()
    (tmp_path / RUNNING).write_text(f"process {gone.pid} on {platform.node()}\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lock, "GONE_WITHIN", 0.0)
        with pytest.raises(ValueError, match="is being trained in by process"):
            held(tmp_path, CPU).__enter__()
    killer = forkserver.Process(target=os.kill, args=(pid, signal.SIGKILL))
    killer.start()
    with held(tmp_path, CPU):
        pass
    killer.join()
    process.join()


def test_what_a_process_of_another_machine_left_is_asked_about(tmp_path: Path) -> None:
    text = "process 1 on a.far.host\n"
    (tmp_path / RUNNING).write_text(text)
    with pytest.raises(
        ValueError, match=r"by process 1 on a\.far\.host, and whether [^\n]*; if it has, remove "
    ) as told:
        held(tmp_path, CPU).__enter__()
    assert str(tmp_path / RUNNING) in str(told.value)
    assert (tmp_path / RUNNING).read_text() == text
    (tmp_path / RUNNING).unlink()  # as it says
    with held(tmp_path, CPU):
        pass


@pytest.mark.parametrize("text", ["", "process", "\0\0\0", "words\nand more"])
def test_what_names_no_process_is_no_lock(tmp_path: Path, text: str) -> None:
    """As where the power failed while it was written."""
    (tmp_path / RUNNING).write_text(text)
    with held(tmp_path, CPU):
        assert (tmp_path / RUNNING).read_text() == f"process {os.getpid()} on {platform.node()}\n"


def test_a_folder_that_can_not_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=rf"^{tmp_path}/file/run can't be written \(Not a directory\); name another"):
        held(tmp_path / "file" / "run", CPU).__enter__()
