"""Pictures that Pillow reads: PNG, JPEG, TIFF, BMP, GIF, WebP, PNM."""

from __future__ import annotations

import contextlib
import dataclasses
import io
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, Unpack

import numpy as np
import PIL.Image
from numpy.typing import NDArray
from PIL import ImageOps
from PIL.ImageFile import ImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import ImageFileDirectory_v2, TiffImageFile

from ..config import IGNORE, hex_to_rgb
from ..files import one_line, whole
from .image import MAX_PIXELS, Damaged, Image, Reading, as_image
from .quiet import quiet
from .rows import JPEG_BLOCK, SIZES, grey_rows, missing_of_png, missing_of_tiff, refuse_missing

FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "GIF", "WEBP", "PPM")
# modes that hold the values as stored; any other mode is converted to RGB
AS_STORED = ("1", "L", "I;16", "I;16B", "I", "F", "RGB")
NOTHING = (150, 150, 150)
"""The colour of pixels that hold no data."""
SPREAD = {"L;2": 85, "L;4": 17}
"""What Pillow multiplies grey PNG of 2 and 4 bits with, so that they reach 255."""
NEW_SUBFILE_TYPE = 254  # of TIFF 6.0; bit 0: a smaller copy of another picture of the file
TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
BY_ROWS = (
    " in memory; Predictor.write, and the predict command, segment it row by row; else reduce it or cut it into parts"
)
"""What to do with a TIFF that is too large."""
ORIENTATION = 274
GREY, PALETTE = 1, 3  # of PhotometricInterpretation
NEARLY, MOSTLY = 32, 0.75
"""So near to black or white are so many pixels, at least, of a JPEG that shows these two alone."""
COMPRESSIONS = {1, 2, 3, 4, 5, 7, 8, 32773, 32946}  # none, fax, LZW, JPEG, deflate, PackBits
PLACED = {33550, 33922, 34264, 34735, 42113}  # GeoTIFF, and GDAL's nodata
TAGS = {258, 259, 262, 266, ORIENTATION, 277, 281, 284, 338, 339, *SIZES, *PLACED}


def read_picture(source: Path | bytes, **reading: Unpack[Reading]) -> Image:
    """Read a picture, turned as its EXIF says, in the type it is stored in.

    Raises ValueError in one sentence for anything that is not a readable picture of at most `max_pixels`.
    """
    value_range = reading.get("value_range")
    stored, name = _open(source, reading.get("name"), reading.get("max_pixels", MAX_PIXELS))
    is_pnm, is_jpeg = stored.format == "PPM", stored.format in ("JPEG", "MPO")
    notices = []
    transparent = f"{name} is partly transparent; what is transparent is read as black"
    if (frames := _frames(stored, name)) > 1:
        notices.append(f"{name} has {frames} frames; the first is used")
    picture = _decoded(stored, name)
    if is_jpeg and (rows := grey_rows(np.asarray(stored))) >= JPEG_BLOCK:
        notices.append(
            f"the last {rows} rows of {name} are of one grey, as they are shown where a JPEG lacks its end; get it "
            "again if they should not be"
        )
    sixteen_bits = picture.mode.startswith("I;16")
    if picture.mode in ("LA", "PA", "La", "RGBA", "RGBa") or ("transparency" in picture.info and not sixteen_bits):
        picture = picture.convert("RGBA")
        if np.asarray(picture.getchannel("A")).min() < 255:
            notices.append(transparent)
        black = PIL.Image.new("RGBA", picture.size, "black")
        picture = PIL.Image.alpha_composite(black, picture).convert("RGB")
    elif picture.mode not in AS_STORED:
        if picture.mode == "CMYK":
            notices.append(f"{name} is CMYK; it is read as RGB")
        picture = picture.convert("RGB")
    array = np.asarray(picture)
    if sixteen_bits or (is_pnm and picture.mode == "I"):
        array = array.astype(np.uint16)  # native byte order; Pillow spreads PNM of more than 8 bits over 16
    # converted like the other modes, 16 bits would be clipped to 8
    if sixteen_bits and (hidden := array == picture.info.get("transparency")).any():
        array[hidden] = 0
        notices.append(transparent)
    image = as_image(array, value_range=value_range, name=name)
    return dataclasses.replace(image, notices=tuple(notices))


