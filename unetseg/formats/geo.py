"""TIFF of any kind, with its place on the ground, and PNG of 16 bits in colour, read by GDAL through rasterio."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray

from .ground import Raster, quiet_gdal
from .image import MAX_PIXELS, Image, Reading
from .libraries import imported
from .raster import BY_ROWS, ORIENTATION, is_wide_png, tiff_tags
from .rows import missing_of_tiff, refuse_missing

RED_GREEN_BLUE = tuple(rf"(?:{names})(?![a-z0-9])" for names in ("red|r|b0?4", "green|g|b0?3", "blue|b|b0?2"))
"""How names of bands begin: words, or the numbers of Sentinel-2."""
MAX_BLOCK = 2**31
"""Bytes, of 8 for each number; a header may ask for any."""
SENTINEL_2 = {
    "S2MSI2A": ("BOA_QUANTIFICATION_VALUE", "BOA_ADD_OFFSET"),
    "S2MSI1C": ("QUANTIFICATION_VALUE", "RADIO_ADD_OFFSET"),
}
"""Of a product type, what makes reflectance of its numbers: (number + offset) / quantification.

Source: Sentinel-2 Products Specification Document (ESA), and the names that GDAL gives them.
"""
TRANSPARENT = 0.9
"""The share of a real transparency's values that are 0 or the maximum; near infrared has few of them."""


@dataclass(frozen=True)
class _Header:
    """What the header of a file says.

    block: bytes that are decoded at once. top: the largest number of its integers, None where that isn't said.
    fill: whether it names a _FillValue. points: what places it instead of a transform.
    orientation: of TIFF 6.0; 1 is upright. missing: rows that it does not hold.
    """

    place: Raster
    dtype: str
    block: int
    interpretations: tuple[str, ...]
    units: tuple[str, ...]
    scales: tuple[float, ...]
    offsets: tuple[float, ...]
    masks: tuple[str, ...]
    white_is_zero: bool
    top: int | None
    fill: bool
    frames: int
    points: str | None
    orientation: int
    missing: int

    @property
    def count(self) -> int:
        return len(self.interpretations)


def read_raster(source: Path | bytes, **reading: Unpack[Reading]) -> Image:
    """The picture of a TIFF (1,H,W,C), its channels chosen by what the file says of its bands, and its place.

    Colours of a palette are expanded, tones of white-is-zero inverted; where there is no data, pixels are 0 and not
    `valid`. The value range comes from 8 bits or from metadata, and is None otherwise. Raises ValueError in one
    sentence for what is damaged, larger than `max_pixels`, or no picture.
    """
    with opened(source, max_pixels=reading.get("max_pixels", MAX_PIXELS), reading=reading) as raster:
        header = raster.header
        pixels, valid = raster.rows(0, header.place.shape[0])
        transparent = raster.partly_transparent
    if valid is not None and not valid.any():
        raise ValueError(raster.empty)
    with np.errstate(over="ignore"):
        pixels = pixels.astype(narrow(pixels.dtype, pixels), copy=False)
    values = pixels if valid is None else pixels[valid]
    if not np.isfinite(values).all():
        raise ValueError(raster.infinite)
    if valid is not None:
        pixels[~valid] = 0
    pixels = _turned(pixels, header)
    valid = None if valid is None else _turned(valid, header)
    place = turned_place(header, raster.bands)
    missing = 0.0 if valid is None else float(1 - valid.mean())
    return raster.image(
        pixels[None],
        values,
        valid=None if valid is None else valid[None],
        place=place,
        missing=missing,
        transparent=transparent,
    )


