"""A page with nothing but the viewer, over a real socket: its files, and packed results under names; a tab for it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, ViewportSize

FOLDER = Path(__file__).resolve().parents[2] / "unetseg" / "demo" / "viewer"
KINDS = {".js": "text/javascript", ".css": "text/css"}
PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>viewer</title>
<link rel="icon" href="data:,"><link rel="stylesheet" href="viewer/viewer.css">
<style>html, body { margin: 0 } #stage { position: relative; width: 100%; height: 600px; background: #123 }</style>
<main><div id="stage"></div></main>
<script type="module">
import * as drawing from "./viewer/draw.js";
import { unpack } from "./viewer/unpack.js";
import { Viewer } from "./viewer/viewer.js";
const told = { points: [], states: [] };
const viewer = new Viewer(document.querySelector("#stage"), {
  onPoint: (pointed) => told.points.push(pointed),
  onChange: (state) => told.states.push(state),
});
const get = async (name) => unpack(await (await fetch(`packed/${name}`)).arrayBuffer());
// pixels travel as text, which is quicker than lists of numbers
const text = (pixels) => new Uint8Array(pixels).toBase64?.() ?? btoa(
  Array.from(pixels, (value) => String.fromCharCode(value)).join(""));
Object.assign(window, { drawing, viewer, told, get, text, unpack, ready: true });
</script></html>"""


class Desk:
    """Packed results, by the names under which a page gets them. address: of the page."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.packed: dict[str, bytes] = {}


@contextlib.contextmanager
def desk(page: str = PAGE) -> Iterator[Desk]:
    """Serve a page until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            folder, _, name = self.path.strip("/").rpartition("/")
            path = FOLDER / name
            if self.path == "/":
                self._answer(page.encode(), "text/html")
            elif folder == "viewer" and path.suffix in KINDS and path.is_file():
                self._answer(path.read_bytes(), KINDS[path.suffix])
            elif folder == "packed" and name in served.packed:
                self._answer(served.packed[name], "application/octet-stream")
            else:
                self.send_error(404)

        def _answer(self, data: bytes, kind: str) -> None:
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        served = Desk(f"http://127.0.0.1:{server.server_address[1]}/")
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield served
        finally:
            server.shutdown()


@contextlib.contextmanager
def tab(browser: Browser, width: int, height: int, **options: Any) -> Iterator[Tab]:  # noqa: ANN401, as they are
    """A tab of a size for several tests, each of which loads its page anew: quicker than a tab for each."""
    with contextlib.closing(browser.new_page(viewport={"width": width, "height": height}, **options)) as page:
        yield Tab(page, {"width": width, "height": height})


class Tab:
    """See `tab`."""

    def __init__(self, page: Page, size: ViewportSize) -> None:
        self._page, self._size = page, size
        self._problems: list[str] = []
        page.on("pageerror", lambda error: self._problems.append(str(error)))
        page.on("console", lambda said: self._problems.append(said.text) if said.type == "error" else None)

    @contextlib.contextmanager
    def at(self, desk: Desk) -> Iterator[Page]:
        """The page of a desk, just loaded; in the end there was no error in it."""
        self._problems.clear()
        self._page.set_viewport_size(self._size)
        self._page.mouse.move(0, 0)
        self._page.goto(desk.address)
        self._page.wait_for_function("window.ready")
        yield self._page
        assert not self._problems
