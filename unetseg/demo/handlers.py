"""What the page does, without sockets: uploads and choices in; events, facts and bytes out."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
import tempfile
import threading
import time
import zipfile
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import PIL.Image
import torch

from ..batch import AUTO, reading_of, with_common_range
from ..batch import Job as Reader
from ..formats import Image, series_in
from ..process import give_back
from ..samples import draw_sample
from . import models, preview
from .downloads import Choices, Download, write
from .jobs import Cancelled, Event, Job, Jobs, Pace, Visitor
from .later import Offered
from .result import Result, facts
from .store import EXPIRES, LIMIT, Gone, Store
from .uploads import Upload

log = logging.getLogger(__name__)

SMALL = 2**21
"""Pixels, stored or seen by the network, of a run that doesn't wait behind larger ones."""
FIRST = Visitor("", "first")


@dataclass(frozen=True)
class Asked:
    """What a visitor wants run: a new upload, the upload of a result once more, or an example.

    key: of the store; where the result will be, and where a new upload lies already.
    series: the UID of one of several. value_range, bands, hounsfield: what the file doesn't say, as it was typed.
    accept: whether the picture is changed as the gate proposes.
    """

    model: str
    key: str
    upload: Upload
    series: str | None = None
    value_range: str = ""
    bands: str = ""
    hounsfield: bool = False
    accept: bool = False
    synthetic: bool = False


