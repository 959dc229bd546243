"""Memory and time of a whole volume: `python benchmarks/volume.py [--slices 500] [--side 512]`.

Writes a synthetic CT as NIfTI, segments it with a checkpoint and asks for labels and a report. Prints the peak of
memory beyond the process with the model loaded, in multiples of the volume's own bytes as int16, and the seconds; and
the same of MONAI's sliding window over the whole volume with the same network, if MONAI is installed.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import sys
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Literal

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # a clone works without being installed

from unetseg import Predictor, read_image  # noqa: E402
from unetseg.formats.grid import Grid  # noqa: E402
from unetseg.formats.volume import write_volume  # noqa: E402
from unetseg.prepare import prepare  # noqa: E402
from unetseg.samples import draw_sample  # noqa: E402

Way = Literal["unetseg", "monai"]


def peak() -> int:
    """The most bytes that this process held so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def write_synthetic(path: Path, slices: int, side: int) -> None:
    """Drawn slices in Hounsfield units, the same one again and again."""
    drawn = (draw_sample("ct", 1, side)[0].astype(np.int16) - 128) * 3
    drawn[:20] = -1000
    volume = np.broadcast_to(drawn, (slices, side, side))
    write_volume(path, volume, Grid((side, side, slices), np.diag([-0.8, -0.8, 1.0, 1.0])))


def measure(connection: Connection, way: Way, checkpoint: str, path: Path) -> None:
    """Send bytes beyond the loaded model, and seconds."""
    predictor = Predictor.from_pretrained(checkpoint)
    predictor(draw_sample("ct", 1, 512)[0])
    before, started = peak(), time.perf_counter()
    if way == "unetseg":
        segmentation = predictor(path)
        segmentation.report()
    else:
        import torch
        from monai.inferers import sliding_window_inference

        with torch.no_grad():
            x = prepare(read_image(path), predictor.config)  # (D,C,h,w)
            network = predictor.network.float()
            sliding_window_inference(x, (256, 256), 4, network).sigmoid()
    connection.send((peak() - before, time.perf_counter() - started))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", default="liver-unet")
    parser.add_argument("--slices", type=int, default=500)
    parser.add_argument("--side", type=int, default=512, help="pixels of a slice, both ways")
    parser.add_argument("--ways", nargs="+", default=["unetseg"], choices=["unetseg", "monai"])
    options = parser.parse_args()
    own = options.slices * options.side**2 * 2
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "synthetic.nii"
        write_synthetic(path, options.slices, options.side)
        for way in options.ways:
            here, there = context.Pipe()
            process = context.Process(target=measure, args=(there, way, options.checkpoint, path))
            process.start()
            there.close()
            bytes_, seconds = here.recv()
            process.join()
            print(f"{way}: {bytes_ / own:.2f} times the volume ({own / 1e6:.0f} MB as int16), {seconds:.0f} s")


if __name__ == "__main__":
    main()
