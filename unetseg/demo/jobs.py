"""Runs of the network that wait for their turn: fair to every visitor, small ones beside large ones."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

log = logging.getLogger(__name__)

Event = dict[str, Any]
"""What a visitor is told of a run: its `state`, and what belongs to that."""
Lane = Literal["small", "large"]
OF_A_PAGE = 4
"""Runs of one page, or of a program that names none, that may wait."""
OF_AN_ADDRESS = 64
"""Runs that may wait of all pages at one address: many visitors may share one."""


class Cancelled(Exception):  # noqa: N818, what happened, not a fault
    """Nobody waits for the run any more."""


class Busy(ValueError):  # noqa: N818, as above
    """A visitor has as many runs waiting as one may have."""


@dataclass(frozen=True)
class Visitor:
    """Who waits. address: of the network. page: what the page calls itself; "" for a program."""

    address: str
    page: str = ""


class Job:
    """A run that waits or goes on. `tell` gets its events, from any thread; None comes last."""

    def __init__(
        self,
        visitor: Visitor,
        work: Callable[[Job], None],
        tell: Callable[[Event | None], None],
        *,
        seconds: float,
        lane: Lane = "small",
    ) -> None:
        """work: does it, tells events and asks `go_on` often. seconds: that it will take, as far as is known."""
        self.visitor, self.work, self.tell, self.lane = visitor, work, tell, lane
        self.seconds, self.done = seconds, 0.0
        self.started: float | None = None
        self._cancelled = threading.Event()

    def go_on(self) -> None:
        """Raise Cancelled if nobody waits for it."""
        if self._cancelled.is_set():
            raise Cancelled

    def cancel(self) -> None:
        """Let it end at its next `go_on`; `Jobs.cancel` takes it out of the queue, too."""
        self._cancelled.set()

    @property
    def remaining(self) -> float:
        """Seconds that it will still take: by what is done of it, once that is enough to tell."""
        if self.started is None:
            return self.seconds
        passed = time.monotonic() - self.started
        whole = passed / self.done if self.done > 0.1 else self.seconds
        return max(0.0, whole - passed)


class Jobs:
    """A queue with two lanes, each with a thread: a slice doesn't wait for a large raster.

    In a lane addresses take turns, and those of one address by page: who asks for much waits longer, nobody else.
    """

    def __init__(self, prepare: Callable[[], object] = lambda: None) -> None:
        """prepare: is called in each thread before its first run."""
        self._prepare = prepare
        self._changed = threading.Condition()
        self._waiting: dict[Lane, OrderedDict[str, OrderedDict[str, deque[Job]]]] = {
            "small": OrderedDict(),
            "large": OrderedDict(),
        }
        self._running: dict[Lane, Job | None] = {"small": None, "large": None}
        self._threads: list[threading.Thread] = []
        self._closed = False

    def check(self, visitor: Visitor) -> None:
        """Raise Busy if one more run of a visitor would be too many; a page's run replaces its last."""
        with self._changed:
            self._check(visitor)

    def submit(self, job: Job) -> None:
        """Queue it; an older run of the same page ends. Raises Busy."""
        with self._changed:
            if job.visitor.page:
                self._drop(job.visitor)
            self._check(job.visitor)
            pages = self._waiting[job.lane].setdefault(job.visitor.address, OrderedDict())
            pages.setdefault(job.visitor.page, deque()).append(job)
            if not self._threads:
                self._threads = [
                    threading.Thread(target=self._work, args=(lane,), name=f"unetseg-{lane}", daemon=True)
                    for lane in self._waiting
                ]
                for thread in self._threads:
                    thread.start()
            self._tell_places()
            self._changed.notify_all()

    def cancel(self, job: Job) -> None:
        """End it: at once where it waits, else between two bands of the network."""
        with self._changed:
            job.cancel()
            if self._remove(job):
                self._tell_places()

    def close(self) -> None:
        """End all of them, and the threads after what they do just now."""
        with self._changed:
            self._closed = True
            for lane, running in self._running.items():
                for job in (*self._order(lane), *([running] if running else [])):
                    job.cancel()
                    self._remove(job)
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(timeout=5)

    def _check(self, visitor: Visitor) -> None:
        waiting = [job.visitor for lane in self._waiting for job in self._order(lane)]
        if not visitor.page and waiting.count(visitor) >= OF_A_PAGE:
            raise Busy(f"{OF_A_PAGE} of your runs are waiting already; ask again when one of them is done")
        if sum(one.address == visitor.address for one in waiting) >= OF_AN_ADDRESS:
            raise Busy(f"{OF_AN_ADDRESS} runs of your network are waiting already; try again in a minute")

    def _drop(self, visitor: Visitor) -> None:
        for lane, running in self._running.items():
            for job in (*self._order(lane), *([running] if running else [])):
                if job.visitor == visitor:
                    job.cancel()
                    self._remove(job)

    def _remove(self, job: Job) -> bool:
        """Out of the queue, if it waits there; then it is told that it has ended."""
        pages = self._waiting[job.lane].get(job.visitor.address, OrderedDict[str, deque[Job]]())
        jobs = pages.get(job.visitor.page, deque())
        if job not in jobs:
            return False
        jobs.remove(job)
        self._tidy(job.lane, job.visitor)
        job.tell(None)
        return True

    def _tidy(self, lane: Lane, visitor: Visitor) -> None:
        pages = self._waiting[lane][visitor.address]
        if not pages[visitor.page]:
            del pages[visitor.page]
        if not pages:
            del self._waiting[lane][visitor.address]

    def _next(self, lane: Lane) -> Job | None:
        """The job whose turn it is, taken out; its page and its address go to the end of theirs."""
        if not self._waiting[lane]:
            return None
        address, pages = next(iter(self._waiting[lane].items()))
        page, jobs = next(iter(pages.items()))
        job = jobs.popleft()
        pages.move_to_end(page)
        self._waiting[lane].move_to_end(address)
        self._tidy(lane, job.visitor)
        return job

    def _order(self, lane: Lane) -> list[Job]:
        """Those that wait, in the order in which their turns would come."""
        turns = deque(
            deque(deque(jobs) for jobs in pages.values()) for pages in self._waiting[lane].values()
        )  # a copy, down to the jobs
        return list(_in_turn(turns))

    def _tell_places(self) -> None:
        for lane, running in self._running.items():
            seconds = running.remaining if running else 0.0
            for place, job in enumerate(self._order(lane), start=1):
                if running or place > 1:  # else it is as good as started
                    job.tell({"state": "waiting", "place": place, "seconds": round(seconds, 1)})
                seconds += job.seconds

    def _work(self, lane: Lane) -> None:
        self._prepare()
        while True:
            with self._changed:
                while not self._closed and (job := self._next(lane)) is None:
                    self._changed.wait()
                if self._closed:
                    return
                assert job is not None
                self._running[lane] = job
                job.started = time.monotonic()
                self._tell_places()
            try:
                job.go_on()
                job.work(job)
            except Cancelled:
                log.debug("a run was given up")
            except Exception:
                log.exception("a run failed")
            finally:
                with self._changed:
                    self._running[lane] = None
                job.tell(None)
                del job  # and what its work holds, while the thread waits for the next one


def _in_turn(turns: deque[deque[deque[Job]]]) -> Iterator[Job]:
    while turns:
        pages = turns.popleft()
        jobs = pages.popleft()
        yield jobs.popleft()
        if jobs:
            pages.append(jobs)
        if pages:
            turns.append(pages)


class Pace:
    """How fast the network is, learned from what was done: for estimates."""

    def __init__(self, seconds_a_pixel: float = 1e-6) -> None:
        self._pace, self._lock = math.log(seconds_a_pixel), threading.Lock()

    def seconds(self, pixels: float) -> float:
        """That so many pixels will take."""
        return math.exp(self._pace) * pixels

    def learn(self, pixels: float, seconds: float) -> None:
        """So many pixels took so long."""
        with self._lock:
            self._pace += 0.3 * (math.log(max(seconds, 1e-3) / pixels) - self._pace)
