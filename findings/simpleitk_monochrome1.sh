#!/usr/bin/env bash
# SimpleITK 2.5.7 (GDCM) turns the numbers of a MONOCHROME1 image round, and only then makes Hounsfield units of them.
#
# Expected: -1000, 0, 40, 3071 HU, as with MONOCHROME2 and from pydicom 3.0.2. MONOCHROME1 is how to show an image: its
# smallest value as white "after any VOI gray scale transformations" (DICOM PS3.3, C.7.6.3.1.2); what a value means is
# said by the Modality LUT, before that (PS3.4, annex N). A CT Image may have either (PS3.3, C.8.2.1).
# Seen: 3047, 2047, 2007, -1024: stored values are subtracted from the largest possible before the rescale, without a
# warning, and the metadata still say MONOCHROME1, so who inverts by them for display does it twice.
# Hurt: who reads CT, or X-rays from several makers, by SimpleITK in training and pydicom in use, or the other way: air
# is denser than bone, in some files only.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check SimpleITK==2.5.7 pydicom==3.0.2 numpy==2.4.6
cd "$work"
venv/bin/python - << 'PYTHON'
import sys

import numpy as np
import pydicom
import SimpleITK
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.pixels import apply_rescale
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

expected = [-1000, 0, 40, 3071]


def readers(photometric):
    ct = Dataset()
    ct.file_meta = FileMetaDataset()
    ct.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ct.SOPClassUID, ct.SOPInstanceUID = CTImageStorage, generate_uid()
    ct.PatientName, ct.PatientID, ct.PatientBirthDate, ct.PatientSex = "Phantom^CT", "1", "", "O"
    ct.StudyInstanceUID, ct.SeriesInstanceUID, ct.FrameOfReferenceUID = generate_uid(), generate_uid(), generate_uid()
    ct.StudyDate, ct.StudyTime, ct.StudyID, ct.AccessionNumber = "20240101", "120000", "1", ""
    ct.ReferringPhysicianName, ct.Manufacturer, ct.PositionReferenceIndicator = "", "", ""
    ct.Modality, ct.SeriesNumber, ct.InstanceNumber, ct.AcquisitionNumber = "CT", 1, 1, 1
    ct.ImageType, ct.KVP = ["ORIGINAL", "PRIMARY", "AXIAL"], 120
    ct.ImagePositionPatient, ct.ImageOrientationPatient = [0, 0, 0], [1, 0, 0, 0, 1, 0]
    ct.PixelSpacing, ct.SliceThickness = [1, 1], 1
    ct.Rows, ct.Columns, ct.SamplesPerPixel, ct.PhotometricInterpretation = 2, 2, 1, photometric
    ct.BitsAllocated, ct.BitsStored, ct.HighBit, ct.PixelRepresentation = 16, 12, 11, 0
    ct.RescaleSlope, ct.RescaleIntercept, ct.RescaleType = 1, -1024, "HU"
    ct.PixelData = (np.array(expected) + 1024).astype("<u2").tobytes()
    ct.save_as("ct.dcm", enforce_file_format=True)
    image, dataset = SimpleITK.ReadImage("ct.dcm"), pydicom.dcmread("ct.dcm")
    by_pydicom = apply_rescale(dataset.pixel_array, dataset).ravel().astype(int).tolist()
    return SimpleITK.GetArrayFromImage(image).ravel().tolist(), by_pydicom, image.GetMetaData("0028|0004").strip()


seen, by_pydicom, said = readers("MONOCHROME1")
other = readers("MONOCHROME2")

print(f"versions: SimpleITK {SimpleITK.__version__}, pydicom {pydicom.__version__}")
print(f"expected: {expected} HU (DICOM PS3.3, C.7.6.3.1.2)")
print(f"seen:     SimpleITK {seen}, saying {said}; {other[0]} from the same numbers as MONOCHROME2")
print(f"          pydicom {by_pydicom}")
print("hurt:     whoever reads CT or X-rays by SimpleITK here and pydicom there: some of them are negatives")
if not (seen == [3047, 2047, 2007, -1024] and said == "MONOCHROME1" and by_pydicom == expected and
        other == (expected, expected, "MONOCHROME2")):
    sys.exit("this has changed: look at it again")
PYTHON
