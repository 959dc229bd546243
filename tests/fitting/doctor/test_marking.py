"""From what annotation tools export to label maps: the doctor's recipe, its findings, and a training."""

import json
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas
import nibabel
import numpy as np
import pytest
from annotated_folders import (
    LABELS,
    SIZE,
    Pixels,
    coco,
    coco_of,
    coco_one_file,
    coco_other_words,
    corners,
    cvat,
    flat,
    geojson,
    geopackage,
    labelme,
    labelme_folders,
    labelme_of,
    labelstudio,
    on_ground,
    picture,
    roboflow,
    supervisely,
    text,
    truth,
    voc,
    yolo,
)
from PIL import Image

from unetseg.fitting import Recipe
from unetseg.fitting.data.folder import Example, find_examples, read_example
from unetseg.fitting.doctor import Diagnosis, diagnose, draw_sheet, report_text, write_page
from unetseg.fitting.doctor.contact_sheet import candidate_view
from unetseg.fitting.recipe import Data


def findings(diagnosis: Diagnosis, weight: str) -> list[str]:
    return [finding.sentence for finding in diagnosis.findings if finding.weight == weight]


def loaded(diagnosis: Diagnosis, path: Path) -> Recipe:
    diagnosis.write_recipe(path)
    return Recipe.from_file(path)


def drawn(recipe: Recipe, examples: list[Example]) -> dict[str, Pixels]:
    config = recipe.config((0.0,) * 3, (1.0,) * 3)
    return {example.image.stem: read_example(example, recipe.data, config)[1] for example in examples}


SPLIT = {"p0": "train", "p1": "train", "p2": "train", "p3": "train", "p4": "val", "p5": "val"}
FORMATS: list[tuple[Callable[[Path], None], dict[str, str] | None, str]] = [
    (coco, SPLIT, "{split}; annotations of COCO in annotations/instances_{split}.json; split: train2017, val2017"),
    (coco_one_file, SPLIT, "images; annotations of COCO in {split}.json; split: train, val"),
    (coco_other_words, SPLIT, "images/{split}; annotations of COCO in the folder; split: training, validation"),
    (roboflow, {**SPLIT, "p5": "test"}, "{split}; annotations of COCO in {split}/_annotations.coco.json"),
    (labelme, None, "pictures; annotations of LabelMe beside them"),
    (labelme_folders, None, "{folder}; annotations of LabelMe in the folder"),
    (cvat, None, "images; annotations of CVAT in annotations.xml"),
    (labelstudio, None, "images; annotations of Label Studio in project.json"),
    (yolo, SPLIT, "images/{split}; annotations of YOLO in labels/{split}; split: train, val"),
    (voc, None, "JPEGImages; annotations of Pascal VOC in Annotations"),
    (supervisely, None, "ds/img; annotations of Supervisely in ds/ann"),
    (geojson, None, "tiles; annotations of GeoJSON in the folder"),
    (geopackage, None, "tiles; annotations of GeoPackage in the folder"),
]


@pytest.mark.parametrize(("make", "split", "folders"), FORMATS, ids=lambda value: getattr(value, "__name__", ""))
def test_what_a_tool_exports_becomes_label_maps_by_the_proposed_recipe(
    make: Callable[[Path], None], split: dict[str, str] | None, folders: str, tmp_path: Path
) -> None:
    folder = tmp_path / "data"
    make(folder)
    diagnosis = diagnose(folder)
    assert diagnosis.ambiguous == ()
    assert folders in " ".join(report_text(diagnosis).split())
    recipe = loaded(diagnosis, tmp_path / "recipe.toml")
    assert (recipe.data.classes, recipe.data.background) == (LABELS, "background")
    examples = find_examples(recipe.data, folder, recipe.train.seed)
    assert examples == list(diagnosis.examples)
    maps = drawn(recipe, examples)
    assert len(maps) == 6
    for name, labels in maps.items():
        assert (labels == truth(int(name[1]))).all(), name
    if split is not None:
        assert {example.image.stem[:2]: example.split for example in examples} == split


def test_annotations_of_volumes_are_told(tmp_path: Path) -> None:
    nibabel.Nifti1Image(np.zeros((9, 8, 3), np.uint8), np.eye(4)).to_filename(tmp_path / "scan.nii.gz")
    text(tmp_path / "scan.json", labelme_of(0, "scan.nii.gz"))
    diagnosis = diagnose(tmp_path)
    assert any("annotations are drawn on pictures, and scan.nii.gz is a volume" in one for one in diagnosis.ambiguous)


def change(path: Path, how: Callable[[Any], object]) -> None:
    content = json.loads(path.read_text(encoding="utf-8"))
    how(content)
    text(path, content)


