#!/usr/bin/env bash
# nibabel 5.4.2 and SimpleITK 2.5.7: a NIfTI with two transforms lies elsewhere for each of them.
#
# Expected: the same one of sform and qform from both readers where both are set (codes over 0). They may differ: the
# qform is meant for where the scanner saw it, the sform for a standard space (nifti1.h, methods 2 and 3), and
# registration writes files so: qform code 1 as scanned, sform code 2 or 4 as aligned.
# Seen: nibabel takes the sform whatever its code. SimpleITK takes it only with code 1 (scanner) or without a qform, and
# the qform for sform codes 2, 3, 4 and 5. Neither warns.
# Hurt: who reads images with one and writes labels with the other: the labels lie where the patient was before the
# alignment, and volumes brought to a common orientation are turned differently.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check nibabel==5.4.2 SimpleITK==2.5.7 numpy==2.4.6
cd "$work"
venv/bin/python - << 'PYTHON'
import sys

import nibabel
import numpy as np
import SimpleITK

aligned = np.array([[1, 0, 0, 10], [0, 1, 0, 20], [0, 0, 1, 30], [0, 0, 0, 1.0]])  # RAS, in mm
scanned = np.array([[0, -1, 0, -7], [1, 0, 0, -8], [0, 0, 1, -9], [0, 0, 0, 1.0]])


def taken(affine):
    return next(name for name, of in (("sform", aligned), ("qform", scanned)) if np.allclose(affine, of, atol=1e-4))


def readers(sform_code, qform_code):
    image = nibabel.Nifti1Image(np.zeros((3, 4, 5), np.uint8), None)
    image.header.set_sform(aligned, sform_code)
    image.header.set_qform(scanned, qform_code)
    image.header.set_xyzt_units("mm")
    nibabel.save(image, "image.nii")
    itk, affine = SimpleITK.ReadImage("image.nii"), np.eye(4)
    affine[:3, :3] = np.reshape(itk.GetDirection(), (3, 3)) * itk.GetSpacing()
    affine[:3, 3] = itk.GetOrigin()
    return taken(nibabel.load("image.nii").affine), taken(np.diag([-1, -1, 1, 1]) @ affine)  # LPS to RAS


both = {(sform, qform): readers(sform, qform) for sform in range(6) for qform in range(6) if sform or qform}

print(f"versions: nibabel {nibabel.__version__}, SimpleITK {SimpleITK.__version__}")
print("expected: the same transform for both readers, whichever it is (nifti1.h, methods 2 and 3)")
for sform in range(6):
    print(f"seen:     sform code {sform}, qform code 1: nibabel {both[sform, 1][0]}, SimpleITK {both[sform, 1][1]}")
print("hurt:     whoever passes volumes from one to the other: labels lie where the patient was before the alignment")
described = {
    (sform, qform): ("sform" if sform else "qform", "sform" if sform == 1 or not qform else "qform")
    for sform, qform in both
}
if both != described:
    sys.exit("this has changed: look at it again")
PYTHON
