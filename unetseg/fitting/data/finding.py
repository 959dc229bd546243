"""Finding out where the images and the masks of a folder lie and how they are called, by names as far as they tell."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np

from ...formats import read_mask
from ..recipe import CLASS_PLACE, FOLDER_PLACE, NAME, SPLIT_PLACE, Split
from .layouts import (
    IMAGE_WORDS,
    LOOKED_AT,
    MASK_WORDS,
    OBJECT_WORDS,
    OTHER_PICTURES,
    SPLIT_WORDS,
    Layout,
    Place,
    ending,
    is_series,
    is_volume,
    pictures_in,
    shared_name,
    stem,
    words_in,
)

DERIVED_WORDS = {
    *OBJECT_WORDS, "viz", "vis", "visual", "visualization", "visualisation", "overlay", "overlays", "overlaid",
    "preview", "previews", "thumbnail", "thumbnails", "color", "colors", "colour", "colours", "colored", "coloured",
    "palette", "edge", "edges", "contour", "contours", "boundary", "boundaries", "blend", "blended", "superpixels",
}  # fmt: skip
"""What is so called is made from masks, or from images, and only taken where there is nothing else."""
FIELD_WORDS = {"fov", "roi", "field", "valid", "validity", "coverage", "nodata"}
"""Masks so called rather show where the picture counts than what is on it."""
PERSON_WORDS = {
    "1st", "2nd", "3rd", "first", "second", "third", "observer", "annotator", "expert", "rater", "reader", "doctor",
    "grader", "manual", "ho",
}  # fmt: skip
"""Masks so called are of several people, not of several classes."""
BEFORE = (r"[A-Za-z]+[_\-. ]*(?=.)", r"[A-Za-z]+[_\-. ][A-Za-z]+[_\-. ]*(?=\d)")
"""What may stand before the name that files share."""
AFTER = (
    r"(?<=.)[_\-. ][A-Za-z0-9]*[A-Za-z][A-Za-z0-9]*$",
    r"(?<=.)([_\-. ][A-Za-z][A-Za-z0-9]*){2}$",  # _gtFine_labelIds of Cityscapes
    r"(?<=.)_0000$",  # nnU-Net's first channel
    r"(?<=.)[_\-. ]\{split\}([_\-. ][A-Za-z]+)?$",  # _training_mask of DRIVE
)
"""What may stand after the name that files share."""
GLUED = re.compile(
    "({})({})".format(*("|".join(sorted(w, key=len, reverse=True)) for w in (SPLIT_WORDS, MASK_WORDS | IMAGE_WORDS)))
)
"""`trainannot`, as CamVid has it."""
MOST_DRAWN = 64
"""Pictures of more values are none that somebody drew as masks."""
DEPTH = 5
"""How many folders deep pictures are looked for."""
MANY = 40
"""Of more kinds of folders only those are paired that are called most alike."""


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
    options = _all_options(stems, frozenset())
    best = max(options, key=_merit)
    aside = [name for name in stems if not best.pairs or PurePosixPath(name) not in _used([best.layout], folder)]
    if drawn := frozenset(name for name in aside[: 2 * MANY] if not is_for_masks(name) and _is_drawn(folder / name)):
        options = _all_options(stems, drawn)
        best = best if best.pairs and best in options else max(options, key=_merit)
    paired = best.pairs > 0
    alike = _alike(best, options) if paired else []
    classes = _by_class(folder, best, alike)
    if classes is None:
        best, *alike = sorted([best, *alike], key=lambda option: _doubt(option.layout))
    else:
        best, alike = classes
    used = _used([best.layout, *(option.layout for option in alike)], folder)
    # the slices of a series are no pictures of their own
    series = {p for p in map(PurePosixPath, stems) if p.parent in used and is_series(folder / p)}
    unused = tuple(name for name in stems if PurePosixPath(name) not in used | series)
    pairs_of: dict[str, int] = {}  # by folder of masks
    for option in options:
        for place in option.layout.places(folder) if option.pairs and len(options) <= MANY * MANY else []:
            for masks in option.layout.mask_folders(place):
                pairs_of[masks] = max(option.pairs, pairs_of.get(masks, 0))
    rivals = {name: n for name in unused if (n := pairs_of.get(name, 0)) and not words_in(name) & DERIVED_WORDS}
    return Found(best.layout, paired, unused, rivals, unread, tuple(option.layout for option in alike))


def _all_options(stems: Mapping[str, list[str]], drawn: frozenset[str]) -> list[Option]:
    return [option for candidate in _candidates(stems, drawn) for option in _options(*candidate, stems)]


def _merit(option: Option) -> tuple[int, bool]:
    """Of those with most pairs the first that isn't called as made from the others."""
    return option.pairs, not _own_name(option.layout) & DERIVED_WORDS


