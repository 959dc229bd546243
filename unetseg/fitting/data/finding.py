"""Finding out where the images and the masks of a folder lie and how they are called, by names as far as they tell."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np

from ...formats import read_mask
from ..recipe import FOLDER_PLACE, NAME, SPLIT_PLACE, Split
from .apart import told_apart
from .layouts import (
    IMAGE_WORDS,
    LOOKED_AT,
    MASK_WORDS,
    OTHER_PICTURES,
    Layout,
    ending,
    is_series,
    is_volume,
    pair,
    pictures_in,
    stem,
    words_in,
)
from .naming import DERIVED_WORDS, FIELD_WORDS, differ, names_in_folders, names_of, words_of
from .placing import MANY, Words, apart_by, candidate_folders, is_for_masks, matching, places_among, put, without_split

MOST_DRAWN = 64
"""Pictures of more values are none that somebody drew as masks."""
DEPTH = 5
"""How many folders deep pictures are looked for."""


@dataclass(frozen=True)
class Option:
    """A layout by which images find masks. pairs: how many, of all and of the train split. apart: of both folders."""

    layout: Layout
    pairs: int
    training: int
    apart: int


@dataclass(frozen=True)
class Found:
    """A layout that a folder seems to have, and what it leaves aside.

    paired: whether any image has a mask by it. candidates: layouts with other masks for the same images, or other
    images for the same masks, that fit as well. aside: folders of pictures that are no part of it or of a candidate.
    rivals: those of them that hold masks for other images, and how many pairs they would make.
    unread: how many files of each ending there are whose pictures are not read.
    """

    layout: Layout
    paired: bool
    aside: tuple[str, ...]
    rivals: Mapping[str, int]
    unread: Mapping[str, int]
    candidates: tuple[Layout, ...] = ()


def find_layout(folder: Path) -> Found:
    """The layout by which most images of a folder find a mask, judged by names.

    Of folders that names leave out a few pictures are read: what looks like masks is taken where nothing else pairs,
    and is a candidate where something does.
    Raises ValueError for what is no folder, or holds no pictures.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder} is no folder; name one that holds images and masks")
    stems, unread = _stems_by_folder(folder)
    if not stems:
        instead = f" that are read, only {listed(unread)}" if unread else ""
        raise ValueError(
            f"{folder} holds no pictures{instead}, {DEPTH} folders deep; expected images/ and masks/ with files "
            "of the same names, a.png beside a_mask.png, or train/ and val/ with either"
        )
    options = _all_options(folder, stems, frozenset())
    best = max(options, key=_merit)
    aside = [name for name in stems if not best.pairs or PurePosixPath(name) not in _used([best.layout], folder)]
    if best.pairs:  # else what lies in segmentation/images may be masks
        aside = [name for name in aside if not words_in(PurePosixPath(name).name) & IMAGE_WORDS]
    if drawn := frozenset(name for name in aside[: 2 * MANY] if not is_for_masks(name) and _holds_masks(folder / name)):
        options = _all_options(folder, stems, drawn)
        best = best if best.pairs and best in options else max(options, key=_merit)
    whole = best.layout.masks
    if FOLDER_PLACE in whole and FOLDER_PLACE not in best.layout.images:  # its parts are no masks of their own
        options = [o for o in options if o.layout.masks == whole or not matching(whole, [o.layout.masks])]
    paired = best.pairs > 0
    alike = _alike(best, options) if paired else []
    best, *alike = sorted([best, *alike], key=lambda option: _doubt(option.layout))
    layout, candidates = best.layout, [option.layout for option in alike]
    if paired:
        layout, candidates = told_apart(folder, layout, candidates, [o.layout for o in options if o.pairs > 1])
    used = _used([layout, *candidates], folder)
    # the slices of a series are no pictures of their own
    series = {p for p in map(PurePosixPath, stems) if p.parent in used and is_series(folder / p)}
    unused = tuple(name for name in stems if PurePosixPath(name) not in used | series)
    pairs_of: dict[str, int] = {}  # by folder of masks
    for option in options:
        for place in option.layout.places(folder) if option.pairs and len(options) <= MANY * MANY else []:
            for masks in option.layout.mask_folders(place):
                pairs_of[masks] = max(option.pairs, pairs_of.get(masks, 0))
    rivals = {name: n for name in unused if (n := pairs_of.get(name, 0)) and not words_in(name) & DERIVED_WORDS}
    return Found(layout, paired, unused, rivals, unread, tuple(candidates))


