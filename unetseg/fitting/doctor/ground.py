"""Which groups of pictures show the same ground, by where their files say that they lie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...formats import Raster
from ..data.folder import Example
from ..words import counted, some
from .checks import named
from .findings import Finding
from .grouping import joined

SHARED = 0.01
"""Tiles of one grid that share less of a side than this only touch."""
SHARED_DEGREES = 0.1
"""Between maps of several projections, where a tile that is square in one leans in the other."""


def same_ground(
    examples: Sequence[Example], places: Mapping[Path, Raster], folder: Path
) -> tuple[tuple[tuple[str, ...], ...], list[Finding]]:
    """Groups that overlap on the ground, directly or by others between them: each as the names of its groups.

    places: of images, where they have one.
    """
    lying = [example for example in examples if example.image in places and places[example.image].transform]
    if not lying:
        return (), []
    systems: dict[str | None, int] = {}
    system = np.array([systems.setdefault(places[e.image].crs, len(systems)) for e in lying])
    own = np.array([_bounds(places[e.image]) for e in lying])  # (N,4)
    degrees = np.array([places[e.image].bounds84 or (np.nan,) * 4 for e in lying])
    over: list[tuple[str, str]] = []
    touched: dict[Path, Path] = {}
    for i, example in enumerate(lying[:-1]):
        rest = slice(i + 1, None)
        alike = system[rest] == system[i]
        shared = np.where(
            alike, _shared(own[i], own[rest]) > SHARED, _shared(degrees[i], degrees[rest]) > SHARED_DEGREES
        )
        for j in np.flatnonzero(shared) + i + 1:
            if lying[j].group != example.group:
                over.append((example.group, lying[j].group))
                touched.setdefault(example.image, lying[j].image)
                touched.setdefault(lying[j].image, example.image)
    same = joined(over)
    if not same:
        return (), []
    names = tuple(named(path, folder) for path in touched)
    pairs = [f"{named(a, folder)} and {named(b, folder)}" for a, b in list(touched.items())[:1]]
    what = (
        f"{counted(len(names), 'picture')} (of {len(examples):,}) that overlap others on the ground, {pairs[0]} say, "
        f"in {counted(len(same), 'place')}: {some([groups[0] for groups in same])}"
    )
    advice = "each such place is one group of the recipe (same_group), so that none is on both sides of the split"
    return same, [Finding("note", what, advice, names)]


def _bounds(place: Raster) -> tuple[float, float, float, float]:
    """(x, y, x, y) of the lower and the upper ends, in the units of its own map."""
    assert place.transform is not None
    a, b, c, d, e, f = place.transform
    corners = np.array([(x, y) for x in (0, place.shape[1]) for y in (0, place.shape[0])])
    xs, ys = a * corners[:, 0] + b * corners[:, 1] + c, d * corners[:, 0] + e * corners[:, 1] + f
    return xs.min(), ys.min(), xs.max(), ys.max()


def _shared(one: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """The part of a side, of the smaller, that bounds (4) and others (N,4) share, along the axis with less of it."""
    overlap = np.minimum(one[2:], others[:, 2:]) - np.maximum(one[:2], others[:, :2])  # (N,2)
    sides = np.minimum(one[2:] - one[:2], others[:, 2:] - others[:, :2])
    part: NDArray[np.float64] = (overlap / sides).min(axis=1)
    return part
