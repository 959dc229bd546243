"""What may be wrong with the pairs of a folder: missing, unreadable, of two sizes, empty, twice there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from ..data.finding import Found, listed
from ..data.folder import Example, in_words
from ..data.layouts import IMAGE_WORDS, Layout, Lone, Pairing, pictures_in, stem
from ..data.placing import is_for_masks
from ..recipe import FOLDER_PLACE, NAME, SPLIT_PLACE
from ..words import counted, some
from .findings import Finding
from .mask_values import Labels
from .picture_values import identical, look_alike
from .survey import ImageFacts, MaskFacts, Surveyed

ANNOTATIONS = {".xml", ".json", ".txt", ".csv"}


def named(path: Path, folder: Path) -> str:
    """The path inside the folder."""
    return path.relative_to(folder).as_posix()


def misplaced(pairing: Pairing, found: Found, folder: Path) -> list[Finding]:
    """Files that are no part of any pair: with the name of another one, masks alone, folders aside."""
    findings = []
    if twice := tuple(named(path, folder) for _, path in pairing.twice):
        what = f"{counted(len(twice), 'file')} with the name of another one, only the ending differs: {some(twice)}"
        advice = "remove one of each"
        if not pairing.pairs:
            advice = "if one of each is the mask of the other, move the masks to masks/, else remove one of each"
        findings.append(Finding("question", what, advice, twice))
    if masks := tuple(named(path, folder) for path in pairing.masks):
        what = f"{counted(len(masks), 'mask')} without an image: {some(masks)}"
        if found.unread:
            advice = f"{listed(found.unread)} in the folder are not read; save them as PNG if they are the images"
            findings.append(Finding("question", what, advice, masks))
        else:
            findings.append(Finding("warning", what, "they are not used; check the names", masks))
    if found.rivals:
        layout = found.layout
        used = sorted({n for p in layout.places(folder) for n in (*layout.image_folders(p), *layout.mask_folders(p))})
        what = (
            f"{counted(sum(found.rivals.values()), 'more pair')} of image and mask by {some(tuple(found.rivals))}, "
            f"while only those of {some(used, 2)} would be used"
        )
        advice = (
            "put all images into one folder and all masks into another, under names that differ (tile1_part2.png), "
            "or take out what is not meant"
        )
        findings.append(Finding("question", what, advice, tuple(found.rivals)))
    if beside := tuple(named(path, folder) for path in pairing.beside):
        what = f"{counted(len(beside), 'more picture')} beside the images, called as these and more: {some(beside)}"
        findings.append(Finding("note", what, "they are not used", beside))
    if incomplete := tuple(named(one.image, folder) for one, _ in pairing.incomplete):
        _, template = pairing.incomplete[0]
        what = f"{counted(len(incomplete), 'image')} without all files of its channels ({template}): {some(incomplete)}"
        findings.append(
            Finding("question", what, "add these files, or take out what is there of the image", incomplete)
        )
    if aside := tuple(name for name in found.aside if name not in found.rivals):
        what = f"{counted(len(aside), 'folder')} with more pictures: {some(aside)}"
        findings.append(Finding("note", what, "they are not used", aside))
    return findings


def unmasked(lone: Sequence[Lone], pairs: int, found: Found, folder: Path) -> list[Finding]:
    """Images without a mask, beside so many pairs."""
    if not lone:
        return []
    names = tuple(named(image.image, folder) for image in lone)
    layout = found.layout
    if not found.paired:
        layout = replace(layout, masks=_beside(layout.images), mask_name=NAME)
    expected = layout.expected_mask(lone[0].name, lone[0].split, lone[0].image)
    what = (
        f"{counted(len(lone), 'image')} (of {pairs + len(lone):,}) without a mask" if pairs else "no image has a mask"
    )
    advice = f"add masks called accordingly ({expected}), all 0 for images that show none of the classes"
    if pairs:
        advice += "; the proposed recipe leaves these images out and can be used if nobody looked at them"
    elif found.unread:
        advice += f"; {listed(found.unread)} in the folder are not read: save them as PNG"
    else:
        stems = {stem(image.image) for image in lone}
        alike = [
            place
            for place in found.aside
            if 2 * len(stems & {stem(p) for p in pictures_in(folder / place)}) > len(stems)
        ]
        if alike:
            there = f"move them to {PurePosixPath(expected).parent}/" if is_for_masks(alike[0]) else "call it masks"
            advice += f"; if they lie in the folder {alike[0]}, {there}"
        texts = Counter(p.suffix for p in folder.rglob("*") if p.suffix in ANNOTATIONS and p.stem in stems)
        if texts:
            advice += f"; {listed(texts)} called as the images are no annotations that are read: export COCO or LabelMe"
    return [Finding("question", f"{what}: {some(names)}", advice, names)]


def _beside(images: str) -> str:
    """Where the masks of a folder of images are looked for: the images' own word in it becomes `masks`."""
    parts = images.split("/")
    for i in reversed(range(len(parts))):
        if parts[i].lower() in IMAGE_WORDS:
            return "/".join([*parts[:i], "masks", *parts[i + 1 :]])
    return f"{images}/masks" if SPLIT_PLACE in images or FOLDER_PLACE in images else "masks"


