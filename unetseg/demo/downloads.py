"""What a result can be downloaded as: made when it is asked for, so it is never stale."""

from __future__ import annotations

import importlib.util
import json
import zipfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from .. import render
from ..batch import Output
from ..files import whole
from ..formats import Raster, own_suffix, write_labels
from ..segmentation import Segmentation
from ..task import checked_thresholds

Download = Literal["labels_png", "colours_png", "overlay_png", "probabilities", "own", "polygons", "report", "zip"]
KINDS: tuple[Download, ...] = get_args(Download)
FAMILIES = {
    ".png": "PNG",
    ".dcm": "DICOM-SEG",
    ".nii.gz": "NIfTI",
    ".nrrd": "NRRD",
    ".mha": "MetaImage",
    ".tif": "GeoTIFF",
    ".npz": "NumPy",
    ".gpkg": "GeoPackage",
    ".json": "JSON",
    ".zip": "ZIP",
}
STEM = "result"
"""What files are called here; a visitor's own name is only ever sent back."""


@dataclass(frozen=True)
class Choices:
    """How a visitor sees a result: what the pictures of a download follow.

    view: of the colours; `argmax`, or the labels. window: (low, high) between which a picture in Hounsfield units is
    drawn, else as the network saw it. hidden, outline: as `render.overlay` takes them.
    """

    thresholds: Sequence[float] | None = None
    view: Literal["labels", "argmax"] = "labels"
    index: int = 0
    opacity: float = 0.45
    window: tuple[float, float] | None = None
    hidden: Collection[int] = ()
    outline: bool = False


def offered(full: Segmentation, stem: str) -> list[dict[str, Any]]:
    """The kinds that there are of a result: what each is called, its family, and how its name ends.

    names_patient: whether the file names the patient as its source does, as the standard wants it.
    """
    slices = "_slice" if full.shape[0] > 1 else ""
    own = own_suffix(full.image)
    names = {
        "labels_png": f"{stem}{slices}_labels.png",
        "colours_png": f"{stem}{slices}_colours.png",
        "overlay_png": f"{stem}{slices}_overlay.png",
        "probabilities": f"{stem}_{_probabilities(own)}",
        "own": f"{stem}_labels{own}" if own != ".png" else None,
        "polygons": f"{stem}_polygons.gpkg" if _has_polygons(full) else None,
        "report": f"{stem}_report.json",
        "zip": f"{stem}_unetseg.zip",
    }
    found = []
    for kind, name in names.items():
        if name is not None:
            suffix = next(ending for ending in FAMILIES if name.endswith(ending))
            facts = {"kind": kind, "name": name, "family": FAMILIES[suffix], "suffix": suffix}
            found.append(facts | {"names_patient": suffix == ".dcm"})
    return found


def write(kind: Download, full: Segmentation, folder: Path, choices: Choices) -> Path:
    """Write a download to a folder; ValueError for a kind that there isn't of this result, or choices it hasn't."""
    checked_thresholds(choices.thresholds, full.config)
    if not 0 <= choices.index < full.shape[0]:
        raise ValueError(f"{full.name} has the slices 0 to {full.shape[0] - 1}, not {choices.index}")
    names = {one["kind"]: one["name"] for one in offered(full, STEM)}
    if kind not in names:
        raise ValueError(f"{full.name} can be had as {', '.join(names)}, not as {kind}")
    path: Path = folder / names[kind]
    if kind == "labels_png":
        valid = None if full.image.valid is None else full.image.valid[choices.index]
        return write_labels(path, _labels(full, choices), full.config.palette, valid)
    if kind == "colours_png":
        labels = full.argmax(choices.index) if choices.view == "argmax" else _labels(full, choices)
        return _write_picture(path, render.colourised(labels, full.config))
    if kind == "overlay_png":
        drawn = render.overlay(
            _picture(full, choices),
            _labels(full, choices),
            full.config,
            choices.opacity,
            hidden=choices.hidden,
            outline=choices.outline,
        )
        return _write_picture(path, drawn)
    if kind == "probabilities":
        return full.save_probabilities(path)
    if kind in ("own", "polygons"):
        return full.save(path, choices.thresholds)
    if kind == "report":
        with whole(path) as temporary:
            text = json.dumps(full.report(choices.thresholds), indent=2, ensure_ascii=False)
            temporary.write_text(text + "\n", encoding="utf-8")
        return path
    return _write_zip(path, full, choices)


def _write_zip(path: Path, full: Segmentation, choices: Choices) -> Path:
    """All the others in one file; each is removed as soon as it is in it."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as packed:
        for one in offered(full, STEM):
            if one["kind"] != "zip":
                part = write(one["kind"], full, path.parent, choices)
                packed.write(part, part.name)
                part.unlink()
    return path


def _labels(full: Segmentation, choices: Choices) -> NDArray[np.uint8]:
    return full.labels(choices.thresholds, index=choices.index)


def _picture(full: Segmentation, choices: Choices) -> NDArray[np.uint8]:
    alone = full.alone(choices.index)
    if choices.window is not None and full.image.hounsfield:
        alone = replace(alone, between=(choices.window,) * len(full.config.channels), drawn=None)
    return alone.rgb.squeeze(0)


def _write_picture(path: Path, pixels: NDArray[np.uint8]) -> Path:
    with whole(path) as temporary:
        PIL.Image.fromarray(pixels).save(temporary, format="PNG", compress_level=4)
    return path


def _probabilities(own: str) -> str:
    """As the command line calls them."""
    return Output(kinds=("probabilities",)).names("", own, 1)[0].removeprefix("_")


def _has_polygons(full: Segmentation) -> bool:
    place = full.image.place
    placed = isinstance(place, Raster) and place.crs is not None and place.transform is not None
    return placed and importlib.util.find_spec("geopandas") is not None
