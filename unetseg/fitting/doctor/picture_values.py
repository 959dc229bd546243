"""What the numbers of images may mean: channels, bits, ranges; and images that look alike."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ...prepare import FEW_TONES
from ..words import counted, some
from .findings import Finding, Weight
from .survey import ImageFacts

_NOTICES: tuple[tuple[str, Weight, str, str], ...] = (
    ("transparent", "note", "in part transparent", "what is transparent is read as black"),
    ("frames", "warning", "with several frames", "the first is used; save each as a file of its own"),
    ("taken as", "note", "with more bands than are used", "red, green and blue are used, or the first three"),
    ("CMYK", "note", "in CMYK, for printing", "they are read as RGB, by which colours shift; save all as RGB"),
    ("16 bits", "warning", "with 16 bits in each of several channels", "the upper 8 are used"),
)
"""A word of what reading an image tells, and how it is reported."""
NEARLY_BLACK = 65536 // 8
SOFT_TISSUE = (-160, 240)
"""The usual window for organs of the abdomen, in Hounsfield units."""
UNIT_BY_LOOKS = "doesn't name its unit"
FEW_GROUPS, FEW_PICTURES = 4, 3
MOST_DIFFERENT_BITS = 28
"""Of 256: slices of one scan at two windows and sizes differ in up to 27, those of two patients in 31 and more."""


def propose_channels(images: Mapping[str, ImageFacts]) -> tuple[tuple[str, ...], list[Finding]]:
    """The channels that the network should take of images by file name."""
    found = []
    counts = Counter(image.channels for image in images.values())
    coloured = [name for name, image in images.items() if image.coloured]
    if other := [name for name, image in images.items() if image.channels not in (1, 3)]:
        what = f"{counted(len(other), 'image')} with neither 1 nor 3 channels: {some(other)}"
        found.append(Finding("question", what, "name the channels in the recipe", tuple(other)))
        most = counts.most_common(1)[0][0]
        return tuple(f"band{i + 1}" for i in range(most)), found
    if not coloured:
        if counts[3]:
            found.append(
                Finding("note", "the images are saved as RGB but hold only grey", "the recipe takes one channel")
            )
        return ("gray",), found
    if grey := [name for name in images if name not in set(coloured)]:
        what = f"{counted(len(grey), 'image')} (of {len(images):,}) without colour: {some(grey)}"
        found.append(Finding("note", what, "they are used as grey RGB", tuple(grey)))
    return ("red", "green", "blue"), found


def propose_window(images: Mapping[str, ImageFacts]) -> tuple[tuple[float, float] | None, list[Finding]]:
    """The window for images in Hounsfield units; None where there are none."""
    inside = [name for name, image in images.items() if image.hounsfield]
    if not inside:
        return None, []
    low, high = SOFT_TISSUE
    what = f"{counted(len(inside), 'image')} (of {len(images):,}) in Hounsfield units"
    advice = (
        f"the recipe takes the window of soft tissue, {low} to {high} HU; write another for lungs (-1000 to 400, say) "
        "or bones"
    )
    found = [Finding("note", what, advice)]
    if others := tuple(name for name, image in images.items() if image.measures):
        what = f"{counted(len(others), 'image')} with numbers unlike Hounsfield units, beside others in such: "
        advice = "keep CT alone, in files that say so (DICOM), or that show some air and some soft tissue"
        found.append(Finding("question", what + some(others), advice, others))
    return SOFT_TISSUE, found


def propose_range(
    images: Mapping[str, ImageFacts], channels: int
) -> tuple[tuple[tuple[float, float], ...] | None, list[Finding]]:
    """The range that black to white stands for, per channel; None is that of the stored type, or of each file."""
    found: list[Finding] = []
    wanted = _wanted({name: i for name, i in images.items() if not i.hounsfield and not i.stated}, found)
    typed = Counter(image.dtype for image in images.values() if not image.hounsfield)
    if len(typed) > 1 and not all(image.measures or image.hounsfield for image in images.values()):
        most, *others = typed.most_common()
        stored = ", ".join(f"{kind} ({counted(number, 'image')})" for kind, number in (most, *others))
        what = f"the images are of several stored types, {stored}, so that one number is several tones"
        names = tuple(name for name, image in images.items() if image.dtype != most[0])
        found.append(Finding("question", what, "save all of them in one type and range", names))
    if black := [name for name, image in images.items() if image.low == image.high]:
        what = f"{counted(len(black), 'image')} of one single tone (all black, say): {some(black)}"
        found.append(Finding("warning", what, "remove them if that is a mistake", tuple(black)))
    for word, weight, kind, advice in _NOTICES:
        if names := tuple(n for n, image in images.items() if any(word in notice for notice in image.notices)):
            found.append(Finding(weight, f"{counted(len(names), 'image')} {kind}: {some(names)}", advice, names))
    said = {name: notice for name, image in images.items() for notice in image.notices if not _is_known(notice)}
    if said:
        what = f"{counted(len(said), 'image')} read with a remark, such as: {next(iter(said.values()))}"
        found.append(Finding("note", what, "see that they are read as they are meant", tuple(said)))
    return (None if wanted is None else (wanted,) * channels), found


def _is_known(notice: str) -> bool:
    return UNIT_BY_LOOKS in notice or any(word in notice for word, *_ in _NOTICES)


def _wanted(images: Mapping[str, ImageFacts], found: list[Finding]) -> tuple[float, float] | None:
    """One range for all images, where their files state none and that of their type doesn't do."""
    if not images:
        return None
    kinds = {image.dtype for image in images.values()}
    lows, highs = ([getattr(image, end) for image in images.values()] for end in ("low", "high"))
    low, high = min(lows), max(highs)
    boundless = [name for name, image in images.items() if image.measures]
    ends = _ends(images, low, high)
    if kinds == {"uint16"}:
        if (bits := _bits(images, found) if 2 * ends[0] <= ends[1] else None) is not None:
            return bits
        few = [name for name, image in images.items() if 0 < image.high - image.low < FEW_TONES]
        if not few and not boundless:
            return None
        ends = ends[0], min(65535.0, ends[1])
        if not boundless and ends[1] - ends[0] >= FEW_TONES:
            return 0, 65535  # what a picture of few tones alone doesn't say
        boundless = boundless or few
    elif low >= 0 and high <= 1 and all(images[name].dtype.startswith("float") for name in boundless):
        return None
    if not boundless or low == high:
        return None
    stored = ", ".join(sorted(kinds))
    what = f"values from {low:g} to {high:g}, stored as {stored}, which have no natural black and white"
    nearly = "" if ends[0] <= low and ends[1] >= high else ", between which nearly all lie"
    advice = f"the recipe takes {ends[0]:g} to {ends[1]:g}{nearly}; give the range that the measurement can span"
    found.append(Finding("warning", what, advice, tuple(boundless)))
    return ends


