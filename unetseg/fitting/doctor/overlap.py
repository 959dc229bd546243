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
from dataclasses import dataclass
from itertools import pairwise, product
from pathlib import Path

import numpy as np
import PIL.Image
from numpy.typing import NDArray
from tqdm import tqdm

from ...formats import read_image
from ...prepare import LUMINANCE
from ..data.folder import Example, Split
from ..words import counted, some
from .checks import named
from .findings import Finding
from .survey import ImageFacts

SIDE = 256
"""The middle one is resized to it, at most doubled, the others by the same factor: a thing keeps its size in all."""
SMALLEST = 40
"""On a smaller side there is no room for corners."""
LEVELS = tuple(2 ** (-i / 4) for i in range(5))
"""Sizes at which corners are described: of two pictures at half to twice the scale, two differ by a tenth at most."""
PATCH = np.arange(-11, 12, 2)
"""What is sampled around a corner, each way."""
AREA = 150
"""There is a corner for so many pixels, at most."""
MANY = 3000
"""Of more pictures each has fewer corners, so that all fit into memory."""
FAINT = 2.0
"""Corners with less contrast are noise."""
WAVES = [(u, n - u) for n in range(1, 7) for u in range(n + 1)]
"""Half waves over the patch, across and down, that describe a corner."""
ALIKE = 0.9
MOST_ALIKE = 64
"""A corner like so many others tells nothing."""
AT_ONCE = 2**13
"""Corners that are looked up at once, each with up to MOST_ALIKE like it."""
CELL = 24
LEAST_VOTES = 3
MOST_PARTNERS = 5
PORTION = 64
BLOCK = 8
SHARED = 0.15
"""Of the smaller picture; a quarter is to be found."""
CORRELATED = 0.7
HOPELESS = (0.3, 0.4, 0.5, 0.6)
"""What correlates less after so many rounds of moving it a little is let go; parts that are shared begin near 1."""
AGREEING = 0.6
"""Of the blocks with texture: 0.6 to 1 where real pictures share a part, mostly up to 0.4 where they don't."""
TEXTURE = 1.5
TEXTURED = 0.45
"""Of the part; the rim, scale bar or logo that all pictures of a kind have is less."""
PERIODIC = 0.8

_Array = NDArray[np.float32]
_Grey = NDArray[np.uint8]


@dataclass(frozen=True)
class _Corners:
    """at: (N,2), x and y. level: (N,). waves: (N,W), of length 127. turn: (N,), which of 8 gave that form."""

    at: NDArray[np.float32]
    level: NDArray[np.int8]
    waves: NDArray[np.int8]
    turn: NDArray[np.int8]


@dataclass(frozen=True)
class _Fit:
    """How one picture lies over another: x in one is scale (turn x) + shift in the other; turn (2,2) may mirror."""

    turn: NDArray[np.float64]
    scale: float
    shift: NDArray[np.float64]

    def grown(self, by: float, middle: NDArray[np.float64]) -> _Fit:
        """With a part's middle, in the other picture, where it is."""
        return _Fit(self.turn, self.scale * by, middle + (self.shift - middle) * by)

    def moved(self, by: NDArray[np.float64]) -> _Fit:
        return _Fit(self.turn, self.scale, self.shift + by)


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

    def seen(path: Path) -> tuple[_Corners, _Grey]:
        grey = _grey(path, images[path], factor)
        return _corners(grey, area), np.asarray(PIL.Image.fromarray(grey).reduce(thin))

    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        found = list(tqdm(pool.map(seen, paths), "describing", len(paths), False, unit="picture", disable=not progress))
    own = np.repeat(np.arange(len(paths), dtype=np.int32), [len(corners.level) for corners, _ in found])
    everything = _Corners(
        *(np.concatenate([getattr(c, name) for c, _ in found]) for name in ("at", "level", "waves", "turn"))
    )
    greys = [grey for _, grey in found]
    del found
    numbers = {group: i for i, group in enumerate(dict.fromkeys(groups.values()))}
    group = np.array([numbers[groups[path]] for path in paths])
    matches = _matches(everything, own, group)
    middles = np.array([(thin * g.shape[1] / 2, thin * g.shape[0] / 2) for g in greys])
    candidates = list(_candidates(everything, own, matches, middles))
    pairs = []
    for i, j, votes in tqdm(candidates, "comparing", leave=False, unit="pair", disable=not progress):
        same = images[paths[i]].digest == images[paths[j]].digest
        if not same and _agree(greys[i], greys[j], _fitted(everything, votes), thin):
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


