"""Models that label whole pictures, on the page in a real browser: bars, a drawing, a model without examples."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from configs import network_for, picture_config
from playwright.sync_api import Browser, Locator, expect
from served import served
from visiting import BROKEN, Pixels, Visit, png, said

from unetseg import Predictor
from unetseg.demo.handlers import Page
from unetseg.demo.later import Later
from unetseg.samples import draw_sample

pytestmark = pytest.mark.filterwarnings("ignore")  # of the libraries of the server, which runs in this process

DIGITS = tuple("0123456789")
PALETTE = ("#000000", *(f"#{25 * k:02x}{255 - 25 * k:02x}80" for k in range(10)))
CARD = "---\ntags:\n- image-segmentation\n- {name}\n---\n# {name}\n\nText.\n"
SEVEN = ((0.1, 0.1), (0.35, 0.1), (0.2, 0.4))
"""In a corner of the paper."""


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of random weights whose card says that it knows digits."""
    many = {"classes": DIGITS, "background": "paper", "palette": PALETTE, "thresholds": (0.5,) * 11}
    folder = network_for(picture_config(**many)).save_pretrained(tmp_path_factory.mktemp("models") / "digits")
    (folder / "README.md").write_text(CARD.format(name="digits"))
    return folder


@pytest.fixture(scope="module")
def address(digits: Path) -> Iterator[str]:
    """A page of a model of digits, and of one of cats and dogs that is loaded when it is chosen."""
    pets = network_for(picture_config()).save_pretrained(digits.parent / "pets")
    predictor = Predictor.from_pretrained(digits, device="cpu", precision="float32")
    page = Page({"digits": predictor, "pets": Later(str(pets), device="cpu")})
    with served(page) as address:
        page.start_first()
        yield address


@pytest.fixture
def visit(browser: Browser, address: str) -> Iterator[Visit]:
    """A visitor who sees the first example."""
    with Visit(browser, address, locale="en-US") as visit:
        visit.page.goto(address)
        visit.has("synthetic_digits_0.png")
        yield visit


def bars(visit: Visit) -> dict[str, str]:
    """What the page says of each class."""
    rows = visit.page.locator(".likely li")
    return dict(text.split() for text in rows.all_inner_texts())


def live(visit: Visit) -> Locator:
    """What a screen reader is to say."""
    return visit.page.locator(".unetseg > [aria-live]")


def seen(visit: Visit) -> Pixels:
    """The picture as the network saw it."""
    visit.view("picture")
    return visit.pixels()[..., 0]


def percents(found: dict[str, float]) -> dict[str, str]:
    return {name: said(share) for name, share in found.items()}


def draw(visit: Visit, *points: tuple[float, float]) -> None:
    """With the mouse, slowly enough to be labelled on the way."""
    mouse, box = visit.page.mouse, visit.page.locator(".paper").bounding_box()
    assert box is not None
    for number, (x, y) in enumerate(points):
        mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=6)
        if number == 0:
            mouse.down()
        visit.page.wait_for_timeout(200)
    mouse.up()


def test_a_picture_has_a_bar_for_each_class_and_its_pixels_are_large_squares(visit: Visit, digits: Path) -> None:
    page = visit.page
    found = Predictor.from_pretrained(digits, device="cpu", precision="float32")(draw_sample("digits", 0)[0])
    likely = found.named_picture
    assert likely is not None
    assert bars(visit) == percents(likely)
    first = max(likely, key=lambda name: likely[name])
    assert page.locator(".likely .is-most .name").all_inner_texts() == [first]
    verb = "shows" if likely[first] >= 0.5 else "may show"
    expect(page.locator(".notes .strong")).to_have_text(f"The picture {verb} {first} ({percents(likely)[first]}).")
    expect(live(visit)).to_contain_text(f"The picture {verb} {first} (")
    # of eleven labels the legend lists those that are found
    labels = found.labels()
    listed = [name for label, name in enumerate(found.config.labels) if (labels == label).any()]
    expect(page.locator(".legend .name")).to_have_text([f"Draw {name}" for name in listed])
    box = page.locator(".after canvas").bounding_box()
    assert box is not None
    assert min(box["width"], box["height"]) > 500
    rendering = "getComputedStyle(document.querySelector('.after canvas')).imageRendering"
    assert page.evaluate(rendering) == "pixelated"
    assert page.locator(".thumbnail img").first.evaluate("one => one.naturalWidth") == 112
    visit.equals(found, "overlay", "argmax")


