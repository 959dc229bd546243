"""NIfTI, NRRD and MetaImage, written by nibabel and SimpleITK, as read and written here."""

import contextlib
import gzip
import itertools
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from unetseg import Image, read_image
from unetseg.formats import read_mask
from unetseg.formats.grid import Grid
from unetseg.formats.volume import Volume, write_volume

SHAPE = (5, 6, 7)


def affine_of(
    order: tuple[int, ...] = (0, 1, 2), signs: tuple[int, ...] = (1, 1, 1), turn: float = 0
) -> NDArray[np.float64]:
    """RAS; the stored axis i runs along the world's axis order[i], to or fro; all turned by degrees about x."""
    affine = np.eye(4)
    affine[:3, :3] = np.eye(3)[:, order] @ np.diag(np.array(signs) * [0.8, 0.9, 2.5])
    angle = np.deg2rad(turn)
    about_x = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    affine[:3, :3] = about_x @ affine[:3, :3]
    affine[:3, 3] = [10, -20, 30]
    return affine


def position(affine: NDArray[np.float64], shape: tuple[int, ...] = SHAPE) -> NDArray[np.float64]:
    """RAS millimetres of every voxel (I,J,K,3)."""
    return np.moveaxis(np.indices(shape), 0, -1) @ affine[:3, :3].T + affine[:3, 3]


def nifti(path: Path, values: NDArray[np.generic], affine: NDArray[np.float64]) -> Path:
    image = nibabel.Nifti1Image(values, affine)
    image.header.set_xyzt_units("mm")
    image.to_filename(path)
    return path


ORDERS = list(itertools.permutations(range(3)))
SIGNS = list(itertools.product((1, -1), repeat=3))


# --- orientation ------------------------------------------------------------------------------------------------


@given(st.sampled_from(ORDERS), st.sampled_from(SIGNS), st.sampled_from([0, 12, -25]))
def test_slices_run_to_the_head_rows_to_the_back_columns_to_the_left(
    order: tuple[int, ...], signs: tuple[int, ...], turn: float
) -> None:
    affine = affine_of(order, signs, turn)
    grid = Grid(SHAPE, affine)
    where = grid.turned(position(affine))  # (D,H,W,3)
    assert (np.diff(where[..., 2], axis=0) > 0).all()
    assert (np.diff(where[..., 1], axis=1) < 0).all()
    assert (np.diff(where[..., 0], axis=2) < 0).all()
    numbers = np.arange(np.prod(SHAPE)).reshape(SHAPE)
    assert (grid.stored(grid.turned(numbers)) == numbers).all()
    assert grid.turned(numbers).base is not None, "a copy was made"
    assert grid.lean == pytest.approx(abs(turn), abs=1e-6)
    assert grid.unit == ("mL", pytest.approx(0.8 * 0.9 * 2.5 / 1000))
    assert not grid.sheared


@given(st.sampled_from(ORDERS), st.sampled_from(SIGNS))
def test_a_grid_says_how_it_is_stored_as_nibabel_does(order: tuple[int, ...], signs: tuple[int, ...]) -> None:
    affine = affine_of(order, signs)
    assert f"stored as {''.join(nibabel.aff2axcodes(affine))}" in Grid(SHAPE, affine).description()


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("ending", [".nii", ".nii.gz", ".nrrd", ".mha"])
def test_any_way_of_storing_gives_the_same_slices_and_labels_go_back_to_their_place(
    tmp_path: Path, order: tuple[int, ...], ending: str
) -> None:
    affine = affine_of(order, (1, -1, 1), turn=5)
    # numbers that tell where a voxel is
    values = (position(affine) @ [1, 40, 300]).round().astype(np.int16)
    path = write_volume(tmp_path / f"ct{ending}", Grid(SHAPE, affine).turned(values), Grid(SHAPE, affine))
    image = read_image(path)
    assert image.pixels.dtype == np.int16
    assert (np.diff(image.pixels[..., 0].astype(int), axis=0) > 0).all()
    assert isinstance(image.place, Volume)
    assert image.place.suffix == (".nii.gz" if ".nii" in ending else ending)
    labels = (image.pixels[..., 0] > values.mean()).astype(np.uint8)
    written = write_volume(tmp_path / f"labels{ending}", labels, image.place.grid)
    assert (read_mask(written) == labels).all()
    if ".nii" in ending:
        other = nibabel.load(written)
        assert other.get_data_dtype() == np.uint8
        assert (np.asarray(other.dataobj) == (values > values.mean())).all()
        for code in (other.get_sform(), other.get_qform()):
            np.testing.assert_allclose(code, affine, atol=1e-4)
    itk = SimpleITK.ReadImage(str(written))
    found = SimpleITK.GetArrayFromImage(itk).transpose(2, 1, 0)
    assert (found == (values > values.mean())).all()
    where = np.array(itk.TransformIndexToPhysicalPoint((1, 2, 3)))
    np.testing.assert_allclose(where * [-1, -1, 1], position(affine)[1, 2, 3], atol=1e-3)


