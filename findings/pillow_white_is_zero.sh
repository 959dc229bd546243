#!/usr/bin/env bash
# Pillow 12.3.0: a TIFF whose 0 is white is inverted with 8 bits and left as it is with 16.
#
# Expected: one or the other. PhotometricInterpretation 0 means that 0 is shown white (TIFF 6.0, section 8), for every
# number of bits; `L` and `I;16` of Pillow both have black at 0.
# Seen: 0, 1, 200 come as 255, 254, 55 with 8 bits, and as 0, 1, 200 with 16, or as float, without a word; afterwards
# nothing but the tag of the file tells the two apart. rasterio and tifffile never invert.
# Hurt: who trains on scans of film, X-rays or gels: of a set of 8 and 16 bits one half is negative, and in a mask of 8
# bits stored so class 1 is 254 for Pillow.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check pillow==12.3.0 tifffile==2026.3.3 numpy==2.4.6
cd "$work"
venv/bin/python -W error - << 'PYTHON'
import sys

import numpy as np
import PIL
import tifffile
from PIL import Image

seen = {}
for kind in "uint8", "uint16", "float32":
    values = np.array([[0, 1, 200]], kind)
    tifffile.imwrite("image.tif", values, photometric="miniswhite")
    with Image.open("image.tif") as image:
        assert image.tag_v2[262] == 0
        seen[kind] = image.mode, np.asarray(image)[0].tolist(), tifffile.imread("image.tif")[0].tolist()

print(f"versions: Pillow {PIL.__version__}, tifffile {tifffile.__version__}")
print("expected: inverted for every type or for none (TIFF 6.0, section 8, PhotometricInterpretation)")
for kind, (mode, by_pillow, by_tifffile) in seen.items():
    print(f"seen:     {kind}: {by_pillow} as {mode}, tifffile {by_tifffile}")
print("hurt:     whoever trains on scans of film, X-rays or gels: those of 8 bits are negatives of those of 16")
if seen != {
    "uint8": ("L", [255, 254, 55], [0, 1, 200]),
    "uint16": ("I;16", [0, 1, 200], [0, 1, 200]),
    "float32": ("F", [0, 1, 200], [0, 1, 200]),
}:
    sys.exit("this has changed: look at it again")
PYTHON