@dataclass
class Source:
    """A TIFF that is open: what its header says, and its rows.

    bands: those that are channels. opaque: the band marked as transparency, and the number above which it shows the
    picture; None where there is none. partly_transparent: whether any row so far was.
    """

    dataset: Any
    header: _Header
    name: str
    bands: tuple[int, ...]
    opaque: tuple[int, float] | None
    palette: dict[int, tuple[int, ...]] | None
    value_range: tuple[float, float] | None
    given: bool
    reason: str
    notices: tuple[str, ...]
    partly_transparent: bool = False

    @property
    def complete(self) -> bool:
        """Whether its header says that there is data everywhere."""
        masks = self.header.masks
        return self.opaque is None and "nodata" not in masks and ("per_dataset" not in masks or "alpha" in masks)

    @property
    def empty(self) -> str:
        """What is said where it holds no data."""
        return f"{self.name} holds no data: each of its pixels is nodata or transparent; give another file"

    @property
    def infinite(self) -> str:
        """What is said of numbers without a value."""
        return f"{self.name}: holds values that are not finite; declare them as nodata, or replace them"

    def rows(self, top: int, bottom: int) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
        """Rows (n,W,C) as a picture, not yet turned, and where they are valid (n,W); None where all of them are."""
        window = ((top, bottom), (0, self.header.place.shape[1]))
        with _explained(self.name):
            pixels = np.moveaxis(self.dataset.read(list(self.bands), window=window), 0, -1)  # (n,W,C)
            valid = _valid(self.dataset, self.header, self.bands, pixels, window)
            if self.opaque is not None:
                band, limit = self.opaque
                shown: NDArray[np.bool_] = self.dataset.read(band, window=window) > limit
                if not shown.all():
                    self.partly_transparent = True
                    valid = shown if valid is None else valid & shown
        if self.header.white_is_zero:
            pixels = _inverted(pixels, self.value_range)
        elif self.palette is not None:
            pixels = _coloured(pixels, self.palette)
        return pixels, valid

    def image(
        self,
        pixels: NDArray[Any],
        values: NDArray[Any],
        *,
        valid: NDArray[np.bool_] | None = None,
        place: Raster | None = None,
        missing: float,
        transparent: bool,
    ) -> Image:
        """The Image of pixels (1,H,W,C), `values` being all that are valid; `missing` of them, a share, are not."""
        facts = [f"{_listed(self.bands)} of {self.header.count}"] if self.header.count > 1 else []
        facts += [self.reason] if self.reason else []
        facts += [f"{missing:.1%} without data"] if missing else []
        partly = f"{self.name} is partly transparent; what is transparent is read as black"
        return Image(
            pixels,
            self.value_range,
            name=self.name,
            notices=(*self.notices, *([partly] if transparent else [])),
            stated=self.given or bool(self.reason),
            facts=(*facts, *_ground(self.header.place)),
            place=place,
            valid=valid,
            doubt=_doubt(self.header, values, self.name) if self.value_range is None else None,
        )


@contextmanager
def opened(source: Path | bytes, *, max_pixels: int, reading: Reading) -> Iterator[Source]:
    """A TIFF, open for reading rows; ValueError as `read_raster` raises."""
    name = reading.get("name") or ("picture" if isinstance(source, bytes) else source.name)
    with ExitStack() as stack:
        with _explained(name):
            dataset = stack.enter_context(_dataset(source, name))
            header = _header(dataset, source)
        _check(header, name, max_pixels)
        wanted, notices = reading.get("bands"), list(_place_notices(header, name))
        alpha = header.interpretations.index("alpha") + 1 if "alpha" in header.interpretations else None
        opaque, seen = None, ""
        if alpha is not None and alpha not in (wanted or ()):
            with _explained(name):
                limit, seen = _opaque(_each(dataset, alpha), alpha)
            opaque = None if limit is None else (alpha, limit)
        bands = _chosen(header, name, wanted, transparent=opaque is not None)
        in_order = bands == tuple(range(1, len(bands) + 1))
        if wanted is None and (header.count > len(bands) + (opaque is not None) or not in_order):
            colours = "red, green and blue" if len(bands) == 3 else "grey"
            notices.append(
                f"{name} has {header.count} bands{seen}; {_listed(bands)} are taken as {colours} (--bands for others)"
            )
        given = reading.get("value_range")
        value_range, reason = (given, "") if given is not None else _stated_range(header, bands)
        palette = None
        if header.interpretations[0] == "palette" and bands == (1,) and not header.white_is_zero:
            with _explained(name):
                palette = dataset.colormap(1)
            header, value_range = replace(header, dtype="uint8"), given or (0, 255)
        yield Source(
            dataset, header, name, bands, opaque, palette, value_range, given is not None, reason, tuple(notices)
        )


