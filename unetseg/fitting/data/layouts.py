"""Where the images and the masks of a folder lie, how they are called, and pairing them by that."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from ...formats import looks_like_dicom
from ...formats.annotations import Kind, Problem
from ..recipe import CHANNEL_PLACE, CLASS_PLACE, FOLDER_PLACE, NAME, SPLIT_PLACE, SPLITS, Data, Split
from .drawing import Drawing

VOLUMES = {".nii", ".nii.gz", ".nrrd", ".mha", ".dcm"}
"""Endings of what may hold several slices; a DICOM series is a folder."""
RASTERS, JPEGS = {".tif", ".tiff"}, {".jpg", ".jpeg", ".jfif"}
SUFFIXES = {*JPEGS, ".png", ".bmp", ".gif", ".webp", ".pgm", ".ppm", *RASTERS, *VOLUMES}
OTHER_PICTURES = {
    ".npy", ".npz", ".mat", ".h5", ".gz", ".mhd", ".nhdr", ".heic", ".heif", ".avif", ".jp2", ".tga", ".psd", ".exr",
    ".svs", ".czi", ".svg",
}  # fmt: skip
"""Pictures and arrays that are not read, but named where they seem to be meant."""
IMAGE_WORDS = {
    "image", "images", "img", "imgs", "picture", "pictures", "photo", "photos", "input", "inputs", "rgb", "sat",
    "jpegimages", "scan", "scans", "slice", "slices", "original", "originals",
}  # fmt: skip
MASK_WORDS = {
    "mask", "masks", "label", "labels", "labelids", "annotation", "annotations", "annot", "seg", "segs",
    "segmentation", "segmentations", "segmentationclass", "gt", "groundtruth", "truth", "target", "targets", "ann",
    "anno", "annos", "annots", "labeled", "labelled", "manual", "binary", "gts", "gtfine", "lbl", "lbls", "msk", "msks",
    "segm", "matte", "mattes", "trimap", "trimaps", "labelmap", "labelmaps", "labeltrainids", "trainids", "silhouette",
    "silhouettes", "groundtruths", "semantic", "parsing",
}  # fmt: skip
OBJECT_WORDS = {"object", "objects", "instance", "instances"}
"""Folders so called number the objects that the masks beside them show by class."""
SPLIT_WORDS: dict[str, Split] = {
    "train": "train", "training": "train", "trainval": "train", "val": "val", "valid": "val", "validation": "val",
    "dev": "val", "test": "test", "testing": "test",
}  # fmt: skip
CAMEL_CASE = r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])"
LOOKED_AT = 4
"""So many files of a folder, if none is called .dcm, tell whether it is a DICOM series."""


@dataclass(frozen=True)
class Place:
    """A folder of images and that of their masks; `inside` is what stands for `{folder}` in both.

    word, mask_word: what stands for `{split}` in images and in masks. `{channel}` and `{class}` still stand there.
    parts: where `{folder}` stands in masks alone, these folders together hold the masks.
    """

    split: Split | None
    images: str
    masks: str
    inside: str = ""
    word: str = ""
    mask_word: str = ""
    parts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Layout:
    """Where images and masks lie in a folder and how they are called; the fields are those of `[data]`."""

    images: str
    masks: str
    image_name: str | tuple[str, ...] = NAME
    mask_name: str = NAME
    split_folders: Mapping[Split, str] | None = None
    class_masks: tuple[str, ...] = ()
    annotations: Kind | None = None
    label_by: str | None = None
    mask_split_folders: Mapping[Split, str] | None = None
    channels: tuple[str, ...] = ()

    @classmethod
    def of(cls, data: Data) -> Layout:
        """That of a recipe; it has channels where each is a file of its own by `{channel}`."""
        by_channel = CHANNEL_PLACE in f"{data.images} {data.image_name}"
        return cls(
            data.images,
            data.masks,
            data.image_name,
            data.mask_name,
            data.split_folders,
            data.class_masks,
            data.annotations,
            data.label_by,
            data.mask_split_folders,
            data.channels if by_channel else (),
        )

    @property
    def image_names(self) -> tuple[str, ...]:
        """How the files of an image are called, one for each that its channels come from."""
        if not isinstance(self.image_name, str):
            return self.image_name
        return tuple(self.image_name.replace(CHANNEL_PLACE, channel) for channel in self.channels or ("",))

    @property
    def by_folder(self) -> bool:
        """Whether a picture has a folder of its own, and is called as that."""
        return NAME not in self.mask_name or any(NAME not in template for template in self.image_names)

    def by_split(self) -> list[Place]:
        """The folder of images and that of masks, for each split that has its own; `{folder}` still stands in them."""
        if self.split_folders is None:
            return [Place(None, self.images, self.masks)]
        of_masks = self.mask_split_folders or self.split_folders
        return [
            Place(
                split,
                self.images.replace(SPLIT_PLACE, name),
                self.masks.replace(SPLIT_PLACE, of_masks[split]),
                word=name,
                mask_word=of_masks[split],
            )
            for split, name in sorted(self.split_folders.items(), key=lambda item: SPLITS.index(item[0]))
        ]

    def places(self, folder: Path) -> list[Place]:
        """All folders of images and of masks in a folder."""
        return [
            replace(
                place,
                images=filled(place.images, inside),
                masks=filled(place.masks, inside),
                inside=_composed(inside),
                parts=self._parts(folder, place),
            )
            for place in self.by_split()
            for inside in _insides(folder, self.image_folders(place)[0])
        ]

    def _parts(self, folder: Path, place: Place) -> tuple[str, ...]:
        if FOLDER_PLACE not in place.masks or FOLDER_PLACE in place.images:
            return ()
        there = place.masks.replace(CLASS_PLACE, self.class_masks[0] if self.class_masks else "")
        return tuple(filled(place.masks, inside) for inside in _insides(folder, there))

    def image_folders(self, place: Place) -> tuple[str, ...]:
        """The folder of images of a place for each of `image_names`."""
        return tuple(
            place.images.replace(CHANNEL_PLACE, channel) for channel in self.channels or ("",) * len(self.image_names)
        )

    def mask_folders(self, place: Place) -> tuple[str, ...]:
        """The folders of masks of a place: one for each class, or one, or of each its parts."""
        parts = place.parts or (place.masks,)
        return tuple(
            dict.fromkeys(part.replace(CLASS_PLACE, name) for name in self.class_masks or ("",) for part in parts)
        )

    def expected_mask(self, name: str, split: Split | None, image: Path) -> str:
        """Where in the folder the mask of an image by this name is looked for."""
        inside, _, own = (name, "", name) if self.by_folder else name.rpartition("/")
        place = {place.split: place for place in self.by_split()}[split]
        ending = ".nii.gz" if is_volume(image) else ".png"
        own = self.mask_name.replace(NAME, own).replace("*", "").replace(SPLIT_PLACE, place.mask_word)
        path = PurePosixPath(filled(place.masks, inside), (own or "mask") + ending).as_posix()
        return path.replace(CLASS_PLACE, self.class_masks[0] if self.class_masks else "")

    def image_of(self, path: Path, place: Place, number: int = 0) -> str | None:
        """The name that an image shares with its mask; None for a file that is no image (a mask beside images).

        number: which of the files of an image is meant, where its channels come from several.
        """
        name = shared_name(stem(path), self.image_names[number].replace(SPLIT_PLACE, place.word))
        masked = self.image_folders(place)[number] in self.mask_folders(place) and self.is_mask(path, place)
        return None if masked else name

    def is_mask(self, path: Path, place: Place) -> bool:
        """Whether a file is called as a mask."""
        return any(shared_name(stem(path), template) is not None for template in self.mask_templates(place))

    def mask_templates(self, place: Place) -> tuple[str, ...]:
        """How the masks of a place are called: by each class, or by one template."""
        template = self.mask_name.replace(SPLIT_PLACE, place.mask_word)
        return tuple(dict.fromkeys(template.replace(CLASS_PLACE, name) for name in self.class_masks or ("",)))


@dataclass(frozen=True)
class Lone:
    """An image without a mask, by its name, and the split whose folder it lies in.

    more_images: files whose channels come after those of `image`.
    """

    name: str
    split: Split | None
    image: Path
    more_images: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Pair(Lone):
    """An image and its mask, by the name that they share, and the split whose folder they lie in.

    more_masks: files that are laid over `mask`. mask_ids: what the pixels of each mask count as, where each shows one
    class; else they count as they are stored. drawing: where there is no mask but annotations, which `mask` then isn't
    the file of, but the image itself.
    """

    mask: Path = Path()
    more_masks: tuple[Path, ...] = ()
    mask_ids: tuple[int, ...] = ()
    drawing: Drawing | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class Pairing:
    """The pictures of a folder by name.

    masks: those without an image. twice: two files of one name each, of which the first is used. beside: pictures
    that are called as an image that has a mask, and more, as most of these have one (`a_depth` beside `a`).
    incomplete: images that lack some of the files of their channels, with what these are called.
    problems: what is wrong with annotations.
    """

    pairs: tuple[Pair, ...]
    lone: tuple[Lone, ...]
    masks: tuple[Path, ...]
    twice: tuple[tuple[Path, Path], ...]
    beside: tuple[Path, ...] = ()
    incomplete: tuple[tuple[Lone, str], ...] = ()
    problems: tuple[Problem, ...] = ()


def pair(folder: Path, layout: Layout) -> Pairing:
    """Pair images with masks; what has no partner, or a namesake, is told apart."""
    pairs: list[Pair] = []
    lone: list[Lone] = []
    alone: list[Path] = []
    twice: list[tuple[Path, Path]] = []
    incomplete: list[tuple[Lone, str]] = []
    for place in layout.places(folder):

        def full(name: str, inside: str = place.inside) -> str:
            return inside if layout.by_folder else f"{inside}/{name}" if inside else name

        images: dict[str, dict[int, Path]] = {}
        for number, where in enumerate(layout.image_folders(place)):
            for path in pictures_in(folder / where):
                if (name := layout.image_of(path, place, number)) is None:
                    continue
                files = images.setdefault(full(name), {})
                if number in files:
                    twice.append((files[number], path))
                files.setdefault(number, path)
        own = {name.removeprefix(f"{place.inside}/"): name for name in images}
        numbers = {unpadded(name): name for name in own}
        masks: dict[str, list[tuple[Path, int]]] = {}
        for number, where, template in _mask_sources(layout, place):
            for path in pictures_in(folder / where):
                if (name := shared_name(stem(path), template, own)) is None:
                    continue
                name = name if name in own else numbers.get(unpadded(name), name)
                files_of_name = masks.setdefault(full(name), [])
                before = [other for other, n in files_of_name if n == number]
                if before and "*" not in template:
                    twice.append((before[0], path))
                else:
                    files_of_name.append((path, number))
        for name, files in images.items():
            first, *more = (files[number] for number in sorted(files))
            one = Lone(name, place.split, first, tuple(more))
            if missing := [t for number, t in enumerate(layout.image_names) if number not in files]:
                incomplete.append((one, missing[0]))
            elif name not in masks:
                lone.append(one)
            else:
                mask, *more_masks = (path for path, _ in masks[name])
                ids = tuple(number for _, number in masks[name]) if layout.class_masks else ()
                pairs.append(Pair(name, place.split, first, tuple(more), mask, tuple(more_masks), ids))
        alone += [path for name, files_of_name in masks.items() if name not in images for path, _ in files_of_name]
    beside = _beside({one.name for one in pairs}, lone)
    return Pairing(
        tuple(pairs),
        tuple(one for one in lone if one.image not in beside),
        tuple(alone),
        tuple(twice),
        tuple(sorted(beside)),
        tuple(incomplete),
    )


def _mask_sources(layout: Layout, place: Place) -> list[tuple[int, str, str]]:
    """The number, the folder of masks and their template, of each class in turn, or once; of each its parts."""
    template = layout.mask_name.replace(SPLIT_PLACE, place.mask_word)
    return [
        (number, part.replace(CLASS_PLACE, name), template.replace(CLASS_PLACE, name))
        for number, name in enumerate(layout.class_masks or ("",), start=1)
        for part in place.parts or (place.masks,)
    ]


def _beside(paired: set[str], lone: Iterable[Lone]) -> set[Path]:
    """Of images without a mask those that go with an image that has one, as most of these have such a companion.

    So does what lies in most folders of such images under another name: the film of all frames, `patient1_4d`.
    """
    by_end: dict[str, list[Path]] = {}
    folders = {name.rpartition("/")[0] for name in paired} - {""}
    used = {_end(name) for name in paired}
    of_folder: dict[str, list[Path]] = {}
    for one in lone:
        for match in re.finditer(r"[_\-. ]", one.name):
            if one.name[: match.start()] in paired:
                by_end.setdefault(one.name[match.start() :], []).append(one.image)
        if one.name.rpartition("/")[0] in folders and _end(one.name) not in used:
            of_folder.setdefault(_end(one.name), []).append(one.image)
    few, many = len(folders), len(paired)
    with_image = (path for paths in by_end.values() if 2 * len(paths) >= many for path in paths)
    with_folder = (path for paths in of_folder.values() if 2 * len(paths) >= few for path in paths)
    return {*with_image, *with_folder}


def _end(name: str) -> str:
    """The last word of a name, of whatever number."""
    return re.sub(r"\d+", "0", re.split(r"[_\-. /]", name)[-1])


def _insides(folder: Path, template: str) -> Iterator[str]:
    """What may stand for each `{folder}` of a template in turn, as one path; "" where there is none."""
    found = [("", "")]  # what stands for {folder}, and the path so far
    for part in template.split("/"):
        if part != FOLDER_PLACE:
            found = [(i, f"{path}{part.replace(FOLDER_PLACE, i.rpartition('/')[2])}/") for i, path in found]
            continue
        found = [
            (f"{inside}/{below.name}".lstrip("/"), f"{path}{below.name}/")
            for inside, path in found
            if (folder / path).is_dir()
            for below in sorted((folder / path).iterdir())
            if below.is_dir() and not below.name.startswith(".")
        ]
    yield from (inside for inside, path in found if FOLDER_PLACE not in template or (folder / path).is_dir())


def filled(template: str, inside: str) -> str:
    """A template with the parts of a path for its `{folder}` in turn; within a longer name it repeats the last one."""
    last, left, parts = FOLDER_PLACE, inside.split("/") if inside else [], []
    for part in template.split("/"):
        if part == FOLDER_PLACE and left:
            last, *left = left
        parts.append(part.replace(FOLDER_PLACE, last))
    return "/".join(parts)


def pictures_in(folder: Path) -> list[Path]:
    """The picture files and the DICOM series of a folder, sorted; none where there is no such folder."""
    if not folder.is_dir():
        return []
    there = (path for path in folder.iterdir() if not path.name.startswith("."))
    return sorted(p for p in there if (is_series(p) if p.is_dir() else ending(p) in SUFFIXES))


def is_series(folder: Path) -> bool:
    """Whether a folder is a DICOM series (or segmentation): it holds DICOM files, and isn't called `images` or so."""
    words = words_in(folder.name) & (IMAGE_WORDS | MASK_WORDS) and not re.search(r"\d", folder.name)
    if words or folder.name.lower().rstrip("0123456789") in SPLIT_WORDS:
        return False
    files = [path for path in folder.iterdir() if not path.name.startswith(".")]
    return any(ending(path) == ".dcm" for path in files) or any(map(_is_dicom, files[:LOOKED_AT]))


