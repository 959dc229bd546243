"""A network on a picture of any size: overlapping tiles, blended, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F


def tiled(
    network: Callable[[Tensor], Tensor], x: Tensor, *, channels: int, stride: int, tile: int = 512, overlap: int = 128
) -> Tensor:
    """Logits (channels,H,W), float32 on the CPU, of one picture (C,H,W) of any size.

    network: (1,C,h,w) -> (1,channels,h,w) for h and w that are multiples of `stride`.
    tile, overlap: in pixels. A picture up to one tile is run whole. Where tiles overlap, their logits are averaged
        with weights that fall linearly towards a tile's edge, so no seam is left. The network's memory is that of
        one tile; the result is the only array of the picture's size.
    """
    if tile % stride or not 0 <= overlap < tile:
        raise ValueError(f"tile {tile} must be a multiple of {stride} and larger than the overlap {overlap}")
    height, width = x.shape[1:]
    # the smallest multiples of the stride that hold the picture, its border pixels repeated
    full_height, full_width = (-(-size // stride) * stride for size in (height, width))
    x = F.pad(x[None], (0, full_width - width, 0, full_height - height), mode="replicate")  # (1,C,H',W')
    rows, row_weights = _tiles(full_height, tile, overlap, stride)
    columns, column_weights = _tiles(full_width, tile, overlap, stride)
    if len(rows) == len(columns) == 1:
        return network(x)[0, :, :height, :width].float().cpu()
    result = torch.zeros(channels, full_height, full_width)
    for (top, bottom), row_weight in zip(rows, row_weights, strict=True):
        for (left, right), column_weight in zip(columns, column_weights, strict=True):
            logits = network(x[:, :, top:bottom, left:right])[0].float().cpu()  # (channels,h,w)
            result[:, top:bottom, left:right] += logits * row_weight[:, None] * column_weight
    return result[:, :height, :width]


def _tiles(size: int, tile: int, overlap: int, stride: int) -> tuple[list[tuple[int, int]], list[Tensor]]:
    """(start, end) of the tiles along one side, and their weights, which add up to 1 at every pixel."""
    if size <= tile:
        return [(0, size)], [torch.ones(size)]
    count = -(-(size - overlap) // (tile - overlap))
    # evenly spread, each start a multiple of the stride: pooling then sees the same grid as in the whole picture
    starts = [round(i * (size - tile) / (count - 1) / stride) * stride for i in range(count)]
    ramp = torch.arange(1, tile + 1, dtype=torch.float32)
    tent = torch.minimum(torch.minimum(ramp, ramp.flip(0)), torch.tensor(float(max(overlap, 1))))
    total = torch.zeros(size)
    for start in starts:
        total[start : start + tile] += tent
    return [(s, s + tile) for s in starts], [tent / total[s : s + tile] for s in starts]
