"""What annotation tools export, as they write it: read, and drawn pixel by pixel."""

import base64
import io
import json
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import PIL.Image
import pytest
import shapely
from annotation_codes import compressed, packed, png
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from rasterio.crs import CRS

from unetseg.formats.annotation_files import annotation_files, kind_of, read_annotations, read_labelmap
from unetseg.formats.annotation_ground import placed
from unetseg.formats.annotation_shapes import runs_of
from unetseg.formats.annotations import Annotations, Kind, label_map, matched, size_problem
from unetseg.formats.ground import Raster

HEIGHT, WIDTH = 12, 16
SQUARE = [[2, 3], [8, 3], [8, 9], [2, 9]]
INNER = [[4, 5], [6, 5], [6, 7], [4, 7]]
IDS = {"cell": 1, "nucleus": 2}


def labels(**areas: tuple[slice, slice]) -> NDArray[np.uint8]:
    """The truth: later areas over earlier ones."""
    truth = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
    for name, area in areas.items():
        truth[area] = {**IDS, "ignored": 255, "nothing": 0}[name]
    return truth


BOTH = labels(cell=np.s_[3:9, 2:8], nucleus=np.s_[5:7, 4:6])
UNDER = labels(nucleus=np.s_[5:7, 4:6], cell=np.s_[3:9, 2:8])


