"""Small folders as annotation tools export them: six pictures, p0.png and so on, with a cat and a dog each."""

import json
import zlib
from base64 import b64encode
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import rasterio
import shapely
from annotation_codes import compressed, packed, png
from numpy.typing import NDArray
from PIL import Image

SIZE = 24
Pixels = NDArray[np.uint8]
LABELS = ("cat", "dog")


def areas(seed: int) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """Left, top and side of a cat and of a dog that doesn't touch it."""
    random = np.random.default_rng(seed)
    cat = (int(random.integers(1, 4)), int(random.integers(1, 16)), int(random.integers(4, 8)))
    dog = (int(random.integers(13, 16)), int(random.integers(1, 16)), int(random.integers(4, 8)))
    return cat, dog


def truth(seed: int) -> Pixels:
    labels = np.zeros((SIZE, SIZE), dtype=np.uint8)
    for number, (x, y, side) in enumerate(areas(seed), start=1):
        labels[y : y + side, x : x + side] = number
    return labels


def corners(x: int, y: int, side: int) -> list[list[float]]:
    return [[x, y], [x + side, y], [x + side, y + side], [x, y + side]]


def flat(points: list[list[float]]) -> list[float]:
    return [number for point in points for number in point]


def picture(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 90, (SIZE, SIZE, 3)).astype(np.uint8)
    noise[truth(seed) == 1] += 80
    noise[truth(seed) == 2, 0] += 160
    Image.fromarray(noise).save(path)


