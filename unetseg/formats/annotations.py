"""What annotation tools export, whatever their format: objects with a class and a shape, drawn as label maps."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..config import IGNORE
from .annotation_shapes import Polygons, Shape, bounds, drawn

Kind = Literal["coco", "labelme", "cvat", "labelstudio", "yolo", "voc", "supervisely", "geojson", "geopackage"]
Overlap = Literal["later", "smaller"]
What = Literal[
    "no class",
    "no picture",
    "outside",
    "beyond",
    "degenerate",
    "no area",
    "damaged",
    "another size",
    "twice",
    "boxes",
    "unsure",
]
"""Of an object: without a class, in no known picture, outside it (left out) or beyond its edge (cut), without an area.

Of a picture: of another size than stated, annotated twice. Of all: only boxes. "unsure": read, but look at it.
"""

OVERLAPS: Mapping[Kind, Overlap] = {
    "labelme": "later",
    "cvat": "later",
    "labelstudio": "later",
    "supervisely": "later",
    "coco": "smaller",
    "yolo": "smaller",
    "voc": "smaller",
    "geojson": "smaller",
    "geopackage": "smaller",
}
"""Which of two objects that overlap is seen: in the tools the one drawn later (CVAT: of the higher z_order).

The other formats say nothing of an order; there the smaller one, in pixels, which else might not be seen at all.
"""
GIVEN: Mapping[str, int] = {"_background_": 0, "__ignore__": IGNORE}
"""Labels that LabelMe gives an id of their own; they are no classes."""
SLACK = 1.0
"""Pixels by which an object may reach beyond its picture unnamed: tools round."""
UPLOADED = r"^[0-9a-f]{8}-"
"""What Label Studio puts before the name of a file that is uploaded."""
ENDINGS = {
    ".png", ".jpg", ".jpeg", ".jfif", ".bmp", ".gif", ".webp", ".pgm", ".ppm", ".tif", ".tiff", ".jp2", ".heic",
}  # fmt: skip


@dataclass(frozen=True)
class Problem:
    """What is wrong with an object, a picture or a file of annotations, in a sentence.

    picture: as its annotation states it, of an object as in `Annotated`; None where it is none of a picture.
    what: its kind, to count by.
    """

    what: What
    words: str
    picture: str | None = None


@dataclass(frozen=True)
class AnnotatedObject:
    """One object that somebody marked.

    crowd: a region of many things, not marked one by one; where no other object is, it is ignored.
    box: whether it is a rectangle, which may be but a box around the thing.
    """

    label: str
    shape: Shape
    crowd: bool = False
    box: bool = False


@dataclass(frozen=True)
class Annotated:
    """A picture's objects, in the order they are drawn in; none: it was looked at, and there was nothing.

    picture: as it is stated, relative to the folder, of YOLO without an ending. height, width: as they are stated.
    source: the file of annotations, relative to the folder.
    """

    picture: str
    height: int | None
    width: int | None
    objects: tuple[AnnotatedObject, ...]
    source: str


@dataclass(frozen=True)
class OnGround:
    """Objects on the ground, their shapes in the coordinates of a CRS, and the file that they are from."""

    crs: str
    objects: tuple[AnnotatedObject, ...]
    source: str


@dataclass(frozen=True)
class Annotations:
    """What a file or a folder of annotations says.

    classes: by their own order (numbers of COCO and YOLO, lists of CVAT and Supervisely), else by alphabet.
    pictures: by their stated names. ground: of GeoJSON and GeoPackage; `annotation_ground.placed` makes pictures of it.
    colours: `#rrggbb` of the classes for which a tool states one.
    """

    kind: Kind
    classes: tuple[str, ...]
    pictures: Mapping[str, Annotated]
    problems: tuple[Problem, ...] = ()
    ground: tuple[OnGround, ...] = ()
    colours: Mapping[str, str] = field(default_factory=dict)

    @property
    def overlap(self) -> Overlap:
        """Which of two objects that overlap is seen, by the format's own convention."""
        return OVERLAPS[self.kind]

    @property
    def areas(self) -> int:
        """How many objects have an area; without any, nothing can be learnt from it."""
        of_pictures = sum(len(annotated.objects) for annotated in self.pictures.values())
        return of_pictures + sum(len(part.objects) for part in self.ground)