def written(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def drawn(found: Annotations, picture: str, ids: dict[str, int] | None = None) -> NDArray[np.uint8]:
    return label_map(found.pictures[picture], HEIGHT, WIDTH, ids or IDS, overlap=found.overlap)


def told(found: Annotations) -> list[str]:
    return [problem.what for problem in found.problems]


def flat(corners: list[list[float]]) -> list[float]:
    return [number for corner in corners for number in corner]


def coco(*annotations: dict[str, Any], **more: object) -> dict[str, Any]:
    return {
        "info": {"description": "test"},
        "licenses": [],
        "categories": [
            {"id": 7, "name": "nucleus", "supercategory": ""},
            {"id": 3, "name": "cell", "supercategory": "tissue"},
        ],
        "images": [
            {"id": 11, "file_name": "a.png", "height": HEIGHT, "width": WIDTH},
            {"id": 12, "file_name": "more/b.png", "height": HEIGHT, "width": WIDTH},
        ],
        "annotations": [
            {"id": i, "image_id": 11, "category_id": 3, "iscrowd": 0, "area": 1, "bbox": [0, 0, 1, 1], **annotation}
            for i, annotation in enumerate(annotations)
        ],
        **more,
    }


def labelme(*shapes: dict[str, Any], **more: object) -> dict[str, Any]:
    plain = {"group_id": None, "description": "", "shape_type": "polygon", "flags": {}, "mask": None}
    return {
        "version": "5.5.0",
        "flags": {},
        "shapes": [{**plain, "label": "cell", **shape} for shape in shapes],
        "imagePath": "a.png",
        "imageData": None,
        "imageHeight": HEIGHT,
        "imageWidth": WIDTH,
        **more,
    }


def cvat(shapes: str) -> str:
    return f"""<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta><task><id>1</id><name>t</name><size>2</size><mode>annotation</mode><labels>
    <label><name>nucleus</name><color>#FA3253</color><type>any</type><attributes></attributes></label>
    <label><name>cell</name><color>#24b353</color><type>any</type><attributes></attributes></label>
  </labels></task><dumped>2026-11-01 10:00:00.000000+00:00</dumped></meta>
  <image id="0" name="sub/a.png" width="{WIDTH}" height="{HEIGHT}">{shapes}</image>
  <image id="1" name="b.png" width="{WIDTH}" height="{HEIGHT}"></image>
</annotations>"""


def cvat_polygon(label: str, corners: list[list[float]], order: int) -> str:
    points = ";".join(f"{x:.2f},{y:.2f}" for x, y in corners)
    return f'<polygon label="{label}" source="manual" occluded="0" points="{points}" z_order="{order}"></polygon>'


def studio(*results: dict[str, Any], **more: object) -> dict[str, Any]:
    size = {"original_width": WIDTH, "original_height": HEIGHT, "image_rotation": 0}
    names = {"from_name": "label", "to_name": "image", "origin": "manual"}
    return {
        "id": 1,
        "annotations": [
            {
                "id": 5,
                "was_cancelled": False,
                "ground_truth": False,
                "result": [{"id": f"r{i}", **size, **names, **result} for i, result in enumerate(results)],
            }
        ],
        "file_upload": "0a1b2c3d-a.png",
        "predictions": [],
        "data": {"image": "/data/upload/3/0a1b2c3d-a.png"},
        **more,
    }


def percent(corners: list[list[float]]) -> list[list[float]]:
    return [[100 * x / WIDTH, 100 * y / HEIGHT] for x, y in corners]


def studio_polygon(label: str, corners: list[list[float]]) -> dict[str, Any]:
    return {"type": "polygonlabels", "value": {"points": percent(corners), "closed": True, "polygonlabels": [label]}}


def supervisely(*objects: dict[str, Any]) -> dict[str, Any]:
    plain = {"id": 1, "classId": 2, "labelerLogin": "me", "tags": [], "classTitle": "cell", "geometryType": "polygon"}
    return {
        "description": "",
        "tags": [],
        "size": {"height": HEIGHT, "width": WIDTH},
        "objects": [{**plain, **thing} for thing in objects],
    }


def yolo_line(number: int, corners: list[list[float]]) -> str:
    return f"{number} " + " ".join(f"{x / WIDTH:.6f} {y / HEIGHT:.6f}" for x, y in corners)


def voc(objects: str) -> str:
    return f"""<annotation><folder></folder><filename>a.png</filename><path>a.png</path>
<source><database>roboflow.com</database></source>
<size><width>{WIDTH}</width><height>{HEIGHT}</height><depth>3</depth></size><segmented>0</segmented>{objects}</annotation>"""


def voc_object(label: str, corners: list[list[float]] | None) -> str:
    parts = "".join(f"<x{i}>{x}</x{i}><y{i}>{y}</y{i}>" for i, (x, y) in enumerate(corners or [], 1))
    box = "<bndbox><xmin>2</xmin><xmax>8</xmax><ymin>3</ymin><ymax>9</ymax></bndbox>"
    return f"<object><name>{label}</name>{box}{f'<polygon>{parts}</polygon>' if corners else ''}</object>"


def two(kind: Kind, folder: Path, *, swapped: bool = False) -> Path:
    """A file of one tool: a cell and a nucleus in it, drawn before it if swapped."""
    things: list[tuple[str, list[list[float]]]] = [("cell", SQUARE), ("nucleus", INNER)][:: -1 if swapped else 1]
    if kind == "coco":
        category = {"cell": 3, "nucleus": 7}
        entries = [{"category_id": category[name], "segmentation": [flat(ring)]} for name, ring in things]
        return written(folder / "instances.json", coco(*entries))
    if kind == "labelme":
        return written(folder / "a.json", labelme(*({"label": name, "points": ring} for name, ring in things)))
    if kind == "cvat":
        shapes = [cvat_polygon(name, ring, order) for order, (name, ring) in enumerate(things)]
        return written(folder / "annotations.xml", cvat("".join(shapes[::-1])))  # by z_order, not as they stand
    if kind == "labelstudio":
        return written(folder / "export.json", [studio(*(studio_polygon(name, ring) for name, ring in things))])
    if kind == "supervisely":
        points = [(name, {"exterior": ring, "interior": []}) for name, ring in things]
        return written(folder / "ds/ann/a.png.json", supervisely(*({"classTitle": n, "points": p} for n, p in points)))
    if kind == "yolo":
        written(folder / "data.yaml", "nc: 2\nnames: ['nucleus', 'cell']\n")
        number = {"cell": 1, "nucleus": 0}
        text = "\n".join(yolo_line(number[name], ring) for name, ring in things) + "\n"
        return written(folder / "labels/train/a.txt", text)
    assert kind == "voc"
    return written(folder / "a.xml", voc("".join(voc_object(name, ring) for name, ring in things)))


PICTURES: dict[Kind, str] = {
    "coco": "a.png",
    "labelme": "a.png",
    "cvat": "sub/a.png",
    "labelstudio": "0a1b2c3d-a.png",
    "supervisely": "ds/ann/a.png",
    "yolo": "labels/train/a",
    "voc": "a.png",
}


@pytest.mark.parametrize("kind", PICTURES)
@pytest.mark.parametrize("swapped", [False, True])
def test_two_objects_are_drawn_by_the_order_of_their_format(kind: Kind, swapped: bool, tmp_path: Path) -> None:
    """The later is on top where the tool has an order, the smaller one elsewhere."""
    path = two(kind, tmp_path, swapped=swapped)
    assert kind_of(path) == kind
    assert annotation_files(tmp_path) == {kind: (path,)}
    found = read_annotations(tmp_path)
    assert found.kind == kind
    assert found.problems == ()
    assert set(found.classes) == set(IDS)
    assert found.overlap == ("smaller" if kind in ("coco", "yolo", "voc") else "later")
    hidden = swapped and found.overlap == "later"
    assert (drawn(found, PICTURES[kind]) == (UNDER if hidden else BOTH)).all()
    annotated = found.pictures[PICTURES[kind]]
    for overlap, expected in (("later", UNDER if swapped else BOTH), ("smaller", BOTH)):
        assert (label_map(annotated, HEIGHT, WIDTH, IDS, overlap=overlap) == expected).all()  # type: ignore[arg-type]
    files = matched(found.pictures, ["images/train/a.png", "images/train/b.png"])[0]
    assert files[PICTURES[kind]] == "images/train/a.png"
    alone = read_annotations(path, within=tmp_path)
    assert (alone.classes, alone.pictures.keys()) == (found.classes, found.pictures.keys())


@pytest.mark.parametrize("kind", PICTURES)
def test_a_damaged_file_is_told_by_its_tool_and_the_others_are_read(kind: Kind, tmp_path: Path) -> None:
    whole = two(kind, tmp_path / "one").read_bytes()
    if kind == "yolo":
        return  # lines have no end that could be missed
    cut = tmp_path / "two" / f"b{'.xml' if whole.startswith(b'<') else '.json'}"
    cut.parent.mkdir()
    cut.write_bytes(whole[:-9])
    assert kind_of(cut) == kind
    with pytest.raises(ValueError, match=rf"^{cut.name} is damaged or cut off \([^\n]*\); export it again$"):
        read_annotations(cut)
    found = read_annotations(tmp_path)
    assert told(found) == ["damaged"]
    assert found.areas == 2


@pytest.mark.parametrize("kind", PICTURES)
@given(data=st.data())
def test_whatever_stands_in_a_file_is_read_or_refused_in_a_sentence(
    kind: Kind, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = two(kind, tmp_path_factory.mktemp("any"))
    content = path.read_text()
    if kind in ("yolo", "voc", "cvat"):
        place = data.draw(st.integers(0, len(content)))
        path.write_text(
            content[:place] + data.draw(st.text("0123456789<>/.,;- nan\0", max_size=5)) + content[place + 3 :]
        )
    else:
        tree = json.loads(content)
        node, inner = tree, tree
        while isinstance(inner, dict | list) and inner:
            node, key = (
                inner,
                data.draw(st.sampled_from(sorted(inner) if isinstance(inner, dict) else range(len(inner)))),
            )
            inner = node[key]
            if data.draw(st.booleans()):
                break
        simple = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3)
        node[key] = data.draw(simple | st.lists(simple, max_size=3) | st.dictionaries(st.text(max_size=3), simple))
        path.write_text(json.dumps(tree))
    try:
        found = read_annotations(path, kind)
    except ValueError as error:
        assert "\n" not in str(error)  # noqa: PT017
        return
    for annotated in found.pictures.values():
        ids = dict.fromkeys(found.classes, 1)
        sides = annotated.height or HEIGHT, annotated.width or WIDTH
        if max(sides) < 1000:
            assert label_map(annotated, *sides, ids, overlap=found.overlap).max() <= 255


def test_coco_has_masks_crowds_and_unions(tmp_path: Path) -> None:
    mask = np.zeros((HEIGHT, WIDTH), dtype=bool)
    mask[3:9, 2:8], mask[5:7, 4:6] = True, False
    lengths = runs_of(mask.T).lengths.tolist()
    for counts in (lengths, compressed(lengths)):
        crowd = {"iscrowd": 1, "segmentation": {"size": [HEIGHT, WIDTH], "counts": counts}}
        one = {
            "category_id": 7,
            "segmentation": [flat([[0, 0], [3, 0], [3, 4], [0, 4]]), flat([[9, 9], [12, 9], [12, 11], [9, 11]])],
        }
        found = read_annotations(written(tmp_path / "x.json", coco(one, crowd)))
        assert found.problems == ()
        expected = labels(ignored=np.s_[3:9, 2:8], nothing=np.s_[5:7, 4:6])
        expected[0:4, 0:3] = expected[9:11, 9:12] = 2
        assert (drawn(found, "a.png") == expected).all()
        assert found.classes == ("cell", "nucleus")
        assert not drawn(found, "more/b.png").any()
        plain = read_annotations(written(tmp_path / "x.json", coco({**crowd, "iscrowd": 0})))
        assert (drawn(plain, "a.png") == mask).all()


def test_what_is_wrong_in_coco_is_named_and_the_rest_is_read(tmp_path: Path) -> None:
    good = {"segmentation": [flat(SQUARE)]}
    wrong: list[tuple[dict[str, Any], str]] = [
        ({**good, "category_id": 99}, "no class"),
        ({**good, "image_id": 99}, "no picture"),
        ({"segmentation": []}, "no area"),
        ({"segmentation": [[1, 1, 5, 5]]}, "degenerate"),
        ({"segmentation": [[1, 1, 5, 5, 9, 9]]}, "degenerate"),
        ({"segmentation": [[1, 1, 5]]}, "damaged"),
        ({"segmentation": [[1, "x", 5, 5, 1, 9]]}, "damaged"),
        ({"segmentation": [[1, float("nan"), 5, 5, 1, 9]]}, "degenerate"),
        ({"segmentation": [flat([[x + 40, y] for x, y in SQUARE])]}, "outside"),
        ({"segmentation": [flat([[x + 10, y] for x, y in SQUARE])]}, "beyond"),
        ({"segmentation": {"size": [HEIGHT, WIDTH], "counts": [4, 9]}}, "damaged"),
        ({"segmentation": {"size": [WIDTH, HEIGHT], "counts": [WIDTH * HEIGHT]}}, "another size"),
        ({"segmentation": {"size": [10**9, 10**9], "counts": [10**18]}}, "another size"),
    ]
    found = read_annotations(written(tmp_path / "x.json", coco(good, *(entry for entry, _ in wrong))))
    assert sorted(told(found)) == sorted(what for _, what in wrong)
    expected = labels(cell=np.s_[3:9, 2:8])
    expected[3:9, 12:16] = 1
    assert (drawn(found, "a.png") == expected).all()
    assert all(problem.words.startswith("x.json: ") for problem in found.problems)
    assert "object 2 of a.png has the category 99, which is not listed" in found.problems[0].words


def test_roboflow_names_its_classes_by_a_category_that_is_none(tmp_path: Path) -> None:
    for split, number in (("train", 2), ("valid", 1)):
        content = coco(
            {"image_id": 0, "category_id": number, "segmentation": [flat(SQUARE)]},
            categories=[
                {"id": 0, "name": "cells-a1b2", "supercategory": "none"},
                {"id": 1, "name": "cell", "supercategory": "cells-a1b2"},
                {"id": 2, "name": "nucleus", "supercategory": "cells-a1b2"},
            ],
            images=[{"id": 0, "file_name": "a_png.rf.0f.jpg", "height": HEIGHT, "width": WIDTH}],
        )
        written(tmp_path / split / "_annotations.coco.json", content)
    found = read_annotations(tmp_path)
    assert found.classes == ("cell", "nucleus")
    assert found.pictures.keys() == {"train/a_png.rf.0f.jpg", "valid/a_png.rf.0f.jpg"}
    files = [f"{split}/a_png.rf.0f.jpg" for split in ("train", "valid")]
    assert matched(found.pictures, files) == ({file: file for file in files}, ())
    assert drawn(found, "train/a_png.rf.0f.jpg").max() == 2


def test_labelme_has_rectangles_circles_masks_and_lines(tmp_path: Path) -> None:
    mask = np.array([[1, 0], [1, 1]], dtype=bool)
    content = labelme(
        {"shape_type": "rectangle", "points": [[8, 9], [2, 3]]},
        {
            "shape_type": "mask",
            "label": "nucleus",
            "points": [[10, 1], [11, 2]],
            "mask": base64.b64encode(png(mask)).decode(),
        },
        {"shape_type": "circle", "label": "nucleus", "points": [[12.5, 8.5], [13.6, 8.5]]},
        {"shape_type": "linestrip", "points": [[1, 1], [2, 2]]},
        {"label": "__ignore__", "points": INNER},
        {"label": "_background_", "points": [[2, 3], [3, 3], [3, 4], [2, 4]]},
        {"label": "", "points": INNER},
        {"shape_type": "mask", "points": [[0, 0], [1, 1]], "mask": "AAAA"},
        {"points": [["a", "b"], {}, None]},
    )
    found = read_annotations(written(tmp_path / "a.json", content))
    expected = labels(cell=np.s_[3:9, 2:8], ignored=np.s_[5:7, 4:6], nothing=np.s_[3:4, 2:3])
    expected[1:3, 10:12][mask] = 2
    expected[[7, 8, 8, 8, 9], [12, 11, 12, 13, 12]] = 2
    assert (drawn(found, "a.png") == expected).all()
    assert told(found) == ["no area", "no class", "damaged", "damaged"]
    assert found.classes == ("cell", "nucleus")


def test_rectangles_alone_may_be_boxes(tmp_path: Path) -> None:
    content = labelme({"shape_type": "rectangle", "points": [[8, 9], [2, 3]]})
    found = read_annotations(written(tmp_path / "a.json", content))
    assert [problem.words for problem in found.problems] == [
        "all 1 objects are rectangles; if they are boxes around things, they are no masks"
    ]


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        ("..\\images\\a.png", "images/a.png"),
        ("../images/./a.png", "images/a.png"),
        ("C:\\Users\\me\\a.png", "json/a.png"),
        ("/home/me/a.png", "json/a.png"),
        ("../../a.png", None),
        ("x/../../../etc/passwd", None),
        ("..", None),
    ],
)
def test_a_stated_picture_never_leads_out_of_the_folder(stated: str, expected: str | None, tmp_path: Path) -> None:
    written(tmp_path / "json/a.json", labelme({"points": SQUARE}, imagePath=stated))
    found = read_annotations(tmp_path)
    assert list(found.pictures) == ([expected] if expected else [])
    assert told(found) == ([] if expected else ["no picture"])


