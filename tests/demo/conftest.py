from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext
from visiting import SIZE, Visit, started, votes


@pytest.fixture(scope="session")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The page with the shipped models and one that has a threshold for each class; one for all tests of a process."""
    folder = tmp_path_factory.mktemp("server")
    with started(folder, "liver-unet", "satellite-unet", votes(folder)) as address:
        yield address


@pytest.fixture(scope="module")
def context(browser: Browser) -> Iterator[BrowserContext]:
    """Tabs of one browser that keeps the files of the page, which makes it open sooner."""
    with browser.new_context(viewport=SIZE) as context:
        yield context


@pytest.fixture(scope="module")
def tab(context: BrowserContext, address: str) -> Iterator[Visit]:
    """The page as Gradio opened it."""
    with Visit(context, address).open() as tab:
        yield tab


@pytest.fixture
def visit(tab: Visit) -> Iterator[Visit]:
    """A visitor who sees the first example. In the end: no request elsewhere, no error in the console."""
    with tab.again() as visit:
        yield visit


@pytest.fixture
def newcomer(context: BrowserContext, address: str) -> Iterator[Visit]:
    """A visitor whose tab is new, as all of it that comes before the page."""
    with Visit(context, address).open() as visit:
        yield visit
