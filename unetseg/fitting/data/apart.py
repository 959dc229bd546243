"""Layouts that differ by one word: of masks each may show a class of its own, of images a channel."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ...formats import read_image
from ..recipe import CHANNEL_PLACE, CLASS_PLACE, NAME
from .joined import read_inside
from .layouts import MASK_WORDS, Layout, pair, pictures_in, words_in
from .naming import DERIVED_WORDS, FIELD_WORDS, PERSON_WORDS
from .placing import is_for_masks

MOST_WORDS = 4
"""A class or a channel is called by so many words at most."""
NO_CLASS = MASK_WORDS | PERSON_WORDS | FIELD_WORDS | DERIVED_WORDS
"""What is called so is one thing, told twice."""
LOOKED_AT = 12
"""Of so many pictures the masks are compared."""
COLOURS = ("red", "green", "blue")
"""Pictures called so are channels of one; then come the others."""

_Frame = tuple[str, str]
"""A folder and a name in which a word is left open."""
_Relation = Literal["apart", "within", "alike"]


def told_apart(
    folder: Path, layout: Layout, candidates: Sequence[Layout], every: Sequence[Layout]
) -> tuple[Layout, list[Layout]]:
    """A layout and those that fit as well, where classes have masks of their own and colours files of their own.

    every: all layouts by which anything pairs; of classes that are rare few files may be there.
    """
    left = list(candidates)
    if ways := classes_apart(folder, layout, every):
        first = ways[0][0]
        of_classes = [member for _, members in ways for member in members]
        left = [
            one if _images_of(one) == _images_of(layout) else _with_classes(one, _masks_of(first), first.class_masks)
            for one in left
            if one not in of_classes
        ]
        layout, left = first, [*(way for way, _ in ways[1:]), *left]
    joined = channels_apart(folder, layout, left)
    if joined is not None and set(map(_colour, joined[0].channels)) >= {0, 1, 2}:
        first = joined[0]
        left = [
            replace(one, images=first.images, image_name=first.image_name, channels=first.channels)
            if _images_of(one) == _images_of(layout)
            else one
            for one in left
            if one not in joined[1]
        ]
        layout = first
    return layout, left


def classes_apart(folder: Path, chosen: Layout, others: Sequence[Layout]) -> list[tuple[Layout, list[Layout]]]:
    """Layouts of masks that differ by a class as one, and what it stands for; that of the chosen one first.

    Empty where that can't be told: where names are those of several people or of the images, or where the masks of a
    picture lie over each other by more than one within another, as if several people had drawn one thing.
    """
    siblings = [layout for layout in others if _images_of(layout) == _images_of(chosen)]
    pictures = {
        chosen.image_of(path, place) for place in chosen.places(folder) for path in pictures_in(folder / place.images)
    }
    frames: dict[_Frame, dict[str, Layout]] = {}
    for layout in (chosen, *siblings):
        for frame, word in _framed(layout.masks, layout.mask_name, CLASS_PLACE):
            if word not in pictures and not _own_words(word) & NO_CLASS:
                frames.setdefault(frame, {}).setdefault(word, layout)
    mine = [frame for frame, words in frames.items() if len(words) > 1 and chosen in words.values()]
    for frame in sorted(mine, key=lambda frame: -len(frames[frame])):
        words = frames[frame]
        if not _are_classes(folder, _with_classes(chosen, frame, words)):
            continue
        left = [layout for layout in siblings if layout not in words.values()]
        same = [
            (_with_classes(chosen, other, words), list(of_other.values()))
            for other, of_other in frames.items()
            if of_other.keys() == words.keys() and any(layout in left for layout in of_other.values())
        ]
        return [(_with_classes(chosen, frame, words), list(words.values())), *same]
    return []


def _with_classes(layout: Layout, frame: _Frame, words: Iterable[str]) -> Layout:
    return replace(layout, masks=frame[0], mask_name=frame[1], class_masks=tuple(sorted(words)))


def maybe_classes(layouts: Sequence[Layout]) -> Layout | None:
    """The one layout, by class, of masks that differ by a word which may be a class; None where they don't."""
    frames: dict[_Frame, list[str]] = {}
    for layout in layouts:
        for frame, word in _framed(layout.masks, layout.mask_name, CLASS_PLACE):
            if not words_in(word) & NO_CLASS:
                frames.setdefault(frame, []).append(word)
    whole = [frame for frame, words in frames.items() if len(set(words)) == len(layouts)]
    return _with_classes(layouts[0], whole[0], frames[whole[0]]) if whole else None


