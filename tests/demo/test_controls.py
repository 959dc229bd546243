"""The controls of the page in a real browser, on results that Python packed; no server but one of static files."""

from __future__ import annotations

import math
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import rasterio
import torch
from configs import KINDS, config_for, picture_config, segmented
from hypothesis import given
from hypothesis import strategies as st
from playwright.sync_api import Browser, Page, expect
from viewing import FOLDER, Desk, Tab, desk, tab

import unetseg.__main__ as command
from unetseg import Predictor, Segmentation, SegmentationConfig
from unetseg.change import Change
from unetseg.demo.packed import counted, packed
from unetseg.samples import draw_sample

SENTENCES = {
    name: dict(
        re.findall(r'^  (\w+):\s+"(.*)",$', (FOLDER / f"{name}.js").read_text("utf-8").split("\n};")[0], re.MULTILINE)
    )
    for name in ("english", "chinese")
}
CURVE = [{"threshold": k / 100, "precision": k / 100, "recall": 1 - k / 100, "dice": 0.5} for k in range(1, 100)]
HARNESS = """
<!doctype html><html lang="en"><head><title>controls</title>
<link rel="icon" href="data:,"><link rel="stylesheet" href="viewer/viewer.css">
<link rel="stylesheet" href="viewer/page.css"></head><body>
<div class="unetseg"><div class="work"><div id="bar"></div><div class="stage" id="stage"></div><div id="line"></div>
<div id="below"></div></div><div class="panel" id="panel"></div></div>
<script type="module">
import { Controls } from "./viewer/controls.js";
import { unpack } from "./viewer/unpack.js";
import { Viewer } from "./viewer/viewer.js";
import { Words } from "./viewer/words.js";
import { rows } from "./viewer/shares.js";
import * as explain from "./viewer/explain.js";
import * as code from "./viewer/code.js";
import { Profile } from "./viewer/slices.js";
import { crsName } from "./viewer/readout.js";
Object.assign(window, { crsName, rows, explain, code, Words });
window.show = async ({ info, model, language = "en", profile = null, counts = null }) => {
  const got = (index) => fetch(`packed/${index}`).then((answer) => answer.arrayBuffer()).then(unpack);
  window.asked = [];
  window.packed = await got(info.first);
  const words = new Words(language);
  document.querySelector("#stage").replaceChildren();
  window.viewer = new Viewer(document.querySelector("#stage"), { onPoint: (at) => window.controls?.point(at) });
  const asked = {
    slice: async (index) => {
      window.controls.show(info, await got(index), index, shown);
      return true;
    },
    counts: counts && (async (thresholds) => { window.asked.push(thresholds); return counts; }),
    entropy: () => window.asked.push("entropy"), changed: () => {}, settled: () => {},
  };
  const shown = profile && new Profile(profile.kind, profile.shape, Uint16Array.from(profile.values));
  window.controls = new Controls(words, window.viewer, { ...model, task: window.packed.task }, asked);
  const { bar, line, below, panel } = window.controls;
  const parts = Object.entries({ bar, line, below, panel });
  for (const [id, part] of parts) document.getElementById(id).replaceChildren(part);
  window.controls.show(info, window.packed, info.first, shown);
};
window.ready = true;
</script></body></html>
"""

Show = Callable[..., None]


@pytest.fixture(scope="module")
def served() -> Iterator[Desk]:
    with desk(HARNESS) as served:
        yield served


@pytest.fixture(scope="module")
def own(browser: Browser) -> Iterator[Tab]:
    with tab(browser, 1280, 900) as own:
        yield own


@pytest.fixture
def page(own: Tab, served: Desk) -> Iterator[Page]:
    with own.at(served) as page:
        yield page


