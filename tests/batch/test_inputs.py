"""Which inputs a folder holds."""

from __future__ import annotations

import gzip
import os
import zipfile
from pathlib import Path

import dicom_files
import nibabel
import numpy as np
import PIL.Image
import pytest
from pydicom import Dataset
from pydicom.uid import SegmentationStorage

from unetseg.batch import inputs_in
from unetseg.batch.record import Entry, Journal


def picture(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(np.zeros((4, 4), np.uint8)).save(path)
    return path


def slices(folder: Path, uid: str, count: int = 3, **attributes: object) -> list[Dataset]:
    made = dicom_files.slices(count, shape=(8, 8), SeriesInstanceUID=uid, **attributes)
    dicom_files.written(folder, made)
    return made


def found(*paths: Path, out: Path | None = None) -> dict[str, tuple[str, str | None]]:
    """Names of results, each with the input and the series that it is of."""
    jobs, _ = inputs_in(paths, out=out or paths[0].parent / "out")
    return {job.name: (job.input, job.series) for job in jobs}


def test_a_tree_is_taken_by_content_and_what_is_no_picture_is_counted(tmp_path: Path) -> None:
    root = tmp_path / "root"
    picture(root / "b" / "deep" / "a.png")
    picture(root / "a.png").rename(root / "picture of no kind")
    nibabel.Nifti1Image(np.zeros((4, 4, 2), np.int16), np.eye(4)).to_filename(root / "b" / "ct.nii.gz")
    (root / "README.txt").write_text("P is a letter")
    (root / "BMI.txt").write_text("BM is how a bitmap starts")
    (root / "table.csv.gz").write_bytes(gzip.compress(b"a,b,c\n" * 200))
    with zipfile.ZipFile(root / "report.xlsx", "w") as file:
        file.writestr("sheet.xml", "<sheet/>")
    (root / "b" / "deep" / "a.tif.ovr").write_bytes(b"II*\0" + bytes(40))
    for hidden in (root / ".DS_Store", root / ".cache" / "x.png", root / "b" / ".b.png"):
        picture(hidden.with_suffix(".png")).rename(hidden)
    jobs, left_out = inputs_in([root], out=tmp_path)
    assert [job.input for job in jobs] == ["b/ct.nii.gz", "b/deep/a.png", "picture of no kind"]
    assert [job.name for job in jobs] == ["b/ct", "b/deep/a", "picture of no kind"]
    assert {what: count for what, count in left_out.items() if count} == {"files that are no pictures": 5}


def test_what_is_named_as_a_picture_and_is_none_is_an_input_that_fails(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "page.png").write_text("<html>404</html>")
    (root / "empty.tif").touch()
    (root / "cut.dcm").write_bytes(bytes(128) + b"DICM")
    jobs, _ = inputs_in([root], out=tmp_path)
    assert [job.input for job in jobs] == ["cut.dcm", "empty.tif", "page.png"]
    for job in jobs:
        with pytest.raises(ValueError, match=rf"^{job.path.name} "):
            job.image({})


def test_a_series_is_one_input_wherever_its_slices_lie(tmp_path: Path) -> None:
    root = tmp_path / "root"
    slices(root / "p1" / "ct", "1.2.3.1")
    split = slices(root / "p2" / "a", "1.2.3.2", 4)
    (root / "p2" / "b").mkdir()
    for number in (2, 3):
        (root / "p2" / "a" / f"{number:03}.dcm").rename(root / "p2" / "b" / f"{number:03}.dcm")
    slices(root / "both", "1.2.3.3")
    for dataset in dicom_files.slices(2, shape=(8, 8), SeriesInstanceUID="1.2.3.4"):
        dicom_files.save(root / "both" / f"x{dataset.InstanceNumber}.dcm", dataset)
    dicom_files.save(
        root / "p1" / "scout.dcm", dicom_files.slices(1, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])[0]
    )
    (seg,) = dicom_files.slices(1, SOPClassUID=SegmentationStorage)
    dicom_files.save(root / "p1" / "seg.dcm", seg)
    assert found(root) == {
        "both_1.2.3.3": ("both", "1.2.3.3"),
        "both_1.2.3.4": ("both", "1.2.3.4"),
        "p1/ct": ("p1/ct", "1.2.3.1"),
        "p2": ("p2", "1.2.3.2"),
    }
    jobs, left_out = inputs_in([root], out=tmp_path)
    assert [len(job.image({}).pixels) for job in jobs] == [3, 2, 3, len(split)]
    assert left_out["DICOM files without a slice"] == 2
    assert found(root / "p1" / "ct") == {"ct": ("ct", "1.2.3.1")}


