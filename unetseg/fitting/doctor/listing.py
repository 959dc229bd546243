"""Published lists of training and validation beside the pictures: finding them, and what they leave out."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..data.layouts import SPLIT_WORDS
from ..data.lists import Finder, read_list
from ..recipe import Split
from ..words import counted, some
from .findings import Finding
from .grouping import Grouping

ENDINGS = {".txt", ".lst", ".list"}
DEPTH = 4
LARGEST = 50_000_000
"""Bytes; a text beyond is no list of pictures."""
BOTH = {"trainval", "trainvals"}
"""Lists that hold those of train and of val."""


@dataclass(frozen=True)
class Lists:
    """Lists of a folder, as the recipe's `split_lists`, and the pictures of each."""

    files: Mapping[Split, str]
    pictures: Mapping[Split, frozenset[str]]


def find_lists(folder: Path, images: Mapping[str, Path]) -> tuple[Lists | None, list[Finding]]:
    """The lists of one folder that name the most of these images, and what is odd about them."""
    find = Finder(images, folder)
    found: dict[str, dict[Split, tuple[str, list[str], list[str]]]] = {}
    for path, split, both in _texts(folder):
        try:
            lines = read_list(path)
        except ValueError:  # some other text
            continue
        names = [find(line) for line in lines]
        if 2 * sum(len(one) == 1 for one in names) < max(1, len(names)):
            continue
        held = [one[0] for one in names if len(one) == 1]
        odd = [line for line, one in zip(lines, names, strict=True) if len(one) != 1]
        here = found.setdefault(path.parent.relative_to(folder).as_posix(), {})
        if split not in here or not both:
            here[split] = path.relative_to(folder).as_posix(), held, odd
    sets = {place: lists for place, lists in found.items() if "train" in lists and len(lists) > 1}
    if not sets:
        return None, []
    divisions = {
        place: {split: frozenset(held) for split, (_, held, _) in lists.items()} for place, lists in sets.items()
    }
    most = max(sets, key=lambda place: ("segmentation" in place.lower(), sum(map(len, divisions[place].values()))))
    findings = []
    lists = sets[most]
    others = [place for place in sets if divisions[place] != divisions[most] and "segmentation" not in most.lower()]
    if others:
        what = f"lists of training and validation in several folders: {some([most, *others])}"
        advice = (
            f"the proposed recipe takes those of {most} and can be used if these are meant; else change split_lists"
        )
        findings.append(Finding("question", what, advice))
    if lost := [(name, line) for name, _, odd in lists.values() for line in odd]:
        what = (
            f"{counted(len(lost), 'line')} of the lists without a picture: {some([f'{n}: {line}' for n, line in lost])}"
        )
        advice = "add these pictures and their masks, or take the lines out"
        findings.append(Finding("question", what, advice, tuple(dict.fromkeys(name for name, _ in lost))))
    pictures = divisions[most]
    splits = sorted(pictures)
    for i, one in enumerate(splits):
        for other in splits[i + 1 :]:
            if common := sorted(pictures[one] & pictures[other]):
                what = f"{counted(len(common), 'picture')} in the lists of both {one} and {other}: {some(common)}"
                findings.append(Finding("question", what, "take each out of one of them", tuple(common)))
    listed = frozenset().union(*pictures.values())
    if unlisted := sorted(images.keys() - listed):
        what = f"the lists leave out {counted(len(unlisted), 'picture')}: {some(unlisted)}"
        findings.append(
            Finding("note", what, "they are not used; add them to a list if they should be", tuple(unlisted))
        )
    return Lists({split: name for split, (name, _, _) in lists.items()}, pictures), findings


def _texts(folder: Path) -> list[tuple[Path, Split, bool]]:
    """Text files that are called as a list of a split; of `trainval` too, which counts where there is no other."""
    found: list[tuple[Path, Split, bool]] = []
    for place, folders, files in os.walk(folder):
        deep = len(Path(place).relative_to(folder).parts)
        folders[:] = sorted(f for f in folders if not f.startswith(".")) if deep < DEPTH else []
        for file in sorted(files):
            path = Path(place, file)
            if path.suffix.lower() not in ENDINGS or file.startswith(".") or path.stat().st_size > LARGEST:
                continue
            words = [word.lower() for word in re.split(r"[_\-. ]+", path.stem)]
            if any(word in BOTH for word in words):
                found.append((path, "train", True))
            elif splits := [SPLIT_WORDS[word] for word in words if word in SPLIT_WORDS]:
                found.append((path, "train" if set(splits) == {"train", "val"} else splits[0], len(set(splits)) > 1))
    return found


def by_lists(grouping: Grouping, about_groups: Sequence[Finding], lists: Lists) -> tuple[Grouping, list[Finding]]:
    """Groups beside published lists: where these say what is validated on, names say nothing against them."""
    if grouping.split_column is not None:
        return grouping, list(about_groups)
    if "val" not in lists.files:
        return replace(grouping, split_lists=lists.files, listed=_meet(grouping.listed, lists)), list(about_groups)
    found: list[Finding] = []
    if grouping.group_pattern is not None:
        sides: dict[str, set[Split]] = {}
        for split, names in lists.pictures.items():
            for name in names:
                if match := re.search(grouping.group_pattern, name):
                    sides.setdefault(match[1], set()).add(split)
        if torn := sorted(group for group, splits in sides.items() if len(splits) > 1):
            what = f"by their names, {counted(len(torn), 'group')} of pictures in two lists: {some(torn)}"
            advice = "the lists count; if pictures with such a name belong together (a patient, a tile), scores flatter"
            found.append(Finding("warning", what, advice, tuple(torn)))
        # groups that the lists keep together need no pattern
    why = "the lists say what is validated on"
    return Grouping(grouping.manifest, why=why, listed=_meet(grouping.listed, lists), split_lists=lists.files), found


def _meet(listed: frozenset[str] | None, lists: Lists) -> frozenset[str]:
    named = frozenset().union(*lists.pictures.values())
    return named if listed is None else listed & named
