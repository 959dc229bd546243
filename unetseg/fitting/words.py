"""Numbers and names as a sentence tells them."""

from __future__ import annotations

from collections.abc import Sequence


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