def test_a_damaged_slice_is_told_by_its_series_and_else_an_input_of_its_own(tmp_path: Path) -> None:
    root = tmp_path / "root"
    slices(root / "ct", "1.2.3.1", 4)
    whole = (root / "ct" / "003.dcm").read_bytes()
    (root / "ct" / "003.dcm").write_bytes(whole[:300])
    (root / "other").mkdir()
    (root / "other" / "x.dcm").write_bytes(whole[:300])
    jobs, _ = inputs_in([root], out=tmp_path)
    assert [job.input for job in jobs] == ["ct", "other/x.dcm"]
    assert "1 file with a damaged header left out" in jobs[0].image({}).notices[0]


def test_the_hash_is_that_of_all_bytes(tmp_path: Path) -> None:
    slices(tmp_path / "ct", "1.2.3.1")
    (job,), _ = inputs_in([tmp_path / "ct"], out=tmp_path)
    before = job.digest()
    last = tmp_path / "ct" / "002.dcm"
    data = last.read_bytes()
    last.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    assert job.digest() != before
    last.write_bytes(data)
    assert job.digest() == before


def test_inputs_of_one_stem_keep_their_endings(tmp_path: Path) -> None:
    root = tmp_path / "root"
    for name in ("a.png", "a.jpg", "a.png.tif", "b.png", "B.jpg", "c.png", "c/d.png"):
        picture(root / name)
    assert found(root).keys() == {"a.png", "a.jpg", "a.png.tif", "b.png", "B.jpg", "c", "c/d"}
    assert found(root / "a.png", root / "a.jpg", root / "c.png").keys() == {"a.png", "a.jpg", "c"}
    assert found(root / "a.jpg").keys() == {"a"}
    picture(tmp_path / "other" / "c.png")
    with pytest.raises(ValueError, match=r"^two of the inputs have the same name, 'c\.png'; write them to different"):
        found(root, tmp_path / "other")


def test_links_are_not_followed(tmp_path: Path) -> None:
    root = tmp_path / "root"
    picture(root / "a.png")
    picture(tmp_path / "elsewhere" / "b.png")
    (root / "round").symlink_to(root)
    (root / "elsewhere").symlink_to(tmp_path / "elsewhere")
    (root / "b.png").symlink_to(tmp_path / "elsewhere" / "b.png")
    jobs, left_out = inputs_in([root], out=tmp_path)
    assert [job.input for job in jobs] == ["a.png"]
    assert left_out["links"] == 3
    assert found(root / "b.png").keys() == {"b"}  # one that is named is meant


def test_results_are_no_inputs(tmp_path: Path) -> None:
    root = picture(tmp_path / "root" / "a.png").parent
    picture(root / "out" / "stray.png")
    picture(root / "earlier" / "a_labels.png")
    Journal(root / "earlier").add(Entry("a.png", None, "", "", "", {}, {"a_labels.png": ""}))
    jobs, left_out = inputs_in([root], out=root / "out")
    assert [job.input for job in jobs] == ["a.png"]
    assert left_out["results"] == 2  # one and its journal
    picture(root / "a_labels.png")
    Journal(root).add(Entry("a.png", None, "", "", "", {}, {"a_labels.png": ""}))
    (root / "earlier" / "journal.jsonl").write_text("of somebody else")
    assert found(root, out=root).keys() == {"a", "earlier/a_labels", "out/stray"}


def test_a_folder_without_inputs_is_one_that_fails(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    localizers = slices(tmp_path / "scouts", "1.2", ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    assert localizers
    jobs, _ = inputs_in([tmp_path / "empty", tmp_path / "scouts"], out=tmp_path)
    for job, why in zip(jobs, ("empty holds no picture, volume or DICOM series", "scouts holds only loc"), strict=True):
        with pytest.raises(ValueError, match=f"^{why}"):
            job.image({})


def test_every_series_of_a_zip_is_an_input(tmp_path: Path) -> None:
    for number in (1, 2):
        slices(tmp_path / "study" / str(number), f"1.2.3.{number}")
    with zipfile.ZipFile(tmp_path / "root.zip", "w") as file:
        for path in sorted((tmp_path / "study").rglob("*.dcm")):
            file.write(path, path.relative_to(tmp_path))
    expected = {f"root_1.2.3.{n}": ("root.zip", f"1.2.3.{n}") for n in (1, 2)}
    assert found(tmp_path / "root.zip") == expected


@pytest.mark.skipif(os.name != "posix", reason="names of files are bytes on POSIX alone")
def test_a_name_in_no_encoding_is_one_like_any_other(tmp_path: Path) -> None:
    root = picture(tmp_path / "root" / "a.png").parent
    os.rename(os.fsencode(root / "a.png"), os.fsencode(root) + b"/\xff.png")  # noqa: PTH104, bytes
    (job,), _ = inputs_in([root], out=tmp_path)
    Journal(tmp_path).add(Entry(job.input, None, "", "", "", {}))
    assert Journal(tmp_path).find(job.input, None)