def _is_dicom(path: Path) -> bool:
    if ending(path) in SUFFIXES | OTHER_PICTURES or not path.is_file():
        return False
    with path.open("rb") as file:
        return looks_like_dicom(file.read(132))


def words_in(text: str) -> set[str]:
    """The words of a name in small letters, as its signs, its capitals and its digits part them."""
    tokens = re.split(r"([/_\-. ]+)", text)
    return {word.lower() for token in tokens for word in (token, *re.findall(CAMEL_CASE, token))}


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


def unpadded(name: str) -> str:
    """A name that is a number without zeros before it: `7` and `00007` are one picture."""
    return name.lstrip("0") or "0" if name.isdigit() else name


def shared_name(stem: str, template: str, names: Iterable[str] = ()) -> str | None:
    """What stands for `{name}` in a stem, "" where the template has none, or None where it doesn't fit.

    names: those that it is one of, if any fits: `*` stands for anything, and of `a_1_2` leaves open where a name ends.
    """
    if "*" not in template and NAME in template:
        before, after = template.split(NAME)
        fits = stem.startswith(before) and stem.endswith(after) and len(stem) > len(before) + len(after)
        return stem[len(before) : len(stem) - len(after)] if fits else None
    before, _, after = template.partition(NAME)
    if NAME not in template:
        return "" if _like(before, stem) else None
    ends = (e for e in range(len(stem), len(before), -1) if _like(after, stem[e:])) if stem.startswith(before) else ()
    fitting = [stem[len(before) : end] for end in ends]
    known = (name for name in fitting if name in names)
    return next(known, fitting[-1] if fitting else None)


def _like(template: str, text: str) -> bool:
    return re.fullmatch(".*".join(map(re.escape, template.split("*"))), text, re.DOTALL) is not None