def test_cvat_has_boxes_ellipses_masks_and_lines(tmp_path: Path) -> None:
    shapes = (
        '<box label="cell" source="manual" occluded="0" xtl="2.00" ytl="3.00" xbr="8.00" ybr="9.00" z_order="0"></box>'
        '<mask label="nucleus" source="semi-auto" occluded="0" rle="1, 2, 2, 1" left="10" top="1" width="3" height="2" '
        'z_order="0"></mask>'
        '<mask label="nucleus" rle="1, 2, 2, 1" left="1000000000000" top="1" width="3" height="2"></mask>'
        '<ellipse label="nucleus" source="manual" occluded="0" cx="12.5" cy="8.5" rx="1.1" ry="1.1" z_order="1"/>'
        '<box label="nucleus" source="manual" occluded="0" xtl="3" ytl="5" xbr="7" ybr="7" rotation="90" z_order="2"/>'
        '<polyline label="cell" source="manual" occluded="0" points="1.0,1.0;2.0,2.0" z_order="0"></polyline>'
        '<tag label="cell" source="manual"></tag>'
        '<polygon source="manual" points="1.0,1.0;2.0,2.0;1,5" z_order="0"></polygon>'
        '<polygon label="cell" points="1.0,1.0;2.0" z_order="0"></polygon>'
    )
    found = read_annotations(written(tmp_path / "annotations.xml", cvat(shapes)))
    expected = labels(cell=np.s_[3:9, 2:8], nucleus=np.s_[4:8, 4:6])
    expected[1, 11:13] = expected[2, 12] = 2
    expected[[7, 8, 8, 8, 9], [12, 11, 12, 13, 12]] = 2
    assert (drawn(found, "sub/a.png") == expected).all()
    assert not drawn(found, "b.png").any()
    assert found.classes == ("nucleus", "cell")
    assert found.colours == {"nucleus": "#fa3253", "cell": "#24b353"}
    assert told(found) == ["degenerate", "no area", "no class", "damaged"]