def _is_drawn(folder: Path) -> bool:
    """Whether the first pictures of a folder look like masks: few values, that fill regions."""
    if words_in(folder.name) & IMAGE_WORDS:
        return False
    for path in pictures_in(folder)[:LOOKED_AT]:
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
        for name in (place.images, *layout.mask_folders(place))
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
            or all(
                _differ(_put(a, w), _put(b, w)) for a in layout.image_names for b in chosen.image_names for w in words
            )
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
    return all(NAME in name for name in names) and not _differ(*names)


def _derived(layout: Layout, chosen: Layout) -> bool:
    """Whether a candidate's own words say that it was made from masks or images, and the chosen one's don't."""
    return bool((_own_name(layout) - _own_name(chosen)) & DERIVED_WORDS)


def _own_name(layout: Layout) -> set[str]:
    """The words by which folders and files of a layout are called."""
    text = " ".join([layout.images, layout.masks, *layout.image_names, layout.mask_name])
    return words_in(text.replace(NAME, " ").replace(SPLIT_PLACE, " "))


def _doubt(layout: Layout) -> tuple[int, bool]:
    """How little masks are called as what is to be learnt; `mask` beside `manual` is the field of view. So images."""
    words = words_in(f"{layout.masks.rpartition('/')[2]} {layout.mask_name}".replace(NAME, " "))
    doubt = 2 if words & FIELD_WORDS else 1 if words & {"mask", "masks"} else 0
    return doubt, not words_in(f"{layout.images} {' '.join(layout.image_names)}".replace(NAME, " ")) & IMAGE_WORDS


def _by_class(folder: Path, best: Option, alike: Sequence[Option]) -> tuple[Option, list[Option]] | None:
    """The masks of the best and of those alike as one of each class, where folders in a folder of masks are so many.

    Not where they are called as of several people, as other masks of all classes, or as the images.
    """
    chosen = best.layout
    above, _, own = chosen.masks.rpartition("/")
    siblings = [
        option
        for option in alike
        if option.layout.images == chosen.images and option.layout.masks.rpartition("/")[0] == above
    ]
    templates = {chosen.mask_name, *(option.layout.mask_name for option in siblings)}
    if len(templates) > 1 and not all(re.fullmatch(r"\{name\}[_\-. ][^{}]+", template) for template in templates):
        return None
    names = sorted(dict.fromkeys((own, *(option.layout.masks.rpartition("/")[2] for option in siblings))))
    told = [_own_words(name) & (MASK_WORDS | PERSON_WORDS | FIELD_WORDS | DERIVED_WORDS) for name in names]
    images = {name for place in chosen.places(folder) for name in map(stem, pictures_in(folder / place.images))}
    if not above or len(names) < 2 or not is_for_masks(above) or any(told) or "{" in own or images & {*names}:
        return None
    called = chosen.mask_name if len(templates) == 1 else NAME + "*"  # each class has an ending of its own
    layout = replace(chosen, masks=f"{above}/{CLASS_PLACE}", mask_name=called, class_masks=tuple(names))
    return replace(best, layout=layout), [option for option in alike if option not in siblings]


def _own_words(name: str) -> set[str]:
    """The words of a folder's name, less that which says that it holds masks: `left` of `leftMask`."""
    words = {word for word in words_in(name) if word != name.lower()} or {name.lower()}
    return words - {"mask", "masks"} if words - {"mask", "masks"} else words


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


def _candidates(names: Iterable[str], drawn: frozenset[str]) -> Iterator[tuple[str, str, dict[Split | None, str]]]:
    """Folder of images, folder of masks, and what stands for `{split}` in both (None: nothing).

    drawn: folders that count as those of masks, whatever they are called.
    """
    by_template: dict[str, dict[Split | None, str]] = {}
    placed = {name: _split_place(name) for name in names}
    started = {_start(template) for template, _, _ in placed.values()}
    alike = Counter(re.sub(r"\d+", "0", start) for start in started)
    for name, (template, split, word) in placed.items():
        if alike[re.sub(r"\d+", "0", _start(template))] > 2:  # train_001, train_002: a word of every picture's folder
            template, split, word = name, None, ""
        by_template.setdefault(template, {}).setdefault(split, word)
    one_level = _with_folders(by_template)
    for templates in (by_template, one_level, _with_folders(one_level)):
        yield from _paired(templates, drawn)


