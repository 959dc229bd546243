"""The gate that a run leaves: its limit on held-out pictures, and turns where the network was trained upright."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from configs import config_for, network_for
from PIL import Image

from unetseg import Predictor
from unetseg.change import Change, upright
from unetseg.fitting.data.folder import Example
from unetseg.fitting.recipe import Augment, Data, Model, Recipe, Train
from unetseg.fitting.report.complete import intensities
from unetseg.fitting.report.gating import FEWEST_HELD_OUT, fit_gate
from unetseg.formats import as_image
from unetseg.gate import INVERTED, turned
from unetseg.samples import ct_phantom

CONFIG = config_for("binary", working_size=32, widths=(4, 8, 8), scales=(1.0, 0.5))


def slices(folder: Path, counts: dict[str, int]) -> list[Example]:
    """Generated slices of 32 pixels (synthetic), each a group of its own."""
    examples = []
    for split, count in counts.items():
        for number in range(count):
            pixels, truth = ct_phantom(len(examples), 32)
            paths = folder / f"{split}{number}.png", folder / f"{split}{number}_mask.png"
            for path, array in zip(paths, (pixels, truth), strict=True):
                Image.fromarray(array).save(path)
            examples.append(Example(*paths, group=paths[0].stem, split=split))  # type: ignore[arg-type]
    return examples


def recipe_for(augment: Augment) -> Recipe:
    data = Data(
        task="binary", classes=CONFIG.classes, background=CONFIG.background, palette=CONFIG.palette,
        channels=CONFIG.channels, mask_values={"0": "background", "1": "liver"},
    )  # fmt: skip
    model = Model(widths=CONFIG.widths, working_size=32)
    return Recipe(data=data, model=model, augment=augment, train=Train(crop=32))


def fitted_on(folder: Path, augment: Augment, val: int) -> tuple[Predictor, dict[str, Any], list[Example]]:
    examples = slices(folder, {"train": 60, "val": val})
    predictor = Predictor(network_for(CONFIG), device="cpu", precision="float32")
    train = [example for example in examples if example.split == "train"]
    predictor.gate, summary = fit_gate(predictor, recipe_for(augment), examples, intensities(train, CONFIG))
    return predictor, summary, [example for example in examples if example.split == "val"]


def test_a_run_fits_a_limit_and_knows_turns(tmp_path: Path) -> None:
    predictor, summary, held_out = fitted_on(tmp_path, Augment(rotate=5), val=40)
    gate = predictor.gate
    assert gate is not None
    assert gate.limit == summary["limit"]
    assert (summary["held_out"], summary["known"]) == (40, 120)
    found = [predictor(example.image) for example in held_out]
    beyond = [one.distance is not None and one.distance > gate.limit for one in found]
    assert sum(beyond) == 1  # at most 3 % of 40
    noise = np.random.default_rng(0).integers(0, 256, (32, 32), dtype=np.uint8)
    assert predictor(noise).notices[0].startswith("array is unlike the pictures")

    assert gate.views is not None
    assert summary["turns"] >= 0.9
    right = wrong = 0
    for number, example in enumerate(held_out):
        picture, view = torch.from_numpy(np.asarray(Image.open(example.image)).copy()), number % INVERTED
        proposal = predictor.propose(as_image(turned(picture, view).numpy()))
        right += proposal == (upright(view) if view else None)
        wrong += proposal not in (None, upright(view))
    assert right >= 28  # an untrained network of 8 channels
    assert wrong <= 2
    inverted = 255 - np.asarray(Image.open(held_out[0].image))
    assert predictor.propose(as_image(inverted)) == Change(inverted=True)


@pytest.mark.parametrize("augment", [Augment(flip=("horizontal",)), Augment(rotate=90)], ids=["flip", "rotate"])
def test_a_network_that_was_trained_in_all_views_proposes_no_turn(tmp_path: Path, augment: Augment) -> None:
    predictor, summary, _ = fitted_on(tmp_path, augment, val=30)
    assert predictor.gate is not None
    assert (predictor.gate.views, summary["turns"]) == (None, None)
    assert predictor.gate.limit is not None


def test_too_few_held_out_pictures_fit_no_limit(tmp_path: Path) -> None:
    predictor, summary, held_out = fitted_on(tmp_path, Augment(), val=FEWEST_HELD_OUT - 1)
    assert predictor.gate is not None
    assert (predictor.gate.limit, predictor.gate.views) == (None, None)
    assert (summary["limit"], summary["held_out"]) == (None, 29)
    assert predictor(held_out[0].image).notices == ()


def test_augmented_pictures_are_known_too(tmp_path: Path) -> None:
    """Slices as through a wide window are farther from a gate of a network that was trained without them."""
    distances = []
    for augment in (Augment(), Augment(wide_window=0.9)):
        predictor, _, held_out = fitted_on(tmp_path, augment, val=30)
        assert predictor.gate is not None
        gate = replace(predictor.gate, limit=None, views=None)
        predictor.gate = gate
        wide = [np.asarray(Image.open(e.image)) // 5 + 100 for e in held_out[:10]]
        distances.append(np.mean([predictor(picture.astype(np.uint8)).distance for picture in wide]))
    assert distances[1] < 0.8 * distances[0]
