import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import ArrayLike
from PIL import Image
from torch.nn import functional as F

from unetseg.config import IGNORE
from unetseg.fitting.data.augment import collate
from unetseg.fitting.data.dataset import Crops, Pictures, measure
from unetseg.fitting.data.folder import SPLITS, find_examples, read_example, read_labels
from unetseg.fitting.recipe import Augment, Data, Model, Recipe, Train
from unetseg.prepare import normalise
from unetseg.samples import aerial_scene, ct_phantom

LABELS = np.array([[0, 0, 1, 1], [0, 2, 2, 1], [0, 2, 2, 1]], dtype=np.uint8)
COLORS = {"#102030": "ground", "#ff0000": "road", "#0000ff": "house"}
ALL_AUGMENTATION = Augment(
    flip=("horizontal", "vertical"), rotate=90, scale=2, aspect=1.3, elastic=0.05, translate=0.3, narrow_window=0.3,
    curve=0.5, gamma=2, contrast=2, brightness=0.2, color=1.5, haze=0.5, noise=0.2, blur=1,
)  # fmt: skip


def described(**changes: Any) -> Data:  # noqa: ANN401, any field of the recipe
    """`[data]` of grey pictures with three labels whose masks hold 0, 1 and 2."""
    fields: dict[str, Any] = {
        "task": "multiclass",
        "classes": ("ground", "road", "house"),
        "palette": ("#000000", "#777777", "#ffffff"),
        "channels": ("gray",),
        "mask_values": {"0": "ground", "1": "road", "2": "house"},
    }
    return Data(**(fields | changes))


def recipe_of(data: Data | None = None, augment: Augment | None = None, **train: Any) -> Recipe:  # noqa: ANN401
    return Recipe(
        data=data or described(),
        model=Model(widths=(4, 8)),
        augment=augment or Augment(),
        train=Train(**({"crop": 16} | train)),
    )


def put(path: Path, pixels: ArrayLike) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(pixels, dtype=np.uint8)).save(path)
    return path


def add(folder: Path, *stems: str, size: tuple[int, int] = (24, 32)) -> None:
    """Pictures of noise (height, width), and masks that hold all three labels."""
    for stem in stems:
        random = np.random.default_rng(list(stem.encode()))
        put(folder / "images" / f"{stem}.png", random.integers(0, 256, size))
        put(folder / "masks" / f"{stem}.png", random.integers(0, 3, size))