def channels_apart(folder: Path, chosen: Layout, others: Sequence[Layout]) -> tuple[Layout, list[Layout]] | None:
    """The layout of images whose channels lie in a file each, by `{channel}`, and those that it stands for."""
    frames: dict[_Frame, dict[str, Layout]] = {}
    for layout in (chosen, *others):
        if _masks_of(layout) == _masks_of(chosen) and isinstance(layout.image_name, str):
            for frame, word in _framed(layout.images, layout.image_name, CHANNEL_PLACE):
                frames.setdefault(frame, {}).setdefault(word, layout)
    mine = [(frame, words) for frame, words in frames.items() if len(words) > 1 and chosen in words.values()]
    for (images, image_name), words in sorted(mine, key=lambda item: -len(item[1])):
        order = sorted(words, key=lambda word: (_colour(word), word))
        layout = replace(chosen, images=images, image_name=image_name, channels=tuple(order))
        if all(_is_single(folder, one) for one in words.values()):
            return layout, list(words.values())
    return None


def _colour(word: str) -> int:
    return COLOURS.index(word.lower()) if word.lower() in COLOURS else len(COLOURS)


def _is_single(folder: Path, layout: Layout) -> bool:
    """Whether the first picture has one channel."""
    for place in layout.places(folder):
        for path in pictures_in(folder / place.images):
            if layout.image_of(path, place) is not None:
                try:
                    return bool(read_image(path).pixels.shape[3] == 1)
                except ValueError:
                    return False
    return False


def _images_of(layout: Layout) -> tuple[object, ...]:
    return layout.images, layout.image_name, layout.split_folders, layout.mask_split_folders


def _masks_of(layout: Layout) -> _Frame:
    return layout.masks, layout.mask_name


def _framed(place: str, name: str, word_place: str) -> Iterator[tuple[_Frame, str]]:
    """A folder and a name with `{class}` or `{channel}` for each word or run of words in them, and what it was.

    Of masks in a folder for each class, each folder may also have a way of its own to call them.
    """
    seen = set()
    for part in (*place.split("/"), name):
        tokens = re.split(r"([_\-. ]+)", part)
        for start in range(0, len(tokens), 2):
            for end in range(start + 1, min(start + 2 * MOST_WORDS, len(tokens) + 1), 2):
                word = "".join(tokens[start:end])
                if not word or "{" in word or "*" in word or word.isdigit() or word in seen:
                    continue
                seen.add(word)
                bounded = re.compile(rf"(?<![A-Za-z0-9]){re.escape(word)}(?![A-Za-z0-9])")
                frame = bounded.sub(word_place, place), bounded.sub(word_place, name)
                yield frame, word
                if word_place == CLASS_PLACE and frame[1] == name and re.fullmatch(r"\{name\}[_\-. ][^{}]+", name):
                    yield (frame[0], NAME + "*"), word


def _own_words(name: str) -> set[str]:
    """The words of a name, less that which says that it holds masks: `left` of `leftMask`."""
    words = {word for word in words_in(name) if word != name.lower()} or {name.lower()}
    return words - {"mask", "masks"} if words - {"mask", "masks"} else words


def _are_classes(folder: Path, layout: Layout) -> bool:
    """Whether masks of two classes hardly ever show the same: they lie apart, or one within the other.

    Within only where names say that they are masks; else it may be the same thing once more, drawn smaller.
    """
    found: dict[tuple[int, int], list[_Relation]] = {}
    pairs = [one for one in pair(folder, layout).pairs if one.more_masks]
    for one in pairs[:: max(1, len(pairs) // LOOKED_AT)]:
        masks: dict[int, NDArray[np.bool_]] = {}
        for path, number in zip((one.mask, *one.more_masks), one.mask_ids, strict=True):
            try:
                inside = read_inside(path)
            except ValueError:  # of several values, or no mask at all
                return False
            before = masks.get(number)
            masks[number] = inside if before is None or before.shape != inside.shape else before | inside
        for a, b in combinations(sorted(masks), 2):
            if masks[a].shape == masks[b].shape and masks[a].any() and masks[b].any():
                found.setdefault((a, b), []).append(_relation(masks[a], masks[b]))
    sure = layout.by_folder or is_for_masks(layout.masks)
    same = {"alike"} if sure else {"alike", "within"}
    return not any(2 * sum(one in same for one in relations) > len(relations) for relations in found.values())


def _relation(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> _Relation:
    common = np.count_nonzero(one & other)
    few, many = sorted((np.count_nonzero(one), np.count_nonzero(other)))
    if common <= 0.1 * few:
        return "apart"
    return "within" if common >= 0.95 * few and few <= 0.8 * many else "alike"