def read_numbers(path: Path, *, max_pixels: int = MAX_PIXELS) -> NDArray[Any]:
    """The numbers of a mask file as stored: (H,W) integers (of a palette file: the indices), or (H,W,3) RGB.

    Raises ValueError for a file that is no picture, for JPEG, which does not keep label values, unless it is of black
    and white (nearly 0 and 255), and for what would be lost: further frames, fractions, a mask that only the
    transparency shows. What is fully transparent is 0 or black, whatever colour lies below: nobody ever saw it.
    """
    stored, name = _open(path, None, max_pixels)
    if stored.format in ("JPEG", "MPO"):
        tones = np.asarray(_decoded(stored, name).convert("RGB"))
        grey: NDArray[np.uint8] = tones.max(axis=2)
        plain = (grey <= NEARLY) | (tones.min(axis=2) >= 255 - NEARLY)
        if plain.mean() < MOSTLY or (grey.any() and grey.max() < 255 - NEARLY):
            raise ValueError(f"{name} is a JPEG, which blurs label values; save masks as PNG")
        return grey
    if (frames := _frames(stored, name)) > 1:
        raise ValueError(f"{name} has {frames} frames, and a mask has one; save each as a file of its own")
    spread = SPREAD.get(str(stored.tile[0][-1]), 1) if isinstance(stored, PngImageFile) else 1
    picture = _decoded(stored, name)
    if picture.mode in ("LA", "PA", "RGBA") and _only_transparency_differs(picture):
        raise ValueError(f"{name} is of one colour and shows its mask by transparency alone; save that as grey PNG")
    if picture.mode in ("LA", "PA", "RGBA"):
        alpha = picture.getchannel("A")
        if alpha.getextrema()[1] == 0 and any(low != high for low, high in map(_extrema, picture.split()[:-1])):
            raise ValueError(
                f"{name} is transparent everywhere but holds several colours; save it without transparency"
            )
        shown = alpha.point(lambda value: 255 * (value > 0))
        nothing = PIL.Image.new(picture.mode, picture.size)
        picture = PIL.Image.composite(picture, nothing, shown)
    if picture.mode in ("LA", "PA"):
        picture = picture.getchannel(0)
    elif picture.mode not in ("1", "L", "P", "I;16", "I;16B", "I", "F"):
        picture = picture.convert("RGB")
    array = np.asarray(picture)
    if picture.mode == "F":
        whole_numbers: NDArray[np.int32] = np.nan_to_num(array, nan=-0.5).astype(np.int32)
        if (whole_numbers != array).any():
            raise ValueError(
                f"{name} holds fractions ({array.min():g} to {array.max():g}); save labels as whole numbers"
            )
        return whole_numbers
    return array.astype(np.uint8) if array.dtype == np.bool_ else array // spread


def is_simple_tiff(source: Path | bytes) -> bool:
    """Whether a TIFF is a plain picture that Pillow reads as stored: grey of 1, 8 or 16 bits, or 8-bit colour.

    Not with further channels, zero as white, numbers of other kinds, nodata or a place on the ground. True also for
    what has no readable directory: Pillow says what is wrong with it.
    """
    with io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as file:
        tags = tiff_tags(file)
    if not tags:
        return True
    (photometric,), samples = tags.get(262, (None,)), tags.get(277, (1,))[0]
    bits, top = set(tags.get(258, (1,))), tags.get(281, (65535,))[0]
    channels = {GREY: 1, 2: 3, PALETTE: 1, 5: 4, 6: 3}.get(photometric)  # RGB, CMYK, YCbCr
    known_bits = bits == {8} or (photometric == GREY and (bits == {1} or (bits == {16} and top == 65535)))
    return (
        samples == channels
        and known_bits
        and set(tags.get(339, (1,))) == {1}  # unsigned
        and (samples == 1 or tags.get(284, (1,)) == (1,))  # channels side by side
        and tags.get(266, (1,)) == (1,)  # order of bits
        and tags.get(259, (1,))[0] in COMPRESSIONS
        and not tags.keys() & PLACED
    )


