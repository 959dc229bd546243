"""Labels and probabilities as GeoTIFF, on the grid of their image, by GDAL through rasterio."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..config import IGNORE, hex_to_rgb
from ..files import whole
from .ground import Raster, quiet_gdal
from .libraries import imported

WriteRows = Callable[[int, NDArray[np.uint8], NDArray[np.bool_] | None], None]
"""Writes labels (n,W) from a row on, and where they are valid (n,W) or None."""


def write_labels_raster(
    path: Path,
    labels: NDArray[np.uint8],
    place: Raster,
    *,
    palette: Sequence[str],
    names: Sequence[str],
    valid: NDArray[np.bool_] | None = None,
    cog: bool = False,
) -> Path:
    """Write labels (H,W) as a GeoTIFF on the grid of the image, as `labels_raster` does."""
    with labels_raster(path, place, palette=palette, names=names, cog=cog) as write:
        write(0, labels, valid)
    return path


@contextmanager
def labels_raster(
    path: Path, place: Raster, *, palette: Sequence[str], names: Sequence[str], cog: bool = False
) -> Iterator[WriteRows]:
    """A GeoTIFF on the grid of the image, written by rows: what is given writes labels (n,W) from the row `top`.

    It holds ids in the palette's colours, 255 where not `valid` (n,W). The names of the classes are its metadata
    CLASS_0, CLASS_1, ...; smaller copies for fast viewing hold the most frequent id. cog: as a cloud-optimised GeoTIFF.
    """
    rasterio = imported("rasterio", path.name)
    colours = {value: (*hex_to_rgb(colour), 255) for value, colour in enumerate(palette)}
    profile = _profile(path, place, 1, np.dtype(np.uint8)) | {"nodata": IGNORE, "photometric": "palette"}
    profile["bigtiff"] = "if_safer"
    with whole(path) as temporary, ExitStack() as stack:
        plain = temporary.with_suffix(".plain") if cog else temporary
        if cog:
            stack.callback(plain.unlink, missing_ok=True)
        _check_room(path, place.shape[0] * place.shape[1])
        with _writing(path):
            dataset = rasterio.open(plain, "w", **profile)
            # a colour table that comes after the pixels is one that Pillow doesn't see
            dataset.write_colormap(1, colours)
            dataset.update_tags(**{f"CLASS_{value}": text for value, text in enumerate(names)})

        def write(top: int, labels: NDArray[np.uint8], valid: NDArray[np.bool_] | None) -> None:
            if labels.max() >= len(palette):
                raise ValueError(
                    f"the label map holds the id {labels.max()}, but the palette ends at {len(palette) - 1}"
                )
            stored = labels if valid is None else np.where(valid, labels, np.uint8(IGNORE))
            with _writing(path):
                dataset.write(stored, 1, window=((top, top + len(labels)), (0, place.shape[1])))

        try:
            yield write
        finally:
            with _writing(path):
                dataset.close()
        with _writing(path):
            _finish(plain, temporary, cog=cog)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        with quiet_gdal():
            yield
    except Exception as error:  # GDAL's own kinds, which name the temporary file
        reason = " ".join(str(error.__cause__ or error).split())[:100]
        reason = re.sub(r"\S*\.(tmp|plain)\S*", "it", reason)
        raise OSError(
            f"{path} can't be written whole ({reason}); what was there is untouched: free some space, go on"
        ) from None


def _finish(plain: Path, path: Path, *, cog: bool) -> None:
    """Read what was written, and add smaller copies; or write it again as a cloud-optimised GeoTIFF with them."""
    rasterio = imported("rasterio", path.name)
    if cog:
        with rasterio.open(plain) as dataset:
            # its smaller copies would be cubic, and show classes that aren't there
            imported("rasterio.shutil", path.name).copy(
                dataset, path, driver="COG", compress="deflate", overview_resampling="mode", bigtiff="if_safer"
            )
        return
    with rasterio.open(plain) as dataset:
        for _, window in dataset.block_windows(1):  # of what is not there GDAL says nothing until it is read
            dataset.read(1, window=window)
    with rasterio.open(plain, "r+") as dataset:
        halves = [2**step for step in range(1, 12) if max(dataset.shape) > 256 * 2 ** (step - 1)]
        dataset.build_overviews(halves, imported("rasterio.enums", path.name).Resampling.mode)


def _check_room(path: Path, size: int) -> None:
    # GDAL says little of a full disk, and closes without a word: asked before, and read again after
    free = shutil.disk_usage(path.parent).free
    if free < size // 4:  # compressed, labels take far less
        raise OSError(
            f"no room to write {path} ({free / 2**20:,.0f} MB are free); what was there is untouched: "
            "free some space, go on"
        )


def write_probabilities_raster(
    path: Path,
    probabilities: NDArray[np.float32],
    place: Raster,
    names: Sequence[str],
    valid: NDArray[np.bool_] | None = None,
) -> Path:
    """Write probabilities (K,H,W) as a GeoTIFF on the grid of the image: a band of half floats for each name.

    They are NaN, which is declared as nodata, where not `valid`.
    """
    assert probabilities.shape[1:] == place.shape, f"{probabilities.shape} on a grid of {place.shape}"
    profile = _profile(path, place, len(probabilities), probabilities.dtype) | {
        "nbits": 16,
        "interleave": "band",
        "bigtiff": "if_safer",
    }
    profile["nodata"] = np.nan
    rasterio = imported("rasterio", path.name)
    with quiet_gdal(), rasterio.MemoryFile() as memory:
        with memory.open(**profile) as dataset:
            dataset.descriptions = tuple(names)
            for band, probability in enumerate(probabilities, 1):
                # rounded here: GDAL cuts the last bits off, twice the error
                rounded = probability.astype(np.float16).astype(np.float32)
                dataset.write(rounded if valid is None else np.where(valid, rounded, np.float32(np.nan)), band)
        _keep(path, memory)
    return path


def _profile(path: Path, place: Raster, bands: int, dtype: np.dtype[Any]) -> dict[str, Any]:
    affine = imported("affine", path.name)
    return {
        "driver": "GTiff",
        "count": bands,
        "height": place.shape[0],
        "width": place.shape[1],
        "dtype": str(dtype),
        "crs": place.crs,
        "transform": None if place.transform is None else affine.Affine(*place.transform),
        "tiled": True,
        "compress": "deflate",
    }


def _keep(path: Path, memory: Any) -> None:  # noqa: ANN401, rasterio's
    # written by Python: GDAL says little of a full disk, and closes without a word
    with whole(path) as temporary:
        temporary.write_bytes(memory.getbuffer())
