"""Label maps as DICOM-SEG: on the voxels of their source, for this reader, for pydicom alone and for SimpleITK."""

import dataclasses
import shutil
import subprocess
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import SimpleITK
from dicom_files import enhanced, save, slices, written
from numpy.typing import NDArray
from pydicom.sr.codedict import codes
from test_dicom import at, turned_about

from unetseg.formats import Image
from unetseg.formats.dicom import read_series
from unetseg.formats.dicom_seg import EMPTY, FINDINGS, ORGANS, read_seg, write_segmentation
from unetseg.formats.dicom_series import Series

NAMES = ("background", "liver", "tumor", "früh\\spät")
PALETTE = ("#102030", "#e4572e", "#17bebb", "#ffc914")


def shuffled(folder: Path, **options: Any) -> Path:  # noqa: ANN401
    return written(folder, slices(**options), ["q", "b.dcm", "z.ima", "a", "0"])


def of_frames(folder: Path, **options: Any) -> Path:  # noqa: ANN401
    made = slices(**options)
    return save(folder / "a.dcm", enhanced([made[k] for k in (3, 0, 4, 1, 2)]))


def zipped(folder: Path, **options: Any) -> Path:  # noqa: ANN401
    return Path(shutil.make_archive(str(folder), "zip", shuffled(folder, **options)))


def lying(**how: Any) -> Callable[..., Path]:  # noqa: ANN401
    return lambda folder, **options: shuffled(folder, **how, **options)


SOURCES: dict[str, Callable[..., Path]] = {
    "shuffled": shuffled,
    "reversed": lying(step=-3.0),
    "feet first, prone": lying(orientation=(-1, 0, 0, 0, 1, 0)),
    "oblique": lying(orientation=turned_about(0, 25)),
    "turned in the plane": lying(orientation=(0, 1, 0, -1, 0, 0)),
    "tilted gantry": lying(orientation=turned_about(0, 20), step=(0, 0, 3)),
    "one slice": lying(count=1),
    "MR": lying(modality="MR"),
    "Enhanced CT": of_frames,
    "zip": zipped,
}


def place_of(image: Image) -> Series:
    assert isinstance(image.place, Series)
    return image.place


def some_labels(image: Image, highest: int = 3) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, highest + 1, image.pixels.shape[:3], dtype=np.uint8)


def write(path: Path, labels: NDArray[np.uint8], image: Image, **changes: bool) -> Path:
    options = {"background": True, **changes}
    return write_segmentation(
        path, labels, place_of(image), names=NAMES, palette=PALETTE, model="unetseg-liver", version="1.2", **options
    )


def by_pydicom_alone(path: Path, image: Image) -> NDArray[np.uint8]:
    """Ids (K,J,I) from frames and what each refers to, as any other program finds them."""
    dataset = pydicom.dcmread(path)
    place = place_of(image)
    k_of = {(one.instance, one.frame): k for k, one in enumerate(place.slices)}
    labels = np.zeros(place.grid.shape[::-1], np.uint8)
    frames = dataset.pixel_array.reshape(-1, *labels.shape[1:])
    for group, frame in zip(dataset.PerFrameFunctionalGroupsSequence, frames, strict=True):
        source = group.DerivationImageSequence[0].SourceImageSequence[0]
        k = k_of[source.ReferencedSOPInstanceUID, source.get("ReferencedFrameNumber", 1) - 1]
        segment = group.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        labels[k] += frame * np.uint8(segment)
    return labels


@pytest.mark.parametrize("source", SOURCES)
def test_labels_come_back_on_the_voxels_of_their_source(tmp_path: Path, source: str) -> None:
    image = read_series(SOURCES[source](tmp_path / "a"))
    labels = some_labels(image)
    path = write(tmp_path / "seg.dcm", labels, image)
    assert (read_seg(path, place_of(image)) == labels).all()
    assert (place_of(image).grid.turned(by_pydicom_alone(path, image).transpose(2, 1, 0)) == labels).all()
    assert (read_seg(write(tmp_path / "map.dcm", labels, image, labelmap=True), place_of(image)) == labels).all()
    assert not list(tmp_path.glob(".*"))


# SimpleITK has no sheared volumes
@pytest.mark.parametrize("source", [name for name in SOURCES if name != "tilted gantry"])
def test_a_second_reader_sees_them_at_the_same_places(tmp_path: Path, source: str) -> None:
    # 48 pixels: of bits that fill no whole byte, GDCM makes up the last ones
    image = read_series(SOURCES[source](tmp_path / "a", shape=(6, 8)))
    labels = some_labels(image, 1)
    path = write_segmentation(
        tmp_path / "seg.dcm", labels, place_of(image), names=NAMES[:2], background=True, palette=PALETTE, model="m"
    )
    other = SimpleITK.ReadImage(str(path))
    for point, label in zip(at(image).reshape(-1, 3), labels.ravel(), strict=True):
        assert (other.GetPixel(other.TransformPhysicalPointToIndex(point.tolist())) > 0) == label


