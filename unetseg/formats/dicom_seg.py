"""Label maps as DICOM-SEG, which refers to the slices it was made from: read for training, written as results."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..config import hex_to_rgb
from ..files import whole
from .dicom import frames_of
from .dicom_series import MAPS, MEDICAL, ORIENTATION, PLANE, Files, Series, read_header
from .grid import LPS_FROM_RAS
from .quiet import quiet

if TYPE_CHECKING:
    from highdicom.seg import SegmentDescription
    from pydicom import Dataset

SERIES_NUMBER = 900
"""Behind those of a scanner."""
EMPTY = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex"),
    *("StudyDate", "StudyTime", "StudyID", "AccessionNumber"),
)
ANATOMY = ("123037004", "SCT", "Anatomical Structure")
ABNORMAL = ("49755003", "SCT", "Morphologically Abnormal Structure")
CLASS = ("class", "99UNETSEG", "Class of a model")
# SNOMED CT, as in DICOM PS3.16
ORGANS = {
    "adrenal gland": "23451007",
    "aorta": "15825003",
    "bone": "272673000",
    "brain": "12738006",
    "colon": "71854001",
    "duodenum": "38848004",
    "esophagus": "32849002",
    "gallbladder": "28231008",
    "heart": "80891009",
    "inferior vena cava": "64131007",
    "kidney": "64033007",
    "liver": "10200004",
    "lung": "39607008",
    "pancreas": "15776009",
    "prostate": "41216001",
    "spinal cord": "2748008",
    "spleen": "78961009",
    "stomach": "69695003",
    "trachea": "44567001",
    "bladder": "89837001",
}
FINDINGS = {
    "cyst": "367643001",
    "lesion": "52988006",
    "mass": "4147007",
    "nodule": "27925004",
    "tumor": "108369006",
}


# --- reading ----------------------------------------------------------------------------------------------------


def read_seg(path: Path, place: Series) -> NDArray[np.uint8]:
    """A DICOM-SEG as label ids (D,H,W), turned as the image of `place`: 0, and the numbers of its segments.

    Frames are put where the instances lie that they refer to, or, without such references, where they say they lie.
    Raises ValueError for one of other slices or another grid, for overlapping segments and for fractions.
    """
    with quiet(), Files(path, path.name) as files:
        header = read_header(files, files.names[0])
        if header is None or header.sop_class not in MAPS[:2]:
            what = "no DICOM file" if header is None else header.kind
            raise ValueError(f"{path.name} is {what}, expected a DICOM-SEG; give one")
        try:
            dataset = files.dataset(header.file, stop_before_pixels=True)
            kind = str(dataset.SegmentationType)
            groups = list(_groups(dataset))
            wanted = [_slice_of(group, place) for group in groups]
            segments = [0 if kind == "LABELMAP" else _segment_of(group) for group in groups]
        except Exception:  # as read_header
            raise ValueError(f"{path.name} has a damaged header; save or download it again") from None
        columns, rows, slices = place.grid.shape
        if kind not in ("BINARY", "LABELMAP"):
            raise ValueError(f"{path.name} is a {kind} segmentation, expected BINARY or LABELMAP; save it as one")
        if (header.columns, header.rows) != (columns, rows) or None in wanted:
            raise ValueError(
                f"{path.name} doesn't lie on the grid of the series {place.uid}; give the segmentation of these slices"
            )
        labels = np.zeros((slices, rows, columns), np.uint8)  # (K,J,I)
        for k, segment, frame in zip(wanted, segments, frames_of(files, header), strict=True):
            assert k is not None
            ids = frame if kind == "LABELMAP" else frame * np.uint16(segment)
            if ids.max() > 255:
                raise ValueError(f"{path.name} holds the segment {ids.max()}, expected at most 255; save it with fewer")
            if (labels[k][ids > 0] > 0).any():
                raise ValueError(f"{path.name} has segments that overlap; save it without, one id for each voxel")
            labels[k] += ids.astype(np.uint8)
    return place.grid.turned(labels.transpose(2, 1, 0))


def _groups(dataset: Dataset) -> Iterator[tuple[Dataset, ...]]:
    """For each frame its functional groups, then those that all share."""
    shared = tuple(dataset.get("SharedFunctionalGroupsSequence") or ())
    for own in dataset.PerFrameFunctionalGroupsSequence:
        yield own, *shared


def _segment_of(groups: Sequence[Dataset]) -> int:
    keyword = "SegmentIdentificationSequence"
    return next(int(group[keyword][0].ReferencedSegmentNumber) for group in groups if keyword in group)


def _slice_of(groups: Sequence[Dataset], place: Series) -> int | None:
    """The slice of a series, K, that a frame lies on: by instance, checked by position; None where there is none."""
    referred = {
        (str(source.ReferencedSOPInstanceUID), _frame_number(source))
        for group in groups
        for derivation in group.get("DerivationImageSequence") or ()
        for source in derivation.get("SourceImageSequence") or ()
    }
    instances = {instance for instance, _ in referred}
    several = len({one.file for one in place.slices}) < len(place.slices)  # frames in a file
    candidates = [
        k
        for k, one in enumerate(place.slices)
        if not referred or ((one.instance, one.frame + 1) in referred if several else one.instance in instances)
    ]
    position = next((group[PLANE][0].ImagePositionPatient for group in groups if group.get(PLANE)), None)
    orientation = next(
        (group[ORIENTATION][0].ImageOrientationPatient for group in groups if group.get(ORIENTATION)), None
    )
    if orientation is not None:
        steps = (LPS_FROM_RAS @ place.grid.affine)[:3, :2] / place.grid.spacing[:2]
        if np.abs(np.array(orientation, dtype=float).reshape(2, 3) - steps.T).max() > 0.01:
            return None
    if position is not None and place.measured:
        at = np.array(position, dtype=float)
        near = 0.1 * float(place.grid.spacing.min())
        candidates = [k for k in candidates if np.linalg.norm(at - np.array(place.slices[k].position)) < near]
    elif not referred:
        return None
    return candidates[0] if len(candidates) == 1 else None


def _frame_number(source: Dataset) -> int:
    number = source.get("ReferencedFrameNumber")
    return int(number if isinstance(number, (int, str)) else number[0]) if number is not None else 1


# --- writing ----------------------------------------------------------------------------------------------------


def write_segmentation(
    path: Path,
    labels: NDArray[np.uint8],
    place: Series,
    *,
    names: Sequence[str],
    background: bool,
    palette: Sequence[str],
    model: str,
    version: str | None = None,
    labelmap: bool = False,
) -> Path:
    """Write label ids (D,H,W), turned as the image of `place`, as a DICOM-SEG on the grid of its slices.

    names, palette: of the ids from 0; where `background`, id 0 is no segment and id n is segment n, else n + 1.
    version: of the model; that of this package unless given.
    labelmap: one map of all segments, which few programs read, rather than a binary one for each.
    The standard wants patient and study repeated: the file names the patient as its source does.
    Raises ValueError for other shapes and ids, and for a source that lacks what such a file must repeat.
    """
    if labels.shape != (expected := tuple(place.grid.shape[axis] for axis in place.grid.axes)):
        raise ValueError(f"got labels of shape {labels.shape}, expected {expected}; give those of this series")
    if labels.max() >= len(names):
        raise ValueError(f"the label map holds the id {labels.max()}, but the names end at {len(names) - 1}")
    if not place.measured:
        raise ValueError(
            f"{place.path.name} doesn't say where it lies or how thick it is, as a DICOM-SEG must; write .png"
        )
    version = version or _installed_version()
    try:
        import highdicom
    except ImportError:
        raise ValueError(f"DICOM-SEG is written by highdicom: {MEDICAL}") from None
    stored = place.grid.stored(labels).transpose(2, 1, 0)  # (K,J,I)
    sources = place.datasets()
    for source in sources:
        # an anonymised file may lack them, and the standard lets them be empty
        for keyword in EMPTY:
            if keyword not in source:
                setattr(source, keyword, "")
        if "SliceThickness" not in source:
            source.SliceThickness = round(float(place.grid.spacing[2]), 6)
        if "FrameOfReferenceUID" not in source:
            raise ValueError(
                f"{place.path.name} lacks FrameOfReferenceUID, which a DICOM-SEG must repeat; write .nii.gz"
            )
    # what is copied from the first, whatever letters its scanner used, and names of classes are all written as UTF-8
    sources[0].decode()
    sources[0].SpecificCharacterSet = "ISO_IR 192"
    if (several := len(place.slices) > len(sources)) and len(sources) > 1:
        raise ValueError(
            f"{place.path.name} spreads its frames over {len(sources)} files, and a DICOM-SEG refers to one such file; "
            "write .nii.gz"
        )
    if several:  # highdicom takes the frames in the order of their file
        stored = stored[np.argsort([one.frame for one in place.slices])]
    segments = [
        _description(number, names[index], palette[index], model, version)
        for number, index in enumerate(range(int(background), len(names)), start=1)
    ]
    with quiet():
        try:
            segmentation = highdicom.seg.Segmentation(
                sources,
                np.ascontiguousarray(stored if background else stored + 1),
                "LABELMAP" if labelmap else "BINARY",
                segments,
                series_instance_uid=highdicom.UID(),
                series_number=SERIES_NUMBER,
                sop_instance_uid=highdicom.UID(),
                instance_number=1,
                manufacturer="unetseg",
                manufacturer_model_name=_text(model),
                software_versions=_text(version),
                device_serial_number="none",
                series_description=_text(f"Segmentation by {model}"),
                omit_empty_frames=False,  # SimpleITK and dcm2niix take frames as if none were missing
            )
        except AttributeError as error:
            raise ValueError(
                f"{place.path.name} lacks {error.name or 'an attribute'}, which a DICOM-SEG must repeat; write .nii.gz"
            ) from None
        except (KeyError, TypeError, ValueError) as error:
            kind = type(error).__name__  # its text may hold a value of the header
            raise ValueError(f"{place.path.name} can't be referred to by a DICOM-SEG ({kind}); write .nii.gz") from None
        with whole(path) as temporary:
            segmentation.save_as(temporary)
    return path


def _installed_version() -> str:
    try:
        return metadata.version("unetseg")
    except metadata.PackageNotFoundError:  # a clone or a Space, which runs without being installed
        return "not installed"


def _description(number: int, name: str, color: str, model: str, version: str) -> SegmentDescription:
    """A segment: what it is in coded terms, in which colour, found by which model."""
    import highdicom
    from pydicom.sr.coding import Code

    term = name.lower().replace("_", " ")
    if term in ORGANS:
        category, kind = ANATOMY, (ORGANS[term], "SCT", name)
    elif term in FINDINGS:
        category, kind = ABNORMAL, (FINDINGS[term], "SCT", name)
    else:
        category, kind = CLASS, (hashlib.sha256(name.encode()).hexdigest()[:16], "99UNETSEG", _text(name))
    return highdicom.seg.SegmentDescription(
        number,
        _text(name),
        Code(*category),
        Code(*kind),
        algorithm_type="AUTOMATIC",
        algorithm_identification=highdicom.AlgorithmIdentificationSequence(
            _text(model), Code("123110", "DCM", "Artificial Intelligence"), _text(version)
        ),
        display_color=highdicom.color.CIELabColor.from_rgb(*hex_to_rgb(color)),
    )


def _text(value: str) -> str:
    """As DICOM's long strings want it: 64 characters, no backslash, which parts values."""
    return value.replace("\\", "/")[:64]
