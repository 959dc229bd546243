"""Real files of many kinds, written here, and what is read from them."""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from configs import PALETTE
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from PIL import Image as Pillow

from unetseg import Image, read_image
from unetseg.formats import as_image, read_mask, write_labels

GRADIENT = np.arange(48, dtype=np.uint8).reshape(6, 8) * 5


def saved(path: Path, pixels: NDArray[np.generic], **options: object) -> Path:
    Pillow.fromarray(pixels).save(path, **options)
    return path


def png(width: int, height: int, data: bytes = b"", *, depth: int = 8, color: int = 0) -> bytes:
    """A PNG by hand, grey unless told otherwise: whatever its header says, `data` need not hold that many pixels."""
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", data), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )


# --- values as stored -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["png", "tif", "bmp", "pgm", "webp"])
def test_eight_bits(tmp_path: Path, ending: str) -> None:
    image = read_image(saved(tmp_path / f"a.{ending}", GRADIENT, **({"lossless": True} if ending == "webp" else {})))
    assert image.pixels.dtype == np.uint8
    assert (image.pixels[0, :, :, 0] == GRADIENT).all()
    assert (image.value_range, image.hounsfield, image.name) == ((0, 255), False, f"a.{ending}")
    assert image.notices == ()


@pytest.mark.parametrize(
    ("ending", "order", "signature"),
    [("png", "<", b"\x89P"), ("tif", "<", b"II"), ("tif", ">", b"MM"), ("pgm", ">", b"P5")],
)
def test_sixteen_bits_keep_their_values(tmp_path: Path, ending: str, order: str, signature: bytes) -> None:
    """In either byte order; Pillow's own way to 8 bits would clip them."""
    stored = (GRADIENT.astype(np.uint16) * 257 + 1).astype(f"{order}u2")
    path = tmp_path / f"a.{ending}"
    if ending == "pgm":  # Pillow writes none
        path.write_bytes(b"P5 8 6 65535\n" + stored.tobytes())
    else:
        saved(path, stored)
    assert path.read_bytes()[:2] == signature
    image = read_image(path)
    assert image.pixels.dtype == np.uint16
    assert image.pixels.dtype.isnative
    assert (image.pixels[0, :, :, 0] == stored).all()
    assert (image.value_range, image.notices) == ((0, 65535), ())


@pytest.mark.parametrize(("color", "colours", "opaque"), [(2, 3, []), (4, 1, [0xFFFF]), (6, 3, [0xFFFF])])
def test_sixteen_bits_in_several_channels_keep_their_values(
    tmp_path: Path, color: int, colours: int, opaque: list[int]
) -> None:
    stored = np.array([0x1234, 0x5678, 0x9ABC][:colours] + opaque + [0xFFFF, 0x00FF, 0x0100][:colours] + opaque, ">u2")
    path = tmp_path / "a.png"
    path.write_bytes(png(2, 1, zlib.compress(b"\0" + stored.tobytes()), depth=16, color=color))
    for source in (path, path.read_bytes()):
        image = read_image(source)
        assert image.pixels[0, 0].tolist() == stored.reshape(2, -1)[:, :colours].tolist()
        assert image.notices == ()
    assert read_image(path, value_range=(0, 4095)).value_range == (0, 4095)


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_few_bits_are_ids_in_a_mask_and_tones_from_black_to_white_in_a_picture(tmp_path: Path, depth: int) -> None:
    top = 2**depth - 1
    stored = np.arange(16, dtype=np.uint8).reshape(2, 8) % (top + 1)
    bits = np.unpackbits(stored[..., None], axis=-1)[..., -depth:].reshape(2, -1)
    rows = b"".join(b"\0" + np.packbits(row).tobytes() for row in bits)
    path = tmp_path / "a.png"
    path.write_bytes(png(8, 2, zlib.compress(rows), depth=depth))
    assert (read_mask(path) == stored).all()
    image = read_image(path)
    assert image.value_range is not None
    assert (image.pixels[0, :, :, 0] / image.value_range[1] == stored / top).all()


