from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from unetseg.samples import aerial_scene, ct_phantom, digit, write_samples

Generate = Callable[[int, int], tuple[NDArray[np.uint8], NDArray[np.uint8]]]


@pytest.mark.parametrize("generate", [ct_phantom, aerial_scene, digit])
def test_a_seed_gives_the_same_bytes_and_another_seed_other_ones(generate: Generate) -> None:
    first, again, other = generate(3, 128), generate(3, 128), generate(4, 128)
    for one, two, three in zip(first, again, other, strict=True):
        assert one.tobytes() == two.tobytes()
        assert one.tobytes() != three.tobytes()


@pytest.mark.parametrize("size", [32, 97, 256])
def test_shapes_and_types(size: int) -> None:
    for (image, labels), channels, ids in (
        (ct_phantom(1, size), (), {0, 1}),
        (aerial_scene(1, size), (3,), {0, 1, 2, 3, 4}),
    ):
        assert image.shape == (size, size, *channels)
        assert labels.shape == (size, size)
        assert image.dtype == labels.dtype == np.uint8
        assert set(np.unique(labels).tolist()) <= ids
        assert image.std() > 20


def test_the_liver_lies_at_the_left_and_the_spine_at_the_bottom() -> None:
    bright = np.zeros((128, 128))
    for seed in range(40):
        image, labels = ct_phantom(seed, 128)
        columns = np.nonzero(labels)[1]
        assert 0.004 < labels.mean() < 0.25
        assert columns.mean() < 64
        inside = image[labels == 1]
        assert inside.mean() > image[labels == 0].mean()
        assert 30 < inside.mean() < 200
        bright += image
    spine = bright[70:115, 54:74].mean()
    assert spine > 1.4 * bright[10:50, 54:74].mean()
    assert spine > 1.4 * bright[70:115, 90:110].mean()


def test_the_mask_follows_the_edge_of_the_liver() -> None:
    """On its outer side the liver borders on fat or lung: the grey drops over a few pixels."""
    drops = []
    for seed in range(30):
        image, labels = ct_phantom(seed, 128)
        wide = np.pad(labels, 2)
        left_edge = (labels == 1) & (wide[2:-2, :-4] == 0)
        columns_out = np.roll(image, 3, axis=1)
        columns_in = np.roll(image, -2, axis=1)
        drops.append(float(columns_in[left_edge].mean()) - float(columns_out[left_edge].mean()))
    assert np.mean(drops) > 25


def test_without_liver_the_mask_is_empty_and_the_picture_is_a_body() -> None:
    for seed in range(12):
        image, labels = ct_phantom(seed, 128, liver=False)
        assert not labels.any()
        assert (image > 30).mean() > 0.04
        assert (image == 255).any(), "no bone"


def test_some_slices_show_a_narrower_window_in_which_fat_is_black() -> None:
    """In the wide window fat is dark grey, about 35 of 255, and never quite black but by noise."""
    grey = [float(((image > 20) & (image < 50)).mean()) for image, _ in (ct_phantom(k, 128) for k in range(40))]
    narrow = sum(share < 0.065 for share in grey)
    assert 8 <= narrow <= 30, sorted(grey)


def test_digits_lie_as_mnists_do_and_their_ink_carries_the_label() -> None:
    seen = set()
    for seed in range(60):
        image, labels = digit(seed)
        assert image.shape == labels.shape == (28, 28)
        assert image.max() == 255
        (value,) = set(np.unique(labels).tolist()) - {0}
        seen.add(value)
        assert (labels == np.where(image >= 128, value, 0)).all()
        ink = np.argwhere(image)
        assert 19 <= np.ptp(ink, axis=0).max() + 1 <= 22
        middle = [float((image.sum(axis=1 - axis) @ np.arange(28)) / image.sum()) for axis in range(2)]
        assert all(abs(at - 13.5) < 1.5 for at in middle)
        assert 0.04 < (labels > 0).mean() < 0.3
    assert seen == set(range(1, 11)), "seeds that follow each other show different digits"
    assert digit(3, 112)[0].shape == (112, 112)


