"""`unetseg.fitting.doctor.overlap`: pictures of several groups that show a part of one another."""

import io
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from unetseg.fitting.data.folder import find_examples
from unetseg.fitting.doctor import Diagnosis, diagnose
from unetseg.fitting.doctor.overlap import sharing
from unetseg.fitting.doctor.survey import image_facts
from unetseg.samples import draw_sample

Pixels = NDArray[np.uint8]
SIDE = 192
HALF = SIDE // 2


def texture(seed: int, height: int, width: int, *, finest: int = 2) -> Pixels:
    """Blurred noise of several octaves: clouds over grains."""
    random = np.random.default_rng(seed)
    total = np.zeros((height, width))
    for cell in (64, 32, 16, 8, 4, 2):
        if cell >= finest:
            noise = random.random((height // cell + 2, width // cell + 2)).astype(np.float32)
            size = noise.shape[1] * cell, noise.shape[0] * cell
            total += np.asarray(Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC))[:height, :width] * cell
    total -= total.min()
    return (255 * total / total.max()).astype(np.uint8)


@cache
def aerial(seed: int) -> Pixels:
    return draw_sample("aerial", seed, 2 * SIDE)[0]


def resized(pixels: Pixels, by: float) -> Pixels:
    size = round(pixels.shape[1] * by), round(pixels.shape[0] * by)
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC))


def through_jpeg(pixels: Pixels) -> Pixels:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="JPEG", quality=60)
    return np.asarray(Image.open(file))


def toned(pixels: Pixels) -> Pixels:
    return (40 + 150 * (pixels / 255) ** 1.5).astype(np.uint8)


CHANGES: dict[str, Callable[[Pixels], Pixels]] = {
    "shifted": lambda pixels: pixels,
    "turned by 90": lambda pixels: np.rot90(pixels, 1),
    "turned by 180": lambda pixels: np.rot90(pixels, 2),
    "turned by 270": lambda pixels: np.rot90(pixels, 3),
    "mirrored": lambda pixels: pixels[:, ::-1],
    "flipped": lambda pixels: pixels[::-1],
    "halved": lambda pixels: resized(pixels, 0.5),
    "reduced": lambda pixels: resized(pixels, 0.77),
    "doubled": lambda pixels: resized(pixels, 2),
    "through JPEG": through_jpeg,
    "toned": toned,
    "all at once": lambda pixels: through_jpeg(toned(resized(np.rot90(pixels)[:, ::-1], 0.7))),
}


def saved(folder: Path, pictures: dict[str, Pixels]) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    for name, pixels in pictures.items():
        Image.fromarray(np.ascontiguousarray(pixels)).save(folder / f"{name}.png")
    return [folder / f"{name}.png" for name in pictures]


def shared(folder: Path, pictures: dict[str, Pixels]) -> set[tuple[str, str]]:
    """The names of what is found, each picture in a group of its own."""
    paths = saved(folder, pictures)
    found = sharing({path: image_facts(path) for path in paths}, {path: path.stem for path in paths})
    return {(a.stem, b.stem) for a, b in found}


def tiles(folder: Path, pictures: dict[str, Pixels]) -> Diagnosis:
    """What the doctor says of pictures with masks, split/name or name."""
    for name, pixels in pictures.items():
        *split, stem = name.split("/")
        saved(folder.joinpath(*split) / "images", {stem: pixels})
        saved(
            folder.joinpath(*split) / "masks",
            {stem: (pixels.reshape(*pixels.shape[:2], -1)[..., 0] > 120) * np.uint8(255)},
        )
    return diagnose(folder)


@pytest.mark.parametrize("change", CHANGES)
def test_a_quarter_shared_is_found_whatever_was_done_to_it_and_nothing_else_is(tmp_path: Path, change: str) -> None:
    pictures, pairs = {}, set()
    for i in range(2):
        scene = texture(i, 3 * HALF, 3 * HALF) if i % 2 else aerial(i)[: 3 * HALF, : 3 * HALF]
        pictures |= {f"{i}a": scene[:SIDE, :SIDE], f"{i}b": CHANGES[change](scene[HALF:, HALF:])}
        pairs.add((f"{i}a", f"{i}b"))
    assert shared(tmp_path, pictures) == pairs


