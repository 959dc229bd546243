"""The one training loop of every task."""

from __future__ import annotations

import contextlib
import copy
import csv
import io
import math
import platform
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import FrameType

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_
from torch.utils.data import DataLoader
from tqdm import tqdm

from .. import hub
from ..config import SegmentationConfig
from ..files import whole
from ..metrics import scores
from ..model import UNet
from ..predictor import Predictor, best_device, has_bfloat16
from .card import Facts
from .dataset import Crops, Pictures, measure
from .evaluation import evaluate
from .folder import SPLITS, Example, Split, find_examples, names_by_split, read_example
from .losses import segmentation_loss
from .recipe import Recipe, Train
from .report import complete
from .state import Position, load_state, save_state


class Stopped(Exception):  # noqa: N818, it is no error
    """The run was asked to stop and has saved its state."""


def fit(
    recipe: Recipe,
    data: Path,
    run_dir: Path,
    *,
    resume: bool = False,
    init: str | Path | None = None,
    device: str = "auto",
) -> Path:
    """Train by a recipe on the pictures in `data`; the checkpoint's path, `run_dir/checkpoint`.

    run_dir: gets metrics.csv, state.safetensors and the checkpoint. resume: go on where a stopped run left off.
    init: start from the weights of this checkpoint, which must fit the recipe's network, instead of random ones.
    Ctrl-C or SIGTERM saves the state after the step at hand and raises Stopped.
    Raises ValueError for data or a run folder that don't fit.
    """
    state_path, checkpoint = run_dir / "state.safetensors", run_dir / "checkpoint"
    if state_path.exists() and not resume:
        raise ValueError(f"{run_dir} holds a run already; go on with --resume, or name another --run-dir")
    train, place = recipe.train, _device(device)
    examples = find_examples(recipe.data, data, train.seed)
    by_split: dict[Split, list[Example]] = {s: [e for e in examples if e.split == s] for s in SPLITS}
    for split in ("train", "val"):
        if not by_split[split]:
            raise ValueError(
                f"the {split} split of {data} is empty ({len(examples)} pictures in all); add pictures or groups"
            )
    pictures = Pictures(by_split["train"], recipe)
    mean, std, _ = measure(pictures)
    for example in (*by_split["val"], *by_split["test"]):
        read_example(example, recipe.data, pictures.config)  # what doesn't fit is told now, not after hours
    config = recipe.config(mean, std)
    crops = Crops(pictures, config)

    torch.manual_seed(train.seed)
    network = UNet(config)
    if init is not None:
        network.load_state_dict(_weights(init, config))
    network = network.to(place)
    nn.utils.convert_conv2d_weight_memory_format(network, torch.channels_last)
    average = copy.deepcopy(network).requires_grad_(False)
    optimizer = torch.optim.AdamW(network.parameters(), lr=train.learning_rate, weight_decay=train.weight_decay)
    stems = names_by_split(examples)
    # all that the weights come from; a card, and settings of the machine, may change between stop and resume
    fields = recipe.model_dump(mode="json", exclude={"card": True, "train": {"workers", "cache_gb"}})
    told = {**fields, "pictures": stems}
    position = Position()
    if resume:
        position = load_state(state_path, told, network, average, optimizer)
    run_dir.mkdir(parents=True, exist_ok=True)
    table = Table(run_dir / "metrics.csv", position.epoch)

    def save() -> None:
        save_state(state_path, position, told, network, average, optimizer)

    per_epoch = len(crops.batches(0))
    started = time.monotonic() - position.seconds
    with _stop_requests() as stop:
        for epoch in range(position.epoch, train.epochs):
            batches = crops.batches(epoch, position.batch)
            loader = DataLoader(crops, batch_sampler=batches, num_workers=train.workers)
            bar = tqdm(loader, desc=f"epoch {epoch + 1}/{train.epochs}", initial=position.batch, total=per_epoch)
            for images, labels in bar:
                rate = _learning_rate(position.step, per_epoch, train)
                for group in optimizer.param_groups:
                    group["lr"] = rate
                loss = _step(network, images, labels, optimizer, config, train, place)
                if not math.isfinite(loss):
                    names = [_name(crops, i) for _, i in crops.batches(epoch, position.batch)[0]]
                    raise ValueError(
                        f"the loss became {loss} at step {position.step} on {', '.join(names)}; "
                        "lower learning_rate, or look at these pictures"
                    )
                position.step += 1
                position.batch += 1
                position.loss_sum += loss
                _update_average(average, network, train.ema, position.step)
                bar.set_postfix(loss=f"{position.loss_sum / position.batch:.3f}", refresh=False)
                if stop.is_set():
                    position.seconds = time.monotonic() - started
                    save()
                    raise Stopped(f"stopped at step {position.step} of {per_epoch * train.epochs}; go on with --resume")
            row: dict[str, object] = {
                "epoch": epoch + 1,
                "step": position.step,
                "learning_rate": f"{_learning_rate(position.step, per_epoch, train):.6g}",
                "train_loss": f"{position.loss_sum / position.batch:.5f}",
            }
            last = epoch + 1 == train.epochs
            if last or (epoch + 1) % train.validate_every == 0:
                result = scores(evaluate(Predictor(average, device=str(place)), by_split["val"], recipe.data))
                score = float(str(result["mean_group_dice"] or 0.0))
                # None where neither masks nor labels hold any class
                numbers = {key: result[key] for key in ("mean_group_dice", "miou", "accuracy")}
                row |= {key: "" if value is None else f"{value:.5f}" for key, value in numbers.items()}
                if train.keep == "last" or score > position.best:
                    position.best = score
                    hub.save(checkpoint, config, average.state_dict())
                tqdm.write(f"epoch {epoch + 1}: validation Dice {score:.4f}, best {position.best:.4f}")
            position.seconds = time.monotonic() - started
            table.add({**row, "seconds": f"{position.seconds:.0f}"})
            position = replace(position, epoch=epoch + 1, batch=0, loss_sum=0.0)
            save()
    facts = Facts(
        steps=position.step,
        minutes=position.seconds / 60,
        threads=torch.get_num_threads(),
        processor=torch.cuda.get_device_name(place) if place.type == "cuda" else platform.machine() + " CPU",
    )
    complete(checkpoint, recipe, examples, facts, device=str(place))
    return checkpoint


