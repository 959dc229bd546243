"""DICOM series as volumes: files in any order, in a folder or a zip, to axial slices by what their headers say."""

from __future__ import annotations

import contextlib
import math
import posixpath
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack, cast

import numpy as np
from numpy.typing import NDArray

from ..files import one_line
from .dicom_series import (
    DIRECTORY,
    MEDICAL,
    UNZIPPING,
    Files,
    Frame,
    Header,
    Series,
    Slice,
    looks_like_dicom,
    read_header,
)
from .grid import LPS_FROM_RAS, STEEPEST, Grid
from .image import MAX_PIXELS, MAX_VOXELS, Damaged, Image, Reading
from .quiet import quiet

__all__ = ["Found", "Grouped", "Series", "grouped", "holds_dicom", "looks_like_dicom", "read_series", "series_in"]

EVEN = 1.0001
"""ITK gives up the spacing of a DICOM-SEG whose steps differ by more: SimpleITK 2.5.7 shows 1 mm each way."""
GAP = 1.5
"""Steps between slices may differ by this factor; beyond it a slice is missing."""
OUTSIDE = -1000
"""Air, in Hounsfield units: where a scanner saw nothing."""
MEASURED = ("CT", "PT")
"""Modalities whose numbers measure something, however they are shown."""


@dataclass(frozen=True)
class Found:
    """One series of images: what tells it from the others. The description is free text of whoever took it."""

    uid: str
    modality: str
    slices: int
    description: str

    def __str__(self) -> str:
        slices = f"{self.slices} slice{'s' * (self.slices != 1)}"
        return f"{self.modality}, {slices}{f', {self.description!r}' * bool(self.description)}, {self.uid}"


def series_in(path: Path) -> list[Found]:
    """The series of images in a file, a folder however deep, or a zip, in the order of their numbers.

    Localizers and what holds no image are passed over. Raises ValueError where nothing is left, or files are damaged.
    """
    _check_library(path.name)
    with quiet(), Files(path, path.name) as files:
        return [_found(headers) for headers in _all_series(files)[0]]


@dataclass(frozen=True)
class Grouped:
    """DICOM files of a folder: those of each series of images by its UID; those without a slice; the damaged ones."""

    series: dict[str, list[str]]
    others: list[str]
    damaged: list[str]


def grouped(folder: Path, names: Sequence[str]) -> Grouped:
    """What the files of a folder, by names relative to it, are by their headers.

    Files that don't name their series are one with those beside them.
    """
    if names:
        _check_library(names[0])
    found = Grouped({}, [], [])
    with quiet(), Files(folder, folder.name, names) as files:
        for name in names:
            try:
                header = read_header(files, name)
            except ValueError:
                found.damaged.append(name)
                continue
            if header is None or not header.is_image or header.localizer:
                found.others.append(name)
            else:
                found.series.setdefault(header.series or posixpath.dirname(name), []).append(name)
    return found


def holds_dicom(path: Path) -> bool:
    """Whether a zip has a DICOM file in it, or is none that can be read, which its reader tells."""
    try:
        with Files(path, path.name) as files:
            return any(looks_like_dicom(files.open(name).read(132)) for name in files.names)
    except (ValueError, OSError, *UNZIPPING):
        return True


def read_series(path: Path, **reading: Unpack[Reading]) -> Image:
    """A series as axial slices (D,H,W,1) from feet to head, turned to LPS by its nearest axes; nothing is resampled.

    path: a folder, a zip, or one file; of several series in it `series` names one.
    CT comes in Hounsfield units by its rescale, file by file and frame by frame. A single colour image is (1,H,W,3).
    Raises ValueError in one sentence for what is no series of slices at regular steps.
    """
    name = reading.get("name") or path.name
    _check_library(name)
    with quiet(), Files(path, name, reading.get("files")) as files:
        every, passed_over, notices = _all_series(files)
        headers = _chosen(every, reading.get("series"), name)
        _check_alike(headers, name, reading.get("max_pixels", MAX_PIXELS))
        series, spread = _arranged(headers, path, name)
        pixels, valid = _colour(files, headers[0]), None
        hounsfield = False
        if pixels is None:
            hounsfield = _is_hounsfield(headers, reading, name, notices)
            pixels, valid = _volume(files, headers, series, hounsfield)
    header = headers[0]
    if not series.measured:
        notices.append(f"{name} doesn't say where it lies or how thick it is; volumes are not known")
    if spread > 1.01:
        notices.append(f"{name} has slices at uneven steps (up to {spread:.3g} times one another); taken as even")
    if spread > EVEN or series.grid.sheared:
        what = "a tilted gantry" if series.grid.sheared else "uneven steps"
        notices.append(
            f"{name} has {what}, which viewers built on ITK don't show of a DICOM-SEG; NIfTI has the voxels in place"
        )
    if header.samples == 1 and _is_inverted(header):
        notices.append(f"{name} stores white as its lowest value (MONOCHROME1); it was inverted")
    value_range = reading.get("value_range")
    stated = value_range is not None
    if header.samples == 3 and not stated:
        value_range = (0, 255)
    return Image(
        pixels,
        None if hounsfield else value_range,
        hounsfield=hounsfield,
        name=name,
        notices=tuple(notices),
        stated=stated,
        modality=header.modality,
        facts=tuple(_facts(series, passed_over)),
        place=series,
        valid=valid,
    )


