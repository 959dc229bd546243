"""From a folder of NIfTI volumes, of DICOM series with DICOM-SEG, or of GeoTIFF tiles to a checkpoint with scores."""

import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import rasterio
import rasterio.warp
import torch
from configs import config_for, network_for
from dicom_files import AXIAL, blank, save, with_pixels, written
from numpy.typing import NDArray
from PIL import Image as Pillow
from rasterio.transform import Affine

from unetseg import IGNORE, Predictor, hub
from unetseg.fitting import Recipe, fit
from unetseg.fitting.data.dataset import Crops, Pictures, measure
from unetseg.fitting.data.finding import find_layout
from unetseg.fitting.data.folder import (
    Example,
    find_examples,
    pictures_by_split,
    read_example,
    read_labels,
    read_slices,
    telling_slice,
)
from unetseg.fitting.data.layouts import pair, stem
from unetseg.fitting.doctor import Diagnosis, diagnose, draw_sheet, report_text
from unetseg.fitting.doctor.survey import mask_facts
from unetseg.fitting.journal import Journal
from unetseg.fitting.report.evaluation import assess, cases, collect, evaluate
from unetseg.formats import read_image, write_labels
from unetseg.formats.dicom_seg import write_segmentation
from unetseg.scores.metrics import ConfusionMatrix
from unetseg.scores.surface import SurfaceScores

Array = NDArray[Any]
SIDE = 32
METRES, EAST, NORTH = 5, 500_000, 5_000_000
STORED = np.diag([-1.0, -1.0, 3.0, 1.0])  # the axes of NIfTI run to left, back and head, as slices do


def body(seed: int, depth: int) -> tuple[Array, Array]:
    """Hounsfield units int16 (D,H,W): air, a body and, but for the first slice and the last, an organ; and labels."""
    random = np.random.default_rng(seed)
    labels = np.zeros((depth, SIDE, SIDE), np.uint8)
    for k in range(1, depth - 1):
        y, x = random.integers(6, 14, 2)
        labels[k, y : y + 8, x : x + 10] = 1
    hu = np.full(labels.shape, -1000)
    hu[:, 4:28, 4:28] = 0
    hu[labels > 0] = 150
    return (hu + random.integers(-20, 20, hu.shape)).astype(np.int16), labels


