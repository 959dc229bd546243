"""The end of a run: calibration, scores on validation and test, and the files that go beside the weights."""

from __future__ import annotations

import hashlib
import itertools
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ... import hub
from ...config import SegmentationConfig
from ...files import EXPECTED, GATE, PICTURE, README, WEIGHTS, read_json, whole
from ...gate import PERCENTILES
from ...hub.seal import MARKDOWN, is_edited
from ...model import UNet
from ...predictor import Predictor
from ...prepare import ranges, scaled
from ...scores.calibration import BINS, NEAR, calibrated, curves, trust, uncalibrated
from ...scores.picture import fitted_temperature, joined_pictures, picture_scores
from ..data.folder import SPLITS, Example, pictures_by_split
from ..data.joined import read_joined
from ..recipe import Recipe
from .card import Facts, card_text, views_picture
from .evaluation import Worst, assess, cases, collect, synthetic_cases
from .gating import fit_gate
from .panel import panel, panel_row
from .plots import reliability_picture, threshold_picture
from .proving import NONE_FOUND, find_proof
from .results import split_scores

log = logging.getLogger(__name__)

LOOKS = "test_looks.json"
PICTURES_FOR_INTENSITIES = 200


def complete(
    checkpoint: Path,
    recipe: Recipe,
    examples: Sequence[Example],
    facts: Facts,
    *,
    device: str = "auto",
    folds: Sequence[tuple[Path, Sequence[Example]]] = (),
) -> None:
    """Calibrate and score a trained checkpoint, and write what says so beside its weights.

    folds: checkpoints of a cross-validation, each with pictures that it never saw. What they make of these is then
        scored too, and calibration fitted on it instead of on validation, which may be empty.
    The run folder, where the checkpoint lies, gets worst.png, with pictures from the data, and test_looks.json.
    Done again it gives the same again: the logits that calibration sees are always those of the bare network.
    """
    config, weights = hub.load(checkpoint)
    predictor = Predictor.from_pretrained(checkpoint, device=device)
    by_split = {split: [e for e in examples if e.split == split] for split in SPLITS}
    sources = [(Predictor.from_pretrained(path, device=device), some) for path, some in folds]
    config, calibration = _calibration(config, sources or [(predictor, by_split["val"])], recipe, folds=len(sources))
    calibration["intensities"] = intensities(by_split["train"], config)
    gate, calibration["gate"] = fit_gate(predictor, recipe, examples, calibration["intensities"])
    predictor.gate = gate

    measured: dict[str, dict[str, Any]] = {}
    worst: dict[str, list[Worst]] = {}
    scored: dict[str, Sequence[tuple[Predictor, Sequence[Example]]]]
    scored = {"val": [(predictor, by_split["val"])], "folds": sources, "test": [(predictor, by_split["test"])]}
    for split, parts in scored.items():
        if any(some for _, some in parts):
            segmented = (cases(one, some, recipe.data, progress=True) for one, some in parts)
            found = assess(itertools.chain.from_iterable(segmented), config)
            measured[split], worst[split] = split_scores(found), found.worst
    if by_split["test"]:
        here = count_look(checkpoint, config)
        measured["test"]["looks"] = here + (recipe.card.earlier_test_looks if recipe.card else 0)
    if recipe.train.synthetic:
        found = assess(synthetic_cases(predictor, recipe.train.synthetic), config)
        measured["synthetic"] = split_scores(found)
    pictures = pictures_by_split(examples)
    files: dict[str, str | bytes] = {
        "split.json": json_text(pictures),
        "scores.json": json_text(measured),
        "calibration.json": json_text(calibration),
        "reliability.png": reliability_picture(calibration),
        "thresholds.png": threshold_picture(calibration, config.outputs, config.thresholds),
        GATE: gate.save((checkpoint / WEIGHTS).read_bytes()),
        README: card_text(config, recipe, measured, calibration, facts, pictures),
    }
    if (proof := find_proof(UNet.from_pretrained(checkpoint), config)) is None:
        log.info("the checkpoint gets no test picture: %s", NONE_FOUND)
    else:
        files |= proof.files((checkpoint / WEIGHTS).read_bytes())
    if recipe.train.synthetic:
        files["views.png"] = views_picture(predictor, config, recipe.train.synthetic)
    if (there := checkpoint / README).exists() and is_edited(text := there.read_text(encoding="utf-8"), MARKDOWN):
        new = "README.new.md"
        # with pictures of its own; but a test picture is this network's, or there is none
        kept = {name: data for name, data in hub.companions(checkpoint).items() if name not in (PICTURE, EXPECTED)}
        files = kept | files | {README: text, new: files[README]}
        log.info("%s was edited by hand and is kept; the new card is %s beside it", there, new)
    write_worst(checkpoint.parent / "worst.png", worst, config)
    hub.save(checkpoint, config, weights, files)