def test_floats_keep_their_values(tmp_path: Path) -> None:
    stored = GRADIENT.astype(np.float32) / 255
    image = read_image(saved(tmp_path / "a.tif", stored))
    assert image.value_range is None
    assert (image.pixels[0, :, :, 0] == stored).all()


def test_floats_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.tif", np.array([[0.5, np.nan]], dtype=np.float32))
    with pytest.raises(ValueError, match=r"a\.tif: holds values that are not finite"):
        read_image(path)


def test_wide_integers_have_no_range_of_their_own(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.tif", GRADIENT.astype(np.int32) - 100)
    image = read_image(path)
    assert (image.value_range, image.pixels.min()) == (None, -100)
    assert read_image(path, value_range=(-100, 200)).value_range == (-100, 200)


def test_one_bit(tmp_path: Path) -> None:
    image = read_image(saved(tmp_path / "a.png", GRADIENT > 100))
    assert (image.pixels[0, :, :, 0] == (GRADIENT > 100)).all()
    assert image.value_range == (0, 1)


# --- transparency, palettes, colour spaces ----------------------------------------------------------------------


@pytest.mark.parametrize("color", [(200, 100, 40), (90,)])
def test_what_is_transparent_is_black_and_noticed(tmp_path: Path, color: tuple[int, ...]) -> None:
    stored = np.tile(np.array([*color, 255], dtype=np.uint8), (1, 3, 1))
    stored[0, :, -1] = 255, 51, 0
    image = read_image(saved(tmp_path / "a.png", stored))
    expected = np.broadcast_to(color, (3, 3)) * np.array([[1], [0.2], [0]])
    assert image.pixels.shape == (1, 1, 3, 3)
    assert np.abs(image.pixels[0, 0] - expected).max() <= 1
    assert image.notices == ("a.png is partly transparent; what is transparent is read as black",)


@pytest.mark.parametrize("channels", [2, 4])
def test_an_opaque_alpha_changes_nothing(tmp_path: Path, channels: int) -> None:
    stored = np.repeat(GRADIENT[..., None], channels, axis=2)
    stored[..., -1] = 255
    image = read_image(saved(tmp_path / "a.png", stored))
    assert (image.pixels[0] == GRADIENT[..., None]).all()
    assert image.notices == ()


def test_a_transparent_value_does_not_cost_sixteen_bits_their_depth(tmp_path: Path) -> None:
    """Satellite products mark missing ground so."""
    stored = GRADIENT.astype(np.uint16) * 257 + 1
    image = read_image(saved(tmp_path / "a.png", stored, transparency=int(stored[2, 3])))
    expected = stored.copy()
    expected[2, 3] = 0
    assert (image.pixels[0, :, :, 0] == expected).all()
    assert image.notices == ("a.png is partly transparent; what is transparent is read as black",)


@pytest.mark.parametrize(("options", "first", "notices"), [({}, (255, 0, 0), 0), ({"transparency": 0}, (0, 0, 0), 1)])
@pytest.mark.parametrize("ending", ["png", "gif"])
def test_palettes_are_colours_in_an_image(
    tmp_path: Path, ending: str, options: dict[str, int], first: tuple[int, ...], notices: int
) -> None:
    picture = Pillow.fromarray(np.array([[0, 1, 2]], dtype=np.uint8))
    picture.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    picture.save(tmp_path / f"a.{ending}", **options)
    image = read_image(tmp_path / f"a.{ending}")
    assert image.pixels[0, 0].tolist() == [list(first), [0, 255, 0], [0, 0, 255]]
    assert len(image.notices) == notices


def test_a_cmyk_jpeg_is_read_as_rgb(tmp_path: Path) -> None:
    Pillow.new("CMYK", (16, 16), (0, 255, 255, 0)).save(tmp_path / "a.jpg", quality=95)
    pixels = read_image(tmp_path / "a.jpg").pixels
    assert pixels.shape == (1, 16, 16, 3)
    assert np.abs(pixels - np.array([255.0, 0.0, 0.0])).max() < 12


def test_of_an_animation_the_first_frame_is_read(tmp_path: Path) -> None:
    frames = [Pillow.new("L", (5, 4), value) for value in (50, 150, 250)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    image = read_image(tmp_path / "a.gif")
    assert (image.pixels == 50).all()
    assert image.notices == ("a.gif has 3 frames; the first is used",)


def test_smaller_copies_in_a_tiff_are_no_frames(tmp_path: Path) -> None:
    """As GeoTIFF keeps them, for images and masks."""
    page, copy = Pillow.new("L", (6, 4), 9), Pillow.new("L", (3, 2), 9)
    copy.encoderinfo = {"tiffinfo": {254: 1}}
    page.save(tmp_path / "a.tif", save_all=True, append_images=[copy])
    image = read_image(tmp_path / "a.tif")
    assert (image.pixels.shape, image.notices) == ((1, 4, 6, 1), ())
    assert read_mask(tmp_path / "a.tif").shape == (4, 6)
    page.save(tmp_path / "b.tif", save_all=True, append_images=[copy, page])
    assert read_image(tmp_path / "b.tif").notices == ("b.tif has 2 frames; the first is used",)


# --- sizes and orientation --------------------------------------------------------------------------------------


@pytest.mark.parametrize("reader", [lambda path: read_image(path).pixels[0, :, :, 0], read_mask])
def test_pictures_are_turned_as_their_exif_says(tmp_path: Path, reader: Callable[[Path], NDArray[np.generic]]) -> None:
    """Orientation 6: the camera was held upright, and what is stored at the left belongs at the top."""
    exif = Pillow.Exif()
    exif[0x0112] = 6
    stored = np.zeros((8, 16), dtype=np.uint8)
    stored[:, 8:] = 255
    pixels = reader(saved(tmp_path / "a.png", stored, exif=exif))
    assert pixels.shape == (16, 8)
    assert (pixels[:8] == 0).all()
    assert (pixels[8:] == 255).all()


def test_a_photograph_is_turned(tmp_path: Path) -> None:
    exif = Pillow.Exif()
    exif[0x0112] = 6
    stored = np.zeros((8, 16, 3), dtype=np.uint8)
    stored[:, 8:] = 255
    pixels = read_image(saved(tmp_path / "a.jpg", stored, exif=exif)).pixels[0]
    assert pixels.shape == (16, 8, 3)
    assert pixels[:8].max() < 20 < 235 < pixels[8:].min()


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 5000), (5000, 1)])
def test_extreme_sizes(tmp_path: Path, height: int, width: int) -> None:
    image = read_image(saved(tmp_path / "a.png", np.full((height, width), 9, dtype=np.uint8)))
    assert image.pixels.shape == (1, height, width, 1)


