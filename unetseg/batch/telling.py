"""What a command says of its inputs: a bar on a terminal, lines for each, and a summary."""

from __future__ import annotations

import contextlib
import logging
import time
from collections import Counter
from collections.abc import Generator, Mapping
from pathlib import Path

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from .inputs import Job
from .work import Outcome

log = logging.getLogger(__name__)


def tell(
    outcomes: Generator[tuple[Job, Outcome]], count: int, left_out: Mapping[str, int], out: Path, *, verbose: bool
) -> Counter[str]:
    """Log what comes of so many inputs, and in the end what did not come of them; how many came to each state.

    left_out: what was found beside the inputs. out: where results are. verbose: also what was read of each, and how.
    """
    if said := ", ".join(f"{what} ({number})" for what, number in left_out.items() if number):
        log.info("left out: %s", said)
    states: Counter[str] = Counter()
    lacking = []
    pixels, started = 0, time.monotonic()
    with (
        contextlib.closing(outcomes),
        logging_redirect_tqdm(),
        tqdm(total=count, desc="predicting", unit="input", leave=False, disable=True if count == 1 else None) as bar,
    ):
        for job, outcome in outcomes:
            _say(job, outcome, out, verbose)
            states[outcome.state] += 1
            if outcome.why:
                which = "" if outcome.why.startswith(_name(job)) else f"{_name(job)}: "
                lacking.append(f"{outcome.state}: {which}{outcome.why}")
            pixels += outcome.pixels
            bar.set_postfix_str(
                f"{pixels / 1e6 / max(time.monotonic() - started, 1e-9):.2g} megapixels/s", refresh=False
            )
            bar.update()
    if count != 1 or states["done before"]:
        counts = [
            f"{state} {states[state]}" for state in ("done", "done before", "left out", "failed") if states[state]
        ]
        log.info("%s", ", ".join(counts))
        for line in lacking:
            log.warning("%s", line)
    return states


def _say(job: Job, outcome: Outcome, out: Path, verbose: bool) -> None:
    if outcome.state == "failed":
        log.error("error: %s", outcome.why)
    if outcome.state == "left out":
        log.warning("note: %s is left out: %s", _name(job), outcome.why)
    if verbose and outcome.description:
        log.info("%s", outcome.description)
    for notice in outcome.notices:
        log.warning("note: %s", notice)
    if outcome.shows:
        log.info("%s shows %s", _name(job), outcome.shows)
    for name in outcome.written:
        log.info("%s", out / name)
        if name.endswith(".dcm"):
            log.info("it names the patient as its source does, for the standard wants it")


def _name(job: Job) -> str:
    return job.input if job.series is None else f"{job.input} ({job.series})"
