"""One run at a time in a run folder: two would leave the weights of one and the scores of the other."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import platform
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import torch

from ..files import explained, make_folder
from . import distributed

log = logging.getLogger(__name__)

RUNNING = "running.txt"
"""Of a run folder, while a run is under way: which process has it. It is locked, and the lock ends with the process."""
GONE_WITHIN = 20.0
"""Seconds in which processes that load data notice that the one they load for was killed; they have its lock too."""


@contextlib.contextmanager
def held(run_dir: Path, device: torch.device) -> Iterator[None]:
    """Keep other runs out of a run folder while inside; of several processes that train together the first does it.

    ValueError where another run is under way there, or may be, on another machine. What a process of this machine left
    when it was killed is taken over.
    """
    with contextlib.ExitStack() as stack:
        problem: ValueError | OSError | None = None
        if distributed.rank() == 0:
            try:
                stack.enter_context(_taken(run_dir))
            except (ValueError, OSError) as error:
                problem = error
        if distributed.any_of_them(problem is not None, device):
            raise problem or ValueError(f"{run_dir} can't be trained in, as the first process says")
        yield


def refuse_running(run_dir: Path) -> None:
    """ValueError where a run is under way in a folder, or may be, before anything is written to it."""
    if (run_dir / RUNNING).exists():
        with _taken(run_dir):
            pass


@contextlib.contextmanager
def _taken(run_dir: Path) -> Iterator[None]:
    path, is_new = run_dir / RUNNING, not run_dir.exists()
    make_folder(run_dir)
    try:
        file = _opened(path)
    except OSError as error:
        raise explained(error, run_dir) from None
    try:
        with file:
            file.write(f"process {os.getpid()} on {platform.node()}\n")
            file.flush()
            try:
                yield
            finally:
                if sys.platform != "win32":
                    path.unlink(missing_ok=True)  # before it is let go of: behind, it may be another's
    finally:
        if sys.platform == "win32":
            path.unlink(missing_ok=True)
        if is_new:
            with contextlib.suppress(OSError):  # not empty: the run came to something
                run_dir.rmdir()


def _opened(path: Path) -> IO[str]:
    """The file, locked and empty."""
    until = time.monotonic() + GONE_WITHIN
    while True:
        file = path.open("a+", encoding="utf-8")
        locked = _lock(file)
        file.seek(0)
        process, host = _holder(text := file.read())
        if locked and not (path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat())):
            file.close()  # its holder removed it just now
            continue
        if locked is not False and (not process or (locked and host == platform.node())):
            if process:
                log.warning("note: %s is taken over from %s, which ended in the middle", path.parent, text.strip())
            file.truncate(0)
            return file
        file.close()
        if locked is False and (host != platform.node() or _is_alive(process) or time.monotonic() > until):
            raise ValueError(
                f"{path.parent} is being trained in by {text.strip() or 'another process'}; wait until that ends, or "
                "name another --run-dir"
            )
        if locked is not False:
            raise ValueError(
                f"{path.parent} was last trained in by {text.strip()}, and whether that has ended can't be seen from "
                f"here ({platform.node()}); if it has, remove {path} and start this again, else name another --run-dir"
            )
        time.sleep(0.1)


def _lock(file: IO[str]) -> bool | None:
    """Whether it could be locked; None where the file system has no locks."""
    try:
        if sys.platform == "win32":
            import msvcrt

            file.seek(2**30)  # others may read what lies before
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return False if error.errno in (errno.EWOULDBLOCK, errno.EACCES, errno.EDEADLK) else None
    return True


def _holder(text: str) -> tuple[int, str]:
    """The process that a file names, and its host."""
    match = re.fullmatch(r"process (\d{1,18}) on (.*)\n?", text)
    return (int(match[1]), match[2]) if match else (0, "")


def _is_alive(process: int) -> bool:
    if sys.platform == "win32":  # where no process has the locks of another
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
