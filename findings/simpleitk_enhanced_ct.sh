#!/usr/bin/env bash
# SimpleITK 2.5.7: ReadImage stacks an Enhanced CT in the order of the file, 1 mm apart, wherever its frames lie.
#
# Expected: slices by position, 10 mm apart. "The actual order of the frames in the object is up to the generating
# application" (DICOM PS3.3, C.7.6.17); where a frame lies stands in its Plane Position (Patient) functional group
# (C.7.6.16.2.3). get_volume of highdicom 0.28.2 reads the same file so.
# Seen: of frames at 0, 20, 10 and 30 mm the second and third come swapped, and the spacing is 1 mm, without an
# exception or a warning. With the frames in order of position both are right.
# Hurt: who segments Enhanced CT in 3D: neighbours in the array are none in the patient, and volumes in ml are a tenth.
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
import SimpleITK
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import EnhancedCTImageStorage, ExplicitVRLittleEndian, generate_uid


def group(**values):
    ds = Dataset()
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    return ds


positions = [0, 20, 10, 30]  # z in mm of the frames, in the order of the file; each frame holds 1024 + z, so z HU
at, dimension = "20240101120000", generate_uid()
kind = dict(PixelPresentation="MONOCHROME", VolumetricProperties="VOLUME", VolumeBasedCalculationTechnique="NONE")
ct = group(
    SOPClassUID=EnhancedCTImageStorage, SOPInstanceUID=generate_uid(), InstanceNumber=1,
    PatientName="Phantom^CT", PatientID="1", PatientBirthDate="", PatientSex="O", PatientPosition="HFS",
    StudyInstanceUID=generate_uid(), StudyDate="20240101", StudyTime="120000", StudyID="1", AccessionNumber="",
    ReferringPhysicianName="", SeriesInstanceUID=generate_uid(), SeriesNumber=1, Modality="CT",
    FrameOfReferenceUID=generate_uid(), PositionReferenceIndicator="",
    Manufacturer="none", ManufacturerModelName="none", DeviceSerialNumber="1", SoftwareVersions="1",
    ContentDate="20240101", ContentTime="120000", AcquisitionDateTime=at, AcquisitionDuration=1.0,
    ImageType=["DERIVED", "PRIMARY", "VOLUME", "NONE"], **kind, ContentQualification="RESEARCH",
    BurnedInAnnotation="NO", LossyImageCompression="00", PresentationLUTShape="IDENTITY", AcquisitionContextSequence=[],
    NumberOfFrames=len(positions), Rows=4, Columns=4, SamplesPerPixel=1, PhotometricInterpretation="MONOCHROME2",
    BitsAllocated=16, BitsStored=12, HighBit=11, PixelRepresentation=0,
    DimensionOrganizationSequence=[group(DimensionOrganizationUID=dimension)],
    DimensionIndexSequence=[group(  # In-Stack Position Number, in the Frame Content Sequence
        DimensionOrganizationUID=dimension, DimensionIndexPointer=0x00209057, FunctionalGroupPointer=0x00209111)],
    SharedFunctionalGroupsSequence=[group(
        PixelValueTransformationSequence=[group(RescaleSlope=1, RescaleIntercept=-1024, RescaleType="HU")],
        PixelMeasuresSequence=[group(PixelSpacing=[1, 1], SliceThickness=10)],
        PlaneOrientationSequence=[group(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])],
        CTImageFrameTypeSequence=[group(FrameType=["DERIVED", "PRIMARY", "VOLUME", "NONE"], **kind)],
        IrradiationEventIdentificationSequence=[group(IrradiationEventUID=generate_uid())],
        FrameAnatomySequence=[group(FrameLaterality="U", AnatomicRegionSequence=[group(
            CodeValue="113345001", CodingSchemeDesignator="SCT", CodeMeaning="Abdomen")])])],
    PerFrameFunctionalGroupsSequence=[group(
        FrameContentSequence=[group(
            StackID="1", InStackPositionNumber=z // 10 + 1, DimensionIndexValues=[z // 10 + 1],
            FrameAcquisitionNumber=1, FrameReferenceDateTime=at, FrameAcquisitionDateTime=at,
            FrameAcquisitionDuration=1.0)],
        PlanePositionSequence=[group(ImagePositionPatient=[0, 0, z])],
    ) for z in positions],
    PixelData=np.repeat(np.array(positions, "<u2") + 1024, 16).tobytes(),
)
ct.file_meta = FileMetaDataset()
ct.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
ct.save_as("ct.dcm", enforce_file_format=True)

expected = sorted(positions)
image = SimpleITK.ReadImage("ct.dcm")
seen, spacing = SimpleITK.GetArrayFromImage(image)[:, 0, 0].tolist(), image.GetSpacing()[2]
volume = highdicom.imread("ct.dcm").get_volume()  # from the top down
other_reader, other_spacing = volume.array[::-1, 0, 0].astype(int).tolist(), volume.spacing[0]

print(f"versions: SimpleITK {SimpleITK.__version__}, highdicom {highdicom.__version__}")
print(f"expected: {expected} HU from slice to slice, spacing 10 (DICOM PS3.3, C.7.6.17 and C.7.6.16.2.3)")
print(f"seen:     SimpleITK {seen}, spacing {spacing:g}")
print(f"          highdicom {other_reader}, spacing {other_spacing:g}")
print("hurt:     whoever segments Enhanced CT in 3D: shuffled slices and wrong volumes, no warning")
if not ((seen, spacing) == (positions, 1) and (other_reader, other_spacing) == (expected, 10)):
    sys.exit("this has changed: look at it again")
PYTHON
