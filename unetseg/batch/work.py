"""The unit of work, a path in and files and a line of the journal out; and the threads that do many of them."""

from __future__ import annotations

import contextlib
import json
import logging
import math
import secrets
import shutil
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast

import torch

from ..files import explained, make_folder
from ..formats import Damaged, Image, Reading, is_too_large, own_suffix
from ..hub.download import Source
from ..predictor import Compiled, Predictor, Written
from ..segmentation import Segmentation
from ..version import __version__
from .inputs import Job
from .output import Output
from .record import Entry, Journal, checkpoint_hash, file_hash, text_hash

log = logging.getLogger(__name__)

AT_ONCE = 4
"""Times that the network runs at most, each on its share of the cores: sooner done than in turn."""

SMALL = 2**20
"""Pixels of the largest picture that has the network together with others."""


@dataclass(frozen=True)
class Task:
    """What is done to every input, in words that can travel to another machine.

    source: where the checkpoint was found. device, compiled: as `Predictor` takes them. out: the folder of the results.
    journal: the name of that which is written to. overwrite: whether files may be replaced that no journal knows.
    """

    source: Source
    device: str
    reading: Reading
    output: Output
    out: Path
    journal: str
    overwrite: bool = False
    compiled: Compiled = "never"
    accept_proposals: bool = False


@dataclass(frozen=True)
class Outcome:
    """What came of an input. why: it was left out or failed. written: relative to the folder of the results.

    shows: the label of a whole picture and its probability, in words.
    """

    state: Literal["done", "done before", "left out", "failed"]
    why: str = ""
    written: tuple[str, ...] = ()
    description: str = ""
    notices: tuple[str, ...] = ()
    pixels: int = 0
    shows: str = ""


Work = Generator[Image, Segmentation, Outcome]
"""The work on an input: it gives its image, gets what was found in it, and ends with what came of it."""


@dataclass(frozen=True)
class Share:
    """How inputs are shared out: how many times the network runs at once, on how many threads, for how many each."""

    at_once: int
    threads: int
    together: int