def test_every_class_is_in_most_scenes_and_looks_its_part() -> None:
    scenes = [aerial_scene(seed, 192) for seed in range(40)]
    shares = np.array([np.bincount(ids.ravel(), minlength=5) / ids.size for _, ids in scenes])
    assert ((shares > 0.002).mean(axis=0) >= 0.8).all(), shares
    assert (shares.mean(axis=0) > 0.04).all()
    assert shares.mean(axis=0).argmax() == 1
    image = np.concatenate([image.reshape(-1, 3) for image, _ in scenes]).astype(float)
    labels = np.concatenate([ids.ravel() for _, ids in scenes])
    building, land, road, vegetation, water = (image[labels == k].mean(axis=0) for k in range(5))
    assert land.mean() > road.mean() + 30 > vegetation.mean() > water.mean()
    assert vegetation[1] > max(vegetation[0], vegetation[2])
    assert building.mean() > road.mean() + 15


@pytest.mark.parametrize(("kind", "values", "mode"), [("ct", {0, 255}, "L"), ("aerial", {0, 1, 2, 3, 4}, "RGB")])
def test_write_samples(tmp_path: Path, kind: str, values: set[int], mode: str) -> None:
    write_samples(tmp_path / "new", kind, count=3, seed=9, size=64)  # type: ignore[arg-type]
    names = [f"synthetic_{kind}_{number:04d}.png" for number in (9, 10, 11)]
    written = sorted(str(path.relative_to(tmp_path / "new")) for path in tmp_path.rglob("*.png"))
    assert written == [f"images/{name}" for name in names] + [f"masks/{name}" for name in names]
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 6
    generate: Generate = ct_phantom if kind == "ct" else aerial_scene
    seen: set[int] = set()
    for number, name in enumerate(names, start=9):
        with Image.open(tmp_path / "new/images" / name) as picture:
            assert picture.mode == mode
            image = np.asarray(picture)
        with Image.open(tmp_path / "new/masks" / name) as picture:
            assert picture.mode == "L"
            mask = np.asarray(picture)
        expected, labels = generate(number, 64)
        assert (image == expected).all()
        assert (mask == (labels * np.uint8(255) if kind == "ct" else labels)).all()
        seen |= set(mask.ravel().tolist())
    assert seen == values


def test_sizes_default_to_256_and_512(tmp_path: Path) -> None:
    for kind, size in (("ct", 256), ("aerial", 512)):
        write_samples(tmp_path, kind, count=1)  # type: ignore[arg-type]
        with Image.open(tmp_path / "images" / f"synthetic_{kind}_0000.png") as picture:
            assert picture.size == (size, size)


def test_a_picture_that_can_not_be_written_leaves_no_half_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def save(_: Image.Image, path: Path, *__: object) -> None:
        path.write_bytes(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(Image.Image, "save", save)
    with pytest.raises(OSError, match="No space left"):
        write_samples(tmp_path, "ct", count=1, size=32)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_bad_requests_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="size is 31"):
        ct_phantom(0, 31)
    with pytest.raises(ValueError, match="size is 27"):
        digit(0, 27)
    with pytest.raises(ValueError, match="seed is -1"):
        aerial_scene(-1)
    with pytest.raises(ValueError, match="'mri'"):
        write_samples(tmp_path, "mri", count=1)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="count is 0"):
        write_samples(tmp_path, "ct", count=0)
    with pytest.raises(ValueError, match="size is 0"):
        write_samples(tmp_path, "ct", count=1, size=0)
    with pytest.raises(ValueError, match="seed is -3"):
        write_samples(tmp_path, "ct", count=1, seed=-3)
    assert not list(tmp_path.iterdir())
