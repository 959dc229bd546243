"""`unetseg.fitting.doctor.listing`: published lists are found, used, and what is odd about them is said."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from data_folders import Files, build, scene, wrong_pixels

from unetseg.fitting.data.folder import find_examples
from unetseg.fitting.doctor import Diagnosis, diagnose, report_text

VOC = "ImageSets/Segmentation/"


def pictures(count: int = 8) -> Files:
    for i in range(count):
        picture, ids = scene(i)
        yield from ((f"JPEGImages/p{i}.jpg", picture), (f"SegmentationClass/p{i}.png", ids))


def lines(numbers: range, way: Callable[[int], str] = "p{}".format) -> str:
    return "".join(f"{way(i)}\n" for i in numbers)


def examined(folder: Path, lists: Mapping[str, str], count: int = 8) -> Diagnosis:
    return diagnose(build(folder, [*pictures(count), *lists.items()]))


def sides(diagnosis: Diagnosis) -> dict[str, set[str]]:
    recipe = diagnosis.parsed()
    assert recipe is not None
    assert wrong_pixels(diagnosis.folder, recipe) == 0
    found: dict[str, set[str]] = {}
    for example in find_examples(recipe.data, diagnosis.folder):
        found.setdefault(example.split, set()).add(example.name)
    return found


@pytest.mark.parametrize(
    "lists",
    [
        {VOC + "train.txt": lines(range(5)), VOC + "val.txt": lines(range(5, 8)),
         VOC + "trainval.txt": lines(range(8))},
        {"train.txt": lines(range(5), "p{}.jpg".format), "val.txt": lines(range(5, 8), "p{}.jpg".format)},
        {"lists/train_list.txt": lines(range(5), "JPEGImages/p{}.jpg".format),
         "lists/val_list.txt": lines(range(5, 8), "JPEGImages/p{}.jpg".format)},
        {"training.lst": lines(range(5), "JPEGImages/p{0}.jpg SegmentationClass/p{0}.png".format),
         "validation.lst": lines(range(5, 8), "JPEGImages/p{0}.jpg SegmentationClass/p{0}.png".format)},
    ],
)  # fmt: skip
def test_published_lists_divide_the_pictures(tmp_path: Path, lists: Mapping[str, str]) -> None:
    diagnosis = examined(tmp_path, lists)
    assert diagnosis.ambiguous == ()
    assert sides(diagnosis) == {"train": {f"p{i}" for i in range(5)}, "val": {"p5", "p6", "p7"}}
    assert "lists     train: " in report_text(diagnosis)


def test_validation_is_drawn_where_the_lists_are_of_trainval_and_test(tmp_path: Path) -> None:
    found = sides(examined(tmp_path, {"trainval.txt": lines(range(5)), "test.txt": lines(range(5, 8))}))
    assert found["test"] == {"p5", "p6", "p7"}
    assert found["train"] | found["val"] == {f"p{i}" for i in range(5)}
    assert len(found["val"]) == 1


def test_pictures_in_no_list_are_left_out_and_named(tmp_path: Path) -> None:
    diagnosis = examined(tmp_path, {"train.txt": lines(range(4)), "val.txt": lines(range(4, 6))})
    assert diagnosis.ambiguous == ()
    assert set.union(*sides(diagnosis).values()) == {f"p{i}" for i in range(6)}
    (note,) = (finding for finding in diagnosis.findings if "leave out" in finding.what)
    assert (
        note.sentence
        == "the lists leave out 2 pictures: p6, p7; they are not used; add them to a list if they should be"
    )


@pytest.mark.parametrize(
    ("lists", "words"),
    [
        ({"train.txt": lines(range(6)), "val.txt": lines(range(4, 8))},
         "2 pictures in the lists of both train and val: p4, p5; take each out of one of them"),
        ({"train.txt": lines(range(6)) + "gone\n", "val.txt": lines(range(6, 8))},
         "1 line of the lists without a picture: train.txt: gone; add these pictures and their masks, or take the "
         "lines out"),
        ({"a/train.txt": lines(range(6)), "a/val.txt": lines(range(6, 8)),
          "b/train.txt": lines(range(4)), "b/val.txt": lines(range(4, 8))},
         "lists of training and validation in several folders: a, b; the proposed recipe takes those of a and can be "
         "used if these are meant; else change split_lists"),
    ],
)  # fmt: skip
def test_what_is_odd_about_lists_is_asked(tmp_path: Path, lists: Mapping[str, str], words: str) -> None:
    assert words in examined(tmp_path, lists).ambiguous


def test_a_text_of_other_things_is_no_list(tmp_path: Path) -> None:
    diagnosis = examined(tmp_path, {"train.txt": "lr=0.1\nepochs=3\n", "val.txt": "dice 0.9\n"})
    assert diagnosis.ambiguous == ()
    assert diagnosis.grouping.split_lists is None
