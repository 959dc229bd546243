"""A page of tiny networks behind a real socket, in this process; what its streams say."""

from __future__ import annotations

import contextlib
import gc
import io
import json
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import PIL.Image
from configs import config_for, network_for

from unetseg import Predictor, Segmentation
from unetseg.demo.guard import Rules
from unetseg.demo.handlers import Page
from unetseg.demo.layout import build, serve


class Held(Predictor):
    """A predictor that waits where the network has found something, until it may go on."""

    def __init__(self, *args: Any, **options: Any) -> None:  # noqa: ANN401, as they are
        super().__init__(*args, **options)
        self.go, self.entered = threading.Event(), threading.Semaphore(0)

    def __call__(self, image: Any, *, progress: Any = None, **options: Any) -> Segmentation:  # noqa: ANN401, as they are
        def held(*found: Any) -> None:  # noqa: ANN401, as they are
            self.entered.release()
            while not self.go.wait(0.02):
                progress(*found)
            progress(*found)

        return super().__call__(image, progress=held, **options)


def tiny(kind: str = "binary", type_: type[Predictor] = Predictor, **changes: Any) -> Predictor:  # noqa: ANN401, any field
    """A predictor of a tiny network."""
    return type_(network_for(config_for(kind, **changes)), device="cpu", precision="float32")


@contextlib.contextmanager
def served(page: Page, rules: Rules | None = None, *, mcp: bool = False) -> Iterator[str]:
    """The address of a page that listens until the end of the block."""
    blocks = build(page)
    try:
        yield serve(blocks, page, rules or Rules.of("127.0.0.1", {}), mcp=mcp, quiet=True).rstrip("/")
    finally:
        blocks.close(verbose=False)
        page.close()
        del blocks
        with warnings.catch_warnings():  # Gradio leaves loops and sockets to the garbage collector
            warnings.simplefilter("ignore")
            gc.collect()


def png(seed: int = 0, height: int = 40, width: int = 48) -> bytes:
    """A picture of noise."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8)
    file = io.BytesIO()
    PIL.Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def events(response: httpx.Response) -> Iterator[dict[str, Any]]:
    """What a stream says, as it comes."""
    for line in response.iter_lines():
        if line.startswith("data: "):
            yield json.loads(line.removeprefix("data: "))


def run(address: str, files: Any = None, headers: Any = None, **fields: str) -> dict[str, Any]:  # noqa: ANN401, as httpx takes them
    """The last event of a run."""
    files = {"file": ("picture.png", png())} if files is None and not {"again", "example"} & fields.keys() else files
    fields = {"model": "tiny"} | fields
    # without a file it must be a form of the same kind
    sent = files or {name: (None, value) for name, value in fields.items()}
    with httpx.stream(
        "POST", f"{address}/unetseg/runs", data=fields if files else None, files=sent, headers=headers, timeout=60
    ) as response:
        if response.headers["content-type"] == "application/json":
            response.read()
            return {"status": response.status_code, **response.json()}
        return [*events(response)][-1]


def written(folder: Path, name: str, data: bytes) -> Path:
    """A file of that name and content."""
    path = folder / name
    path.write_bytes(data)
    return path
