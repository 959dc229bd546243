"""Polygons of labels, read back by geopandas and as plain JSON."""

import json
import sys
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.features import rasterize
from rasterio.transform import Affine

from unetseg.formats.ground import Raster
from unetseg.formats.polygons import write_polygons

NAMES = ("ground", "house", "road")
UTM = "EPSG:32633", (5.0, 0.0, 500_000.0, 0.0, -5.0, 5_000_000.0)
DEGREES = "EPSG:4326", (1e-4, 0.0, 12.0, 0.0, -1e-4, 60.0)
TURNED = "EPSG:32633", (1.732, 1.5, 500_000.0, 1.0, -2.598, 5_000_000.0)
LABELS = np.array(
    [
        [0, 1, 1, 0, 2, 2],
        [0, 1, 1, 0, 0, 2],
        [1, 0, 0, 0, 0, 2],
        [0, 0, 1, 1, 1, 255],
        [2, 0, 1, 0, 1, 255],
        [2, 2, 1, 1, 1, 0],
    ],
    dtype=np.uint8,
)
SPECKLED = np.random.default_rng(0).choice(np.array([0, 1, 2, 255], np.uint8), (60, 80))


def place_of(labels: NDArray[np.uint8], where: tuple[str, tuple[float, ...]] = UTM) -> Raster:
    return Raster(CRS.from_user_input(where[0]).to_wkt(), where[1], labels.shape)


def polygons(path: Path, labels: NDArray[np.uint8], **options: Any) -> geopandas.GeoDataFrame:  # noqa: ANN401
    """What is in the file that is written."""
    where = options.pop("where", UTM)
    options = {"probabilities": None, "names": NAMES, "background": True, **options}
    assert write_polygons(path, labels, place=place_of(labels, where), **options) == path
    return geopandas.read_parquet(path) if path.suffix == ".parquet" else geopandas.read_file(path)


@pytest.mark.parametrize("ending", [".gpkg", ".parquet", ".geojson", ".json"])
def test_each_area_of_a_label_is_a_polygon(tmp_path: Path, ending: str) -> None:
    """Three of houses, one of them around a yard, and two of roads; 255 is none."""
    found = polygons(tmp_path / f"a{ending}", LABELS)
    assert found.crs == ("EPSG:4326" if "json" in ending else "EPSG:32633")
    assert list(found.columns) == ["class", "label", "area_m2", "probability", "geometry"]
    rows = sorted(zip(found["class"], found["label"], (found["area_m2"] / 25).round(1), strict=True))
    assert rows == [("house", 1, 1), ("house", 1, 4), ("house", 1, 8), ("road", 2, 3), ("road", 2, 4)]
    assert found["probability"].isna().all()
    assert found.geometry.is_valid.all()
    assert list(tmp_path.iterdir()) == [tmp_path / f"a{ending}"]


@pytest.mark.parametrize("where", [UTM, DEGREES, TURNED])
@pytest.mark.parametrize("ending", [".gpkg", ".geojson"])
def test_areas_are_those_of_the_pixels(tmp_path: Path, ending: str, where: tuple[str, tuple[float, ...]]) -> None:
    found = polygons(tmp_path / f"a{ending}", SPECKLED, where=where)
    pixel = (place_of(SPECKLED, where).unit or ("", 0))[1] * 10_000
    for label in (1, 2):
        expected = np.bincount(SPECKLED.ravel())[label] * pixel
        assert found["area_m2"][found["label"] == label].sum() == pytest.approx(expected, rel=0.01)
    assert found.geometry.is_valid.all()


def test_burnt_back_polygons_are_the_labels(tmp_path: Path) -> None:
    found = polygons(tmp_path / "a.gpkg", SPECKLED, background=False, where=TURNED)
    shapes = zip(found.geometry, found["label"], strict=True)
    burnt = rasterize(shapes, SPECKLED.shape, fill=255, transform=Affine(*TURNED[1]), dtype="uint8")
    assert (burnt == SPECKLED).all()


@given(labels=arrays(np.uint8, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.integers(0, 2)))
def test_polygons_are_valid_also_when_simplified(
    tmp_path_factory: pytest.TempPathFactory, labels: NDArray[np.uint8]
) -> None:
    path = tmp_path_factory.mktemp("polygons") / "a.parquet"
    for tolerance in (0, 1.5):
        found = polygons(path, labels, background=False, tolerance=tolerance)
        assert found.geometry.is_valid.all()
        assert (found["area_m2"] > 0).all()
    assert len(found) >= np.unique(labels).size


