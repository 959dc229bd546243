"""Files of annotations: which there are in a folder, of which tool each is, and reading one or all of them."""

from __future__ import annotations

import json
import mmap
import os
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, get_args

import yaml

from .annotation_ground import read_ground
from .annotation_json import read_coco, read_labelme, read_supervisely, read_supervisely_classes
from .annotation_reader import Reader
from .annotation_studio import read_labelstudio
from .annotation_texts import read_cvat, read_voc, read_yolo
from .annotations import Annotations, Kind, OnGround, Problem

DEPTH = 5
"""How many folders deep annotations are looked for, as pictures are."""
MAX_BYTES = 2**30
MAX_NAMES = 2**20
"""Bytes of a file that holds names alone."""
ENDINGS = (".json", ".xml", ".txt", ".geojson", ".gpkg", ".ndjson")
NO_ANNOTATIONS = (
    "classes.txt",
    "obj.names",
    "labels.txt",
    "predefined_classes.txt",
    "labelmap.txt",
    "requirements.txt",
)
"""Texts that are no annotations, whatever they look like."""
MARKS: Sequence[tuple[Kind, tuple[bytes, ...]]] = (
    ("labelme", (rb'"shapes"\s*:\s*\[', rb'"image(Path|Height|Data)"\s*:')),
    ("geojson", (rb'"type"\s*:\s*"FeatureCollection"',)),
    ("coco", (rb'"images"\s*:\s*\[', rb'"categories"\s*:\s*\[', rb'"annotations"\s*:\s*\[')),
    ("supervisely", (rb'"objects"\s*:\s*\[', rb'"size"\s*:\s*\{', rb'"(classTitle|tags)"\s*:')),
    ("labelstudio", (rb'"data"\s*:\s*\{', rb'"(annotations|completions)"\s*:\s*\[', rb'"result"\s*:')),
    ("labelstudio", (rb'"original_width"\s*:', rb'"\w*labels"\s*:\s*\[')),
)
"""What the JSON of each tool has: found also in one that is damaged, which then is named for it."""


def kind_of(path: Path) -> Kind | None:
    """Of which tool a file of annotations is, by what it holds; of a folder, that of most of its files.

    None for anything else, and for a text without a line, which may be YOLO's of a picture without objects.
    """
    if path.is_dir():
        found = annotation_files(path)
        return max(found, key=lambda kind: len(found[kind]), default=None)
    try:
        if not path.is_file() or not 0 < path.stat().st_size <= MAX_BYTES:
            return None
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return _kind(content)
    except OSError:  # unreadable: whoever reads it says why
        return None


def _kind(content: mmap.mmap) -> Kind | None:
    head = content[:4096].lstrip(b"\xef\xbb\xbf \t\r\n")
    if head[:16] == b"SQLite format 3\0":
        return "geopackage" if head[68:72] in (b"GPKG", b"GP10", b"GP11") else None
    if head[:1] in (b"{", b"["):
        return next((kind for kind, marks in MARKS if all(re.search(mark, content) for mark in marks)), None)
    if head[:1] == b"<":
        if re.search(rb"<annotations[\s>]", head):
            return "cvat" if re.search(rb"<(image|meta|track)[\s>]", content) else None
        return "voc" if re.search(rb"<annotation[\s>]", head) and re.search(rb"<(object|size)[\s>]", content) else None
    line = rb"\d+(\.0*)?([ \t]+-?\d*\.?\d+([eE][-+]?\d+)?){4,}[ \t]*"
    lines = [line.strip() for line in head.splitlines()[: None if len(content) <= len(head) else -1]]
    told = [text for text in lines if text]
    fits = told and all(re.fullmatch(line, text) and max(map(float, text.split()[1:])) <= 2 for text in told)
    return "yolo" if fits else None


def annotation_files(folder: Path) -> dict[Kind, tuple[Path, ...]]:
    """The files of annotations in a folder, DEPTH folders deep, by kind, those with most files first; sorted.

    Where YOLO's texts lie, empty ones are of pictures without objects, and belong to them.
    """
    found: dict[Kind, list[Path]] = {}
    empty: list[Path] = []
    for path, folders, files in os.walk(folder, followlinks=True):  # DEPTH bounds links that lead in a circle
        here = Path(path)
        deep = len(here.relative_to(folder).parts)
        folders[:] = sorted(name for name in folders if not name.startswith(".")) if deep < DEPTH else []
        for name in sorted(files):
            if name.startswith(".") or not name.lower().endswith(ENDINGS) or name.lower() in NO_ANNOTATIONS:
                continue
            if kind := kind_of(here / name):
                found.setdefault(kind, []).append(here / name)
            elif name.lower().endswith(".txt") and (here / name).stat().st_size == 0:
                empty.append(here / name)
    there = {path.parent for path in found.get("yolo", ())}
    if yolo := sorted([*found.get("yolo", ()), *(path for path in empty if path.parent in there)]):
        found["yolo"] = yolo
    return {kind: tuple(paths) for kind, paths in sorted(found.items(), key=lambda item: -len(item[1]))}