def read_raster_numbers(
    path: Path, name: str, max_pixels: int = MAX_PIXELS, image: Raster | None = None
) -> NDArray[Any]:
    """The numbers of a mask as stored: (H,W) integers (of a palette: the indices), or (H,W,3) RGB of 8 bits.

    image: the place of its image, if known; ValueError for a mask of the same size that lies elsewhere.
    Raises ValueError as `raster.read_numbers` does: for further frames, fractions, and what transparency alone shows.
    """
    with ExitStack() as stack:
        with _explained(name):
            dataset = stack.enter_context(_dataset(path, name))
            header = _header(dataset, path)
        _check(header, name, max_pixels)
        if header.frames > 1:
            raise ValueError(f"{name} has {header.frames} frames, and a mask has one; save each as a file of its own")
        with _explained(name):
            numbers = np.moveaxis(dataset.read(), 0, -1) if header.count <= 4 else None
        if image is not None and (apart := image.apart(header.place)) > 0.5:
            raise ValueError(
                f"{name} lies elsewhere than its image, by up to {apart:.2g} pixels; write it with its transform"
            )
    alpha = header.interpretations[-1] == "alpha"
    channels = header.count - alpha
    if numbers is None or channels not in (1, 3) or (channels == 3 and header.dtype != "uint8"):
        raise ValueError(
            f"{name} has {header.count} bands of {header.dtype}; a mask has one band of ids, or colours of 8 bits"
        )
    if alpha and np.ptp(numbers[..., -1]) and not any(np.ptp(numbers[..., band]) for band in range(channels)):
        raise ValueError(f"{name} is of one colour and shows its mask by transparency alone; save that as grey PNG")
    numbers = _turned(numbers[..., :channels] if channels == 3 else numbers[..., 0], header)
    if numbers.dtype.kind == "f":
        whole_numbers: NDArray[np.int32] = (
            np.nan_to_num(numbers, nan=-0.5).clip(-(2.0**31), 2.0**31 - 128).astype(np.int32)
        )
        if (whole_numbers != numbers).any():
            found = f"{numbers.min():g} to {numbers.max():g}"
            raise ValueError(f"{name} holds fractions ({found}); save labels as whole numbers")
        numbers = whole_numbers
    narrowed: NDArray[Any] = numbers.astype(narrow(numbers.dtype, numbers), copy=False)
    if narrowed.dtype.kind == "f":
        raise ValueError(f"{name} holds ids up to {numbers.max()}, more than 32 bits; save labels as small numbers")
    return narrowed


@contextmanager
def _dataset(source: Path | bytes, name: str) -> Iterator[Any]:
    rasterio = imported("rasterio", name)
    # no other driver: those of virtual files read what their text names, from anywhere
    if isinstance(source, bytes):
        driver = "PNG" if is_wide_png(source) else "GTiff"
        with rasterio.MemoryFile(source) as memory, memory.open(driver=driver) as dataset:
            yield dataset
    else:
        with source.open("rb") as file:
            driver = "PNG" if is_wide_png(file.read(32)) else "GTiff"
        with rasterio.open(source.resolve(), driver=driver) as dataset:
            yield dataset


def read_place(path: Path) -> Raster:
    """Where a TIFF lies, by its header alone; ValueError where that can't be read."""
    with _explained(path.name), _dataset(path, path.name) as dataset:
        return turned_place(_header(dataset, path), ())


