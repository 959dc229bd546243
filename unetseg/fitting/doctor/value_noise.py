"""Values of masks that differ from others by no more than noise."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..words import counted, some
from .findings import Finding
from .value_table import MOST_LABELS, Table

NEAR, NEAR_COLOUR = 4, 8
"""Values so near to another one are hardly a class of their own; palettes have wider steps."""
NOISE = 16
"""JPEG turns one value into several, hardly ever further apart than that."""


def noise(table: Table, names: Mapping[int, str], found: list[Finding]) -> dict[int, int]:
    """Values that differ from a more frequent one by no more than noise, each with that one."""
    merged = _near_colours(table, names) if table.coloured else _near_numbers(table, names)
    if merged:
        holders = table.holders(sorted(merged))
        pairs = [f"{table.key(value)} beside {table.key(main)}" for value, main in sorted(merged.items())]
        what = (
            f"{counted(len(holders), 'mask')} with {some(pairs)}, which differ as little as by noise: {some(holders)}"
        )
        advice = (
            "the recipe reads them as one; give each a key and a name of its own in mask_values if they are two classes"
        )
        found.append(Finding("warning", what, advice, holders))
    return merged


def _near_colours(table: Table, names: Mapping[int, str]) -> dict[int, int]:
    merged: dict[int, int] = {}
    main: list[int] = []
    for value in sorted(table.pixels, key=lambda v: (v not in names, -table.pixels[v])):
        channels = np.array(list(value.to_bytes(3)))
        near = [v for v in main if np.abs(channels - list(v.to_bytes(3))).max() <= NEAR_COLOUR]
        # two classes of nearly one colour would both be seen in some masks, and large
        apart = [
            v
            for v in near
            if table.pixels[value] <= 0.1 * table.pixels[v] or not set(table.names[v]) & set(table.names[value])
        ]
        if value not in names and apart and len(main) < MOST_LABELS:
            merged[value] = apart[0]
        else:
            main.append(value)
    return merged


def _near_numbers(table: Table, names: Mapping[int, str]) -> dict[int, int]:
    """Neighbours of white, or of one of a few greys at even steps; ids count from 0 on, and may be neighbours."""
    values = sorted(value for value in table.pixels if value >= 0)
    if len(values) < 2:
        return {}
    heaps: list[list[int]] = []
    for value in values:
        if heaps and value - heaps[-1][-1] <= NEAR:
            heaps[-1].append(value)
        else:
            heaps.append([value])
    mains = [max(heap, key=lambda v: table.pixels[v]) for heap in heaps]
    white = 255 if values[-1] < 256 else 65535
    if names.keys() & set(values) or white - mains[-1] > NEAR or mains[0] > NEAR or len(heaps) < 2:
        return {}
    even = np.ptp(np.diff(mains)) <= 2 * NEAR
    merged: dict[int, int] = {}
    for before, heap, main in zip(heaps, heaps[1:], mains[1:], strict=False):
        if heap[-1] - heap[0] <= 2 * NEAR and heap[0] - before[-1] > NOISE and (even or heap is heaps[-1]):
            merged |= {value: main for value in heap if value != main}
    specks = [value for value in heaps[0] if value != mains[0]]
    # beside noise in white, what little lies next to black is noise too
    if merged and len(heaps) == 2 and sum(table.pixels[v] for v in specks) <= 0.05 * table.pixels[mains[0]]:
        merged |= dict.fromkeys(specks, mains[0])
    return merged


def with_noise(keys: dict[str, str], merged: Mapping[int, int], table: Table) -> dict[str, str]:
    """The keys, those of numbers as ranges that hold what is merged with them."""
    if table.coloured or not merged:
        return keys
    ends = {key: [int(key), *(v for v, main in merged.items() if main == int(key))] for key in keys}
    return {f"{min(ends[k])}-{max(ends[k])}" if len(ends[k]) > 1 else k: name for k, name in keys.items()}
