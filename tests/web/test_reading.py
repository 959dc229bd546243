"""Files of every family, opened in the browser and in Python: the same numbers, the same place, the same sentences."""

from __future__ import annotations

import gzip
import random
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dicom_files
import nibabel
import numpy as np
import PIL.Image
import pytest
from configs import RGB, config_for, network_for
from numpy.typing import NDArray
from playwright.sync_api import Browser, expect
from serving import Host, Stranger, made
from visiting import hounsfield, series

from unetseg import Predictor, read_image
from unetseg.demo.result import Result, facts, profile
from unetseg.demo.uploads import Upload

AFFINES = {
    "RAS": np.diag([0.8, 0.9, 2.5, 1.0]),
    "LPS": np.diag([-0.8, -0.9, 2.5, 1.0]),
    "sagittal": np.array([[0, 0, 2.5, 3.0], [0.8, 0, 0, -4], [0, -0.9, 0, 5], [0, 0, 0, 1.0]]),
    "oblique": np.array([[0.78, -0.1, 0.2, 1.0], [0.1, 0.88, 0.3, 2], [-0.1, -0.2, 2.45, 3], [0, 0, 0, 1.0]]),
}


@pytest.fixture(scope="module")
def ct(built_page: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Predictor]:
    """A page of a tiny network for CT, and its predictor."""
    return _page(built_page, tmp_path_factory, window=(-160.0, 240.0), orientation="LPS")


@pytest.fixture(scope="module")
def scenes(built_page: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Predictor]:
    """The same for colours."""
    return _page(built_page, tmp_path_factory, **RGB)


def _page(built: Path, folders: pytest.TempPathFactory, **changes: Any) -> tuple[Path, Predictor]:  # noqa: ANN401
    network = network_for(config_for("binary", **changes))
    return made(folders.mktemp("page") / "page", network, built), Predictor(network, device="cpu", precision="float32")


@pytest.fixture
def at_ct(ct: tuple[Path, Predictor], browser: Browser) -> Iterator[tuple[Stranger, Predictor]]:
    with Host(ct[0]) as host, Stranger(browser, host).open() as visit:
        yield visit, ct[1]


@pytest.fixture
def at_scenes(scenes: tuple[Path, Predictor], browser: Browser) -> Iterator[tuple[Stranger, Predictor]]:
    with Host(scenes[0]) as host, Stranger(browser, host).open() as visit:
        yield visit, scenes[1]


def same(visit: Stranger, predictor: Predictor, path: Path, *, called: str | None = None) -> dict[str, Any]:
    """That the result on the screen is Python's, each slice of it; what is said of it."""
    full = predictor(read_image(path, name=called or path.name))
    info: dict[str, Any] = visit.page.evaluate("window.unetseg.page.result.info")
    result = Result(Upload(path, called or path.name), full=full)
    expected = facts("", result, synthetic=False, seconds=0, expires=0)
    for name in ("name", "shape", "shown", "hounsfield", "window", "notices"):
        assert info[name] == expected[name], name
    for name in ("spacing", "affine"):
        assert (info[name] is None) == (expected[name] is None)
        if expected[name] is not None:
            np.testing.assert_allclose(info[name], expected[name], atol=1e-4)
    for index in range(full.shape[0]):
        found = visit.probabilities(len(predictor.config.outputs), index)
        np.testing.assert_allclose(found, full.alone(index).probabilities[0].numpy(), atol=1e-4)
    return info


def voxels(kind: str = "int16") -> NDArray[Any]:
    """(I,J,K), no two axes alike, some of it air."""
    drawn = np.stack([hounsfield(seed, 32)[:20, :22] for seed in range(6)], axis=2)
    return (drawn.clip(-1000, 600) + (1000 if kind.startswith("u") else 0)).astype(kind)


# --- volumes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lies", AFFINES)
def test_a_volume_is_turned_as_it_lies_in_the_patient(
    lies: str, at_ct: tuple[Stranger, Predictor], tmp_path: Path
) -> None:
    visit, predictor = at_ct
    path = tmp_path / "scan.nii.gz"
    image = nibabel.Nifti1Image(voxels(), AFFINES[lies])
    image.header.set_xyzt_units("mm")
    image.to_filename(path)
    visit.upload(path)
    info = same(visit, predictor, path)
    assert info["hounsfield"]
    assert info["first"] == info["shape"][0] // 2
    assert info["description"] == read_image(path).description()


