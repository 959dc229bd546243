"""`unetseg.fitting.doctor.legend`: names of classes from the files that tools leave beside masks."""

import json
from pathlib import Path

import numpy as np
import pytest
from data_folders import Files, build, scene, white, wrong_pixels

from unetseg.fitting.doctor import diagnose

NAMED = ("background", "cat", "dog")
COLOURS = ([0, 0, 0], [128, 0, 0], [0, 128, 0])
CVAT = "# label:color_rgb:parts:actions\nbackground:0,0,0::\ncat:128,0,0::\ndog:0,128,0::\n"


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("labelmap.txt", CVAT),
        ("masks/_classes.csv", "Pixel Value, Class\n0, background\n1, cat\n2, dog\n"),
        ("dataset.json", '{"labels": {"background": 0, "cat": 1, "dog": 2}}'),
        ("dataset.json", '{"labels": {"0": "background", "1": "cat", "2": "dog"}}'),
        ("classes.txt", "background\ncat\ndog\n"),
        ("classes.txt", "cat\ndog\n"),
        ("classes.txt", "0: background\n1: cat\n2: dog\n"),
        ("class_names.txt", "__ignore__\n_background_\ncat\ndog\n"),
        ("label_names.txt", "_background_\ncat\ndog\n"),
        ("classes.json", '["background", "cat", "dog"]'),
        ("masks/classes.json", '{"0": "background", "1": "cat", "2": "dog"}'),
        (
            "classes.json",
            '{"classes": [{"id": 0, "name": "background"}, {"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]}',
        ),
    ],
)
def test_classes_are_called_as_a_file_says(tmp_path: Path, file: str, text: str) -> None:
    scenes = [(i, *scene(i)) for i in range(5)]
    build(
        tmp_path,
        (pair for i, picture, ids in scenes for pair in [(f"images/{i}.png", picture), (f"masks/{i}.png", ids)]),
    )
    diagnosis = diagnose(build(tmp_path, [(file, text)]))
    assert diagnosis.ambiguous == ()
    recipe = diagnosis.parsed()
    assert recipe is not None
    assert recipe.data.mask_values == dict(zip("012", NAMED, strict=True))
    assert f"named by {file}" in (diagnosis.recipe or "")
    assert wrong_pixels(tmp_path, recipe) == 0


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("labelmap.txt", CVAT),
        ("class_dict.csv", "name,r,g,b\nbackground,0,0,0\ncat,128,0,0\ndog,0,128,0\n"),
        ("label_colors.txt", "0 0 0\tbackground\n128 0 0\tcat\n0 128 0\t\tdog\n"),
        (
            "labels.json",
            json.dumps(
                [{"name": n, "color": c, "classid": i} for i, (n, c) in enumerate(zip(NAMED, COLOURS, strict=True))]
            ),
        ),
    ],
)
def test_colours_are_named_by_a_file(tmp_path: Path, file: str, text: str) -> None:
    colours = np.array(COLOURS, dtype=np.uint8)
    scenes = [(i, *scene(i)) for i in range(5)]
    build(
        tmp_path,
        (p for i, picture, ids in scenes for p in [(f"images/{i}.png", picture), (f"masks/{i}.png", colours[ids])]),
    )
    recipe = diagnose(build(tmp_path, [(file, text)])).parsed()
    assert recipe is not None
    assert recipe.data.mask_values == dict(zip(("#000000", "#800000", "#008000"), NAMED, strict=True))


def test_grey_masks_are_named_by_a_table_of_colours(tmp_path: Path) -> None:
    """DeepGlobe's roads."""

    def files() -> Files:
        for i in range(5):
            picture, ids = scene(i, 1)
            yield f"images/{i}.png", picture
            yield f"masks/{i}.png", np.repeat(white(ids > 0)[..., None], 3, axis=2)
        yield "class_dict.csv", "name,r,g,b\nroad,255,255,255\nbackground,0,0,0\n"

    recipe = diagnose(build(tmp_path, files())).parsed()
    assert recipe is not None
    assert recipe.data.mask_values == {"0": "background", "255": "road"}
    assert wrong_pixels(tmp_path, recipe) == 0


def test_masks_that_cvat_exports_are_read_by_its_labelmap(tmp_path: Path) -> None:
    """Colours of classes in SegmentationClass, of objects in SegmentationObject; a list that divides nothing."""

    def files() -> Files:
        colours = np.array(COLOURS, dtype=np.uint8)[[0, 2, 1]]  # classes follow each other by their colours
        for i in range(6):
            picture, ids = scene(i)
            yield f"JPEGImages/{i:03}.jpg", picture
            yield f"SegmentationClass/{i:03}.png", colours[ids]
            yield f"SegmentationObject/{i:03}.png", colours[(ids * 2) % 3]
        yield "ImageSets/Segmentation/default.txt", "".join(f"{i:03}\n" for i in range(6))
        yield "labelmap.txt", CVAT

    diagnosis = diagnose(build(tmp_path, files()))
    assert diagnosis.ambiguous == ()
    recipe = diagnosis.parsed()
    assert recipe is not None
    assert (recipe.data.images, recipe.data.masks) == ("JPEGImages", "SegmentationClass")
    assert recipe.data.mask_values == dict(zip(("#000000", "#800000", "#008000"), NAMED, strict=True))
    assert wrong_pixels(tmp_path, recipe) == 0


def test_a_file_of_other_names_is_not_used_and_said(tmp_path: Path) -> None:
    scenes = [(i, *scene(i)) for i in range(5)]
    build(
        tmp_path,
        (pair for i, picture, ids in scenes for pair in [(f"images/{i}.png", picture), (f"masks/{i}.png", ids)]),
    )
    diagnosis = diagnose(build(tmp_path, [("classes.txt", "cat\n")]))
    recipe = diagnosis.parsed()
    assert recipe is not None
    assert recipe.data.classes == ("class1", "class2")
    assert any(
        finding.what.startswith("classes.txt names 1 value, and the masks hold 0, 1, 2")
        for finding in diagnosis.findings
    )


def test_trimaps_name_themselves_and_ignore_their_border(tmp_path: Path) -> None:
    scenes = [(i, *scene(i)) for i in range(5)]
    values = np.array([2, 1, 3], dtype=np.uint8)
    build(tmp_path, ((f"images/{i}.png", picture) for i, picture, _ in scenes))
    build(tmp_path, ((f"annotations/trimaps/{i}.png", values[ids]) for i, _, ids in scenes))
    diagnosis = diagnose(tmp_path)
    assert diagnosis.ambiguous == ()
    recipe = diagnosis.parsed()
    assert recipe is not None
    assert recipe.data.mask_values == {"1": "foreground", "2": "background", "3": "ignore"}
    assert any(finding.what == "the masks are trimaps, with 3 on the border" for finding in diagnosis.findings)
