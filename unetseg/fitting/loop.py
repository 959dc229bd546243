"""The one training loop of every task."""

from __future__ import annotations

import copy
import hashlib
import logging
import math
import platform
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import get_total_norm
from torch.utils.data import DataLoader
from tqdm import tqdm

from .. import hub
from ..files import WEIGHTS
from ..model import UNet
from ..predictor import Predictor, has_bfloat16, usable
from ..scores.metrics import scores
from . import distributed
from .data.augment import collate
from .data.dataset import Crops, Pictures, measure
from .data.folder import Example, pictures_by_split, read_example, shared_pictures
from .journal import Journal
from .losses import class_weights, segmentation_loss
from .optimisation import averaged, learning_rate, measure_norms, optimizers, step, update_average, update_mean
from .recipe import Recipe
from .report.card import Facts
from .report.complete import complete, json_text
from .report.evaluation import evaluate
from .state import Position, load_state, save_state
from .stopping import Stopped, deaf_children, ignore_interrupts, stop_requests

log = logging.getLogger(__name__)

MOST_NORM = 1e6
"""Of all weights together: those that learn stay below 1,000, and what lies beyond comes of far too long steps."""


def fit_examples(
    recipe: Recipe,
    examples: Sequence[Example],
    run_dir: Path,
    *,
    resume: bool = False,
    init: str | Path | None = None,
    device: str = "auto",
    tensorboard: bool = False,
    folds: Sequence[tuple[Path, Sequence[Example]]] = (),
) -> Path:
    """`run.fit` on pictures that are found already. folds: see `report.complete`."""
    with distributed.processes(usable(device)) as place:
        if resume and distributed.rank() == 0:
            hub.recover(run_dir / "checkpoint")
        _refuse_empty_splits(examples, cross_validated=bool(folds))
        tested = [e for e in examples if e.split != "train"] + [e for _, held_out in folds for e in held_out]
        scored = list({e.image: e for e in tested}.values())  # cross-validation holds out those of val too
        run = _Run(recipe, examples, run_dir, place, resume=resume, init=init, scored=scored, tensorboard=tensorboard)
        run.train()
        checkpoint = run_dir / "checkpoint"
        if distributed.rank() == 0:
            complete(checkpoint, recipe, examples, run.facts(), device=str(place), folds=folds)
        distributed.wait()
        return checkpoint


def _refuse_empty_splits(examples: Sequence[Example], *, cross_validated: bool) -> None:
    counts = Counter(example.split for example in examples)
    if not counts["train"]:
        raise ValueError(f"the train split is empty ({len(examples)} pictures in all); add pictures or groups")
    if not counts["val"] and not cross_validated:
        raise ValueError(
            f"the val split is empty ({len(examples)} pictures in all); add pictures or groups, or cross-validate "
            "with --folds"
        )


