"""How fast training is: `python benchmarks/train.py [--steps 20 --rounds 5]`, on a machine that does nothing else.

The loop of `unetseg.fitting` (channels_last, bfloat16 where hardware has it, freed memory kept, augmentation a batch at
a time on the device) against a plain one (float32, NCHW, augmentation a picture at a time in the data set, 0 and 2
loader workers), with the same network, loss, optimizer, batch and augmentation code on the same generated slices. Each
loop has a process of its own, for how memory is kept is a matter of the process, and they take turns, so that what else
the machine does hits all of them; the medians over the rounds are printed.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torch.utils.flop_counter import FlopCounterMode

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # a clone works without being installed

from unetseg import UNet  # noqa: E402
from unetseg.fitting import Recipe  # noqa: E402
from unetseg.fitting.data.augment import collate  # noqa: E402
from unetseg.fitting.data.dataset import Crops, Pictures, measure  # noqa: E402
from unetseg.fitting.data.folder import find_examples  # noqa: E402
from unetseg.fitting.losses import segmentation_loss  # noqa: E402
from unetseg.fitting.memory import keep_freed_memory  # noqa: E402
from unetseg.fitting.optimisation import optimizers, step, update_average  # noqa: E402
from unetseg.predictor import best_device, has_bfloat16  # noqa: E402
from unetseg.samples import write_samples  # noqa: E402

RECIPE = ROOT / "training" / "recipes" / "liver.toml"
Batches = Iterator[tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Round:
    """Seconds of one round: all of it, and those of waiting for data and of augmenting it on the device."""

    total: float
    loading: float
    augmenting: float


class OneByOne(Dataset[tuple[Tensor, Tensor]]):
    """Crops as they are usually made: finished one at a time, in the data set."""

    def __init__(self, crops: Crops) -> None:
        self.crops = crops

    def __getitem__(self, key: tuple[int, int]) -> tuple[Tensor, Tensor]:
        images, labels = self.crops.finished(collate([self.crops[key]]))
        return images[0], labels[0]


class Trainer:
    """A network and its optimizer, trained in one of the two ways."""

    def __init__(self, crops: Crops, device: torch.device, *, plain: bool, workers: int) -> None:
        self.crops, self.device, self.plain, self.workers = crops, device, plain, workers
        torch.manual_seed(0)
        self.network = UNet(crops.config).to(device).train()
        if not plain:
            nn.utils.convert_conv2d_weight_memory_format(self.network, torch.channels_last)
        self.average = copy.deepcopy(self.network).requires_grad_(False)
        self.optimizers = optimizers(self.network, crops.train)

    def loss(self, images: Tensor, labels: Tensor) -> Tensor:
        """As in `fit`; the plain way stays in float32."""
        train = self.crops.train
        with torch.autocast(self.device.type, torch.bfloat16, enabled=not self.plain and has_bfloat16(self.device)):
            logits = self.network(images)
        return segmentation_loss(
            logits, labels, self.crops.config, dice_weight=train.dice_weight, batch_dice=train.batch_dice
        )

    def round(self, epoch: int, steps: int) -> Round:
        """Train for so many steps after one that isn't timed, on the crops of an epoch."""
        keys = self.crops.batches(epoch)
        keys = (keys * (steps // len(keys) + 2))[: steps + 1]
        source = OneByOne(self.crops) if self.plain else self.crops
        function = None if self.plain else collate
        batches = iter(DataLoader(source, batch_sampler=keys, num_workers=self.workers, collate_fn=function))
        loading = augmenting = 0.0
        started = self._now()
        for number in range(steps + 1):
            if number == 1:
                loading = augmenting = 0.0
                started = self._now()
            before = self._now()
            batch = next(batches)
            loaded = self._now()
            if self.plain:
                images, labels = (part.to(self.device) for part in batch)
            else:
                images, labels = self.crops.finished(batch.to(self.device))
                images = images.contiguous(memory_format=torch.channels_last)
            augmented = self._now()
            step(self.loss, images, labels, self.optimizers, clip_norm=self.crops.train.clip_norm)
            if not self.plain:
                update_average(self.average, self.network, 0.99, number + 1)
            loading += loaded - before
            augmenting += augmented - loaded
        return Round(self._now() - started, loading, augmenting)

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()


class Loop:
    """A trainer in a process of its own, which trains only while it is asked for a round."""

    def __init__(self, recipe: Recipe, folder: Path, device: torch.device, *, plain: bool, workers: int) -> None:
        context = torch.multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_train_when_asked, args=(theirs, recipe, folder, device, plain, workers))
        self.process.start()
        theirs.close()  # so that a process that dies ends `recv`

    def round(self, epoch: int, steps: int) -> Round:
        """As `Trainer.round`."""
        self.pipe.send((epoch, steps))
        result: Round = self.pipe.recv()
        return result

    def end(self) -> None:
        self.pipe.send(None)
        self.process.join()


def _train_when_asked(
    pipe: Connection, recipe: Recipe, folder: Path, device: torch.device, plain: bool, workers: int
) -> None:
    if not plain:
        keep_freed_memory()
    trainer = Trainer(crops_of_samples(recipe, folder), device, plain=plain, workers=workers)
    while (order := pipe.recv()) is not None:
        pipe.send(trainer.round(*order))


def operations(crops: Crops, device: torch.device) -> int:
    """Floating-point operations of a step, forward and backward."""
    trainer = Trainer(crops, device, plain=True, workers=0)
    train, channels = crops.train, len(crops.config.channels)
    images = torch.zeros(train.batch_size, channels, train.crop, train.crop, device=device)
    labels = torch.zeros(train.batch_size, train.crop, train.crop, dtype=torch.uint8, device=device)
    with FlopCounterMode(display=False) as counter:
        trainer.loss(images, labels).backward()  # type: ignore[no-untyped-call]
    return int(counter.get_total_flops())


def roof(device: torch.device) -> float:
    """Operations per second of a large bfloat16 matrix product, the best of ten."""
    side = 8192 if device.type == "cuda" else 2048
    one, other = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    best = float("inf")
    for _ in range(10):
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        started = time.perf_counter()
        one @ other
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        best = min(best, time.perf_counter() - started)
    return 2 * side**3 / best


def crops_of_samples(recipe: Recipe, folder: Path) -> Crops:
    """Crops of the generated slices in a folder, with the recipe's augmentation."""
    data = recipe.data.model_copy(update={"manifest": None, "group_column": None, "split_column": None, "val": 0.0})
    train = recipe.train.model_copy(update={"synthetic": None, "synthetic_share": 0.0})
    recipe = recipe.model_copy(update={"data": data, "train": train})
    pictures = Pictures(find_examples(data, folder), recipe)
    mean, std, _ = measure(pictures)
    return Crops(pictures, recipe.config(mean, std))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=20, help="per round and loop")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--pictures", type=int, default=64, help="generated slices to train on")
    parser.add_argument("--batch-size", type=int, help="the recipe's unless given")
    parser.add_argument("--device", default=best_device())
    options = parser.parse_args()
    device = torch.device(options.device)
    recipe = Recipe.from_file(RECIPE)
    if options.batch_size:
        train = recipe.train.model_copy(update={"batch_size": options.batch_size})
        recipe = recipe.model_copy(update={"train": train})
    with tempfile.TemporaryDirectory() as name:
        folder, size = Path(name), recipe.model.working_size or recipe.train.crop
        write_samples(folder, "ct", count=options.pictures, size=size)
        loops = {
            "ours": Loop(recipe, folder, device, plain=False, workers=recipe.train.workers),
            "plain, 0 workers": Loop(recipe, folder, device, plain=True, workers=0),
            "plain, 2 workers": Loop(recipe, folder, device, plain=True, workers=2),
        }
        rounds: dict[str, list[Round]] = {name: [] for name in loops}
        for number in range(options.rounds):
            for name, loop in loops.items():
                rounds[name].append(loop.round(number, options.steps))
        for loop in loops.values():
            loop.end()
        crops = crops_of_samples(recipe, folder)
    images = options.steps * min(recipe.train.batch_size, len(crops))
    report(crops, device, rounds, images)