def test_cvat_of_videos_and_entities_are_refused(tmp_path: Path) -> None:
    video = (
        '<annotations><meta/><track id="0" label="cell"><polygon frame="0" points="1,1;2,2;3,1"/></track></annotations>'
    )
    with pytest.raises(ValueError, match=r"export it as 'CVAT for images 1\.1'"):
        read_annotations(written(tmp_path / "a.xml", video))
    bomb = '<!DOCTYPE a [<!ENTITY b "bb"><!ENTITY c "&b;&b;">]><annotations><meta>&c;</meta></annotations>'
    with pytest.raises(ValueError, match="defines entities"):
        read_annotations(written(tmp_path / "a.xml", bomb))


def test_a_labelmap_names_the_colours_of_masks(tmp_path: Path) -> None:
    text = "# label:color_rgb:parts:actions\nbackground:0,0,0::\ncell wall:250,50,83::\n\n"
    assert read_labelmap(written(tmp_path / "labelmap.txt", text)) == {"#000000": "background", "#fa3253": "cell wall"}
    for wrong in ("", "cell\n", "cell:1,2::\n", "cell:256,0,0::\n", ":1,2,3::\n"):
        with pytest.raises(ValueError, match=r"labelmap\.txt"):
            read_labelmap(written(tmp_path / "labelmap.txt", wrong))


