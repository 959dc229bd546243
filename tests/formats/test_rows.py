"""Files that hold fewer rows than their header says, as programs leave them that were ended while they wrote."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image as Pillow
from test_raster import png

from unetseg import read_image
from unetseg.formats import Damaged, read_mask

CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
SMALL = np.random.default_rng(0).integers(1, 256, (40, 30), dtype=np.uint8)


def refusals(path: Path) -> list[str]:
    """What is said of a file as a picture and as a mask."""
    said = []
    for reader in (read_image, read_mask):
        with pytest.raises(ValueError, match=r"\A[^\n]+\Z") as caught:
            reader(path)
        said.append(str(caught.value))
    return said


def taller(tiff: bytes, height: int) -> bytes:
    """A little-endian TIFF whose header speaks of another height."""
    changed = bytearray(tiff)
    (at,) = struct.unpack("<I", tiff[4:8])
    for entry in range(at + 2, at + 2 + 12 * struct.unpack("<H", tiff[at : at + 2])[0], 12):
        if struct.unpack("<H", tiff[entry : entry + 2]) == (257,):
            changed[entry + 8 : entry + 12] = struct.pack("<I", height)
    return bytes(changed)


@given(
    st.sampled_from([(0, 1), (0, 2), (0, 8), (0, 16), (2, 8), (2, 16), (4, 8), (6, 8), (6, 16)]),
    st.tuples(st.integers(1, 20), st.integers(1, 20)),
    st.integers(0, 20),
)
def test_a_png_that_lacks_rows_is_refused_with_their_number_and_a_whole_one_is_not(
    tmp_path_factory: pytest.TempPathFactory, kind: tuple[int, int], size: tuple[int, int], missing: int
) -> None:
    """Its stream is whole, and its checksums are right."""
    (color, depth), (width, height) = kind, size
    missing = min(missing, height - 1)  # Pillow refuses what has none
    row = b"\0" + bytes([255] * -(-width * depth * CHANNELS[color] // 8))
    path = tmp_path_factory.mktemp("rows") / "a.png"
    path.write_bytes(png(width, height, zlib.compress(row * (height - missing)), depth=depth, color=color))
    if not missing:
        assert read_image(path).pixels.shape[1:3] == read_mask(path).shape[:2] == (height, width)
        return
    picture, mask = refusals(path)
    assert mask == f"a.png lacks {missing} of its {height} rows; save or download it again"
    # colours of 16 bits are read by GDAL, which says it in its own words
    assert picture == mask or (depth == 16 and color and picture.startswith("a.png is damaged or cut off ("))


@pytest.mark.parametrize("height", [1, 7, 40])
def test_black_rows_that_are_there_are_black(tmp_path: Path, height: int) -> None:
    path = tmp_path / "a.png"
    Pillow.fromarray(np.zeros((height, 9), dtype=np.uint8)).save(path)
    assert not read_image(path).pixels.any()
    assert not read_mask(path).any()


def interlaced(pixels: NDArray[np.uint8]) -> bytes:
    """The passes of an interlaced grey PNG, by the table of its specification."""
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    parts = (pixels[top::down, left::across] for left, top, across, down in passes)
    return b"".join(b"\0" + row.tobytes() for part in parts if part.size for row in part)


@pytest.mark.parametrize("size", [(40, 30), (3, 2), (9, 17)])
def test_an_interlaced_png_that_lacks_its_last_pixels_is_refused(tmp_path: Path, size: tuple[int, int]) -> None:
    pixels = SMALL[: size[0], : size[1]]
    data = interlaced(pixels)
    path = tmp_path / "a.png"
    for stream, whole in ((data, True), (data[: -size[1] - 1], False)):
        made = bytearray(png(size[1], size[0], zlib.compress(stream)))
        made[28] = 1
        made[29:33] = struct.pack(">I", zlib.crc32(made[12:29]))
        path.write_bytes(made)
        if whole:
            assert (read_mask(path) == pixels).all()
        else:
            assert refusals(path) == [f"a.png lacks 1 of its {size[0]} rows; save or download it again"] * 2


@pytest.mark.parametrize("strip", [30 * 8, 30 * 40])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_adobe_deflate"])
def test_a_tiff_that_lacks_strips_is_refused(
    tmp_path: Path, compression: str | None, dtype: type[np.generic], strip: int
) -> None:
    path = tmp_path / "a.tif"
    stored = (SMALL / 255 if dtype == np.float32 else SMALL).astype(dtype)
    Pillow.fromarray(stored).save(path, compression=compression, strip_size=strip * stored.itemsize)
    assert (read_image(path).pixels[0, :, :, 0] == stored).all()
    path.write_bytes(taller(path.read_bytes(), 100))
    for said in refusals(path):
        assert said.startswith(("a.tif lacks ", "a.tif is damaged or cut off ("))
        if compression is None:
            assert said == "a.tif lacks 60 of its 100 rows; save or download it again"


def test_a_jpeg_that_lacks_its_end_is_noticed_and_a_whole_one_is_not(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    Pillow.fromarray(SMALL).save(path, quality=90)
    assert read_image(path).notices == ()
    whole = path.read_bytes()
    at = whole.index(b"\xff\xc0") + 5
    path.write_bytes(whole[:at] + struct.pack(">H", 80) + whole[at + 2 :])
    (notice,) = read_image(path).notices
    assert notice == (
        "the last 32 rows of a.jpg are of one grey, as they are shown where a JPEG lacks its end; get it again if "
        "they should not be"
    )


def test_what_lacks_rows_is_damaged(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(5, 5, zlib.compress(b"\0\1\1\1\1\1")))
    with pytest.raises(Damaged):
        read_image(tmp_path / "a.png")