def _facts(series: Series, passed_over: int) -> Iterator[str]:
    yield series.modality
    if series.measured:
        yield series.grid.description()
        step = series.grid.affine[:3, 2]
        normal = np.cross(series.grid.affine[:3, 0], series.grid.affine[:3, 1])
        cosine = abs(step @ normal) / np.linalg.norm(step) / np.linalg.norm(normal)
        if (tilt := math.degrees(math.acos(min(1.0, cosine)))) > 0.5:
            yield f"gantry tilted by {tilt:.0f} degrees"
    if passed_over:
        yield f"{passed_over} other file{'s' * (passed_over > 1)} passed over"


def _check_library(name: str) -> None:
    try:
        import pydicom  # noqa: F401
    except ImportError:
        raise ValueError(f"{name} is DICOM, which needs pydicom: {MEDICAL}") from None


# --- which files ------------------------------------------------------------------------------------------------


def _found(headers: Sequence[Header]) -> Found:
    slices = sum(len(header.frames) for header in headers)
    return Found(headers[0].series, headers[0].modality, slices, headers[0].description)


def _all_series(files: Files) -> tuple[list[list[Header]], int, list[str]]:
    """The series of a place, how many files are none of their images, and notices of what else is left out.

    Of copies of an instance the first counts. A slice that is missing for a damaged file leaves a gap, which is told.
    """
    if len(files.names) == 1:
        # what can't be unpacked is told with its header
        with contextlib.suppress(OSError, *UNZIPPING), files.open(files.names[0]) as file:
            if not file.read(1):
                raise ValueError(f"{files.title(files.names[0])} is empty (0 bytes); give a DICOM file")
    headers, damaged = [], []
    for name in files.names:
        try:
            if header := read_header(files, name):
                headers.append(header)
        except ValueError as error:
            damaged.append((name, error))
    first: dict[str, Header] = {}
    for header in headers:
        if header.is_image:
            first.setdefault(header.instance or header.file, header)
    images = list(first.values())
    slices = [header for header in images if not header.localizer]
    if not slices and damaged:
        raise damaged[0][1]
    if not slices:
        raise ValueError(f"{files.name} {_what_else(files, headers, images)}")
    grouped: dict[tuple[int, str], list[Header]] = {}
    for header in slices:
        grouped.setdefault((header.series_number, header.series), []).append(header)
    left_out = []
    if localizers := len(images) - len(slices):
        left_out.append(f"{files.name}: {localizers} localizer{'s' * (localizers > 1)} left out")
    if damaged:
        number = f"{len(damaged)} file{'s' * (len(damaged) > 1)}"
        left_out.append(f"{files.name}: {number} with a damaged header left out, first {Path(damaged[0][0]).name}")
    return [grouped[key] for key in sorted(grouped)], len(files.names) - len(images) - len(damaged), left_out


def _what_else(files: Files, headers: Sequence[Header], images: Sequence[Header]) -> str:
    """What a place holds that is no slice, as the end of a sentence."""
    if images:
        return "holds only localizers (scouts); give the folder of a series of axial slices"
    if not headers:
        number = len(files.names)
        return (
            f"holds no DICOM ({number} file{'s' * (number != 1)}); give a DICOM file, or the folder or zip of a series"
        )
    if all(header.sop_class == DIRECTORY for header in headers):
        return "is a DICOMDIR, a list of files and none of them; give the folder of the series"
    kinds = sorted({header.kind for header in headers if header.sop_class != DIRECTORY})
    return f"holds no image but {one_line(', '.join(kinds))}; give the folder of the images that it belongs to"


