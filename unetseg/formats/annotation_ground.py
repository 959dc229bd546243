"""Polygons on the ground: those of GeoJSON and GeoPackage, by geopandas, brought onto rasters."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from .annotation_reader import Reader, Unfit
from .annotation_shapes import Polygons, bounds
from .annotations import Annotated, AnnotatedObject, Annotations, OnGround, Problem
from .ground import Raster, quiet_gdal
from .libraries import imported

PROPERTIES = (
    "class",
    "label",
    "classname",
    "class_name",
    "category",
    "name",
    "type",
    "landcover",
    "landuse",
    "classification",
)
"""Properties that name the class of a polygon on the ground, the likeliest first."""


def placed(annotations: Annotations, rasters: Mapping[str, Raster]) -> Annotations:
    """What lies on the ground, as pictures: on each raster by name the objects that touch it, in its pixels.

    Only corners are brought from one CRS to the other; edges stay straight. An object on no raster is named.
    Raises ValueError for a raster without a place on the ground.
    """
    pictures: dict[str, Annotated] = {}
    problems = list(annotations.problems)
    for ground in annotations.ground:
        on_any = np.zeros(len(ground.objects), dtype=bool)
        places: dict[str, list[Polygons]] = {}
        for name, raster in rasters.items():
            if raster.crs is None or raster.transform is None:
                raise ValueError(
                    f"{name} has no place on the ground, so {ground.source} can't lie on it; give a GeoTIFF"
                )
            if raster.crs not in places:
                places[raster.crs] = _in_crs(ground, raster.crs)
            height, width = raster.shape
            inside = []
            for number, (thing, shape) in enumerate(zip(ground.objects, places[raster.crs], strict=True)):
                pixels = _in_pixels(shape, raster.transform)
                left, top, right, bottom = bounds(pixels)
                if left < width and top < height and right > 0 and bottom > 0:
                    on_any[number] = True
                    inside.append(replace(thing, shape=pixels))
            before = pictures[name].objects if name in pictures else ()
            pictures[name] = Annotated(name, height, width, (*before, *inside), ground.source)
        problems += [
            Problem(
                "outside", f"{ground.source}: object {number} ({ground.objects[number - 1].label}) lies on no raster"
            )
            for number in np.flatnonzero(~on_any) + 1
        ]
    return replace(annotations, pictures=pictures, problems=tuple(problems), ground=())


def read_ground(path: Path, reader: Reader, label_by: str | None) -> OnGround:
    """The polygons of a file in its CRS, each with the class that one of its properties names.

    label_by: that property; without it one called like a class, else the only one of words. Raises ValueError.
    """
    geopandas, shapely = imported("geopandas", path.name), imported("shapely", path.name)
    imported("pyogrio", path.name)
    try:
        with quiet_gdal():
            frame = geopandas.read_file(path, engine="pyogrio")
            crs = None if frame.crs is None else frame.crs.to_wkt()
            geometries, index = shapely.get_parts(frame.geometry.to_numpy(), return_index=True)
    except Exception as error:  # GDAL and shapely raise what they like
        reason = re.sub(r"\S*[/\\]\S*", "it", " ".join(str(error).split()))[:200]
        raise ValueError(f"{path.name} is no whole file of polygons ({reason}); save it again") from None
    if crs is None:
        raise ValueError(f"{path.name} states no CRS; save it with one")
    labels = _labels(frame, path.name, label_by, reader)
    parts: dict[int, list[tuple[Any, ...]]] = {}
    objects = []
    for geometry, number in zip(geometries, index.tolist(), strict=True):
        with reader.each(number + 1, None):
            if shapely.get_dimensions(geometry) != 2:
                raise Unfit("no area", f"is a {geometry.geom_type}, which has no area")
            rings = [np.array(ring.coords)[:-1, :2] for ring in (geometry.exterior, *geometry.interiors)]
            if not len(rings[0]) or not np.isfinite(np.concatenate(rings)).all() or not geometry.area:
                raise Unfit("degenerate", "encloses nothing")
            parts.setdefault(number, []).append(tuple(rings))
    for number in range(len(frame)):
        with reader.each(number + 1, None):
            label = labels[number]
            if not isinstance(label, str) or not (text := " ".join(label.split())):
                raise Unfit("no class", "has no class")
            if number in parts:
                objects.append(AnnotatedObject(text, Polygons(tuple(parts[number]))))
                reader.name(text)
    return OnGround(crs, tuple(objects), reader.source)


def _labels(
    frame: Any,  # noqa: ANN401, a GeoDataFrame
    name: str,
    label_by: str | None,
    reader: Reader,
) -> list[object]:
    """The class of each polygon: the property that is called so, or the only one of words; without, by the file."""
    properties = [str(column) for column in frame.columns if column != frame.geometry.name]
    if label_by is not None and label_by not in properties:
        raise ValueError(
            f"{name} has no property {label_by!r}, only {', '.join(properties) or 'none'}; choose one of them"
        )
    if label_by is None:
        called = {column.lower(): column for column in reversed(properties)}
        label_by = next((called[word] for word in PROPERTIES if word in called), None)
    if label_by is None:
        words = [c for c in properties if any(isinstance(value, str) for value in frame[c])]
        if not words:
            label = " ".join(re.findall(r"[^\W\d_]+", Path(name).stem)) or "object"
            reader.tell("unsure", f"no property names a class, so all of its polygons are called {label!r}")
            return [label] * len(frame)
        if len(words) > 1:
            raise ValueError(
                f"{name} doesn't say which property names the class, of {', '.join(properties) or 'none'}; "
                "choose one (label_by)"
            )
        label_by = words[0]
    values = frame[label_by].tolist()
    return [str(value) if isinstance(value, int) and not isinstance(value, bool) else value for value in values]


def _in_crs(ground: OnGround, crs: str) -> list[Polygons]:
    """The shapes of all objects in another CRS."""
    shapes = [thing.shape for thing in ground.objects]
    assert all(isinstance(shape, Polygons) for shape in shapes)
    rings = [ring for shape in shapes if isinstance(shape, Polygons) for part in shape.parts for ring in part]
    points = np.concatenate(rings) if rings else np.zeros((0, 2))
    warp = imported("rasterio.warp", ground.source)
    try:
        with quiet_gdal():
            moved = np.array(warp.transform(ground.crs, crs, points[:, 0], points[:, 1]), dtype=np.float64).T
    except Exception as error:  # GDAL raises what it likes
        reason = " ".join(str(error).split())[:200]
        raise ValueError(
            f"{ground.source} can't be brought to the raster's CRS ({reason}); save it in that CRS"
        ) from None
    if not np.isfinite(moved).all():
        raise ValueError(f"{ground.source} has points that the raster's CRS doesn't know; save it in that CRS")
    following = iter(np.split(moved, np.cumsum([len(ring) for ring in rings])[:-1]) if rings else ())
    return [
        Polygons(tuple(tuple(next(following) for _ in part) for part in shape.parts))
        for shape in shapes
        if isinstance(shape, Polygons)
    ]


def _in_pixels(shape: Polygons, transform: Sequence[float]) -> Polygons:
    a, b, c, d, e, f = transform
    area = a * e - b * d
    inverse = np.array([[e, -d], [-b, a]]) / area
    return Polygons(tuple(tuple((ring - (c, f)) @ inverse for ring in part) for part in shape.parts))