class _Run:
    """One run: what it is told, what it changes, and where it is."""

    def __init__(
        self,
        recipe: Recipe,
        examples: Sequence[Example],
        run_dir: Path,
        device: torch.device,
        *,
        resume: bool,
        init: str | Path | None,
        scored: Sequence[Example],
        tensorboard: bool,
    ) -> None:
        self.recipe, self.run_dir, self.device = recipe, run_dir, device
        self.training, self.validation = ([e for e in examples if e.split == split] for split in ("train", "val"))
        pictures = Pictures(self.training, recipe)
        mean, std, pixels = measure(pictures)
        for example in examples:
            if example.split != "train":
                read_example(example, recipe.data, pictures.config)  # what doesn't fit is told now, not after hours
        self.config = recipe.config(mean, std)
        self.crops = Crops(pictures, self.config)
        if (size := len(self.crops.batches(0)[0])) < distributed.count():
            raise ValueError(
                f"{distributed.count()} processes can't share a batch of {size}; "
                "take a larger batch_size, more pictures or fewer processes"
            )
        smallest = recipe.train.crop * min(recipe.model.scales) * (0.5 if recipe.train.coarse_epochs else 1)
        if smallest <= self.config.stride and size < 2 * distributed.count():
            raise ValueError(
                f"of a crop of {smallest:g} pixels the deepest of {len(recipe.model.widths)} widths sees a single one, "
                "and batch norm needs two; take a larger crop or batch_size, or fewer widths"
            )

        torch.manual_seed(recipe.train.seed)
        self.network = UNet(self.config)
        # a resumed run has its weights, and needs no network to get those that it began with
        self.position = Position(init=None if init is None or resume else _start_from(init, self.network, scored))
        self.network = self.network.to(device)
        nn.utils.convert_conv2d_weight_memory_format(self.network, torch.channels_last)
        self.average = copy.deepcopy(self.network).requires_grad_(False)
        self.trained = [parameter.detach() for parameter in self.network.parameters()]
        self.weights = class_weights(pixels, self.config, recipe.train.balance)
        if self.weights is not None:
            self.weights = self.weights.to(device)
        self.optimizers = optimizers(self.network, recipe.train)
        # all that the weights come from; a card, and settings of the machine, may change between stop and resume
        machine = {"workers", "cache_gb", "save_minutes"}
        fields = recipe.model_dump(mode="json", exclude={"card": True, "train": machine})
        seen = {"mean": mean, "std": std, "pixels": pixels}
        self.pictures = pictures_by_split(examples)
        self.told = {**fields, "pictures": self.pictures, "measured": seen}
        if resume:
            self.position = load_state(
                run_dir / "state.safetensors", self.told, self.network, self.average, self.optimizers
            )
            if init is not None and self.position.init is None:
                raise ValueError(f"{run_dir} was begun without --init; leave it out to go on, or begin another run")
        self.parts = 1  # of a batch, one after the other
        self.per_epoch = len(self.crops.batches(0))
        self.started = self.saved = time.monotonic()
        self.started -= self.position.seconds
        run_dir.mkdir(parents=True, exist_ok=True)
        tensorboard = tensorboard and distributed.rank() == 0
        self.journal = Journal(run_dir, self.position.epoch, self.position.step, tensorboard=tensorboard)

    def train(self) -> None:
        """Train to the end, or until validation has not improved for long."""
        train = self.recipe.train
        network = self.wrapped()
        with stop_requests() as stop:
            for epoch in range(self.position.epoch, train.epochs):
                if train.patience and self.position.stale >= train.patience:
                    log.info("validation has not improved for %d times: the run ends here", self.position.stale)
                    break
                self._epoch(epoch, network, stop)
                self._end_epoch(epoch)
                if distributed.any_of_them(stop.is_set(), self.device):
                    self._stop()

    def wrapped(self) -> nn.Module:
        """The network as the processes train it together."""
        if distributed.count() == 1:
            return self.network
        network: nn.Module = self.network
        if self.device.type == "cuda":  # on CPUs each process normalises by its own share of a batch
            network = nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
        return DistributedDataParallel(network)

    def _epoch(self, epoch: int, network: nn.Module, stop: threading.Event) -> None:
        train, position = self.recipe.train, self.position
        batches = [list(distributed.share(batch)) for batch in self.crops.batches(epoch, position.batch)]
        loader = DataLoader(
            self.crops,
            batch_sampler=batches,
            num_workers=train.workers,
            collate_fn=collate,
            worker_init_fn=ignore_interrupts,
        )
        with deaf_children():
            loaded = iter(loader)
        bar = tqdm(
            loaded,
            desc=f"epoch {epoch + 1}/{train.epochs}",
            initial=position.batch,
            total=self.per_epoch,
            disable=distributed.rank() > 0,
        )
        for batch in bar:
            rate = learning_rate(position.step, self.per_epoch, train)
            for group in (group for optimizer in self.optimizers for group in optimizer.param_groups):
                group["lr"] = rate
            images, labels = self.crops.finished(batch.to(self.device), self.crops.size_at(epoch, position.step))
            loss = self._step(network, images, labels)
            if not math.isfinite(loss):
                names = [self.crops.name(i) for _, i in self.crops.batches(epoch, position.batch)[0]]
                raise ValueError(
                    f"the loss became {loss} at step {position.step} on {', '.join(names)}; "
                    "lower learning_rate, or look at these pictures"
                )
            if not (norm := float(get_total_norm(self.trained))) < MOST_NORM:
                raise ValueError(
                    f"step {position.step} took the weights out of range (their norm is {norm:.1e}), at a learning "
                    f"rate of {rate:.3g}; begin another --run-dir with a lower one; this one keeps what it has saved"
                )
            position.step += 1
            position.batch += 1
            position.loss_sum += loss
            if count := averaged(position.step, self.per_epoch, train):
                update_mean(self.average, self.network, count)
            else:
                update_average(self.average, self.network, train.ema, position.step)
            position.seconds = time.monotonic() - self.started
            left = position.seconds * (self._work(self.per_epoch * train.epochs) / self._work(position.step) - 1)
            dice = f"{position.last:.3f}" if position.last is not None else "-"
            bar.set_postfix(
                loss=f"{position.loss_sum / position.batch:.3f}", dice=dice, left=f"{left / 60:.0f}min", refresh=False
            )
            if distributed.any_of_them(stop.is_set(), self.device):
                self._save()
                self._stop()
            if time.monotonic() - self.saved > 60 * train.save_minutes:
                self._save()

    def _work(self, steps: int) -> float:
        """What so many steps cost, by their pixels: one of a coarse epoch has a quarter."""
        scales, coarse = self.config.scales, min(steps, self.per_epoch * self.recipe.train.coarse_epochs)
        return 0.25 * coarse + (steps - coarse) * sum(scale**2 for scale in scales) / len(scales)

    def _step(self, network: nn.Module, images: Tensor, labels: Tensor) -> float:
        """One step of the optimizers; a GPU that runs out of memory gets the batch in smaller parts."""
        train = self.recipe.train

        def loss(images: Tensor, labels: Tensor) -> Tensor:
            # half the memory traffic and, where hardware has it, twice the speed; weights and losses stay float32
            with torch.autocast(self.device.type, torch.bfloat16, enabled=has_bfloat16(self.device)):
                logits = network(images)
            return segmentation_loss(
                logits,
                labels,
                self.config,
                dice_weight=train.dice_weight,
                batch_dice=train.batch_dice,
                weights=self.weights,
                picture_weight=train.picture_weight if self.config.picture_rule else 0,
            )

        network.train()
        images = images.contiguous(memory_format=torch.channels_last)
        while True:
            try:
                return step(loss, images, labels, self.optimizers, clip_norm=train.clip_norm, parts=self.parts)
            except torch.OutOfMemoryError:
                # alone, the other processes would wait for this one for ever
                if self.parts >= len(images) or distributed.count() > 1:
                    raise ValueError(
                        f"{self.device} has too little memory for a batch of {len(images)} crops of {train.crop} "
                        "pixels; lower batch_size or crop"
                    ) from None
                self.parts *= 2
                tqdm.write(
                    f"out of memory: batches go through in {self.parts} parts from now on, "
                    "so batch norm sees fewer pictures at a time"
                )

    def _end_epoch(self, epoch: int) -> None:
        self._save()  # validation may take long
        train, position = self.recipe.train, self.position
        row: dict[str, object] = {
            "epoch": epoch + 1,
            "step": position.step,
            "learning_rate": f"{learning_rate(position.step, self.per_epoch, train):.6g}",
            "train_loss": f"{position.loss_sum / position.batch:.5f}",
        }
        last, best = position.last, position.best
        stale = position.stale
        if averaged(position.step, self.per_epoch, train) and distributed.rank() == 0:
            measure_norms(self.average, self.crops, epoch)
        distributed.same_buffers(self.average)
        predictor = Predictor(self.average, device=str(self.device))
        if self.validation and distributed.rank() == 0:
            self.journal.panel(predictor, self.validation, self.recipe.data)
        if not self.validation:  # all are trained on, and cross-validation says how good that is
            self._save_checkpoint()
        elif epoch + 1 == train.epochs or (epoch + 1) % train.validate_every == 0:
            counts = evaluate(predictor, distributed.share(self.validation), self.recipe.data)
            result = scores(distributed.merged(counts, self.config))
            score = result["mean_group_dice"]
            # neither masks nor labels hold any class: nothing to choose by
            last = None if score is None else float(str(score))
            numbers = {key: result[key] for key in ("mean_group_dice", "miou", "accuracy")}
            row |= {key: "" if value is None else f"{value:.5f}" for key, value in numbers.items()}
            better = last is None or last > best
            stale = 0 if better else stale + 1
            if train.keep == "last" or better:
                self._save_checkpoint()
            best = max(best, 1.0 if last is None else last)  # nothing found where nothing is can't be bettered
            if distributed.rank() == 0:
                told = "unknown, it shows no class" if last is None else f"{last:.4f}, best {best:.4f}"
                tqdm.write(f"epoch {epoch + 1}: validation Dice {told}")
        position.seconds = time.monotonic() - self.started
        if distributed.rank() == 0:
            self.journal.add({**row, "seconds": f"{position.seconds:.0f}"})
        self.position = replace(position, epoch=epoch + 1, batch=0, loss_sum=0.0, last=last, best=best, stale=stale)
        self._save()

    def _stop(self) -> NoReturn:
        total = self.per_epoch * self.recipe.train.epochs
        raise Stopped(f"stopped at step {self.position.step} of {total}; go on with --resume")

    def _save(self) -> None:
        self.saved = time.monotonic()
        self.position.seconds = self.saved - self.started
        if distributed.rank() == 0:
            path = self.run_dir / "state.safetensors"
            save_state(path, self.position, self.told, self.network, self.average, self.optimizers)

    def _save_checkpoint(self) -> None:
        if distributed.rank() == 0:
            split = {"split.json": json_text(self.pictures)}
            hub.save(self.run_dir / "checkpoint", self.config, self.average.state_dict(), split)

    def facts(self) -> Facts:
        """What the card says of the run itself."""
        on_gpu = self.device.type == "cuda"
        return Facts(
            steps=self.position.step,
            minutes=self.position.seconds / 60,
            processes=distributed.count(),
            threads=torch.get_num_threads(),
            processor=torch.cuda.get_device_name(self.device) if on_gpu else platform.machine() + " CPU",
            init=self.position.init,
            generated=self.crops.generated,
        )