def test_what_is_wrong_with_annotations_is_counted_and_named_with_its_picture(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    roboflow(folder)

    def spoil(content: Any) -> None:  # noqa: ANN401, JSON
        content["annotations"][0]["segmentation"] = []
        content["annotations"][1]["category_id"] = 77
        content["annotations"][2]["segmentation"] = [flat(corners(60, 60, 5))]
        content["images"].append({"id": 99, "file_name": "gone.png", "height": SIZE, "width": SIZE})

    change(folder / "train" / "_annotations.coco.json", spoil)
    picture(folder / "train" / "extra.png", 9)
    diagnosis = diagnose(folder)
    asked, warned = diagnosis.findings[:2], [f for f in diagnosis.findings if f.weight == "warning"]
    assert [finding.what.partition(":")[0] for finding in asked] == [
        "1 annotated object without a class",
        "1 image (of 7) that no annotation mentions",
    ]
    name = f"train/p0_jpg.rf.{0:032x}.png"
    assert asked[0].names == (name,)
    assert "category 77" in asked[0].what
    assert {finding.what.partition(":")[0]: finding.names for finding in warned} == {
        "1 annotation of no picture in the folder": ("train/gone.png",),
        "1 annotated object outside its picture": (f"train/p1_jpg.rf.{1:032x}.png",),
        "1 annotated object without an area": (name,),
    }
    # all that is asked leads to a training: what nobody looked at is left out, or shows nothing
    recipe = loaded(diagnosis, tmp_path / "recipe.toml")
    assert recipe.data.unannotated == "leave out"
    assert "extra" not in drawn(recipe, find_examples(recipe.data, folder))
    every = recipe.data.model_copy(update={"unannotated": "background"})
    extra = next(one for one in find_examples(every, folder) if one.image.stem == "extra")
    assert extra.split == "train"
    assert not drawn(recipe, [extra])["extra"].any()
    unsaid = recipe.data.model_copy(update={"unannotated": None})
    with pytest.raises(ValueError, match=r"1 images are in no annotation, first 'extra.png'; say unannotated"):
        find_examples(unsaid, folder)


def test_a_label_may_be_left_out_ignored_or_joined_and_none_may_be_forgotten(tmp_path: Path) -> None:
    labelme(tmp_path)
    recipe = diagnose(tmp_path).parsed()
    assert recipe is not None
    for meaning, number in (("background", 0), ("ignore", 255), ("cat", 1)):
        data = recipe.data.model_copy(
            update={
                "classes": ("cat",),
                "annotation_labels": {"dog": meaning, "cat": "cat"},
                "palette": ("#000000",) * 2,
            }
        )
        changed = recipe.model_copy(update={"data": data})
        for name, labels in drawn(changed, find_examples(data, tmp_path)).items():
            assert (labels == np.array([0, 1, number], dtype=np.uint8)[truth(int(name[1]))]).all()
    only = recipe.data.model_copy(update={"annotation_labels": {"cat": "cat"}})
    with pytest.raises(
        ValueError, match=r"p0.json has objects of 'dog', first on p0.png, which annotation_labels does"
    ):
        find_examples(only, tmp_path)


def test_without_a_background_what_nobody_marked_is_ignored(tmp_path: Path) -> None:
    labelme(tmp_path)
    recipe = diagnose(tmp_path).parsed()
    assert recipe is not None
    data = recipe.data.model_copy(update={"background": None, "palette": ("#ffffff", "#ff0000")})
    maps = drawn(recipe.model_copy(update={"data": data}), find_examples(data, tmp_path))
    assert (maps["p2"] == np.array([255, 0, 1], dtype=np.uint8)[truth(2)]).all()


def test_the_order_of_objects_that_overlap_is_the_recipes(tmp_path: Path) -> None:
    for seed in range(6):
        picture(tmp_path / f"p{seed}.png", seed)
        content = labelme_of(seed, f"p{seed}.png")
        content["shapes"][1]["points"] = corners(2, 2, 4)
        content["shapes"].append({"label": "cat", "points": corners(0, 0, 20), "shape_type": "polygon"})
        text(tmp_path / f"p{seed}.json", content)
    diagnosis = diagnose(tmp_path)
    (question,) = diagnosis.ambiguous
    assert 'lie over them: dog; say overlap = "smaller"' in question
    recipe = diagnosis.parsed()
    assert recipe is not None
    assert recipe.data.overlap == "later"
    assert set(np.unique(drawn(recipe, find_examples(recipe.data, tmp_path))["p0"])) == {0, 1}  # no dog is seen
    meant = {"cat": "cat", "dog": "dog"}
    three = {"task": "multiclass", "classes": LABELS, "palette": ("#000000", "#ff0000", "#00ff00")}
    data = recipe.data.model_copy(update={"overlap": "smaller", "annotation_labels": meant, **three})
    changed = recipe.model_copy(update={"data": data})
    assert (drawn(changed, find_examples(data, tmp_path))["p0"][2:6, 2:6] == 2).all()


def masks_beside(folder: Path) -> None:
    for seed in range(6):
        path = folder / "masks" / f"p{seed}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(truth(seed)).save(path)


def test_masks_and_annotations_of_the_same_pictures_are_asked_about_and_either_can_be_taken(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    cvat(folder)
    masks_beside(folder)
    diagnosis = diagnose(folder)
    (question,) = diagnosis.ambiguous
    assert "labels of two kinds: masks in masks, annotations of CVAT in annotations.xml" in question
    recipe = diagnosis.parsed()
    assert recipe is not None
    assert recipe.data.annotations is None
    assert (drawn(recipe, find_examples(recipe.data, folder))["p1"] == truth(1)).all()
    # both are shown on one picture, by the sheet and by the page
    own, rival = diagnosis.candidates
    assert rival.pair is not None
    assert (own.example.name, rival.pair.image.name) == ("p0.png", "p0.png")
    drawn_on_it, trouble = candidate_view(rival, SIZE)
    assert trouble is None
    assert (np.asarray(drawn_on_it[1])[..., 0] == np.array([0, 128, 255])[truth(0)]).all()
    draw_sheet(diagnosis, tmp_path / "sheet.png")
    write_page(diagnosis, tmp_path / "page.html", train="train", again="again")
    assert "masks: annotations of CVAT in annotations.xml its mask" in (tmp_path / "page.html").read_text("utf-8")
    # what the question says to write
    lines = question.partition("annotations.xml write ")[2].partition(", and take image_name")[0]
    written = tomllib.loads("[data]\nmask_values = {}\n" + re.sub(r", (?=\w+ = )(?![^{]*})", "\n", lines))
    changed = Recipe.model_validate_json(json.dumps(recipe.model_dump(mode="json") | {"data": written["data"]}))
    assert changed.data.annotations == "cvat"
    assert (drawn(changed, find_examples(changed.data, folder))["p1"] == truth(1)).all()


def test_pictures_in_two_folders_that_fit_alike_are_asked_about(tmp_path: Path) -> None:
    for seed in range(6):
        for place in ("pictures_small", "images"):
            picture(tmp_path / place / f"p{seed}.png", seed)
        text(tmp_path / "annotations" / f"p{seed}.json", labelme_of(seed, f"p{seed}.png"))
    diagnosis = diagnose(tmp_path)
    (question,) = diagnosis.ambiguous
    assert "pictures in images, pictures_small fit the annotations alike" in question
    assert 'for pictures_small write images = "pictures_small"' in question
    recipe = diagnosis.parsed()
    assert recipe is not None
    assert (drawn(recipe, find_examples(recipe.data, tmp_path))["p1"] == truth(1)).all()


def test_annotations_of_pictures_that_are_not_there_are_asked_about(tmp_path: Path) -> None:
    coco_one_file(tmp_path)
    for path in (tmp_path / "images").iterdir():
        path.rename(path.with_stem(f"x{path.stem}"))
    (question,) = diagnose(tmp_path).ambiguous
    assert "annotations of COCO in {split}.json speak of pictures that are not in the folder, first p0.png" in question


def boxes_of_voc(folder: Path) -> None:
    for seed in range(6):
        picture(folder / "JPEGImages" / f"p{seed}.png", seed)
        box = "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox>"
        size = f"<size><width>{SIZE}</width><height>{SIZE}</height><depth>3</depth></size>"
        content = f"<filename>p{seed}.png</filename>{size}<object><name>cat</name>{box}</object>"
        text(folder / "Annotations" / f"p{seed}.xml", f"<annotation>{content}</annotation>")


def test_beside_masks_boxes_are_but_noted_and_alone_they_are_asked_about(tmp_path: Path) -> None:
    boxes_of_voc(tmp_path)
    (question,) = diagnose(tmp_path).ambiguous
    assert question.startswith("annotations of Pascal VOC in Annotations hold no outlines and no masks, only boxes")
    masks_beside(tmp_path)
    (tmp_path / "masks").rename(tmp_path / "SegmentationClass")
    diagnosis = diagnose(tmp_path)
    assert diagnosis.ambiguous == ()
    assert "annotations of Pascal VOC in Annotations hold boxes alone; the masks are taken" in findings(
        diagnosis, "note"
    )


def test_rectangles_are_drawn_but_asked_about(tmp_path: Path) -> None:
    for seed in range(6):
        picture(tmp_path / f"p{seed}.png", seed)
        content = labelme_of(seed, f"p{seed}.png")
        for shape in content["shapes"]:
            shape |= {"shape_type": "rectangle", "points": shape["points"][::2]}
        text(tmp_path / f"p{seed}.json", content)
    diagnosis = diagnose(tmp_path)
    (question,) = diagnosis.ambiguous
    assert "12 objects are rectangles" in question
    recipe = diagnosis.parsed()
    assert recipe is not None
    assert (drawn(recipe, find_examples(recipe.data, tmp_path))["p1"] == truth(1)).all()


def test_two_files_for_the_same_pictures_are_asked_about_and_two_for_others_are_joined(tmp_path: Path) -> None:
    same, others = tmp_path / "same", tmp_path / "others"
    for folder in (same, others):
        for seed in range(6):
            picture(folder / "images" / f"p{seed}.png", seed)
    text(same / "first.json", coco_of({s: f"p{s}.png" for s in range(6)}))
    text(same / "second.json", coco_of({s: f"p{s}.png" for s in range(5)}))
    (question,) = [q for q in diagnose(same).ambiguous if "labels of two kinds" in q]
    assert "annotations of COCO in first.json, annotations of COCO in second.json" in question
    text(others / "one.json", coco_of({s: f"p{s}.png" for s in range(3)}))
    text(others / "two.json", coco_of({s: f"p{s}.png" for s in range(3, 6)}))
    diagnosis = diagnose(others)
    assert diagnosis.ambiguous == ()
    assert len(diagnosis.examples) == 6


def test_pictures_that_were_turned_or_resized_after_annotation_are_asked_about(tmp_path: Path) -> None:
    labelme(tmp_path)
    with Image.open(tmp_path / "p3.png") as stored:
        stored.resize((SIZE, 2 * SIZE)).save(tmp_path / "p3.png")
    (question,) = diagnose(tmp_path).ambiguous
    assert "p3.png has 24 x 48 pixels, and p3.json speaks of 24 x 24" in question


def test_a_picture_in_the_lists_of_two_splits_is_refused(tmp_path: Path) -> None:
    coco_one_file(tmp_path)
    text(tmp_path / "val.json", coco_of({s: f"p{s}.png" for s in (3, 4, 5)}))
    diagnosis = diagnose(tmp_path)
    assert "images/p3.png is annotated for train and for val; take it out of one" in " ".join(diagnosis.ambiguous)


def test_polygons_on_the_ground_without_a_class_are_one_called_as_their_file(tmp_path: Path) -> None:
    on_ground(tmp_path, "buildings_2.geojson", "GeoJSON")
    frame = geopandas.read_file(tmp_path / "buildings_2.geojson")
    frame.drop(columns="class").assign(height=3.5).to_file(tmp_path / "buildings_2.geojson", driver="GeoJSON")
    diagnosis = diagnose(tmp_path)
    assert diagnosis.ambiguous == ()
    assert any("buildings" in sentence and "no property" in sentence for sentence in findings(diagnosis, "warning"))
    recipe = diagnosis.parsed()
    assert recipe is not None
    assert recipe.data.classes == ("buildings",)
    maps = drawn(recipe, find_examples(recipe.data, tmp_path))
    assert all((labels == (truth(int(name[1])) > 0)).all() for name, labels in maps.items())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mask_values": {"0": "background"}}, "annotation_labels says what labels of annotations mean"),
        ({"annotation_labels": {}}, "annotation_labels says what labels of annotations mean; it is needed here"),
        ({"annotation_labels": {"dog": "dog"}}, r"annotation_labels names no value for \['cat'\]"),
        ({"annotation_labels": {"dog": "wolf"}}, "annotation_labels gives 'dog' the name 'wolf'"),
        ({"annotations": None}, "mask_values says what values of masks mean"),
        ({"annotations": "paint"}, "annotations"),
        ({"mask_name": "{name}_mask"}, "annotations name their pictures"),
        ({"masks": "{folder}"}, "masks has no {folder} with annotations"),
        ({"masks": "{split}"}, "images, masks and split_folders go together"),
    ],
)
def test_a_recipe_of_annotations_is_strict(change: dict[str, object], message: str) -> None:
    fields: dict[str, object] = {
        "task": "multiclass",
        "classes": LABELS,
        "background": "background",
        "palette": ("#000000", "#ff0000", "#00ff00"),
        "annotations": "labelme",
        "masks": "annotations",
        "annotation_labels": {"cat": "cat", "dog": "dog"},
    }
    assert Data.model_validate(fields).overlap is None
    with pytest.raises(ValueError, match=message):
        Data.model_validate({**fields, **change})
