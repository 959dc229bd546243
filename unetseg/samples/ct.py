"""A CT-like axial slice with its exact liver mask, drawn in Hounsfield units (synthetic)."""

from __future__ import annotations

from dataclasses import dataclass
from math import pi

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw

from .shapes import Points, blob, generator, rounded, value_noise

AIR, LUNG, FAT, MUSCLE, BONE = -1000.0, -860.0, -105.0, 55.0, 450.0  # Hounsfield units

# The liver in body coordinates (the body is the unit circle): its dome, its middle, its lower tip.
LIVER_X = (
    (-0.55, -0.30, -0.10, 0.02, -0.02, -0.06, -0.16, -0.38, -0.66, -0.82, -0.74),
    (-0.50, -0.15, 0.24, 0.46, 0.10, -0.14, -0.20, -0.30, -0.62, -0.90, -0.82),
    (-0.76, -0.60, -0.46, -0.42, -0.46, -0.44, -0.50, -0.60, -0.78, -0.90, -0.86),
)
LIVER_Y = (
    (-0.50, -0.58, -0.55, -0.42, -0.22, -0.02, 0.18, 0.36, 0.30, -0.02, -0.32),
    (-0.78, -0.78, -0.68, -0.52, -0.36, -0.14, 0.10, 0.42, 0.52, 0.12, -0.34),
    (-0.36, -0.46, -0.32, -0.18, -0.04, 0.10, 0.22, 0.38, 0.32, 0.05, -0.20),
)


