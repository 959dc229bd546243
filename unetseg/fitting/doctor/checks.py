"""What may be wrong with the pairs of a folder: missing, unreadable, of two sizes, empty, twice there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..folder import Example, Split
from ..layouts import Found, Layout, pictures_in
from ..recipe import number_range
from .findings import Finding, counted, some
from .mask_values import Labels
from .picture_values import identical, look_alike
from .survey import ImageFacts, MaskFacts, Pair, Surveyed


def named(path: Path, folder: Path) -> str:
    """The path inside the folder."""
    return path.relative_to(folder).as_posix()


@dataclass(frozen=True)
class Lone:
    """An image without a mask, by its name, and the split whose folder it lies in."""

    name: str
    split: Split | None
    image: Path


def paired(folder: Path, found: Found) -> tuple[list[Pair], list[Lone], list[Finding]]:
    """The pairs of a folder by name, the images without a mask, and what is odd about the other files."""
    pairs, lone, masks_alone, twice = [], [], [], []
    for split, images_folder, masks_folder in found.layout.places():
        images: dict[str, Path] = {}
        masks: dict[str, Path] = {}
        for into, place, name_of in (
            (images, images_folder, found.layout.image_of),
            (masks, masks_folder, found.layout.mask_of),
        ):
            for path in pictures_in((folder / place).resolve()):
                name = name_of(path)
                if name is not None and into.setdefault(name, path) != path:
                    twice.append(named(path, folder))
        pairs += [Pair(name, split, images[name], masks[name]) for name in images if name in masks]
        lone += [Lone(name, split, path) for name, path in images.items() if name not in masks]
        masks_alone += [named(path, folder) for name, path in masks.items() if name not in images]
    findings = []
    if twice:
        findings.append(
            Finding(
                "question",
                f"{counted(len(twice), 'file')} with the name of another one, only the ending differs: {some(twice)}",
                "remove one of each",
                tuple(twice),
            )
        )
    if masks_alone:
        findings.append(
            Finding(
                "warning",
                f"{counted(len(masks_alone), 'mask')} without an image: {some(masks_alone)}",
                "they are not used; check the names",
                tuple(masks_alone),
            )
        )
    if found.aside:
        what = f"{counted(len(found.aside), 'folder')} with more pictures: {some(found.aside)}"
        findings.append(
            Finding("note", what, "they are not used, as no masks by these names belong to them", found.aside)
        )
    return pairs, lone, findings


def unmasked(lone: Sequence[Lone], pairs: int, found: Found, folder: Path) -> list[Finding]:
    """Images without a mask, beside so many pairs."""
    if not lone:
        return []
    names = tuple(named(image.image, folder) for image in lone)
    layout = found.layout if found.paired else Layout(found.layout.images, "masks")
    masks = {split: place for split, _, place in layout.places()}[lone[0].split]
    expected = f"{masks}/{layout.mask_name.replace('{name}', lone[0].name)}.png"
    what = (
        f"{counted(len(lone), 'image')} (of {pairs + len(lone):,}) without a mask" if pairs else "no image has a mask"
    )
    advice = f"add masks called accordingly ({expected}), all 0 for images that show none of the classes"
    return [
        Finding("question", f"{what}: {some(names)}", advice + (", or take these images out" if pairs else ""), names)
    ]


def unreadable(examined: Sequence[Surveyed], folder: Path) -> list[Finding]:
    """Files that can't be read, and masks that were saved as JPEG."""
    findings = []
    jpegs = [named(s.pair.mask, folder) for s in examined if isinstance(s.mask, str) and " is a JPEG" in s.mask]
    if jpegs:
        findings.append(
            Finding(
                "question",
                f"{counted(len(jpegs), 'mask')} saved as JPEG, which blurs the borders between labels: {some(jpegs)}",
                "export them again as PNG from where they were drawn; if the JPEG is all there is, save it as PNG "
                "and ask again: the in-between values are then shown and can be cut or ignored",
                tuple(jpegs),
            )
        )
    broken = {named(s.pair.image, folder): s.image for s in examined if isinstance(s.image, str)}
    broken |= {
        named(s.pair.mask, folder): s.mask for s in examined if isinstance(s.mask, str) and " is a JPEG" not in s.mask
    }
    if broken:
        reason = next(iter(broken.values())).partition(";")[0]
        findings.append(
            Finding(
                "question",
                f"{counted(len(broken), 'file')} not to be read: {some(tuple(broken))}: {reason}",
                "repair them, or remove them with their partners",
                tuple(broken),
            )
        )
    return findings


