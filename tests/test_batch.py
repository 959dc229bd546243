"""Real kinds of files through the command line, from the words typed to the files written."""

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import dicom_files
import nibabel
import numpy as np
import pandas
import PIL.Image
import pydicom
import pytest
import rasterio
import SimpleITK
from affine import Affine
from configs import RGB, config_for, network_for

from unetseg import Image, Predictor, read_image
from unetseg.__main__ import main
from unetseg.formats import read_mask, series_in
from unetseg.formats.dicom_seg import read_seg
from unetseg.samples import draw_sample

UTM = {"crs": "EPSG:32633", "transform": Affine(2, 0, 500_000, 0, -2, 4_600_000)}
AFFINE = np.array([[-1.0, 0, 0, 5], [0, -1.5, 0, 7], [0, 0, 4, -9], [0, 0, 0, 1]])


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the checkpoints ct, which has a window, and land, which sees colour."""
    folder = tmp_path_factory.mktemp("models")
    network_for(config_for("binary", window=(-200, 200), orientation="LPS")).save_pretrained(folder / "ct")
    network_for(config_for("multiclass", **RGB)).save_pretrained(folder / "land")
    return folder


def predict(*words: object) -> int:
    return main(["predict", *map(str, words), "--device", "cpu"])


def volume(path: Path, count: int = 4) -> Path:
    """Slices that are drawn, in Hounsfield units, with air around."""
    drawn = [draw_sample("ct", seed, 32)[0].astype(np.int16) * 2 - 150 for seed in range(count)]
    values = np.stack(drawn)  # (D,H,W)
    values[:, :4] = -1000
    nibabel.Nifti1Image(values.transpose(2, 1, 0), AFFINE).to_filename(path)
    return path


def results(folder: Path) -> list[str]:
    """What was written, without the journal."""
    return sorted(path.name for path in folder.iterdir() if path.name != "journal.jsonl")


def scene(path: Path, scale: int = 1, **profile: Any) -> Path:  # noqa: ANN401, rasterio's
    pixels = np.moveaxis(draw_sample("aerial", 1, 40)[0], 2, 0).astype(np.uint16 if scale > 1 else np.uint8) * scale
    fields = {"driver": "GTiff", "count": 3, "height": 40, "width": 40, "dtype": pixels.dtype, **UTM, **profile}
    with rasterio.open(path, "w", **fields) as dataset:
        dataset.write(pixels)
    return path


# --- one input --------------------------------------------------------------------------------------------------


def test_a_volume_becomes_a_volume_in_its_place_and_a_report_in_millilitres(
    models: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = volume(tmp_path / "ct.nii.gz")
    assert predict(models / "ct", source, "--out", tmp_path / "out", "--report", "--verbose") == 0
    assert results(tmp_path / "out") == ["ct_labels.nii.gz", "ct_report.json"]
    own = Predictor.from_pretrained(models / "ct", device="cpu")(source)
    written = nibabel.load(tmp_path / "out" / "ct_labels.nii.gz")
    np.testing.assert_allclose(written.affine, AFFINE, atol=1e-5)
    assert (read_mask(tmp_path / "out" / "ct_labels.nii.gz") == own.labels()).all()
    report = json.loads((tmp_path / "out" / "ct_report.json").read_text())
    liver = report["labels"][1]
    assert liver["volume_ml"] == pytest.approx(own.labels().sum() * 6 / 1000, abs=1e-3)
    assert report["model"] == "ct"
    assert str(tmp_path) not in json.dumps(report)
    assert "ct.nii.gz: 4 slices of 32 x 32 pixels" in caplog.text
    assert "by its air and soft tissue these are Hounsfield units" in caplog.text


def test_a_series_becomes_a_segmentation_of_it_or_what_is_asked_for(models: Path, tmp_path: Path) -> None:
    source = dicom_files.written(tmp_path / "series", dicom_files.slices(5, shape=(24, 28)))
    out = tmp_path / "out"
    assert predict(models / "ct", source, "--out", out, "--as", "dicom-seg", "nifti", "probabilities") == 0
    names = ["series_labels.dcm", "series_labels.nii.gz", "series_probabilities.nii.gz"]
    assert results(out) == names
    image = read_image(source)
    own = Predictor.from_pretrained(models / "ct", device="cpu")(image)
    assert own.labels().any()
    assert (read_seg(out / "series_labels.dcm", image.place) == own.labels()).all()  # type: ignore[arg-type]
    assert (read_mask(out / "series_labels.nii.gz") == own.labels()).all()
    probability = read_image(out / "series_probabilities.nii.gz").pixels[..., 0]
    np.testing.assert_allclose(probability, own.probabilities[:, 0], atol=1e-6)
    packed = shutil.make_archive(str(tmp_path / "packed"), "zip", source)
    assert predict(models / "ct", packed, "--out", out) == 0
    assert (out / "packed_labels.dcm").exists()


def test_a_raster_becomes_a_raster_or_polygons_in_its_place(models: Path, tmp_path: Path) -> None:
    source, out = scene(tmp_path / "scene.tif"), tmp_path / "out"
    words = ("--as", "geotiff", "gpkg", "geojson", "geoparquet", "probabilities", "png", "--report")
    assert predict(models / "land", source, "--out", out, *words) == 0
    own = Predictor.from_pretrained(models / "land", device="cpu")(source)
    with rasterio.open(out / "scene_labels.tif") as dataset:
        assert (dataset.read(1) == own.labels()[0]).all()
        assert dataset.crs == UTM["crs"]
        assert dataset.transform == UTM["transform"]
    assert (np.asarray(PIL.Image.open(out / "scene_labels.png")) == own.labels()[0]).all()
    with rasterio.open(out / "scene_probabilities.tif") as dataset:
        assert dataset.count == 3
        np.testing.assert_allclose(dataset.read(), own.probabilities[0], atol=1e-3)
    table = pandas.read_parquet(out / "scene_labels.parquet", columns=["class", "area_m2"])
    rows = json.loads((out / "scene_report.json").read_text())["labels"]
    for row in rows:
        assert row["area_ha"] == pytest.approx(row["pixels"] * 4 / 1e4, rel=2e-3)
        polygons = table[table["class"] == row["name"]]
        assert polygons["area_m2"].sum() == pytest.approx(row["area_ha"] * 1e4, rel=0.01, abs=1e-6)
    assert predict(models / "land", source, "--out", out / "cog", "--as", "cog") == 0
    with rasterio.open(out / "cog" / "scene_labels.tif") as dataset:
        assert dataset.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"


def test_a_view_of_a_volume_is_a_picture_for_each_slice(models: Path, tmp_path: Path) -> None:
    assert predict(models / "ct", volume(tmp_path / "ct.nii", 3), "--out", tmp_path / "o", "--view", "overlay") == 0
    assert results(tmp_path / "o") == [f"ct_overlay_000{n}.png" for n in (1, 2, 3)]


def test_cleaning_is_asked_for(models: Path, tmp_path: Path) -> None:
    source = volume(tmp_path / "ct.nii")
    for name, words in (("as", ()), ("largest", ("--largest", "--fill-holes"))):
        assert predict(models / "ct", source, "--out", tmp_path / name, "--report", *words) == 0
    before, after = (
        json.loads((tmp_path / name / "ct_report.json").read_text())["labels"][1] for name in ("as", "largest")
    )
    assert before["pieces"] > 1
    assert after["pieces"] == 1
    assert after["pixels"] == (read_mask(tmp_path / "largest" / "ct_labels.nii.gz") == 1).sum()


# --- what the file doesn't say ----------------------------------------------------------------------------------


def test_a_value_range_is_proposed_typed_or_found_for_all_inputs_and_never_guessed(
    models: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    dark, bright = scene(tmp_path / "dark.tif", 10), scene(tmp_path / "bright.tif", 14)
    assert predict(models / "land", dark, "--out", tmp_path) == 1
    assert "have no natural black and white; give value_range" in caplog.text
    low, high = caplog.text.rpartition("--value-range ")[2].split()[:2]
    assert predict(models / "land", dark, "--out", tmp_path / "typed", "--value-range", low, high) == 0
    caplog.clear()
    assert predict(models / "land", dark, bright, "--out", tmp_path / "auto", "--value-range", "auto") == 0
    low, high = map(float, caplog.text.partition("of all inputs: --value-range ")[2].split()[:2])
    values = np.concatenate([read_image(path).pixels.ravel() for path in (dark, bright)])
    assert (low, high) == pytest.approx(np.percentile(values, (1, 99)), rel=1e-5)
    for path in (dark, bright):
        own = Predictor.from_pretrained(models / "land", device="cpu")(path, value_range=(low, high))
        assert (read_mask(tmp_path / "auto" / f"{path.stem}_labels.tif") == own.labels()[0]).all()


def test_bands_are_taken_as_typed(models: Path, tmp_path: Path) -> None:
    source = scene(tmp_path / "a.tif")
    assert predict(models / "land", source, "--out", tmp_path / "o", "--bands", "3,2,1") == 0
    own = Predictor.from_pretrained(models / "land", device="cpu")
    turned = own(read_image(source).pixels[0, :, :, ::-1])
    assert (read_mask(tmp_path / "o" / "a_labels.tif") == turned.labels()[0]).all()
    assert (turned.labels() != own(source).labels()).any()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--bands", "red"], "bands are numbers such as 4,3,2; got 'red'"),
        (["--value-range", "5"], "a value range is LOW HIGH, such as 0 4095, or auto; got '5'"),
        (["--as", "png", "--view", "overlay"], "--as does nothing to --view overlay"),
        (["--largest", "--view", "overlay"], "--largest, --minimum and --fill-holes do nothing to --view overlay"),
        (["--as", "nifti"], "a.tif is no volume with a place in a patient; write its labels as .png"),
        (["--series", "1"], "a.tif is a picture and has no series to choose from; leave series out"),
        (["--largest"], "labels without a background can't be cleaned"),
        (["--minimum", "-3"], "pieces have at least 0 pixels, got a minimum of -3"),
        (["--simplify", "2"], "--simplify does nothing without polygons"),
        (["--as", "gpkg", "--simplify", "-1"], "outlines are simplified by 0 pixels or more, got -1"),
        (["--hounsfield"], "holds 8 bits, which are too few for Hounsfield units"),
        (["--hounsfield", "--value-range", "0", "100"], "leave out hounsfield or the value range"),
        (["--hounsfield", "--value-range", "auto"], "leave out hounsfield or the value range"),
    ],
)
def test_what_does_not_fit_is_a_sentence(
    models: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, words: list[str], message: str
) -> None:
    assert predict(models / "land", scene(tmp_path / "a.tif"), "--out", tmp_path / "o", *words) == 1
    assert message in caplog.text
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "a.tif"]


# --- several inputs ---------------------------------------------------------------------------------------------


def test_every_series_of_a_folder_that_fits_is_done_and_the_others_are_named(
    models: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    one, two = (dicom_files.slices(count, shape=(20, 22)) for count in (3, 4))
    folder = tmp_path / "study"
    dicom_files.written(folder / "a", one)
    for dataset in two:
        dataset.SeriesInstanceUID = "1.2.3.44"
    dicom_files.written(folder / "b" / "deep", two)
    magnetic = dicom_files.slices(3, shape=(20, 22), modality="MR")
    for dataset in magnetic:
        dataset.SeriesInstanceUID = "1.2.3.55"
    dicom_files.written(folder / "c", magnetic)
    assert predict(models / "ct", folder, "--out", tmp_path / "o") == 0
    assert "note: c (1.2.3.55) is left out: c is of modality MR, and this model was trained on CT" in caplog.text
    frames = {
        path: pydicom.dcmread(tmp_path / "o" / path).NumberOfFrames for path in ("a_labels.dcm", "b/deep_labels.dcm")
    }
    assert list(frames.values()) == [3, 4]
    assert len(list((tmp_path / "o").rglob("*.*"))) == 3
    assert predict(models / "ct", folder, "--out", tmp_path / "one", "--series", "1.2.3.44") == 0
    assert results(tmp_path / "one") == ["study_labels.dcm"]
    assert pydicom.dcmread(tmp_path / "one" / "study_labels.dcm").NumberOfFrames == 4
    with pytest.raises(ValueError, match="holds 3 series"):
        Predictor.from_pretrained(models / "ct", device="cpu")(folder)


def test_one_bad_input_of_each_kind_leaves_the_others_their_turn(
    models: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bad = tmp_path / "bad"
    bad.mkdir()
    good = volume(tmp_path / "good.nii.gz")
    (bad / "cut.nii.gz").write_bytes(good.read_bytes()[:300])
    (bad / "text.dcm").write_text("no DICOM")
    (bad / "empty.tif").write_bytes(b"")
    with zipfile.ZipFile(bad / "words.zip", "w") as file:
        file.writestr("a.txt", "words")
    (bad / "folder").mkdir()
    inputs = sorted(bad.iterdir())
    assert predict(models / "ct", *inputs, good, "--out", tmp_path / "o") == 1
    errors = [record.message for record in caplog.records if record.levelname == "ERROR"]
    assert len(errors) == len(inputs)
    for path in inputs:
        assert sum(error.startswith(f"error: {path.name} ") for error in errors) == 1, (path.name, errors)
    assert results(tmp_path / "o") == ["good_labels.nii.gz"]


def test_results_that_are_there_are_kept_unless_they_may_be_replaced(
    models: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = volume(tmp_path / "ct.nii.gz")
    assert predict(models / "ct", source, "--out", tmp_path) == 0
    (tmp_path / "journal.jsonl").unlink()
    assert predict(models / "ct", source, "--out", tmp_path) == 1
    assert "ct_labels.nii.gz is there already; name another folder with --out" in caplog.text
    assert predict(models / "ct", source, "--out", tmp_path, "--overwrite") == 0


def test_a_place_that_can_not_be_written_to_is_a_sentence_and_nothing_is_left(
    models: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("no folder")
    assert predict(models / "ct", volume(tmp_path / "ct.nii.gz"), "--out", tmp_path / "file") == 1
    assert len([record for record in caplog.records if record.levelname == "ERROR"]) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ct.nii.gz", "file"]


# --- the files beside the repository ----------------------------------------------------------------------------


def test_real_uploads_become_results_in_their_families(real_data: Path, tmp_path: Path) -> None:
    uploads = real_data / "uploads"
    assert predict("liver-unet", uploads / "dicom_crlm1004", uploads / "ct_volume_small.nii.gz", "--out", tmp_path) == 0
    image = read_image(uploads / "dicom_crlm1004")
    liver = read_seg(tmp_path / "dicom_crlm1004_labels.dcm", image.place)  # type: ignore[arg-type]
    assert 1.0 < liver.sum() * image.place.unit[1] / 1000 < 2.0  # litres  # type: ignore[union-attr, index]
    truth = read_mask(uploads / "ct_volume_small_labels.nii.gz") == 5
    found = read_mask(tmp_path / "ct_volume_small_labels.nii.gz") == 1
    assert 2 * (found & truth).sum() / (found.sum() + truth.sum()) > 0.94
    rasters = [uploads / name for name in ("naip_4band_epsg26914.tif", "landsat_epsg4326.tif")]
    assert predict("satellite-unet", *rasters, uploads / "dsm_float32_nodata.tif", "--out", tmp_path) == 1
    for raster in rasters:
        with rasterio.open(raster) as source, rasterio.open(tmp_path / f"{raster.stem}_labels.tif") as result:
            assert (source.crs, source.transform, source.shape) == (result.crs, result.transform, result.shape)
    assert not (tmp_path / "dsm_float32_nodata_labels.tif").exists()


def test_a_series_and_its_slices_as_pictures_get_the_same_labels(real_data: Path) -> None:
    image = read_image(real_data / "uploads" / "dicom_crlm1004")
    predictor = Predictor.from_pretrained("liver-unet", device="cpu")
    some = image.pixels[10:34:4, :, :, 0].astype(np.float32)
    pictures = ((some + 160) / 400 * 255).clip(0, 255).round().astype(np.uint8)
    each = np.stack([predictor(picture).labels()[0] for picture in pictures]) > 0
    whole = predictor(image).labels()[10:34:4] > 0
    assert 2 * (each & whole).sum() / (each.sum() + whole.sum()) > 0.98


# --- what a second pair of eyes found ---------------------------------------------------------------------------


def test_a_slice_that_can_not_be_a_segmentation_becomes_a_picture(models: Path, tmp_path: Path) -> None:
    """Its thickness may be empty by the standard."""
    (dataset,) = dicom_files.slices(1, shape=(20, 24))
    dataset.SliceThickness = None
    dicom_files.save(tmp_path / "thin.dcm", dataset)
    assert predict(models / "ct", tmp_path / "thin.dcm", "--out", tmp_path / "o") == 0
    assert results(tmp_path / "o") == ["thin_labels.png"]
    series = dicom_files.slices(3, shape=(20, 24))
    for dataset in series:
        del dataset.FrameOfReferenceUID
    dicom_files.written(tmp_path / "loose", series)
    assert predict(models / "ct", tmp_path / "loose", "--out", tmp_path / "o2") == 0
    assert results(tmp_path / "o2") == ["loose_labels.nii.gz"]


def test_files_that_are_named_by_uid_keep_their_last_number(models: Path, tmp_path: Path) -> None:
    one, two = dicom_files.slices(2, shape=(20, 24))
    paths = [dicom_files.save(tmp_path / f"1.2.840.{n}", dataset) for n, dataset in ((10, one), (11, two))]
    assert predict(models / "ct", *paths, "--out", tmp_path / "o") == 0
    assert results(tmp_path / "o") == ["1.2.840.10_labels.dcm", "1.2.840.11_labels.dcm"]


def test_a_result_that_can_not_be_written_is_a_failure_also_of_one_of_several_series(
    models: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name, uid in (("a", "1.2.3.44"), ("b", "1.2.3.55")):
        dicom_files.written(tmp_path / "study" / name, dicom_files.slices(2, shape=(20, 22), SeriesInstanceUID=uid))
    assert predict(models / "ct", tmp_path / "study", "--out", tmp_path / "o", "--as", "geotiff") == 1
    for name in ("a", "b"):
        assert caplog.text.count(f"error: {name} has 2 slices, and .tif holds one") == 1


def test_where_a_raster_has_no_data_no_result_has_any(models: Path, tmp_path: Path) -> None:
    source = scene(tmp_path / "a.tif", nodata=0)
    with rasterio.open(source, "r+") as dataset:
        pixels = dataset.read()
        pixels[:, :10] = 0
        dataset.write(pixels)
    assert predict(models / "land", source, "--out", tmp_path, "--as", "geotiff", "png", "probabilities") == 0
    for name in ("a_labels.tif", "a_labels.png"):
        labels = read_mask(tmp_path / name)
        assert (labels[:10] == 255).all()
        assert (labels[10:] < 3).all()
    with rasterio.open(tmp_path / "a_probabilities.tif") as dataset:
        assert np.isnan(dataset.read()[:, :10]).all()
        assert np.isfinite(dataset.read()[:, 10:]).all()


def test_areas_in_degrees_are_those_of_the_polygons(models: Path, tmp_path: Path) -> None:
    """Rows get smaller to the north: the one in the middle doesn't stand for all."""
    place = {"crs": "EPSG:4326", "transform": Affine(0.05, 0, 10, 0, -0.05, 72)}
    source = scene(tmp_path / "a.tif", **place)
    assert predict(models / "land", source, "--out", tmp_path, "--as", "geoparquet", "--report") == 0
    table = pandas.read_parquet(tmp_path / "a_labels.parquet", columns=["class", "area_m2"])
    for row in json.loads((tmp_path / "a_report.json").read_text())["labels"]:
        polygons = table[table["class"] == row["name"]]["area_m2"].sum() / 1e4
        assert row["area_ha"] == pytest.approx(polygons, rel=5e-3, abs=1e-3)