def _paired(
    by_template: dict[str, dict[Split | None, str]], drawn: frozenset[str]
) -> Iterator[tuple[str, str, dict[Split | None, str]]]:
    by_template = dict(by_template)
    for template, words in list(by_template.items()):
        if None not in words and "train" not in words:  # a folder that is just called test
            del by_template[template]
            by_template |= {_put(template, word): {None: ""} for word in words.values()}
    masks = [
        template
        for template, words in by_template.items()
        if is_for_masks(template) or any(_matching(_put(template, word), drawn) for word in words.values())
    ]
    images = [template for template in by_template if template not in masks]
    if len(by_template) > 10 * MANY:  # a folder for each picture: none of them is a layout by itself
        return
    apart = {one: {other: _apart(one, other) for other in masks} for one in images or masks}
    for one in images or masks:
        nearest = min(apart[one].values(), default=0)
        near = [mask for mask in masks if len(by_template) <= MANY or apart[one][mask] == nearest]
        for other in (*sorted(near, key=apart[one].__getitem__), *(() if one in near else (one,))):
            words = {s: w for s, w in by_template[one].items() if by_template[other].get(s) == w}
            if None in words or "train" in words:
                yield one, other, words


def _matching(template: str, names: Iterable[str]) -> list[re.Match[str]]:
    """The names that a template stands for, with what stands for each `{folder}`."""
    pattern = re.compile("([^/]+)".join(map(re.escape, template.split(FOLDER_PLACE))))
    return [match for name in names if (match := pattern.fullmatch(name))]


def _apart(one: str, other: str) -> int:
    return len(set(one.split("/")) ^ set(other.split("/")))


def _with_folders(by_template: Mapping[str, Mapping[Split | None, str]]) -> dict[str, dict[Split | None, str]]:
    """Templates with `{folder}` for a part by which several others differ, and what stands for `{split}` in them."""
    members: dict[str, list[Mapping[Split | None, str]]] = {}
    for template, words in by_template.items():
        parts = template.split("/")
        for i, part in enumerate(parts):
            special = part == "." or SPLIT_PLACE in part or FOLDER_PLACE in part
            if not special and (not words_in(part) & (MASK_WORDS | IMAGE_WORDS) or re.search(r"\d", part)):
                members.setdefault("/".join([*parts[:i], FOLDER_PLACE, *parts[i + 1 :]]), []).append(words)
    return {
        name: {s: w for words in several for s, w in words.items()}
        for name, several in members.items()
        if len(several) > 1 or any(len(words) > 1 for words in several)
    }


def _options(
    images: str, masks: str, words: Mapping[Split | None, str], stems: Mapping[str, list[str]]
) -> Iterator[Option]:
    """The ways in which files of these folders are called so that they pair; one without pairs where none does."""
    places = [place for split, word in words.items() for place in _places(images, masks, split, word, stems)]
    together = images == masks
    named = [([*stems[place.images]], [*stems[place.masks]]) for place in places]
    namings = _names(named, together)
    bare = [
        (_without_split(pictures, place.word), _without_split(others, place.word))
        for (pictures, others), place in zip(named, places, strict=True)
    ]
    if bare != named and (not namings or sum(namings[0][2]) < sum(len(pictures) for pictures, _ in named)):
        namings += _names(bare, together)  # DRIVE calls its files by the split too
        namings.sort(key=lambda naming: -sum(naming[2]))
    if FOLDER_PLACE in images and (not namings or 2 * sum(namings[0][2]) < len(places)):
        namings += _of_folders(named, together)
        namings.sort(key=lambda naming: -sum(naming[2]))
    if not namings:
        namings = [(NAME, NAME + "_mask" if together else NAME, [0] * len(places))]
    for image_name, mask_name, pairs in namings:
        of_split: Counter[Split | None] = Counter()
        for place, number in zip(places, pairs, strict=True):
            of_split[place.split] += number
        # a split without a single mask can't be learnt from or scored
        folders = {s: w for s, w in words.items() if s is not None and (of_split[s] or s == "train")}
        layout = Layout(images, masks, image_name, mask_name, folders or None)
        if folders or None in words:
            yield Option(layout, sum(pairs), of_split["train"] or of_split[None], _apart(images, masks))


