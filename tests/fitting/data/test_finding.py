"""`unetseg.fitting.data.finding`: layouts of known data sets and their relatives are found and read rightly."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data_folders import Files, build, scene, white, wrong_pixels

from unetseg.fitting.data.finding import find_layout
from unetseg.fitting.doctor import diagnose

THREE = ("train", "val", "test")


def camvid() -> Files:
    for start, split in enumerate(THREE):
        for i in range(9 * start, 9 * start + 3):
            picture, ids = scene(i)
            yield f"{split}/{i:04}.png", picture
            yield f"{split}annot/{i:04}.png", ids


def cityscapes() -> Files:
    for i, (split, city) in enumerate([("train", "aachen"), ("train", "bochum"), ("val", "ulm")] * 2):
        picture, ids = scene(i)
        name = f"{split}/{city}/{city}_{i:06}_000019_"
        yield f"leftImg8bit/{name}leftImg8bit.png", picture
        yield f"gtFine/{name}gtFine_labelIds.png", ids
        yield f"gtFine/{name}gtFine_color.png", picture // 2
        yield f"gtFine/{name}gtFine_instanceIds.png", ids * 20


def nuclei() -> Files:
    for i in range(8):
        picture, ids = scene(i)
        place, name = f"stage1_{'train' if i < 6 else 'test'}", f"{i:04x}cafe"
        yield f"{place}/{name}/images/{name}.png", picture
        for one in (1, 2) if i < 6 else ():
            yield f"{place}/{name}/masks/{i}{one}beef.png", white(ids == one)


def ultrasound() -> Files:
    for kind in ("benign", "malignant", "normal"):
        for i in range(1, 5):
            picture, ids = scene(i + 10 * len(kind))
            if kind == "normal":
                ids, picture[..., 0] = ids * 0, 7
            several = (kind, i) == ("benign", 3)
            yield f"BUSI/{kind}/{kind} ({i}).png", picture
            yield f"BUSI/{kind}/{kind} ({i})_mask.png", white(ids == 1 if several else ids > 0)
            if several:
                yield f"BUSI/{kind}/{kind} ({i})_mask_1.png", white(ids == 2)


def classes_apart(images: str, masks: str, *names: str) -> Callable[[], Files]:
    """A mask of each class, called as these say; `{}` is the picture, `{0}` the class in masks."""

    def files() -> Files:
        for i in range(5):
            picture, ids = scene(i, len(names))
            yield images.format(i), picture
            for number, name in enumerate(names, start=1):
                if i or number == 1:  # what a picture doesn't show has no file
                    yield masks.format(name, i), white(ids == number)
            if not i:
                yield images.format(i), np.where(ids[..., None] > 1, 7, picture).astype(np.uint8)

    return files


def in_folders(picture: str, *masks: str) -> Callable[[], Files]:
    """A folder for each picture, `{}`, with a mask of each class."""

    def files() -> Files:
        for i in range(6):
            image, ids = scene(i, len(masks))
            yield picture.format(f"c{i}"), image
            yield from ((name.format(f"c{i}"), white(ids == number)) for number, name in enumerate(masks, start=1))

    return files


def lesions() -> Files:
    """PH2: folders that repeat the name of the one above."""
    for i in range(6):
        picture, ids = scene(i, 1)
        name = f"IMD{i + 2:03}"
        yield f"PH2/{name}/{name}_Dermoscopic_Image/{name}.bmp", picture
        yield f"PH2/{name}/{name}_lesion/{name}_lesion.bmp", white(ids > 0)


def clouds() -> Files:
    """38-Cloud: a folder for each channel."""
    for i in range(6):
        picture, ids = scene(i, 1)
        for number, colour in enumerate(("red", "green", "blue", "nir")):
            yield f"training/train_{colour}/{colour}_patch_{i}_by_{i}.TIF", picture[..., number % 3]
        yield f"training/train_gt/gt_patch_{i}_by_{i}.TIF", white(ids > 0)
        yield f"test/test_red/red_patch_{i + 90}_by_9.TIF", picture[..., 1]


def faces() -> Files:
    """CelebAMask-HQ: masks of each class of padded numbers, in several folders."""
    for i in range(12):
        picture, ids = scene(i, 3)
        yield f"faces/img/{i}.png", np.where(ids[..., None] == 2, 7, picture).astype(np.uint8) if i % 3 else picture
        for number, part in enumerate(("hair", "nose", "skin"), start=1):
            if part != "nose" or i % 3 == 0:
                yield f"faces/mask-anno/{i // 6}/{i:05}_{part}.png", white(ids == number)


def aerial_instances() -> Files:
    """iSAID: what lies in images/ may be masks."""
    for start, split in enumerate(("train", "val")):
        for i in range(9 * start, 9 * start + 4):
            picture, ids = scene(i)
            yield f"{split}/images/P{i:04}.png", picture
            yield f"{split}/Semantic_masks/images/P{i:04}_instance_color_RGB.png", np.dstack([ids * 0, ids, ids * 63])
            yield f"{split}/Instance_masks/images/P{i:04}_instance_id_RGB.png", np.dstack([ids * 0, ids * 9, ids])


def hearts() -> Files:
    """ACDC: a film beside the frames that are annotated."""
    for i in range(6):
        for frame in (1, 12):
            picture, ids = scene(10 * i + frame)
            yield f"patient{i:03}/patient{i:03}_frame{frame:02}.png", picture
            yield f"patient{i:03}/patient{i:03}_frame{frame:02}_gt.png", ids
        yield f"patient{i:03}/patient{i:03}_4d.png", picture // 2


def polyps() -> Files:
    """Kvasir: masks saved as JPEG, nearly black and white."""
    for i in range(6):
        picture, ids = (np.kron(one, np.ones((8, 8, 1)[: one.ndim], np.uint8)) for one in scene(i, 1))
        yield from ((f"Kvasir/images/k{i}.jpg", picture), (f"Kvasir/masks/k{i}.jpg", white(ids > 0)))


def labelme() -> Files:
    for i in range(5):
        picture, ids = scene(i)
        yield f"{i:03}_json/img.png", picture
        yield f"{i:03}_json/label.png", ids
        yield f"{i:03}_json/label_viz.png", picture // 2
        yield f"{i:03}_json/label_names.txt", "_background_\ncat\ndog\n"


def nnunet(dataset: dict[str, dict[str, Any]]) -> Callable[[], Files]:
    def files() -> Files:
        for i in range(6):
            picture, ids = scene(i)
            for channel in (0, 1):
                yield f"images{'Tr' if i < 5 else 'Ts'}/heart_{i:03}_{channel:04}.png", picture[..., channel]
            if i < 5:
                yield f"labelsTr/heart_{i:03}.png", ids
        yield "dataset.json", json.dumps(dataset)

    return files


def pets() -> Files:
    for i in range(6):
        picture, ids = scene(i, 1)
        name = f"{('Abyssinian', 'beagle')[i % 2]}_{i}"
        yield f"images/{name}.jpg", picture
        yield f"annotations/trimaps/{name}.png", np.array([2, 1], np.uint8)[ids]
        yield f"annotations/trimaps/._{name}.png", "what a Mac keeps beside a file"
        yield f"annotations/xmls/{name}.xml", "<annotation/>"


def pairs(image: str, mask: str, *, splits: tuple[str, ...] = ("",)) -> Callable[[], Files]:
    """Pictures and masks called as these say: `{1}` is the number, `{0}` the split, `{2}` 1 to 3 in turn."""

    def files() -> Files:
        for start, split in enumerate(splits):
            for i in range(10 * start, 10 * start + 5):
                picture, ids = scene(i)
                yield image.format(split, i, 1 + i % 3), picture
                yield mask.format(split, i, 1 + i % 3), ids

    return files


LAYOUTS: dict[str, tuple[Callable[[], Files], dict[str, Any]]] = {
    "CamVid": (
        camvid,
        {"images": "{split}", "masks": "{split}annot", "split_folders": dict(zip(THREE, THREE, strict=True))},
    ),
    "Cityscapes": (
        cityscapes,
        {"images": "leftImg8bit/{split}/{folder}", "masks": "gtFine/{split}/{folder}",
         "image_name": "{name}_leftImg8bit", "mask_name": "{name}_gtFine_labelIds"},
    ),
    "DSB2018": (
        nuclei,
        {"images": "stage1_{split}/{folder}/images", "masks": "stage1_{split}/{folder}/masks", "mask_name": "*",
         "split_folders": {"train": "train"}},
    ),
    "BUSI": (ultrasound, {"images": "BUSI/{folder}", "masks": "BUSI/{folder}", "mask_name": "{name}_mask*"}),
    "masks of each class": (
        classes_apart("images/{}.png", "masks/{}/{}.png", "cat", "dog", "tree"),
        {"masks": "masks/{class}", "class_masks": ("cat", "dog", "tree"), "classes": ("cat", "dog", "tree")},
    ),
    "Montgomery": (
        classes_apart("Set/CXR_png/M_{:04}_0.png", "Set/ManualMask/{}/M_{:04}_0.png", "leftMask", "rightMask"),
        {"images": "Set/CXR_png", "masks": "Set/ManualMask/{class}", "classes": ("left", "right")},
    ),
    "masks of each class with its mark": (
        lambda: ((n.replace(".tif", f"_{n.split('/')[1][0]}.tif"), a)
                 for n, a in classes_apart("eyes/{:03}.png", "Groundtruths/{}/{:03}.tif", "Ha", "Mi")()),
        {"masks": "Groundtruths/{class}", "mask_name": "{name}*", "classes": ("Ha", "Mi")},
    ),
    "a folder for each picture, with a mask of each class": (
        in_folders("{}/image.png", "{}/cup.png", "{}/disc.png"),
        {"images": "{folder}", "masks": "{folder}", "image_name": "image", "mask_name": "{class}",
         "classes": ("cup", "disc")},
    ),
    "a folder for each picture, with a folder of a mask of each class": (
        in_folders("{}/image.png", "{}/masks/cup.png", "{}/masks/disc.png"),
        {"images": "{folder}", "masks": "{folder}/masks", "mask_name": "{class}", "classes": ("cup", "disc")},
    ),
    "a folder for each picture, with a mask of each class called as that": (
        in_folders("{0}/{0}.png", "{0}/{0}_cup.png", "{0}/{0}_disc.png"),
        {"images": "{folder}", "masks": "{folder}", "mask_name": "{name}_{class}", "classes": ("cup", "disc")},
    ),
    "masks of each class in one folder": (
        classes_apart("images/{}.png", "masks/{1}_{0}.png", "cat", "dog", "tree"),
        {"masks": "masks", "mask_name": "{name}_{class}", "classes": ("cat", "dog", "tree")},
    ),
    "EndoVis": (
        lambda: ((f"set{n % 3}/{name}", a) for n in range(9) for p, ids in [scene(n)] for name, a in
                 [(f"left_frames/frame{n}.png", p), *((f"ground_truth/{tool}_labels/frame{n}.png", white(ids == one))
                  for one, tool in enumerate(("Left_Forceps", "Right_Driver"), start=1))]),
        {"images": "{folder}/left_frames", "masks": "{folder}/ground_truth/{class}_labels",
         "classes": ("Left_Forceps", "Right_Driver")},
    ),
    "PH2": (
        lesions,
        {"images": "PH2/{folder}/{folder}_Dermoscopic_Image", "masks": "PH2/{folder}/{folder}_lesion",
         "mask_name": "{name}_lesion"},
    ),
    "38-Cloud": (
        clouds,
        {"images": "training/{split}_{channel}", "masks": "training/{split}_gt", "image_name": "{channel}_patch_{name}",
         "mask_name": "gt_patch_{name}", "channels": ("red", "green", "blue", "nir")},
    ),
    "CelebAMask-HQ": (
        faces,
        {"images": "faces/img", "masks": "faces/mask-anno/{folder}", "mask_name": "{name}_{class}",
         "classes": ("hair", "nose", "skin")},
    ),
    "iSAID": (
        aerial_instances,
        {"images": "{split}/images", "masks": "{split}/Semantic_masks/images",
         "mask_name": "{name}_instance_color_RGB"},
    ),
    "ACDC": (hearts, {"images": "{folder}", "masks": "{folder}", "mask_name": "{name}_gt"}),
    "Kvasir": (polyps, {"images": "Kvasir/images", "masks": "Kvasir/masks"}),
    "LiTS": (
        pairs("Training Batch {2}/volume-{1}.png", "Training Batch {2}/segmentation-{1}.png"),
        {"images": "{folder}", "masks": "{folder}", "image_name": "volume-{name}", "mask_name": "segmentation-{name}"},
    ),
    "FloodNet": (
        pairs("{0}/{0}-org-img/{1}.jpg", "{0}/{0}-label-img/{1}_lab.png", splits=("train", "val")),
        {"images": "{split}/{split}-org-img", "masks": "{split}/{split}-label-img", "mask_name": "{name}_lab"},
    ),
    "splits that masks call otherwise": (
        lambda: ((name.replace("masks/T", "masks/t").replace("masks/Val/", "masks/validation/"), a) for name, a in
                 pairs("Images/{0}/{1}.png", "masks/{0}/{1}.png", splits=("Train", "Val"))()),
        {"images": "Images/{split}", "masks": "masks/{split}", "split_folders": {"train": "Train", "val": "Val"},
         "mask_split_folders": {"train": "train", "val": "validation"}},
    ),
    "labelme_json_to_dataset": (
        labelme,
        {"images": "{folder}", "masks": "{folder}", "image_name": "img", "mask_name": "label",
         "classes": ("cat", "dog")},
    ),
    "a folder for each picture": (
        pairs("case{1}/image.png", "case{1}/mask.png"),
        {"images": "{folder}", "masks": "{folder}", "mask_name": "mask"},
    ),
    "a folder for each picture, in splits": (
        pairs("{0}/{1}/input.png", "{0}/{1}/gt.png", splits=("train", "val")),
        {"images": "{split}/{folder}", "masks": "{split}/{folder}", "mask_name": "gt"},
    ),
    "several masks in a folder for each picture": (
        lambda: ((f"{i}/{n}.png", a) for i in range(5) for p, ids in [scene(i)]
                 for n, a in [("image", p), *((f"mask_{one}", white(ids == one)) for one in (1, 2))]),
        {"images": "{folder}", "masks": "{folder}", "mask_name": "mask*"},
    ),
    "mmsegmentation": (
        pairs("imgs/{1}.jpg", "gts/{1}.png"), {"images": "imgs", "masks": "gts"},
    ),
    "mmsegmentation in splits": (
        pairs("own/img_dir/{0}/a{1}.png", "own/ann_dir/{0}/a{1}.png", splits=("train", "val")),
        {"images": "own/img_dir/{split}", "masks": "own/ann_dir/{split}"},
    ),
    "ADE": (
        pairs("images/{0}/ADE_{1:08}.jpg", "annotations/{0}/ADE_{1:08}.png", splits=("training", "validation")),
        {"images": "images/{split}", "masks": "annotations/{split}",
         "split_folders": {"train": "training", "val": "validation"}},
    ),
    "nnU-Net": (
        nnunet({"channel_names": {"0": "T1", "1": "T2"}, "labels": {"background": 0, "left": 1, "right": 2}}),
        {"images": "imagesTr", "masks": "labelsTr", "image_name": ("{name}_0000", "{name}_0001"),
         "channels": ("T1", "T2"), "classes": ("left", "right")},
    ),
    "nnU-Net, version 1": (
        nnunet({"modality": {"0": "T1", "1": "T2"}, "labels": {"0": "background", "1": "left", "2": "right"}}),
        {"image_name": ("{name}_0000", "{name}_0001"), "channels": ("T1", "T2"), "classes": ("left", "right")},
    ),
    "pets": (
        pets,
        {"masks": "annotations/trimaps", "mask_values": {"1": "foreground", "2": "background"}},
    ),
    "training and validation in one folder, and test": (
        pairs("{0}/images/{1}.jpg", "{0}/masks/{1}.bmp", splits=("train_val", "TEST")),
        {"images": "{split}/images", "split_folders": {"train": "train_val", "test": "TEST"}},
    ),
    "a word of splits in the name of every picture": (
        pairs("B_Training_{1:03}/B_Training_{1:03}_flair.png", "B_Training_{1:03}/B_Training_{1:03}_seg.png"),
        {"images": "{folder}", "masks": "{folder}", "image_name": "{name}_flair", "mask_name": "{name}_seg"},
    ),
    "numbered names that begin otherwise": (
        pairs("01/t{1:03}.tif", "01_GT/SEG/man_seg{1:03}.tif"),
        {"images": "01", "masks": "01_GT/SEG", "image_name": "t{name}", "mask_name": "man_seg{name}"},
    ),
    "Training_Input and Training_GroundTruth": (
        pairs("Task1-2_Training_Input/ISIC_{1:07}.jpg", "Task1_Training_GroundTruth/ISIC_{1:07}_segmentation.png"),
        {"images": "Task1-2_{split}_Input", "masks": "Task1_{split}_GroundTruth", "mask_name": "{name}_segmentation"},
    ),
    **{
        f"{images} and {masks}": (
            pairs(f"{images}/{{1}}.png", f"{masks}/{{1}}.png"),
            {"images": images, "masks": masks},
        )
        for images, masks in [
            ("inputs", "targets"), ("x", "y"), ("frames", "ground_truth"), ("scans", "rois"), ("IMAGES", "LABELS"),
            ("Raw", "Segmented"), ("a/b/c/images", "a/b/c/masks"), ("satellite", "buildings"), ("B", "A"),
            ("tissue images", "mask binary"),
        ]
    },
    **{
        f"{images} and {masks} in splits": (
            pairs(f"{images}/{{1}}.png", f"{masks}/{{1}}.png", splits=("train", "val")),
            {"images": images.replace("{0}", "{split}"), "masks": masks.replace("{0}", "{split}")},
        )
        for images, masks in [("{0}/x", "{0}/y"), ("{0}_x", "{0}_y"), ("data/{0}/RGB", "data/{0}/Roads")]
    },
    **{
        f"{image} and {mask}": (
            pairs(f"{image.replace('{name}', '{1:03}')}.png", f"{mask.replace('{name}', '{1:03}')}.png"),
            {"images": ".", "masks": ".", "image_name": image, "mask_name": mask},
        )
        for image, mask in [
            ("{name}", "{name}_L"), ("{name}_sat", "{name}_mask"), ("{name}", "{name}-seg"), ("{name}", "{name}.roads"),
            ("img{name}", "mask{name}"), ("{name}-rgb", "{name}-ann"),
        ]
    },
}  # fmt: skip


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_layout_is_found_and_its_masks_are_read_pixel_by_pixel(tmp_path: Path, name: str) -> None:
    files, expected = LAYOUTS[name]
    diagnosis = diagnose(build(tmp_path / "data", files()))
    assert diagnosis.ambiguous == ()
    recipe = diagnosis.parsed()
    assert recipe is not None
    for field, value in expected.items():
        assert getattr(recipe.data, field) == value, field
    assert wrong_pixels(tmp_path / "data", recipe) == 0


def test_what_a_tool_draws_from_masks_is_no_candidate(tmp_path: Path) -> None:
    build(tmp_path, pairs("images/{1}.png", "masks/{1}.png")())
    build(tmp_path, ((f"{place}/{i}.png", scene(i)[1]) for place in ("overlay", "instances") for i in range(5)))
    found = find_layout(tmp_path)
    assert (found.layout.images, found.layout.masks, found.candidates) == ("images", "masks", ())
    assert found.aside == ("instances", "overlay")


def test_slices_that_pair_by_chance_are_no_masks(tmp_path: Path) -> None:
    """`a_s1` and `a_s2` of each patient."""
    build(tmp_path, ((f"train/{who}_s{i}.png", scene(10 * n + i)[0]) for n, who in enumerate("abcd") for i in (1, 2)))
    found = find_layout(tmp_path)
    assert not found.paired
    assert (found.layout.images, found.layout.image_name) == ("{split}", "{name}")