def _chosen(every: list[list[Header]], series: str | None, name: str) -> list[Header]:
    """The series that is asked for by its UID or its number; the only one, if there is one."""
    if series is None and len(every) == 1:
        return every[0]
    for number, headers in enumerate(every, start=1):
        if series in (str(number), headers[0].series):
            return headers
    listed = "; ".join(f"{number}: {_found(headers)}" for number, headers in enumerate(every[:20], start=1))
    more = f"; and {len(every) - 20} more" if len(every) > 20 else ""
    problem = "" if series is None else f", none of them {series!r}"
    raise ValueError(
        f"{name} holds {len(every)} series{problem}; choose one by its number or UID with series (--series): "
        f"{listed}{more}"
    )


def _check_alike(headers: Sequence[Header], name: str, max_pixels: int) -> None:
    """That all files of a series have the same kind of pixels, of a size that can be held."""
    header = headers[0]
    slices = sum(len(header.frames) for header in headers)
    for what, values in {
        "sizes": sorted({f"{header.columns} x {header.rows}" for header in headers}),
        "modalities": sorted({header.modality for header in headers}),
        "kinds of pixels": sorted({f"{header.samples} {header.photometric}" for header in headers}),
    }.items():
        if len(values) > 1:
            raise ValueError(
                f"{name} mixes {what} in one series ({', '.join(values[:5])}); give the folder of one kind of slices"
            )
    if header.rows * header.columns > max_pixels:
        raise ValueError(
            f"{name} ({header.columns} x {header.rows}) is larger than the limit of {max_pixels / 1e6:.0f} megapixels "
            "in a slice; reduce it or cut it into parts"
        )
    if (voxels := header.rows * header.columns * slices) > MAX_VOXELS:
        raise ValueError(
            f"{name} has {voxels / 1e6:,.0f} million voxels, the limit is {MAX_VOXELS / 1e6:,.0f}; cut it into parts"
        )
    for other in headers:
        allocated, stored, high = other.bits
        if not 0 < stored <= allocated <= 32 or high != stored - 1:
            raise ValueError(
                f"{name} says it keeps {stored} bits up to bit {high} in {allocated}, which isn't read; "
                "export it again with the usual 12 or 16 bits in 16"
            )
        if other.table:
            raise ValueError(
                f"{name} keeps its numbers through a table (ModalityLUTSequence), expected slope and intercept; "
                "export it with those"
            )
    if header.samples != 1 and slices > 1:
        raise ValueError(
            f"{name} is in colour ({header.modality}, {slices} frames), expected grey slices; "
            "give single frames or a series of CT or MR"
        )
    if header.samples == 1 and not header.photometric.startswith("MONOCHROME"):
        raise ValueError(
            f"{name} keeps colours as {header.photometric or 'nothing it names'} ({header.modality}), expected grey or "
            "RGB; export it as RGB"
        )


# --- where the slices lie ---------------------------------------------------------------------------------------


def _arranged(headers: Sequence[Header], path: Path, name: str) -> tuple[Series, float]:
    """The slices of a series sorted along their normal; and the ratio of the largest to the smallest step."""
    placed = [(header, frame) for header in headers for frame in header.frames]
    header, _ = placed[0]
    if any(frame.position is None or frame.orientation is None or frame.spacing is None for _, frame in placed):
        if len(placed) > 1:
            raise ValueError(
                f"{name} has {len(placed)} slices or frames ({header.modality}) and not every one says its position, "
                "orientation and spacing; give a series of CT or MR, or a single frame"
            )
        grid = Grid((header.columns, header.rows, 1), LPS_FROM_RAS.copy())
        return _series(header, path, grid, placed, measured=False), 1.0
    orientations = np.array([frame.orientation for _, frame in placed]).reshape(-1, 2, 3)  # (N,2,3)
    spacings = np.array([frame.spacing for _, frame in placed])  # (N,2) from row to row, from column to column
    along, down = orientations[0]  # unit vectors in LPS: of a row, of a column
    products = orientations @ orientations.transpose(0, 2, 1)  # (N,2,2)
    if np.abs(products - np.eye(2)).max() > 0.01 or not (spacings > 1e-6).all():
        raise ValueError(f"{name} has an orientation or a spacing that is none; export it again")
    if np.abs(orientations - orientations[0]).max() > 0.01 or np.abs(spacings / spacings[0] - 1).max() > 0.01:
        raise ValueError(
            f"{name} mixes slices of several orientations or spacings in one series; give the folder of one kind"
        )
    normal = np.cross(along, down)
    lean = math.degrees(math.acos(min(1.0, abs(normal[2]))))
    if lean > STEEPEST + 0.01:
        raise ValueError(
            f"{name} has slices {lean:.0f} degrees off the axial plane, expected at most {STEEPEST}; "
            "give an axial series"
        )
    positions = np.array([frame.position for _, frame in placed])  # (N,3)
    order = np.argsort(positions @ normal, kind="stable")
    positions = positions[order]
    placed = [placed[index] for index in order]
    step, spread = normal * (header.thickness or 1.0), 1.0
    if len(placed) > 1:
        spread = _checked_steps(positions, normal, float(spacings[0].min()), name)
        step = (positions[-1] - positions[0]) / (len(placed) - 1)
    affine = np.eye(4)
    affine[:3, :3] = np.stack([along * spacings[0, 1], down * spacings[0, 0], step], axis=1)
    affine[:3, 3] = positions[0]
    grid = Grid((header.columns, header.rows, len(placed)), LPS_FROM_RAS @ affine)
    # the volume of a single slice is known if its thickness is
    return _series(header, path, grid, placed, measured=len(placed) > 1 or header.thickness is not None), spread


