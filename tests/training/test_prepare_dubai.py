import io
import json
import shutil
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scripts import TRAINING, load

from unetseg.fitting import Recipe
from unetseg.fitting.data.folder import find_examples, read_example

# the colours of the published masks in order of id, written down a second time
COLORS = ["#3c1098", "#8429f6", "#6ec1e4", "#fedd3a", "#e2a929", "#9b9b9b"]
TOP = "Semantic segmentation dataset"


script = load("prepare_dubai")


def labels_of(tile: int, part: int) -> NDArray[np.uint8]:
    return np.random.default_rng((tile, part)).integers(0, 6, (12 + tile, 10 + part)).astype(np.uint8)


def colored(labels: NDArray[np.uint8], mode: str = "RGB") -> Image.Image:
    palette = np.array([[int(color[i : i + 2], 16) for i in (1, 3, 5)] for color in COLORS], dtype=np.uint8)
    return Image.fromarray(palette[labels]).convert(mode)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight tiles of two parts, their masks with and without alpha, and what macOS leaves behind."""
    folder = tmp_path_factory.mktemp("source") / TOP
    for tile in range(1, 9):
        for kind in ("images", "masks"):
            (folder / f"Tile {tile}" / kind).mkdir(parents=True)
        for part in (1, 2):
            labels = labels_of(tile, part)
            picture = Image.fromarray(np.full((*labels.shape, 3), 20 * tile, dtype=np.uint8))
            picture.save(folder / f"Tile {tile}" / "images" / f"image_part_{part:03d}.jpg")
            mask = colored(labels, "RGBA" if part == 1 else "RGB")
            mask.save(folder / f"Tile {tile}" / "masks" / f"image_part_{part:03d}.png")
    legend = {"classes": [{"title": "Water", "color": "#50E3C2"}]}
    (folder / "classes.json").write_text(json.dumps(legend))
    junk = folder / "__MACOSX" / "Tile 1" / "images"
    junk.mkdir(parents=True)
    (junk / "image_part_001.jpg").write_bytes(b"Mac OS X")
    return folder


@pytest.fixture
def copy(source: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(source, tmp_path / TOP))


def packed(folder: Path, path: Path) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, file.relative_to(folder.parent))
    return path


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_zip_and_its_folder_give_the_same_files_which_the_recipe_reads(source: Path, tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    assert script.main([str(source), str(one)]) == 0
    assert script.main([str(packed(source, tmp_path / "dubai.zip")), str(two)]) == 0
    assert contents(one) == contents(two)
    assert len(contents(one)) == 32
    original = source / "Tile 7" / "images" / "image_part_002.jpg"
    assert (one / "images" / "dubai_tile7_part002.jpg").read_bytes() == original.read_bytes()
    recipe = Recipe.from_file(TRAINING / "recipes" / "satellite.toml")
    examples = find_examples(recipe.data, one)
    assert {e.group for e in examples if e.split == "test"} == {"tile1+tile3", "tile2"}
    assert {e.group for e in examples if e.split == "train"} == {"tile4+tile7+tile8", *recipe.data.fold_groups}
    (example,) = (e for e in examples if e.image.stem == "dubai_tile7_part002")
    _, labels = read_example(example, recipe.data, recipe.config((0.0,) * 3, (1.0,) * 3))
    truth = labels_of(7, 2)
    assert np.array_equal(labels, np.where(truth == 5, 255, truth))  # unlabeled is ignored


def test_a_damaged_mask_of_an_earlier_run_is_named(
    source: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert script.main([str(source), str(tmp_path)]) == 0
    mask = tmp_path / "masks" / "dubai_tile7_part002.png"
    mask.write_bytes(mask.read_bytes()[:40])
    assert script.main([str(source), str(tmp_path)]) == 1
    assert "dubai_tile7_part002.png is damaged" in caplog.messages[-1]
    assert "remove it, and it is made again" in caplog.messages[-1]


def test_the_shares_are_those_of_all_masks(source: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    everything = np.concatenate([labels_of(tile, part).ravel() for tile in range(1, 9) for part in (1, 2)])
    for _ in range(2):  # a second run counts what is there
        caplog.clear()
        assert script.main([str(source), str(tmp_path / "out")]) == 0
        words = [message.split() for message in caplog.messages[1:]]
        assert [word[0] for word in words] == ["building", "land", "road", "vegetation", "water", "unlabeled"]
        for number, word in enumerate(words):
            assert float(word[1]) == pytest.approx(100 * (everything == number).mean(), abs=0.006)


def test_a_second_run_goes_on_where_the_first_one_stopped(
    source: Path, copy: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bad = copy / "Tile 4" / "masks" / "image_part_001.png"
    bad.write_bytes(bad.read_bytes()[:60])
    assert script.main([str(copy), str(tmp_path / "out")]) == 1
    assert "mask of dubai_tile4_part001" in caplog.messages[-1]
    first = tmp_path / "out" / "masks" / "dubai_tile1_part001.png"
    written = first.stat().st_mtime_ns
    assert script.main([str(source), str(tmp_path / "out")]) == 0
    assert script.main([str(source), str(tmp_path / "whole")]) == 0
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
    assert first.stat().st_mtime_ns == written


def strange_colours(folder: Path) -> None:
    pixels = np.asarray(colored(labels_of(1, 1))).copy()
    pixels[0, :3], pixels[1, 0] = (0x50, 0xE3, 0xC2), (0, 0, 0)
    Image.fromarray(pixels).save(folder / "Tile 1" / "masks" / "image_part_001.png")


def other_size(folder: Path) -> None:
    colored(labels_of(2, 2)).save(folder / "Tile 1" / "masks" / "image_part_001.png")


def as_jpeg(folder: Path) -> None:
    """A mask that somebody saved as JPEG: its colours are smeared."""
    colored(labels_of(1, 1)).save(folder / "Tile 1" / "masks" / "image_part_001.png", format="JPEG")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (strange_colours, "#50e3c2 (3 pixels), #000000 (1 pixels); known are #3c1098 building"),
        (other_size, "they must be equal"),
        (as_jpeg, "the mask of dubai_tile1_part001 is no readable PNG"),
        (
            lambda f: (f / "Tile 3" / "masks" / "image_part_002.png").unlink(),
            "dubai_tile3_part002 has no file in masks",
        ),
        (lambda f: shutil.copytree(f / "Tile 2", f / "Tile2"), "dubai_tile2_part001 of images twice"),
        (lambda f: (f / "Tile 1" / "images" / "image_part_001.jpg").write_bytes(b"?"), "is no readable JPEG"),
        (lambda f: [shutil.rmtree(path) for path in f.glob("Tile*")], "holds no 'Tile N"),
        (shutil.rmtree, "is no readable zip"),
    ],
)
def test_a_source_that_does_not_fit_is_an_error_that_says_why(
    spoil: Callable[[Path], object], words: str, copy: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spoil(copy)
    assert script.main([str(copy), str(tmp_path / "out")]) == 1
    assert caplog.messages[-1].startswith("error: ")
    assert words in caplog.messages[-1]
    assert "\n" not in caplog.messages[-1]
    assert not list(tmp_path.rglob("*.tmp"))


@pytest.mark.parametrize("name", ["../Tile 1/images/image_part_001.jpg", "/Tile 1/images/image_part_001.jpg"])
def test_a_zip_with_a_path_that_leads_out_is_refused(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as archive:
        archive.writestr(name, b"")
    assert script.main([str(tmp_path / "evil.zip"), str(tmp_path / "out")]) == 1
    assert "leads out" in caplog.messages[-1]


def test_a_zip_with_a_link_is_refused(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    member = zipfile.ZipInfo("Tile 1/images/image_part_001.jpg")
    member.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as archive:
        archive.writestr(member, b"/etc/hostname")
    assert script.main([str(tmp_path / "evil.zip"), str(tmp_path / "out")]) == 1
    assert "a link" in caplog.messages[-1]


def test_what_unpacks_without_end_is_refused(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(script, "LARGEST_FILE", 1 << 20)
    with (copy / "Tile 1" / "images" / "image_part_001.jpg").open("ab") as file:
        file.write(bytes(2 << 20))
    path = packed(copy, tmp_path / "bomb.zip")
    assert path.stat().st_size < 1 << 20
    assert script.main([str(path), str(tmp_path / "out")]) == 1
    assert "unpacks to more than 1 MB" in caplog.messages[-1]


def test_a_picture_of_too_many_pixels_is_refused_before_it_is_decoded(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(script, "LARGEST_PICTURE", 100)
    assert script.main([str(copy), str(tmp_path / "out")]) == 1
    assert "11 x 13 pixels, expected at most 100" in caplog.messages[-1]


def test_a_damaged_zip_is_an_error_that_names_the_file(
    source: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    content = bytearray(packed(source, tmp_path / "dubai.zip").read_bytes())
    name = b"Tile 1/masks/image_part_001.png"
    start = content.index(name) + len(name)
    content[start + 40 : start + 60] = bytes(20)
    (tmp_path / "dubai.zip").write_bytes(content)
    assert script.main([str(tmp_path / "dubai.zip"), str(tmp_path / "out")]) == 1
    assert "Tile 1/masks/image_part_001.png can't be unpacked" in caplog.messages[-1]


def test_its_colours_are_those_of_the_masks_and_its_ids_those_of_the_recipe() -> None:
    assert [f"#{color:06x}" for color in script.COLORS.values()] == COLORS
    recipe = Recipe.from_file(TRAINING / "recipes" / "satellite.toml")
    names = [name.replace("ignore", "unlabeled") for name in recipe.data.mask_values.values()]
    assert dict(zip(recipe.data.mask_values, names, strict=True)) == {
        **{str(i): n for i, n in enumerate(script.COLORS)},
        "255": "unlabeled",
    }


def test_a_mask_with_a_palette_is_read_by_its_colours() -> None:
    labels = labels_of(1, 1)
    file = io.BytesIO()
    colored(labels).quantize(6, dither=Image.Dither.NONE).save(file, format="PNG")
    assert np.array_equal(script.ids_of(Image.open(file), "mask"), labels)
