"""`unetseg.fitting.doctor.choosing`: what fits as well is asked, and every answer leads to a recipe that fits."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from data_folders import SIZE, Files, Pixels, answers, build, scene, white, wrong_pixels
from PIL import Image

from unetseg.fitting.doctor import Diagnosis, diagnose

FIELD = white(np.hypot(*(np.mgrid[:SIZE, :SIZE] - SIZE // 2)) < 13)


def retina(with_test: bool) -> Callable[[], Files]:
    """DRIVE: vessels in 1st_manual/, the field of view in mask/."""

    def files() -> Files:
        for start, split in ((20, "training"), (0, "test")):
            for i in range(start, start + 5):
                picture, ids = scene(i, 1)
                yield f"{split}/images/{i:02}_{split}.tif", picture
                yield f"{split}/mask/{i:02}_{split}_mask.gif", FIELD
                if with_test or split == "training":
                    yield f"{split}/1st_manual/{i:02}_manual1.gif", white(ids > 0)

    return files


def made(*names: str, classes: int = 1) -> Callable[[], Files]:
    """Files of these names, `{}` for the number: pictures, one channel where called depth, and masks of each kind."""

    def content(name: str, picture: Pixels, ids: Pixels) -> Pixels:
        if "depth" in name:
            return picture[..., 1]
        if any(word in name for word in ("rgb", "image")):
            return picture
        if any(word in name for word in ("fov", "mask/")):
            return FIELD
        one = 1 + any(word in name for word in ("dog", "2nd", "second"))
        return white(ids == one if classes > 1 else np.roll(ids, one - 1) > 0)

    def files() -> Files:
        for i in range(5):
            picture, ids = scene(i, classes)
            yield from ((name.format(i), content(name, picture, ids)) for name in names)

    return files


def asked(diagnosis: Diagnosis, what: str) -> None:
    (finding,) = (finding for finding in diagnosis.findings if finding.weight == "question")
    assert finding.what == what


CASES: list[tuple[Callable[[], Files], str]] = [
    (retina(with_test=True), "2 sets of masks fit the same images: {split}/1st_manual/{name}_manual1, "
     "{split}/mask/{name}_mask"),
    (retina(with_test=False), "2 sets of masks fit the same images: {split}/1st_manual/{name}_manual1, "
     "{split}/mask/{name}_mask"),
    (made("images/{}.png", "vessels/{}.png", "mask/{}.png"), "2 sets of masks fit the same images: vessels, mask"),
    (made("{}_image.png", "{}_label.png", "{}_fov.png"),
     "2 sets of masks fit the same images: {name}_label, {name}_fov"),
    (made("Image_{:02}L.png", "Image_{:02}L_1stHO.png", "Image_{:02}L_2ndHO.png"),
     "2 sets of masks fit the same images: {name}_1stHO, {name}_2ndHO"),
    (made("images/{}.png", "masks/first/{}.png", "masks/second/{}.png"),
     "2 sets of masks fit the same images: masks/first, masks/second"),
    (made("rgb/{}.png", "depth/{}.png", "labels/{}.png"), "2 sets of images fit the same masks: rgb, depth"),
    (made("{}_rgb.png", "{}_depth.png", "{}_seg.png"), "2 sets of images fit the same masks: {name}_rgb, {name}_depth"),
]  # fmt: skip


@pytest.mark.parametrize(("files", "what"), CASES)
def test_candidates_are_asked_and_the_proposed_recipe_reads_the_first(
    tmp_path: Path, files: Callable[[], Files], what: str
) -> None:
    diagnosis = diagnose(build(tmp_path, files()))
    asked(diagnosis, what)
    recipe = diagnosis.parsed()
    assert recipe is not None
    assert wrong_pixels(tmp_path, recipe) == 0
    names = what.partition(": ")[2].split(", ")
    assert [candidate.name for candidate in diagnosis.candidates] == names
    assert len({candidate.example for candidate in diagnosis.candidates}) == len(names)


@pytest.mark.parametrize(("files", "what"), CASES)
def test_every_answer_leads_to_a_recipe_that_reads_all_its_files(
    tmp_path: Path, files: Callable[[], Files], what: str
) -> None:
    ways = dict(answers(diagnose(build(tmp_path, files()))))
    second = what.rpartition(", ")[2]
    assert f"for {second}" in ways
    for recipe in ways.values():
        wrong_pixels(tmp_path, recipe)  # raises where a file doesn't fit


def test_channels_in_one_folder_can_be_joined(tmp_path: Path) -> None:
    ways = dict(answers(diagnose(build(tmp_path, made("{}_rgb.png", "{}_depth.png", "{}_seg.png")()))))
    joined = ways["to join their channels"]
    assert joined.data.image_name == ("{name}_rgb", "{name}_depth")
    assert joined.data.channels == ("band1", "band2", "band3", "band4")
    assert wrong_pixels(tmp_path, joined) == 0


@pytest.mark.parametrize(
    "names", [("images/{}.png", "cat_label/{}.png", "dog_label/{}.png"), ("{}.image.png", "{}.cat.png", "{}.dog.png")]
)
def test_masks_that_never_show_the_same_are_of_a_class_each(tmp_path: Path, names: tuple[str, ...]) -> None:
    diagnosis = diagnose(build(tmp_path, made(*names, classes=2)()))
    assert diagnosis.ambiguous == ()
    recipe = diagnosis.parsed()
    assert recipe is not None
    assert recipe.data.classes == recipe.data.class_masks == ("cat", "dog")
    assert wrong_pixels(tmp_path, recipe) == 0


def test_masks_that_lie_over_each_other_can_be_taken_as_of_a_class_each(tmp_path: Path) -> None:
    """Nothing says that these are masks of two things."""

    def files() -> Files:
        for i in range(6):
            picture, ids = scene(i)
            yield from (
                (f"images/{i}.png", picture),
                (f"organ/{i}.png", white(ids > 0)),
                (f"tumour/{i}.png", white(ids > 1)),
            )

    diagnosis = diagnose(build(tmp_path, files()))
    asked(diagnosis, "2 sets of masks fit the same images: organ, tumour")
    recipe = dict(answers(diagnosis))["if each shows a class of its own"]
    assert recipe.data.classes == ("organ", "tumour")
    assert wrong_pixels(tmp_path, recipe) == 0


@pytest.mark.parametrize(
    ("mask", "first", "second"),
    [
        ("masks/expert{1}/{0}/{2}.png", "masks/expert1/{class}", "masks/expert2/{class}"),
        ("masks/{0}/expert{1}/{2}.png", "masks/{class}/expert1", "masks/{class}/expert2"),
        ("masks/{2}_{0}_expert{1}.png", "masks/{name}_{class}_expert1", "masks/{name}_{class}_expert2"),
        ("masks/{1}/{0}/{2}.png", "masks/1/{class}", "masks/2/{class}"),
    ],
)
def test_masks_of_each_class_that_several_people_drew_are_asked_about_by_person(
    tmp_path: Path, mask: str, first: str, second: str
) -> None:
    def files() -> Files:
        for i in range(6):
            picture, ids = scene(i)
            yield f"images/{i}.png", picture
            for person, own in ((1, ids), (2, np.roll(ids, 1, axis=1))):
                yield from (
                    (mask.format(name, person, i), white(own == one)) for one, name in ((1, "cup"), (2, "disc"))
                )

    diagnosis = diagnose(build(tmp_path, files()))
    asked(diagnosis, f"2 sets of masks fit the same images: {first}, {second}")
    recipe = diagnosis.parsed()
    assert recipe is not None
    assert recipe.data.classes == ("cup", "disc")
    assert wrong_pixels(tmp_path, recipe) == 0
    other = dict(answers(diagnosis))[f"for {second}"]
    assert other.data.classes == ("cup", "disc")
    assert wrong_pixels(tmp_path, other) > 0


def test_a_class_that_lies_within_another_is_seen_and_one_that_is_nowhere_is_told(tmp_path: Path) -> None:
    def files() -> Files:
        for i in range(6):
            picture, ids = scene(i)
            yield f"images/{i}.png", picture
            whole = white(ids > 0)
            part = whole & (np.arange(whole.shape[1]) % 4 > 1) * np.uint8(255)
            for name, mask in (("cup", part), ("disc", whole), ("vessel", whole * np.uint8(0))):
                yield f"masks/{name}/{i}.png", mask

    diagnosis = diagnose(build(tmp_path, files()))
    assert diagnosis.recipe is not None
    assert 'classes = ["cup", "disc"]' in diagnosis.recipe
    assert any("no mask shows vessel" in finding.sentence for finding in diagnosis.findings)


def test_masks_of_several_people_are_not_offered_as_classes(tmp_path: Path) -> None:
    diagnosis = diagnose(build(tmp_path, made("{}_image.png", "{}_1stHO.png", "{}_2ndHO.png")()))
    assert not any("class of its own" in way for way, _ in answers(diagnosis))


def test_folders_called_as_the_pictures_are_not_offered_as_classes(tmp_path: Path) -> None:
    def files() -> Files:
        for i in range(4):
            picture, ids = scene(i)
            yield f"images/{i}.png", picture
            yield from ((f"masks/{i}/{one}.png", white(ids == one)) for one in (0, 1, 2, 3))

    diagnosis = diagnose(build(tmp_path, files()))
    assert diagnosis.ambiguous
    assert diagnosis.recipe is None or "class_masks" not in diagnosis.recipe
    assert "class_masks" not in " ".join(diagnosis.ambiguous)


def test_other_masks_bring_their_own_values(tmp_path: Path) -> None:
    def files() -> Files:
        for i in range(5):
            picture, ids = scene(i)
            yield from (
                (f"images/{i}.png", picture),
                (f"masks/{i}_label.png", ids),
                (f"masks/{i}_mask.png", white(ids > 0)),
            )

    diagnosis = diagnose(build(tmp_path, files()))
    recipe = dict(answers(diagnosis))["for masks/{name}_mask"]
    assert recipe.data.mask_values == {"0": "background", "255": "class1"}
    assert wrong_pixels(tmp_path, recipe) == 0


def test_channels_in_folders_of_their_own_can_be_joined(tmp_path: Path) -> None:
    def files() -> Files:
        for i in range(5):
            picture, ids = scene(i, 1)
            yield from ((f"B{band + 2:02}/{i}.png", picture[..., band]) for band in range(3))
            yield f"mask/{i}.png", white(ids > 0)

    diagnosis = diagnose(build(tmp_path, files()))
    asked(diagnosis, "3 sets of images fit the same masks: B02, B03, B04")
    joined = dict(answers(diagnosis))["to join their channels"]
    assert (joined.data.images, joined.data.channels) == ("{channel}", ("B02", "B03", "B04"))
    assert wrong_pixels(tmp_path, joined) == 0


def test_images_without_a_mask_are_left_out_by_the_recipe(tmp_path: Path) -> None:
    build(tmp_path, made("images/{}.png", "masks/{}.png")())
    build(tmp_path, [("images/more.png", scene(9)[0])])
    diagnosis = diagnose(tmp_path)
    (question,) = diagnosis.ambiguous
    assert "the proposed recipe leaves these images out and can be used" in question
    recipe = diagnosis.parsed()
    assert recipe is not None
    assert recipe.data.unannotated == "leave out"
    assert wrong_pixels(tmp_path, recipe) == 0


def test_other_masks_in_three_equal_channels_bring_numbers(tmp_path: Path) -> None:
    def files() -> Files:
        for i in range(5):
            picture, ids = scene(i)
            yield from ((f"images/{i}.png", picture), (f"masks/{i}_label.png", ids))
            yield f"masks/{i}_mask.png", np.repeat(white(ids > 0)[..., None], 3, axis=2)

    recipe = dict(answers(diagnose(build(tmp_path, files()))))["for masks/{name}_mask"]
    assert recipe.data.mask_values == {"0": "background", "255": "class1"}
    assert wrong_pixels(tmp_path, recipe) == 0


def test_masks_as_jpeg_are_cut_in_the_middle_between_black_and_white(tmp_path: Path) -> None:
    def files() -> Files:
        for i in range(5):
            picture, ids = (np.kron(one, np.ones((6, 6, 1)[: one.ndim], np.uint8)) for one in scene(i, 1))
            yield from ((f"Kvasir/images/k{i}.jpg", picture), (f"Kvasir/masks/k{i}.png", white(ids > 0)))
        yield "Kvasir/boxes.json", '{"k0": {"height": 192, "width": 192, "bbox": [{"label": "polyp", "xmin": 3}]}}'

    masks = build(tmp_path, files()) / "Kvasir/masks"
    saved_as(masks, ".jpg")
    diagnosis = diagnose(tmp_path)
    (question,) = diagnosis.ambiguous
    assert question.endswith("or use the proposed recipe, which cuts at 128")
    recipe = diagnosis.parsed()
    assert recipe is not None
    assert wrong_pixels(tmp_path, recipe) == 0


def test_masks_as_jpeg_that_are_nearly_black_and_white_are_told(tmp_path: Path) -> None:
    def files() -> Files:
        for i in range(5):
            picture, ids = (np.kron(one, np.ones((6, 6, 1)[: one.ndim], np.uint8)) for one in scene(i, 1))
            yield from ((f"images/k{i}.png", picture), (f"masks/k{i}.png", white(ids > 0)))

    folder = build(tmp_path, files()) / "masks"
    saved_as(folder, ".jpg", quality=93)
    diagnosis = diagnose(tmp_path)
    assert diagnosis.ambiguous == ()
    (told,) = (finding for finding in diagnosis.findings if "in-between values" in finding.what)
    assert (told.weight, told.advice.partition(";")[0]) == ("warning", "the recipe cuts at 128")
    recipe = diagnosis.parsed()
    assert recipe is not None
    assert recipe.data.mask_values == {"0-127": "background", "128-255": "class1"}
    assert wrong_pixels(tmp_path, recipe) == 0


def test_ids_as_jpeg_stay_refused(tmp_path: Path) -> None:
    def files() -> Files:
        for i in range(5):
            picture, ids = (np.kron(one, np.ones((6, 6, 1)[: one.ndim], np.uint8)) for one in scene(i, 4))
            yield from ((f"images/k{i}.png", picture), (f"masks/k{i}.png", ids * np.uint8(5)))

    saved_as(build(tmp_path, files()) / "masks", ".jpg")
    (question,) = diagnose(tmp_path).ambiguous
    assert question.startswith("5 masks saved as JPEG")
    assert "if the JPEG is all there is, save it as PNG and ask again" in question


def test_texts_beside_the_images_that_no_reader_knows_are_named(tmp_path: Path) -> None:
    files = [(f"Tissue Images/T-{i}.png", scene(i)[0]) for i in range(3)]
    texts = [(f"Annotations/T-{i}.xml", "<Annotations MicronsPerPixel='0.25'/>") for i in range(3)]
    (question,) = diagnose(build(tmp_path, [*files, *texts])).ambiguous
    assert "3 .xml called as the images are no annotations that are read" in question


def saved_as(folder: Path, ending: str, quality: int = 75) -> None:
    """All pictures of a folder as files of another kind."""
    for path in list(folder.iterdir()):
        with Image.open(path) as picture:
            picture.save(path.with_suffix(ending), quality=quality)
        path.unlink()
