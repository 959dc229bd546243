#!/usr/bin/env bash
# rasterio 1.4.4 (GDAL 3.10.3): floats written with NBITS=16 are cut to half precision, not rounded.
#
# Expected: the nearest half float, as IEEE 754 asks of a conversion unless told otherwise, and as numpy's float16,
# torch's half and the processor's own instruction give it: off by at most 2^-12 between 0.5 and 1, and 0 on average.
# Seen: always the next one towards 0: off by up to 2^-11, twice as much, and about half of all values differ from
# numpy's. On average they are too small.
# Hurt: who stores probabilities as half floats: those of all classes add up to less than 1, and a file differs from the
# same numbers rounded in memory, so thresholds and comparisons by bits do too.
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

values = np.random.default_rng(0).random((256, 256), np.float32)
values[0, 0] = 0.7
with rasterio.open("values.tif", "w", driver="GTiff", width=256, height=256, count=1, dtype="float32", nbits=16,
                   crs="EPSG:32632", transform=from_origin(500_000, 5_000_000, 1, 1)) as dataset:
    dataset.write(values, 1)
with rasterio.open("values.tif") as dataset:
    seen = dataset.read(1)
rounded = values.astype(np.float16).astype(np.float32)


def told(stored):
    off = stored.astype(np.float64) - values
    return f"0.7 as {stored[0, 0]:.6f}, off by at most {abs(off).max():.6f}, on average by {off.mean():+.6f}"


differ = (seen != rounded).mean()
print(f"versions: rasterio {rasterio.__version__}, GDAL {rasterio.__gdal_version__}")
print(f"expected: {told(rounded)} (IEEE 754, numpy.float16)")
print(f"seen:     {told(seen)}; {differ:.0%} differ")
print("hurt:     whoever stores probabilities as half floats: too small, and not what was in memory")
are_halves = (seen == seen.astype(np.float16)).all()
if not (are_halves and (seen <= values).all() and differ > 0.4 and (rounded > values).any()):
    sys.exit("this has changed: look at it again")
PYTHON
