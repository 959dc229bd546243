"""Volumes in one file: NIfTI by nibabel; NRRD and MetaImage by SimpleITK."""

from __future__ import annotations

import contextlib
import gzip
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray

from ..files import whole
from .grid import LPS_FROM_RAS, STEEPEST, Grid
from .image import MAX_PIXELS, MAX_VOXELS, Image, Reading
from .libraries import imported
from .quiet import quiet

MILLIMETRES = {"unknown": 1.0, "meter": 1000.0, "mm": 1.0, "micron": 0.001}
AIR, SOFT_TISSUE = (-1100, -850), (-150, 250)
"""Hounsfield units."""
SUFFIXES = {"nifti": ".nii.gz", "nrrd": ".nrrd", "metaimage": ".mha"}


@dataclass(frozen=True)
class Volume:
    """The place of a volume: its grid, and the kind of file that it came from."""

    grid: Grid
    kind: str = "nifti"

    @property
    def suffix(self) -> str:
        """Of results in the same family."""
        return SUFFIXES[self.kind]

    @property
    def unit(self) -> tuple[str, float]:
        """("mL", the volume of a voxel)."""
        return self.grid.unit


def kind_of(data: bytes) -> str | None:
    """`nifti`, `nrrd`, `metaimage` or None, by the first 600 bytes of a file."""
    if data[:2] == b"\x1f\x8b":
        try:
            data = zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(data, 600)
        except zlib.error:
            return "nifti"  # nothing else comes packed so: its reader says what is wrong
    if data[344:347] in (b"n+1", b"ni1") or data[4:8] in (b"n+2\0", b"ni2\0"):
        return "nifti"
    if data[:4] == b"NRRD":
        return "nrrd"
    header = data[:600].lstrip()
    return "metaimage" if re.match(rb"(ObjectType|NDims|Comment)\s*=", header) else None


def read_volume(path: Path, kind: str, **reading: Unpack[Reading]) -> Image:
    """A volume as axial slices (D,H,W,1) from feet to head, turned to LPS by its nearest axes; nothing is resampled.

    Numbers are Hounsfield units when `hounsfield` says so, or when it doesn't and they look like it: some air and
    some soft tissue. Raises ValueError for what is no volume of grey values, in one sentence.
    """
    name = reading.get("name") or path.name
    stored, affine, notices = _read(path, name, kind, reading.get("max_pixels", MAX_PIXELS))
    grid = Grid((stored.shape[0], stored.shape[1], stored.shape[2]), affine)
    if grid.lean > STEEPEST:
        notices.append(f"{name} leans {grid.lean:.0f} degrees off the axial plane; a model of axial slices may fail")
    if stored.dtype.kind == "f" and not np.isfinite(stored).all():
        raise ValueError(f"{name} holds values that are not finite; replace them (air is -1000 in a CT)")
    value_range, hounsfield = reading.get("value_range"), reading.get("hounsfield")
    if hounsfield is None:
        hounsfield = value_range is None and looks_hounsfield(stored)
        if hounsfield:
            notices.append(f"{name} doesn't name its unit; by its air and soft tissue these are Hounsfield units")
    if value_range is None and stored.dtype == np.uint8:
        value_range = (0, 255)
    return Image(
        grid.turned(stored)[..., None],
        None if hounsfield else value_range,
        hounsfield=hounsfield,
        name=name,
        notices=tuple(notices),
        facts=(grid.description(),),
        place=Volume(grid, kind),
        stated=reading.get("value_range") is not None,
    )


def read_label_volume(path: Path, kind: str, image: Grid | None = None) -> NDArray[Any]:
    """The whole numbers of a label volume (D,H,W), turned as its image is; ValueError where there are fractions.

    image: the grid of its image, if known; ValueError for labels of the same size that lie elsewhere.
    """
    name = path.name
    stored, affine, _ = _read(path, name, kind, MAX_PIXELS)
    grid = Grid((stored.shape[0], stored.shape[1], stored.shape[2]), affine)
    if image is not None and image.turned_shape == grid.turned_shape and (apart := image.apart(grid)) > 0.5:
        raise ValueError(
            f"{name} lies elsewhere than its image, by up to {apart:.2g} voxels; write it with the image's affine"
        )
    if stored.dtype.kind == "f":
        # a label times a slope of a reused header comes back as 0.996
        rounded = np.rint(np.nan_to_num(stored, nan=-0.5))
        if np.abs(rounded - stored).max() > 0.01:
            raise ValueError(
                f"{name} holds fractions ({stored.min():g} to {stored.max():g}); save labels as whole numbers"
            )
        stored = rounded.astype(np.int32)
    return grid.turned(stored)


