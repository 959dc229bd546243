"""How fast a raster of any size is segmented, in how much memory, and whether its tiles are seen.

    python benchmarks/raster.py [--side 7680] [--against CLONE] [--monai]     megapixels a second, and peak memory
    python benchmarks/raster.py --seams FOLDER                                real pictures against the whole at once

The raster is synthetic: drawn samples side by side, RGB of 8 bits, deflated in tiles. Each way has a process of its
own; memory is the peak beyond the process with the model loaded. `Predictor.write` goes from file to file.
--against: a clone of another version, from file to labels in memory, at all scales. --monai: its sliding window with
the prepared network (Gaussian weights, the same tile and overlap), from file to labels in memory, at one scale.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # a clone works without being installed

import numpy as np  # noqa: E402
import torch  # noqa: E402

from unetseg import Predictor, read_image  # noqa: E402
from unetseg.samples import draw_sample  # noqa: E402

LOADED = """
import resource, sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
{setup}
import numpy as np
from unetseg import Predictor, UNet, read_image
predictor = Predictor.from_pretrained(sys.argv[2])
path, target = Path(sys.argv[3]), Path(sys.argv[3]).with_name("labels.tif")
{load}
before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
{work}
print(time.perf_counter() - started, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""
SET_UP = "from unetseg.process import set_up\nset_up()"
ONE_SCALE = 'predictor.config = predictor.config.model_copy(update={"scales": (1.0,)})'

MONAI = """
import torch
from monai.inferers import sliding_window_inference
from unetseg.prepare import prepare
with torch.no_grad():
    x = prepare(read_image(path, max_pixels=10**12), predictor.config).to(predictor.dtype)
    logits = sliding_window_inference(
        x, (predictor.tile,) * 2, 1, predictor._network, overlap=predictor.overlap / predictor.tile, mode="gaussian"
    )
    labels = logits.argmax(dim=1).to(torch.uint8).numpy()
"""
WAYS = {
    "Predictor.write": (SET_UP, "", "predictor.write(path, target)"),
    "the other": ("", "", "predictor(read_image(path, max_pixels=10**12)).labels()"),
    "Predictor.write at one scale": (SET_UP, ONE_SCALE, "predictor.write(path, target)"),
    "MONAI at one scale": (SET_UP, ONE_SCALE, MONAI),
}


def write_synthetic(path: Path, side: int) -> None:
    """Eight scenes of 1024 pixels, again and again."""
    import rasterio

    scenes = [np.moveaxis(draw_sample("aerial", seed, 1024)[0], -1, 0) for seed in range(8)]
    place = {"crs": "EPSG:32633", "transform": rasterio.Affine(0.5, 0, 500_000, 0, -0.5, 5_000_000)}
    shape = {"count": 3, "height": side, "width": side, "dtype": "uint8", "photometric": "rgb"}
    with rasterio.open(path, "w", driver="GTiff", tiled=True, compress="deflate", **shape, **place) as dataset:
        for number, (top, left) in enumerate((y, x) for y in range(0, side, 1024) for x in range(0, side, 1024)):
            scene = scenes[number % 8][:, : side - top, : side - left]
            rows, columns = (top, top + scene.shape[1]), (left, left + scene.shape[2])
            dataset.write(scene, window=(rows, columns))


def measured(way: str, clone: Path, checkpoint: Path, path: Path) -> tuple[float, float]:
    """Seconds, and megabytes."""
    setup, load, work = WAYS[way]
    code = LOADED.format(setup=setup, load=load, work=work)
    command = [sys.executable, "-W", "ignore", "-c", code, str(clone), str(checkpoint), str(path)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return float(said[0]), float(said[1])


def near_edges(predictor: Predictor, height: int, width: int) -> np.ndarray:
    """Where pixels lie within 16 of an edge of a tile, at the first scale."""
    from unetseg.tiling import _layout

    near = np.zeros((height, width), dtype=bool)
    for size, view in ((height, near), (width, near.T)):
        layout = _layout(size, predictor.tile, predictor.overlap, predictor.stride)
        for edge in (edge for start in layout.starts for edge in (start, start + layout.length)):
            if 0 < edge < size:
                view[max(0, edge - 16) : edge + 16] = True
    return near


def seams(checkpoint: Path, folder: Path) -> None:
    tiled, whole = Predictor.from_pretrained(checkpoint), Predictor.from_pretrained(checkpoint)
    whole.tile = 2**14
    differences, labels = [], []
    for path in sorted(path for path in folder.iterdir() if path.is_file()):
        image = read_image(path)
        height, width = image.pixels.shape[1:3]
        if min(height, width) <= tiled.tile:
            continue
        expected, found = whole(image), tiled(image)
        apart = (found.probabilities - expected.probabilities).abs().mean(dim=(0, 1)).numpy()
        differences.append(float(apart[near_edges(tiled, height, width)].mean()))
        labels.append(float((found.labels() != expected.labels()).mean()))
        print(f"{path.name}: {differences[-1]:.4f} near edges, {labels[-1]:.3%} of labels", flush=True)
    print(f"{len(labels)} pictures larger than a tile of {tiled.tile} with an overlap of {tiled.overlap}:", end=" ")
    print(f"mean |difference of probability| within 16 pixels of edges {statistics.mean(differences):.4f}", end=", ")
    print(f"labels that differ {statistics.mean(labels):.3%}, of the worst picture {max(labels):.3%}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, default=ROOT / "checkpoints" / "satellite-unet")
    parser.add_argument("--side", type=int, default=7680, help="of the raster, in pixels")
    parser.add_argument("--against", type=Path, help="a clone of another version")
    parser.add_argument("--monai", action="store_true")
    parser.add_argument("--seams", type=Path, metavar="FOLDER", help="of real pictures of the checkpoint's kind")
    options = parser.parse_args()
    if options.seams:
        seams(options.checkpoint, options.seams)
        return
    ways = {"Predictor.write": ROOT}
    ways |= {"the other": options.against} if options.against else {}
    ways |= {"Predictor.write at one scale": ROOT, "MONAI at one scale": ROOT} if options.monai else {}
    print(f"{torch.get_num_threads()} threads, CPU capability {torch.backends.cpu.get_cpu_capability()}, ", end="")
    print(f"AMX: {torch.cpu._is_amx_tile_supported()}; a synthetic raster of {options.side} x {options.side}")
    print("| | seconds | megapixels a second | peak, MB |\n|---|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "synthetic.tif"
        write_synthetic(path, options.side)
        for way, clone in ways.items():
            seconds, megabytes = measured(way, clone, options.checkpoint, path)
            print(f"| {way} | {seconds:.0f} | {options.side**2 / 1e6 / seconds:.2f} | {megabytes:,.0f} |", flush=True)


if __name__ == "__main__":
    main()