def label_map(
    annotated: Annotated, height: int, width: int, ids: Mapping[str, int], *, overlap: Overlap
) -> NDArray[np.uint8]:
    """(H,W): the id of the object at each pixel, 0 where there is none.

    Of objects that overlap the "later" in order or the "smaller" one by its pixels (of two alike the later) is seen.
    A crowd is 255 where there is no other object. height, width: of the picture as it is read.
    Raises ValueError for a picture of another size than its annotation states, and for a label without an id.
    """
    if problem := size_problem(annotated, height, width):
        raise ValueError(problem.words)
    known = {**GIVEN, **ids}
    if missing := sorted({thing.label for thing in annotated.objects if not thing.crowd} - set(known)):
        raise ValueError(
            f"{annotated.picture} has objects of {', '.join(map(repr, missing))}, which have no id; "
            "add them to the classes, or give them 0 to leave them out"
        )
    labels = np.zeros((height, width), dtype=np.uint8)
    things = [thing for thing in annotated.objects if not thing.crowd]
    if overlap == "smaller":  # drawn twice, for the masks of all would not fit into memory
        things.sort(key=lambda thing: -int(drawn(thing.shape, height, width)[1].sum()))
    crowds = [thing for thing in annotated.objects if thing.crowd]
    for thing in (*crowds, *things):
        window, inside = drawn(thing.shape, height, width)
        labels[window][inside] = IGNORE if thing.crowd else known[thing.label]
    return labels


def size_problem(annotated: Annotated, height: int, width: int) -> Problem | None:
    """That a picture has another size than its annotation states, whose shapes then lie elsewhere."""
    stated = annotated.height, annotated.width
    if None in stated or stated == (height, width):
        return None
    turned = "; it seems to be turned, by its EXIF or by hand" if stated == (width, height) else ""
    words = (
        f"{annotated.picture} has {width} x {height} pixels, and {annotated.source} speaks of "
        f"{annotated.width} x {annotated.height}{turned}: give the picture that was annotated"
    )
    return Problem("another size", words, annotated.picture)


def matched(stated: Iterable[str], files: Iterable[str]) -> tuple[dict[str, str], tuple[Problem, ...]]:
    """The file of each stated name, of those in a folder (both relative to it, with /); what has none or two is named.

    They may lie in other folders than stated: the same name counts, then the same without its ending, then without
    what Label Studio puts before it; of several that whose folders are called most alike.
    """
    by_name: dict[str, list[str]] = {}
    by_stem: dict[str, list[str]] = {}
    for file in files:
        name = unicodedata.normalize("NFC", PurePosixPath(file).name)
        by_name.setdefault(name, []).append(file)
        by_stem.setdefault(_stem(name), []).append(file)
    found: dict[str, str] = {}
    problems = []
    for picture in stated:
        name = unicodedata.normalize("NFC", PurePosixPath(picture).name)
        if picture in by_name.get(name, ()):
            found[picture] = picture
            continue
        bare = re.sub(UPLOADED, "", name)
        candidates = next(
            (
                there
                for one in dict.fromkeys((name, bare))
                for there in (by_name.get(one), by_stem.get(_stem(one)))
                if there
            ),
            [],
        )
        best = max((_alike(picture, file) for file in candidates), default=(0, 0))
        candidates = [file for file in candidates if _alike(picture, file) == best]
        if len(candidates) == 1:
            found[picture] = candidates[0]
        else:
            several = f"fits {candidates[0]} and {candidates[1]} alike" if candidates else "is not in the folder"
            problems.append(
                Problem("no picture", f"the annotated {picture} {several}; name the pictures as annotated", picture)
            )
    firsts: dict[str, str] = {}
    for picture, file in found.items():
        if (first := firsts.setdefault(file, picture)) != picture:
            problems.append(
                Problem("twice", f"{first} and {picture} are annotations of one picture, {file}; keep one", picture)
            )
    return found, tuple(problems)


def reach_problem(annotated: Annotated, thing: AnnotatedObject) -> Problem | None:
    """That an object lies outside its picture or reaches beyond it."""
    relative = isinstance(thing.shape, Polygons) and thing.shape.relative
    height, width = (1, 1) if relative else (annotated.height, annotated.width)
    if height is None or width is None:
        return None
    slack = 0.01 if relative else SLACK
    left, top, right, bottom = bounds(thing.shape)
    if left >= -slack and top >= -slack and right <= width + slack and bottom <= height + slack:
        return None
    outside = right <= 0 or bottom <= 0 or left >= width or top >= height
    how = "lies outside of it" if outside else "reaches beyond it, where it is cut"
    corners = f"from x {left:.6g} and y {top:.6g} to {right:.6g} and {bottom:.6g}"
    words = f"{annotated.source}: of {annotated.picture} the {thing.label!r} {corners} {how}"
    return Problem("outside" if outside else "beyond", words, annotated.picture)


def _stem(name: str) -> str:
    ending = PurePosixPath(name).suffix
    return name.removesuffix(ending) if ending.lower() in ENDINGS else name


def _alike(one: str, other: str) -> tuple[int, int]:
    """How many of the innermost folders of two files are called alike, and how many of all."""
    folders, others = PurePosixPath(one).parts[:-1][::-1], PurePosixPath(other).parts[:-1][::-1]
    same = [a == b for a, b in zip(folders, others, strict=False)]
    return (same.index(False) if False in same else len(same)), len(set(folders) & set(others))
