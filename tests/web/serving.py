"""A folder of a page without a server behind a real socket, as hosts of static pages serve it; and who visits it."""

from __future__ import annotations

import base64
import contextlib
import functools
import re
import threading
from dataclasses import dataclass, field
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from playwright.sync_api import Browser, BrowserContext, expect
from visiting import Visit

from unetseg import UNet
from unetseg.demo.static import page_files
from unetseg.files import whole_folder

ISOLATED = {"Cross-Origin-Embedder-Policy": "require-corp", "Cross-Origin-Opener-Policy": "same-origin"}
"""What threads need."""
WEBGPU = (
    "--headless --no-sandbox --no-first-run --disable-background-networking --disable-quic "
    "--enable-unsafe-webgpu --use-webgpu-adapter=swiftshader --enable-features=Vulkan --ignore-gpu-blocklist"
)
"""Flags by which Chromium has an adapter, if only one of software."""
EXAMPLE = "example.png"
PROBABILITIES = """async (index) => {
    const { page, backend } = window.unetseg;
    const found = await backend.probabilities(page.result.info.key, index ?? page.result.info.first);
    const bytes = new Uint8Array(found.buffer, found.byteOffset, found.byteLength);
    let text = "";
    for (let i = 0; i < bytes.length; i += 32768) text += String.fromCharCode(...bytes.subarray(i, i + 32768));
    return btoa(text);
}"""


@dataclass
class Host:
    """Serves a folder within `with`. headers: of every answer. sent: bytes of bodies, by path."""

    folder: Path
    headers: dict[str, str] = field(default_factory=dict)
    sent: dict[str, int] = field(default_factory=dict)
    unpacks: bool = False
    """Whether it says of what is packed that it only travels so, as some hosts do."""

    def __enter__(self) -> Host:
        handler = functools.partial(_Handler, self)
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05})
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/"


class _Handler(SimpleHTTPRequestHandler):
    def __init__(self, host: Host, *arguments: Any) -> None:  # noqa: ANN401, as the server gives them
        self.host = host
        super().__init__(*arguments, directory=str(host.folder))

    def end_headers(self) -> None:
        for name, value in self.host.headers.items():
            self.send_header(name, value)
        if self.host.unpacks and self.path.endswith(".gz"):
            self.send_header("Content-Encoding", "gzip")
        super().end_headers()

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):  # who leaves early
            super().handle()

    def copyfile(self, source: Any, outputfile: Any) -> None:  # noqa: ANN401, as the base has it
        data = source.read()
        self.host.sent[self.path] = self.host.sent.get(self.path, 0) + len(data)
        outputfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


def made(folder: Path, network: UNet, built: Path, *, float16: bool = False) -> Path:
    """A page of a network in a folder."""
    return whole_folder(folder, page_files(network, built, float16=float16), kind="page", mark="index.html")


class Stranger(Visit):
    """A visitor's tab at a page without a server."""

    def __init__(self, at: Browser | BrowserContext, host: Host, **options: Any) -> None:  # noqa: ANN401, as they are
        super().__init__(at, host.address, **options)

    def open(self) -> Stranger:
        """Go there, and wait for the example, which is run without being asked for."""
        self.page.goto(self.address)
        self.has(EXAMPLE)
        return self

    def told(self) -> str:
        """What stands where a result would, instead of one."""
        alert = self.page.get_by_role("alert")
        expect(alert).to_be_visible()
        return alert.inner_text()

    @property
    def info(self) -> dict[str, Any]:
        """What the page knows of the result on the screen."""
        return dict(self.page.evaluate("window.unetseg.page.result.info"))

    def probabilities(self, channels: int, index: int | None = None) -> NDArray[np.float32]:
        """Of the result on the screen (K,H,W): of a volume the slice that is shown first, unless another is named."""
        _, height, width = self.info["shape"]
        data = base64.b64decode(self.page.evaluate(PROBABILITIES, index))
        return np.frombuffer(data, np.float32).reshape(channels, height, width)

    @property
    def threads(self) -> int:
        """On how many threads the page says that the model ran."""
        text = self.page.locator(".notes").inner_text()
        found = re.search(r"on (\d+|one) threads? \(WebAssembly\)", text)
        assert found, text
        return 1 if found[1] == "one" else int(found[1])
