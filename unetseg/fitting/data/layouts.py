"""Where the images and the masks of a folder lie and how they are called: finding that out, and pairing by it."""

from __future__ import annotations

import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ...formats import looks_like_dicom
from ..recipe import FOLDER_PLACE, SPLIT_PLACE, SPLITS, Split

VOLUMES = {".nii", ".nii.gz", ".nrrd", ".mha", ".dcm"}
"""Endings of what may hold several slices; a DICOM series is a folder."""
RASTERS = {".tif", ".tiff"}
SUFFIXES = {".png", ".jpg", ".jpeg", ".jfif", ".bmp", ".gif", ".webp", ".pgm", ".ppm", *RASTERS, *VOLUMES}
OTHER_PICTURES = {
    ".npy", ".npz", ".mat", ".h5", ".gz", ".mhd", ".nhdr", ".heic", ".heif", ".avif", ".jp2", ".tga", ".psd", ".exr",
    ".svs", ".czi", ".svg",
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
AFTER = (
    r"(?<=.)[_\-. ][A-Za-z][A-Za-z0-9]*$",
    r"(?<=.)([_\-. ][A-Za-z][A-Za-z0-9]*){2}$",  # _gtFine_labelIds of Cityscapes
    r"(?<=.)_0000$",  # nnU-Net's first channel
)
"""What may stand after the name that files share."""
CAMEL_CASE = r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])"
DEPTH = 3
"""How many folders deep pictures are looked for."""
LOOKED_AT = 4
"""So many files of a folder, if none is called .dcm, tell whether it is a DICOM series."""


@dataclass(frozen=True)
class Place:
    """A folder of images and that of their masks; `inside` is what stands for `{folder}` in both."""

    split: Split | None
    images: str
    masks: str
    inside: str = ""


@dataclass(frozen=True)
class Layout:
    """Where images and masks lie in a folder and how they are called; the fields are those of `[data]`."""

    images: str
    masks: str
    image_name: str = "{name}"
    mask_name: str = "{name}"
    split_folders: Mapping[Split, str] | None = None

    def by_split(self) -> list[Place]:
        """The folder of images and that of masks, for each split that has its own; `{folder}` still stands in them."""
        if self.split_folders is None:
            return [Place(None, self.images, self.masks)]
        return [
            Place(split, self.images.replace(SPLIT_PLACE, name), self.masks.replace(SPLIT_PLACE, name))
            for split, name in sorted(self.split_folders.items(), key=lambda item: SPLITS.index(item[0]))
        ]

    def places(self, folder: Path) -> list[Place]:
        """All folders of images and of masks in a folder."""
        found = []
        for place in self.by_split():
            if FOLDER_PLACE not in place.images:
                found.append(place)
                continue
            above = folder / place.images.partition(FOLDER_PLACE)[0]
            for path in sorted(above.iterdir()) if above.is_dir() else []:
                images, masks = (text.replace(FOLDER_PLACE, path.name) for text in (place.images, place.masks))
                if (folder / images).is_dir() and not path.name.startswith("."):
                    found.append(Place(place.split, images, masks, _composed(path.name)))
        return found

    def expected_mask(self, name: str, split: Split | None, image: Path) -> str:
        """Where in the folder the mask of an image by this name is looked for."""
        inside, _, own = name.rpartition("/")
        masks = {place.split: place.masks for place in self.by_split()}[split].replace(FOLDER_PLACE, inside)
        ending = ".nii.gz" if is_volume(image) else ".png"
        return PurePosixPath(masks, self.mask_name.replace(NAME, own) + ending).as_posix()

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
    for place in layout.places(folder):
        images: dict[str, Path] = {}
        masks: dict[str, Path] = {}
        for found, where, name_of in (
            (images, place.images, layout.image_of),
            (masks, place.masks, layout.mask_of),
        ):
            for path in pictures_in(folder / where):
                name = name_of(path)
                if name is None:
                    continue
                name = f"{place.inside}/{name}" if place.inside else name
                if name in found:
                    twice.append((found[name], path))
                else:
                    found[name] = path
        pairs += [Pair(name, place.split, path, masks[name]) for name, path in images.items() if name in masks]
        lone += [Lone(name, place.split, path) for name, path in images.items() if name not in masks]
        alone += [path for name, path in masks.items() if name not in images]
    return Pairing(tuple(pairs), tuple(lone), tuple(alone), tuple(twice))


def pictures_in(folder: Path) -> list[Path]:
    """The picture files and the DICOM series of a folder, sorted; none where there is no such folder."""
    if not folder.is_dir():
        return []
    there = (path for path in folder.iterdir() if not path.name.startswith("."))
    return sorted(p for p in there if (is_series(p) if p.is_dir() else ending(p) in SUFFIXES))


def is_series(folder: Path) -> bool:
    """Whether a folder is a DICOM series (or segmentation): it holds DICOM files, and isn't called `images` or so."""
    words = _words(folder.name) & (IMAGE_WORDS | MASK_WORDS) and not re.search(r"\d", folder.name)
    if words or folder.name.lower().rstrip("0123456789") in SPLIT_WORDS:
        return False
    files = [path for path in folder.iterdir() if not path.name.startswith(".")]
    return any(ending(path) == ".dcm" for path in files) or any(map(_is_dicom, files[:LOOKED_AT]))


def _is_dicom(path: Path) -> bool:
    if ending(path) in SUFFIXES | OTHER_PICTURES or not path.is_file():
        return False
    with path.open("rb") as file:
        return looks_like_dicom(file.read(132))


