"""The gate of a checkpoint, fitted at the end of a run; see `unetseg.gate`."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from ...change import Change
from ...gate import INVERTED, MOST_KNOWN, PERCENTILES, VIEWS, Gate, evenly_chosen, fitted
from ...predictor import Predictor
from ...prepare import at_working_size, ranges, scaled
from ..data.augment import as_float, carry_out, collate
from ..data.dataset import Crops, Pictures
from ..data.folder import Example
from ..data.joined import read_joined
from ..data.layouts import is_volume
from ..recipe import Augment, Recipe

log = logging.getLogger(__name__)

FALSE_ALARMS = 0.03
"""So many pictures that are none of the training's, but like them, may be called foreign."""
TURNED_ALARMS = 0.01
"""So many of them may be called turned."""
SURE = 5.0
"""How much likelier a turn must be at least, in logarithms over eight looks: of slices of a strange hospital, fewer are
told to turn without need (2 of 41 instead of 9), and 95 of 100 that need it still are."""
FEWEST_HELD_OUT = 30
SLICES = 20
"""Of a held-out volume, whose turn is looked for."""
MOST_TURNED = 400
"""Pictures, and crops, that the classifier of turns learns from."""
GOOD_ENOUGH = 0.9
"""The share of held-out pictures whose turn it must know."""


def fit_gate(
    predictor: Predictor, recipe: Recipe, examples: Sequence[Example], intensities: dict[str, Any]
) -> tuple[Gate, dict[str, Any]]:
    """The gate of a network, by its training pictures as they are and as augmentation shows them; and a summary.

    The limits are fitted on validation; without FEWEST_HELD_OUT pictures there are none.
    """
    train, held_out = ([e for e in examples if e.split == split] for split in ("train", "val"))
    chosen = [train[i] for i in evenly_chosen(len(train), MOST_KNOWN // 2)]
    pictures = Pictures(chosen, recipe)
    some = evenly_chosen(len(pictures), MOST_KNOWN // 2)
    plain = [_features(predictor, as_float(pictures.stored(i)[0])[None], Change()) for i in _bar(some)]
    crops = Crops(pictures, predictor.config)
    augmented = [_features(predictor, x, Change()) for x in _crops(crops, MOST_KNOWN // 2)]
    turns: list[Tensor] = []
    # without a limit no turn is told; of volumes, the slices are counted once they are read
    may_limit = len(held_out) >= FEWEST_HELD_OUT or any(is_volume(example.image) for example in held_out)
    if may_limit and has_upright(recipe.augment):
        upright = [as_float(pictures.stored(i)[0])[None] for i in evenly_chosen(len(pictures), MOST_TURNED)]
        upright += list(_crops(crops, MOST_TURNED))
        turns = [torch.cat([_features(predictor, x, change_to(view)) for x in upright]) for view in _bar(range(VIEWS))]
    percentiles = [list(intensities[name]["percentiles"].values()) for name in predictor.config.channels]
    gate = fitted(torch.cat(plain + augmented), torch.tensor(percentiles), views=turns)
    gate, summary = _with_limits(gate, predictor, held_out)
    return gate, {"known": len(gate.known), "percentiles": PERCENTILES, **summary}


def has_upright(augment: Augment) -> bool:
    """Whether a network trained so can tell how a picture lies, and needs it to lie so."""
    return not augment.flip and augment.rotate < 45


def change_to(view: int) -> Change:
    """What makes an upright picture one of a view."""
    return Change(inverted=True) if view == INVERTED else Change(view=view)


def _with_limits(gate: Gate, predictor: Predictor, held_out: Sequence[Example]) -> tuple[Gate, dict[str, Any]]:
    distances: list[Tensor] = []
    margins: list[float] = []
    for example in tqdm(held_out, "comparing", unit="picture", leave=False):
        image = read_joined(example)
        (found,) = predictor.several([image])
        assert found.features is not None
        distances.append(gate.distances(found.features))
        if gate.views is None:
            continue
        between = ranges(image, predictor.config)
        for index in evenly_chosen(len(image.pixels), SLICES):
            x = at_working_size(scaled(image.pixels[index : index + 1], between, predictor.config), predictor.config)
            seen = [gate.seen_as(predictor.features(x, Change(view=view)))[0] for view in range(INVERTED)]
            margins.append(gate.view(torch.stack(seen))[1])
    count = sum(map(len, distances))
    summary: dict[str, Any] = {"held_out": count, "limit": None, "turns": None, "margin": None}
    if count < FEWEST_HELD_OUT:
        return replace(gate, views=None), summary
    # no more of them than that lie beyond
    limit = float(torch.quantile(torch.cat(distances), 1 - FALSE_ALARMS, interpolation="higher"))
    summary |= {"limit": limit, "false_alarms": FALSE_ALARMS}
    if gate.views is not None:
        upright = sum(margin == 0 for margin in margins) / len(margins)
        summary |= {"turns": upright}
        if upright < GOOD_ENOUGH:
            gate = replace(gate, views=None)
        else:
            most = float(torch.quantile(torch.tensor(margins), 1 - TURNED_ALARMS, interpolation="higher"))
            margin = max(SURE, most)
            gate = replace(gate, margin=margin)
            summary |= {"margin": margin}
    return replace(gate, limit=limit), summary


def _features(predictor: Predictor, x: Tensor, change: Change) -> Tensor:
    """The windows (N,F) of pictures (B,C,h,w) from 0 to 1 at the working size."""
    return predictor.features(x, change).flatten(0, 1)


def _crops(crops: Crops, most: int) -> Iterator[Tensor]:
    """Augmented crops (1,C,s,s) of evenly chosen pictures, from 0 to 1."""
    for i in evenly_chosen(len(crops), most):
        yield carry_out(collate([crops[0, i]]), crops.train.crop, crops.augment)[0]


def _bar(numbers: Sequence[int]) -> tqdm[int]:
    return tqdm(numbers, "what is known", leave=False)
