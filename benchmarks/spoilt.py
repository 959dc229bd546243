"""What becomes of spoilt files: `python benchmarks/spoilt.py FILE... [--count 10000]`.

Each file is cut off, or has some bytes changed, most of them near its beginning, where formats have their headers; each
spoilt one is read by `read_image` in a process of its own kind. An image or one sentence is right; anything else is
printed, with what was done to the file, and makes the exit code 1: another error, a message of several lines, a process
that dies, more than SECONDS. Prints how many were images and how many sentences, and the slowest.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import tempfile
import time
from collections import Counter
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # a clone works without being installed

from unetseg import read_image  # noqa: E402

SECONDS = 5


def spoilt(data: bytes, seed: int) -> bytes:
    """A file cut off or with one to twenty bytes changed; the same for the same seed."""
    random = np.random.default_rng(seed)
    if seed % 4 == 0:
        return data[: int(random.integers(1, len(data)))]
    changed = bytearray(data)
    reach = len(data) if seed % 4 == 1 else min(len(data), 4096)
    for place in random.integers(0, reach, random.integers(1, 21)):
        changed[place] = random.integers(0, 256)
    return bytes(changed)


def serve(connection: Connection) -> None:
    """Read what is asked for, one path after the other, and say what came of it."""
    while True:
        try:
            path = connection.recv()
        except EOFError:  # no more to come
            return
        started = time.perf_counter()
        try:
            read_image(path)
            said = "image"
        except ValueError as error:
            lines = str(error).splitlines()
            said = "sentence" if len(lines) == 1 else f"a message of {len(lines)} lines: {error}"
        except BaseException as error:
            said = f"{type(error).__name__}: {error}"
        connection.send((said, time.perf_counter() - started))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--count", type=int, default=10_000, help="of spoilt files, over all that are given")
    options = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    found: Counter[str] = Counter()
    slowest, wrong = (0.0, ""), 0
    process = None
    with tempfile.TemporaryDirectory() as folder:
        for number in range(options.count):
            file = options.files[number % len(options.files)]
            if process is None:
                here, there = context.Pipe()
                process = context.Process(target=serve, args=(there,), daemon=True)
                process.start()
                there.close()
            path = Path(folder) / file.name
            path.write_bytes(spoilt(file.read_bytes(), number))
            here.send(path)
            try:
                said, seconds = here.recv() if here.poll(60) else (f"nothing within {60} s", 60.0)
            except EOFError:
                said, seconds = "the process died", 0.0
            if said not in ("image", "sentence") or seconds > SECONDS:
                wrong += 1
                print(f"{file.name}, seed {number}: {said}, {seconds:.1f} s", flush=True)
                if seconds >= 60 or "died" in said:
                    process.kill()
                    process = None
            found[said if said in ("image", "sentence") else "wrong"] += 1
            slowest = max(slowest, (seconds, f"{file.name}, seed {number}"))
    print(f"{dict(found)}; slowest {slowest[0]:.2f} s ({slowest[1]})")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
