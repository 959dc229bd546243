"""Which folders may hold images and which their masks, by what they are called."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from ..recipe import FOLDER_PLACE, SPLIT_PLACE, Split
from .layouts import IMAGE_WORDS, MASK_WORDS, SPLIT_WORDS, Place, filled, words_in

GLUED = re.compile(
    "({})({})".format(*("|".join(sorted(w, key=len, reverse=True)) for w in (SPLIT_WORDS, MASK_WORDS | IMAGE_WORDS)))
)
"""`trainannot`, as CamVid has it."""
Words = dict[Split | None, tuple[str, str]]
"""What stands for `{split}` in the folders of images and in those of masks (None: nothing)."""
MANY = 40
"""Of more kinds of folders only those are paired that are called most alike."""


def candidate_folders(names: Iterable[str], drawn: frozenset[str]) -> Iterator[tuple[str, str, Words]]:
    """Folder of images, folder of masks, and what stands for `{split}` in them.

    drawn: folders that count as those of masks, whatever they are called.
    """
    by_template: dict[str, dict[Split | None, str]] = {}
    placed = {name: split_place(name) for name in names}
    started = {_start(template) for template, _, _ in placed.values()}
    alike = Counter(re.sub(r"\d+", "0", start) for start in started)
    splits = {split for _, split, _ in placed.values()} - {None}
    for name, (template, split, word) in placed.items():
        # train_001, train_002: a word of every picture's folder; Training Batch 1 and 2: there is nothing else
        if alike[re.sub(r"\d+", "0", _start(template))] > (1 if splits == {"train"} else 2):
            template, split, word = name, None, ""
        by_template.setdefault(template, {}).setdefault(split, word)
    one_level = _with_folders(by_template)
    for templates in (by_template, one_level, _with_folders(one_level)):
        yield from _paired(templates, drawn)
    parts = {name: words for name, words in one_level.items() if is_for_masks(name)}
    whole = {name: words for name, words in by_template.items() if not is_for_masks(name)}
    if whole and parts:  # masks in several folders, of images in one
        yield from _paired(whole | parts, drawn)


def _paired(by_template: dict[str, dict[Split | None, str]], drawn: frozenset[str]) -> Iterator[tuple[str, str, Words]]:
    by_template = dict(by_template)
    for template, words in list(by_template.items()):
        if None not in words and "train" not in words:  # a folder that is just called test
            del by_template[template]
            by_template |= {put(template, word): {None: ""} for word in words.values()}
    masks = [
        template
        for template, words in by_template.items()
        if is_for_masks(template) or any(matching(put(template, word), drawn) for word in words.values())
    ]
    images = [template for template in by_template if template not in masks]
    if len(by_template) > 10 * MANY:  # a folder for each picture: none of them is a layout by itself
        return
    apart = {one: {other: apart_by(one, other) for other in masks} for one in images or masks}
    for one in images or masks:
        nearest = min(apart[one].values(), default=0)
        near = [mask for mask in masks if len(by_template) <= MANY or apart[one][mask] == nearest]
        for other in (*sorted(near, key=apart[one].__getitem__), *(() if one in near else (one,))):
            of_masks = by_template[other]
            both: Words = {s: (word, of_masks[s]) for s, word in by_template[one].items() if s in of_masks}
            if None in both or "train" in both:
                yield one, other, both


def matching(template: str, names: Iterable[str]) -> list[re.Match[str]]:
    """The names that a template stands for, with what stands for each `{folder}`."""
    number, parts = 0, []
    for part in template.split("/"):
        number += part == FOLDER_PLACE
        repeated = f"(?:\\{number})".join(map(re.escape, part.split(FOLDER_PLACE)))
        parts.append("([^/]+)" if part == FOLDER_PLACE else repeated)
    pattern = re.compile("/".join(parts))
    return [match for name in names if (match := pattern.fullmatch(name))]


def apart_by(one: str, other: str) -> int:
    return len(set(one.split("/")) ^ set(other.split("/")))


def _with_folders(by_template: Mapping[str, Mapping[Split | None, str]]) -> dict[str, dict[Split | None, str]]:
    """Templates with `{folder}` for a part by which several others differ, and what stands for `{split}` in them."""
    members: dict[str, list[Mapping[Split | None, str]]] = {}
    for template, words in by_template.items():
        parts = template.split("/")
        for i, part in enumerate(parts):
            special = part == "." or SPLIT_PLACE in part or FOLDER_PLACE in part
            if not special and (not words_in(part) & (MASK_WORDS | IMAGE_WORDS) or re.search(r"\d", part)):
                own = re.compile(rf"(?<![A-Za-z0-9]){re.escape(part)}(?![A-Za-z0-9])")  # PH2: {folder}/{folder}_lesion
                below = (own.sub(FOLDER_PLACE, name) if name != part else name for name in parts[i + 1 :])
                members.setdefault("/".join([*parts[:i], FOLDER_PLACE, *below]), []).append(words)
    return {
        name: {s: w for words in several for s, w in words.items()}
        for name, several in members.items()
        if len(several) > 1 or any(len(words) > 1 for words in several)
    }


def places_among(
    images: str, masks: str, split: Split | None, words: tuple[str, str], names: Mapping[str, object]
) -> Iterator[Place]:
    """The folders among these names that templates stand for, with words for `{split}`."""
    images, masks = (put(template, word) for template, word in zip((images, masks), words, strict=True))
    if FOLDER_PLACE in masks and FOLDER_PLACE not in images:
        found = matching(masks, names)
        # folders without a number are of kinds, or of people
        if images in names and all(re.search(r"\d", name) for match in found for name in match.groups()):
            yield Place(split, images, masks, "", *words, tuple(match[0] for match in found))
        return
    for match in matching(images, names):
        inside = "/".join(match.groups())
        if (other := filled(masks, inside)) in names:
            yield Place(split, match[0], other, inside, *words)


def _tokens(text: str) -> list[str]:
    """Words and what stands between them, in turn."""
    return re.split(r"([/_\-. ]+)", text)


def is_for_masks(template: str) -> bool:
    """Whether a folder is called as one of masks; the innermost telling name counts, `segmentation/images` is none."""
    for part in reversed(template.split("/")):
        words = words_in(part)
        if words & (MASK_WORDS | IMAGE_WORDS):
            return bool(words & MASK_WORDS)
    return False


def split_place(name: str) -> tuple[str, Split | None, str]:
    """A name with `{split}` for a word of one, the split and the word; `train/train-images` has it twice."""
    template, split, word = _one_split_place(name)
    if split is not None and not re.search(r"\d", template[template.index(SPLIT_PLACE) :].partition("/")[0]):
        template = "".join(SPLIT_PLACE if token == word else token for token in _tokens(template))
    return template, split, word


def _one_split_place(name: str) -> tuple[str, Split | None, str]:
    tokens = _tokens(name)
    for i, token in reversed(list(enumerate(tokens))):  # of training_data/val the last counts
        word = token.lower().rstrip("0123456789")  # train2017
        if word == "val" and [part.lower() for part in tokens[max(0, i - 2) : i]] == ["train", "_"]:
            return "".join([*tokens[: i - 2], SPLIT_PLACE, *tokens[i + 1 :]]), "train", f"{tokens[i - 2]}_{token}"
        if word in SPLIT_WORDS:
            return "".join([*tokens[:i], SPLIT_PLACE, *tokens[i + 1 :]]), SPLIT_WORDS[word], token
        if glued := GLUED.fullmatch(token.lower()):
            own, rest = token[: glued.end(1)], token[glued.end(1) :]
            return "".join([*tokens[:i], SPLIT_PLACE + rest, *tokens[i + 1 :]]), SPLIT_WORDS[glued[1]], own
    return name, None, ""


def _start(template: str) -> str:
    """A template up to the end of the folder's name that holds `{split}`."""
    before, place, after = template.partition(SPLIT_PLACE)
    return before + place + after.partition("/")[0] if place else ""


def put(template: str, word: str) -> str:
    return template.replace(SPLIT_PLACE, word)


def without_split(names: Sequence[str], word: str) -> list[str]:
    """Names with `{split}` for the word that their folder is called by."""
    pattern = re.compile(rf"(?<![A-Za-z0-9]){re.escape(word)}(?![A-Za-z0-9])") if word else None
    return [pattern.sub(SPLIT_PLACE, name, count=1) if pattern else name for name in names]
