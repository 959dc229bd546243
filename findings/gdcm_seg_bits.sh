#!/usr/bin/env bash
# SimpleITK 2.5.7 (GDCM): a binary DICOM-SEG is read as 0 and 255, and its last bits not at all.
#
# Expected: 1 for every voxel of a mask that is full: a BINARY segmentation has Bits Allocated 1 (DICOM PS3.3,
# C.8.20.2), packed without gaps, the first pixel in the lowest bit (PS3.5, 8.1.1). pydicom 3.0.2 gives that.
# Seen: 255; and where rows x columns x frames is no multiple of 8, the 1 to 7 voxels after the last whole byte aren't
# decoded. No exception, no warning.
# Hurt: who compares or trains on such masks: `mask == 1` is empty, a volume by their sum is 255 times too large, and
# the end of the last row of the last frame is wrong wherever a picture was cropped to an odd size.
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


def ct(rows, columns):
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID, ds.SOPInstanceUID = CTImageStorage, generate_uid()
    ds.PatientName, ds.PatientID, ds.PatientBirthDate, ds.PatientSex = "Phantom^CT", "1", "", "O"
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.FrameOfReferenceUID = generate_uid(), generate_uid(), generate_uid()
    ds.StudyDate, ds.StudyTime, ds.StudyID, ds.AccessionNumber = "20240101", "120000", "1", ""
    ds.ReferringPhysicianName, ds.Manufacturer, ds.PositionReferenceIndicator = "", "", ""
    ds.Modality, ds.SeriesNumber, ds.InstanceNumber, ds.AcquisitionNumber = "CT", 1, 1, 1
    ds.ImageType, ds.KVP = ["ORIGINAL", "PRIMARY", "AXIAL"], 120
    ds.ImagePositionPatient, ds.ImageOrientationPatient = [0, 0, 0], [1, 0, 0, 0, 1, 0]
    ds.PixelSpacing, ds.SliceThickness = [1, 1], 1
    ds.Rows, ds.Columns, ds.SamplesPerPixel, ds.PhotometricInterpretation = rows, columns, 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    ds.RescaleSlope, ds.RescaleIntercept, ds.RescaleType = 1, -1024, "HU"
    ds.PixelData = np.zeros((rows, columns), "<u2").tobytes()
    return ds


organ = highdicom.seg.SegmentDescription(1, "liver", codes.SCT.Organ, codes.SCT.Liver, "MANUAL")
decoded, rest, pydicom_is_right = set(), [], True
for rows, columns in (8, 8), (3, 3), (3, 5), (5, 7), (7, 9):  # 0, 1, 7, 3 and 7 voxels after the last whole byte
    full = np.ones((1, rows, columns), np.uint8)
    highdicom.seg.Segmentation(
        [ct(rows, columns)], full, "BINARY", [organ], generate_uid(), 2, generate_uid(), 1, "none", "none", "1", "1",
    ).save_as("seg.dcm")
    pydicom_is_right &= bool((pydicom.dcmread("seg.dcm").pixel_array == 1).all())
    seen = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage("seg.dcm")).ravel()
    bytes_end = seen.size // 8 * 8
    decoded |= set(seen[:bytes_end].tolist())
    rest += seen[bytes_end:].tolist()
wrong = sum(value != 255 for value in rest)

print(f"versions: SimpleITK {SimpleITK.__version__}, highdicom {highdicom.__version__}, pydicom {pydicom.__version__}")
print("expected: 1 for every voxel (DICOM PS3.3, C.8.20.2, and PS3.5, 8.1.1)")
print(f"seen:     {sorted(decoded)} in whole bytes; of {len(rest)} voxels after them {wrong} have no such value")
print(f"          pydicom reads 1 everywhere: {pydicom_is_right}")
print("hurt:     whoever takes masks from DICOM-SEG: `mask == 1` is empty, and the last voxels are wrong")
if not (decoded == {255} and wrong and pydicom_is_right):
    sys.exit("this has changed: look at it again")
PYTHON
