import csv
import gzip
import io
import itertools
import shutil
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from scripts import TRAINING, load

from unetseg.fitting import Recipe
from unetseg.fitting.data.folder import find_examples, read_example

DEPTH, LIVER = 12, range(3, 10)
# what nibabel calls RAS: x grows to the patient's right, y to the front, z to the head
RAS = np.diag([2.0, 2.0, 5.0, 1.0])


script = load("prepare_msd_liver")


def scan(number: int) -> tuple[NDArray[np.int16], NDArray[np.uint8]]:
    """HU and labels as they should lie (row, column, slice): a body, liver at the left, spine at the bottom."""
    hounsfield = np.full((16, 20, DEPTH), -1000, dtype=np.int16)
    hounsfield[2:14, 2:18] = 40 + number
    hounsfield[11:13, 9:11] = 900
    labels = np.zeros(hounsfield.shape, dtype=np.uint8)
    labels[4:9, 3:8, LIVER.start : LIVER.stop] = 1
    labels[5, 4, 5] = 2
    hounsfield[labels > 0] = 110
    return hounsfield, labels


def nifti(array: NDArray[Any], affine: NDArray[np.float64] = RAS) -> "nib.Nifti1Image":
    """Rows, columns, slices of LPS slices as a volume in RAS."""
    return nib.Nifti1Image(array[::-1, ::-1].swapaxes(0, 1), affine)


def write(folder: Path, number: int, labels: NDArray[Any] | None = None) -> None:
    for part, array in zip(("imagesTr", "labelsTr"), scan(number), strict=True):
        (folder / part).mkdir(parents=True, exist_ok=True)
        array = array if labels is None or part == "imagesTr" else labels
        nib.save(nifti(array), folder / part / f"liver_{number}.nii.gz")
        (folder / part / f"._liver_{number}.nii.gz").write_bytes(b"Mac OS X")


