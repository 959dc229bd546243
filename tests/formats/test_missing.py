"""Without the library of a format, its files are answered with the command that brings it, and others go on."""

import sys
from collections.abc import Callable
from pathlib import Path

import dicom_files
import nibabel
import numpy as np
import PIL.Image
import pytest
import rasterio
import SimpleITK
from configs import config_for, network_for

from unetseg import Predictor, Segmentation, read_image


def dicom(folder: Path) -> Path:
    return dicom_files.written(folder / "series", dicom_files.slices(2, shape=(16, 16)))


def nifti(folder: Path) -> Path:
    values = np.arange(512).reshape(16, 16, 2).astype(np.uint8)
    nibabel.Nifti1Image(values, np.eye(4)).to_filename(folder / "a.nii")
    return folder / "a.nii"


def nrrd(folder: Path) -> Path:
    SimpleITK.WriteImage(SimpleITK.Image(16, 16, 2, SimpleITK.sitkUInt8), str(folder / "a.nrrd"))
    return folder / "a.nrrd"


def geotiff(folder: Path) -> Path:
    place = {"crs": "EPSG:32633", "transform": rasterio.Affine(2, 0, 500_000, 0, -2, 4_600_000)}
    profile = {"driver": "GTiff", "count": 1, "height": 16, "width": 16, "dtype": "uint8"}
    with rasterio.open(folder / "a.tif", "w", **profile, **place) as dataset:
        dataset.write(np.arange(256, dtype=np.uint8).reshape(1, 16, 16))
    return folder / "a.tif"


@pytest.mark.parametrize(
    ("module", "make", "extra"),
    [
        ("pydicom", dicom, "medical"),
        ("nibabel", nifti, "medical"),
        ("SimpleITK", nrrd, "itk"),
        ("rasterio", geotiff, "geo"),
    ],
)
def test_a_file_is_answered_with_the_command_that_brings_its_reader(
    module: str, make: Callable[[Path], Path], extra: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make(tmp_path)
    assert read_image(path).pixels.any() or module != "rasterio"
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ValueError, match=rf"^{path.name} [^\n]*pip install 'unetseg\[{extra}\]'$"):
        read_image(path)
    PIL.Image.fromarray(np.zeros((2, 3), np.uint8)).save(tmp_path / "plain.png")
    assert read_image(tmp_path / "plain.png").pixels.shape == (1, 2, 3, 1)


@pytest.mark.parametrize(
    ("module", "make", "write", "extra"),
    [
        ("highdicom", dicom, lambda found, folder: found.save(folder / "a.dcm"), "medical"),
        ("geopandas", geotiff, lambda found, folder: found.save(folder / "a.gpkg"), "geo"),
        ("pyarrow", geotiff, lambda found, folder: found.save(folder / "a.parquet"), "geo"),
        ("scipy.ndimage", nifti, lambda found, folder: found.report(), "report"),
    ],
)
def test_a_result_is_answered_with_the_command_that_brings_its_writer(
    module: str,
    make: Callable[[Path], Path],
    write: Callable[[Segmentation, Path], object],
    extra: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = config_for("binary", window=(-200, 200)) if make is dicom else config_for("binary")
    found = Predictor(network_for(config), device="cpu")(make(tmp_path))
    assert found.labels().any()
    before = sorted(tmp_path.rglob("*"))
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ValueError, match=rf"pip install 'unetseg\[{extra}\]'$"):
        write(found, tmp_path)
    assert sorted(tmp_path.rglob("*")) == before
