"""Where the images and the masks of a folder lie and how they are called: finding that out, and pairing by it."""

from __future__ import annotations

import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from .recipe import SPLIT_PLACE, SPLITS, Split

SUFFIXES = {".png", ".jpg", ".jpeg", ".jfif", ".tif", ".tiff", ".bmp", ".gif", ".webp", ".pgm", ".ppm"}
OTHER_PICTURES = {
    ".npy", ".npz", ".mat", ".h5", ".nii", ".gz", ".nrrd", ".mha", ".dcm", ".heic", ".heif", ".avif", ".jp2", ".tga",
    ".psd", ".exr", ".svs", ".czi", ".svg",
}  # fmt: skip
"""Pictures and arrays that are not read, but named where they seem to be meant."""
NAME = "{name}"
IMAGE_WORDS = {
    "image", "images", "img", "imgs", "picture", "pictures", "photo", "photos", "input", "inputs", "rgb", "sat",
    "jpegimages", "scan", "scans", "slice", "slices",
}  # fmt: skip
MASK_WORDS = {
    "mask", "masks", "label", "labels", "labelids", "annotation", "annotations", "annot", "seg", "segs",
    "segmentation", "segmentations", "segmentationclass", "gt", "groundtruth", "truth", "target", "targets", "ann",
    "anno", "labeled", "manual", "binary",
}  # fmt: skip
OBJECT_WORDS = {"object", "objects", "instance", "instances"}
"""Folders so called number the objects that the masks beside them show by class."""
SPLIT_WORDS: dict[str, Split] = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "dev": "val",
    "test": "test", "testing": "test",
}  # fmt: skip
CAMEL_CASE = r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])"
DEPTH = 3
"""How many folders deep pictures are looked for."""


@dataclass(frozen=True)
class Layout:
    """Where images and masks lie in a folder and how they are called; the fields are those of `[data]`."""

    images: str
    masks: str
    image_name: str = "{name}"
    mask_name: str = "{name}"
    split_folders: Mapping[Split, str] | None = None

    def places(self) -> list[tuple[Split | None, str, str]]:
        """The folder of images and that of masks, for each split that has its own."""
        if self.split_folders is None:
            return [(None, self.images, self.masks)]
        return [
            (split, self.images.replace(SPLIT_PLACE, name), self.masks.replace(SPLIT_PLACE, name))
            for split, name in sorted(self.split_folders.items(), key=lambda item: SPLITS.index(item[0]))
        ]

    def image_of(self, path: Path) -> str | None:
        """The name that an image shares with its mask; None for a file that is no image (a mask beside images)."""
        name = shared_name(stem(path), self.image_name)
        return None if self.images == self.masks and self.mask_of(path) is not None else name

    def mask_of(self, path: Path) -> str | None:
        """The name that a mask shares with its image; None for a file that is no mask."""
        return shared_name(stem(path), self.mask_name)


@dataclass(frozen=True)
class Lone:
    """An image without a mask, by its name, and the split whose folder it lies in."""

    name: str
    split: Split | None
    image: Path


@dataclass(frozen=True)
class Pair(Lone):
    """An image and its mask, by the name that they share, and the split whose folder they lie in."""

    mask: Path


@dataclass(frozen=True)
class Pairing:
    """The pictures of a folder by name.

    masks: those without an image. twice: two files of one name each, of which the first is used.
    """

    pairs: tuple[Pair, ...]
    lone: tuple[Lone, ...]
    masks: tuple[Path, ...]
    twice: tuple[tuple[Path, Path], ...]


