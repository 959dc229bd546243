"""Many inputs, one after the other: what each is, and what is written of it."""

from __future__ import annotations

import glob
import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import PIL.Image

from .files import whole
from .formats import ENDINGS, Found, Image, Kind, Reading, own_suffix, read_image, series_in, some
from .measure import Cleaning
from .predictor import NOTHING, Segmentation
from .render import View

AUTO = ["auto"]


@dataclass(frozen=True)
class Job:
    """One picture or volume, or one DICOM series of a place.

    name: of its results, without an ending. number: of several series; one that does not fit is left out.
    """

    path: Path
    name: str
    series: str | None = None
    number: int | None = None

    def image(self, reading: Reading) -> Image:
        """Read it, told what `reading` says; its own series."""
        told = reading.copy()
        told["series"] = self.series
        return read_image(self.path, **told)


def jobs_in(inputs: Sequence[Path], series: str | None) -> list[Job]:
    """Every picture, volume and series; of a place with several series each of them, unless one is named.

    Raises ValueError where two results would have the same name.
    """
    jobs = []
    for path in inputs:
        name = stem_of(path)
        found = _series(path) if series is None else []
        if len(found) < 2:
            jobs.append(Job(path, name, series))
            continue
        jobs += [Job(path, f"{name}_series{n}", one.uid, n) for n, one in enumerate(found, 1)]
    names = [job.name for job in jobs]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(
            f"two of the inputs have the same name, {twice[0]!r}; write them to different folders with --out"
        )
    return jobs


def reading_of(value_range: Sequence[str] | None, bands: str | None, hounsfield: bool | None) -> Reading:
    """What is said of the inputs, in words: LOW HIGH or auto; 4,3,2. ValueError for what is neither."""
    if hounsfield and value_range:
        raise ValueError("Hounsfield units go through the model's window; leave out hounsfield or the value range")
    limits, chosen = None, None
    if value_range and list(value_range) != AUTO:
        try:
            low, high = map(float, value_range)
        except ValueError:
            given = " ".join(value_range)
            raise ValueError(f"a value range is LOW HIGH, such as 0 4095, or auto; got {given!r}") from None
        limits = (low, high)
    if bands:
        try:
            chosen = tuple(int(part) for part in bands.split(","))
        except ValueError:
            raise ValueError(f"bands are numbers such as 4,3,2; got {bands!r}") from None
    return {"value_range": limits, "bands": chosen, "hounsfield": hounsfield}


def with_common_range(jobs: Sequence[Job], reading: Reading) -> Reading:
    """The reading with the value range in which 98 % of the pixels of all inputs lie; ValueError if they are alike."""
    values = []
    told = reading.copy()
    told["hounsfield"] = False
    for job in jobs:
        try:
            values.append(some(job.image(told)))
        except ValueError:  # told when its turn comes
            continue
    low, high = np.percentile(np.concatenate(values), (1, 99)).tolist() if values else (0.0, 1.0)
    if low == high:
        raise ValueError(f"all inputs hold {low:g} nearly everywhere; give --value-range LOW HIGH")
    told["value_range"] = (low, high)
    return told


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

    def there(self, folder: Path, jobs: Sequence[Job]) -> list[Path]:
        """Which results are in a folder already, by their names without endings."""
        what = [self.view, *(["probabilities"] if "probabilities" in self.kinds else [])]
        tails = [*(f"{one}{tail}" for one in what for tail in (".*", "_[0-9]*.png")), *(["report.json"] * self.report)]
        return sorted(path for job in jobs for tail in tails for path in folder.glob(f"{glob.escape(job.name)}_{tail}"))

    def write(self, segmentation: Segmentation, base: Path) -> list[Path]:
        """Write all of it beside `base`, whose name begins theirs; the files."""
        written = self._labels(segmentation, base) if self.view == "labels" else self._views(segmentation, base)
        if self.report:
            written.append(base.with_name(f"{base.name}_report.json"))
            found = segmentation.report(self.thresholds, cleaning=self.cleaning)
            with whole(written[-1]) as temporary:
                temporary.write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        return written

    def _labels(self, segmentation: Segmentation, base: Path) -> list[Path]:
        written = []
        own = own_suffix(segmentation.image)
        for kind in self.kinds or [None]:
            if kind == "probabilities":
                ending = {".png": ".npz", ".dcm": ".nii.gz"}.get(own, own)
                written.append(segmentation.save_probabilities(base.with_name(f"{base.name}_probabilities{ending}")))
                continue
            ending = own if kind is None else ENDINGS[kind][0]
            path = base.with_name(f"{base.name}_labels{ending}")
            saved = segmentation.save(
                path, self.thresholds, kind=kind, cleaning=self.cleaning, tolerance=self.tolerance
            )
            written.append(saved)
        return written

    def _views(self, segmentation: Segmentation, base: Path) -> list[Path]:
        assert self.view != "labels"
        written = []
        for index in range(segmentation.shape[0]):
            number = f"_{index + 1:04}" if segmentation.shape[0] > 1 else ""
            view = segmentation.view(self.view, class_name=self.class_name, thresholds=self.thresholds, index=index)
            written.append(base.with_name(f"{base.name}_{self.view}{number}.png"))
            with whole(written[-1]) as temporary:
                PIL.Image.fromarray(view).save(temporary, format="PNG")
        return written


def _series(path: Path) -> list[Found]:
    if not path.is_dir() and not zipfile.is_zipfile(path):
        return []
    try:
        return series_in(path)
    except ValueError:  # told when its turn comes
        return []


def stem_of(path: Path) -> str:
    """The name of an input without its ending; one of digits is none, but the last number of a UID."""
    if path.is_dir():
        return path.resolve().name
    if path.name.lower().endswith(".nii.gz"):
        return path.name[:-7]
    return path.name if path.suffix[1:].isdigit() else path.stem