def test_bytes_are_read_like_the_file(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", GRADIENT)
    image = read_image(path.read_bytes(), name="upload.png")
    assert (image.pixels == read_image(path).pixels).all()
    assert image.name == "upload.png"


# --- what is no picture -----------------------------------------------------------------------------------------


BROKEN = {
    "empty.png": (b"", "is empty"),
    "renamed.png": (b"these are words, not pixels", "is not a readable picture"),
    "signature.png": (b"\x89PNG\r\n\x1a\n", "is not a readable picture"),
    "width.png": (png(0, 5), "is not a readable picture"),
    "width.ppm": (b"P6 0 5 255\n", "is not a readable picture"),
    "width.bmp": (
        struct.pack("<2sIHHIIiiHHIIiiII", b"BM", 54, 0, 0, 54, 40, 0, 5, 1, 24, 0, 0, 0, 0, 0, 0),
        "is not a readable picture",
    ),
    "large.png": (png(10_000, 6_500, b"no pixels"), "is larger than the limit of 64 megapixels"),
    "larger.png": (png(10_000, 10_000, b"no pixels"), "is larger than the limit of 64 megapixels"),
    "huge.png": (png(20_000, 10_000, b"no pixels"), "is larger than the limit of 64 megapixels"),
    "garbage.png": (png(100, 100, b"no pixels"), "is damaged or cut off"),
}


@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.parametrize("reader", [read_image, read_mask])
def test_a_broken_file_is_one_sentence_that_names_it(
    tmp_path: Path, name: str, reader: Callable[[Path], object]
) -> None:
    """The large ones are refused from their header: their pixels, if looked at, would be damaged."""
    data, message = BROKEN[name]
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ValueError, match=rf"^{name} (\([^\n]+\) )?{message}[^\n]*; [^\n]+$"):
        reader(tmp_path / name)