def test_a_tilted_grid_keeps_its_shear_in_nifti_and_is_refused_elsewhere(tmp_path: Path) -> None:
    affine = affine_of()
    affine[1, 2] = 0.7  # each slice a little further to the front: a gantry that leans
    grid = Grid(SHAPE, affine)
    assert grid.sheared
    assert grid.lean == 0
    path = write_volume(tmp_path / "a.nii.gz", np.ones((7, 6, 5), np.uint8), grid)
    np.testing.assert_allclose(nibabel.load(path).affine, affine, atol=1e-6)
    assert nibabel.load(path).header["qform_code"] == 0
    with pytest.raises(ValueError, match=r"\.mha can't hold a tilted grid; write \.nii\.gz"):
        write_volume(tmp_path / "a.mha", np.ones((7, 6, 5), np.uint8), grid)
    assert [p.name for p in tmp_path.iterdir()] == ["a.nii.gz"]


def test_a_volume_without_a_place_says_so(tmp_path: Path) -> None:
    path = nifti(tmp_path / "a.nii", np.zeros(SHAPE, np.uint8), np.diag([1, 2, 3, 1.0]))
    data = bytearray(path.read_bytes())
    data[252:256] = bytes(4)  # qform_code, sform_code
    path.write_bytes(data)
    image = read_image(path)
    assert "doesn't say how it lies" in image.notices[0]
    assert "spacing 1 x 2 x 3 mm" in image.description()


def test_two_places_are_told_and_units_other_than_millimetres_are_kept(tmp_path: Path) -> None:
    volume = nibabel.Nifti1Image(np.zeros(SHAPE, np.uint8), affine_of())
    moved = affine_of()
    moved[2, 3] += 29
    volume.set_qform(moved, code=1)
    volume.set_sform(affine_of(), code=2)
    volume.to_filename(tmp_path / "two.nii")
    image = read_image(tmp_path / "two.nii")
    assert image.notices == ("two.nii has two places (sform and qform, 29 mm apart); the sform is taken",)
    assert isinstance(image.place, Volume)
    np.testing.assert_allclose(image.place.grid.affine, affine_of(), atol=1e-5)
    volume.header.set_xyzt_units("micron")
    volume.to_filename(tmp_path / "small.nii")
    assert read_image(tmp_path / "small.nii").place.unit[1] == pytest.approx(0.8 * 0.9 * 2.5 / 1e12)


# --- numbers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("slope", "intercept", "dtype", "expected"),
    [(1, 0, np.int16, np.int16), (2, -1024, np.int16, np.int16), (0.5, 0, np.float32, np.float32)],
)
def test_slopes_are_applied_in_the_smallest_exact_type(
    tmp_path: Path, slope: float, intercept: float, dtype: type, expected: type
) -> None:
    raw = np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE)
    path = nifti(tmp_path / "a.nii.gz", raw, affine_of())
    opened = bytearray(path.read_bytes())
    data = bytearray(gzip.decompress(opened))
    data[112:120] = np.array([slope, intercept], np.float32).tobytes()  # scl_slope, scl_inter
    path.write_bytes(gzip.compress(data))
    image = read_image(path, value_range=(-5000, 5000))
    assert image.pixels.dtype == expected
    grid = Grid(SHAPE, affine_of())
    np.testing.assert_allclose(image.pixels[..., 0], grid.turned(raw * slope + intercept))


def phantom(air: float = -1000, tissue: float = 40) -> NDArray[np.int16]:
    values = np.full((20, 20, 20), air, dtype=np.int16)
    values[5:15, 5:15] = tissue
    return values


def test_hounsfield_units_are_known_by_air_and_tissue_or_told_and_never_hoped_for(tmp_path: Path) -> None:
    ct = nifti(tmp_path / "ct.nii", phantom(), affine_of())
    image = read_image(ct)
    assert image.hounsfield
    assert image.notices == ("ct.nii doesn't name its unit; by its air and soft tissue these are Hounsfield units",)
    assert not read_image(ct, hounsfield=False).hounsfield
    assert not read_image(ct, value_range=(0, 100)).hounsfield
    for name, values in (("mr", phantom(0, 400)), ("offset", phantom(24, 1064)), ("cropped", phantom(-120, 60))):
        path = nifti(tmp_path / f"{name}.nii", values, affine_of())
        assert not read_image(path).hounsfield
        told = read_image(path, hounsfield=True)
        assert told.hounsfield
        assert told.notices == ()


