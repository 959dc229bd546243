"""What a finished run says about itself: scores on validation and test, and the files that go beside the weights."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from .. import hub
from ..metrics import scores
from ..predictor import Predictor
from .card import Facts, card_text, views_picture
from .evaluation import evaluate, evaluate_synthetic
from .folder import SPLITS, Example, names_by_split
from .recipe import Recipe


def complete(
    checkpoint: Path, recipe: Recipe, examples: Sequence[Example], facts: Facts, *, device: str = "auto"
) -> None:
    """Score a trained checkpoint on validation and test, and write what says so beside its weights."""
    config, weights = hub.load(checkpoint)
    predictor = Predictor.from_pretrained(checkpoint, device=device)
    by_split = {split: [e for e in examples if e.split == split] for split in SPLITS}
    measured: dict[str, dict[str, object]] = {}
    for split in ("val", "test"):
        if by_split[split]:
            measured[split] = scores(evaluate(predictor, by_split[split], recipe.data, progress=True))
    if recipe.train.synthetic:
        measured["synthetic"] = scores(evaluate_synthetic(predictor, recipe.train.synthetic))
    names = names_by_split(examples)
    files: dict[str, str | bytes] = {
        "split.json": json.dumps(names, indent=1) + "\n",
        "scores.json": json.dumps(measured, indent=1) + "\n",
        "README.md": card_text(
            config, recipe, measured, facts, names, parameters=sum(v.numel() for v in weights.values())
        ),
    }
    if recipe.train.synthetic:
        files["views.png"] = views_picture(predictor, recipe.train.synthetic)
    hub.save(checkpoint, config, weights, files)