def _start_from(init: str | Path, network: UNet, scored: Sequence[Example]) -> str:
    """Load a checkpoint's weights; of one with other labels, all but the head. Returns what a card says of them.

    scored: the pictures that the run will be scored on.
    """
    source = hub.find(init, companions=True)
    theirs, weights = hub.load(source.folder)
    for field in ("channels", "widths"):
        got, expected = getattr(theirs, field), getattr(network.config, field)
        if got != expected:
            raise ValueError(
                f"--init {init} has {field} {list(got)}, the recipe {list(expected)}; start from one that fits, or "
                + (f"train with --model.widths '{list(got)}'" if field == "widths" else f"give the data those {field}")
            )
    digest = hashlib.sha256((source.folder / WEIGHTS).read_bytes()).hexdigest()
    # no path, for a card may be read anywhere; but each run calls its own "checkpoint"
    folder = source.folder.resolve()
    name = f"{folder.parent.name}/{folder.name}" if folder.name == "checkpoint" else folder.name
    told = f"{source if source.commit else name} (SHA-256 {digest[:12]})"
    seen = shared_pictures(source.folder, "train", scored)
    if seen is None:
        told += ", and nothing says what these were trained on"
        log.warning("--init %s has no split.json: if it knows pictures that are scored here, scores will flatter", init)
    elif seen:
        log.warning("--init %s was trained on %d of the pictures that are scored here; scores will flatter", init, seen)
        told += f", which were trained on {seen} of the pictures scored here"
    ours = network.config
    if (theirs.task, theirs.labels, theirs.outputs) == (ours.task, ours.labels, ours.outputs):
        network.load_state_dict(weights)
        return told
    log.info(
        "a fresh head: %s knows %s (%s), the recipe wants %s (%s); all other weights are taken over",
        init,
        ", ".join(theirs.labels),
        theirs.task,
        ", ".join(network.config.labels),
        network.config.task,
    )
    head = {f"head.{name}": value for name, value in network.head.state_dict().items()}
    network.load_state_dict(weights | head)
    return f"{told}; its head is new"
