"""`unetseg.fitting.doctor`, the command `doctor`, and `training/train.py FOLDER`."""

import csv
import io
import json
import logging
import re
import shlex
import shutil
import tempfile
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from scripts import load

from unetseg.__main__ import main
from unetseg.config import hex_to_rgb
from unetseg.fitting import Recipe
from unetseg.fitting.data.folder import find_examples, pictures_by_split, read_example
from unetseg.fitting.doctor import Diagnosis, diagnose, draw_sheet, is_edited, report_text
from unetseg.fitting.doctor.contact_sheet import CELL, GAP, MARGIN
from unetseg.fitting.doctor.findings import WEIGHTS
from unetseg.fitting.doctor.legend import palette_for
from unetseg.fitting.doctor.picture_values import look_alike
from unetseg.fitting.doctor.survey import image_facts, mask_facts
from unetseg.render import UNKNOWN
from unetseg.samples import write_samples

Pixels = NDArray[np.uint8]


def scene(seed: int, size: int = 32, side: int = 12) -> tuple[Pixels, Pixels]:
    """A picture of noise with a bright square, and the square as a mask of 0 and 1."""
    random = np.random.default_rng(seed)
    labels = np.zeros((size, size), dtype=np.uint8)
    y, x = random.integers(1, size - side, 2)
    labels[y : y + side, x : x + side] = 1
    return (random.integers(0, 120, (size, size)) + labels * 120).astype(np.uint8), labels