def test_label_studio_has_brushes_rectangles_and_ellipses(tmp_path: Path) -> None:
    mask = np.zeros((HEIGHT, WIDTH), dtype=bool)
    mask[3:9, 2:8] = True
    turned = {
        "x": 100 * 6 / WIDTH,
        "y": 100 * 4 / HEIGHT,
        "width": 100 * 4 / WIDTH,
        "height": 100 * 2 / HEIGHT,
        "rotation": 90,
    }
    circle = {
        "x": 100 * 12.5 / WIDTH,
        "y": 100 * 8.5 / HEIGHT,
        "radiusX": 110 / WIDTH,
        "radiusY": 110 / HEIGHT,
        "rotation": 0,
    }
    content = [
        studio(
            {"type": "brushlabels", "value": {"format": "rle", "rle": list(packed(mask)), "brushlabels": ["cell"]}},
            {"type": "rectanglelabels", "value": {**turned, "rectanglelabels": ["nucleus"]}},
            {"type": "ellipselabels", "value": {**circle, "ellipselabels": ["nucleus"]}},
            {"type": "choices", "value": {"choices": ["blurred"]}},
            {"type": "keypointlabels", "value": {"x": 5, "y": 5, "width": 0.2, "keypointlabels": ["cell"]}},
            {"type": "brushlabels", "value": {"format": "rle", "rle": [0, 0, 300], "brushlabels": ["cell"]}},
            # <Polygon> and <Labels>, two results of one shape
            {"id": "x", "type": "polygon", "value": {"points": percent([[0, 0], [2, 0], [2, 2], [0, 2]])}},
            {
                "id": "x",
                "type": "labels",
                "value": {"points": percent([[0, 0], [2, 0], [2, 2], [0, 2]]), "labels": ["cell"]},
            },
        )
    ]
    found = read_annotations(written(tmp_path / "p.json", content))
    expected = labels(cell=np.s_[3:9, 2:8], nucleus=np.s_[4:8, 4:6])
    expected[[7, 8, 8, 8, 9], [12, 11, 12, 13, 12]] = 2
    expected[:2, :2] = 1
    assert (drawn(found, "0a1b2c3d-a.png") == expected).all()
    assert told(found) == ["no area", "damaged"]


def test_label_studio_takes_what_is_called_truth_and_names_what_is_not_done(tmp_path: Path) -> None:
    one, other = studio(studio_polygon("cell", SQUARE)), studio(studio_polygon("nucleus", SQUARE))
    one["annotations"] = [
        {**one["annotations"][0], "ground_truth": True},
        other["annotations"][0],
        {**other["annotations"][0], "was_cancelled": True},
    ]
    other["data"]["image"] = "/data/local-files/?d=photos/b%20c.png"
    new = studio(annotations=[], data={"image": "s3://bucket/deep/d.png"})
    empty = studio(data={"photo": "https://example.com/x/e.png?X-Amz=1"})
    found = read_annotations(written(tmp_path / "p.json", [one, other, new, empty, studio(data={"text": "no"})]))
    assert list(found.pictures) == ["0a1b2c3d-a.png", "photos/b c.png", "e.png"]
    assert told(found) == ["unsure", "unsure", "no picture"]
    assert drawn(found, "0a1b2c3d-a.png").max() == 1
    files, problems = matched(found.pictures, ["photos/b c.png", "a.png"])
    assert files == {"0a1b2c3d-a.png": "a.png", "photos/b c.png": "photos/b c.png"}
    assert [problem.picture for problem in problems] == ["e.png"]