def _weights(init: str | Path, config: SegmentationConfig) -> dict[str, Tensor]:
    theirs, weights = hub.load(hub.find(init))
    for field in ("task", "classes", "background", "channels", "widths"):
        got, expected = getattr(theirs, field), getattr(config, field)
        if got != expected:
            raise ValueError(f"--init {init} has {field} {got}, the recipe {expected}; start from one that fits")
    return weights


def _step(
    network: UNet,
    images: Tensor,
    labels: Tensor,
    optimizer: torch.optim.AdamW,
    config: SegmentationConfig,
    train: Train,
    device: torch.device,
) -> float:
    network.train()
    images = images.to(device, memory_format=torch.channels_last)
    # half the memory traffic and, where hardware has it, twice the speed; weights and losses stay float32
    with torch.autocast(device.type, torch.bfloat16, enabled=has_bfloat16(device)):
        logits = network(images)
    loss = segmentation_loss(
        logits, labels.to(device), config, dice_weight=train.dice_weight, batch_dice=train.batch_dice
    )
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    clip_grad_norm_(network.parameters(), train.clip_norm)
    optimizer.step()
    return loss.item()


def _learning_rate(step: int, per_epoch: int, train: Train) -> float:
    """Linear warm-up, then half a cosine to 0 (Loshchilov and Hutter 2017, arXiv 1608.03983)."""
    warmup, total = train.warmup_epochs * per_epoch, train.epochs * per_epoch
    if step < warmup:
        return train.learning_rate * min(1, (step + 1) / warmup)
    return train.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))


@torch.no_grad()
def _update_average(average: UNet, network: UNet, decay: float, step: int) -> None:
    """Exponential moving average of weights; early on it forgets faster, so that no random start remains."""
    decay = min(decay, step / (step + 10))
    for mine, new in zip(average.state_dict().values(), network.state_dict().values(), strict=True):
        if mine.is_floating_point():
            mine.lerp_(new, 1 - decay)
        else:
            mine.copy_(new)


def _device(name: str) -> torch.device:
    try:
        place = torch.device(best_device() if name == "auto" else name)
        torch.zeros(1, device=place)
    except (RuntimeError, AssertionError):  # for an unknown name; for one that this build of torch can't use
        raise ValueError(f"device {name!r} can't be used here; {best_device()!r} can") from None
    return place


def _name(crops: Crops, i: int) -> str:
    index = crops.order[i]
    examples = crops.pictures.examples
    return examples[index].image.name if index < len(examples) else f"synthetic picture {index - len(examples)}"


class Table:
    """metrics.csv: one row an epoch, whole at any moment; rows from `epoch` on are dropped at a resume."""

    columns = ("epoch", "step", "learning_rate", "train_loss", "mean_group_dice", "miou", "accuracy", "seconds")

    def __init__(self, path: Path, epoch: int) -> None:
        self.path = path
        self.rows: list[dict[str, object]] = []
        if path.exists() and epoch:
            with path.open(newline="", encoding="utf-8") as file:
                self.rows = [dict(row) for row in csv.DictReader(file) if int(row["epoch"]) <= epoch]

    def add(self, row: dict[str, object]) -> None:
        """Append a row, unknown values left empty."""
        self.rows.append(row)
        text = io.StringIO()
        writer = csv.DictWriter(text, self.columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        with whole(self.path) as temporary:
            temporary.write_text(text.getvalue(), encoding="utf-8")


@contextlib.contextmanager
def _stop_requests() -> Iterator[threading.Event]:
    """An event that Ctrl-C or SIGTERM sets; a second one ends the process as usual."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event  # only the main thread may take signals
        return

    def ask(number: int, frame: FrameType | None) -> None:
        event.set()
        signal.signal(number, before[signal.Signals(number)])

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield event
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
