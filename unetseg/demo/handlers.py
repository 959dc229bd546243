"""What the page does, without the page: files and choices in; pictures, sentences and HTML out."""

from __future__ import annotations

import dataclasses
import itertools
import json
import logging
import shutil
import tempfile
import time
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import get_args

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from .. import task
from ..batch import AUTO, Job, reading_of, stem_of, with_common_range
from ..config import SegmentationConfig
from ..files import whole
from ..formats import Reading, looks_like_dicom, own_suffix, series_in
from ..predictor import Predictor
from ..render import View
from ..samples import SampleKind, draw_sample
from ..segmentation import Segmentation
from .store import Store

log = logging.getLogger(__name__)

SHOWN_SIDE = 768
ALL = "all classes"


WINDOWS = {"soft tissue": (40, 400), "liver": (60, 160), "lung": (-600, 1500), "bone": (400, 1800)}
"""(level, width) in Hounsfield units, as viewers offer them."""
MODEL_WINDOW = "as the model sees it"
Window = tuple[float, float] | None
"""(level, width) in which a CT is drawn; None: as the network was given it."""
FAMILIES = {
    ".png": "label map (PNG)",
    ".dcm": "labels (DICOM-SEG)",
    ".nii.gz": "labels (NIfTI)",
    ".nrrd": "labels (NRRD)",
    ".mha": "labels (MetaImage)",
    ".tif": "labels (GeoTIFF)",
}


@dataclass(frozen=True)
class Result:
    """A finished upload. key: of the store. notes: one sentence each. slices: how many; the first that shows a class.

    hounsfield: whether a window applies to its picture. family: what its download is. proposal: a change of the picture
    that the visitor may accept, in words.
    """

    key: str
    notes: tuple[str, ...]
    slices: int
    first: int
    hounsfield: bool
    family: str
    proposal: str = ""


class Several(ValueError):  # noqa: N818, what happened, not a fault
    """An upload holds several series; one has to be chosen. series: what each is, by its UID."""

    def __init__(self, series: dict[str, str]) -> None:
        super().__init__(f"This holds {len(series)} series: choose one.")
        self.series = series


