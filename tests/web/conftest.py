from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser
from serving import ISOLATED, Host, Stranger, made

from unetseg import UNet


@pytest.fixture(scope="session")
def liver(built_page: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of the shipped model for livers."""
    return made(tmp_path_factory.mktemp("liver") / "page", UNet.from_pretrained("liver-unet"), built_page)


@pytest.fixture(scope="module")
def host(liver: Path) -> Iterator[Host]:
    with Host(liver, ISOLATED) as host:
        yield host


@pytest.fixture
def visit(browser: Browser, host: Host) -> Iterator[Stranger]:
    """A visitor who comes for the first time. In the end: no request elsewhere, no error in the console."""
    with Stranger(browser, host).open() as visit:
        yield visit
