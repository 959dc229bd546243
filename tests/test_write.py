"""A raster of any size, segmented row by row: the same bits as at once, and nothing lost on the way."""

import resource
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import rasterio
import torch
from affine import Affine
from configs import RGB, config_for, network_for
from numpy.typing import NDArray

from unetseg import Predictor, SegmentationConfig, read_image
from unetseg.__main__ import main
from unetseg.formats import geo_stream
from unetseg.formats.geo_stream import streamed
from unetseg.gate import fitted

HEIGHT, WIDTH = 1160, 70  # more rows than are worked on at once, and several tiles each way
RNG = np.random.default_rng(0)
COARSE = np.kron(RNG.integers(0, 256, (3, 60, 5)), np.ones((1, 20, 20)))[:, :HEIGHT, :WIDTH]
COLOUR = np.clip(COARSE + RNG.normal(0, 12, COARSE.shape), 0, 255).astype(np.uint8)
HOLE = np.zeros((HEIGHT, WIDTH), dtype=bool)
HOLE[300:700, 10:40] = True


def written(path: Path, bands: NDArray[Any], mask: NDArray[np.bool_] | None = None, **profile: Any) -> Path:  # noqa: ANN401
    shape = {"count": len(bands), "height": bands.shape[1], "width": bands.shape[2], "dtype": str(bands.dtype)}
    path.parent.mkdir(exist_ok=True)
    place = {"crs": "EPSG:32633", "transform": Affine(0.5, 0, 500_000, 0, -0.5, 5_000_000)}
    with rasterio.open(path, "w", driver="GTiff", **shape, **{"tiled": True, **place, **profile}) as dataset:
        dataset.write(bands)
        if mask is not None:
            dataset.write_mask(~mask)
    return path


def predictor_for(kind: str, **changes: Any) -> Predictor:  # noqa: ANN401, fields of a config
    config = config_for(kind, **{**RGB, "scales": (1.0, 0.5), "temperatures": (1.3,), **changes})
    return Predictor(network_for(config), device="cpu", tile=64, overlap=16)


def check_same(predictor: Predictor, path: Path, folder: Path, **reading: Any) -> NDArray[np.uint8]:  # noqa: ANN401
    """The file that `write` leaves is that of a call and `save`, in its pixels, place, colours and metadata."""
    segmentation = predictor(read_image(path, **reading))
    at_once = segmentation.save(folder / "at_once.tif")
    by_rows = predictor.write(path, folder / "by_rows.tif", **reading)
    assert by_rows.shape == (HEIGHT, WIDTH)
    assert by_rows.notices == segmentation.notices
    assert by_rows.description == segmentation.description()
    with rasterio.open(at_once) as expected, rasterio.open(by_rows.path) as found:
        labels: NDArray[np.uint8] = found.read(1)
        assert (labels == expected.read(1)).all()
        assert found.profile == expected.profile
        assert found.colormap(1) == expected.colormap(1)
        assert found.tags() == expected.tags()
        assert found.overviews(1) == expected.overviews(1) != []
    assert len(np.unique(labels)) > 1
    return labels


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("multiclass", {}),
        ("multiclass", {"scales": (0.7,)}),
        ("multiclass", {"working_scale": 0.6}),
        ("multiclass", {"working_size": 500}),
        ("multiclass", {"working_size": 1500, "scales": (1.0,)}),
        ("one-vs-rest with background", {"temperatures": (1.3,) * 3}),
    ],
)
def test_labels_are_those_of_a_call_bit_for_bit(tmp_path: Path, kind: str, changes: dict[str, Any]) -> None:
    check_same(predictor_for(kind, **changes), written(tmp_path / "a.tif", COLOUR), tmp_path)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_at_either_precision(tmp_path: Path, precision: Any) -> None:  # noqa: ANN401
    config = config_for("multiclass", **RGB)
    predictor = Predictor(network_for(config), device="cpu", precision=precision, tile=64, overlap=16)
    check_same(predictor, written(tmp_path / "a.tif", COLOUR), tmp_path)