def read_annotations(
    path: Path,
    kind: Kind | None = None,
    classes: Sequence[str] | None = None,
    *,
    within: Path | None = None,
    label_by: str | None = None,
) -> Annotations:
    """What a file of annotations, or all of one kind in a folder, says; its pictures are named relative to the folder.

    classes: names of YOLO's numbers, instead of those of data.yaml or classes.txt beside or above it.
    within: the folder that a file belongs to; its own unless given. label_by: the property of GeoJSON and GeoPackage
    that names the class. What is wrong with an object or a picture is in `problems`, the rest is read.
    Raises ValueError for what is no annotation, is damaged as a whole, or of several kinds.
    """
    within = within or (path if path.is_dir() else path.parent)
    if path.is_dir():
        files = annotation_files(path)
        if kind is None and len(files) > 1:
            counts = " and ".join(f"{len(paths):,} of {kind}" for kind, paths in files.items())
            raise ValueError(f"{path.name} holds annotations of several kinds, {counts}; choose one (annotations)")
        kind = kind or next(iter(files), None)
        paths = files.get(kind, ()) if kind else ()
        if not kind or not paths:
            raise ValueError(
                f"{path.name} holds no annotations{f' of {kind}' if kind else ''}; name a file or a folder of them"
            )
    else:
        kind, paths = kind or kind_of(path), (path,)
        if kind is None:
            raise ValueError(
                f"{path.name} holds no annotations of a known tool; expected one of {', '.join(get_args(Kind))}"
            )
    reader = Reader()
    ground = []
    names_in: dict[Path, tuple[str, ...] | None] = {}
    for file in paths:
        reader.source = file.relative_to(within).as_posix()
        try:
            if kind in ("geojson", "geopackage"):
                ground.append(read_ground(file, reader, label_by))
            elif kind == "yolo":
                if file.parent not in names_in:
                    names_in[file.parent] = tuple(classes) if classes is not None else _yolo_names(file, within)
                _read_yolo(file, reader, names_in[file.parent])
            else:
                _read(file, kind, reader)
        except ValueError as error:
            if len(paths) == 1:
                raise
            reader.problems.append(Problem("damaged", str(error)))
    if kind == "supervisely":
        _read_meta(paths, within, reader)
    return _finished(kind, reader, tuple(ground), names_in.values())


