"""What the readers of annotation files share: what they gather, what is told, and shapes of checked numbers."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from .annotation_shapes import FAR, Ellipse, Polygons, Ring
from .annotations import GIVEN, Annotated, AnnotatedObject, Problem, What, reach_problem
from .image import MAX_PIXELS


class Unfit(ValueError):  # noqa: N818, what it is
    """What one object is that can't be drawn; `what` as in a Problem."""

    def __init__(self, what: What, words: str) -> None:
        super().__init__(words)
        self.what = what


class Reader:
    """Gathers the pictures of one file or of several, and what is wrong with them.

    source: the file that is read, relative to the folder; its pictures are named relative to that too.
    """

    def __init__(self) -> None:
        self.source = ""
        self.pictures: dict[str, Annotated] = {}
        self.problems: list[Problem] = []
        self.classes: dict[str, None] = {}
        self.colours: dict[str, str] = {}

    def name(self, label: object, colour: object = None) -> None:
        """A class that the file lists, in its order."""
        if isinstance(label, str) and (text := squeezed(label)) and text not in GIVEN:
            self.classes.setdefault(text)
            if isinstance(colour, str) and re.fullmatch("#[0-9a-fA-F]{6}", colour):
                self.colours.setdefault(text, colour.lower())

    def tell(self, what: What, words: str, picture: str | None = None) -> None:
        self.problems.append(Problem(what, f"{self.source}: {words}", picture))

    @contextmanager
    def each(self, number: int, picture: object) -> Iterator[None]:
        """Around one object, the first is 1: what is wrong with it is told, and the others go on."""
        name = picture if isinstance(picture, str) else None
        where = f"object {number}" + (f" of {name}" if name else "")
        try:
            yield
        except Unfit as error:
            self.tell(error.what, f"{where} {error}", self._in_folder(name))
        # an entry may hold anything where something else belongs
        except (ValueError, TypeError, LookupError, AttributeError, OverflowError) as error:
            words = str(error) if type(error) is ValueError else "is not as its format has it"
            self.tell("damaged", f"{where} is damaged ({words})", self._in_folder(name))

    def _in_folder(self, picture: str | None) -> str | None:
        return None if picture is None else inside(picture, PurePosixPath(self.source).parent)

    def add(self, picture: str, height: object, width: object, objects: Iterable[AnnotatedObject]) -> None:
        """A picture by its stated name; one that leads out of the folder is told and left."""
        if (path := inside(picture, PurePosixPath(self.source).parent)) is None:
            self.tell("no picture", f"its picture {picture!r} lies outside of the folder; name one in it", picture)
            return
        rows, columns = _side(height), _side(width)
        found = Annotated(path, rows, columns, tuple(objects), self.source)
        kept = []
        for thing in found.objects:
            problem = reach_problem(found, thing)
            self.problems += [problem] if problem else []
            if problem is None or problem.what == "beyond":
                kept.append(thing)
                if thing.label not in GIVEN:
                    self.classes.setdefault(thing.label)
        if path in self.pictures:
            first = self.pictures[path]
            self.tell("twice", f"{path} is annotated in {first.source} too; the objects of both are taken", path)
            kept = [*first.objects, *kept]
        self.pictures[path] = Annotated(path, rows, columns, tuple(kept), self.source)


def inside(stated: str, folder: PurePosixPath) -> str | None:
    """A stated name relative to the folder of all, for a file of annotations in `folder`; None if it leads out.

    Of an absolute one, which is of another computer, its last part.
    """
    text = stated.replace("\\", "/")
    if text.startswith("/") or re.match("[A-Za-z]:", text):
        text = text.rstrip("/").rpartition("/")[2]
    parts: list[str] = []
    for part in (*folder.parts, *text.split("/")):
        if part == ".." and not parts:
            return None
        if part == "..":
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts) or None if text and "\0" not in text else None


def entries_of(content: Any, key: str) -> list[dict[str, Any]]:  # noqa: ANN401, JSON
    entries = content[key] if isinstance(content, dict) and key in content else None
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ValueError(f"its {key!r} is no list of objects")
    return entries


def squeezed(text: str) -> str:
    return " ".join(text.split())


def label_of(value: object) -> str:
    if not isinstance(value, str) or not (text := squeezed(value)):
        raise Unfit("no class", "has no class")
    return text


def whole_number(text: str | None) -> int | None:
    return int(text) if text is not None and re.fullmatch(r"\s*\d{1,9}\s*", text) else None


def _side(value: object) -> int | None:
    return value if type(value) is int and 0 < value <= FAR else None


def most_pixels(height: object, width: object) -> int:
    """How many pixels a mask inside a picture may have."""
    return min(height * width, MAX_PIXELS) if type(height) is int and type(width) is int else MAX_PIXELS


def numbers_of(values: Sequence[Any]) -> Ring:
    """Finite numbers (n,) of a possible size, which may be written as texts."""
    if bool in set(map(type, values)):
        raise ValueError("a coordinate is no number")
    numbers = np.fromiter(map(float, values), dtype=np.float64, count=len(values))
    if not (np.abs(numbers) <= FAR).all():  # nor is any of those that are no number
        raise Unfit("degenerate", f"has a coordinate that is no number up to {FAR:,.0f}")
    return numbers


def ring_of(points: Ring) -> Ring:
    """Corners (n,2) that enclose something."""
    x, y = (points - points[:1]).T
    if np.any(x[1:-1] * y[2:] - x[2:] * y[1:-1]):  # a triangle of the first corner has an area
        return points
    if (distinct := len(np.unique(points, axis=0))) < 3:
        raise Unfit("degenerate", f"has {distinct} different corners, and an outline three or more")
    raise Unfit("degenerate", "encloses nothing: its corners lie on a line")


def box_of(
    x1: float, y1: float, x2: float, y2: float, *, degrees: float = 0, around: tuple[float, float] | None = None
) -> Polygons:
    """A rectangle by two corners, turned clockwise around its middle unless told otherwise."""
    if x1 == x2 or y1 == y2:
        raise Unfit("degenerate", "encloses nothing: two of its sides are one")
    corners = np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]], dtype=np.float64)
    if degrees:
        middle = np.array(around or ((x1 + x2) / 2, (y1 + y2) / 2))
        cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
        corners = (corners - middle) @ np.array([[cosine, sine], [-sine, cosine]]) + middle
    return Polygons(((corners,),))


def ellipse_of(x: float, y: float, radius_x: float, radius_y: float, degrees: float = 0) -> Ellipse:
    if radius_x <= 0 or radius_y <= 0:
        raise Unfit("degenerate", "is a circle without a radius")
    return Ellipse(float(x), float(y), float(radius_x), float(radius_y), degrees)