def test_simplified_outlines_have_fewer_corners(tmp_path: Path) -> None:
    y, x = np.mgrid[:200, :200]
    disc = (np.hypot(y - 100, x - 100) < 80).astype(np.uint8)
    exact, simple = (polygons(tmp_path / "a.gpkg", disc, tolerance=tolerance) for tolerance in (0, 1))
    assert shapely.get_num_coordinates(simple.geometry[0]) < 0.3 * shapely.get_num_coordinates(exact.geometry[0])
    assert simple["area_m2"][0] == pytest.approx(exact["area_m2"][0], rel=0.02)


@pytest.mark.parametrize(("background", "channels"), [(True, 2), (True, 3), (False, 3)])
def test_the_probability_is_the_mean_of_the_own_class(tmp_path: Path, background: bool, channels: int) -> None:
    """Where the background has no output of its own, the first channel is of label 1."""
    probabilities = np.random.default_rng(0).random((channels, *LABELS.shape), dtype=np.float32)
    found = polygons(tmp_path / "a.gpkg", LABELS, probabilities=probabilities, background=background)
    assert set(found["label"]) == ({1, 2} if background else {0, 1, 2})
    for _, row in found.iterrows():
        place = Affine(*UTM[1])
        inside = rasterize([row.geometry], LABELS.shape, transform=place, dtype="uint8").astype(bool)
        expected = probabilities[row["label"] - 3 + channels][inside].mean()
        assert row["probability"] == pytest.approx(expected, rel=1e-5)


def test_what_is_not_valid_has_no_polygon(tmp_path: Path) -> None:
    valid = np.zeros(LABELS.shape, bool)
    valid[:, 4:] = True
    found = polygons(tmp_path / "a.gpkg", LABELS, valid=valid, background=False)
    assert found["area_m2"].sum() == pytest.approx(25 * (valid & (LABELS != 255)).sum(), rel=0.01)


@pytest.mark.parametrize("ending", [".gpkg", ".parquet", ".geojson"])
@pytest.mark.parametrize("probabilities", [None, np.zeros((3, 6, 6), np.float32)])
def test_nothing_found_is_an_empty_file(tmp_path: Path, ending: str, probabilities: NDArray[np.float32] | None) -> None:
    found = polygons(tmp_path / f"a{ending}", LABELS * 0, probabilities=probabilities)
    assert len(found) == 0
    if ending != ".geojson":  # a GeoJSON keeps its columns in its features
        assert list(found.columns) == ["class", "label", "area_m2", "probability", "geometry"]


def test_geojson_is_in_degrees_and_its_outer_rings_run_counterclockwise(tmp_path: Path) -> None:
    polygons(tmp_path / "a.geojson", LABELS)
    features = json.loads((tmp_path / "a.geojson").read_text())["features"]
    assert {feature["geometry"]["type"] for feature in features} == {"Polygon"}
    for feature in features:
        outer, *holes = (shapely.LinearRing(ring) for ring in feature["geometry"]["coordinates"])
        assert outer.is_ccw
        assert not any(hole.is_ccw for hole in holes)
        assert 14.9 < outer.bounds[0] < 15.1


def test_fine_pixels_keep_their_corners_in_geojson(tmp_path: Path) -> None:
    """The usual seven decimals are a centimetre."""
    found = polygons(tmp_path / "a.geojson", LABELS, where=("EPSG:32633", (0.02, 0, 500_000, 0, -0.02, 5_000_000)))
    assert found.to_crs("EPSG:32633").area.sum() == pytest.approx(20 * 0.02**2, rel=0.02)


# --- what is refused --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", [Raster(None, None, (6, 6)), Raster(None, UTM[1], (6, 6))])
def test_without_a_place_on_the_ground_there_are_no_polygons(tmp_path: Path, place: Raster) -> None:
    with pytest.raises(ValueError, match=r"^a\.gpkg needs a place on the ground, which the image doesn't have; write"):
        write_polygons(tmp_path / "a.gpkg", LABELS, None, place, names=NAMES, background=True)
    assert not list(tmp_path.iterdir())


def test_other_endings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^polygons are written as \.gpkg, .*, got 'a\.shp'; choose such a name$"):
        polygons(tmp_path / "a.shp", LABELS)


@pytest.mark.parametrize(
    ("module", "ending"),
    [
        ("geopandas", ".gpkg"),
        ("pyproj", ".gpkg"),
        ("pyogrio", ".gpkg"),
        ("pyogrio", ".geojson"),
        ("pyarrow", ".parquet"),
    ],
)
def test_without_a_library_the_error_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, ending: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ValueError, match=rf"^a\{ending} needs {module}: pip install 'unetseg\[geo\]'$"):
        write_polygons(tmp_path / f"a{ending}", LABELS, None, place_of(LABELS), names=NAMES, background=True)


def test_what_can_not_be_written_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file or directory"):
        polygons(tmp_path / "no" / "a.gpkg", LABELS)
    assert not list(tmp_path.iterdir())