def _ends(images: Mapping[str, ImageFacts], low: float, high: float) -> tuple[float, float]:
    """All values from low to high or, where a few lie far off, 98 % of them, over all images; rounded."""
    first, last = np.percentile([image.levels for image in images.values()], (1, 99)).tolist()
    if 0 < last - first < (high - low) / 2:
        low, high = first, last
    return _rounded(low, -1, high - low), _rounded(high, 1, high - low)


def _bits(images: Mapping[str, ImageFacts], found: list[Finding]) -> tuple[float, float] | None:
    """The range of images of 16 bits that hold fewer; single hot pixels don't hide that."""
    ends = {
        name: image.high if image.high < NEARLY_BLACK else image.bright
        for name, image in images.items()
        if image.high > 0
    }
    dark = tuple(name for name, end in ends.items() if end < NEARLY_BLACK)
    end = max((ends[name] for name in dark), default=0)
    if not end:
        return None
    if len(dark) < len(ends):
        what = f"{counted(len(dark), 'image')} (of {len(images):,}) nearly black beside the others: {some(dark)}"
        found.append(Finding("warning", what, "where they hold fewer bits, save all images with the same range", dark))
        return None
    hot = tuple(name for name in dark if images[name].high >= NEARLY_BLACK)
    bits = max(8, math.ceil(math.log2(end + 1)))
    what = f"the images are stored in 16 bits, but their values end at {end:g}, which is nearly black"
    advice = f"the recipe takes 0 to {2**bits - 1}, i.e. {bits} bits"
    if hot:
        what += f" (single pixels of {counted(len(hot), 'image')} apart: {some(hot)})"
        advice += "; take value_range out if those pixels are meant"
    # in one picture of many a slip, in most of them perhaps what they show
    weight: Weight = "warning" if 2 * len(hot) < len(dark) else "question"
    found.append(Finding(weight, what, advice, hot))
    return 0, 2**bits - 1