def test_volumes_are_known_by_their_content_whatever_they_are_called(models: Path, tmp_path: Path) -> None:
    plain, packed = volume(tmp_path / "a.nii"), volume(tmp_path / "b.nii.gz")
    expected = read_image(plain).pixels
    for source, name in ((packed, "c.nii"), (packed, "D.NII.GZ"), (packed, "e"), (plain, "f.nii.gz")):
        assert (read_image(shutil.copy(source, tmp_path / name)).pixels == expected).all()
    nibabel.Nifti1Pair(np.zeros((4, 4, 2), np.int16), AFFINE).to_filename(tmp_path / "pair.hdr")
    with pytest.raises(ValueError, match=r"pair\.hdr is one of two files \(\.hdr, \.img\), expected one"):
        read_image(tmp_path / "pair.hdr")


def test_several_probabilities_of_a_volume_are_one_file_in_four_dimensions(tmp_path: Path) -> None:
    network = network_for(config_for("multiclass"))
    found = Predictor(network, device="cpu")(volume(tmp_path / "ct.nii"), value_range=(-200, 300))
    written = nibabel.load(found.save_probabilities(tmp_path / "p.nii.gz"))
    assert written.shape == (32, 32, 4, 3)
    stored = np.moveaxis(np.asarray(written.dataobj), (2, 3), (0, 1)).swapaxes(2, 3)  # (K,outputs,J,I)
    np.testing.assert_allclose(stored, found.probabilities, atol=1e-6)