@pytest.fixture
def show(page: Page, served: Desk) -> Show:
    """Show a segmentation, all of its slices."""

    def show(found: Segmentation, *, first: int = 0, unit: dict[str, float] | None = None, **more: Any) -> None:  # noqa: ANN401, JSON
        slices, height, width = found.shape
        for index in range(slices):
            one = found.alone(index)
            served.packed[str(index)] = packed(one, index, (height, width), counted(found, index))
        info = {
            "key": "k", "picture": found.named_picture,
            "name": found.name, "shape": [slices, height, width], "shown": [height, width], "first": first,
            "unit": unit, "hounsfield": False, "ground": None, "affine": None,
        }  # fmt: skip
        config = found.config
        model = {"thresholds": list(config.thresholds), "curve": dict.fromkeys(config.outputs, CURVE)}
        page.evaluate("facts => window.show(facts)", {"info": info, "model": model, **more})

    return show


def result(config: SegmentationConfig, *, slices: int = 1, seed: int = 0) -> Segmentation:
    """Random logits over a random picture, with ties and limits among them."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(slices, len(config.outputs), 24, 40, generator=generator) * 4
    logits[:, :, :2] = 0
    logits[:, :, 2:4] = 60
    picture = torch.randint(0, 256, (slices, 24, 40, 3), dtype=torch.uint8, generator=generator).numpy()
    return segmented(logits, picture, config)


def expected_shares(found: Segmentation, view: str, thresholds: list[float]) -> list[float]:
    config = found.config
    if view == "thresholded":
        limits = torch.tensor(thresholds)[:, None, None]
        return [float(x) for x in (found.probabilities[0] >= limits).double().mean(dim=(1, 2))]
    labels = found.argmax(0) if view == "argmax" else found.labels(thresholds)[0]
    return [float((labels == label).mean()) for label in range(len(config.labels))]


def shares(page: Page) -> list[str]:
    return page.locator(".legend .share").all_inner_texts()


def said(share: float) -> str:
    return "0%" if share == 0 else "100%" if share == 1 else f"{math.floor(share * 1000 + 0.5) / 10:.1f}%"


def pixels(page: Page) -> list[int]:
    # as one text, which travels quicker
    return [int(value) for value in page.evaluate("window.viewer.pixels().data.join()").split(",")]


def move(page: Page, value: float) -> None:
    page.locator(".threshold input").fill(str(value))


# -- words


def test_both_languages_say_all_and_nothing_else() -> None:
    english, chinese = SENTENCES["english"], SENTENCES["chinese"]
    assert english.keys() == chinese.keys()
    for name, sentence in english.items():
        assert set(re.findall(r"\{\w+\}", sentence)) == set(re.findall(r"\{\w+\}", chinese[name])), name
    code = {path.name: path.read_text("utf-8") for path in FOLDER.glob("*.js") if path.stem not in SENTENCES}
    asked = set(re.findall(r'say\(\s*"(\w+)"', "".join(code.values())))
    assert asked <= english.keys()
    named = set(re.findall(r'"(\w+)"', "".join(code.values()))) | set(re.findall(r"^  (\w+):", code["window.js"], re.M))
    changes = {f"change{view}" for view in range(1, 8)} | {"valueRangeHint", "bandsHint"}
    downloads = {"labels_png", "colours_png", "overlay_png", "probabilities", "own", "polygons", "report", "zip"}
    assert english.keys() <= named | changes | downloads, "sentences that nothing says"


@given(
    view=st.integers(0, 7),
    inverted=st.booleans(),
    window=st.none() | st.tuples(st.integers(0, 40), st.integers(60, 100)),
    zoom=st.sampled_from([0.5, 1.0, 2.0, 0.17, 3.33]),
)
def test_the_gates_proposals_are_worded_as_python_words_them(
    explained: Page, view: int, inverted: bool, window: tuple[int, int] | None, zoom: float
) -> None:
    between = None if window is None else (window[0] / 100, window[1] / 100)
    change = Change(view=view, inverted=inverted, window=between, zoom=zoom)
    facts = {"view": view, "inverted": inverted, "window": between and list(between), "zoom": zoom}
    text = explained.evaluate("change => window.explain.changeText(change, new window.Words('en'))", facts)
    assert text == str(change)
    chinese = explained.evaluate("change => window.explain.changeText(change, new window.Words('zh'))", facts)
    assert not re.search("[a-z]", chinese)


@pytest.fixture(scope="module")
def explained(browser: Browser, served: Desk) -> Iterator[Page]:
    page = browser.new_page()
    page.goto(served.address)
    page.wait_for_function("window.ready")
    yield page
    page.close()


# -- the legend


@pytest.mark.parametrize("kind", KINDS)
def test_the_legend_has_the_shares_of_the_view_on_the_screen(page: Page, show: Show, kind: str) -> None:
    config = config_for(kind)
    found = result(config)
    show(found)
    for view, name in (("overlay", "Overlay"), ("argmax", "Argmax"), ("thresholded", "Thresholded")):
        page.get_by_role("radio", name=name, exact=True).check()
        for value in (0.0, 0.13, 0.5, 0.87, 1.0):
            thresholds = list(config.thresholds)
            if page.locator(".threshold").is_visible():
                move(page, value)
                thresholds[0] = value
            wanted = expected_shares(found, view, thresholds)
            assert shares(page) == [said(share) for share in wanted], (view, value)
            page.locator(".threshold button").evaluate("button => button.click()")


@pytest.mark.parametrize("language", ["en", "zh"])
def test_what_a_picture_shows_is_a_bar_for_each_class_in_their_order(page: Page, show: Show, language: str) -> None:
    many = tuple(str(number) for number in reversed(range(20)))  # keys that a browser would sort otherwise
    palette = tuple(f"#{11 * number:02x}4080" for number in range(21))
    config = picture_config(classes=many, background="nothing", palette=palette, thresholds=(0.5,) * 21)
    found = result(config)
    likely = found.named_picture
    assert likely is not None
    show(found, language=language)
    bars = page.locator(".likely li")
    kept = sorted(sorted(many, key=lambda name: -likely[name])[:12], key=many.index)
    assert bars.locator(".name").all_inner_texts() == kept
    colors = bars.locator(".swatch").evaluate_all("all => all.map((one) => one.style.background)")
    wanted = [palette[many.index(name) + 1] for name in kept]
    assert colors == [f"rgb({int(one[1:3], 16)}, 64, 128)" for one in wanted]
    widths = bars.locator(".likely-bar span").evaluate_all("all => all.map((one) => parseFloat(one.style.width))")
    assert widths == pytest.approx([100 * likely[name] for name in kept], abs=1e-3)
    first = max(many, key=lambda name: likely[name])
    assert page.locator(".likely .is-most .name").all_inner_texts() == [first]
    sentence = page.evaluate("controls.sentence()")
    assert first in sentence.split("。" if language == "zh" else ".")[0]
    # of pixels alone there is none, nor of what is shown next
    show(result(config_for("multiclass")))
    expect(page.locator(".picture-label")).to_be_hidden()


def test_areas_are_said_where_the_file_knows_them(page: Page, show: Show) -> None:
    found = result(config_for("binary"))
    show(found, unit={"area_mm2": 4.0})
    pixels_of_liver = int(found.labels().sum())
    expect(page.locator(".legend .area").nth(1)).to_have_text(f"{pixels_of_liver * 4 / 100:.3g} cm²")
    show(found, unit={"area_m2": 10_000.0})
    expect(page.locator(".legend .area").nth(1)).to_have_text(f"{pixels_of_liver} ha")


def test_one_vs_rest_asks_for_the_full_size_when_a_move_has_ended(page: Page, show: Show) -> None:
    config = config_for("one-vs-rest with background")
    full = result(config)
    labels = len(config.labels)
    show(full, counts=[960 - 3 * labels, *[labels] * (labels - 1)])
    reduced = """() => {
      window.packed.counts.of *= 4; // as if it were
      window.controls.update();
      return document.querySelector(".legend .share").textContent;
    }"""
    assert "about" in page.evaluate(reduced)
    page.get_by_role("radio", name="Thresholded", exact=True).check()
    move(page, 0.3)
    page.get_by_role("radio", name="Overlay", exact=True).check()
    expect(page.locator(".legend .share").first).not_to_contain_text("about")
    assert page.evaluate("window.asked")[-1] == [0.3, *config.thresholds[1:]]


# -- which controls there are


@pytest.mark.parametrize("kind", KINDS)
def test_a_control_that_does_nothing_in_a_view_is_not_there(page: Page, show: Show, kind: str) -> None:
    """Each control is tried: whatever is there changes the pixels, whatever is not would not."""
    config = config_for(kind)
    show(result(config))
    changes = {
        ".threshold": {"thresholds": [0.93, 0.07, 0.93, 0.07][: len(config.thresholds)]},
        ".scale-row": {"scale": "grey"},
        ".overlay-row": {"opacity": 0.9},
        ".band-row": {"band": 0.3},
    }
    for name in ("Overlay", "Probability", "Thresholded", "Argmax", "Picture"):
        page.get_by_role("radio", name=name, exact=True).check()
        before = pixels(page)
        for place, change in changes.items():
            page.evaluate("change => window.viewer.set(change)", change)
            matters = pixels(page) != before
            assert page.locator(place).is_visible() == matters, (name, place)
            page.evaluate("window.viewer.set(structuredClone(window.controls.drawn))")
            assert pixels(page) == before


def test_switches_of_the_legend_hide_a_class_where_they_are(page: Page, show: Show) -> None:
    show(result(config_for("multiclass")))
    before = pixels(page)
    page.get_by_label("Draw road").uncheck()
    hidden = pixels(page)
    assert hidden != before
    page.get_by_role("radio", name="Thresholded", exact=True).check()
    assert page.evaluate("window.viewer.state.visible") == [True] * 3  # there is no switch here
    page.get_by_role("radio", name="Overlay", exact=True).check()
    expect(page.get_by_label("Draw road")).not_to_be_checked()
    assert pixels(page) == hidden
    page.get_by_label("Draw road").check()
    assert pixels(page) == before


# -- thresholds


def test_a_slider_moves_one_threshold_alone_and_reset_really_resets(page: Page, show: Show) -> None:
    config = config_for("one-vs-rest", thresholds=(0.2, 0.415, 0.8))
    show(result(config))
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.get_by_role("radio", name="Thresholded", exact=True).check()
    before, text = pixels(page), shares(page)
    page.locator(".threshold select").select_option("road")
    expect(page.locator(".threshold .value")).to_have_text("0.415")
    for value in (0.0, 0.99, 0.42, 0.5):
        move(page, value)
        assert page.evaluate("window.controls.drawn.thresholds") == [0.2, value, 0.8]
        assert page.evaluate("window.viewer.state.thresholds") == [0.2, value, 0.8]
    assert pixels(page) != before
    chips = page.locator(".chip")
    assert chips.all_inner_texts() == ["≥ 0.20", "≥ 0.50", "≥ 0.80"]
    chips.nth(2).click()
    expect(page.locator(".threshold input")).to_be_focused()
    expect(page.locator(".threshold .value")).to_have_text("0.80")
    page.get_by_role("button", name="Reset").click()
    assert page.evaluate("window.controls.drawn.thresholds") == [0.2, 0.415, 0.8]
    assert pixels(page) == before
    assert shares(page) == text
    expect(page.get_by_role("button", name="Reset")).to_be_disabled()
    assert not requests


def test_the_slider_has_the_validated_mark_and_what_the_curve_says(page: Page, show: Show) -> None:
    show(result(config_for("binary", thresholds=(0.25,))))
    slider = page.locator(".threshold input")
    expect(slider).to_have_value("0.25")
    box, mark = slider.bounding_box(), page.locator(".threshold .mark").bounding_box()
    assert box is not None
    assert mark is not None
    thumb = 18
    at = box["x"] + thumb / 2 + (box["width"] - thumb) * 0.25
    assert abs(mark["x"] + mark["width"] / 2 - at) < 1
    assert page.locator(".curve dd").all_inner_texts() == ["0.25", "0.75", "0.50"]
    move(page, 0.9)
    assert page.locator(".curve dd").all_inner_texts() == ["0.90", "0.10", "0.50"]
    expect(page.locator(".mark-text")).to_have_text("validated 0.25")


def test_the_uncertain_band_brings_the_slider_that_it_lies_around(page: Page, show: Show) -> None:
    show(result(config_for("binary")))
    page.get_by_role("radio", name="Probability", exact=True).check()
    expect(page.locator(".threshold")).to_be_hidden()
    page.get_by_label("Mark what is uncertain").check()
    expect(page.locator(".threshold")).to_be_visible()
    before = pixels(page)
    move(page, 0.9)
    assert pixels(page) != before


# -- keyboard, slices, pointer


def test_views_and_classes_are_radio_groups_with_arrows(page: Page, show: Show) -> None:
    show(result(config_for("multiclass")))
    page.get_by_role("radio", name="Overlay", exact=True).focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("radio", name="Probability", exact=True)).to_be_checked()
    assert page.evaluate("window.viewer.state.view") == "probability"
    page.get_by_role("radio", name="Likeliest class").focus()
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("radio", name="land")).to_be_focused()
    assert page.evaluate("window.viewer.state.channel") == 0
    before = pixels(page)
    page.keyboard.press("ArrowDown")
    assert page.evaluate("window.viewer.state.channel") == 1
    assert pixels(page) != before


def test_slices_are_chosen_along_their_profile(page: Page, show: Show) -> None:
    found = result(config_for("binary"), slices=4)
    values = np.zeros((4, 1, 102), dtype=np.uint16)
    values[2] = 65535
    profile = {"kind": "claims", "shape": [4, 1, 102], "values": values.ravel().tolist()}
    show(found, profile=profile)
    expect(page.locator(".slices svg")).to_have_attribute("aria-label", re.compile("most in slice 3"))
    slider = page.get_by_role("slider", name="Slice")
    slider.focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator(".slice-number")).to_contain_text("2 / 4")
    wanted = found.alone(1).view("argmax")
    page.get_by_role("radio", name="Argmax", exact=True).check()
    page.wait_for_function("window.viewer.base.packed.index === 1")
    got = np.array(pixels(page), dtype=np.uint8).reshape(24, 40, 4)[..., :3]
    np.testing.assert_array_equal(got, wanted)
    page.get_by_role("button", name="Play").click()
    page.wait_for_function("window.viewer.base.packed.index === 0")  # beyond the last one the first
    page.get_by_role("button", name="Pause").click()


def test_what_is_under_the_pointer_is_said(page: Page, show: Show) -> None:
    show(result(config_for("multiclass")))
    page.evaluate("window.controls.point({x: 3, y: 5, label: 2, probabilities: [0.1, 0.2, 0.7]})")
    text = page.locator(".pointed").inner_text()
    assert re.sub(r"\s+", " ", text) == "water water 0.70 road 0.20 land 0.10 x 3, y 5"
    page.evaluate("window.controls.point(null)")
    expect(page.locator(".caption")).to_be_visible()


def test_the_place_is_said_in_millimetres_or_on_the_ground(page: Page, show: Show) -> None:
    show(result(config_for("binary")))
    place = """info => {
      Object.assign(window.controls.shown.info, info);
      window.controls.readout.show(window.controls.shown.info, window.packed, 2);
      return window.controls.readout.place(10, 20);
    }"""
    affine = [[0, 0, -1.5, 100], [0, -1.5, 0, 50], [3, 0, 0, -7], [0, 0, 0, 1]]  # of slice, row, column
    assert page.evaluate(place, {"affine": affine}) == "x 10, y 20 · R 85.0, A 20.0, I 1.0 mm"
    crs = rasterio.crs.CRS.from_epsg(32632)
    for words in (crs.to_wkt(), crs.to_wkt(version="WKT2_2019"), "EPSG:32632"):
        ground = {"crs": words, "transform": [0.5, 0, 500_000, 0, -0.5, 5_400_000], "metres": 0.5}
        said = page.evaluate(place, {"affine": None, "ground": ground})
        assert said == "x 10, y 20 · EPSG:32632 500005.3, 5399989.8"
    assert page.evaluate("window.crsName", 'LOCAL_CS["site 7",UNIT["metre",1]]') == "site 7"


# -- names, and what is told in sentences


def test_names_of_classes_never_become_html(page: Page, show: Show) -> None:
    name = "<img src=x onerror=window.hit=1>"
    config = config_for("multiclass", classes=(name, "b", "c"))
    show(result(config))
    expect(page.locator(".legend .name").first).to_contain_text(name)
    page.get_by_role("radio", name="Probability", exact=True).check()
    page.get_by_role("radio", name=name).check()
    assert not page.evaluate("window.hit")
    assert page.locator("#panel img, #line img").count() == 0


@pytest.mark.parametrize("language", ["en", "zh"])
def test_why_nothing_is_found_is_said_with_buttons_that_help(page: Page, show: Show, language: str) -> None:
    config = config_for("binary", thresholds=(0.9,))
    logits = torch.full((1, 1, 8, 8), -2.0)
    found = segmented(logits, np.zeros((1, 8, 8, 3), np.uint8), config)
    show(found, language=language)
    assert page.evaluate("window.controls.nothing()")
    why = {
        "found": False,
        "highest": [{"output": "liver", "highest": 0.119, "shows": 0.119}],
        "here": None,
        "there": None,
    }
    page.evaluate(
        """([why, language]) => {
          const none = () => {};
          const acts = { show: (...at) => window.controls.showFrom(...at), reset: none, go: none, reading: none };
          const now = { task: window.packed.task, most: null, isOwn: true };
          const info = { shape: [1, 8, 8], nothing: why };
          document.querySelector("#line").replaceChildren(
            window.explain.blackNote(info, new window.Words(language), now, acts));
        }""",
        [why, language],
    )
    page.locator(".black button").click()
    assert page.evaluate("window.controls.drawn.thresholds") == [0.11]
    assert not page.evaluate("window.controls.nothing()")


# -- code


def in_shell(lines: str) -> list[str]:
    """The words that a shell makes of a command."""
    return subprocess.run(
        ["sh", "-c", f"printf '%s\\0' {lines}"], capture_output=True, text=True, check=True
    ).stdout.split("\0")[:-1]


def test_the_lines_for_python_and_the_shell_give_what_was_shown(
    explained: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "it's a $slice.png"
    PIL.Image.fromarray(draw_sample("ct", 7)[0]).save(tmp_path / name)
    told = {
        "info": {"name": name, "downloads": [{"kind": "labels_png", "name": "it's a $slice_labels.png"}]},
        "source": "liver-unet", "commit": None, "thresholds": [0.3],
        "reading": {"accept": True, "value_range": "0 200", "bands": "", "hounsfield": False},
    }  # fmt: skip
    monkeypatch.chdir(tmp_path)
    python = explained.evaluate("told => window.code.pythonLines(told)", told)
    variables: dict[str, Any] = {}
    exec(python, variables)
    own = Predictor.from_pretrained("liver-unet")(tmp_path / name, accept_proposals=True, value_range=(0, 200))
    np.testing.assert_array_equal(variables["labels"], own.labels([0.3]))
    saved = np.asarray(PIL.Image.open(tmp_path / "it's a $slice_labels.png"))
    np.testing.assert_array_equal(saved, own.labels([0.3])[0])
    words = in_shell(explained.evaluate("told => window.code.shellLines(told)", told))
    assert words[:3] == ["python", "-m", "unetseg"]
    command.main(words[3:])
    (made,) = (tmp_path / "results").glob("*.png")
    np.testing.assert_array_equal(np.asarray(PIL.Image.open(made)), own.labels([0.3])[0])


def test_a_checkpoint_of_the_hub_is_named_with_its_commit(explained: Page) -> None:
    told = {
        "info": {"name": "a.tif", "downloads": []}, "source": "owner/name", "commit": "0123abc", "thresholds": None,
        "reading": {"bands": "4, 3,2", "hounsfield": True, "series": "1.2.3"},
    }  # fmt: skip
    python = explained.evaluate("told => window.code.pythonLines(told)", told)
    assert 'from_pretrained("owner/name", revision="0123abc")' in python
    assert 'predictor("a.tif", series="1.2.3", bands=(4, 3, 2,), hounsfield=True)' in python
    assert "segmentation.labels()" in python
    shell = explained.evaluate("told => window.code.shellLines(told)", told)
    assert in_shell(shell) == [
        "python", "-m", "unetseg", "predict", "owner/name@0123abc", "a.tif", "--out", "results",
        "--series", "1.2.3", "--bands", "4,3,2", "--hounsfield",
    ]  # fmt: skip