def _calibration(
    config: SegmentationConfig, sources: Sequence[tuple[Predictor, Sequence[Example]]], recipe: Recipe, *, folds: int
) -> tuple[SegmentationConfig, dict[str, Any]]:
    """The calibrated config, and `calibration.json`.

    temperatures, thresholds: as in the config. fitted_on: which pictures, of which groups, and how many pixels;
    `fitted` is false where temperatures and thresholds were left alone.
    error, reliability: before and after, everywhere and within 10 pixels of a boundary, by class; see
    `calibration.Reliability`. curve: precision, recall and Dice of each class at each threshold, after.
    intensities: of the training pictures, from 0 to 1 as the network takes them before mean and std.
    gate: how the gate was fitted; see `gating.fit_gate`. picture: the temperature of labels of pictures, and the error.
    """
    pixels, labelled = collect(sources, recipe.data, progress=True)
    plain = uncalibrated(config)
    fitted = bool(folds) or recipe.train.calibrate
    config = calibrated(config, pixels) if fitted else plain
    if labelled:
        temperature = fitted_temperature(joined_pictures(labelled)) if fitted else 1.0
        config = config.model_copy(update={"picture_temperature": temperature})
    before, after = trust(pixels, plain), trust(pixels, config)
    examples = [example for _, some in sources for example in some]
    pictures = picture_scores(joined_pictures(labelled), config)["calibration"] if labelled else None
    return config, {
        "temperatures": config.temperatures,
        "thresholds": config.thresholds,
        "fitted_on": {
            "what": f"out-of-fold predictions of {folds} checkpoints" if folds else "validation",
            "fitted": fitted,
            "pictures": len(examples),
            "groups": sorted({example.group for example in examples}),
            "pixels": len(pixels.labels),
            "pixels_near": int(pixels.near.sum()),
            "near": NEAR,
            "bins": BINS,
            "working_size": config.working_size,
            "working_scale": config.working_scale,
            "scales": config.scales,
        },
        "error": {"before": before.summary(), "after": after.summary()},
        "reliability": {"before": before.bins(), "after": after.bins()},
        "curve": curves(pixels, config),
    } | ({"picture": {"temperature": config.picture_temperature, "error": pictures}} if labelled else {})


def intensities(examples: Sequence[Example], config: SegmentationConfig) -> dict[str, Any]:
    """Mean, standard deviation and percentiles of each channel, from 0 to 1, over pictures evenly chosen."""
    count = min(len(examples), PICTURES_FOR_INTENSITIES)
    chosen = [examples[i * len(examples) // count] for i in range(count)]
    levels = np.zeros((len(config.channels), 256))
    for example in chosen:
        image = read_joined(example)
        between = ranges(image, config)
        for index in range(len(image.pixels)):
            for channel, values in enumerate(scaled(image.pixels[index : index + 1], between, config)[0]):
                levels[channel] += np.bincount((values * 255).round().byte().flatten().numpy(), minlength=256)
    result: dict[str, Any] = {"pictures": count}
    values = np.arange(256) / 255
    for name, counts in zip(config.channels, levels, strict=True):
        share = counts / max(1, counts.sum())
        average = float(share @ values)
        reached = np.searchsorted(share.cumsum(), np.array(PERCENTILES) / 100 - 1e-9)
        result[name] = {
            "mean": round(average, 4),
            "std": round(float(np.sqrt(share @ (values - average) ** 2)), 4),
            "percentiles": {
                str(p): round(float(values[min(i, 255)]), 4) for p, i in zip(PERCENTILES, reached, strict=True)
            },
        }
    return result


def count_look(checkpoint: Path, config: SegmentationConfig) -> int:
    """Write down that a checkpoint was scored on the test split; how many so far, in this run folder.

    The same weights with the same calibration count once, however often they are scored: it tells nothing new.
    """
    digest = hashlib.sha256(config.to_json().encode() + (checkpoint / WEIGHTS).read_bytes()).hexdigest()
    path = checkpoint.parent / LOOKS
    seen: list[str] = read_json(path) if path.exists() else []
    if not isinstance(seen, list):
        raise ValueError(f"{path} is not such as a run writes it, a list; move it away, which begins the count anew")
    if digest not in seen:
        seen.append(digest)
        with whole(path) as temporary:
            temporary.write_text(json.dumps(seen, indent=1) + "\n", encoding="utf-8")
    return len(seen)


def write_worst(path: Path, worst: dict[str, list[Worst]], config: SegmentationConfig) -> None:
    """Write the worst pictures of each split as a PNG; nothing where there are none."""
    rows = [
        panel_row(f"{split}: {w.name}, Dice {w.dice:.3f}{_shown(w)}", w.picture, w.truth, w.labels, config)
        for split, some in worst.items()
        for w in some
    ]
    if rows:
        with whole(path) as temporary:
            panel(rows, config).save(temporary, format="PNG")


def _shown(worst: Worst) -> str:
    return "" if worst.slice_number is None else f" (slice {worst.slice_number} is shown)"


def json_text(value: Any) -> str:  # noqa: ANN401, anything that JSON holds
    """JSON with each list of numbers or names on one line; ValueError for NaN, which JSON has no word for."""
    return _lines(value, "") + "\n"


def _lines(value: Any, indent: str) -> str:  # noqa: ANN401
    deeper = indent + " "
    if isinstance(value, dict) and value:
        fields = (f"{deeper}{json.dumps(str(key))}: {_lines(item, deeper)}" for key, item in value.items())
        return "{\n" + ",\n".join(fields) + "\n" + indent + "}"
    if isinstance(value, list | tuple) and any(isinstance(item, dict | list | tuple) for item in value):
        return "[\n" + ",\n".join(deeper + _lines(item, deeper) for item in value) + "\n" + indent + "]"
    return json.dumps(value, allow_nan=False)