def refusal(data: Data, folder: Path) -> str:
    with pytest.raises(ValueError, match=r"\A") as caught:
        find_examples(data, folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_images_and_masks_are_paired_by_name_whatever_the_ending(tmp_path: Path) -> None:
    images = [put(tmp_path / "images" / name, LABELS) for name in ("a.jpg", "b.PNG", "c.d.tif")]
    masks = [put(tmp_path / "masks" / name, LABELS) for name in ("a.png", "b.bmp", "c.d.png", "of_no_image.png")]
    for name in ("notes.txt", ".hidden.png", "Thumbs.db"):
        (tmp_path / "images" / name).write_text("no picture")
    examples = find_examples(described(), tmp_path)
    assert [(e.image, e.mask, e.group) for e in examples] == [
        (images[0], masks[0], "a"),
        (images[1], masks[1], "b"),
        (images[2], masks[2], "c.d"),
    ]


@pytest.mark.parametrize(
    ("damage", "changes", "words"),
    [
        (lambda f: (f / "masks/b.png").unlink(), {}, ["1 of 3 images", "'b.png'", "masks/b.png"]),
        (lambda f: shutil.rmtree(f / "masks"), {}, ["no folder", "masks", "--data"]),
        (lambda f: None, {"images": "pictures"}, ["no folder", "pictures"]),
        (lambda f: [p.unlink() for p in (f / "images").iterdir()], {}, ["has no images", ".png"]),
        (lambda f: put(f / "images/a.bmp", LABELS), {}, ["a.bmp", "a.png", "same name"]),
        (lambda f: put(f / "masks/a.bmp", LABELS), {}, ["a.bmp", "a.png", "same name"]),
        (lambda f: None, {"images": "../.."}, ["'../..'", "leads out of the data folder"]),
        (lambda f: None, {"masks": "/etc"}, ["'/etc'", "leads out of the data folder"]),
        (lambda f: None, {"manifest": "../m.csv"}, ["'../m.csv'", "leads out of the data folder"]),
        (lambda f: None, {"manifest": "m.csv"}, ["m.csv", "can't be read", "No such file"]),
        (lambda f: None, {"group_pattern": "(tile.)"}, ["group_pattern", "'(tile.)'", "'a'"]),
        (lambda f: None, {"group_pattern": "(tile.)?"}, ["group_pattern", "'(tile.)?'", "'a'"]),
        (lambda f: None, {"val": ("d",)}, ["val", "'d'", "a, b, c"]),
        (lambda f: None, {"val": ("b",), "test": ("b",)}, ["val", "'b'", "taken", "a, c"]),
    ],
)
def test_a_folder_that_does_not_fit_is_refused_with_what_is_missing(
    tmp_path: Path, damage: Callable[[Path], object], changes: dict[str, Any], words: list[str]
) -> None:
    add(tmp_path, "a", "b", "c", size=(3, 4))
    damage(tmp_path)
    message = refusal(described(**changes), tmp_path)
    assert [word for word in words if word not in message] == [], message


def test_a_manifest_chooses_the_pictures_their_groups_and_their_splits(tmp_path: Path) -> None:
    add(tmp_path, "a1", "a2", "b1", "c1", "unlisted", size=(3, 4))
    # as a spreadsheet program saves it: with a byte order mark
    text = "\ufeffstem,patient,split\nb1,b,val\na1,a,train\nc1,c,test\na2,a,train\n"
    (tmp_path / "m.csv").write_text(text, encoding="utf-8")
    data = described(manifest="m.csv", group_column="patient", split_column="split")
    assert [(e.image.stem, e.group, e.split) for e in find_examples(data, tmp_path)] == [
        ("a1", "a", "train"),
        ("a2", "a", "train"),
        ("b1", "b", "val"),
        ("c1", "c", "test"),
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("stem,patient\na,1\n", ["m.csv", "no column 'split'", "patient, stem"]),
        ("name,patient,split\na,1,val\n", ["no column 'stem'"]),
        ("stem,patient,split\na,1,train\nz,2,val\n", ["m.csv", "'z'", "no such image"]),
        ("stem,patient,split\na,1,train\nb,2,valid\n", ["'b'", "'valid'", "train, val, test"]),
        ("stem,patient,split\na,1,train\nb,1,val\n", ["'1'", "in train and in val"]),
        ("stem,patient,split\na,1,train\na,2,val\n", ["m.csv", "'a'", "twice"]),
        ("stem,patient,split\na,1,train\nb\n", ["m.csv", "'b'", "no patient"]),
        ("stem,patient,split\na,1,train\nb,,val\n", ["m.csv", "'b'", "no patient"]),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused(tmp_path: Path, text: str, words: list[str]) -> None:
    add(tmp_path, "a", "b", size=(3, 4))
    (tmp_path / "m.csv").write_text(text)
    message = refusal(described(manifest="m.csv", group_column="patient", split_column="split"), tmp_path)
    assert [word for word in words if word not in message] == [], message


@pytest.mark.parametrize("count", [2, 3, 10])
@pytest.mark.parametrize("val", [0.01, 0.2, 1.0])
def test_a_share_holds_out_whole_groups_never_none_and_never_all(tmp_path: Path, count: int, val: float) -> None:
    stems = [f"tile{i}_{part}" for i in range(count) for part in "xyz"]
    add(tmp_path, *stems, size=(3, 4))
    data = described(group_pattern=r"(tile\d+)_", val=val)
    chosen = set()
    for seed in range(20):
        examples = find_examples(data, tmp_path, seed)
        assert find_examples(data, tmp_path, seed) == examples
        assert {e.image.stem for e in examples} == set(stems)
        groups = {split: {e.group for e in examples if e.split == split} for split in SPLITS}
        assert len(groups["val"]) == min(max(1, round(val * count)), count - 1)
        assert len(groups["train"]) == count - len(groups["val"])
        assert not groups["test"] | groups["train"] & groups["val"]
        chosen.add(frozenset(groups["val"]))
    assert len(chosen) > 1  # another seed, another split


def test_named_groups_and_a_share_for_test_are_held_out_together(tmp_path: Path) -> None:
    add(tmp_path, *(f"{group}{i}" for group in "abcde" for i in range(2)), size=(3, 4))
    for seed in range(10):  # the share never takes a named group
        examples = find_examples(described(group_pattern="(.)", val=("b", "d"), test=0.2), tmp_path, seed)
        groups = {split: {e.group for e in examples if e.split == split} for split in SPLITS}
        assert groups["val"] == {"b", "d"}
        assert len(groups["test"]) == 1
        assert groups["train"] | groups["val"] | groups["test"] == set("abcde")


def palette_picture() -> Image.Image:
    picture = Image.fromarray(LABELS)
    picture.putpalette([9, 9, 9, 200, 0, 0, 0, 0, 200])
    assert picture.mode == "P"
    return picture


def coloured() -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.array([(0x10, 0x20, 0x30), (255, 0, 0), (0, 0, 255)], dtype=np.uint8)[LABELS]


@pytest.mark.parametrize(
    ("picture", "mask_values"),
    [
        (Image.fromarray(LABELS), {"0": "ground", "1": "road", "2": "house"}),
        (Image.fromarray(LABELS * np.uint8(100)), {"0": "ground", "100": "road", "200": "house"}),
        (Image.fromarray(LABELS * np.uint16(1000)), {"0": "ground", "1000": "road", "2000": "house"}),
        (palette_picture(), {"0": "ground", "1": "road", "2": "house"}),
        (Image.fromarray(coloured()), COLORS),
        (Image.fromarray(coloured()).convert("RGBA"), {key.upper(): name for key, name in COLORS.items()}),
        (Image.fromarray(LABELS[..., None].repeat(3, axis=2)), {"0": "ground", "1": "road", "2": "house"}),
    ],
    ids=["ids", "multiples", "16 bits", "palette indices", "colours", "colours with alpha", "grey saved as RGB"],
)
def test_a_mask_means_what_the_recipe_says(tmp_path: Path, picture: Image.Image, mask_values: dict[str, str]) -> None:
    picture.save(tmp_path / "mask.png")
    data = described(mask_values=mask_values)
    labels = read_labels(tmp_path / "mask.png", data, recipe_of(data).config((0.0,), (1.0,)))
    assert labels.dtype == np.uint8
    np.testing.assert_array_equal(labels, LABELS)


@pytest.mark.parametrize("mode", ["L", "1"])
def test_a_binary_mask_of_black_and_white(tmp_path: Path, mode: str) -> None:
    white = 255 if mode == "L" else 1
    Image.fromarray((LABELS == 2).astype(np.uint8) * 255).convert(mode).save(tmp_path / "mask.png")
    data = described(task="binary", classes=("house",), background="ground", palette=("#000000", "#ffffff"),
                     mask_values={"0": "ground", str(white): "house"})  # fmt: skip
    labels = read_labels(tmp_path / "mask.png", data, recipe_of(data).config((0.0,), (1.0,)))
    np.testing.assert_array_equal(labels, LABELS == 2)


def test_several_values_may_have_one_name_and_ignore_is_nobody(tmp_path: Path) -> None:
    put(tmp_path / "mask.png", LABELS)
    data = described(
        task="binary", classes=("house",), background="ground", palette=("#000000", "#ffffff"),
        mask_values={"0": "house", "2": "ground", "1": "ignore"},
    )  # fmt: skip
    labels = read_labels(tmp_path / "mask.png", data, recipe_of(data).config((0.0,), (1.0,)))
    np.testing.assert_array_equal(labels, np.array([1, IGNORE, 0])[LABELS])


@pytest.mark.parametrize(
    ("pixels", "mask_values", "words"),
    [
        ([[0, 1, 128], [128, 128, 7]], None, ["mask.png", "128 (3 pixels), 7 (1 pixel)", "named are 0, 1, 2"]),
        (coloured() ^ np.uint8(LABELS == 2)[..., None], COLORS, ["mask.png", "#0101fe (4 pixels)", "#ff0000"]),
        (coloured(), None, ["mask.png", "colours", "#rrggbb"]),
        (LABELS, COLORS, ["mask.png", "numbers", "0 (4 pixels)", "1 (4 pixels)"]),
        (np.arange(24).reshape(4, 6), None, ["and 13 more"]),
    ],
)
def test_a_value_that_is_not_named_is_an_error_that_lists_what_was_found(
    tmp_path: Path, pixels: ArrayLike, mask_values: dict[str, str] | None, words: list[str]
) -> None:
    put(tmp_path / "mask.png", pixels)
    data = described(mask_values=mask_values) if mask_values else described()
    with pytest.raises(ValueError, match=r"\A") as caught:
        read_labels(tmp_path / "mask.png", data, recipe_of(data).config((0.0,), (1.0,)))
    assert [word for word in words if word not in str(caught.value)] == [], str(caught.value)


def test_a_mask_of_another_size_is_refused_with_both_sizes(tmp_path: Path) -> None:
    put(tmp_path / "images" / "a.png", np.zeros((3, 5)))
    put(tmp_path / "masks" / "a.png", np.zeros((5, 3)))
    example = find_examples(described(val=0.0), tmp_path)[0]
    with pytest.raises(ValueError, match=r"a.png is 5 x 3 pixels, its mask a.png is 3 x 5"):
        read_example(example, described(), recipe_of().config((0.0,), (1.0,)))


def pictures(folder: Path, data: Data | None = None, augment: Augment | None = None, **train: Any) -> Pictures:  # noqa: ANN401
    recipe = recipe_of(data, augment, **train)
    return Pictures(find_examples(recipe.data, folder), recipe)


def crops(folder: Path, augment: Augment | None = None, **train: Any) -> Crops:  # noqa: ANN401
    found = pictures(folder, augment=augment, **train)
    return Crops(found, found.recipe.config((0.5,), (0.25,)))


def crop(found: Crops, epoch: int, i: int) -> tuple[torch.Tensor, torch.Tensor]:
    """One finished crop: image (C,crop,crop) and labels (crop,crop)."""
    images, labels = found.finished(collate([found[epoch, i]]))
    return images[0], labels[0]


def test_mean_deviation_and_pixel_counts_are_those_of_all_training_pictures(tmp_path: Path) -> None:
    data = described(mask_values={"0": "ground", "1": "road", "2": "house", "9": "ignore"})
    for name, pixels, mask in (("a", [[0, 51]], [[0, 1]]), ("b", [[102, 102], [255, 0]], [[2, 9], [1, 1]])):
        put(tmp_path / "images" / f"{name}.png", pixels)
        put(tmp_path / "masks" / f"{name}.png", mask)
    mean, std, counts = measure(pictures(tmp_path, data))
    values = np.array([0, 0.2, 0.4, 0.4, 1, 0])
    assert mean == pytest.approx([values.mean()], abs=1e-5)
    assert std == pytest.approx([values.std()], abs=1e-5)
    assert counts == [1, 3, 1]


def test_a_class_without_a_pixel_is_refused_by_name_before_training(tmp_path: Path) -> None:
    put(tmp_path / "images" / "a.png", np.zeros((4, 4)))
    put(tmp_path / "masks" / "a.png", np.eye(4))
    with pytest.raises(ValueError, match="'house' has no pixel in the 1 training pictures"):
        measure(pictures(tmp_path))


def test_a_crop_depends_on_seed_epoch_and_number_alone(tmp_path: Path) -> None:
    add(tmp_path, "a", "b")
    keys = [(epoch, i) for epoch in range(3) for i in range(4)]
    one, other = crops(tmp_path, ALL_AUGMENTATION), crops(tmp_path, ALL_AUGMENTATION)
    torch.manual_seed(1)
    forth = {key: crop(one, *key) for key in keys}
    torch.manual_seed(2)
    back = {key: crop(other, *key) for key in reversed(keys)}
    for key in keys:
        for mine, again in zip(forth[key], back[key], strict=True):
            assert torch.equal(mine, again)
    assert len({image.numpy().tobytes() for image, _ in forth.values()}) == len(keys)
    reseeded = crops(tmp_path, ALL_AUGMENTATION, seed=1)
    assert not any(torch.equal(forth[key][0], crop(reseeded, *key)[0]) for key in keys)


def test_the_batches_of_an_epoch_are_a_permutation_and_start_continues_it(tmp_path: Path) -> None:
    add(tmp_path, "a", "b", "c")
    found = crops(tmp_path, batch_size=5)
    assert len(found) == 9  # 24 x 32 pixels are three crops of 16 x 16
    for batch_size, whole in ((3, 3), (4, 2), (9, 1), (50, 1)):
        found.train = found.train.model_copy(update={"batch_size": batch_size})
        epochs = [found.batches(epoch) for epoch in range(4)]
        for epoch, batches in enumerate(epochs):
            assert [len(batch) for batch in batches] == [min(batch_size, 9)] * whole
            keys = [key for batch in batches for key in batch]
            assert {e for e, _ in keys} == {epoch}
            assert len({i for _, i in keys}) == len(keys)
            assert {i for _, i in keys} <= set(range(9))
            assert found.batches(epoch, 1) == batches[1:]
            assert found.batches(epoch, whole) == []
        assert len({str([i for batch in batches for _, i in batch]) for batches in epochs}) == 4


def test_a_smaller_crop_is_the_same_place_at_half_the_resolution(tmp_path: Path) -> None:
    add(tmp_path, "a", size=(64, 64))
    put(tmp_path / "images" / "a.png", np.add.outer(np.arange(64), 3 * np.arange(64)))  # a ramp: what bilinear keeps
    found = crops(tmp_path, Augment(flip=("horizontal", "vertical"), translate=0.3), crop=32)
    for i in range(4):
        batch = collate([found[3, i]])
        fine, labels = found.finished(batch)
        coarse, coarse_labels = found.finished(batch, 16)
        # as far as smoothing reaches, not cut by the picture's edge or the crop's
        inside = F.avg_pool2d((labels != IGNORE).float()[None], 4, stride=2, padding=1)[0] == 1
        assert inside.sum() > 50
        torch.testing.assert_close(coarse[0, 0][inside[0]], F.avg_pool2d(fine, 2)[0, 0][inside[0]], atol=1e-4, rtol=0)
        corners = torch.stack([labels[:, y::2, x::2] for y in (0, 1) for x in (0, 1)])
        assert (corners == coarse_labels).any(dim=0)[inside].all()


def centre(weights: torch.Tensor) -> tuple[float, float]:
    """Of mass, in pixels, of (h,w)."""
    y, x = torch.meshgrid(*(torch.arange(float(size)) for size in weights.shape), indexing="ij")
    return ((weights * y).sum() / weights.sum()).item(), ((weights * x).sum() / weights.sum()).item()


def put_disc(folder: Path, size: int) -> None:
    y, x = np.ogrid[:size, :size]
    disc = (y - 0.45 * size) ** 2 + (x - 0.53 * size) ** 2 < (0.3 * size) ** 2
    put(folder / "images" / "a.png", disc * 255)
    put(folder / "masks" / "a.png", np.where(disc, 1, 0) + (y == 0) * 2)


@pytest.mark.parametrize("size", [128, 160, 192, 256])
def test_labels_lie_where_their_image_does_at_every_working_size(size: int, tmp_path: Path) -> None:
    """Nearest neighbour would look them up between two pixels, and take the second, at a half and a quarter."""
    put_disc(tmp_path, size)
    recipe = recipe_of().model_copy(update={"model": Model(widths=(4, 8), working_size=64)})
    image, labels = Pictures(find_examples(recipe.data, tmp_path), recipe)[0]
    assert labels.shape == (64, 64)
    assert centre((labels == 1).float()) == pytest.approx(centre(image[0]), abs=0.1)


@pytest.mark.parametrize("size", [32, 40, 64, 96])
def test_labels_lie_where_their_image_does_at_every_scale(size: int, tmp_path: Path) -> None:
    put_disc(tmp_path, 128)
    found = crops(tmp_path, crop=128)
    images, labels = found.finished(collate([found[0, 0]]), size)
    black = normalise(torch.zeros(1, 1, 1, 1), found.config)
    assert centre((labels[0] == 1).float()) == pytest.approx(centre((images - black)[0, 0]), abs=0.1)


def test_the_steps_after_the_coarse_epochs_take_the_scales_in_turn(tmp_path: Path) -> None:
    add(tmp_path, "a", size=(64, 64))
    found = crops(tmp_path, crop=32, coarse_epochs=1)
    found.config = found.config.model_copy(update={"widths": (4, 8, 16), "scales": (1.0, 0.625, 1.5)})
    assert [found.size_at(0, step) for step in range(4)] == [16] * 4
    assert [found.size_at(1, step) for step in range(7)] == [32, 20, 48, 32, 20, 48, 32]


def test_a_large_picture_is_seen_in_as_many_crops_as_cover_it(tmp_path: Path) -> None:
    add(tmp_path, "large", size=(48, 80))
    add(tmp_path, "small", size=(8, 8))
    found = crops(tmp_path)
    assert [found.pictures.examples[i].image.stem for i in found.order] == ["large"] * 15 + ["small"]
    places = {crop(found, 0, i)[0].numpy().tobytes() for i in range(15)}
    assert len(places) == 15
    for i in range(16):
        image, labels = crop(found, 0, i)
        assert image.shape == (1, 16, 16)
        assert labels.shape == (16, 16)
        assert labels.dtype == torch.uint8


def test_the_cache_changes_nothing_but_what_is_read_again(tmp_path: Path) -> None:
    add(tmp_path, "a", "b")
    size = 24 * 32 * (1 + 1)  # bytes of the image and of its labels
    caches = {room: pictures(tmp_path, cache_gb=room * size / 1e9) for room in (0, 1.5, 2.5)}
    for room, kept in caches.items():
        first = [kept[i] for i in range(2)]
        again = [kept[i] for i in range(2)]
        for one, other, mine in zip(first, again, (caches[0][i] for i in range(2)), strict=True):
            assert torch.equal(one[0], other[0])
            assert torch.equal(one[0], mine[0])
            assert torch.equal(one[1], other[1])
            assert torch.equal(one[1], mine[1])
        assert len(kept.cache) == int(room)
    shutil.rmtree(tmp_path / "images")
    assert torch.equal(caches[2.5][1][0], again[1][0])
    with pytest.raises(ValueError, match=r"b\.png can't be read"):
        caches[1.5][1]


def test_what_bytes_can_not_hold_is_kept_as_it_is(tmp_path: Path) -> None:
    add(tmp_path, "a", "b")
    deep = np.arange(24 * 32, dtype=np.uint16).reshape(24, 32) * 85
    Image.fromarray(deep).save(tmp_path / "images" / "b.png")
    kept = pictures(tmp_path)
    assert [kept.stored(i)[0].dtype for i in (0, 1)] == [torch.uint8, torch.float32]
    for _ in range(2):
        torch.testing.assert_close(kept[1][0][0], torch.from_numpy(deep / 65535).float())


def test_pictures_are_resized_to_the_working_size_and_labels_never_mixed(tmp_path: Path) -> None:
    mask = np.zeros((40, 60))
    mask[:, 27:] = 2  # an edge that falls between two pixels of the working size
    put(tmp_path / "images" / "a.png", mask * 127)
    put(tmp_path / "masks" / "a.png", mask)
    recipe = recipe_of().model_copy(update={"model": Model(widths=(4, 8), working_size=32)})
    image, labels = Pictures(find_examples(recipe.data, tmp_path), recipe)[0]
    assert image.shape == (1, 21, 32)
    assert labels.shape == (21, 32)
    assert set(labels.unique().tolist()) == {0, 2}
    torch.testing.assert_close(image[0, :, ::31], labels[:, ::31] / 2, atol=0.01, rtol=0)  # both outer columns


@pytest.mark.parametrize("kind", ["ct", "aerial"])
def test_generated_pictures_are_mixed_in_by_share_from_seeds_of_their_own(tmp_path: Path, kind: str) -> None:
    if kind == "ct":
        data = described(task="binary", classes=("liver",), background="none", palette=("#000000", "#ffffff"),
                         mask_values={"0": "none", "1": "liver", "2": "none"})  # fmt: skip
    else:
        classes = ("building", "land", "road", "vegetation", "water")
        data = described(classes=classes, palette=("#000000",) * 5, channels=("red", "green", "blue"),
                         mask_values={str(i): name for i, name in enumerate(classes)})  # fmt: skip
    add(tmp_path, *"abcd")
    mixed = pictures(tmp_path, data, synthetic=kind, synthetic_share=0.5, crop=256)
    assert len(mixed) == 6
    (_, without_liver), (image, labels) = mixed[4], mixed[5]
    expected = (ct_phantom if kind == "ct" else aerial_scene)(1_000_001)
    torch.testing.assert_close(image, torch.from_numpy(np.atleast_3d(expected[0])).permute(2, 0, 1) / 255)
    assert torch.equal(labels, torch.from_numpy(expected[1]))
    assert labels.any()
    assert without_liver.any() == (kind == "aerial")
    # a small picture gives one crop, a generated slice one, a generated aerial picture four
    assert Crops(mixed, mixed.config).generated == pytest.approx(2 / 6 if kind == "ct" else 8 / 12)
    without = pictures(tmp_path, data, synthetic_share=0.5)
    assert len(without) == 4  # of no kind
    assert Crops(without, without.config).generated == 0
