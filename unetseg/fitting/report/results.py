"""What was measured on a split: as the entry of `scores.json`, and as a text to read."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...scores.calibration import BINS, NEAR
from ...scores.coverage import SET_ASIDE, judged
from ...scores.metrics import ConfusionMatrix, intervals, scores
from ...scores.picture import joined_pictures, picture_scores
from ...scores.surface import TOLERANCE
from ..words import counted
from .evaluation import FALSE_PIXELS, Assessment

HEADLINES = (("mean_group_dice", "mean group Dice"), ("miou", "mean IoU"), ("accuracy", "accuracy"))
LABELS_IN_A_TABLE = 12
GROUPS_IN_A_TABLE, WORST_GROUPS, BEST_GROUPS = 25, 15, 5


def split_scores(assessment: Assessment) -> dict[str, Any]:
    """The scores of a split, ready for JSON; what there was nothing to measure of is None or left out.

    dice, iou, precision, recall: by class, all pixels pooled at stored size; miou, accuracy (of the labels, background
        and all); group_dice, mean_group_dice: see `metrics.scores`.
    uncalibrated: mean_group_dice, miou and accuracy of the labels that temperatures of 1 and thresholds of 0.5 give;
        what a network is worth on pictures that its thresholds were fitted on. Those of a softmax are the same.
    pictures: how many; a volume is one. intervals: of three scores, see `metrics.intervals`.
    confusion: labels, and counts of pixels with a row for each true label and a column for each predicted one.
    surface: by class, distances between outlines in pixels at stored size, slice by slice (a slice is one picture, or
        one of a volume, which lies apart from the next: no distance runs through a volume):
        surface_dice_2_pixels, the share of the outlines, all slices pooled, at most 2 pixels apart;
        hd95_pixels_median, _mean and _worst: over the `slices` in which truth and prediction have the class, of
        the larger of the two directed 95th percentiles; empty_predictions: slices where only the truth has it;
        empty_truths: where only the prediction has it.
    calibration: before and after, everywhere and within 10 pixels of a boundary: see `calibration.Trust`.
    without_class: pictures whose truth is background alone; false_alarms of them have more than 50 predicted
        pixels at the working size.
    groups: by group pictures, pixels of each class in the truth, dice, iou, precision, recall, accuracy, counts of the
        confusion, and by class what `surface` holds; surface_dice_2_pixels of classes with an outline only.
    trust: see `coverage.judged`; without_foreign: mean_group_dice, miou and accuracy of the other pictures.
    worst: pictures with the lowest Dice.
    picture_accuracy, picture: of a model that labels whole pictures, see `picture.picture_scores`; foreground_iou: of
        all pixels of any class, whichever.
    """
    groups, surfaces = assessment.groups, assessment.surfaces
    result: dict[str, Any] = scores(groups)
    first = len(assessment.config.labels) - len(assessment.config.classes)
    matrix = sum(list(groups.values())[1:], start=next(iter(groups.values())))
    surface = sum(list(surfaces.values())[1:], start=next(iter(surfaces.values())))
    plain = scores(assessment.uncalibrated)
    assert assessment.before is not None
    assert assessment.after is not None
    result |= {
        "uncalibrated": {key: plain[key] for key, _ in HEADLINES},
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
                "confusion": table.counts.tolist(),
                **_by_class(surfaces[name].summary()),
            }
            for name, table in groups.items()
        },
        "trust": judged(assessment.judged) | {"without_foreign": _headlines(assessment.familiar)},
        "worst": [
            {"picture": w.name, "group": w.group, "dice": w.dice, "wrong_pixels": w.wrong_pixels}
            for w in assessment.worst
        ],
    }
    if assessment.labelled:
        pictures = picture_scores(joined_pictures(assessment.labelled), assessment.config)
        result |= {"picture_accuracy": pictures["accuracy"], "picture": pictures}
        if assessment.config.background is not None:
            inside = int(matrix.counts[1:, 1:].sum())
            pictures["foreground_iou"] = inside / max(1, int(matrix.counts.sum() - matrix.counts[0, 0]))
    return result


def _headlines(groups: dict[str, ConfusionMatrix]) -> dict[str, object] | None:
    return {key: scores(groups)[key] for key, _ in HEADLINES} if groups else None


def _by_class(summary: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Of every measure its value for each class that has one."""
    measures = dict.fromkeys(measure for values in summary.values() for measure in values)
    return {
        measure: {name: values[measure] for name, values in summary.items() if values[measure] is not None}
        for measure in measures
    }


def as_text(title: str, result: dict[str, Any]) -> str:
    """The scores of a split to be read in a minute."""
    parts = [f"{title}: {counted(result['pictures'], 'picture')} of {counted(len(result['groups']), 'group')}"]
    parts.append("\n".join(f"{name:<16} {shown_with_interval(result, key)}" for key, name in HEADLINES))
    if "picture" in result:
        parts += [*picture_lines(result["picture"]), _aligned(picture_rows(result["picture"]))]
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
            f"{without['false_alarms']} of {counted(without['pictures'], 'picture')} without any class have more than "
            f"{without['more_than_pixels']} predicted pixels at the working size"
        )
    parts += trust_lines(result["trust"])
    parts.append(_confusion(result["confusion"]["labels"], result["confusion"]["counts"]))
    parts.append(_aligned([GROUP_HEADS, *group_rows(result)]))
    parts.append(
        "worst pictures: " + ", ".join(f"{w['picture']} ({w['dice']:.3f})" for w in result["worst"])
        if result["worst"]
        else "no picture has any class, in the truth or predicted"
    )
    return "\n\n".join(parts) + "\n"


