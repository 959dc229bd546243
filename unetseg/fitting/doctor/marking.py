"""Annotations of a folder: whether they or masks are meant, what is wrong with them, what the recipe says of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import get_args

from ...formats.annotations import Kind, Problem, What
from ..data.finding import Found
from ..data.finding_annotations import Marked
from ..data.layouts import Pairing
from ..recipe import IGNORE_NAME, toml
from ..words import counted, some
from .checks import named
from .choosing import Candidate
from .findings import Finding, Weight
from .legend import palette_for
from .mask_values import Labels

TOOLS: Mapping[Kind, str] = {
    "coco": "COCO",
    "labelme": "LabelMe",
    "cvat": "CVAT",
    "labelstudio": "Label Studio",
    "yolo": "YOLO",
    "voc": "Pascal VOC",
    "supervisely": "Supervisely",
    "geojson": "GeoJSON",
    "geopackage": "GeoPackage",
}
MANY = 0.1
"""Of all objects: if more than so many have no area, what is learnt as background is rather not."""
ABOUT: Mapping[What, tuple[Weight, str, str]] = {
    "no class": ("question", "annotated object without a class", "give them a class, or remove them"),
    "no picture": (
        "warning",
        "annotation of no picture in the folder",
        "they are not used; check the names of the pictures",
    ),
    "outside": ("warning", "annotated object outside its picture", "they are left out; is it another picture?"),
    "beyond": ("note", "annotated object beyond the edge of its picture", "they are cut there"),
    "degenerate": ("note", "annotated object without an inside", "they are left out"),
    "no area": (
        "warning",
        "annotated object without an area",
        "they count as background; draw outlines or masks of them if they show a class",
    ),
    "damaged": ("question", "damaged annotation", "mend or remove them, or export all again"),
    "another size": (
        "question",
        "annotation of a picture of another size",
        "use the pictures that were annotated, neither resized nor turned",
    ),
    "twice": ("question", "picture annotated twice", "keep one annotation of each"),
    "boxes": (
        "question",
        "annotation of rectangles alone",
        "the proposed recipe draws them and can be used if the things are rectangles; else draw outlines or masks",
    ),
    "unsure": ("warning", "annotation to look at", "look at them on the contact sheet"),
}


def place_of(marked: Marked) -> str:
    """`annotations of COCO in train.json`."""
    layout = marked.layout
    assert layout.annotations is not None
    return f"annotations of {TOOLS[layout.annotations]} in {'the folder' if layout.masks == '.' else layout.masks}"


def choose(
    folder: Path, found: Found, pairing: Pairing, marked: Sequence[Marked], faults: Sequence[str]
) -> tuple[Marked | None, list[Finding], tuple[Candidate, ...]]:
    """The annotations that are taken, None where masks are; what to ask, and between which sets of labels.

    found, pairing: the masks. marked, faults: as `find_annotations` has them.
    """
    pairs = len(pairing.pairs)
    told = []
    for fault in faults:
        what, _, advice = fault.partition("; ")
        weight: Weight = "warning" if pairs or marked else "question"
        told.append(Finding(weight, what, advice or "mend it, or take it out of the folder"))
    for one in marked:
        if not one.pairing.pairs and any(part.pictures for part in one.parts.values()):
            first = next(name for part in one.parts.values() for name in part.pictures)
            what = f"{place_of(one)} speak of pictures that are not in the folder, first {first}"
            advice = "put them where they can be found, or take the annotations out"
            told.append(Finding("warning" if pairs else "question", what, advice))
    marked = [one for one in marked if one.pairing.pairs]
    drawn = [one for one in marked if one.objects]
    if not drawn:
        if pairs:
            told += [
                Finding("note", f"{place_of(one)} hold boxes alone", "the masks are taken")
                for one in marked
                if one.boxes
            ]
            return None, told, ()
        if marked and not any(part.areas for part in marked[0].parts.values()):
            what = f"{place_of(marked[0])} hold no outlines and no masks, only boxes, points, lines or nothing"
            advice = "a box doesn't say which of its pixels are the thing: draw outlines or masks of the objects"
            return None, [*told, Finding("question", what, advice)], ()
        return (marked[0] if marked else None), told, ()
    masks = 2 * pairs >= len(drawn[0].pairing.pairs) and pairs > 0
    others = drawn if masks else drawn[1:]
    sets = [_candidate(folder, one, pairing) for one in drawn]
    if pairs:
        own = Candidate("masks", found.layout.masks, pairing.pairs[0].mask)
        sets = [own, *sets] if masks else [*sets, own]
    if len(sets) == 1:
        return drawn[0], told, ()
    ways = [f"for {place_of(one)} write {_lines(one, None if masks else drawn[0])}" for one in others]
    if pairs and not masks:
        ways.append(f"take {drawn[0].layout.masks} out of the folder if the masks are meant")
    names = [one.name if one.pair is not None else f"masks in {one.name}" for one in sets]
    advice = f"the proposed recipe takes the {names[0]} and can be used if that is right; {'; '.join(ways)}"
    examples = tuple(named(one.example, folder) for one in sets)
    told.append(Finding("question", f"labels of two kinds: {some(names, 6)}", advice, examples))
    return None if masks else drawn[0], told, tuple(sets)


def _candidate(folder: Path, marked: Marked, pairing: Pairing) -> Candidate:
    """Annotations to choose; shown on the picture whose mask is shown beside, if they speak of it."""
    first = pairing.pairs[0].image if pairing.pairs else None
    one = next((pair for pair in marked.pairing.pairs if pair.image == first), marked.pairing.pairs[0])
    assert one.drawing is not None
    return Candidate("masks", place_of(marked), folder / one.drawing.annotated.source, one)


def _lines(marked: Marked, taken: Marked | None) -> str:
    """What `[data]` says of annotations otherwise than of those that are taken, or of masks."""
    known = {} if taken is None else _fields(taken)
    lines = ", ".join(
        f"{field} = {toml(value)}" for field, value in _fields(marked).items() if value != known.get(field)
    )
    return lines if taken is not None else f"{lines}, and take image_name, mask_name and mask_values out"


def _fields(marked: Marked) -> dict[str, object]:
    """What `[data]` says of annotations before any of them is drawn."""
    layout = marked.layout
    fields: dict[str, object] = {"annotations": layout.annotations, "images": layout.images, "masks": layout.masks}
    if layout.split_folders:
        fields["split_folders"] = dict(layout.split_folders)
    classes = tuple(name for name, number in marked.numbers.items() if number)
    fields |= {"task": "binary" if len(classes) == 1 else "multiclass", "classes": classes, "background": "background"}
    fields["palette"] = palette_for(("background", *classes), True)
    return fields | {
        "annotation_labels": {name: name if number else "background" for name, number in marked.numbers.items()}
    }


def understood(found: Found, marked: Marked) -> Found:
    """How a folder lies whose annotations are taken."""
    return replace(found, layout=marked.layout, paired=True, aside=(), rivals={}, candidates=())


def problems(marked: Marked, folder: Path) -> list[Finding]:
    """What is wrong with annotations, each kind once, and pictures that none speaks of."""
    found = []
    files = {one.drawing.annotated.picture: named(one.image, folder) for one in marked.pairing.pairs if one.drawing}
    objects = sum(part.areas for part in marked.parts.values())
    for kind in get_args(What):
        here = [problem for problem in marked.pairing.problems if problem.what == kind]
        if not here:
            continue
        weight, what, advice = ABOUT[kind]
        if kind == "no area" and len(here) > MANY * (objects + len(here)):
            weight = "question"
        first = here[0].words.partition("; ")[0]
        found.append(
            Finding(weight, f"{counted(len(here), what)}: {first}{_more(here)}", advice, tuple(_files(here, files)))
        )
    if marked.rivals:
        what = f"pictures in {some([marked.layout.images, *marked.rivals])} fit the annotations alike"
        ways = "; ".join(f"for {place} write images = {toml(place)}" for place in marked.rivals)
        advice = f"the proposed recipe takes {marked.layout.images} and can be used if that is right; {ways}"
        found.append(Finding("question", what, advice, (marked.layout.images, *marked.rivals)))
    if lone := tuple(named(one.image, folder) for one in marked.pairing.lone):
        every = len(lone) + len(marked.pairing.pairs)
        what = f"{counted(len(lone), 'image')} (of {every:,}) that no annotation mentions: {some(lone)}"
        advice = (
            "the proposed recipe leaves them out and can be used if nobody looked at them; "
            'say unannotated = "background" in it if they show none of the classes'
        )
        found.append(Finding("question", what, advice, lone))
    return found


def _more(here: Sequence[Problem]) -> str:
    return f", and {len(here) - 1:,} more" if len(here) > 1 else ""


def _files(here: Iterable[Problem], files: Mapping[str, str]) -> list[str]:
    """The pictures that problems are about, as they are called in the folder."""
    stated = dict.fromkeys(problem.picture for problem in here if problem.picture is not None)
    return [files.get(picture, picture) for picture in stated]


def legend_of(marked: Marked) -> dict[str, str]:
    """What each number is that labels are drawn as."""
    names = {str(number): label for label, number in marked.numbers.items() if number}
    return {"0": "background", **names, "255": IGNORE_NAME}


def coloured(labels: Labels, marked: Marked) -> Labels:
    """The labels in the colours that the tool gave them, where it gave one to each."""
    own = {name: colour for part in marked.parts.values() for name, colour in part.colours.items()}
    colours = [own.get(name, "") for name in labels.classes]
    if not all(colours) or len(set(colours)) < len(colours) or "#000000" in colours:
        return labels
    return replace(labels, palette=(*labels.palette[: len(labels.palette) - len(colours)], *colours))


def hidden(labels: Labels, marked: Marked) -> list[Finding]:
    """Labels of which no pixel is seen, because other objects lie over them."""
    gone = [label for label, (_, key) in meanings(labels, marked).items() if key not in labels.values]
    if not gone:
        return []
    overlap = next(iter(marked.parts.values())).overlap
    other = "smaller" if overlap == "later" else "later"
    what = f"annotated objects of which no pixel is seen, for other objects lie over them: {some(gone)}"
    advice = f'say overlap = "{other}" in the recipe (now "{overlap}") and what they are in annotation_labels'
    return [Finding("question", what, f"{advice}; they may stay ignored if they mean nothing")]


def meanings(labels: Labels, marked: Marked) -> dict[str, tuple[str, str]]:
    """What the recipe says of each label that objects have: its meaning, and the key of its number in `labels`."""
    used = set().union(*(one.drawing.labels for one in marked.pairing.pairs if one.drawing))
    names = labels.values
    return {
        label: (names.get(str(number), IGNORE_NAME), str(number))
        for label, number in marked.numbers.items()
        if label in used
    }
