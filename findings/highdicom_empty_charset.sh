#!/usr/bin/env bash
# highdicom 0.28.2: no segmentation of Japanese or Korean images: their usual character sets are refused.
#
# Expected: a Segmentation, as for other character sets. Specific Character Set `\ISO 2022 IR 87` is the standard's own
# example for Japanese, and `\ISO 2022 IR 149` that for Korean (DICOM PS3.5, annexes H.3 and I.2). Of several values
# the first may be empty, and is then assumed to be ISO 2022 IR 6 (PS3.3, C.12.1.1.2).
# Seen: ValueError: '' is not a valid SpecificCharacterSetValues. With IR 6 written out Japanese passes, and Korean
# still doesn't: highdicom has IR 159, which is supplementary kanji, where Korean is 149.
# Hurt: who returns results to archives in Japan and Korea: the image is read and segmented, and fails when it is saved.
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
from pydicom.sr.codedict import codes
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

organ = highdicom.seg.SegmentDescription(1, "liver", codes.SCT.Organ, codes.SCT.Liver, "MANUAL")


def segmented(name, character_set):
    ct = Dataset()
    ct.file_meta = FileMetaDataset()
    ct.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ct.SpecificCharacterSet = character_set
    ct.SOPClassUID, ct.SOPInstanceUID = CTImageStorage, generate_uid()
    ct.PatientName, ct.PatientID, ct.PatientBirthDate, ct.PatientSex = name, "1", "", "O"
    ct.StudyInstanceUID, ct.SeriesInstanceUID, ct.FrameOfReferenceUID = generate_uid(), generate_uid(), generate_uid()
    ct.StudyDate, ct.StudyTime, ct.StudyID, ct.AccessionNumber = "20240101", "120000", "1", ""
    ct.ReferringPhysicianName, ct.Manufacturer, ct.PositionReferenceIndicator = "", "", ""
    ct.Modality, ct.SeriesNumber, ct.InstanceNumber, ct.AcquisitionNumber = "CT", 1, 1, 1
    ct.ImageType, ct.KVP = ["ORIGINAL", "PRIMARY", "AXIAL"], 120
    ct.ImagePositionPatient, ct.ImageOrientationPatient = [0, 0, 0], [1, 0, 0, 0, 1, 0]
    ct.PixelSpacing, ct.SliceThickness = [1, 1], 1
    ct.Rows, ct.Columns, ct.SamplesPerPixel, ct.PhotometricInterpretation = 8, 8, 1, "MONOCHROME2"
    ct.BitsAllocated, ct.BitsStored, ct.HighBit, ct.PixelRepresentation = 16, 12, 11, 0
    ct.RescaleSlope, ct.RescaleIntercept, ct.RescaleType = 1, -1024, "HU"
    ct.PixelData = np.zeros((8, 8), "<u2").tobytes()
    ct.save_as("ct.dcm", enforce_file_format=True)
    image = pydicom.dcmread("ct.dcm")
    assert str(image.PatientName) == name  # the file is as its character set says
    try:
        highdicom.seg.Segmentation(
            [image], np.ones((1, 8, 8), np.uint8), "BINARY", [organ],
            generate_uid(), 2, generate_uid(), 1, "none", "none", "1", "1",
        ).save_as("seg.dcm")
    except ValueError as error:
        return f"ValueError: {error}"
    return "made" if str(pydicom.dcmread("seg.dcm").PatientName) == name else "another name"


japanese, korean = "Yamada^Tarou=山田^太郎=やまだ^たろう", "Hong^Gildong=洪^吉洞=홍^길동"
seen = {
    "Japanese": segmented(japanese, ["", "ISO 2022 IR 87"]),
    "Korean": segmented(korean, ["", "ISO 2022 IR 149"]),
    "Japanese, IR 6 written out": segmented(japanese, ["ISO 2022 IR 6", "ISO 2022 IR 87"]),
    "Korean, IR 6 written out": segmented(korean, ["ISO 2022 IR 6", "ISO 2022 IR 149"]),
    "Japanese, UTF-8": segmented(japanese, "ISO_IR 192"),
    "Korean, UTF-8": segmented(korean, "ISO_IR 192"),
}

print(f"versions: highdicom {highdicom.__version__}, pydicom {pydicom.__version__}")
print("expected: made, for each (DICOM PS3.3, C.12.1.1.2, and PS3.5, annexes H and I)")
for case, result in seen.items():
    print(f"seen:     {case}: {result}")
print("hurt:     whoever returns results to archives in Japan and Korea: nothing to return")
refused = [case for case, result in seen.items() if "is not a valid SpecificCharacterSetValues" in result]
made = [case for case, result in seen.items() if result == "made"]
if not (refused == ["Japanese", "Korean", "Korean, IR 6 written out"] and len(made) == 3):
    sys.exit("this has changed: look at it again")
PYTHON
