#!/usr/bin/env bash
# nibabel 5.4.2 and SimpleITK 2.5.7: a NIfTI in micrometres is a thousand times larger for one than for the other.
#
# Expected: 0.025 mm from both for voxels of 25 micrometres. xyzt_units says in what pixdim is measured, metres,
# millimetres or micrometres (nifti1.h, "UNITS OF SPATIAL AND TEMPORAL DIMENSIONS").
# Seen: SimpleITK goes by it, 0.025. nibabel doesn't: get_zooms() and affine give 25, without a warning, though in its
# world space, RAS+, a unit is a millimetre (its guide to coordinate systems). In metres it is 0.5 against 500.
# Hurt: who measures small animals or microscopy: lengths are off by 1,000 and volumes by 10^9, resampling to a spacing
# in millimetres gives a thousand times the voxels along each axis, and labels of one don't lie on images of the other.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check nibabel==5.4.2 SimpleITK==2.5.7 numpy==2.4.6
cd "$work"
venv/bin/python -W error - << 'PYTHON'
import sys

import nibabel
import numpy as np
import SimpleITK


def spacings(size, unit):
    image = nibabel.Nifti1Image(np.zeros((3, 4, 5), np.uint8), np.diag([size, size, size, 1.0]))
    image.header.set_xyzt_units(unit)
    nibabel.save(image, "image.nii")
    stored = nibabel.load("image.nii")
    assert stored.header.get_xyzt_units()[0] == unit
    zoom, column = stored.header.get_zooms()[0], stored.affine[0, 0]
    return [round(float(value), 6) for value in (zoom, column, SimpleITK.ReadImage("image.nii").GetSpacing()[0])]


micron, mm, meter = spacings(25, "micron"), spacings(0.025, "mm"), spacings(0.5, "meter")

print(f"versions: nibabel {nibabel.__version__}, SimpleITK {SimpleITK.__version__}")
print("expected: 0.025 mm for 25 micrometres, 500 mm for 0.5 metres (nifti1.h, xyzt_units)")
print(f"seen:     25 micrometres: nibabel {micron[0]:g} by zooms, {micron[1]:g} by affine, SimpleITK {micron[2]:g}")
print(f"          0.5 metres:     nibabel {meter[0]:g} by zooms, {meter[1]:g} by affine, SimpleITK {meter[2]:g}")
print("hurt:     whoever measures small animals or microscopy: volumes are off by 10^9")
if not (micron == [25, 25, 0.025] and mm == [0.025, 0.025, 0.025] and meter == [0.5, 0.5, 500]):
    sys.exit("this has changed: look at it again")
PYTHON