def write_volume(path: Path, turned: NDArray[Any], grid: Grid) -> Path:
    """Write (D,H,W), turned as its image is, on the grid as stored: .nii, .nii.gz, .nrrd or .mha, uint8 or float32."""
    stored = np.ascontiguousarray(grid.stored(turned))
    with whole(path) as temporary:
        ending = next(end for end in (".nii.gz", ".nii", ".nrrd", ".mha") if path.name.lower().endswith(end))
        named = temporary.with_name(temporary.name + ending)  # both libraries go by the suffix
        try:
            (_write_nifti if ending.startswith(".nii") else _write_by_itk)(named, stored, grid)
            named.replace(temporary)
        finally:
            named.unlink(missing_ok=True)
    return path


def looks_hounsfield(stored: NDArray[Any], offset: int = 0) -> bool:
    """Whether numbers, less an offset, are Hounsfield units by their air and soft tissue; of any shape."""
    some = stored[tuple(slice(None, None, max(1, side // 64)) for side in stored.shape)].astype(np.float32) - offset
    shares = [np.mean((some >= low) & (some <= high)) for low, high in (AIR, SOFT_TISSUE)]
    return bool(min(shares) > 0.01 and some.min() >= -8192)


def _read(path: Path, name: str, kind: str, max_pixels: int) -> tuple[NDArray[Any], NDArray[np.float64], list[str]]:
    """Stored numbers (I,J,K), rescaled; the affine to RAS in millimetres; notices."""
    return _nifti(path, name, max_pixels) if kind == "nifti" else _by_itk(path, name, max_pixels, kind)


def _nifti(path: Path, name: str, max_pixels: int) -> tuple[NDArray[Any], NDArray[np.float64], list[str]]:
    nibabel = imported("nibabel", name, extra="medical")
    notices: list[str] = []
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"  # whatever its name says
    with contextlib.closing(gzip.open(path) if packed else path.open("rb")) as file:
        with _explained(name):
            start = file.read(348)
        if start[344:347] == b"ni1" or start[4:7] == b"ni2":
            raise ValueError(f"{name} is one of two files (.hdr, .img), expected one; save it as .nii or .nii.gz")
        with _explained(name):
            holder = nibabel.FileHolder(fileobj=file)
            opened = nibabel.Nifti2Image if start[4:7] == b"n+2" else nibabel.Nifti1Image
            image = opened.from_file_map({"header": holder, "image": holder})
        return _stored_nifti(image, name, max_pixels, notices)


def _stored_nifti(
    image: Any,  # noqa: ANN401, nibabel's
    name: str,
    max_pixels: int,
    notices: list[str],
) -> tuple[NDArray[Any], NDArray[np.float64], list[str]]:
    header, shape = image.header, image.shape
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    _check_shape(shape, name, max_pixels)
    if header.get_data_dtype().kind not in "iuf":
        raise ValueError(f"{name} holds {header.get_data_dtype()}, expected a grey value for each voxel")
    with _explained(name):
        slope, intercept = (1.0 if s is None else float(s) for s in (image.dataobj.slope, image.dataobj.inter))
        raw = np.asarray(image.dataobj.get_unscaled()).reshape(shape)
        units = MILLIMETRES.get(header.get_xyzt_units()[0], 1.0)
        qform, sform = (header.get_qform(coded=True), header.get_sform(coded=True))
    stored = rescaled(raw, slope, intercept)
    affine = np.array(image.affine, dtype=np.float64)
    if qform[0] is None and sform[0] is None:
        notices.append(f"{name} doesn't say how it lies; its axes are taken to run to left, front and head")
        affine = np.diag([-1.0, 1.0, 1.0, 1.0]) @ np.diag([*map(float, header.get_zooms()[:3]), 1.0])
    elif qform[0] is not None and sform[0] is not None and np.abs(qform[0] - sform[0]).max() > 0.5:
        apart = np.abs(qform[0] - sform[0])[:3, 3].max() * units
        notices.append(f"{name} has two places (sform and qform, {apart:.0f} mm apart); the sform is taken")
    affine[:3] *= units
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-9:
        raise ValueError(f"{name} has an affine that makes no volume; write it again with the program it came from")
    return stored, affine, notices


def rescaled(raw: NDArray[Any], slope: float, intercept: float) -> NDArray[Any]:
    """raw * slope + intercept: int16 where that is exact and fits, else float32."""
    raw = raw.astype(raw.dtype.newbyteorder("="), copy=False)
    if raw.dtype.kind == "f":
        plain = slope == 1 and intercept == 0
        values: NDArray[Any] = raw.astype(np.float32) if plain else (raw * slope + intercept).astype(np.float32)
        return values
    if slope == int(slope) and intercept == int(intercept) and raw.size:
        low, high = sorted(int(edge) * int(slope) + int(intercept) for edge in (raw.min(), raw.max()))
        if slope == 1 and intercept == 0 and raw.dtype.itemsize <= 2:
            return raw
        if low >= -32768 and high <= 32767:
            result: NDArray[np.int16] = np.empty(raw.shape, dtype=np.int16)
            for index in range(
                raw.shape[-1]
            ):  # slice by slice: the wider numbers of all would take four times the room
                result[..., index] = raw[..., index].astype(np.int64) * int(slope) + int(intercept)
            return result
    return (raw.astype(np.float32) * np.float32(slope) + np.float32(intercept)).astype(np.float32)


def _by_itk(path: Path, name: str, max_pixels: int, kind: str) -> tuple[NDArray[Any], NDArray[np.float64], list[str]]:
    itk = imported("SimpleITK", name, extra="itk")
    _refuse_paths(path, name)
    itk.ProcessObject.SetGlobalWarningDisplay(False)
    with _explained(name):
        reader = itk.ImageFileReader()
        reader.SetImageIO({"nrrd": "NrrdImageIO", "metaimage": "MetaImageIO"}[kind])  # whatever its name says
        reader.SetFileName(str(path))
        reader.ReadImageInformation()
        size, channels = reader.GetSize(), reader.GetNumberOfComponents()
    while len(size) > 3 and size[-1] == 1:
        size = size[:-1]
    _check_shape(size, name, max_pixels)
    if channels != 1:
        raise ValueError(f"{name} has {channels} values for each voxel, expected one")
    with _explained(name):
        image = reader.Execute()
        dimensions = image.GetDimension()
        stored = itk.GetArrayFromImage(image).reshape(size[::-1]).transpose(2, 1, 0)
        direction = np.array(image.GetDirection()).reshape(dimensions, dimensions)[:3, :3]
    lps = np.eye(4)
    lps[:3, :3] = direction * np.array(image.GetSpacing()[:3])
    lps[:3, 3] = image.GetOrigin()[:3]
    return rescaled(stored, 1, 0), LPS_FROM_RAS @ lps, []


def _refuse_paths(path: Path, name: str) -> None:
    """A header may name a file of pixels: it must lie beside it."""
    with path.open("rb") as file:
        header = file.read(64_000)
    for match in re.finditer(rb"(?im)^\s*(?:ElementDataFile\s*=|data ?file:)\s*(.+?)\s*$", header):
        target = match[1].decode("latin-1")
        if target != "LOCAL" and Path(target.replace("\\", "/")).name != target:
            raise ValueError(f"{name} names its pixels by a path; give a volume in one file (.mha, .nrrd)")


def _write_nifti(path: Path, stored: NDArray[Any], grid: Grid) -> None:
    nibabel = imported("nibabel", path.name, extra="medical")
    image = nibabel.Nifti1Image(stored, grid.affine)  # a header of its own: one that is reused brings its slope
    image.set_sform(grid.affine, code="scanner")
    # a quaternion can't shear; readers that know only it would show another place, so there is none
    image.set_qform(None if grid.sheared else grid.affine, code=0 if grid.sheared else "scanner")
    image.header.set_xyzt_units("mm")
    image.to_filename(path)


def _write_by_itk(path: Path, stored: NDArray[Any], grid: Grid) -> None:
    if grid.sheared:
        raise ValueError(f"{path.suffix} can't hold a tilted grid; write .nii.gz")
    itk = imported("SimpleITK", path.name, extra="itk")
    image = itk.GetImageFromArray(np.ascontiguousarray(stored.transpose(2, 1, 0)))
    lps = LPS_FROM_RAS @ grid.affine
    image.SetSpacing(grid.spacing.tolist())
    image.SetDirection((lps[:3, :3] / grid.spacing).ravel().tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    itk.WriteImage(image, str(path), useCompression=True)


def _check_shape(shape: tuple[int, ...], name: str, max_pixels: int) -> None:
    if len(shape) != 3:
        what = " x ".join(map(str, shape))
        raise ValueError(f"{name} has {len(shape)} dimensions ({what}), expected 3; take one volume out of it")
    if 0 in shape:
        raise ValueError(f"{name} has no voxels ({' x '.join(map(str, shape))}); give a volume with some")
    # the two sides of a slice are not known before it is turned: the smallest product is that of one
    sides = sorted(shape)
    if sides[0] * sides[1] > max_pixels or sides[0] * sides[1] * sides[2] > MAX_VOXELS:
        raise ValueError(
            f"{name} ({' x '.join(map(str, shape))}) is larger than the limit of {max_pixels / 1e6:.0f} megapixels a "
            f"slice and {MAX_VOXELS / 1e6:.0f} million voxels; cut it into parts"
        )


@contextlib.contextmanager
def _explained(name: str) -> Iterator[None]:
    """Both libraries raise almost anything on a damaged file, and warn of what is handled here."""
    try:
        with quiet():
            yield
    except Exception as error:
        reason = re.sub(r"\S*[/\\]\S*", "it", " ".join(str(error).split()))[:200]  # paths may hold names
        raise ValueError(f"{name} is damaged or cut off ({reason}); save or download it again") from None