def read_labelmap(path: Path) -> dict[str, str]:
    """The legend of CVAT's and VOC's masks, labelmap.txt: `#rrggbb` to name, a line `name:r,g,b:parts:actions` each.

    Raises ValueError for another file.
    """
    legend: dict[str, str] = {}
    for number, line in enumerate(_text(path, MAX_NAMES).splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, _, rest = line.partition(":")
        parts = rest.partition(":")[0].split(",")
        if not name.strip() or len(parts) != 3 or not all(re.fullmatch(r"\s*\d{1,3}\s*", part) for part in parts):
            raise ValueError(f"{path.name}: line {number} is no line of a labelmap, expected name:red,green,blue::")
        if max(colour := [int(part) for part in parts]) > 255:
            raise ValueError(f"{path.name}: line {number} has a colour above 255; write 0 to 255")
        legend.setdefault(f"#{bytes(colour).hex()}", " ".join(name.split()))
    if not legend:
        raise ValueError(f"{path.name} names no colours, expected lines of name:red,green,blue::")
    return legend


def _finished(
    kind: Kind, reader: Reader, ground: tuple[OnGround, ...], names: Iterable[tuple[str, ...] | None]
) -> Annotations:
    classes = tuple(reader.classes)
    if kind == "yolo":
        if None in names:
            words = "no data.yaml or classes.txt names the classes; they are called by their numbers"
            reader.problems.append(Problem("unsure", words))
        classes = tuple(sorted(classes, key=lambda name: (not name.isdigit(), int(name) if name.isdigit() else 0)))
    elif kind in ("labelme", "labelstudio", "voc", "geojson", "geopackage"):
        classes = tuple(sorted(classes))
    things = [thing for annotated in reader.pictures.values() for thing in annotated.objects]
    if things and all(thing.box for thing in things):
        words = f"all {len(things):,} objects are rectangles; if they are boxes around things, they are no masks"
        reader.problems.append(Problem("boxes", words))
    return Annotations(kind, classes, reader.pictures, tuple(reader.problems), ground, reader.colours)


def _read(path: Path, kind: Kind, reader: Reader) -> None:
    if kind in ("cvat", "voc"):
        (read_cvat if kind == "cvat" else read_voc)(_xml(path), reader)
        return
    readers = {
        "coco": read_coco,
        "labelme": read_labelme,
        "labelstudio": read_labelstudio,
        "supervisely": read_supervisely,
    }
    content = _json(path)
    try:
        readers[kind](content, reader)
    # where something else stands than the format has
    except (TypeError, AttributeError, LookupError, ValueError) as error:
        words = f" ({error})" if type(error) is ValueError else ""
        raise ValueError(f"{path.name} is no {kind} as its tool writes it{words}; export it again") from None


def _read_yolo(path: Path, reader: Reader, names: tuple[str, ...] | None) -> None:
    for name in names or ():
        reader.name(name)
    read_yolo(_text(path, MAX_BYTES), reader, names)


def _read_meta(paths: Sequence[Path], within: Path, reader: Reader) -> None:
    """The classes of Supervisely's meta.json, which lies above the annotations, in their order."""
    above = {folder for path in paths for folder in (path.parent, *path.parents) if folder.is_relative_to(within)}
    found, reader.classes = reader.classes, {}
    for meta in sorted(folder / "meta.json" for folder in above):
        if meta.is_file():
            try:
                read_supervisely_classes(_json(meta), reader)
            except ValueError as error:
                reader.problems.append(Problem("damaged", str(error)))
    reader.classes |= found


def _yolo_names(path: Path, within: Path) -> tuple[str, ...] | None:
    """The names of YOLO's numbers, from a file beside the annotations or above them within the folder."""
    for folder in (path.parent, *path.parents):
        for name in ("data.yaml", "data.yml", "dataset.yaml", "classes.txt", "obj.names", "labels.txt"):
            if not (file := folder / name).is_file():
                continue
            if file.suffix in (".yaml", ".yml"):
                try:
                    content = yaml.safe_load(_text(file, MAX_NAMES))
                except (yaml.YAMLError, RecursionError):
                    raise ValueError(f"{name} is no YAML; write names: [one, other] in it") from None
                names = content.get("names") if isinstance(content, dict) else None
                if isinstance(names, dict) and set(names) == set(range(len(names))):
                    names = [names[number] for number in range(len(names))]
                if not isinstance(names, list) or not names:
                    continue
            else:
                names = [line.strip() for line in _text(file, MAX_NAMES).splitlines() if line.strip()]
            return tuple(" ".join(str(text).split()) for text in names)
        if folder == within:
            break
    return None


def _text(path: Path, most: int) -> str:
    return _bytes(path, most).decode("utf-8-sig", errors="replace")


def _bytes(path: Path, most: int) -> bytes:
    try:
        if path.stat().st_size > most:
            raise ValueError(f"{path.name} is larger than {most / 1e6:,.0f} MB; cut it into parts")
        return path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path.name} can't be read: {error.strerror or error}; name a file of annotations") from None


def _json(path: Path) -> Any:  # noqa: ANN401, JSON
    try:
        return json.loads(_bytes(path, MAX_BYTES))
    except RecursionError:
        raise ValueError(f"{path.name} is nested too deeply; export it again") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        reason = error.msg if isinstance(error, json.JSONDecodeError) else "no UTF-8"
        raise ValueError(f"{path.name} is damaged or cut off ({reason}); export it again") from None


def _xml(path: Path) -> ET.Element:
    content = _bytes(path, MAX_BYTES)
    if b"<!DOCTYPE" in content or b"<!ENTITY" in content:
        raise ValueError(f"{path.name} defines entities, which no annotation tool does; export it again")
    try:
        return ET.fromstring(content)
    except (ET.ParseError, LookupError, ValueError) as error:
        raise ValueError(f"{path.name} is damaged or cut off ({error}); export it again") from None
