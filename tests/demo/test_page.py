"""The page, served by `python app.py` and opened by a real headless Chromium."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect
from served import run

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 60_000  # of patience, in milliseconds: a busy machine is slow


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A page of its own process, with the shipped models, started outside the clone's folder."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tmp_path_factory.mktemp("server")
    log = folder / "log"
    # one thread, as in the tests: the same arithmetic, so the same pixels
    temporary = folder / "temporary"
    temporary.mkdir()
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "TMPDIR": str(temporary),
        "GRADIO_SERVER_NAME": "127.0.0.1",
        "GRADIO_SERVER_PORT": str(port),
    }
    with log.open("w") as output:
        server = subprocess.Popen(
            [sys.executable, str(ROOT / "app.py")], cwd=folder, env=environment, stdout=output, stderr=output
        )
        address = f"http://127.0.0.1:{port}"
        try:
            _wait_for(address, server, log)
            yield address
        finally:
            assert list(temporary.rglob("*"))  # what it made for its visitors
            server.terminate()
            server.wait(timeout=30)
            assert not list(temporary.iterdir())


def _wait_for(address: str, server: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(600):
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except OSError:
            assert server.poll() is None, log.read_text()
            time.sleep(0.1)
    pytest.fail(f"the page did not come up: {log.read_text()}")


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    page = browser.new_page(viewport={"width": 1280, "height": 720})
    outside: list[str] = []
    refused: list[str] = []
    page.on("request", lambda r: None if r.url.startswith((address, "data:", "blob:")) else outside.append(r.url))
    page.on("console", lambda m: refused.append(m.text) if "Content Security Policy" in m.text else None)
    page.goto(address)
    yield page
    assert not outside, "the page asked the network"
    assert not refused, "the page does what its own policy forbids"
    page.close()


def test_the_page_opens_in_its_element(page: Page) -> None:
    expect(page.locator("#unetseg")).to_be_visible(timeout=SECONDS)


def test_a_run_leaves_files_that_go_with_the_page(address: str) -> None:
    assert run(address, model="liver-unet", example="0")["state"] == "done"


@pytest.fixture
def behind_a_proxy(address: str) -> Iterator[str]:
    """The page at a path of another address, as a proxy shows it that takes the path away."""

    class Proxy(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if not self.path.startswith("/some/where/"):
                self.send_error(404)
                return
            kept = {name: self.headers[name] for name in ("Accept", "X-Page") if name in self.headers}
            passed = urllib.request.Request(address + self.path.removeprefix("/some/where"), headers=kept)
            try:
                answer = urllib.request.urlopen(passed, timeout=60)
            except urllib.error.HTTPError as error:
                answer = error
            body = answer.read()
            self.send_response(answer.status)
            for name in ("Content-Type", "Content-Security-Policy"):
                self.send_header(name, answer.headers[name])
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/some/where/"
    server.shutdown()
    server.server_close()


def test_a_proxy_may_put_the_page_at_a_path(browser: Browser, behind_a_proxy: str) -> None:
    page = browser.new_page()
    page.route("**/heartbeat/*", lambda route: route.abort())  # it never ends, and this proxy waits for the end
    page.goto(behind_a_proxy)
    expect(page.get_by_role("heading", name="synthetic_ct_0.png")).to_be_visible(timeout=SECONDS)
    page.close()
