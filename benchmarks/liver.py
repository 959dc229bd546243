"""How a liver model bears what its test set does not show: pictures without liver, and narrower windows.

    python benchmarks/liver.py checkpoints/liver-unet --data FOLDER [--negatives FOLDER] [--split test] [--scales 1,0.5]

--data: images/, masks/ and manifest.csv with the columns stem, split, patient, window_low_hu and window_high_hu,
which `training/prepare_msd_liver.py` writes; patients whose name begins with lits, as in the data of the shipped
weights, are listed apart. --negatives: images/ without liver and a manifest.csv with stem and split, of which val is
used. False liver counts where more than 50 pixels of a 256 x 256 picture are called liver. Prints a Markdown table.
The split test should be looked at once, at the end.
"""

import argparse
import csv
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import PIL.Image
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # a clone works without being installed

from unetseg import ConfusionMatrix, Predictor, UNet  # noqa: E402
from unetseg.samples import ct_phantom  # noqa: E402
from unetseg.scores.metrics import scores  # noqa: E402

Picture = NDArray[np.uint8]
LIMIT, SIDE = 50, 256


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--negatives", type=Path)
    parser.add_argument("--split", choices=("val", "test"), default="val")
    parser.add_argument("--scales", help="instead of the checkpoint's own, as in 1 or 1,0.5")
    options = parser.parse_args()
    network = UNet.from_pretrained(options.checkpoint)
    if options.scales:
        scales = tuple(float(part) for part in options.scales.split(","))
        network.config = network.config.model_copy(update={"scales": scales})
    predictor = Predictor(network)
    rows = list(csv.DictReader((options.data / "manifest.csv").open(encoding="utf-8")))
    rows = [row for row in rows if row["split"] == options.split]
    if options.split == "test":
        print("This look at the test split counts: add it to earlier_test_looks of the recipe's card.", file=sys.stderr)
    print("| pictures without liver | with false liver |\n|---|---|")
    real = (
        {"real slices above and below the liver (val)": real_negatives(options.negatives)} if options.negatives else {}
    )
    for name, pictures in {
        **real,
        "phantoms (synthetic), seeds 500000 to 500099": (ct_phantom(500_000 + i, liver=False)[0] for i in range(100)),
        f"windows without liver, cut out of {options.split} slices and enlarged": cut_negatives(rows, options.data),
    }.items():
        found = [called_liver(predictor, picture) > LIMIT for picture in pictures]
        print(f"| {name} | {sum(found)} of {len(found)} |", flush=True)
    print(f"\n| {options.split} slices | shown window in HU | mean Dice per patient |\n|---|---|---|")
    of = {"LiTS": [row for row in rows if row["patient"].startswith("lits")]}
    of = {"MSD": [row for row in rows if row not in of["LiTS"]], **of}
    windows = {"MSD": [None, (0.0, 200.0), (20.0, 180.0)], "LiTS": [None, (0.0, 240.0), (0.0, 200.0), (20.0, 180.0)]}
    for origin, slices in of.items():
        for window in windows[origin] if slices else ():
            shown = "as stored" if window is None else f"{window[0]:g} to {window[1]:g}"
            print(
                f"| {origin}, {len(slices)} | {shown} | {dice(predictor, slices, options.data, window):.4f} |",
                flush=True,
            )


def called_liver(predictor: Predictor, picture: Picture) -> int:
    """Pixels called liver, counted as if the picture were 256 pixels wide."""
    labels = predictor(picture).labels()[0]
    return round(int((labels == 1).sum()) * SIDE**2 / labels.size)


def real_negatives(folder: Path) -> Iterable[Picture]:
    for row in csv.DictReader((folder / "manifest.csv").open(encoding="utf-8")):
        if row["split"] == "val":
            yield np.asarray(PIL.Image.open(folder / "images" / f"{row['stem']}.png").convert("L"))


def cut_negatives(rows: list[dict[str, str]], folder: Path, count: int = 100) -> Iterable[Picture]:
    """Windows of 0.35 to 0.8 of a slice that show body but no pixel of liver, enlarged to 256 pixels."""
    random = np.random.default_rng(0)
    while count:
        stem = rows[random.integers(len(rows))]["stem"]
        image, mask = (
            np.asarray(PIL.Image.open(folder / kind / f"{stem}.png").convert("L")) for kind in ("images", "masks")
        )
        side = int(len(image) * random.uniform(0.35, 0.8))
        top, left = random.integers(0, len(image) - side + 1, 2)
        window = (slice(top, top + side), slice(left, left + side))
        if not mask[window].any() and (image[window] > 30).mean() > 0.3:
            count -= 1
            yield np.asarray(PIL.Image.fromarray(image[window]).resize((SIDE, SIDE), PIL.Image.Resampling.BICUBIC))


def dice(predictor: Predictor, rows: list[dict[str, str]], folder: Path, window: tuple[float, float] | None) -> float:
    """Mean Dice per patient with every slice shown in a window narrower than the stored one."""
    groups: dict[str, ConfusionMatrix] = {}
    for row in rows:
        image = np.asarray(PIL.Image.open(folder / "images" / f"{row['stem']}.png").convert("L"))
        truth = np.asarray(PIL.Image.open(folder / "masks" / f"{row['stem']}.png").convert("L")) > 0
        if window is not None:
            low, high = float(row["window_low_hu"]), float(row["window_high_hu"])
            hu = low + image / 255 * (high - low)
            image = (np.clip((hu - window[0]) / (window[1] - window[0]), 0, 1) * 255).round().astype(np.uint8)
        labels = predictor(image).labels()[0]
        groups.setdefault(row["patient"], ConfusionMatrix(predictor.config)).update(truth.astype(np.uint8), labels)
    return float(str(scores(groups)["mean_group_dice"]))


if __name__ == "__main__":
    main()