def _basis() -> _Array:
    """(144,W): waves under a window; the higher ones, which are weaker in pictures, count more."""
    place = np.arange(len(PATCH))
    window = np.cos((place - place.mean()) / len(PATCH) * 0.9 * np.pi)
    wave = [np.cos(np.pi * (2 * place + 1) * n / (2 * len(PATCH))) * window for n in range(WAVES[-1][0] + 1)]
    level = np.outer(window, window)
    columns = []
    for u, v in WAVES:
        column = np.outer(wave[v], wave[u])
        column -= level * column.sum() / level.sum()  # brightness doesn't count
        columns.append(column.ravel() / np.sqrt((column**2).sum()) * np.hypot(u, v))
    return np.array(columns, dtype=np.float32).T


_BASIS = _basis()
_ACROSS, _DOWN = WAVES.index((1, 0)), WAVES.index((0, 1))
_BITS = [i for i in range(len(WAVES)) if i not in (_ACROSS, _DOWN)]
_ODD = np.array(WAVES).T % 2 == 1  # (2,W)
_SWAPPED = [WAVES.index((v, u)) for u, v in WAVES]
_TURNS = np.array(
    [[[0, y], [x, 0]] if swap else [[x, 0], [0, y]] for swap, y, x in product((False, True), (1.0, -1.0), (1.0, -1.0))]
)  # (8,2,2)
_BETWEEN = np.array([[(b.T @ a == _TURNS).all(axis=(1, 2)).argmax() for b in _TURNS] for a in _TURNS])  # (8,8)


