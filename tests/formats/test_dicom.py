"""Series written here, lying in a patient in every way, and what is read from them."""

import itertools
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gdcm
import numpy as np
import pydicom
import pytest
import SimpleITK
from dicom_files import AXIAL, PATIENT, blank, enhanced, phantom, save, slices, with_pixels, written
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian

from unetseg.formats import Image
from unetseg.formats.dicom import looks_like_dicom, read_series, series_in
from unetseg.formats.grid import LPS_FROM_RAS


def at(image: Image) -> NDArray[np.float64]:
    """Where the voxels of a turned image lie by its place: (D,H,W,3) in LPS, mm."""
    grid = image.place.grid  # type: ignore[union-attr]
    indices = np.stack([*np.indices(grid.shape), np.ones(grid.shape)], axis=-1)  # (I,J,K,4)
    return np.asarray(grid.turned((indices @ (LPS_FROM_RAS @ grid.affine).T)[..., :3]))


def shows_the_phantom(image: Image) -> bool:
    """Whether every voxel holds the value of where it lies, and slices, rows, columns run to head, back and left."""
    places = at(image)
    steps = [np.diff(places, axis=axis)[..., world] for axis, world in enumerate((2, 1, 0))]
    ordered = all((step > 0).all() for step in steps)
    return ordered and bool(np.abs(image.pixels[..., 0] - phantom(places)).max() <= 1)


def turned_about(axis: int, degrees: float, orientation: Sequence[float] = AXIAL) -> list[float]:
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    one, other = [(1, 2), (2, 0), (0, 1)][axis]
    turn = np.eye(3)
    turn[one, one] = turn[other, other] = cosine
    turn[other, one], turn[one, other] = sine, -sine
    return (np.array(orientation, float).reshape(2, 3) @ turn.T).ravel().tolist()  # type: ignore[no-any-return]


# --- where slices lie -------------------------------------------------------------------------------------------


IN_PLANE = [
    [*along, *down]
    for along, down in itertools.permutations([(1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0)], 2)
    if np.dot(along, down) == 0
]


@pytest.mark.parametrize("orientation", IN_PLANE, ids=str)
def test_however_a_patient_lay_the_pixels_come_out_alike(tmp_path: Path, orientation: list[float]) -> None:
    """Prone, feet first, mirrored: eight ways to store the same cube of 5 x 5 x 5 voxels, files in any order."""
    along, down = np.array(orientation).reshape(2, 3)
    origin = np.array([-4.0, -6.0, 10.0]) + 8 * (along < 0) + 8 * (down < 0)
    if np.cross(along, down)[2] < 0:
        origin[2] += 8
    made = slices(5, shape=(5, 5), orientation=orientation, spacing=(2, 2), origin=origin, step=2.0)
    image = read_series(written(tmp_path / "a", made, ["q", "b.dcm", "z.ima", "a", "0"]))
    x, y, z = np.meshgrid(*(np.arange(5) * 2.0 + start for start in (-4, -6, 10)), indexing="ij")
    expected = phantom(np.stack([x, y, z], axis=-1)).transpose(2, 1, 0)
    assert (image.pixels[..., 0] == expected).all()
    assert (image.pixels.dtype, image.hounsfield, image.notices) == (np.int16, True, ())
    assert shows_the_phantom(image)
    assert image.place is not None
    assert image.place.unit == ("mL", pytest.approx(0.008))


@pytest.mark.parametrize("degrees", [10, 29])
@pytest.mark.parametrize("axis", [0, 1])
def test_oblique_slices(tmp_path: Path, axis: int, degrees: float) -> None:
    image = read_series(written(tmp_path / "a", slices(orientation=turned_about(axis, degrees))))
    assert shows_the_phantom(image)
    assert f"{degrees} degrees off axial" in image.description()


def test_slices_turned_in_their_plane(tmp_path: Path) -> None:
    image = read_series(written(tmp_path / "a", slices(orientation=turned_about(2, 40))))
    assert np.abs(image.pixels[..., 0] - phantom(at(image))).max() <= 1


