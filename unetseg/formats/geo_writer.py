"""Labels and probabilities as GeoTIFF, on the grid of their image, by GDAL through rasterio."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..config import IGNORE, hex_to_rgb
from ..files import whole
from .ground import Raster, quiet_gdal
from .libraries import imported


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
    """Write labels (H,W) as a GeoTIFF on the grid of the image: ids in the palette's colours, 255 where not `valid`.

    The names of the classes are its metadata CLASS_0, CLASS_1, ...; smaller copies for fast viewing hold the most
    frequent id. cog: as a cloud-optimised GeoTIFF.
    """
    if labels.max() >= len(palette):
        raise ValueError(f"the label map holds the id {labels.max()}, but the palette ends at {len(palette) - 1}")
    stored = labels if valid is None else np.where(valid, labels, np.uint8(IGNORE))
    colours = {value: (*hex_to_rgb(colour), 255) for value, colour in enumerate(palette)}
    profile = _profile(path, place, stored[None]) | {"nodata": IGNORE, "photometric": "palette"}
    halves = [2**step for step in range(1, 12) if max(stored.shape) > 256 * 2 ** (step - 1)]
    rasterio, mode = imported("rasterio", path.name), imported("rasterio.enums", path.name).Resampling.mode
    with quiet_gdal(), rasterio.MemoryFile() as memory:
        with memory.open(**profile) as dataset:
            # a colour table that comes after the pixels is one that Pillow doesn't see
            dataset.write_colormap(1, colours)
            dataset.update_tags(**{f"CLASS_{value}": text for value, text in enumerate(names)})
            dataset.write(stored, 1)
            if not cog:
                dataset.build_overviews(halves, mode)
        if cog:
            copy = imported("rasterio.shutil", path.name).copy
            with rasterio.MemoryFile() as optimised, memory.open() as dataset:
                # its smaller copies would be cubic, and show classes that aren't there
                copy(dataset, optimised.name, driver="COG", compress="deflate", overview_resampling="mode")
                _keep(path, optimised)
        else:
            _keep(path, memory)
    return path


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
    profile = _profile(path, place, probabilities) | {"nbits": 16, "interleave": "band", "bigtiff": "if_safer"}
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


def _profile(path: Path, place: Raster, stored: NDArray[Any]) -> dict[str, Any]:
    assert stored.shape[1:] == place.shape, f"{stored.shape} on a grid of {place.shape}"
    affine = imported("affine", path.name)
    return {
        "driver": "GTiff",
        "count": len(stored),
        "height": stored.shape[1],
        "width": stored.shape[2],
        "dtype": str(stored.dtype),
        "crs": place.crs,
        "transform": None if place.transform is None else affine.Affine(*place.transform),
        "tiled": True,
        "compress": "deflate",
    }


def _keep(path: Path, memory: Any) -> None:  # noqa: ANN401, rasterio's
    # written by Python: GDAL says little of a full disk, and closes without a word
    with whole(path) as temporary:
        temporary.write_bytes(memory.getbuffer())