@pytest.mark.parametrize("ending", ["png", "jpg", "tif", "bmp", "gif", "webp", "pgm"])
def test_a_file_cut_off_in_the_middle_is_refused(tmp_path: Path, ending: str) -> None:
    path = saved(tmp_path / f"half.{ending}", np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ValueError, match=rf"^half\.{ending} is (damaged or cut off|not a readable picture)[^\n]*$"):
        read_image(path)


def test_a_folder_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=rf"^{tmp_path.name} holds no DICOM[^\n]*$"):
        read_image(tmp_path)
    with pytest.raises(ValueError, match=r"^none\.png can't be read: No such file[^\n]*$"):
        read_image(tmp_path / "none.png")


def test_the_limit_of_pixels_can_be_set(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", GRADIENT)
    with pytest.raises(ValueError, match=r"a\.png \(8 x 6\) is larger"):
        read_image(path, max_pixels=47)
    assert read_image(path, max_pixels=48).pixels.size == 48


# --- arrays -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros(3, np.uint8), r"shape \(3,\), expected \(height, width\[, channels\]\)"),
        (np.zeros((1, 2, 3, 4), np.uint8), r"shape \(1, 2, 3, 4\)"),
        (np.zeros((0, 3), np.uint8), "none of them 0"),
        (np.zeros((0, 3), np.int32), "none of them 0"),
        (np.zeros((2, 3), np.complex64), "got an array of complex64, expected numbers"),
        (np.zeros((2, 3), object), "got an array of object, expected numbers"),
        (np.full((2, 3), np.inf), "not finite"),
    ],
)
def test_arrays_that_are_no_picture_are_refused(array: NDArray[np.generic], message: str) -> None:
    with pytest.raises(ValueError, match=f"^array: .*{message}"):
        as_image(array)


def test_an_array_in_foreign_byte_order_is_the_same_picture() -> None:
    image = as_image((GRADIENT.astype(np.uint16) * 257).astype(">u2"))
    assert image.value_range == (0, 65535)
    assert (image.pixels[0, :, :, 0] == GRADIENT.astype(np.uint16) * 257).all()


@pytest.mark.parametrize("value_range", [(5.0, 5.0), (1.0, 0.0), (0.0, float("nan")), (0.0, float("inf"))])
def test_a_range_goes_from_low_to_high(value_range: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="value_range goes from low to high"):
        as_image(GRADIENT, value_range=value_range)
    with pytest.raises(ValueError, match="value_range goes from low to high"):
        Image(GRADIENT[None, :, :, None], value_range)


# --- masks ------------------------------------------------------------------------------------------------------


def test_of_a_palette_mask_the_indices_are_read(tmp_path: Path) -> None:
    picture = Pillow.fromarray(np.array([[0, 1], [2, 255]], dtype=np.uint8))
    picture.putpalette([9, 8, 7] * 256)
    picture.save(tmp_path / "a.png")
    assert read_mask(tmp_path / "a.png").tolist() == [[0, 1], [2, 255]]


