"""Shapes as pixels, checked against GDAL and against the rule itself; codings of masks, there and back."""

import base64
import contextlib
import io
import zlib

import numpy as np
import PIL.Image
import pytest
import shapely
from annotation_codes import compressed, packed, png
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from rasterio.features import rasterize

from unetseg.formats.annotation_shapes import (
    Ellipse,
    Polygons,
    Runs,
    Shape,
    brush_mask,
    checked_runs,
    coco_lengths,
    drawn,
    mask_of,
    picture_mask,
    runs_of,
)

MASKS = arrays(np.bool_, st.tuples(st.integers(1, 9), st.integers(1, 9)))
RING = st.lists(st.tuples(st.floats(-5, 25), st.floats(-5, 25)), min_size=3, max_size=8).map(np.array)


def filled(shape: Shape, height: int = 20, width: int = 20) -> NDArray[np.bool_]:
    """(H,W) bool, of the whole picture."""
    whole = np.zeros((height, width), dtype=bool)
    window, inside = drawn(shape, height, width)
    whole[window] = inside
    return whole


def polygon(*corners: tuple[float, float]) -> Polygons:
    return Polygons(((np.array(corners, dtype=float),),))


def test_a_rectangle_has_the_pixels_whose_centres_it_holds() -> None:
    """4 x 3 pixels, where a drawn outline would add a row and a column."""
    expected = np.zeros((20, 20), dtype=bool)
    expected[2:5, 1:5] = True
    assert (filled(polygon((1, 2), (5, 2), (5, 5), (1, 5))) == expected).all()
    assert (filled(polygon((0.6, 1.6), (4.6, 1.6), (4.6, 4.6), (0.6, 4.6))) == expected).all()


@given(RING)
def test_polygons_are_filled_as_gdal_does(ring: NDArray[np.float64]) -> None:
    """Also such that cross themselves; where no centre lies on the outline, on which GDAL is of two minds."""
    shape = shapely.Polygon(ring)
    grid = shapely.points(*np.meshgrid(np.arange(20) + 0.5, np.arange(20) + 0.5))
    near = shapely.distance(shape.exterior, grid) < 1e-6
    if shape.area:
        burnt = rasterize([(shape, 1)], (20, 20)).astype(bool)
        assert (filled(Polygons(((ring,),))) == burnt)[~near].all()


@given(st.floats(-3, 23), st.floats(-3, 23), st.floats(-3, 23), st.floats(-3, 23))
def test_neighbours_share_no_pixel_and_leave_none_out(x: float, y: float, top: float, bottom: float) -> None:
    """Four triangles around any point, and two parts along any line, make the whole square."""
    corners = [(0.0, 0.0), (20.0, 0.0), (20.0, 20.0), (0.0, 20.0)]
    x, y = np.clip((x, y), 0, 20)
    around = [filled(polygon(corners[i], corners[(i + 1) % 4], (x, y))) for i in range(4)]
    assert (np.sum(around, axis=0) == 1).all()
    top, bottom = np.clip((top, bottom), 0, 20)
    left = filled(polygon((0, 0), (top, 0), (bottom, 20), (0, 20)))
    right = filled(polygon((bottom, 20), (top, 0), (20, 0), (20, 20)))
    assert (left ^ right).all()


def test_holes_are_those_of_their_own_part() -> None:
    outer, hole = np.array([[0, 0], [10, 0], [10, 10], [0, 10]]), np.array([[2, 2], [8, 2], [8, 8], [2, 8]])
    island = np.array([[4, 4], [6, 4], [6, 6], [4, 6]])
    expected = np.zeros((20, 20), dtype=bool)
    expected[:10, :10] = True
    expected[2:8, 2:8] = False
    assert (filled(Polygons(((outer, hole),))) == expected).all()
    expected[4:6, 4:6] = True
    assert (filled(Polygons(((outer, hole), (island,)))) == expected).all()


def test_shares_of_a_picture_are_scaled() -> None:
    shape = Polygons(((np.array([[0.25, 0.5], [0.75, 0.5], [0.75, 1], [0.25, 1]]),),), relative=True)
    expected = np.zeros((6, 8), dtype=bool)
    expected[3:, 2:6] = True
    assert (filled(shape, 6, 8) == expected).all()


@pytest.mark.parametrize("degrees", [0, 30, 90])
def test_an_ellipse_holds_the_centres_within_its_radii(degrees: float) -> None:
    rows, columns = np.mgrid[:20, :20] + 0.5
    turned = np.exp(-1j * np.radians(degrees)) * (columns - 9.3 + 1j * (rows - 8.8))
    expected = (turned.real / 7) ** 2 + (turned.imag / 3) ** 2 <= 1
    assert (filled(Ellipse(9.3, 8.8, 7, 3, degrees)) == expected).all()
    assert filled(Ellipse(10, 10, 0.5, 0.5)).sum() == 0
    assert filled(Ellipse(10.5, 10.5, 1, 1)).sum() == 5


