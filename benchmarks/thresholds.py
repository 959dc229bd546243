"""How much a threshold changes the result: `python benchmarks/thresholds.py [CHECKPOINT]`, in less than a minute.

Prints Dice and the share of pixels called liver on 40 generated slices (seeds 0 to 39), for thresholds on the
probability from 0.01 to 0.99: pixels pooled, as calibrated and with a temperature of 1, and for the one slice on which
the threshold matters most.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # a clone works without being installed

from unetseg import ConfusionMatrix, Predictor  # noqa: E402
from unetseg.formats import as_image  # noqa: E402
from unetseg.samples import draw_sample  # noqa: E402
from unetseg.scores.calibration import uncalibrated  # noqa: E402

THRESHOLDS = (0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", nargs="?", default="liver-unet", help="one of a binary task on CT slices")
    parser.add_argument("--pictures", type=int, default=40)
    options = parser.parse_args()
    predictor = Predictor.from_pretrained(options.checkpoint, precision="float32")
    (name,) = predictor.config.classes
    pictures: list[list[ConfusionMatrix]] = []
    bare = uncalibrated(predictor.config)
    plain = [ConfusionMatrix(bare) for _ in THRESHOLDS]
    for seed in range(options.pictures):
        pixels, truth = draw_sample("ct", seed)
        segmentation = predictor(as_image(pixels))
        pictures.append([])
        for number, threshold in enumerate(THRESHOLDS):
            matrix = ConfusionMatrix(predictor.config)
            matrix.update(truth, segmentation.labels([threshold])[0])
            pictures[-1].append(matrix)
            plain[number].update(truth, replace(segmentation, config=bare).labels([threshold])[0])
    dice = [[matrix.dice.get(name, 1.0) for matrix in row] for row in pictures]
    most = max(range(len(dice)), key=lambda seed: max(dice[seed]) - min(dice[seed]))
    print(f"| threshold | Dice, pooled | Dice, pooled, temperature 1 | pixels called {name} | Dice, slice {most} |")
    print("|---:|---:|---:|---:|---:|")
    for number, threshold in enumerate(THRESHOLDS):
        total = sum((row[number] for row in pictures), start=ConfusionMatrix(predictor.config))
        share = total.counts[:, 1].sum() / total.counts.sum()
        pooled = f"{total.dice[name]:.3f} | {plain[number].dice[name]:.3f}"
        print(f"| {threshold:g} | {pooled} | {share:.2%} | {dice[most][number]:.3f} |")


if __name__ == "__main__":
    main()