class Page:
    """The models that the page was started with, and the results of its visitors."""

    def __init__(self, predictors: dict[str, Predictor]) -> None:
        self.predictors = predictors
        # pictures on their way to the browser; the folder goes when the page ends
        self._folder = tempfile.TemporaryDirectory(prefix="unetseg-")
        self.folder = Path(self._folder.name)
        self.store = Store(self.folder)

    def config(self, model: str) -> SegmentationConfig:
        """The config of a model of this page; ValueError for any other name."""
        if model not in self.predictors:
            raise ValueError(f"this page offers {', '.join(self.predictors)}, not {model!r}")
        return self.predictors[model].config

    def segment(
        self,
        model: str,
        paths: str | Sequence[str],
        series: str | None = None,
        *,
        value_range: str = "",
        bands: str = "",
        hounsfield: bool = False,
        accept_proposals: bool = False,
    ) -> Result:
        """Segment an uploaded file, or several DICOM files as one series.

        value_range, bands, hounsfield: what the file doesn't say, as it was typed. accept_proposals: see `Predictor`.
        Raises ValueError that says in one sentence what is wrong with them, or with this machine; Several.
        """
        paths = [paths] if isinstance(paths, str) else list(paths)
        try:
            reading = reading_of(value_range.split(), bands, hounsfield or None)
            auto = value_range.split() == AUTO
            return self._segment(model, paths, series, reading, auto=auto, accept_proposals=accept_proposals)
        except ValueError:
            raise
        except Exception as error:  # memory or disk: without an answer, the last result would stand for this file
            log.exception("%s failed", model)
            raise ValueError(
                f"{Path(paths[0]).name} could not be segmented ({error}); try a smaller picture, or try again later"
            ) from None

    def _segment(
        self,
        model: str,
        paths: list[str],
        series: str | None,
        reading: Reading,
        *,
        auto: bool,
        accept_proposals: bool,
    ) -> Result:
        config = self.config(model)
        with self.store.new() as key:
            place = self._kept(paths, self.folder / key)
            if series is None and (place.is_dir() or zipfile.is_zipfile(place)):
                found = series_in(place)
                if len(found) > 1:
                    raise Several({one.uid: str(one).rpartition(",")[0] for one in found})
            started = time.perf_counter()
            job = Job(place, place.name, series)
            if auto:
                reading = with_common_range([job], reading)
            full = self.predictors[model](job.image(reading), accept_proposals=accept_proposals)
            seconds = time.perf_counter() - started
            shown = full.reduced(SHOWN_SIDE) if full.shape[0] == 1 else full
            source = self.predictors[model].source
            commit = f" ({source})" if source and source.commit else ""
            notes = [f"{full.description()}.", f"{config.task} model {model}{commit}, {seconds:.1f} s."]
            if source and source.notice:
                notes.append(f"Note: {source.notice}.")
            if shown is not full:
                notes.append(f"Shown at {shown.shape[2]} x {shown.shape[1]} pixels; the download has the full size.")
            notes += [f"Note: {notice}." for notice in full.notices]
            if full.found_nothing():
                notes.append(f"Nothing is found. {full.explain()}")
            self.store.put(key, full, shown)
        if own_suffix(full.image) == ".dcm":
            notes.append("The DICOM-SEG names the patient as its source does, for the standard wants it.")
        shares = self._shares(full, config.thresholds)
        found_at = shares[:, 1:] if config.background is not None else shares
        first = int(found_at.sum(axis=1).argmax())
        family = FAMILIES[own_suffix(full.image)]
        proposal = "" if full.proposal is None else str(full.proposal)
        return Result(key, tuple(notes), full.shape[0], first, full.image.hounsfield, family, proposal)

    def picture(self, key: str, index: int = 0, window: Window = None) -> str:
        """The file with a slice of the picture at the shown size."""
        return self._write(self._shown(key, index, window).picture[0], f"{key}/picture.png")

    def view(
        self,
        key: str,
        kind: View,
        class_name: str,
        thresholds: Sequence[float],
        index: int = 0,
        window: Window = None,
    ) -> str:
        """The file with a view of a slice of a result at the shown size."""
        class_ = None if class_name == ALL else class_name
        shown = self._shown(key, index, window)
        return self._write(shown.view(kind, class_name=class_, thresholds=thresholds), f"{key}/{kind}.png")

    def legend(self, key: str, thresholds: Sequence[float], index: int = 0) -> str:
        """Colour, name and share of every label as HTML, counted at full size: by the labels, and by argmax."""
        full, _ = self.store.get(key)
        config = full.config
        what = "picture" if full.shape[0] == 1 else "slice"
        parts = []
        for title, view, labels in (
            (f"Share of the {what}, by the labels", "labels", full.labels(thresholds, index=index)),
            (f"Share of the {what}, by argmax", "argmax", full.argmax(index)),
        ):
            shares = np.bincount(labels.ravel(), minlength=len(config.labels)) / labels.size
            rows = "".join(
                f'<li><span class="swatch" style="background:{color}"></span>'
                f'<span class="name">{escape(name)}</span><span class="share">{share:.1%}</span></li>'
                for name, color, share in zip(config.labels, config.palette, shares, strict=True)
            )
            parts.append(f'<div class="legend by-{view}"><p>{title}</p><ul>{rows}</ul></div>')
        return "".join(parts)

    def profile(self, key: str, class_name: str, thresholds: Sequence[float], index: int) -> str:
        """The share of the labels in each slice as a drawing (SVG), the shown slice marked; empty for one slice."""
        full, _ = self.store.get(key)
        if full.shape[0] == 1:
            return ""
        config = full.config
        shares = self._shares(full, thresholds)
        labels = [label for label, name in enumerate(config.labels) if class_name in (ALL, name)]
        if class_name == ALL and config.background is not None:
            labels.remove(0)
        return profile_svg(shares[:, labels], [config.palette[label] for label in labels], index)

    def download(self, key: str, thresholds: Sequence[float]) -> tuple[str, str]:
        """The labels at full size in the family of the input, and the report; their paths."""
        full, _ = self.store.get(key)
        stem = stem_of(Path(full.name))
        base = self.folder / key
        labels = full.save(base / f"{stem}_labels{own_suffix(full.image)}", thresholds)
        report = base / f"{stem}_report.json"
        with whole(report) as temporary:
            temporary.write_text(json.dumps(full.report(thresholds), indent=2, ensure_ascii=False), encoding="utf-8")
        return str(labels), str(report)

    def examples(self, model: str) -> list[str]:
        """Generated pictures that fit a model's input; their names say that they are synthetic."""
        kind: SampleKind = "ct" if self.config(model).channels == ("gray",) else "aerial"
        paths = [self.folder / f"synthetic_{kind}_{seed}.png" for seed in range(3)]
        for seed, path in enumerate(paths):
            if not path.exists():
                self._write(draw_sample(kind, seed)[0], path.name)
        return [str(path) for path in paths]

    def _kept(self, paths: Sequence[str], folder: Path) -> Path:
        """The upload where it stays as long as its result, which refers to it: the last file, or all last DICOM files.

        What was dropped before stays in the list of the page, and is not looked at.
        """
        newest = list(itertools.takewhile(_is_dicom, reversed(paths)))[::-1] or [paths[-1]]
        if len(newest) == 1:
            return Path(shutil.copy(newest[0], folder))
        series = folder / "DICOM series"
        series.mkdir()
        for number, path in enumerate(newest):  # two may have the same name
            shutil.copy(path, series / f"{number:05}.dcm")
        return series

    def _shown(self, key: str, index: int, window: Window) -> Segmentation:
        full, shown = self.store.get(key)
        if full.shape[0] > 1:
            shown = full.alone(min(index, full.shape[0] - 1)).reduced(SHOWN_SIDE)
        if window is None or not full.image.hounsfield:
            return shown
        level, width = window
        drawn = (shown.image.pixels[..., :1].astype(np.float32) - (level - width / 2)) * (255 / max(width, 1))
        return dataclasses.replace(shown, drawn=np.repeat(drawn.clip(0, 255).astype(np.uint8), 3, axis=3))

    def _shares(self, full: Segmentation, thresholds: Sequence[float]) -> NDArray[np.float64]:
        """The share of each label in each slice (D,L), at the size that the network saw."""
        labels = (task.decode(logits[None], full.config, thresholds) for logits in full.network_logits)
        count = len(full.config.labels)
        return np.array([np.bincount(one.numpy().ravel(), minlength=count) / one.numel() for one in labels])

    def _write(self, pixels: NDArray[np.uint8], name: str) -> str:
        """A picture for the browser: lossless, and packed fast rather than small."""
        path = self.folder / name
        PIL.Image.fromarray(pixels).save(path, compress_level=1)
        return str(path)


