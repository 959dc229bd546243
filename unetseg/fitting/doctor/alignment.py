"""Whether masks lie on what their own pictures show: the borders of their labels against the edges of pictures.

Of a mask that is turned, or is that of another picture, they lie on edges by chance only.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..words import counted, some
from .checks import named
from .findings import Finding
from .survey import GRID, ImageFacts, MaskFacts, Surveyed

FEWEST_CELLS = 8
"""A border through fewer cells of the grid is found on edges too often by chance."""
SHIFTS = (1, -1, 2, -2, 3, -3)
MOST_ROWS = 512
"""So many masks are held against all pictures."""
SURE = 6.5
"""Standard deviations: right folders stay below 1.5, those with masks moved by one reach 9 to 50."""
SURE_OF_EXIF = 4.0
SURE_OF_ONE = 5.0
MARGIN = 3.0
"""So many more of them a single other picture must fit a mask better than its own."""
FEW, MANY = 8, 20
"""Masks that fit nothing: so many are worth a word, so many a question."""

_Turn = tuple[bool, bool, bool]
"""Whether rows and columns are exchanged, then whether the rows, then whether the columns are turned round."""
_BY_EXIF: dict[int, _Turn] = {
    1: (False, False, False), 2: (False, False, True), 3: (False, True, True), 4: (False, True, False),
    5: (True, False, False), 6: (True, False, True), 7: (True, True, True), 8: (True, True, False),
}  # fmt: skip
"""What a reader does by the number of the EXIF orientation."""
_WORDS: dict[int, str] = {
    2: "mirrored", 3: "turned by 180 degrees", 4: "upside down", 5: "with rows and columns exchanged",
    6: "turned by a quarter", 7: "with rows and columns exchanged", 8: "turned by a quarter",
}  # fmt: skip


def misaligned(examined: Sequence[Surveyed], folder: Path) -> list[Finding]:
    """Masks that lie otherwise than their pictures, or on the edges of other pictures than their own."""
    pairs = [(s, s.image, s.mask) for s in examined if isinstance(s.image, ImageFacts)]
    fitting = [
        (s, image, mask)
        for s, image, mask in pairs
        if isinstance(mask, MaskFacts) and (image.height, image.width) == (mask.height, mask.width)
    ]
    fitting.sort(key=lambda pair: _natural(named(pair[0].pair.image, folder)))
    if not fitting:
        return []
    files = [(named(s.pair.image, folder), named(s.pair.mask, folder)) for s, _, _ in fitting]
    square = np.array([image.height == image.width for _, image, _ in fitting])
    read = np.array([(image.turn, mask.turn if isinstance(mask, MaskFacts) else 1) for _, image, mask in fitting])
    edges = np.stack([image.edges for _, image, _ in fitting]).astype(np.float32) / np.float32(255) - np.float32(0.5)
    borders = np.unpackbits(np.stack([m.borders for _, _, m in fitting if isinstance(m, MaskFacts)]), axis=1) > 0
    told = borders.sum(axis=1) >= FEWEST_CELLS
    fits = _Fits(edges[told], borders[told])
    findings = []
    by_exif = _needs_a_look(read, square)
    if by_exif.any():
        findings += _turned_by_exif(by_exif, read, files, edges, borders, told, fits.scale)
    told &= ~by_exif if findings else told
    files, square = [pair for pair, here in zip(files, told.tolist(), strict=True) if here], square[told]
    if len(files) < 5:
        return findings
    if findings:
        fits = _Fits(edges[told], borders[told])
    return findings + (_turned(fits, files, square) or _exchanged(fits, files) or _unrelated(fits))


def _natural(name: str) -> list[tuple[int, str]]:
    """In the order in which people count: 2 before 10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]


