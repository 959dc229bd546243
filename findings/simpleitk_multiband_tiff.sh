#!/usr/bin/env bash
# SimpleITK 2.5.7: a TIFF of several 16-bit bands is read as one band, mixed from all, of a strip at the left.
#
# Expected: four bands of 8 x 10 pixels, or an error. Samples of a pixel lie side by side (TIFF 6.0, section 8,
# PlanarConfiguration 1), and ReadImage does give several components: 3 or 4 bytes of RGB come back right.
# Seen: one band of 8 x 10: in each row the first ten numbers, which are four bands of the first two and a half pixels,
# without an exception or a warning. So with 2, 3 or 5 bands, and with floats. rasterio 1.4.4 writes these files by
# default and reads them. (Bands one after another, PlanarConfiguration 2, do bring a warning.)
# Hurt: who reads multispectral or fluorescence pictures: the size is right and the pixels are wrong, so a mask made
# from them fits nothing.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check SimpleITK==2.5.7 rasterio==1.4.4 numpy==2.4.6
cd "$work"
venv/bin/python - << 'PYTHON'
import sys

import numpy as np
import rasterio
import SimpleITK
from rasterio.transform import from_origin


def read_back(bands):
    count, height, width = bands.shape
    with rasterio.open("bands.tif", "w", driver="GTiff", width=width, height=height, count=count, dtype=bands.dtype,
                       crs="EPSG:32632", transform=from_origin(500_000, 5_000_000, 1, 1)) as dataset:
        dataset.write(bands)
    with rasterio.open("bands.tif") as dataset:
        assert np.array_equal(dataset.read(), bands)
    image = SimpleITK.ReadImage("bands.tif")
    return SimpleITK.GetArrayFromImage(image), image.GetPixelIDTypeAsString()


def strip(bands):  # of each row as stored, as many numbers as it has pixels
    return bands.transpose(1, 2, 0).reshape(bands.shape[1], -1)[:, : bands.shape[2]]


band, row, column = np.mgrid[:4, :8, :10]
bands = (1000 * band + 10 * row + column).astype(np.uint16)
seen, kind = read_back(bands)
others = [bands[:2], bands[:3], np.concatenate([bands, bands[:1]]), bands.astype(np.float32)]
colours = (bands % 251).astype(np.uint8)
rgb, rgb_kind = read_back(colours[:3])

print(f"versions: SimpleITK {SimpleITK.__version__}, rasterio {rasterio.__version__}")
print(f"expected: {bands.shape[1:]} pixels, the first {bands[:, 0, 0].tolist()}, the second {bands[:, 0, 1].tolist()}")
print(f"seen:     {seen.shape}, {kind}, first row {seen[0].tolist()}")
print(f"          {rgb.shape}, {rgb_kind}, from three bands of bytes")
print("hurt:     whoever reads multispectral or fluorescence pictures: right size, wrong pixels")
as_described = np.array_equal(seen, strip(bands)) and all(
    np.array_equal(read_back(other)[0], strip(other)) for other in others)
as_described &= np.array_equal(rgb, colours[:3].transpose(1, 2, 0))
if not as_described:
    sys.exit("this has changed: look at it again")
PYTHON