@pytest.mark.parametrize(("degrees", "orientation"), [(45, turned_about(0, 45)), (90, (1, 0, 0, 0, 0, -1))])
def test_steeper_slices_are_refused_with_their_angle(
    tmp_path: Path, degrees: int, orientation: Sequence[float]
) -> None:
    with pytest.raises(ValueError, match=rf"^a has slices {degrees} degrees off the axial plane, .* at most 30; "):
        read_series(written(tmp_path / "a", slices(orientation=orientation)))


def test_a_tilted_gantry_keeps_its_shear(tmp_path: Path) -> None:
    image = read_series(written(tmp_path / "a", slices(orientation=turned_about(0, 20), step=(0, 0, 3))))
    assert shows_the_phantom(image)
    assert image.place.grid.sheared  # type: ignore[union-attr]
    assert "gantry tilted by 20 degrees" in image.description()
    volume = 2 * 1.5 * 3 * np.cos(np.radians(20)) / 1000
    assert image.place is not None
    assert image.place.unit == ("mL", pytest.approx(volume))


def test_the_second_reader_puts_voxels_at_the_same_places(tmp_path: Path) -> None:
    folder = written(tmp_path / "a", slices(orientation=turned_about(1, 10, (-1, 0, 0, 0, 1, 0))))
    other = SimpleITK.ReadImage(SimpleITK.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder)))
    image = read_series(folder)
    for point, value in zip(at(image).reshape(-1, 3), image.pixels.ravel(), strict=True):
        assert other.GetPixel(other.TransformPhysicalPointToIndex(point.tolist())) == value


@pytest.mark.parametrize(
    ("positions", "message"),
    [
        ([0, 3, 6, 15, 18], r"steps of 3 mm between slices, but 9 mm between 6\.00 and 15\.00 mm; add the missing"),
        ([0, 5, 10, 12.5, 15, 20], r"steps of 5 mm between slices, but 2\.5 mm between 10\.00 and 12\.50 mm"),
        ([0, 3, 3, 6], r"two slices at one position \(3\.00 mm\)"),
    ],
)
def test_gaps_and_doubled_positions_are_refused(tmp_path: Path, positions: list[float], message: str) -> None:
    made = [slices(1, origin=(0, 0, z))[0] for z in positions]
    with pytest.raises(ValueError, match=f"^a has {message}"):
        read_series(written(tmp_path / "a", made))


def test_uneven_steps_are_noticed(tmp_path: Path) -> None:
    made = [slices(1, origin=(0, 0, z))[0] for z in (0, 3, 6, 9.6)]
    assert "uneven steps (up to 1.2 times" in read_series(written(tmp_path / "a", made)).notices[0]


def without(*keywords: str) -> Callable[[list[Dataset]], None]:
    def remove(made: list[Dataset]) -> None:
        for keyword in keywords:
            delattr(made[2], keyword)

    return remove


def put(keyword: str, value: Any) -> Callable[[list[Dataset]], None]:  # noqa: ANN401
    return lambda made: setattr(made[2], keyword, value)


def smaller(made: list[Dataset]) -> None:
    made[2] = slices(3, shape=(5, 7))[2]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without("ImagePositionPatient"), "not every one says its position"),
        (without("PixelSpacing"), "not every one says its position, orientation and spacing"),
        (put("ImageOrientationPatient", turned_about(0, 10)), "mixes slices of several orientations or spacings"),
        (put("ImageOrientationPatient", [1, 0, 0, 1, 0, 0]), "an orientation or a spacing that is none"),
        (put("PixelSpacing", [0, 2]), "an orientation or a spacing that is none"),
        (put("PixelSpacing", [3, 2]), "mixes slices of several orientations or spacings"),
        (put("ImagePositionPatient", [9, -10, 10]), "don't lie above one another"),
        (put("Modality", "MR"), r"mixes modalities in one series \(CT, MR\)"),
        (smaller, r"mixes sizes in one series \(7 x 5, 7 x 6\)"),
        (put("HighBit", 12), "keeps 16 bits up to bit 12 in 16, which isn't read"),
        (put("ModalityLUTSequence", [Dataset()]), "keeps its numbers through a table"),
    ],
)
def test_what_makes_no_regular_volume_is_one_sentence(
    tmp_path: Path, change: Callable[[list[Dataset]], None], message: str
) -> None:
    made = slices()
    change(made)
    with pytest.raises(ValueError, match=rf"^a [^\n]*{message}[^\n]*; [^\n]+$"):
        read_series(written(tmp_path / "a", made))