def _header(dataset: Any, source: Path | bytes) -> _Header:  # noqa: ANN401, rasterio's
    identity = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
    transform = tuple(float(part) for part in list(dataset.transform)[:6])
    points = "ground control points" if dataset.gcps[0] else "rational polynomials" if dataset.rpcs else None
    tags, band_tags = dataset.tags(), dataset.tags(1)
    bits = dataset.tags(1, ns="IMAGE_STRUCTURE").get("NBITS")
    dtype = dataset.dtypes[0]
    stated = tags.get("TIFFTAG_MAXSAMPLEVALUE", "")
    top = None
    if dtype.startswith(("uint", "int")):  # half floats have 16 bits too
        top = int(stated) if stated.isdigit() and int(stated) > 1 and dtype != "uint8" else top
        top = 2 ** int(bits) - 1 if bits and top is None else top
    with ExitStack() as stack:
        file = io.BytesIO(source) if isinstance(source, bytes) else stack.enter_context(source.open("rb"))
        directory = tiff_tags(file)
    orientation = directory.get(ORIENTATION, (1,))[0]
    together = dataset.count if dataset.tags(ns="IMAGE_STRUCTURE").get("INTERLEAVE") == "PIXEL" else 1
    place = Raster(
        dataset.crs.to_wkt() if dataset.crs else None,
        None if transform == identity else transform,
        (dataset.height, dataset.width),
        tuple(dataset.indexes),
        tuple(text or "" for text in dataset.descriptions),
        dataset.nodata,
    )
    return _Header(
        place,
        dtype,
        math.prod(dataset.block_shapes[0]) * together * 8,
        tuple(interpretation.name for interpretation in dataset.colorinterp),
        tuple(text or "" for text in dataset.units),
        *_scaling(dataset, tags),
        tuple(flag.name for flag in dataset.mask_flag_enums[0]),
        dataset.tags(ns="IMAGE_STRUCTURE").get("MINISWHITE") == "YES",
        top,
        any(key.endswith("_FillValue") for key in (*tags, *band_tags)),
        max(1, len(dataset.subdatasets)),
        points if place.transform is None else None,
        orientation if place.transform is None and points is None and orientation in range(2, 9) else 1,
        missing_of_tiff(directory),
    )


def _scaling(dataset: Any, tags: dict[str, str]) -> tuple[tuple[float, ...], tuple[float, ...]]:  # noqa: ANN401
    """Scale and offset of each band; of Sentinel-2 those of its product, which GDAL keeps as metadata alone."""
    scales, offsets = list(dataset.scales), list(dataset.offsets)
    names = SENTINEL_2.get(tags.get("PRODUCT_TYPE", ""), ("", ""))
    quantification = tags.get(names[0], "")
    if not re.fullmatch(r"[1-9]\d*(\.0*)?", quantification):
        return tuple(scales), tuple(offsets)
    for place, band in enumerate(dataset.indexes):
        # an offset came with baseline 04.00; without one, a later band is no reflectance or lost its own
        stated = dataset.tags(band).get(names[1], "0" if tags.get("PROCESSING_BASELINE", "99") < "04" else "")
        if re.fullmatch(r"-?\d+", stated):
            scales[place], offsets[place] = 1 / float(quantification), int(stated) / float(quantification)
    return tuple(scales), tuple(offsets)


def _check(header: _Header, name: str, max_pixels: int) -> None:
    height, width = header.place.shape
    refuse_missing(header.missing, height, name)
    if height * width > max_pixels:
        raise ValueError(
            f"{name} ({width} x {height}) is larger than the limit of {max_pixels / 1e6:.0f} megapixels{BY_ROWS}"
        )
    if header.block > MAX_BLOCK:
        raise ValueError(
            f"{name} is stored in blocks of {header.block / 2**20:,.0f} MB, which are too large to read; "
            "write it in tiles (gdal_translate -co TILED=YES)"
        )
    if header.dtype.startswith("complex"):
        raise ValueError(f"{name} holds complex numbers, expected a picture; write their magnitude as one")


def _place_notices(header: _Header, name: str) -> Iterator[str]:
    if header.frames > 1:
        yield f"{name} has {header.frames} frames; the first is used"
    if header.points:
        yield f"{name} is placed by {header.points} alone, so its results have no place; gdalwarp gives it one"
    elif header.place.transform is not None and (header.place.transform[1] or header.place.transform[3]):
        yield f"{name} is turned or sheared against its map; its results are alike, and not every program shows that"


def _each(dataset: Any, band: int) -> Iterator[NDArray[Any]]:  # noqa: ANN401
    """A band in rows of its blocks."""
    step = max(dataset.block_shapes[band - 1][0], 256)
    for top in range(0, dataset.height, step):
        yield dataset.read(band, window=((top, min(top + step, dataset.height)), (0, dataset.width)))


