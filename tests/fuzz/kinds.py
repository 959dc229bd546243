"""Each kind of input: small sound files of it, what damages them, and what reads them."""

from __future__ import annotations

import base64
import io
import json
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import nibabel
import numpy as np
import pydicom
import rasterio
import SimpleITK
import torch
from affine import Affine
from annotation_codes import compressed, packed
from configs import config_for, network_for
from damage import damaged, damaged_json, damaged_safetensors, damaged_toml
from dicom_files import slices
from PIL import Image as Pillow
from safetensors.torch import save

from unetseg import SegmentationConfig, hub, read_image
from unetseg.files import CONFIG, GATE, WEIGHTS
from unetseg.fitting import Recipe
from unetseg.fitting.data.drawing import numbered
from unetseg.fitting.data.folder import Example, find_examples, read_example, shared_pictures
from unetseg.fitting.optimisation import optimizers
from unetseg.fitting.recipe import Train
from unetseg.fitting.state import Position, load_state, save_state
from unetseg.formats import read_mask
from unetseg.formats.annotation_files import read_annotations
from unetseg.formats.annotations import Kind as Tool
from unetseg.formats.annotations import label_map
from unetseg.gate import PERCENTILES, Gate, features, fitted
from unetseg.hub.info import description
from unetseg.proof import Proof

RANDOM = np.random.default_rng(0)
GREY = RANDOM.integers(0, 256, (24, 20), dtype=np.uint8)
IDS = (GREY // 64).astype(np.uint8)
CONFIG_OF_ALL = config_for("multiclass", format=2, ground_resolution=(0.2, 1.0), value_range=((0.0, 255.0),))
RECIPE = """
[data]
task = "binary"
classes = ["liver"]
background = "background"
palette = ["#000000", "#e4572e"]
channels = ["gray"]
window = [-160.0, 240.0]
mask_values = { 0 = "background", "1-3" = "liver" }
manifest = "manifest.csv"
group_column = "patient"
split_column = "split"
same_group = [["p1", "p3"]]

[model]
widths = [4, 8, 16]
scales = [1.0, 0.5]

[augment]
flip = ["horizontal"]
rotate = 10

[train]
epochs = 3
crop = 32
"""
MANIFEST = b"stem,patient,split\na,p1,train\nb,p2,val\nc,p3,train\n"


@dataclass(frozen=True)
class Kind:
    """seeds: sound files by the name that they have. read: what is tried, of a path. spoil: what is done to a file.

    share: of the inputs that the gate tries, more where reading is quick.
    """

    seeds: Callable[[], dict[str, bytes]]
    read: Callable[[Path], object]
    spoil: Callable[[bytes, int], bytes] = damaged
    share: int = 1


def _pillow(pixels: np.ndarray, kind: str, **options: object) -> bytes:  # type: ignore[type-arg]
    file = io.BytesIO()
    Pillow.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


def _palette(kind: str) -> bytes:
    picture = Pillow.fromarray(IDS)
    picture.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0, 255])
    file = io.BytesIO()
    picture.save(file, kind)
    return file.getvalue()


def _animation(kind: str) -> bytes:
    file = io.BytesIO()
    first, *others = (Pillow.fromarray(np.roll(GREY, shift, 0)) for shift in range(3))
    first.save(file, kind, save_all=True, append_images=others)
    return file.getvalue()


def pictures() -> dict[str, bytes]:
    colour = np.stack([GREY, GREY.T[:, :1].repeat(20, 1)[:1].repeat(24, 0), 255 - GREY], axis=2)
    exif = Pillow.Exif()
    exif[0x0112] = 6
    return {
        "grey.png": _pillow(GREY, "PNG"),
        "wide.png": _pillow(GREY.astype(np.uint16) * 257, "PNG"),
        "alpha.png": _pillow(np.dstack([colour, GREY]), "PNG", exif=exif),
        "palette.png": _palette("PNG"),
        "colour.jpg": _pillow(colour, "JPEG", exif=exif),
        "progressive.jpg": _pillow(colour, "JPEG", progressive=True),
        "plain.tif": _pillow(GREY, "TIFF"),
        "lzw.tif": _pillow(colour, "TIFF", compression="tiff_lzw"),
        "deflate.tif": _pillow(GREY.astype(np.float32) / 255, "TIFF", compression="tiff_adobe_deflate"),
        "frames.tif": _animation("TIFF"),
        "frames.gif": _animation("GIF"),
        "grey.bmp": _pillow(GREY, "BMP"),
        "colour.webp": _pillow(colour, "WEBP"),
        "grey.pgm": _pillow(GREY, "PPM"),
        "text.ppm": b"P3 2 2 255\n1 2 3 4 5 6\n7 8 9 10 11 12\n",
    }