def test_a_single_slice(tmp_path: Path) -> None:
    image = read_series(save(tmp_path / "a.dcm", slices(3)[1]))
    assert image.pixels.shape == (1, 6, 7, 1)
    assert shows_the_phantom(image)
    assert image.place is not None
    assert (image.place.suffix, image.place.unit) == (".dcm", ("mL", pytest.approx(0.009)))


def test_a_single_slice_without_a_position_is_read_and_that_is_said(tmp_path: Path) -> None:
    dataset = with_pixels(blank("CR"), np.arange(42).reshape(6, 7))
    image = read_series(save(tmp_path / "a.dcm", dataset))
    assert (image.pixels[0, ..., 0] == np.arange(42).reshape(6, 7)).all()
    assert image.notices == ("a.dcm doesn't say where it lies or how thick it is; volumes are not known",)
    assert image.place is not None
    assert image.place.unit is None


# --- which files ------------------------------------------------------------------------------------------------


def several(folder: Path) -> Path:
    written(folder / "deep" / "er", slices(4, SeriesInstanceUID="1.7", SeriesNumber=3, SeriesDescription="late"))
    written(folder / "b", slices(2, modality="MR", SeriesInstanceUID="1.8", SeriesNumber=1))
    (folder / "notes.txt").write_text("words")
    (folder / "empty").touch()
    return folder


def zipped(folder: Path) -> Path:
    return Path(shutil.make_archive(str(folder), "zip", folder))


@pytest.mark.parametrize("place", [lambda folder: folder, zipped])
def test_of_several_series_one_is_chosen(tmp_path: Path, place: Callable[[Path], Path]) -> None:
    path = place(several(tmp_path / "a"))
    assert [(found.uid, found.modality, found.slices) for found in series_in(path)] == [
        ("1.8", "MR", 2),
        ("1.7", "CT", 4),
    ]
    listed = r"1: MR, 2 slices, 'phantom', 1\.8; 2: CT, 4 slices, 'late', 1\.7"
    with pytest.raises(ValueError, match=rf"^{path.name} holds 2 series; choose one .* \(--series\): {listed}$"):
        read_series(path)
    with pytest.raises(ValueError, match="holds 2 series, none of them '3'; choose"):
        read_series(path, series="3")
    for series in ("2", "1.7"):
        image = read_series(path, series=series, name="x")
        assert shows_the_phantom(image)
        assert (len(image.pixels), image.name) == (4, "x")
        assert image.facts[-1] == "2 other files passed over"
        assert len(image.place.datasets()) == 4  # type: ignore[union-attr]
    assert path.is_dir() or sorted(tmp_path.iterdir()) == [tmp_path / "a", path]  # nothing was extracted


def test_localizers_are_left_out(tmp_path: Path) -> None:
    scout = slices(1, orientation=(1, 0, 0, 0, 0, -1), ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    image = read_series(written(tmp_path / "a", scout + slices(3)))
    assert len(image.pixels) == 3
    assert image.notices == ("a: 1 localizer left out",)
    with pytest.raises(ValueError, match=r"^b holds only localizers \(scouts\); give"):
        read_series(written(tmp_path / "b", scout))


def report() -> Dataset:
    dataset = blank("SR", SOPClassUID="1.2.840.10008.5.1.4.1.1.88.11")
    for keyword in ("SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated", "BitsStored", "HighBit"):
        delattr(dataset, keyword)
    return dataset


def directory() -> Dataset:
    dataset = report()
    dataset.DirectoryRecordSequence = [Dataset()]
    return dataset


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (report, "holds no image but Basic Text SR Storage; give the folder of the images"),
        (directory, "is a DICOMDIR, a list of files and none of them; give the folder"),
        (b"these are words, not pixels, and enough of them to be looked at" * 4, r"holds no DICOM \(1 file\); give"),
        (b"", r"is empty \(0 bytes\); give"),
        (b"\0" * 128 + b"DICM", "has a damaged header; save"),
        (b"PK\3\4 and no more", "is damaged or cut off: it is no whole zip; save"),
    ],
)
def test_what_holds_no_slices_says_what_it_is(
    tmp_path: Path, data: bytes | Callable[[], Dataset], message: str
) -> None:
    path = tmp_path / "a.dcm"
    if isinstance(data, bytes):
        path.write_bytes(data)
    else:
        save(path, data())
    for reader in (read_series, series_in):
        with pytest.raises(ValueError, match=rf"^a\.dcm {message}[^\n]*$"):
            reader(path)


