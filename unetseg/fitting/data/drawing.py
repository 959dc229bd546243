"""The labels of a picture that somebody drew objects on, in the place of a mask."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...formats.annotations import Annotated, Overlap, label_map


@dataclass(frozen=True)
class Drawing:
    """The objects of a picture, the number that each of their labels is drawn as, and which of two is seen."""

    annotated: Annotated
    numbers: Mapping[str, int]
    overlap: Overlap

    def of_size(self, height: int, width: int) -> NDArray[np.uint8]:
        """(H,W): numbers, 0 where there is no object; ValueError for another size than the annotation states."""
        return label_map(self.annotated, height, width, self.numbers, overlap=self.overlap)

    @property
    def labels(self) -> set[str]:
        """Those of its objects; what many things share without being marked one by one has none."""
        return {thing.label for thing in self.annotated.objects if not thing.crowd}


def numbered(labels: Mapping[str, object] | tuple[str, ...]) -> dict[str, int]:
    """Labels by their order, the first is 1."""
    return {label: number for number, label in enumerate(labels, start=1)}