def _all_options(folder: Path, stems: Mapping[str, list[str]], drawn: frozenset[str]) -> list[Option]:
    options = (option for candidate in candidate_folders(stems, drawn) for option in _options(*candidate, stems))
    return [_without_chance(folder, option) for option in options]


def _without_chance(folder: Path, option: Option) -> Option:
    """Without pairs where masks pair with each other, or pictures of one folder with what doesn't look like masks."""
    layout = option.layout
    named = layout.images != layout.masks or words_of(layout.mask_name) & (MASK_WORDS | FIELD_WORDS)
    others = is_for_masks(layout.images)  # masks of the first class seem to be the pictures of the second
    if not option.pairs or (named and not others):
        return option
    pairs = pair(folder, layout).pairs[:LOOKED_AT]
    chance = others and _are_drawn([one.image for one in pairs])
    if pairs and not chance and (named or _are_drawn([one.mask for one in pairs])):
        return option
    return replace(option, layout=replace(layout, image_name=NAME, mask_name=f"{NAME}_mask"), pairs=0, training=0)


def _merit(option: Option) -> tuple[int, bool, bool]:
    """Of those with most pairs the first that isn't called as made from the others."""
    folders, files = _own_names(option.layout)
    return option.pairs, not folders & DERIVED_WORDS, not files & DERIVED_WORDS


def _holds_masks(folder: Path) -> bool:
    """Whether the first pictures of a folder look like masks."""
    return _are_drawn(pictures_in(folder)[:LOOKED_AT])


def _are_drawn(pictures: Iterable[Path]) -> bool:
    """Whether pictures look like masks: few values, that fill regions."""
    for path in pictures:
        try:
            raw = read_mask(path)
        except ValueError:  # saved as JPEG, or of fractions
            return False
        rows = raw.reshape(raw.shape[0], -1) if raw.ndim == 2 or is_volume(path) else raw[..., 0]
        if len(np.unique(rows)) > MOST_DRAWN or (rows[:, 1:] == rows[:, :-1]).mean() < 0.8:
            return False
    return True


def listed(unread: Mapping[str, int]) -> str:
    """`12 .npy and 3 .heic`."""
    return " and ".join(f"{number:,} {ending}" for ending, number in unread.items())


def _used(layouts: Iterable[Layout], folder: Path) -> set[PurePosixPath]:
    return {
        PurePosixPath(name)
        for layout in layouts
        for place in layout.places(folder)
        for name in (*layout.image_folders(place), *layout.mask_folders(place))
    }


def _alike(best: Option, options: Sequence[Option]) -> list[Option]:
    """Those with other masks for the images of the best, or other images for its masks, for at least half of them."""
    chosen = best.layout
    found: list[Option] = []
    images = (chosen.images, chosen.image_name)
    masks = (chosen.masks, chosen.mask_name)
    for option in options:
        layout = option.layout
        enough = 2 * option.training >= best.training and option.pairs
        own = (layout.images, layout.image_name), (layout.masks, layout.mask_name)
        if not enough or option == best or own[0] == masks or own[1] == images or _derived(layout, chosen):
            continue
        # masks that have images of their own nearby belong to these
        near = min(o.apart for o in options if o.pairs and o.layout.masks == layout.masks) == option.apart
        other_masks = layout.images == chosen.images and own[1] != masks and near
        words = tuple(chosen.split_folders.values()) if chosen.split_folders else ("",)
        other_images = own[1] == masks and (
            layout.images != chosen.images
            or all(differ(put(a, w), put(b, w)) for a in layout.image_names for b in chosen.image_names for w in words)
        )
        same_kind = [o.layout for o in found if (o.layout.masks, o.layout.images) == (layout.masks, layout.images)]
        repeats = not other_images and any(_same_files(layout, other) for other in (chosen, *same_kind))
        if (other_masks or other_images) and not repeats:
            found.append(option)
    return found


