"""What a result is downloaded as: equal to what Python gives, of each family, whatever the file was called."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import dicom_files
import numpy as np
import PIL.Image
import pytest
import rasterio
from affine import Affine
from served import tiny

from unetseg import Segmentation, read_image, render
from unetseg.demo.downloads import KINDS, Choices, offered, write
from unetseg.formats import as_image
from unetseg.formats.dicom import Series
from unetseg.formats.dicom_seg import read_seg
from unetseg.samples import draw_sample


def names(full: Segmentation, stem: str = "scan") -> dict[str, str]:
    return {one["kind"]: one["name"] for one in offered(full, stem)}


@pytest.fixture(scope="module")
def picture() -> Segmentation:
    return tiny("one-vs-rest with background")(as_image(draw_sample("ct", 3, 64)[0], name="scan.png"))


@pytest.fixture
def raster(tmp_path: Path) -> Segmentation:
    pixels = np.moveaxis(draw_sample("aerial", 7, 64)[0], 2, 0)
    profile = {"driver": "GTiff", "count": 3, "height": 64, "width": 64, "dtype": "uint8", "crs": "EPSG:32633"}
    with rasterio.open(tmp_path / "scene.tif", "w", **profile, transform=Affine(2, 0, 500_000, 0, -2, 4_600_000)) as to:
        to.write(pixels)
    colours = {"channels": ("red", "green", "blue"), "mean": (0.4, 0.5, 0.6), "std": (0.2, 0.25, 0.3)}
    return tiny("multiclass", **colours)(read_image(tmp_path / "scene.tif"))


def pixels_of(path: Path) -> np.ndarray:
    return np.asarray(PIL.Image.open(path))


def test_of_a_plain_picture_there_is_no_family_of_its_own_and_no_ground(picture: Segmentation) -> None:
    assert names(picture) == {
        "labels_png": "scan_labels.png",
        "colours_png": "scan_colours.png",
        "overlay_png": "scan_overlay.png",
        "probabilities": "scan_probabilities.npz",
        "report": "scan_report.json",
        "zip": "scan_unetseg.zip",
    }


def test_each_is_what_python_gives_with_the_choices_on_the_screen(picture: Segmentation, tmp_path: Path) -> None:
    limits = (0.2, 0.6, 0.9)
    choices = Choices(limits, opacity=0.8)
    labels = picture.labels(limits)[0]
    np.testing.assert_array_equal(pixels_of(write("labels_png", picture, tmp_path, choices)), labels)
    colours = pixels_of(write("colours_png", picture, tmp_path, choices))
    np.testing.assert_array_equal(colours, render.palette(picture.config)[labels])
    argmax = pixels_of(write("colours_png", picture, tmp_path, Choices(view="argmax")))
    np.testing.assert_array_equal(argmax, picture.view("argmax"))
    overlay = pixels_of(write("overlay_png", picture, tmp_path, choices))
    np.testing.assert_array_equal(overlay, render.overlay(picture.rgb[0], labels, picture.config, 0.8))
    assert (overlay != picture.view("overlay", thresholds=limits)).any()
    lined = pixels_of(write("overlay_png", picture, tmp_path, Choices(limits, outline=True, hidden=[1])))
    wanted = render.overlay(picture.rgb[0], labels, picture.config, hidden=[1], outline=True)
    np.testing.assert_array_equal(lined, wanted)
    assert (lined != picture.view("overlay", thresholds=limits)).any()
    found = np.load(write("probabilities", picture, tmp_path, choices))["probabilities"]
    np.testing.assert_allclose(found, picture.probabilities, atol=1e-3)
    report = json.loads(write("report", picture, tmp_path, choices).read_text())
    assert report == json.loads(json.dumps(picture.report(limits)))


def test_all_together_are_a_zip_of_the_others(raster: Segmentation, tmp_path: Path) -> None:
    packed = write("zip", raster, tmp_path, Choices())
    with zipfile.ZipFile(packed) as file:
        assert file.testzip() is None
        assert sorted(file.namelist()) == sorted(
            name for kind, name in names(raster, "result").items() if kind != "zip"
        )
        with rasterio.open(file.extract("result_labels.tif", tmp_path / "out")) as labels:
            np.testing.assert_array_equal(labels.read(1), raster.labels()[0])
    assert not (tmp_path / "result_labels.tif").exists(), "only the zip is left"


def test_a_raster_comes_back_on_its_ground_and_as_polygons(raster: Segmentation, tmp_path: Path) -> None:
    assert names(raster)["own"] == "scan_labels.tif"
    assert names(raster)["probabilities"] == "scan_probabilities.tif"
    with rasterio.open(write("own", raster, tmp_path, Choices())) as result:
        assert result.crs == "EPSG:32633"
        np.testing.assert_array_equal(result.read(1), raster.labels()[0])
    polygons = write("polygons", raster, tmp_path, Choices())
    assert polygons.suffix == ".gpkg"
    assert polygons.read_bytes()[:15] == b"SQLite format 3"


def test_of_a_series_a_slice_is_a_picture_and_all_of_it_a_dicom_seg(tmp_path: Path) -> None:
    made = dicom_files.slices(4, shape=(32, 32), RescaleIntercept=-1024)
    for seed, dataset in enumerate(made):
        dicom_files.with_pixels(dataset, draw_sample("ct", seed, 32)[0].astype(np.int32) * 4 + 24)
    image = read_image(dicom_files.written(tmp_path / "series", made))
    full = tiny(window=(-160.0, 240.0))(image)
    assert isinstance(image.place, Series)
    told = {one["kind"]: one for one in offered(full, "scan")}
    assert told["labels_png"]["name"] == "scan_slice_labels.png"
    assert told["own"] == {
        "kind": "own",
        "name": "scan_labels.dcm",
        "family": "DICOM-SEG",
        "suffix": ".dcm",
        "names_patient": True,
    }
    np.testing.assert_array_equal(
        read_seg(write("own", full, tmp_path, Choices([0.3])), image.place), full.labels([0.3])
    )
    one = Choices(index=2, window=(0.0, 100.0), opacity=0.0)
    np.testing.assert_array_equal(pixels_of(write("labels_png", full, tmp_path, one)), full.labels(index=2))
    drawn = pixels_of(write("overlay_png", full, tmp_path, one))[..., 0]
    np.testing.assert_allclose(drawn, (image.pixels[2, ..., 0] * 2.55).clip(0, 255), atol=0.51)


def test_probabilities_of_an_nrrd_are_a_nifti(tmp_path: Path) -> None:
    import SimpleITK

    volume = SimpleITK.GetImageFromArray(np.random.default_rng(0).integers(-200, 300, (3, 20, 24)).astype(np.int16))
    SimpleITK.WriteImage(volume, str(tmp_path / "scan.nrrd"))
    full = tiny(window=(-160.0, 240.0))(read_image(tmp_path / "scan.nrrd", hounsfield=True))
    assert names(full)["own"] == "scan_labels.nrrd"
    assert names(full)["probabilities"] == "scan_probabilities.nii.gz"
    for kind in ("own", "probabilities"):
        assert write(kind, full, tmp_path, Choices()).stat().st_size


def test_what_there_is_not_is_refused_in_a_sentence(picture: Segmentation, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"scan\.png can be had as labels_png, .* not as polygons"):
        write("polygons", picture, tmp_path, Choices())
    with pytest.raises(ValueError, match="has the slices 0 to 0, not 1"):
        write("labels_png", picture, tmp_path, Choices(index=1))
    with pytest.raises(ValueError, match="thresholds need one number from 0 to 1"):
        write("labels_png", picture, tmp_path, Choices([0.5]))
    assert not list(tmp_path.iterdir())


def test_every_kind_has_a_place(raster: Segmentation) -> None:
    assert set(names(raster)) == set(KINDS)