@pytest.mark.parametrize("scale", [0.5, 2])
def test_strips_are_found_at_half_and_twice_the_scale_of_most_pictures(tmp_path: Path, scale: float) -> None:
    pictures = {f"other{i}": texture(500 + i, SIDE, SIDE) for i in range(8)}
    for i in range(4):
        scene = texture(i, SIDE, 7 * SIDE // 4) if i % 2 else aerial(i)[:SIDE, : 7 * SIDE // 4]
        pictures |= {f"{i}a": scene[:, :SIDE], f"{i}b": resized(scene[:, 3 * SIDE // 4 :], scale)}
    assert shared(tmp_path, pictures) == {(f"{i}a", f"{i}b") for i in range(4)}


def test_what_is_shared_may_be_even_for_the_most_part(tmp_path: Path) -> None:
    """A road through a lake of one tone."""
    y, x = np.mgrid[:SIDE, : 7 * SIDE // 4]
    scene = np.where(np.abs(y - SIDE // 2 - 20 * np.sin(x / 25)) < 24, texture(3, SIDE, 7 * SIDE // 4, finest=2), 90)
    scene = scene.astype(np.uint8)
    pictures = {f"other{i}": texture(600 + i, SIDE, SIDE) for i in range(4)}
    assert shared(tmp_path, {"a": scene[:, :SIDE], "b": scene[:, 3 * SIDE // 4 :], **pictures}) == {("a", "b")}


def test_different_pictures_of_one_kind_are_not_called_shared(tmp_path: Path) -> None:
    """More than 1,200 pairs, with smooth ones, grids, stripes, and what all pictures of an instrument show."""
    y, x = np.mgrid[:SIDE, :SIDE]
    outside = (y - HALF) ** 2 + (x - HALF) ** 2 > (HALF - 4) ** 2
    bar = (slice(SIDE - 24, SIDE - 16), slice(SIDE - 80, SIDE - 16))
    pictures = {"black": np.zeros((SIDE, SIDE), np.uint8), "white": np.full((SIDE, SIDE), 255, np.uint8)}
    for i in range(7):
        random = np.random.default_rng(100 + i)
        grain = random.normal(0, 3, (SIDE, SIDE))
        smooth = texture(300 + i, SIDE, SIDE, finest=64)
        scale = np.array(smooth // 4 + 90)
        scale[bar] = 255
        bricks = 120 + 60 * ((y // 12 % 2 == 0) ^ (x // 24 % 2 == 0)) + grain
        stripes = 120 + 60 * np.sin(x / 5 + random.random() * 6) + grain
        pictures |= {f"texture{i}": texture(100 + i, SIDE, SIDE), f"aerial{i}": aerial(100 + i)[:SIDE, :SIDE]}
        pictures |= {f"smooth{i}": smooth, f"scale{i}": scale, f"rim{i}": np.where(outside, 0, smooth // 2 + 60)}
        pictures |= {f"bricks{i}": bricks.clip(0, 255).astype(np.uint8), f"stripes{i}": stripes.astype(np.uint8)}
    assert shared(tmp_path, pictures) == set()


def test_pictures_of_one_group_copies_and_tiny_ones_are_not_compared(tmp_path: Path) -> None:
    scene = texture(0, SIDE, SIDE)
    paths = saved(tmp_path, {"a": scene, "b": scene, "c": scene[:HALF], "d": scene[:24, :24]})
    facts = {path: image_facts(path) for path in paths}
    a, b, c, d = paths
    assert sharing(facts, {a: "1", b: "2", d: "3"}) == []
    assert sharing(facts, {a: "1", c: "1"}) == []
    assert sharing(facts, {a: "1", b: "1", c: "2"}) == [(a, c), (b, c)]


def test_sixteen_bits_and_floats_share_as_bytes_do(tmp_path: Path) -> None:
    scene = texture(0, SIDE, 3 * HALF)
    Image.fromarray(scene[:, :SIDE].astype(np.uint16) * 9 + 700).save(tmp_path / "a.png")
    Image.fromarray(scene[:, HALF:].astype(np.float32) / 3000).save(tmp_path / "b.tif")
    paths = [tmp_path / "a.png", tmp_path / "b.tif"]
    assert sharing({p: image_facts(p) for p in paths}, {p: p.stem for p in paths}) == [tuple(paths)]


def test_tiles_that_share_a_part_are_one_group(tmp_path: Path) -> None:
    scene = aerial(1)
    pictures = {f"p{i}_{j}": texture(10 * i + j, SIDE, SIDE) for i in range(2, 8) for j in range(2)}
    pictures |= {"p0_0": scene[:SIDE, :SIDE], "p1_0": scene[:SIDE, HALF : HALF + SIDE]}
    pictures |= {"p0_1": texture(1, SIDE, SIDE), "p1_1": texture(2, SIDE, SIDE)}
    pictures = {name: p if p.ndim == 3 else np.repeat(p[..., None], 3, axis=2) for name, p in pictures.items()}
    diagnosis = tiles(tmp_path, pictures)
    (note,) = (finding for finding in diagnosis.findings if "share a part" in finding.what)
    assert note.weight == "note"
    assert note.names == ("images/p0_0.png", "images/p1_0.png")
    assert not diagnosis.ambiguous
    recipe = diagnosis.parsed()
    assert recipe is not None
    assert recipe.data.same_group == (("p0", "p1"),)
    for seed in range(10):
        assert len({e.split for e in find_examples(recipe.data, tmp_path, seed) if e.group == "p0+p1"}) == 1


def test_what_two_given_splits_share_is_asked_once_and_removing_it_leads_to_a_training(tmp_path: Path) -> None:
    scene = texture(0, SIDE, 3 * HALF)
    pictures = {f"{'val' if i % 3 == 0 else 'train'}/{i}": texture(i, SIDE, SIDE) for i in range(1, 8)}
    pictures |= {"train/west": scene[:, :SIDE], "val/east": scene[:, HALF:], "val/again": toned(scene[:, :SIDE])}
    diagnosis = tiles(tmp_path, pictures)
    (question,) = diagnosis.ambiguous
    assert question.startswith("3 pictures (of 10) that share a part with one on another side of the split: ")
    assert "val/images/east.png and train/images/west.png" in question or "train/images/west.png and val" in question
    assert not any("look nearly the same" in finding.what for finding in diagnosis.findings)
    for place in ("images", "masks"):
        (tmp_path / "train" / place / "west.png").unlink()
    healed = diagnose(tmp_path)
    assert not healed.ambiguous
    recipe = healed.parsed()
    assert recipe is not None
    assert recipe.data.same_group == (("again", "east"),)  # both in val
    assert len(find_examples(recipe.data, tmp_path)) == 9


@pytest.mark.parametrize("name", ["ortho_r{r:03d}_c{c:03d}", "tile_x{c}_y{r}", "site_{n:04d}"])
def test_a_scene_cut_into_overlapping_tiles_is_not_divided(tmp_path: Path, name: str) -> None:
    """However its tiles are called, and with the way out said."""
    scene = aerial(3)[: 2 * SIDE, : 2 * SIDE]
    starts = [(r, c) for r in range(0, SIDE + 1, 64) for c in range(0, SIDE + 1, 64)]
    pictures = {name.format(r=r, c=c, n=n): scene[r : r + 128, c : c + 128] for n, (r, c) in enumerate(starts)}
    diagnosis = tiles(tmp_path, pictures)
    assert any("of 1 group, none for the val split" in question for question in diagnosis.ambiguous)
    (note,) = (finding for finding in diagnosis.findings if "share a part" in finding.what)
    assert "cut the scene into tiles that don't overlap, or take out those in between" in note.advice
