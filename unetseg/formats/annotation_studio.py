"""What Label Studio writes: JSON, and JSON-MIN. Source: its documentation of the task format and of each tag."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np

from .annotation_reader import Reader, Unfit, box_of, ellipse_of, label_of, numbers_of, ring_of
from .annotation_shapes import Polygons, Shape, brush_mask, runs_of
from .annotations import AnnotatedObject


def read_labelstudio(content: Any, reader: Reader) -> None:  # noqa: ANN401, JSON
    """Label Studio, JSON or JSON-MIN: outlines in percent, brushes as their own code; predictions are not read.

    Of several annotations of a picture the one called ground truth counts, else the last that was not cancelled.
    """
    for task in content:
        data = task.get("data", task) if isinstance(task, dict) else {}
        picture = _labelstudio_picture(data)
        if picture is None:
            reader.tell("no picture", f"task {task.get('id') if isinstance(task, dict) else task!r} names no picture")
            continue
        if "data" in task:
            done = task.get("annotations", task.get("completions"))
            done = [d for d in done or [] if isinstance(d, dict) and not d.get("was_cancelled")]
            if not done:
                reader.tell("unsure", f"{picture} is not annotated yet, and is left out", picture)
                continue
            if len(done) > 1:
                reader.tell("unsure", f"{picture} was annotated {len(done)} times; one is taken", picture)
            results = max(enumerate(done), key=lambda item: (item[1].get("ground_truth") is True, item[0]))[1]["result"]
        else:
            results = [
                {"id": f"{key} {i}", "value": entry, **{s: entry.get(s) for s in ("original_width", "original_height")}}
                for key, entries in task.items()
                for i, entry in enumerate(entries if isinstance(entries, list) else [])
                if isinstance(entry, dict)
            ]
        _labelstudio_results(results, picture, reader)


def _labelstudio_results(results: Any, picture: str, reader: Reader) -> None:  # noqa: ANN401, JSON
    objects, height, width = [], None, None
    shaped = [r for r in results if isinstance(r, dict) and isinstance(r.get("value"), dict)]
    labelled = {r.get("id") for r in shaped if _labels_of(r["value"])}
    for number, result in enumerate(shaped, 1):
        value = result["value"]
        if not value.keys() & {"points", "rle", "radiusX", "width", "x", "vertices"}:
            continue  # a choice, a text
        if not _labels_of(value) and result.get("id") in labelled:
            continue  # a shape whose label is a result of its own, with the shape once more
        with reader.each(number, picture):
            rows, columns = result["original_height"], result["original_width"]
            if type(rows) is not int or type(columns) is not int or rows < 1 or columns < 1:
                raise ValueError("its picture has no size")
            height, width = rows, columns
            labels = _labels_of(value)
            label = label_of(labels[0] if labels else None)
            if len(labels) > 1:
                reader.tell(
                    "unsure", f"object {number} of {picture} has {len(labels)} classes; {label} is taken", picture
                )
            if result.get("image_rotation"):
                reader.tell("unsure", f"{picture} was turned in the tool; look whether its objects fit", picture)
            objects.append(AnnotatedObject(label, _labelstudio_shape(value, height, width), box="height" in value))
    reader.add(picture, height, width, objects)


def _labels_of(value: dict[str, Any]) -> list[Any]:
    return next((found for key, found in value.items() if key.endswith("labels") and isinstance(found, list)), [])


def _labelstudio_shape(value: dict[str, Any], height: int, width: int) -> Shape:
    if "rle" in value:
        if not all(type(byte) is int and 0 <= byte < 256 for byte in value["rle"]):
            raise ValueError("its brush is not of bytes")
        return runs_of(brush_mask(bytes(value["rle"]), height, width))
    across, down = width / 100, height / 100
    if "points" in value:
        if value.get("closed") is False:
            raise Unfit("no area", "is an open outline, which has no area")
        points = np.reshape(numbers_of([number for point in value["points"] for number in point]), (-1, 2))
        return Polygons(((ring_of(points * (across, down)),),))
    turn = numbers_of([value.get("rotation") or 0])[0]
    if "radiusX" in value:
        x, y, radius_x, radius_y = numbers_of([value[key] for key in ("x", "y", "radiusX", "radiusY")])
        return ellipse_of(x * across, y * down, radius_x * across, radius_y * down, degrees=turn)
    if "height" not in value:
        raise Unfit("no area", "is a point or a line, which has no area")
    x, y, wide, high = numbers_of([value[key] for key in ("x", "y", "width", "height")])
    left, top = x * across, y * down
    return box_of(left, top, left + wide * across, top + high * down, degrees=turn, around=(left, top))


def _labelstudio_picture(data: Any) -> str | None:  # noqa: ANN401, JSON
    """The picture of a task: of an upload or an address the file's name, of a local file also its folders."""
    if not isinstance(data, dict):
        return None
    texts: list[str] = [text for key, text in data.items() if isinstance(text, str) and key != "file_upload"]
    likely: list[str] = [data[key] for key in ("image", "img", "picture", "ocr") if isinstance(data.get(key), str)]
    pictures = [text for text in texts if re.search(r"\.(png|jpe?g|tiff?|bmp|webp|gif|jfif)(\?|$)", text, re.I)]
    text = next(iter((*likely, *pictures)), None)
    if text is None:
        return None
    try:
        address = urlsplit(text)
    except ValueError:  # no address
        return text
    local = parse_qs(address.query).get("d")
    if local:
        return unquote(local[0]).lstrip("/")
    path = unquote(address.path)
    return path.rpartition("/")[2] if address.scheme or path.startswith("/") else path
