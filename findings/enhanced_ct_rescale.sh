#!/usr/bin/env bash
# pydicom 3.0.2: pixels.apply_rescale returns the stored values of an Enhanced CT, not Hounsfield units.
#
# Expected: "Convert the values in `arr` using (3.1.4) a Rescale Slope and Rescale Intercept" (docstring). In the
# Enhanced CT Image IOD (DICOM PS3.3, A.38 and C.7.6.16.2.9) these stand in the Pixel Value Transformation functional
# group, shared or for each frame, and not at the top level.
# Seen: only the top level is looked at; the array comes back as it is, without a warning.
# Hurt: who windows CT by Hounsfield units: all values are off by the intercept (1,024 here), so a soft-tissue window
# shows air as fat and bone, and a network sees nothing that it knows.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check pydicom==3.0.2 numpy==2.4.6
"$work/venv/bin/python" -W error - << 'PYTHON'
import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.pixels import apply_rescale
from pydicom.uid import EnhancedCTImageStorage, ExplicitVRLittleEndian, generate_uid


def transformation(intercept):
    values = Dataset()
    values.RescaleIntercept, values.RescaleSlope, values.RescaleType = intercept, 1, "HU"
    group = Dataset()
    group.PixelValueTransformationSequence = [values]
    return group


image = Dataset()
image.file_meta = FileMetaDataset()
image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
image.SOPClassUID, image.SOPInstanceUID, image.Modality = EnhancedCTImageStorage, generate_uid(), "CT"
image.Rows, image.Columns, image.NumberOfFrames, image.SamplesPerPixel = 2, 2, 2, 1
image.PhotometricInterpretation, image.PixelRepresentation = "MONOCHROME2", 0
image.BitsAllocated, image.BitsStored, image.HighBit = 16, 12, 11
image.SharedFunctionalGroupsSequence = [Dataset()]
image.PerFrameFunctionalGroupsSequence = [transformation(-1024), transformation(-1000)]
stored = np.full((2, 2, 2), 1064, dtype=np.uint16)
image.PixelData = stored.tobytes()

seen = apply_rescale(image.pixel_array, image)[:, 0, 0].tolist()
print("expected: [40.0, 64.0] HU in frames 1 and 2")
print(f"seen: {seen}")
assert seen == [1064, 1064], "this has changed: look at it again"
PYTHON
