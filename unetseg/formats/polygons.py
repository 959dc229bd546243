"""Labels as polygons on the ground: GeoPackage, GeoJSON and GeoParquet, by geopandas."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..config import IGNORE
from ..files import whole
from .ground import Raster, quiet_gdal
from .libraries import imported

ENDINGS = (".gpkg", ".geojson", ".json", ".parquet")


def write_polygons(
    path: Path,
    labels: NDArray[np.uint8],
    probabilities: NDArray[np.float32] | None,
    place: Raster,
    *,
    names: Sequence[str],
    background: bool,
    tolerance: float = 0,
    valid: NDArray[np.bool_] | None = None,
) -> Path:
    """Write each area of one label of (H,W) as a polygon: .gpkg or .parquet in the CRS of the image, .geojson in WGS84.

    Its columns are class, label, area_m2 (on the ellipsoid) and probability: the mean of (K,H,W) over its pixels, of
    its own class. Neither what is not `valid` nor 255 has polygons, nor, with a background, label 0.
    tolerance: in pixels, by how much an outline may be simplified; neighbours may overlap or part by as much.
    Raises ValueError for another ending, and for an image without a place on the ground.
    """
    ending = path.suffix.lower()
    if ending not in ENDINGS:
        raise ValueError(f"polygons are written as {', '.join(ENDINGS)}, got {path.name!r}; choose such a name")
    if not 0 <= tolerance < np.inf:
        raise ValueError(f"outlines are simplified by 0 pixels or more, got {tolerance}")
    if place.crs is None or place.transform is None:
        raise ValueError(f"{path.name} needs a place on the ground, which the image doesn't have; write .tif or .png")
    assert labels.shape == place.shape, f"{labels.shape} on a grid of {place.shape}"
    geopandas, pyproj = imported("geopandas", path.name), imported("pyproj", path.name)
    imported("pyarrow" if ending == ".parquet" else "pyogrio", path.name)
    kept = labels != IGNORE if valid is None else valid & (labels != IGNORE)
    if background:
        kept &= labels != 0
    outlines, values = _outlines(labels, kept)
    shares = np.full(len(values), np.nan)
    if probabilities is not None:
        shares = _means(outlines, _own(probabilities, labels, len(names)), labels.shape)
    polygons = _placed(_simplified(outlines, tolerance), place.transform)
    frame = geopandas.GeoDataFrame(
        {
            "class": np.array([names[value] for value in values], dtype=object),
            "label": values.astype(np.int32),
            "area_m2": np.zeros(len(values)),
            "probability": shares,
        },
        geometry=polygons,
        crs=place.crs,
    )
    degrees = frame.to_crs(4326)
    degrees.geometry = _repaired(degrees.geometry.to_numpy())
    frame["area_m2"] = degrees["area_m2"] = _areas(degrees.geometry, pyproj.Geod(ellps="WGS84"))
    with whole(path) as temporary, quiet_gdal():
        temporary.write_bytes(_encoded(degrees if "json" in ending else frame, ending, path.stem))
    return path


def _outlines(labels: NDArray[np.uint8], kept: NDArray[np.bool_]) -> tuple[NDArray[np.object_], NDArray[np.uint8]]:
    """Polygons in pixels, and the label of each."""
    features, shapely = (
        imported("rasterio.features", "the making of polygons"),
        imported("shapely.geometry", "the making of polygons"),
    )
    # with 8 neighbours outlines cross themselves where areas touch by a corner
    found = [(shapely.shape(shape), int(value)) for shape, value in features.shapes(labels, kept, connectivity=4)]
    outlines = np.empty(len(found), dtype=object)
    outlines[:] = [outline for outline, _ in found]
    return outlines, np.array([value for _, value in found], dtype=np.uint8)


def _own(probabilities: NDArray[np.float32], labels: NDArray[np.uint8], count: int) -> NDArray[np.float32]:
    """(H,W): at each pixel the probability of its label, of `count` labels, the first of which may have no channel."""
    own = np.zeros(labels.shape, dtype=np.float32)
    first = count - len(probabilities)
    for channel, probability in enumerate(probabilities):
        np.copyto(own, probability, where=labels == channel + first)
    return own


def _means(outlines: NDArray[np.object_], numbers: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float64]:
    if not len(outlines):
        return np.zeros(0)
    burnt: NDArray[np.int32] = imported("rasterio.features", "the making of polygons").rasterize(
        zip(outlines, range(1, len(outlines) + 1), strict=True), out_shape=shape, dtype="int32"
    )
    sizes, sums = np.bincount(burnt.ravel())[1:], np.bincount(burnt.ravel(), weights=numbers.ravel())[1:]
    means: NDArray[np.float64] = sums / sizes
    return means


def _simplified(outlines: NDArray[np.object_], tolerance: float) -> NDArray[np.object_]:
    if not tolerance:
        return outlines
    shapely = imported("shapely", "the making of polygons")
    simpler = shapely.simplify(outlines, tolerance, preserve_topology=True)
    fine = shapely.is_valid(simpler) & (shapely.area(simpler) > 0)
    kept: NDArray[np.object_] = np.where(fine, simpler, outlines)
    return kept


def _placed(outlines: NDArray[np.object_], transform: tuple[float, ...]) -> NDArray[np.object_]:
    a, b, c, d, e, f = transform
    matrix, corner = np.array([[a, d], [b, e]]), np.array([c, f])
    placed: NDArray[np.object_] = imported("shapely", "the making of polygons").transform(
        outlines, lambda xy: xy @ matrix + corner
    )
    return _repaired(placed)


def _repaired(polygons: NDArray[np.object_]) -> NDArray[np.object_]:
    """Valid ones, their outer rings counterclockwise: coordinates that are rounded may touch."""
    shapely = imported("shapely", "the making of polygons")
    spoilt = ~shapely.is_valid(polygons)
    if spoilt.any():
        polygons = polygons.copy()
        polygons[spoilt] = shapely.buffer(polygons[spoilt], 0)
    oriented: NDArray[np.object_] = shapely.orient_polygons(polygons)
    return oriented


def _areas(polygons: Any, ellipsoid: Any) -> NDArray[np.float64]:  # noqa: ANN401, of geopandas and pyproj
    """In square metres; the rings must be turned as those of `_repaired`."""
    return np.array([ellipsoid.geometry_area_perimeter(polygon)[0] for polygon in polygons], dtype=np.float64)


def _encoded(frame: Any, ending: str, layer: str) -> bytes:  # noqa: ANN401, a GeoDataFrame
    file = io.BytesIO()
    if ending == ".parquet":
        frame.to_parquet(file)
    elif ending == ".gpkg":
        frame.to_file(file, driver="GPKG", layer=layer, engine="pyogrio", geometry_type="Polygon")
    else:
        options = {"RFC7946": "YES", "COORDINATE_PRECISION": "9"}
        frame.to_file(file, driver="GeoJSON", engine="pyogrio", geometry_type="Polygon", **options)
    return file.getvalue()