def test_what_is_beside_a_series_is_passed_over(tmp_path: Path) -> None:
    image = read_series(written(tmp_path / "a", [*slices(3), report(), directory()]))
    assert (len(image.pixels), image.facts[-1]) == (3, "2 other files passed over")


def test_files_without_a_preamble(tmp_path: Path) -> None:
    path = save(tmp_path / "a.dcm", slices(1)[0])
    explicit, implicit = tmp_path / "explicit", tmp_path / "implicit"
    explicit.write_bytes(path.read_bytes()[132:])
    pydicom.dcmwrite(implicit, Dataset(pydicom.dcmread(path)), implicit_vr=True, little_endian=True)
    for bare in (explicit, implicit):
        assert looks_like_dicom(bare.read_bytes()[:132])
        assert (read_series(bare).pixels == read_series(path).pixels).all()
    assert not any(map(looks_like_dicom, (b"", b"DICM", b"\x08\0", b"\x5c\1\0\0" + b"\0" * 200, b"P5 8 6 65535\n")))


def test_limits_are_told_before_pixels_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = written(tmp_path / "a", slices(3))
    with pytest.raises(ValueError, match=r"^a \(7 x 6\) is larger than the limit of .* in a slice; reduce"):
        read_series(folder, max_pixels=41)
    monkeypatch.setattr("unetseg.formats.dicom.MAX_VOXELS", 125)
    with pytest.raises(ValueError, match=r"^a has .* million voxels, the limit is .*; cut it"):
        read_series(folder)
    monkeypatch.setattr("unetseg.formats.dicom_series.MAX_BYTES", 1000)
    with pytest.raises(ValueError, match=r"^a\.zip unpacks to .* GB, the limit is .*; give"):
        read_series(zipped(folder))
    deflated = slices(1, shape=(20, 20))[0]
    deflated.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    with pytest.raises(ValueError, match=r"^b\.dcm has a damaged header; save"):
        read_series(save(tmp_path / "b.dcm", deflated))
    monkeypatch.setattr("unetseg.formats.dicom_series.MAX_FILES", 2)
    with pytest.raises(ValueError, match=r"^a holds more than 2 files; give"):
        read_series(folder)


def test_an_encrypted_zip(tmp_path: Path) -> None:
    path = zipped(written(tmp_path / "a", slices(2)))
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\1\2") + 8] |= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"^a\.zip is encrypted; give"):
        read_series(path)


# --- numbers ----------------------------------------------------------------------------------------------------


def test_every_file_has_its_own_rescale(tmp_path: Path) -> None:
    made = [slices(3, RescaleSlope=slope, RescaleIntercept=-1024)[k] for k, slope in enumerate((1, 1, 1))]
    made[1] = slices(3, RescaleIntercept=-500)[1]
    assert shows_the_phantom(read_series(written(tmp_path / "a", made)))


def test_fractional_rescales_are_floats(tmp_path: Path) -> None:
    made = slices(3)
    for number, dataset in enumerate(made):
        dataset.RescaleSlope, dataset.RescaleIntercept = 0.5, number
    image = read_series(written(tmp_path / "a", made))
    stored = np.stack([dataset.pixel_array for dataset in made])
    assert image.pixels.dtype == np.float32
    assert (image.pixels[..., 0] == stored * 0.5 + np.arange(3)[:, None, None]).all()


def test_numbers_too_large_for_int16_are_floats(tmp_path: Path) -> None:
    dataset = slices(1, modality="MR", PixelRepresentation=0)[0]
    with_pixels(dataset, np.full((6, 7), 65535))
    image = read_series(save(tmp_path / "a.dcm", dataset))
    assert (image.pixels.dtype, image.pixels.min()) == (np.float32, 65535)


