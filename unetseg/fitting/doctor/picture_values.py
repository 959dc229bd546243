"""What the numbers of images may mean: channels, bits, ranges; and images that look alike."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ..words import counted, some
from .findings import Finding, Weight
from .survey import ImageFacts

_NOTICES: tuple[tuple[str, Weight, str, str], ...] = (
    ("transparent", "note", "in part transparent", "what is transparent is read as black"),
    ("frames", "warning", "with several frames", "the first is used; save each as a file of its own"),
    ("16 bits", "warning", "with 16 bits in each of several channels", "the upper 8 are used"),
)
"""A word of what reading an image tells, and how it is reported."""
NEARLY_BLACK = 65536 // 8
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


def propose_range(
    images: Mapping[str, ImageFacts], channels: int
) -> tuple[tuple[tuple[float, float], ...] | None, list[Finding]]:
    """The range that black to white stands for, per channel; None is that of the stored type."""
    found = []
    kinds = {image.dtype for image in images.values()}
    low, high = min(image.low for image in images.values()), max(image.high for image in images.values())
    boundless = [name for name, image in images.items() if image.stored_range is None]
    integers = any(not images[name].dtype.startswith("float") for name in boundless)
    wanted: tuple[float, float] | None = None
    if boundless and low < high and (low < 0 or high > 1 or integers):
        wanted = (_rounded(low, -1), _rounded(high, 1))
        stored = ", ".join(sorted(kinds))
        what = f"values from {low:g} to {high:g}, stored as {stored}, which have no natural black and white"
        advice = f"the recipe takes {wanted[0]:g} to {wanted[1]:g}; give the range that the measurement can span"
        found.append(Finding("warning", what, advice, tuple(boundless)))
    elif kinds == {"uint16"}:
        wanted = _bits(images, found)
    if len(kinds) > 1:
        most, *others = Counter(image.dtype for image in images.values()).most_common()
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
    return (None if wanted is None else (wanted,) * channels), found


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


def _numbered(things: Sequence[object]) -> NDArray[np.int64]:
    """A number for each thing, the same for equal ones."""
    numbers: dict[object, int] = {}
    return np.array([numbers.setdefault(thing, len(numbers)) for thing in things], dtype=np.int64)


def _rounded(value: float, way: int) -> float:
    """Away from the middle, to two digits."""
    if not value:
        return 0.0
    step = 10.0 ** (math.floor(math.log10(abs(value))) - 1)
    return float(f"{(math.floor(value / step) if way < 0 else math.ceil(value / step)) * step:.12g}")
