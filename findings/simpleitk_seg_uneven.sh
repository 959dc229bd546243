#!/usr/bin/env bash
# SimpleITK 2.5.7 (GDCM): a micrometre of unevenness between slices costs a DICOM-SEG all of its spacing.
#
# Expected: the spacing in the plane (here 0.7 mm) is that of Pixel Spacing (DICOM PS3.3, C.7.6.16.2.1), whatever the
# positions of the frames are; between slices the step, as Spacing Between Slices says too.
# Seen: with positions 3 mm apart 0.7, 0.7, 3. With every second one a micrometre off, as scanners round them, 1, 1, 1
# and no warning. pydicom 3.0.2 shows the same Pixel Spacing in both files.
# Hurt: who measures a lesion in such a mask (a volume of 0.7 x 0.7 x 3 mm voxels is 32 % too small), or lays it over its CT.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check \
  SimpleITK==2.5.7 highdicom==0.28.2 pydicom==3.0.2 numpy==2.4.6
cd "$work"
venv/bin/python - << 'PYTHON'
import sys

import highdicom
import numpy as np
import pydicom
import SimpleITK
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

STUDY, SERIES, REFERENCE = generate_uid(), generate_uid(), generate_uid()


def ct(number, height):
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID, ds.SOPInstanceUID = CTImageStorage, generate_uid()
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.FrameOfReferenceUID = STUDY, SERIES, REFERENCE
    ds.PatientName, ds.PatientID, ds.PatientBirthDate, ds.PatientSex = "Phantom^CT", "1", "", "O"
    ds.StudyDate, ds.StudyTime, ds.StudyID, ds.AccessionNumber = "20240101", "120000", "1", ""
    ds.ReferringPhysicianName, ds.Manufacturer, ds.PositionReferenceIndicator = "", "", ""
    ds.Modality, ds.SeriesNumber, ds.InstanceNumber, ds.AcquisitionNumber = "CT", 1, number, 1
    ds.ImageType, ds.KVP = ["ORIGINAL", "PRIMARY", "AXIAL"], 120
    ds.ImagePositionPatient, ds.ImageOrientationPatient = [0, 0, height], [1, 0, 0, 0, 1, 0]
    ds.PixelSpacing, ds.SliceThickness = [0.7, 0.7], 3
    ds.Rows, ds.Columns, ds.SamplesPerPixel, ds.PhotometricInterpretation = 16, 16, 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    ds.RescaleSlope, ds.RescaleIntercept, ds.RescaleType = 1, -1024, "HU"
    ds.PixelData = np.zeros((16, 16), "<u2").tobytes()
    return ds


organ = highdicom.seg.SegmentDescription(1, "liver", codes.SCT.Organ, codes.SCT.Liver, "MANUAL")
seen, in_plane = {}, {}
for off in (0.0, 0.001):
    slices = [ct(k + 1, round(3 * k + off * (k % 2), 3)) for k in range(8)]
    highdicom.seg.Segmentation(
        slices, np.ones((8, 16, 16), np.uint8), "BINARY", [organ], generate_uid(), 2, generate_uid(), 1, "none", "none",
        "1", "1", omit_empty_frames=False,
    ).save_as("seg.dcm")
    seen[off] = tuple(round(side, 6) for side in SimpleITK.ReadImage("seg.dcm").GetSpacing())
    shared = pydicom.dcmread("seg.dcm").SharedFunctionalGroupsSequence[0]
    in_plane[off] = [float(side) for side in shared.PixelMeasuresSequence[0].PixelSpacing]

print(f"versions: SimpleITK {SimpleITK.__version__}, highdicom {highdicom.__version__}, pydicom {pydicom.__version__}")
print("expected: 0.7 x 0.7 mm in the plane, about 3 mm between slices, for both (DICOM PS3.3, C.7.6.16.2.1)")
for off, spacing in seen.items():
    print(f"seen:     every second slice {off} mm off: {spacing}; by pydicom {in_plane[off]} in the plane")
print("hurt:     whoever measures in such a mask, or lays it over its CT")
if not (seen[0.0] == (0.7, 0.7, 3.0) and seen[0.001] == (1.0, 1.0, 1.0) and in_plane[0.0] == in_plane[0.001] == [0.7, 0.7]):
    sys.exit("this has changed: look at it again")
PYTHON