@pytest.mark.parametrize("bits", [12, 13, 16])
def test_signed_bits_in_sixteen_keep_their_sign(tmp_path: Path, bits: int) -> None:
    image = read_series(written(tmp_path / "a", slices(origin=(-8, -10, -4), BitsStored=bits, HighBit=bits - 1)))
    assert image.pixels.min() < 0
    assert shows_the_phantom(image)


def test_enhanced_ct_is_rescaled_frame_by_frame_and_sorted(tmp_path: Path) -> None:
    made = [slices(5, RescaleIntercept=-100 * k)[k] for k in range(5)]
    path = save(tmp_path / "a.dcm", enhanced([made[k] for k in (3, 0, 4, 1, 2)]))
    image = read_series(path)
    assert (image.hounsfield, image.pixels.shape) == (True, (5, 6, 7, 1))
    assert shows_the_phantom(image)
    assert [one.frame for one in image.place.slices] == [1, 3, 4, 0, 2]  # type: ignore[union-attr]


def test_frames_without_positions_are_refused(tmp_path: Path) -> None:
    dataset = with_pixels(blank("US", NumberOfFrames=4), np.zeros((4, 6, 7), int))
    with pytest.raises(ValueError, match=r"^a\.dcm has 4 slices or frames \(US\) and not every one says its position"):
        read_series(save(tmp_path / "a.dcm", dataset))


@pytest.mark.parametrize(
    ("attributes", "hounsfield", "notice"),
    [
        ({"RescaleType": None}, True, None),
        ({"RescaleType": "US"}, False, "is CT in the unit 'US', so not taken as Hounsfield units; if it is"),
        ({"RescaleSlope": None}, False, "is CT without a rescale, so not taken as Hounsfield units"),
        ({"modality": "MR"}, False, None),
        ({"modality": "PT", "RescaleSlope": 2, "RescaleIntercept": 0}, False, None),
    ],
)
def test_hounsfield_units_are_those_of_ct_alone(
    tmp_path: Path, attributes: dict[str, Any], hounsfield: bool, notice: str | None
) -> None:
    folder = written(tmp_path / "a", slices(**attributes))
    image = read_series(folder)
    assert (image.hounsfield, image.value_range) == (hounsfield, None)
    assert len(image.notices) == (notice is not None)
    assert notice is None or notice in image.notices[0]
    assert image.facts[0] == image.modality == attributes.get("modality", "CT")
    told = read_series(folder, value_range=(0, 100))
    assert (told.hounsfield, told.value_range, told.stated, told.notices) == (False, (0, 100), True, ())
    assert read_series(folder, hounsfield=True).hounsfield


@pytest.mark.parametrize(("modality", "inverted"), [("CT", False), ("MR", True), ("CR", True)])
def test_white_as_the_lowest_value_is_inverted_but_not_what_is_measured(
    tmp_path: Path, modality: str, inverted: bool
) -> None:
    made = slices(3, modality=modality, PhotometricInterpretation="MONOCHROME1", BitsStored=12, HighBit=11)
    image = read_series(written(tmp_path / "a", made))
    stored = np.stack([dataset.pixel_array for dataset in made])
    assert (image.pixels[..., 0] == (-1 - stored if inverted else stored)).all()
    assert ("MONOCHROME1" in "".join(image.notices)) == inverted


@pytest.mark.parametrize(
    ("padding", "limit", "invalid"),
    [(-2000, None, [-2000]), (63536, None, [-2000]), (-2000, -1900, [-2000, -1950]), (-1900, -2000, [-2000, -1950])],
)
def test_padding_is_air_and_not_valid(tmp_path: Path, padding: int, limit: int | None, invalid: list[int]) -> None:
    made = slices(2)
    numbers = made[1].pixel_array.copy()
    numbers[0, :3] = -2000, -1950, -1800
    with_pixels(made[1], numbers)
    for dataset in made:
        dataset.add_new("PixelPaddingValue", "US" if padding > 0 else "SS", padding)
        if limit is not None:
            dataset.add_new("PixelPaddingRangeLimit", "SS", limit)
    image = read_series(written(tmp_path / "a", made))
    expected = np.ones((2, 6, 7), bool)
    expected[1][np.isin(numbers, invalid)] = False
    assert image.valid is not None
    assert (image.valid == expected).all()
    assert (image.pixels[~expected] == -1000).all()
    assert (image.pixels[1, ..., 0][expected[1]] == numbers[expected[1]]).all()


