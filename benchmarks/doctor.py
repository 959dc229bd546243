"""How fast the doctor examines a folder: `python benchmarks/doctor.py [--count 10000] [--kind jpg]`, when idle.

Synthetic aerial pictures of 512 x 512, cut out of a few scenes at random places and turns, so that some share a part,
and with noise; masks as PNG. For each stage its seconds, and the most memory (resident) up to its end.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # a clone works without being installed

from unetseg.process import set_up  # noqa: E402

set_up()

import numpy as np  # noqa: E402
from PIL import Image  # noqa: E402

from unetseg.fitting.doctor import diagnosis  # noqa: E402
from unetseg.samples import draw_sample  # noqa: E402

SIDE = 512
SCENES = 40


def write(folder: Path, count: int, kind: str) -> None:
    """Pictures 00000, 00001, ... in images/ and masks/."""
    for place in ("images", "masks"):
        (folder / place).mkdir(parents=True)
    scenes = [draw_sample("aerial", seed, 4 * SIDE) for seed in range(min(SCENES, 1 + count // 25))]
    random = np.random.default_rng(0)
    for number in range(count):
        picture, labels = scenes[number % len(scenes)]
        y, x = random.integers(0, 3 * SIDE, 2)
        turn = int(random.integers(4))
        here = np.rot90(picture[y : y + SIDE, x : x + SIDE], turn)
        grain = random.integers(-6, 7, here.shape, dtype=np.int16)
        image = Image.fromarray((here + grain).clip(0, 255).astype(np.uint8))
        image.save(
            folder / f"images/{number:05d}.{kind}", **({"compress_level": 1} if kind == "png" else {"quality": 90})
        )
        mask = Image.fromarray(np.ascontiguousarray(np.rot90(labels[y : y + SIDE, x : x + SIDE], turn)))
        mask.save(folder / f"masks/{number:05d}.png", compress_level=1)


def timed(name: str, work: Callable[..., Any]) -> Callable[..., Any]:
    """The same work, which prints its seconds and the memory so far."""

    def measured(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401, of any function
        started = time.perf_counter()
        result = work(*args, **kwargs)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # KiB here
        print(f"{name:<28} {time.perf_counter() - started:8.1f} s   {peak:5.2f} GiB at most", flush=True)
        return result

    return measured


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--kind", choices=("png", "jpg"), default="png")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "synthetic"
        # in a process of its own: the scenes would count as the doctor's memory
        writer = multiprocessing.get_context("spawn").Process(target=write, args=(folder, options.count, options.kind))
        writer.start()
        writer.join()
        assert writer.exitcode == 0
        for name, what in (("survey", "names, sizes and values"), ("same_content", "matching by content")):
            setattr(diagnosis, name, timed(what, getattr(diagnosis, name)))
        found = timed("all", diagnosis.diagnose)(folder, progress=sys.stderr.isatty())
    print(f"{options.count:,} synthetic pairs of {SIDE} x {SIDE}, {len(found.grouping.same_group):,} places that share")


if __name__ == "__main__":
    main()
