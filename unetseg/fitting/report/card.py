"""The model card: README.md of a checkpoint, written from what the run was told and what it measured."""

from __future__ import annotations

import io
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import PIL.Image

from ...config import SegmentationConfig
from ...formats import as_image
from ...hub.model_card import PIPELINE_TAG, elsewhere
from ...hub.seal import MARKDOWN, sealed
from ...predictor import Predictor
from ...render import View
from ...samples import SampleKind, draw_sample
from ...scores.calibration import BINS, HOTTEST, NEAR
from ...scores.coverage import SET_ASIDE
from ...scores.surface import TOLERANCE
from ..data.folder import Split
from ..recipe import Card, Recipe
from ..words import counted
from .plots import least_calibrated
from .results import (
    CLASS_HEADS,
    GROUP_HEADS,
    HEADLINES,
    class_rows,
    error_left_row,
    foreign_lines,
    group_rows,
    mistake_line,
    picture_lines,
    picture_rows,
    shown,
    shown_with_interval,
)

SPLIT_NAMES = {
    "val": "validation",
    "folds": "cross-validation",
    "test": "test",
    "synthetic": "generated samples (synthetic)",
}
REAL = ("val", "folds", "test")


@dataclass(frozen=True)
class Facts:
    """What a run knows of itself.

    minutes: of training, validation included. threads: of each process. init: as in `state.Position`.
    generated: the share of the crops that is cut from generated pictures, 0..1.
    """

    steps: int
    minutes: float
    processes: int
    threads: int
    processor: str
    init: str | None = None
    generated: float = 0


def card_text(
    config: SegmentationConfig,
    recipe: Recipe,
    measured: dict[str, dict[str, Any]],
    calibration: dict[str, Any],
    facts: Facts,
    pictures: Mapping[Split, Mapping[str, Collection[str]]],
) -> str:
    """The whole card; without a `[card]` in the recipe it says plainly that nobody described the data."""
    card = recipe.card or Card(
        title="A U-Net trained with unetseg",
        summary=f"Segments {', '.join(config.classes)}.",
        license="other",
        data="The recipe does not say where the pictures come from.",
        limits="Nobody has written down where it fails. Look at its output before you trust it.",
    )
    coarse, scales = recipe.train.coarse_epochs, " and ".join(f"{scale:g}" for scale in config.scales)
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
        + f"at {config.resolutions}. A U-Net of widths {', '.join(map(str, config.widths))}, "
        + f"{config.parameters:,} parameters.\n",
        elsewhere(config),
        _pictures_section(config, measured),
        _scores_section(config, measured, pictures, facts),
        _calibration_section(config, calibration, measured),
        _trust_section(config, calibration["gate"], measured),
        f"## Training\n\n{card.data}\n",
        f"{counted(sum(map(len, pictures['train'].values())), 'picture')} of "
        f"{counted(len(pictures['train']), 'group')}; "
        f"`split.json` names them. {counted(facts.steps, 'step')} of {counted(recipe.train.batch_size, 'crop')} of "
        f"{recipe.train.crop} pixels, "
        + (f"in the first {counted(coarse, 'epoch')} at half the resolution, " if coarse else "")
        + (f"{'then ' if coarse else ''}in turn at {scales} times the resolution, " if len(config.scales) > 1 else "")
        + (f"{counted(round(facts.minutes), 'minute')} on " if facts.minutes >= 0.5 else "less than a minute on ")
        + (f"{facts.processes} processes of " if facts.processes > 1 else "")
        + f"{counted(facts.threads, 'thread')}{' each' if facts.processes > 1 else ''} ({facts.processor}), "
        + f"seed {recipe.train.seed}. "
        + (f"Training began with the weights of {facts.init}. " if facts.init else "")
        + (
            f"{facts.generated:.0%} of the crops were cut from generated pictures (synthetic).\n"
            if facts.generated
            else "\n"
        ),
        f"<details><summary>The recipe</summary>\n\n```toml\n{recipe.to_toml()}```\n\n</details>\n",
        f"## Where it fails\n\n{card.limits}\n",
        _worst_cases(measured),
    ]
    return sealed("\n".join(parts), MARKDOWN)


def views_picture(predictor: Predictor, config: SegmentationConfig, kind: SampleKind, seed: int = 0) -> bytes:
    """A generated picture and its three views, as the temperatures and thresholds of a config make them, as a PNG."""
    pixels, _ = draw_sample(kind, seed, 256)
    segmentation = replace(predictor(as_image(pixels)), config=config)
    views: tuple[View, ...] = ("probability", "thresholded", "argmax")
    gap = np.full((pixels.shape[0], 8, 3), 255, dtype=np.uint8)
    columns = [segmentation.rgb[0]]
    for view in views:
        columns += [gap, segmentation.view(view)]
    file = io.BytesIO()
    PIL.Image.fromarray(np.concatenate(columns, axis=1)).save(file, format="PNG", optimize=True)
    return file.getvalue()


