"""The same unit of work on a cluster, by Ray Data: paths travel, pixels never do."""

from __future__ import annotations

import json
import logging
import os
import platform
from collections.abc import Generator, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import hub
from ..formats import imported
from ..formats.quiet import quiet
from ..predictor import usable
from .inputs import Job
from .work import Outcome, Task, Worker, run

BATCH = 8
"""Inputs that are sent to a worker at a time."""
SHARE = 0.5
"""Of a core that is reserved for a worker, so that Ray's own tasks find some left."""


def run_on_cluster(
    task: Task, jobs: Sequence[Job], address: str | None = None, workers: int | None = None
) -> Generator[tuple[Job, Outcome]]:
    """Do the jobs in so many workers, each of which loads the model once; in any order.

    address: of a cluster that runs, whose machines see the same paths; one is started on this machine unless given.
    workers: one for each GPU, or for each core where there is none, unless given. What a worker had when it died is
    done by another. Raises ValueError without Ray, or where its workers can't start.
    """
    ray = imported("ray", "--engine ray", extra="ray")
    hub.load(task.source.folder)  # what does not load is told here, once
    if address is None:
        usable(task.device)
    if not jobs:
        return
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_BACKEND_LOG_LEVEL": "fatal"}  # read when Ray starts
    options: dict[str, Any] = {"address": address} if address else {"address": "local", "include_dashboard": False}
    with quiet():  # Ray Data is deprecated in its own eyes
        try:
            ray.init(log_to_driver=False, logging_level=logging.ERROR, **options)
            yield from _outcomes(task, jobs, workers)
        except ray.exceptions.RayError as error:
            raise ValueError(f"Ray's workers failed: {str(error).strip().splitlines()[-1]}") from None
        finally:
            ray.shutdown()


def _outcomes(task: Task, jobs: Sequence[Job], workers: int | None) -> Generator[tuple[Job, Outcome]]:
    data = imported("ray.data", "--engine ray", extra="ray")
    context = data.DataContext.get_current()
    context.enable_progress_bars = context.enable_operator_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    resources = imported("ray", "--engine ray", extra="ray").cluster_resources()
    gpus = int(resources.get("GPU", 0)) if task.device in ("auto", "cuda") else 0
    blocks = -(-len(jobs) // BATCH)
    # from wherever they are seen
    source = replace(task.source, folder=task.source.folder.absolute())
    there = [replace(job, path=job.path.absolute(), root=job.root.absolute()) for job in jobs]
    rows = [{"number": number} for number in range(len(jobs))]
    done = data.from_items(rows, override_num_blocks=blocks).map_batches(
        _Actor,
        fn_constructor_args=(replace(task, source=source, out=task.out.absolute()), there),
        batch_size=BATCH,
        compute=data.ActorPoolStrategy(size=min(blocks, workers or gpus or int(resources["CPU"]))),
        num_cpus=SHARE,
        num_gpus=1 if gpus else 0,
    )
    for row in done.iter_rows():
        yield jobs[row["number"]], Outcome(**json.loads(row["outcome"]))


class _Actor:
    """A worker in a process of its own. Each machine writes its own journal: not every shared disk appends whole."""

    def __init__(self, task: Task, jobs: Sequence[Job]) -> None:
        logging.getLogger("unetseg").setLevel(logging.ERROR)
        self.worker = Worker(replace(task, journal=task.journal.replace(".jsonl", f"-{platform.node()}.jsonl")))
        self.jobs = jobs

    def __call__(self, batch: dict[str, NDArray[np.int64]]) -> dict[str, Any]:
        self.worker.journal.refresh()  # of what one did that died, this may be a part
        outcomes = run(self.worker, [self.jobs[number] for number in batch["number"]])
        return {"number": batch["number"], "outcome": [json.dumps(asdict(outcome)) for _, outcome in outcomes]}