def rescaled(path: Path) -> None:
    image = nibabel.Nifti1Image(voxels("uint16"), AFFINES["LPS"])
    image.header.set_slope_inter(1, -1000)
    image.to_filename(path)


def of_fractions(path: Path) -> None:
    nibabel.Nifti1Image(voxels("float32") + np.float32(0.25), AFFINES["LPS"]).to_filename(path)


def big_endian(path: Path) -> None:
    header = nibabel.Nifti1Header(endianness=">")
    header.set_data_dtype(">i2")
    nibabel.Nifti1Image(voxels(">i2"), AFFINES["LPS"], header).to_filename(path)


def of_the_second_kind(path: Path) -> None:
    nibabel.Nifti2Image(voxels(), AFFINES["oblique"]).to_filename(path)


def by_its_quaternion(path: Path) -> None:
    image = nibabel.Nifti1Image(voxels(), AFFINES["LPS"])
    image.set_qform(AFFINES["sagittal"], code=1)
    image.set_sform(None, code=0)
    image.to_filename(path)


def of_two_places(path: Path) -> None:
    image = nibabel.Nifti1Image(voxels(), AFFINES["LPS"])
    image.set_qform(AFFINES["RAS"], code=2)
    image.set_sform(AFFINES["LPS"], code=1)
    image.to_filename(path)


def in_metres(path: Path) -> None:
    image = nibabel.Nifti1Image(voxels(), np.diag([-8e-4, -9e-4, 2.5e-3, 1.0]))
    image.header.set_xyzt_units("meter")
    image.to_filename(path)


@pytest.mark.parametrize(
    "write", [rescaled, of_fractions, big_endian, of_the_second_kind, by_its_quaternion, of_two_places, in_metres]
)
def test_nifti_of_each_kind(write: Callable[[Path], None], at_ct: tuple[Stranger, Predictor], tmp_path: Path) -> None:
    visit, predictor = at_ct
    path = tmp_path / "scan.nii"
    write(path)
    visit.upload(path)
    same(visit, predictor, path)


def test_a_volume_gets_the_profile_of_its_slices_behind_the_one_that_is_seen(
    at_ct: tuple[Stranger, Predictor], tmp_path: Path
) -> None:
    visit, predictor = at_ct
    path = tmp_path / "scan.nii"
    nibabel.Nifti1Image(voxels(), AFFINES["LPS"]).to_filename(path)
    visit.upload(path)
    expect(visit.page.locator(".profile svg polygon")).to_have_count(1)
    found = visit.page.evaluate("[...window.unetseg.page.result.profile.values]")
    np.testing.assert_allclose(np.array(found) / 65535, profile(predictor(path)).ravel(), atol=2e-3)


# --- DICOM ----------------------------------------------------------------------------------------------------------


def test_a_series_in_any_order_is_a_volume(at_ct: tuple[Stranger, Predictor], tmp_path: Path) -> None:
    visit, predictor = at_ct
    files = series(tmp_path / "series", 5)
    random.Random(0).shuffle(files)
    visit.upload(*files)
    info = same(visit, predictor, tmp_path / "series", called=files[0].name)
    assert info["hounsfield"]
    assert info["unit"]["volume_mm3"] == pytest.approx(9)


def test_what_a_scanner_did_not_see_is_no_tissue(at_ct: tuple[Stranger, Predictor], tmp_path: Path) -> None:
    visit, predictor = at_ct
    (dataset,) = dicom_files.slices(1, shape=(30, 40), PixelPaddingValue=-2000)
    numbers = hounsfield(1, 40)[:30].astype(np.int32)
    numbers[:, :7] = -2000
    path = dicom_files.save(tmp_path / "slice.dcm", dicom_files.with_pixels(dataset, numbers))
    visit.upload(path)
    same(visit, predictor, path)
    labels = visit.downloads(tmp_path, "Label map")["Label map"]
    assert (np.asarray(PIL.Image.open(labels))[:, :7] == 255).all()


def test_of_several_series_one_is_chosen_and_nobody_is_named(at_ct: tuple[Stranger, Predictor], tmp_path: Path) -> None:
    visit, predictor = at_ct
    one = series(tmp_path / "one", 2, SeriesDescription="arterial Zappelphilipp")
    two = series(tmp_path / "two", 3, SeriesInstanceUID="1.2.3.9", SeriesNumber=2)
    visit.choose(*one, *(file.rename(file.with_name(f"b{file.name}")) for file in two))
    asked = visit.page.get_by_role("alert")
    expect(asked).to_contain_text("This holds 2 series")
    expect(asked).to_contain_text("CT, 2 slices, 'arterial'")
    asked.get_by_role("button", name="3 slices").click()
    visit.has(one[0].name)
    same(visit, predictor, tmp_path / "two", called=one[0].name)


