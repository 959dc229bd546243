"""A checkpoint proves itself on this machine: every way of running it against its own test picture.

Bounds are those of the runtime: another order of additions for float32, eight bits of mantissa for bfloat16.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import torch
from numpy.typing import NDArray

from .export import INPUT, as_onnx
from .files import ONNX, PICTURE
from .formats import Image, read_image, read_mask
from .formats.libraries import imported
from .model import UNet
from .predictor import Predictor, has_bfloat16, usable
from .prepare import scale
from .proof import Proof, labels_of


@dataclass(frozen=True)
class Bounds:
    """The smallest agreement of labels, and the largest difference of a probability, that pass."""

    agreement: float
    difference: float


FLOAT32, BFLOAT16 = Bounds(0.9999, 1e-3), Bounds(0.99, 0.05)


@dataclass(frozen=True)
class Given:
    """What each way is given: a network, the test picture as a file and as an image, and a folder to write to."""

    network: UNet
    path: Path
    image: Image
    folder: Path


@dataclass(frozen=True)
class Found:
    """Labels (H,W), and probabilities (K,H,W) of a way that gives any."""

    labels: NDArray[np.uint8]
    probabilities: NDArray[np.float32] | None


@dataclass(frozen=True)
class Outcome:
    """How a way went. lacking: why it can't be taken here; seconds: of a second run."""

    way: str
    bounds: Bounds
    agreement: float | None = None
    difference: float | None = None
    seconds: float | None = None
    lacking: str | None = None

    @property
    def passed(self) -> bool:
        """Within the bounds, or not to be had here."""
        if self.agreement is None:
            return True
        return self.agreement >= self.bounds.agreement and (self.difference or 0) <= self.bounds.difference


class Lacking(Exception):  # noqa: N818, it is no error
    """Why a way can't be taken here, in a few words."""


Run = Callable[[], Found]


def _float32(given: Given) -> Run:
    return _of(Predictor(given.network, precision="float32"), given)


def _bfloat16(given: Given) -> Run:
    if not has_bfloat16(usable("auto")):
        raise Lacking("this hardware has none")
    return _of(Predictor(given.network, precision="bfloat16"), given)


def _compiled(given: Given) -> Run:
    run = _of(Predictor(given.network, precision="float32", compiled="always"), given)
    try:
        run()
    except ValueError as error:
        raise Lacking(str(error).partition(";")[0]) from None
    return run


def _of(predictor: Predictor, given: Given) -> Run:
    def run() -> Found:
        segmentation = predictor(given.image)
        return Found(segmentation.labels()[0], segmentation.probabilities[0].numpy())

    return run


def _streamed(given: Given) -> Run:
    _library("rasterio", "geo")
    source, target = given.folder / "sample.tif", given.folder / "labels.tif"
    PIL.Image.fromarray(given.image.pixels[0].squeeze()).save(source)
    predictor = Predictor(given.network, precision="float32")

    def run() -> Found:
        predictor.write(source, target)
        return Found(read_mask(target).astype(np.uint8), None)

    return run


def _onnxruntime(given: Given) -> Run:
    onnxruntime = _library("onnxruntime", "onnx")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(_exported(given), options, providers=["CPUExecutionProvider"])
    return _of_probabilities(lambda x: session.run(None, {INPUT: x})[0], given)


def _openvino(given: Given) -> Run:
    core = _library("openvino", "openvino").Core()
    # it takes bfloat16 by itself where the hardware has it
    options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": torch.get_num_threads()}
    compiled = core.compile_model(core.read_model(_exported(given)), "CPU", options)
    return _of_probabilities(lambda x: compiled(x)[0], given)


def _of_probabilities(network: Callable[[NDArray[np.float32]], NDArray[np.float32]], given: Given) -> Run:
    x = scale(given.image, given.network.config).numpy()

    def run() -> Found:
        probabilities = network(x)[0]
        return Found(labels_of(probabilities, given.network.config), probabilities)

    return run


def _exported(given: Given) -> bytes:
    """The ONNX file beside the weights, or what an export makes of them."""
    beside = given.path.parent / ONNX
    if beside.is_file():
        return beside.read_bytes()
    _library("onnx", "onnx")
    return as_onnx(given.network)


def _library(module: str, extra: str) -> Any:  # noqa: ANN401, a module
    try:
        return imported(module, "this", extra=extra)
    except ValueError as error:
        raise Lacking(str(error).removeprefix("this needs ")) from None


WAYS: dict[str, tuple[Callable[[Given], Run], Bounds]] = {
    "float32": (_float32, FLOAT32),
    "bfloat16": (_bfloat16, BFLOAT16),
    "compiled": (_compiled, FLOAT32),
    "streamed": (_streamed, FLOAT32),
    "onnxruntime": (_onnxruntime, FLOAT32),
    "openvino": (_openvino, FLOAT32),
}


def verify(network: UNet, ways: Sequence[str] = tuple(WAYS)) -> Iterator[Outcome]:
    """Run a checkpoint's network on its test picture in each way, and compare with what is expected.

    Raises ValueError, in a sentence, where the checkpoint has no test picture or one of other weights.
    """
    assert network.source is not None, "a checkpoint"
    folder = network.source.folder
    proof = Proof.load(folder, network.config)
    if proof is None:
        raise ValueError(
            f"{network.source} has no test picture, as older checkpoints have none; `verify --write` gives one to a "
            "folder"
        )
    image = read_image(folder / PICTURE)
    with tempfile.TemporaryDirectory() as temporary:
        given = Given(network, folder / PICTURE, image, Path(temporary))
        for way in ways:
            yield _outcome(way, given, proof)


def _outcome(way: str, given: Given, proof: Proof) -> Outcome:
    start, bounds = WAYS[way]
    try:
        run = start(given)
    except Lacking as reason:
        return Outcome(way, bounds, lacking=str(reason))
    run()
    started = time.perf_counter()
    found = run()
    seconds = time.perf_counter() - started
    difference = None if found.probabilities is None else proof.difference(found.probabilities)
    return Outcome(way, bounds, proof.agreement(found.labels), difference, seconds)


def line(outcome: Outcome) -> str:
    """An outcome in words."""
    if outcome.agreement is None:
        return f"{outcome.way:12} not here: {outcome.lacking}"
    most = f"(at most {outcome.bounds.difference:g})"
    difference = (
        "labels only" if outcome.difference is None else f"probabilities within {outcome.difference:.1e} {most}"
    )
    agreement = f"{outcome.agreement:8.3%} of the labels (at least {outcome.bounds.agreement:.2%})"
    failed = "" if outcome.passed else "  FAILED"
    return f"{outcome.way:12} {agreement}  {difference:40}  {outcome.seconds:.3f} s{failed}"
