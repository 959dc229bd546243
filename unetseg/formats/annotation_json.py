"""What COCO, LabelMe and Supervisely write: JSON.

Sources: the documentation of COCO's data format, of LabelMe's files, and of Supervisely's annotation JSON.
"""

from __future__ import annotations

import math
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from .annotation_reader import (
    Reader,
    Unfit,
    box_of,
    ellipse_of,
    entries_of,
    label_of,
    most_pixels,
    numbers_of,
    ring_of,
    squeezed,
)
from .annotation_shapes import Polygons, Shape, checked_runs, coco_lengths, picture_mask, runs_of
from .annotations import AnnotatedObject

LINES = {"line", "linestrip", "point", "points"}
"""Shapes of LabelMe that have no area."""


def read_coco(content: Any, reader: Reader) -> None:  # noqa: ANN401, JSON
    """COCO: rings of one object are a union, without holes; crowds and masks as run-length codes."""
    names: dict[object, str] = {}
    for entry in entries_of(content, "categories"):
        if isinstance(entry.get("name"), str):
            names[_key(entry.get("id"))] = squeezed(entry["name"])
    of_picture: dict[object, list[tuple[int, dict[str, Any]]]] = {}
    for number, entry in enumerate(entries_of(content, "annotations"), 1):
        of_picture.setdefault(_key(entry.get("image_id")), []).append((number, entry))
    used = {_key(entry.get("category_id")) for entries in of_picture.values() for _, entry in entries}
    above = {squeezed(e["supercategory"]) for e in content["categories"] if isinstance(e.get("supercategory"), str)}
    for entry in sorted(content["categories"], key=lambda e: (type(e.get("id")) is not int, _key(e.get("id")))):
        # Roboflow's first category is but the name of all others
        unused = _key(entry.get("id")) not in used and names.get(_key(entry.get("id"))) in above
        if not unused or len(names) == 1:
            reader.name(entry.get("name"), entry.get("color"))
    for entry in entries_of(content, "images"):
        if not isinstance(entry.get("file_name"), str):
            reader.tell("no picture", f"image {entry.get('id')} has no file_name")
            continue
        picture, height, width = entry["file_name"], entry.get("height"), entry.get("width")
        objects = []
        for number, thing in of_picture.pop(_key(entry.get("id")), []):
            with reader.each(number, picture):
                label = names.get(_key(thing.get("category_id")))
                if not label:
                    raise Unfit("no class", f"has the category {thing.get('category_id')!r}, which is not listed")
                shape = _coco_shape(thing.get("segmentation"), height, width)
                objects.append(AnnotatedObject(label, shape, crowd=thing.get("iscrowd") == 1))
        reader.add(picture, height, width, objects)
    for left in of_picture.values():
        for number, thing in left:
            reader.tell("no picture", f"object {number} is of image {thing.get('image_id')!r}, which is not listed")


def _coco_shape(segmentation: Any, height: object, width: object) -> Shape:  # noqa: ANN401, JSON
    if not segmentation:
        raise Unfit("no area", "has a box alone, no outline")
    if isinstance(segmentation, dict):
        rows, columns = segmentation["size"]
        if type(height) is int and type(width) is int and (rows, columns) != (height, width):
            raise Unfit("another size", f"is a mask of {columns} x {rows}, and its picture has {width} x {height}")
        counts = segmentation["counts"]
        lengths = coco_lengths(counts) if isinstance(counts, str) else counts
        return checked_runs(lengths, rows, columns, by_columns=True)
    if not isinstance(segmentation[0], list):
        segmentation = [segmentation]
    rings = [(ring_of(np.reshape(numbers_of(flat), (-1, 2))),) for flat in segmentation if len(flat)]
    if not rings:
        raise Unfit("degenerate", "has no corners")
    return Polygons(tuple(rings))


def read_labelme(content: Any, reader: Reader) -> None:  # noqa: ANN401, JSON
    """LabelMe: the file of one picture. Rectangle, polygon, circle and mask are areas, lines and points are none."""
    picture = content.get("imagePath")
    if not isinstance(picture, str) or not picture:
        picture = PurePosixPath(reader.source).stem
    height, width = content.get("imageHeight"), content.get("imageWidth")
    objects = []
    for number, entry in enumerate(entries_of(content, "shapes"), 1):
        with reader.each(number, picture):
            label, kind = label_of(entry.get("label")), entry.get("shape_type") or "polygon"
            shape = _labelme_shape(entry, kind, most_pixels(height, width))
            objects.append(AnnotatedObject(label, shape, box=kind == "rectangle"))
    reader.add(picture, height, width, objects)


def _labelme_shape(entry: dict[str, Any], kind: str, most: int) -> Shape:
    if kind in LINES:
        raise Unfit("no area", f"is a {kind}, which has no area")
    points = np.reshape(numbers_of([number for point in entry["points"] for number in point]), (-1, 2))
    if kind == "circle":
        (x, y), (edge_x, edge_y) = points
        return ellipse_of(x, y, *[math.hypot(edge_x - x, edge_y - y)] * 2)
    if kind == "mask":
        left, top = (round(number) for number in points[0])
        return runs_of(picture_mask(entry["mask"], most=most), left=left, top=top)
    if kind == "rectangle" and len(points) == 2:
        return box_of(*points[0], *points[1])
    if kind not in ("polygon", "rectangle", "rotation"):
        raise Unfit("no area", f"is a {kind}, which is not known")
    return Polygons(((ring_of(points),),))


def read_supervisely(content: Any, reader: Reader) -> None:  # noqa: ANN401, JSON
    """Supervisely: the file of one picture, called like it with .json behind."""
    picture = PurePosixPath(reader.source).name.removesuffix(".json")
    size = content.get("size")
    height, width = (size.get(side) if isinstance(size, dict) else None for side in ("height", "width"))
    objects = []
    for number, entry in enumerate(entries_of(content, "objects"), 1):
        with reader.each(number, picture):
            label, kind = label_of(entry.get("classTitle")), entry.get("geometryType", "polygon")
            if kind == "bitmap":
                left, top = map(int, numbers_of(entry["bitmap"]["origin"]))
                mask = picture_mask(entry["bitmap"]["data"], most=most_pixels(height, width), deflated=True)
                shape: Shape = runs_of(mask, left=left, top=top)
            elif kind in ("polygon", "rectangle"):
                outer, holes = entry["points"]["exterior"], entry["points"].get("interior") or []
                rings = [
                    np.reshape(numbers_of([x for point in ring for x in point]), (-1, 2)) for ring in (outer, *holes)
                ]
                shape = (
                    box_of(*rings[0][0], *rings[0][1])
                    if kind == "rectangle"
                    else Polygons((tuple(map(ring_of, rings)),))
                )
            else:
                raise Unfit("no area", f"is a {kind}, which has no area")
            objects.append(AnnotatedObject(label, shape, box=kind == "rectangle"))
    reader.add(picture, height, width, objects)


def read_supervisely_classes(content: Any, reader: Reader) -> None:  # noqa: ANN401, JSON
    """The classes of a project of Supervisely, from its meta.json."""
    for entry in entries_of(content, "classes"):
        reader.name(entry.get("title"), entry.get("color"))


def _key(value: object) -> str:
    """A number or a text that ids are compared by: some writers quote them."""
    return str(value)