def _same_files(one: Layout, other: Layout) -> bool:
    """Whether two layouts name the same files in two ways: `{name}` and `a_{name}`."""
    if (one.images, one.masks) != (other.images, other.masks):
        return False
    names = [layout.mask_name.rstrip("*") for layout in (one, other)]
    return all(NAME in name for name in names) and not differ(*names)


def _derived(layout: Layout, chosen: Layout) -> bool:
    """Whether a candidate's own words say that it was made from masks or images, and the chosen one's don't."""
    return any((own - other) & DERIVED_WORDS for own, other in zip(_own_names(layout), _own_names(chosen), strict=True))


def _own_names(layout: Layout) -> tuple[set[str], set[str]]:
    """The words by which folders and files of a layout are called."""
    folders, files = f"{layout.images} {layout.masks}", " ".join([*layout.image_names, layout.mask_name])
    return words_in(folders.replace(SPLIT_PLACE, " ")), words_in(files.replace(NAME, " ").replace(SPLIT_PLACE, " "))


def _doubt(layout: Layout) -> tuple[int, bool]:
    """How little masks are called as what is to be learnt; `mask` beside `manual` is the field of view. So images."""
    words = words_in(f"{layout.masks.rpartition('/')[2]} {layout.mask_name}".replace(NAME, " "))
    doubt = 2 if words & FIELD_WORDS else 1 if words & {"mask", "masks"} else 0
    return doubt, not words_in(f"{layout.images} {' '.join(layout.image_names)}".replace(NAME, " ")) & IMAGE_WORDS


def _stems_by_folder(folder: Path) -> tuple[dict[str, list[str]], Counter[str]]:
    found: dict[str, list[str]] = {}
    unread: Counter[str] = Counter()
    for path, folders, files in os.walk(folder, followlinks=True):  # DEPTH bounds links that lead in a circle
        here = Path(path).relative_to(folder)
        folders[:] = sorted(f for f in folders if not f.startswith(".")) if len(here.parts) < DEPTH else []
        unread.update(e for file in files if (e := ending(Path(file))) in OTHER_PICTURES and file[0] != ".")
        if stems := [stem(picture) for picture in pictures_in(Path(path))]:
            found[here.as_posix()] = stems
    return found, unread


def _options(images: str, masks: str, words: Words, stems: Mapping[str, list[str]]) -> Iterator[Option]:
    """The ways in which files of these folders are called so that they pair; one without pairs where none does."""
    places = [place for split, word in words.items() for place in places_among(images, masks, split, word, stems)]
    together = images == masks
    named = [
        ([*stems[place.images]], [stem for part in place.parts or (place.masks,) for stem in stems[part]])
        for place in places
    ]
    if any(place.parts and len(set(masks)) < len(masks) for place, (_, masks) in zip(places, named, strict=True)):
        return  # of one name in several folders nothing tells which is meant
    namings = names_of(named, together)
    bare = [
        (without_split(pictures, place.word), without_split(others, place.mask_word))
        for (pictures, others), place in zip(named, places, strict=True)
    ]
    if bare != named and (not namings or sum(namings[0][2]) < sum(len(pictures) for pictures, _ in named)):
        namings += names_of(bare, together)  # DRIVE calls its files by the split too
        namings.sort(key=lambda naming: -sum(naming[2]))
    if FOLDER_PLACE in images and (not namings or 2 * sum(namings[0][2]) < len(places)):
        namings += names_in_folders(named, together)
        namings.sort(key=lambda naming: -sum(naming[2]))
    if not namings:
        namings = [(NAME, NAME + "_mask" if together else NAME, [0] * len(places))]
    for image_name, mask_name, pairs in namings:
        of_split: Counter[Split | None] = Counter()
        for place, number in zip(places, pairs, strict=True):
            of_split[place.split] += number
        # a split without a single mask can't be learnt from or scored
        splits = {s: w for s, w in words.items() if s is not None and (of_split[s] or s == "train")}
        folders, of_masks = ({split: both[i] for split, both in splits.items()} for i in (0, 1))
        layout = Layout(images, masks, image_name, mask_name, folders or None)
        if of_masks != folders:
            layout = replace(layout, mask_split_folders=of_masks)
        if folders or None in words:
            yield Option(layout, sum(pairs), of_split["train"] or of_split[None], apart_by(images, masks))
