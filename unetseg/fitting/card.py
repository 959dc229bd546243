"""The model card: README.md of a checkpoint, written from what the run was told and what it measured."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import PIL.Image

from ..config import SegmentationConfig
from ..formats import as_image
from ..predictor import Predictor
from ..render import View
from ..samples import SampleKind, draw_sample
from .folder import Split
from .recipe import Card, Recipe

SPLIT_NAMES = {"val": "validation", "test": "test", "synthetic": "generated samples (synthetic)"}


@dataclass(frozen=True)
class Facts:
    """What a run knows of itself. minutes: of training, validation included."""

    steps: int
    minutes: float
    threads: int
    processor: str


def card_text(
    config: SegmentationConfig,
    recipe: Recipe,
    measured: dict[str, dict[str, Any]],
    facts: Facts,
    names: Mapping[Split, Mapping[str, Sequence[str]]],
    *,
    parameters: int,
) -> str:
    """The whole card; without a `[card]` in the recipe it says plainly that nobody described the data."""
    card = recipe.card or Card(
        title="A U-Net trained with unetseg",
        summary=f"Segments {', '.join(config.classes)}.",
        license="other",
        data="The recipe does not say where the pictures come from.",
        limits="Nobody has written down where it fails. Look at its output before you trust it.",
    )
    parts = [_front_matter(card, measured), f"# {card.title}\n\n{card.summary}\n"]
    if recipe.train.synthetic:
        parts.append(
            "![A picture, its probability, thresholded and argmax-colourised output](views.png)\n\n"
            "*A generated picture (synthetic) and what this checkpoint makes of it: probability, thresholded, "
            "argmax in the palette.*\n"
        )
    parts += [
        "## Use\n\n```python\nfrom unetseg import Predictor\n\n"
        'segmentation = Predictor.from_pretrained("path/to/this/folder")("picture.png")\n'
        'segmentation.save("labels.png")\n```\n',
        f"Task: {config.task}. Labels: "
        + ", ".join(f"{i} {name}" for i, name in enumerate(config.labels))
        + f". Input: {', '.join(config.channels)}, "
        + (f"longer side resized to {config.working_size} pixels" if config.working_size else "at its own resolution")
        + f". A U-Net of widths {', '.join(map(str, config.widths))}, {parameters / 1e6:.1f} million numbers.\n",
        "## Scores\n",
        _table(config, measured, names),
        "Dice and IoU are pooled over all pixels of a split, at the size the pictures are stored in. *Mean group Dice* "
        "pools the pixels of a group (patient, tile), takes the mean over its classes, then over groups. Probabilities "
        "are not calibrated; thresholds are 0.5.\n",
        f"## Training\n\n{card.data}\n",
        f"{sum(map(len, names['train'].values()))} pictures of {len(names['train'])} groups; `split.json` names them. "
        f"{facts.steps} steps of {recipe.train.batch_size} crops of {recipe.train.crop} pixels, "
        f"{facts.minutes:.0f} minutes on {facts.threads} threads ({facts.processor}), seed {recipe.train.seed}. "
        + (
            f"Generated pictures were mixed in, {recipe.train.synthetic_share:.0%} of the number of real ones.\n"
            if recipe.train.synthetic_share and recipe.train.synthetic
            else "\n"
        ),
        f"## Where it fails\n\n{card.limits}\n",
    ]
    return "\n".join(parts)


def views_picture(predictor: Predictor, kind: SampleKind, seed: int = 0) -> bytes:
    """A generated picture and its three views side by side, as a PNG."""
    pixels, _ = draw_sample(kind, seed, 256)
    segmentation = predictor(as_image(pixels))
    views: tuple[View, ...] = ("probability", "thresholded", "argmax")
    gap = np.full((pixels.shape[0], 8, 3), 255, dtype=np.uint8)
    columns = [segmentation.picture[0]]
    for view in views:
        columns += [gap, segmentation.view(view)]
    file = io.BytesIO()
    PIL.Image.fromarray(np.concatenate(columns, axis=1)).save(file, format="PNG", optimize=True)
    return file.getvalue()


def _front_matter(card: Card, measured: dict[str, dict[str, Any]]) -> str:
    lines = [
        f"license: {card.license}",
        "library_name: unetseg",
        "pipeline_tag: image-segmentation",
        "tags:",
        *(f"- {tag}" for tag in ("image-segmentation", "unet", *card.tags)),
        "metrics:",
        "- dice",
        "- mean_iou",
        "- accuracy",
        "model-index:",
        f"- name: {json.dumps(card.title)}",
        "  results:",
    ]
    for split, result in measured.items():
        lines += [
            "  - task:",
            "      type: image-segmentation",
            "    dataset:",
            f"      name: {json.dumps(f'{card.title}, {SPLIT_NAMES[split]}')}",
            "      type: custom",
            f"      split: {split}",
            "    metrics:",
        ]
        for key, name in (("mean_group_dice", "Mean group Dice"), ("miou", "Mean IoU"), ("accuracy", "Accuracy")):
            if result[key] is not None:
                lines += [f"    - type: {key}", f"      name: {name}", f"      value: {result[key]:.4f}"]
    return "---\n" + "\n".join(lines) + "\n---\n"


def _table(
    config: SegmentationConfig, measured: dict[str, dict[str, Any]], names: Mapping[Split, Mapping[str, Sequence[str]]]
) -> str:
    def shown(value: float | None) -> str:
        return "" if value is None else f"{value:.3f}"

    heads, rows = [], []
    for split in measured:
        pictures = sum(len(stems) for key, group in names.items() if key == split for stems in group.values())
        heads.append(SPLIT_NAMES[split] + (f", {pictures} pictures" if pictures else ""))
    for key, name in (("mean_group_dice", "mean group Dice"), ("miou", "mean IoU"), ("accuracy", "accuracy")):
        rows.append([name, *(shown(result[key]) for result in measured.values())])
    for class_name in config.classes:
        for key in ("dice", "iou"):
            cells = (shown(result[key].get(class_name)) for result in measured.values())
            rows.append([f"{key.replace('iou', 'IoU').replace('dice', 'Dice')}, {class_name}", *cells])
    lines = ["| | " + " | ".join(heads) + " |", "|---|" + "---|" * len(heads)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)]) + "\n"
