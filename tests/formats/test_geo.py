"""TIFFs of every kind, written here by rasterio, tifffile and Pillow, and what is read from and written to them."""

import io
import re
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import tifffile
from configs import PALETTE, config_for
from numpy.typing import NDArray
from PIL import Image as Pillow
from pyproj import Geod
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.enums import ColorInterp, Resampling
from rasterio.transform import Affine

from unetseg.formats import Image, read_mask
from unetseg.formats.geo import read_raster, read_raster_numbers
from unetseg.formats.geo_writer import write_labels_raster, write_probabilities_raster
from unetseg.formats.ground import Raster
from unetseg.formats.raster import is_simple_tiff, read_picture
from unetseg.prepare import ranges

UTM = {"crs": "EPSG:32633", "transform": Affine(5, 0, 500_000, 0, -5, 5_000_000)}
TURNED = Affine(1.732, 1.5, 500_000, 1, -2.598, 5_000_000)
GRADIENT = np.arange(48, dtype=np.uint8).reshape(6, 8) * 5
COLOUR = np.stack([GRADIENT, GRADIENT[::-1], 255 - GRADIENT])  # (C,H,W)
NOISE = np.random.default_rng(0).integers(1, 255, (6, 8), dtype=np.uint8)
NAMES = tuple("abcd")
GRAY = config_for("binary")


def written(path: Path, bands: NDArray[Any], after: dict[str, Any] | None = None, **profile: object) -> Path:
    """(C,H,W) as rasterio writes it by default; `after`: what is set on the open file."""
    count, height, width = bands.shape
    profile = {**UTM, **profile}
    with rasterio.open(
        path, "w", driver="GTiff", count=count, height=height, width=width, dtype=bands.dtype, **profile
    ) as file:
        for name, value in (after or {}).items():
            setattr(file, name, value)
        file.write(bands)
    return path


def tiff(path: Path, pixels: NDArray[Any], photometric: str = "minisblack", **options: object) -> Path:
    tifffile.imwrite(path, pixels, photometric=photometric, **options)
    return path


def place_of(shape: tuple[int, int], crs: str = "EPSG:32633", transform: Affine = UTM["transform"]) -> Raster:
    return Raster(CRS.from_user_input(crs).to_wkt(), tuple(list(transform)[:6]), shape)


# --- which files come here --------------------------------------------------------------------------------------