@pytest.mark.parametrize("labelmap", [False, True])
@pytest.mark.parametrize("source", ["shuffled", "one slice", "Enhanced CT"])
def test_nothing_found_is_a_valid_file_too(tmp_path: Path, source: str, labelmap: bool) -> None:
    image = read_series(SOURCES[source](tmp_path / "a"))
    path = write(tmp_path / "seg.dcm", some_labels(image, 0), image, labelmap=labelmap)
    assert not read_seg(path, place_of(image)).any()
    slices = len(image.pixels)
    assert pydicom.dcmread(path).NumberOfFrames == (slices if labelmap else 3 * slices)


def test_what_a_segment_is(tmp_path: Path) -> None:
    image = read_series(shuffled(tmp_path / "a"))
    dataset = pydicom.dcmread(write(tmp_path / "seg.dcm", some_labels(image), image))
    liver, tumor, other = dataset.SegmentSequence
    assert [segment.SegmentNumber for segment in dataset.SegmentSequence] == [1, 2, 3]
    kinds = [segment.SegmentedPropertyTypeCodeSequence[0] for segment in dataset.SegmentSequence]
    assert [(kind.CodeValue, kind.CodingSchemeDesignator) for kind in kinds[:2]] == [
        ("10200004", "SCT"),
        ("108369006", "SCT"),
    ]
    assert kinds[2].CodingSchemeDesignator == "99UNETSEG"
    assert (liver.SegmentLabel, tumor.SegmentLabel, other.SegmentLabel) == ("liver", "tumor", "früh/spät")
    assert liver.SegmentAlgorithmType == "AUTOMATIC"
    algorithm = liver.SegmentationAlgorithmIdentificationSequence[0]
    assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == ("unetseg-liver", "1.2")
    lightness, a, b = (value / 65535 for value in liver.RecommendedDisplayCIELabValue)
    assert (lightness * 100, a * 255 - 128, b * 255 - 128) == pytest.approx((56, 53, 51), abs=2)  # an orange red
    assert (dataset.StudyInstanceUID, dataset.Modality) == ("1.2.3", "SEG")


def test_without_a_background_the_first_id_is_a_segment_too(tmp_path: Path) -> None:
    image = read_series(shuffled(tmp_path / "a"))
    labels = some_labels(image)
    path = write(tmp_path / "seg.dcm", labels, image, background=False)
    assert (read_seg(path, place_of(image)) == labels + 1).all()
    assert len(pydicom.dcmread(path).SegmentSequence) == 4


def test_codes_are_those_of_the_standard() -> None:
    for name, code in {**ORGANS, **FINDINGS}.items():
        assert getattr(codes.SCT, name.title().replace(" ", "")).value == code


def test_what_an_anonymised_source_lacks_is_empty(tmp_path: Path) -> None:
    made = slices()
    for dataset in made:
        for keyword in (*EMPTY, "SliceThickness"):
            delattr(dataset, keyword)
    image = read_series(written(tmp_path / "a", made))
    dataset = pydicom.dcmread(write(tmp_path / "seg.dcm", some_labels(image), image))
    assert (dataset.PatientName, dataset.StudyID) == ("", "")
    measures = dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    assert measures.SliceThickness == 3


@pytest.mark.parametrize("charset", ["", "ISO_IR 100"])
def test_letters_of_the_source_are_kept(tmp_path: Path, charset: str) -> None:
    made = slices(2, PatientName="Müller^Jörg" if charset else "Muller")
    for dataset in made:
        dataset.SpecificCharacterSet = charset
    image = read_series(written(tmp_path / "a", made))
    dataset = pydicom.dcmread(write(tmp_path / "seg.dcm", some_labels(image), image))
    assert str(dataset.PatientName) == ("Müller^Jörg" if charset else "Muller")


def test_what_can_not_be_written_leaves_nothing(tmp_path: Path) -> None:
    image = read_series(shuffled(tmp_path / "a"))
    labels = some_labels(image)
    path = tmp_path / "seg.dcm"
    with pytest.raises(ValueError, match=r"^got labels of shape \(5, 7, 6\), expected \(5, 6, 7\); give"):
        write(path, labels.transpose(0, 2, 1), image)
    with pytest.raises(ValueError, match=r"^the label map holds the id 4, but the names end at 3"):
        write(path, labels + 1, image)
    nowhere = dataclasses.replace(image, place=dataclasses.replace(place_of(image), measured=False))
    with pytest.raises(
        ValueError, match=r"^a doesn't say where it lies or how thick it is, as a DICOM-SEG must; write"
    ):
        write(path, labels, nowhere)
    bare = slices(2)
    for dataset in bare:
        del dataset.FrameOfReferenceUID
    bare_image = read_series(written(tmp_path / "b", bare))
    with pytest.raises(ValueError, match=r"^b lacks FrameOfReferenceUID, which a DICOM-SEG must repeat; write"):
        write(path, some_labels(bare_image), bare_image)
    assert sorted(tmp_path.iterdir()) == [tmp_path / "a", tmp_path / "b"]