def pair(folder: Path, layout: Layout) -> Pairing:
    """Pair images with masks; what has no partner, or a namesake, is told apart."""
    pairs, lone, alone, twice = [], [], [], []
    for split, *places in layout.places():
        images: dict[str, Path] = {}
        masks: dict[str, Path] = {}
        for found, place, name_of in zip((images, masks), places, (layout.image_of, layout.mask_of), strict=True):
            for path in pictures_in(folder / place):
                name = name_of(path)
                if name in found:
                    twice.append((found[name], path))
                elif name is not None:
                    found[name] = path
        pairs += [Pair(name, split, path, masks[name]) for name, path in images.items() if name in masks]
        lone += [Lone(name, split, path) for name, path in images.items() if name not in masks]
        alone += [path for name, path in masks.items() if name not in images]
    return Pairing(tuple(pairs), tuple(lone), tuple(alone), tuple(twice))


def pictures_in(folder: Path) -> list[Path]:
    """The picture files of a folder, sorted; none where there is no such folder."""
    if not folder.is_dir():
        return []
    return sorted(
        p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and not p.name.startswith(".") and not p.is_dir()
    )


def stem(path: Path) -> str:
    """The file's name without its ending; accents as one character each, where a Mac takes a letter and a mark."""
    return unicodedata.normalize("NFC", path.stem)


def shared_name(stem: str, template: str) -> str | None:
    """What stands for `{name}` in a stem, or None where the template doesn't fit."""
    before, after = template.split("{name}")
    fits = stem.startswith(before) and stem.endswith(after) and len(stem) > len(before) + len(after)
    return stem[len(before) : len(stem) - len(after)] if fits else None


@dataclass(frozen=True)
class Found:
    """A layout that a folder seems to have, and what it leaves aside.

    paired: whether any image has a mask by it. aside: folders of pictures that are no part of it. rivals: those of
    them that hold masks for other images, or other masks for the same ones, and how many pairs they would make.
    unread: how many files of each ending there are whose pictures are not read.
    """

    layout: Layout
    paired: bool
    aside: tuple[str, ...]
    rivals: Mapping[str, int]
    unread: Mapping[str, int]


