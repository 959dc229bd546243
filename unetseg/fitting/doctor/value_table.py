"""The values of all masks of a folder, and how they lie: in regions, on borders, between others."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from copy import copy

import numpy as np

from .survey import MaskFacts

MOST_LABELS = 254
THIN = 1 / 64
"""Of a side: borders that annotators leave open are hardly wider."""


class Table:
    """Pixels, firm pixels and the names of the masks of each value, over all masks."""

    def __init__(self, masks: Mapping[str, MaskFacts], coloured: bool) -> None:
        self.coloured = coloured
        self.pixels: Counter[int] = Counter()
        self.firm: Counter[int] = Counter()
        self.between: Counter[int] = Counter()
        self.parting: Counter[int] = Counter()
        self.names: dict[int, list[str]] = {}
        for name, mask in masks.items():
            self.pixels.update(mask.pixels)
            self.firm.update(mask.firm)
            self.between.update(mask.between)
            self.parting.update(mask.parting)
            for value in mask.pixels:
                self.names.setdefault(value, []).append(name)
        self.total = self.pixels.total()
        self.side = math.sqrt(sum(mask.height * mask.width for mask in masks.values()) / max(1, len(masks)))

    def key(self, value: int) -> str:
        return f"#{value:06x}" if self.coloured else str(value)

    def is_firm(self, value: int) -> bool:
        return self.firm[value] >= 0.3 * self.pixels[value]

    def is_border(self, value: int) -> bool:
        """Whether it lies as thin lines that mostly have different values at their sides."""
        # of a line so wide, so many of its pixels have another one to the right or below
        width = self.pixels[value] / max(1, self.pixels[value] - self.firm[value])
        return self.parting[value] > 0 and width <= max(3, THIN * self.side)

    def is_blend(self, value: int) -> bool:
        """Whether it mostly lies between a lower and a higher value, as on a smoothed border.

        Not a number in a row of others, which are ids, nor a colour that no two others could mix.
        """
        if self.between[value] <= 0 or {value - 1, value + 1} <= self.pixels.keys():
            return False
        if not self.coloured:
            return True
        mixed = list(value.to_bytes(3))
        others = np.array([list(v.to_bytes(3)) for v in self.pixels if self.is_firm(v)]).reshape(-1, 3)
        below, above = others <= mixed, others >= mixed  # (F,3)
        return bool(((below[:, None] & above) | (above[:, None] & below)).all(axis=2).any())

    def merged(self, into: Mapping[int, int]) -> Table:
        """The table in which these values count as others."""
        table = copy(self)
        for name in ("pixels", "firm", "between", "parting"):
            counts: Counter[int] = Counter()
            for value, count in getattr(self, name).items():
                counts[into.get(value, value)] += count
            setattr(table, name, counts)
        table.names = {}
        for value, files in self.names.items():
            main = into.get(value, value)
            table.names[main] = list(dict.fromkeys([*table.names.get(main, []), *files]))
        return table

    def holders(self, values: Sequence[int]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for value in values for name in self.names[value]))
