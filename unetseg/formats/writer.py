"""One writer for every result: labels and probabilities, in the family of their source or as asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ..config import SegmentationConfig
from ..files import whole
from .dicom import Series
from .dicom_seg import write_segmentation
from .geo_writer import WriteRows, labels_raster, write_labels_raster, write_probabilities_raster
from .ground import Raster
from .image import Image
from .polygons import write_polygons
from .raster import write_labels
from .volume import Volume, write_volume

Kind = Literal["png", "dicom-seg", "dicom-labelmap", "nifti", "geotiff", "cog", "gpkg", "geojson", "geoparquet"]
KINDS: tuple[Kind, ...] = get_args(Kind)
ENDINGS: dict[Kind, tuple[str, ...]] = {
    "png": (".png",),
    "dicom-seg": (".dcm",),
    "dicom-labelmap": (".dcm",),
    "nifti": (".nii.gz", ".nii", ".nrrd", ".mha"),
    "geotiff": (".tif", ".tiff"),
    "cog": (".tif", ".tiff"),
    "gpkg": (".gpkg",),
    "geojson": (".geojson", ".json"),
    "geoparquet": (".parquet",),
}
PROBABILITIES = (".npz", ".nii.gz", ".nii", ".tif", ".tiff")


def own_suffix(image: Image) -> str:
    """Of a label map in the family of an image: .dcm, .nii.gz, .nrrd, .mha, .tif; .png for all else."""
    return ".png" if image.place is None else image.place.suffix


def kind_of(path: Path) -> Kind:
    """What a file is to hold by its ending; ValueError that lists the endings for any other."""
    for kind, endings in ENDINGS.items():
        if path.name.lower().endswith(endings):
            return kind
    known = ", ".join(dict.fromkeys(ending for endings in ENDINGS.values() for ending in endings))
    raise ValueError(f"label maps are written as {known}, got {path.name!r}; choose a name with such an ending")


def save_labels(
    path: Path,
    labels: NDArray[np.uint8],
    image: Image,
    config: SegmentationConfig,
    *,
    kind: Kind | None,
    model: str,
    tolerance: float,
    probabilities: Callable[[], NDArray[np.float32]],
) -> Path:
    """Write labels (D,H,W) of an image on the grid that its file stores, by the ending of `path` or as `kind`.

    tolerance: in pixels, by which outlines of polygons may be simplified.
    probabilities: gives (K,H,W) of a picture, for the mean of each polygon. Raises ValueError where the image has no
    place that such a file needs, or has several slices and the file holds one.
    """
    kind = kind or kind_of(path)
    _check_ending(path, kind)
    place, names, hidden = image.place, config.labels, config.background is not None
    if kind == "nifti":
        if not isinstance(place, (Volume, Series)):
            raise ValueError(f"{image.name} is no volume with a place in a patient; write its labels as .png")
        return write_volume(path, labels, place.grid)
    if kind in ("dicom-seg", "dicom-labelmap"):
        if not isinstance(place, Series):
            raise ValueError(f"{image.name} is no DICOM series, which DICOM-SEG refers to; write .nii.gz or .png")
        return write_segmentation(
            path,
            labels,
            place,
            names=names,
            background=hidden,
            palette=config.palette,
            model=model,
            version=model.partition(" at ")[2] or None,  # the commit
            labelmap=kind == "dicom-labelmap",
        )
    if len(labels) > 1:
        raise ValueError(f"{image.name} has {len(labels)} slices, and {path.suffix} holds one; write .nii.gz or .dcm")
    valid = None if image.valid is None else image.valid[0]
    if kind == "png":
        return write_labels(path, labels[0], config.palette, valid)
    if not isinstance(place, Raster):
        raise ValueError(f"{image.name} has no place on the ground; write its labels as .png")
    if kind in ("geotiff", "cog"):
        return write_labels_raster(
            path, labels[0], place, palette=config.palette, names=names, valid=valid, cog=kind == "cog"
        )
    shares = probabilities()
    return write_polygons(
        path, labels[0], shares, place, names=names, background=hidden, tolerance=tolerance, valid=valid
    )


def labels_by_rows(
    path: Path, place: Raster, config: SegmentationConfig, kind: Literal["geotiff", "cog"]
) -> AbstractContextManager[WriteRows]:
    """A label map of a raster that is written row by row; see `geo_writer.labels_raster`."""
    _check_ending(path, kind)
    return labels_raster(path, place, palette=config.palette, names=config.labels, cog=kind == "cog")


def _check_ending(path: Path, kind: Kind) -> None:
    if not path.name.lower().endswith(ENDINGS[kind]):
        raise ValueError(f"{kind} is written as {' or '.join(ENDINGS[kind])}, got {path.name!r}; choose such a name")


def save_probabilities(
    path: Path, probabilities: Iterator[NDArray[np.float32]], image: Image, config: SegmentationConfig
) -> Path:
    """Write what comes slice by slice, (K,H,W) each: .npz as float16 (D,K,H,W); .tif in half floats, a band for each
    output; .nii and .nii.gz, which have no half floats, as float32 (I,J,K), of several outputs (I,J,K,outputs).
    """
    name = path.name.lower()
    if name.endswith(".npz"):
        array = np.empty((*image.pixels.shape[:1], len(config.outputs), *image.pixels.shape[1:3]), np.float16)
        for index, one in enumerate(probabilities):
            array[index] = one  # (D,K,H,W)
        with whole(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, probabilities=array, outputs=np.array(config.outputs))
        return path
    if name.endswith((".nii", ".nii.gz")):
        if not isinstance(image.place, (Volume, Series)):
            raise ValueError(f"{image.name} is no volume with a place in a patient; write its probabilities as .npz")
        volume = np.empty((*image.pixels.shape[:3], len(config.outputs)), np.float32)
        for index, one in enumerate(probabilities):
            volume[index] = np.moveaxis(one, 0, -1)  # (D,H,W,K)
        return write_volume(path, volume[..., 0] if len(config.outputs) == 1 else volume, image.place.grid)
    if name.endswith((".tif", ".tiff")):
        if not isinstance(image.place, Raster):
            raise ValueError(f"{image.name} has no place on the ground; write its probabilities as .npz")
        valid = None if image.valid is None else image.valid[0]
        return write_probabilities_raster(path, next(probabilities), image.place, config.outputs, valid)
    raise ValueError(f"probabilities are written as {', '.join(PROBABILITIES)}, got {path.name!r}")