@pytest.mark.parametrize(
    ("bands", "mask", "profile", "reading"),
    [
        (COLOUR, HOLE, {}, {}),
        (np.where(HOLE, 7, COLOUR.astype(np.uint16) * 16), None, {"nodata": 7}, {"value_range": (0, 4095)}),
        (np.where(HOLE, np.nan, COLOUR / 255).astype(np.float32), None, {"nodata": np.nan}, {}),
        (np.stack([*COLOUR, np.where(HOLE, 0, 255).astype(np.uint8)]), None, {"photometric": "rgb"}, {}),
        (np.stack([*COLOUR, COLOUR[0] // 2]), None, {"photometric": "minisblack"}, {"bands": (4, 2, 1)}),
        (COLOUR.astype(np.int64), None, {}, {"value_range": (0, 255)}),
        (COLOUR[:1], None, {}, {}),
    ],
    ids=["mask", "nodata", "not a number", "transparency", "bands", "64 bits", "grey"],
)
def test_whatever_a_raster_holds_is_read_as_at_once(
    tmp_path: Path,
    bands: NDArray[Any],
    mask: NDArray[np.bool_] | None,
    profile: dict[str, Any],
    reading: dict[str, Any],
) -> None:
    path = written(tmp_path / "a.tif", bands, mask, **profile)
    labels = check_same(predictor_for("multiclass"), path, tmp_path, **reading)
    image = read_image(path, **reading)
    if image.valid is not None:
        assert (labels[HOLE] == 255).all()
        assert (labels[~HOLE] != 255).all()
    with streamed(path, **reading) as raster:
        assert raster.image.facts == image.facts
        assert raster.image.notices == image.notices
        assert raster.complete == (image.valid is None)
        assert raster.image.pixels.dtype == image.pixels.dtype
        assert (raster.image.pixels.min(), raster.image.pixels.max()) == (
            image.pixels[image.valid].min() if image.valid is not None else image.pixels.min(),
            image.pixels.max(),
        )


@pytest.mark.parametrize(
    "profile", [{"tiled": False, "blockysize": 7}, {"blockxsize": 512, "blockysize": 512}, {"compress": "lzw"}]
)
def test_strips_and_tiles_of_any_size(tmp_path: Path, profile: dict[str, Any]) -> None:
    check_same(predictor_for("multiclass"), written(tmp_path / "a.tif", COLOUR, **profile), tmp_path)


def test_rows_are_read_from_any_place_on(tmp_path: Path) -> None:
    path = written(tmp_path / "a.tif", COLOUR)
    with streamed(path) as raster:
        read = raster.reader()
        for top, bottom in [(0, 64), (64, 900), (772, 836), (836, 1160)]:
            pixels, valid = read(top, bottom)
            assert valid is None
            assert (pixels[0] == np.moveaxis(COLOUR, 0, -1)[top:bottom]).all()
            assert len(read.blocks) <= 2 + -(-(bottom - top) // raster.step) + 1


def test_a_cloud_optimised_file_and_thresholds(tmp_path: Path) -> None:
    path, predictor = written(tmp_path / "a.tif", COLOUR), predictor_for("binary")
    expected = predictor(path).labels([0.8])[0]
    predictor.write(path, tmp_path / "out.tif", [0.8], kind="cog")
    with rasterio.open(tmp_path / "out.tif") as dataset:
        assert dataset.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert (dataset.read(1) == expected).all()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.tif", "out.tif"]


def test_it_tells_how_far_it_is_and_can_be_ended(tmp_path: Path) -> None:
    path, told = written(tmp_path / "a.tif", COLOUR), list[tuple[int, int]]()
    predictor_for("multiclass").write(path, tmp_path / "b.tif", progress=lambda *done: told.append(done))
    assert told == [(min(top, HEIGHT), HEIGHT) for top in range(64, HEIGHT + 63, 64)]

    def end(done: int, _: int) -> None:
        if done > 500:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        predictor_for("multiclass").write(path, tmp_path / "c.tif", progress=end)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.tif", "b.tif"]


def main_of(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str]:
    code = main([str(word) for word in words])
    return code, capsys.readouterr().err


def test_the_command_takes_the_way_by_rows_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    predictor = predictor_for("multiclass")
    checkpoint = network_for(predictor.config).save_pretrained(tmp_path / "model")
    path = written(tmp_path / "scenes" / "a.tif", COLOUR.astype(np.uint16) * 16)
    command = ["predict", checkpoint, path.parent, "--out", tmp_path / "out", "--value-range"]
    assert main_of(capsys, *command, 0, 4095)[0] == 0
    expected = rasterio.open(tmp_path / "out" / "a_labels.tif").read(1)
    (tmp_path / "out" / "a_labels.tif").unlink()
    monkeypatch.setattr(geo_stream, "MAX_PIXELS", HEIGHT * WIDTH - 1)
    code, said = main_of(capsys, *command, 0, 4095, "--verbose")
    assert code == 0, said
    assert "a.tif: 70 x 1160 pixels, 3 channels, uint16, values 0 to 4095" in said
    assert (rasterio.open(tmp_path / "out" / "a_labels.tif").read(1) == expected).all()
    assert main_of(capsys, *command, "auto")[0] == 0
    code, said = main_of(capsys, *command, 0, 4095, "--report")
    assert code == 1
    assert "a.tif is too large to have in memory, and row by row only labels are written, as geotiff or cog" in said
    code, said = main_of(capsys, *command, 0, 4095, "--accept-proposals")
    assert code == 1
    assert "a.tif is too large to have in memory, and row by row it is segmented as it is: leave out" in said


def test_what_is_said_of_a_picture_is_said_of_one_by_rows(tmp_path: Path) -> None:
    """Distance, agreement, ground resolution: as of a call."""
    predictor = predictor_for("multiclass", format=2, ground_resolution=(2.0, 3.0))
    path = written(tmp_path / "a.tif", COLOUR)  # of 0.5 m
    plain = predictor(path)
    assert plain.features is not None
    predictor.gate = replace(fitted(plain.features[0] + 1, torch.rand(3, 7)), limit=0.01)
    found, result = predictor(path), predictor.write(path, tmp_path / "labels.tif")
    assert result.agreement == pytest.approx(found.agreement)
    assert result.distance == pytest.approx(found.distance, rel=1e-4)
    assert found.notices[:2] == result.notices
    assert result.notices[0] == "a.tif has 0.5 m a pixel on the ground, and this model was trained on 2 to 3"
    assert result.notices[1].startswith("a.tif is unlike the pictures that this model was trained on (distance ")
    assert found.proposal is not None


def not_finite(folder: Path) -> Path:
    bands = (COLOUR / 255).astype(np.float32)
    bands[0, -1, -1] = np.inf
    return written(folder / "a.tif", bands)


def nothing(folder: Path) -> Path:
    return written(folder / "a.tif", np.zeros_like(COLOUR), nodata=0)


def no_tiff(folder: Path) -> Path:
    (folder / "a.tif").write_bytes(b"\x89PNG\r\n\x1a\n")
    return folder / "a.tif"


def measured(folder: Path) -> Path:
    return written(folder / "a.tif", COLOUR.astype(np.float32))


def cut_off(folder: Path) -> Path:
    path = written(folder / "a.tif", COLOUR)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    return path


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (not_finite, "a.tif: holds values that are not finite"),
        (nothing, "a.tif holds no data"),
        (no_tiff, "a.tif is no TIFF, and only those are read row by row"),
        (measured, "a.tif holds floats from 0 to 255, expected 0 to 1"),
        (cut_off, "a.tif is damaged or cut off"),
    ],
)
def test_what_cannot_be_segmented_leaves_what_was_there(tmp_path: Path, made: Any, said: str) -> None:  # noqa: ANN401
    path, target = made(tmp_path), tmp_path / "out.tif"
    target.write_text("before")
    with pytest.raises(ValueError, match=said):
        predictor_for("multiclass").write(path, target)
    assert target.read_text() == "before"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.tif", "out.tif"]


@pytest.mark.parametrize("reading", [{"hounsfield": True}, {"series": "1"}])
def test_what_a_raster_does_not_have_is_refused(tmp_path: Path, reading: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"a.tif is a picture, without Hounsfield units or series; leave out"):
        predictor_for("multiclass").write(written(tmp_path / "a.tif", COLOUR), tmp_path / "b.tif", **reading)


@pytest.mark.filterwarnings("ignore:Dataset has no geotransform")
def test_a_plain_picture_of_16_bits_is_that_of_a_call(tmp_path: Path) -> None:
    PIL.Image.fromarray(COLOUR[0].astype(np.uint16) * 257).save(tmp_path / "a.tif")
    predictor = predictor_for("multiclass")
    predictor.write(tmp_path / "a.tif", tmp_path / "b.tif")
    with rasterio.open(tmp_path / "b.tif") as dataset:
        assert (dataset.read(1) == predictor(tmp_path / "a.tif").labels()[0]).all()


def test_only_names_of_rasters_are_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"geotiff is written as .tif or .tiff, got 'a.png'"):
        predictor_for("multiclass").write(written(tmp_path / "a.tif", COLOUR), tmp_path / "a.png")


@pytest.mark.filterwarnings("ignore:Dataset has no geotransform")
@pytest.mark.parametrize("profile", [{}, {"crs": None, "transform": None, "photometric": "rgb"}])
def test_a_call_refuses_what_is_too_large_and_names_write(tmp_path: Path, profile: dict[str, Any]) -> None:
    path = written(tmp_path / "a.tif", COLOUR, **profile)
    with pytest.raises(ValueError, match=r"a.tif .*larger than the limit of 0 megapixels in memory; Predictor.write"):
        predictor_for("multiclass")(path, max_pixels=1000)


FULL = """
import resource, signal, sys
from pathlib import Path
import numpy as np
from unetseg.formats import Raster
from unetseg.formats.geo_writer import labels_raster

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
target = Path(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
labels = np.random.default_rng(0).integers(0, 2, (1024, 1024), dtype=np.uint8)
try:
    with labels_raster(
        target, Raster(None, None, labels.shape), palette=["#000000", "#ffffff"], names="ab", cog="cog" in sys.argv
    ) as write:
        for top in range(0, 1024, 64):
            write(top, labels[top : top + 64], None)
except OSError as error:
    print(error)
"""


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE"), reason="files can't be limited here")
@pytest.mark.parametrize("kind", ["geotiff", "cog"])
def test_a_full_disk_is_told_and_leaves_what_was_there(tmp_path: Path, kind: str) -> None:
    target = tmp_path / "out.tif"
    target.write_text("before")
    command = [sys.executable, "-c", FULL, str(target), kind]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert said.startswith(f"{target} can't be written whole (")
    assert said.rstrip().endswith("what was there is untouched: free some space, go on")
    assert target.read_text() == "before"
    assert [file.name for file in tmp_path.iterdir()] == ["out.tif"]


def test_pixels_far_from_an_edge_of_a_tile_are_those_of_the_whole(config: SegmentationConfig, tmp_path: Path) -> None:
    """And near one the labels hardly differ: tiles are blended in the file as in memory."""
    network = network_for(config.model_copy(update={"scales": (1.0,)}))
    bands = COLOUR if len(config.channels) == 3 else COLOUR[:1]
    path = written(tmp_path / "a.tif", bands)
    options: dict[str, Any] = {"device": "cpu", "precision": "float32"}
    whole = Predictor(network, tile=1200, overlap=0, **options)(path).labels()[0]
    Predictor(network, tile=64, overlap=24, **options).write(path, tmp_path / "out.tif")
    with rasterio.open(tmp_path / "out.tif") as dataset:
        assert (dataset.read(1) == whole).mean() > 0.99