def _is_dicom(path: str) -> bool:
    with Path(path).open("rb") as file:
        return looks_like_dicom(file.read(1024))


def status_html(sentences: Sequence[str], *, problem: bool = False) -> str:
    """Sentences for the visitor; a problem is announced."""
    text = "<br>".join(escape(sentence) for sentence in sentences)
    return f'<p class="status{" problem" if problem else ""}"{" role=alert" if problem else ""}>{text}</p>'


def profile_svg(shares: NDArray[np.float64], colors: Sequence[str], index: int) -> str:
    """Shares (D,L) as curves over the slices, one in each colour; a line marks the slice `index`."""
    depth, top = len(shares), max(float(shares.max()), 1e-9)
    curves = []
    for values, color in zip(shares.T, colors, strict=True):
        points = " ".join(f"{i},{40 - 38 * value / top:.2f}" for i, value in enumerate(values))
        curves.append(f'<polygon points="0,40 {points} {depth - 1},40" fill="{color}" stroke="{color}"/>')
    mark = f'<line x1="{index}" x2="{index}" y1="0" y2="40"/>'
    text = f"Share of each slice, up to {top:.1%}" if shares.any() else "Nothing was found in any slice"
    return (
        f'<div class="profile"><p>{text}</p><svg viewBox="0 0 {depth - 1} 40" preserveAspectRatio="none" '
        f'role="img" aria-label="{text}">{"".join(curves)}{mark}</svg></div>'
    )


def captions_html(class_name: str, config: SegmentationConfig) -> str:
    """What each view shows, one sentence each; the page shows that of the view on the screen."""
    views = get_args(View)
    return "".join(f'<p class="view view-{kind}">{escape(_caption(kind, class_name, config))}</p>' for kind in views)


def _caption(kind: View, class_name: str, config: SegmentationConfig) -> str:
    one = len(config.outputs) == 1
    name = config.outputs[0] if one else class_name
    if kind == "probability":
        what = "the likeliest class" if name == ALL else name
        return f"Probability of {what} at each pixel: black is 0, white is 1."
    if kind == "thresholded":
        if name == ALL:
            return "Every class whose probability reaches its threshold, in its colour; black where none does."
        return f"White (255) where the probability of {name} reaches its threshold, black (0) elsewhere."
    if kind == "argmax":
        against = ", the background counting as 0" if config.background is not None and not config.exclusive else ""
        return f"The label of the largest logit{against}, in the palette; no threshold is involved."
    decided = "argmax" if config.exclusive or config.background is None else "threshold"
    return f"The labels, decided by {decided}, over the picture."
