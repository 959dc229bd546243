"""What is drawn on the paper, as the picture that is sent: pure functions, run in a real browser."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import PIL.Image
import pytest
from numpy.typing import NDArray
from playwright.sync_api import Browser
from viewing import desk

PAGE = """<!doctype html><html lang="en"><title>ink</title><link rel="icon" href="data:,"><script type="module">
import { centred, inked, SIDE } from "./viewer/ink.js";
import { greyPng } from "./viewer/png.js";
Object.assign(window, {
  drawn: (strokes) => Array.from(centred(inked(strokes.map((line) => line.map(([x, y]) => ({ x, y })))))),
  put: (rows) => Array.from(
    centred({ width: rows[0].length, height: rows.length, values: Float32Array.from(rows.flat()) })),
  png: async (rows) => Array.from(new Uint8Array(
    await (await greyPng(Uint8Array.from(rows.flat()), rows[0].length, rows.length)).arrayBuffer())),
  ready: true,
});
</script></html>"""
SEVEN = np.array([(0.0, 0.0), (0.6, 0.0), (0.2, 1.0)])
Grey = NDArray[np.uint8]
Call = Callable[[str, Any], Any]


@pytest.fixture(scope="module")
def call(browser: Browser) -> Iterator[Call]:
    """Call a function of the page with an argument."""
    with desk(PAGE) as served:
        page = browser.new_page()
        page.goto(served.address)
        page.wait_for_function("window.ready")
        yield lambda name, given: page.evaluate(f"given => {name}(given)", given)
        page.close()


def picture(call: Call, name: str, given: Any) -> Grey:  # noqa: ANN401, JSON
    return np.array(call(name, given), np.uint8).reshape(28, 28)


def middle(grey: Grey) -> tuple[float, float]:
    """Row and column of the centre of mass."""
    at, shares = np.arange(28) + 0.5, grey / grey.sum()
    return float(at @ shares.sum(axis=1)), float(at @ shares.sum(axis=0))


def extent(grey: Grey) -> tuple[int, int]:
    """Height and width of what is not paper."""
    return tuple(int(np.ptp(np.nonzero(grey.any(axis=axis))[0])) + 1 for axis in (1, 0))  # type: ignore[return-value]


def test_a_seven_in_a_corner_is_the_seven_in_the_middle(call: Call) -> None:
    large = picture(call, "drawn", [(SEVEN * 0.8 + 0.1).tolist()])
    assert extent(large) == (20, 13)  # the pen is as wide beside what it drew as above it
    assert large.max() == 255
    assert np.abs(np.array(middle(large)) - 14).max() <= 0.5
    for size, corner in ((0.2, (0.0, 0.0)), (0.3, (0.75, 0.1)), (0.5, (0.1, 0.45))):
        small = picture(call, "drawn", [(SEVEN * size + corner).tolist()])
        assert np.abs(small.astype(int) - large).max() <= 2, (size, corner)
    # in many points, or as two strokes, it is the same ink
    fine = np.concatenate([np.linspace(a, b, 30) for a, b in pairwise(SEVEN)]) * 0.8 + 0.1
    parts = [(SEVEN[:2] * 0.8 + 0.1).tolist(), (SEVEN[1:] * 0.8 + 0.1).tolist()]
    for strokes in ([fine.tolist()], parts):
        assert np.abs(picture(call, "drawn", strokes).astype(int) - large).max() <= 2


def test_any_drawing_fits_20_pixels_with_its_centre_of_mass_in_the_middle(call: Call) -> None:
    rng = np.random.default_rng(0)
    for _ in range(30):
        low, size = rng.uniform(0, 0.5, 2), rng.uniform(0.05, 0.5, 2)
        strokes = [(low + size * rng.random((rng.integers(1, 6), 2))).tolist() for _ in range(rng.integers(1, 4))]
        grey = picture(call, "drawn", strokes)
        assert max(extent(grey)) in (19, 20)  # an edge that covers next to nothing of a pixel is no grey
        (top, left), (bottom, right) = np.argwhere(grey).min(axis=0), np.argwhere(grey).max(axis=0) + 1
        for off, begin, end in zip(middle(grey), (top, left), (bottom, right), strict=True):
            assert abs(off - 14) <= 0.55 or begin <= 1 or end >= 27  # or it would stick out
    dot, line = picture(call, "drawn", [[(0.3, 0.9)]]), picture(call, "drawn", [[(0.3, 0.2), (0.3, 0.8)]])
    assert extent(dot) == (20, 20)
    assert extent(line) == (20, 2)


def test_ink_is_reduced_with_its_edges_and_keeps_its_aspect(call: Call) -> None:
    block = np.zeros((80, 90))
    block[40:60, 3:43] = 1  # 20 x 40 in a corner: 10 x 20 in the middle
    expected = np.zeros((28, 28), np.uint8)
    expected[9:19, 4:24] = 255
    np.testing.assert_array_equal(picture(call, "put", block.tolist()), expected)
    board = np.indices((40, 40)).sum(axis=0) % 2  # half of each pixel
    expected[4:24, 4:24] = 128
    np.testing.assert_array_equal(picture(call, "put", board.tolist()), expected)
    edge = np.zeros((30, 30))
    edge[0, 0] = edge[:, 10:] = 1  # 30 to 20: a pixel covers one and a half
    found = picture(call, "put", edge.tolist())
    row = found[np.nonzero(found.any(axis=1))[0][5]]
    assert row[row > 0][0] == round(255 / 3)  # columns 9 to 10.5, of which half a one is ink
    assert not picture(call, "put", np.zeros((5, 5)).tolist()).any()


def test_the_png_holds_each_pixel_as_it_is(call: Call) -> None:
    pixels = np.arange(13 * 20, dtype=np.uint8).reshape(13, 20)
    data = bytes(call("png", pixels.tolist()))
    with PIL.Image.open(io.BytesIO(data)) as opened:
        opened.verify()
    with PIL.Image.open(io.BytesIO(data)) as opened:
        assert opened.mode == "L"
        np.testing.assert_array_equal(np.asarray(opened), pixels)