def ct_phantom(seed: int, size: int = 256, *, liver: bool = True) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Draw an axial CT slice: grey image (H,W) and labels (H,W), 0 background and 1 liver.

    Turned like the data it stands for: liver at the image's left, spine at the bottom. Grey 0..255
    is [-160, 240] HU, for some seeds [0, 255] HU. With liver=False the slice shows chest, lower
    abdomen or pelvis, and no liver. Raises ValueError for a size below 32 or a negative seed.
    """
    rng = generator(seed, size)
    hu = Image.new("F", (2 * size, 2 * size), AIR)
    liver_labels = Image.new("L", hu.size, 0)
    half = size * rng.uniform(0.78, 0.96) * np.array([1.0, rng.uniform(0.72, 0.86)])
    centre = size * (np.array([1.0, 0.97]) + rng.uniform(-0.05, 0.05, 2))
    body = _CtSlice(rng, ImageDraw.Draw(hu), ImageDraw.Draw(liver_labels), centre, half)
    phase = float(rng.uniform(0, 1))  # from native to strongly enhanced
    if liver:
        _draw_abdomen(body, float(rng.uniform(0, 1)), phase)
    else:
        (_draw_chest, _draw_lower_abdomen, _draw_pelvis)[rng.integers(3)](body, phase)
    field = np.array(hu)
    if liver:
        inside = np.asarray(liver_labels) > 0
        field[inside] = _liver_tissue(rng, inside, 52 + 65 * phase)[inside]
    small = Image.fromarray(field).resize((size, size), Image.Resampling.BILINEAR)  # blurs a little
    noise = 0.6 * rng.standard_normal((size, size), np.float32)
    noise += 0.7 * value_noise(rng, size, size // 2)
    values = np.asarray(small) + float(rng.uniform(6, 22)) * noise + 7 * value_noise(rng, size, 9)
    low, high = (0.0, 255.0) if rng.random() < 0.4 else (-160.0, 240.0)
    image = np.clip((values - low) * (255 / (high - low)), 0, 255).round().astype(np.uint8)
    labels = (np.asarray(liver_labels.reduce(2)) >= 128).astype(np.uint8)
    return image, labels


@dataclass(frozen=True)
class _CtSlice:
    """A slice being drawn in body coordinates, in which the body is the unit circle."""

    rng: Generator
    hu: ImageDraw.ImageDraw
    labels: ImageDraw.ImageDraw
    centre: Points
    half: Points

    def paint(self, outline: Points, hu: float, *, limit: float | None = None, liver: bool = False) -> None:
        """Fill an outline, held within a radius; what is painted over the liver is no liver."""
        if limit is not None:
            radius = np.linalg.norm(outline, axis=1, keepdims=True)
            outline = outline * np.minimum(1, limit / np.maximum(radius, 1e-6))
        flat = (outline * self.half + self.centre).ravel().tolist()
        self.hu.polygon(flat, fill=hu)
        self.labels.polygon(flat, fill=255 * liver)

    def blob(self, x: float, y: float, rx: float, ry: float, hu: float, *, rough: float = 0.07,
             limit: float | None = None) -> None:  # fmt: skip
        self.paint(blob(self.rng, rough) * (rx, ry) + (x, y), hu, limit=limit)

    def bone(self, points: ArrayLike, width: float) -> None:
        """Draw a bone along a line: a bright shell around marrow, width in body coordinates."""
        flat = (np.asarray(points) * self.half + self.centre).ravel().tolist()
        pixels = float(width * self.half[0])
        self.hu.line(flat, fill=BONE + float(self.rng.uniform(0, 200)), width=round(pixels), joint="curve")
        self.hu.line(
            flat,
            fill=160 + float(self.rng.uniform(0, 90)),
            width=round(0.4 * pixels),
            joint="curve",
        )


def _draw_trunk(body: _CtSlice, filling: float, phase: float, *, ribs: bool) -> float:
    """Draw table, skin, fat, wall, cavity, ribs and spine; return the radius of the cavity."""
    rng = body.rng
    x = np.linspace(-1.15, 1.15, 40)
    table = np.stack([x, 1.22 + rng.uniform(0, 0.12) - rng.uniform(0.03, 0.2) * x**2], axis=1)  # (40, 2)
    flat = (table * body.half + body.centre).ravel().tolist()
    width = max(1, round(body.half[0] * rng.choice([0.006, 0.012, 0.03])))
    body.hu.line(flat, fill=float(rng.uniform(60, 300)), width=width, joint="curve")
    outline = blob(rng, 0.03)
    wall = 1 - rng.uniform(0.04, 0.15)
    cavity = float(wall - 0.07)
    inner = np.where(outline[:, 1:] > 0, (1, 0.88), (1, 1)) * outline  # thicker at the back
    body.paint(outline, 10)
    body.paint(outline * 0.985, FAT)
    body.paint(outline * wall, MUSCLE)
    body.paint(inner * (wall - 0.035), FAT)
    body.paint(inner * (wall - 0.05), MUSCLE)
    body.paint(inner * cavity, filling)
    for side in (-1, 1):
        body.blob(side * 0.24, 0.66, 0.23, 0.20, MUSCLE, rough=0.1, limit=wall)
        body.blob(side * 0.20, 0.66, 0.07, 0.02, FAT)
    for angle in np.arange(-0.55, 1.2, 0.34) if ribs else ():
        for side in (-1, 1):
            arc = angle + rng.normal(0, 0.08) + np.linspace(-0.5, 0.5, 6) * rng.uniform(0.05, 0.3)
            squeeze = np.where(arc > 0, 0.92, 1.0)
            if rng.random() < 0.85:
                rib = np.stack([side * np.cos(arc), squeeze * np.sin(arc)], axis=1)  # (6, 2)
                body.bone(rib * (cavity + rng.uniform(0.015, 0.035)), rng.uniform(0.025, 0.045))
    y = 0.44 + rng.uniform(-0.04, 0.04)
    body.bone([(-0.2, y + 0.1), (0, y + 0.2), (0.2, y + 0.1)], 0.07)  # transverse processes
    body.bone([(0, y + 0.2), (0, y + 0.38)], 0.06)  # spinous process
    body.blob(0, y, 0.165, 0.155, BONE, rough=0.03)
    body.blob(0, y - 0.01, 0.145, 0.13, 190 + 60 * phase, rough=0.04)
    body.blob(0, y + 0.165, 0.065, 0.06, 25, rough=0.03)  # spinal canal
    body.blob(0.06 + rng.uniform(-0.03, 0.05), y - 0.24, 0.062, 0.075, 50 + 150 * phase, rough=0.03)  # aorta
    return cavity


def _draw_bowel(body: _CtSlice, count: int, cavity: float, low: Points, high: Points) -> None:
    """Scatter bowel loops between two corners: soft, contrast-filled, with air or with stool."""
    for x, y in body.rng.uniform(low, high, (count, 2)):
        radius = body.rng.uniform(0.05, 0.12)
        kind = body.rng.random()
        body.blob(
            x,
            y,
            radius,
            radius * 1.2,
            300 if kind < 0.15 else body.rng.uniform(25, 110),
            limit=cavity,
        )
        if kind > 0.8:
            body.blob(
                x,
                y,
                radius * 0.75,
                radius * 0.75,
                AIR if kind > 0.9 else -70,
                rough=0.25,
                limit=cavity,
            )
    for x, y in body.rng.uniform(low, high, (2 * count, 2)):  # mesenteric vessels
        body.blob(x, y, 0.012, 0.016, 120, limit=cavity)


def _draw_abdomen(body: _CtSlice, level: float, phase: float) -> None:
    """Draw the upper abdomen, level 0 at the dome of the liver to 1 at its lower tip."""
    rng = body.rng
    dome = level < 0.25
    cavity = _draw_trunk(body, LUNG if dome else FAT, phase, ribs=True)
    if not dome and level < 0.55:
        for side in (-1, 1):  # lung bases behind liver and spleen
            body.blob(side * 0.48, 0.42, 0.36, 0.27, LUNG, limit=cavity)
    if level > 0.45:
        _draw_bowel(body, round(26 * level), cavity, np.array([-0.55, -0.75]), np.array([0.7, 0.05]))
    organ = 60 + 80 * phase
    if level > 0.4:
        for side in (-1, 1):
            y = 0.28 + rng.uniform(-0.06, 0.06)
            body.blob(side * 0.40, y, 0.15, 0.21, 35 + 150 * phase, limit=cavity)
            body.blob(side * 0.34, y, 0.06, 0.09, FAT if phase < 0.5 else 120, rough=0.2)
        body.blob(0.12, -0.12, 0.28, 0.07, organ, rough=0.15)  # pancreas
    if dome:
        body.blob(0, 0.1, 0.2, 0.3, FAT)
        body.blob(0.22, -0.33, 0.40, 0.36, FAT, limit=cavity)
        body.blob(0.25, -0.32, 0.34, 0.30, 45 + 110 * phase, limit=cavity)  # heart
    elif level < 0.75:
        x, y = 0.38 + rng.uniform(-0.08, 0.08), -0.34 + rng.uniform(-0.06, 0.06)
        body.blob(x, y, 0.27, 0.33, rng.choice([30.0, 45.0, 180.0]), limit=cavity)  # stomach
        if rng.random() < 0.7:
            body.blob(x, y - 0.14, 0.19, 0.12, AIR, rough=0.1, limit=cavity - 0.05)
    if 0.12 < level < 0.9:
        spleen = np.array([(0.86, -0.15), (0.9, 0.2), (0.62, 0.56), (0.36, 0.48), (0.55, 0.25), (0.62, 0)])
        body.paint(rounded(spleen + rng.normal(0, 0.03, (6, 2))), organ + 10, limit=cavity)
    levels = (0.0, 0.45, 1.0)
    liver = np.array([[np.interp(level, levels, column) for column in zip(*table, strict=True)]
                      for table in (LIVER_X, LIVER_Y)]).T  # fmt: skip
    liver += rng.normal(0, 0.035, liver.shape) + rng.normal(0, 0.02, 2)  # (11, 2)
    middle = liver.mean(axis=0)
    liver = middle + (liver - middle) * np.interp(level, (0, 0.25, 0.75, 1), (0.45, 1, 1, 0.45))
    body.paint(rounded(liver), 0, limit=cavity - 0.015, liver=True)
    hilum = liver[4:6].mean(axis=0)  # where vessels and gall bladder lie, on the inner side
    if 0.2 < level < 0.7 and rng.random() < 0.6:  # a fissure
        tip = hilum + rng.uniform((-0.3, -0.25), (-0.15, 0.0))
        body.paint(np.stack([hilum - 0.05, tip, hilum + 0.05]), FAT)
    if 0.3 < level < 0.85 and rng.random() < 0.5:
        body.blob(hilum[0], hilum[1], 0.08, 0.12, 12)  # gall bladder
    if level < 0.85:
        body.blob(-0.14, 0.14, 0.075, 0.06, 50 + 110 * phase)  # inferior vena cava


def _draw_chest(body: _CtSlice, phase: float) -> None:
    cavity = _draw_trunk(body, LUNG, phase, ribs=True)
    body.blob(0.0, -0.1, 0.16, 0.5, FAT, rough=0.12, limit=cavity)
    body.blob(0.16, -0.25, 0.40, 0.36, FAT, limit=cavity)
    body.blob(0.18, -0.24, 0.37, 0.32, 45, rough=0.06, limit=cavity)
    for x, y in body.rng.uniform((0.0, -0.4), (0.35, -0.1), (3, 2)):  # chambers
        body.blob(x, y, 0.13, 0.11, 50 + 170 * phase)
    body.blob(0.1, 0.2, 0.07, 0.08, 50 + 180 * phase)  # aorta
    for x, y in body.rng.uniform((-0.75, -0.5), (0.75, 0.5), (40, 2)):  # lung vessels
        body.blob(x, y, 0.011, 0.014, 40, limit=cavity - 0.04)


def _draw_lower_abdomen(body: _CtSlice, phase: float) -> None:
    cavity = _draw_trunk(body, FAT, phase, ribs=False)
    _draw_bowel(body, 28, cavity, np.array([-0.75, -0.7]), np.array([0.75, 0.2]))
    for side in (-1, 1):
        body.blob(side * 0.27, 0.36, 0.12, 0.15, MUSCLE)  # psoas
        body.blob(side * 0.62, 0.35, 0.12, 0.2, MUSCLE, limit=cavity)
        if body.rng.random() < 0.7:
            body.bone([(side * 0.74, 0.2), (side * 0.62, 0.45), (side * 0.45, 0.6)], 0.07)  # iliac crest


def _draw_pelvis(body: _CtSlice, phase: float) -> None:
    cavity = _draw_trunk(body, FAT, phase, ribs=False)
    for side in (-1, 1):
        body.blob(side * 0.62, 0.1, 0.26, 0.5, MUSCLE, rough=0.12, limit=cavity + 0.04)
        body.blob(side * 0.45, 0.55, 0.34, 0.24, MUSCLE, rough=0.1, limit=cavity + 0.04)
        body.bone([(side * 0.62, -0.22), (side * 0.5, 0.05), (side * 0.38, 0.38)], 0.12)  # hip bone
        body.blob(side * 0.62, -0.02, 0.13, 0.16, BONE, rough=0.04)  # head of the femur
        body.blob(side * 0.62, -0.02, 0.10, 0.13, 260, rough=0.04)
    _draw_bowel(body, 8, cavity, np.array([-0.3, -0.6]), np.array([0.3, -0.2]))
    body.blob(0, -0.12, 0.27, 0.30, 15 + 30 * phase, rough=0.06)  # bladder
    body.blob(0, 0.3, 0.1, 0.09, 45)  # rectum


def _liver_tissue(rng: Generator, inside: NDArray[np.bool_], hu: float) -> NDArray[np.float32]:
    """Draw liver in HU, shaped like inside: with vessels and, in half of the slices, lesions."""
    side = inside.shape[0]
    tissue = Image.new("F", (side, side), hu)
    draw = ImageDraw.Draw(tissue)
    rows, columns = np.nonzero(inside)
    contrast = float(rng.uniform(5, 38))
    for pick in rng.integers(0, rows.size, 16):  # vessels: short bent lines, thinner at the end
        start, turn = np.array([columns[pick], rows[pick]]), rng.uniform(0, 2 * pi)
        for width in (0.014, 0.010, 0.007):
            stop = start + side * rng.uniform(0.01, 0.04) * np.array([np.cos(turn), np.sin(turn)])
            draw.line((*start, *stop), fill=hu + contrast, width=max(1, round(width * side)))
            start, turn = stop, turn + rng.normal(0, 0.5)
    lesions = int(rng.integers(1, 6)) if rng.random() < 0.5 else 0
    for pick in rng.integers(0, rows.size, lesions):
        radius = side * rng.uniform(0.008, 0.05)
        drop = float(rng.uniform(20, 60))
        for share, depth in ((1.0, 0.5 * drop), (0.8, drop)):
            outline = blob(rng, 0.08) * (radius * share) + (columns[pick], rows[pick])
            draw.polygon(outline.ravel().tolist(), fill=hu - depth)
    return np.asarray(tissue, np.float32)