def nifti(path: Path, turned: Array, affine: Array = STORED) -> Path:
    """Slices (D,H,W) as a volume."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.Nifti1Image(turned.transpose(2, 1, 0), affine).to_filename(path)
    return path


def niftis(folder: Path, patients: int = 5) -> Path:
    """As nnU-Net has them."""
    for i in range(patients):
        hu, labels = body(i, 4 + i % 2)
        nifti(folder / f"imagesTr/liver_{i:03}_0000.nii.gz", hu)
        nifti(folder / f"labelsTr/liver_{i:03}.nii.gz", labels)
    return folder


def series(folder: Path, hu: Array) -> Path:
    """A series whose files are in no order."""
    made = []
    for k, slice_ in enumerate(hu):
        dataset = blank("CT", InstanceNumber=k + 1)
        dataset.ImagePositionPatient, dataset.ImageOrientationPatient = [0, 0, 3 * k], list(AXIAL)
        dataset.PixelSpacing, dataset.SliceThickness = [1, 1], 3
        made.append(with_pixels(dataset, slice_))
    return written(folder, made, [f"{k * 7 % len(hu)}.dcm" for k in range(len(hu))])


def all_series(folder: Path, patients: int = 5) -> Path:
    """A folder for each patient; the masks are a DICOM-SEG, one in a folder of its own, and a NIfTI."""
    for i in range(patients):
        hu, labels = body(i, 5)
        image = read_image(series(folder / f"images/patient{i}", hu))
        path = folder / (f"masks/patient{i}/seg.dcm" if i == 1 else f"masks/patient{i}.dcm")
        path.parent.mkdir(parents=True, exist_ok=True)
        names, palette = ("background", "liver"), ("#000000", "#ffffff")
        if i == 2:
            nifti(folder / "masks/patient2.nii.gz", labels, np.diag([-1.0, -1.0, 3.0, 1.0]))
        else:
            write_segmentation(
                path,
                labels,
                image.place,  # type: ignore[arg-type]
                names=names,
                background=True,
                palette=palette,
                model="test",
            )
    return folder


def tile(path: Path, bands: Array, east: float = 0, north: float = 0, crs: str = "EPSG:32633", **profile: Any) -> None:  # noqa: ANN401
    """(C,H,W) as a GeoTIFF, so many pixels to the east and to the north."""
    path.parent.mkdir(parents=True, exist_ok=True)
    count, height, width = bands.shape
    profile |= {"count": count, "height": height, "width": width, "dtype": bands.dtype, "crs": crs}
    transform = Affine(METRES, 0, EAST + METRES * east, 0, -METRES, NORTH + METRES * north)
    with rasterio.open(path, "w", driver="GTiff", transform=transform, **profile) as file:
        file.write(bands)


PLACES = [(0, 0), (SIDE // 2, 0), (SIDE, 0), (100, 0), (132, 0), (164, 0), (100, 32), (300, 300), (400, 0), (500, 0)]
"""The first three overlap one after the other; the others touch, or lie alone."""


def tiles(folder: Path) -> Path:
    """Colours of 16 bits that end at 3000; the lower left corner of the second has no data."""
    for i, (east, north) in enumerate(PLACES):
        random = np.random.default_rng(i)
        labels = np.zeros((1, SIDE, SIDE), np.uint16)
        labels[:, 5:20, 3 + i : 15 + i] = 1
        bands = (random.integers(300, 900, (3, SIDE, SIDE)) + 2000 * labels).astype(np.uint16)
        if i == 1:
            bands[:, -8:, :8] = 65535
        tile(folder / f"images/{'abcdefghij'[i]}.tif", bands, east, north, nodata=65535, photometric="rgb")
        tile(folder / f"masks/{'abcdefghij'[i]}.tif", labels.astype(np.uint8), east, north)
    return folder


KINDS: dict[str, Callable[[Path], Path]] = {"nifti": niftis, "dicom": all_series, "geotiff": tiles}


@pytest.fixture(scope="module", params=KINDS)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One of each kind; whoever changes it takes a copy."""
    return KINDS[request.param](tmp_path_factory.mktemp(request.param) / request.param)


def loaded(diagnosis: Diagnosis, folder: Path) -> Recipe:
    """The proposed recipe by way of its file, short and tiny."""
    diagnosis.write_recipe(folder / "recipe.toml")
    changes = {"train.epochs": "2", "model.widths": "[4, 8]", "train.validate_every": "1", "train.crop": "32"}
    return Recipe.from_file(folder / "recipe.toml", changes | {"train.warmup_epochs": "1"})


def test_the_doctors_recipe_trains_to_a_complete_checkpoint(folder: Path, tmp_path: Path) -> None:
    diagnosis = diagnose(folder)
    assert diagnosis.ambiguous == (), report_text(diagnosis)
    draw_sheet(diagnosis, tmp_path / "sheet.png")
    recipe = loaded(diagnosis, tmp_path)
    checkpoint = fit(recipe, folder, tmp_path / "run", device="cpu")
    config, _ = hub.load(checkpoint)
    assert (config.window, config.orientation) == ((None, None) if folder.name == "geotiff" else ((-160, 240), "LPS"))
    assert config.value_range == (((0, 4095),) * 3 if folder.name == "geotiff" else None)
    scores = json.loads((checkpoint / "scores.json").read_text())["val"]
    assert scores["pictures"] == len(scores["groups"]) > 0
    assert set(scores["dice"]) == {"class1"}
    assert {path.name for path in (tmp_path / "run").iterdir()} >= {"validation.png", "worst.png", "metrics.csv"}
    assert (checkpoint / "README.md").is_file()
    # a user's path gives what was scored
    example = next(e for e in find_examples(recipe.data, folder, recipe.train.seed) if e.split == "val")
    predictor = Predictor.from_pretrained(checkpoint, device="cpu")
    (case,) = cases(predictor, [example], recipe.data)
    assert (predictor(example.image).labels() == case.segmentation.labels()).all()


