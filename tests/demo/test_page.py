"""The page, served by `python app.py` and opened by a real headless Chromium."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
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