def _checked_steps(positions: NDArray[np.float64], normal: NDArray[np.float64], pixel: float, name: str) -> float:
    """That sorted positions (N,3) go in steps without gaps along a line; the ratio of the largest to the smallest."""
    heights = positions @ normal
    steps = np.diff(heights)
    median = float(np.median(steps))
    doubled = int(steps.argmin())
    if steps[doubled] < max(0.01, median / 100):
        raise ValueError(
            f"{name} has two slices at one position ({heights[doubled]:.2f} mm), as series of several phases or echoes "
            "have; give the folder of one of them"
        )
    gap = int(np.abs(np.log(steps / median)).argmax())
    if not 1 / GAP < steps[gap] / median < GAP:
        raise Damaged(
            f"{name} has steps of {median:.4g} mm between slices, but {steps[gap]:.4g} mm between "
            f"{heights[gap]:.2f} and {heights[gap + 1]:.2f} mm; add the missing slices, or give a part at even steps"
        )
    share = ((heights - heights[0]) / (heights[-1] - heights[0]))[:, None]
    aside = positions - (positions[0] + share * (positions[-1] - positions[0]))
    if np.linalg.norm(aside, axis=1).max() > pixel:
        raise ValueError(f"{name} has slices that don't lie above one another; give the folder of one stack")
    return float(steps.max() / steps.min())


def _series(
    header: Header, path: Path, grid: Grid, placed: Sequence[tuple[Header, Frame]], *, measured: bool
) -> Series:
    slices = tuple(Slice(each.file, frame.number, each.instance, frame.position or ()) for each, frame in placed)
    return Series(path, header.series, header.modality, grid, slices, measured, referable=bool(header.reference))


# --- what the numbers are ---------------------------------------------------------------------------------------


def _is_hounsfield(headers: Sequence[Header], reading: Reading, name: str, notices: list[str]) -> bool:
    """Whether the numbers become Hounsfield units: of CT by their rescale, or because one says so."""
    if (told := reading.get("hounsfield")) is not None:
        return told
    if headers[0].modality != "CT" or reading.get("value_range") is not None:
        return False
    frames = [frame for header in headers for frame in header.frames]
    units = {frame.unit.upper() for frame in frames} - {"", "HU"}
    if not units and all(frame.rescale for frame in frames):
        return True
    what = f"in the unit {min(units)!r}" if units else "without a rescale"
    notices.append(f"{name} is CT {what}, so not taken as Hounsfield units; if it is, say hounsfield (--hounsfield)")
    return False


def _is_inverted(header: Header) -> bool:
    """Whether white is low and the numbers are turned round: MONOCHROME1 says how to show a picture.

    What numbers measure, as Hounsfield units, it doesn't change.
    """
    return header.photometric == "MONOCHROME1" and not (
        header.modality in MEASURED and all(frame.rescale for frame in header.frames)
    )


def _volume(
    files: Files, headers: Sequence[Header], series: Series, hounsfield: bool
) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    """Pixels (D,H,W,1) and which are valid (D,H,W), turned; read slice by slice into one array of int16 or float32."""
    columns, rows, slices = series.grid.shape
    place = {(one.file, one.frame): k for k, one in enumerate(series.slices)}
    rescales = [frame.rescale or (1.0, 0.0) for header in headers for frame in header.frames]
    whole = all(number.is_integer() for rescale in rescales for number in rescale)
    volume: NDArray[Any] = np.empty((slices, rows, columns), np.int16 if whole else np.float32)  # (K,J,I)
    valid: NDArray[np.bool_] | None = None
    for header in headers:
        for frame, stored in zip(header.frames, frames_of(files, header), strict=True):
            k = place[header.file, frame.number]
            slope, intercept = frame.rescale or (1.0, 0.0)
            padded = np.zeros(stored.shape, bool)
            if header.padding:
                padded = (header.padding[0] <= stored) & (stored <= header.padding[1])
            if padded.any():
                valid = np.ones(volume.shape, bool) if valid is None else valid
                valid[k] = ~padded
            if _is_inverted(header):
                stored = sum(header.stored_range()) - stored.astype(np.int64)
            numbers = stored.astype(np.float64) * slope + intercept
            if hounsfield:
                numbers[padded] = OUTSIDE
            if volume.dtype == np.int16 and not -32768 <= numbers.min() <= numbers.max() <= 32767:
                volume = volume.astype(np.float32)
            volume[k] = numbers
    turned = series.grid.turned(volume.transpose(2, 1, 0))[..., None]  # (D,H,W,1)
    return turned, None if valid is None else series.grid.turned(valid.transpose(2, 1, 0))


