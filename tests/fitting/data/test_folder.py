"""Plain layouts, as `[data]` describes them; what images/ and masks/ hold is tested in test_dataset.py."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pydantic import ValidationError

from unetseg.fitting.data.finding import find_layout
from unetseg.fitting.data.folder import find_examples, pictures_by_split, read_labels, shared_pictures
from unetseg.fitting.data.layouts import shared_name
from unetseg.fitting.recipe import Data, Recipe


def described(**changes: Any) -> Data:  # noqa: ANN401, any field of the recipe
    fields: dict[str, Any] = {
        "task": "binary",
        "classes": ("crack",),
        "background": "background",
        "palette": ("#000000", "#ffffff"),
        "channels": ("gray",),
        "mask_values": {"0": "background", "1": "crack"},
    }
    return Data(**(fields | changes))


def put(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.eye(4, dtype=np.uint8)).save(folder / name)


def refusal(data: Data, folder: Path) -> str:
    with pytest.raises(ValueError, match=r"\A") as caught:
        find_examples(data, folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_masks_lie_beside_their_images_under_a_longer_name(tmp_path: Path) -> None:
    put(tmp_path, "a.png", "a_mask.png", "b.bmp", "b_mask.png", "of_nobody_mask.png")
    examples = find_examples(described(images=".", masks=".", mask_name="{name}_mask"), tmp_path)
    assert [(e.image.name, e.mask.name, e.group) for e in examples] == [
        ("a.png", "a_mask.png", "a"),
        ("b.bmp", "b_mask.png", "b"),
    ]


def test_images_may_have_a_longer_name_too(tmp_path: Path) -> None:
    put(tmp_path, "p1_sat.png", "p1_mask.png", "p2_sat.png", "p2_mask.png", "readme.png")
    names = {"image_name": "{name}_sat", "mask_name": "{name}_mask"}
    data = described(images=".", masks="./", **names, group_pattern=r"(p\d)")
    assert [(e.image.name, e.mask.name, e.group) for e in find_examples(data, tmp_path)] == [
        ("p1_sat.png", "p1_mask.png", "p1"),
        ("p2_sat.png", "p2_mask.png", "p2"),
    ]


def test_groups_that_are_the_same_are_never_parted(tmp_path: Path) -> None:
    put(tmp_path, *(f"{place}/p{n}_{i}.png" for place in ("images", "masks") for n in range(5) for i in range(2)))
    same = (("p0", "p3"), ("p1", "p4"))
    for seed in range(5):
        data = described(group_pattern=r"(p\d)", same_group=same, val=0.4)
        split_of = {e.image.stem[:2]: (e.group, e.split) for e in find_examples(data, tmp_path, seed)}
        assert split_of["p0"] == split_of["p3"]
        assert split_of["p1"] == split_of["p4"]
        assert {group for group, _ in split_of.values()} == {"p0+p3", "p1+p4", "p2"}
    data = described(group_pattern=r"(p\d)", same_group=same, val=("p1+p4",))
    assert {e.image.stem[:2] for e in find_examples(data, tmp_path) if e.split == "val"} == {"p1", "p4"}
    with pytest.raises(ValueError, match="same_group names 'p7', and no picture is of such a group"):
        find_examples(described(group_pattern=r"(p\d)", same_group=(("p7", "p0"),)), tmp_path)
    with pytest.raises(ValueError, match="it names 'p0' twice; put all that belong together into one list"):
        described(group_pattern=r"(p\d)", same_group=(("p1", "p0"), ("p0", "p2")))


def test_pictures_of_the_same_place_are_not_parted_by_a_split_column_either(tmp_path: Path) -> None:
    put(tmp_path, *(f"{place}/{name}.png" for place in ("images", "masks") for name in "abc"))
    (tmp_path / "set.csv").write_text("stem,split\na,train\nb,val\nc,train\n")
    data = {"manifest": "set.csv", "split_column": "split"}
    assert len(find_examples(described(**data, same_group=(("a", "c"),)), tmp_path)) == 3
    message = refusal(described(**data, same_group=(("a", "b"),)), tmp_path)
    assert message.startswith("group 'a+b' is in train and in val")


@pytest.mark.parametrize(
    ("images", "masks", "folders"),
    [
        ("{split}/images", "{split}/masks", {"train": "training", "val": "valid", "test": "test"}),
        ("images/{split}", "labels/{split}", {"train": "train", "val": "dev", "test": "testing"}),
        ("{split}_images", "{split}_masks", {"train": "Train", "val": "Val", "test": "Test"}),
    ],
)
def test_the_folder_of_a_picture_says_its_split(
    tmp_path: Path, images: str, masks: str, folders: dict[str, str]
) -> None:
    """Also where each folder counts its pictures from 1."""
    for word in folders.values():
        put(tmp_path, *(f"{place.replace('{split}', word)}/{n}.png" for place in (images, masks) for n in "12"))
    examples = find_examples(described(images=images, masks=masks, split_folders=folders), tmp_path)
    assert {(e.split, e.image.relative_to(tmp_path).as_posix()) for e in examples} == {
        (split, f"{images.replace('{split}', word)}/{n}.png") for split, word in folders.items() for n in "12"
    }
    assert all(e.mask.parent == tmp_path / masks.replace("{split}", folders[e.split]) for e in examples)


def test_what_has_no_folder_is_taken_from_train_and_only_from_there(tmp_path: Path) -> None:
    put(tmp_path, *(f"train/{kind}/{n}.png" for kind in ("i", "m") for n in range(10)))
    put(tmp_path, *(f"held/{kind}/t{n}.png" for kind in ("i", "m") for n in range(3)))
    places = {"images": "{split}/i", "masks": "{split}/m"}
    data = described(**places, split_folders={"train": "train", "test": "held"}, val=0.3, test=0.5)
    splits = [(e.split, e.image.parent.parent.name) for e in find_examples(data, tmp_path)]
    assert {pair: splits.count(pair) for pair in splits} == {
        ("train", "train"): 7,
        ("val", "train"): 3,
        ("test", "held"): 3,
    }


def test_a_manifest_that_is_no_table_is_refused_and_a_short_row_is_one_with_blanks(tmp_path: Path) -> None:
    put(tmp_path, "images/a.png", "masks/a.png")
    manifest = tmp_path / "m.csv"
    manifest.write_text('stem,patient\na,"' + "x" * 200_000)
    data = described(manifest="m.csv", group_column="patient")
    assert "m.csv is no CSV (field larger than field limit" in refusal(data, tmp_path)
    manifest.write_text("stem,patient\na\n")
    assert "gives 'a' no patient" in refusal(data, tmp_path)
    manifest.write_text("patient,stem\n1,a\n1\n2,b\n")
    assert "m.csv lists ''" in refusal(data, tmp_path)


def test_pictures_are_known_again_by_their_files_not_by_their_names(tmp_path: Path) -> None:
    for folder, offset in (("first", 0), ("other", 2)):  # the same names, other pictures; but for one
        for name, value in (("a", 1), ("b", 2), ("c", 3 - offset)):
            put(tmp_path / folder, f"images/{name}.png", f"masks/{name}.png")
            Image.new("L", (4, 4), value + offset).save(tmp_path / folder / "images" / f"{name}.png")
    first, other = (find_examples(described(val=(), test=()), tmp_path / name) for name in ("first", "other"))
    (tmp_path / "split.json").write_text(json.dumps(pictures_by_split(first)))
    assert [shared_pictures(tmp_path, "train", some) for some in (first, other)] == [3, 2]
    regrouped = find_examples(described(val=(), test=(), group_pattern="(.)"), tmp_path / "first")
    assert shared_pictures(tmp_path, "train", regrouped) == 3
    assert shared_pictures(tmp_path, "test", first) == 0
    assert shared_pictures(tmp_path / "first", "train", first) is None


def test_colours_are_read_by_name(tmp_path: Path) -> None:
    path = tmp_path / "mask.png"
    Image.fromarray(np.array([[(0, 0, 0), (255, 254, 253), (1, 2, 3)]], dtype=np.uint8)).save(path)
    data = described(mask_values={"#000000": "background", "#fffefd": "crack", "#010203": "ignore"})
    config = Recipe(data=data).config((0.0,), (1.0,))
    np.testing.assert_array_equal(read_labels(path, data, config), [[0, 1, 255]])


def test_a_group_in_two_split_folders_is_refused(tmp_path: Path) -> None:
    put(tmp_path, *(f"{split}/{kind}/p1_{split}.png" for kind in ("i", "m") for split in ("train", "val")))
    data = described(
        images="{split}/i", masks="{split}/m", split_folders={"train": "train", "val": "val"}, group_pattern=r"(p\d)"
    )
    assert refusal(data, tmp_path).startswith("group 'p1' is in train and in val")


def test_what_is_missing_is_named_in_its_folder(tmp_path: Path) -> None:
    put(tmp_path, "train/i/a.png", "train/m/a_m.png", "val/i/b.png", "val/m/other_m.png")
    data = described(
        images="{split}/i", masks="{split}/m", mask_name="{name}_m", split_folders={"train": "train", "val": "val"}
    )
    assert "1 of 2 images have no mask, first 'b.png'; expected val/m/b_m.png" in refusal(data, tmp_path)
    (tmp_path / "val/m/other_m.png").rename(tmp_path / "val/m/b.png")
    assert "has no masks called {name}_m" in refusal(data, tmp_path)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"images": "."}, None),
        ({"images": "x", "masks": "x"}, "lie in one folder"),
        ({"images": "x", "masks": "./x/"}, "lie in one folder"),
        ({"mask_name": "mask"}, "mask_name"),
        ({"mask_name": "{name}{name}"}, "mask_name"),
        ({"image_name": "a/{name}"}, "image_name"),
        ({"images": "{split}/images"}, "split_folders go together"),
        ({"images": "{split}/i", "masks": "{split}/m"}, "split_folders go together"),
        ({"split_folders": {"train": "train"}}, "split_folders go together"),
        ({"images": "{folder}/images"}, "one whole folder name in images, and for the same in masks"),
        ({"images": "p{folder}/i", "masks": "p{folder}/m"}, "one whole folder name"),
        ({"images": "{split}/i", "masks": "{split}/m", "split_folders": {"val": "val"}}, "no folder for train"),
        ({"images": "{split}/i", "masks": "{split}/m", "split_folders": {"train": "a", "val": "a"}}, "folder twice"),
        ({"images": "{split}/i", "masks": "{split}/m", "split_folders": {"training": "a"}}, "split_folders"),
        ({"images": "{split}/i", "masks": "{split}/m", "split_folders": {"train": "a"}, "manifest": "m.csv",
          "split_column": "split"}, "keep one of them"),
        ({"mask_values": {"0": "background", "1-254": "ignore", "255": "crack"}}, None),
        ({"mask_values": {"0": "background", "9-1": "crack"}}, "from low to high"),
        ({"mask_values": {"0-127": "background", "127-255": "crack"}}, "twice, by '0-127' and by '127-255'"),
        ({"mask_values": {"0": "background", "00": "crack"}}, "twice"),
        ({"mask_values": {"0": "background", "1-": "crack"}}, "mask_values"),
    ],
)  # fmt: skip
def test_a_layout_or_a_range_that_makes_no_sense_is_refused(fields: dict[str, Any], words: str | None) -> None:
    if words is None:
        described(**fields)
        return
    with pytest.raises(ValidationError) as caught:
        described(**fields)
    assert words in str(caught.value)


def test_a_range_of_numbers_has_one_name(tmp_path: Path) -> None:
    path = tmp_path / "mask.png"
    Image.fromarray(np.array([[0, 9, 100], [101, 200, 255]], dtype=np.uint8)).save(path)
    data = described(mask_values={"0-100": "background", "101-200": "ignore", "255": "crack"})
    config = Recipe(data=data).config((0.0,), (1.0,))
    np.testing.assert_array_equal(read_labels(path, data, config), [[0, 0, 0], [255, 255, 1]])


NAMES = st.text("ab_1-. é", max_size=6)


@given(name=NAMES.filter(bool), before=NAMES, after=NAMES)
def test_a_shared_name_is_what_was_put_into_the_template(name: str, before: str, after: str) -> None:
    assert shared_name(before + name + after, before + "{name}" + after) == name
    assert shared_name(before + after, before + "{name}" + after) is None


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (["images/a.png", "masks/a.png"], ("images", "masks", "{name}", "{name}", None)),
        (["Imgs/a.jpg", "Labels/a.png"], ("Imgs", "Labels", "{name}", "{name}", None)),
        (["image/img_1.png", "annotations/mask_1.png"],
         ("image", "annotations", "img_{name}", "mask_{name}", None)),
        (["photos/a_x.png", "photos/b_x.png", "gt/a_seg.png", "gt/b_seg.png"],
         ("photos", "gt", "{name}_x", "{name}_seg", None)),
        (["a.png", "a_mask.png", "b.png", "b_mask.png"], (".", ".", "{name}", "{name}_mask", None)),
        (["data/1_sat.jpg", "data/1_mask.png"], ("data", "data", "{name}_sat", "{name}_mask", None)),
        (["train/a.png", "train/a-label.png", "valid/b.png", "valid/b-label.png"],
         ("{split}", "{split}", "{name}", "{name}-label", {"train": "train", "val": "valid"})),
        (["train/images/a.png", "train/masks/a.png", "val/images/a.png", "val/masks/a.png", "test/images/c.png",
          "test/masks/c.png"],
         ("{split}/images", "{split}/masks", "{name}", "{name}", {"train": "train", "val": "val", "test": "test"})),
        (["images/training/a.png", "masks/training/a.png", "images/validation/b.png", "masks/validation/b.png"],
         ("images/{split}", "masks/{split}", "{name}", "{name}", {"train": "training", "val": "validation"})),
        (["train/a.png", "train_masks/a_mask.png", "test/c.png"],
         ("{split}", "{split}_masks", "{name}", "{name}_mask", {"train": "train"})),
        (["set_segmentation/annotations/a.png", "set_segmentation/images/a.png"],
         ("set_segmentation/images", "set_segmentation/annotations", "{name}", "{name}", None)),
        (["images/train2017/a.png", "images/val2017/b.png", "labels/train2017/a.png", "labels/val2017/b.png"],
         ("images/{split}", "labels/{split}", "{name}", "{name}", {"train": "train2017", "val": "val2017"})),
        (["training_data/train/images/a.png", "training_data/train/masks/a.png", "training_data/val/images/b.png",
          "training_data/val/masks/b.png"],
         ("training_data/{split}/images", "training_data/{split}/masks", "{name}", "{name}",
          {"train": "train", "val": "val"})),
        (["imagesTr/a_0000.png", "labelsTr/a.png"], ("imagesTr", "labelsTr", "{name}_0000", "{name}", None)),
        (["leftImg8bit/train/x/x_1_leftImg8bit.png", "gtFine/train/x/x_1_gtFine_color.png",
          "gtFine/train/x/x_1_gtFine_labelIds.png"],
         ("leftImg8bit/{split}/x", "gtFine/{split}/x", "{name}_leftImg8bit", "{name}_gtFine_labelIds",
          {"train": "train"})),
        (["img_dir/train/a.png", "ann_dir/train/a.png"],
         ("img_dir/{split}", "ann_dir/{split}", "{name}", "{name}", {"train": "train"})),
        (["tile 1/images/a.png", "tile 1/masks/a.png", "tile 2/images/a.png", "tile 2/masks/a.png"],
         ("{folder}/images", "{folder}/masks", "{name}", "{name}", None)),
        (["ill/anna/1.png", "ill/anna/1_mask.png", "ill/bert/1.png", "ill/bert/1_mask.png"],
         ("ill/{folder}", "ill/{folder}", "{name}", "{name}_mask", None)),
        (["images/train/x/1.png", "images/train/y/1.png", "images/val/z/1.png", "labels/train/x/1.png",
          "labels/train/y/1.png", "labels/val/z/1.png"],
         ("images/{split}/{folder}", "labels/{split}/{folder}", "{name}", "{name}", {"train": "train", "val": "val"})),
        (["images/\u00e9.png", "masks/e\u0301.png"], ("images", "masks", "{name}", "{name}", None)),
        (["test/images/a.png", "test/masks/a.png"], ("test/images", "test/masks", "{name}", "{name}", None)),
    ],
)  # fmt: skip
def test_the_layout_of_a_folder_is_found(tmp_path: Path, files: list[str], expected: tuple[object, ...]) -> None:
    put(tmp_path, *(name.replace(".jpg", ".png") for name in files), ".cache/masks/a.png")
    found = find_layout(tmp_path)
    layout = found.layout
    assert found.paired
    got = (layout.images, layout.masks, layout.image_name, layout.mask_name, layout.split_folders)
    assert got == expected
    assert found.aside == (("test",) if "test/c.png" in files else ())
    fields = dict(zip(("images", "masks", "image_name", "mask_name", "split_folders"), got, strict=True))
    assert find_examples(described(**fields, val=0.0), tmp_path)