def rasters() -> dict[str, bytes]:
    place = {"crs": "EPSG:32633", "transform": Affine(0.5, 0, 500_000, 0, -0.5, 5_000_000)}
    found = {}
    for name, dtype, count, options in (
        ("tiles.tif", "uint8", 3, {"tiled": True, "blockxsize": 16, "blockysize": 16, "compress": "deflate"}),
        ("height.tif", "float32", 1, {"nodata": -9999.0}),
        ("bands.tif", "uint16", 5, {"compress": "lzw", "interleave": "band"}),
        ("signed.tif", "int16", 1, {"photometric": "miniswhite"}),
    ):
        with rasterio.MemoryFile() as memory:
            shape = {"height": 24, "width": 20, "count": count, "dtype": dtype}
            with memory.open(driver="GTiff", **shape, **place, **options) as dataset:
                dataset.write(np.stack([GREY.astype(dtype)] * count))
            found[name] = memory.read()
    return found


def volumes() -> dict[str, bytes]:
    return _volumes(np.stack([GREY] * 3).astype(np.int16) * 8 - 1024)


def _volumes(values: np.ndarray) -> dict[str, bytes]:  # type: ignore[type-arg]
    image = nibabel.Nifti1Image(values.transpose(2, 1, 0), np.diag([-0.7, -0.7, 5, 1]))
    found = {"a.nii": image.to_bytes(), "a.nii.gz": _zipped(image.to_bytes())}
    for name in ("a.nrrd", "a.mha"):
        path = Path.cwd() / name  # the process has a folder of its own
        SimpleITK.WriteImage(SimpleITK.GetImageFromArray(values), str(path))
        found[name] = path.read_bytes()
        path.unlink()
    return found


def _zipped(data: bytes) -> bytes:
    import gzip

    return gzip.compress(data, mtime=0)


def series() -> dict[str, bytes]:
    files = {}
    for number, dataset in enumerate(slices(3)):
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.4.{number}"
        file = io.BytesIO()
        pydicom.dcmwrite(file, dataset, enforce_file_format=True)
        files[f"{number}.dcm"] = file.getvalue()
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as writer:
        for name, data in files.items():
            writer.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)  # of no date: each time the same
    return {"0.dcm": files["0.dcm"], "series.zip": archive.getvalue()}


def masks() -> dict[str, bytes]:
    found = {
        "ids.png": _pillow(IDS, "PNG"),
        "bits.png": _pillow(IDS > 1, "PNG"),
        "palette.png": _palette("PNG"),
        "palette.gif": _palette("GIF"),
        "colours.png": _pillow(np.dstack([IDS * 80] * 3), "PNG"),
        "ids.tif": _pillow(IDS, "TIFF"),
        "ids.bmp": _pillow(IDS, "BMP"),
        "wide.tif": _pillow(IDS.astype(np.int32), "TIFF"),
    }
    return found | _volumes(np.stack([IDS] * 3))


def manifests() -> dict[str, bytes]:
    return {"manifest.csv": MANIFEST, "windows.csv": b"\xef\xbb\xbf" + MANIFEST.replace(b"\n", b"\r\n")}


def read_manifest_of(path: Path) -> object:
    """The folder of three pictures that it divides."""
    for name in ("images", "masks"):
        (path.parent / name).mkdir(exist_ok=True)
        for stem in "abc":
            if not (target := path.parent / name / f"{stem}.png").exists():
                target.write_bytes(_pillow(IDS if name == "masks" else GREY, "PNG"))
    data = _recipe().data.model_copy(update={"manifest": path.name})
    examples = find_examples(data, path.parent)
    return [read_example(example, data, CONFIG_OF_RECIPE) for example in examples]


