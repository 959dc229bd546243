"""A part of all inputs, for one of several commands that divide them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .inputs import Job
from .record import text_hash


@dataclass(frozen=True)
class Shard:
    """The part `number` of `count`, from 1 on. Which inputs are in it follows from their paths alone."""

    number: int = 1
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> Shard:
        """2/8 is the second of eight; ValueError for anything else."""
        match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
        if match is None or not 1 <= int(match[1]) <= int(match[2]):
            raise ValueError(f"a shard is a number of a count, such as 2/8, from 1/8 to 8/8; got {text!r}")
        return cls(int(match[1]), int(match[2]))

    def __contains__(self, job: Job) -> bool:
        return int(text_hash(f"{job.input}\n{job.series}"), 16) % self.count == self.number - 1

    @property
    def journal(self) -> str:
        """The name of its journal."""
        return "journal.jsonl" if self.count == 1 else f"journal-{self.number}-of-{self.count}.jsonl"