class Worker:
    """Does inputs in turn, or several at once in threads, which share a network."""

    def __init__(self, task: Task) -> None:
        """Load the model and read the journals; ValueError or OSError of one sentence."""
        self.task = task
        repo, _, _ = task.source.name.partition("@")
        name = f"{repo}@{task.source.commit}" if task.source.commit else task.source.folder
        self.predictor = Predictor.from_pretrained(name, device=task.device, compiled=task.compiled)
        self.predictor.source = task.source  # by the name that the user knows
        self.model = checkpoint_hash(task.source)
        make_folder(task.out)
        self.journal = Journal(task.out, task.journal)
        told = {
            **asdict(task.output),
            **task.reading,
            "accept_proposals": task.accept_proposals,
            "device": self.predictor.device.type,
            "precision": str(self.predictor.dtype).removeprefix("torch."),
            "version": __version__,
        }
        self.options: dict[str, Any] = json.loads(json.dumps(told))  # as the journal gives them back
        self.stopping = threading.Event()
        self._turn = threading.Semaphore()
        self._explains = False

    def share(self, count: int) -> Share:
        """Get ready for so many inputs."""
        self.stopping.clear()
        self._explains = count == 1  # among many it is usual, as of the slices of a scan: reports have it
        cores = torch.get_num_threads()
        at_once = max(1, min(AT_ONCE, cores, count)) if self.predictor.device.type == "cpu" else 1
        self._turn = threading.Semaphore(at_once)
        return Share(at_once, cores // at_once, max(1, min(self.predictor.together, count // at_once)))

    def __call__(self, jobs: Sequence[Job]) -> list[Outcome]:
        """Do them, unless the journal knows them as done; what goes wrong with one is in its outcome.

        Small pictures of one shape that follow each other have the network together.
        """
        outcomes: dict[Job, Outcome] = {}
        waiting: list[tuple[Job, Work, Image]] = []

        def go_on(job: Job, work: Work, answer: Segmentation | Exception | None) -> None:
            try:
                if answer is None:
                    image = next(work)
                else:
                    image = work.throw(answer) if isinstance(answer, Exception) else work.send(answer)
            except StopIteration as end:
                outcomes[job] = end.value
                return
            if waiting and image.pixels.shape[:3] != waiting[0][2].pixels.shape[:3]:
                segment()
            waiting.append((job, work, image))
            if len(image.pixels) > 1 or image.pixels[..., 0].size > SMALL:
                segment()

        def segment() -> None:
            these = waiting.copy()
            waiting.clear()
            for (job, work, _), answer in zip(these, self._found([image for *_, image in these]), strict=True):
                go_on(job, work, answer)

        for job in jobs:
            go_on(job, self._work(job), None)
        while waiting:
            segment()
        return [outcomes[job] for job in jobs]

    def _found(self, images: Sequence[Image]) -> Sequence[Segmentation | Exception]:
        """What the network makes of each; or what went wrong, with those together that can't be so each by itself."""
        try:
            with self._network():
                return self.predictor.several(images, accept_proposals=self.task.accept_proposals)
        except (ValueError, RuntimeError, MemoryError) as error:
            return [error] if len(images) == 1 else [one for image in images for one in self._found([image])]

    def _work(self, job: Job) -> Work:
        try:
            return (yield from self._done(job))
        except (ValueError, OSError) as error:
            return Outcome("failed", str(error))
        except (RuntimeError, MemoryError) as error:  # as torch where memory is short: the next one may be smaller
            what = str(error).partition("\n")[0] or "no memory left"
            return Outcome("failed", f"{job.path.name} could not be segmented ({what}); try a smaller one")

    def _done(self, job: Job) -> Work:
        new = Entry(job.input, job.series, text_hash(str(job.root.resolve())), job.digest(), self.model, self.options)
        before = self.journal.find(job.input, job.series)
        last = _outputs(before)
        for entry in before:
            kept = (last[name] == hash_ and (self.task.out / name).exists() for name, hash_ in entry.outputs.items())
            if entry.same_result(new) and all(kept):
                return Outcome("done before")
        try:
            return (yield from self._segmented(job, before, new))
        except FileExistsError:
            self.journal.refresh()  # another command may have written it meanwhile
            if self.journal.find(job.input, job.series) == before:
                raise
            return (yield from self._done(job))

    def _segmented(self, job: Job, before: Sequence[Entry], new: Entry) -> Work:
        """Read, have it predicted, write."""
        if is_too_large(job.path):
            return self._by_rows(job, before, new)
        base = self.task.out / job.name
        try:
            image = job.image(self.task.reading)
            names = self.task.output.names(base.name, own_suffix(image), len(image.pixels))
            self._keep_others([base.with_name(name) for name in names], before, new)
            segmentation = yield image
        except Damaged:
            raise
        except ValueError as error:
            if not job.optional:
                raise
            return Outcome("left out", str(error))
        self._write(lambda folder: self.task.output.write(segmentation, folder, base.name), base, names, before, new)
        written = tuple(str(Path(job.name).with_name(name)) for name in names)
        pixels = image.pixels[..., 0].size
        notices = segmentation.notices
        if segmentation.proposal is not None:
            notices += (f"--accept-proposals segments {image.name} {segmentation.proposal}",)
        if self._explains and segmentation.found_nothing(
            self.task.output.thresholds, cleaning=self.task.output.cleaning
        ):
            notices += (f"nothing is found in {image.name}: {segmentation.explain()}",)
        shows = ""
        if (picture := segmentation.named_picture) is not None:
            label = max(picture, key=picture.__getitem__)
            shows = f"{label} ({picture[label]:.3f})"
        return Outcome("done", "", written, segmentation.description(), notices, pixels, shows)

    def _by_rows(self, job: Job, before: Sequence[Entry], new: Entry) -> Outcome:
        base, output = self.task.out / job.name, self.task.output
        if self.task.accept_proposals:
            raise ValueError(
                f"{job.path.name} is too large to have in memory, and row by row it is segmented as it is: "
                "leave out --accept-proposals, or cut it into parts"
            )
        kinds, names = output.by_rows(job.path.name), output.names(base.name, ".tif", 1)
        self._keep_others([base.with_name(name) for name in names], before, new)
        written: list[Written] = []

        def write(folder: Path) -> None:
            for kind, name in zip(kinds, names, strict=True):
                told = {key: value for key, value in self.task.reading.items() if value is not None}
                written.append(
                    self.predictor.write(
                        job.path,
                        folder / name,
                        output.thresholds,
                        kind=kind,
                        progress=self._go_on,
                        **cast(Reading, told),
                    )
                )

        with self._network():
            self._write(write, base, names, before, new)
        (first, *_) = written
        files = tuple(str(Path(job.name).with_name(name)) for name in names)
        return Outcome("done", "", files, first.description, first.notices, math.prod(first.shape))

    def _go_on(self, _done: int, _of: int) -> None:
        if self.stopping.is_set():
            raise CancelledError

    @contextlib.contextmanager
    def _network(self) -> Iterator[None]:
        """The network's turn, which doesn't come any more when the work is stopped."""
        with self._turn:
            if self.stopping.is_set():
                raise CancelledError
            yield

    def _keep_others(self, paths: Sequence[Path], before: Sequence[Entry], new: Entry) -> None:
        """FileExistsError for a file that isn't what was written of this input, of the same bytes or the same place."""
        if self.task.overwrite:
            return
        known = _outputs([entry for entry in before if entry.sha256 == new.sha256 or entry.place == new.place])
        for path in paths:
            if not path.exists():
                continue
            if not path.is_file() or known.get(path.relative_to(self.task.out).as_posix()) != file_hash(path):
                other = " and is not what the journal says of this input" if before else ""
                raise FileExistsError(
                    f"{path} is there already{other}; name another folder with --out, or replace it with --overwrite"
                )

    def _write(
        self, write: Callable[[Path], object], base: Path, names: Sequence[str], before: Sequence[Entry], new: Entry
    ) -> None:
        """Let the results be written to a folder of their own, then to the journal, then take their places.

        So a journal knows every file that is there, and is wrong at most about one that isn't, which is done again.
        """
        folder = base.parent
        temporary = folder / f".{base.name}.{secrets.token_hex(4)}.tmp"
        paths = {temporary / name: folder / name for name in names}
        try:
            temporary.mkdir(parents=True)
            write(temporary)
            outputs = {to.relative_to(self.task.out).as_posix(): file_hash(path) for path, to in paths.items()}
            self._keep_others([*paths.values()], before, new)  # another command may have been faster
            aside = {to: temporary / f"before.{to.name}" for to in paths.values() if to.exists()}
            for to, path in aside.items():
                to.replace(path)
            try:
                self.journal.add(replace(new, outputs=outputs, network=self.predictor.runs))
            except OSError:
                for to, path in aside.items():
                    path.replace(to)
                raise
            for path, to in paths.items():
                path.replace(to)
        except FileExistsError:
            raise
        except OSError as error:
            raise OSError(str(explained(error, base)).replace(str(temporary), str(folder))) from None
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def _outputs(entries: Sequence[Entry]) -> dict[str, str]:
    """What was written last by each name."""
    return {name: hash_ for entry in entries for name, hash_ in entry.outputs.items()}


def run(worker: Worker, jobs: Sequence[Job]) -> Generator[tuple[Job, Outcome]]:
    """Do the jobs in threads, one more than run the network at once: it reads or writes meanwhile.

    Gives them in their order. When it is closed, or at Ctrl-C, what the network has is still done and written, but a
    raster by rows.
    """
    share = worker.share(len(jobs))
    pool = ThreadPoolExecutor(share.at_once + 1, initializer=torch.set_num_threads, initargs=(share.threads,))
    try:
        parts: list[list[Job]] = []
        for job in jobs:
            if parts and len(parts[-1]) < share.together and job.is_small and parts[-1][-1].is_small:
                parts[-1].append(job)
            else:
                parts.append([job])
        futures = [(some, pool.submit(worker, some)) for some in parts]
        for some, future in futures:
            yield from zip(some, future.result(), strict=True)
    except KeyboardInterrupt:
        log.warning("stopping; what is under way comes to its end")
        raise
    finally:
        worker.stopping.set()
        pool.shutdown(cancel_futures=True)