def test_a_drawing_is_labelled_while_it_is_drawn(visit: Visit, digits: Path) -> None:
    page = visit.page
    page.get_by_role("button", name="Draw", exact=True).click()
    expect(page.locator(".paper")).to_be_focused()
    expect(page.locator(".notes")).to_contain_text("Draw a digit")
    runs = visit.counting()
    draw(visit, *SEVEN)
    visit.has("drawing.png")
    expect(live(visit)).to_contain_text("The picture ")
    predictor = Predictor.from_pretrained(digits, device="cpu", precision="float32")

    def settled() -> Pixels:
        page.wait_for_load_state("networkidle")
        page.wait_for_timeout(300)  # a run that was put off
        page.wait_for_load_state("networkidle")
        visit.has("drawing.png")
        found = seen(visit)
        assert bars(visit) == percents(predictor(found).named_picture or {})
        return found

    small = settled()
    assert len([one for one in runs if one.url.endswith("/runs")]) > 1, "it was run on the way"
    assert small.shape == (28, 28)
    page.get_by_role("button", name="Clear").click()
    expect(page.locator(".likely")).to_have_count(0)
    draw(visit, *((2 * x + 0.1, 2 * y + 0.1) for x, y in SEVEN))
    large = settled()
    assert abs(small.astype(int) - large).max() < 40  # a mouse moves by pixels of the screen
    # by keys alone: the same in other strokes
    page.get_by_role("button", name="Clear").focus()
    page.keyboard.press("Enter")
    expect(page.locator(".paper")).to_be_focused()
    keyboard = page.keyboard
    keyboard.press("Space")
    expect(live(visit)).to_have_text("Pen down")
    for _ in range(6):
        keyboard.press("ArrowRight")
    keyboard.down("ArrowLeft")
    for _ in range(7):  # held beside it, at a slant
        keyboard.press("ArrowDown")
    keyboard.up("ArrowLeft")
    keyboard.press("Space")
    drawn = settled()
    rows = drawn.argmax(axis=1)[drawn.any(axis=1)]
    assert rows[-1] < rows[5], "it leans as a seven does"
    # what else is looked at puts the paper away; what is drawn stays for the next time
    page.locator(".thumbnail").nth(1).click()
    visit.has("synthetic_digits_1.png")
    expect(page.locator(".paper")).to_have_count(0)
    page.get_by_role("button", name="Draw", exact=True).click()
    assert (settled() == drawn).all()
    page.locator(".language input").nth(1).check()
    expect(page.locator(".notes .strong")).to_contain_text("图像显示")
    expect(page.get_by_role("button", name="清除")).to_be_enabled()


def test_a_model_without_examples_asks_for_a_picture(visit: Visit, digits: Path, tmp_path: Path) -> None:
    page = visit.page
    page.get_by_role("button", name="Draw", exact=True).click()
    draw(visit, *SEVEN)
    visit.has("drawing.png")
    page.locator(".models").get_by_role("radio", name="pets").check()  # no drawing is for it
    expect(page.locator(".notes")).to_contain_text("There is no generated example of what this model knows")
    expect(page.get_by_role("button", name="Draw", exact=True)).to_have_count(0)
    expect(page.locator(".paper, .thumbnail")).to_have_count(0)
    page.wait_for_load_state("networkidle")
    expect(page.locator(".blank")).to_be_visible()
    visit.upload(png(tmp_path / "animal.png", draw_sample("ct", 3, 64)[0]))
    assert bars(visit).keys() == {"cat", "dog"}
    page.locator(".models").get_by_role("radio", name="digits").check()
    visit.has("animal.png")
    assert len(bars(visit)) == 10
    page.locator(".thumbnail").first.click()
    visit.has("synthetic_digits_0.png")
    page.locator(".models").get_by_role("radio", name="pets").check()
    expect(page.locator(".notes")).to_contain_text("There is no generated example")


def test_a_page_of_a_model_without_examples_opens(browser: Browser, digits: Path) -> None:
    pets = Predictor.from_pretrained(digits.parent / "pets", device="cpu")
    page = Page({"pets": pets})
    with served(page) as address, Visit(browser, address) as visit:
        page.start_first()
        visit.page.goto(address)
        expect(visit.page.locator(".notes")).to_contain_text("There is no generated example")
        expect(visit.page.get_by_role("button", name="Open a picture")).to_be_visible()


@pytest.mark.parametrize(("locale", "scheme"), [("en-US", "light"), ("zh-CN", "dark")])
def test_whoever_uses_assistive_technology_can_draw(
    browser: Browser, address: str, axe: str, locale: str, scheme: str
) -> None:
    options = {"locale": locale, "color_scheme": scheme, "reduced_motion": "reduce"}
    with Visit(browser, address, **options) as visit:
        page = visit.page
        page.goto(address)
        visit.has("synthetic_digits_0.png")
        page.evaluate(axe)

        def check(state: str) -> None:
            for width, height in ((1280, 720), (390, 844)):
                page.set_viewport_size({"width": width, "height": height})
                visit.drawn()
                assert page.evaluate("document.documentElement.scrollWidth") <= width
                assert page.evaluate(BROKEN) == [], (state, width)

        check("bars")
        page.locator(".draw").click()
        check("empty paper")
        paper = page.locator(".paper").bounding_box()
        assert paper is not None
        assert min(paper["width"], paper["height"]) > 300  # on a phone, too
        draw(visit, *SEVEN)
        visit.has("drawing.png")
        check("drawn")
        page.locator(".models input").nth(1).check()
        expect(page.locator(".blank")).to_be_visible()
        check("no example")
