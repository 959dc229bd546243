"""Pictures that show a part of one another: shifted, turned, mirrored, at another size, tone or compression.

Corners of all pictures are described by what lies around them, in a form that no quarter turn, mirror, brightness or
contrast changes; those alike are looked up, and where several of two pictures agree on how one lies over the other, the
pixels decide. Corners after Shi and Tomasi (1994), the vote after Lowe (2004). Own code: OpenCV's descriptors change in
a mirror, and to look up each picture among all others would still be left to us.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
from numpy.typing import NDArray
from tqdm import tqdm

from ...formats import read_image
from ...prepare import LUMINANCE
from ..data.folder import Example, Split
from ..words import counted, some
from .checks import named
from .corners import AREA, BETWEEN, BITS, SMALLEST, TURNS, Corners, corners_of
from .findings import Finding
from .sameness import Fit, agree
from .survey import ImageFacts

SIDE = 256
"""The middle one is resized to it, at most doubled, the others by the same factor: a thing keeps its size in all."""
MANY = 3000
"""Of more pictures each has fewer corners, so that all fit into memory."""
ALIKE = 0.9
MOST_ALIKE = 64
"""A corner like so many others tells nothing."""
AT_ONCE = 2**13
"""Corners that are looked up at once, each with up to MOST_ALIKE like it."""
MOST_STEPS = 5
"""Levels between two corners, at most: a little more than half or twice the scale."""
CELL = 24
LEAST_VOTES = 3
MOST_PARTNERS = 5
PORTION = 64

_Grey = NDArray[np.uint8]


def same_content(
    examples: Sequence[Example],
    images: Mapping[Path, ImageFacts],
    given: Collection[Split],
    folder: Path,
    *,
    progress: bool = False,
) -> tuple[list[tuple[str, str]], list[Finding]]:
    """Groups, two at a time, that belong together because their pictures share a part, and what is to be said of it.

    given: the splits that files or folders name; where two of them share a part no group helps, and it is asked.
    """
    side = {e.image: e.split if e.split in given else "train" for e in examples}
    group = {e.image: e.group for e in examples}
    pairs = sharing(images, group, progress=progress)
    torn = [(a, b) for a, b in pairs if side[a] != side[b]]
    findings, together = [], []
    if torn:
        names = _names(torn, folder)
        what = (
            f"{counted(len(names), 'picture')} (of {len(examples):,}) that share a part with one on another side of "
            f"the split: {_shown(torn, folder)}"
        )
        findings.append(Finding("question", what, "remove one of each, or the scores flatter", names))
    if inside := [(a, b) for a, b in pairs if side[a] == side[b]]:
        together = [(group[a], group[b]) for a, b in inside]
        names = _names(inside, folder)
        what = (
            f"{counted(len(names), 'picture')} (of {len(examples):,}) that share a part with one of another group: "
            f"{_shown(inside, folder)}"
        )
        advice = (
            "groups of such are one in the recipe (same_group), so that none is on both sides of the split; where too "
            "few are left, cut the scene into tiles that don't overlap, or take out those in between"
        )
        findings.append(Finding("note", what, advice, names))
    return together, findings


def _names(pairs: Sequence[tuple[Path, Path]], folder: Path) -> tuple[str, ...]:
    return tuple(dict.fromkeys(named(path, folder) for pair in pairs for path in pair))


def _shown(pairs: Sequence[tuple[Path, Path]], folder: Path) -> str:
    return some([f"{named(a, folder)} and {named(b, folder)}" for a, b in pairs], 2)


def sharing(
    images: Mapping[Path, ImageFacts], groups: Mapping[Path, str], *, progress: bool = False
) -> list[tuple[Path, Path]]:
    """Pairs of pictures, of different groups, that show a part of one another; no copies, volumes or tiny pictures."""
    flat = [p for p in groups if p in images and images[p].slices == 1 and images[p].low < images[p].high]
    side = float(np.median([(images[p].height * images[p].width) ** 0.5 for p in flat])) if flat else 1.0
    factor = min(2.0, SIDE / side)
    paths = [p for p in flat if min(1.0, factor) * min(images[p].height, images[p].width) >= SMALLEST]
    if len({groups[p] for p in paths}) < 2:
        return []
    area = AREA * max(MANY, len(paths)) // MANY
    thin = 2 if factor * side > 0.75 * SIDE else 1  # the pixels that decide may be fewer

    def seen(path: Path) -> tuple[_Grey, *tuple[NDArray[Any], ...]]:
        grey = _grey(path, images[path], factor)
        corners = corners_of(grey, factor * side, area)
        fields = corners.at, corners.level, corners.waves, corners.turn
        return np.asarray(PIL.Image.fromarray(grey).reduce(thin)), *fields

    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        each = pool.map(seen, paths)
        found = list(
            zip(*tqdm(each, "describing", len(paths), False, unit="picture", disable=not progress), strict=True)
        )
    greys: tuple[_Grey, ...] = found.pop(0)
    own = np.repeat(np.arange(len(paths), dtype=np.int32), list(map(len, found[0])))
    everything = Corners(*(np.concatenate(found.pop(0)) for _ in range(4)))  # each field twice in memory, one by one
    numbers = {group: i for i, group in enumerate(dict.fromkeys(groups.values()))}
    group = np.array([numbers[groups[path]] for path in paths])
    matches = _matches(everything, own, group)
    middles = np.array([(thin * g.shape[1] / 2, thin * g.shape[0] / 2) for g in greys])
    candidates = list(_candidates(everything, own, matches, middles))
    pairs = []
    for i, j, votes in tqdm(candidates, "comparing", leave=False, unit="pair", disable=not progress):
        same = images[paths[i]].digest == images[paths[j]].digest
        if not same and agree(greys[i], greys[j], _fitted(everything, votes), thin):
            pairs.append((paths[i], paths[j]))
    return sorted(pairs)


def _grey(path: Path, facts: ImageFacts, factor: float) -> _Grey:
    """An image in grey, resized; of other than 8 bits by its own range."""
    pixels = read_image(path).pixels[0]  # (H,W,C)
    height, width, channels = pixels.shape
    size = max(1, round(width * factor)), max(1, round(height * factor))
    if pixels.dtype != np.uint8:
        low, high = facts.levels[1], facts.levels[99]
        if low == high:
            low, high = facts.low, facts.high
        pixels = (np.nan_to_num(pixels.astype(np.float32)) - low).clip(0, high - low) * np.float32(255 / (high - low))
    few = [
        np.asarray(PIL.Image.fromarray(np.ascontiguousarray(pixels[..., c])).resize(size, PIL.Image.Resampling.BOX))
        for c in range(channels)
    ]
    if channels == 3:
        grey = sum(part * np.float32(weight) for part, weight in zip(few, LUMINANCE, strict=True))
    else:
        grey = np.mean(few, axis=0)
    return np.asarray(grey).clip(0, 255).astype(np.uint8)


def _matches(corners: Corners, own: NDArray[np.int32], group: NDArray[np.int64]) -> NDArray[np.int32]:
    """Corners (N,2) that look alike, of pictures of two groups: by the signs of their waves, the weakest either way."""
    bits = min(len(BITS), max(14, len(own).bit_length() + 1))
    used = corners.waves[:, BITS[:bits]]
    keys = np.zeros(len(used), dtype=np.int64)
    for bit in range(bits):
        keys |= (used[:, bit] > 0).astype(np.int64) << bit
    weakest = np.int64(1) << np.abs(used).argmin(axis=1)
    order = np.argsort(keys, kind="stable").astype(np.int32)
    in_order = keys[order]
    found: list[NDArray[np.int64]] = []
    for asked, start in product((keys, keys ^ weakest), range(0, len(keys), AT_ONCE)):
        here = asked[start : start + AT_ONCE]
        first, end = (np.searchsorted(in_order, here, side) for side in ("left", "right"))
        many = np.where(end - first > MOST_ALIKE, 0, end - first)
        one = np.repeat(np.arange(start, start + len(here), dtype=np.int32), many)
        other = order[np.arange(len(one)) + np.repeat(first - (np.cumsum(many) - many), many)]
        apart = (group[own[one]] != group[own[other]]) & ((own[one] < own[other]) | (asked is not keys))
        apart &= np.abs(corners.level[one] - corners.level[other]) <= MOST_STEPS
        one, other = one[apart], other[apart]
        a, b = (corners.waves[side].astype(np.float32) for side in (one, other))
        alike = np.einsum("nw,nw->n", a, b) > ALIKE * 127**2
        low, high = np.minimum(one[alike], other[alike]), np.maximum(one[alike], other[alike])
        found.append(low.astype(np.int64) << 32 | high)
    # there may be hundreds of millions of bytes of them: no step holds them twice but the last
    both = np.empty(sum(map(len, found)), dtype="<i8")
    end = len(both)
    while found:
        part = found.pop()
        both[end - len(part) : end] = part
        end -= len(part)
    both.sort()
    first_of = np.ones(len(both), dtype=bool)
    np.not_equal(both[1:], both[:-1], out=first_of[1:])
    return both[first_of].view("<i4").reshape(-1, 2)[:, ::-1]


def _candidates(
    corners: Corners, own: NDArray[np.int32], matches: NDArray[np.int32], middles: NDArray[np.float64]
) -> Iterator[tuple[int, int, NDArray[np.int32]]]:
    """Pairs of pictures with the most matches that agree on how they lie, those with many first."""
    best: dict[tuple[int, int], NDArray[np.int32]] = {}
    most: dict[tuple[int, int], int] = {}
    # all matches of a pair lie in one portion, and all portions at once would not fit
    portions = np.searchsorted(own[matches[:, 0]], np.arange(0, len(middles) + PORTION, PORTION))
    for start, end in pairwise(portions.tolist()):
        for voters in _agreeing(corners, own, matches[start:end], middles):
            pair = int(own[voters[0, 0]]), int(own[voters[0, 1]])
            if len(voters) > most.get(pair, 0) and (votes := _voices(corners, voters)) > most.get(
                pair, LEAST_VOTES - 1
            ):
                best[pair], most[pair] = voters, votes
    partners: Counter[int] = Counter()
    for i, j in sorted(best, key=lambda pair: -most[pair]):
        if min(partners[i], partners[j]) < MOST_PARTNERS:
            partners.update((i, j))
            yield i, j, best[i, j]


def _agreeing(
    corners: Corners, own: NDArray[np.int32], matches: NDArray[np.int32], middles: NDArray[np.float64]
) -> Iterator[NDArray[np.int32]]:
    """Sets of matches (N,2) of two pictures that agree on how they lie."""
    one, other = matches.T
    between = BETWEEN[corners.turn[one], corners.turn[other]]
    steps = corners.level[other].astype(np.int64) - corners.level[one]  # a smaller level shows the same thing larger
    scale = 2.0 ** (steps / 4)
    # where the middle of one falls in the other: errors of scale hardly move it
    from_middle = corners.at[one] - middles[own[one]]
    falls = corners.at[other] - scale[:, None] * np.einsum("nij,nj->ni", TURNS[between], from_middle)
    falls /= np.sqrt(scale)[:, None]
    pair = (own[one].astype(np.int64) * len(middles) + own[other]) * 8 + between
    for shift, right, down in product((0, 1), (0, CELL // 2), (0, CELL // 2)):  # cells overlap, or a border would part
        cell = np.floor((falls + np.array((right, down))) / CELL).astype(np.int64).clip(-256, 255) + 256
        key = ((pair * 8 + (steps + MOST_STEPS + shift) // 2) * 512 + cell[:, 0]) * 512 + cell[:, 1]
        order = np.argsort(key, kind="stable")
        starts = np.flatnonzero(np.diff(key[order], prepend=-1))
        ends = np.append(starts[1:], len(order))
        enough = ends - starts >= LEAST_VOTES
        for start, end in zip(starts[enough].tolist(), ends[enough].tolist(), strict=True):
            yield matches[order[start:end]]


def _voices(corners: Corners, voters: NDArray[np.int32]) -> int:
    """How many places of either picture take part: one corner at several levels is one voice."""
    return min(len(set(map(tuple, (corners.at[side] // 8).tolist()))) for side in voters.T)


def _fitted(corners: Corners, voters: NDArray[np.int32]) -> Fit:
    """Least squares over matches (N,2) that agree on a turn, without those that lie far off."""
    one, other = voters.T
    turn = TURNS[BETWEEN[corners.turn[one[0]], corners.turn[other[0]]]]
    x, y = corners.at[one].astype(np.float64) @ turn.T, corners.at[other].astype(np.float64)
    for _ in range(3):
        far = x - x.mean(axis=0)
        scale = float(np.clip((far * (y - y.mean(axis=0))).sum() / max(1e-6, (far**2).sum()), 0.4, 2.5))
        shift = y.mean(axis=0) - scale * x.mean(axis=0)
        off = np.abs(y - scale * x - shift).max(axis=1)
        near = off <= max(2.5, 1.5 * float(np.median(off)))
        if near.all() or near.sum() < LEAST_VOTES:
            break
        x, y = x[near], y[near]
    return Fit(turn, scale, shift)
