"""What seeing a picture at several scales is worth.

    python benchmarks/scales.py CHECKPOINT --recipe RECIPE --data FOLDER [--scales 1 0.5 1,0.5]

Prints scores on the validation split and seconds a picture, for the checkpoint at its own scales and at those named.
Temperatures and thresholds stay as they are. Says so if the checkpoint was trained on that split.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # a clone works without being installed

from unetseg import Predictor, UNet, hub  # noqa: E402
from unetseg.fitting import Recipe  # noqa: E402
from unetseg.fitting.data.folder import find_examples, shared_pictures  # noqa: E402
from unetseg.fitting.report.evaluation import evaluate  # noqa: E402
from unetseg.scores.metrics import scores  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint")
    parser.add_argument("--recipe", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--scales", nargs="*", default=["1", "0.5", "1,0.5"], help="as in 1 0.5 1,0.5")
    options = parser.parse_args()
    recipe = Recipe.from_file(options.recipe)
    examples = [e for e in find_examples(recipe.data, options.data, recipe.train.seed) if e.split == "val"]
    source = hub.find(options.checkpoint, companions=True)
    if known := shared_pictures(source.folder, "train", examples):
        print(f"{options.checkpoint} was trained on {known} of these pictures: the scores flatter", file=sys.stderr)
    network = UNet.from_pretrained(options.checkpoint)
    own = ",".join(f"{scale:g}" for scale in network.config.scales)
    print("| scales | mean Dice | mIoU | accuracy | seconds a picture |\n|---|---:|---:|---:|---:|")
    for text in dict.fromkeys([own, *options.scales]):
        scales = tuple(float(part) for part in text.split(","))
        network.config = network.config.model_copy(update={"scales": scales})
        start = time.perf_counter()
        result = scores(evaluate(Predictor(network), examples, recipe.data))
        seconds = (time.perf_counter() - start) / len(examples)
        numbers = [f"{result[key]:.4f}" for key in ("mean_group_dice", "miou", "accuracy")]
        print(f"| {text.replace(',', ' and ')} | {' | '.join(numbers)} | {seconds:.3f} |", flush=True)


if __name__ == "__main__":
    main()