def test_label_studio_writes_a_small_json_too(tmp_path: Path) -> None:
    size = {"original_width": WIDTH, "original_height": HEIGHT}
    shapes = [
        {**size, "points": percent(ring), "polygonlabels": [n]} for n, ring in (("cell", SQUARE), ("nucleus", INNER))
    ]
    content = [{"image": "/data/upload/1/0a1b2c3d-a.png", "id": 1, "label": shapes, "annotator": 1}]
    found = read_annotations(written(tmp_path / "p.json", content))
    assert found.problems == ()
    assert (drawn(found, "0a1b2c3d-a.png") == BOTH).all()


def test_yolo_has_names_boxes_and_pictures_without_objects(tmp_path: Path) -> None:
    box = f"1 {5 / WIDTH} {6 / HEIGHT} {6 / WIDTH} {6 / HEIGHT}"
    lines = [
        yolo_line(1, SQUARE),
        box,
        yolo_line(5, SQUARE),
        "0 0.1 0.2 0.3 0.4 0.5 0.6 0.7",
        "0 1.5 1.5 1.7 1.5 1.7 1.9",
    ]
    written(tmp_path / "labels/a.txt", "\n".join(lines))
    written(tmp_path / "labels/b.txt", "")
    written(tmp_path / "README.txt", "This is\nnot YOLO.\n")
    found = read_annotations(tmp_path)
    assert found.classes == ("1", "5")
    assert told(found) == ["no area", "damaged", "outside", "unsure"]
    named = read_annotations(tmp_path, classes=["nucleus", "cell"])
    assert named.classes == ("nucleus", "cell")
    assert told(named) == ["no area", "no class", "damaged", "outside"]
    assert (drawn(named, "labels/a") == labels(cell=np.s_[3:9, 2:8])).all()
    assert not drawn(named, "labels/b").any()
    written(tmp_path / "classes.txt", "nucleus\n\ncell\n")
    assert read_annotations(tmp_path).classes == ("nucleus", "cell")
    written(tmp_path / "data.yaml", "names:\n  0: nucleus\n  1: big cell\n")
    assert read_annotations(tmp_path).classes == ("nucleus", "big cell")
    written(tmp_path / "data.yaml", "names: [")
    with pytest.raises(ValueError, match="no YAML"):
        read_annotations(tmp_path / "labels/a.txt", within=tmp_path)


def test_voc_has_boxes_which_are_no_masks(tmp_path: Path) -> None:
    path = written(tmp_path / "a.xml", voc(voc_object("cell", None) + voc_object("nucleus", INNER)))
    found = read_annotations(path)
    assert told(found) == ["no area"]
    assert (drawn(found, "a.png") == labels(nucleus=np.s_[5:7, 4:6])).all()
    points = "".join(f"<pt><x>{x}</x><y>{y}</y></pt>" for x, y in SQUARE)
    found = read_annotations(written(path, voc(f"<object><name>cell</name><polygon>{points}</polygon></object>")))
    assert (drawn(found, "a.png") == labels(cell=np.s_[3:9, 2:8])).all()


def test_supervisely_has_bitmaps_holes_and_classes_in_order(tmp_path: Path) -> None:
    mask = np.array([[1, 0], [1, 1]], dtype=bool)
    picture = PIL.Image.fromarray(mask.astype(np.uint8)).convert("P")
    picture.putpalette([0, 0, 0, 255, 255, 255])
    file = io.BytesIO()
    picture.save(file, format="PNG", transparency=0)
    data = base64.b64encode(zlib.compress(file.getvalue())).decode()
    bomb = base64.b64encode(zlib.compress(bytes(10**7))).decode()
    content = supervisely(
        {"points": {"exterior": SQUARE, "interior": [INNER]}},
        {"geometryType": "bitmap", "classTitle": "nucleus", "bitmap": {"data": data, "origin": [10, 1]}},
        {"geometryType": "bitmap", "classTitle": "nucleus", "bitmap": {"data": bomb, "origin": [10, 1]}},
        {"geometryType": "bitmap", "classTitle": "nucleus", "bitmap": {"data": data, "origin": [10**400, 1]}},
        {"geometryType": "rectangle", "points": {"exterior": [[0, 0], [2, 2]], "interior": []}},
        {"geometryType": "line", "points": {"exterior": [[0, 0], [2, 2]], "interior": []}},
    )
    written(tmp_path / "ds/ann/a.png.json", content)
    classes = [{"title": t, "shape": "any", "color": "#FF0000"} for t in ("nucleus", "cell", "unused")]
    written(tmp_path / "meta.json", {"classes": classes, "tags": []})
    found = read_annotations(tmp_path)
    expected = labels(cell=np.s_[3:9, 2:8], nothing=np.s_[5:7, 4:6])
    expected[1:3, 10:12][mask] = 2
    expected[:2, :2] = 1
    assert (drawn(found, "ds/ann/a.png") == expected).all()
    assert found.classes == ("nucleus", "cell", "unused")
    assert told(found) == ["damaged", "damaged", "no area"]
    assert matched(found.pictures, ["ds/img/a.png"])[0] == {"ds/ann/a.png": "ds/img/a.png"}


