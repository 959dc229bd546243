"""How the files of images and masks are called when they pair, by the names of many."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from ..recipe import NAME, SPLIT_PLACE
from .layouts import IMAGE_WORDS, MASK_WORDS, OBJECT_WORDS, shared_name, unpadded, words_in

DERIVED_WORDS = {
    *OBJECT_WORDS, "panoptic", "viz", "vis", "visual", "visualization", "visualisation", "overlay", "overlays",
    "overlaid", "preview", "previews", "thumbnail", "thumbnails", "color", "colors", "colour", "colours", "colored",
    "coloured", "palette", "edge", "edges", "contour", "contours", "boundary", "boundaries", "blend", "blended",
    "superpixels",
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
    r"(?<=.)([_\-. ][A-Za-z][A-Za-z0-9]*){3}$",  # _instance_color_RGB of iSAID
    r"(?<=.)_0000$",  # nnU-Net's first channel
    r"(?<=.)[_\-. ]\{split\}([_\-. ][A-Za-z]+)?$",  # _training_mask of DRIVE
)
"""What may stand after the name that files share."""

HALF_OF = re.compile(r"[^{]*[_\-. ]\{name\}")
"""What half of the files in a folder are called by, `volume-1` beside `segmentation-1`, may be the images."""

Naming = tuple[str | tuple[str, ...], str, list[int]]
"""How images and masks are called, and how many pairs that makes in each place."""


def names_of(places: Sequence[tuple[Sequence[str], Sequence[str]]], together: bool) -> list[Naming]:
    """How files are called when they pair, by the best for each way of calling masks, the best first."""
    images = [stem for stems, _ in places for stem in stems]
    masks = [stem for _, stems in places for stem in stems]
    image_names = [
        template
        for template in _templates(images, IMAGE_WORDS, together, everything=True)
        if not words_of(template) & (MASK_WORDS | FIELD_WORDS)
    ]
    image_names.sort(key=lambda template: template != NAME and not words_of(template) & IMAGE_WORDS)
    for everything in (False, True):  # masks without a known word only where nothing else pairs
        found: list[Naming] = []
        for mask_name in _templates(masks, MASK_WORDS | FIELD_WORDS, together, everything):
            if together and everything and words_of(mask_name) & IMAGE_WORDS:
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
                    if not everything and differ(way[0], first) and not words_of(way[0]) & DERIVED_WORDS
                ]
                for image_name, pairs in [(first, most), *(way for way in others if 2 * sum(way[1]) >= sum(most))]:
                    starred = _starred(image_name, mask_name, images, masks)
                    found.append((_channels(image_name, images), starred, pairs))
        if found:
            return sorted(found, key=lambda naming: -sum(naming[2]))
    return _numbered(places) if not together else []


def differ(one: str, other: str) -> bool:
    """Whether two templates can't be those of the same file."""
    (start, end), (other_start, other_end) = one.split(NAME), other.split(NAME)
    starts_alike = start.startswith(other_start) or other_start.startswith(start)
    return not (starts_alike and (end.endswith(other_end) or other_end.endswith(end)))


def _common(images: Sequence[str], masks: Sequence[str], image_name: str, mask_name: str, together: bool) -> int:
    """How many names images and masks share."""
    named = {unpadded(name) for stem in masks if (name := shared_name(stem, mask_name))}
    left = (s for s in images if not (together and shared_name(s, mask_name)))
    return len(named & {unpadded(name) for stem in left if (name := shared_name(stem, image_name))})


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


def _numbered(places: Sequence[tuple[Sequence[str], Sequence[str]]]) -> list[Naming]:
    """Masks of single objects: `a_1`, `a_2` for `a`."""
    pairs = []
    for images, masks in places:
        names = set(images)
        pairs.append(len({m[1] for stem in masks if (m := re.fullmatch(r"(.+)[_\-. ]\d+", stem)) and m[1] in names}))
    return [(NAME, NAME + "_*", pairs)] if 2 * sum(pairs) > sum(len(images) for images, _ in places) else []


def names_in_folders(places: Sequence[tuple[Sequence[str], Sequence[str]]], together: bool) -> list[Naming]:
    """How files are called where each picture has a folder: `image` and `mask`, or all masks of a folder."""
    image_counts = Counter(stem for images, _ in places for stem in images)
    mask_counts = Counter(stem for _, masks in places for stem in masks)
    most = len(places) / 2
    common = [s for s, n in mask_counts.items() if n > most and (not together or words_in(s) & MASK_WORDS)]
    if (common and not together) or (together and not common):
        # image, cup and disc: masks of a class each, which may be rare
        named = [s for s, n in mask_counts.items() if n > 1 and not words_in(s) & (IMAGE_WORDS | DERIVED_WORDS)]
        common += [s for s in named if s not in common]
    if not together and not common:
        common = ["*"]
    numbered = Counter(match[1] for s in common if (match := re.fullmatch(r"(.+?)[_\-. (]*\d+\)?", s)))
    common = [f"{word}*" for word, number in numbered.items() if number > 1] or common
    for word in sorted(MASK_WORDS) if together and not common else ():
        if 2 * sum(any(_begins(s, word) for s in masks) for _, masks in places) > len(places):
            common = [f"{word}*"]
    found: list[Naming] = []
    for mask_name in common:
        rest = [[s for s in images if not together or shared_name(s, mask_name) is None] for images, _ in places]
        called = [s for s, n in image_counts.items() if n > most and not (together and s == mask_name)]
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


def words_of(template: str) -> set[str]:
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
        if words_of(template) & words
        or (not together and count == len(stems))
        or (together and everything and HALF_OF.fullmatch(template) and 0.4 <= count / len(stems) <= 0.6)
        or template in (NAME + "_0000", f"{NAME}_{SPLIT_PLACE}", f"{NAME}-{SPLIT_PLACE}")
        or (
            everything
            and template.startswith(NAME)
            and count > 1
            and 4 * count >= len(stems) ** 0.5
            and not words_of(template) & DERIVED_WORDS
        )
    }
    # those that no other one says more of come last
    return [NAME, *sorted(known)]