def test_volumes_are_found_by_their_names_and_series_by_their_folders(tmp_path: Path) -> None:
    for make, images in ((niftis, "imagesTr"), (all_series, "images")):
        folder = make(tmp_path / make.__name__, 3)
        found = find_layout(folder)
        assert (found.layout.images, found.aside, dict(found.unread)) == (images, (), {})
        pairing = pair(folder, found.layout)
        assert [one.name for one in pairing.pairs] == [
            f"liver_{i:03}" if make is niftis else f"patient{i}" for i in range(3)
        ]
        assert (pairing.lone, pairing.masks, pairing.twice) == ((), (), ())
    assert [stem(Path(name)) for name in ("a.nii.gz", "b.1.NRRD", "1.2.840.7", "c.png")] == [
        "a",
        "b.1",
        "1.2.840.7",
        "c",
    ]


def test_a_series_without_endings_is_found_by_content_and_pictures_of_one_slice_stay_pictures(tmp_path: Path) -> None:
    for i in range(2):
        hu, labels = body(i, 3)
        for path in list(series(tmp_path / f"series/images/p{i}", hu).iterdir()):
            path.rename(path.with_suffix(""))
        nifti(tmp_path / f"series/masks/p{i}.nii.gz", labels)
        for k in range(3):
            one = with_pixels(blank("CR", SeriesInstanceUID=f"1.{i}.{k}"), hu[k])
            save(tmp_path / f"alone/images/p{i}_{k}.dcm", one)
            (tmp_path / "alone/masks").mkdir(exist_ok=True)
            Pillow.fromarray(labels[k]).save(tmp_path / f"alone/masks/p{i}_{k}.png")
    pairs = {
        name: [one.name for one in pair(tmp_path / name, find_layout(tmp_path / name).layout).pairs]
        for name in ("series", "alone")
    }
    assert pairs == {"series": ["p0", "p1"], "alone": [f"p{i}_{k}" for i in range(2) for k in range(3)]}
    diagnosis = diagnose(tmp_path / "alone")
    assert {example.group for example in diagnosis.examples} == {"p0", "p1"}
    assert read_example(diagnosis.examples[0], *setting(diagnosis))[0].shape == (1, SIDE, SIDE)


def setting(diagnosis: Diagnosis) -> tuple[Any, Any]:
    recipe = diagnosis.parsed()
    assert recipe is not None
    return recipe.data, recipe.config(*((x,) * len(recipe.data.channels) for x in (0.0, 1.0)))


def test_each_slice_is_trained_on_and_what_does_not_fit_in_memory_lies_in_a_file(tmp_path: Path) -> None:
    folder = niftis(tmp_path / "d")
    recipe = loaded(diagnose(folder), tmp_path)
    examples = find_examples(recipe.data, folder)
    several = [
        Pictures(examples, recipe.model_copy(update={"train": recipe.train.model_copy(update={"cache_gb": room})}))
        for room in (1, 3 * SIDE * SIDE * 5 / 1e9, 0)
    ]
    expected = [slice_ for e in examples for slice_ in read_slices(e, recipe.data, several[0].config)]
    assert len(expected) == 4 + 5 + 4 + 5 + 4
    for pictures in several:
        assert len(pictures) == len(expected)
        assert sorted(pictures.cache) == list(range(len(pictures)))
        for index, (image, labels) in enumerate(expected):
            assert torch.equal(pictures[index][0], image)
            assert (pictures[index][1].numpy() == labels).all()
    mean, std, _ = measure(several[0])
    crops = [Crops(pictures, recipe.config(mean, std)) for pictures in several]
    assert crops[0].name(5) == "liver_001_0000.nii.gz, slice 2"
    for key in [(0, 3), (1, 20)]:
        one, *others = [c[key] for c in crops]
        assert all(torch.equal(one[0], other[0]) and torch.equal(one[1], other[1]) for other in others)