def is_volume(path: Path) -> bool:
    """Whether an image or a mask may have several slices, by its name alone, or as the folder of a series."""
    return ending(path) in VOLUMES or path.is_dir()


def ending(path: Path) -> str:
    """The file's ending in small letters; `.nii.gz` is one."""
    return ".nii.gz" if path.name.lower().endswith(".nii.gz") else path.suffix.lower()


def without_ending(path: Path) -> str:
    """The file's name without its ending; a name that ends otherwise, as a series' may (`1.2.840.7`), as it is."""
    return path.name[: -len(ending(path))] if ending(path) in SUFFIXES else path.name


def stem(path: Path) -> str:
    """The file's name without its ending, accents as one character each."""
    return _composed(without_ending(path))


def _composed(name: str) -> str:
    """A name as most systems write it; a Mac takes a letter and a mark for an accent."""
    return unicodedata.normalize("NFC", name)


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
        places = [place for split, word in words.items() for place in _places(images, masks, split, word, stems)]
        named = [(stems[place.images], stems[place.masks]) for place in places]
        image_name, mask_name, pairs = _names(named, together=images == masks)
        of_split: Counter[Split | None] = Counter()
        for place, number in zip(places, pairs, strict=True):
            of_split[place.split] += number
            pairs_of[place.masks] = max(number, pairs_of.get(place.masks, 0))
        if sum(pairs) > most:
            # a split without a single mask can't be learnt from or scored
            folders = {s: w for s, w in words.items() if s is not None and (of_split[s] or s == "train")}
            best, most = Layout(images, masks, image_name, mask_name, folders or None), sum(pairs)
    assert best is not None  # there is a folder of pictures, hence a candidate
    used = {PurePosixPath(name) for place in best.places(folder) for name in (place.images, place.masks)}
    # the slices of a series are no pictures of their own
    series = {p for p in map(PurePosixPath, stems) if p.parent in used and is_series(folder / p)}
    aside = tuple(name for name in stems if PurePosixPath(name) not in used | series)
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
        unread.update(e for file in files if (e := ending(Path(file))) in OTHER_PICTURES and file[0] != ".")
        if stems := [stem(picture) for picture in pictures_in(Path(path))]:
            found[here.as_posix()] = stems
    return found, unread


def _candidates(names: Iterable[str]) -> Iterator[tuple[str, str, dict[Split | None, str]]]:
    """Folder of images, folder of masks, and what stands for `{split}` in both (None: nothing)."""
    by_template: dict[str, dict[Split | None, str]] = {}
    for name in names:
        template, split, word = _split_place(name)
        by_template.setdefault(template, {}).setdefault(split, word)
    for templates in (by_template, _with_folders(by_template)):
        yield from _paired(templates)


def _paired(by_template: dict[str, dict[Split | None, str]]) -> Iterator[tuple[str, str, dict[Split | None, str]]]:
    by_template = dict(by_template)
    for template, words in list(by_template.items()):
        if None not in words and "train" not in words:  # a folder that is just called test
            del by_template[template]
            by_template |= {_put(template, word): {None: ""} for word in words.values()}
    masks = [template for template in by_template if _is_for_masks(template)]
    images = [template for template in by_template if template not in masks]
    parts = {template: set(template.split("/")) for template in by_template}
    for one in images or masks:
        # with many folders only those that are called most alike
        apart = {other: len(parts[one] ^ parts[other]) for other in masks}
        nearest = min(apart.values(), default=0)
        for other in (*(mask for mask in masks if apart[mask] == nearest), one):
            words = {s: w for s, w in by_template[one].items() if by_template[other].get(s) == w}
            if None in words or "train" in words:
                yield one, other, words


def _with_folders(by_template: Mapping[str, Mapping[Split | None, str]]) -> dict[str, dict[Split | None, str]]:
    """Templates with `{folder}` for a part by which several others differ, and what stands for `{split}` in them."""
    members: dict[str, list[Mapping[Split | None, str]]] = {}
    for template, words in by_template.items():
        parts = template.split("/")
        for i, part in enumerate(parts):
            if part != "." and SPLIT_PLACE not in part and not _words(part) & (MASK_WORDS | IMAGE_WORDS):
                members.setdefault("/".join([*parts[:i], FOLDER_PLACE, *parts[i + 1 :]]), []).append(words)
    return {
        name: {s: w for words in several for s, w in words.items()}
        for name, several in members.items()
        if len(several) > 1
    }


def _places(images: str, masks: str, split: Split | None, word: str, names: Iterable[str]) -> Iterator[Place]:
    """The folders among these names that templates stand for, with a word for `{split}`."""
    images, masks = _put(images, word), _put(masks, word)
    if FOLDER_PLACE not in images:
        yield Place(split, images, masks)
        return
    before, after = images.split(FOLDER_PLACE)
    there = set(names)
    for name in names:
        inside = name[len(before) : len(name) - len(after)]
        other = masks.replace(FOLDER_PLACE, inside)
        if inside and "/" not in inside and name == f"{before}{inside}{after}" and other in there:
            yield Place(split, name, other, inside)


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
        for words_after in AFTER:
            if after := re.search(words_after, name):
                counts[NAME + after[0]] += 1
    known = {
        template
        for template, count in counts.items()
        if set(re.findall("[a-z]+", template.replace(NAME, " ").lower())) & words
        or (not together and count == len(stems))
    }
    return [NAME, *sorted(known)]