def unreadable(examined: Sequence[Surveyed], folder: Path) -> list[Finding]:
    """Files that can't be read, and masks that were saved as JPEG."""
    findings = []
    jpegs = [named(s.pair.mask, folder) for s in examined if isinstance(s.mask, str) and " is a JPEG" in s.mask]
    if jpegs:
        what = f"{counted(len(jpegs), 'mask')} saved as JPEG, which blurs the borders between labels: {some(jpegs)}"
        advice = (
            "export them again as PNG from where they were drawn; if the JPEG is all there is, save it as PNG "
            "and ask again: the in-between values are then shown and can be cut or ignored"
        )
        findings.append(Finding("question", what, advice, tuple(jpegs)))
    broken = {named(s.pair.image, folder): s.image for s in examined if isinstance(s.image, str)}
    broken |= {
        named(s.pair.mask, folder): s.mask for s in examined if isinstance(s.mask, str) and " is a JPEG" not in s.mask
    }
    if broken:
        first, *others = broken
        reason, _, remedy = broken[first].partition("; ")
        # the reason begins with the file's own name
        what = f"{counted(len(broken), 'file')} not to be read: {first} {reason.removeprefix(Path(first).name).strip()}"
        what += f"; and {some(others)}" if others else ""
        advice = f"get or save {'them' if others else 'it'} again ({remedy}), or take out both files of such a pair"
        findings.append(Finding("question", what, advice, tuple(broken)))
    return findings


def unequal(examined: Sequence[Surveyed], folder: Path) -> list[Finding]:
    """Masks of another size than their image."""
    differ, turned = [], True
    for s in examined:
        if not (isinstance(s.image, ImageFacts) and isinstance(s.mask, MaskFacts)):
            continue
        image, mask = ((facts.slices, facts.height, facts.width) for facts in (s.image, s.mask))
        if image != mask:
            differ.append(f"{named(s.pair.image, folder)} ({in_words(image)}, mask {in_words(mask)})")
            turned &= image == (1, *mask[:0:-1])
    if not differ:
        return []
    what = f"{counted(len(differ), 'mask')} of another size than the image: {some(differ, 2)}"
    advice = "save both at one size; masks are resized with nearest neighbour, never smoothed"
    if turned:
        advice = "turn the masks by a quarter, as the cameras of these photos say for the images (EXIF)"
    return [Finding("question", what, advice, tuple(differ))]