def test_volumes_are_not_compared_by_content_and_that_is_told(tmp_path: Path) -> None:
    (note,) = (f for f in diagnose(niftis(tmp_path, 3)).findings if "not searched for parts that they share" in f.what)
    assert (note.weight, len(note.names)) == ("note", 3)


def test_a_volume_is_scored_as_a_whole_and_its_outlines_slice_by_slice(tmp_path: Path) -> None:
    folder = niftis(tmp_path / "d", 3)
    diagnosis = diagnose(folder)
    data, _ = setting(diagnosis)
    config = config_for("binary", window=(-160, 240))
    data = data.model_copy(update={"classes": ("liver",), "mask_values": {"0": "background", "1": "liver"}})
    predictor = Predictor(network_for(config), device="cpu")
    examples = find_examples(data, folder)
    found = assess(cases(predictor, examples, data), config)
    counts = evaluate(predictor, examples, data)
    for example in examples:
        labels, truth = predictor(example.image).labels(), read_labels(example.mask, data, config)
        matrix, surface = ConfusionMatrix(config), SurfaceScores(config)
        matrix.update(truth, labels)
        for index in range(len(truth)):
            surface.update(truth[index], labels[index])
        assert found.groups[example.group].counts.tolist() == matrix.counts.tolist()
        assert counts[example.group].counts.tolist() == matrix.counts.tolist()
        assert found.surfaces[example.group].summary() == surface.summary()
        (worst,) = (w for w in found.worst if w.name == example.name)
        wrong = (labels != truth).sum(axis=(1, 2))
        assert worst.wrong_pixels == wrong.sum()
        assert worst.slice_number is not None
        assert wrong[worst.slice_number - 1] == wrong.max()
        assert (worst.truth == truth[worst.slice_number - 1]).all()
    assert found.pictures == {example.group: 1 for example in examples}
    assert len(collect([(predictor, examples)], data)[0].labels) == sum(m.counts.sum() for m in counts.values())
    Journal(tmp_path, 0, 0).panel(predictor, examples, data)
    assert (tmp_path / "validation.png").is_file()


def test_the_slice_that_is_shown_is_the_middle_one_of_those_with_a_class() -> None:
    labels = np.zeros((9, 4, 4), np.uint8)
    assert telling_slice(labels) == 4
    labels[5:8, 1, 1] = 1
    labels[0] = IGNORE
    assert telling_slice(labels) == 6


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda f: nifti(f / "labelsTr/liver_001.nii.gz", body(1, 4)[1]), "32 x 32 x 5, mask 32 x 32 x 4"),
        (lambda f: nifti(f / "labelsTr/liver_001.nii.gz", body(1, 5)[1], np.eye(4)), "lies elsewhere than its image"),
        (lambda f: (f / "labelsTr/liver_001.nii.gz").unlink(), "labelsTr/liver_001.nii.gz"),
        (lambda f: (f / "imagesTr/liver_001_0000.nii.gz").write_bytes(b"\x1f\x8bno"), "damaged"),
        (lambda f: nifti(f / "imagesTr/liver_001_0000.nii.gz", body(1, 5)[0] + 3000), "unlike Hounsfield units"),
        (lambda f: nifti(f / "labelsTr/liver_001.nii.gz", body(1, 5)[1] - np.int16(2)), "the number -2"),
    ],
)
def test_what_is_wrong_with_volumes_is_asked(tmp_path: Path, damage: Callable[[Path], object], words: str) -> None:
    damage(niftis(tmp_path, 4))
    assert [s for s in diagnose(tmp_path).ambiguous if words in s]


