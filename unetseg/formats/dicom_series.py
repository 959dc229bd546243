"""What DICOM files say of themselves: which slices they hold and where each lies. No pixel is read here."""

from __future__ import annotations

import io
import itertools
import lzma
import math
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from .grid import Grid
from .image import MAX_VOXELS, Damaged
from .quiet import quiet

if TYPE_CHECKING:
    from pydicom import Dataset

MAX_FILES = 5_000
MAX_BYTES = 4 * MAX_VOXELS
"""Of what a zip, or a file with a deflated data set, holds once unpacked."""
MEDICAL = "pip install 'unetseg[medical]'"

DEFLATED = "1.2.840.10008.1.2.1.99"
DIRECTORY = "1.2.840.10008.1.3.10"
# segmentations and parametric maps have rows and columns, but no picture of a patient
MAPS = (
    "1.2.840.10008.5.1.4.1.1.66.4",
    "1.2.840.10008.5.1.4.1.1.66.7",
    "1.2.840.10008.5.1.4.1.1.30",
)
# all that is looked at; what names the patient, so that it is taken out of the description
TAGS = [
    *("PatientName", "PatientID", "SpecificCharacterSet", "FrameOfReferenceUID"),
    *("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "SeriesNumber", "SeriesDescription", "Modality"),
    *("ImageType", "DirectoryRecordSequence", "Rows", "Columns", "NumberOfFrames", "SamplesPerPixel"),
    *("PhotometricInterpretation", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"),
    *("PixelPaddingValue", "PixelPaddingRangeLimit", "ImagePositionPatient", "ImageOrientationPatient"),
    *("PixelSpacing", "SliceThickness", "SpacingBetweenSlices", "RescaleSlope", "RescaleIntercept", "RescaleType"),
    *("ModalityLUTSequence", "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"),
]
PLANE, ORIENTATION, MEASURES = "PlanePositionSequence", "PlaneOrientationSequence", "PixelMeasuresSequence"
TRANSFORMATION = "PixelValueTransformationSequence"
VR = (b"AE", b"AS", b"CS", b"DA", b"DT", b"LO", b"LT", b"OB", b"PN", b"SH", b"SQ", b"ST", b"TM", b"UI", b"UL", b"UT")


def looks_like_dicom(data: bytes) -> bool:
    """Whether a file that starts with these bytes, of which 132 are enough, is DICOM; also without its preamble."""
    if data[128:132] == b"DICM":
        return True
    group, element, vr = data[:2], int.from_bytes(data[2:4], "little"), data[4:6]
    if group not in (b"\x02\0", b"\x08\0") or element > 0x18 or len(data) < 16:
        return False
    return vr in VR or (group == b"\x08\0" and int.from_bytes(data[4:8], "little") <= 64)


UNZIPPING = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, NotImplementedError, LookupError, EOFError)
"""What a damaged zip raises while it is unpacked."""


class Files:
    """The files of a place: a file itself, a folder's however deep, a zip's, which are only ever read in memory."""

    def __init__(self, place: Path, name: str, names: Sequence[str] | None = None) -> None:
        """name: what stands for the place in messages. names: of a folder, those of its files that are meant.

        Raises ValueError where it can't be read or holds too much.
        """
        self.place, self.name, self._zip = place, name, None
        try:
            if names is not None:
                self.names = list(names)
            elif place.is_dir():
                found = (path.relative_to(place).as_posix() for path in place.rglob("*") if path.is_file())
                self.names = sorted(itertools.islice(found, MAX_FILES + 1))
            else:
                with place.open("rb") as file:
                    zipped = file.read(2) == b"PK"
                self._zip = zipfile.ZipFile(place) if zipped else None
                self.names = self._members() if self._zip else [place.name]
        except OSError as error:
            raise ValueError(
                f"{name} can't be read: {error.strerror or error}; give a DICOM file, a folder or a zip"
            ) from None
        except UNZIPPING:
            raise ValueError(f"{name} is damaged or cut off: it is no whole zip; save or download it again") from None
        if names is None and len(self.names) > MAX_FILES:
            raise ValueError(f"{name} holds more than {MAX_FILES:,} files; give the folder of one series")

    def _members(self) -> list[str]:
        assert self._zip is not None
        members = [member for member in self._zip.infolist() if not member.is_dir()]
        if any(member.flag_bits & 1 for member in members):
            raise ValueError(f"{self.name} is encrypted; give the folder of its files")
        if (size := sum(member.file_size for member in members)) > MAX_BYTES:
            raise ValueError(
                f"{self.name} unpacks to {size / 1e9:.1f} GB, the limit is {MAX_BYTES / 1e9:.1f}; "
                "give the folder of one series"
            )
        return sorted(member.filename for member in members)

    def __enter__(self) -> Files:
        return self

    def __exit__(self, *_: object) -> None:
        if self._zip:
            self._zip.close()

    def open(self, name: str, *, whole: bool = False) -> BinaryIO:
        """A file to read from; a member of a zip is unpacked as far as it is read, or at once for `whole`."""
        if self._zip:
            # going back in a member unpacks it again from its start
            return io.BytesIO(self._zip.read(name)) if whole else cast(BinaryIO, self._zip.open(name))
        return (self.place / name if self.place.is_dir() else self.place).open("rb")

    def title(self, name: str) -> str:
        """What a file is called in messages."""
        return self.name if len(self.names) == 1 and not self.place.is_dir() else f"{name} in {self.name}"

    def dataset(self, name: str, **options: Any) -> Dataset:  # noqa: ANN401, as pydicom.dcmread
        """A file parsed by pydicom, which raises almost anything where it is damaged."""
        import pydicom

        with self.open(name) as file:
            data: BinaryIO = file
            if DEFLATED.encode() in (start := file.read(2048)):
                data = io.BytesIO(start + file.read())
                _check_deflated(data.getvalue())
            data.seek(0)
            return pydicom.dcmread(data, force=True, **options)


def _check_deflated(data: bytes) -> None:
    """ValueError where a deflated data set unpacks to more than the limit: pydicom unpacks whatever comes."""
    start = 144 + int.from_bytes(data[140:144], "little")  # behind preamble, DICM and the group's own length
    unpacking = zlib.decompressobj(-zlib.MAX_WBITS)
    left = MAX_BYTES
    for part in range(start, len(data), 1 << 16):
        left -= len(unpacking.decompress(data[part : part + (1 << 16)], left))
        if left <= 0:
            raise ValueError("unpacks beyond the limit")


@dataclass(frozen=True)
class Frame:
    """One slice as a header describes it; what it doesn't say is None."""

    number: int
    position: tuple[float, ...] | None
    orientation: tuple[float, ...] | None
    spacing: tuple[float, ...] | None
    rescale: tuple[float, float] | None
    unit: str


@dataclass(frozen=True)
class Header:
    """What one file says of itself, and its frames in stored order."""

    file: str
    sop_class: str
    kind: str
    instance: str
    series: str
    series_number: int
    modality: str
    description: str
    localizer: bool
    syntax: str
    rows: int
    columns: int
    samples: int
    photometric: str
    reference: str
    bits: tuple[int, int, int]
    signed: bool
    padding: tuple[int, int] | None
    table: bool
    thickness: float | None
    frames: tuple[Frame, ...]

    @property
    def is_image(self) -> bool:
        """Whether it holds pixels of a patient, so that it can be a slice of a series."""
        return self.rows > 0 and self.columns > 0 and self.sop_class not in MAPS

    def stored_range(self) -> tuple[int, int]:
        """The lowest and the highest number that its bits can hold."""
        low = -(1 << self.bits[1] - 1) if self.signed else 0
        return low, low + (1 << self.bits[1]) - 1


def read_header(files: Files, name: str) -> Header | None:
    """The header of a file; None where it isn't DICOM. Raises ValueError where it is and can't be parsed."""
    try:
        with files.open(name) as file:
            start = file.read(132)
        if not looks_like_dicom(start):
            return None
        dataset = files.dataset(name, stop_before_pixels=True, specific_tags=TAGS)
        header = _parsed(name, dataset)
    except Exception:  # pydicom's text may hold a value of the header, and so a name: it isn't shown
        raise Damaged(f"{files.title(name)} has a damaged header; save or download it again") from None
    # rows and columns are no choice for an image: the header is cut off before them
    if not header.sop_class or (header.kind.endswith("Image Storage") and header.rows * header.columns == 0):
        raise Damaged(f"{files.title(name)} has a damaged header; save or download it again")
    voxels = header.rows * header.columns * len(header.frames)
    if voxels > MAX_VOXELS:
        raise ValueError(
            f"{files.title(name)} has {voxels / 1e6:,.0f} million voxels, the limit is {MAX_VOXELS / 1e6:,.0f}; "
            "cut it into parts"
        )
    return header


def _parsed(name: str, dataset: Dataset) -> Header:
    from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

    def number(keyword: str, otherwise: int = 0) -> int:
        value = dataset.get(keyword)
        return otherwise if value in (None, "") else int(value)

    def text(keyword: str) -> str:
        return " ".join(str(dataset.get(keyword) or "").split())  # a damaged header may hold lines

    meta = dataset.file_meta
    implicit, little = dataset.original_encoding
    guessed = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian if little else ExplicitVRBigEndian
    sop_class = text("SOPClassUID") or str(meta.get("MediaStorageSOPClassUID", ""))
    if "DirectoryRecordSequence" in dataset:
        sop_class = DIRECTORY
    allocated = number("BitsAllocated", 16)
    signed = number("PixelRepresentation") == 1
    padding = None
    if dataset.get("PixelPaddingValue") is not None:
        ends = (int(dataset.PixelPaddingValue), number("PixelPaddingRangeLimit", int(dataset.PixelPaddingValue)))
        # many write -2000 as if it were unsigned
        ends_as_stored = sorted(end - (1 << allocated) if signed and end >> allocated - 1 == 1 else end for end in ends)
        padding = ends_as_stored[0], ends_as_stored[1]
    thickness = _floats(dataset.get("SpacingBetweenSlices") or dataset.get("SliceThickness"), 1)
    return Header(
        file=name,
        sop_class=sop_class,
        kind=UID(sop_class).name,
        instance=text("SOPInstanceUID"),
        series=text("SeriesInstanceUID"),
        series_number=number("SeriesNumber"),
        modality=text("Modality") or "no modality",
        description=_without_patient(text("SeriesDescription")[:64], text("PatientName"), text("PatientID")),
        localizer="LOCALIZER" in (dataset.get("ImageType") or ()),
        syntax=str(meta.get("TransferSyntaxUID", guessed)),
        rows=number("Rows"),
        columns=number("Columns"),
        samples=number("SamplesPerPixel", 1),
        photometric=text("PhotometricInterpretation"),
        reference=text("FrameOfReferenceUID"),
        bits=(allocated, number("BitsStored", allocated), number("HighBit", number("BitsStored", allocated) - 1)),
        signed=signed,
        padding=padding,
        table="ModalityLUTSequence" in dataset,
        thickness=thickness[0] if thickness and thickness[0] > 0 else None,
        frames=tuple(_frames(dataset, number("NumberOfFrames", 1))),
    )


def _without_patient(description: str, *private: str) -> str:
    """Free text without the words of a patient's name and id, which some write into it."""
    words = {word.casefold() for text in private for word in re.split(r"[\s^=,]+", text) if word}
    kept = (word for word in description.split() if word.strip(",.;:()").casefold() not in words)
    return "".join(letter for letter in " ".join(kept) if letter.isprintable())


def _frames(dataset: Dataset, count: int) -> Iterator[Frame]:
    """The frames of a file; in Enhanced multi-frame each, or all of them together, have their functional groups."""
    own = dataset.get("PerFrameFunctionalGroupsSequence") or ()
    shared = dataset.get("SharedFunctionalGroupsSequence") or ()
    if own and len(own) != count:
        raise ValueError("one functional group for each frame")
    if not 0 < count <= MAX_VOXELS:
        raise ValueError("frames without number")
    for number in range(count):
        # without groups, several frames share one header that can hold the position of none
        placed = bool(own) or count == 1
        groups = (own[number], *shared) if own else (dataset,)
        plane, orientation, measures, transform = (
            next((part[keyword][0] for part in groups if part.get(keyword)), dataset)
            for keyword in (PLANE, ORIENTATION, MEASURES, TRANSFORMATION)
        )
        slope, intercept = (_floats(transform.get(f"Rescale{part}"), 1) for part in ("Slope", "Intercept"))
        if slope and intercept and (slope[0] == 0 or max(abs(slope[0]), abs(intercept[0])) > 1e12):
            raise ValueError("no rescale")
        yield Frame(
            number,
            _floats(plane.get("ImagePositionPatient"), 3) if placed else None,
            _floats(orientation.get("ImageOrientationPatient"), 6) if placed else None,
            _floats(measures.get("PixelSpacing"), 2),
            (slope[0], intercept[0]) if slope and intercept else None,
            str(transform.get("RescaleType") or ""),
        )


def _floats(value: Any, count: int) -> tuple[float, ...] | None:  # noqa: ANN401, whatever a header holds
    """So many finite numbers; None for anything else."""
    if value is None or value == "":
        return None
    numbers = tuple(float(number) for number in ([value] if isinstance(value, (int, float, str)) else value))
    return numbers if len(numbers) == count and all(map(math.isfinite, numbers)) else None


@dataclass(frozen=True)
class Slice:
    """One slice of a series: a file of its place, the frame in it (from 0), its instance, its position in LPS, mm."""

    file: str
    frame: int
    instance: str
    position: tuple[float, ...]


@dataclass(frozen=True)
class Series:
    """Where the slices of a DICOM series lie: in which files, and in the patient.

    path: a file, a folder or a zip.
    slices: in stored order, which is K of `grid`: along the normal of the slices, whatever the files are called.
    grid: stored arrays are (columns, rows, slices).
    measured: False where a single slice doesn't say its position or its thickness; what is missing is made up then.
    referable: whether it names the frame of reference that a DICOM-SEG must repeat.
    """

    path: Path
    uid: str
    modality: str
    grid: Grid
    slices: tuple[Slice, ...]
    measured: bool = True
    referable: bool = True

    @property
    def suffix(self) -> str:
        """Of results in the same family, or the nearest that can hold them."""
        if not self.measured:
            return ".png"
        return ".dcm" if self.referable else ".nii.gz"

    @property
    def unit(self) -> tuple[str, float] | None:
        return self.grid.unit if self.measured else None

    def datasets(self) -> list[Dataset]:
        """The headers of its files, without pixels, in stored order. They name the patient, as the files do."""
        names = list(dict.fromkeys(one.file for one in self.slices))
        with quiet(), Files(self.path, self.path.name, names if self.path.is_dir() else None) as files:
            return [files.dataset(file, stop_before_pixels=True) for file in names]
