"""Where a raster lies on the ground, by GDAL through rasterio."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .libraries import imported
from .quiet import quiet

WGS84 = 6378137.0, 0.00669437999014
"""The ellipsoid: semi-major axis in metres, and the square of its eccentricity."""

CACHE = 2**25
"""Bytes of blocks that GDAL keeps, which would be a twentieth of the machine's memory: some rows of tiles."""


@dataclass(frozen=True)
class Raster:
    """The place of a raster: its grid on the ground, and what of its file was read.

    crs: as WKT; None where the file names none.
    transform: (a, b, c, d, e, f): x = a column + b row + c, y = d column + e row + f; None without georeference.
    shape: (H,W).
    bands: the numbers of those that were read, the first is 1. descriptions: theirs, "" for none.
    nodata: the number that says that there is nothing.
    """

    crs: str | None
    transform: tuple[float, ...] | None
    shape: tuple[int, int]
    bands: tuple[int, ...] = ()
    descriptions: tuple[str, ...] = ()
    nodata: float | None = None

    @property
    def suffix(self) -> str:
        """Of results in the same family."""
        return ".tif"

    @property
    def unit(self) -> tuple[str, float] | None:
        """("ha", the area on the ground of the pixel in the middle); None without a place on the ground.

        By the ellipsoid, whatever the CRS: a square metre of web Mercator is half of one on the ground at 45 degrees.
        """
        found = self._hectares(range(self.shape[0] // 2, self.shape[0] // 2 + 1))
        return None if found is None else ("ha", float(found[0]))

    @property
    def metres(self) -> float | None:
        """The side of a square pixel as large as the one in the middle; None without a place on the ground."""
        return None if self.unit is None else float(np.sqrt(self.unit[1] * 10_000))

    @property
    def row_units(self) -> NDArray[np.float64] | None:
        """The hectares of a pixel in each row (H,), in its middle: in degrees, northern rows are smaller."""
        return self._hectares(range(self.shape[0]))

    def _hectares(self, rows: Sequence[int]) -> NDArray[np.float64] | None:
        column = self.shape[1] // 2
        corners = self._in_degrees([(column + x, row + y) for row in rows for x, y in ((0, 0), (1, 0), (0, 1))])
        if corners is None:
            return None
        places = np.radians(np.array(corners).reshape(-1, 3, 2))  # (H, corner, longitude and latitude)
        (x1, y1), (x2, y2) = ((places[:, corner] - places[:, 0]).T for corner in (1, 2))
        axis, flat = WGS84
        north = places[:, 0, 1]
        squeezed = 1 - flat * np.sin(north) ** 2
        # the radii of curvature along the meridian and along the parallel, multiplied
        radii = axis**2 * (1 - flat) / squeezed**2 * np.cos(north)
        hectares: NDArray[np.float64] = np.abs(x1 * y2 - x2 * y1) * radii / 10_000
        return hectares

    def apart(self, other: Raster) -> float:
        """How far the corners of two rasters of one size and CRS lie apart, in pixels; 0 where that can't be told."""
        if self.transform is None or other.transform is None or self.crs != other.crs or self.shape != other.shape:
            return 0.0
        corners = np.array([(x, y, 1) for x in (0, self.shape[1]) for y in (0, self.shape[0])])
        own, its = (np.array(transform).reshape(2, 3) for transform in (self.transform, other.transform))
        pixel = float(np.sqrt(abs(np.linalg.det(own[:, :2]))))
        return float(np.linalg.norm(corners @ (own - its).T, axis=1).max()) / pixel

    @property
    def bounds84(self) -> tuple[float, float, float, float] | None:
        """(west, south, east, north) in degrees of EPSG:4326; None without a place on the ground."""
        height, width = self.shape
        # the edge of a map is curved in degrees
        steps = [part / 20 for part in range(21)]
        edge = [(width * s, height * t) for s in steps for t in (0, 1)] + [
            (width * s, height * t) for s in (0, 1) for t in steps
        ]
        if (corners := self._in_degrees(edge)) is None:
            return None
        eastings, northings = zip(*corners, strict=True)
        return min(eastings), min(northings), max(eastings), max(northings)

    def _in_degrees(self, pixels: Sequence[tuple[float, float]]) -> list[tuple[float, float]] | None:
        """(longitude, latitude) of (column, row)."""
        if self.crs is None or self.transform is None:
            return None
        a, b, c, d, e, f = self.transform
        xs, ys = [a * x + b * y + c for x, y in pixels], [d * x + e * y + f for x, y in pixels]
        warp = imported("rasterio.warp", "its place on the ground")
        try:
            with quiet_gdal():
                places = list(zip(*warp.transform(self.crs, "EPSG:4326", xs, ys), strict=True))
        except Exception:  # a CRS that no program knows, or one of an engineer's own
            return None
        return places if np.isfinite(places).all() else None


@contextmanager
def quiet_gdal() -> Iterator[None]:
    """GDAL writes nothing to the terminal and warns of nothing: what matters is handled here."""
    with quiet(), imported("rasterio", "a GeoTIFF").Env(GDAL_CACHEMAX=CACHE):
        yield