def test_a_segmentation_of_other_slices_or_beside_none_is_told(tmp_path: Path) -> None:
    folder = all_series(tmp_path, 2)
    (folder / "masks/patient0.dcm").unlink()
    (folder / "masks/patient1/seg.dcm").rename(folder / "masks/patient0.dcm")
    (folder / "masks/patient1").rmdir()
    nifti(folder / "images/v.nii.gz", body(0, 5)[0])
    (folder / "masks/v.dcm").write_bytes((folder / "masks/patient0.dcm").read_bytes())
    told = str(diagnose(folder).ambiguous)
    assert "patient0.dcm doesn't lie on the grid of the series" in told
    (folder / "masks/patient0.dcm").unlink()
    assert "v.dcm is DICOM, and so must its image be" in str(diagnose(folder).ambiguous)


def test_a_series_is_known_again_whatever_its_files_are_called(tmp_path: Path) -> None:
    folder = series(tmp_path / "a", body(0, 4)[0])
    example = Example(folder, tmp_path / "m.nii.gz", group="a", split="train")
    before = pictures_by_split([example])
    for number, path in enumerate(sorted(folder.iterdir())):
        path.rename(folder / f"z{(number * 3) % 4}")
    assert pictures_by_split([example]) == before
    (folder / "z0").unlink()
    assert pictures_by_split([example]) != before