@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.uint16, np.int32])
def test_grey_masks_keep_their_values(tmp_path: Path, dtype: type[np.generic]) -> None:
    stored = np.array([[0, 1], [1, 0]]).astype(dtype)
    if dtype != np.bool_:
        stored[0, 1] = np.iinfo(dtype).max
    mask = read_mask(saved(tmp_path / "a.tif", stored))
    assert mask.tolist() == stored.astype(np.int64).tolist()
    assert mask.dtype.kind in "iu"


def test_of_a_grey_mask_with_alpha_the_grey_is_read(tmp_path: Path) -> None:
    stored = np.array([[[1, 255], [7, 9], [5, 0]]], dtype=np.uint8)
    assert read_mask(saved(tmp_path / "a.png", stored)).tolist() == [[1, 7, 0]]


def test_colour_masks_keep_their_colours_but_where_nothing_of_them_shows(tmp_path: Path) -> None:
    stored = np.array([[[1, 2, 3, 255], [60, 16, 152, 1], [9, 9, 9, 0]]], dtype=np.uint8)
    assert read_mask(saved(tmp_path / "a.png", stored)).tolist() == [[[1, 2, 3], [60, 16, 152], [0, 0, 0]]]


def test_a_jpeg_is_no_mask(tmp_path: Path) -> None:
    for name in ("a.jpg", "renamed.png"):
        with pytest.raises(ValueError, match=f"^{name} is a JPEG, which blurs label values"):
            read_mask(saved(tmp_path / name, GRADIENT, format="JPEG"))


# --- label maps -------------------------------------------------------------------------------------------------


@given(labels=arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(0, 3)))
def test_label_maps_come_back_as_written(tmp_path_factory: pytest.TempPathFactory, labels: NDArray[np.uint8]) -> None:
    path = tmp_path_factory.mktemp("labels") / "a.png"
    assert write_labels(path, labels, PALETTE) == path
    assert (read_mask(path) == labels).all()
    assert list(path.parent.iterdir()) == [path]


def test_label_maps_are_shown_in_the_palettes_colours(tmp_path: Path) -> None:
    path = write_labels(tmp_path / "a.png", np.array([[0, 3]], dtype=np.uint8), PALETTE)
    with Pillow.open(path) as picture:
        assert picture.mode == "P"
        assert np.asarray(picture.convert("RGB")).tolist() == [[[0x10, 0x20, 0x30], [0xFF, 0xC9, 0x14]]]


@pytest.mark.parametrize("name", ["a.jpg", "a.tif", "a"])
def test_label_maps_are_only_written_as_png(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=f"written as .png, got '{name}'"):
        write_labels(tmp_path / name, np.zeros((2, 2), dtype=np.uint8), PALETTE)
    assert not list(tmp_path.iterdir())


def test_an_id_without_a_colour_is_refused_not_stored_as_another(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds the id 255, but the palette ends at 3"):
        write_labels(tmp_path / "a.png", np.array([[0, 255]], dtype=np.uint8), PALETTE)
    assert not list(tmp_path.iterdir())


def test_a_label_map_that_can_not_be_put_in_its_place_leaves_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "a.png"
    folder.mkdir()
    with pytest.raises(OSError, match="directory"):
        write_labels(folder, np.array([[2]], dtype=np.uint8), PALETTE)
    assert list(tmp_path.rglob("*")) == [folder]


# --- the files beside the repository ----------------------------------------------------------------------------


def test_real_pictures_and_masks_are_read_without_notices(real_data: Path) -> None:
    tile = "dubai_tile5_part004"
    picture = read_image(real_data / "satellite" / "images" / f"{tile}.jpg")
    mask = read_mask(real_data / "satellite" / "masks" / f"{tile}.png")
    assert (picture.pixels.dtype, picture.pixels.shape[3], picture.notices) == (np.uint8, 3, ())
    assert mask.shape == picture.pixels.shape[1:3]
    assert set(np.unique(mask).tolist()) <= set(range(6))