def _places(images: str, masks: str, split: Split | None, word: str, names: Mapping[str, object]) -> Iterator[Place]:
    """The folders among these names that templates stand for, with a word for `{split}`."""
    images, masks = _put(images, word), _put(masks, word)
    for match in _matching(images, names):
        other = masks
        for part in match.groups():
            other = other.replace(FOLDER_PLACE, part, 1)
        if other in names:
            yield Place(split, match[0], other, "/".join(match.groups()), word)


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


def _split_place(name: str) -> tuple[str, Split | None, str]:
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


def _put(template: str, word: str) -> str:
    return template.replace(SPLIT_PLACE, word)


def _without_split(names: Sequence[str], word: str) -> list[str]:
    """Names with `{split}` for the word that their folder is called by."""
    pattern = re.compile(rf"(?<![A-Za-z0-9]){re.escape(word)}(?![A-Za-z0-9])") if word else None
    return [pattern.sub(SPLIT_PLACE, name, count=1) if pattern else name for name in names]


_Naming = tuple[str | tuple[str, ...], str, list[int]]
"""How images and masks are called, and how many pairs that makes in each place."""


def _names(places: Sequence[tuple[Sequence[str], Sequence[str]]], together: bool) -> list[_Naming]:
    """How files are called when they pair, by the best for each way of calling masks, the best first."""
    images = [stem for stems, _ in places for stem in stems]
    masks = [stem for _, stems in places for stem in stems]
    image_names = [
        template
        for template in _templates(images, IMAGE_WORDS, together, everything=True)
        if not _words_of(template) & (MASK_WORDS | FIELD_WORDS)
    ]
    image_names.sort(key=lambda template: template != NAME and not _words_of(template) & IMAGE_WORDS)
    for everything in (False, True):  # masks without a known word only where nothing else pairs
        found: list[_Naming] = []
        for mask_name in _templates(masks, MASK_WORDS | FIELD_WORDS, together, everything):
            if together and everything and _words_of(mask_name) & IMAGE_WORDS:
                continue
            ways = [
                (image_name, pairs)
                for image_name in image_names
                if not (together and image_name == mask_name)
                and any(pairs := [_common(*place, image_name, mask_name, together) for place in places])
            ]
            if ways:
                first, most = max(ways, key=lambda way: sum(way[1]))
                # other files of the same pictures, `a_depth` beside `a_rgb`, and not the same ones told otherwise
                others = [
                    way
                    for way in ways
                    if not everything and _differ(way[0], first) and not _words_of(way[0]) & DERIVED_WORDS
                ]
                for image_name, pairs in [(first, most), *(way for way in others if 2 * sum(way[1]) >= sum(most))]:
                    starred = _starred(image_name, mask_name, images, masks)
                    found.append((_channels(image_name, images), starred, pairs))
        if found:
            return sorted(found, key=lambda naming: -sum(naming[2]))
    return _numbered(places) if not together else []


def _differ(one: str, other: str) -> bool:
    """Whether two templates can't be those of the same file."""
    (start, end), (other_start, other_end) = one.split(NAME), other.split(NAME)
    starts_alike = start.startswith(other_start) or other_start.startswith(start)
    return not (starts_alike and (end.endswith(other_end) or other_end.endswith(end)))


def _common(images: Sequence[str], masks: Sequence[str], image_name: str, mask_name: str, together: bool) -> int:
    """How many names images and masks share."""
    named = {name for stem in masks if (name := shared_name(stem, mask_name))}
    left = (s for s in images if not (together and shared_name(s, mask_name)))
    return len(named & {shared_name(stem, image_name) for stem in left})


def _channels(image_name: str, stems: Sequence[str]) -> str | tuple[str, ...]:
    """Of nnU-Net's first channel all of them, as far as most images have them."""
    if not image_name.endswith("_0000"):
        return image_name
    counts = Counter(match[0] for stem in stems if (match := re.search(r"_\d{4}$", stem)))
    numbers = [number for number in sorted(counts) if 2 * counts[number] >= counts["_0000"]]
    names = tuple(image_name.removesuffix("_0000") + number for number in numbers)
    return names if len(names) > 1 else image_name