def compressed(folder: Path) -> None:
    (dataset,) = dicom_files.slices(1)
    dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.70"
    dataset.PixelData = b"\xfe\xff\x00\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0"
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    dicom_files.written(folder, [dataset])


def without_one(folder: Path) -> None:
    datasets = dicom_files.slices(6)
    dicom_files.written(folder, [*datasets[:3], *datasets[4:]])


def sagittal(folder: Path) -> None:
    dicom_files.written(folder, dicom_files.slices(3, orientation=(0, 1, 0, 0, 0, -1)))


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (compressed, "is compressed (1.2.840.10008.1.2.4.70), which this page doesn't read"),
        (without_one, "has steps of 3 mm between slices, but 6 mm between 10 and 16 mm; add the missing slices"),
        (sagittal, "has slices 90 degrees off the axial plane, expected at most 30"),
    ],
)
def test_what_is_no_series_is_told(
    write: Callable[[Path], None], said: str, at_ct: tuple[Stranger, Predictor], tmp_path: Path
) -> None:
    visit, _ = at_ct
    write(tmp_path / "files")
    visit.choose(*sorted((tmp_path / "files").iterdir()))
    assert said in visit.told()


# --- pictures -------------------------------------------------------------------------------------------------------


def interlaced(depth: int, kind: int) -> bytes:
    """A PNG of noise that comes in seven passes."""
    channels = {0: 1, 2: 3, 3: 1, 6: 4}[kind]
    values = np.random.default_rng(depth + kind).integers(0, 2**depth, (19, 29, channels))
    passes = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
    rows = b""
    for left, top, right, down in passes:
        for row in values[top::down, left::right]:
            bits = "".join(f"{value:0{depth}b}" for value in row.ravel())
            bits += "0" * (-len(bits) % 8)
            rows += b"\0" + int(bits, 2).to_bytes(len(bits) // 8, "big")
    header = struct.pack(">IIBBBBB", 29, 19, depth, kind, 0, 0, 1)
    colours = np.random.default_rng(1).integers(0, 256, 3 * 2 ** min(depth, 8), dtype=np.uint8).tobytes()
    parts = {b"IHDR": header} | ({b"PLTE": colours} if kind == 3 else {}) | {b"IDAT": zlib.compress(rows), b"IEND": b""}
    body = (
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in parts.items()
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(body)


@pytest.mark.parametrize(("depth", "kind"), [(1, 0), (2, 0), (4, 0), (16, 0), (1, 3), (4, 3), (8, 2), (8, 6)])
def test_png_of_every_depth_and_in_passes(
    depth: int, kind: int, at_scenes: tuple[Stranger, Predictor], tmp_path: Path
) -> None:
    visit, predictor = at_scenes
    path = tmp_path / "passes.png"
    path.write_bytes(interlaced(depth, kind))
    visit.upload(path)
    same(visit, predictor, path)


def test_exif_turns_a_picture_in_each_of_eight_ways(at_scenes: tuple[Stranger, Predictor], tmp_path: Path) -> None:
    visit, predictor = at_scenes
    pixels = np.random.default_rng(0).integers(0, 256, (13, 17, 3), dtype=np.uint8)
    for orientation in range(1, 9):
        exif = PIL.Image.Exif()
        exif[274] = orientation
        path = tmp_path / f"{orientation}.png"
        PIL.Image.fromarray(pixels).save(path, exif=exif)
        visit.upload(path)
        same(visit, predictor, path)


def test_numbers_that_have_no_black_are_asked_for(at_scenes: tuple[Stranger, Predictor], tmp_path: Path) -> None:
    visit, predictor = at_scenes
    path = tmp_path / "wide.png"
    path.write_bytes(interlaced(16, 2))
    visit.choose(path)
    assert "uint16 values from" in (told := visit.told())
    assert "have no natural black and white; give the value range" in told
    visit.page.get_by_role("button", name="Say how it is to be read").click()
    visit.page.get_by_label("Value range").fill("0 40000")
    visit.page.get_by_role("button", name="Read it so").click()
    visit.has(path.name)
    full = predictor(path, value_range=(0, 40000))
    np.testing.assert_allclose(visit.probabilities(1), full.probabilities[0].numpy(), atol=1e-4)


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_adobe_deflate", "packbits"])
@pytest.mark.parametrize("kind", ["RGB", "L", "P", "I;16"])
def test_tiff_of_each_kind(kind: str, compression: str, at_scenes: tuple[Stranger, Predictor], tmp_path: Path) -> None:
    visit, predictor = at_scenes
    pixels = np.random.default_rng(2).integers(0, 256, (23, 31, 3), dtype=np.uint8)
    picture = PIL.Image.fromarray(pixels)
    if kind == "I;16":
        picture = PIL.Image.fromarray(pixels[..., 0].astype(np.uint16) * 257)
    elif kind != "RGB":
        picture = picture.quantize(30) if kind == "P" else picture.convert(kind)
    path = tmp_path / "picture.tif"
    picture.save(path, compression=compression)
    visit.upload(path)
    same(visit, predictor, path)


def test_bands_of_a_raster_are_chosen(at_scenes: tuple[Stranger, Predictor], tmp_path: Path) -> None:
    import rasterio
    from affine import Affine

    visit, predictor = at_scenes
    bands = np.random.default_rng(4).integers(1, 256, (5, 21, 33), dtype=np.uint8)
    bands[:, :4] = 0
    path = tmp_path / "raster.tif"
    place = {"crs": "EPSG:32633", "transform": Affine(2, 0, 500_000, 0, -2, 4_600_000)}
    with rasterio.open(path, "w", driver="GTiff", width=33, height=21, count=5, dtype="uint8", nodata=0, **place) as to:
        to.write(bands)
    visit.upload(path)
    expect(visit.page.locator(".notes")).to_contain_text("has 5 bands; bands 1, 2, 3 are taken as red, green and blue")
    visit.page.locator(".reading summary").click()
    visit.page.get_by_label("Bands").fill("5,1,3")
    visit.page.get_by_role("button", name="Read it so").click()
    visit.has(path.name)
    full = predictor(path, bands=(5, 1, 3))
    expect(visit.page.locator(".notes")).not_to_contain_text("are taken as")
    np.testing.assert_allclose(visit.probabilities(1), full.probabilities[0].numpy(), atol=1e-4)
    labels = np.asarray(PIL.Image.open(visit.downloads(tmp_path, "Label map")["Label map"]))
    assert full.image.valid is not None
    assert ((labels == 255) == ~full.image.valid[0]).all()


# --- what is no picture ---------------------------------------------------------------------------------------------


def cut(path: Path) -> None:
    PIL.Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40), dtype=np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:900])