def put(path: Path, pixels: NDArray[np.generic]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def healthy(folder: Path, patients: int = 5, slices: int = 2) -> Path:
    """Pictures p0_0.png and so on in images/, masks of 0 and 255 in masks/."""
    for i in range(patients * slices):
        image, labels = scene(i)
        name = f"p{i // slices}_{i % slices}.png"
        put(folder / "images" / name, image)
        put(folder / "masks" / name, labels * np.uint8(255))
    return folder


def pixels_of(path: Path) -> NDArray[np.uint8]:
    """A PNG as RGB."""
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        return np.asarray(picture.convert("RGB"))


def findings(diagnosis: Diagnosis, weight: str) -> list[str]:
    return [finding.sentence for finding in diagnosis.findings if finding.weight == weight]


def loaded(diagnosis: Diagnosis, folder: Path) -> Recipe:
    diagnosis.write_recipe(folder / "recipe.toml")
    return Recipe.from_file(folder / "recipe.toml")


def test_a_healthy_folder_raises_no_question_and_gets_a_recipe_with_reasons(tmp_path: Path) -> None:
    diagnosis = diagnose(healthy(tmp_path / "data"))
    assert diagnosis.ambiguous == ()
    recipe = loaded(diagnosis, tmp_path)
    data = recipe.data
    assert (data.task, data.classes, data.background) == ("binary", ("class1",), "background")
    assert data.mask_values == {"0": "background", "255": "class1"}
    assert data.channels == ("gray",)
    assert {e.group for e in find_examples(data, tmp_path / "data")} == {"p0", "p1", "p2", "p3", "p4"}
    assert recipe.model.working_size == 32
    text = diagnosis.recipe or ""
    assert "# groups: the name up to its first number, p0 of p0_0" in text
    assert "of the pixels, in 10 masks" in text
    report = report_text(diagnosis)
    assert report.startswith("data: 10 pictures of 5 groups, with masks\n")
    assert "Nothing stands against training." in report
    assert max(map(len, report.splitlines())) <= 100


def empty_mask(folder: Path) -> None:
    put(folder / "masks/p1_1.png", np.zeros((32, 32), dtype=np.uint8))


def stray(folder: Path) -> None:
    mask = np.asarray(Image.open(folder / "masks/p1_1.png")).copy()
    mask[0, 0] = 7
    put(folder / "masks/p1_1.png", mask)


def to_jpeg(folder: Path) -> None:
    for path in (folder / "masks").iterdir():
        Image.open(path).save(path.with_suffix(".jpg"))
        path.unlink()


def grey_to_jpeg(folder: Path) -> None:
    masks_by(folder, lambda mask: mask.point(lambda value: value * 100 // 255))
    to_jpeg(folder)


def smooth(folder: Path) -> None:
    for path in (folder / "masks").iterdir():
        Image.open(path).resize((64, 64), Image.Resampling.BICUBIC).resize((32, 32)).save(path)


def reduced_disc(i: int) -> Pixels:
    """A disc on 32 x 32 pixels, its border a blend: 0, 64, 128, 191 and 255."""
    y, x = np.mgrid[:64, :64]
    disc = ((y - 30 - i % 3) ** 2 + (x - 29 - i % 5) ** 2 < 300 + 20 * i).astype(np.uint8) * 255
    return np.asarray(Image.fromarray(disc).reduce(2))


def antialiased(folder: Path) -> None:
    for i, path in enumerate(sorted((folder / "masks").iterdir())):
        put(path, reduced_disc(i))


def antialiased_once(folder: Path) -> None:
    put(folder / "masks/p1_1.png", reduced_disc(0))


def antialiased_red(folder: Path) -> None:
    for i, path in enumerate(sorted((folder / "masks").iterdir())):
        put(path, reduced_disc(i)[..., None] * np.array([1, 0, 0], dtype=np.uint8))


def through_jpeg(folder: Path) -> None:
    for path in (folder / "masks").iterdir():
        file = io.BytesIO()
        Image.open(path).save(file, format="JPEG", quality=50)
        Image.open(file).save(path)


def look_alikes(folder: Path) -> None:
    """The same scenes at another size and tone, as another patient."""
    for i in range(2):
        image, labels = scene(i)
        put(folder / f"images/p9_{i}.png", np.asarray(Image.fromarray(image).resize((64, 64))) // 2 + 40)
        put(folder / f"masks/p9_{i}.png", np.kron(labels, np.full((2, 2), 255, dtype=np.uint8)))


def objects(folder: Path) -> None:
    """Masks that number their objects."""
    for k, path in enumerate(sorted((folder / "masks").iterdir())):
        mask = np.zeros((32, 32), dtype=np.uint8)
        for j in range(21 + k % 4):
            mask[j // 5 * 6 : j // 5 * 6 + 5, j % 5 * 6 : j % 5 * 6 + 5] = j + 1
        put(path, mask)


def boxes(*values: int) -> Pixels:
    """Squares of 5 pixels with these values, apart, in rows of five."""
    mask = np.zeros((32, 32), dtype=np.uint8)
    for place, value in enumerate(values):
        mask[place // 5 * 6 : place // 5 * 6 + 5, place % 5 * 6 : place % 5 * 6 + 5] = value
    return mask


def few_objects(folder: Path, most: int = 5) -> None:
    """Masks that number their 1 to 5 objects; the first has an arm at its side (a hole) and touches the next."""
    for k, path in enumerate(sorted((folder / "masks").iterdir())):
        mask = boxes(*range(1, k % most + 2))
        mask[2, 2] = 0
        mask[:5, 5] = mask[:5, 6]
        put(path, mask)


def as_mode(folder: Path, mode: str, tint: int, ending: str) -> None:
    """The first picture in this mode, its last channel divided by so much, or coloured."""
    path = folder / "images/p0_0.png"
    pixels = np.asarray(Image.open(path).convert(mode)).copy()
    pixels[..., -1] //= tint
    if mode == "RGB":
        pixels[..., 0] = 255
    path.unlink()
    picture = (
        Image.fromarray(pixels) if mode != "CMYK" else Image.frombytes(mode, pixels.shape[1::-1], pixels.tobytes())
    )
    picture.save(path.with_suffix(ending))


def twelve_bits(folder: Path) -> None:
    for path in (folder / "images").iterdir():
        put(path, np.asarray(Image.open(path)).astype(np.uint16) * 16)


def hot_pixels(folder: Path, pictures: str) -> None:
    twelve_bits(folder)
    for path in (folder / "images").glob(pictures):
        image = np.asarray(Image.open(path)).copy()
        image[3, 4] = 60000
        put(path, image)


def half_sixteen_bits(folder: Path) -> None:
    for path in (folder / "images").glob("*_0.png"):
        put(path, np.asarray(Image.open(path)).astype(np.uint16) * 16)


def some_twelve_bits(folder: Path) -> None:
    for path in (folder / "images").iterdir():
        put(path, np.asarray(Image.open(path)).astype(np.uint16) * (16 if path.stem == "p1_0" else 256))


def floats(folder: Path) -> None:
    for path in list((folder / "images").iterdir()):
        put(path.with_suffix(".tif"), np.asarray(Image.open(path)).astype(np.float32) * 2 - 90)
        path.unlink()


def wide_integers(folder: Path) -> None:
    for path in list((folder / "images").iterdir()):
        put(path.with_suffix(".tif"), np.asarray(Image.open(path)).astype(np.int32) - 100)
        path.unlink()


def renamed(folder: Path, *stems: str) -> None:
    """The pictures by these names, as many as there are."""
    for place in ("images", "masks"):
        for number, path in enumerate(sorted((folder / place).iterdir())):
            path.rename(folder / place / f"{number:02d}.png")
        for number, path in enumerate(sorted((folder / place).iterdir())):
            if number < len(stems):
                path.rename(folder / place / f"{stems[number]}.png")
            else:
                path.unlink()


def manifest(folder: Path, text: str) -> None:
    (folder / "list.csv").write_text(text)


def split_in_two(folder: Path, patients: str) -> None:
    """Moves pictures of those names, or patients, to val, the others to train."""
    for path in [*(folder / "images").iterdir(), *(folder / "masks").iterdir()]:
        place = folder / ("val" if {path.stem, path.stem[:2]} & set(patients.split()) else "train") / path.parent.name
        place.mkdir(parents=True, exist_ok=True)
        path.rename(place / path.name)


def half_with_ones(folder: Path) -> None:
    """Five masks of 0 and 1 beside five of 0 and 255."""
    for path in (folder / "masks").glob("*_0.png"):
        put(path, np.asarray(Image.open(path)) // 255)


def brighter(folder: Path, groups: str) -> None:
    """Pictures of six groups of three, those of some groups as if exposed otherwise."""
    for place in ("images", "masks"):
        shutil.rmtree(folder / place)
    for i in range(18):
        image, labels = scene(i)
        group = f"p{i // 3}"
        put(folder / f"images/{group}_{i % 3}.png", image // 2 + np.uint8(120 * (group in groups.split())))
        put(folder / f"masks/{group}_{i % 3}.png", labels)


def palettes_of_their_own(folder: Path) -> None:
    """Five indexed masks with black and white, five with white and black."""
    for path in (folder / "masks").iterdir():
        mask = Image.fromarray(np.asarray(Image.open(path)) // 255)
        colours = [0, 0, 0, 255, 255, 255]
        mask.putpalette(colours if path.stem.endswith("_0") else colours[::-1])
        mask.save(path)


def as_fractions(folder: Path) -> None:
    for path in list((folder / "masks").iterdir()):
        Image.fromarray(np.asarray(Image.open(path)).astype(np.float32) / 510).save(path.with_suffix(".tif"))
        path.unlink()


def in_pages(folder: Path, place: str) -> None:
    for path in list((folder / place).iterdir()):
        page = Image.open(path)
        page.save(path.with_suffix(".tif"), save_all=True, append_images=[page])
        path.unlink()


def by_transparency(folder: Path) -> None:
    for path in (folder / "masks").iterdir():
        mask = np.asarray(Image.open(path))
        put(path, np.stack([np.full_like(mask, 255)] * 3 + [mask], axis=-1))


def masks_beside(folder: Path) -> None:
    """a.bmp and its mask a.png in one folder."""
    for path in list((folder / "images").iterdir()):
        Image.open(path).save(folder / f"{path.stem}.bmp")
        path.unlink()
    for path in (folder / "masks").iterdir():
        path.rename(folder / path.name)


def turned_photos(folder: Path) -> None:
    """Photos that lie on their side, as their EXIF says; the masks as stored."""
    for path in list((folder / "images").iterdir()):
        picture = Image.open(path).crop((0, 0, 32, 24))
        exif = picture.getexif()
        exif[0x0112] = 6
        picture.save(path, exif=exif)
        put(folder / "masks" / path.name, np.asarray(Image.open(folder / "masks" / path.name))[:24])


def named_by_kind(folder: Path) -> None:
    """Names that begin with what they show: of the patients a group, of the classes none."""
    for i in range(10):
        image, labels = scene(i)
        kind = i % 3
        for place, pixels in (("images", image), ("masks", labels * np.uint8(kind + 1))):
            (folder / place / f"p{i // 2}_{i % 2}.png").unlink()
            put(folder / place / f"{('crack', 'hole', 'rust')[kind]}_{i:03d}.png", pixels)


@pytest.mark.parametrize(
    ("damage", "weight", "words"),
    [
        (lambda f: shutil.copytree(f / "masks", f / "masks_nucleus"), "question",
         ["2 sets of masks fit the same images: masks, masks_nucleus", 'write masks = "masks_nucleus"']),
        (lambda f: [shutil.copytree(f / d, f / "two" / "b" / d) for d in ("images", "masks")], "question",
         ["10 more pairs of image and mask by two/b/masks", "one folder"]),
        (half_with_ones, "question", ["5 masks with 1 and 5 with 255, but none with both"]),
        (palettes_of_their_own, "question", ["palettes of the masks differ", "0 is #000000", "and #ffffff"]),
        (as_fractions, "question", ["holds fractions (0 to 0.5)"]),
        (lambda f: in_pages(f, "images"), "warning", ["10 images with several frames: images/p0_0.tif"]),
        (lambda f: in_pages(f, "masks"), "question", ["p0_0.tif has 2 frames, and a mask has one"]),
        (by_transparency, "question", ["shows its mask by transparency alone"]),
        (masks_beside, "question", ["only the ending differs", "move the masks to masks/"]),
        (turned_photos, "question", ["24 x 32, mask 32 x 24", "turn the masks by a quarter"]),
        (named_by_kind, "question", ["shows class", "take group_pattern out"]),
        (lambda f: [grey_to_jpeg(f), (f / "masks").rename(f / "second")], "question",
         ["in the folder second, call it masks"]),
        (lambda f: [p.rename(p.with_suffix(".npy")) for p in (f / "images").iterdir()], "question",
         ["no image has a mask", "10 .npy in the folder are not read"]),
        (lambda f: (f / "images/p1_0.png").rename(f / "images/p1_0.heic"), "question",
         ["1 mask without an image", "1 .heic in the folder are not read"]),
        (lambda f: [shutil.rmtree(f / "masks"), (f / "images").rename(f / "train")], "question",
         ["no image has a mask", "train/masks/p0_0.png"]),
        (lambda f: (f / "masks/p1_0.png").unlink(), "question", ["1 image (of 10) without a mask", "masks/p1_0.png"]),
        (lambda f: shutil.rmtree(f / "masks"), "question", ["no image has a mask", "masks/p0_0.png"]),
        (lambda f: (f / "images/p1_0.png").unlink(), "warning", ["1 mask without an image: masks/p1_0.png"]),
        (lambda f: (f / "images/p1_0.png").write_bytes(b"no"), "question",
         ["1 file not to be read: images/p1_0.png is not a readable picture; get or save it again"]),
        (lambda f: (f / "masks/p1_0.png").write_bytes(b"no"), "question", ["masks/p1_0.png", "not a readable"]),
        (lambda f: put(f / "masks/p1_0.bmp", scene(0)[1]), "question", ["masks/p1_0.png", "only the ending differs"]),
        (lambda f: put(f / "masks/p1_0.png", scene(0, 30)[1] * 255), "question", ["32 x 32, mask 30 x 30"]),
        (lambda f: as_mode(f, "RGBA", 2, ".png"), "note", ["1 image in part transparent: images/p0_0.png"]),
        (lambda f: as_mode(f, "CMYK", 1, ".jpg"), "note", ["1 image in CMYK", "images/p0_0.jpg", "read as RGB"]),
        (lambda f: as_mode(f, "RGB", 1, ".png"), "note", ["9 images (of 10) without colour", "used as grey RGB"]),
        (lambda f: brighter(f, "p3"), "warning", ["1 group (of 6) of quite another tone", "p3 (brightness about 1"]),
        (grey_to_jpeg, "question", ["10 masks saved as JPEG", "masks/p0_0.jpg", "PNG"]),
        (to_jpeg, "question", ["10 masks with in-between values", "masks/p0_0.jpg", "cuts at 12"]),
        (smooth, "question", ["10 masks with in-between values", "cuts at 128"]),
        (through_jpeg, "question", ["masks with in-between values", "cuts at 12"]),
        (antialiased, "question", ["10 masks with in-between values", "5 values in all", "cuts at 128"]),
        (antialiased_once, "question", ["1 mask with in-between values", "masks/p1_1.png", "cuts at 128"]),
        (antialiased_red, "question", ["10 masks with in-between values", "5 values in all"]),
        (objects, "question", ["0 to 24 without a gap", "one class of all"]),
        (few_objects, "question", ["0 to 5 without a gap", "one class of all"]),
        (lambda f: few_objects(f, 2), "question", ["0 to 2 without a gap", "one class of all"]),
        (empty_mask, "note", ["1 mask (of 10) without any class: masks/p1_1.png"]),
        (lambda f: [put(p, scene(0)[1] * 0) for p in (f / "masks").iterdir()], "question", ["hold only the value 0"]),
        (stray, "warning", ["stray values", "7 (1 pixel)", "masks/p1_1.png", "ignores"]),
        (lambda f: None, "note", ["0 and 255", "255 as the class"]),
        (twelve_bits, "warning", ["16 bits", "0 to 4095, i.e. 12 bits"]),
        (lambda f: hot_pixels(f, "p1_0.png"), "warning", ["12 bits", "of 1 image apart: images/p1_0.png"]),
        (lambda f: hot_pixels(f, "*"), "question", ["12 bits", "single pixels of 10 images apart"]),
        (half_sixteen_bits, "question", ["several stored types", "uint8 (5 images)", "uint16 (5 images)"]),
        (some_twelve_bits, "warning", ["1 image (of 10) nearly black", "images/p1_0.png"]),
        (floats, "warning", ["values from -9", "stored as float32", "the recipe takes -9"]),
        (wide_integers, "warning", ["values from -1", "stored as int32", "the recipe takes -1"]),
        (lambda f: put(f / "images/p1_0.png", scene(0)[0] * 0), "warning", ["1 image of one single tone", "p1_0.png"]),
        (lambda f: shutil.copy(f / "images/p1_0.png", f / "images/p1_1.png"), "warning",
         ["1 picture there twice: images/p1_0.png = images/p1_1.png", "the masks of 1 differ"]),
        (look_alikes, "warning", ["2 pairs of pictures that look nearly the same", "p0_", "p9_"]),
        (lambda f: manifest(f, "file,patient\np0_0.png,a\np0_1.png,a\np1_0.png,b\np1_1.png,b\np2_0.png,c\n"), "note",
         ["list.csv", "column 'file'", "'stem'"]),
        (lambda f: manifest(f, "stem,patient\np0_0,a\np7_1,b\n"), "question",
         ["list.csv lists 'p7_1'", "no such image"]),
        (lambda f: manifest(f, "stem,patient\np0_0,a\np0_0,b\n"), "question", ["lists 'p0_0' twice"]),
        (lambda f: manifest(f, "stem,patient,split\np0_0,a,train\np0_1,a,val\np1_0,b,val\n"), "question",
         ["group 'a' is in train and in val"]),
        (lambda f: manifest(f, "stem,patient,split\np0_0,a,training\np1_0,b,valid\n"), "question",
         ["training, valid", "write train, val and test"]),
        (lambda f: manifest(f, "stem,split\np0_0,train\np1_0,test\n"), "question", ["test, train only"]),
        (lambda f: renamed(f, *(f"patient{i % 2 + 1}_slice{i:03d}" for i in range(10))), "question",
         ["few or unequal groups: patient1 (5 pictures), patient2 (5 pictures)", "group_pattern", "val"]),
        (lambda f: renamed(f, *(f"p{max(0, i - 6)}_{i}" for i in range(10))), "question",
         ["unequal groups: p0 (7 pictures), p1 (1 picture), p2 (1 picture) and 1 more"]),
        (lambda f: renamed(f, *(f"p{i // 2}_{i % 2}" for i in range(9)), "phantom"), "question",
         ["show groups (p0, p1, p2 and 2 more) but for 1 picture: phantom", "group_column"]),
        (lambda f: renamed(f, *(f"{'abc'[i % 3]}x{i}" for i in range(9)), "phantom"), "question",
         ["show groups (ax, bx, cx) but for 1 picture: phantom"]),
        (lambda f: renamed(f, *(f"video1_frame{i:04d}" for i in range(10))), "question",
         ["10 pictures of 1 group, none for the val split"]),
        (lambda f: split_in_two(f, "p4 p0_1"), "question", ["1 group of pictures in the folders of two splits: p0"]),
        (lambda f: [p.unlink() for d in ("images", "masks") for p in (f / d).iterdir() if p.stem != "p0_0"], "question",
         ["1 picture of 1 group, none for the val split"]),
    ],
)  # fmt: skip
def test_what_is_wrong_is_found_weighed_and_named(
    tmp_path: Path, damage: Callable[[Path], object], weight: str, words: list[str]
) -> None:
    damage(healthy(tmp_path))
    diagnosis = diagnose(tmp_path)
    hits = [s for s in findings(diagnosis, weight) if all(word in s for word in words)]
    assert len(hits) == 1, report_text(diagnosis)
    assert "\n" not in hits[0]
    assert bool(diagnosis.ambiguous) == (weight == "question")


def test_a_folder_for_each_patient_is_read_and_makes_the_groups(tmp_path: Path) -> None:
    """The same names in every folder; one image lacks its mask."""
    for i in range(12):
        image, labels = scene(i)
        place = tmp_path / f"patient {i // 3}"
        put(place / "images" / f"slice_{i % 3}.png", image)
        put(place / "masks" / f"slice_{i % 3}.png", labels * np.uint8(255))
    diagnosis = diagnose(tmp_path)
    assert diagnosis.ambiguous == ()
    recipe = loaded(diagnosis, tmp_path)
    examples = find_examples(recipe.data, tmp_path)
    assert {example.group for example in examples} == {f"patient {i}" for i in range(4)}
    assert [example.name for example in examples][:2] == ["patient 0/slice_0", "patient 0/slice_1"]
    assert sum(len(names) for split in pictures_by_split(examples).values() for names in split.values()) == 12
    (tmp_path / "patient 2/masks/slice_1.png").unlink()
    expected = "patient 2/masks/slice_1.png"
    assert expected in diagnose(tmp_path).ambiguous[0]
    with pytest.raises(ValueError, match=f"1 of 12 images have no mask.*expected {expected}"):
        find_examples(recipe.data, tmp_path)


def test_a_copy_on_two_sides_of_a_split_is_asked_about_and_avoided_where_the_split_is_drawn(tmp_path: Path) -> None:
    folder = healthy(tmp_path / "data")
    shutil.copy(folder / "images/p0_0.png", folder / "images/p1_0.png")
    drawn = diagnose(folder)
    assert not drawn.ambiguous
    side = {example.group: example.split for example in drawn.examples}
    assert side["p0"] == side["p1"]
    split_in_two(folder, "p1")
    (question,) = diagnose(folder).ambiguous
    assert "train/images/p0_0.png, val/images/p1_0.png" in question


def test_the_seed_is_one_that_shows_every_label_on_both_sides(tmp_path: Path) -> None:
    for i in range(10):
        image, labels = scene(i)
        put(tmp_path / f"images/p{i}_0.png", image)
        put(tmp_path / f"masks/p{i}_0.png", labels + (labels if i < 2 else 0))  # 2 in the first two only
        put(tmp_path / f"images/p{i}_1.png", scene(100 + i)[0])
        put(tmp_path / f"masks/p{i}_1.png", scene(100 + i)[1])
    diagnosis = diagnose(tmp_path)
    assert not diagnosis.ambiguous
    side = {example.group: example.split for example in diagnosis.examples}
    assert {side["p0"], side["p1"]} == {"train", "val"}
    (tmp_path / "recipe").mkdir()
    recipe = loaded(diagnosis, tmp_path / "recipe")
    assert tuple(find_examples(recipe.data, tmp_path, recipe.train.seed)) == diagnosis.examples


@pytest.mark.parametrize("blur", [smooth, through_jpeg])
def test_the_recipe_for_blurred_masks_gives_back_the_masks_before(
    tmp_path: Path, blur: Callable[[Path], object]
) -> None:
    folder = healthy(tmp_path / "data")
    blur(folder)
    recipe = loaded(diagnose(folder), tmp_path)
    config = recipe.config((0.0,), (1.0,))
    for i, example in enumerate(sorted(find_examples(recipe.data, folder), key=lambda e: e.image)):
        _, labels = read_example(example, recipe.data, config)
        assert (labels == scene(i)[1]).mean() > 0.97


@pytest.mark.parametrize(
    ("values", "classes", "background", "ignored"),
    [
        ((0, 1, 2), ("class1", "class2"), "background", set()),
        ((0, 128, 255), ("class1", "class2"), "background", set()),
        ((0, 1, 2, 255), ("class1", "class2"), "background", {"255"}),
        ((1, 2, 3), ("class1", "class2", "class3"), None, set()),
        ((1, 2), ("class1", "class2"), None, set()),
        (((0, 0, 0), (255, 0, 0), (0, 0, 255)), ("class1", "class2"), "background", set()),
        (((9, 9, 9), (255, 0, 0)), ("class1", "class2"), None, set()),
    ],
)
def test_values_of_masks_become_labels(
    tmp_path: Path, values: tuple[object, ...], classes: tuple[str, ...], background: str | None, ignored: set[str]
) -> None:
    table = np.array(values, dtype=np.uint8)
    for i in range(6):
        put(tmp_path / f"data/images/{i}.png", scene(i)[0])
        regions = (np.arange(32)[:, None] // 8 + np.arange(32) // 8 + i) % len(values)
        put(tmp_path / f"data/masks/{i}.png", table[regions])
    recipe = loaded(diagnose(tmp_path / "data"), tmp_path)
    assert (recipe.data.classes, recipe.data.background) == (classes, background)
    assert {key for key, name in recipe.data.mask_values.items() if name == "ignore"} == ignored
    colours = table.ndim == 2
    assert all(key.startswith("#") == colours for key in recipe.data.mask_values)
    assert len(set(recipe.data.palette)) == len(recipe.data.palette)
    if colours:
        assert {hex_to_rgb(colour) for colour in recipe.data.palette} == set(values)


def outlined(inside: object, line: object, thick: int) -> NDArray[np.uint8]:
    """A square with an outline so thick."""
    table = np.array([np.zeros_like(inside), inside, line], dtype=np.uint8)
    labels = np.zeros((32, 32), dtype=np.uint8)
    labels[4:28, 4:28] = 2
    labels[4 + thick : 28 - thick, 4 + thick : 28 - thick] = 1
    return table[labels]


def strip(mask: Pixels, value: int, thick: int = 1) -> Pixels:
    mask[28 : 28 + thick] = value
    return mask


@pytest.mark.parametrize(
    ("masks", "classes"),
    [
        ([boxes(50, 100, 150)], 3),
        ([strip(boxes(255, 255), 128)], 2),  # a crack
        ([outlined(255, 127, 3)], 2),  # a trimap
        ([outlined(2, 1, 1)], 2),  # ids, one of borders
        ([outlined((255, 0, 0), (0, 0, 255), 1)], 2),
        ([np.tile(np.array([[0] * 3, [9] * 3, [90, 0, 0], [9] * 3], dtype=np.uint8), (32, 8, 1))], 2),  # stripes
        ([boxes(200), boxes(200, 100)], 2),
        ([boxes(1), strip(boxes(1, 2), 3), strip(boxes(1), 3)], 3),
        ([boxes(1, 2, 3)], 3),
        ([boxes(1, 1, 1), boxes(1, 1, 2)], 2),
        ([outlined(1, 1, 1), outlined(2, 1, 3)], 2),  # a lesion in an organ
    ],
)
def test_thin_rare_or_missing_classes_are_no_blur_and_no_objects(
    tmp_path: Path, masks: list[NDArray[np.uint8]], classes: int
) -> None:
    for i in range(6):
        put(tmp_path / f"images/{i}.png", scene(i)[0])
        put(tmp_path / f"masks/{i}.png", masks[i % len(masks)])
    diagnosis = diagnose(tmp_path)
    assert not diagnosis.ambiguous
    assert diagnosis.labels is not None
    assert len(diagnosis.labels.classes) == classes


@pytest.mark.parametrize(
    "legend",
    [
        ["road", "water", "void"],
        {"0": "road", "1": "water", "2": "void"},
        {"classes": {"0": "road", "1": " water", "2": "Void", "9": ""}},
        {"classes": [{"id": i, "name": name} for i, name in enumerate(["road", "water", "Void"])]},
    ],
)
def test_names_come_from_a_legend_beside_the_pictures(tmp_path: Path, legend: object) -> None:
    for i in range(6):
        put(tmp_path / f"images/{i}.png", scene(i)[0])
        put(tmp_path / f"masks/{i}.png", ((np.arange(32)[:, None] // 8 + np.arange(32) // 8) % 3).astype(np.uint8))
    (tmp_path / "classes.json").write_text(json.dumps(legend))
    data = loaded(diagnose(tmp_path), tmp_path).data
    assert (data.classes, data.background) == (("road", "water"), None)
    assert data.mask_values == {"0": "road", "1": "water", "2": "ignore"}


def test_a_manifest_says_groups_and_splits_and_leaves_pictures_out(tmp_path: Path) -> None:
    folder = healthy(tmp_path / "data")
    (folder / "masks/p4_1.png").unlink()  # not listed, so nobody misses it
    with (folder / "m.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["stem", "slice", "patient_id", "split"])
        for i in range(8):
            rows.writerow([f"p{i // 2}_{i % 2}", i, "ab"[i // 4], ("train", "val")[i // 4]])
    diagnosis = diagnose(folder)
    assert not diagnosis.ambiguous
    data = loaded(diagnosis, tmp_path).data
    assert (data.manifest, data.group_column, data.split_column) == ("m.csv", "patient_id", "split")
    assert {(e.group, e.split) for e in diagnosis.examples} == {("a", "train"), ("b", "val")}
    assert len(diagnosis.examined) == 8


@pytest.mark.parametrize(
    ("stems", "groups"),
    [
        ([f"dubai_tile{t}_part{p:03d}" for t in range(4) for p in range(4)], {f"dubai_tile{t}" for t in range(4)}),
        ([f"lits_v00{v}_s{s}" for v in range(3) for s in (8, 9, 10)], {"lits_v000", "lits_v001", "lits_v002"}),
        ([f"ward7_bed{b}_{s}" for b in range(3) for s in range(3)], {f"ward7_bed{b}" for b in range(3)}),
        ([f"{city}{n}" for city in ("rome", "oslo", "kyiv") for n in range(3)], {"rome", "oslo", "kyiv"}),
        ([f"img_{n}" for n in range(9)], None),
        (list("abcdefgh"), None),
        ([f"IMG_2024_{n:04d}" for n in range(9)], None),
        ([f"case_2024_{n:03d}" for n in range(9)], None),
        ([f"{sign}_{n}" for sign in ("pos", "neg") for n in range(4)], None),
        ([*(f"img_{n}" for n in range(8)), "extra"], None),
        (["3f2a", "9c41", "b07e", "c9d1", "d4e0", "e81b", "f60a", "fade"], None),
    ],
)
def test_groups_are_read_from_names(tmp_path: Path, stems: list[str], groups: set[str] | None) -> None:
    for i, stem in enumerate(stems):
        put(tmp_path / f"{stem}.png", scene(i)[0])
        put(tmp_path / f"{stem}_mask.png", scene(i)[1])
    diagnosis = diagnose(tmp_path)
    assert {example.group for example in diagnosis.examples} == (groups or set(stems))
    assert not diagnosis.ambiguous


def test_large_pictures_keep_their_resolution_and_thin_things_their_size(tmp_path: Path) -> None:
    sizes = {}
    for name, side, thin in (("large", 700, 0), ("thick", 400, 0), ("thin", 400, 1), ("membranes", 400, -1)):
        for i in range(3):
            mask = np.zeros((side, side), dtype=np.uint8)
            mask[40 : 42 if thin else 200, 30:300] = 1
            if thin < 0:
                mask = 1 - mask  # the thin label is the background
            put(tmp_path / name / f"images/{i}.png", scene(i, side)[0])
            put(tmp_path / name / f"masks/{i}.png", mask)
        sizes[name] = loaded(diagnose(tmp_path / name), tmp_path).model.working_size
    assert sizes == {"large": None, "thick": 256, "thin": 400, "membranes": 400}


def without(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).unlink()


def masks_by(folder: Path, change: Callable[[Image.Image], Image.Image], which: str = "*") -> None:
    """Changes masks, and saves them as PNG."""
    for path in list((folder / "masks").glob(which)):
        with Image.open(path) as mask:
            changed = change(mask.copy())
        path.unlink()
        changed.save(path.with_suffix(".png"))


def grown(folder: Path, void: int) -> None:
    """Around each square a border with this number, the square being 128."""
    for i, path in enumerate(sorted((folder / "masks").iterdir())):
        inside = scene(i)[1] > 0
        around = np.pad(inside, 1)
        around = around[2:, 1:-1] | around[:-2, 1:-1] | around[1:-1, 2:] | around[1:-1, :-2]
        put(path, np.where(inside, 128, np.where(around, void, 0)).astype(np.uint8))


def another_class(folder: Path, *pictures: str) -> None:
    for picture in pictures:
        masks_by(folder, lambda mask: mask.point(lambda value: value * 100 // 255 * 2), f"{picture}.png")


def inverted(folder: Path) -> None:
    masks_by(folder, lambda mask: mask.point(lambda value: 255 - value), "p1_*")


def two_named(text: str) -> str:
    """The recipe with 255 as a class of its own."""
    text = text.replace('255 = "ignore"', '255 = "rim"').replace('["class1"]', '["class1", "rim"]')
    return text.replace('task = "binary"', 'task = "multiclass"').replace('"#e4572e"]', '"#e4572e", "#3a86ff"]')


@pytest.mark.parametrize(
    ("damage", "words", "follow"),
    [
        (lambda f: without(f, "masks/p1_0.png"), "add masks called accordingly (masks/p1_0.png), all 0",
         lambda f: put(f / "masks/p1_0.png", scene(0)[1] * 0)),
        (lambda f: without(f, "masks/p1_0.png"), "the proposed recipe leaves these images out", lambda text: text),
        (lambda f: (f / "images/p1_0.png").write_bytes(b"no"), "or take out both files",
         lambda f: without(f, "images/p1_0.png", "masks/p1_0.png")),
        (lambda f: put(f / "masks/p1_0.png", np.kron(scene(2)[1], np.full((2, 2), 255, dtype=np.uint8))),
         "resized with nearest neighbour", lambda f: masks_by(f, lambda m: m.resize((32, 32), 0), "p1_0.png")),
        (grey_to_jpeg, "save it as PNG and ask again", lambda f: masks_by(f, lambda m: m)),
        (to_jpeg, "or use the proposed recipe, which cuts", lambda text: text),
        (smooth, "or use the proposed recipe, which cuts", lambda text: text),
        (half_with_ones, "give 255 the name of 1", lambda text: text.replace('255 = "ignore"', '255 = "class1"')),
        (half_with_ones, "save all masks with the same numbers",
         lambda f: masks_by(f, lambda m: m.point(lambda value: value * 255), "*_0.png")),
        (palettes_of_their_own, "or as numbers with one palette",
         lambda f: masks_by(f, lambda m: Image.fromarray(np.asarray(m)))),
        (turned_photos, "turn the masks by a quarter", lambda f: masks_by(f, lambda m: m.transpose(4))),
        (named_by_kind, "take group_pattern out",
         lambda text: "\n".join(line for line in text.splitlines() if not line.startswith("group_pattern"))),
        (few_objects, "the proposed recipe makes one class", lambda text: text),
        (lambda f: put(f / "masks/p1_0.bmp", scene(2)[1]), "remove one of each",
         lambda f: without(f, "masks/p1_0.bmp")),
        (masks_beside, "move the masks to masks/",
         lambda f: [p.rename(f / "masks" / p.name) for p in sorted(f.glob("*.png"))]),
        (by_transparency, "save that as grey PNG", lambda f: masks_by(f, lambda m: m.getchannel("A"))),
        (as_fractions, "save labels as whole numbers",
         lambda f: masks_by(f, lambda m: Image.fromarray((np.asarray(m) * 510).astype(np.uint8)))),
        (inverted, "exchange the two values", inverted),
        (lambda f: renamed(f, *(f"patient{i % 2 + 1}_slice{i:03d}" for i in range(10))), "say with its val",
         lambda text: re.sub(r"(?m)^val = .*$", 'val = ["patient2"]', text)),
        (lambda f: split_in_two(f, "p4 p0_1"), "move each group into one folder",
         lambda f: [(f / f"val/{p}/p0_1.png").rename(f / f"train/{p}/p0_1.png") for p in ("images", "masks")]),
        (lambda f: [another_class(f, "p4_0"), split_in_two(f, "p3 p4")], "no training picture shows class1; add",
         lambda f: [p.rename(f / "train" / p.relative_to(f / "val")) for p in list((f / "val").rglob("p4_*.png"))]),
        (lambda f: grown(f, 255), "the recipe ignores it; if it is a class", lambda text: text),
        (lambda f: grown(f, 255), "if it is a class, name it in mask_values and classes", two_named),
        (lambda f: [shutil.copy(f / "images/p0_0.png", f / "images/p1_0.png"), split_in_two(f, "p1")],
         "remove one of each, or the scores flatter",
         lambda f: without(f, "val/images/p1_0.png", "val/masks/p1_0.png")),
    ],
)  # fmt: skip
def test_every_advice_leads_to_a_training(
    tmp_path: Path, damage: Callable[[Path], object], words: str, follow: Callable[..., object]
) -> None:
    """Followed in the folder, nothing is asked any more; followed in the recipe, all of the folder can be read."""
    folder = healthy(tmp_path / "data")
    damage(folder)
    asked = diagnose(folder)
    assert len([question for question in asked.ambiguous if words in question]) == 1, report_text(asked)
    edits = follow.__code__.co_varnames[0] == "text"
    if edits:
        (tmp_path / "r.toml").write_text(str(follow(asked.recipe)))
        recipe = Recipe.from_file(tmp_path / "r.toml")
    else:
        follow(folder)
        again = diagnose(folder)
        left = [question for question in again.ambiguous if words in question or "cuts at" not in question]
        assert not left, report_text(again)  # a JPEG saved as PNG is cut, which is asked next
        recipe = loaded(again, tmp_path)
    config = recipe.config((0.0,), (1.0,))
    examples = find_examples(recipe.data, folder, recipe.train.seed)
    assert {example.split for example in examples} >= {"train", "val"}
    seen = set()
    for example in examples:
        _, labels = read_example(example, recipe.data, config)
        seen |= set(np.unique(labels).tolist())
        if (match := re.fullmatch(r"p(\d)_(\d)", example.name)) and damage not in (few_objects, turned_photos):
            truth = scene(2 * int(match[1]) + int(match[2]))[1] > 0
            inside = (labels > 0) & (labels != 255) if "grown" not in damage.__code__.co_names else labels == 1
            assert (inside == truth).mean() > 0.97 or not labels.any()
    assert seen >= set(range(len(config.labels)))


NAMES = st.text("ab_0 é'\"\\#\n\x7f{}", min_size=1, max_size=5).filter(lambda name: name.strip())


@settings(max_examples=40)
@given(st.data())
def test_every_proposal_loads_and_where_nothing_is_asked_every_picture_can_be_trained_on(data: st.DataObject) -> None:
    draw = data.draw
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / draw(NAMES, "folder")
        place, mask_place, mask_name = draw(
            st.sampled_from(
                [
                    ("images/{}", "masks/{}", "{}"),
                    ("{}", "{}", "{}_mask"),
                    ("x/{}", "x/{}", "{}-label"),
                    ("{split}/images/{}", "{split}/masks/{}", "{}"),
                    ("{split}/{}", "{split}/{}", "{}_gt"),
                ]
            ),
            "layout",
        )
        stem = st.one_of(st.from_regex(r"[ab][0-2]_[0-9]", fullmatch=True), NAMES)
        stems = draw(st.lists(stem, min_size=1, max_size=6, unique_by=str.casefold), "stems")
        kind = draw(st.sampled_from(["ids", "white", "colours", "noise", "16 bits"]), "masks")
        coloured = draw(st.booleans(), "coloured")
        damaged = draw(st.sampled_from([None, None, "mask", "image", "size"]), "damage")
        for i, stem in enumerate(stems):
            split = draw(st.sampled_from(["train", "val"]))
            side = draw(st.integers(1, 40), "side")
            random = np.random.default_rng(i)
            labels = random.integers(0, 3, (side, -(-side // 2))).repeat(2, axis=1)
            height, width = labels.shape
            mask = {
                "ids": labels.astype(np.uint8),
                "white": (labels > 0).astype(np.uint8) * 255,
                "colours": np.array([(0, 0, 0), (9, 200, 3), (250, 4, 77)], dtype=np.uint8)[labels],
                "noise": random.integers(0, 256, labels.shape).astype(np.uint8),
                "16 bits": (labels * 300).astype(np.uint16),
            }[kind]
            if i == 0 and damaged == "size":
                mask = np.concatenate([mask, mask])
            image = random.integers(0, 256, (height, width, 3) if coloured else (height, width)).astype(np.uint8)
            name = stem.replace("/", "").replace("\0", "")
            put(folder / place.format(name + ".png", split=split), image)
            path = folder / mask_place.format(mask_name.format(name) + ".png", split=split)
            put(path, mask)
            if i == 0 and damaged in ("mask", "image"):
                (path if damaged == "mask" else folder / place.format(name + ".png", split=split)).write_bytes(b"no")
        diagnosis = diagnose(folder)
        assert report_text(diagnosis)
        assert [f.weight for f in diagnosis.findings] == sorted(
            (f.weight for f in diagnosis.findings), key=WEIGHTS.index
        )
        if diagnosis.recipe is None:
            assert diagnosis.ambiguous
            return
        recipe = loaded(diagnosis, Path(temporary))
        if not diagnosis.ambiguous:
            examples = find_examples(recipe.data, folder, recipe.train.seed)
            assert {example.split for example in examples} >= {"train", "val"}
            config = recipe.config((0.0,) * len(recipe.data.channels), (1.0,) * len(recipe.data.channels))
            seen = set()
            for example in examples:
                _, labels = read_example(example, recipe.data, config)
                seen |= set(np.unique(labels).tolist()) if example.split == "train" else set()
            assert seen >= set(range(len(config.labels)))


def test_the_contact_sheet_shows_image_mask_and_both_and_marks_what_is_wrong(tmp_path: Path) -> None:
    mask = np.zeros((40, 40), dtype=np.uint8)
    mask[:20] = 255
    for i in range(14):
        image = np.full((40, 40), 128, dtype=np.uint8)
        image[0, i] = 0  # so that no two are the same
        put(tmp_path / f"data/images/p{i}_0.png", image)
        put(tmp_path / f"data/masks/p{i}_0.png", mask if i else mask[:30])
    draw_sheet(diagnose(tmp_path / "data"), tmp_path / "sheet.png")
    sheet = pixels_of(tmp_path / "sheet.png").astype(int)
    # the first row of cells begins where the first picture's grey does
    top = int(np.flatnonzero((sheet[:, MARGIN + CELL // 2] == 128).all(axis=1))[0])
    cell = 3 * CELL + 2 * GAP + MARGIN

    def colour(x: int, y: int) -> tuple[int, ...]:
        return tuple(sheet[top + y, x].tolist())

    second = MARGIN + cell  # the first has a mask of another size
    class_colour = hex_to_rgb("#e4572e")
    assert colour(second + CELL // 2, CELL // 4) == (128, 128, 128)
    assert colour(second + CELL + GAP + CELL // 2, CELL // 4) == class_colour
    assert colour(second + CELL + GAP + CELL // 2, 3 * CELL // 4) == (0, 0, 0)
    both = colour(second + 2 * (CELL + GAP) + CELL // 2, CELL // 4)
    assert both == pytest.approx([0.45 * c + 0.55 * 128 for c in class_colour], abs=1)
    assert colour(second + 2 * (CELL + GAP) + CELL // 2, 3 * CELL // 4) == (128, 128, 128)
    red = (np.abs(sheet - hex_to_rgb("#c0281c")).sum(axis=2) < 30).any(axis=0)
    assert red[MARGIN : MARGIN + cell].any()
    assert not red[second:].any()
    assert len(list(tmp_path.iterdir())) == 2


def test_a_sheet_shows_in_grey_what_is_ignored_and_replaces_no_picture(tmp_path: Path) -> None:
    for i in range(3):
        put(tmp_path / f"data/images/{i}.png", scene(i)[0])
        put(tmp_path / f"data/masks/{i}.png", np.repeat([0, 1, 2, 255], 8).astype(np.uint8)[:, None].repeat(32, axis=1))
    diagnosis, sheet = diagnose(tmp_path / "data"), tmp_path / "sheet.png"
    for _ in range(2):
        draw_sheet(diagnosis, sheet)
    grey = (pixels_of(sheet) == UNKNOWN).all(axis=2).sum()
    assert grey == pytest.approx(3 * 2 * CELL * CELL / 4, rel=0.1)
    for content in (b"notes", (tmp_path / "data/images/0.png").read_bytes()):
        sheet.write_bytes(content)
        with pytest.raises(ValueError, match="is no contact sheet"):
            draw_sheet(diagnosis, sheet)
        assert sheet.read_bytes() == content


def test_a_sheet_is_drawn_of_whatever_can_be_shown(tmp_path: Path) -> None:
    for name, damage in {"alone": shutil.rmtree, "blurred": None}.items():
        folder = healthy(tmp_path / name)
        if damage is None:
            grey_to_jpeg(folder)
        else:
            damage(folder / "masks")
        (folder / "images" / "p0_0.png").write_bytes(b"no")
        draw_sheet(diagnose(folder), tmp_path / f"{name}.png")
        assert pixels_of(tmp_path / f"{name}.png").shape[1] > 3 * CELL


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda f: None, "is no folder"),
        (lambda f: f.mkdir(), "holds no pictures"),
        (lambda f: f.write_text("x"), "is no folder"),
    ],
)
def test_what_is_no_folder_of_pictures_is_refused(
    tmp_path: Path, make: Callable[[Path], object], words: str, caplog: pytest.LogCaptureFixture
) -> None:
    make(tmp_path / "data")
    assert main(["doctor", str(tmp_path / "data")]) == 1
    assert words in caplog.messages[-1]


def test_the_command_reports_and_writes_and_never_overwrites_a_recipe(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.INFO)
    folder, recipe, sheet = healthy(tmp_path / "data"), tmp_path / "r.toml", tmp_path / "s.png"
    arguments = ["doctor", str(folder), "--write", str(recipe), "--sheet", str(sheet)]
    assert main(arguments) == 0
    told = capsys.readouterr().out
    assert "Nothing stands against training." in told
    assert told.endswith(f"This trains: python training/train.py {recipe} --data {folder}\n")
    assert Recipe.from_file(recipe).data.task == "binary"
    assert pixels_of(sheet).size
    recipe.write_text("corrected")
    assert main(arguments) == 1
    assert recipe.read_text() == "corrected"
    assert "r.toml was edited and is not replaced" in caplog.messages[-1]


def test_the_command_writes_recipe_and_sheet_by_the_folders_name_and_the_sheet_also_without_a_recipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, place = healthy(tmp_path / "data"), tmp_path / "here"
    place.mkdir()
    monkeypatch.chdir(place)
    for _ in range(2):  # what nobody touched is replaced
        assert main(["doctor", str(folder)]) == 0
    assert {path.name for path in place.iterdir()} == {"data.toml", "data.png"}
    monkeypatch.chdir(folder)
    assert main(["doctor", "."]) == 0
    assert {path.name for path in folder.iterdir()} == {"images", "masks"}  # or the sheet were the next picture
    assert (tmp_path / "data.png").is_file()
    monkeypatch.chdir(place)
    shutil.rmtree(folder / "masks")
    (place / "data.png").unlink()
    capsys.readouterr()
    assert main(["doctor", str(folder)]) == 1
    assert pixels_of(place / "data.png").size
    told = capsys.readouterr().out
    assert told.endswith(f"examine the folder again: python -m unetseg doctor {folder}\n")


def test_three_questions_are_shown_at_once_and_the_rest_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = healthy(tmp_path / "data")
    (folder / "masks/p0_0.png").unlink()
    (folder / "images/p1_0.png").write_bytes(b"no")
    put(folder / "masks/p2_0.png", scene(0, 30)[1])
    put(folder / "masks/p2_1.bmp", scene(0)[1])
    smooth(folder)
    names = ["--write", f"{tmp_path}/r.toml", "--sheet", f"{tmp_path}/s.png", "--html", f"{tmp_path}/h.html"]
    assert main(["doctor", str(folder), *names]) == 1
    told = capsys.readouterr().out
    count = len(diagnose(folder).ambiguous)
    assert count > 3
    asked = told.partition("To be answered before training")[2].partition("\n\n")[0]
    assert asked.count("\n  * ") == 3
    after = f"and {count - 3} more question{'s' * (count > 4)} after these"
    assert asked.endswith(after)
    page = (tmp_path / "h.html").read_text()
    assert page.count('<article class="question">') == 3
    assert after in page


@pytest.fixture(scope="module")
def proposed(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The recipe of a healthy folder."""
    return diagnose(healthy(tmp_path_factory.mktemp("data"))).recipe or ""


@given(data=st.data())
def test_any_edit_of_a_proposal_is_seen(
    tmp_path_factory: pytest.TempPathFactory, proposed: str, data: st.DataObject
) -> None:
    folder, text = tmp_path_factory.mktemp("edited"), proposed
    (folder / "r.toml").write_text(text, encoding="utf-8")
    assert not is_edited(folder / "r.toml")
    assert not is_edited(folder / "none.toml")
    at = data.draw(st.integers(0, len(text) - 1))
    put_in = data.draw(st.text("a1# \n", max_size=3).filter(lambda new: new != text[at]))
    (folder / "r.toml").write_text(text[:at] + put_in + text[at + 1 :], encoding="utf-8")
    assert is_edited(folder / "r.toml")


def test_frames_of_a_film_give_no_more_pairs_than_frames(tmp_path: Path) -> None:
    put(tmp_path / "a.png", scene(0)[0])
    one = image_facts(tmp_path / "a.png")
    frames = []
    for i in range(30):
        gradients = one.gradients.copy()
        gradients[i % 5] ^= True
        frames.append(replace(one, digest=bytes([i]), gradients=gradients))
    pairs = look_alike(frames, [str(i) for i in range(30)])
    assert len(set(pairs)) == len(pairs) <= 30
    assert {i for pair in pairs for i in pair} == set(range(30))
    assert all(i % 5 == j % 5 for i, j in pairs)  # the nearest of all
    assert look_alike(frames, ["film"] * 30) == []


def test_examining_a_mask_takes_little_memory(tmp_path: Path) -> None:
    """What threads hold at once adds up."""
    side = 512
    pixels = np.zeros((side, side, 3), dtype=np.uint8)
    pixels[100:300, 100:300] = (200, 10, 3)
    put(tmp_path / "m.png", pixels)
    tracemalloc.start()
    try:
        facts = mask_facts(tmp_path / "m.png")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert facts.pixels == {0: side**2 - 40000, 0xC80A03: 40000}
    assert facts.firm[0xC80A03] == 199 * 199
    assert peak < 20 * side**2


def test_grey_masks_saved_as_rgb_count_as_numbers_and_black_ones_among_colours_as_colours(tmp_path: Path) -> None:
    for i in range(6):
        labels = scene(i)[1] * (i > 0)
        for name, colour in {"grey": (255, 255, 255), "red": (255, 0, 0)}.items():
            put(tmp_path / f"{name}/images/{i}.png", scene(i)[0])
            put(tmp_path / f"{name}/masks/{i}.png", labels[..., None] * np.array(colour, dtype=np.uint8))
    names = [{"name": "sky", "hex": "#000000"}, {"name": "roof", "hex": "#FF0000"}]
    (tmp_path / "red/classes.json").write_text(json.dumps(names))
    grey, red = (diagnose(tmp_path / name) for name in ("grey", "red"))
    assert not grey.ambiguous
    assert not red.ambiguous
    assert set(loaded(grey, tmp_path).data.mask_values) == {"0", "255"}
    assert loaded(red, tmp_path).data.mask_values == {"#000000": "sky", "#ff0000": "roof"}


@given(words=st.lists(st.sampled_from(["Water", "forest", "tree", "a", "b"]), unique=True), count=st.integers(1, 35))
def test_every_label_has_a_colour_of_its_own_and_water_is_blue(words: list[str], count: int) -> None:
    names = [*words, *(f"class{i}" for i in range(count))]
    colours = dict(zip(names, palette_for(names, has_background=False), strict=True))
    assert len(set(colours.values())) == len(names)
    assert colours.get("Water", "#3a86ff") == "#3a86ff"
    assert palette_for(["nothing", *names], has_background=True) == ("#000000", *colours.values())


@pytest.fixture(scope="module")
def command() -> ModuleType:
    """training/train.py as a module, where a process of its own would show nothing more."""
    return load("train")


SHORT = ["--train.epochs", "1", "--model.widths", "[4, 8]", "--train.validate_every", "1"]


def test_training_on_a_folder_examines_it_and_goes_on_when_nothing_is_asked(
    command: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_samples(tmp_path / "scans", "ct", count=6, size=32)
    monkeypatch.chdir(tmp_path)
    assert command.main(["scans", *SHORT]) == 0
    run = tmp_path / "runs" / "scans"
    assert (run / "checkpoint" / "model.safetensors").is_file()
    assert Recipe.from_file(run / "recipe.toml").data.mask_values == {"0": "background", "255": "class1"}
    assert pixels_of(run / "contact_sheet.png").size
    # the recipe of the run is taken at a resume, whatever the folder has become
    before = (run / "recipe.toml").read_text()
    (run / "recipe.toml").write_text(before.replace("class1", "liver"))
    assert command.main(["scans", "--resume", *SHORT]) == 1
    assert "liver" in (run / "recipe.toml").read_text()


def test_training_on_a_folder_stops_with_one_sentence_where_only_a_person_can_answer(
    command: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    smooth(healthy(tmp_path / "the scans"))
    monkeypatch.chdir(tmp_path)
    assert command.main(["the scans", *SHORT]) == 1
    message = caplog.messages[-1]
    run = tmp_path / "runs" / "the scans"
    assert message.startswith("error: to be answered first: 10 masks with in-between values")
    assert "\n" not in message
    assert {path.name for path in run.iterdir()} == {"recipe.toml", "contact_sheet.png", "report.html"}
    # corrected, it is not overwritten; and the sentence says how to train with it
    (run / "recipe.toml").write_text((run / "recipe.toml").read_text().replace("class1", "crack"))
    assert command.main(["the scans", *SHORT]) == 1
    assert "crack" in (run / "recipe.toml").read_text()
    told = shlex.split(caplog.messages[-1].partition("python training/train.py ")[2])
    assert command.main([*told, *SHORT]) == 0
    assert (run / "checkpoint" / "model.safetensors").is_file()


def test_training_on_a_folder_goes_on_once_the_person_did_what_was_asked(
    command: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = healthy(tmp_path / "my scans")
    mask = (folder / "masks/p0_0.png").read_bytes()
    (folder / "masks/p0_0.png").unlink()
    monkeypatch.chdir(tmp_path)
    recipe = Path("runs/my scans/recipe.toml")
    with pytest.raises(ValueError, match="to be answered first: 1 image"):
        command.propose(folder, recipe)
    before = recipe.read_text()
    (folder / "masks/p0_0.png").write_bytes(mask)
    command.propose(folder, recipe)
    assert recipe.read_text() != before
    assert not is_edited(recipe)


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (("working_size = 32", "working_size = 128"), "working_size is 128, but the longer sides of the pictures are"),
        (("working_size = 32", "working_size = 16"), "crop is 32, but the network sees pictures of about 16 pixels"),
        (("crop = 32", "crop = 64"), "crop is 64, but the network sees pictures of about 32 pixels"),
        (("working_size = 32", "# none"), None),
        (("crop = 32", "crop = 16"), None),
    ],
)
def test_sizes_of_an_edited_recipe_that_no_longer_fit_are_told_when_training_starts(
    command: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    edit: tuple[str, str],
    words: str | None,
) -> None:
    folder = healthy(tmp_path / "data")
    text = diagnose(folder).recipe or ""
    assert edit[0] in text
    (tmp_path / "r.toml").write_text(text.replace(*edit))
    command.say_what_is_stale(Recipe.from_file(tmp_path / "r.toml"), folder)
    assert len(caplog.messages) == (words is not None)
    if words is not None:
        assert words in caplog.messages[0]
        monkeypatch.chdir(tmp_path)
        assert command.main(["r.toml", "--data", "data", *SHORT]) == 0
        assert words in caplog.text.split("checkpoint")[0]


def test_a_group_of_another_tone_is_told_of_several_alone(tmp_path: Path) -> None:
    for name, groups in {"none": "", "half": "p1 p3 p5", "two": "p0 p2"}.items():
        brighter(healthy(tmp_path / name), groups)
        assert "another tone" not in report_text(diagnose(tmp_path / name)), name


def test_a_folder_and_data_are_too_much(
    command: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        command.main([str(tmp_path), "--data", str(tmp_path)])
    assert "is a folder and so is --data" in capsys.readouterr().err


def test_the_real_folders_raise_no_question_but_the_one_without_masks(real_data: Path) -> None:
    satellite, negatives = (diagnose(real_data / name) for name in ("satellite", "liver_negatives"))
    assert not satellite.ambiguous
    assert satellite.labels is not None
    assert satellite.labels.classes == ("building", "land", "road", "vegetation", "water")
    same = (("dubai_tile1", "dubai_tile3"), ("dubai_tile4", "dubai_tile7", "dubai_tile8"))  # as its README says
    assert satellite.grouping.same_group == same
    (question,) = negatives.ambiguous
    assert question.startswith("no image has a mask")
