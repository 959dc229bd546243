"""One training in a run folder at a time: two would end with the weights of one and the scores of the other."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import filelock

from ..files import explained

LOCK, HOLDER = ".lock", "running.txt"

log = logging.getLogger(__name__)


@contextlib.contextmanager
def alone(run_dir: Path) -> Iterator[None]:
    """Hold the folder while inside; the system lets go of it when the process dies, and what it left is told.

    Raises ValueError where another process of this host trains in it, or one of another host may.
    """
    holder = run_dir / HOLDER
    with _held(run_dir):
        if left := _holder(run_dir):
            process, _, host = left.partition(" on ")
            if host != socket.gethostname():
                raise ValueError(
                    f"{run_dir} is in use by {left}, as {HOLDER} in it says, and whether that still runs can't be told "
                    f"from {socket.gethostname()}: remove {holder} if it does not, or name another --run-dir"
                )
            log.info("%s was left by %s, which is gone", run_dir, process)
        holder.write_text(f"process {os.getpid()} on {socket.gethostname()}\n", encoding="utf-8")
        try:
            yield
        finally:
            holder.unlink(missing_ok=True)


def refuse_running(run_dir: Path) -> None:
    """ValueError where another process of this host trains in the folder."""
    if (run_dir / LOCK).exists():
        with _held(run_dir):
            pass


@contextlib.contextmanager
def _held(run_dir: Path) -> Iterator[None]:
    lock, is_new = filelock.FileLock(run_dir / LOCK), not run_dir.exists()
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except filelock.Timeout:
        who = _holder(run_dir) or "another process"
        raise ValueError(f"{run_dir} is in use by {who}, which trains in it; wait, or name another --run-dir") from None
    except OSError as error:
        raise explained(error, run_dir) from None
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # Windows removes no open file
            (run_dir / LOCK).unlink()
        lock.release()
        if is_new:
            with contextlib.suppress(OSError):  # not empty any more
                run_dir.rmdir()


def _holder(run_dir: Path) -> str:
    """What the one who holds it wrote; nothing where nobody did."""
    with contextlib.suppress(FileNotFoundError):
        return " ".join((run_dir / HOLDER).read_text(encoding="utf-8", errors="replace").split())
    return ""
