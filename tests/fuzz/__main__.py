"""What becomes of damaged files: `python -m tests.fuzz [--count 10000] [--kind pictures] [FILE...]`.

Of each kind of input that the package reads, sound files are made, and each is damaged in so many ways: cut off, bits
and bytes changed, parts doubled, names and values of another kind. One sentence of the package's own is right, and so
is a file that is read; anything else is printed, with the number that makes it again (--from), and ends with exit code
1: another error, a message of several lines, a process that ends, 5 s of the processor, 2 GB of memory.
FILE: pictures and volumes of your own instead.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1]), str(HERE.parent), str(HERE)]  # a clone works without being installed


def main() -> int:
    from attempt import fuzz
    from kinds import KINDS

    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE")
    parser.add_argument("--count", type=int, default=10_000, help="of damaged inputs of each kind")
    parser.add_argument("--from", dest="first", type=int, default=0, help="the number of the first")
    parser.add_argument("--kind", action="append", choices=KINDS, help="repeatable; all unless given")
    options = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    files = [file.resolve() for file in options.files]
    wrong = 0
    for name in ["own files"] if files else options.kind or KINDS:
        found = fuzz(context, name, range(options.first, options.first + options.count), files)
        wrong += len(found.wrong)
        for line in found.wrong:
            print(line)
        print(f"{name}: {dict(found.counts)}, slowest {found.slowest:.2f} s", flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
