"""Damaged inputs read in a process of their own: what they may end in, and within which time and memory."""

from __future__ import annotations

import os
import resource
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext
from pathlib import Path

import unetseg

SECONDS = 5.0
"""Of the processor, for one input."""
HANGS = 60.0
"""After which one is ended; a machine may be busy with other things."""
MEMORY = 2**31
"""Bytes that one may take beyond what is loaded."""
PACKAGE = Path(unetseg.__file__).parent


@dataclass
class Found:
    """What came of a kind. wrong: in words, with what makes the input again. slowest: in seconds."""

    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    slowest: float = 0.0


def judged(read: Callable[[Path], object], path: Path) -> str:
    """`read`, or `refused` in a sentence of the package; or what it ended in else."""
    try:
        read(path)
    except (ValueError, OSError) as error:
        text, last = str(error), traceback.extract_tb(error.__traceback__)[-1]
        if "\n" in text or not 10 < len(text) < 1000:
            return f"a message of {len(text)} characters and {len(text.splitlines())} lines: {text[:300]!r}"
        if type(error).__module__ not in ("builtins", "unetseg.formats.image") or isinstance(error, UnicodeError):
            return f"{type(error).__name__}: {text}"
        if not Path(last.filename).is_relative_to(PACKAGE):
            return f"the words of {Path(last.filename).name}: {text[:300]}"
        return "refused"
    except BaseException as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__} at {Path(last.filename).name}:{last.lineno}: {str(error)[:300]}"
    return "read"


def serve(connection: Connection, name: str, files: list[Path]) -> None:
    """Try what is asked for, one number after the other, and say what came of it."""
    from kinds import KINDS, own

    silent = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):  # libraries in C say what they think of each
        os.dup2(silent, stream)
    kind = dict(own(files)).get(name) or KINDS[name]
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        seeds = list(kind.seeds().items())
        for file, data in seeds:
            Path(folder, file).write_bytes(data)
            kind.read(Path(folder, file))  # sound ones must be read: else what is damaged proves nothing
        used = int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_DATA, (used + MEMORY, resource.RLIM_INFINITY))
        while (number := connection.recv()) is not None:
            file, data = seeds[number % len(seeds)]
            path = Path(folder, file)
            path.write_bytes(kind.spoil(data, number // len(seeds)))
            started = time.process_time()
            said = judged(kind.read, path)
            connection.send((file, said, time.process_time() - started))
            path.unlink(missing_ok=True)


def tried(context: BaseContext, name: str, numbers: range, files: list[Path]) -> Iterator[tuple[int, str, str, float]]:
    """The number, the file, what came of it and the seconds, of each; a process that ends or hangs has a next one."""
    left = list(numbers)
    while left:
        here, there = context.Pipe()
        process = context.Process(target=serve, args=(there, name, files), daemon=True)  # type: ignore[attr-defined]
        process.start()
        there.close()
        try:
            while left:
                here.send(left[0])
                if not here.poll(HANGS):
                    yield left.pop(0), "", f"nothing within {HANGS:g} s", HANGS
                    break
                answer = here.recv()
                yield left.pop(0), *answer
            else:
                here.send(None)
        except (EOFError, BrokenPipeError, ConnectionResetError):
            yield left.pop(0), "", "the process ended", 0.0
        finally:
            if left:
                process.kill()
            process.join()


def fuzz(context: BaseContext, name: str, numbers: range, files: list[Path] | None = None) -> Found:
    """Try so many inputs of a kind."""
    found = Found()
    for number, file, said, seconds in tried(context, name, numbers, files or []):
        found.counts[said if said in ("read", "refused") else "wrong"] += 1
        found.slowest = max(found.slowest, seconds)
        if said not in ("read", "refused") or seconds > SECONDS:
            found.wrong.append(f"{name} {number} ({file}): {said}, {seconds:.1f} s")
    return found
