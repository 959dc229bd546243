"""Pictures beside what was expected and what came: where a network is wrong, to look at."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import PIL.Image
from numpy.typing import NDArray
from PIL import ImageDraw, ImageFont

from ...config import IGNORE, SegmentationConfig
from ...render import UNKNOWN, overlay

SIDE, GAP, HEAD = 256, 8, 26  # pixels
LONGEST = 1024
TITLES = ("picture", "truth", "prediction", "errors")
MISSED, FALSE, MIXED_UP = (38, 132, 255), (255, 122, 24), (214, 40, 120)
INK, SOFT = "#1f2933", "#66727f"


def thinned(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Every n-th row and column of (H,W) or (H,W,3), below twice LONGEST a side: enough for a panel, in little memory.

    The original where it is no larger than that; thinned again nothing changes.
    """
    step = max(1, max(pixels.shape[:2]) // LONGEST)
    return np.ascontiguousarray(pixels[::step, ::step])


def panel_row(
    caption: str,
    picture: NDArray[np.uint8],
    truth: NDArray[np.uint8],
    labels: NDArray[np.uint8],
    config: SegmentationConfig,
) -> PIL.Image.Image:
    """One picture (H,W,3) alone, under its truth (H,W), under its labels (H,W), and where these two differ.

    Errors: missed is a class called background, false is background called a class, mixed up is any other.
    """
    picture, truth, labels = thinned(picture), thinned(truth), thinned(labels)
    known = truth != IGNORE
    expected = overlay(picture, np.where(known, truth, 0), config)
    expected[~known] = UNKNOWN
    parts = (picture, expected, overlay(picture, labels, config), _errors(picture, truth, labels, config))
    height, width = truth.shape
    share = SIDE / max(height, width)
    h, w = max(1, round(height * share)), max(1, round(width * share))
    row = PIL.Image.new("RGB", (len(parts) * (SIDE + GAP) + GAP, HEAD + h + GAP), "white")
    ImageDraw.Draw(row).text((GAP, HEAD / 2), caption, fill=INK, font=ImageFont.load_default(size=14), anchor="lm")
    for i, part in enumerate(parts):
        row.paste(
            PIL.Image.fromarray(part).resize((w, h), PIL.Image.Resampling.LANCZOS), (GAP + i * (SIDE + GAP), HEAD)
        )
    return row


def panel(rows: Sequence[PIL.Image.Image], config: SegmentationConfig) -> PIL.Image.Image:
    """Rows below each other under the titles of their columns, with what the colours of errors mean."""
    sheet = PIL.Image.new("RGB", (rows[0].width, HEAD + sum(row.height for row in rows)), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=14)
    for i, title in enumerate(TITLES):
        draw.text((GAP + i * (SIDE + GAP), HEAD / 2), title, fill=SOFT, font=font, anchor="lm")
    right = rows[0].width - GAP
    names = [("mixed up", MIXED_UP)] if len(config.labels) > 2 else []
    if config.background is not None:
        names += [("false", FALSE), ("missed", MISSED)]
    for word, color in names:
        draw.text((right, HEAD / 2), word, fill=color, font=font, anchor="rm")
        right -= round(draw.textlength(word, font=font)) + 10
    top = HEAD
    for row in rows:
        sheet.paste(row, (0, top))
        top += row.height
    return sheet


def _errors(
    picture: NDArray[np.uint8], truth: NDArray[np.uint8], labels: NDArray[np.uint8], config: SegmentationConfig
) -> NDArray[np.uint8]:
    grey = picture.astype(np.float32).mean(axis=2, keepdims=True)
    shown: NDArray[np.uint8] = np.repeat((40 + 0.6 * grey).astype(np.uint8), 3, axis=2)
    wrong = (truth != labels) & (truth != IGNORE)
    shown[wrong] = MIXED_UP
    if config.background is not None:
        shown[wrong & (labels == 0)] = MISSED
        shown[wrong & (truth == 0)] = FALSE
    shown[truth == IGNORE] = UNKNOWN
    return shown
