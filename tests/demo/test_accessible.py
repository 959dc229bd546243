"""axe-core on the page in each state: what assistive technology can't use, in light and dark, large and small."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect
from visiting import SCHEMES, VIEWS, Visit, aerial, ct, geotiff, png, series, zipped

from unetseg.samples import draw_sample

Check = Callable[[str], None]


@pytest.fixture(scope="module", params=SCHEMES)
def tab(request: pytest.FixtureRequest, browser: Browser, address: str, axe: str) -> Iterator[Visit]:
    """The page in a language, with axe-core in its document."""
    with Visit(browser, address, locale=request.param, reduced_motion="reduce").open() as tab:
        tab.page.evaluate(axe)
        yield tab


@pytest.fixture
def check(visit: Visit) -> Check:
    """That the state on the screen has no violation, in each of the schemes of the language."""
    return visit.accessible


def choose(page: Page, group: str, number: int) -> None:
    page.locator(f"{group} input").nth(number).check()


def test_each_view_and_comparison(visit: Visit, check: Check) -> None:
    page = visit.page
    for number, view in enumerate(VIEWS):
        choose(page, ".views", number)
        check(view)
    choose(page, ".views", 1)
    page.locator(".band-row input[type=checkbox]").check()
    check("band")
    choose(page, ".views", 0)
    for number, compare in ((1, "swipe"), (2, "side"), (3, "blink")):
        choose(page, ".compare", number)
        check(compare)
    choose(page, ".compare", 0)
    page.locator(".viewer").hover()
    expect(page.locator(".pointed")).to_be_visible()
    check("pointed")


def test_classes_and_their_thresholds(visit: Visit, check: Check, tmp_path: Path) -> None:
    page = visit.page
    page.locator(".models input").nth(1).check()
    visit.has("synthetic_aerial_0.png")
    for number in (0, 1, 2):
        choose(page, ".views", number)
        check(f"satellite, {VIEWS[number]}")
    visit.upload(geotiff(tmp_path / "scene.tif"))
    check("on the ground")
    page.locator(".models input").nth(2).check()
    visit.has("scene.tif")
    choose(page, ".views", 2)
    page.locator(".chip").nth(1).click()
    check("thresholds of classes")
    choose(page, ".legend", 1)
    check("one class alone")


def test_dialogs(visit: Visit, check: Check) -> None:
    page = visit.page
    acts = page.locator(".main-acts button")
    for number in range(acts.count()):
        acts.nth(number).click()
        expect(page.get_by_role("dialog")).to_be_visible()
        check(f"dialog {number}")
        page.keyboard.press("Escape")


def test_a_volume_and_what_is_asked_of_a_study(visit: Visit, check: Check, tmp_path: Path) -> None:
    page = visit.page
    visit.upload(*series(tmp_path / "a", 3), name="DICOM series")
    check("volume")
    choose(page, ".views", 5)
    choose(page, ".window-row", 5)
    check("window of one's own")
    page.locator(".main-acts button").first.click()
    check("downloads of a volume")
    page.keyboard.press("Escape")
    series(tmp_path / "b", 2, SeriesInstanceUID="1.2.3.99")
    visit.choose(zipped(tmp_path / "study.zip", tmp_path / "a", tmp_path / "b"))
    expect(page.locator(".notes .wide")).to_have_count(2)
    check("which series")


def test_what_is_said_of_a_result(visit: Visit, check: Check, tmp_path: Path) -> None:
    page = visit.page
    visit.upload(png(tmp_path / "mirrored.png", draw_sample("ct", 0)[0][:, ::-1]))
    proposal = page.locator(".notes > .note.warning:not(.black) .primary")
    expect(proposal).to_be_visible()
    check("proposal")
    proposal.click()
    expect(page.locator(".notes .note.info")).to_be_visible()
    check("accepted")
    noise = np.random.default_rng(0).integers(0, 256, (100, 120), dtype=np.uint8)
    visit.upload(png(tmp_path / "noise.png", noise))
    expect(page.locator(".black")).to_be_visible()
    check("foreign and black")
    page.locator(".reading summary").click()
    check("how it was read")


def test_a_run_and_its_errors(visit: Visit, check: Check, tmp_path: Path) -> None:
    page = visit.page
    page.locator(".models input").nth(1).check()
    visit.has("synthetic_aerial_0.png")
    visit.choose(png(tmp_path / "large.png", np.tile(draw_sample("aerial", 0, 512)[0], (8, 8, 1))))
    expect(page.locator(".strip progress[value]")).to_be_visible()
    expect(page.locator(".result-name")).to_have_text("large.png")
    check("running")
    page.locator(".cancel").click()
    visit.has("synthetic_aerial_0.png")
    visit.choose(geotiff(tmp_path / "deep.tif", factor=14))
    expect(page.get_by_role("alert")).to_be_visible()
    check("error")
    page.route("**/unetseg/**", lambda route: route.abort())
    visit.expected = ("ERR_FAILED",)
    visit.choose(ct(tmp_path / "slice.png"))
    expect(page.locator(".notes .primary")).to_be_visible()
    check("unreachable")


def test_a_result_that_is_gone(visit: Visit, check: Check, tmp_path: Path) -> None:
    page = visit.page
    visit.upload(aerial(tmp_path / "scene.png"))
    gone = {"status": 410, "json": {"error": "gone", "gone": True}}
    page.route("**/unetseg/results/**", lambda route: route.fulfill(**gone))  # type: ignore[arg-type]
    visit.expected = ("410",)
    page.locator(".main-acts button").first.click()
    page.locator("dialog .wide").first.click()
    expect(page.locator("dialog .problem-text")).to_be_visible()
    check("a download that can't be made")
    page.keyboard.press("Escape")
    expect(page.get_by_role("alert")).to_be_visible()
    check("gone")