def find_layout(folder: Path) -> Found:
    """The layout by which most images of a folder find a mask, judged by names alone.

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
    best, most = None, -1
    pairs_of: dict[str, int] = {}  # by folder of masks
    for images, masks, words in _candidates(stems):
        split_folders = {split: word for split, word in words.items() if split is not None}
        places = [(stems[_put(images, word)], stems[_put(masks, word)]) for word in words.values()]
        image_name, mask_name, pairs = _names(places, together=images == masks)
        # a split without a single mask can't be learnt from or scored
        split_folders = {s: w for (s, w), n in zip(split_folders.items(), pairs, strict=False) if n or s == "train"}
        for word, number in zip(words.values(), pairs, strict=True):
            place = _put(masks, word)
            pairs_of[place] = max(number, pairs_of.get(place, 0))
        if sum(pairs) > most:
            best, most = Layout(images, masks, image_name, mask_name, split_folders or None), sum(pairs)
    assert best is not None  # there is a folder of pictures, hence a candidate
    used = {PurePosixPath(place) for _, *places in best.places() for place in places}
    aside = tuple(name for name in stems if PurePosixPath(name) not in used)
    rivals = {name: n for name in aside if (n := pairs_of.get(name, 0)) and not _words(name) & OBJECT_WORDS}
    return Found(best, most > 0, aside, rivals, unread)


def listed(unread: Mapping[str, int]) -> str:
    """`12 .npy and 3 .heic`."""
    return " and ".join(f"{number:,} {ending}" for ending, number in unread.items())


def _stems_by_folder(folder: Path) -> tuple[dict[str, list[str]], Counter[str]]:
    found: dict[str, list[str]] = {}
    unread: Counter[str] = Counter()
    for path, folders, files in os.walk(folder, followlinks=True):  # DEPTH bounds links that lead in a circle
        here = Path(path).relative_to(folder)
        folders[:] = sorted(f for f in folders if not f.startswith(".")) if len(here.parts) < DEPTH else []
        unread.update(e for file in files if (e := Path(file).suffix.lower()) in OTHER_PICTURES and file[0] != ".")
        if stems := [stem(picture) for picture in pictures_in(Path(path))]:
            found[here.as_posix()] = stems
    return found, unread


def _candidates(names: Iterable[str]) -> Iterator[tuple[str, str, dict[Split | None, str]]]:
    """Folder of images, folder of masks, and what stands for `{split}` in both (None: nothing)."""
    by_template: dict[str, dict[Split | None, str]] = {}
    for name in names:
        template, split, word = _split_place(name)
        by_template.setdefault(template, {}).setdefault(split, word)
    for template, words in list(by_template.items()):
        if None not in words and "train" not in words:  # a folder that is just called test
            del by_template[template]
            by_template |= {_put(template, word): {None: ""} for word in words.values()}
    masks = [template for template in by_template if _is_for_masks(template)]
    images = [template for template in by_template if template not in masks]
    for one in images or masks:
        for other in (*masks, one):
            words = {s: w for s, w in by_template[one].items() if by_template[other].get(s) == w}
            if None in words or "train" in words:
                yield one, other, words


def _tokens(text: str) -> list[str]:
    """Words and what stands between them, in turn."""
    return re.split(r"([/_\-. ]+)", text)


def _is_for_masks(template: str) -> bool:
    """Whether a folder is called as one of masks; the innermost telling name counts, `segmentation/images` is none."""
    for part in reversed(template.split("/")):
        words = _words(part)
        if words & (MASK_WORDS | IMAGE_WORDS):
            return bool(words & MASK_WORDS)
    return False


def _words(text: str) -> set[str]:
    return {word.lower() for token in _tokens(text) for word in (token, *re.findall(CAMEL_CASE, token))}


def _split_place(name: str) -> tuple[str, Split | None, str]:
    tokens = _tokens(name)
    for i, token in reversed(list(enumerate(tokens))):  # of training_data/val the last counts
        word = token.lower().rstrip("0123456789")  # train2017
        if word in SPLIT_WORDS:
            return "".join([*tokens[:i], SPLIT_PLACE, *tokens[i + 1 :]]), SPLIT_WORDS[word], token
    return name, None, ""


def _put(template: str, word: str) -> str:
    return template.replace(SPLIT_PLACE, word)


def _names(places: Sequence[tuple[list[str], list[str]]], together: bool) -> tuple[str, str, list[int]]:
    """How files are called when most of them pair: templates of images and masks, and the pairs in each place."""
    image_names = _templates([stem for images, _ in places for stem in images], IMAGE_WORDS, together)
    mask_names = _templates([stem for _, masks in places for stem in masks], MASK_WORDS, together)
    best = NAME, NAME + "_mask" if together else NAME, [0] * len(places)
    for mask_name in mask_names:
        for image_name in image_names:
            if together and image_name == mask_name:
                continue
            pairs = []
            for images, masks in places:
                named = {name for stem in masks if (name := shared_name(stem, mask_name))}
                left = [s for s in images if not (together and shared_name(s, mask_name))]
                pairs.append(len(named & {shared_name(stem, image_name) for stem in left}))
            if sum(pairs) > sum(best[2]):
                best = image_name, mask_name, pairs
    return best


def _templates(stems: Sequence[str], words: set[str], together: bool) -> list[str]:
    """`{name}`, and what of a known word stands before or after it; in folders of their own any word that all have."""
    counts: Counter[str] = Counter()
    for name in stems:
        if before := re.match(r"([A-Za-z]+)[_\-. ]*(?=.)", name):
            counts[before[0] + NAME] += 1
        if after := re.search(r"(?<=.)[_\-. ]([A-Za-z]+[0-9]?|0000)$", name):  # 0000: nnU-Net's first channel
            counts[NAME + after[0]] += 1
    known = {
        template
        for template, count in counts.items()
        if set(re.findall("[a-z]+", template.replace(NAME, " ").lower())) & words
        or (not together and count == len(stems))
    }
    return [NAME, *sorted(known)]
