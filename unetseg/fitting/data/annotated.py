"""Pairing pictures with what annotation tools say of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from ...formats.annotation_files import read_annotations
from ...formats.annotation_ground import placed
from ...formats.annotations import Annotations, Overlap, Problem, matched
from ...formats.geo import read_place
from ..recipe import SPLIT_PLACE, Split
from .drawing import Drawing
from .layouts import RASTERS, Layout, Lone, Pair, Pairing, ending, pictures_in, stem

Parts = Mapping[Split | None, Annotations]
"""What is said of the pictures of each split, or under None of all."""


def read_parts(folder: Path, layout: Layout) -> Parts:
    """The annotations of a folder, each file read once; ValueError as `read_annotations` raises."""
    assert layout.annotations is not None
    words = layout.split_folders if SPLIT_PLACE in layout.masks else None
    places = (
        {None: layout.masks} if words is None else {s: layout.masks.replace(SPLIT_PLACE, w) for s, w in words.items()}
    )
    parts: dict[Split | None, Annotations] = {}
    for split, place in places.items():
        if not (folder / place).exists():
            raise ValueError(
                f"no {folder / place} with annotations; name a file or a folder of them as masks in the recipe's [data]"
            )
        parts[split] = read_annotations(folder / place, layout.annotations, within=folder, label_by=layout.label_by)
    return parts


def pair_annotated(
    folder: Path, layout: Layout, parts: Parts, numbers: Mapping[str, int], overlap: Overlap | None = None
) -> Pairing:
    """Pair pictures with their annotations; `lone` are those that no annotation mentions.

    numbers: what each label is drawn as. overlap: the format's own unless given.
    """
    files: dict[Split | None, dict[str, Lone]] = {}
    twice: list[tuple[Path, Path]] = []
    for place in layout.places(folder):
        of_split = files.setdefault(place.split, {})
        names = {one.name: one.image for one in of_split.values()}
        for path in pictures_in(folder / place.images):
            name = f"{place.inside}/{stem(path)}" if place.inside else stem(path)
            if name in names:
                twice.append((names[name], path))
            else:
                names[name] = path
                of_split[path.relative_to(folder).as_posix()] = Lone(name, place.split, path)
    pairs: dict[Path, Pair] = {}
    problems: list[Problem] = []
    for split, part in parts.items():
        here = files.get(split, {}) if split is not None else {n: one for of in files.values() for n, one in of.items()}
        said = part
        if part.ground:
            rasters = {name: read_place(one.image) for name, one in here.items() if ending(one.image) in RASTERS}
            said = placed(part, rasters)
        found, about = matched(said.pictures, here)
        problems += [*said.problems, *about]
        for stated, file in found.items():
            one, annotated = here[file], said.pictures[stated]
            if (before := pairs.get(one.image)) is None:
                drawing = Drawing(annotated, numbers, overlap or said.overlap)
                pairs[one.image] = Pair(one.name, one.split, one.image, mask=one.image, drawing=drawing)
            elif before.split != one.split:
                words = f"{file} is annotated for {before.split} and for {one.split}; take it out of one of them"
                problems.append(Problem("twice", words, stated))
    lone = {one.image: one for of_split in reversed(files.values()) for one in of_split.values()}
    return Pairing(
        tuple(pairs.values()),
        tuple(one for path, one in sorted(lone.items()) if path not in pairs),
        (),
        tuple(twice),
        problems=tuple(dict.fromkeys(problems)),
    )


def without_objects(one: Lone, example: Pair) -> Pair:
    """A picture that no annotation mentions, as one on which there is nothing; drawn as another one is."""
    assert example.drawing is not None
    nothing = replace(example.drawing.annotated, picture=one.name, height=None, width=None, objects=())
    return Pair(one.name, one.split, one.image, mask=one.image, drawing=replace(example.drawing, annotated=nothing))
