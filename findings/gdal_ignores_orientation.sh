#!/usr/bin/env bash
# rasterio 1.4.4 (GDAL 3.10.3) reads a TIFF as it is stored, Pillow 12.3.0 as its Orientation says: labels lie aside.
#
# Expected: the same array from both. Tag 274 of 6 says that the stored rows run from right to left in the picture (TIFF
# 6.0, section 8, Orientation), and 1 that all is upright; a reader may lack this, but then would say so.
# Seen: rasterio gives the stored rows, and the tag isn't among tags(), so its user can't turn them. Pillow turns them
# when a TIFF is loaded, without exif_transpose, which it wants for JPEG. tifffile 2026.3.3 gives them as stored. No
# warning from any. Square pictures, such as tiles, don't give it away by their shape.
# Hurt: who has pictures from a camera or a scanner and masks from a viewer: read by two libraries, images and masks
# are turned against each other, and a network learns from wrong pixels.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check \
  rasterio==1.4.4 pillow==12.3.0 tifffile==2026.3.3 numpy==2.4.6
cd "$work"
venv/bin/python - << 'PYTHON'
import sys
import warnings

import numpy as np
import PIL
import rasterio
import tifffile
from PIL import Image
from rasterio.errors import NotGeoreferencedWarning

warnings.simplefilter("error")
warnings.simplefilter("ignore", NotGeoreferencedWarning)  # a plain TIFF, which is no matter here
stored = np.arange(9, dtype=np.uint8).reshape(3, 3)
turned = np.rot90(stored, -1)
seen = {}
for orientation in 1, 6:
    Image.fromarray(stored).save("image.tif", tiffinfo={274: orientation})
    with tifffile.TiffFile("image.tif") as file:
        assert file.pages[0].tags[274].value == orientation
        by_tifffile = file.asarray()
    with rasterio.open("image.tif") as dataset:
        by_rasterio, tags = dataset.read(1), str(dataset.tags())
    with Image.open("image.tif") as image:
        by_pillow = np.asarray(image)
    seen[orientation] = by_rasterio.tolist(), by_pillow.tolist(), by_tifffile.tolist(), "ORIENTATION" in tags.upper()

print(f"versions: rasterio {rasterio.__version__}, GDAL {rasterio.__gdal_version__}, Pillow {PIL.__version__}, "
      f"tifffile {tifffile.__version__}")
print(f"expected: {turned.tolist()} for Orientation 6 (TIFF 6.0, section 8)")
print(f"seen:     rasterio {seen[6][0]}")
print(f"          Pillow   {seen[6][1]}")
print(f"          tifffile {seen[6][2]}")
print("hurt:     whoever reads images by one and masks by the other: they don't lie on each other")
as_stored = stored.tolist()
if not (seen[1] == (as_stored, as_stored, as_stored, False) and
        seen[6] == (as_stored, turned.tolist(), as_stored, False)):
    sys.exit("this has changed: look at it again")
PYTHON
