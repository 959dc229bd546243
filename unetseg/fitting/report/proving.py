"""Looking for a generated picture by which a network can prove itself, see `proof.py`."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import itertools
from collections.abc import Iterator, Sequence
from functools import cache

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from ...config import SegmentationConfig
from ...files import EXPECTED, PICTURE, WEIGHTS, whole
from ...formats import as_image
from ...model import UNet
from ...predictor import Predictor
from ...proof import Proof
from ...samples import SampleKind, draw_sample

SMALLEST_SHARE = 0.02
"""Of the test picture, that each label covers."""
SMALLEST_MARGIN = 1e-4
"""By which each of its labels is decided at least: else another order of additions would turn one over."""
SIDES, SEEDS, DRAWN = (64, 96, 128), 6, 256
"""Of the pictures that are tried: their sides, how many are drawn of each kind, and at which size."""
NONE_FOUND = (
    f"of the generated pictures that were tried there is none on which each label covers {SMALLEST_SHARE:.0%} and "
    "probabilities fill 0 to 1"
)


def write_proof(network: UNet) -> None:
    """Look for a test picture for a checkpoint's folder, and write it there.

    Raises ValueError where there is a sound one, or none is found.
    """
    assert network.source is not None, "a checkpoint"
    folder = network.source.folder
    with contextlib.suppress(ValueError):  # a damaged one, or that of other weights, is replaced
        if Proof.load(folder, network.config) is not None:
            raise FileExistsError(f"{folder} has a test picture; remove {PICTURE} and {EXPECTED} to have another")
    proof = find_proof(network, network.config)
    if proof is None:
        raise ValueError(f"{folder} gets no test picture: {NONE_FOUND}")
    for name, data in proof.files((folder / WEIGHTS).read_bytes()).items():
        with whole(folder / name) as temporary:
            temporary.write_bytes(data)


def find_proof(network: UNet, config: SegmentationConfig) -> Proof | None:
    """A generated picture by which a network can prove itself; None where none of those that are tried will do.

    config: whose temperatures and thresholds count; else as the network's.
    Each label covers SMALLEST_SHARE of it, its probabilities fill 0 to 1, and no label hangs on the last digits.
    """
    if len(config.channels) not in (1, 3) or config.value_range is not None:
        return None  # a PNG of 8 bits is no picture to it
    predictor = Predictor(network, device="cpu", precision="float32")
    grey = len(config.channels) == 1
    for pixels in _pictures(("ct", "aerial") if grey else ("aerial", "ct"), "L" if grey else "RGB"):
        segmentation = dataclasses.replace(predictor(as_image(pixels)), config=config)
        proof = Proof(_png(pixels), segmentation.labels()[0], segmentation.probabilities[0].numpy())
        if _will_do(proof, config):
            return proof
    return None


def _pictures(kinds: Sequence[SampleKind], mode: str) -> Iterator[NDArray[np.uint8]]:
    """Generated pictures, reduced, and parts of them; the smallest first."""
    for side in SIDES:
        start = (DRAWN - side) // 2
        for kind, seed in itertools.product(kinds, range(SEEDS)):
            picture = _drawn(kind, seed).convert(mode)
            yield np.asarray(picture.resize((side, side), PIL.Image.Resampling.BOX))
            yield np.asarray(picture.crop((start, start, start + side, start + side)))


@cache
def _drawn(kind: SampleKind, seed: int) -> PIL.Image.Image:
    """Drawn once, when it is first tried: each fold of a cross-validation tries the same."""
    return PIL.Image.fromarray(draw_sample(kind, seed, DRAWN)[0])


def _will_do(proof: Proof, config: SegmentationConfig) -> bool:
    shares = np.bincount(proof.labels.flatten(), minlength=len(config.labels)) / proof.labels.size
    tenths, _ = np.histogram(proof.probabilities, bins=10, range=(0, 1))
    return bool(shares.min() >= SMALLEST_SHARE and tenths.min() > 0 and _margin(proof, config) >= SMALLEST_MARGIN)


def _margin(proof: Proof, config: SegmentationConfig) -> float:
    """By how much the closest decision was made, as a difference of probabilities."""
    margins = []
    if len(config.outputs) > 1:
        second, first = np.sort(proof.probabilities, axis=0)[-2:]
        margins.append(float((first - second).min()))
    if not config.exclusive and config.background is not None:
        limits = np.array(config.thresholds)[:, None, None]
        margins.append(float(np.abs(proof.probabilities - limits).min()))
    return min(margins)


def _png(pixels: NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    PIL.Image.fromarray(pixels).save(file, format="PNG", optimize=True)
    return file.getvalue()