@given(MASKS, st.integers(-12, 24), st.integers(-12, 24))
def test_runs_are_the_mask_wherever_it_lies(mask: NDArray[np.bool_], left: int, top: int) -> None:
    runs = runs_of(mask, left=left, top=top)
    assert (mask_of(runs) == mask).all()
    around = np.zeros((60, 60), dtype=bool)
    around[20 + top : 20 + top + mask.shape[0], 20 + left : 20 + left + mask.shape[1]] = mask
    assert (filled(runs) == around[20:40, 20:40]).all()
    down = runs_of(mask.T)
    assert (mask_of(Runs(down.lengths, *mask.shape, by_columns=True)) == mask).all()


@given(st.lists(st.integers(0, 2**26), max_size=12))
def test_compressed_runs_come_back(lengths: list[int]) -> None:
    assert coco_lengths(compressed(lengths)).tolist() == lengths


@pytest.mark.parametrize(
    ("text", "lengths"),
    [("6320004", [6, 3, 2, 3, 2, 3, 6]), ("122O", [1, 2, 2, 1]), ("Z11", [42, 1]), ("", [])],
)
def test_compressed_runs_are_those_of_the_coco_api(text: str, lengths: list[int]) -> None:
    """Written by pycocotools 2.0.11."""
    assert coco_lengths(text).tolist() == lengths


@pytest.mark.parametrize("text", ["P", "0o", "\x00", "12é", "~", "PPPPPPPPPPPP0"])
def test_damaged_compressed_runs_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="damaged"):
        coco_lengths(text)


@pytest.mark.parametrize(
    ("lengths", "size", "match"),
    [
        ([3, 3], (2, 2), "6 pixels, and its mask has 4"),
        ([-1, 5], (2, 2), "not lengths"),
        ([2**70], (2, 2), "not lengths"),
        ([1.5, 2.5], (2, 2), "whole numbers"),
        ([4], (0, 4), "million pixels"),
        ([10**10], (10**5, 10**5), "million pixels"),
    ],
)
def test_runs_that_do_not_fit_are_refused(lengths: list[int], size: tuple[int, int], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        checked_runs(lengths, *size)


@given(MASKS)
def test_a_brush_comes_back(mask: NDArray[np.bool_]) -> None:
    assert (brush_mask(packed(mask), *mask.shape) == mask).all()


@given(st.binary(max_size=40))
def test_a_damaged_brush_is_refused_or_read(coded: bytes) -> None:
    with contextlib.suppress(ValueError):
        assert brush_mask(bytes([0, 0, 0, 24]) + coded, 2, 3).shape == (2, 3)


def test_a_cut_off_brush_is_refused() -> None:
    coded = packed(np.eye(5, dtype=bool))
    for end in range(len(coded) - 1):
        with pytest.raises(ValueError, match="its brush"):
            brush_mask(coded[:end], 5, 5)
    with pytest.raises(ValueError, match=r"100 numbers of 8 bits, expected 120"):
        brush_mask(coded, 5, 6)


def test_a_mask_in_a_png_is_what_is_not_transparent_or_not_0() -> None:
    mask = np.eye(4, 5, dtype=bool)
    indexed = PIL.Image.fromarray(mask.astype(np.uint8)).convert("P")
    indexed.putpalette([0, 0, 0, 255, 255, 255])
    file = io.BytesIO()
    indexed.save(file, format="PNG", transparency=0)
    colours = np.dstack([np.full((4, 5, 3), 9, np.uint8), mask.astype(np.uint8) * 255])
    for data in (
        png(mask),
        png(mask.astype(np.uint8)),
        png(mask.astype(np.uint8) * 255),
        file.getvalue(),
        png(colours),
    ):
        text = base64.b64encode(data).decode()
        assert (picture_mask(text, most=20) == mask).all()
        deflated = base64.b64encode(zlib.compress(data)).decode()
        assert (picture_mask(deflated, most=20, deflated=True) == mask).all()


def test_masks_that_are_damaged_or_too_large_are_refused() -> None:
    data = png(np.ones((40, 40), dtype=np.uint8))
    bomb = base64.b64encode(zlib.compress(b"\0" * 10**7)).decode()
    for text, deflated, match in (
        (base64.b64encode(data).decode(), False, "40 x 40 is larger"),
        ("?", False, "damaged"),
        (base64.b64encode(b"nothing").decode(), True, "damaged"),
        (base64.b64encode(data[:60]).decode(), False, "no whole PNG"),
        (bomb, True, "larger than its picture"),
    ):
        with pytest.raises(ValueError, match=match):
            picture_mask(text, most=1000 if "40" in match else 2000, deflated=deflated)


def test_what_lies_far_away_has_no_pixels() -> None:
    for shape in (
        polygon((1e300, 0), (1e300, 5), (1e308, 5)),
        Ellipse(1e12, 1, 3, 3),
        polygon((-9, 0), (-5, 0), (-5, 9)),
    ):
        assert not filled(shape).any()
    assert filled(polygon((-1e300, -1e300), (1e300, -1e300), (1e300, 1e300), (-1e300, 1e300))).all()