def test_colour_is_read_as_a_single_picture_and_refused_in_volumes(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 7, 3))
    kind = {
        "SamplesPerPixel": 3,
        "PhotometricInterpretation": "RGB",
        "PlanarConfiguration": 0,
        "PixelRepresentation": 0,
    }
    bits = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7}
    single = with_pixels(blank("US", **kind, **bits), pixels)
    image = read_series(save(tmp_path / "a.dcm", single))
    assert (image.pixels == pixels).all()
    assert (image.pixels.dtype, image.value_range, image.hounsfield) == (np.uint8, (0, 255), False)
    several = with_pixels(blank("US", NumberOfFrames=2, **kind, **bits), np.stack([pixels] * 2))
    with pytest.raises(ValueError, match=r"^b\.dcm is in colour \(US, 2 frames\), expected grey slices; give"):
        read_series(save(tmp_path / "b.dcm", several))


# --- codings ----------------------------------------------------------------------------------------------------


CODINGS = {
    "JPEGBaselineProcess1": (8, 1),
    "JPEGExtendedProcess2_4": (12, 1),
    "JPEGLosslessProcess14": (16, 0),
    "JPEGLosslessProcess14_1": (16, 0),
    "JPEGLSLossless": (16, 0),
    "JPEGLSNearLossless": (12, 2),
    "JPEG2000Lossless": (16, 0),
    "JPEG2000": (12, 2),
    "RLELossless": (16, 0),
    "DeflatedExplicitVRLittleEndian": (16, 0),
    "ImplicitVRLittleEndian": (16, 0),
}


def encoded(path: Path, coding: str) -> Path:
    """A copy in another coding, by GDCM."""
    reader = gdcm.ImageReader()
    reader.SetFileName(str(path))
    assert reader.Read()
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(getattr(gdcm.TransferSyntax, coding)))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer = gdcm.ImageWriter()
    writer.SetFileName(str(path.with_suffix(f".{coding}")))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()
    return path.with_suffix(f".{coding}")


def smooth(bits: int) -> Dataset:
    y, x = np.mgrid[:32, :40]
    numbers = ((np.sin(x / 9) + np.cos(y / 7) + 2) / 4 * ((1 << bits) - 1)).astype(int)
    bits_of = {
        "BitsAllocated": 8 if bits == 8 else 16,
        "BitsStored": bits,
        "HighBit": bits - 1,
        "PixelRepresentation": 0,
    }
    return with_pixels(slices(1, modality="MR", **bits_of)[0], numbers)


@pytest.mark.parametrize("coding", CODINGS)
def test_every_coding_comes_back(tmp_path: Path, coding: str) -> None:
    bits, tolerance = CODINGS[coding]
    path = save(tmp_path / "a.dcm", smooth(bits))
    other = encoded(path, coding)
    assert pydicom.dcmread(other).file_meta.TransferSyntaxUID != pydicom.dcmread(path).file_meta.TransferSyntaxUID
    expected = read_series(path).pixels.astype(int)
    assert expected.max() > 200
    for place in (other, zipped(written(tmp_path / "z", [pydicom.dcmread(other)]))):
        assert np.abs(read_series(place).pixels.astype(int) - expected).max() <= tolerance


