"""Segment a picture with an exported checkpoint: ONNX Runtime, NumPy and Pillow, neither torch nor unetseg.

    python -m unetseg export liver-unet --out liver.onnx
    python docs/without_torch.py liver.onnx slice.png labels.png

The labels are those of the picture in one piece, but for rounding. Where that has more than 2048 pixels a side and the
checkpoint no working size, it goes through in tiles, each of which sees less beside its edges: 3 labels in a thousand
are others then, as 4 are of unetseg's own tiles.
"""

import json
import sys

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

TILE, OVERLAP, GRID = 2048, 256, 64


def read(path: str, channels: int) -> np.ndarray:
    """A picture of 8 bits as float32 (1,C,H,W) from 0 to 1."""
    picture = ImageOps.exif_transpose(Image.open(path))
    if picture.mode not in ("L", "RGB", "P"):
        raise SystemExit(f"{path} is of mode {picture.mode}; save it as grey or RGB of 8 bits")
    pixels = np.atleast_3d(np.float32(picture.convert("RGB") if picture.mode == "P" else picture) / 255)  # (H,W,C)
    if channels == 1 and pixels.shape[2] == 3:
        pixels = pixels @ np.float32([[0.299], [0.587], [0.114]])
    if channels == 3 and pixels.shape[2] == 1:
        pixels = pixels.repeat(3, axis=2)
    return np.ascontiguousarray(np.moveaxis(pixels, 2, 0)[None])


def tiles(size: int) -> list[slice]:
    """Some slices that cover so many pixels and overlap, each from a multiple of GRID: pooling sees the same pixels."""
    count = max(1, -(-(size - OVERLAP) // (TILE - OVERLAP)))
    starts = [(size - TILE) * i // max(1, count - 1) // GRID * GRID for i in range(count)]
    return [slice(max(0, start), size if i == count - 1 else start + TILE) for i, start in enumerate(starts)]


def probabilities(session: onnxruntime.InferenceSession, x: np.ndarray, whole: bool) -> np.ndarray:
    """Calibrated probabilities (K,H,W) of a picture (1,C,H,W). whole: the model reduces it to a size by itself."""
    height, width = x.shape[2:]
    if whole or max(height, width) <= TILE:
        return session.run(None, {"image": x})[0][0]
    total, weight = 0, np.zeros((height, width), np.float32)
    for rows in tiles(height):
        for columns in tiles(width):
            found = session.run(None, {"image": np.ascontiguousarray(x[:, :, rows, columns])})[0][0]  # (K,h,w)
            ramps = (
                np.minimum(np.arange(n), np.arange(n)[::-1]).clip(GRID // 2, OVERLAP // 2) for n in found.shape[1:]
            )
            tent = np.float32(np.minimum.outer(*ramps)) - GRID // 2 + 1e-3  # the outermost pixels see the least
            if isinstance(total, int):
                total = np.zeros((len(found), height, width), np.float32)
            total[:, rows, columns] += found * tent
            weight[rows, columns] += tent
    return total / weight


def labels(p: np.ndarray, config: dict) -> np.ndarray:
    """The label ids (H,W) of probabilities (K,H,W)."""
    if config["task"] == "multiclass" or config["background"] is None:
        return p.argmax(axis=0).astype(np.uint8)
    claimed = np.where(p >= np.float32(config["thresholds"])[:, None, None], p, -1)
    return np.where(claimed.max(axis=0) < 0, 0, claimed.argmax(axis=0) + 1).astype(np.uint8)


if __name__ == "__main__":
    model, picture, target = sys.argv[1:]
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    config = json.loads(session.get_modelmeta().custom_metadata_map["config.json"])
    found = probabilities(session, read(picture, len(config["channels"])), config["working_size"] is not None)
    Image.fromarray(labels(found, config)).save(target)