def _opaque(opacities: Iterator[NDArray[Any]], band: int) -> tuple[float | None, str]:
    """The number above which a band marked as transparency shows the picture; None, and words, where it is none."""
    highest, none, ones, full, size, top = 0.0, 0, 0, 0, 0, 1.0
    for opacity in opacities:
        top = float(np.iinfo(opacity.dtype).max) if opacity.dtype.kind in "iu" else 1.0
        highest, size = max(highest, float(opacity.max())), size + opacity.size
        none, ones, full = (n + int((opacity == x).sum()) for n, x in ((none, 0), (ones, 1), (full, top)))
    top, full = (1.0, ones) if highest == 1 else (top, full)
    if none + full >= TRANSPARENT * size:
        return top / 2, ""
    return (
        None,
        f", and band {band} is marked as transparency, which it isn't ({1 - (none + full) / size:.0%} is between)",
    )


def _chosen(header: _Header, name: str, wanted: tuple[int, ...] | None, *, transparent: bool) -> tuple[int, ...]:
    if wanted is not None:
        if not wanted or not set(wanted) <= set(range(1, header.count + 1)):
            raise ValueError(
                f"{name} has {header.count} band{'s' * (header.count != 1)}, the first is 1; got {list(wanted)}, "
                f"choose from 1 to {header.count} (--bands)"
            )
        return wanted
    named = [
        [band for band, text in enumerate(header.place.descriptions, 1) if re.match(pattern, text.strip(), re.I)]
        for pattern in RED_GREEN_BLUE
    ]
    if all(named):  # before the interpretation, which writers give by default
        return tuple(bands[0] for bands in named)
    colours = ("red", "green", "blue")
    if set(colours) <= set(header.interpretations):
        return tuple(header.interpretations.index(colour) + 1 for colour in colours)
    channels = header.count - transparent
    if channels == 1:
        return (1,)
    if channels == 2:
        raise ValueError(f"{name} has {header.count} bands, which are no picture; choose one or three (--bands)")
    return (1, 2, 3)


def _listed(bands: tuple[int, ...]) -> str:
    return f"band{'s' * (len(bands) > 1)} {', '.join(map(str, bands))}"


def _valid(
    dataset: Any,  # noqa: ANN401
    header: _Header,
    bands: tuple[int, ...],
    pixels: NDArray[Any],
    window: tuple[tuple[int, int], tuple[int, int]],
) -> NDArray[np.bool_] | None:
    """Where there is data in a window (n,W); None where it is everywhere."""
    if "nodata" in header.masks:
        if pixels.dtype.kind in "if":  # a number that no picture holds: it spoils a colour by being in one band of it
            valid = np.all(dataset.read_masks(list(bands), window=window), axis=0)
            if pixels.dtype.kind == "f":
                valid &= ~np.isnan(pixels).any(axis=-1)
        else:  # 0 and 255 are also those of pictures: there is nothing where all bands say so
            valid = np.zeros(pixels.shape[:2], dtype=bool)
            for band in sorted(dataset.indexes, key=lambda band: band not in bands):
                valid |= dataset.read_masks(band, window=window) > 0
                if valid.all():
                    break
    elif "per_dataset" in header.masks and "alpha" not in header.masks:
        valid = dataset.read_masks(1, window=window) > 0
    else:
        return None
    return None if valid.all() else valid


def _stated_range(header: _Header, bands: tuple[int, ...]) -> tuple[tuple[float, float] | None, str]:
    """The value range that type and metadata state, and the words for that of metadata."""
    if header.dtype == "uint8":
        return (0, header.top or 255), ""
    if header.top is not None:
        return (0, header.top), f"values end at {header.top} by its header"
    scales = {(header.scales[band - 1], header.offsets[band - 1]) for band in bands}
    # a single band with a scale is rather a height or a temperature
    if len(bands) > 1 and len(scales) == 1 and (pair := scales.pop()) != (1, 0) and pair[0] > 0:
        scale, offset = pair
        return (0.0 - offset / scale, (1 - offset) / scale), f"reflectance by scale {scale:g} and offset {offset:g}"
    # TIFF 6.0: zero is white, and the largest number of so many bits is black
    return ((0, 65535), "") if header.white_is_zero and header.dtype == "uint16" else (None, "")


