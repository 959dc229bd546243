"""By what a checkpoint proves itself: a small generated picture, and what its weights make of it in float32.

Read and judged without torch, so that any runtime can be held to it. Shapes: K output channels, H x W pixels.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

from .config import SegmentationConfig
from .files import EXPECTED, EXPECTED_BYTES, PICTURE, WEIGHTS, one_line

STEPS = 65535
"""Probabilities are stored as whole numbers of so many: nearer than any runtime comes."""
LONGEST = 256


@dataclass(frozen=True)
class Proof:
    """A test picture and what is expected of it.

    picture: the PNG. labels: uint8 (H,W). probabilities: float32 (K,H,W), calibrated.
    """

    picture: bytes
    labels: NDArray[np.uint8]
    probabilities: NDArray[np.float32]

    def files(self, weights: bytes) -> dict[str, bytes]:
        """The two files, bound to each other and to the weights in a `model.safetensors`."""
        tensors: dict[str, NDArray[Any]] = {
            "labels": np.ascontiguousarray(self.labels),
            "probabilities": (self.probabilities * STEPS).round().astype(np.uint16),
            "picture": _digest(self.picture),
            "weights": _digest(weights),
        }
        return {PICTURE: self.picture, EXPECTED: safetensors.numpy.save(tensors)}

    @classmethod
    def load(cls, folder: Path, config: SegmentationConfig) -> Proof | None:
        """The proof of a checkpoint's folder; None where there is none.

        ValueError of one sentence for one that is damaged or not whole, or belongs to other weights.
        """
        path, picture = folder / EXPECTED, folder / PICTURE
        there = [file.is_file() for file in (path, picture)]
        if not any(there):
            return None
        if not all(there):
            lacking, other = (PICTURE, EXPECTED) if there[0] else (EXPECTED, PICTURE)
            raise ValueError(f"{folder} has {other} and no {lacking}, which belong together; get or save it again")
        for file in (path, picture):
            if file.stat().st_size > EXPECTED_BYTES:
                raise ValueError(f"{file} has {file.stat().st_size:,} bytes, expected at most {EXPECTED_BYTES:,}")
        try:
            tensors = safetensors.numpy.load(path.read_bytes())
        except (safetensors.SafetensorError, OSError, KeyError, ValueError) as error:
            raise ValueError(
                f"{path} is not a whole safetensors file ({one_line(error)}); get or save it again"
            ) from None
        _check(path, tensors, config)
        for name, file in (("weights", folder / WEIGHTS), ("picture", picture)):
            if not np.array_equal(tensors[name], _digest(file.read_bytes())):
                raise ValueError(f"{path} belongs to another {file.name} than the one beside it")
        probabilities = (tensors["probabilities"] / STEPS).astype(np.float32)
        return cls(picture.read_bytes(), tensors["labels"], probabilities)

    def agreement(self, labels: NDArray[np.uint8]) -> float:
        """The share of labels (H,W) that are as expected."""
        return float((labels == self.labels).mean())

    def difference(self, probabilities: NDArray[np.float32]) -> float:
        """The largest difference of a probability (K,H,W) from what is expected; infinite where one is no number."""
        most = float(np.abs(probabilities - self.probabilities).max())
        return most if most == most else float("inf")


def labels_of(probabilities: NDArray[np.float32], config: SegmentationConfig) -> NDArray[np.uint8]:
    """The labels (H,W) of calibrated probabilities (K,H,W), as `task.decode` decides on logits."""
    labels = probabilities.argmax(axis=0)
    if not config.exclusive and config.background is not None:
        limits = np.array(config.thresholds, dtype=np.float32)[:, None, None]
        claimed = np.where(probabilities >= limits, probabilities, -1)
        labels = np.where(claimed.max(axis=0) >= 0, claimed.argmax(axis=0) + 1, 0)
    return np.asarray(labels, dtype=np.uint8)


def _digest(data: bytes) -> NDArray[np.uint8]:
    return np.array(list(hashlib.sha256(data).digest()), dtype=np.uint8)


def _check(path: Path, tensors: dict[str, NDArray[Any]], config: SegmentationConfig) -> None:
    expected = {"labels": np.uint8, "probabilities": np.uint16, "picture": np.uint8, "weights": np.uint8}
    if different := sorted(expected.keys() ^ tensors.keys()):
        raise ValueError(f"{path} is no test of a checkpoint: {different[0]!r} is lacking or unknown")
    shape = tensors["labels"].shape
    fits = {"labels": shape, "probabilities": (len(config.outputs), *shape), "picture": (32,), "weights": (32,)}
    if len(shape) != 2 or not all(0 < side <= LONGEST for side in shape):
        raise ValueError(f"{path} is no test of this checkpoint: labels are {shape}, expected some rows and columns")
    for name, kind in expected.items():
        if tensors[name].dtype != kind or tensors[name].shape != fits[name]:
            raise ValueError(
                f"{path} is no test of this checkpoint: {name} is {tensors[name].dtype} {tensors[name].shape}, "
                f"expected {np.dtype(kind)} {fits[name]}"
            )
    if (wrong := int(tensors["labels"].max())) >= len(config.labels):
        raise ValueError(f"{path} is damaged: it holds the label {wrong}, expected 0..{len(config.labels) - 1}")