def empty(path: Path) -> None:
    path.touch()


def text(path: Path) -> None:
    path.write_text("no picture")


def half_a_volume(path: Path) -> None:
    data = nibabel.Nifti1Image(voxels(), AFFINES["LPS"]).to_bytes()
    path.write_bytes(gzip.compress(data[: len(data) // 2]))


def half_packed(path: Path) -> None:
    data = gzip.compress(nibabel.Nifti1Image(voxels(), AFFINES["LPS"]).to_bytes())
    path.write_bytes(data[: len(data) // 2])


def of_four_dimensions(path: Path) -> None:
    path.write_bytes(nibabel.Nifti1Image(np.zeros((3, 4, 5, 2), np.int16), np.eye(4)).to_bytes())


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (cut, "picture.png is damaged or cut off"),
        (empty, "picture.png is empty (0 bytes); give a picture file"),
        (text, "picture.png is not a readable picture; expected PNG, JPEG, TIFF, DICOM, NIfTI"),
        (half_a_volume, "picture.png is damaged or cut off (voxels are missing)"),
        (half_packed, "picture.png is damaged or cut off"),
        (of_four_dimensions, "picture.png has 4 dimensions (3 x 4 x 5 x 2), expected 3"),
    ],
)
def test_what_can_not_be_read_is_told_and_the_page_goes_on(
    write: Callable[[Path], None], said: str, at_ct: tuple[Stranger, Predictor], tmp_path: Path
) -> None:
    visit, predictor = at_ct
    path = tmp_path / "picture.png"
    write(path)
    visit.choose(path)
    assert said in visit.told()
    path = tmp_path / "fine.png"
    PIL.Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40), dtype=np.uint8)).save(path)
    visit.upload(path)
    same(visit, predictor, path)