def _inverted(pixels: NDArray[Any], value_range: tuple[float, float] | None) -> NDArray[Any]:
    if value_range is None and pixels.dtype.kind != "f":
        return pixels  # refused later: these numbers have no black
    low, high = value_range or (0, 1)
    inside = np.clip(pixels.astype(np.float64), low, high) if value_range else pixels
    inverted: NDArray[Any] = (low + high - inside).astype(pixels.dtype)
    return inverted


def _coloured(pixels: NDArray[Any], palette: dict[int, tuple[int, ...]]) -> NDArray[np.uint8]:
    """(H,W,1) indices as (H,W,3) colours, or (H,W,1) where all colours are greys."""
    table = np.zeros((int(np.iinfo(pixels.dtype).max) + 1, 3), dtype=np.uint8)
    for index, colour in palette.items():
        table[index] = colour[:3]
    if (table == table[:, :1]).all():
        table = table[:, :1]
    coloured: NDArray[np.uint8] = table[pixels[..., 0]]
    return coloured


def narrow(dtype: np.dtype[Any], limits: NDArray[Any]) -> np.dtype[Any]:
    """The type of at most 32 bits for numbers: float32, or int32 where `limits`, or all of them, fit, else float32."""
    if dtype.kind in "iu" and (dtype.itemsize <= 2 or dtype == np.int32):
        return dtype
    ends = np.iinfo(np.int32)
    fits = dtype.kind in "iu" and limits.min() >= ends.min and limits.max() <= ends.max
    return np.dtype(np.int32 if fits else np.float32)


def _doubt(header: _Header, values: NDArray[Any], name: str) -> str | None:
    """Why one band is rather a measurement than a picture; None for no reason."""
    if header.count > 1 or header.dtype == "uint8":
        return None
    metres = header.units[0].lower() in ("m", "metre", "metres", "meter", "meters")
    low, high = values.min(), values.max()
    heights = values.dtype.kind == "f" and header.place.transform is not None and (low < 0 or high > 1)
    scaled = (header.scales[0], header.offsets[0]) != (1, 0)
    if metres or heights or scaled or header.fill or header.place.nodata is not None:
        return (
            f"{name} looks like an elevation model or another measurement, of {low:g} to {high:g}, not a picture; "
            f"--value-range {low:g} {high:g} makes one of it"
        )
    return None


def _turned(array: NDArray[Any], header: _Header) -> NDArray[Any]:
    """(H,W,...) as its orientation says, which GDAL leaves to others."""
    if header.orientation in (5, 6, 7, 8):
        array = array.swapaxes(0, 1)
    down = -1 if header.orientation in (3, 4, 7, 8) else 1
    right = -1 if header.orientation in (2, 3, 6, 7) else 1
    return array[::down, ::right]


def turned_place(header: _Header, bands: tuple[int, ...]) -> Raster:
    height, width = header.place.shape
    return replace(
        header.place,
        shape=(width, height) if header.orientation >= 5 else (height, width),
        bands=bands,
        descriptions=tuple(header.place.descriptions[band - 1] for band in bands),
    )


def _ground(place: Raster) -> tuple[str, ...]:
    """Its CRS and resolution in words."""
    if place.crs is None or place.transform is None:
        return ()
    with quiet_gdal():
        code = imported("rasterio.crs", "its place").CRS.from_wkt(place.crs).to_epsg()
    words = f"EPSG:{code}" if code else "a CRS of its own"
    return (words,) if place.unit is None else (f"{words}, {math.sqrt(place.unit[1] * 10_000):.3g} m a pixel",)


@contextmanager
def _explained(name: str) -> Iterator[None]:
    imported("rasterio", name)
    try:
        with quiet_gdal():
            yield
    except Exception as error:
        reason = " ".join(str(error.__cause__ or error).split())
        reason = re.sub(r"\S*[/\\]\S*|'?[0-9a-f]{8}-[0-9a-f-]{27}\S*", "it", reason)[:200]  # paths may hold names
        raise ValueError(f"{name} is damaged or cut off ({reason}); save or download it again") from None