def is_wide_png(data: bytes) -> bool:
    """Whether a file that starts with these bytes is a PNG of 16 bits in several channels, of which Pillow reads 8."""
    return data[:8] == b"\x89PNG\r\n\x1a\n" and data[24:25] == b"\x10" and data[25:26] in (b"\2", b"\4", b"\6")


def tiff_tags(file: IO[bytes]) -> dict[int, tuple[Any, ...]]:
    """What the first directory of a TIFF says, by the numbers of TIFF 6.0; nothing where it can't be read."""
    try:
        with quiet():
            header = file.read(8)
            directory = ImageFileDirectory_v2(header + (file.read(8) if header[2:3] == b"+" else b""))
            file.seek(directory.next)
            directory.load(file)
            read = {tag: directory[tag] for tag in TAGS & set(directory)}
    # as with the plugins below
    except Exception:
        return {}
    return {tag: value if isinstance(value, tuple) else (value,) for tag, value in read.items()}


def _frames(picture: PIL.Image.Image, name: str) -> int:
    """How many pictures a file holds; smaller copies of one, as GeoTIFF keeps for fast viewing, are none."""
    try:
        with quiet():
            frames = int(getattr(picture, "n_frames", 1))
    # as with the plugins: to count them, it reads them
    except Exception as error:
        raise Damaged(
            f"{name} is damaged behind its first frame ({one_line(error)}); save or download it again"
        ) from None
    if frames == 1 or not isinstance(picture, TiffImageFile):
        return frames
    copies = 0
    for frame in range(1, frames):
        # a damaged frame behind the first is none that is read
        with contextlib.suppress(Exception):
            picture.seek(frame)
            copies += picture.tag_v2.get(NEW_SUBFILE_TYPE, 0) & 1
    picture.seek(0)
    return frames - copies


