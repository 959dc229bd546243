"""Small DICOM series, written by pydicom alone: every slice's values follow from where it lies in the patient."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import (
    CTImageStorage,
    EnhancedCTImageStorage,
    ExplicitVRLittleEndian,
    MRImageStorage,
    SecondaryCaptureImageStorage,
    generate_uid,
)

AXIAL = (1, 0, 0, 0, 1, 0)
PATIENT = {"PatientName": "Zappelphilipp^Ottokar", "PatientID": "QX-77431", "PatientBirthDate": "19310705"}
Vector = NDArray[np.float64]


def phantom(points: Vector) -> NDArray[np.int64]:
    """The value at points (...,3) in LPS, mm: it tells left from right, front from back, head from feet."""
    values = 3 * points[..., 0] + 17 * points[..., 1] + 53 * points[..., 2]
    return np.rint(values).astype(np.int64)


def blank(modality: str = "CT", **attributes: Any) -> Dataset:  # noqa: ANN401, any attribute
    """A slice without pixels and place, valid otherwise."""
    kind = {"CT": CTImageStorage, "MR": MRImageStorage}.get(modality, SecondaryCaptureImageStorage)
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    fields = {
        **PATIENT,
        "PatientSex": "O",
        "SOPClassUID": kind,
        "SOPInstanceUID": generate_uid(),
        "StudyInstanceUID": "1.2.3",
        "SeriesInstanceUID": "1.2.3.4",
        "FrameOfReferenceUID": "1.2.3.5",
        "StudyDate": "20200102",
        "StudyTime": "030405",
        "StudyID": "1",
        "AccessionNumber": "",
        "ReferringPhysicianName": "",
        "Manufacturer": "test",
        "Modality": modality,
        "SeriesNumber": 1,
        "SeriesDescription": "phantom",
        "InstanceNumber": 1,
        "PositionReferenceIndicator": "",
        "PatientPosition": "HFS",
        "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": 16,
        "BitsStored": 16,
        "HighBit": 15,
        "PixelRepresentation": 1,
    }
    if modality == "CT":
        fields |= {"RescaleSlope": 1, "RescaleIntercept": 0, "RescaleType": "HU", "KVP": 120}
    for keyword, value in {**fields, **attributes}.items():
        if value is not None:
            setattr(dataset, keyword, value)
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    return dataset


def with_pixels(dataset: Dataset, numbers: NDArray[Any]) -> Dataset:
    """A slice with these stored numbers, (H,W), (H,W,3) or frames (K,H,W) by its attributes."""
    frames = dataset.get("NumberOfFrames", 1)
    dataset.Rows, dataset.Columns = numbers.shape[1:3] if frames > 1 else numbers.shape[:2]
    bits = dataset.BitsAllocated
    stored = (numbers.astype(np.int64) & ((1 << dataset.BitsStored) - 1)).astype(f"<u{bits // 8}")
    dataset.add_new("PixelData", "OW", stored.tobytes() + b"\0" * (stored.nbytes % 2))
    return dataset


def points(
    position: Sequence[float], orientation: Sequence[float], shape: tuple[int, int], spacing: Sequence[float]
) -> Vector:
    """Where the pixels (H,W) of a slice lie: (H,W,3) in LPS, mm; spacing from row to row, from column to column."""
    along, down = np.array(orientation, float).reshape(2, 3)
    j, i = np.indices(shape)
    places: Vector = np.array(position) + i[..., None] * spacing[1] * along + j[..., None] * spacing[0] * down
    return places


def slices(
    count: int = 5,
    *,
    shape: tuple[int, int] = (6, 7),
    orientation: Sequence[float] = AXIAL,
    spacing: Sequence[float] = (1.5, 2),
    origin: Sequence[float] = (-8, -10, 4),
    step: Sequence[float] | float = 3.0,
    modality: str = "CT",
    **attributes: Any,  # noqa: ANN401
) -> list[Dataset]:
    """Slices of the phantom; `step` along the normal, or a vector for a tilted gantry."""
    along, down = np.array(orientation, float).reshape(2, 3)
    way = step * np.cross(along, down) if isinstance(step, (int, float)) else np.array(step)
    made = []
    for k in range(count):
        position = np.array(origin) + k * way
        dataset = blank(modality, InstanceNumber=k + 1, **attributes)
        dataset.ImagePositionPatient = [round(float(x), 8) for x in position]
        dataset.ImageOrientationPatient = [round(float(x), 8) for x in orientation]
        dataset.PixelSpacing = list(spacing)
        dataset.SliceThickness = 3
        values = phantom(points(position, orientation, shape, spacing))
        slope, intercept = int(dataset.get("RescaleSlope", 1)), int(dataset.get("RescaleIntercept", 0))
        made.append(with_pixels(dataset, (values - intercept) // slope))
    return made


def written(folder: Path, datasets: Sequence[Dataset], names: Sequence[str] = ()) -> Path:
    """The folder, with each slice in a file."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, dataset in enumerate(datasets):
        save(folder / (names[number] if names else f"{number:03}.dcm"), dataset)
    return folder


def save(path: Path, dataset: Dataset) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pydicom.dcmwrite(path, dataset, enforce_file_format=True)
    return path


def enhanced(datasets: Sequence[Dataset], **attributes: Any) -> Dataset:  # noqa: ANN401
    """Slices as the frames of one Enhanced CT, in the order given, each with its own rescale."""
    first = datasets[0]
    whole = blank(
        "CT",
        SOPClassUID=EnhancedCTImageStorage,
        NumberOfFrames=len(datasets),
        RescaleSlope=None,
        RescaleIntercept=None,
        RescaleType=None,
        **attributes,
    )
    whole.Rows, whole.Columns = first.Rows, first.Columns
    shared = Dataset()
    shared.PlaneOrientationSequence = [item(first, "ImageOrientationPatient")]
    shared.PixelMeasuresSequence = [item(first, "PixelSpacing", "SliceThickness")]
    whole.SharedFunctionalGroupsSequence = [shared]
    whole.PerFrameFunctionalGroupsSequence = []
    for dataset in datasets:
        own = Dataset()
        own.PlanePositionSequence = [item(dataset, "ImagePositionPatient")]
        own.PixelValueTransformationSequence = [item(dataset, "RescaleSlope", "RescaleIntercept", "RescaleType")]
        whole.PerFrameFunctionalGroupsSequence.append(own)
    whole.add_new("PixelData", "OW", b"".join(dataset.PixelData for dataset in datasets))
    return whole


def item(source: Dataset, *keywords: str) -> Dataset:
    made = Dataset()
    for keyword in keywords:
        setattr(made, keyword, source[keyword].value)
    return made
