"""One reader for every file: which family it is of is told by its content."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any, Literal, Unpack

import numpy as np
from numpy.typing import NDArray

from .dicom import Series, holds_dicom, looks_like_dicom, read_series
from .dicom_seg import read_seg
from .geo import read_raster, read_raster_numbers
from .ground import Raster
from .image import MAX_PIXELS, Image, Place, Reading
from .raster import TIFF, is_simple_tiff, is_wide_png, read_numbers, read_picture
from .volume import Volume, kind_of, read_label_volume, read_volume

HEAD = 1024
"""Bytes that tell every family."""
PICTURE = re.compile(
    rb"\x89PNG\r\n|\xff\xd8\xff|GIF8[79]a|BM.{4}\0{4}|II[*+]\0|MM\0[*+]|RIFF.{4}WEBP|P[1-6]\s[\s\d#]", re.DOTALL
)
NAMED = re.compile(
    r".*\.(png|jpe?g|bmp|gif|webp|p[bgpn]m|tiff?|dcm|nii|nii\.gz|nrrd|nhdr|mha|mhd)", re.DOTALL | re.IGNORECASE
)
"""Names of files that should hold a picture: where they don't, that is a fault."""
BESIDE = (".ovr", ".msk")
"""Of TIFFs in which GDAL keeps smaller copies and the mask of the picture beside them."""


def read_image(source: str | Path | bytes, **reading: Unpack[Reading]) -> Image:
    """Read a picture, a raster or a volume, in the type that it is stored in, with what its file says of its place.

    source: a path; of a DICOM series its folder, a zip or one of its files. Of a picture or a raster also its bytes.
    reading: what the file may not say; see `Reading`.
    Raises ValueError in one sentence for what can't be read, or not without being told more.
    """
    if reading.get("hounsfield") and reading.get("value_range") is not None:
        raise ValueError("Hounsfield units go through the model's window; leave out hounsfield or the value range")
    if isinstance(source, bytes):
        name = reading.get("name") or "picture"
        head = source[:HEAD]
    else:
        source = Path(source)
        name = reading.get("name") or source.name or source.resolve().name
        head = _head(source, name)
    reading["name"] = name
    if isinstance(source, Path):
        if source.is_dir() or looks_like_dicom(head) or head[:4] == b"PK\3\4":
            _refuse(reading, name, "bands", "a DICOM series")
            return read_series(source, **reading)
        if kind := kind_of(head):
            _refuse(reading, name, "bands", "a volume")
            _refuse(reading, name, "series", "a volume")
            return read_volume(source, kind, **reading)
    elif looks_like_dicom(head) or kind_of(head):
        raise ValueError(f"{name} is a medical file, which is read from a path, not from bytes")
    _refuse(reading, name, "series", "a picture")
    tiff = head[:4] in TIFF and (reading.get("bands") is not None or not is_simple_tiff(source))
    if tiff or is_wide_png(head):
        image = read_raster(source, **reading)
    else:
        _refuse(reading, name, "bands", "a picture")
        image = read_picture(source, **reading)
    if not reading.get("hounsfield"):
        return image
    if image.pixels.dtype == np.uint8:
        raise ValueError(f"{name} holds 8 bits, which are too few for Hounsfield units; leave hounsfield out")
    return dataclasses.replace(image, hounsfield=True, value_range=None)


def family_of(path: Path) -> Literal["dicom", "zip", "picture"] | None:
    """What a file is read as: DICOM, a zip of DICOM, or a picture or volume by itself, which may be damaged; or None.

    Its content counts. What is none of them by it, but has the name of a picture, is a damaged one.
    """
    named = NAMED.fullmatch(path.name) is not None
    try:
        head = _head(path, path.name)
    except ValueError:  # empty, or can't be read: told when its turn comes
        return "picture" if named else None
    if looks_like_dicom(head):
        return "dicom"
    if head[:4] == b"PK\3\4":
        return "zip" if holds_dicom(path) else None
    picture = kind_of(head) or (PICTURE.match(head) and path.suffix.lower() not in BESIDE)
    return "picture" if picture or named else None


def read_mask(path: Path, *, place: Place | None = None, max_pixels: int = MAX_PIXELS) -> NDArray[Any]:
    """The numbers of a mask as stored: (H,W) integers (of a palette file: the indices), (H,W,3) RGB, or (D,H,W).

    A volume (D,H,W) is turned as the image beside it. place: that of its image, which a DICOM-SEG refers to, and where
    a label volume or raster must lie. Raises ValueError for what would be lost or isn't there.
    """
    if path.is_dir():
        path = _only_dicom(path)
    head = _head(path, path.name)
    if looks_like_dicom(head):
        if not isinstance(place, Series):
            raise ValueError(f"{path.name} is DICOM, and so must its image be; give the series that it was drawn on")
        return read_seg(path, place)
    if kind := kind_of(head):
        if isinstance(place, Volume) or (isinstance(place, Series) and place.measured):
            return read_label_volume(path, kind, place.grid)
        return read_label_volume(path, kind)
    if head[:4] in TIFF and not is_simple_tiff(path):
        return read_raster_numbers(path, path.name, max_pixels, place if isinstance(place, Raster) else None)
    return read_numbers(path, max_pixels=max_pixels)


def proposed_range(image: Image) -> tuple[float, float] | None:
    """The values between which nearly all pixels (98 %) lie; None where they are all alike.

    >>> proposed_range(Image(np.arange(1001, dtype=np.uint16).reshape(1, 7, 143, 1)))
    (10.0, 990.0)
    """
    low, high = np.percentile(some(image), (1, 99)).tolist()
    return (low, high) if low < high else None


def some(image: Image, most: int = 250_000) -> NDArray[Any]:
    """At most about `most` of the valid numbers of an image, evenly spread."""
    step = max(1, int((image.pixels.size / most) ** (1 / 3 if len(image.pixels) > 1 else 1 / 2)))
    part = (slice(None, None, step if len(image.pixels) > 1 else 1), *[slice(None, None, step)] * 2)
    pixels = image.pixels[part]
    return pixels[image.valid[part]].ravel() if image.valid is not None else pixels.ravel()


def _only_dicom(folder: Path) -> Path:
    """The one DICOM file of a folder, however deep."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.stat().st_size)
    found = [path for path in files if looks_like_dicom(_head(path, path.name))]
    if len(found) != 1:
        raise ValueError(f"{folder.name} holds {len(found)} DICOM files, expected one DICOM-SEG; save it as one file")
    return found[0]


def _head(path: Path, name: str) -> bytes:
    if path.is_dir():
        return b""
    try:
        with path.open("rb") as file:
            head = file.read(HEAD)
    except OSError as error:
        raise ValueError(f"{name} can't be read: {error.strerror or error}; give the path of a picture") from None
    if not head:
        raise ValueError(f"{name} is empty (0 bytes); give a picture file")
    return head


def _refuse(reading: Reading, name: str, option: str, what: str) -> None:
    if reading.get(option) is not None:
        raise ValueError(f"{name} is {what} and has no {option} to choose from; leave {option} out")
