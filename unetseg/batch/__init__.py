"""Many inputs: which there are, what is done to each, what is written of it, and what a journal knows of it."""

from .inputs import AUTO, Job, inputs_in, reading_of, stem_of, with_common_range
from .output import Output
from .record import Journal, checkpoint_hash
from .shard import Shard
from .telling import tell
from .work import Outcome, Share, Task, Worker, run

__all__ = [
    "AUTO",
    "Job",
    "Journal",
    "Outcome",
    "Output",
    "Shard",
    "Share",
    "Task",
    "Worker",
    "checkpoint_hash",
    "inputs_in",
    "reading_of",
    "run",
    "stem_of",
    "tell",
    "with_common_range",
]