def test_label_volumes_come_whole_also_after_a_slope_that_is_not(tmp_path: Path) -> None:
    labels = np.random.default_rng(0).integers(0, 5, SHAPE).astype(np.float32)
    path = nifti(tmp_path / "a.nii", labels * np.float32(0.999), affine_of())
    assert read_mask(path).dtype.kind == "i"
    assert (read_mask(path) == Grid(SHAPE, affine_of()).turned(labels)).all()
    with pytest.raises(ValueError, match=r"a\.nii holds fractions \(0 to 2\); save labels as whole numbers"):
        read_mask(nifti(path, labels / 2, affine_of()))


# --- what is refused --------------------------------------------------------------------------------------------


def test_what_is_no_volume_of_grey_values_is_refused_in_a_sentence(tmp_path: Path) -> None:
    def refused(values: NDArray[np.generic], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            read_image(nifti(tmp_path / "a.nii", values, affine_of()))

    refused(np.zeros((4, 4, 4, 3), np.int16), r"a\.nii has 4 dimensions \(4 x 4 x 4 x 3\), expected 3; take one volume")
    refused(np.full(SHAPE, np.nan, np.float32), "values that are not finite; replace them")
    refused(np.zeros(SHAPE, [("R", "u1"), ("G", "u1"), ("B", "u1")]), "expected a grey value for each voxel")
    assert read_image(nifti(tmp_path / "b.nii", np.zeros((4, 4, 4, 1), np.uint8), affine_of())).pixels.shape == (
        4,
        4,
        4,
        1,
    )
    with pytest.raises(ValueError, match="larger than the limit of 0 megapixels a slice"):
        read_image(tmp_path / "b.nii", max_pixels=15)
    with pytest.raises(ValueError, match="is a volume and has no bands to choose from"):
        read_image(tmp_path / "b.nii", bands=(1, 2, 3))
    with pytest.raises(ValueError, match="read from a path, not from bytes"):
        read_image((tmp_path / "b.nii").read_bytes(), name="b.nii")


def test_a_header_that_names_pixels_elsewhere_is_refused(tmp_path: Path) -> None:
    SimpleITK.WriteImage(SimpleITK.Image(3, 4, 5, SimpleITK.sitkInt16), str(tmp_path / "a.mhd"))
    assert read_image(tmp_path / "a.mhd", value_range=(0, 1)).pixels.shape == (5, 4, 3, 1)
    header = (tmp_path / "a.mhd").read_text().replace("a.raw", "../a.raw")
    (tmp_path / "a.mhd").write_text(header)
    with pytest.raises(ValueError, match=r"a\.mhd names its pixels by a path; give a volume in one file"):
        read_image(tmp_path / "a.mhd")


@pytest.mark.parametrize("ending", [".nii", ".nii.gz", ".nrrd", ".mha"])
def test_changed_and_cut_files_give_an_image_or_a_sentence(tmp_path: Path, ending: str) -> None:
    path = write_volume(tmp_path / f"a{ending}", phantom()[:8, :8, :8], Grid((8, 8, 8), affine_of()))
    data, random = path.read_bytes(), np.random.default_rng(0)
    for number in range(60):
        changed = bytearray(data[: random.integers(1, len(data))] if number % 2 else data)
        for place in random.integers(0, min(len(changed), 400), random.integers(1, 6)):
            changed[place] = random.integers(0, 256)
        path.write_bytes(changed)
        with contextlib.suppress(ValueError):
            assert isinstance(read_image(path), Image)


def test_real_volumes_are_hounsfield_units_and_lie_upright(real_data: Path) -> None:
    image = read_image(real_data / "uploads" / "ct_volume.nii.gz")
    assert image.hounsfield
    assert "spacing 3 x 3 x 3 mm" in image.description()
    small = read_image(real_data / "uploads" / "ct_volume_small.nii.gz")
    labels = read_mask(real_data / "uploads" / "ct_volume_small_labels.nii.gz")
    assert small.pixels.shape[:3] == labels.shape
    liver = np.argwhere(labels == 5)
    # the liver is on the patient's right: the image's left
    assert liver[:, 2].mean() < labels.shape[2] / 2
