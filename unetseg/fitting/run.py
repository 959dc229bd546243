"""From a recipe and a folder to a checkpoint, with or without cross-validation before it."""

from __future__ import annotations

import json
import logging
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..files import whole
from ..predictor import usable
from . import distributed
from .data.folder import Example, find_examples, read_truth
from .data.joined import read_joined
from .lock import held
from .loop import fit_examples
from .memory import keep_freed_memory
from .recipe import Recipe

log = logging.getLogger(__name__)


def fit(
    recipe: Recipe,
    data: Path,
    run_dir: Path,
    *,
    resume: bool = False,
    init: str | Path | None = None,
    device: str = "auto",
    folds: int = 0,
    tensorboard: bool = False,
) -> Path:
    """Train by a recipe on the pictures in `data`; the checkpoint's path, `run_dir/checkpoint`.

    run_dir: gets the checkpoint, metrics.csv, curves.png, validation.png and state.safetensors.
    resume: go on where a stopped run left off. init: start from the weights of this checkpoint, with a fresh head
        where it has other labels. tensorboard: write its event files too.
    folds: before the run itself, cross-validate over so many folds of the recipe's `fold_groups`, and calibrate the
        checkpoint on the pictures that each fold's network has not seen.
    Ctrl-C or SIGTERM saves the state after the step at hand and raises Stopped. Under `torchrun`, all processes
    train together, and the first one writes.
    Raises ValueError for data or a run folder that don't fit, and where another run is under way in the folder.
    """
    keep_freed_memory()  # before the first tensor
    check_run_dir(run_dir, resume=resume, folds=folds)
    examples = find_examples(recipe.data, data, recipe.train.seed)
    if recipe.data.group_column is None and recipe.data.group_pattern is None:
        log.info("every picture counts as a group of its own; if several show one patient or place, name group_pattern")
    with distributed.processes(usable(device)) as place, held(run_dir, place):
        check_run_dir(run_dir, resume=resume, folds=folds)  # another run may have ended meanwhile
        held_out = _cross_validate(
            recipe, examples, run_dir, folds, resume=resume, init=init, device=device, tensorboard=tensorboard
        )
        # of a run that was stopped in a fold, nothing of its own is there yet
        resume = resume and (not folds or _has_state(run_dir))
        return fit_examples(
            recipe, examples, run_dir, resume=resume, init=init, device=device, tensorboard=tensorboard, folds=held_out
        )


def check_run_dir(run_dir: Path, *, resume: bool, folds: int) -> None:
    """ValueError where a run would be overwritten, or is to be resumed but not there or begun otherwise."""
    if not resume and begun(run_dir):
        raise ValueError(f"{run_dir} holds a run already; go on with --resume, or name another --run-dir")
    if resume and not begun(run_dir):
        raise ValueError(f"nothing to resume: {run_dir} holds no run; start without --resume")
    if resume and not folds and _has_state(run_dir / "folds" / "1"):
        raise ValueError(f"{run_dir} was begun with --folds; give --folds with the same number beside --resume")


def begun(run_dir: Path) -> bool:
    """Whether a run, or the first of its folds, left a state to go on from."""
    return _has_state(run_dir) or _has_state(run_dir / "folds" / "1")


def _has_state(run_dir: Path) -> bool:
    return (run_dir / "state.safetensors").exists()


def _cross_validate(
    recipe: Recipe,
    examples: Sequence[Example],
    run_dir: Path,
    folds: int,
    *,
    resume: bool,
    init: str | Path | None,
    device: str,
    tensorboard: bool,
) -> list[tuple[Path, list[Example]]]:
    """Train a network for each fold; their checkpoints, each with the pictures that it has not seen."""
    if not folds:
        return []
    # the pictures that a fold is scored on must not choose its weights
    recipe = recipe.model_copy(update={"train": recipe.train.model_copy(update={"keep": "last", "patience": 0})})
    held_out = []
    divided = split_folds(examples, folds, recipe.train.seed, recipe.data.fold_groups)
    _refuse_folds_without_a_class(divided, recipe)
    for number, fold in enumerate(divided, start=1):
        folder = run_dir / "folds" / str(number)
        fit_examples(
            recipe,
            fold,
            folder,
            resume=resume and _has_state(folder),
            init=init,
            device=device,
            tensorboard=tensorboard,
        )
        held_out.append((folder / "checkpoint", [e for e in fold if e.split == "val"]))
    if distributed.rank() == 0:
        _summarise(run_dir, held_out)
    return held_out


def _refuse_folds_without_a_class(folds: Sequence[Sequence[Example]], recipe: Recipe) -> None:
    """Before hours of training: ValueError for a fold that would train without a pixel of some class."""
    channels = len(recipe.data.channels)
    config = recipe.config((0.0,) * channels, (1.0,) * channels)
    found = {}
    for e in folds[0]:
        truth = read_truth(e, read_joined(e), recipe.data, config)
        found[e.image] = set(np.unique(truth).tolist())
    for number, fold in enumerate(folds, start=1):
        here = set().union(*(found[e.image] for e in fold if e.split == "train"))
        for label, name in enumerate(config.labels):
            if label not in here:
                raise ValueError(
                    f"fold {number} of {len(folds)} would train without a pixel of {name!r}: only groups that it holds "
                    "out have some; take more folds, or pictures of more groups with it"
                )


def split_folds(examples: Sequence[Example], count: int, seed: int, only: Sequence[str] = ()) -> list[list[Example]]:
    """The pictures that are not for testing, `count` times, each time with other groups as validation.

    Every group is held out once, of those in `only` if it names any; the folds hold about as many pictures each.
    Raises ValueError for too few groups, and for an unknown one.
    """
    pictures = Counter(example.group for example in examples if example.split != "test")
    if unknown := sorted(set(only) - set(pictures)):
        raise ValueError(
            f"fold_groups names {unknown[0]!r}, expected some of the groups that are not for testing: "
            + ", ".join(sorted(pictures))
        )
    groups = sorted(set(only) or pictures)
    if not 2 <= count <= len(groups):
        whose = "fold_groups" if only else "the groups that are not for testing"
        raise ValueError(f"--folds is {count}, expected 2 to {len(groups)}, the number of {whose}")
    random.Random(seed).shuffle(groups)
    groups.sort(key=lambda group: -pictures[group])
    sizes, fold_of = [0] * count, {}
    for group in groups:
        fold_of[group] = sizes.index(min(sizes))
        sizes[fold_of[group]] += pictures[group]
    return [
        [replace(e, split="val" if fold_of.get(e.group) == fold else "train") for e in examples if e.split != "test"]
        for fold in range(count)
    ]


def _summarise(run_dir: Path, held_out: Sequence[tuple[Path, Sequence[Example]]]) -> None:
    """Write cross_validation.json: the scores of each fold, uncalibrated, their mean and standard deviation."""
    folds: list[dict[str, object]] = []
    keys = ("mean_group_dice", "miou", "accuracy")
    for checkpoint, examples in held_out:
        scores = json.loads((checkpoint / "scores.json").read_text(encoding="utf-8"))["val"]["uncalibrated"]
        groups = sorted({example.group for example in examples})
        folds.append({"groups": groups, "pictures": len(examples), **{key: scores[key] for key in keys}})
    summary: dict[str, object] = {"folds": folds}
    for key in keys:
        values = [float(str(fold[key])) for fold in folds if fold[key] is not None]
        summary[key] = {"mean": float(np.mean(values)), "std": float(np.std(values))} if values else None
    with whole(run_dir / "cross_validation.json") as temporary:
        temporary.write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