def _starred(image_name: str, mask_name: str, images: Sequence[str], masks: Sequence[str]) -> str:
    """`{name}_mask*` where some images have further masks by numbers, `a_mask_1`."""
    before, after = mask_name.split(NAME)
    if not after:
        return mask_name
    names = {shared_name(stem, image_name) for stem in images}
    pattern = re.compile(rf"{re.escape(before)}(.+){re.escape(after)}[_\-. (]*\d+\)?")
    return mask_name + "*" if any((m := pattern.fullmatch(stem)) and m[1] in names for stem in masks) else mask_name


def _numbered(places: Sequence[tuple[Sequence[str], Sequence[str]]]) -> list[_Naming]:
    """Masks of single objects: `a_1`, `a_2` for `a`."""
    pairs = []
    for images, masks in places:
        names = set(images)
        pairs.append(len({m[1] for stem in masks if (m := re.fullmatch(r"(.+)[_\-. ]\d+", stem)) and m[1] in names}))
    return [(NAME, NAME + "_*", pairs)] if 2 * sum(pairs) > sum(len(images) for images, _ in places) else []


def _of_folders(places: Sequence[tuple[Sequence[str], Sequence[str]]], together: bool) -> list[_Naming]:
    """How files are called where each picture has a folder: `image` and `mask`, or all masks of a folder."""
    image_counts = Counter(stem for images, _ in places for stem in images)
    mask_counts = Counter(stem for _, masks in places for stem in masks)
    most = len(places) / 2
    common = [s for s, n in mask_counts.items() if n > most and (not together or words_in(s) & MASK_WORDS)]
    if not together and not common:
        common = ["*"]
    numbered = Counter(match[1] for s in common if (match := re.fullmatch(r"(.+?)[_\-. (]*\d+\)?", s)))
    common = [f"{word}*" for word, number in numbered.items() if number > 1] or common
    for word in sorted(MASK_WORDS) if together and not common else ():
        if 2 * sum(any(_begins(s, word) for s in masks) for _, masks in places) > len(places):
            common = [f"{word}*"]
    found: list[_Naming] = []
    for mask_name in common:
        rest = [[s for s in images if not together or shared_name(s, mask_name) is None] for images, _ in places]
        called = [s for s, n in image_counts.items() if n > most and not (together and s in common)]
        called.sort(key=lambda s: (not words_in(s) & IMAGE_WORDS, bool(words_in(s) & (DERIVED_WORDS | MASK_WORDS))))
        image_name = NAME if all(len(images) == 1 for images in rest) else called[0] if called else None
        if image_name is None or (image_name == NAME and NAME in mask_name):
            continue
        pairs = [
            int(any(shared_name(s, image_name) is not None for s in images) and bool(masks_of(masks, mask_name)))
            for images, (_, masks) in zip(rest, places, strict=True)
        ]
        found.append((image_name, mask_name, pairs))
    return sorted(found, key=lambda naming: (-sum(naming[2]), bool(words_in(naming[1]) & DERIVED_WORDS)))


def _words_of(template: str) -> set[str]:
    return words_in(template.replace(NAME, " "))


def masks_of(stems: Sequence[str], template: str) -> list[str]:
    """Those that are called by a template."""
    return [stem for stem in stems if shared_name(stem, template) is not None]


def _begins(stem: str, word: str) -> bool:
    return re.fullmatch(rf"{word}([_\-. (]*\d.*)", stem, re.IGNORECASE) is not None and stem.startswith(word)


def _templates(stems: Sequence[str], words: set[str], together: bool, everything: bool) -> list[str]:
    """`{name}`, and what of a known word stands before or after it; in folders of their own any word that all have.

    everything: also what of no known word stands after several.
    """
    counts: Counter[str] = Counter()
    for name in stems:
        for words_before in BEFORE:
            if before := re.match(words_before, name):
                counts[before[0] + NAME] += 1
        for words_after in AFTER:
            if after := re.search(words_after, name):
                counts[NAME + after[0]] += 1
    known = {
        template
        for template, count in counts.items()
        if _words_of(template) & words
        or (not together and count == len(stems))
        or template in (NAME + "_0000", f"{NAME}_{SPLIT_PLACE}", f"{NAME}-{SPLIT_PLACE}")
        or (
            everything
            and template.startswith(NAME)
            and count > 1
            and 4 * count >= len(stems) ** 0.5
            and not _words_of(template) & DERIVED_WORDS
        )
    }
    # those that no other one says more of come last
    return [NAME, *sorted(known)]
