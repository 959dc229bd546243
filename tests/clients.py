"""The hub's real client in a process of its own, for it reads its settings from the environment once, at import.

In a test, with a function of this module or one that imports no more than the package:

    with Client(hub.environment(tmp_path)) as client:
        answer = client.call(open_model, "someone/model", revision="v1")
        assert answer.value.source.commit == first

Each is forked from a process that has torch loaded and huggingface_hub not, so it starts in a quarter of a second.
"""

from __future__ import annotations

import functools
import importlib
import logging
import multiprocessing
import os
import runpy
import sys
import tempfile
import time
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from unetseg import Predictor, SegmentationConfig, UNet, demo
from unetseg.hub.download import Source

PICTURE = np.random.default_rng(0).integers(0, 256, (20, 31), dtype=np.uint8)
SECONDS = 60  # of patience: a busy machine is slow
OF_THE_HUB = ("HF_", "HUGGING", "NO_PROXY", "no_proxy")

forkserver = multiprocessing.get_context("forkserver")
forkserver.set_forkserver_preload(
    [
        "pytest",
        "torch._dynamo",  # an optimizer imports it, in two seconds
        "unetseg.__main__",
        "unetseg.demo",
        "unetseg.fitting.doctor",
        "unetseg.hub.space",
        "unetseg.hub.upload",
    ]
)


@dataclass(frozen=True)
class Answer:
    """What a call gave or raised, as `ValueError: why`, and how long it took. output: all that it printed or logged."""

    value: Any
    error: str | None
    seconds: float
    output: str

    def refused(self, kind: type[BaseException]) -> str:
        """The message of the error of a kind that it must have raised: one sentence on one line."""
        assert self.error is not None, f"nothing was raised, it gave {self.value}"
        name, _, message = self.error.partition(": ")
        assert name == kind.__name__, self.error
        assert len(message.splitlines()) == 1, self.error
        return message

    def given(self) -> Any:  # noqa: ANN401, whatever the function gives
        """What it gave; fails with the error and the output if it raised one."""
        assert self.error is None, f"{self.error}\n{self.output}"
        return self.value


class Client:
    """A process with the hub's client that calls one function after the other, within `with`.

    hurry: its pauses before another try last 20 ms instead of up to 8 s. chunk: bytes; what broke off is got again
    from a multiple of them on.
    """

    def __init__(self, environment: Mapping[str, str], *, hurry: bool = False, chunk: int | None = None) -> None:
        self._here, there = forkserver.Pipe()
        self._process = forkserver.Process(target=_serve, args=(there, dict(environment), hurry, chunk), daemon=True)
        self._process.start()
        there.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._here.close()
        self._process.join(5)
        self._process.kill()
        self._process.join()
        self._process.close()

    def begin(self, function: Callable[..., Any], *arguments: Any, **keywords: Any) -> None:  # noqa: ANN401
        """Call a function there, and do not wait for it; `end` does."""
        self._here.send((function, arguments, keywords))

    def end(self) -> Answer:
        assert self._here.poll(SECONDS), "the client does not come to an end"
        answer: Answer = self._here.recv()
        return answer

    def call(self, function: Callable[..., Any], *arguments: Any, **keywords: Any) -> Answer:  # noqa: ANN401
        self.begin(function, *arguments, **keywords)
        return self.end()


def _serve(connection: Connection, environment: dict[str, str], hurry: bool, chunk: int | None) -> None:
    assert "huggingface_hub" not in sys.modules, "it would not read these settings"
    for name in [name for name in os.environ if name.startswith(OF_THE_HUB)]:
        del os.environ[name]
    os.environ.update(environment)
    torch.set_num_threads(1)
    if hurry:
        time.sleep = functools.partial(_pause, time.sleep)
    if chunk is not None:
        importlib.import_module("huggingface_hub.constants").DOWNLOAD_CHUNK_SIZE = chunk  # type: ignore[attr-defined]
    with tempfile.TemporaryFile("w+b") as output:
        for stream in (1, 2):
            os.dup2(output.fileno(), stream)
        sys.stdout, sys.stderr = (os.fdopen(stream, "w", buffering=1) for stream in (1, 2))
        logging.basicConfig(format="%(message)s")
        logging.getLogger("unetseg").setLevel(logging.INFO)
        while True:
            try:
                function, arguments, keywords = connection.recv()
            except EOFError:
                return
            value, error, started, begun = None, None, time.monotonic(), os.fstat(1).st_size
            try:
                value = function(*arguments, **keywords)
            except (Exception, SystemExit) as raised:
                error = f"{type(raised).__name__}: {raised}"
            seconds = time.monotonic() - started
            printed = os.pread(1, os.fstat(1).st_size - begun, begun).decode()
            connection.send(Answer(value, error, seconds, printed))


def _pause(sleep: Callable[[float], None], seconds: float) -> None:
    sleep(min(seconds, 0.02))


# --- what clients do ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Opened:
    """A model: where it was found, its config, and its logits (1,K,H,W) for PICTURE."""

    source: Source | None
    config: SegmentationConfig
    logits: NDArray[np.float32] = field(repr=False)


def opened(network: UNet) -> Opened:
    logits = Predictor(network, device="cpu", precision="float32")(PICTURE).logits
    return Opened(network.source, network.config, logits.numpy())


def open_model(name: str | Path, **keywords: Any) -> Opened:  # noqa: ANN401, those of from_pretrained
    return opened(UNet.from_pretrained(name, **keywords))


def labels_of(name: str, picture: Path) -> NDArray[np.uint8]:
    return Predictor.from_pretrained(name)(picture).labels()


def command(*arguments: str | Path) -> int:
    """`python -m unetseg`, without the second or more that its start takes."""
    from unetseg.__main__ import main

    return main([str(argument) for argument in arguments])


def offered(*arguments: str) -> dict[str, Source | None]:
    """What `python app.py` would offer: where each model is from, by the name that the page shows."""
    return _without_gradio(lambda: demo.main(arguments))


def offered_by(script: Path) -> dict[str, Source | None]:
    """What a Space would offer that starts with this file."""
    return _without_gradio(lambda: runpy.run_path(str(script), run_name="__main__"))


def _without_gradio(start: Callable[[], object]) -> dict[str, Source | None]:
    """Start the page up to where it is built and served: gradio takes seconds to import."""
    shown: dict[str, Source | None] = {}
    layout: Any = types.ModuleType("unetseg.demo.layout")
    layout.launch = lambda predictors, **_: shown.update({name: each.source for name, each in predictors.items()})
    sys.modules[layout.__name__] = layout
    start()
    return shown