def test_a_mask_of_many_slices_is_examined_slice_by_slice(tmp_path: Path) -> None:
    labels = np.zeros((60, 128, 128), np.uint8)
    labels[:, 30:60, 40:90], labels[7, :3] = 1, 2
    path = nifti(tmp_path / "m.nii.gz", labels)
    tracemalloc.start()
    try:
        facts = mask_facts(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert facts.pixels == {0: labels.size - 60 * 1500 - 384, 1: 60 * 1500, 2: 384}
    assert facts.firm[1] == 60 * 29 * 49
    assert not facts.objects
    assert peak < 6 * labels.size


# --- the ground ---------------------------------------------------------------------------------------------------


def test_tiles_that_overlap_on_the_ground_are_one_group_and_those_that_touch_are_not(tmp_path: Path) -> None:
    diagnosis = diagnose(tiles(tmp_path / "d"))
    (about,) = (f for f in diagnosis.findings if "on the ground" in f.what)
    assert about.what.startswith("3 pictures (of 10) that overlap others on the ground, images/a.tif and images/b.tif")
    assert about.names == ("images/a.tif", "images/b.tif", "images/c.tif")
    recipe = loaded(diagnosis, tmp_path)
    assert recipe.data.same_group == (("a", "b", "c"),)
    assert "those that overlap on the ground are one" in report_text(diagnosis)
    for seed in range(20):
        examples = find_examples(recipe.data, tmp_path / "d", seed)
        assert len({e.split for e in examples if e.group == "a+b+c"}) == 1
        assert sum(e.group == "a+b+c" for e in examples) == 3


@pytest.mark.parametrize(("apart", "joined"), [(0, True), (SIDE - 4, True), (SIDE, False), (-SIDE, False)])
def test_maps_of_two_projections_are_compared_in_degrees(tmp_path: Path, apart: int, joined: bool) -> None:
    """A tile in zone 33, and one so many pixels beside it in zone 32, where north leans by 4 degrees."""
    (x,), (y,) = rasterio.warp.transform("EPSG:32633", "EPSG:32632", [EAST + METRES * 240], [NORTH])
    here = {"x": (240, 0, "EPSG:32633"), "y": ((x - EAST) / METRES + apart, (y - NORTH) / METRES, "EPSG:32632")}
    folder = tiles(tmp_path)
    for name, (east, north, crs) in here.items():
        tile(folder / f"images/{name}.tif", np.full((3, SIDE, SIDE), ord(name), np.uint16), east, north, crs=crs)
        tile(folder / f"masks/{name}.tif", np.zeros((1, SIDE, SIDE), np.uint8), east, north, crs=crs)
    same = diagnose(folder).grouping.same_group
    assert same == ((("a", "b", "c"), ("x", "y")) if joined else (("a", "b", "c"),))


def test_two_dates_of_one_place_in_the_folders_of_two_splits_are_asked(tmp_path: Path) -> None:
    tiles(tmp_path / "d")
    for place in ("images", "masks"):
        for path in (tmp_path / "d" / place).iterdir():
            split = "val" if path.stem in "cj" else "train"
            (tmp_path / "e" / split / place).mkdir(parents=True, exist_ok=True)
            path.rename(tmp_path / "e" / split / place / path.name)
    (question,) = diagnose(tmp_path / "e").ambiguous
    assert "group 'a+b+c' is in train and in val" in question


def test_what_holds_no_data_is_ignored(tmp_path: Path) -> None:
    diagnosis = diagnose(tiles(tmp_path / "d"))
    example = next(e for e in diagnosis.examples if e.name == "b")
    _, labels = read_example(example, *setting(diagnosis))
    assert (labels[-8:, :8] == IGNORE).all()
    assert (labels == IGNORE).sum() == 64


# --- ranges -------------------------------------------------------------------------------------------------------


def numbers(kind: str, seed: int) -> Array:
    """A picture with a bright square, in the numbers of some instrument."""
    values = np.random.default_rng(seed).integers(0, 100, (SIDE, SIDE)).astype(np.float64)
    values[5:15, seed : seed + 12] += 150  # 0 to 250
    made: dict[str, Array] = {
        "HU + 32768": (values + 32768 - 100).astype(np.uint16),
        "HU + 1024": (values + 900).astype(np.uint16),
        "12 bits": (values * 16).astype(np.uint16),
        "a few tones": (values * 48).astype(np.uint16),
        "16 bits": (values * 262).astype(np.uint16),
        "int16": (values * 4 - 500).astype(np.int16),
        "fractions": (values / 250).astype(np.float32),
        "kelvin": (values / 10 + 270).astype(np.float32),
    }
    if kind == "hot":
        values[0, 0] = 1e6
        return values.astype(np.float32)
    return made[kind]


@pytest.mark.parametrize(
    ("kind", "between"),
    [
        ("HU + 32768", (32660, 32920)),
        ("HU + 1024", (900, 1150)),
        ("12 bits", (0, 4095)),
        ("a few tones", (0, 12000)),
        ("16 bits", None),
        ("int16", (-500, 500)),
        ("fractions", None),
        ("kelvin", (270, 295)),
        ("hot", (0, 250)),
    ],
)
@pytest.mark.parametrize("as_raster", [False, True])
def test_one_range_is_proposed_where_the_type_is_none(
    tmp_path: Path, kind: str, between: tuple[float, float] | None, as_raster: bool
) -> None:
    for i in range(6):
        values = numbers(kind, i)
        if as_raster:
            tile(tmp_path / f"d/images/p{i}.tif", values[None], 100 * i)
        else:
            (tmp_path / "d/images").mkdir(parents=True, exist_ok=True)
            Pillow.fromarray(values).save(tmp_path / f"d/images/p{i}.tif")
        (tmp_path / "d/masks").mkdir(exist_ok=True)
        mask = np.zeros((SIDE, SIDE), np.uint8)
        mask[5:15, i : i + 12] = 1
        write_labels(tmp_path / f"d/masks/p{i}.png", mask, ("#000000", "#ffffff"))
    diagnosis = diagnose(tmp_path / "d")
    assert diagnosis.ambiguous == ()
    recipe = loaded(diagnosis, tmp_path)
    if kind == "16 bits" and as_raster:  # whose file doesn't say that all of them count
        between = (0, 65535)
    if between is None:
        assert recipe.data.value_range is None
    else:
        assert recipe.data.value_range is not None
        assert recipe.data.value_range[0] == pytest.approx(between, abs=0.02 * (between[1] - between[0]))
    for example in find_examples(recipe.data, tmp_path / "d"):
        image, _ = read_example(example, recipe.data, recipe.config((0.0,), (1.0,)))
        low, high = np.percentile(image.numpy(), (2, 98))
        assert high - low > 0.5