@pytest.mark.parametrize(
    "coding", ["JPEGExtendedProcess2_4", "JPEGLosslessProcess14_1", "JPEGLSLossless", "JPEG2000Lossless"]
)
def test_coded_pixels_that_are_cut_off_are_refused(tmp_path: Path, coding: str) -> None:
    dataset = pydicom.dcmread(encoded(save(tmp_path / "a.dcm", smooth(12)), coding))
    (frame,) = pydicom.encaps.generate_frames(dataset.PixelData, number_of_frames=1)
    dataset.PixelData = pydicom.encaps.encapsulate([frame[: len(frame) // 2]])
    with pytest.raises(ValueError, match=r"^b\.dcm has pixels that are damaged or cut off; save"):
        read_series(save(tmp_path / "b.dcm", dataset))


def test_a_coding_without_its_library_names_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = encoded(save(tmp_path / "a.dcm", smooth(12)), "JPEGLSLossless")
    monkeypatch.setattr("pydicom.pixels.decoders.base.Decoder.is_available", False)
    with pytest.raises(
        ValueError, match=r"is coded as JPEG-LS .*, which needs a library: pip install 'unetseg\[medical\]'"
    ):
        read_series(path)
    dataset = smooth(8)
    dataset.file_meta.TransferSyntaxUID = UID("1.2.840.10008.1.2.4.102")
    dataset.PixelData = pydicom.encaps.encapsulate([b"film"])
    dataset["PixelData"].VR = "OB"
    with pytest.raises(ValueError, match=r"^b\.dcm is coded as MPEG-4 .*, which isn't read; save it uncompressed"):
        read_series(save(tmp_path / "b.dcm", dataset))
    monkeypatch.setitem(__import__("sys").modules, "pydicom", None)
    with pytest.raises(ValueError, match=r"needs pydicom: pip install 'unetseg\[medical\]'"):
        read_series(path)


# --- privacy, damage, real files --------------------------------------------------------------------------------


def test_nothing_that_is_said_names_the_patient(tmp_path: Path) -> None:
    secrets = [*PATIENT["PatientName"].split("^"), PATIENT["PatientID"], PATIENT["PatientBirthDate"]]
    folder = written(tmp_path / "a", slices(RescaleType="US"))
    image = read_series(folder)
    said = [image.description(), *image.notices, repr(image.place), *map(str, series_in(folder))]
    for change in (put("HighBit", 9), put("ImagePositionPatient", [0, 0, 99]), without("Rows"), without("PixelData")):
        made = slices()
        change(made)
        with pytest.raises(ValueError, match=r"^[^\n]*\bb\b[^\n]*$") as caught:
            read_series(written(tmp_path / "b", made))
        said.append(str(caught.value))
    damaged = bytearray((folder / "000.dcm").read_bytes())
    damaged[damaged.index(b"Zappel") - 2] = 255
    (tmp_path / "b.dcm").write_bytes(damaged)
    with pytest.raises(ValueError, match=r"b\.dcm") as caught:
        read_series(tmp_path / "b.dcm")
    said.append(str(caught.value))
    assert not [secret for secret in secrets if secret in "\n".join(said)]


def test_cut_off_files_are_refused_wherever_the_cut(tmp_path: Path) -> None:
    whole = save(tmp_path / "a.dcm", slices(1)[0]).read_bytes()
    path = tmp_path / "cut.dcm"
    for length in range(0, len(whole) - 1, 7):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"^cut\.dcm [^\n]+; [^\n]+$"):
            read_series(path)


def test_damaged_files_give_an_image_or_one_sentence(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    first = save(tmp_path / "a.dcm", slices(1)[0]).read_bytes()
    second = save(tmp_path / "b.dcm", enhanced(slices(3))).read_bytes()
    images, sentences = 0, []
    for number in range(400):
        data = bytearray((first, second)[number % 2])
        for _ in range(random.integers(1, 6)):
            data[random.integers(132, len(data))] = random.integers(0, 256)
        path = tmp_path / "c.dcm"
        path.write_bytes(data)
        try:
            images += isinstance(read_series(path), Image)
        except ValueError as error:
            sentences.append(str(error))
    assert min(images, len(sentences)) > 50
    assert not [sentence for sentence in sentences if "\n" in sentence or not sentence.startswith("c.dcm")]


def test_a_real_series(real_data: Path) -> None:
    folder = real_data / "uploads" / "dicom_crlm1004"
    image = read_series(folder)
    assert (image.pixels.shape, image.pixels.dtype, image.hounsfield) == ((41, 512, 512, 1), np.int16, True)
    assert image.pixels.min() >= -1024
    assert image.valid is not None
    assert 0.78 < image.valid.mean() < 0.79  # the circle of the scanner
    assert not image.notices
    assert at(image)[0, 0, 0].round(3).tolist() == [-198.2, -204.0, -375.0]
    assert image.description().endswith("spacing 0.797 x 0.797 x 5 mm, stored as LPS")