def test_bands_of_a_plain_picture_are_taken_as_typed_too(tmp_path: Path) -> None:
    pixels = draw_sample("aerial", 1, 32)[0]
    PIL.Image.fromarray(pixels).save(tmp_path / "a.tif")
    assert (read_image(tmp_path / "a.tif", bands=(3, 2, 1)).pixels[0] == pixels[..., ::-1]).all()


def test_nobody_is_named_by_folders_or_descriptions(tmp_path: Path) -> None:
    source = volume(tmp_path / "DOE_JOHN.nii")
    folder = tmp_path / "Doe John"
    folder.mkdir()
    (folder / "cut.nii").write_bytes(source.read_bytes()[:400])
    with pytest.raises(ValueError, match=r"cut\.nii is damaged") as refused:
        read_image(folder / "cut.nii")
    assert "Doe" not in str(refused.value)
    name = dicom_files.PATIENT["PatientName"].replace("^", " ")
    for number, uid in enumerate(("1.2.3.44", "1.2.3.55")):
        made = dicom_files.slices(2, SeriesInstanceUID=uid, SeriesDescription=f"{name} abdomen")
        dicom_files.written(tmp_path / "study" / str(number), made)
    assert [series.description for series in series_in(tmp_path / "study")] == ["abdomen"] * 2


