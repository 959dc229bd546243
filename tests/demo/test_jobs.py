"""The queue of runs: whose turn it is, who is told what, and what ends a run."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unetseg.demo.jobs import OF_A_PAGE, OF_AN_ADDRESS, Busy, Event, Job, Jobs, Lane, Pace, Visitor

PATIENCE = 10.0


@pytest.fixture
def jobs() -> Iterator[Jobs]:
    made = Jobs()
    yield made
    made.close()


class Run:
    """A job that waits until it is let go, and what it was told."""

    def __init__(self, jobs: Jobs, visitor: Visitor, *, lane: Lane = "small", seconds: float = 1.0) -> None:
        self.told: queue.Queue[Event | None] = queue.Queue()
        self.entered, self.go = threading.Event(), threading.Event()
        self.job = Job(visitor, self._work, self.told.put, seconds=seconds, lane=lane)
        jobs.submit(self.job)

    def _work(self, job: Job) -> None:
        self.entered.set()
        while not self.go.wait(0.01):
            job.go_on()
        job.tell({"state": "done"})

    def last(self) -> Event | None:
        """The event before the end."""
        last = None
        while (event := self.told.get(timeout=PATIENCE)) is not None:
            last = event
        return last

    def place(self) -> int:
        """Where it stands now."""
        place = 0
        while not self.told.empty():
            event = self.told.get()
            assert event is not None
            place = event["place"]
        return place


def finished(runs: list[Run]) -> list[Run]:
    """All runs, let go at once, in the order in which they are done."""
    order: list[Run] = []
    for run in runs:
        tell, job = run.job.tell, run.job

        def told(event: Event | None, run: Run = run, tell: Callable[[Event | None], None] = tell) -> None:
            if event is not None and event["state"] == "done":
                order.append(run)
            tell(event)

        job.tell = told
    for run in runs:
        run.go.set()
    for run in runs:
        run.last()
    return order


def test_visitors_take_turns_and_so_do_the_pages_of_an_address(jobs: Jobs) -> None:
    first = Run(jobs, Visitor("a", "first"))
    assert first.entered.wait(PATIENCE)
    greedy = [Run(jobs, Visitor("a", f"page {n}")) for n in range(3)]
    program = [Run(jobs, Visitor("a")) for _ in range(2)]
    late = Run(jobs, Visitor("b"))
    order = finished([first, *greedy, *program, late])
    assert order == [first, greedy[0], late, greedy[1], greedy[2], program[0], program[1]]


def test_who_waits_is_told_the_place_and_the_seconds_and_hears_when_they_change(jobs: Jobs) -> None:
    first = Run(jobs, Visitor("a", "first"), seconds=2.0)
    assert first.entered.wait(PATIENCE)
    second, third = Run(jobs, Visitor("a", "2"), seconds=3.0), Run(jobs, Visitor("a", "3"))
    told = third.told.get(timeout=PATIENCE)
    assert told is not None
    assert told["state"] == "waiting"
    assert told["place"] == 2
    assert told["seconds"] == pytest.approx(5.0, abs=0.5)
    assert second.place() == 1
    jobs.cancel(second.job)
    assert third.place() == 1
    assert second.last() is None
    finished([first, third])


def test_a_small_run_does_not_wait_behind_large_ones(jobs: Jobs) -> None:
    large = [Run(jobs, Visitor("a", f"{n}"), lane="large") for n in range(4)]
    assert large[0].entered.wait(PATIENCE)
    small = Run(jobs, Visitor("b"))
    assert small.entered.wait(PATIENCE)
    assert not large[1].entered.is_set()
    finished([small, *large])


def test_a_newer_run_of_a_page_ends_the_older_one_where_it_waits_and_where_it_runs(jobs: Jobs) -> None:
    page = Visitor("a", "page")
    running = Run(jobs, page)
    assert running.entered.wait(PATIENCE)
    large = Run(jobs, page, lane="large")
    assert running.last() is None, "it ended"
    assert large.entered.wait(PATIENCE)
    other = Run(jobs, Visitor("b", "page"))  # another's page of the same name
    newest = Run(jobs, page)
    assert large.last() is None
    other.go.set()
    newest.go.set()
    assert other.last() == newest.last() == {"state": "done"}


def test_a_run_that_was_cancelled_leaves_the_lane_to_the_next(jobs: Jobs) -> None:
    first, second = Run(jobs, Visitor("a", "1")), Run(jobs, Visitor("a", "2"))
    assert first.entered.wait(PATIENCE)
    jobs.cancel(first.job)
    assert first.last() is None
    second.go.set()
    assert second.last() == {"state": "done"}


def test_nobody_has_more_runs_waiting_than_one_may_have(jobs: Jobs) -> None:
    first = Run(jobs, Visitor("a", "first"))
    assert first.entered.wait(PATIENCE)
    waiting = [Run(jobs, Visitor("a")) for _ in range(OF_A_PAGE)]
    with pytest.raises(Busy, match=f"{OF_A_PAGE} of your runs are waiting already"):
        jobs.check(Visitor("a"))
    with pytest.raises(Busy):
        Run(jobs, Visitor("a"))
    waiting += [Run(jobs, Visitor("a", f"{n}")) for n in range(OF_AN_ADDRESS - OF_A_PAGE)]
    with pytest.raises(Busy, match=f"{OF_AN_ADDRESS} runs of your network"):
        Run(jobs, Visitor("a", "one more"))
    jobs.check(Visitor("b"))
    finished([first, *waiting])


def test_a_failed_run_ends_and_the_next_one_goes_on(jobs: Jobs) -> None:
    told: queue.Queue[Event | None] = queue.Queue()

    def fail(job: Job) -> None:
        raise RuntimeError("broken")

    jobs.submit(Job(Visitor("a"), fail, told.put, seconds=1))
    while told.get(timeout=PATIENCE) is not None:
        pass
    after = Run(jobs, Visitor("a"))
    after.go.set()
    assert after.last() == {"state": "done"}


def test_closing_ends_what_runs_and_what_waits() -> None:
    jobs = Jobs()
    running, waiting = Run(jobs, Visitor("a", "1")), Run(jobs, Visitor("a", "2"))
    assert running.entered.wait(PATIENCE)
    jobs.close()
    assert running.last() is None
    assert [waiting.told.get(timeout=1) for _ in range(2)][-1] is None
    assert not waiting.entered.is_set()
    assert not any(thread.is_alive() for thread in jobs._threads)


@settings(max_examples=15)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("xyzuv")), max_size=12, unique=True))
def test_the_places_that_are_told_are_the_order_of_turns(visitors: list[tuple[str, str]]) -> None:
    jobs = Jobs()
    first = Run(jobs, Visitor("first", "first"))
    assert first.entered.wait(PATIENCE)
    runs = [Run(jobs, Visitor(address, page)) for address, page in visitors]
    places = [run.place() for run in runs]
    order = finished([first, *runs])
    assert [run for _, run in sorted(zip(places, runs, strict=True), key=lambda pair: pair[0])] == order[1:]
    jobs.close()


def test_a_run_tells_what_remains_by_what_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    job = Job(Visitor("a"), lambda _: None, lambda _: None, seconds=10)
    assert job.remaining == 10
    job.started = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: 104.0)
    assert job.remaining == 6
    job.done = 0.5
    assert job.remaining == 4


def test_the_pace_is_learned() -> None:
    pace = Pace(1e-6)
    for _ in range(20):
        pace.learn(1e6, 5.0)
    assert pace.seconds(2e6) == pytest.approx(10.0, rel=0.01)