def text(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")


def coco_of(names: dict[int, str], *, runs: bool = False, **more: object) -> dict[str, Any]:
    things = []
    for seed in names:
        for category, area in enumerate(areas(seed)):
            outline: object = [flat(corners(*area))]
            if runs:
                down = (truth(seed) == category + 1).T.ravel()
                ends = np.flatnonzero(np.diff(np.concatenate([[0], down, [0]])))
                lengths = np.diff([0, *ends.tolist(), down.size]).tolist()
                outline = {"size": [SIZE, SIZE], "counts": compressed(list(lengths))}
            things.append({"image_id": seed, "category_id": category + 5, "segmentation": outline, "iscrowd": 0})
    return {
        "categories": [{"id": i + 5, "name": name, "supercategory": "pets"} for i, name in enumerate(LABELS)],
        "images": [{"id": s, "file_name": name, "height": SIZE, "width": SIZE} for s, name in names.items()],
        "annotations": [{"id": i, **thing} for i, thing in enumerate(things)],
        **more,
    }


def coco(folder: Path) -> None:
    for split, seeds in (("train2017", range(4)), ("val2017", range(4, 6))):
        for seed in seeds:
            picture(folder / split / f"p{seed}.png", seed)
        text(folder / f"annotations/instances_{split}.json", coco_of({s: f"p{s}.png" for s in seeds}, runs=True))


def coco_one_file(folder: Path) -> None:
    """All pictures in one folder, masks of other things beside them, and a list for each split."""
    for seed in range(6):
        picture(folder / "images" / f"p{seed}.png", seed)
    text(folder / "train.json", coco_of({s: f"p{s}.png" for s in range(4)}))
    text(folder / "val.json", coco_of({s: f"p{s}.png" for s in (4, 5)}))


def coco_other_words(folder: Path) -> None:
    coco_one_file(folder)
    for split, seeds in (("training", range(4)), ("validation", (4, 5))):
        for seed in seeds:
            (folder / "images" / split).mkdir(exist_ok=True)
            (folder / "images" / f"p{seed}.png").rename(folder / "images" / split / f"p{seed}.png")


def roboflow(folder: Path) -> None:
    for split, seeds in (("train", range(4)), ("valid", (4,)), ("test", (5,))):
        for seed in seeds:
            picture(folder / split / f"p{seed}_jpg.rf.{seed:032x}.png", seed)
        content = coco_of({s: f"p{s}_jpg.rf.{s:032x}.png" for s in seeds})
        content["categories"].insert(0, {"id": 0, "name": "pets", "supercategory": "none"})
        text(folder / split / "_annotations.coco.json", content)


def labelme_of(seed: int, name: str) -> dict[str, Any]:
    shapes = [
        {"label": label, "points": corners(*area), "shape_type": "polygon"}
        for label, area in zip(LABELS, areas(seed), strict=True)
    ]
    return {"shapes": shapes, "imagePath": name, "imageHeight": SIZE, "imageWidth": SIZE, "imageData": None}


def labelme(folder: Path) -> None:
    for seed in range(6):
        picture(folder / f"p{seed}.png", seed)
        text(folder / f"p{seed}.json", labelme_of(seed, f"p{seed}.png"))


def labelme_folders(folder: Path) -> None:
    for seed in range(6):
        picture(folder / f"person{seed // 2}" / f"p{seed}.png", seed)
        text(folder / f"person{seed // 2}" / f"p{seed}.json", labelme_of(seed, f"p{seed}.png"))


def cvat(folder: Path) -> None:
    images = ""
    for seed in range(6):
        picture(folder / "images" / f"p{seed}.png", seed)
        points = [";".join(f"{x},{y}" for x, y in corners(*area)) for area in areas(seed)]
        shapes = "".join(
            f'<polygon label="{label}" points="{outline}" z_order="0"></polygon>'
            for label, outline in zip(LABELS, points, strict=True)
        )
        images += f'<image id="{seed}" name="p{seed}.png" width="{SIZE}" height="{SIZE}">{shapes}</image>'
    labels = "".join(
        f"<label><name>{label}</name><color>{colour}</color></label>"
        for label, colour in zip(LABELS, ("#fa3253", "#24b353"), strict=True)
    )
    meta = f"<meta><task><labels>{labels}</labels></task></meta>"
    text(folder / "annotations.xml", f"<?xml version='1.0'?>\n<annotations>{meta}{images}</annotations>")


def labelstudio(folder: Path) -> None:
    tasks = []
    for seed in range(6):
        picture(folder / "images" / f"p{seed}.png", seed)
        results = []
        for number, (label, area) in enumerate(zip(LABELS, areas(seed), strict=True), start=1):
            points = [[100 * x / SIZE, 100 * y / SIZE] for x, y in corners(*area)]
            value = {"points": points, "closed": True, "polygonlabels": [label]}
            if number == 2:
                value = {"format": "rle", "rle": list(packed(truth(seed) == 2)), "brushlabels": [label]}
            results.append({"id": f"r{number}", "original_width": SIZE, "original_height": SIZE, "value": value})
        tasks.append({"id": seed, "annotations": [{"result": results}], "data": {"image": f"/up/0a1b2c3d-p{seed}.png"}})
    text(folder / "project.json", tasks)


def yolo(folder: Path) -> None:
    for split, seeds in (("train", range(4)), ("val", (4, 5))):
        for seed in seeds:
            picture(folder / "images" / split / f"p{seed}.png", seed)
            lines = [f"{i} {' '.join(f'{n / SIZE:.6f}' for n in flat(corners(*a)))}" for i, a in enumerate(areas(seed))]
            text(folder / "labels" / split / f"p{seed}.txt", "\n".join(lines))
    text(folder / "data.yaml", "train: images/train\nval: images/val\nnc: 2\nnames: [cat, dog]\n")


def voc(folder: Path) -> None:
    for seed in range(6):
        picture(folder / "JPEGImages" / f"p{seed}.png", seed)
        objects = ""
        for label, area in zip(LABELS, areas(seed), strict=True):
            points = "".join(f"<x{i}>{x}</x{i}><y{i}>{y}</y{i}>" for i, (x, y) in enumerate(corners(*area), start=1))
            objects += f"<object><name>{label}</name><polygon>{points}</polygon></object>"
        size = f"<size><width>{SIZE}</width><height>{SIZE}</height><depth>3</depth></size>"
        name = f"<filename>p{seed}.png</filename>"
        text(folder / "Annotations" / f"p{seed}.xml", f"<annotation>{name}{size}{objects}</annotation>")


def supervisely(folder: Path) -> None:
    for seed in range(6):
        picture(folder / "ds" / "img" / f"p{seed}.png", seed)
        (x, y, side), dog = areas(seed)
        bitmap = b64encode(zlib.compress(png(np.full((side, side), 255, dtype=np.uint8)))).decode()
        objects = [
            {"classTitle": "cat", "geometryType": "bitmap", "bitmap": {"data": bitmap, "origin": [x, y]}},
            {"classTitle": "dog", "geometryType": "polygon", "points": {"exterior": corners(*dog), "interior": []}},
        ]
        content = {"description": "", "tags": [], "size": {"height": SIZE, "width": SIZE}, "objects": objects}
        text(folder / "ds" / "ann" / f"p{seed}.png.json", content)
    classes = [{"title": name, "shape": "polygon", "color": "#00aa00"} for name in LABELS]
    text(folder / "meta.json", {"classes": classes, "tags": []})


def on_ground(folder: Path, name: str, driver: str) -> None:
    polygons, names = [], []
    for seed in range(6):
        path = folder / "tiles" / f"p{seed}.tif"
        picture(path.with_suffix(".png"), seed)
        pixels = np.asarray(Image.open(path.with_suffix(".png")))
        path.with_suffix(".png").unlink()
        west, north = 500_000 + 1000 * seed, 5_000_000
        place = rasterio.Affine(2, 0, west, 0, -2, north)
        kind = {"driver": "GTiff", "width": SIZE, "height": SIZE, "count": 3, "dtype": "uint8", "crs": "EPSG:32633"}
        with rasterio.open(path, "w", transform=place, **kind) as raster:
            raster.write(pixels.transpose(2, 0, 1))
        for label, area in zip(LABELS, areas(seed), strict=True):
            polygons.append(shapely.Polygon([(west + 2 * x, north - 2 * y) for x, y in corners(*area)]))
            names.append(label)
    frame = geopandas.GeoDataFrame({"class": names}, geometry=polygons, crs="EPSG:32633")
    frame.to_file(folder / name, driver=driver, engine="pyogrio")


def geojson(folder: Path) -> None:
    on_ground(folder, "things.geojson", "GeoJSON")


def geopackage(folder: Path) -> None:
    on_ground(folder, "things.gpkg", "GPKG")
