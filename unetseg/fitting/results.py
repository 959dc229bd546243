"""What was measured on a split: as the entry of `scores.json`, and as a text to read."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..calibration import BINS, NEAR
from ..metrics import intervals, scores
from ..surface import TOLERANCE
from .evaluation import FALSE_PIXELS, Assessment

HEADLINES = (("mean_group_dice", "mean group Dice"), ("miou", "mean IoU"), ("accuracy", "accuracy"))


def split_scores(assessment: Assessment) -> dict[str, Any]:
    """The scores of a split, ready for JSON; what there was nothing to measure of is None or left out.

    dice, iou, precision, recall: by class, all pixels pooled at stored size; miou, accuracy (of the labels, background
        and all); group_dice, mean_group_dice: see `metrics.scores`.
    pictures: how many. intervals: of three scores, see `metrics.intervals`.
    confusion: labels, and counts of pixels with a row for each true label and a column for each predicted one.
    surface: by class, distances between outlines in pixels at stored size, slice by slice (a slice is one picture):
        surface_dice_2_pixels, the share of the outlines, all slices pooled, at most 2 pixels apart;
        hd95_pixels_median, _mean and _worst: over the `slices` in which truth and prediction have the class, of
        the larger of the two directed 95th percentiles; empty_predictions: slices where only the truth has it;
        empty_truths: where only the prediction has it.
    calibration: before and after, everywhere and within 10 pixels of a boundary: see `calibration.Trust`.
    without_class: pictures whose truth is background alone; false_alarms of them have more than 50 predicted
        pixels at the working size.
    groups: by group pictures, pixels of each class in the truth, dice, iou, precision, recall, accuracy, surface Dice.
    worst: pictures with the lowest Dice.
    """
    groups, surfaces = assessment.groups, assessment.surfaces
    result: dict[str, Any] = scores(groups)
    first = len(assessment.config.labels) - len(assessment.config.classes)
    matrix = sum(list(groups.values())[1:], start=next(iter(groups.values())))
    surface = sum(list(surfaces.values())[1:], start=next(iter(surfaces.values())))
    assert assessment.before is not None
    assert assessment.after is not None
    result |= {
        "pictures": sum(assessment.pictures.values()),
        "intervals": intervals(groups),
        "confusion": {"labels": list(assessment.config.labels), "counts": matrix.counts.tolist()},
        "surface": surface.summary(),
        "calibration": {"before": assessment.before.summary(), "after": assessment.after.summary()},
        "without_class": {
            "pictures": assessment.without_class,
            "false_alarms": assessment.false_alarms,
            "more_than_pixels": FALSE_PIXELS,
        },
        "groups": {
            name: {
                "pictures": assessment.pictures[name],
                "pixels": dict(zip(assessment.config.classes, table.counts.sum(axis=1)[first:].tolist(), strict=True)),
                "dice": table.dice,
                "iou": table.iou,
                "precision": table.precision,
                "recall": table.recall,
                "accuracy": table.accuracy if table.counts.any() else None,
                f"surface_dice_{TOLERANCE}_pixels": surfaces[name].surface_dice,
            }
            for name, table in groups.items()
        },
        "worst": [
            {"picture": w.name, "group": w.group, "dice": w.dice, "wrong_pixels": w.wrong_pixels}
            for w in assessment.worst
        ],
    }
    return result


def as_text(title: str, result: dict[str, Any]) -> str:
    """The scores of a split to be read in a minute."""
    parts = [f"{title}: {result['pictures']} pictures of {len(result['groups'])} groups"]
    parts.append("\n".join(f"{name:<16} {shown_with_interval(result, key)}" for key, name in HEADLINES))
    parts.append(_aligned([CLASS_HEADS, *class_rows(result)]))
    calibration = result["calibration"]
    rows = [[f"calibration error ({BINS} bins)", "before", "after"]]
    for place, words in (("everywhere", "whole picture"), (f"within_{NEAR}_pixels", f"within {NEAR} px of a boundary")):
        for name in calibration["before"][place]["by_class"]:
            errors = [calibration[when][place]["by_class"][name] for when in ("before", "after")]
            rows.append([f"{words}, {name}", *(f"{error:.4f}" for error in errors)])
    parts.append(_aligned(rows))
    without = result["without_class"]
    if without["pictures"]:
        parts.append(
            f"{without['false_alarms']} of {without['pictures']} pictures without any class have more than "
            f"{without['more_than_pixels']} predicted pixels at the working size"
        )
    labels, counts = result["confusion"]["labels"], np.array(result["confusion"]["counts"], dtype=float)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    parts.append(
        _aligned(
            [["truth \\ prediction", *labels]]
            + [[name, *(f"{share:.1%}" for share in row)] for name, row in zip(labels, shares, strict=True)]
        )
    )
    parts.append(_aligned([GROUP_HEADS, *group_rows(result)]))
    parts.append(
        "worst pictures: " + ", ".join(f"{w['picture']} ({w['dice']:.3f})" for w in result["worst"])
        if result["worst"]
        else "no picture has any class, in the truth or predicted"
    )
    return "\n\n".join(parts) + "\n"


CLASS_HEADS = [
    "class", "Dice", "IoU", "precision", "recall", f"surface Dice, {TOLERANCE} px", "HD95 per slice, px, median / mean",
    "empty predictions", "empty truths",
]  # fmt: skip
GROUP_HEADS = ["group", "pictures", "Dice", "accuracy", f"surface Dice, {TOLERANCE} px", "pixels of the classes"]


def class_rows(result: dict[str, Any]) -> list[list[str]]:
    """The scores of each class under CLASS_HEADS."""
    rows = []
    for name, surface in result["surface"].items():
        median, mean = surface["hd95_pixels_median"], surface["hd95_pixels_mean"]
        rows.append([
            name,
            *(shown(result[key].get(name)) for key in ("dice", "iou", "precision", "recall")),
            shown(surface[f"surface_dice_{TOLERANCE}_pixels"]),
            "" if median is None else f"{median:.1f} / {mean:.1f}",
            str(surface["empty_predictions"]),
            str(surface["empty_truths"]),
        ])  # fmt: skip
    return rows


def group_rows(result: dict[str, Any]) -> list[list[str]]:
    """The scores of each group under GROUP_HEADS, the worst first, means over its classes."""
    dice = result["group_dice"]
    return [
        [
            name,
            str(group["pictures"]),
            shown(dice[name]),
            shown(group["accuracy"]),
            shown(_mean(group[f"surface_dice_{TOLERANCE}_pixels"])),
            str(sum(group["pixels"].values())),
        ]
        for name, group in sorted(
            result["groups"].items(), key=lambda item: (dice[item[0]] is None, dice[item[0]] or 0, item[0])
        )
    ]


def shown(value: float | None) -> str:
    """A score with three decimals; nothing for None."""
    return "" if value is None else f"{value:.3f}"


def shown_with_interval(result: dict[str, Any], key: str) -> str:
    """A score and, where there are groups enough, its 95 % interval."""
    interval = result["intervals"][key]
    return shown(result[key]) + ("" if interval is None else f" ({interval[0]:.3f} to {interval[1]:.3f})")


def _mean(values: dict[str, float]) -> float | None:
    return float(np.mean(list(values.values()))) if values else None


def _aligned(rows: list[list[str]]) -> str:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )
