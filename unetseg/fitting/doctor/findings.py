"""What an examination of a folder found: one thing each, with what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Weight = Literal["question", "warning", "note"]
WEIGHTS: tuple[Weight, ...] = get_args(Weight)


@dataclass(frozen=True)
class Finding:
    """One thing found: a question stops training until a person answers it, a warning costs quality.

    what: a clause that says what and how often, with the first names. advice: what to do about it.
    names: of all files concerned.
    """

    weight: Weight
    what: str
    advice: str
    names: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """What was found and what to do, in one sentence."""
        return f"{self.what}; {self.advice}"