def test_a_segmentation_of_other_slices_is_refused(tmp_path: Path) -> None:
    image = read_series(shuffled(tmp_path / "a"))
    path = write(tmp_path / "seg.dcm", some_labels(image), image)
    moved = read_series(written(tmp_path / "b", slices(origin=(0, 0, 0))))
    fewer = read_series(written(tmp_path / "c", slices(4)))
    for other in (moved, fewer):
        with pytest.raises(ValueError, match=r"^seg\.dcm doesn't lie on the grid of the series .*; give"):
            read_seg(path, place_of(other))
    with pytest.raises(ValueError, match=r"^q is CT Image Storage, expected a DICOM-SEG; give"):
        read_seg(tmp_path / "a" / "q", place_of(image))


def changed(path: Path, change: Callable[[pydicom.Dataset], None]) -> Path:
    dataset = pydicom.dcmread(path)
    change(dataset)
    return save(path.with_name("changed.dcm"), dataset)


def test_frames_without_references_are_found_by_their_position(tmp_path: Path) -> None:
    def without_references(dataset: pydicom.Dataset) -> None:
        for group in dataset.PerFrameFunctionalGroupsSequence:
            del group.DerivationImageSequence

    image = read_series(of_frames(tmp_path / "a"))
    labels = some_labels(image)
    path = changed(write(tmp_path / "seg.dcm", labels, image), without_references)
    assert (read_seg(path, place_of(image)) == labels).all()


def test_segments_that_overlap_and_fractions_are_refused(tmp_path: Path) -> None:
    def all_over(dataset: pydicom.Dataset) -> None:
        dataset.PixelData = b"\xff" * len(dataset.PixelData)

    def fractions(dataset: pydicom.Dataset) -> None:
        dataset.SegmentationType = "FRACTIONAL"

    def damaged(dataset: pydicom.Dataset) -> None:
        del dataset.PerFrameFunctionalGroupsSequence[0].SegmentIdentificationSequence

    image = read_series(shuffled(tmp_path / "a"))
    path = write(tmp_path / "seg.dcm", some_labels(image), image)
    for change, message in (
        (all_over, "has segments that overlap"),
        (fractions, "is a FRACTIONAL segmentation, expected BINARY or LABELMAP"),
        (damaged, "has a damaged header"),
    ):
        with pytest.raises(ValueError, match=rf"^changed\.dcm {message}[^\n]*; [^\n]+$"):
            read_seg(changed(path, change), place_of(image))


@pytest.mark.parametrize("source", SOURCES)
def test_files_keep_the_standard(tmp_path: Path, source: str) -> None:
    """By dciodvfy of dicom3tools, where it is installed; it doesn't know LABELMAP yet."""
    if not (program := shutil.which("dciodvfy")):
        pytest.skip("no dciodvfy")
    image = read_series(SOURCES[source](tmp_path / "a"))
    path = write(tmp_path / "seg.dcm", some_labels(image), image)
    result = subprocess.run([program, str(path)], capture_output=True, text=True, check=False)
    assert [line for line in result.stderr.splitlines() if line.startswith("Error")] == []


def test_a_real_segmentation_lies_on_the_liver(real_data: Path, tmp_path: Path) -> None:
    uploads = real_data / "uploads"
    for name, number in (("c", 1), ("a", 3), ("b", 2)):
        shutil.copy(uploads / f"liver_dicom_seg_source_{number}.dcm", tmp_path / name)
    image = read_series(tmp_path)
    labels = read_seg(uploads / "liver_dicom_seg.dcm", place_of(image))
    assert np.bincount(labels.ravel()).tolist() == [679334, 107098]
    for pixels, mask in zip(image.pixels[..., 0], labels == 1, strict=True):
        assert 20 < pixels[mask].mean() < 60
    again = write_segmentation(
        tmp_path / "seg.dcm", labels, place_of(image), names=NAMES[:2], background=True, palette=PALETTE, model="m"
    )
    assert (read_seg(again, place_of(image)) == labels).all()


def test_a_clone_that_is_not_installed_writes_segmentations_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr("unetseg.formats.dicom_seg.metadata.version", missing)
    image = read_series(shuffled(tmp_path / "a"))
    labels = np.zeros(image.pixels.shape[:3], dtype=np.uint8)
    written_to = write_segmentation(
        tmp_path / "seg.dcm", labels, place_of(image), names=NAMES, background=True, palette=PALETTE, model="m"
    )
    assert pydicom.dcmread(written_to).SoftwareVersions == "not installed"
