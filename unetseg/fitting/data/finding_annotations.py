"""Finding the annotations of a folder, and the pictures that they are of."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ...formats.annotation_files import annotation_files, read_annotations
from ...formats.annotations import Annotations, Kind, matched
from ..recipe import FOLDER_PLACE, SPLIT_PLACE, Split
from .annotated import Parts, pair_annotated
from .drawing import numbered
from .finding import DEPTH
from .layouts import IMAGE_WORDS, Layout, Pairing, is_volume, pictures_in, words_in
from .naming import DERIVED_WORDS
from .placing import MANY, is_for_masks, split_place

TOGETHER: tuple[Kind, ...] = ("coco", "cvat", "labelstudio")
"""Kinds of which one file speaks of many pictures."""
MOST = 254
NOTHING = {"background", "_background_", "bg", "none", "nothing"}
"""Labels that say that there is nothing; they are drawn as that."""


@dataclass(frozen=True)
class Marked:
    """Annotations that go with the pictures of a folder, as a layout; `numbers` is what each label is drawn as.

    rivals: folders whose pictures go with them as well as those of the layout.
    """

    layout: Layout
    parts: Parts
    pairing: Pairing
    numbers: Mapping[str, int]
    rivals: tuple[str, ...]

    @property
    def objects(self) -> int:
        """Those on pictures that are there; boxes count as none, for nobody knows what in them is the thing."""
        return sum(len(one.drawing.annotated.objects) for one in self.pairing.pairs if one.drawing) * (not self.boxes)

    @property
    def boxes(self) -> bool:
        """Whether all that was drawn is boxes."""
        every = [problem for part in self.parts.values() for problem in part.problems]
        return any(problem.what == "boxes" for problem in every) or not any(p.areas for p in self.parts.values())

    @property
    def classes(self) -> tuple[str, ...]:
        """Of all parts, in their order."""
        return tuple(dict.fromkeys(name for part in self.parts.values() for name in part.classes))


def find_annotations(folder: Path) -> tuple[list[Marked], list[str]]:
    """All sets of annotations whose pictures are in a folder, the best first; and why others can't be read."""
    found: list[Marked] = []
    faults: list[str] = []
    every: dict[Kind, tuple[Path, ...]] = annotation_files(folder)
    there = _pictures(folder) if every else []
    pictures = [picture for picture in there if not is_volume(folder / picture)]
    for kind, paths in every.items():
        sets = []
        for masks, words in _places(kind, [path.relative_to(folder).as_posix() for path in paths]):
            try:
                sets.append(_marked(folder, kind, masks, words, pictures))
            except ValueError as error:
                faults.append(str(error))
        files = [{one.image for one in marked.pairing.pairs} for marked in sets]
        apart = sum(map(len, files)) == len(set().union(*files))
        if len(sets) > 1 and apart and not any(marked.layout.split_folders for marked in sets):
            above = _above(marked.layout.masks for marked in sets)  # jobs of one task, say
            sets = [_marked(folder, kind, above, {None: ""}, pictures)]
        found += sets
    if len(there) > len(pictures) and not any(marked.pairing.pairs for marked in found):
        first = next(picture for picture in there if picture not in set(pictures))
        faults.append(
            f"annotations are drawn on pictures, and {first} is a volume, as are {len(there) - len(pictures) - 1:,} "
            "more; save its labels as a volume (NIfTI, NRRD) with the tool that has them"
        )
    return sorted(
        found, key=lambda marked: (-bool(marked.objects), -len(marked.pairing.pairs), -marked.objects)
    ), faults


def _pictures(folder: Path) -> list[str]:
    """All pictures however deep, but for those that seem to be masks or made from them, if there are others."""
    found = []
    for path, folders, _ in os.walk(folder, followlinks=True):  # DEPTH bounds links that lead in a circle
        here = Path(path).relative_to(folder)
        folders[:] = sorted(f for f in folders if not f.startswith(".")) if len(here.parts) < DEPTH else []
        found += [picture.relative_to(folder).as_posix() for picture in pictures_in(Path(path))]
    others = {p for p in found if not _made(PurePosixPath(p).parent.as_posix())}
    return [p for p in found if p in others] or found


def _made(place: str) -> bool:
    return is_for_masks(place) or bool(words_in(place) & DERIVED_WORDS)


