"""What an examination of a folder found: one thing each, with what to do about it."""

from __future__ import annotations

from collections.abc import Sequence
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


def some(names: Sequence[str], most: int = 3) -> str:
    """The first names of several: `a.png, b.png, c.png and 4 more`."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def counted(number: int, what: str) -> str:
    """`1 picture`, `2 pictures`."""
    return f"{number:,} {what}{'s' * (number != 1)}"


def percent(share: float) -> str:
    """A share as `13.3 %`; small ones keep two digits, so that none reads as nothing."""
    return f"{share * 100:.1f} %" if share >= 0.001 or not share else f"{share * 100:.2g} %"