def test_the_window_or_range_that_the_network_saw_is_told(models: Path, tmp_path: Path) -> None:
    predictor = Predictor.from_pretrained(models / "ct", device="cpu")
    assert predictor(volume(tmp_path / "ct.nii")).description().endswith(", window -200 to 200")


def test_copies_of_a_slice_count_once(tmp_path: Path) -> None:
    made = dicom_files.slices(3, shape=(20, 22))
    for folder in ("a", "copy"):
        dicom_files.written(tmp_path / "series" / folder, made)
    image = read_image(tmp_path / "series")
    assert image.pixels.shape[0] == 3
    assert "3 other files passed over" in image.description()


@pytest.mark.parametrize("uneven", [0.0, 0.001])
def test_steps_that_itk_gives_up_are_told(models: Path, tmp_path: Path, uneven: float) -> None:
    """SimpleITK 2.5.7 shows a DICOM-SEG of such a series with voxels of 1 mm."""
    made = dicom_files.slices(8, shape=(20, 22), spacing=(1.5, 2))
    for number, dataset in enumerate(made):
        dataset.ImagePositionPatient[2] += uneven * (number % 2)
    found = Predictor.from_pretrained(models / "ct", device="cpu")(dicom_files.written(tmp_path / "series", made))
    seen = SimpleITK.ReadImage(str(found.save(tmp_path / "seg.dcm"))).GetSpacing()
    assert any("has uneven steps, which viewers built on ITK don't show" in notice for notice in found.notices) == (
        seen == (1, 1, 1)
    )
    assert (seen == (1, 1, 1)) == bool(uneven)


