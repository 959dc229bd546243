"""What a command sets for its process: how threads wait, what becomes of freed memory, how it ends when it is asked to.

A library leaves that to the program that it is part of; `app.py`, `python -m unetseg` and `training/train.py` set them.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType

SPINS = "1000"
# names and numbers of malloc.h, which are part of glibc's interface
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3


def set_up() -> None:
    """Before torch is imported: let threads wait briefly, and keep some of the memory that is freed.

    Threads that wait for others spin for long by default: beside another busy process each waits for one that was set
    aside, and a picture takes many times as long; without any spinning it takes longer alone. GNU OpenMP, of torch on
    Linux, counts spins. What the user says of it stands.

    glibc gives large blocks back to Linux and gets them anew, page by page, which took 15 % of the time of a picture:
    it keeps up to 256 MB, in blocks of up to 32 MB. Where there is no glibc, nothing is done.
    """
    if not os.environ.keys() & {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"}:
        os.environ["GOMP_SPINCOUNT"] = SPINS
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        libc.mallopt(M_MMAP_THRESHOLD, 2**25)
        libc.mallopt(M_TRIM_THRESHOLD, 2**28)


def give_back() -> None:
    """Let glibc give back all that is freed: what large results held is the system's again. Elsewhere, nothing."""
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)


@contextlib.contextmanager
def ended_by_signals() -> Iterator[None]:
    """SIGTERM, which a system sends to end a process, ends what is inside as Ctrl-C does: temporary files are removed.

    A second one ends the process at once.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may take signals
        return

    def end(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def exit_code(work: Callable[[], None]) -> int:
    """Do the work of a command: 0, 1 with one sentence on what is wrong, 130 when stopped, to be gone on with."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        work()
    except (ValueError, OSError) as error:
        logging.error("error: %s", error)
        return 1
    except KeyboardInterrupt:
        logging.info("stopped; the same command goes on")
        return 130
    return 0
