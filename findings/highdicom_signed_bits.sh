#!/usr/bin/env bash
# highdicom 0.28.2 (pydicom 3.0.2): get_frame loses the sign of pixels with fewer bits stored than allocated.
#
# Expected: -1000, -5, 0, 40 from a CT slice of 12 signed bits in 16, High Bit 11, unused bits 0. "The sign bit shall be
# the High Bit", and "receiving applications may not assume anything about the contents of unused bits" (DICOM PS3.5,
# 8.1.1); "interpreted as the correct pixel datatype" (docstring of Image.get_stored_frame).
# Seen: get_frame and get_stored_frame give 3096, 4091, 0, 40 without a warning: their decoder is told that all
# allocated bits are stored. pixel_array of the same object is right.
# Hurt: who reads CT or MR for a network with highdicom: air is brighter than bone.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check highdicom==0.28.2 pydicom==3.0.2 numpy==2.4.6
cd "$work"
venv/bin/python - << 'PYTHON'
import sys

import highdicom
import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

values = np.array([[-1000, -5], [0, 40]], np.int16)

ct = Dataset()
ct.file_meta = FileMetaDataset()
ct.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
ct.SOPClassUID, ct.SOPInstanceUID = CTImageStorage, generate_uid()
ct.PatientName, ct.PatientID, ct.PatientBirthDate, ct.PatientSex = "Phantom^CT", "1", "", "O"
ct.StudyInstanceUID, ct.SeriesInstanceUID, ct.FrameOfReferenceUID = generate_uid(), generate_uid(), generate_uid()
ct.StudyDate, ct.StudyTime, ct.StudyID, ct.AccessionNumber = "20240101", "120000", "1", ""
ct.ReferringPhysicianName, ct.Manufacturer, ct.PositionReferenceIndicator = "", "", ""
ct.Modality, ct.SeriesNumber, ct.InstanceNumber, ct.AcquisitionNumber = "CT", 1, 1, 1
ct.PatientPosition, ct.Laterality, ct.KVP = "HFS", "", 120
ct.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
ct.ImagePositionPatient, ct.ImageOrientationPatient = [0, 0, 0], [1, 0, 0, 0, 1, 0]
ct.PixelSpacing, ct.SliceThickness = [1, 1], 1
ct.Rows, ct.Columns, ct.SamplesPerPixel, ct.PhotometricInterpretation = 2, 2, 1, "MONOCHROME2"
ct.BitsAllocated, ct.BitsStored, ct.HighBit, ct.PixelRepresentation = 16, 12, 11, 1
ct.RescaleSlope, ct.RescaleIntercept, ct.RescaleType = 1, 0, "HU"
ct.PixelData = (values & 0x0FFF).astype("<i2").tobytes()
ct.save_as("ct.dcm", enforce_file_format=True)

image = highdicom.imread("ct.dcm")
expected = values.ravel().tolist()
seen = image.get_frame(1).ravel().astype(int).tolist()
stored = image.get_stored_frame(1).ravel().tolist()
same_object = image.pixel_array.ravel().tolist()
other_reader = pydicom.dcmread("ct.dcm").pixel_array.ravel().tolist()

print(f"versions: highdicom {highdicom.__version__}, pydicom {pydicom.__version__}")
print(f"expected: {expected} (DICOM PS3.5 8.1.1: the High Bit is the sign, unused bits mean nothing)")
print(f"seen:     get_frame {seen}, get_stored_frame {stored}")
print(f"          .pixel_array of the same object {same_object}, pydicom {other_reader}")
print("hurt:     whoever reads CT or MR for a network with highdicom: air is brighter than bone, no warning")
if not (seen == stored == [3096, 4091, 0, 40] and same_object == other_reader == expected):
    sys.exit("this has changed: look at it again")
PYTHON
