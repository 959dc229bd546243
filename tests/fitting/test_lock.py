import logging
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from unetseg.fitting.lock import HOLDER, alone, refuse_running

HOLD = """
import pathlib, sys, time
from unetseg.fitting.lock import alone
with alone(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def other(tmp_path: Path) -> subprocess.Popen[str]:
    """Another process that holds the folder."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_folder_in_use_is_refused_until_its_process_is_killed_and_what_it_left_is_told(
    other: subprocess.Popen[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    try:
        expected = rf"in use by process {other.pid} on {socket.gethostname()}, which trains in it; wait, or name"
        with pytest.raises(ValueError, match=expected), alone(tmp_path):
            pass
        with pytest.raises(ValueError, match=expected):
            refuse_running(tmp_path)
        assert (tmp_path / HOLDER).exists()
    finally:
        other.kill()
        other.communicate()
    refuse_running(tmp_path)
    with caplog.at_level(logging.INFO), alone(tmp_path):
        assert f"was left by process {other.pid}, which is gone" in caplog.text
        assert (tmp_path / HOLDER).exists()
    assert not (tmp_path / HOLDER).exists()


def test_a_folder_that_another_host_may_use_is_asked_about(tmp_path: Path) -> None:
    (tmp_path / HOLDER).write_text("process 7 on elsewhere\n")
    asked = r"process 7 on elsewhere.* can't be told from .*: remove .*running.txt"
    with pytest.raises(ValueError, match=asked), alone(tmp_path):
        pass
    (tmp_path / HOLDER).unlink()
    with alone(tmp_path):
        pass


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_it_is_free_after_an_error(error: type[BaseException], tmp_path: Path) -> None:
    with pytest.raises(error), alone(tmp_path):
        raise error
    assert not (tmp_path / HOLDER).exists()
    with alone(tmp_path):
        pass