def _recipe() -> Recipe:
    path = Path.cwd() / "sound.toml"
    path.write_text(RECIPE.replace("window = [-160.0, 240.0]\n", ""))
    return Recipe.from_file(path)


CONFIG_OF_RECIPE = config_for("binary")


def annotations() -> dict[str, bytes]:
    """By the kind that they are."""
    height, width = GREY.shape
    corners = [[2.0, 3.0], [15.5, 4.0], [9.0, 20.0]]
    flat = [number for point in corners for number in point]
    area = {"image_id": 1, "category_id": 7}
    coco = {
        "images": [{"id": 1, "file_name": "a.png", "height": height, "width": width}],
        "categories": [{"id": 7, "name": "cell", "supercategory": "none"}],
        "annotations": [
            {**area, "id": 1, "segmentation": [flat]},
            {**area, "id": 2, "segmentation": {"size": [height, width], "counts": [100, 30, height * width - 130]}},
            {**area, "id": 3, "segmentation": {"size": [height, width], "counts": compressed([90, 20, 370])}},
        ],
    }
    mask = base64.b64encode(_pillow(IDS[:8, :8] * 80, "PNG")).decode()
    shapes = [
        {"label": "cell", "shape_type": "polygon", "points": corners},
        {"label": "cell", "shape_type": "circle", "points": [[9, 9], [9, 14]]},
        {"label": "cell", "shape_type": "mask", "points": [[2, 2], [10, 10]], "mask": mask},
    ]
    labelme = {"imagePath": "a.png", "imageHeight": height, "imageWidth": width, "shapes": shapes}
    size = {"original_width": width, "original_height": height}
    rle = list(packed(IDS > 1))
    results = [
        {**size, "type": "brushlabels", "value": {"format": "rle", "rle": rle, "brushlabels": ["cell"]}},
        {**size, "type": "polygonlabels", "value": {"points": corners, "polygonlabels": ["cell"]}},
    ]
    studio = [{"data": {"image": "/data/upload/1/0a1b2c3d-a.png"}, "annotations": [{"result": results}]}]
    bitmap = {"origin": [2, 2], "data": base64.b64encode(zlib.compress(base64.b64decode(mask))).decode()}
    objects = [
        {"classTitle": "cell", "geometryType": "bitmap", "bitmap": bitmap},
        {"classTitle": "cell", "geometryType": "polygon", "points": {"exterior": corners, "interior": []}},
    ]
    points = ";".join(f"{x},{y}" for x, y in corners)
    cvat = f"""<annotations><image id="0" name="a.png" width="{width}" height="{height}">
<polygon label="cell" points="{points}" z_order="0"/><box label="cell" xtl="1" ytl="2" xbr="8" ybr="9" rotation="20"/>
<mask label="cell" rle="5, 6, 5" left="3" top="4" width="4" height="4"/></image></annotations>"""
    return {
        "coco": json.dumps(coco).encode(),
        "labelme": json.dumps(labelme).encode(),
        "labelstudio": json.dumps(studio).encode(),
        "supervisely": json.dumps({"size": {"height": height, "width": width}, "objects": objects}).encode(),
        "cvat": cvat.encode(),
        "yolo": b"0 0.1 0.1 0.9 0.2 0.5 0.8\n1 0.2 0.2 0.4 0.2 0.4 0.4\n",
    }


def draw(path: Path) -> object:
    """All that a file says, as label maps."""
    (kind,) = (one for one in get_args(Tool) if one == path.name)
    said = read_annotations(path, kind)
    numbers = numbered(said.classes)
    return [label_map(one, *GREY.shape, numbers, overlap=said.overlap) for one in said.pictures.values()]


def spoil_annotations(data: bytes, seed: int) -> bytes:
    return damaged_json(data, seed) if data[:1] in (b"{", b"[") else damaged(data, seed)


def splits() -> dict[str, bytes]:
    groups = {"p1": {"a": "0" * 16, "b": "1" * 16}}
    scores = {"val": {"mean_group_dice": 0.5, "miou": None, "accuracy": 1.0}}
    return {
        "split.json": json.dumps({"train": groups, "val": {"p2": {"c": "2" * 16}}, "test": {}}).encode(),
        "scores.json": json.dumps(scores).encode(),
    }


