import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from configs import KINDS, config_for
from hypothesis import settings
from playwright.sync_api import Browser, expect, sync_playwright

from unetseg import SegmentationConfig

FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)

expect.set_options(timeout=60_000)  # milliseconds: a busy machine is slow
torch.set_num_threads(1)  # on two cores the default number made the tests six times slower
settings.register_profile("unetseg", deadline=None, derandomize=True, max_examples=40)
settings.load_profile("unetseg")


@pytest.fixture(scope="session", params=KINDS)
def config(request: pytest.FixtureRequest) -> SegmentationConfig:
    """One config for each kind of task."""
    return config_for(request.param)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real pictures beside the repository, which a fresh clone does not have."""
    folder = Path(__file__).resolve().parent.parent.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}")
    return folder


@pytest.fixture(scope="module")
def launch() -> Iterator[Callable[[str], Browser]]:
    """Starts a real headless Chromium with these flags."""
    wanted = os.environ.get("UNETSEG_BROWSER")
    names = [wanted] if wanted else ["chromium", "chromium-browser", "google-chrome"]
    path = next(filter(None, map(shutil.which, names)), None)
    if path is None:
        if wanted:
            pytest.fail(f"UNETSEG_BROWSER is {wanted!r}, and there is no such command")
        pytest.skip("no Chromium on this machine; install Debian's package chromium")
    with sync_playwright() as playwright, contextlib.ExitStack() as opened:
        yield lambda flags: opened.enter_context(playwright.chromium.launch(executable_path=path, args=flags.split()))


@pytest.fixture(scope="module")
def browser(launch: Callable[[str], Browser]) -> Browser:
    """A real headless Chromium."""
    return launch(FLAGS)


@pytest.fixture(scope="session")
def axe() -> str:
    """The script of axe-core, which finds what assistive technology can't use; `npm ci` in web/ brings it."""
    path = Path(__file__).resolve().parent.parent / "web" / "node_modules" / "axe-core" / "axe.min.js"
    if not path.exists():
        missing = f"no axe-core at {path}; run npm ci in web/"
        if os.environ.get("UNETSEG_AXE"):
            pytest.fail(missing)
        pytest.skip(missing)
    return path.read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def built_page() -> Path:
    """The page without a server as npm built it; `npm ci && npm run build` in web/ does."""
    path = Path(__file__).resolve().parent.parent / "web" / "dist"
    if not (path / "files.json").exists():
        missing = f"no built page at {path}; run npm ci && npm run build in web/"
        if os.environ.get("UNETSEG_STATIC"):
            pytest.fail(missing)
        pytest.skip(missing)
    return path
