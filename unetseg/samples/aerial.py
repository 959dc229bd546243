"""A desert city seen from above with its exact land-cover mask (synthetic)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from math import pi

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from .shapes import Points, blob, generator, rounded, value_noise

BUILDING, LAND, ROAD, VEGETATION, WATER = range(5)


def aerial_scene(seed: int, size: int = 512) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Draw a desert city from above: RGB image (H,W,3) and labels (H,W).

    Labels: 0 building, 1 land, 2 road, 3 vegetation, 4 water; a shadow keeps the label of the
    ground it falls on. The scene spans the picture at any size. Raises ValueError for a size below
    32 or a negative seed.
    """
    rng = generator(seed, size)
    tint = rng.uniform(-0.05, 0.06)  # from yellowish to bluish
    sand = rng.uniform(140, 205) * np.array([1.0, 1 + tint / 2, 1 + tint])
    green = np.array([0.82, 1.08, 0.72]) * rng.uniform(60, 95)
    picture = Image.new("RGB", (2 * size, 2 * size), tuple(sand.astype(int).tolist()))
    labels = Image.new("L", picture.size, LAND)
    crowns = np.stack([blob(rng, 0.25)[::4] for _ in range(8)])  # (8, 16, 2)
    scene = _Scene(rng, ImageDraw.Draw(picture), ImageDraw.Draw(labels), labels, crowns, green)
    _draw_city(scene, sand)
    ids = np.asarray(labels)[::2, ::2].copy()
    image = np.asarray(picture.reduce(2), np.float32)
    fine = value_noise(rng, size, size // 3)
    drift = 14 * value_noise(rng, size, 5) + 14 * value_noise(rng, size, 24)
    drift -= 40 * (fine * (1 + 0.5 * value_noise(rng, size, 9)) > 1.6)  # pits and shrubs
    grain = 0.6 * fine + 0.6 * rng.standard_normal((size, size), np.float32)
    weight = np.array([0.2, 1.0, 0.4, 0.7, 0.1], np.float32)[ids]
    strength = np.array([10, 10, 7, 14, 2.5], np.float32)[ids]
    image = image + (weight * drift + strength * grain)[..., None]
    haze, cast = float(rng.uniform(0, 0.10)), rng.uniform(0.98, 1.02, 3).astype(np.float32)
    image = image * (cast * (1 - haze)) + 190 * haze
    return np.clip(image, 0, 255).round().astype(np.uint8), ids


@dataclass(frozen=True)
class _Scene:
    """A city being drawn in picture coordinates: 0..1 from the upper left corner."""

    rng: Generator
    picture: ImageDraw.ImageDraw
    labels: ImageDraw.ImageDraw
    label_image: Image.Image
    crowns: Points  # (8, 16, 2): outlines of treetops of radius 1
    green: Points

    def paint(self, outline: Points, colour: Points, label: int | None) -> None:
        """Fill an outline; a label of None leaves the labels alone (shadows, lane marks, roofs)."""
        flat = (outline * self.label_image.width).ravel().tolist()
        red, green, blue = colour.tolist()
        self.picture.polygon(flat, fill=(int(red), int(green), int(blue)))
        if label is not None:
            self.labels.polygon(flat, fill=label)

    def stroke(self, line: Points, width: float, colour: Points, label: int | None) -> None:
        along = np.gradient(line, axis=0)
        aside = along[:, ::-1] * (-0.5, 0.5) * width / np.linalg.norm(along, axis=1, keepdims=True)
        self.paint(np.concatenate([line + aside, (line - aside)[::-1]]), colour, label)

    def is_free(self, points: Points, allowed: tuple[int, ...] = (LAND, VEGETATION)) -> bool:
        """Say whether every point has an allowed label, leaving out the points outside the picture."""
        side, image = self.label_image.width, self.label_image
        return all(
            image.getpixel((int(x), int(y))) in allowed
            for x, y in (points * side).tolist()
            if 0 <= x < side and 0 <= y < side
        )

    def plant(self, middle: Points, radius: float, count: int) -> None:
        """Scatter trees and bushes around a place, on free ground."""
        for spot in middle + self.rng.normal(0, 0.6 * radius, (count, 2)):
            if self.is_free(spot[None]):
                crown = self.crowns[self.rng.integers(8)] * self.rng.uniform(0.008, 0.02) + spot
                self.paint(crown, self.green * self.rng.uniform(0.75, 1.15), VEGETATION)


def _draw_city(scene: _Scene, sand: Points) -> None:
    """Draw sand, streets, water, buildings and plants; the later may cover the earlier."""
    rng = scene.rng
    for _ in range(10):  # stains and tracks in the sand
        patch = blob(rng, 0.3) * rng.uniform(0.03, 0.15, 2) + rng.uniform(0, 1, 2)
        scene.paint(patch, sand * rng.uniform(0.82, 1.12), None)
        track = rounded(rng.uniform(-0.2, 1.2, (4, 2)))[:20]
        scene.stroke(track, rng.uniform(0.002, 0.006), sand * rng.uniform(0.82, 1.12), None)
    for _ in range(rng.integers(1, 4)):  # parks and scrub
        middle, radius = rng.uniform(0, 1, 2), rng.uniform(0.05, 0.13)
        scene.paint(blob(rng, 0.35) * radius + middle, scene.green, VEGETATION)
        scene.plant(middle, radius, 15)
    turn, bend, phase = rng.uniform(0, pi / 2), rng.uniform(0, 0.07, 2), rng.uniform(0, 2 * pi, 2)
    rotation = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])

    def placed(points: Points) -> Points:
        """Turn street coordinates into picture coordinates: bent, turned, moved to the middle."""
        moved: Points = (points + bend * np.sin(5 * points[..., ::-1] + phase)) @ rotation + 0.5
        return moved

    asphalt = np.array([1.0, 0.93, 0.97]) * rng.uniform(75, 120)
    columns, rows = (np.cumsum(rng.uniform(0.12, 0.24, 12)) - 1.1 for _ in range(2))
    main = rng.integers(4, 7, 2)
    for number in range(12):
        for axis, (own, other) in enumerate(((columns, rows), (rows, columns))):
            wide = number == main[axis]
            ends = (-1.0, 1.0) if wide else np.sort(rng.choice(other, 2, replace=False))
            run = np.linspace(ends[0], ends[1], 150)
            ways = np.stack([np.full(150, own[number]), run], axis=1)  # (150, 2)
            line = placed(ways[:, ::-1] if axis else ways)
            width = 0.03 if wide else 0.014
            scene.stroke(line, width + 0.01, sand * 0.88, None)  # verge
            scene.stroke(line, width, asphalt, ROAD)
            for start in range(0, 149, 3 if wide else 150):
                scene.stroke(line[start : start + 2], 0.002, asphalt + 70, None)
    centre = placed(np.array([columns[main[0]], rows[main[1]]]))
    if rng.random() < 0.5:  # a roundabout
        scene.paint(blob(rng, 0) * 0.045 + centre, asphalt, ROAD)
        scene.paint(blob(rng, 0) * 0.024 + centre, scene.green, VEGETATION)
    _draw_water(scene, sand)
    shadow, density = rng.normal(0, 0.012, 2), rng.uniform(0.5, 0.9)
    for left, right in pairwise(columns.tolist()):
        for top, bottom in pairwise(rows.tolist()):
            middle = placed(np.array([left + right, top + bottom]) / 2)
            if np.abs(middle - 0.5).max() < 0.65 and rng.random() < density:
                box = (left + 0.014, top + 0.014, right - 0.014, bottom - 0.014)
                _draw_block(scene, placed, box, shadow, sand)
    for spot in rng.uniform(0, 1, (25, 2)):
        scene.plant(spot, rng.uniform(0.01, 0.04), 5)


