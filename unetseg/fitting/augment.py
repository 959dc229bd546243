"""Random changes to training pictures, in plain torch, each drawn from the sample's own generator."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from ..config import IGNORE
from .recipe import Augment


def random_crop(
    image: Tensor, labels: Tensor, size: int, settings: Augment, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """A turned, zoomed, shifted and mirrored crop: image (C,size,size), labels (size,size).

    image: float (C,h,w). labels: uint8 (h,w). What lies outside the picture is black and IGNORE.
    """
    draw = _Draw(generator)
    height, width = labels.shape
    angle = math.radians(draw.around(settings.rotate))
    zoom = draw.factor(settings.scale)  # stored pixels per crop pixel
    flip_x = -1 if "horizontal" in settings.flip and draw.chance(0.5) else 1
    flip_y = -1 if "vertical" in settings.flip and draw.chance(0.5) else 1
    half = size * zoom / 2
    shift = settings.translate * size
    # the centre: anywhere the crop fits, or the middle of a side that is shorter than the crop
    centre_y = draw.between(min(half, height / 2), max(height - half, height / 2)) + draw.around(shift)
    centre_x = draw.between(min(half, width / 2), max(width - half, width / 2)) + draw.around(shift)
    cos, sin = math.cos(angle) * half, math.sin(angle) * half
    # from crop coordinates -1..1 to stored pixels, then to the -1..1 of grid_sample
    theta = torch.tensor(
        [
            [flip_x * cos * 2 / width, -flip_y * sin * 2 / width, centre_x * 2 / width - 1],
            [flip_x * sin * 2 / height, flip_y * cos * 2 / height, centre_y * 2 / height - 1],
        ]
    )
    grid = F.affine_grid(theta[None], [1, 1, size, size], align_corners=False)
    image = F.grid_sample(image[None], grid, mode="bilinear", align_corners=False)[0]
    # labels are shifted by one, so that the 0 outside the picture is nobody's id
    shifted = (labels.float() + 1)[None, None]
    shifted = F.grid_sample(shifted, grid, mode="nearest", align_corners=False)[0, 0]
    labels = torch.where(shifted == 0, IGNORE, shifted - 1).to(torch.uint8)
    return image, labels


def random_background(
    image: Tensor, labels: Tensor, settings: Augment, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """For `background_crop` of the pictures, a window of them that holds only label 0; else the picture itself.

    The window is enlarged to the size of the picture, so that what is left to see is as large as an object could be.
    """
    draw = _Draw(generator)
    if not settings.background_crop or not draw.chance(settings.background_crop):
        return image, labels
    height, width = labels.shape
    for _ in range(10):  # a picture full of objects may have no such window
        share = draw.between(0.3, 0.8)
        window_height, window_width = math.ceil(height * share), math.ceil(width * share)
        top = int(draw.between(0, height - window_height + 1))
        left = int(draw.between(0, width - window_width + 1))
        window = (slice(top, top + window_height), slice(left, left + window_width))
        if not labels[window].any():
            enlarged = F.interpolate(
                image[:, *window][None], (height, width), mode="bilinear", antialias=True, align_corners=False
            )[0]
            return enlarged, torch.zeros_like(labels)
    return image, labels


def random_intensity(image: Tensor, settings: Augment, generator: torch.Generator) -> Tensor:
    """The same scene under another window, light, colour, haze, sharpness and noise: (C,h,w), values 0..1."""
    draw = _Draw(generator)
    if settings.narrow_window and draw.chance(0.5):
        # squared: a cut that hides the object itself is rare
        low = draw.between(0, 1) ** 2 * settings.narrow_window
        high = 1 - draw.between(0, 1) ** 2 * settings.narrow_window
        image = ((image - low) / (high - low)).clamp(0, 1)
    if settings.blur and draw.chance(0.3):
        image = _blurred(image, draw.between(0.2, max(settings.blur, 0.2)))
    image = image ** draw.factor(settings.gamma)
    gains = torch.tensor([draw.factor(settings.color) for _ in image])[:, None, None]
    image = (image - 0.5) * draw.factor(settings.contrast) + 0.5 + draw.around(settings.brightness)
    image = image * gains
    if settings.saturation > 1:
        gray = image.mean(dim=0)
        image = gray + (image - gray) * draw.factor(settings.saturation)
    if settings.haze and draw.chance(0.3):
        share = draw.between(0, settings.haze)
        image = image * (1 - share) + share * draw.between(0.5, 0.9)
    if settings.noise and draw.chance(0.5):
        noise = torch.randn(image.shape, generator=generator)
        image = image + noise * draw.between(0, settings.noise)
    return image.clamp(0, 1)


def _blurred(image: Tensor, sigma: float) -> Tensor:
    radius = math.ceil(2 * sigma)
    offsets = torch.arange(-radius, radius + 1, dtype=torch.float32)
    kernel = torch.exp(-(offsets**2) / (2 * sigma**2))
    kernel = (kernel / kernel.sum())[None, None]  # (1,1,taps)
    padded = F.pad(image[:, None], (radius, radius, radius, radius), mode="replicate")  # (C,1,h+2r,w+2r)
    return F.conv2d(F.conv2d(padded, kernel[..., None]), kernel[:, :, None])[:, 0]  # (C,h,w)


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

    def chance(self, probability: float) -> bool:
        return self.between(0, 1) < probability
