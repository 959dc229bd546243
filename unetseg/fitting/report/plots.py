"""Line charts and reliability diagrams as PNG, drawn with Pillow alone."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import Any

import PIL.Image
from PIL import ImageDraw, ImageFont

Point = tuple[float, float]

INK, SOFT, GRID, PAPER = "#1f2933", "#66727f", "#e4e8ec", "#ffffff"
BLUE, ORANGE, GREEN = "#1f6fb4", "#e4572e", "#2a9d5c"
FINE = 3  # drawn so many times larger and reduced, which smooths every line
LEFT, RIGHT, TOP, BOTTOM = 62, 18, 60, 48  # margins around the axes
CLASSES = 12  # a picture of more would be too tall to look at


class Chart:
    """One pair of axes, from 0 to 1 unless told otherwise; sizes in pixels of the finished picture."""

    def __init__(
        self, title: str, x_label: str, y_label: str, *, width: int = 460, height: int = 380,
        x_range: Point = (0, 1), y_range: Point = (0, 1),
    ) -> None:  # fmt: skip
        self.width, self.height, self.x_range, self.y_range = width, height, x_range, y_range
        self.picture = PIL.Image.new("RGB", (width * FINE, height * FINE), PAPER)
        self.draw = ImageDraw.Draw(self.picture)
        for i in range(6):
            x = x_range[0] + i / 5 * (x_range[1] - x_range[0])
            y = y_range[0] + i / 5 * (y_range[1] - y_range[0])
            self.line([(x, y_range[0]), (x, y_range[1])], GRID, 1)
            self.line([(x_range[0], y), (x_range[1], y)], GRID, 1)
            self.text(*self._place((x, y_range[0])), f"{x:g}", offset=(0, 8), anchor="ma")
            self.text(*self._place((x_range[0], y)), f"{y:.3g}", offset=(-9, 0), anchor="rm")
        self.line([(x_range[0], y_range[1]), (x_range[0], y_range[0]), (x_range[1], y_range[0])], SOFT, 1.2)
        self.text(LEFT * FINE, 20 * FINE, title, color=INK, size=16, anchor="lm")
        self.text((LEFT + width - RIGHT) / 2 * FINE, (height - 13) * FINE, x_label, anchor="mm")
        label = PIL.Image.new("RGB", ((height - TOP - BOTTOM) * FINE, 20 * FINE), PAPER)
        ImageDraw.Draw(label).text((label.width / 2, label.height / 2), y_label, fill=SOFT, font=_font(13), anchor="mm")
        self.picture.paste(label.rotate(90, expand=True), (2 * FINE, TOP * FINE))

    def line(self, points: Sequence[Point], color: str, width: float = 2.5, *, dashed: bool = False) -> None:
        """A line through points (x, y) in the units of the axes; nothing for fewer than two."""
        places = [self._place(point) for point in points]
        if len(places) < 2:
            return
        if dashed:
            (x0, y0), (x1, y1) = places[0], places[-1]
            for i in range(0, 70, 2):
                part = [(x0 + (x1 - x0) * t / 70, y0 + (y1 - y0) * t / 70) for t in (i, i + 1)]
                self.draw.line(part, fill=color, width=round(width * FINE))
        else:
            self.draw.line(places, fill=color, width=round(width * FINE), joint="curve")

    def dots(self, points: Sequence[Point], color: str, radius: float = 4) -> None:
        """A filled circle with a white rim at each point."""
        for x, y in (self._place(point) for point in points):
            for r, fill in ((radius + 1.2, PAPER), (radius, color)):
                self.draw.ellipse((x - r * FINE, y - r * FINE, x + r * FINE, y + r * FINE), fill=fill)

    def bars(self, heights: Sequence[float], color: str) -> None:
        """Equally wide bars from the bottom over the whole width of the axes."""
        low, high = self.x_range
        step = (high - low) / len(heights)
        for i, height in enumerate(heights):
            left, top = self._place((low + (i + 0.08) * step, height))
            right, bottom = self._place((low + (i + 0.92) * step, self.y_range[0]))
            if top < bottom:
                self.draw.rectangle((left, top, right, bottom), fill=color)

    def key(self, entries: Sequence[tuple[str, str]]) -> None:
        """Names in their colours under the title, where no line can run."""
        right = float((self.width - RIGHT) * FINE)
        for name, color in reversed(entries):
            self.text(right, 42 * FINE, name, color=color, anchor="rm")
            right -= self.draw.textlength(name, font=_font(13)) + 12 * FINE

    def text(
        self, x: float, y: float, words: str, *, color: str = SOFT, size: int = 13, anchor: str = "lm",
        offset: Point = (0, 0),
    ) -> None:  # fmt: skip
        """Words at a place of the enlarged picture; anchor: as Pillow names them."""
        place = (x + offset[0] * FINE, y + offset[1] * FINE)
        self.draw.text(place, words, fill=color, font=_font(size), anchor=anchor)

    def finished(self) -> PIL.Image.Image:
        """The chart at its own size."""
        return self.picture.reduce(FINE)

    def _place(self, point: Point) -> Point:
        (x0, x1), (y0, y1) = self.x_range, self.y_range
        across = (point[0] - x0) / (x1 - x0) * (self.width - LEFT - RIGHT) + LEFT
        down = (y1 - point[1]) / (y1 - y0) * (self.height - TOP - BOTTOM) + TOP
        return across * FINE, down * FINE


def least_calibrated(report: dict[str, Any]) -> list[str]:
    """Of the classes of `calibration.json`, in their order, at most CLASSES: those with the largest error after."""
    errors: dict[str, float] = report["error"]["after"]["everywhere"]["by_class"]
    chosen = sorted(errors, key=lambda name: -errors[name])[:CLASSES]
    return [name for name in errors if name in chosen]


def reliability_picture(report: dict[str, Any]) -> bytes:
    """A PNG of `calibration.json`: by class (`least_calibrated`) a row, left all pixels, right those near a boundary.

    The share of pixels that have the class against p(class), before and after; behind them, how the pixels spread
    over p(class), on a logarithmic scale.
    """
    before, after = report["reliability"]["before"], report["reliability"]["after"]
    rows = []
    for name in least_calibrated(report):
        row = []
        for place, bins in before.items():
            words = "whole picture" if place == "everywhere" else place.replace("_", " ") + " of a boundary"
            chart = Chart(f"{name}, {words}", f"probability of {name}", f"share that is {name}")
            chart.bars(_logarithmic(after[place][name]["pixels"]), "#dfe9f3")
            chart.line([(0, 0), (1, 1)], SOFT, 1.3, dashed=True)
            entries = []
            for label, color, found, errors in (
                ("before", ORANGE, bins[name], report["error"]["before"]),
                ("after", BLUE, after[place][name], report["error"]["after"]),
            ):
                points = [
                    (p, f) for p, f in zip(found["probability"], found["frequency"], strict=True) if p is not None
                ]
                chart.line(points, color)
                chart.dots(points, color)
                entries.append((f"{label}: error {errors[place]['by_class'][name]:.4f}", color))
            chart.key(entries)
            row.append(chart.finished())
        rows.append(row)
    return as_png(rows, _heading(report))


def threshold_picture(report: dict[str, Any], names: Sequence[str], thresholds: Sequence[float]) -> bytes:
    """A PNG of `calibration.json`: by class (`least_calibrated`) scores at every threshold, and the chosen one."""
    charts = []
    limits = report["curve"]["thresholds"]
    threshold_of = dict(zip(names, thresholds, strict=True))
    for name in least_calibrated(report):
        chosen = threshold_of[name]
        chart = Chart(f"{name} at {chosen:g}", f"threshold on the probability of {name}", "score")
        chart.line([(chosen, 0), (chosen, 1)], SOFT, 1.5, dashed=True)
        for key, color in (("precision", GREEN), ("recall", ORANGE), ("dice", BLUE)):
            curve = report["curve"][name][key]
            points = [(t, v) for t, v in zip(limits, curve, strict=True) if v is not None]
            chart.line(points, color, 3 if key == "dice" else 2)
        best = dict(zip(limits, report["curve"][name]["dice"], strict=True)).get(chosen)
        entries = [("precision", GREEN), ("recall", ORANGE), ("Dice", BLUE)]
        if best is not None:
            chart.dots([(chosen, best)], BLUE, 5)
            entries[2] = (f"Dice {best:.3f}", BLUE)
        chart.key(entries)
        charts.append(chart.finished())
    return as_png([charts[i : i + 2] for i in range(0, len(charts), 2)], _heading(report))


def as_png(rows: Sequence[Sequence[PIL.Image.Image]], heading: str = "") -> bytes:
    """Pictures in rows, from the left, under a heading where there is one, as one PNG."""
    top = 40 if heading else 0
    width, height = max(sum(p.width for p in row) for row in rows), sum(max(p.height for p in row) for row in rows)
    sheet = PIL.Image.new("RGB", (width, top + height), PAPER)
    if heading:
        font = ImageFont.load_default(size=16)
        ImageDraw.Draw(sheet).text((LEFT, top / 2 + 4), heading, fill=INK, font=font, anchor="lm")
    for row in rows:
        left = 0
        for picture in row:
            sheet.paste(picture, (left, top))
            left += picture.width
        top += max(picture.height for picture in row)
    file = io.BytesIO()
    # median cut would mix the thin lines' colours with others in a tall picture
    colours = sheet.quantize(256, method=PIL.Image.Quantize.MAXCOVERAGE, dither=PIL.Image.Dither.NONE)
    colours.save(file, format="PNG", optimize=True)
    return file.getvalue()


def _heading(report: dict[str, Any]) -> str:
    count = len(report["error"]["after"]["everywhere"]["by_class"])
    return f"The {CLASSES} of {count} classes with the largest calibration error" if count > CLASSES else ""


def _logarithmic(pixels: Sequence[int]) -> list[float]:
    """Heights from 0 to 0.3, by the logarithm of each count."""
    return [0.3 * math.log1p(n) / math.log1p(max(1, *pixels)) for n in pixels]


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size=size * FINE)