@pytest.mark.parametrize("compress", ["none", "lzw", "deflate", "packbits"])
@pytest.mark.parametrize("order", ["little", "big"])
@pytest.mark.parametrize("kind", ["1 bit", "8 bits", "16 bits", "colour"])
@pytest.mark.filterwarnings("ignore:Dataset has no geotransform")
def test_plain_pictures_are_left_to_pillow_which_reads_the_same(
    tmp_path: Path, kind: str, order: str, compress: str
) -> None:
    kinds = {"1 bit": GRADIENT[None] // 128, "8 bits": GRADIENT[None], "16 bits": GRADIENT[None] * np.uint16(257)}
    stored = kinds.get(kind, COLOUR)
    bits = {"nbits": 1} if kind == "1 bit" else {}
    options = {"crs": None, "transform": None, "compress": compress, "endianness": order, **bits}
    path = written(tmp_path / "a.tif", stored, **options)
    assert is_simple_tiff(path.read_bytes())
    assert (np.moveaxis(read_picture(path).pixels[0], -1, 0) == stored).all()
    tones = 255 if kind == "1 bit" else 1
    assert (np.moveaxis(read_raster(path).pixels[0], -1, 0) == stored * np.uint8(tones)).all()


@pytest.mark.parametrize("mode", ["P", "CMYK", "YCbCr"])
def test_palettes_and_plain_colours_are_left_to_pillow(tmp_path: Path, mode: str) -> None:
    Pillow.fromarray(np.moveaxis(COLOUR, 0, -1)).convert(mode).save(tmp_path / "a.tif")
    assert is_simple_tiff((tmp_path / "a.tif").read_bytes())


@pytest.mark.parametrize("data", [b"", b"II*\0", b"II*\0\x08\0\0\0\1\0", b"MM\0*\0\0\0\xff", b"no TIFF at all"])
def test_what_has_no_directory_is_left_to_pillow_to_refuse(data: bytes) -> None:
    assert is_simple_tiff(data)


MORE = {
    "zero is white": (GRADIENT, "miniswhite", {}),
    "signed": (GRADIENT.astype(np.int8), "minisblack", {}),
    "floats": (GRADIENT.astype(np.float32), "minisblack", {}),
    "32 bits": (GRADIENT.astype(np.uint32), "minisblack", {}),
    "16-bit colour": (np.moveaxis(COLOUR, 0, -1).astype(np.uint16), "rgb", {}),
    "planes": (COLOUR, "rgb", {"planarconfig": "separate"}),
    "alpha": (np.dstack([*COLOUR, NOISE]), "rgb", {"extrasamples": ["unassalpha"]}),
    "infrared": (np.dstack([*COLOUR, NOISE]), "rgb", {"extrasamples": ["unspecified"]}),
    "three greys": (np.moveaxis(COLOUR, 0, -1), "minisblack", {"planarconfig": "contig"}),
    "12 bits of 16": (GRADIENT.astype(np.uint16), "minisblack", {"extratags": [(281, 3, 1, 4095, True)]}),
    "BigTIFF of floats": (GRADIENT.astype(np.float32), "minisblack", {"bigtiff": True}),
}


@pytest.mark.parametrize("name", MORE)
def test_all_else_is_read_here(tmp_path: Path, name: str) -> None:
    pixels, photometric, options = MORE[name]
    assert not is_simple_tiff(tiff(tmp_path / "a.tif", pixels, photometric, **options).read_bytes())


@pytest.mark.parametrize("profile", [{}, {"crs": None, "transform": None, "nodata": 0}])
def test_what_has_a_place_or_nodata_is_read_here(tmp_path: Path, profile: dict[str, Any]) -> None:
    with warnings.catch_warnings(action="ignore"):  # that it has no place
        path = written(tmp_path / "a.tif", GRADIENT[None], **profile)
    assert not is_simple_tiff(path.read_bytes())


# --- values as stored -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("as_bytes", [False, True])
def test_sixteen_bits_in_three_bands_keep_their_values(tmp_path: Path, as_bytes: bool) -> None:
    stored = COLOUR.astype(np.uint16) * 257
    path = written(tmp_path / "a.tif", stored)
    image = read_raster(path.read_bytes() if as_bytes else path, name="a.tif")
    assert image.pixels.shape == (1, 6, 8, 3)
    assert (image.pixels[0] == np.moveaxis(stored, 0, -1)).all()
    assert (image.value_range, image.notices, image.valid, image.name) == (None, (), None, "a.tif")
    assert isinstance(image.place, Raster)
    assert (image.place.shape, image.place.transform) == ((6, 8), (5, 0, 500_000, 0, -5, 5_000_000))
    assert image.description().endswith("uint16, bands 1, 2, 3 of 3, EPSG:32633, 5 m a pixel")


@pytest.mark.parametrize(
    ("dtype", "read"),
    [
        ("uint8", "uint8"),
        ("int8", "int8"),
        ("int16", "int16"),
        ("uint32", "int32"),
        ("int64", "int32"),
        ("uint64", "int32"),
        ("float16", "float32"),
        ("float64", "float32"),
    ],
)
def test_every_type_is_read_in_at_most_32_bits(tmp_path: Path, dtype: str, read: str) -> None:
    stored = (GRADIENT / 2).astype(dtype)
    image = read_raster(tiff(tmp_path / "a.tif", stored))
    assert image.pixels.dtype == read
    assert (image.pixels[0, ..., 0] == stored).all()
    assert image.value_range == ((0, 255) if dtype == "uint8" else None)
    wide = read_raster(tiff(tmp_path / "b.tif", np.array([[0, 2**40]], np.int64)))
    assert (wide.pixels.dtype, wide.pixels.max()) == (np.float32, 2**40)


def test_complex_numbers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^a\.tif holds complex numbers, expected a picture"):
        read_raster(tiff(tmp_path / "a.tif", GRADIENT.astype(np.complex64)))


def test_planes_that_pillow_scrambles_are_read(tmp_path: Path) -> None:
    stored = COLOUR.astype(np.uint16) * 257
    image = read_raster(tiff(tmp_path / "a.tif", stored, "rgb", planarconfig="separate"))
    assert (image.pixels[0] == np.moveaxis(stored, 0, -1)).all()


# --- bands ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "after", "taken"),
    [
        (1, {}, (1,)),
        (3, {}, (1, 2, 3)),
        (5, {}, (1, 2, 3)),
        (5, {"descriptions": ("Blue", "Green", "Red", "Red edge", "NIR")}, (3, 2, 1)),
        (5, {"descriptions": ("B01", "B02", "B03", "B04", "B8A")}, (4, 3, 2)),
        (3, {"colorinterp": [ColorInterp.blue, ColorInterp.green, ColorInterp.red]}, (3, 2, 1)),
        (3, {"descriptions": ("B02", "B03", "B04")}, (3, 2, 1)),
        (4, {"descriptions": ("Blue (490 nm)", "Green (560 nm)", "Red (665 nm)", "Redness")}, (3, 2, 1)),
        (
            3,
            {
                "descriptions": ("blue", "green", "red"),  # against what is there by default
                "colorinterp": [ColorInterp.red, ColorInterp.green, ColorInterp.blue],
            },
            (3, 2, 1),
        ),
    ],
)
def test_bands_are_chosen_by_what_the_file_says(
    tmp_path: Path, count: int, after: dict[str, Any], taken: tuple[int, ...]
) -> None:
    stored = np.arange(count * 48, dtype=np.uint16).reshape(count, 6, 8)
    image = read_raster(written(tmp_path / "a.tif", stored, after))
    assert (image.pixels[0] == np.moveaxis(stored[[band - 1 for band in taken]], 0, -1)).all()
    assert isinstance(image.place, Raster)
    assert image.place.bands == taken
    which = ", ".join(map(str, taken))
    expected = f"a.tif has {count} bands; bands {which} are taken as red, green and blue (--bands for others)"
    told = count > 3 or taken == (3, 2, 1)
    assert image.notices == ((expected,) if told else ())


