"""Whether two pictures show the same where one is said to lie over the other: their pixels decide."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from .corners import mean_of

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
SHIFTED, IDENTICAL, LEAST_TEXTURED = 0.8, 0.95, 0.25
"""A rim or a logo lies at one place, and the part is the whole picture; of a smaller one, if alike, less will do."""
PERIODIC = 0.8

_Array = NDArray[np.float32]
_Grey = NDArray[np.uint8]


@dataclass(frozen=True)
class Fit:
    """How one picture lies over another: x in one is scale (turn x) + shift in the other; turn (2,2) may mirror."""

    turn: NDArray[np.float64]
    scale: float
    shift: NDArray[np.float64]

    def grown(self, by: float, middle: NDArray[np.float64]) -> Fit:
        """With a part's middle, in the other picture, where it is."""
        return Fit(self.turn, self.scale * by, middle + (self.shift - middle) * by)

    def moved(self, by: NDArray[np.float64]) -> Fit:
        return Fit(self.turn, self.scale, self.shift + by)


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


def agree(one: _Grey, other: _Grey, fit: Fit, thin: int) -> bool:
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


def _part(one: _Grey, other: _Grey, fit: Fit, thin: int) -> _Part | None:
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
    x = mean_of(pixels, 3)
    x -= mean_of(mean_of(x, 7), 7)
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
    enough = LEAST_TEXTURED if part.alike > IDENTICAL and part.share < SHIFTED else TEXTURED
    return bool(textured.mean() > enough and agreeing[textured].mean() > AGREEING)


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
