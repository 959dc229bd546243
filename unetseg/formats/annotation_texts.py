"""What CVAT (for images), Pascal VOC and YOLO write: XML and lines of numbers.

Sources: CVAT's XML annotation format, the development kit of Pascal VOC, Ultralytics' segmentation datasets.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import PurePosixPath

import numpy as np

from .annotation_reader import Reader, Unfit, box_of, ellipse_of, label_of, numbers_of, ring_of, squeezed, whole_number
from .annotation_shapes import Polygons, Ring, Shape, checked_runs
from .annotations import AnnotatedObject


def read_cvat(root: ET.Element, reader: Reader) -> None:
    """CVAT for images: the shapes of a picture by their z_order. ValueError for that of videos."""
    if root.find("track") is not None:
        raise ValueError(f"{reader.source} is CVAT's export for videos; export it as 'CVAT for images 1.1'")
    for label in root.iterfind("meta//labels/label"):
        reader.name(label.findtext("name"), label.findtext("color"))
    for image in root.iterfind("image"):
        picture, height, width = (
            image.get("name", ""),
            whole_number(image.get("height")),
            whole_number(image.get("width")),
        )
        objects = []
        for number, entry in enumerate(image, 1):
            with reader.each(number, picture):
                if entry.tag == "tag":
                    continue
                thing = AnnotatedObject(label_of(entry.get("label")), _cvat_shape(entry), box=entry.tag == "box")
                objects.append((int(entry.get("z_order", "0")), thing))
        objects.sort(key=lambda item: item[0])
        reader.add(picture, height, width, [thing for _, thing in objects])


def _cvat_shape(entry: ET.Element) -> Shape:
    kind, numbers = entry.tag, entry.attrib
    if kind == "polygon":
        pairs = [pair.split(",") for pair in numbers["points"].split(";")]
        return Polygons(((ring_of(np.reshape(numbers_of([x for pair in pairs for x in pair]), (-1, 2))),),))
    if kind == "box":
        x1, y1, x2, y2 = numbers_of([numbers[key] for key in ("xtl", "ytl", "xbr", "ybr")])
        return box_of(x1, y1, x2, y2, degrees=numbers_of([numbers.get("rotation", 0)])[0])
    if kind == "ellipse":
        x, y, radius_x, radius_y = numbers_of([numbers[key] for key in ("cx", "cy", "rx", "ry")])
        return ellipse_of(x, y, radius_x, radius_y, degrees=numbers_of([numbers.get("rotation", 0)])[0])
    if kind == "mask":
        left, top, width, height = map(int, numbers_of([numbers[key] for key in ("left", "top", "width", "height")]))
        return checked_runs([int(n) for n in numbers["rle"].split(",")], height, width, left=left, top=top)
    raise Unfit("no area", f"is a {kind}, which has no area")


def read_yolo(text: str, reader: Reader, names: Sequence[str] | None) -> None:
    """YOLO segmentation: the file of one picture, called like it; a class and corners in shares of it on each line."""
    picture = PurePosixPath(reader.source).with_suffix("").name
    objects = []
    for number, line in enumerate(text.splitlines(), 1):
        if not (words := line.split()):
            continue
        with reader.each(number, picture):
            index = int(float(words[0]))
            if index < 0 or index != float(words[0]) or (names is not None and index >= len(names)):
                raise Unfit("no class", f"has the class {words[0]}, and {len(names or ())} have names")
            label = squeezed(names[index]) if names is not None else str(index)
            corners = numbers_of(words[1:])
            if len(corners) in (4, 5):
                raise Unfit("no area", "is a box, which is no outline")
            if len(corners) % 2:
                raise ValueError(f"it has {len(corners)} numbers, expected pairs")
            objects.append(AnnotatedObject(label, Polygons(((ring_of(np.reshape(corners, (-1, 2))),),), relative=True)))
    reader.add(picture, None, None, objects)


def read_voc(root: ET.Element, reader: Reader) -> None:
    """Pascal VOC's XML: the file of one picture; objects have outlines where a tool writes them, else only boxes."""
    picture = root.findtext("filename") or PurePosixPath(reader.source).stem
    height, width = (whole_number(root.findtext(f"size/{side}")) for side in ("height", "width"))
    objects = []
    for number, entry in enumerate(root.iterfind("object"), 1):
        with reader.each(number, picture):
            label = label_of(entry.findtext("name"))
            outlines = [outline for outline in entry.iterfind("polygon") if len(outline)]
            if not outlines:
                raise Unfit("no area", "has a box alone, no outline")
            objects.append(AnnotatedObject(label, Polygons(tuple((ring_of(_voc_points(one)),) for one in outlines))))
    reader.add(picture, height, width, objects)


def _voc_points(outline: ET.Element) -> Ring:
    """<x1/><y1/><x2/>... of VOC, or <pt><x/><y/></pt> of the older LabelMe."""
    if (points := outline.findall("pt")) or (points := outline.findall("point")):
        return np.reshape(numbers_of([point.findtext(axis) for point in points for axis in "xy"]), (-1, 2))
    places = {child.tag.lower(): child.text for child in outline}
    numbers = sorted(int(tag[1:]) for tag in places if re.fullmatch(r"x\d+", tag))
    return np.reshape(numbers_of([places[f"{axis}{n}"] for n in numbers for axis in "xy"]), (-1, 2))
