"""`unetseg.fitting.doctor.mask_values`: what is no label, and what is one label by several values."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from unetseg.fitting import Recipe
from unetseg.fitting.data.folder import find_examples, read_example
from unetseg.fitting.doctor import Diagnosis, diagnose, report_text
from unetseg.fitting.recipe import number_range

SIDE = 64


def put(path: Path, pixels: NDArray[np.generic]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def disc(i: int, radius: float = 10) -> NDArray[np.bool_]:
    y, x = np.mgrid[:SIDE, :SIDE]
    return np.asarray(np.hypot(y - 20 - 5 * (i % 4), x - 22 - 4 * (i % 5)) < radius)


def folder_of(folder: Path, masks: Sequence[NDArray[np.generic]], ending: str = ".png") -> Path:
    """Pictures of noise, bright where `disc` lies, and these masks."""
    for i, mask in enumerate(masks):
        image = np.random.default_rng(i).integers(0, 100, (SIDE, SIDE, 3)) + 100 * disc(i)[..., None]
        put(folder / f"images/{i}.png", image.astype(np.uint8))
        put(folder / f"masks/{i}{ending}", mask)
    return folder


def told(diagnosis: Diagnosis, *words: str) -> str:
    """The weight of the one finding that says all of these words."""
    hits = [found for found in diagnosis.findings if all(word in found.sentence for word in words)]
    assert len(hits) == 1, report_text(diagnosis)
    return hits[0].weight


def label_maps(diagnosis: Diagnosis) -> list[NDArray[np.uint8]]:
    """As training reads them by the proposed recipe, in the order of the files."""
    recipe = diagnosis.parsed()
    assert recipe is not None
    return label_maps_by(recipe, diagnosis.folder)


def label_maps_by(recipe: Recipe, folder: Path) -> list[NDArray[np.uint8]]:
    config = recipe.config((0.0,) * len(recipe.data.channels), (1.0,) * len(recipe.data.channels))
    examples = sorted(find_examples(recipe.data, folder, recipe.train.seed), key=lambda e: int(e.image.stem))
    return [read_example(example, recipe.data, config)[1] for example in examples]


def ringed(i: int, inside: int, around: int) -> NDArray[np.int32]:
    return np.where(disc(i), inside, np.where(disc(i, 12), around, 0)).astype(np.int32)


@pytest.mark.parametrize(
    ("inside", "void", "kind", "weight"),
    [
        (15, 255, np.uint8, "warning"),
        (15, 254, np.uint8, "warning"),
        (300, 65535, np.uint16, "warning"),
        (1, -1, np.int32, "warning"),
        (7, -1, np.int32, "warning"),
        (128, 255, np.uint8, "question"),  # a membrane around a cell, or a border left open around a class
    ],
)
def test_a_void_beside_numbers_with_gaps_is_ignored(
    tmp_path: Path, inside: int, void: int, kind: type[np.generic], weight: str
) -> None:
    masks = [ringed(i, inside, void).astype(kind) for i in range(8)]
    diagnosis = diagnose(folder_of(tmp_path, masks, ".tif" if void < 0 else ".png"))
    assert told(diagnosis, f"{void} stands beside the numbers 0, {inside}", "as a thin border", "ignores it") == weight
    assert [finding.weight for finding in diagnosis.findings if finding.weight == "question"] == ["question"] * (
        weight == "question"
    )
    for i, labels in enumerate(label_maps(diagnosis)):
        np.testing.assert_array_equal(labels, np.where(disc(i), 1, np.where(disc(i, 12), 255, 0)))


@pytest.mark.parametrize(
    ("values", "classes"),
    [((0, 255), 1), ((0, 128, 255), 2), ((0, 15, 255), 2), ((0, 254), 1), ((50, 100, 255), 3), ((0, 65535), 1)],
)
def test_what_fills_regions_beside_few_numbers_is_a_class(
    tmp_path: Path, values: tuple[int, ...], classes: int
) -> None:
    blocks = (np.arange(SIDE)[:, None] // 16 + np.arange(SIDE) // 16) % len(values)
    table = np.array(values, dtype=np.uint16 if max(values) > 255 else np.uint8)
    diagnosis = diagnose(folder_of(tmp_path, [np.roll(table[blocks], i, axis=0) for i in range(6)]))
    assert not diagnosis.ambiguous
    assert diagnosis.labels is not None
    assert len(diagnosis.labels.classes) == classes
    assert "ignore" not in diagnosis.labels.values.values()


def test_a_void_that_fills_regions_beside_ids_with_gaps_is_ignored(tmp_path: Path) -> None:
    blocks = (np.arange(SIDE)[:, None] // 16 + np.arange(SIDE) // 16) % 4
    masks = [np.roll(np.array([0, 1, 7, 255], dtype=np.uint8)[blocks], i, axis=0) for i in range(6)]
    diagnosis = diagnose(folder_of(tmp_path, masks))
    assert told(diagnosis, "255 stands beside the numbers 0, 1, 7, on") == "warning"
    np.testing.assert_array_equal(label_maps(diagnosis)[0], np.array([0, 1, 2, 255])[blocks])


def painted(i: int, below: NDArray[np.generic]) -> NDArray[np.uint8]:
    """A red disc and a green square, opaque, over a transparent colour."""
    mask = np.zeros((SIDE, SIDE, 4), dtype=np.uint8)
    mask[..., :3] = below
    mask[disc(i)] = (255, 0, 0, 255)
    mask[50:60, 5:15] = (0, 255, 0, 255)
    return mask


@pytest.mark.parametrize(
    "below",
    [
        lambda i: np.array((255, 0, 0)),  # erased from a red layer
        lambda i: np.random.default_rng(i).integers(60, 90, 3),  # another one in each file
        lambda i: np.random.default_rng(i).integers(0, 256, (SIDE, SIDE, 3)),
    ],
)
def test_a_colour_below_full_transparency_is_nothing(
    tmp_path: Path, below: Callable[[int], NDArray[np.generic]]
) -> None:
    diagnosis = diagnose(folder_of(tmp_path, [painted(i, below(i)) for i in range(6)]))
    assert told(diagnosis, "6 masks with colours under full transparency", "masks/0.png") == "note"
    assert not diagnosis.ambiguous
    assert diagnosis.labels is not None
    assert list(diagnosis.labels.values) == ["#000000", "#00ff00", "#ff0000"]
    square = np.zeros((SIDE, SIDE), dtype=np.uint8)
    square[50:60, 5:15] = 1
    for i, labels in enumerate(label_maps(diagnosis)):
        np.testing.assert_array_equal(labels, np.where(square, 1, np.where(disc(i), 2, 0)))


def test_a_half_transparent_rim_is_told_and_grey_with_transparency_is_read_likewise(tmp_path: Path) -> None:
    coloured, grey = [], []
    for i in range(6):
        mask = painted(i, np.zeros(3))
        mask[disc(i, 12) & ~disc(i)] = (255, 0, 0, 128)
        coloured.append(mask)
        grey.append(np.stack([np.full((SIDE, SIDE), 7), disc(i) * 255], axis=-1).astype(np.uint8))
        grey[-1][:9, :9] = (3, 255)
    diagnosis = diagnose(folder_of(tmp_path / "coloured", coloured))
    assert told(diagnosis, "6 masks in part half transparent", "masks/0.png") == "warning"
    assert not diagnosis.ambiguous
    diagnosis = diagnose(folder_of(tmp_path / "grey", grey))
    assert diagnosis.labels is not None
    assert list(diagnosis.labels.values) == ["0", "3", "7"]


def test_a_mask_that_is_transparent_everywhere_is_asked_about(tmp_path: Path) -> None:
    masks = [painted(i, np.zeros(3)) for i in range(6)]
    masks[2][..., 3] = 0
    diagnosis = diagnose(folder_of(tmp_path, masks))
    assert told(diagnosis, "2.png is transparent everywhere but holds several colours") == "question"


def two(i: int, values: Sequence[object]) -> NDArray[np.uint8]:
    """A disc and a square in ground, with these values."""
    labels = disc(i).astype(np.int64)
    labels[50:60, 5:15] = 2
    return np.array(values, dtype=np.uint8)[labels]


@pytest.mark.parametrize(
    ("values", "keys"),
    [
        ([(0, 254, 254), (0, 255, 255)], {"0": 0, "254-255": 1}),
        ([(0, 252, 255)], {"0": 0, "252-255": 1}),
        ([(0, 127, 255), (0, 128, 254)], {"0": 0, "127-128": 1, "254-255": 2}),
        ([(0, 85, 170), (0, 84, 255), (0, 85, 170)], {"0": 0, "84-85": 1, "170": 2, "255": 3}),
        (
            [((0, 0, 0), (255, 0, 0), (0, 255, 0)), ((0, 0, 0), (247, 6, 5), (0, 255, 0))],
            {"#000000": 0, "#00ff00": 1, "#ff0000": 2, "#f70605": 2},
        ),
    ],
)
def test_values_that_differ_by_noise_are_one_class(
    tmp_path: Path, values: list[tuple[object, ...]], keys: dict[str, int]
) -> None:
    diagnosis = diagnose(folder_of(tmp_path, [two(i, values[i % len(values)]) for i in range(10)]))
    assert told(diagnosis, "differ as little as by noise", "reads them as one") == "warning"
    assert not diagnosis.ambiguous
    recipe = diagnosis.parsed()
    assert recipe is not None
    labels = [recipe.data.background, *recipe.data.classes]
    assert {key: labels.index(name) for key, name in recipe.data.mask_values.items()} == keys
    for i, found in enumerate(label_maps(diagnosis)):
        of_value = [
            next(number for key, number in keys.items() if lies_in(value, key)) for value in values[i % len(values)]
        ]
        np.testing.assert_array_equal(found, two(i, of_value))


def lies_in(value: object, key: str) -> bool:
    if isinstance(value, tuple):
        return key == f"#{bytes(value).hex()}"
    low, high = number_range(key)
    return low <= int(str(value)) <= high


@pytest.mark.parametrize(
    "values",
    [
        [(0, 1, 2)],
        [(0, 129, 130)],
        [(0, 1, 130), (0, 2, 131)],
        [((0, 0, 0), (9, 9, 9), (90, 0, 0))],
        [((0, 0, 0), (200, 8, 3), (200, 0, 3))],  # large, and in one mask
    ],
)
def test_ids_and_colours_that_are_neighbours_stay_classes(tmp_path: Path, values: list[tuple[object, ...]]) -> None:
    diagnosis = diagnose(folder_of(tmp_path, [two(i, values[i % len(values)]) for i in range(10)]))
    assert diagnosis.labels is not None
    assert len(diagnosis.labels.values) == len({value for some in values for value in some})
    assert "noise" not in report_text(diagnosis)


@pytest.mark.parametrize("values", [(0, 255), (0, 1), ((0, 0, 0), (255, 0, 0))])
def test_masks_that_are_inverted_are_asked_about(tmp_path: Path, values: tuple[object, ...]) -> None:
    table = np.array(values, dtype=np.uint8)
    diagnosis = diagnose(folder_of(tmp_path, [table[(disc(i) ^ (i in (2, 5))).astype(int)] for i in range(10)]))
    words = "class1 lies within the background in 8 masks and around it in 2", "masks/2.png, masks/5.png"
    assert told(diagnosis, *words, "exchange the two values") == "question"
    for i in (2, 5):
        put(tmp_path / f"masks/{i}.png", table[disc(i).astype(int)])
    assert not diagnose(tmp_path).ambiguous


def test_a_hole_in_a_thing_that_fills_its_picture_is_no_inversion(tmp_path: Path) -> None:
    """It has the tone of the background; one whose mask is inverted is asked about."""
    holes = (2, 5)
    folder_of(tmp_path, [(disc(i) ^ (i in holes)).astype(np.uint8) for i in range(10)])
    for i in holes:
        image = np.random.default_rng(i).integers(0, 100, (SIDE, SIDE, 3)) + 100 * ~disc(i)[..., None]
        put(tmp_path / f"images/{i}.png", image.astype(np.uint8))
    assert not diagnose(tmp_path).ambiguous
    put(tmp_path / "masks/9.png", (~disc(9)).astype(np.uint8))
    (question,) = diagnose(tmp_path).ambiguous
    assert "around it in 1, where it has the other's tone, as if these were inverted: masks/9.png" in question


def test_large_objects_and_land_and_water_are_not_inverted(tmp_path: Path) -> None:
    y, x = np.mgrid[:SIDE, :SIDE]
    large = [np.hypot(y - 32, x - 32) < 12 + 5 * i for i in range(8)]  # the last fill all but the corners
    land = [y < 8 * i + 3 for i in range(8)]
    full = [disc(i) | (i == 3) for i in range(8)]
    for name, masks in {"large": large, "land": land, "full": full}.items():
        folder = folder_of(tmp_path / name, [mask.astype(np.uint8) for mask in masks])
        assert "inverted" not in report_text(diagnose(folder)), name


def white_is_zero(path: Path, pixels: NDArray[np.uint8]) -> None:
    """A TIFF whose header says that 0 is white."""
    height, width = pixels.shape
    tags = [
        (256, width),
        (257, height),
        (258, 8),
        (259, 1),
        (262, 0),
        (273, 8),
        (277, 1),
        (278, height),
        (279, pixels.size),
    ]
    directory = (
        struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", tag, 4, 1, n) for tag, n in tags) + bytes(4)
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack("<2sHI", b"II", 42, 8 + pixels.size) + pixels.tobytes() + directory)


def indexed(path: Path, pixels: NDArray[np.uint8], bits: int) -> None:
    picture = Image.fromarray(pixels)
    picture.putpalette([0, 0, 0, 90, 0, 0, 0, 90, 0])
    picture.save(path, bits=bits)


def grey(path: Path, pixels: NDArray[np.uint8], bits: int) -> None:
    """A grey PNG of 1, 2 or 4 bits, row by row without a filter."""
    rows = np.unpackbits(pixels[..., None], axis=2)[..., 8 - bits :].reshape(len(pixels), -1)
    data = b"".join(b"\0" + np.packbits(row).tobytes() for row in rows)
    header = struct.pack(">IIBBBBB", *pixels.shape[::-1], bits, 0, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(data)), (b"IEND", b"")]
    chunks = [struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in parts]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))


@pytest.mark.parametrize(
    ("write", "ending", "highest"),
    [
        (lambda path, ids: white_is_zero(path, ids), ".tif", 2),
        (lambda path, ids: indexed(path, ids, 2), ".png", 2),
        (lambda path, ids: indexed(path, ids, 4), ".png", 2),
        (lambda path, ids: grey(path, ids, 1), ".png", 1),
        (lambda path, ids: grey(path, ids, 2), ".png", 2),
        (lambda path, ids: grey(path, ids, 4), ".png", 2),
        (lambda path, ids: put(path, ids.astype(np.uint16)), ".png", 2),
        (lambda path, ids: put(path, ids.astype(np.uint16)), ".tif", 2),
    ],
    ids=["white is zero", "2 bit palette", "4 bit palette", "1 bit", "2 bits", "4 bits", "16 bits", "16 bit TIFF"],
)
def test_ids_are_read_as_stored(
    tmp_path: Path, write: Callable[[Path, NDArray[np.uint8]], object], ending: str, highest: int
) -> None:
    ids = [two(i, range(3)).clip(0, highest) for i in range(6)]
    folder_of(tmp_path, ids)
    for i, mask in enumerate(ids):
        (tmp_path / f"masks/{i}.png").unlink()
        write(tmp_path / f"masks/{i}{ending}", mask)
    diagnosis = diagnose(tmp_path)
    assert not diagnosis.ambiguous
    assert diagnosis.labels is not None
    assert list(diagnosis.labels.values) == [str(value) for value in range(highest + 1)]
    for mask, labels in zip(ids, label_maps(diagnosis), strict=True):
        np.testing.assert_array_equal(labels, mask)


def test_the_border_of_pascal_voc_is_ignored_in_colours_too(tmp_path: Path) -> None:
    masks = []
    for i in range(8):
        mask = np.zeros((SIDE, SIDE, 3), dtype=np.uint8)
        mask[disc(i, 11)] = (224, 224, 192)
        mask[disc(i)] = (192, 0, 0)
        masks.append(mask)
    diagnosis = diagnose(folder_of(tmp_path, masks))
    assert not diagnosis.ambiguous, report_text(diagnosis)
    assert told(diagnosis, "#e0e0c0 lies as a thin border between others", "as Pascal VOC means it") == "warning"
    for i, labels in enumerate(label_maps(diagnosis)):
        np.testing.assert_array_equal(labels, np.where(disc(i), 1, np.where(disc(i, 11), 255, 0)))


def test_masks_of_nothing_but_the_void_are_asked_about(tmp_path: Path) -> None:
    masks = [np.full((SIDE, SIDE), -1, dtype=np.int32) for _ in range(4)]
    diagnosis = diagnose(folder_of(tmp_path, masks, ".tif"))
    assert any("nothing to tell apart" in question for question in diagnosis.ambiguous)