def frame_of(things: list[tuple[str | None, Any]], crs: str = "EPSG:32633") -> geopandas.GeoDataFrame:
    geometry = [thing for _, thing in things]
    return geopandas.GeoDataFrame({"class": [name for name, _ in things], "size": 3}, geometry=geometry, crs=crs)


def on_ground(corners: list[list[float]]) -> list[list[float]]:
    """Pixels of 2 m from (500,000, 4,600,000)."""
    return [[500_000 + 2 * x, 4_600_000 - 2 * y] for x, y in corners]


RASTER = Raster(CRS.from_epsg(32633).to_wkt(), (2, 0, 500_000, 0, -2, 4_600_000), (HEIGHT, WIDTH))


@pytest.mark.parametrize(
    ("name", "crs"), [("a.gpkg", "EPSG:32633"), ("a.gpkg", "EPSG:3857"), ("a.geojson", "EPSG:4326")]
)
def test_polygons_on_the_ground_lie_on_each_raster(name: str, crs: str, tmp_path: Path) -> None:
    """In the raster's CRS and in another; with a hole, of two parts, and without area or class."""
    far = [[x + 900, y] for x, y in SQUARE]
    parts = [
        shapely.Polygon(on_ground([[9, 1], [11, 1], [11, 3], [9, 3]])),
        shapely.Polygon(on_ground([[12, 9], [14, 9], [14, 11], [12, 11]])),
    ]
    things: list[tuple[str | None, Any]] = [
        ("cell", shapely.Polygon(on_ground(SQUARE), [on_ground(INNER)])),
        ("nucleus", shapely.MultiPolygon(parts)),
        ("cell", shapely.LineString(on_ground(SQUARE))),
        (None, shapely.Polygon(on_ground(SQUARE))),
        ("cell", shapely.Polygon(on_ground(far))),
    ]
    frame_of(things).to_crs(crs).to_file(tmp_path / name, engine="pyogrio")
    kind = "geojson" if "json" in name else "geopackage"
    assert kind_of(tmp_path / name) == kind
    found = read_annotations(tmp_path / name)
    assert told(found) == ["no area", "no class"]
    assert found.classes == ("cell", "nucleus")
    assert found.areas == 3
    half = Raster(RASTER.crs, (2, 0, 500_000 + 2 * 5, 0, -2, 4_600_000), (HEIGHT, WIDTH))
    on_both = placed(found, {"a.tif": RASTER, "b.tif": half})
    expected = labels(cell=np.s_[3:9, 2:8], nothing=np.s_[5:7, 4:6])
    expected[1:3, 9:11] = expected[9:11, 12:14] = 2
    near = {"EPSG:32633": 0, "EPSG:3857": 1, "EPSG:4326": 1}[crs]  # corners come back a nanometre beside a centre
    assert (drawn(on_both, "a.tif") != expected).sum() <= near
    assert (drawn(on_both, "b.tif")[:, : WIDTH - 5] != expected[:, 5:]).sum() <= near
    assert told(on_both) == ["no area", "no class", "outside"]


def test_the_property_that_names_the_class_is_found_or_asked_for(tmp_path: Path) -> None:
    frame = frame_of([("cell", shapely.Polygon(on_ground(SQUARE)))])
    other = frame.rename(columns={"class": "kind_of_crop"})
    other.to_file(tmp_path / "a.gpkg", engine="pyogrio")
    assert read_annotations(tmp_path / "a.gpkg").classes == ("cell",)
    other["who"] = "me"
    other.to_file(tmp_path / "b.gpkg", engine="pyogrio")
    with pytest.raises(ValueError, match=r"of kind_of_crop, size, who; choose one"):
        read_annotations(tmp_path / "b.gpkg")
    assert read_annotations(tmp_path / "b.gpkg", label_by="kind_of_crop").classes == ("cell",)
    assert read_annotations(tmp_path / "b.gpkg", label_by="size").classes == ("3",)
    with pytest.raises(ValueError, match="no property 'x'"):
        read_annotations(tmp_path / "b.gpkg", label_by="x")


def test_without_geopandas_the_command_that_brings_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame_of([("cell", shapely.Polygon(on_ground(SQUARE)))]).to_file(tmp_path / "a.gpkg", engine="pyogrio")
    monkeypatch.setitem(sys.modules, "geopandas", None)
    with pytest.raises(ValueError, match=r"^a\.gpkg needs geopandas: pip install 'unetseg\[geo\]'$"):
        read_annotations(tmp_path / "a.gpkg")