def report(crops: Crops, device: torch.device, rounds: dict[str, list[Round]], images: int) -> None:
    """Print the table. images: in each round of each loop."""

    def median(name: str, value: Callable[[Round], float]) -> float:
        return statistics.median(value(one) for one in rounds[name])

    speeds = {name: median(name, lambda one: images / one.total) for name in rounds}
    print(f"{device}, {torch.get_num_threads()} threads, batches of {crops.train.batch_size} at {crops.train.crop} px,")
    print(f"widths {', '.join(map(str, crops.config.widths))}, bfloat16 {'on' if has_bfloat16(device) else 'off'}\n")
    print("| loop | images/s | waiting for data | augmenting on the device |\n|---|---:|---:|---:|")
    for name, speed in speeds.items():
        loading = median(name, lambda one: one.loading / one.total)
        augmenting = median(name, lambda one: one.augmenting / one.total)
        print(f"| {name} | {speed:.2f} | {loading:.1%} | {augmenting:.1%} |")
    plain = max(speed for name, speed in speeds.items() if name != "ours")
    print(f"\nours / the better plain one: {speeds['ours'] / plain:.2f}")
    if has_bfloat16(device):
        done = operations(crops, device) / crops.train.batch_size * speeds["ours"]
        limit = roof(device)
        print(f"{done / 1e12:.2f} of {limit / 1e12:.2f} TFLOP/s of a bfloat16 matrix product: {done / limit:.0%}")


if __name__ == "__main__":
    main()
