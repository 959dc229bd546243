"""What is written of each input."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import PIL.Image

from ..files import whole
from ..formats import ENDINGS, Kind, own_suffix
from ..measure import Cleaning
from ..render import View
from ..segmentation import NOTHING, Segmentation

PROBABILITIES = {".png": ".npz", ".dcm": ".nii.gz", ".nrrd": ".nii.gz", ".mha": ".nii.gz"}
"""How probabilities end where labels end so; else alike."""


@dataclass(frozen=True)
class Output:
    """What is written of each input.

    view: of every slice, or the labels. kinds: of the labels; in the family of the input unless given.
    """

    view: Literal["labels"] | View = "labels"
    kinds: tuple[Kind | Literal["probabilities"], ...] = ()
    report: bool = False
    class_name: str | None = None
    thresholds: Sequence[float] | None = None
    cleaning: Cleaning = NOTHING
    tolerance: float = 0

    def __post_init__(self) -> None:
        names = self.names("", ".png", 1)
        if len(set(names)) < len(names):
            raise ValueError(f"two of {', '.join(self.kinds)} would be the same file; take one of them")

    def names(self, stem: str, own: str, slices: int) -> list[str]:
        """The files of an input with so many slices and results that end in `own`; their names begin with `stem`."""
        if self.view == "labels":
            names = [f"{stem}_{_tail(kind, own)}" for kind in self.kinds or (None,)]
        else:
            numbers = [f"_{number:04}" for number in range(1, slices + 1)] if slices > 1 else [""]
            names = [f"{stem}_{self.view}{number}.png" for number in numbers]
        return [*names, *[f"{stem}_report.json"] * self.report]

    def by_rows(self, name: str) -> tuple[Literal["geotiff", "cog"], ...]:
        """The kinds of labels that are written of a raster too large for memory; ValueError for anything else."""
        kinds = [kind for kind in self.kinds or ("geotiff",) if kind in ("geotiff", "cog")]
        if self.view != "labels" or len(kinds) < len(self.kinds) or self.report or self.cleaning:
            raise ValueError(
                f"{name} is too large to have in memory, and row by row only labels are written, as geotiff or cog: "
                "leave out all other kinds, views, the report and the cleaning, or cut it into parts"
            )
        return tuple(kinds)

    def write(self, segmentation: Segmentation, folder: Path, stem: str) -> list[Path]:
        """Write all of it to a folder; the files, called as `names` says."""
        names = self.names(stem, own_suffix(segmentation.image), segmentation.shape[0])
        files = [folder / name for name in names]
        if self.view == "labels":
            self._labels(segmentation, files)
        else:
            self._views(segmentation, files)
        if self.report:
            found = segmentation.report(self.thresholds, cleaning=self.cleaning)
            with whole(files[-1]) as temporary:
                temporary.write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        return files

    def _labels(self, segmentation: Segmentation, files: Sequence[Path]) -> None:
        for kind, path in zip(self.kinds or (None,), files, strict=False):
            if kind == "probabilities":
                segmentation.save_probabilities(path)
            else:
                segmentation.save(path, self.thresholds, kind=kind, cleaning=self.cleaning, tolerance=self.tolerance)

    def _views(self, segmentation: Segmentation, files: Sequence[Path]) -> None:
        assert self.view != "labels"
        for index, path in enumerate(files[: segmentation.shape[0]]):
            view = segmentation.view(self.view, class_name=self.class_name, thresholds=self.thresholds, index=index)
            with whole(path) as temporary:
                PIL.Image.fromarray(view).save(temporary, format="PNG")


def _tail(kind: Kind | Literal["probabilities"] | None, own: str) -> str:
    """How the name of a file of labels ends; `own` is the ending in the family of the input."""
    if kind == "probabilities":
        return f"probabilities{PROBABILITIES.get(own, own)}"
    return f"labels{own if kind is None else ENDINGS[kind][0]}"
