"""A checkpoint as one ONNX file that needs nothing else: from a picture to calibrated probabilities of its size.

The graph is written node by node rather than traced: it takes pictures of any height and width, holds each weight once
whatever the number of scales, and nothing of the machine that wrote it. What `prepare` and the Predictor do to a
picture of one tile is inside: the working size, every scale, padding, the mean of the logits, temperature, activation.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from .config import SegmentationConfig
from .files import WEIGHTS, check_target, whole
from .formats.libraries import imported
from .model import UNet, fused
from .version import __version__

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto, TensorProto

_Value: TypeAlias = str | float | Sequence[int] | NDArray[Any]
"""What a node takes: the name of another one's output, or numbers."""
_Attribute: TypeAlias = int | str | Sequence[int]

OPSET, IR_VERSION = 21, 10
"""Of 2024: ONNX Runtime reads it since 1.18."""
INPUT, OUTPUT = "image", "probabilities"
TILE, OVERLAP = 512, 25
"""Pixels a side and percent that a program which cuts a raster into tiles is told to take."""
ZERO, ONE = np.array(0), np.array(1)  # a list of one number is another shape
FINEST = 1024
"""Parts of a pixel, in which sizes are computed in whole numbers."""
LARGEST_HALF = float(np.finfo(np.float16).max)


def export(network: UNet, path: Path, *, float16: bool = False, tile: int | None = None) -> Path:
    """Write a network as an ONNX file, whole or not at all; ValueError where there is one of this name.

    float16: weights of half the size. What is computed stays float32: in float16 a CPU takes half as long again, and
        the probabilities are no nearer.
    tile: take squares of so many pixels only, for programs that know no other pictures; any size unless given.
    """
    check_target(path)
    if path.exists():
        raise ValueError(f"{path} exists; name another file with --out, or remove it")
    data = as_onnx(network, float16=float16, tile=tile)
    with whole(path) as temporary:
        temporary.write_bytes(data)
    return path


def as_onnx(network: UNet, *, float16: bool = False, tile: int | None = None) -> bytes:
    """The ONNX file of a network; see `export`.

    Input `image`: float32 (N,C,H,W) from 0 to 1. Output `probabilities`: float32 (N,K,H,W), calibrated.
    """
    onnx = imported("onnx", "the export to ONNX", extra="onnx")
    if tile is not None and tile < 1:
        raise ValueError(f"a tile has at least one pixel a side, got {tile}")
    model: ModelProto = onnx.helper.make_model(
        _graph(onnx, network, float16=float16, tile=tile),
        opset_imports=[onnx.helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="unetseg",
        producer_version=__version__,
    )
    onnx.helper.set_model_props(model, metadata(network, tile=tile))
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))


def metadata(network: UNet, *, tile: int | None = None) -> dict[str, str]:
    """What the file says of itself: all of config.json, how it is used, and what QGIS's Deepness reads.

    Deepness has no background beside several sigmoids: a model of that kind says nothing to it.
    """
    config = network.config
    window = (
        "" if config.window is None else f"; of Hounsfield units {config.window[0]:g} is 0 and {config.window[1]:g} 1"
    )
    facts = {
        "config.json": config.to_json(),
        "input": f"float32 (N,C,H,W) from 0 to 1, {', '.join(config.channels)}{window}; mean and std are inside",
        "output": f"float32 (N,K,H,W), calibrated probabilities of {', '.join(config.outputs)}",
        "padding": f"inside: the last rows and columns are repeated, to a multiple of {config.stride} at each scale",
        "unetseg": __version__,
    }
    if network.source is not None:  # None of a network that no file holds yet
        facts["weights_sha256"] = hashlib.sha256((network.source.folder / WEIGHTS).read_bytes()).hexdigest()
    if config.exclusive or config.background is None or len(config.classes) == 1:
        facts |= _for_deepness(config, TILE if tile is None else tile)
    return facts


def _for_deepness(config: SegmentationConfig, tile: int) -> dict[str, str]:
    by_argmax = config.exclusive or config.background is None
    facts: dict[str, object] = {
        "model_type": "Segmentor",
        "class_names": dict(enumerate(config.outputs)),
        # its documents have the first name, its code reads the second
        "tiles_size": tile,
        "tile_size": tile,
        "tiles_overlap": OVERLAP,
        "standardization_mean": [0.0] * len(config.channels),
        "standardization_std": [1.0] * len(config.channels),
        # below it a class is out of the question, which no label of an argmax is
        "seg_thresh": 0.0 if by_argmax else config.thresholds[0],
    }
    if config.ground_resolution is not None:
        low, high = config.ground_resolution
        facts["resolution"] = round(100 * math.sqrt(low * high), 1)  # in centimetres
        if low != high:
            facts["resolution_is"] = f"estimated: the middle of {low:g} to {high:g} m a pixel in training"
    return {name: json.dumps(value) for name, value in facts.items()}