def test_bands_can_be_chosen(tmp_path: Path) -> None:
    stored = np.arange(240, dtype=np.uint16).reshape(5, 6, 8)
    path = written(tmp_path / "a.tif", stored)
    image = read_raster(path, bands=(5, 1))
    assert (image.pixels[0] == np.moveaxis(stored[[4, 0]], 0, -1)).all()
    assert (image.notices, image.facts[0]) == ((), "bands 5, 1 of 5")
    for bands in ((), (0,), (6, 1)):
        with pytest.raises(ValueError, match=r"^a\.tif has 5 bands, the first is 1; got \[.*\], choose from 1 to 5"):
            read_raster(path, bands=bands)
    with pytest.raises(ValueError, match=r"^b\.tif has 2 bands, which are no picture; choose one or three"):
        read_raster(written(tmp_path / "b.tif", stored[:2]))


def test_a_palette_is_colours(tmp_path: Path) -> None:
    path = written(tmp_path / "a.tif", GRADIENT[None] // 80, nodata=2, photometric="palette")
    with rasterio.open(path, "r+") as file:
        file.write_colormap(1, {0: (255, 0, 0, 255), 1: (0, 255, 0, 255), 2: (9, 9, 9, 255)})
    image = read_raster(path)
    expected = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 0]])[GRADIENT // 80]
    assert (image.pixels[0] == expected).all()
    assert image.value_range == (0, 255)
    assert image.valid is not None
    assert (image.valid[0] == (GRADIENT // 80 != 2)).all()


@pytest.mark.parametrize("mode", ["CMYK", "LAB"])
def test_other_colour_spaces_become_rgb(tmp_path: Path, mode: str) -> None:
    grey = {"CMYK": (0, 0, 0, 127), "LAB": (137, 128, 128)}[mode]
    Pillow.new(mode, (8, 6), grey).save(tmp_path / "a.tif")
    image = read_raster(tmp_path / "a.tif")
    assert (image.pixels.shape, image.notices) == ((1, 6, 8, 3), ())
    assert np.abs(image.pixels.astype(int) - 128).max() < 16


# --- transparency, nodata, masks --------------------------------------------------------------------------------


def test_infrared_that_is_marked_as_transparency_leaves_the_colours_as_they_are(tmp_path: Path) -> None:
    path = written(tmp_path / "a.tif", np.concatenate([COLOUR, NOISE[None]]))  # GDAL calls the fourth of these alpha
    image = read_raster(path)
    assert (image.pixels[0] == np.moveaxis(COLOUR, 0, -1)).all()
    assert image.valid is None
    assert image.notices == (
        "a.tif has 4 bands, and band 4 is marked as transparency, which it isn't "
        f"({np.mean((NOISE > 0) & (NOISE < 255)):.0%} is between); "
        "bands 1, 2, 3 are taken as red, green and blue (--bands for others)",
    )
    assert read_raster(path, bands=(1, 2, 3, 4)).pixels.shape == (1, 6, 8, 4)


@pytest.mark.parametrize("top", [255, 65535])
@pytest.mark.parametrize("colours", [1, 3])
def test_what_is_transparent_is_black_and_not_valid(tmp_path: Path, colours: int, top: int) -> None:
    dtype = np.uint8 if top == 255 else np.uint16
    opacity = np.where(GRADIENT > 50, top, 0).astype(dtype)
    opacity[5, 7] = top // 3
    stored = np.concatenate([COLOUR[:colours].astype(dtype), opacity[None]])
    path = tiff(
        tmp_path / "a.tif",
        np.moveaxis(stored, 0, -1),
        "minisblack" if colours == 1 else "rgb",
        extrasamples=["unassalpha"],
        planarconfig="contig",
    )
    image = read_raster(path)
    shown = opacity > top / 2
    assert image.valid is not None
    assert (image.valid[0] == shown).all()
    assert (image.pixels[0] == np.moveaxis(COLOUR[:colours] * shown, 0, -1)).all()
    assert image.notices == ("a.tif is partly transparent; what is transparent is read as black",)


def test_an_opaque_alpha_changes_nothing(tmp_path: Path) -> None:
    image = read_raster(written(tmp_path / "a.tif", np.concatenate([COLOUR, np.full((1, 6, 8), 255, np.uint8)])))
    assert (image.pixels[0] == np.moveaxis(COLOUR, 0, -1)).all()
    assert (image.valid, image.notices) == (None, ())


def test_of_unsigned_numbers_there_is_no_data_where_all_bands_say_so(tmp_path: Path) -> None:
    """A single 0 is a colour; that of water may be 0 in all but one of the bands that aren't even read."""
    stored = np.full((4, 6, 8), 9, np.uint8)
    stored[:, 0, 0] = 0
    stored[:3, 1, 1] = 0
    stored[0, 2, 2] = 0
    image = read_raster(written(tmp_path / "a.tif", stored, nodata=0, photometric="minisblack"))
    assert image.valid is not None
    assert np.argwhere(~image.valid[0]).tolist() == [[0, 0]]
    assert "2.1% without data" in image.facts


@pytest.mark.parametrize("nodata", [-9999, float("nan")])
def test_of_other_numbers_there_is_no_data_where_a_band_says_so(tmp_path: Path, nodata: float) -> None:
    stored = COLOUR.astype(np.float32) / 255
    stored[1, 3, 4] = nodata
    stored[2, 4, 4] = np.nan
    image = read_raster(written(tmp_path / "a.tif", stored, nodata=nodata))
    assert image.valid is not None
    assert np.argwhere(~image.valid[0]).tolist() == [[3, 4], [4, 4]]
    assert (image.pixels[0, 3, 4] == 0).all()
    assert image.pixels.min() >= 0


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused_unless_they_are_nodata(tmp_path: Path, value: float) -> None:
    stored = COLOUR.astype(np.float32) / 255
    stored[1, 3, 4] = value
    with pytest.raises(ValueError, match=r"^a\.tif: holds values that are not finite; declare them as nodata"):
        read_raster(written(tmp_path / "a.tif", stored))
    with pytest.raises(ValueError, match=r"^b\.tif: holds values that are not finite"):
        read_raster(written(tmp_path / "b.tif", np.full((1, 6, 8), value, np.float32)))


def test_a_mask_in_the_file_says_where_there_is_data(tmp_path: Path) -> None:
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        path = written(tmp_path / "a.tif", COLOUR)
        with rasterio.open(path, "r+") as file:
            file.write_mask(GRADIENT > 50)
    image = read_raster(path)
    assert image.valid is not None
    assert (image.valid[0] == (GRADIENT > 50)).all()
    assert (image.pixels[0][GRADIENT <= 50] == 0).all()
    assert image.notices == ()


def test_a_file_without_any_data_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^a\.tif holds no data: each of its pixels is nodata or transparent"):
        read_raster(written(tmp_path / "a.tif", np.zeros((3, 6, 8), np.uint8), nodata=0))


# --- what the numbers mean --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("dtype", "top"), [("bool", 1), ("uint8", 255), ("uint16", 65535)])
def test_where_zero_is_white_images_are_inverted_and_masks_are_not(tmp_path: Path, dtype: str, top: int) -> None:
    stored = (GRADIENT > 100) if dtype == "bool" else GRADIENT.astype(dtype)
    path = tiff(tmp_path / "a.tif", stored, "miniswhite")
    image = read_raster(path)
    assert (image.pixels[0, ..., 0] == top - stored.astype(int)).all()
    assert image.value_range == (0, top)
    assert (read_raster_numbers(path, "a.tif") == stored).all()


def test_where_zero_is_white_a_given_range_is_that_of_the_stored_numbers(tmp_path: Path) -> None:
    stored = GRADIENT.astype(np.uint16) * 16
    path = tiff(tmp_path / "a.tif", stored, "miniswhite")
    assert (read_raster(path, value_range=(0, 4095)).pixels[0, ..., 0] == 4095 - stored.astype(int)).all()
    floats = read_raster(tiff(tmp_path / "b.tif", GRADIENT.astype(np.float32) / 255, "miniswhite"))
    assert np.allclose(floats.pixels[0, ..., 0], 1 - GRADIENT / 255)


@pytest.mark.parametrize(
    ("profile", "after", "value_range"),
    [
        ({"nbits": 12}, {}, (0, 4095)),
        ({}, {"scales": (1e-4,) * 3, "offsets": (-0.1,) * 3}, (1000, 11000)),
        ({}, {"scales": (1e-4, 1e-4, 2e-4)}, None),
        ({}, {}, None),
    ],
)
def test_the_range_is_that_of_metadata_and_never_guessed(
    tmp_path: Path, profile: dict[str, Any], after: dict[str, Any], value_range: tuple[float, float] | None
) -> None:
    path = written(tmp_path / "a.tif", COLOUR.astype(np.uint16) * 16, after, **profile)
    image = read_raster(path)
    assert image.value_range == (value_range and pytest.approx(value_range))
    assert image.stated == (value_range is not None)
    given = read_raster(path, value_range=(5, 900))
    assert (given.value_range, given.stated) == ((5, 900), True)


@pytest.mark.parametrize(
    ("baseline", "offset", "value_range"),
    [("05.09", "-1000", (1000, 11000)), ("03.01", None, (0, 10000)), ("05.09", None, None)],
)
@pytest.mark.parametrize(
    ("product", "quantification", "added"),
    [
        ("S2MSI2A", "BOA_QUANTIFICATION_VALUE", "BOA_ADD_OFFSET"),
        ("S2MSI1C", "QUANTIFICATION_VALUE", "RADIO_ADD_OFFSET"),
    ],
)
def test_the_range_of_sentinel_2_is_that_of_its_product_as_gdal_translates_it(
    tmp_path: Path,
    product: str,
    quantification: str,
    added: str,
    baseline: str,
    offset: str | None,
    value_range: tuple[float, float] | None,
) -> None:
    path = written(tmp_path / "a.tif", COLOUR.astype(np.uint16) * 16)
    with rasterio.open(path, "r+") as dataset:
        dataset.update_tags(**{"PRODUCT_TYPE": product, "PROCESSING_BASELINE": baseline, quantification: "10000"})
        for band in dataset.indexes if offset else ():
            dataset.update_tags(band, **{added: offset})
    image = read_raster(path)
    assert image.value_range == (value_range and pytest.approx(value_range))


def test_the_largest_value_of_the_header_ends_the_range(tmp_path: Path) -> None:
    path = tiff(
        tmp_path / "a.tif",
        np.moveaxis(COLOUR, 0, -1).astype(np.uint16),
        "rgb",
        extratags=[(281, 3, 3, (1023,) * 3, True)],
    )
    image = read_raster(path)
    assert (image.value_range, image.facts[1]) == ((0, 1023), "values end at 1023 by its header")


@pytest.mark.parametrize(
    ("dtype", "profile", "after"),
    [
        ("float32", {"nodata": -9999}, {}),
        ("int16", {"nodata": -32768}, {}),
        ("int16", {}, {"units": ("metre",)}),
        ("int16", {}, {"scales": (0.1,)}),
        ("float32", {}, {"offsets": (-273.15,)}),
        ("float32", {}, {}),
    ],
)
def test_a_measurement_is_no_picture_unless_it_is_given_a_range(
    tmp_path: Path, dtype: str, profile: dict[str, Any], after: dict[str, Any]
) -> None:
    stored = GRADIENT[None].astype(dtype) + np.array(3, dtype)
    if "nodata" in profile:
        stored[0, 0, 0] = profile["nodata"]
    path = written(tmp_path / "a.tif", stored, after, **profile)
    low = 8 if "nodata" in profile else 3
    message = rf"^a\.tif looks like an elevation model .* of {low} to 238, not a picture; --value-range {low} 238 makes"
    image = read_raster(path)
    assert re.match(message, image.doubt or "")
    with pytest.raises(ValueError, match=message):
        ranges(image, GRAY)
    assert ranges(image, GRAY.model_copy(update={"value_range": ((0.0, 300.0),)})) == ((0, 300),)
    told = read_raster(path, value_range=(0, 238))
    assert (told.value_range, told.doubt) == ((0, 238), None)


def test_grey_of_8_bits_with_nodata_is_a_picture(tmp_path: Path) -> None:
    assert read_raster(written(tmp_path / "a.tif", GRADIENT[None], nodata=0)).value_range == (0, 255)


# --- the place --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("crs", "transform"),
    [
        ("EPSG:32633", Affine(5, 0, 500_000, 0, -5, 5_000_000)),
        ("EPSG:32633", TURNED),
        ("EPSG:4326", Affine(1e-4, 0, 12, 0, -2e-4, 60)),
        ("EPSG:3857", Affine(10, 0, 1_500_000, 0, -10, 6_500_000)),
        ("EPSG:2263", Affine(3, 0, 980_000, 0, -3, 200_000)),  # in feet
    ],
)
def test_the_unit_is_the_area_on_the_ground(crs: str, transform: Affine) -> None:
    from pyproj import Transformer

    place = place_of((7, 9), crs, transform)
    a, b, c, d, e, f = list(transform)[:6]
    pixels = [(4, 3), (4, 4), (5, 4), (5, 3)]
    corners = [(a * x + b * y + c, d * x + e * y + f) for x, y in pixels]
    degrees = [Transformer.from_crs(crs, 4326, always_xy=True).transform(*corner) for corner in corners]
    expected = abs(Geod(ellps="WGS84").polygon_area_perimeter(*zip(*degrees, strict=True))[0]) / 10_000
    assert place.unit == ("ha", pytest.approx(expected, rel=1e-4))
    assert place.suffix == ".tif"
    west, south, east, north = place.bounds84 or (0, 0, 0, 0)
    assert all(west <= x <= east and south <= y <= north for x, y in degrees)


SITE = 'LOCAL_CS["site",UNIT["metre",1],AXIS["Easting",EAST],AXIS["Northing",NORTH]]'


def test_each_row_has_its_own_unit_in_degrees() -> None:
    height, step = 40, 0.5
    place = place_of((height, 6), "EPSG:4326", Affine(step, 0, 10, 0, -step, 75))
    assert place.row_units is not None
    geod = Geod(ellps="WGS84")
    for row in (0, 13, height - 1):
        north = 75 - row * step
        # finely along the parallels, which are no geodesics
        east = np.linspace(10, 10 + step, 50)
        longitudes, latitudes = [*east, *east[::-1]], [north] * 50 + [north - step] * 50
        area, _ = geod.polygon_area_perimeter(longitudes, latitudes)
        assert place.row_units[row] * 1e4 == pytest.approx(abs(area), rel=0.02)
    assert place.row_units[-1] > 1.8 * place.row_units[0]
    assert place.unit == ("ha", place.row_units[20])


def test_a_raster_in_a_crs_of_its_own_is_read(tmp_path: Path) -> None:
    image = read_raster(written(tmp_path / "a.tif", COLOUR, crs=SITE))
    assert isinstance(image.place, Raster)
    assert (image.place.crs is None, image.place.unit, image.facts[-1]) == (False, None, "a CRS of its own")


@pytest.mark.parametrize(("crs", "transform"), [(None, None), (SITE, (1, 0, 0, 0, 1, 0))])
def test_what_has_no_place_has_no_unit(crs: str | None, transform: tuple[float, ...] | None) -> None:
    place = Raster(crs, transform, (6, 8))
    assert (place.unit, place.bounds84) == (None, None)


def test_a_picture_without_georeference_is_read_in_silence(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    image = read_raster(tiff(tmp_path / "a.tif", np.moveaxis(COLOUR, 0, -1), "rgb"))
    assert image.place == Raster(None, None, (6, 8), (1, 2, 3), ("", "", ""))
    assert (image.notices, capfd.readouterr()) == ((), ("", ""))


def test_a_turned_raster_keeps_its_transform_and_says_so(tmp_path: Path) -> None:
    transform = TURNED
    image = read_raster(written(tmp_path / "a.tif", COLOUR, transform=transform))
    assert isinstance(image.place, Raster)
    assert image.place.transform == pytest.approx(list(transform)[:6])
    assert image.notices == (
        "a.tif is turned or sheared against its map; its results are alike, and not every program shows that",
    )
    path = write_labels_raster(tmp_path / "b.tif", GRADIENT // 80, image.place, palette=PALETTE, names=NAMES)
    with rasterio.open(path) as file:
        assert file.transform.almost_equals(transform)


def test_a_raster_placed_by_points_alone_has_no_place_and_says_so(tmp_path: Path) -> None:
    points = [
        GroundControlPoint(row, column, 10 + column, 50 - row) for row, column in ((0, 0), (0, 8), (6, 0), (6, 8))
    ]
    path = written(tmp_path / "a.tif", COLOUR, gcps=points, crs="EPSG:4326", transform=None)
    image = read_raster(path)
    assert isinstance(image.place, Raster)
    assert image.place.transform is None
    assert image.notices == (
        "a.tif is placed by ground control points alone, so its results have no place; gdalwarp gives it one",
    )


def test_of_several_pages_the_first_is_read_and_smaller_copies_are_none(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.arange(144, dtype=np.uint16).reshape(3, 6, 8), photometric="minisblack")
    image = read_raster(tmp_path / "a.tif")
    assert image.pixels.max() == 47
    assert image.notices == ("a.tif has 3 frames; the first is used",)
    path = written(tmp_path / "b.tif", np.tile(COLOUR, (1, 50, 50)))
    with rasterio.open(path, "r+") as file:
        file.build_overviews([2, 4], Resampling.nearest)
    assert read_raster(path).notices == ()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_turned_as_their_orientation_says(tmp_path: Path, orientation: int) -> None:
    pixels = np.moveaxis(COLOUR, 0, -1)
    Pillow.fromarray(pixels).save(tmp_path / "a.tif", tiffinfo={274: orientation})
    from PIL import ImageOps

    with Pillow.open(tmp_path / "a.tif") as picture:
        expected = np.asarray(ImageOps.exif_transpose(picture))
    image = read_raster(tmp_path / "a.tif")
    assert (image.pixels[0] == expected).all()
    assert isinstance(image.place, Raster)
    assert image.place.shape == expected.shape[:2]
    assert (read_raster_numbers(tmp_path / "a.tif", "a.tif") == expected).all()


# --- what is refused --------------------------------------------------------------------------------------------


def test_large_pictures_are_refused_from_their_header(tmp_path: Path) -> None:
    path = written(tmp_path / "a.tif", COLOUR)
    with pytest.raises(
        ValueError, match=r"^a\.tif \(8 x 6\) is larger than the limit of 0 megapixels in memory; Predictor.write"
    ):
        read_raster(path, max_pixels=47)
    with pytest.raises(ValueError, match="is larger than the limit"):
        read_raster_numbers(path, "a.tif", 47)
    assert read_raster(path, max_pixels=48).pixels.shape == (1, 6, 8, 3)


def test_large_blocks_are_refused_from_the_header(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path / "a.tif", COLOUR, tiled=True, blockxsize=1024, blockysize=1024)
    assert read_raster(path).pixels.shape == (1, 6, 8, 3)
    monkeypatch.setattr("unetseg.formats.geo.MAX_BLOCK", 2**24)
    with pytest.raises(
        ValueError, match=r"^a\.tif is stored in blocks of 24 MB, which are too large to read; write it"
    ):
        read_raster(path)


def test_a_virtual_raster_that_calls_itself_tiff_is_refused(tmp_path: Path) -> None:
    """Its text names files that would be read."""
    (tmp_path / "a.tif").write_text("<VRTDataset rasterXSize='8' rasterYSize='6'></VRTDataset>")
    with pytest.raises(ValueError, match=r"^a\.tif is damaged or cut off \([^\n]*\); save or download it again$"):
        read_raster(tmp_path / "a.tif")


def test_without_rasterio_the_error_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path / "a.tif", COLOUR)
    monkeypatch.setitem(sys.modules, "rasterio", None)
    with pytest.raises(ValueError, match=r"^a\.tif needs rasterio: pip install 'unetseg\[geo\]'$"):
        read_raster(path)
    with pytest.raises(ValueError, match=r"^b\.tif needs rasterio: pip install 'unetseg\[geo\]'$"):
        write_labels_raster(tmp_path / "b.tif", GRADIENT // 80, place_of((6, 8)), palette=PALETTE, names=NAMES)


def spoilt() -> list[bytes]:
    """300 small TIFFs, cut off or with bytes changed."""
    file = io.BytesIO()
    with rasterio.MemoryFile() as memory:
        options = {"count": 4, "height": 6, "width": 8, "dtype": "uint16", "nodata": 0, "compress": "lzw", **UTM}
        with memory.open(driver="GTiff", **options) as dataset:
            dataset.write(np.stack([*COLOUR, NOISE]).astype(np.uint16))
        placed = memory.read()
    tifffile.imwrite(file, np.dstack([*COLOUR, NOISE]), photometric="rgb", extrasamples=["unassalpha"], tile=(16, 16))
    rng = np.random.default_rng(0)
    found = []
    for number in range(300):
        data = bytearray((placed, file.getvalue())[number % 2])
        if number % 3:
            for place in rng.integers(0, len(data), rng.integers(1, 6)):
                data[place] = rng.integers(256)
        else:
            del data[rng.integers(1, len(data)) :]
        found.append(bytes(data))
    return found


def test_whatever_is_spoilt_is_an_image_or_a_sentence(capfd: pytest.CaptureFixture[str]) -> None:
    sentences = []
    for data in spoilt():
        try:
            assert isinstance(read_raster(data, name="a.tif"), Image)
        except ValueError as error:
            sentences.append(str(error))
    assert 50 < len(sentences) < 290
    assert all(re.fullmatch(r"a\.tif [^\n]+; [^\n]+", sentence) for sentence in sentences)
    assert not [sentence for sentence in sentences if "vsimem" in sentence or re.search("[0-9a-f]{8}-", sentence)]
    assert capfd.readouterr() == ("", "")


# --- masks ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "uint32", "int32", "int64", "float32"])
def test_masks_are_whole_numbers_as_stored(tmp_path: Path, dtype: str) -> None:
    stored = (GRADIENT // 80).astype(dtype)
    path = written(tmp_path / "a.tif", stored[None], nodata=2)
    mask = read_raster_numbers(path, "a.tif")
    assert mask.shape == (6, 8)
    assert mask.dtype.kind in "iu"
    assert mask.dtype.itemsize <= 4
    assert (mask == stored).all()


def test_of_a_palette_mask_the_indices_are_read_and_of_colours_the_colours(tmp_path: Path) -> None:
    place = place_of((6, 8))
    path = write_labels_raster(tmp_path / "a.tif", GRADIENT // 80, place, palette=PALETTE, names=NAMES)
    assert (read_raster_numbers(path, "a.tif") == GRADIENT // 80).all()
    for bands in (COLOUR, np.stack([*COLOUR, NOISE])):
        colours = read_raster_numbers(written(tmp_path / "b.tif", bands), "b.tif")
        assert (colours == np.moveaxis(COLOUR, 0, -1)).all()


@pytest.mark.parametrize(
    ("bands", "message"),
    [
        (COLOUR[:1] / np.float32(255), r"holds fractions \(0 to 0\.92.*\); save labels as whole numbers"),
        (np.full((1, 6, 8), np.nan, np.float32), "holds fractions"),
        (np.full((1, 6, 8), 2**40), "holds ids up to 1099511627776, more than 32 bits"),
        (COLOUR[:2], "has 2 bands of uint8; a mask has one band of ids, or colours of 8 bits"),
        (COLOUR.astype(np.uint16), "has 3 bands of uint16"),
        (np.zeros((5, 6, 8), np.uint8), "has 5 bands of uint8"),
        (
            np.stack([*np.zeros((3, 6, 8), np.uint8), NOISE]),
            "is of one colour and shows its mask by transparency alone",
        ),
    ],
)
def test_masks_that_would_lose_something_are_refused(tmp_path: Path, bands: NDArray[Any], message: str) -> None:
    with pytest.raises(ValueError, match=rf"^a\.tif {message}"):
        read_raster_numbers(written(tmp_path / "a.tif", bands), "a.tif")


def test_a_mask_that_lies_elsewhere_than_its_image_is_refused(tmp_path: Path) -> None:
    image = read_raster(written(tmp_path / "image.tif", COLOUR, **UTM)).place
    for shift, refused in ((0, False), (2, False), (50, True)):
        moved = Affine(5, 0, 500_000 + shift, 0, -5, 5_000_000)
        path = written(tmp_path / "mask.tif", GRADIENT[None], crs=UTM["crs"], transform=moved)
        if refused:
            with pytest.raises(ValueError, match=r"^mask\.tif lies elsewhere than its image, by up to 10 pixels; "):
                read_mask(path, place=image)
        else:
            assert (read_mask(path, place=image) == GRADIENT).all()
        assert (read_mask(path) == GRADIENT).all()


def test_a_mask_of_several_pages_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^a\.tif has 3 frames, and a mask has one"):
        read_raster_numbers(tiff(tmp_path / "a.tif", np.zeros((3, 6, 8), np.uint16)), "a.tif")


# --- what is written --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cog", [False, True])
def test_labels_are_written_on_the_grid_of_the_image(tmp_path: Path, cog: bool) -> None:
    labels = np.random.default_rng(0).choice(np.array([0, 3], np.uint8), (700, 1100))
    valid = np.ones(labels.shape, bool)
    valid[:90] = False
    place = place_of(labels.shape)
    path = write_labels_raster(tmp_path / "a.tif", labels, place, palette=PALETTE, names=NAMES, valid=valid, cog=cog)
    with rasterio.open(path) as file:
        assert (file.crs, file.transform, file.shape, file.nodata) == ("EPSG:32633", UTM["transform"], (700, 1100), 255)
        assert (file.read(1) == np.where(valid, labels, 255)).all()
        assert file.tags().items() >= {"CLASS_0": "a", "CLASS_3": "d"}.items()
        assert file.colormap(1)[3] == (0xFF, 0xC9, 0x14, 255)
        assert (file.tags(ns="IMAGE_STRUCTURE").get("LAYOUT") == "COG") == cog
        assert file.profile["tiled"]
        assert file.profile["compress"] == "deflate"
        copies = file.overviews(1)
    assert copies
    for level in range(len(copies)):  # of ids, nothing but ids
        with rasterio.open(path, overview_level=level) as file:
            assert set(np.unique(file.read(1)).tolist()) == {0, 3, 255}
    with Pillow.open(path) as picture:
        assert picture.mode == "P"
        assert picture.convert("RGB").getpixel((0, 699)) in ((0x10, 0x20, 0x30), (0xFF, 0xC9, 0x14))
    assert list(tmp_path.iterdir()) == [path]


def test_labels_without_georeference_are_written_too(tmp_path: Path) -> None:
    path = write_labels_raster(
        tmp_path / "a.tif", GRADIENT // 80, Raster(None, None, (6, 8)), palette=PALETTE, names=NAMES
    )
    assert (read_raster_numbers(path, "a.tif") == GRADIENT // 80).all()


def test_an_id_without_a_colour_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds the id 9, but the palette ends at 3"):
        write_labels_raster(tmp_path / "a.tif", GRADIENT * 0 + 9, place_of((6, 8)), palette=PALETTE, names=NAMES)
    assert not list(tmp_path.iterdir())


def test_what_can_not_be_written_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file or directory"):
        write_labels_raster(tmp_path / "no" / "a.tif", GRADIENT * 0, place_of((6, 8)), palette=PALETTE, names=NAMES)
    assert not list(tmp_path.iterdir())


def test_probabilities_are_a_band_of_half_floats_for_each_output(tmp_path: Path) -> None:
    probabilities = np.random.default_rng(0).random((3, 60, 80), dtype=np.float32)
    path = write_probabilities_raster(tmp_path / "a.tif", probabilities, place_of((60, 80)), NAMES[:3])
    with rasterio.open(path) as file:
        assert (file.descriptions, file.transform) == (NAMES[:3], UTM["transform"])
        assert file.tags(1, ns="IMAGE_STRUCTURE")["NBITS"] == "16"
        assert (file.read() == probabilities.astype(np.float16)).all()


# --- the files beside the repository ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "ground"),
    [("naip_4band_epsg26914.tif", "EPSG:26914, 5 m a pixel"), ("landsat_epsg4326.tif", "EPSG:4326, 89.2 m a pixel")],
)
def test_real_rasters_of_four_bands_are_read_as_colour(real_data: Path, name: str, ground: str) -> None:
    path = real_data / "uploads" / name
    image = read_raster(path)
    with rasterio.open(path) as file:
        expected = np.moveaxis(file.read([1, 2, 3]), 0, -1)
    assert (image.pixels[0] == expected).all()
    assert image.value_range == (0, 255)
    assert image.facts[-1] == ground
    assert image.notices == (
        f"{name} has 4 bands; bands 1, 2, 3 are taken as red, green and blue (--bands for others)",
    )


def test_a_real_elevation_model_is_refused(real_data: Path) -> None:
    image = read_raster(real_data / "uploads" / "dsm_float32_nodata.tif")
    with pytest.raises(ValueError, match=r"looks like an elevation model .* of 6\.9\d* to 39\.05\d*, not a picture"):
        ranges(image, GRAY)