def mask_palette(path: Path) -> dict[int, str] | None:
    """The colour of each number of a mask that carries a palette (of GIF also without one, then grey); else None.

    None also for what Pillow can't open: there are rasters of which GDAL alone reads the numbers.
    """
    try:
        picture, _ = _open(path, None, MAX_PIXELS)
    except ValueError:
        return None
    if picture.format == "GIF" and picture.mode == "L":
        return {value: f"#{value:02x}{value:02x}{value:02x}" for value in range(256)}
    colours = picture.getpalette("RGB") if picture.mode == "P" else None
    if colours is None:
        return None
    return {i // 3: f"#{bytes(colours[i : i + 3]).hex()}" for i in range(0, len(colours), 3)}


def exif_turn(path: Path) -> int:
    """The EXIF orientation (1 to 8) by which a picture is turned when it is read; 1, upright, where there is none."""
    try:
        picture, _ = _open(path, None, MAX_PIXELS)
    except ValueError:
        return 1
    if picture.format == "PNG" and "exif" not in picture.info:
        return 1  # Pillow would decode the picture to look behind it
    with quiet():
        return int(picture.getexif().get(ORIENTATION, 1))


def mask_transparency(path: Path) -> tuple[int, int]:
    """Of a mask, how many pixels hold a colour that is fully transparent, and how many are half transparent."""
    try:
        picture, name = _open(path, None, MAX_PIXELS)
        if picture.mode not in ("LA", "PA", "RGBA"):
            return 0, 0
        *channels, alpha = map(np.asarray, _decoded(picture, name).split())
    except ValueError:  # told where it is read
        return 0, 0
    hidden = (alpha == 0) & np.any(channels, axis=0)
    return int(hidden.sum()), int(((alpha > 0) & (alpha < 255)).sum())


def _extrema(channel: PIL.Image.Image) -> tuple[float, float]:
    low, high = channel.getextrema()
    assert not isinstance(low, tuple)
    assert not isinstance(high, tuple)
    return low, high


def _only_transparency_differs(picture: PIL.Image.Image) -> bool:
    *channels, alpha = map(_extrema, picture.split())
    return alpha[0] != alpha[1] and all(low == high for low, high in channels)


def write_labels(
    path: Path, labels: NDArray[np.uint8], palette: Sequence[str], valid: NDArray[np.bool_] | None = None
) -> Path:
    """Write a label map (H,W) as an indexed PNG: pixel values are ids, colours are the palette's; 255 if not valid."""
    if path.suffix.lower() != ".png":
        raise ValueError(f"label maps are written as .png, got {path.name!r}; choose a name that ends in .png")
    if labels.max() >= len(palette):
        raise ValueError(f"the label map holds the id {labels.max()}, but the palette ends at {len(palette) - 1}")
    colours = [hex_to_rgb(color) for color in palette]
    if valid is not None and not valid.all():
        labels = np.where(valid, labels, np.uint8(IGNORE))
        colours += [NOTHING] * (256 - len(colours))  # by their number Pillow chooses how many bits it writes
    picture = PIL.Image.fromarray(labels)
    picture.putpalette([part for color in colours for part in color])
    with whole(path) as temporary:
        picture.save(temporary, format="PNG")
    return path


def _open(source: Path | bytes, name: str | None, max_pixels: int) -> tuple[ImageFile, str]:
    name = name or ("picture" if isinstance(source, bytes) else Path(source).name)
    try:
        data = source if isinstance(source, bytes) else Path(source).read_bytes()
    except OSError as error:
        raise ValueError(f"{name} can't be read: {error.strerror or error}; give the path of a picture") from None
    if not data:
        raise ValueError(f"{name} is empty (0 bytes); give a picture file")
    too_large = f"is larger than the limit of {max_pixels / 1e6:.0f} megapixels"
    too_large += BY_ROWS if data[:4] in TIFF else "; reduce it or cut it into parts"
    try:
        with quiet():
            picture = PIL.Image.open(io.BytesIO(data), formats=FORMATS)
    except PIL.Image.DecompressionBombError:
        raise ValueError(f"{name} {too_large}") from None
    # Pillow's plugins raise almost anything on a broken header
    except Exception as error:
        what = "" if isinstance(error, PIL.UnidentifiedImageError) else f" ({one_line(error)})"
        raise ValueError(
            f"{name} is not a readable picture{what}; expected PNG, JPEG, TIFF, BMP, GIF, WebP or PNM"
        ) from None
    if 0 in picture.size:
        raise ValueError(f"{name} has no pixels ({picture.width} x {picture.height}); give a picture with some")
    if picture.width * picture.height > max_pixels:
        raise ValueError(f"{name} ({picture.width} x {picture.height}) {too_large}")
    return picture, name


def _decoded(picture: ImageFile, name: str) -> PIL.Image.Image:
    assert isinstance(picture.fp, io.BytesIO)
    data = picture.fp.getvalue()
    try:
        with quiet():
            picture.load()
            transposed = ImageOps.exif_transpose(picture)
    # as above: a truncated or damaged body
    except Exception as error:
        raise ValueError(f"{name} is damaged or cut off ({one_line(error)}); save or download it again") from None
    # Pillow leaves them black
    if isinstance(picture, PngImageFile):
        refuse_missing(missing_of_png(picture, data), picture.height, name)
    if isinstance(picture, TiffImageFile):
        refuse_missing(missing_of_tiff(tiff_tags(io.BytesIO(data))), picture.height, name)
    return transposed