def _graph(onnx: Any, network: UNet, *, float16: bool, tile: int | None) -> Any:  # noqa: ANN401, of an extra
    config, plain = network.config, fused(network)
    nodes = _Nodes(onnx.helper.make_node, onnx.numpy_helper.from_array, np.float16 if float16 else np.float32)
    stored = [nodes.add("Shape", INPUT, start=axis, end=axis + 1) for axis in (2, 3)]  # (1,) each
    size, x = stored, INPUT
    if config.working_size is not None:
        longest = nodes.add("Max", *stored)
        size = [nodes.share(nodes.add("Mul", side, [config.working_size]), longest) for side in stored]
    elif config.working_scale != 1:
        size = [nodes.times(side, config.working_scale) for side in stored]
    if size is not stored:
        x = nodes.antialiased(x, stored, size)
    channels = (-1, 1, 1)
    x = nodes.add("Sub", x, np.reshape(np.array(config.mean, dtype=np.float32), channels))
    x = nodes.add("Div", x, np.reshape(np.array(config.std, dtype=np.float32), channels))
    total = ""
    for factor in config.scales:
        own = size if factor == 1 else [nodes.times(side, factor) for side in size]
        seen = x if factor == 1 else nodes.resized(x, own) if factor > 1 else nodes.antialiased(x, size, own)
        logits = _network(nodes, plain, nodes.padded(seen, own, config.stride))
        logits = nodes.add("Slice", logits, [0, 0], nodes.add("Concat", *own, axis=0), [2, 3])
        if factor != 1:
            logits = nodes.resized(logits, size)
        total = nodes.add("Add", total, logits) if total else logits
    if size is not stored:
        total = nodes.resized(total, stored)
    temperatures = np.reshape(np.array(config.temperatures, dtype=np.float32), channels)
    total = nodes.add("Div", total, temperatures * len(config.scales))  # their mean, at the temperature
    if config.exclusive:
        nodes.add("Softmax", total, name=OUTPUT, axis=1)
    else:
        nodes.add("Sigmoid", total, name=OUTPUT)
    sides: list[int | str] = ["height", "width"] if tile is None else [tile, tile]
    described = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["batch", count, *sides])
        for name, count in ((INPUT, len(config.channels)), (OUTPUT, len(config.outputs)))
    ]
    return onnx.helper.make_graph(nodes.nodes, "unetseg", described[:1], described[1:], nodes.constants)


