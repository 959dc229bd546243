"""ONNX files in the runtimes that read them, each in one thread."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnxruntime
import openvino
from numpy.typing import NDArray

from unetseg.export import INPUT

Network = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""Pictures (N,C,H,W) to probabilities (N,K,H,W)."""
Runtime = Callable[[bytes], Network]


def with_onnxruntime(data: bytes) -> Network:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    return lambda x: session.run(None, {INPUT: x})[0]


def with_openvino(data: bytes) -> Network:
    core = openvino.Core()
    options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    compiled = core.compile_model(core.read_model(data), "CPU", options)
    return lambda x: compiled(x)[0]
