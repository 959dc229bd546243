"""`unetseg.fitting.data.lists`: published lists say what is trained and validated on."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unetseg.fitting.data.lists import Finder, read_list, split_by_lists

FOLDER = Path("data")
IMAGES = {f"p{i}": FOLDER / f"JPEGImages/p{i}.jpg" for i in range(4)}
WAYS: list[Callable[[str], str]] = [
    lambda name: name,
    lambda name: f"{name}.jpg",
    lambda name: f"JPEGImages/{name}.jpg",
    lambda name: f"./JPEGImages/{name}.jpg",
    lambda name: f"/home/somebody/VOC/JPEGImages/{name}.jpg",
    lambda name: f"JPEGImages\\{name}.jpg",
    lambda name: f"/JPEGImages/{name}.jpg /SegmentationClass/{name}.png",
    lambda name: f"{name}.jpg,{name}.png",
    lambda name: f"{name}\t1",
    lambda name: f'"{name}", 1',
]


@given(st.sampled_from(WAYS), st.sampled_from(sorted(IMAGES)))
def test_a_line_names_a_picture_in_any_of_the_usual_ways(way: Callable[[str], str], name: str) -> None:
    assert Finder(IMAGES, FOLDER)(way(name)) == [name]


def test_a_name_with_blanks_is_one(tmp_path: Path) -> None:
    images = {"benign (3)": FOLDER / "benign (3).png", "benign": FOLDER / "benign.png"}
    assert Finder(images, FOLDER)("benign (3)") == ["benign (3)"]


def test_of_several_of_one_name_the_folders_tell() -> None:
    images = {f"{city}/0": FOLDER / "images" / city / "0.png" for city in ("ulm", "bonn")}
    find = Finder(images, FOLDER)
    assert find("ulm/0.png") == ["ulm/0"]
    assert find("images/bonn/0.png masks/bonn/0.png") == ["bonn/0"]
    assert find("0") == ["bonn/0", "ulm/0"]
    assert find("paris/0.png") == ["bonn/0", "ulm/0"]


def test_lists_are_read_without_blank_lines_comments_and_marks(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_bytes("\ufeff# made by hand\r\np0\r\n\r\n  p1 \r\n".encode())
    assert read_list(tmp_path / "train.txt") == ["p0", "p1"]


@pytest.mark.parametrize(
    ("train", "val", "words"),
    [
        ("p0\np9\n", "p1\n", "train.txt lists 'p9', which is no picture; each line names one"),
        ("p0\np1\n", "p1\n", "'p1' is in the lists of train and of val; take it out of one of them"),
    ],
)
def test_what_a_list_cannot_mean_is_refused(tmp_path: Path, train: str, val: str, words: str) -> None:
    (tmp_path / "train.txt").write_text(train)
    (tmp_path / "val.txt").write_text(val)
    with pytest.raises(ValueError, match=words):
        split_by_lists({"train": tmp_path / "train.txt", "val": tmp_path / "val.txt"}, IMAGES, FOLDER)


def test_a_list_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"train\.txt can't be read: No such file"):
        read_list(tmp_path / "train.txt")
    (tmp_path / "train.txt").write_bytes(b"p\xff0")
    with pytest.raises(ValueError, match=r"train\.txt is no UTF-8 text"):
        read_list(tmp_path / "train.txt")