def unequal(examined: Sequence[Surveyed], folder: Path) -> list[Finding]:
    """Masks of another size than their image."""
    differ = [
        f"{named(s.pair.image, folder)} ({s.image.width} x {s.image.height}, mask {s.mask.width} x {s.mask.height})"
        for s in examined
        if isinstance(s.image, ImageFacts)
        and isinstance(s.mask, MaskFacts)
        and (s.image.height, s.image.width) != (s.mask.height, s.mask.width)
    ]
    if not differ:
        return []
    return [
        Finding(
            "question",
            f"{counted(len(differ), 'mask')} of another size than the image: {some(differ, 2)}",
            "save both at one size; masks are resized with nearest neighbour, never smoothed",
            tuple(differ),
        )
    ]


def names_of(mask: MaskFacts, labels: Labels) -> set[str]:
    """The labels that a mask holds, by the keys of `mask_values`."""
    found = set()
    for key, name in labels.values.items():
        if key.startswith("#"):
            here = int(key[1:], 16) in mask.pixels
        else:
            low, high = number_range(key)
            here = any(low <= (v if mask.channels == 1 else v & 255) <= high for v in mask.pixels)
        if here:
            found.add(name)
    return found


def empty(held: Mapping[str, set[str]], labels: Labels) -> list[Finding]:
    """Masks (by file name, with the labels they hold) that show no class."""
    nothing = [name for name, names in held.items() if not names & set(labels.classes)]
    if labels.background is None or not nothing:
        return []
    what = f"{counted(len(nothing), 'mask')} (of {len(held):,}) without any class: {some(nothing)}"
    if len(nothing) > 0.8 * len(held):
        return [Finding("warning", what, "so many teach little; are labels missing?", tuple(nothing))]
    return [Finding("note", what, "good where there is nothing to be found; else labels are missing", tuple(nothing))]


def copied(examined: Sequence[Surveyed]) -> list[list[Path]]:
    """Sets of images with the same pixels."""
    readable = [s for s in examined if isinstance(s.image, ImageFacts)]
    facts = [s.image for s in readable if isinstance(s.image, ImageFacts)]
    return [[readable[i].pair.image for i in places] for places in identical(facts)]


def repeated(
    examined: Sequence[Surveyed], copies: Sequence[Sequence[Path]], examples: Sequence[Example], folder: Path
) -> list[Finding]:
    """Copies, copies with another mask, and pictures of several groups that look alike."""
    findings = []
    if copies:
        count = sum(len(paths) - 1 for paths in copies)
        first = ", ".join(f"{named(paths[0], folder)} = {named(paths[1], folder)}" for paths in copies[:2])
        masks = {s.pair.image: s.mask.digest for s in examined if isinstance(s.mask, MaskFacts)}
        differ = sum(len({masks[p] for p in paths if p in masks}) > 1 for paths in copies)
        also = f"; the masks of {differ} differ" if differ else ""
        names = tuple(named(path, folder) for paths in copies for path in paths)
        findings.append(
            Finding(
                "warning",
                f"{counted(count, 'picture')} there twice: {first}{also}",
                "remove the copies, and where masks differ the wrong ones",
                names,
            )
        )
    of_group = {example.image: (example.group, example.split) for example in examples}
    known = [(s.pair.image, s.image) for s in examined if isinstance(s.image, ImageFacts) and s.pair.image in of_group]
    alike = look_alike([facts for _, facts in known], [of_group[path][0] for path, _ in known])
    if alike:
        paths = [(known[i][0], known[j][0]) for i, j in alike]
        across = [(a, b) for a, b in paths if of_group[a][1] != of_group[b][1]]
        first = "; ".join(f"{named(a, folder)} and {named(b, folder)}" for a, b in (across or paths)[:2])
        groups = Counter(frozenset((of_group[a][0], of_group[b][0])) for a, b in paths)
        where = f", {len(across):,} of them on two sides of the split" if across else ""
        findings.append(
            Finding(
                "warning",
                f"{counted(len(paths), 'pair')} of pictures that look nearly the same, from "
                f"{counted(len(groups), 'pair')} of different groups{where}: {first}",
                "if they show the same thing (one scan from two sources, neighbouring slices or "
                "frames), give them one group in a manifest or by group_pattern, or the scores flatter",
                tuple(sorted({named(p, folder) for pair in paths for p in pair})),
            )
        )
    return findings