def empty(held: Mapping[str, set[str]], labels: Labels) -> list[Finding]:
    """Masks (by file name, with the labels they hold) that show no class."""
    nothing = [name for name, names in held.items() if not names & set(labels.classes)]
    if labels.background is None or not nothing:
        return []
    what = f"{counted(len(nothing), 'mask')} (of {len(held):,}) without any class: {some(nothing)}"
    if len(nothing) > 0.8 * len(held):
        return [Finding("warning", what, "so many teach little; are labels missing?", tuple(nothing))]
    return [Finding("note", what, "good where there is nothing to be found; else labels are missing", tuple(nothing))]


def volumes(images: Mapping[str, ImageFacts]) -> list[Finding]:
    """Volumes, of which nobody looks whether they show the same."""
    names = tuple(name for name, image in images.items() if image.slices > 1)
    if len(names) < 2:
        return []
    what = f"{counted(len(names), 'volume')}, which are not searched for parts that they share: {some(names)}"
    advice = "where several are of one patient or one specimen, give them one group by group_pattern or in a manifest"
    return [Finding("note", what, advice, names)]


def absent(layout: Layout, labels: Labels) -> list[Finding]:
    """Classes with masks of their own that show them nowhere."""
    nowhere = [name for name in layout.class_masks if name not in labels.classes]
    if not nowhere:
        return []
    what = f"no mask shows {some(nowhere)}"
    return [Finding("warning", what, "the recipe leaves out what is shown nowhere; check these masks")]


def copied(examined: Sequence[Surveyed]) -> list[list[Path]]:
    """Sets of images with the same pixels."""
    readable = [s for s in examined if isinstance(s.image, ImageFacts)]
    facts = [s.image for s in readable if isinstance(s.image, ImageFacts)]
    return [[readable[i].pair.image for i in places] for places in identical(facts)]


def repeated(
    examined: Sequence[Surveyed],
    copies: Sequence[Sequence[Path]],
    examples: Sequence[Example],
    folder: Path,
    told: Collection[str] = (),
) -> list[Finding]:
    """Copies, copies with another mask, and pictures of several groups that look alike, but those told already."""
    findings = []
    if copies:
        count = sum(len(paths) - 1 for paths in copies)
        first = ", ".join(f"{named(paths[0], folder)} = {named(paths[1], folder)}" for paths in copies[:2])
        masks = {s.pair.image: s.mask.digest for s in examined if isinstance(s.mask, MaskFacts)}
        differ = sum(len({masks[p] for p in paths if p in masks}) > 1 for paths in copies)
        also = f"; the masks of {differ} differ" if differ else ""
        names = tuple(named(path, folder) for paths in copies for path in paths)
        what = f"{counted(count, 'picture')} there twice: {first}{also}"
        findings.append(Finding("warning", what, "remove the copies, and where masks differ the wrong ones", names))
    of_group = {example.image: (example.group, example.split) for example in examples}
    known = [(s.pair.image, s.image) for s in examined if isinstance(s.image, ImageFacts) and s.pair.image in of_group]
    alike = look_alike([facts for _, facts in known], [of_group[path][0] for path, _ in known])
    paths = [(known[i][0], known[j][0]) for i, j in alike]
    paths = [(a, b) for a, b in paths if not {named(a, folder), named(b, folder)} <= set(told)]
    if paths:
        across = [(a, b) for a, b in paths if of_group[a][1] != of_group[b][1]]
        first = "; ".join(f"{named(a, folder)} and {named(b, folder)}" for a, b in (across or paths)[:2])
        groups = Counter(frozenset((of_group[a][0], of_group[b][0])) for a, b in paths)
        where = f", {len(across):,} of them on two sides of the split" if across else ""
        what = (
            f"{counted(len(paths), 'pair')} of pictures that look nearly the same, from "
            f"{counted(len(groups), 'pair')} of different groups{where}: {first}"
        )
        advice = (
            "if they show the same thing (one scan from two sources, neighbouring slices or "
            "frames), give them one group in a manifest or by group_pattern, or the scores flatter"
        )
        findings.append(
            Finding("warning", what, advice, tuple(sorted({named(p, folder) for pair in paths for p in pair})))
        )
    return findings