def _front_matter(card: Card, measured: dict[str, dict[str, Any]]) -> str:
    lines = [
        f"license: {card.license}",
        "library_name: unetseg",
        f"pipeline_tag: {PIPELINE_TAG}",
        "tags:",
        *(f"- {tag}" for tag in ("image-segmentation", "unet", *card.tags)),
        *(["datasets:", *(f"- {name}" for name in card.datasets)] if card.datasets else []),
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
        for key, words in HEADLINES:
            name = words[0].upper() + words[1:]
            if result[key] is not None:
                lines += [f"    - type: {key}", f"      name: {name}", f"      value: {result[key]:.4f}"]
    return "---\n" + "\n".join(lines) + "\n---\n"


def _pictures_section(config: SegmentationConfig, measured: dict[str, dict[str, Any]]) -> str:
    """The labels of whole pictures, where the model gives them."""
    if config.picture_rule is None:
        return ""
    parts = [
        "## The label of the picture\n",
        "`segmentation.picture()` gives the probability of each class for the picture as a whole: the softmax of the "
        "mean logits of its pixels, each weighing as much as it is foreground, at a temperature of "
        f"{config.picture_temperature:g}. Accuracy is argmax against labels.\n",
    ]
    for split in REAL:
        if split in measured and "picture" in measured[split]:
            found, name = measured[split]["picture"], SPLIT_NAMES[split]
            parts.append(f"{name[0].upper() + name[1:]}: {' '.join(picture_lines(found))}\n")
            heads, *rows = picture_rows(found)
            parts.append(_table(heads, rows))
            if found["mistakes"]:
                parts.append(f"Held for the surest and wrong: {'; '.join(map(mistake_line, found['mistakes']))}.\n")
    return "\n".join(parts)


def _scores_section(
    config: SegmentationConfig,
    measured: dict[str, dict[str, Any]],
    pictures: Mapping[Split, Mapping[str, Collection[str]]],
    facts: Facts,
) -> str:
    heads = []
    for split, result in measured.items():
        groups = 0 if split == "synthetic" else len(result["groups"])
        heads.append(
            f"{SPLIT_NAMES[split]}, {counted(result['pictures'], 'picture')}"
            + (f" of {counted(groups, 'group')}" if groups else "")
        )
    rows = [[name, *(shown_with_interval(result, key) for result in measured.values())] for key, name in HEADLINES]
    rows += [
        [f"Dice, {name}", *(shown(result["dice"].get(name)) for result in measured.values())] for name in config.classes
    ]
    parts = ["## Scores\n", _table(["", *heads], rows)]
    parts.append(
        "Pooled over all pixels of a split, at the size the pictures are stored in. *Mean group Dice* pools the pixels "
        "of a group (patient, tile), takes the mean over its classes, then over groups. In brackets: 95 % bootstrap "
        "intervals over groups, where there are five or more. The labels that are scored are those that `save` "
        "writes.\n"
    )
    if "folds" in measured:
        parts.append(
            "Cross-validation: each picture is scored by a network that was trained without the picture's group"
            + (", from weights of which *Training* tells.\n" if facts.init else ".\n")
        )
    if "test" in measured:
        looks = measured["test"]["looks"]
        parts.append(f"The test split was looked at {'once' if looks == 1 else f'{looks} times'}, this one included.\n")
    for split in REAL:
        if split in measured:
            result = measured[split]
            parts.append(f"By class, {SPLIT_NAMES[split]}:\n\n" + _table(CLASS_HEADS, class_rows(result)))
            without = result["without_class"]
            if without["pictures"]:
                parts.append(
                    f"Of {counted(without['pictures'], 'picture')} without any class "
                    f"{without['false_alarms']} {'has' if without['false_alarms'] == 1 else 'have'} more than "
                    f"{without['more_than_pixels']} predicted pixels at the working size.\n"
                )
    parts.append(
        "Outlines are compared slice by slice, a picture being a slice, in pixels of the stored picture. Surface Dice: "
        f"the share of both outlines at most {TOLERANCE} pixels from the other one. HD95: the 95th percentile of the "
        "distances between them, over slices where truth and prediction both have the class; where only one has "
        "it, the prediction or the truth is counted as empty.\n"
    )
    for split in REAL:
        if split in measured and len(measured[split]["groups"]) > 1:
            rows = group_rows(measured[split])
            few = len(rows) < len(measured[split]["groups"])
            words = f"By group, {SPLIT_NAMES[split]}" + (": the worst and the best; scores.json has all" if few else "")
            parts.append(f"<details><summary>{words}</summary>\n\n{_table(GROUP_HEADS, rows)}\n</details>\n")
    return "\n".join(parts)


def _calibration_section(
    config: SegmentationConfig, calibration: dict[str, Any], measured: dict[str, dict[str, Any]]
) -> str:
    fitted = calibration["fitted_on"]
    rows = []
    drawn = least_calibrated(calibration)
    for name in drawn:
        for place, words in (
            ("everywhere", "whole picture"),
            (f"within_{NEAR}_pixels", f"within {NEAR} pixels of a boundary"),
        ):
            cells = [
                f"{result['calibration'][when][place]['by_class'][name]:.4f}"
                for split, result in measured.items()
                if split != "synthetic"
                for when in ("before", "after")
            ]
            rows.append([f"{name}, {words}", *cells])
    heads = [f"{SPLIT_NAMES[s]}, {when}" for s in measured if s != "synthetic" for when in ("before", "after")]
    return "\n".join(
        [
            "## Calibration\n",
            f"Temperatures ({', '.join(f'{t:g}' for t in config.temperatures)}) and thresholds "
            + f"({', '.join(f'{name} {t:g}' for name, t in zip(config.outputs, config.thresholds, strict=True))}) "
            + ("were fitted on" if fitted["fitted"] else "were left as they are, and measured on")
            + f" {fitted['what']}: {counted(fitted['pictures'], 'picture')} of "
            + f"{counted(len(fitted['groups']), 'group')}, "
            + f"{fitted['pixels'] / 1e6:.1f} million pixels at {config.resolution}. "
            + (
                f"A temperature of {HOTTEST} is the highest that is tried: the logits say hardly anything. "
                if max(config.temperatures) > 0.99 * HOTTEST
                else ""
            )
            + _how_thresholds_serve(config, fitted=fitted["fitted"]),
            _table(["expected calibration error", *heads], rows),
            f"{BINS} equally wide bins of p(class); before is a temperature of 1. Pixels are pooled, those of large "
            "pictures thinned out evenly to a limit for each. A boundary is where labels change, in the truth or in "
            f"the argmax; pixels are those at {config.resolution}. Bars: how many pixels a "
            "bin has, on a logarithmic scale."
            + (
                f" In the table and drawn are the {len(drawn)} of {len(config.outputs)} classes with the largest error "
                "after; `calibration.json` has all.\n"
                if len(drawn) < len(config.outputs)
                else "\n"
            ),
            "![Share of pixels that have the class against its probability](reliability.png)\n",
            "![Precision, recall and Dice at every threshold](thresholds.png)\n",
        ]
    )


def _trust_section(config: SegmentationConfig, gate: dict[str, Any], measured: dict[str, dict[str, Any]]) -> str:
    error = "share of wrong pixels" if config.background is None else "1 - Dice"
    parts = ["## What it has not seen\n"]
    if gate["limit"] is None:
        parts.append(
            f"`gate.safetensors` holds what the network makes of its training pictures. Only "
            f"{counted(gate['held_out'], 'picture')} were held out, too few to say how far is too far: it calls none "
            "foreign.\n"
        )
    else:
        turns = (
            f" It knows of {gate['turns']:.1%} of them that they lie upright, among all turns and mirror images, and "
            "proposes to turn a picture that lies otherwise."
            if gate["margin"] is not None
            else ""
        )
        parts.append(
            f"A picture is called foreign where what the network makes of it is farther from its training pictures "
            f"than {gate['limit']:.2f}: at most {gate['false_alarms']:.0%} of the {gate['held_out']} held-out pictures "
            "and slices are."
            f"{turns}\n"
        )
    rows = [
        [SPLIT_NAMES[split], *row] for split, result in measured.items() if (row := error_left_row(result["trust"]))
    ]
    if rows:
        chance = ["by chance", *(f"{1 - share:.0%}" for share in SET_ASIDE)]
        parts.append(
            "`Segmentation.agreement` is how well the labels of its scales agree. Where the pictures on which they "
            f"agree least are set aside, so much of the error ({error} of each picture) is left:\n\n"
            + _table(["set aside", *(f"{share:.0%}" for share in SET_ASIDE)], [*rows, chance])
        )
    for split, result in measured.items():
        if said := foreign_lines(result["trust"]):
            name = SPLIT_NAMES[split]
            parts.append(f"- {name[0].upper() + name[1:]}: {' '.join(said)}")
    return "\n".join(parts) + "\n"


def _how_thresholds_serve(config: SegmentationConfig, *, fitted: bool) -> str:
    if config.exclusive or config.background is None:
        return "The labels are the argmax; thresholds serve the thresholded view only.\n"
    if not fitted:
        return "\n"
    if len(config.classes) == 1:
        return "The threshold has the best Dice there, within 0.002.\n"
    return (
        "Each threshold has the best Dice of its class there, within 0.002, or all are 0.5 where that makes better "
        "labels.\n"
    )


def _worst_cases(measured: dict[str, dict[str, Any]]) -> str:
    lines = [
        f"- {SPLIT_NAMES[split]}: " + ", ".join(f"{w['picture']} ({w['dice']:.3f})" for w in measured[split]["worst"])
        for split in REAL
        if split in measured and measured[split]["worst"]
    ]
    return "The worst pictures, with their Dice:\n\n" + "\n".join(lines) + "\n" if lines else ""


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    # a bar within a cell would end it
    head, *body = ("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in (heads, *rows))
    return "\n".join([head, "|---" * len(heads) + "|", *body]) + "\n"
