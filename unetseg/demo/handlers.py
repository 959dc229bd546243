"""What the page does, without the page: files and choices in; pictures, sentences and HTML out."""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import get_args

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from .. import task
from ..config import SegmentationConfig
from ..formats import read_image
from ..predictor import Predictor
from ..render import View
from ..samples import SampleKind, draw_sample
from .store import Store

log = logging.getLogger(__name__)

SHOWN_SIDE = 768
ALL = "all classes"


@dataclass(frozen=True)
class Result:
    """A finished upload. key: of the store. picture: a file, as the network saw it. notes: one sentence each."""

    key: str
    picture: str
    notes: tuple[str, ...]


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

    def segment(self, model: str, path: str) -> Result:
        """Segment an uploaded file; ValueError says in one sentence what is wrong with it, or with this machine."""
        try:
            return self._segment(model, path)
        except ValueError:
            raise
        except Exception as error:  # memory or disk: without an answer, the last result would stand for this file
            log.exception("%s failed", model)
            raise ValueError(
                f"{Path(path).name} could not be segmented ({error}); try a smaller picture, or try again later"
            ) from None

    def _segment(self, model: str, path: str) -> Result:
        config = self.config(model)
        started = time.perf_counter()
        full = self.predictors[model](read_image(path))
        seconds = time.perf_counter() - started
        shown = full.reduced(SHOWN_SIDE)
        height, width = full.logits.shape[2:]
        source = self.predictors[model].source
        commit = f" ({source})" if source and source.commit else ""
        notes = [f"{full.name}: {width} x {height} pixels, {config.task} model {model}{commit}, {seconds:.1f} s."]
        if source and source.notice:
            notes.append(f"Note: {source.notice}.")
        if shown is not full:
            notes.append(
                f"Shown at {shown.logits.shape[3]} x {shown.logits.shape[2]} pixels; the download has the full size."
            )
        notes += [f"Note: {notice}." for notice in full.notices]
        key = self.store.put(full, shown)
        return Result(key, self._write(shown.picture[0], f"{key}/picture.png"), tuple(notes))

    def view(self, key: str, kind: View, class_name: str, thresholds: Sequence[float]) -> str:
        """The file with a view of a result at the shown size."""
        _, shown = self.store.get(key)
        class_ = None if class_name == ALL else class_name
        return self._write(shown.view(kind, class_name=class_, thresholds=thresholds), f"{key}/{kind}.png")

    def legend(self, key: str, thresholds: Sequence[float]) -> str:
        """Colour, name and share of every label as HTML, counted at full size: by the labels, and by argmax."""
        full, _ = self.store.get(key)
        config = full.config
        parts = []
        for title, view, labels in (
            ("Share of the picture, by the labels", "labels", full.labels(thresholds)),
            ("Share of the picture, by argmax", "argmax", task.argmax(full.logits, config).numpy()),
        ):
            shares = np.bincount(labels.ravel(), minlength=len(config.labels)) / labels.size
            rows = "".join(
                f'<li><span class="swatch" style="background:{color}"></span>'
                f'<span class="name">{escape(name)}</span><span class="share">{share:.1%}</span></li>'
                for name, color, share in zip(config.labels, config.palette, shares, strict=True)
            )
            parts.append(f'<div class="legend by-{view}"><p>{title}</p><ul>{rows}</ul></div>')
        return "".join(parts)

    def download(self, key: str, thresholds: Sequence[float]) -> str:
        """The labels at full size as an indexed PNG; its path."""
        full, _ = self.store.get(key)
        return str(full.save(self.folder / key / f"{Path(full.name).stem}_labels.png", thresholds))

    def examples(self, model: str) -> list[str]:
        """Generated pictures that fit a model's input; their names say that they are synthetic."""
        kind: SampleKind = "ct" if self.config(model).channels == ("gray",) else "aerial"
        paths = [self.folder / f"synthetic_{kind}_{seed}.png" for seed in range(3)]
        for seed, path in enumerate(paths):
            if not path.exists():
                self._write(draw_sample(kind, seed)[0], path.name)
        return [str(path) for path in paths]

    def _write(self, pixels: NDArray[np.uint8], name: str) -> str:
        """A picture for the browser: lossless, and packed fast rather than small."""
        path = self.folder / name
        PIL.Image.fromarray(pixels).save(path, compress_level=1)
        return str(path)


def status_html(sentences: Sequence[str], *, problem: bool = False) -> str:
    """Sentences for the visitor; a problem is announced."""
    text = "<br>".join(escape(sentence) for sentence in sentences)
    return f'<p class="status{" problem" if problem else ""}"{" role=alert" if problem else ""}>{text}</p>'


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