def test_a_raster_without_a_place_and_a_broken_file_are_refused(tmp_path: Path) -> None:
    frame_of([("cell", shapely.Polygon(on_ground(SQUARE)))]).to_file(tmp_path / "a.gpkg", engine="pyogrio")
    found = read_annotations(tmp_path / "a.gpkg")
    with pytest.raises(ValueError, match=r"^b\.tif has no place on the ground"):
        placed(found, {"b.tif": Raster(None, None, (3, 3))})
    (tmp_path / "a.gpkg").write_bytes((tmp_path / "a.gpkg").read_bytes()[:5000])
    with pytest.raises(ValueError, match=r"^a\.gpkg is no whole file of polygons"):
        read_annotations(tmp_path / "a.gpkg")


def test_a_picture_of_another_size_is_refused_by_name(tmp_path: Path) -> None:
    annotated = read_annotations(two("labelme", tmp_path)).pictures["a.png"]
    assert size_problem(annotated, HEIGHT, WIDTH) is None
    with pytest.raises(
        ValueError, match=r"^a\.png has 12 x 16 pixels, and a\.json speaks of 16 x 12; it seems to be turned"
    ):
        label_map(annotated, WIDTH, HEIGHT, IDS, overlap="later")
    with pytest.raises(ValueError, match=r"'cell', which have no id"):
        label_map(annotated, HEIGHT, WIDTH, {"nucleus": 1}, overlap="later")
    assert (label_map(annotated, HEIGHT, WIDTH, {"nucleus": 1, "cell": 0}, overlap="later") == (BOTH == 2)).all()


def test_a_size_beyond_all_pictures_counts_as_not_stated(tmp_path: Path) -> None:
    path = two("labelme", tmp_path)
    written(path, json.loads(path.read_text()) | {"imageHeight": 10**400})
    assert read_annotations(path).pictures["a.png"].height is None


def test_two_annotations_of_one_picture_are_joined_and_told(tmp_path: Path) -> None:
    written(tmp_path / "a.json", labelme({"points": SQUARE}))
    written(tmp_path / "b.json", labelme({"points": INNER, "label": "nucleus"}))
    found = read_annotations(tmp_path)
    assert told(found) == ["twice"]
    assert (drawn(found, "a.png") == BOTH).all()


def test_names_that_fit_two_files_or_none_are_told() -> None:
    files = ["train/a.jpg", "val/a.jpg", "train/b.jpg", "c.jpg"]
    found, problems = matched(["a.jpg", "labels/val/a", "b.png", "d.jpg", "c.jpg", "c.png"], files)
    assert found == {"labels/val/a": "val/a.jpg", "b.png": "train/b.jpg", "c.jpg": "c.jpg", "c.png": "c.jpg"}
    assert [(problem.picture, problem.what) for problem in problems] == [
        ("a.jpg", "no picture"),
        ("d.jpg", "no picture"),
        ("c.png", "twice"),
    ]


def test_several_kinds_in_a_folder_are_asked_for(tmp_path: Path) -> None:
    two("labelme", tmp_path)
    two("voc", tmp_path)
    assert annotation_files(tmp_path).keys() == {"labelme", "voc"}
    with pytest.raises(ValueError, match="1 of labelme and 1 of voc; choose one"):
        read_annotations(tmp_path)
    assert read_annotations(tmp_path, "voc").kind == "voc"
    with pytest.raises(ValueError, match="no annotations of coco"):
        read_annotations(tmp_path, "coco")


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("a.json", lambda path: path.write_text('{"name": "value"}')),
        ("a.json", lambda path: path.write_text("[" * 100_000)),
        ("a.txt", lambda path: path.write_text("0 0.5 0.5\n")),
        ("a.txt", lambda path: path.write_text("2024 11 03 12 30 15\n")),
        ("a.xml", lambda path: path.write_text("<html/>")),
        ("a.png", lambda path: PIL.Image.new("L", (3, 3)).save(path)),
        ("a.txt", lambda path: path.touch()),
        ("a.gpkg", lambda path: path.write_bytes(b"SQLite format 3\0" + bytes(100))),
        ("none.json", lambda path: None),
    ],
)
def test_other_files_are_no_annotations(name: str, write: Callable[[Path], object], tmp_path: Path) -> None:
    write(tmp_path / name)
    assert kind_of(tmp_path / name) is None
    assert annotation_files(tmp_path) == {}
    with pytest.raises(ValueError, match="holds no annotations of a known tool"):
        read_annotations(tmp_path / name)


def test_json_that_is_nested_deep_is_refused_in_a_sentence(tmp_path: Path) -> None:
    path = written(tmp_path / "a.json", '{"shapes": [' + "[" * 100_000 + '"imagePath": ""')
    with pytest.raises(ValueError, match=r"^a\.json is nested too deeply; export it again$"):
        read_annotations(path)
    path = written(tmp_path / "a.json", '{"shapes": 3, "imagePath": "", "imageHeight": [1], "shapes" : [3]}')
    with pytest.raises(ValueError, match=r"^a\.json is no labelme as its tool writes it"):
        read_annotations(path)
