"""A network on a picture of any size, in bounded memory: tiles that are blended, and rows from top to bottom.

Shapes: B pictures of one size, C channels, K output channels, H x W pixels. `Rows` gives some rows (B,C,n,W) of
pictures; every step from file to labels is such a function of the step before, so what stands in memory is a few
rows, and a picture that is whole in memory goes the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import torch
from torch import Tensor
from torch.nn import functional as F

Rows = Callable[[int, int], Tensor]
"""Rows `top` to `bottom` (B,C,n,W) of pictures; asked for from the top to the bottom."""
Answer = TypeVar("Answer")
LOW = 1000
"""Rows of a picture that is worked on as a whole: fewer than a tile has."""
BAND = 64
"""Rows of a higher one that are worked on at once; that are resized at once, each a sum over all that any needs."""


def tiled(
    network: Callable[[Tensor], Tensor],
    read: Rows,
    height: int,
    width: int,
    *,
    channels: int,
    stride: int,
    tile: int,
    overlap: int,
) -> Iterator[Tensor]:
    """Logits of pictures of any size as bands (B,channels,n,W), float32 on the CPU, from the top to the bottom.

    network: (B,C,h,w) -> (B,channels,h,w) for h and w that are multiples of `stride`.
    tile, overlap: in pixels. A picture up to one tile is run whole. Where tiles overlap, their logits are averaged
        with weights that fall linearly towards a tile's edge, so no seam is left.
    """
    if tile % stride or not 0 <= overlap < tile:
        raise ValueError(f"tile {tile} must be a multiple of {stride} and larger than the overlap {overlap}")
    rows, columns = _layout(height, tile, overlap, stride), _layout(width, tile, overlap, stride)
    high, wide = rows.length, columns.length
    if len(rows.starts) == len(columns.starts) == 1:
        yield _floats(network(_padded(read(0, height), high, wide)))[:, :, :height, :width]
        return
    band = None
    for top, following, row_weight in zip(rows.starts, [*rows.starts[1:], height], rows.weights, strict=True):
        x = read(top, min(top + high, height))
        for left, column_weight in zip(columns.starts, columns.weights, strict=True):
            logits = network(_padded(x[..., left : left + wide], high, wide)).cpu()  # (B,channels,high,wide)
            if band is None:  # in the network's own precision: it is most of all memory
                band = logits.new_zeros(len(x), channels, high, columns.starts[-1] + wide)
            band[..., left : left + wide].add_(logits.float() * (row_weight[:, None] * column_weight))
        del x, logits  # not while what is done is worked on
        assert band is not None, "there is at least one column"
        done = following - top
        for start in range(0, done, BAND):  # in pieces: what is done is soon forgotten
            part = band[:, :, start : min(start + BAND, done), :width]
            yield part.to(torch.float32, memory_format=torch.contiguous_format, copy=True)
        band[:, :, : high - done] = band[:, :, done:].clone()
        band[:, :, high - done :] = 0


class _Layout:
    """Tiles along one side: where they start, how long each is, and weights that add up to 1 at every pixel."""

    def __init__(self, starts: list[int], length: int, overlap: int) -> None:
        self.starts, self.length = starts, length
        ramp = torch.arange(1, length + 1, dtype=torch.float32)
        # the outermost pixels see the least and count for next to nothing, unless no other tile has them
        tent = (torch.minimum(ramp, ramp.flip(0)) - overlap // 4).clamp(min=1e-3, max=max(overlap // 2, 1))
        total = torch.zeros(starts[-1] + length)
        for start in starts:
            total[start : start + length] += tent
        self.weights = [tent / total[start : start + length] for start in starts]


def _layout(size: int, tile: int, overlap: int, stride: int) -> _Layout:
    """As few tiles as hold the side, none larger than it takes, evenly spread.

    Each start is a multiple of the stride: pooling then sees the same grid as in the whole picture.
    """
    full = _multiple(size, stride)
    if size <= tile:
        return _Layout([0], full, overlap)
    count = -(-(size - overlap) // (tile - overlap))
    length = _multiple(-(-(size + (count - 1) * overlap) // count), stride)
    return _Layout([round(i * (full - length) / (count - 1) / stride) * stride for i in range(count)], length, overlap)


def _multiple(size: int, stride: int) -> int:
    return -(-size // stride) * stride


def _padded(x: Tensor, height: int, width: int) -> Tensor:
    """At the size that is asked for, the last rows and columns repeated: all tiles of a picture are of one shape."""
    down, right = height - x.shape[2], width - x.shape[3]
    return F.pad(x, (0, right, 0, down), mode="replicate") if down or right else x


def once_for_constants(network: Callable[[Tensor], Answer]) -> Callable[[Tensor], Answer]:
    """The network, but for a tile of one colour, as there is nothing beside a scene, its last answer to that colour."""
    answers: dict[tuple[float, ...], Answer] = {}

    def wrapper(x: Tensor) -> Answer:
        first = x[:, :, :1, :1]
        if not (torch.equal(first, x[:, :, -1:, -1:]) and bool((x == first).all())):
            return network(x)
        colour = (*x.shape, *first.flatten().tolist())
        if colour not in answers:
            answers.clear()
            answers[colour] = network(x)
        return answers[colour]

    return wrapper


def _floats(logits: Tensor) -> Tensor:
    # the layout of pictures: what is done to logits later is slow in the network's
    return logits.to("cpu", torch.float32, memory_format=torch.contiguous_format)


def kept(bands: Iterable[Tensor]) -> Rows:
    """Rows of bands that come one after the other; what lies above those that were asked for last is forgotten."""
    following, held, start = iter(bands), list[Tensor](), 0

    def rows(top: int, bottom: int) -> Tensor:
        nonlocal start
        while held and start + held[0].shape[2] <= top:
            start += held.pop(0).shape[2]
        while start + sum(band.shape[2] for band in held) < bottom:
            held.append(next(following))
        parts, at = [], start
        for band in held:
            parts.append(band[:, :, max(0, top - at) : max(0, bottom - at)])
            at += band.shape[2]
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=2)

    return rows


def bands(height: int) -> list[tuple[int, int]]:
    """(top, bottom) of the rows of a picture that are worked on at once: all of a low one.

    >>> bands(900), bands(1100)[:2]
    ([(0, 900)], [(0, 64), (64, 128)])
    """
    step = height if height <= LOW else BAND
    return [(top, min(top + step, height)) for top in range(0, height, step)]


def resized(read: Rows, old: tuple[int, int], new: tuple[int, int], *, antialias: bool) -> Rows:
    """Pictures of `old` (H,W) as rows of pictures of `new` (h,w), bilinearly; antialiased where they get smaller."""
    if old == new:
        return read

    def rows(top: int, bottom: int) -> Tensor:
        # of a picture that becomes one column, torch 2.13 repeats the first row: findings/torch_antialias_one_column.sh
        if (top, bottom) == (0, new[0]) and old[0] <= LOW and new[1] > 1:
            return F.interpolate(read(0, old[0]), new, mode="bilinear", antialias=antialias, align_corners=False)
        parts, step = [], max(1, BAND * new[0] // max(old[0], new[0]))  # so many that few are read at once
        for start in range(top, bottom, step):
            first, weights = _row_weights(old[0], new[0], start, min(start + step, bottom), antialias=antialias)
            x = weights @ read(first, first + weights.shape[1])
            shape = (x.shape[2], new[1])
            parts.append(F.interpolate(x, shape, mode="bilinear", antialias=antialias, align_corners=False))
        return torch.cat(parts, dim=2)

    return rows


def _row_weights(old: int, new: int, top: int, bottom: int, *, antialias: bool) -> tuple[int, Tensor]:
    """The first row that the rows `top` to `bottom` of `new` need of `old`, and what they take of it and the next."""
    ratio = old / new
    reach = max(1.0, ratio) if antialias else 1.0
    middle = (torch.arange(top, bottom, dtype=torch.float64) + 0.5) * ratio - 0.5
    first = max(0, int(middle[0] - reach) + 1 if middle[0] >= reach else 0)
    last = min(old, int(middle[-1] + reach) + 1)
    distance = (torch.arange(first, last) - middle[:, None]).abs() / reach
    weights = (1 - distance).clamp(min=0)
    return first, (weights / weights.sum(dim=1, keepdim=True)).float()