def _places(kind: Kind, paths: Sequence[str]) -> Iterator[tuple[str, dict[Split | None, str]]]:
    """Where sets of annotations lie, and what stands for `{split}` in that (None: nothing).

    Files that speak of many pictures are sets of their own, but for those that are called alike by split; files of
    one picture each are one set.
    """
    names = list(paths) if kind in TOGETHER else [PurePosixPath(path).parent.as_posix() for path in paths]
    by_template: dict[str, dict[Split | None, str]] = {}
    for name in dict.fromkeys(names):
        template, split, word = split_place(name)
        by_template.setdefault(template, {}).setdefault(split, word)
    if kind not in TOGETHER and (len(by_template) > 1 or "train" not in next(iter(by_template.values()))):
        yield _above(f"{name}/file" for name in names), {None: ""}
        return
    for template, words in by_template.items():
        if "train" in words and len(words) > 1:
            yield template, {split: word for split, word in words.items() if split is not None}
        else:
            for word in words.values():
                yield template.replace(SPLIT_PLACE, word), {None: ""}


def _above(names: Iterable[str]) -> str:
    """The innermost folder that holds all these files."""
    return os.path.commonpath([PurePosixPath("/", name).parent for name in names])[1:] or "."


def _marked(folder: Path, kind: Kind, masks: str, words: Mapping[Split | None, str], pictures: Sequence[str]) -> Marked:
    parts = {
        split: read_annotations(folder / masks.replace(SPLIT_PLACE, word), kind, within=folder)
        for split, word in words.items()
    }
    pictures, rivals = _of_one_folder(parts, pictures)
    images, folders = _images(parts, words, pictures)
    if folders is not None and SPLIT_PLACE in masks and folders != words:  # train2017 and train.json
        masks = _above(masks.replace(SPLIT_PLACE, word) for word in words.values())
        parts = {None: read_annotations(folder / masks, kind, within=folder)}
    layout = Layout(images, masks, split_folders=folders, annotations=kind)
    classes = dict.fromkeys(name for part in parts.values() for name in part.classes)
    if len(classes) > MOST:
        raise ValueError(f"the annotations in {masks} name {len(classes)} classes; a model has at most {MOST}")
    numbers = {name: 0 if name.lower() in NOTHING else number for name, number in numbered(tuple(classes)).items()}
    return Marked(layout, parts, pair_annotated(folder, layout, parts, numbers), numbers, rivals)


def _of_one_folder(parts: Parts, pictures: Sequence[str]) -> tuple[Sequence[str], tuple[str, ...]]:
    """The pictures that annotations speak of, where several folders have such, and the other ones."""
    stated = [name for part in parts.values() for name in part.pictures]
    if 2 * len(matched(stated, pictures)[0]) >= len(stated):
        return pictures, ()
    places: dict[str, list[str]] = {}
    for picture in pictures:
        places.setdefault(split_place(PurePosixPath(picture).parent.as_posix())[0], []).append(picture)
    if len(places) > MANY:  # a folder for each picture: none of them has all
        return pictures, ()
    fit = {place: len(matched(stated, here)[0]) for place, here in places.items()}
    first, *others = sorted(fit, key=lambda place: (-fit[place], not words_in(place) & IMAGE_WORDS))
    return places[first], tuple(place for place in others if 2 * fit[place] >= fit[first] > 0)


def _images(
    parts: Parts, words: Mapping[Split | None, str], pictures: Sequence[str]
) -> tuple[str, dict[Split, str] | None]:
    """The folder of the pictures that annotations speak of, with `{split}` and `{folder}`, and the split folders."""
    own = {split: word for split, word in words.items() if split is not None}
    split_of = {picture: split_place(PurePosixPath(picture).parent.as_posix()) for picture in pictures}
    places: Counter[tuple[str, Split | None, str]] = Counter()
    for split, part in parts.items():
        of_split = [picture for picture in pictures if split_of[picture][1] == split] if split is not None else []
        places.update(split_of[picture] for picture in _meant(part, of_split or pictures))
    there = {split: word for _, split, word in places if split is not None}
    if "train" not in there or (own and own.keys() - there.keys()) or any(split is None for _, split, _ in places):
        plain = Counter({template.replace(SPLIT_PLACE, word): n for (template, _, word), n in places.items()})
        return _template(plain), own or None
    return _template(Counter(template for template, _, _ in places.elements())), there


def _meant(part: Annotations, pictures: Sequence[str]) -> Iterable[str]:
    if part.ground:
        return [picture for picture in pictures if picture.lower().endswith((".tif", ".tiff"))]
    return matched(part.pictures, pictures)[0].values()


def _template(places: Counter[str]) -> str:
    """One folder for all, with `{folder}` for the parts by which folders as deep as most of them differ."""
    if not places:
        return "."
    depths: Counter[int] = Counter()
    for place, number in places.items():
        depths[len(PurePosixPath(place).parts)] += number
    deep = depths.most_common(1)[0][0]
    parts = zip(
        *(PurePosixPath(place).parts for place in places if len(PurePosixPath(place).parts) == deep), strict=True
    )
    return "/".join(names[0] if len(set(names)) == 1 else FOLDER_PLACE for names in parts) or "."