def _corners(grey: _Grey, area: int = AREA) -> _Corners:
    height, width = grey.shape
    picture = PIL.Image.fromarray(grey.astype(np.float32))
    rim = int(PATCH[-1]) + 1
    places, levels, described = [], [], []
    for number, part in enumerate(LEVELS):
        h, w = round(height * part), round(width * part)
        if min(h, w) < SMALLEST - 8:  # as many levels as have room
            break
        small = picture if number == 0 else picture.resize((w, h), PIL.Image.Resampling.BICUBIC)
        x = _mean(np.asarray(small), 3)
        strength = _cornerness(x)
        strength[strength != _highest(strength, 5)] = 0
        strength = strength[rim:-rim, rim:-rim]
        order = np.argsort(-strength, axis=None, kind="stable")[: h * w // area]
        row, column = np.divmod(order[strength.ravel()[order] > FAINT], strength.shape[1])
        row, column = row + rim, column + rim
        around = (row * w + column)[:, None] + (PATCH[:, None] * w + PATCH).ravel()
        described.append(x.ravel()[around] @ _BASIS)
        places.append(np.stack([(column + 0.5) * width / w, (row + 0.5) * height / h], axis=1).astype(np.float32))
        levels.append(np.full(len(row), number, dtype=np.int8))
    return _Corners(np.concatenate(places), np.concatenate(levels), *_upright(np.concatenate(described)))


def _cornerness(x: _Array) -> _Array:
    """The smaller eigenvalue of the tensor of gradients."""
    across, down = np.zeros_like(x), np.zeros_like(x)
    across[:, 1:-1], down[1:-1] = x[:, 2:] - x[:, :-2], x[2:] - x[:-2]
    a, b, c = (_mean(product, 5) for product in (across * across, down * down, across * down))
    return ((a + b) / 2 - np.sqrt(((a - b) / 2) ** 2 + c * c)).astype(np.float32)


def _mean(x: _Array, side: int) -> _Array:
    """Of so many pixels each way, those at the edge repeated."""
    height, width = x.shape
    x = np.pad(x, side // 2, mode="edge")
    rows = x[:height].copy()
    for i in range(1, side):
        rows += x[i : i + height]
    mean = rows[:, :width].copy()
    for i in range(1, side):
        mean += rows[:, i : i + width]
    mean /= side * side
    return mean


def _highest(x: _Array, side: int) -> _Array:
    """Of so many pixels each way."""
    height, width = x.shape
    x = np.pad(x, side // 2, mode="edge")
    rows = x[:height].copy()
    for i in range(1, side):
        np.maximum(rows, x[i : i + height], out=rows)
    highest = rows[:, :width].copy()
    for i in range(1, side):
        np.maximum(highest, rows[:, i : i + width], out=highest)
    return highest


def _upright(waves: _Array) -> tuple[NDArray[np.int8], NDArray[np.int8]]:
    """Waves (N,W) as they are after the mirrors and the swap that let it get brighter to the left, most that way."""
    left, up = waves[:, _ACROSS] < 0, waves[:, _DOWN] < 0
    waves = np.where((left[:, None] & _ODD[0]) ^ (up[:, None] & _ODD[1]), -waves, waves)
    swap = waves[:, _DOWN] > waves[:, _ACROSS]
    waves = np.where(swap[:, None], waves[:, _SWAPPED], waves)
    waves *= 127 / np.sqrt((waves**2).sum(axis=1, keepdims=True)).clip(1e-6)
    return waves.round().astype(np.int8), (left + 2 * up + 4 * swap).astype(np.int8)


def _matches(corners: _Corners, own: NDArray[np.int32], group: NDArray[np.int64]) -> NDArray[np.int32]:
    """Corners (N,2) that look alike, of pictures of two groups: by the signs of their waves, the weakest either way."""
    bits = min(len(_BITS), max(14, len(own).bit_length() + 1))
    used = corners.waves[:, _BITS[:bits]]
    keys = np.zeros(len(used), dtype=np.int64)
    for bit in range(bits):
        keys |= (used[:, bit] > 0).astype(np.int64) << bit
    weakest = np.int64(1) << np.abs(used).argmin(axis=1)
    order = np.argsort(keys, kind="stable").astype(np.int32)
    in_order = keys[order]
    found = [np.empty(0, dtype=np.int64)]  # where there is no corner at all
    for asked, start in product((keys, keys ^ weakest), range(0, len(keys), AT_ONCE)):
        here = asked[start : start + AT_ONCE]
        first, end = (np.searchsorted(in_order, here, side) for side in ("left", "right"))
        many = np.where(end - first > MOST_ALIKE, 0, end - first)
        one = np.repeat(np.arange(start, start + len(here), dtype=np.int32), many)
        other = order[np.arange(len(one)) + np.repeat(first - (np.cumsum(many) - many), many)]
        apart = (group[own[one]] != group[own[other]]) & ((own[one] < own[other]) | (asked is not keys))
        one, other = one[apart], other[apart]
        a, b = (corners.waves[side].astype(np.float32) for side in (one, other))
        alike = np.einsum("nw,nw->n", a, b) > ALIKE * 127**2
        low, high = np.minimum(one[alike], other[alike]), np.maximum(one[alike], other[alike])
        found.append(low.astype(np.int64) << 32 | high)
    both = np.unique(np.concatenate(found))
    return np.stack([both >> 32, both & (2**32 - 1)], axis=1).astype(np.int32)


def _candidates(
    corners: _Corners, own: NDArray[np.int32], matches: NDArray[np.int32], middles: NDArray[np.float64]
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
    corners: _Corners, own: NDArray[np.int32], matches: NDArray[np.int32], middles: NDArray[np.float64]
) -> Iterator[NDArray[np.int32]]:
    """Sets of matches (N,2) of two pictures that agree on how they lie."""
    one, other = matches.T
    between = _BETWEEN[corners.turn[one], corners.turn[other]]
    steps = corners.level[other].astype(np.int64) - corners.level[one]  # a smaller level shows the same thing larger
    scale = 2.0 ** (steps / 4)
    # where the middle of one falls in the other: errors of scale hardly move it
    from_middle = corners.at[one] - middles[own[one]]
    falls = corners.at[other] - scale[:, None] * np.einsum("nij,nj->ni", _TURNS[between], from_middle)
    falls /= np.sqrt(scale)[:, None]
    pair = (own[one].astype(np.int64) * len(middles) + own[other]) * 8 + between
    for shift, right, down in product((0, 1), (0, CELL // 2), (0, CELL // 2)):  # cells overlap, or a border would part
        cell = np.floor((falls + np.array((right, down))) / CELL).astype(np.int64).clip(-256, 255) + 256
        key = ((pair * 8 + (steps + 4 + shift) // 2) * 512 + cell[:, 0]) * 512 + cell[:, 1]
        order = np.argsort(key, kind="stable")
        starts = np.flatnonzero(np.diff(key[order], prepend=-1))
        ends = np.append(starts[1:], len(order))
        enough = ends - starts >= LEAST_VOTES
        for start, end in zip(starts[enough].tolist(), ends[enough].tolist(), strict=True):
            yield matches[order[start:end]]


def _voices(corners: _Corners, voters: NDArray[np.int32]) -> int:
    """How many places of either picture take part: one corner at several levels is one voice."""
    return min(len(set(map(tuple, (corners.at[side] // 8).tolist()))) for side in voters.T)


def _fitted(corners: _Corners, voters: NDArray[np.int32]) -> _Fit:
    """Least squares over matches (N,2) that agree on a turn, without those that lie far off."""
    one, other = voters.T
    turn = _TURNS[_BETWEEN[corners.turn[one[0]], corners.turn[other[0]]]]
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
    return _Fit(turn, scale, shift)


@dataclass(frozen=True)
class _Part:
    """What two pictures both show, as each has it (h,w), at the size of the coarser one.

    middle: of it, in the other picture. share: of the smaller picture. alike: the correlation of their details.
    """

    one: _Array
    other: _Array
    middle: NDArray[np.float64]
    share: float
    alike: float


def _agree(one: _Grey, other: _Grey, fit: _Fit, thin: int) -> bool:
    """Whether pictures, reduced by `thin`, show the same near where they are said to lie over each other."""
    best = _part(one, other, fit, thin)
    step, growth = 2.0 * thin * max(1.0, fit.scale), 0.03
    for number in range(len(HOPELESS)):
        if best is None or best.alike < HOPELESS[number]:
            return False
        if _is_same(best):
            return not _repeats(best.other)
        before = best
        ways = [np.array(way) * step for way in ((1, 0), (-1, 0), (0, 1), (0, -1))]
        for tried in [*map(fit.moved, ways), *(fit.grown(1 + by, best.middle) for by in (growth, -growth))]:
            part = _part(one, other, tried, thin)
            if part is not None and part.alike > best.alike:
                best, fit = part, tried
        if best is before:
            step, growth = step / 2, growth / 2
    return best is not None and _is_same(best) and not _repeats(best.other)


def _part(one: _Grey, other: _Grey, fit: _Fit, thin: int) -> _Part | None:
    """None where they don't meet."""
    turned = one.T if fit.turn[0, 0] == 0 else one
    right, down = fit.turn.sum(axis=1) < 0
    turned = np.ascontiguousarray(turned[:: -1 if down else 1, :: -1 if right else 1])
    sizes = [np.array(grey.shape[::-1]) * float(thin) for grey in (turned, other)]
    # its upper left corner, in the other
    start = fit.shift - fit.scale * np.where((right, down), sizes[0], 0)
    low = np.maximum(0, start)
    high = np.minimum(sizes[1], start + fit.scale * sizes[0])
    if ((high - low) < 12 * thin * max(1, fit.scale)).any():
        return None
    size = [max(BLOCK, round(float(n))) for n in (high - low) / thin * min(1, 1 / fit.scale)]
    cuts = []
    for grey, ends in ((turned, [(low - start) / fit.scale, (high - start) / fit.scale]), (other, [low, high])):
        inside = np.clip(np.concatenate(ends) / thin, 0, np.tile(grey.shape[::-1], 2))
        cut = PIL.Image.fromarray(grey).resize((size[0], size[1]), PIL.Image.Resampling.BICUBIC, tuple(inside.tolist()))
        cuts.append(np.asarray(cut, dtype=np.float32))
    areas = fit.scale**2 * sizes[0].prod(), sizes[1].prod()
    a, b = map(_details, cuts)
    alike = float((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum() + 1e-6))
    return _Part(cuts[0], cuts[1], (low + high) / 2, float((high - low).prod() / min(areas)), alike)


def _details(pixels: _Array) -> _Array:
    """Without what is even or rises evenly: that correlates in any two pictures."""
    x = _mean(pixels, 3)
    x -= _mean(_mean(x, 7), 7)
    x -= x.mean()
    return x


def _is_same(part: _Part) -> bool:
    """Whether most of it that has texture agrees, block by block; a frame, a logo or a text line is not most of it."""
    if part.alike < CORRELATED or part.share < SHARED:
        return False
    a, b = _details(part.one), _details(part.other)
    x, y, xx, yy, xy = map(_by_block, (a, b, a * a, b * b, a * b))
    spread = np.sqrt(np.maximum(xx - x * x, 0.01)), np.sqrt(np.maximum(yy - y * y, 0.01))
    textured = np.maximum(*spread) > TEXTURE
    agreeing = (xy - x * y) / (spread[0] * spread[1]) > CORRELATED
    return bool(textured.mean() > TEXTURED and agreeing[textured].mean() > AGREEING)


def _by_block(x: _Array) -> NDArray[np.float64]:
    """The means of blocks that overlap by half."""
    half = BLOCK // 2
    height, width = x.shape[0] // half, x.shape[1] // half
    few = x[: height * half, : width * half].reshape(height, half, width, half).mean(axis=(1, 3), dtype=np.float64)
    means: NDArray[np.float64] = (few[1:, 1:] + few[1:, :-1] + few[:-1, 1:] + few[:-1, :-1]) / 4
    return means


def _repeats(pixels: _Array) -> bool:
    """Whether it looks the same a step aside (bricks, stripes, a grid): then nothing tells that it is the same."""
    details = _details(pixels)
    height, width = details.shape
    power = np.abs(np.fft.rfft2(details, (2 * height, 2 * width))) ** 2
    likeness = np.fft.irfft2(power, (2 * height, 2 * width))
    rows, columns = np.arange(-(height // 2), height // 2 + 1), np.arange(-(width // 2), width // 2 + 1)
    both = np.outer(1 - np.abs(rows) / height, 1 - np.abs(columns) / width)
    likeness = likeness[np.ix_(rows, columns)] / both / likeness[0, 0]
    likeness[np.ix_(np.abs(rows) <= BLOCK, np.abs(columns) <= BLOCK)] = 0
    return bool(likeness.max() > PERIODIC)