def _draw_water(scene: _Scene, sand: Points) -> None:
    """Draw lagoons and, in some scenes, a coast (the edge of a huge blob), behind wet sand."""
    rng = scene.rng
    tones = np.array([(15, 24, 20), (12, 52, 26), (45, 36, 15), (18, 80, 82), (55, 135, 145)])
    for coast in (rng.random() < 0.4, *(False,) * int(rng.integers(1, 4))):
        angle = rng.uniform(0, 2 * pi)
        middle = np.array([np.cos(angle), np.sin(angle)]) * (1.2 if coast else rng.uniform(0.1, 0.5))
        radius = rng.uniform(0.8, 1.05, 2) if coast else rng.uniform(0.04, 0.13, 2)
        shore = blob(rng, 0.07 if coast else 0.16)
        tone = tones[rng.choice(5, p=(0.45, 0.2, 0.1, 0.15, 0.1))] * rng.uniform(0.7, 1.2)
        if coast or scene.is_free(shore * (radius + 0.01) + middle + 0.5, (LAND, VEGETATION, ROAD)):
            scene.paint(shore * (radius + 0.008) + middle + 0.5, sand * 0.8, LAND)
            scene.paint(shore * radius + middle + 0.5, tone, WATER)


def _draw_block(
    scene: _Scene,
    placed: Callable[[Points], Points],
    box: tuple[float, float, float, float],
    shadow: Points,
    sand: Points,
) -> None:
    """Fill a block between streets with rows of houses, long sheds or towers, and shadows."""
    rng = scene.rng
    left, top, right, bottom = box
    corners = placed(np.array([(left, top), (right, top), (right, bottom), (left, bottom)]))
    if scene.is_free(corners):  # paved or dug ground
        scene.paint(corners, sand * rng.uniform(0.75, 1.05), LAND)
    kinds = ((0.05, 0.04, 0.4), (0.12, 0.055, 0.5), (0.075, 0.065, 1.2))
    wide, deep, height = kinds[rng.choice(3, p=(0.6, 0.2, 0.2))]
    # tiles, white plaster, dark sheet metal: none of them the tone of sand
    roofs = np.array([(178.0, 122.0, 96.0), (238.0, 236.0, 228.0), (92.0, 100.0, 118.0)])
    roof, dark = roofs[rng.choice(3, p=(0.4, 0.4, 0.2))], np.array([48.0, 46.0, 50.0])
    across = np.arange(left + wide / 2, right - wide / 2, wide * 1.2)
    along = np.arange(top + deep / 2, bottom - deep / 2, deep * 1.4)
    middles = np.stack(np.meshgrid(across, along), axis=-1).reshape(-1, 1, 2)  # (N, 1, 2)
    halves = np.array([wide, deep]) / 2 * rng.uniform(0.75, 1.05, middles.shape)
    square = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)])
    houses = placed(square * halves + middles)  # (N, 4, 2)
    slopes = placed(square * (1, 0.5) * halves + halves * (0, 0.5) + middles)
    units = placed(square * 0.004 + halves * rng.uniform(-0.7, 0.7, middles.shape) + middles)
    for house, slope, unit in zip(houses, slopes, units, strict=True):
        if rng.random() < 0.15 or not scene.is_free(house):
            scene.plant(house[0], wide / 2, 2)
            continue
        tone = roof * rng.uniform(0.8, 1.1)
        for part in (0.5 * height, height):
            scene.paint(house + part * shadow, dark, None)
        scene.paint(house, tone, BUILDING)
        scene.paint(slope, tone * 0.86, None)
        scene.paint(unit, tone * rng.uniform(0.6, 1.2), None)
