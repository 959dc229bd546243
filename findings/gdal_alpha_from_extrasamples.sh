#!/usr/bin/env bash
# rasterio 1.4.4 (GDAL 3.10.3): the fourth band of a new GeoTIFF of bytes is alpha, so near infrared becomes the mask.
#
# Expected: a dataset without nodata, mask or alpha, all of it valid (255): nobody asked for alpha. GDAL's page of the
# GTiff driver says that 3 or 4 bands of bytes are RGB by default; with PHOTOMETRIC=RGB written out the fourth band is
# indeed undefined.
# Seen: without the option the fourth band is declared alpha (ExtraSamples 2). dataset_mask() returns near infrared as
# the mask, and read(masked=True) masks what has none of it. The same with 16 bits or with 5 bands is as expected.
# Hurt: who writes red, green, blue, near infrared: water, 0 there, is missing to whatever reads with masks, statistics
# and training crops alike, and a viewer shows the rest more or less transparent.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check rasterio==1.4.4 numpy==2.4.6
cd "$work"
venv/bin/python - << 'PYTHON'
import sys

import numpy as np
import rasterio
from rasterio.transform import from_origin

bands = np.full((4, 2, 3), 90, np.uint8)
bands[3] = [[0, 0, 5], [120, 200, 255]]  # near infrared: water, water, wet soil; crops


def read_back(values, **options):
    place = {"crs": "EPSG:32632", "transform": from_origin(500_000, 5_000_000, 1, 1)}
    count, height, width = values.shape
    with rasterio.open("image.tif", "w", driver="GTiff", width=width, height=height, count=count, dtype=values.dtype,
                       **place, **options) as dataset:
        dataset.write(values)
    with rasterio.open("image.tif") as dataset:
        mask, missing = dataset.dataset_mask(), int(np.ma.getmaskarray(dataset.read(1, masked=True)).sum())
        return dataset.colorinterp[3].name, mask.tolist(), missing


valid = np.full((2, 3), 255).tolist()
default = read_back(bands)
named = read_back(bands, photometric="RGB")
deeper = read_back(bands.astype(np.uint16))
more = read_back(np.concatenate([bands, bands[:1]]))

print(f"versions: rasterio {rasterio.__version__}, GDAL {rasterio.__gdal_version__}")
print(f"expected: ('undefined', {valid}, 0): fourth band, mask, masked pixels (nobody asked for alpha)")
print(f"seen:     {default}")
print(f"          {named} with photometric='RGB'")
print("hurt:     whoever writes red, green, blue and near infrared: water is masked as missing")
if not (default == ("alpha", bands[3].tolist(), 2) and named == deeper == more == ("undefined", valid, 0)):
    sys.exit("this has changed: look at it again")
PYTHON
