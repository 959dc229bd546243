"""Random changes to training pictures, in plain torch: drawn per crop, carried out per batch on the device.

What happens to a crop is drawn from the crop's own generator, so it depends neither on the other crops of its batch
nor on the number of processes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from ...config import IGNORE
from ..recipe import Augment

NUDGE = 0.01
"""Pixels by which labels are looked up beside the exact place."""
OUTSIDE = -1
"""The label of no pixel at all."""
BENDS = 4
"""Points a side of the grid that bends a crop: so few bend organs and leave textures as they are."""
PIECES = 6
"""Straight pieces of a curve of grey values."""
DARKEST, BRIGHTEST = -4.0, 12.0
"""Black and white of the widest window, where 0 and 1 are those of the picture: [-1024, 3071] HU is -4 to 12 of
[0, 255] HU, and -2 to 8 of [-160, 240]."""


class Changes(NamedTuple):
    """What is to happen to one crop; with a leading B, to each of a batch."""

    place: Tensor  # (2,3): crop coordinates (x,y,1), each -1..1, to pixels of the picture
    bend: Tensor  # (2,n,n): by how much of these coordinates, in x and y, points of a grid over the crop are moved
    window: Tensor  # (2,): the values that become 0 and 1
    beyond: Tensor  # (2,): what black and white of the picture stand for, which a window had cut off
    curve: Tensor  # (PIECES+1,): what evenly spaced values become
    blur: Tensor  # standard deviation in pixels
    gamma: Tensor
    contrast: Tensor
    brightness: Tensor
    gains: Tensor  # (C,)
    saturation: Tensor
    haze: Tensor  # (2,): its share and its tone
    noise: Tensor  # standard deviation
    seed: Tensor  # of the noise


class Batch(NamedTuple):
    """Parts of pictures, padded to one size, and what is to happen to them."""

    images: Tensor  # (B,C,h,w), values 0..1
    labels: Tensor  # (B,h,w) int16, OUTSIDE where a part is padded
    changes: Changes

    def to(self, device: torch.device) -> Batch:
        """The same on a device."""
        changes = Changes(*(value.to(device, non_blocking=True) for value in self.changes))
        return Batch(self.images.to(device, non_blocking=True), self.labels.to(device, non_blocking=True), changes)


Cut = tuple[Tensor, Tensor, Changes]


def draw_crop(image: Tensor, labels: Tensor, size: int, settings: Augment, generator: torch.Generator) -> Cut:
    """Draw a crop of `size` x `size` pixels: the part of the picture that it needs, and its changes.

    image: (C,h,w), float in 0..1 or uint8. labels: uint8 (h,w).
    """
    draw = _Draw(generator)
    top, left, height, width = _background_window(labels, settings, draw)
    share_y, share_x = height / labels.shape[0], width / labels.shape[1]
    place = _draw_place(size, labels.shape[0], labels.shape[1], settings, draw)
    bend = 2 * settings.elastic * (2 * torch.rand((2, BENDS, BENDS), generator=generator) - 1)
    # a background window is enlarged to the size of its picture
    place = place * torch.tensor([[share_x], [share_y]]) + torch.tensor([[0, 0, left], [0, 0, top]])
    far = 1 + 2 * bend.abs().max().item()  # bicubic interpolation overshoots
    corners = place @ torch.tensor([[-far, far, -far, far], [-far, -far, far, far], [1, 1, 1, 1]])  # (2,4)
    low, high = corners.amin(dim=1).floor().long() - 1, corners.amax(dim=1).ceil().long() + 1
    x0, x1 = (int(v.clamp(left, left + width - 1)) for v in (low[0], high[0]))
    y0, y1 = (int(v.clamp(top, top + height - 1)) for v in (low[1], high[1]))
    place[:, 2] -= torch.tensor([float(x0), float(y0)])
    part = (slice(y0, y1 + 1), slice(x0, x1 + 1))
    return as_float(image[:, *part]), labels[part], _draw_intensity(place, bend, len(image), settings, draw)


def as_float(image: Tensor) -> Tensor:
    """An image of bytes as float32 in 0..1; any other as it is."""
    return image.float() / 255 if image.dtype == torch.uint8 else image


def collate(cuts: Sequence[Cut]) -> Batch:
    """A batch of crops that were drawn one by one; what is padded repeats the rim and is OUTSIDE."""
    height, width = (max(labels.shape[axis] for _, labels, _ in cuts) for axis in (0, 1))
    images = cuts[0][0].new_empty(len(cuts), len(cuts[0][0]), height, width)
    labels = torch.full((len(cuts), height, width), OUTSIDE, dtype=torch.int16)
    for i, (image, part, _) in enumerate(cuts):
        beyond = (0, width - part.shape[1], 0, height - part.shape[0])
        images[i] = F.pad(image[None], beyond, mode="replicate")[0]
        labels[i, : part.shape[0], : part.shape[1]] = part
    changes = Changes(*(torch.stack(values) for values in zip(*(c for _, _, c in cuts), strict=True)))
    return Batch(images, labels, changes)


def carry_out(batch: Batch, size: int, settings: Augment) -> tuple[Tensor, Tensor]:
    """The crops of a batch: images (B,C,size,size) in 0..1 and labels (B,size,size).

    What lies outside a picture is black and IGNORE.
    """
    images, labels = _placed(batch, size, settings)
    return _recoloured(images, batch.changes, settings), labels


def _placed(batch: Batch, size: int, settings: Augment) -> tuple[Tensor, Tensor]:
    count, height, width = batch.labels.shape
    # from pixels to the -1..1 of grid_sample
    to_unit = batch.images.new_tensor([[2 / width], [2 / height]])
    theta = batch.changes.place * to_unit
    theta[:, :, 2] -= 1
    grid = F.affine_grid(theta, [count, 1, size, size], align_corners=False)
    if settings.elastic:
        # smoothly in between (Ronneberger et al. 2015, arXiv 1505.04597)
        moved = F.interpolate(batch.changes.bend, (size, size), mode="bicubic", align_corners=True)  # (B,2,size,size)
        grid = grid + (theta[:, :, :2] @ moved.flatten(2)).transpose(1, 2).reshape(grid.shape)  # (B,size,size,2)
    images = F.grid_sample(batch.images, grid, mode="bilinear", padding_mode="border", align_corners=False)
    # labels are shifted, so that what grid_sample finds beyond its rim, 0, is OUTSIDE
    shifted = (batch.labels.float() - OUTSIDE)[:, None]
    # a place right between two pixels is not left to rounding, which the padding of the batch would change: the first
    # and the second in turn
    turn = torch.arange(size, device=grid.device) % 2 * 2 - 1
    grid = grid + NUDGE * to_unit.view(2) * torch.stack(torch.meshgrid(turn, turn, indexing="xy"), dim=-1)
    shifted = F.grid_sample(shifted, grid, mode="nearest", align_corners=False)[:, 0]
    inside = shifted > 0
    return images * inside[:, None], torch.where(inside, shifted + OUTSIDE, IGNORE).to(torch.uint8)


def _recoloured(images: Tensor, changes: Changes, settings: Augment) -> Tensor:
    """The same scenes under another window, light, colour, haze, sharpness and noise: (B,C,h,w), values 0..1."""

    def each(values: Tensor) -> Tensor:
        return values[:, None, None, None]

    low, high = each(changes.window[:, 0]), each(changes.window[:, 1])
    if settings.wide_window:
        black, white = each(changes.beyond[:, 0]), each(changes.beyond[:, 1])
        images = torch.where(images <= 0, black, torch.where(images >= 1, white, images))
    images = ((images - low) / (high - low)).clamp(0, 1)
    if settings.wide_window:  # few tones are left of what is wanted: as stored in 8 bits
        images = torch.where((low < 0) | (high > 1), (images * 255).round() / 255, images)
    if settings.blur:
        images = _blurred(images, changes.blur, math.ceil(2 * settings.blur))
    if settings.curve:
        images = _curved(images, changes.curve)
    images = images ** each(changes.gamma)
    images = (images - 0.5) * each(changes.contrast) + 0.5 + each(changes.brightness)
    images = images * changes.gains[:, :, None, None]
    gray = images.mean(dim=1, keepdim=True)
    images = gray + (images - gray) * each(changes.saturation)
    images = torch.lerp(images, each(changes.haze[:, 1]), each(changes.haze[:, 0]))
    if settings.noise:
        images = images + each(changes.noise) * _noise(images, changes)
    return images.clamp(0, 1)


def _curved(images: Tensor, curves: Tensor) -> Tensor:
    places = images.flatten(1) * PIECES  # (B,Chw)
    pieces = places.long().clamp(max=PIECES - 1)
    starts, ends = curves.gather(1, pieces), curves.gather(1, pieces + 1)
    return torch.lerp(starts, ends, places - pieces).view_as(images)


def _blurred(images: Tensor, sigma: Tensor, radius: int) -> Tensor:
    count, channels = images.shape[:2]
    offsets = torch.arange(-radius, radius + 1, device=images.device)
    kernels = torch.exp(-(offsets**2) / (2 * sigma.clamp(min=1e-3)[:, None] ** 2))  # (B,taps); no blur is a 1 amid 0
    kernels = (kernels / kernels.sum(dim=1, keepdim=True)).repeat_interleave(channels, dim=0)[:, None]  # (BC,1,taps)
    x = F.pad(images, (radius, radius, radius, radius), mode="replicate").flatten(0, 1)[None]  # (1,BC,h+2r,w+2r)
    for kernel in (kernels[..., None], kernels[:, :, None]):
        x = F.conv2d(x, kernel, groups=count * channels)
    return x.view(count, channels, *images.shape[2:])  # (B,C,h,w)


def _noise(images: Tensor, changes: Changes) -> Tensor:
    noise = torch.zeros_like(images)
    for i, (sigma, seed) in enumerate(zip(changes.noise.tolist(), changes.seed.tolist(), strict=True)):
        if sigma > 0:
            generator = torch.Generator(images.device).manual_seed(seed)
            noise[i] = torch.randn(images.shape[1:], generator=generator, device=images.device)
    return noise


def _background_window(labels: Tensor, settings: Augment, draw: _Draw) -> tuple[int, int, int, int]:
    """Top, left, height and width of the whole picture or, for `background_crop` of them, of a window of label 0."""
    height, width = labels.shape
    if settings.background_crop and draw.chance(settings.background_crop):
        for _ in range(10):  # a picture full of objects may have no such window
            share = draw.between(0.3, 0.8)
            window_height, window_width = math.ceil(height * share), math.ceil(width * share)
            top = int(draw.between(0, height - window_height + 1))
            left = int(draw.between(0, width - window_width + 1))
            if not labels[top : top + window_height, left : left + window_width].any():
                return top, left, window_height, window_width
    return 0, 0, height, width


def _draw_place(size: int, height: int, width: int, settings: Augment, draw: _Draw) -> Tensor:
    """A turned, zoomed, stretched, shifted, mirrored square: (2,3), from crop coordinates to pixels of the picture."""
    angle = math.radians(draw.around(settings.rotate))
    half = size * draw.factor(settings.scale) / 2  # in pixels of the picture
    flip_x = -1 if "horizontal" in settings.flip and draw.chance(0.5) else 1
    flip_y = -1 if "vertical" in settings.flip and draw.chance(0.5) else 1
    shift = settings.translate * size
    # the centre: anywhere the crop fits, or the middle of a side that is shorter than the crop
    y = draw.between(min(half, height / 2), max(height - half, height / 2)) + draw.around(shift)
    x = draw.between(min(half, width / 2), max(width - half, width / 2)) + draw.around(shift)
    cos, sin = math.cos(angle) * half, math.sin(angle) * half
    wide = math.sqrt(draw.factor(settings.aspect))
    return torch.tensor([[flip_x * cos * wide, -flip_y * sin * wide, x], [flip_x * sin / wide, flip_y * cos / wide, y]])


def _draw_intensity(place: Tensor, bend: Tensor, channels: int, settings: Augment, draw: _Draw) -> Changes:
    low, high = 0.0, 1.0
    black, white = 0.0, 1.0
    if settings.wide_window and draw.chance(settings.wide_window):
        low, high = 1 - (1 - DARKEST) ** draw.between(0, 1), BRIGHTEST ** draw.between(0, 1)
        black, white = draw.between(DARKEST, 0), draw.between(1, 4)
    elif draw.chance(0.5):
        # squared: a cut that hides the object itself is rare
        low = draw.between(0, 1) ** 2 * settings.narrow_window
        high = 1 - draw.between(0, 1) ** 2 * settings.narrow_window
    slopes = [1.0] * PIECES
    if settings.curve and draw.chance(0.5):
        slopes = [draw.slope(settings.curve) for _ in range(PIECES)]
    curve = torch.tensor([0.0, *slopes]).cumsum(dim=0)
    return Changes(
        place=place,
        bend=bend,
        window=torch.tensor([low, high]),
        beyond=torch.tensor([black, white]),
        curve=curve / curve[-1],
        blur=torch.tensor(draw.between(0, settings.blur) if draw.chance(0.3) else 0.0),
        gamma=torch.tensor(draw.factor(settings.gamma)),
        contrast=torch.tensor(draw.factor(settings.contrast)),
        brightness=torch.tensor(draw.around(settings.brightness)),
        gains=torch.tensor([draw.factor(settings.color) for _ in range(channels)]),
        saturation=torch.tensor(draw.factor(settings.saturation)),
        haze=torch.tensor([draw.between(0, settings.haze) if draw.chance(0.3) else 0.0, draw.between(0.5, 0.9)]),
        noise=torch.tensor(draw.between(0, settings.noise) if draw.chance(0.5) else 0.0),
        seed=torch.tensor(draw.seed()),
    )


class _Draw:
    """Random numbers from one generator, named by what they are for."""

    def __init__(self, generator: torch.Generator) -> None:
        self.generator = generator

    def between(self, low: float, high: float) -> float:
        return low + (high - low) * torch.rand((), generator=self.generator).item()

    def around(self, limit: float) -> float:
        return self.between(-limit, limit)

    def factor(self, limit: float) -> float:
        return math.exp(self.around(math.log(limit)))

    def slope(self, spread: float) -> float:
        return math.exp(spread * torch.randn((), generator=self.generator).item())

    def chance(self, probability: float) -> bool:
        return self.between(0, 1) < probability

    def seed(self) -> int:
        return int(torch.randint(2**62, (), generator=self.generator).item())
