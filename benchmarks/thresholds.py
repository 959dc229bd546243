"""How much a threshold changes the result: `python benchmarks/thresholds.py [CHECKPOINT]`, a minute on two cores.

Prints Dice and the share of pixels called liver on 40 generated slices (seeds 0 to 39), for thresholds on the
probability from 0.01 to 0.99: pixels pooled, and for the one slice on which the threshold matters most.
"""

from __future__ import annotations

import argparse

from unetseg import ConfusionMatrix, Predictor
from unetseg.formats import as_image
from unetseg.samples import draw_sample

THRESHOLDS = (0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", nargs="?", default="liver-unet", help="one of a binary task on CT slices")
    parser.add_argument("--pictures", type=int, default=40)
    options = parser.parse_args()
    predictor = Predictor.from_pretrained(options.checkpoint, precision="float32")
    (name,) = predictor.config.classes
    pictures: list[list[ConfusionMatrix]] = []
    for seed in range(options.pictures):
        pixels, truth = draw_sample("ct", seed)
        segmentation = predictor(as_image(pixels))
        pictures.append([])
        for threshold in THRESHOLDS:
            matrix = ConfusionMatrix(predictor.config)
            matrix.update(truth, segmentation.labels([threshold])[0])
            pictures[-1].append(matrix)
    dice = [[matrix.dice.get(name, 1.0) for matrix in row] for row in pictures]
    most = max(range(len(dice)), key=lambda seed: max(dice[seed]) - min(dice[seed]))
    print(f"| threshold | Dice, pooled | pixels called {name} | Dice, slice {most} |")
    print("|---:|---:|---:|---:|")
    for number, threshold in enumerate(THRESHOLDS):
        total = sum((row[number] for row in pictures), start=ConfusionMatrix(predictor.config))
        share = total.counts[:, 1].sum() / total.counts.sum()
        print(f"| {threshold:g} | {total.dice[name]:.3f} | {share:.2%} | {dice[most][number]:.3f} |")


if __name__ == "__main__":
    main()
