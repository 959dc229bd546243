"""Several classes, three ways, at equal training time: `python benchmarks/three_ways.py --data FOLDER --val tile6`.

(a) one network with one softmax over all K classes; (b) one network with K sigmoids; (c) K networks with one sigmoid
each (this class, or any other), which share the time, their K logits merged by argmax at the end. Recipe, network,
augmentation and validation pictures are the same; generated pictures are left out, and learning rates fall with the
share of the time that is used up (or, with `swa`, weights are averaged), so that every network is trained to its end.
Prints each way's IoU by class, mIoU and accuracy on the validation split as soon as it is there, and all of them as a
Markdown table at the end. Finished networks are kept in --run-dir: the same command goes on after the last one. The
test split is never read.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import json
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # a clone works without being installed

from unetseg import ConfusionMatrix, Predictor, Segmentation, SegmentationConfig, UNet, hub  # noqa: E402
from unetseg.fitting import Recipe  # noqa: E402
from unetseg.fitting.data.augment import collate  # noqa: E402
from unetseg.fitting.data.dataset import Crops, Pictures, measure  # noqa: E402
from unetseg.fitting.data.folder import Example, find_examples, pictures_by_split, read_labels  # noqa: E402
from unetseg.fitting.losses import class_weights, segmentation_loss  # noqa: E402
from unetseg.fitting.optimisation import measure_norms, optimizers, step, update_average, update_mean  # noqa: E402
from unetseg.fitting.recipe import IGNORE_NAME  # noqa: E402
from unetseg.predictor import best_device, has_bfloat16  # noqa: E402
from unetseg.scores.metrics import mean  # noqa: E402

RECIPE = ROOT / "training" / "recipes" / "satellite.toml"
OTHER = "other"


@dataclass(frozen=True)
class Way:
    """A way to learn several classes: the recipes of its networks, which share the time."""

    name: str
    title: str
    recipes: tuple[Recipe, ...]


def three_ways(recipe: Recipe) -> list[Way]:
    """The ways to train by a multiclass recipe without a background."""
    if recipe.data.task != "multiclass" or recipe.data.background is not None:
        raise ValueError("the three ways are those of a multiclass recipe without a background")
    sigmoids = recipe.model_copy(update={"data": recipe.data.model_copy(update={"task": "one-vs-rest"})})
    count = len(recipe.data.classes)
    return [
        Way("softmax", "one network, one softmax", (recipe,)),
        Way("sigmoids", f"one network, {count} sigmoids", (sigmoids,)),
        Way("separate", f"{count} binary networks, merged", tuple(one_class(recipe, k) for k in range(count))),
    ]


def one_class(recipe: Recipe, k: int) -> Recipe:
    """The binary recipe of class k against all others."""
    data = recipe.data
    name = data.classes[k]
    values = {value: n if n in (name, IGNORE_NAME) else OTHER for value, n in data.mask_values.items()}
    changes = {
        "task": "binary",
        "classes": (name,),
        "background": OTHER,
        "palette": ("#000000", data.palette[k]),
        "mask_values": values,
    }
    return recipe.model_copy(update={"data": data.model_copy(update=changes)})


def train(recipe: Recipe, examples: Sequence[Example], seconds: float, device: torch.device) -> tuple[UNet, int]:
    """Train for so many seconds; the moving average of the weights, and the number of steps."""
    settings = recipe.train
    pictures = Pictures([e for e in examples if e.split == "train"], recipe)
    average_color, deviation, pixels = measure(pictures)
    crops = Crops(pictures, recipe.config(average_color, deviation))
    weights = class_weights(pixels, crops.config, settings.balance)
    weights = None if weights is None else weights.to(device)
    torch.manual_seed(settings.seed)
    network = UNet(crops.config).to(device).train()
    nn.utils.convert_conv2d_weight_memory_format(network, torch.channels_last)
    average = copy.deepcopy(network).requires_grad_(False)
    parts = optimizers(network, settings)

    def loss(images: Tensor, labels: Tensor) -> Tensor:
        with torch.autocast(device.type, torch.bfloat16, enabled=has_bfloat16(device)):
            logits = network(images)
        return segmentation_loss(
            logits,
            labels,
            crops.config,
            dice_weight=settings.dice_weight,
            batch_dice=settings.batch_dice,
            weights=weights,
        )

    keys = itertools.chain.from_iterable(crops.batches(epoch) for epoch in itertools.count())
    steps, averaged, started = 0, 0, time.monotonic()
    for batch in DataLoader(crops, batch_sampler=keys, num_workers=settings.workers, collate_fn=collate):
        used = (time.monotonic() - started) / seconds
        if used >= 1:
            break
        for group in (group for optimizer in parts for group in optimizer.param_groups):
            # a twentieth of the time to warm up, then half a cosine, or with `swa` no fall
            falling = 1 if settings.swa else 0.5 * (1 + math.cos(math.pi * used))
            group["lr"] = settings.learning_rate * min(used / 0.05 + 0.01, falling)
        images, labels = crops.finished(batch.to(device), crops.size_at(settings.coarse_epochs, steps))
        images = images.contiguous(memory_format=torch.channels_last)
        if not math.isfinite(step(loss, images, labels, parts, clip_norm=settings.clip_norm)):
            raise ValueError(f"the loss is no number at step {steps}; lower train.learning_rate")
        steps += 1
        if settings.swa and used >= settings.swa:
            averaged += 1
            update_mean(average, network, averaged)
        else:
            update_average(average, network, settings.ema, steps)
    if averaged:
        measure_norms(average, crops, settings.coarse_epochs)
    return average, steps


def trained(
    recipe: Recipe, examples: Sequence[Example], seconds: float, device: torch.device, folder: Path
) -> tuple[Predictor, int]:
    """The network of an earlier run with the same settings, or a new one that is kept for the next run."""
    fields = recipe.model_dump(mode="json", exclude={"card"})
    told = {"recipe": fields, "pictures": pictures_by_split(examples), "seconds": seconds}
    path = folder / "told.json"
    if path.exists():
        before = json.loads(path.read_text(encoding="utf-8"))
        if {key: before[key] for key in told} != told:
            raise ValueError(f"{folder} was trained with other settings; name another --run-dir")
        return Predictor.from_pretrained(folder, device=str(device)), before["steps"]
    network, steps = train(recipe, examples, seconds, device)
    hub.save(folder, network.config, network.state_dict(), {"told.json": json.dumps({**told, "steps": steps})})
    return Predictor.from_pretrained(folder, device=str(device)), steps


def segment(predictors: Sequence[Predictor], picture: Path, config: SegmentationConfig) -> Segmentation:
    """A picture by one network or, as one-vs-rest without a background, by the logits of several side by side."""
    found = [predictor(picture) for predictor in predictors]
    return replace(found[0], network_logits=torch.cat([one.network_logits for one in found], dim=1), config=config)


def score(predictors: Sequence[Predictor], examples: Sequence[Example], recipe: Recipe) -> ConfusionMatrix:
    """All pixels of the validation split; `recipe`: the one that says which label is which."""
    config = recipe.config(predictors[0].config.mean, predictors[0].config.std)
    matrix = ConfusionMatrix(config)
    for example in examples:
        if example.split == "val":
            labels = segment(predictors, example.image, config).labels()[0]
            matrix.update(read_labels(example.mask, recipe.data, config), labels)
    return matrix


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder that the recipe describes")
    parser.add_argument("--recipe", type=Path, default=RECIPE, help="multiclass, without a background")
    parser.add_argument("--minutes", type=float, default=30, help="of training for each way (30)")
    parser.add_argument(
        "--set",
        nargs="+",
        type=change,
        default=[],
        metavar="SECTION.FIELD=VALUE",
        help="fields of the recipe, such as train.crop=256",
    )
    parser.add_argument("--val", nargs="+", metavar="GROUP", help="validate on these groups instead of the recipe's")
    parser.add_argument("--run-dir", type=Path, default=Path("runs/three_ways"))
    parser.add_argument("--device", default=best_device())
    options = parser.parse_args()
    try:
        recipe = Recipe.from_file(options.recipe, dict(options.set))
        data = recipe.data.model_copy(update={"val": tuple(options.val)} if options.val else {})
        settings = recipe.train.model_copy(update={"synthetic": None, "synthetic_share": 0.0, "coarse_epochs": 0})
        recipe = recipe.model_copy(update={"data": data, "train": settings})
        examples = find_examples(data, options.data, settings.seed)
        if all(example.split != "val" for example in examples):
            raise ValueError("no group is for validation; name some with --val")
        ways = three_ways(recipe)
        rows = [compared(way, recipe, examples, options) for way in ways]
    except ValueError as error:
        parser.exit(1, f"error: {error}\n")
    classes = recipe.data.classes
    print(f"\n| {options.minutes:g} minutes each | steps | {' | '.join(classes)} | mIoU | accuracy |")
    print("|---|---:|" + "---:|" * (len(classes) + 2))
    print("\n".join(rows))


def change(text: str) -> tuple[str, str]:
    """Name and value of a field of the recipe that is to be changed."""
    name, equals, value = text.partition("=")
    if not equals or name.count(".") != 1:
        raise argparse.ArgumentTypeError(f"{text!r}, expected SECTION.FIELD=VALUE, such as train.crop=256")
    return name, value


def compared(way: Way, recipe: Recipe, examples: Sequence[Example], options: argparse.Namespace) -> str:
    """Train and score one way; its row of the table, printed as soon as it is known."""
    seconds = options.minutes * 60 / len(way.recipes)
    device = torch.device(options.device)
    predictors, steps = [], []
    for number, part in enumerate(way.recipes):
        predictor, done = trained(part, examples, seconds, device, options.run_dir / f"{way.name}_{number}")
        predictors.append(predictor)
        steps.append(done)
    # separate networks are scored as the sigmoids of one
    labels = recipe if way.name == "softmax" else three_ways(recipe)[1].recipes[0]
    matrix = score(predictors, examples, labels)
    numbers = [matrix.iou.get(name, math.nan) for name in recipe.data.classes]
    cells = [f"{value:.3f}" for value in (*numbers, mean(list(matrix.iou.values())) or 0.0, matrix.accuracy)]
    row = f"| {way.title} | {' + '.join(map(str, steps))} | {' | '.join(cells)} |"
    print(row, flush=True)
    return row


if __name__ == "__main__":
    main()