class _Fits:
    """How well the borders of masks lie on the edges of pictures, against what is usual for both.

    edges, borders: (N,cells), ranks of the edges from -0.5 to 0.5. of: (R,N) in standard deviations, of the masks
    `rows`. scale: what is one of them.
    """

    def __init__(self, edges: NDArray[np.float32], borders: NDArray[np.bool_]) -> None:
        self.edges, self.borders = edges, borders
        count = len(edges)
        # in runs, so that there are neighbours
        self.rows = np.arange(count) if count <= 2 * MOST_ROWS else _runs(count)
        masks = _weighted(borders[self.rows])
        fits = np.concatenate([masks @ edges[i : i + 1024].T for i in range(0, max(count, 1), 1024)], axis=1)
        if count > 2:
            # some pictures are all edges, some masks like the usual place of edges
            fits -= np.median(fits, axis=0, keepdims=True)
            fits -= np.median(fits, axis=1, keepdims=True)
            usual = float(1.4826 * np.median(np.abs(fits)))
        else:
            usual = 0.0
        self.scale = max(usual, 0.29)  # as of ranks drawn at random; masks that are all alike differ less
        self.of = fits / self.scale
        self.own = self.of[np.arange(len(self.rows)), self.rows]

    def turned(self, turn: _Turn) -> NDArray[np.float32]:
        """How much better (R,) the masks fit their own pictures once they are turned."""
        here = self.edges[self.rows] - self.edges.mean(axis=0)  # where edges are in any picture tells nothing
        gain = _weighted(_turn(self.borders[self.rows], turn)) - _weighted(self.borders[self.rows])
        better: NDArray[np.float32] = (gain * here).sum(axis=1) / self.scale
        return better


def _runs(count: int) -> NDArray[np.int64]:
    length = MOST_ROWS // 8
    starts = np.linspace(0, count - length, 8).astype(np.int64)
    return (starts[:, None] + np.arange(length)).ravel()