def _network(nodes: _Nodes, network: UNet, x: str) -> str:
    """Logits of `UNet.forward`, for a network whose norms are folded; its weights are constants of their own names."""

    def weights(layer: Any, name: str) -> tuple[str, str]:  # noqa: ANN401, a convolution of either kind
        return nodes.weight(f"{name}.weight", layer.weight), nodes.weight(f"{name}.bias", layer.bias)

    def block(layers: Any, name: str, x: str) -> str:  # noqa: ANN401, a Sequential
        for number in (0, 2):
            x = nodes.add("Conv", x, *weights(layers[number], f"{name}.{number}"), pads=[1, 1, 1, 1])
            x = nodes.add("Relu", x)
        return x

    skips: list[str] = []
    for depth, layers in enumerate(network.contracting):
        if depth:
            skips.append(x)
            x = nodes.add("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
        x = block(layers, f"contracting.{depth}", x)
    for step, (upsample, layers) in enumerate(zip(network.upsampling, network.expanding, strict=True)):
        x = nodes.add("ConvTranspose", x, *weights(upsample, f"upsampling.{step}"), strides=[2, 2])
        x = block(layers, f"expanding.{step}", nodes.add("Concat", skips.pop(), x, axis=1))
    return nodes.add("Conv", x, *weights(network.head, "head"))


class _Nodes:
    """Nodes of a graph in their order, and its constants; each method gives the name of what it adds."""

    def __init__(self, make_node: Any, from_array: Any, kind: type[np.float16 | np.float32]) -> None:  # noqa: ANN401, of an extra
        """kind: of the weights in the file."""
        self.make_node, self.from_array, self.kind = make_node, from_array, kind
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []
        self.names: dict[tuple[str, bytes, tuple[int, ...]] | str, str] = {}

    def add(self, operator: str, *inputs: _Value, name: str = "", **options: _Attribute) -> str:
        """A node; numbers among its inputs become constants, integers int64 and floats those of a double."""
        name = name or f"{operator.lower()}_{len(self.nodes)}"
        names = [value if isinstance(value, str) else self._constant(np.asarray(value)) for value in inputs]
        self.nodes.append(self.make_node(operator, names, [name], name, **options))
        return name

    def weight(self, name: str, tensor: torch.Tensor) -> str:
        """A weight of the network as float32, once."""
        if name not in self.names:
            values = tensor.detach().cpu().numpy()
            if self.kind is np.float16 and (largest := float(np.abs(values).max())) > LARGEST_HALF:
                raise ValueError(f"{name} holds {largest:g}, and float16 ends at {LARGEST_HALF:g}; leave out --float16")
            self.constants.append(self.from_array(values.astype(self.kind), name))
            # runtimes do this once, when they load the file
            self.names[name] = name if self.kind is np.float32 else self.cast(name, np.float32)
        return self.names[name]

    def cast(self, x: str, kind: type[np.generic]) -> str:
        """Numbers of another kind."""
        return self.add("Cast", x, to=_KINDS[kind])

    def times(self, side: str, factor: float) -> str:
        """A side in pixels times a factor, at least one pixel: rounded as Python rounds."""
        exact = Fraction(factor)
        if exact.denominator <= FINEST:
            return self.share(self.add("Mul", side, [exact.numerator]), [exact.denominator])
        # 0.7 of float64 is no 7/10. The runtime of browsers for graphics cards has no float64: they take another one
        product = self.add("Mul", self.cast(side, np.float64), factor)
        return self.add("Max", self.cast(self.add("Round", product), np.int64), [1])

    def share(self, number: str, divisor: _Value) -> str:
        """A whole number over another one, at least 1: rounded, and what lies between two to the even one."""
        number, divisor = self.add("Add", self.add("Mul", number, [2]), divisor), self.add("Mul", divisor, [2])
        odd = self.add("Mod", self.add("Div", number, divisor), [2])
        return self.add("Max", self.add("Div", self.add("Sub", number, odd), divisor), [1])

    def antialiased(self, x: str, old: Sequence[str], new: Sequence[str]) -> str:
        """(N,C,H,W) to another size, bilinearly and antialiased where it gets smaller.

        By matrices of weights: some runtimes ignore what `Resize` says of it.
        """
        rows, columns = (self._triangles(*sides) for sides in zip(old, new, strict=True))
        return self.add("MatMul", self.add("MatMul", rows, x), self.add("Transpose", columns, perm=[1, 0]))

    def _triangles(self, old: str, new: str) -> str:
        """What each of `new` pixels takes of `old` ones in a row: float32 (new,old), rows that add up to 1.

        Of an even row and its half, [1 3 3 1]/8 of four pixels, divided by its sum at the border. In whole numbers, so
        exact: pixel i reaches max(old,new) to both sides of its middle, in 1/(2 new) of an old pixel.
        """
        target, source = (self.add("Range", ZERO, self.add("Squeeze", side), ONE) for side in (new, old))
        middle = self.add("Sub", self.add("Mul", self._odd(target), old), new)  # (2i + 1) old - new
        place = self.add("Mul", self.add("Mul", source, [2]), new)  # 2j new
        distance = self.add("Abs", self.add("Sub", self.add("Unsqueeze", middle, [1]), place))  # (new,old)
        reach = self.add("Mul", self.add("Max", old, new), [2])
        weights = self.cast(self.add("Max", self.add("Sub", reach, distance), [0]), np.float32)
        return self.add("Div", weights, self.add("ReduceSum", weights, [1], keepdims=1))

    def _odd(self, numbers: str) -> str:
        return self.add("Add", self.add("Mul", numbers, [2]), [1])

    def resized(self, x: str, size: Sequence[str]) -> str:
        """(N,C,H,W) to another size, bilinearly."""
        start = self.add("Shape", x, start=0, end=2)
        sizes = self.add("Concat", start, *size, axis=0)
        return self.add("Resize", x, "", "", sizes, mode="linear", coordinate_transformation_mode="half_pixel")

    def padded(self, x: str, size: Sequence[str], stride: int) -> str:
        """(N,C,H,W) with its last rows and columns repeated up to a multiple of the stride."""
        # (stride - 1) - (side - 1) % stride: nowhere a negative number, whose rest is a matter of taste
        missing = [
            self.add("Sub", [stride - 1], self.add("Mod", self.add("Sub", side, [1]), [stride])) for side in size
        ]
        return self.add("Pad", x, self.add("Concat", [0] * 6, *missing, axis=0), mode="edge")

    def _constant(self, value: NDArray[Any]) -> str:
        key = (str(value.dtype), value.tobytes(), value.shape)
        if key not in self.names:
            self.names[key] = f"constant_{len(self.names)}"
            self.constants.append(self.from_array(value, self.names[key]))
        return self.names[key]


_KINDS: dict[type[np.generic], int] = {np.float32: 1, np.int64: 7, np.float64: 11}
"""Numbers that ONNX gives to kinds of numbers."""