def identical(images: Sequence[ImageFacts]) -> list[list[int]]:
    """Sets of images with the same pixels, those of one single tone apart."""
    by_digest: dict[bytes, list[int]] = {}
    for i, image in enumerate(images):
        if image.low < image.high:
            by_digest.setdefault(image.digest, []).append(i)
    return [places for places in by_digest.values() if len(places) > 1]


def look_alike(images: Sequence[ImageFacts], groups: Sequence[str]) -> list[tuple[int, int]]:
    """Images with the nearest of another group that shows nearly the same, most alike first; no identical ones.

    At most as many pairs as images: of a film every frame is like every other. By the Hamming distance of their
    gradients, which must be small against the number of gradients there are.
    """
    if not images:
        return []
    bits = np.array([image.gradients for image in images], dtype=np.float32)
    ones = bits.sum(axis=1)
    group, digest = (_numbered(things) for things in (groups, [image.digest for image in images]))
    found: set[tuple[float, int, int]] = set()
    for start in range(0, len(bits), 1024):  # a matrix of all pairs would not fit for many images
        here = slice(start, start + 1024)
        both = bits[here] @ bits.T
        distance = ones[here, None] + ones - 2 * both
        either = ones[here, None] + ones - both
        alike = (distance <= MOST_DIFFERENT_BITS) & (distance <= 0.4 * either) & (either >= 32)
        alike &= (group[here, None] != group) & (digest[here, None] != digest)
        distance[~alike] = np.inf
        for i, j in enumerate(distance.argmin(axis=1).tolist(), start):
            if (least := float(distance[i - start, j])) < np.inf:
                found.add((least, min(i, j), max(i, j)))
    return [(i, j) for _, i, j in sorted(found)]


def tone_jumps(groups: Mapping[str, Mapping[str, ImageFacts]]) -> list[Finding]:
    """Groups (to their images by file name) all of whose pictures are far brighter, darker or flatter than any other.

    Only of several groups with several pictures each; where many groups stand apart, that is how they are.
    """
    large = {group: images for group, images in groups.items() if len(images) >= FEW_PICTURES}
    if len(large) < FEW_GROUPS:
        return []
    tones = {
        group: np.array([(i.levels[50], i.levels[90] - i.levels[10]) for i in images.values()])
        for group, images in large.items()
    }  # (N,2) each
    ends = np.array([image.levels[[2, 98]] for images in large.values() for image in images.values()])
    span = float(np.median(ends[:, 1]) - np.median(ends[:, 0]))
    apart: dict[str, str] = {}
    for group, own in tones.items():
        others = np.concatenate([tone for other, tone in tones.items() if other != group])
        for k, word in enumerate(("brightness", "contrast")):
            low, high = others[:, k].min(), others[:, k].max()
            gap = max(own[:, k].min() - high, low - own[:, k].max())
            if gap > max(0.1 * span, (high - low) / 2):
                apart[group] = f"{group} ({word} about {np.median(own[:, k]):.3g}, others {low:.3g} to {high:.3g})"
                break
    if not apart or 4 * len(apart) > len(large):
        return []
    what = f"{counted(len(apart), 'group')} (of {len(groups):,}) of quite another tone than all others: "
    what += some(list(apart.values()))
    advice = "where these files were saved otherwise (another window, range or exposure), save them like the others"
    return [Finding("warning", what, advice, tuple(name for group in apart for name in groups[group]))]


def _numbered(things: Sequence[object]) -> NDArray[np.int64]:
    """A number for each thing, the same for equal ones."""
    numbers: dict[object, int] = {}
    return np.array([numbers.setdefault(thing, len(numbers)) for thing in things], dtype=np.int64)


def _rounded(value: float, way: int, span: float) -> float:
    """Away from the middle, to two digits of the value or of the span, whichever is finer."""
    if not value:
        return 0.0
    step = 10.0 ** (math.floor(math.log10(min(abs(value), span or abs(value)))) - 1)
    return float(f"{(math.floor(value / step) if way < 0 else math.ceil(value / step)) * step:.12g}")