def packed(folder: Path) -> Path:
    with tarfile.open(path := folder.with_suffix(".tar"), "w") as archive:
        archive.add(folder, "Task03_Liver")
    return path


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three patients as a folder, the last of them of 3D-IRCADb."""
    folder = tmp_path_factory.mktemp("source") / "Task03_Liver"
    for number in (0, 9, 30):
        write(folder, number)
    return folder


@pytest.fixture
def copy(source: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(source, tmp_path / "Task03_Liver"))


def prepared(source: Path, out: Path, *options: str) -> list[dict[str, str]]:
    """The rows of the manifest."""
    assert script.main([str(source), str(out), *options]) == 0
    with (out / "manifest.csv").open(newline="") as file:
        return list(csv.DictReader(file))


# --- how a slice lies -------------------------------------------------------------------------------------------


@given(
    st.sampled_from(list(itertools.permutations(range(3)))),
    st.tuples(*[st.booleans()] * 3),
    st.floats(-0.3, 0.3),
    st.sampled_from(["sform", "qform"]),
)
def test_a_slice_lies_as_in_lps_however_the_volume_was_stored(
    order: tuple[int, ...], flips: tuple[bool, ...], tilt: float, form: str
) -> None:
    """Stored axes in any order and direction, and a gantry that is tilted a little."""
    expected = np.arange(3 * 4 * 5, dtype=np.int16).reshape(3, 4, 5)  # rows go back, columns left, slices up
    array = expected.transpose(order)
    # in millimetres to the right, the front, the head: a row goes back, a column left
    directions = np.diag([0.0, 0, 0])
    directions[1, 0], directions[0, 1], directions[2, 2] = -1.5, -1.5, 4
    turn = np.array([[1, 0, 0], [0, np.cos(tilt), -np.sin(tilt)], [0, np.sin(tilt), np.cos(tilt)]])
    directions = (turn @ directions)[:, order]
    for axis, flip in enumerate(flips):
        if flip:
            array, directions[:, axis] = np.flip(array, axis), -directions[:, axis]
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = directions, (10, -20, 30)
    image = nib.Nifti1Image(np.ascontiguousarray(array), affine)
    if form == "qform":
        image.set_sform(None, 0)
        image.set_qform(affine, 1)
    with io.BytesIO(image.to_bytes()) as stream:
        volume = script.volume_of(stream, "volume")
    assert np.array_equal(volume.stored, expected)


def test_the_liver_is_at_the_left_and_the_spine_at_the_bottom(source: Path, tmp_path: Path) -> None:
    prepared(source, tmp_path / "out")
    image = np.asarray(Image.open(tmp_path / "out" / "images" / "liver_000_s0003.png"))
    mask = np.asarray(Image.open(tmp_path / "out" / "masks" / "liver_000_s0003.png"))
    hounsfield, labels = scan(0)
    assert np.array_equal(mask, np.where(labels[..., 3] > 0, 255, 0))
    # -160 to 240 HU are 0 to 255: air is black, bone white, liver between
    assert np.array_equal(image, np.rint((hounsfield[..., 3].clip(-160, 240) + 160.0) * 255 / 400))
    assert np.nonzero(mask)[1].max() < 10 < np.nonzero(image == 255)[0].min() + 1


# --- which slices, which split ----------------------------------------------------------------------------------


def test_a_tar_and_its_folder_give_the_same_files_which_the_recipe_reads(source: Path, tmp_path: Path) -> None:
    rows = prepared(source, tmp_path / "one", "--every", "2", "--negatives", "0.5", "--val", "0")
    prepared(packed(source), tmp_path / "two", "--every", "2", "--negatives", "0.5", "--val", "0")
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    assert [int(row["slice"]) for row in rows if row["patient"] == "liver_9"] == [1, 3, 5, 7, 9, 10]
    for row in rows:
        assert int(row["liver_pixels"]) == (25 if int(row["slice"]) in LIVER else 0)
        assert (row["height"], row["width"], row["window_low_hu"], row["window_high_hu"]) == ("16", "20", "-160", "240")
    recipe = Recipe.from_file(TRAINING / "recipes" / "liver.toml")
    examples = find_examples(recipe.data, tmp_path / "one")
    assert {(e.group, e.split) for e in examples} == {("liver_0", "train"), ("liver_9", "train"), ("liver_30", "test")}
    assert len(examples) == len(rows) == 18
    scaled, labels = read_example(examples[0], recipe.data, recipe.config((0.0,), (1.0,)))
    assert (scaled.shape, labels.shape) == ((1, 16, 20), (16, 20))


@given(st.lists(st.integers(0, 50), max_size=60), st.integers(1, 7), st.floats(0, 3))
def test_of_the_slices_with_liver_each_nth_is_kept_and_a_share_of_the_others(
    counts: list[int], every: int, negatives: float
) -> None:
    kept = script.chosen_slices(counts, every, negatives)
    with_liver = [i for i in kept if counts[i]]
    assert kept == sorted(set(kept))
    assert with_liver == [i for i, count in enumerate(counts) if count][::every]
    assert len(kept) - len(with_liver) == min(round(len(with_liver) * negatives), counts.count(0))


def test_patients_are_split_by_seed_whichever_others_there_are() -> None:
    def settings(seed: int = 0, test: tuple[int, ...] = (28, 29)) -> Any:  # noqa: ANN401, of a script
        return script.Settings(window=(0.0, 1.0), every=1, negatives=0.0, test=test, val=0.2, seed=seed)

    splits = [settings().split(number) for number in range(131)]
    assert splits == [settings().split(number) for number in range(131)]
    assert splits != [settings(seed=1).split(number) for number in range(131)]
    assert splits.count("test") == 2
    assert 16 <= splits.count("val") <= 36
    for seed in range(20):  # those who may be one person
        assert len({settings(seed=seed).split(number) for number in range(6, 11)}) == 1
    assert {settings(test=(8,)).split(number) for number in range(6, 11)} == {"test"}


def test_a_window_and_scaled_numbers(copy: Path, tmp_path: Path) -> None:
    """Numbers may be stored as (HU + 1024) / 2; a slope and an intercept in the header say so."""
    hounsfield, _ = scan(0)
    hounsfield = hounsfield // 2 * 2
    image = nifti((hounsfield.astype(np.int16) + 1024) // 2)
    image.header.set_slope_inter(2, -1024)
    content = bytearray(image.to_bytes())
    content[112:120] = np.array([2, -1024], dtype="<f4").tobytes()  # nibabel would scale what it saves
    (copy / "imagesTr" / "liver_0.nii.gz").write_bytes(gzip.compress(bytes(content)))
    prepared(copy, tmp_path / "out", "--window", "0", "200")
    drawn = np.asarray(Image.open(tmp_path / "out" / "images" / "liver_000_s0003.png"))
    assert np.array_equal(drawn, np.rint(hounsfield[..., 3].clip(0, 200).astype(float) * 255 / 200))


# --- going on, and what is refused ------------------------------------------------------------------------------


def test_a_second_run_goes_on_where_the_first_one_stopped(
    source: Path, copy: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (copy / "labelsTr" / "liver_9.nii.gz").write_bytes(b"cut off")
    assert script.main([str(copy), str(tmp_path / "out")]) == 1
    assert "liver_9.nii.gz is no readable NIfTI-1 file" in caplog.messages[-1]
    first = tmp_path / "out" / "images" / "liver_000_s0003.png"
    written = first.stat().st_mtime_ns
    prepared(source, tmp_path / "out")
    prepared(source, tmp_path / "whole")
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
    assert first.stat().st_mtime_ns == written
    assert script.main([str(source), str(tmp_path / "out"), "--every", "2"]) == 1
    assert "was made with another every" in caplog.messages[-1]


def empty(folder: Path) -> None:
    for path in folder.glob("labelsTr/liver_*"):
        nib.save(nifti(np.zeros_like(scan(0)[1])), path)


def without_orientation(folder: Path) -> None:
    image = nifti(scan(9)[0])
    image.set_sform(None, 0)
    image.set_qform(None, 0)
    nib.save(image, folder / "imagesTr" / "liver_9.nii.gz")


def cut_off(folder: Path) -> None:
    path = folder / "imagesTr" / "liver_9.nii.gz"
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes())[:2000]))


def enormous(folder: Path) -> None:
    """A header of 128 GB and nothing behind it."""
    header = nib.Nifti1Header()
    header.set_data_shape((32000, 1000, 1000))
    header["sform_code"], header["magic"], header["vox_offset"] = 1, b"n+1", 352
    (folder / "imagesTr" / "liver_9.nii.gz").write_bytes(gzip.compress(header.binaryblock + bytes(4)))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (empty, "shows any liver"),
        (without_orientation, "has no sform and no qform"),
        (cut_off, "is damaged or cut off"),
        (enormous, "claims 128 GB"),
        (lambda f: (f / "labelsTr" / "liver_9.nii.gz").unlink(), "holds no labelsTr/liver_9"),
        (lambda f: write(f, 9, scan(9)[1][..., :5]), "they must be equal"),
        (lambda f: write(f, 9, scan(9)[1] * 3), "holds 3 in slice 3"),
        (lambda f: write(f, 9, scan(9)[1][..., None]), "expected three dimensions"),
        (lambda f: shutil.copy(f / "imagesTr" / "liver_9.nii.gz", f / "imagesTr" / "liver_09.nii.gz"), "holds two"),
        (shutil.rmtree, "is no readable, uncompressed tar"),
        (lambda f: [shutil.rmtree(f / part) for part in ("imagesTr", "labelsTr")], "holds no imagesTr"),
    ],
)
def test_a_source_that_does_not_fit_is_an_error_that_names_the_file(
    spoil: Callable[[Path], object], words: str, copy: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spoil(copy)
    assert script.main([str(copy), str(tmp_path / "out")]) == 1
    assert caplog.messages[-1].startswith("error: ")
    assert words in caplog.messages[-1]
    assert "\n" not in caplog.messages[-1]
    assert not [path for path in tmp_path.rglob("*") if path.name.endswith(".tmp")]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("../imagesTr/liver_5.nii.gz", tarfile.REGTYPE),
        ("/imagesTr/liver_5.nii.gz", tarfile.REGTYPE),
        ("Task03_Liver/imagesTr/liver_5.nii.gz", tarfile.SYMTYPE),
        ("Task03_Liver/imagesTr/liver_5.nii.gz", tarfile.LNKTYPE),
    ],
)
def test_a_tar_with_links_or_paths_that_lead_out_is_refused(
    name: str, kind: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, "/etc/hostname"
    with tarfile.open(tmp_path / "evil.tar", "w") as archive:
        archive.addfile(member)
    assert script.main([str(tmp_path / "evil.tar"), str(tmp_path / "out")]) == 1
    assert "a link or a path that leads out" in caplog.messages[-1]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--window", "240", "-160"), "goes from low to high"),
        (("--every", "0"), "expected at least 1"),
        (("--val", "1"), "expected at least 1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(
    source: Path, tmp_path: Path, options: tuple[str, ...], words: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert script.main([str(source), str(tmp_path / "out"), *options]) == 1
    assert words in caplog.messages[-1]
    assert not (tmp_path / "out").exists()


def test_other_things_in_the_folder_are_left_alone(
    source: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    assert script.main([str(source), str(tmp_path)]) == 1
    assert "holds other things" in caplog.messages[-1]
    assert contents(tmp_path) == {"thesis.txt": b"mine"}


def test_without_nibabel_it_says_how_to_get_it(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "nibabel", None)
    assert script.main([str(source), str(tmp_path / "out")]) == 1
    assert "pip install nibabel" in caplog.messages[-1]


def test_numbers_of_volumes() -> None:
    assert script._numbers("3,28-30") == (3, 28, 29, 30)
    with pytest.raises(ValueError, match="from high to low"):
        script._numbers("30-28")