class Page:
    """The models that the page was started with, and the results of its visitors."""

    def __init__(self, predictors: Mapping[str, Offered], *, limit: int = LIMIT, expires: float = EXPIRES) -> None:
        self.predictors = predictors
        # the folder of uploads and downloads goes when the page ends
        self._folder = tempfile.TemporaryDirectory(prefix="unetseg-", ignore_cleanup_errors=True)
        self.folder = Path(self._folder.name)
        self.store: Store[Result] = Store(self.folder, limit, expires)
        # threads that are started later would take the default
        self.jobs = Jobs(partial(torch.set_num_threads, torch.get_num_threads()))
        self._paces = {name: Pace() for name in predictors}
        self._models: dict[str, Any] | None = None
        self._lock, self._turn = threading.Lock(), asyncio.Semaphore(1)
        self._first: str | None = None
        self._first_done = threading.Event()

    def close(self) -> None:
        """End what runs, drop what is kept, and remove the files."""
        self.jobs.close()
        self.store.close()
        self._folder.cleanup()

    def predictor(self, model: str) -> Offered:
        """A model of this page; ValueError for any other name."""
        if model not in self.predictors:
            raise ValueError(f"this page offers {', '.join(self.predictors)}, not {model!r}")
        return self.predictors[model]

    def models(self) -> list[dict[str, Any]]:
        """The facts of every model, with its examples; found out once."""
        with self._lock:
            if self._models is None:
                self._models = {name: models.facts(name, each) for name, each in self.predictors.items()}
            return list(self._models.values())

    def example(self, model: str, number: int, key: str) -> Asked:
        """A generated picture that fits a model, as a run under a new key; ValueError for a number that isn't there."""
        kind = models.sample_kind(self.predictor(model))
        if kind is None:
            raise ValueError(f"{model} has no examples: no generated picture is like those that it knows")
        if not 0 <= number < models.EXAMPLES:
            raise ValueError(f"{model} has the examples 0 to {models.EXAMPLES - 1}, not {number}")
        name = f"synthetic_{kind}_{number}.png"
        path = self.folder / key / name
        PIL.Image.fromarray(draw_sample(kind, number)[0]).save(path, compress_level=1)
        return Asked(model, key, Upload(path, name), synthetic=True)

    def again(self, old: str, key: str) -> tuple[Upload, bool]:
        """The upload of a kept result under a new key, and whether it is an example; raises Gone."""
        before = self.store.get(old)
        try:
            return before.upload.copied(self.folder / key), bool(before.info.get("synthetic"))
        except OSError:  # dropped meanwhile
            raise Gone from None

    def start_first(self) -> None:
        """Let the first model's first example, if it has any, be solved, as a visitor's is; it is never dropped."""

        def tell(event: Event | None) -> None:
            if event is None:
                self._first_done.set()
            elif event["state"] == "done":
                self._first = event["result"]["key"]
            elif event["state"] == "error":
                log.warning("note: the first example failed: %s", event["error"])

        first = next(iter(self.predictors))
        if models.sample_kind(self.predictors[first]) is None:
            self._first_done.set()
        else:
            self.start(self.example(first, 0, self.store.new_key()), FIRST, tell)
        threading.Thread(target=self.models, name="unetseg-models", daemon=True).start()  # whoever comes need not wait

    def first(self) -> dict[str, Any]:
        """INFO of the first example, once it is there; raises Gone if it failed, or there is none."""
        self._first_done.wait()
        if self._first is None:
            raise Gone
        return self.info(self._first)

    def result(self, key: str) -> Result:
        """A finished run; raises Gone, also for what waits for an answer."""
        result = self.store.get(key)
        if result.full is None:
            raise Gone
        return result

    @contextlib.asynccontextmanager
    async def turn(self, result: Result) -> AsyncIterator[None]:
        """In which something is made of a result: of large ones one thing at a time, for each takes much memory."""
        if not result.is_large:
            yield
            return
        async with self._turn:
            yield
            await asyncio.to_thread(give_back)

    def info(self, key: str) -> dict[str, Any]:
        """The facts of a result; see `result.facts`."""
        return self.result(key).info

    def download(self, key: str, kind: str, choices: Choices) -> tuple[Path, str]:
        """A file of a result, made now, in a folder of its own; and its name. Raises Gone and ValueError."""
        result = self.result(key)
        names = {one["kind"]: one["name"] for one in result.info["downloads"]}
        if kind not in names:
            raise ValueError(f"{result.info['name']} can be had as {', '.join(names)}, not as {kind}")
        assert result.full is not None
        try:
            folder = Path(tempfile.mkdtemp(prefix="out-", dir=self.folder / key))
        except FileNotFoundError:  # dropped meanwhile
            raise Gone from None
        try:
            path = write(cast(Download, kind), result.full, folder, choices)
        except FileNotFoundError:
            raise Gone from None
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        self.store.fit(key)
        return path, names[kind]

    def downloaded(self, key: str, path: Path) -> None:
        """A file of `download` was sent: it goes."""
        shutil.rmtree(path.parent, ignore_errors=True)
        self.store.fit(key)

    def start(self, asked: Asked, visitor: Visitor, tell: Callable[[Event | None], None]) -> Job:
        """Queue a run; `tell` gets its events from other threads, None at the end. Raises Busy and ValueError.

        Unless a result is kept in the end, or an answer is waited for, what lies under its key goes.
        """
        config = self.predictor(asked.model).config
        stored, seen = preview.size(asked.upload, config)
        seconds = self._paces[asked.model].seconds(seen)

        def ended(event: Event | None) -> None:
            if event is None:
                self.store.forget_unless_kept(asked.key)
            tell(event)

        job = Job(
            visitor,
            lambda job: self._run(asked, job, pinned=visitor is FIRST),
            ended,
            seconds=seconds,
            lane="small" if max(stored, seen) <= SMALL else "large",
        )
        try:
            self.jobs.submit(job)
        except ValueError:
            self.store.forget_unless_kept(asked.key)
            raise
        return job

    def _run(self, asked: Asked, job: Job, *, pinned: bool) -> None:
        """The work of a job; whatever happens, its visitor gets an answer."""
        try:
            self._segment(asked, job, pinned=pinned)
            if job.lane == "large":
                give_back()
            return
        except Cancelled:
            raise
        except _Several as several:
            self.store.put(asked.key, Result(asked.upload))
            job.tell({"state": "series", "series": several.series, "key": asked.key})
            return
        except ValueError as error:
            said = str(error)
        except Exception as error:  # memory or disk
            log.exception("%s failed", asked.model)
            what = str(error).partition("\n")[0] or type(error).__name__
            said = f"{asked.upload.name} could not be segmented ({what}); try a smaller picture, or try again later"
        # it may be read otherwise, or by another model
        self.store.put(asked.key, Result(asked.upload, info={"synthetic": asked.synthetic}))
        job.tell({"state": "error", "error": said, "key": asked.key})

    def _segment(self, asked: Asked, job: Job, *, pinned: bool) -> None:
        predictor, upload = self.predictor(asked.model), asked.upload
        job.tell({"state": "reading"})
        image = _read(asked)
        job.go_on()
        job.tell({"state": "read", **preview.picture(image, predictor.config)})
        started = time.perf_counter()
        progress = preview.Progress(job, image, predictor.config, twice=asked.accept)
        full = predictor(image, accept_proposals=asked.accept, progress=progress)
        seconds = time.perf_counter() - started
        job.go_on()
        self._paces[asked.model].learn(preview.seen(image.pixels.shape, predictor.config), seconds)
        result = Result(upload, asked.model, full)
        result.info = facts(asked.key, result, synthetic=asked.synthetic, seconds=seconds, expires=self.store.expires)
        source = predictor.source
        result.info["commit"] = None if source is None else source.commit
        if source is not None and source.notice:
            result.info["notices"].append(source.notice)
        job.go_on()
        self.store.put(asked.key, result, pinned=pinned)
        job.tell({"state": "done", "result": result.info})


class _Several(Exception):  # noqa: N818, what happened, not a fault
    def __init__(self, series: list[dict[str, str]]) -> None:
        self.series = series


def _read(asked: Asked) -> Image:
    """The upload as it is asked for; ValueError, _Several."""
    place = asked.upload.path
    if asked.series is None and (place.is_dir() or zipfile.is_zipfile(place)):
        found = series_in(place)
        if len(found) > 1:
            raise _Several([{"uid": one.uid, "what": str(one).rpartition(",")[0]} for one in found])
    reading = reading_of(asked.value_range.split(), asked.bands, asked.hounsfield or None)
    reading["name"] = asked.upload.name
    reader = Reader(place, asked.upload.name, asked.series)
    if asked.value_range.split() == AUTO:
        reading = with_common_range([reader], reading)
    return reader.image(reading)