def _colour(files: Files, header: Header) -> NDArray[Any] | None:
    """A single image in colour (1,H,W,3) as RGB; None for grey ones."""
    if header.samples == 1:
        return None
    (pixels,) = frames_of(files, header, as_rgb=True)
    if header.samples != 3 or pixels.dtype != np.uint8:
        raise ValueError(f"{files.title(header.file)} has colours of {header.bits[0]} bits, expected 8; export it so")
    return pixels[None]


# --- pixels -----------------------------------------------------------------------------------------------------


def frames_of(files: Files, header: Header, *, as_rgb: bool = False) -> Iterator[NDArray[Any]]:
    """The frames of a file, decoded one by one in stored order: (H,W), or (H,W,3) where `as_rgb`.

    Raises ValueError for a coding that can't be read, or not without a library, and for pixels that aren't whole.
    """
    from pydicom.pixels.decoders.base import get_decoder
    from pydicom.pixels.utils import iter_pixels
    from pydicom.uid import UID, JPEGExtended12Bit

    title = files.title(header.file)
    try:
        decoder = get_decoder(UID(header.syntax))
    except NotImplementedError:
        raise ValueError(
            f"{title} is coded as {UID(header.syntax).name}, which isn't read; save it uncompressed"
        ) from None
    # pydicom leaves these to a library under the GPL; GDCM decodes them as well
    twelve = header.syntax == JPEGExtended12Bit and header.bits[1] > 8
    if not (_has_gdcm() if twelve else decoder.is_available):
        raise ValueError(f"{title} is coded as {UID(header.syntax).name}, which needs a library: {MEDICAL}")
    try:
        with files.open(header.file, whole=True) as file:
            if twelve:
                decoded = _twelve_bits(files, header)
            elif UID(header.syntax).is_deflated:
                decoded = iter_pixels(files.dataset(header.file), raw=not as_rgb)
            else:
                decoded = iter_pixels(file, raw=not as_rgb, transfer_syntax_uid=header.syntax)
            with contextlib.closing(cast(Generator[NDArray[Any], None, None], decoded)):  # before its file
                for _ in header.frames:
                    frame = next(decoded)
                    if frame.shape[:2] != (header.rows, header.columns):
                        raise ValueError("another size than the header's")
                    yield frame
    # as raster._decoded: decoders raise almost anything
    except Exception:
        raise Damaged(f"{title} has pixels that are damaged or cut off; save or download it again") from None


def _has_gdcm() -> bool:
    try:
        import gdcm  # type: ignore[import-untyped]  # noqa: F401
    except ImportError:
        return False
    return True


def _twelve_bits(files: Files, header: Header) -> Iterator[NDArray[Any]]:
    """The frames of JPEG with 12 bits, by GDCM, as pydicom calls it for 8."""
    import gdcm
    from pydicom.encaps import generate_frames

    dataset = files.dataset(header.file)
    for data in generate_frames(dataset.PixelData, number_of_frames=len(header.frames)):
        fragment = gdcm.Fragment()
        fragment.SetByteStringValue(data)
        fragments = gdcm.SequenceOfFragments.New()
        fragments.AddFragment(fragment)
        element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
        element.SetValue(fragments.__ref__())
        image = gdcm.Image()
        image.SetNumberOfDimensions(2)
        image.SetDimensions((header.columns, header.rows, 1))
        image.SetDataElement(element)
        image.SetPhotometricInterpretation(
            gdcm.PhotometricInterpretation(gdcm.PhotometricInterpretation.GetPIType(header.photometric))
        )
        image.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGExtendedProcess2_4))
        image.SetPixelFormat(gdcm.PixelFormat(1, *header.bits, int(header.signed)))
        pixels = image.GetBuffer().encode("utf-8", "surrogateescape")  # a bytes object in the guise of str
        yield np.frombuffer(pixels, np.int16 if header.signed else np.uint16).reshape(header.rows, header.columns)