@pytest.mark.parametrize("ending", [".nrrd", ".mha"])
def test_volumes_of_itk_are_known_by_their_content_too(tmp_path: Path, ending: str) -> None:
    SimpleITK.WriteImage(SimpleITK.Image(4, 5, 3, SimpleITK.sitkUInt8), str(tmp_path / f"a{ending}"))
    assert read_image((tmp_path / f"a{ending}").rename(tmp_path / "a.dat")).pixels.shape == (3, 5, 4, 1)


def test_a_volume_of_8_bits_is_doubted_by_a_model_of_ct(models: Path, tmp_path: Path) -> None:
    nibabel.Nifti1Image(np.ones((8, 8, 3), np.uint8), AFFINE).to_filename(tmp_path / "a.nii")
    found = Predictor.from_pretrained(models / "ct", device="cpu")(tmp_path / "a.nii")
    assert found.notices == ("a.nii is a volume of 8 bits, which are no Hounsfield units; it may be labels, not a CT",)


def test_a_slice_alone_is_drawn_by_the_scale_of_all(tmp_path: Path) -> None:
    """Alone it would be refused: it uses few of its 65,536 tones."""
    pixels = np.linspace(0, 60_000, 3 * 64).astype(np.uint16).reshape(3, 8, 8, 1)
    found = Predictor(network_for(config_for("binary")), device="cpu")(Image(pixels, (0, 65535)))
    for index in range(3):
        assert (found.alone(index).rgb[0] == found.rgb[index]).all()
        assert (found.alone(index).view("overlay") == found.view("overlay", index=index)).all()


def test_a_damaged_file_is_left_out_of_a_folder_and_named(models: Path, tmp_path: Path) -> None:
    folder = dicom_files.written(tmp_path / "series", dicom_files.slices(4, shape=(20, 22)))
    first, *_, last = sorted(folder.iterdir())
    last.write_bytes(last.read_bytes()[:300])
    image = read_image(folder)
    assert image.pixels.shape[0] == 3
    assert "series: 1 file with a damaged header left out, first 003.dcm" in image.notices
    for path in sorted(folder.iterdir())[1:3]:
        path.write_bytes(first.read_bytes()[:300])
    first.write_bytes(first.read_bytes()[:300])
    with pytest.raises(ValueError, match=r"^000\.dcm in series has a damaged header; save or download it again"):
        read_image(folder)