def _weighted(borders: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Masks of which one whose cells are drawn at random has the same spread, however many it has."""
    weights: NDArray[np.float32] = borders.astype(np.float32)
    weights /= np.sqrt(np.maximum(weights.sum(axis=1, keepdims=True), 1))
    return weights


def _turn(borders: NDArray[np.bool_], turn: _Turn) -> NDArray[np.bool_]:
    grid: NDArray[np.bool_] = borders.reshape(-1, GRID, GRID)  # (N,GRID,GRID)
    exchanged, rows, columns = turn
    grid = grid.transpose(0, 2, 1) if exchanged else grid
    turned: NDArray[np.bool_] = grid[:, :: -1 if rows else 1, :: -1 if columns else 1]
    return turned.reshape(len(borders), -1)


def _undone(turn: _Turn) -> _Turn:
    exchanged, rows, columns = turn
    return (exchanged, columns, rows) if exchanged else turn


def _needs_a_look(read: NDArray[np.int64], square: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pairs of which one side was turned, by its EXIF, otherwise than the other, and the size doesn't tell."""
    quarters = read >= 5
    # of oblong pictures a quarter shows: that both have one size, so turned, is the proof
    needs: NDArray[np.bool_] = (read[:, 0] != read[:, 1]) & (
        square | (quarters[:, 0] == quarters[:, 1]) & ~quarters.any(axis=1)
    )
    return needs


def _turned_by_exif(
    here: NDArray[np.bool_],
    read: NDArray[np.int64],
    files: Sequence[tuple[str, str]],
    edges: NDArray[np.float32],
    borders: NDArray[np.bool_],
    told: NDArray[np.bool_],
    scale: float,
) -> list[Finding]:
    better = []
    edges = edges - edges.mean(axis=0) if len(edges) >= 5 else edges  # as in _Fits.turned
    for i in np.flatnonzero(here & told).tolist():
        of_image, of_mask = (_BY_EXIF.get(int(turn), _BY_EXIF[1]) for turn in read[i])
        other = _turn(_turn(borders[i : i + 1], _undone(of_mask)), of_image)
        better.append(float((_weighted(other)[0] - _weighted(borders[i : i + 1])[0]) @ edges[i]) / scale)
    sure = sum(better) / np.sqrt(2 * len(better)) if better else 0.0
    if sure < -SURE_OF_EXIF:  # as they are read they fit
        return []
    images = tuple(files[i][0] for i in np.flatnonzero(here).tolist())
    masks = tuple(files[i][1] for i in np.flatnonzero(here).tolist())
    what = (
        f"{counted(len(images), 'photo')} (of {len(files):,}) that EXIF turns otherwise than the mask, "
        f"at the same size: {some(images)}; "
    )
    remedy = "turn the masks likewise, or save photos and masks without EXIF, as they are stored"
    if sure > SURE_OF_EXIF:
        what += "the masks lie on the photos as they are stored, not as they are shown"
        return [Finding("question", what, remedy, images + masks)]
    what += "which way the masks lie can't be seen from their borders"
    advice = f"look at the contact sheet: if they lie right there, the proposed recipe can be used; if not, {remedy}"
    return [Finding("question", what, advice, images + masks)]


def _turned(fits: _Fits, files: Sequence[tuple[str, str]], square: NDArray[np.bool_]) -> list[Finding]:
    best, found = SURE, 0
    for number, turn in _BY_EXIF.items():
        can = square[fits.rows] if turn[0] else np.ones(len(fits.rows), dtype=bool)
        if number == 1 or can.sum() < max(5, 0.5 * len(can)):
            continue
        better = fits.turned(turn)[can]
        if (sure := float(better.sum() / np.sqrt(2 * len(better)))) > best and better.mean() > 1:
            best, found = sure, number
    if not found:
        return []
    names = tuple(mask for _, mask in files)
    what = f"the masks fit their pictures only once they are {_WORDS[found]}: {some(names)}"
    advice = "turn all of them so; if the contact sheet shows that they lie right, the proposed recipe can be used"
    return [Finding("question", what, advice, names)]


def _exchanged(fits: _Fits, files: Sequence[tuple[str, str]]) -> list[Finding]:
    """Masks that fit the picture before or after their own, or one picture anywhere that no other mask fits so."""
    partner = _shifted(fits)
    shifted = bool(partner)
    if not shifted:
        partner = _mutual(fits)
    if not partner:
        return []
    masks = tuple(files[i][1] for i in partner)
    first = [f"{files[i][1]} fits {files[j][0]}" for i, j in partner.items()]
    what = f"{counted(len(masks), 'mask')} (of {len(fits.rows):,}) on the edges of another picture than their own: "
    advice = "give each mask the name of the picture that it was drawn on"
    if shifted:
        advice += " (in the order of names they are moved, as where a file was left out)"
    advice += "; if the contact sheet shows that they fit their own, the proposed recipe can be used"
    return [Finding("question", what + some(first, 2), advice, masks)]


def _shifted(fits: _Fits) -> dict[int, int]:
    """Masks, all or from one on or up to one, and the picture, so many places on, that each fits better."""
    best, partner = SURE, {}
    for shift in SHIFTS:
        inside = np.flatnonzero((fits.rows + shift >= 0) & (fits.rows + shift < len(fits.edges)))
        better = fits.of[inside, fits.rows[inside] + shift] - fits.own[inside]
        for way in (1, -1):
            sums = better[::way].cumsum()
            lengths = np.arange(1, len(sums) + 1)
            sure = np.where(lengths >= 4, sums / np.sqrt(2 * lengths), 0)
            length = int(sure.argmax()) + 1 if len(sure) else 0
            if length and sure[length - 1] > best:
                best = float(sure[length - 1])
                run = fits.rows[inside][::way][:length]
                partner = {int(i): int(i) + shift for i in sorted(run)}
    return partner


def _mutual(fits: _Fits) -> dict[int, int]:
    others = fits.of.copy()
    others[np.arange(len(fits.rows)), fits.rows] = -np.inf
    nearest = others.argmax(axis=1)
    fit = others[np.arange(len(fits.rows)), nearest]
    alone = fits.of[:, nearest].argmax(axis=0) == np.arange(len(fits.rows))
    sure = alone & (fit > SURE_OF_ONE) & (fit > fits.own + MARGIN)
    if sure.sum() < max(3, 0.25 * len(sure)):
        return {}
    return {int(i): int(j) for i, j in zip(fits.rows[sure], nearest[sure], strict=True)}


def _unrelated(fits: _Fits) -> list[Finding]:
    sure = float(fits.own.mean() * np.sqrt(len(fits.own)))
    if len(fits.own) < FEW or sure > 3:
        return []
    what = f"the masks fit their own pictures no better than any others, in {len(fits.own):,} pairs"
    advice = (
        "look at the contact sheet: are they masks of other pictures, of another set say? If they are right, and what "
        "they show can't be seen by its borders, the proposed recipe can be used"
    )
    return [Finding("question" if len(fits.own) >= MANY else "warning", what, advice)]
