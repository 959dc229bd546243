"""How fast many slices are segmented: `python benchmarks/many.py [--count 2000]`, on an idle machine.

Synthetic CT slices of 512 x 512 as PNG, labels as PNG. The command, model loaded once, from its start to its end;
against one warm `Predictor` on all threads that reads, predicts and saves one after the other; against as many
processes with one warm `Predictor` on one thread each as there are threads, that share the slices; and the bare network
alone, for as many slices.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # a clone works without being installed

import torch  # noqa: E402

from unetseg.samples import write_samples  # noqa: E402

WARM = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from unetseg.process import set_up
set_up()
import torch
from unetseg import Predictor, read_image
from unetseg.prepare import prepare, rescale
predictor = Predictor.from_pretrained(sys.argv[2])
paths, out = sorted(Path(sys.argv[3]).iterdir())[int(sys.argv[5])::int(sys.argv[6])], Path(sys.argv[4])
x = prepare(read_image(paths[0]), predictor.config)
inputs = [
    rescale(x, factor).to(predictor.dtype, memory_format=torch.channels_last) for factor in predictor.config.scales
]
predictor(paths[0])
print("ready", flush=True)
input()
started = time.perf_counter()
with torch.no_grad():
    for path in paths:
        if sys.argv[7] == "network":
            for x in inputs:
                predictor.network(x)
        else:
            predictor(path).save(out / path.name)
"""


def warm(checkpoint: Path, pictures: Path, out: Path, *, processes: int, what: str) -> float:
    """Seconds of so many processes that are warm when the time begins."""
    threads = torch.get_num_threads() // processes
    env = os.environ | {"OMP_NUM_THREADS": str(threads)}
    running = []
    for number in range(processes):
        words = [ROOT, checkpoint, pictures, out, number, processes, what]
        command = [sys.executable, "-c", WARM, *map(str, words)]
        running.append(subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
    for process in running:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    started = time.perf_counter()
    for process in running:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.close()
    for process in running:
        assert process.wait() == 0
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, default=ROOT / "checkpoints" / "liver-unet")
    parser.add_argument("--count", type=int, default=2000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_samples(folder / "some", "ct", count=min(20, options.count), size=512)
        pictures, out = folder / "slices", folder / "out"
        pictures.mkdir()
        out.mkdir()
        drawn = sorted((folder / "some" / "images").iterdir())
        for number in range(options.count):
            (pictures / f"{number:05}.png").write_bytes(drawn[number % len(drawn)].read_bytes())
        print(f"{options.count} slices, {torch.get_num_threads()} threads")
        print("| | seconds | slices a second |\n|---|---:|---:|")
        command = [
            sys.executable,
            "-m",
            "unetseg",
            "predict",
            options.checkpoint,
            pictures,
            "--out",
            folder / "command",
        ]
        started = time.perf_counter()
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
        taken = {"the command, from its start to its end": time.perf_counter() - started}
        for processes in dict.fromkeys((1, torch.get_num_threads())):
            way = f"{processes} warm Predictor, {torch.get_num_threads() // processes} threads each"
            taken[way] = warm(options.checkpoint, pictures, out, processes=processes, what="predictor")
        taken["the bare network alone"] = warm(options.checkpoint, pictures, out, processes=1, what="network")
        for way, seconds in taken.items():
            print(f"| {way} | {seconds:.1f} | {options.count / seconds:.1f} |")


if __name__ == "__main__":
    main()