def read_papers(path: Path) -> object:
    """What `info` says of a checkpoint with them, and which of its pictures are known."""
    folder = path.parent / "checkpoint"
    if not folder.exists():
        network_for(CONFIG_OF_ALL).save_pretrained(folder)
        (folder / "a.png").write_bytes(_pillow(GREY, "PNG"))
    for name in splits():
        (folder / name).unlink(missing_ok=True)
    path.replace(folder / path.name)
    picture = folder / "a.png"
    shared_pictures(folder, "train", [Example(picture, picture, "a", "train")])
    return description(hub.find(folder))


def states() -> dict[str, bytes]:
    network = network_for(CONFIG_OF_RECIPE)
    some = optimizers(network, Train(optimizer="muon"))
    network.train()(torch.rand(2, 1, 16, 16)).sum().backward()
    for optimizer in some:
        optimizer.step()
    path = Path.cwd() / "state.safetensors"
    told = {"data": {"task": "binary", "palette": ["#000000"]}, "train": {"epochs": 3}}
    save_state(path, Position(epoch=1, step=1), told, network, network, some)
    return {"state.safetensors": path.read_bytes()}


def read_state(path: Path) -> object:
    network, average = network_for(CONFIG_OF_RECIPE), network_for(CONFIG_OF_RECIPE)
    told = {"data": {"task": "binary", "palette": ["#000000"]}, "train": {"epochs": 3}}
    return load_state(path, told, network, average, optimizers(network, Train(optimizer="muon")))


PICTURE = b"a picture"


def checkpoints() -> dict[str, bytes]:
    network = network_for(CONFIG_OF_RECIPE)
    weights = save({name: value.contiguous() for name, value in network.state_dict().items()})
    windows = torch.rand(12, features(CONFIG_OF_RECIPE))
    gate = fitted(windows, torch.rand(1, len(PERCENTILES)), views=[windows + view for view in range(9)])
    probabilities = np.linspace(0, 1, len(CONFIG_OF_RECIPE.outputs) * 48, dtype=np.float32).reshape(-1, 6, 8)
    proof = Proof(PICTURE, np.zeros((6, 8), np.uint8), probabilities)
    config = CONFIG_OF_RECIPE.to_json().encode()
    return {WEIGHTS: weights, GATE: gate.save(weights), CONFIG: config, **proof.files(weights)}


def read_checkpoint(path: Path) -> object:
    sound = path.parent / "sound"
    if not sound.exists():
        sound.mkdir()
        for name, data in checkpoints().items():
            (sound / name).write_bytes(data)
    folder = path.parent / "checkpoint"
    folder.mkdir(exist_ok=True)
    for file in sound.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    path.replace(folder / path.name)
    config, _ = hub.load(folder)
    return Gate.load(folder, config), Proof.load(folder, config)


def spoil_checkpoint(data: bytes, seed: int) -> bytes:
    if data == PICTURE:
        return data + bytes([seed % 256])
    return damaged_json(data, seed) if data.startswith(b"{") else damaged_safetensors(data, seed)


KINDS: dict[str, Kind] = {
    "pictures": Kind(pictures, read_image, share=4),
    "rasters": Kind(rasters, read_image),
    "volumes": Kind(volumes, read_image, share=2),
    "series": Kind(series, read_image),
    "masks": Kind(masks, read_mask, share=3),
    "configs": Kind(
        lambda: {"config.json": CONFIG_OF_ALL.to_json().encode()}, SegmentationConfig.from_file, damaged_json, 4
    ),
    "recipes": Kind(lambda: {"recipe.toml": RECIPE.encode()}, Recipe.from_file, damaged_toml, 4),
    "manifests": Kind(manifests, read_manifest_of, share=2),
    "annotations": Kind(annotations, draw, spoil_annotations, 3),
    "splits": Kind(splits, read_papers, damaged_json),
    "states": Kind(states, read_state, damaged_safetensors, 2),
    "checkpoints": Kind(checkpoints, read_checkpoint, spoil_checkpoint, 2),
}


def own(files: list[Path]) -> Iterator[tuple[str, Kind]]:
    """Pictures and volumes of one's own as a kind."""
    if files:
        yield "own files", Kind(lambda: {file.name: file.read_bytes() for file in files}, read_image)