def picture_lines(pictures: dict[str, Any]) -> list[str]:
    """How often the labels of whole pictures are right, and how sure they are: sentences."""
    low, high = pictures["interval"]
    before, after = (pictures["calibration"][when] for when in ("before", "after"))
    inside, count = pictures.get("foreground_iou"), counted(pictures["pictures"], "picture")
    return [
        f"The label of the picture is right for {pictures['accuracy']:.4f} of {count} (95 % interval {low:.4f} to "
        f"{high:.4f}); the truth is among the two likeliest for {pictures['top_2']:.4f}.",
        f"It is the class of most labelled pixels in {pictures['agreement']:.4f} of them. Its expected calibration "
        f"error is {after:.4f} ({before:.4f} with a temperature of 1)."
        + ("" if inside is None else f" The IoU of all classes together against the background is {inside:.3f}."),
    ]


def picture_rows(pictures: dict[str, Any]) -> list[list[str]]:
    """Which pictures are taken for which, by true class; of many classes their accuracies alone."""
    names, by_class = list(pictures["by_class"]), pictures["by_class"]
    if len(pictures["confusion"]) > LABELS_IN_A_TABLE:
        return [["class", "right"], *([name, f"{by_class[name]:.3f}"] for name in names)]
    rows = [row for row in pictures["confusion"] if any(row)]
    return [
        ["truth \\ label", *pictures["classes"], "right"],
        *([name, *map(str, row), f"{by_class[name]:.3f}"] for name, row in zip(names, rows, strict=True)),
    ]


def mistake_line(mistake: dict[str, Any]) -> str:
    """A picture whose label is wrong, in words."""
    return f"{mistake['picture']}: {mistake['label']} ({mistake['probability']:.2f}), is {mistake['truth']}"


def trust_lines(trust: dict[str, Any]) -> list[str]:
    """What was said of a split's pictures before their truth was known, and what that is worth: sentences."""
    row = error_left_row(trust)
    parts = [] if row is None else [f"{left} of {share:.0%}" for left, share in zip(row, SET_ASIDE, strict=True)]
    said = [f"Error left without the pictures on which the scales agree least: {', '.join(parts)}."]
    return (said if parts else []) + foreign_lines(trust)


def foreign_lines(trust: dict[str, Any]) -> list[str]:
    """How many pictures of a split are called foreign, and the scores of these and of the others: sentences."""
    if not trust["foreign"]:
        return []
    foreign, others = trust["foreign"]["foreign"], trust["foreign"]["others"]
    count = counted(foreign["pictures"] + others["pictures"], "picture")
    said = [f"{foreign['pictures']} of {count} {'is' if foreign['pictures'] == 1 else 'are'} called foreign."]
    if foreign["dice"] is not None and others["dice"] is not None:
        said.append(f"Their mean Dice is {shown(foreign['dice'])}, that of the others {shown(others['dice'])}.")
    if foreign["pictures"] and trust["without_foreign"]:
        scores = ", ".join(f"{words} {shown(trust['without_foreign'][key])}" for key, words in HEADLINES)
        said.append(f"Without them: {scores}.")
    return said


def error_left_row(trust: dict[str, Any]) -> list[str] | None:
    """The error that is left of a split, by SET_ASIDE; None where there is none, or nothing tells pictures apart."""
    left, best = trust["error_left"], trust["error_left_at_best"]
    if not left or left[str(SET_ASIDE[0])] is None:
        return None
    return [f"{left[str(share)]:.0%} (at best {best[str(share)]:.0%})" for share in SET_ASIDE]


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
    """The scores of each group under GROUP_HEADS, the worst first, means over its classes.

    Of more than GROUPS_IN_A_TABLE the worst and the best few, and between them a row that says how many more there are.
    """
    dice, groups = result["group_dice"], result["groups"]
    names = sorted(groups, key=lambda name: (dice[name] is None, dice[name] or 0, name))
    if len(names) <= GROUPS_IN_A_TABLE:
        return _rows_of_groups(result, names)
    with_dice = [name for name in names if dice[name] is not None]
    worst, best = with_dice[:WORST_GROUPS], with_dice[WORST_GROUPS:][-BEST_GROUPS:]
    more = f"... {len(names) - len(worst) - len(best)} more"
    return [
        *_rows_of_groups(result, worst),
        [more, *[""] * (len(GROUP_HEADS) - 1)],
        *_rows_of_groups(result, best),
    ]


def _rows_of_groups(result: dict[str, Any], names: list[str]) -> list[list[str]]:
    chosen = [(name, result["groups"][name]) for name in names]
    return [
        [
            name,
            str(group["pictures"]),
            shown(result["group_dice"][name]),
            shown(group["accuracy"]),
            shown(_mean(group[f"surface_dice_{TOLERANCE}_pixels"])),
            str(sum(group["pixels"].values())),
        ]
        for name, group in chosen
    ]


def shown(value: float | None) -> str:
    """A score with three decimals; nothing for None."""
    return "" if value is None else f"{value:.3f}"


def shown_with_interval(result: dict[str, Any], key: str) -> str:
    """A score and, where there are groups enough, its 95 % interval."""
    interval = result["intervals"][key]
    return shown(result[key]) + ("" if interval is None else f" ({interval[0]:.3f} to {interval[1]:.3f})")


def _confusion(labels: list[str], counts: list[list[int]]) -> str:
    if len(labels) > LABELS_IN_A_TABLE:
        return (
            f"which of {len(labels)} labels are taken for which is too much to print: see `confusion` in the JSON file"
        )
    table = np.array(counts, dtype=float)
    shares = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    return _aligned(
        [["truth \\ prediction", *labels]]
        + [[name, *(f"{share:.1%}" for share in row)] for name, row in zip(labels, shares, strict=True)]
    )


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
