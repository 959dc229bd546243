from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser
from visiting import Visit, started, votes


@pytest.fixture(scope="session")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The page with the shipped models and one that has a threshold for each class; one for all tests of a process."""
    folder = tmp_path_factory.mktemp("server")
    with started(folder, "liver-unet", "satellite-unet", votes(folder)) as address:
        yield address


@pytest.fixture
def visit(browser: Browser, address: str) -> Iterator[Visit]:
    """A visitor who sees the first example. In the end: no request elsewhere, no error, no word in the console."""
    with Visit(browser, address).open() as visit:
        yield visit
