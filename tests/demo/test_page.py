"""The page, served by `python app.py` and used in a real headless Chromium."""

from __future__ import annotations

import json
import re
import threading
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import dicom_files
import numpy as np
import PIL.Image
import pytest
import rasterio
from numpy.typing import NDArray
from playwright.sync_api import Browser, Locator, Page, expect
from visiting import (
    FIRST,
    GROUND,
    SIZE,
    Pixels,
    Visit,
    aerial,
    ct,
    free_port,
    geotiff,
    nifti,
    png,
    said,
    series,
    started,
    votes,
    zipped,
)

from unetseg import Predictor, Segmentation, read_image, render
from unetseg.formats.dicom import Series
from unetseg.formats.dicom_seg import read_seg
from unetseg.samples import draw_sample

KINDS = {
    "labels_png": "Label map (PNG",
    "colours_png": "Labels in colour (PNG)",
    "overlay_png": "Overlay as it is shown (PNG)",
    "probabilities": "Probabilities (",
    "own": "Labels in the family of the file (",
    "polygons": "Polygons (",
    "report": "Report (JSON)",
    "zip": "All of these (ZIP)",
}
PRESETS = {"Soft tissue": (40, 400), "Liver": (60, 160), "Lung": (-600, 1500), "Bone": (400, 1800)}
PHONE = {"width": 390, "height": 844}


@cache
def shipped(name: str) -> Predictor:
    return Predictor.from_pretrained(name)


@pytest.fixture(scope="module")
def voting(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    """The predictor of `votes`."""
    return Predictor.from_pretrained(votes(tmp_path_factory.mktemp("votes")))


def pixels_of(path: Path) -> Pixels:
    return np.asarray(PIL.Image.open(path))


def button(page: Page, name: str | re.Pattern[str]) -> Locator:
    return page.get_by_role("button", name=name)


def notes(page: Page) -> Locator:
    return page.locator(".notes")


def seen_within(page: Page, *parts: str) -> None:
    """Each part lies wholly in the window."""
    size = page.viewport_size
    assert size is not None
    for part in parts:
        box = page.locator(part).first.bounding_box()
        assert box is not None, part
        assert box["x"] >= 0, part
        assert box["y"] >= 0, part
        assert box["x"] + box["width"] <= size["width"] + 1, part
        assert box["y"] + box["height"] <= size["height"] + 1, part


# -- the first screen


def test_the_first_screen_is_an_example_that_this_model_solved(visit: Visit) -> None:
    found = shipped("liver-unet")(draw_sample("ct", 0)[0])
    visit.equals(found, "overlay")
    assert visit.shares() == [said(float((found.labels() == label).mean())) for label in range(2)]
    expect(notes(visit.page)).to_contain_text("Generated picture, no real data")
    expect(visit.page.locator(".examples")).to_contain_text("generated, not real")
    expect(visit.page.locator(".foot")).to_contain_text("Not a medical device")
    expect(visit.page.locator(".foot")).to_contain_text("Pictures are kept for 30 minutes.")
    assert visit.page.locator(".thumbnail img").evaluate_all("all => all.every(one => one.naturalWidth === 112)")


def test_picture_and_controls_fit_a_small_screen_and_a_slice_is_large_on_a_large_one(visit: Visit) -> None:
    page = visit.page
    for view in ("overlay", "thresholded"):
        visit.view(view)
        assert page.evaluate("document.documentElement.scrollHeight") <= SIZE["height"]
        seen_within(page, ".views", ".stage", ".threshold", ".legend", ".main-acts", ".examples")
    page.set_viewport_size({"width": 1440, "height": 900})
    expect(page.locator(".after canvas").first).to_be_visible()
    page.wait_for_function("document.querySelector('.after canvas').getBoundingClientRect().height >= 700")


def test_on_a_phone_view_and_slider_stay_in_reach_while_the_picture_scrolls(browser: Browser, address: str) -> None:
    with Visit(browser, address, viewport=PHONE, has_touch=True, is_mobile=True).open() as visit:
        page = visit.page
        seen_within(page, ".after canvas", ".threshold input")
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        for part in (".legend", ".examples", ".foot"):
            page.locator(part).scroll_into_view_if_needed()
            assert page.evaluate("scrollY") > 0
            seen_within(page, ".threshold input")
            box = page.locator(".views").bounding_box()
            assert box is not None
            assert 0 <= box["y"] < 100
        before = visit.pixels()
        visit.slider.fill("0.99")
        visit.view("argmax")
        visit.view("overlay")
        assert (visit.pixels() != before).any()


# -- every format


Made = tuple[list[Path], Path]
"""Files to be uploaded, and what Python is to read."""


def _alone(file: Path) -> Made:
    return [file], file


def _series(folder: Path) -> Made:
    return series(folder / "series", 2), folder / "series"


def _zip(folder: Path) -> Made:
    series(folder / "series", 2)
    return _alone(zipped(folder / "study.zip", folder / "series"))


def _jpeg(folder: Path) -> Made:
    PIL.Image.fromarray(draw_sample("aerial", 7, 128)[0]).save(folder / "scene.jpg", quality=90)
    return _alone(folder / "scene.jpg")


def _deep(folder: Path) -> Made:
    pixels = draw_sample("ct", 7, 128)[0].astype(np.uint16) * 257
    PIL.Image.fromarray(pixels).save(folder / "deep.png")
    return _alone(folder / "deep.png")


FORMATS: dict[str, tuple[str, Callable[[Path], Made]]] = {
    "png": ("liver-unet", lambda folder: _alone(ct(folder / "slice.png"))),
    "png of 16 bits": ("liver-unet", _deep),
    "jpeg": ("satellite-unet", _jpeg),
    "geotiff": ("satellite-unet", lambda folder: _alone(geotiff(folder / "scene.tif"))),
    "nifti": ("liver-unet", lambda folder: _alone(nifti(folder / "volume.nii.gz"))),
    "series": ("liver-unet", _series),
    "zip": ("liver-unet", _zip),
}


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_is_shown_in_every_view_as_python_shows_it(visit: Visit, tmp_path: Path, kind: str) -> None:
    model, make = FORMATS[kind]
    files, source = make(tmp_path)
    found = shipped(model)(source)
    if model != "liver-unet":
        visit.model(model)
        visit.has("synthetic_aerial_0.png")
    visit.choose(*files)
    name = "DICOM series" if kind == "series" else files[0].name
    visit.has(name)
    slices = found.shape[0]
    first = int((found.labels() > 0).sum(axis=(1, 2)).argmax()) if slices > 1 else 0
    visit.equals(found, index=first)
    what = found.labels()[first]
    visit.view("overlay")
    assert visit.shares() == [said(float((what == label).mean())) for label in range(len(found.config.labels))]


def test_a_picture_larger_than_the_screen_counts_at_full_size_and_gets_finer_when_zoomed(
    visit: Visit, tmp_path: Path, voting: Predictor
) -> None:
    visit.model("satellite-unet")
    visit.has("synthetic_aerial_0.png")
    file = aerial(tmp_path / "large.png", size=1000)
    visit.upload(file)
    found = shipped("satellite-unet")(file)
    visit.equals(found, "overlay", "thresholded")
    assert visit.shares() == [said(float(claim.mean())) for claim in claims(found, found.config.thresholds)]
    expect(notes(visit.page)).to_contain_text("Shown at 768 \u00d7 768 pixels of 1000 \u00d7 1000")
    for _ in range(6):
        button(visit.page, "Zoom in").click()
    expect(visit.page.locator(".after canvas").nth(1)).to_be_attached()  # a tile
    visit.view("argmax")
    expect(visit.page.locator(".after canvas").nth(1)).to_be_attached()
    # one-vs-rest: what the shown size says is said to be about, until the server has counted
    visit.model("votes")
    visit.has("large.png")
    found = voting(file)
    thresholds = [0.55, *found.config.thresholds[1:]]
    visit.view("overlay")
    visit.slider.fill("0.55")
    labels = found.labels(thresholds)
    assert visit.shares() == [said(float((labels == label).mean())) for label in range(4)]


def claims(found: Segmentation, thresholds: Sequence[float], index: int = 0) -> NDArray[np.bool_]:
    """Where each class reaches its threshold (K,H,W)."""
    return found.probabilities[index].numpy() >= np.array(thresholds, np.float32)[:, None, None]


# -- thresholds, classes, views: nothing is asked of the server


def test_wild_drags_of_the_slider_end_at_the_last_value_and_ask_for_nothing(visit: Visit, tmp_path: Path) -> None:
    visit.upload(ct(tmp_path / "slice.png"))
    page, found = visit.page, shipped("liver-unet")(tmp_path / "slice.png")
    visit.view("thresholded")
    before = visit.pixels()
    asked = visit.counting()
    box = visit.slider.bounding_box()
    assert box is not None
    random = np.random.default_rng(0)
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] / 2, middle)
    page.mouse.down()
    for share in [*random.random(40), 0.9]:
        page.mouse.move(box["x"] + float(share) * box["width"], middle + float(random.random()) * 30)
    page.mouse.up()
    value = float(visit.slider.input_value())
    assert 0.8 < value < 1
    np.testing.assert_array_equal(visit.pixels(), found.view("thresholded", thresholds=[value]))
    assert visit.shares() == [said(float(claims(found, [value]).mean()))]
    for view in ("overlay", "argmax", "probability", "picture", "thresholded"):
        visit.view(view)
    button(page, "Reset").click()
    expect(visit.slider).to_have_value("0.51")
    expect(page.locator(".threshold output")).to_have_text("0.51")
    expect(page.locator(".mark-text")).to_have_text("validated")
    np.testing.assert_array_equal(visit.pixels(), before)
    visit.slider.focus()
    page.keyboard.press("ArrowRight")
    np.testing.assert_array_equal(visit.pixels(), found.view("thresholded", thresholds=[0.52]))
    assert not [request.url for request in asked]


def test_a_class_alone_and_hidden_classes(visit: Visit, tmp_path: Path) -> None:
    page = visit.page
    visit.model("satellite-unet")
    visit.has("synthetic_aerial_0.png")
    visit.upload(aerial(tmp_path / "scene.png"))
    found = shipped("satellite-unet")(tmp_path / "scene.png")
    asked = visit.counting()
    for view in ("probability", "thresholded"):
        visit.view(view)
        page.locator(".legend").get_by_role("radio", name="water").check()
        visit.equals(found, view, class_name="water")
        expect(page.locator(".caption")).to_contain_text("water")
        page.locator(".legend").get_by_role("radio").first.check()  # all of them
        visit.equals(found, view)
    visit.view("overlay")
    page.get_by_label("Draw vegetation").uncheck()
    kept = found.labels()[0] != found.config.labels.index("vegetation")
    wanted = np.where(kept[..., None], found.view("overlay"), found.rgb[0])
    np.testing.assert_array_equal(visit.pixels(), wanted)
    page.get_by_label("Draw vegetation").check()
    page.get_by_label("Opacity").fill("0.8")
    opaque = render.overlay(found.rgb[0], found.labels()[0], found.config, 0.8)
    np.testing.assert_array_equal(visit.pixels(), opaque)
    assert not [request.url for request in asked]


def test_each_class_has_its_own_threshold_and_all_never_writes_one_over_the_others(
    visit: Visit, tmp_path: Path, voting: Predictor
) -> None:
    page = visit.page
    visit.upload(aerial(tmp_path / "scene.png"))
    visit.model("votes")
    visit.has("scene.png")
    found = voting(tmp_path / "scene.png")
    visit.view("thresholded")
    chips = page.locator(".chip")
    assert chips.all_inner_texts() == ["≥ 0.30", "≥ 0.415", "≥ 0.70"]
    visit.equals(found, "thresholded", "overlay")
    visit.view("thresholded")
    page.locator(".threshold select").select_option("dog")
    visit.slider.fill("0.9")
    page.locator(".threshold select").select_option("bird")
    visit.slider.fill("0.2")
    page.locator(".legend").get_by_role("radio", name="bird").check()
    page.locator(".legend").get_by_role("radio", name="All classes").check()
    assert chips.all_inner_texts() == ["≥ 0.30", "≥ 0.90", "≥ 0.20"]
    limits = [0.3, 0.9, 0.2]
    visit.equals(found, "thresholded", "overlay", thresholds=limits)
    labels = found.labels(limits)
    assert visit.shares() == [said(float((labels == label).mean())) for label in range(4)]
    visit.view("thresholded")
    assert visit.shares() == [said(float(claim.mean())) for claim in claims(found, limits)]
    files = visit.downloads(tmp_path, KINDS["report"], KINDS["labels_png"])
    np.testing.assert_array_equal(pixels_of(files[KINDS["labels_png"]]), labels[0])
    assert json.loads(files[KINDS["report"]].read_text()) == found.report(limits)
    button(page, "Reset").click()
    assert chips.all_inner_texts() == ["≥ 0.30", "≥ 0.415", "≥ 0.70"]
    visit.equals(found, "thresholded")


def test_the_picture_lies_beside_its_result_and_zoom_stays_when_the_view_changes(visit: Visit) -> None:
    page, found = visit.page, shipped("liver-unet")(draw_sample("ct", 0)[0])
    asked = visit.counting()
    page.get_by_role("radio", name="Side by side").check()
    np.testing.assert_array_equal(visit.pixels("before"), found.rgb[0])
    page.get_by_role("radio", name="Swipe").check()
    handle = page.get_by_role("slider", name="How much of the picture is shown")
    handle.focus()
    page.keyboard.press("ArrowRight")
    assert float(handle.get_attribute("aria-valuenow") or 0) > 50
    canvas = page.locator(".after canvas").first
    before = canvas.evaluate("one => one.getBoundingClientRect().width")
    page.locator(".viewer").focus()
    page.keyboard.press("+")
    visit.drawn()
    zoomed = canvas.evaluate("one => one.getBoundingClientRect().width")
    assert zoomed > before
    visit.view("argmax")
    visit.drawn()
    assert canvas.evaluate("one => one.getBoundingClientRect().width") == zoomed
    page.get_by_role("radio", name="Blink").check()
    expect(page.locator(".after.is-away")).to_be_attached()
    assert not [request.url for request in asked]


# -- what is said of a result


def test_a_picture_that_lies_otherwise_gets_a_proposal_that_is_taken_by_a_click(visit: Visit, tmp_path: Path) -> None:
    """Mirrored, a generated slice gets the labels of the upright one, mirrored; a sentence says so before and after."""
    page, upright = visit.page, draw_sample("ct", 0)[0]
    visit.upload(png(tmp_path / "mirrored.png", upright[:, ::-1]))
    expect(notes(page)).to_contain_text("if it were mirrored left to right")
    button(page, "Look at it mirrored left to right").click()
    expect(notes(page)).to_contain_text("It was mirrored left to right before it was segmented")
    visit.has("mirrored.png")
    found = shipped("liver-unet")(tmp_path / "mirrored.png", accept_proposals=True)
    visit.equals(found, "overlay", "argmax")
    np.testing.assert_array_equal(found.labels()[0], shipped("liver-unet")(upright).labels()[0][:, ::-1])
    button(page, "Look at it as it is").click()
    expect(button(page, "Look at it mirrored left to right")).to_be_visible()
    visit.equals(shipped("liver-unet")(tmp_path / "mirrored.png"), "overlay")


def test_a_picture_of_something_else_is_called_foreign_and_black_is_explained(visit: Visit, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (200, 240), dtype=np.uint8)
    visit.upload(png(tmp_path / "noise.png", noise))
    page, found = visit.page, shipped("liver-unet")(tmp_path / "noise.png")
    expect(notes(page)).to_contain_text("This picture is unlike those that the model was trained on")
    expect(notes(page)).to_contain_text("Why is it black?")
    expect(notes(page)).to_contain_text(f"The highest probability of liver is {found.probabilities.max():.3f}"[:-1])
    expect(notes(page)).to_contain_text("of the training pictures they were")
    # the validated threshold shows nothing; so does any above it, and the way back is a button
    visit.slider.fill("0.99")
    button(page, "Back to the validated thresholds").click()
    expect(visit.slider).to_have_value("0.51")


def test_the_threshold_that_would_show_something_is_a_button(visit: Visit) -> None:
    visit.view("thresholded")
    visit.slider.fill("1")
    expect(notes(visit.page)).to_contain_text("Nothing is found at these thresholds.")
    act = button(visit.page, re.compile("^Set the threshold of liver to "))
    act.click()
    expect(act).to_have_count(0)
    assert (visit.pixels() == 255).any()


def test_of_several_series_one_is_asked_for_and_nobody_is_named(visit: Visit, tmp_path: Path) -> None:
    page = visit.page
    series(tmp_path / "a", 2, SeriesInstanceUID="1.2.3.44", SeriesDescription="thick")
    series(tmp_path / "b", 3, SeriesInstanceUID="1.2.3.55", SeriesDescription="thin")
    visit.choose(zipped(tmp_path / "study.zip", tmp_path / "a", tmp_path / "b"))
    expect(notes(page)).to_contain_text("This holds 2 series. Which one?")
    asking = page.content()
    button(page, "CT, 3 slices, 'thin'").click()
    visit.has("study.zip")
    expect(page.locator(".slice-number")).to_contain_text("/ 3")
    files = visit.downloads(tmp_path, KINDS["report"])
    told = asking + page.content() + files[KINDS["report"]].read_text()
    private = [part for value in dicom_files.PATIENT.values() for part in value.split("^")]
    assert not [part for part in private if part in told]
    page.get_by_role("button", name="Download…").click()
    expect(page.get_by_role("dialog")).to_contain_text("It names the patient as the file does")


def test_a_raster_comes_back_on_its_ground_and_what_it_does_not_say_is_asked(visit: Visit, tmp_path: Path) -> None:
    page, source = visit.page, geotiff(tmp_path / "scene.tif", factor=14)
    visit.model("satellite-unet")
    visit.has("synthetic_aerial_0.png")
    visit.choose(source)
    expect(notes(page).get_by_role("alert")).to_contain_text("no natural black and white")
    button(page, "Say how it is to be read").click()
    expect(page.get_by_label("Value range")).to_be_focused()
    page.keyboard.type("0 3570")
    page.keyboard.press("Enter")
    visit.has("scene.tif")
    found = shipped("satellite-unet")(source, value_range=(0, 3570))
    visit.equals(found, "overlay")
    expect(notes(page)).to_contain_text("2 m a pixel")
    hectares = [float(f"{count * 4 / 10_000:.3g}") for count in np.bincount(found.labels().ravel(), minlength=5)]
    areas = page.locator(".legend .area").all_inner_texts()
    assert [_hectares(area) for area in areas] == hectares
    page.locator(".viewer").hover()
    expect(page.locator(".pointed")).to_contain_text("EPSG:32633")
    expect(page.locator(".pointed")).to_contain_text("value ")
    files = visit.downloads(tmp_path, KINDS["own"], KINDS["polygons"])
    with rasterio.open(files[KINDS["own"]]) as result:
        assert (result.read(1) == found.labels()[0]).all()
        assert (result.crs, result.transform) == (GROUND["crs"], GROUND["transform"])
    assert files[KINDS["polygons"]].name == "scene_polygons.gpkg"
    visit.upload(aerial(tmp_path / "plain.png", size=96))  # what was said of the raster doesn't hold for it
    visit.equals(shipped("satellite-unet")(tmp_path / "plain.png"), "overlay")
    page.get_by_text("What the file says, and does not say").click()
    expect(page.get_by_label("Value range")).to_have_value("")


def _hectares(text: str) -> float:
    value, unit = text.split()
    return float(value.replace(",", "")) / (1 if unit == "ha" else 10_000)


# -- volumes


def test_a_volume_has_slices_along_their_profile_windows_and_a_place_in_millimetres(
    visit: Visit, tmp_path: Path
) -> None:
    files = series(tmp_path / "series")
    image = read_image(tmp_path / "series")
    found = shipped("liver-unet")(image)
    assert len({int(pixels) for pixels in found.labels().sum(axis=(1, 2))} - {0}) > 2, "too little to see"
    visit.upload(*files, name="DICOM series")
    page, number = visit.page, visit.page.locator(".slice-number")
    first = int((found.labels() > 0).sum(axis=(1, 2)).argmax())
    expect(number).to_contain_text(f"{first + 1} / 6")
    expect(page.locator(".profile polygon")).to_have_count(1)
    expect(page.locator(".profile svg")).to_have_attribute("aria-label", re.compile(f"most in slice {first + 1}$"))
    expect(notes(page)).to_contain_text("In all slices: liver about")
    visit.equals(found, "thresholded", index=first)
    for index in (2, 5, 0):
        page.get_by_role("slider", name="Slice").fill(str(index + 1))
        expect(number).to_contain_text(f"{index + 1} / 6")
        visit.page.wait_for_load_state("networkidle")
        visit.equals(found, "overlay", "probability", "picture", index=index)
    visit.view("picture")
    for name, (level, width) in PRESETS.items():
        page.get_by_role("radio", name=name, exact=True).check()
        drawn = (image.pixels[0, :, :, 0] - (level - width / 2)) / width * 255
        np.testing.assert_allclose(visit.pixels()[..., 0], drawn.clip(0, 255), atol=1)
    page.get_by_role("radio", name="Own", exact=True).check()
    page.get_by_label("Level").fill("")  # half typed, it changes nothing
    page.get_by_label("Level").fill("50")
    page.get_by_label("Width").fill("200")
    drawn = (image.pixels[0, :, :, 0] + 50.0) / 200 * 255
    np.testing.assert_allclose(visit.pixels()[..., 0], drawn.clip(0, 255), atol=1)
    visit.equals(found, "probability", index=0)  # a window changes the picture alone
    page.locator(".viewer").hover()
    expect(page.locator(".pointed")).to_contain_text(re.compile(r"HU.*[RL] [\d.]+, [AP] [\d.]+, [SI] [\d.]+ mm"))
    out = visit.downloads(tmp_path, KINDS["own"], KINDS["report"])
    assert isinstance(image.place, Series)
    np.testing.assert_array_equal(read_seg(out[KINDS["own"]], image.place), found.labels())
    assert json.loads(out[KINDS["report"]].read_text())["labels"][1]["pixels"] == found.labels().sum()


def test_slices_play_and_another_slice_is_there_at_once(visit: Visit, tmp_path: Path) -> None:
    visit.upload(*series(tmp_path / "series"), name="DICOM series")
    page, number = visit.page, visit.page.locator(".slice-number output")
    button(page, "Play").click()
    for _ in range(3):
        expect(number).not_to_have_text(number.inner_text())
    button(page, "Pause").click()
    page.get_by_role("slider", name="Slice").focus()
    page.keyboard.press("Home")
    expect(number).to_contain_text("1 / 6")
    page.keyboard.press("ArrowRight")
    expect(number).to_contain_text("2 / 6")
    found = shipped("liver-unet")(read_image(tmp_path / "series"))
    visit.equals(found, "overlay", index=1)


def test_a_slice_without_a_class_says_where_there_is_one(visit: Visit, tmp_path: Path) -> None:
    visit.upload(nifti(tmp_path / "volume.nii.gz"))
    page, found = visit.page, shipped("liver-unet")(tmp_path / "volume.nii.gz")
    assert not found.labels()[0].any()
    page.get_by_role("slider", name="Slice").fill("1")
    expect(notes(page)).to_contain_text("Nothing is found in this slice at these thresholds.")
    most = int(found.labels().sum((1, 2)).argmax())
    button(page, f"Go to slice {most + 1}, which shows the most").click()
    expect(page.locator(".slice-number output")).to_have_text(f"{most + 1} / 3")
    visit.equals(found, "overlay", index=most)


# -- runs


def large(path: Path, seed: int = 0) -> Path:
    """A picture that a model has to look at for seconds."""
    return png(path, np.tile(draw_sample("ct", seed, 512)[0], (6, 6)))


def test_a_run_shows_the_picture_at_once_and_cancel_ends_it(visit: Visit, tmp_path: Path) -> None:
    page = visit.page
    visit.model("satellite-unet")
    visit.has("synthetic_aerial_0.png")
    visit.view("argmax")
    before = visit.pixels()
    failed: list[str] = []
    page.on("requestfailed", lambda request: failed.append(request.url))
    png(tmp_path / "large.png", np.tile(draw_sample("aerial", 0, 512)[0], (5, 5, 1)))
    visit.choose(tmp_path / "large.png")
    expect(page.locator(".strip")).to_contain_text("Segmenting")
    expect(page.locator(".result-name")).to_have_text("large.png")
    assert visit.pixels().shape == (768, 768, 3)  # its own
    expect(page.locator(".after [role=img]")).to_have_attribute("aria-label", "Picture")
    button(page, "Cancel").click()
    visit.has("synthetic_aerial_0.png")
    expect(page.locator(".strip")).to_have_count(0)
    np.testing.assert_array_equal(visit.pixels(), before)
    assert len(failed) == 1
    assert failed[0].endswith("/unetseg/runs")
    visit.upload(aerial(tmp_path / "next.png"))  # the server is free again
    visit.equals(shipped("satellite-unet")(tmp_path / "next.png"), "argmax")


def test_a_newer_upload_drops_the_older(visit: Visit, tmp_path: Path) -> None:
    visit.choose(large(tmp_path / "older.png"))
    expect(visit.page.locator(".strip")).to_be_visible()
    visit.upload(ct(tmp_path / "newer.png"))
    found = shipped("liver-unet")(tmp_path / "newer.png")
    visit.equals(found, "overlay")
    visit.page.wait_for_load_state("networkidle")
    expect(visit.page.locator(".result-name")).to_have_text("newer.png")


def test_another_model_looks_at_the_same_upload(visit: Visit, tmp_path: Path) -> None:
    visit.upload(aerial(tmp_path / "scene.png"))
    asked = visit.counting()
    visit.model("satellite-unet")
    visit.has("scene.png")
    visit.equals(shipped("satellite-unet")(tmp_path / "scene.png"), "overlay", "argmax")
    (run,) = [request for request in asked if request.url.endswith("/runs")]
    assert int(run.header_value("content-length") or 0) < 1000  # it was not sent again
    visit.page.locator(".thumbnail").nth(1).click()
    visit.has("synthetic_aerial_1.png")
    visit.model("liver-unet")  # of an example, one that fits
    visit.has(FIRST)


def test_a_broken_file_gets_a_sentence_and_the_page_goes_on(visit: Visit, tmp_path: Path) -> None:
    page, whole = visit.page, ct(tmp_path / "whole.png", size=256)
    broken = tmp_path / "broken.png"
    broken.write_bytes(whole.read_bytes()[:500])
    visit.choose(broken)
    expect(notes(page).get_by_role("alert")).to_contain_text("broken.png is damaged or cut off")
    expect(page.locator(".legend")).to_have_count(0)
    expect(button(page, "Download…")).to_have_count(0)
    expect(page.locator(".stage")).to_have_text("No picture is shown.", use_inner_text=True)
    button(page, "Back to the result before").click()
    visit.has(FIRST)
    expect(page.get_by_text("No picture is shown.")).to_be_hidden()
    visit.upload(whole)
    expect(notes(page).get_by_role("alert")).to_have_count(0)
    visit.equals(shipped("liver-unet")(whole), "overlay")


def test_names_of_files_never_become_html(visit: Visit, tmp_path: Path) -> None:
    name = "<img src=x onerror=window.hit=1>'.png"
    visit.upload(ct(tmp_path / name))
    for act in ("Download…", "In code…"):
        button(visit.page, act).click()
        visit.page.keyboard.press("Escape")
    assert visit.page.locator(".unetseg img[src=x]").count() == 0
    assert not visit.page.evaluate("window.hit")
    (report,) = visit.downloads(tmp_path, KINDS["report"]).values()
    assert json.loads(report.read_text())["name"] == name


@pytest.mark.parametrize("event", ["drop", "paste"])
def test_a_picture_may_be_dropped_or_pasted(visit: Visit, tmp_path: Path, event: str) -> None:
    ct(tmp_path / "here.png")
    visit.page.evaluate(
        """([event, bytes]) => {
            const data = new DataTransfer();
            data.items.add(new File([new Uint8Array(bytes)], "here.png", { type: "image/png" }));
            const how = { bubbles: true, cancelable: true };
            document.body.dispatchEvent(event === "drop" ? new DragEvent(event, { ...how, dataTransfer: data })
                                                         : new ClipboardEvent(event, { ...how, clipboardData: data }));
        }""",
        [event, list((tmp_path / "here.png").read_bytes())],
    )
    visit.has("here.png")
    visit.equals(shipped("liver-unet")(tmp_path / "here.png"), "overlay")
    # the page that stood in this document before takes nothing any more
    assert len([request for request in visit.requests if request.url.endswith("/runs")]) == 1


def test_two_tabs_do_not_mix(browser: Browser, address: str, tmp_path: Path) -> None:
    context = browser.new_context(viewport=SIZE)
    with Visit(context, address).open() as one, Visit(context, address).open() as other:
        files = [ct(tmp_path / "a.png", 3), ct(tmp_path / "b.png", 11)]
        for visit, file in ((one, files[0]), (other, files[1])):
            visit.choose(file)
        for visit, file in ((one, files[0]), (other, files[1])):
            visit.page.bring_to_front()  # a tab behind another one draws slowly
            visit.has(file.name)
            visit.equals(shipped("liver-unet")(file), "overlay", "probability")
        one.model("satellite-unet")
        other.view("thresholded")
        other.slider.fill("0.9")
        one.page.bring_to_front()
        one.has("a.png")
        one.equals(shipped("satellite-unet")(files[0]), "overlay")
        other.page.bring_to_front()
        other.equals(shipped("liver-unet")(files[1]), "thresholded", thresholds=[0.9])
    context.close()


# -- out


def test_every_download_is_what_python_gives(visit: Visit, tmp_path: Path) -> None:
    visit.upload(ct(tmp_path / "slice.png"))
    found = shipped("liver-unet")(tmp_path / "slice.png")
    visit.slider.fill("0.9")
    visit.page.get_by_label("Opacity").fill("0.7")
    visit.page.get_by_label("Outline").check()
    kinds = [kind for kind in KINDS if kind not in ("own", "polygons")]
    files = visit.downloads(tmp_path, *(KINDS[kind] for kind in kinds))
    out = {kind: files[KINDS[kind]] for kind in kinds}
    labels = found.labels([0.9])[0]
    with PIL.Image.open(out["labels_png"]) as picture:
        assert picture.mode == "P"
    np.testing.assert_array_equal(pixels_of(out["labels_png"]), labels)
    np.testing.assert_array_equal(pixels_of(out["colours_png"]), render.colourised(labels, found.config))
    overlay = render.overlay(found.rgb[0], labels, found.config, 0.7, outline=True)
    np.testing.assert_array_equal(pixels_of(out["overlay_png"]), overlay)
    np.testing.assert_array_equal(visit.pixels(), overlay)
    with np.load(out["probabilities"]) as held, np.load(found.save_probabilities(tmp_path / "own.npz")) as wanted:
        np.testing.assert_array_equal(held["probabilities"], wanted["probabilities"])
    assert json.loads(out["report"].read_text()) == found.report([0.9])
    with zipfile.ZipFile(out["zip"]) as packed:
        assert len(packed.namelist()) == len(kinds) - 1
        assert packed.testzip() is None


def test_the_same_in_code_names_model_and_thresholds(visit: Visit) -> None:
    page = visit.page
    visit.slider.fill("0.33")
    button(page, "In code…").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("predictor = Predictor.from_pretrained(")
    expect(dialog).to_contain_text("labels = segmentation.labels([0.33])")
    expect(dialog).to_contain_text("--threshold 0.33")
    page.keyboard.press("Escape")
    expect(button(page, "In code…")).to_be_focused()


# -- for everybody


def test_from_start_to_result_and_threshold_by_keyboard_alone(newcomer: Visit, tmp_path: Path) -> None:
    visit, page, file = newcomer, newcomer.page, ct(tmp_path / "slice.png")
    page.on("filechooser", lambda _: None)  # from now on the browser gives it away: told later, it may be too late

    def tab_to(what: str) -> None:
        for _ in range(60):
            page.keyboard.press("Tab")
            if page.evaluate("what => document.activeElement.matches(what)", what):
                outline = page.evaluate(
                    "() => { const one = document.activeElement;"
                    " return [one, one.nextElementSibling].map(o => o && getComputedStyle(o).outlineStyle); }"
                )
                assert {"solid", "auto"} & set(outline), f"{what} has no visible focus"
                return
        pytest.fail(f"{what} is not reached by Tab")

    tab_to("header > .primary")
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Enter")
    chooser.value.set_files(file)
    visit.has("slice.png")
    found = shipped("liver-unet")(file)
    tab_to(".views input")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("radio", name="Thresholded")).to_be_checked()
    np.testing.assert_array_equal(visit.pixels(), found.view("thresholded"))
    tab_to(".threshold input")
    for _ in range(9):
        page.keyboard.press("ArrowRight")
    np.testing.assert_array_equal(visit.pixels(), found.view("thresholded", thresholds=[0.6]))
    tab_to(".threshold button")
    page.keyboard.press("Enter")
    expect(visit.slider).to_have_value("0.51")
    tab_to(".main-acts button")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(button(page, "Download…")).to_be_focused()


def test_results_are_announced_and_pictures_say_their_shares(visit: Visit, tmp_path: Path) -> None:
    visit.upload(ct(tmp_path / "slice.png"))
    share = said(float(shipped("liver-unet")(tmp_path / "slice.png").labels().mean()))
    live = visit.page.locator("[aria-live=polite]").first
    expect(live).to_contain_text(f"liver {share} of the picture.")
    image = visit.page.locator(".after [role=img]")
    expect(image).to_have_attribute("aria-label", re.compile(f"Overlay of slice.png. liver {share}"))


ENGLISH = re.compile(r"[A-Za-z]{2,}")
SAME = (
    # names: of the page, its models, files, formats, units, and terms that Chinese writes so
    r"unetseg|English|DICOM series|[\w-]+-unet|votes|\S+\.(?:png|zip|tif|nii\.gz|npz|gpkg|json|dcm)"
    r"|PNG|ZIP|JSON|NumPy|GeoTIFF|GeoPackage|DICOM(?:-SEG)?|NIfTI|zip|auto|Dice|IoU|logit|HU|Python|EPSG:\d+"
    r"|mL|cm²|mm²?|ha|GB|MB|kB|MIT|cc-by[\w.-]*|≥"
)


def english_in(page: Page) -> list[str]:
    """Words that are seen or read out, outside of what is marked as English."""
    texts = page.evaluate(
        """() => {
            const found = [];
            const root = document.querySelector(".unetseg");
            const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
            for (let node = walker.nextNode(); node; node = walker.nextNode())
                if (!node.parentElement.closest("[lang=en], pre, style")) found.push(node.textContent);
            for (const one of root.querySelectorAll("*"))
                if (!one.closest("[lang=en]"))
                    for (const name of ["aria-label", "title", "alt", "placeholder", "aria-valuetext"])
                        found.push(one.getAttribute(name) ?? "");
            return found;
        }"""
    )
    return [text for text in texts if ENGLISH.search(re.sub(SAME, "", text))]


def test_in_chinese_no_english_is_left_but_what_is_marked_so(browser: Browser, address: str, tmp_path: Path) -> None:
    with Visit(browser, address, locale="zh-CN").open() as visit:
        page = visit.page

        def check(what: str) -> None:
            visit.drawn()
            assert not english_in(page), what

        assert page.locator(".unetseg").get_attribute("lang") == "zh-Hans"
        for view in range(6):
            page.locator(".views input").nth(view).check()
            check(f"view {view}")
        for act in range(3):
            page.locator(".main-acts button").nth(act).click()
            check(f"dialog {act}")
            page.keyboard.press("Escape")
        page.locator(".views input").first.check()
        visit.slider.fill("1")
        expect(notes(page)).to_contain_text("为什么是黑的")
        check("black")
        page.locator(".viewer").hover()
        expect(page.locator(".pointed")).to_be_visible()
        check("pointed")
        visit.upload(png(tmp_path / "mirrored.png", draw_sample("ct", 0)[0][:, ::-1]))
        expect(notes(page)).to_contain_text("左右镜像")
        check("proposal")
        notes(page).locator(".primary").click()
        expect(notes(page)).to_contain_text("已按建议")
        check("accepted")
        visit.upload(*series(tmp_path / "series", 2), name="DICOM series")
        check("volume")
        series(tmp_path / "other", 2, SeriesInstanceUID="1.2.3.99")
        visit.choose(zipped(tmp_path / "study.zip", tmp_path / "series", tmp_path / "other"))
        expect(notes(page)).to_contain_text("2 个序列")
        check("series")
        visit.choose(geotiff(tmp_path / "deep.tif", factor=14))
        expect(notes(page)).to_contain_text("出错了")
        check("error")
        page.locator(".models input").nth(1).check()
        visit.choose(geotiff(tmp_path / "scene.tif"))
        visit.has("scene.tif")
        check("raster")
        visit.choose(large(tmp_path / "large.png"))
        expect(page.locator(".strip")).to_contain_text("正在")
        check("running")
        page.locator(".cancel").click()
        visit.has("scene.tif")
        page.locator(".language input").first.check()
        expect(page.get_by_role("radio", name="Overlay")).to_be_visible()
        page.reload()  # it is remembered
        expect(page.get_by_role("radio", name="Overlay")).to_be_visible()


# -- results that are gone, servers that are


def test_what_was_dropped_or_expired_is_said_and_run_again(
    browser: Browser, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """What the server keeps no more is still seen; what can't be made says so, and a click runs it again."""
    folder = tmp_path_factory.mktemp("brief")
    port, model = free_port(), votes(folder)
    file, name = aerial(tmp_path / "scene.png"), "synthetic_aerial_0.png"
    with started(folder, model, port=port, options=["--memory", "1e-6"]) as address:
        visit = Visit(browser, address)
        page = visit.page
        page.goto(address)
        visit.has(name)
        visit.upload(file)
        before = visit.pixels()
        with Visit(browser, address) as other:  # whose result takes the place
            other.page.goto(address)
            other.has(name)
            other.upload(aerial(tmp_path / "other.png", 8))
        _gone(visit)
        np.testing.assert_array_equal(visit.pixels(), before)  # what is seen stays
        button(page, "Run again").click()
        expect(notes(page).get_by_role("alert")).to_have_count(0)
        visit.has("scene.png")
        np.testing.assert_array_equal(visit.pixels(), before)
        visit.downloads(tmp_path, KINDS["report"])
    button(page, "Download…").click()  # the server has ended
    page.get_by_role("dialog").get_by_role("button", name=KINDS["report"]).click()
    expect(page.get_by_role("dialog")).to_contain_text("The server can't be reached")
    page.keyboard.press("Escape")
    visit.choose(file)
    expect(notes(page).get_by_role("alert")).to_contain_text("The server can't be reached")
    button(page, "Back to the result before").click()
    visit.has("scene.png")
    with started(folder, model, port=port, options=["--keep", "0.02"]) as address:  # and comes again
        _gone(visit)
        button(page, "Run again").click()
        expect(notes(page).get_by_role("alert")).to_have_count(0)
        visit.has("scene.png")
        np.testing.assert_array_equal(visit.pixels(), before)
        page.evaluate(EXPIRED, _key(visit))
        _gone(visit)
        visit.expected = ("410", "ERR_CONNECTION", "Failed to fetch", "ERR_")
        visit.__exit__(None)


# whenever it is asked for, it is kept longer
EXPIRED = """async key => {
    while ((await fetch(`unetseg/results/${key}`)).status !== 410) await new Promise(done => setTimeout(done, 2000));
}"""


def _key(visit: Visit) -> str:
    """Of the result that was asked for last."""
    keys = [found[1] for request in visit.requests if (found := re.search(r"/results/([^/]+)/", request.url))]
    return keys[-1]


def _gone(visit: Visit) -> None:
    """A download of what is gone says so, and so does the page."""
    page = visit.page
    button(page, "Download…").click()
    page.get_by_role("dialog").get_by_role("button", name=KINDS["report"]).click()
    expect(page.get_by_role("dialog")).to_contain_text("This result is no longer kept on the server")
    page.keyboard.press("Escape")
    expect(notes(page).get_by_role("alert")).to_contain_text("This result is no longer kept on the server.")


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
    expect(page.get_by_role("heading", name=FIRST)).to_be_visible()
    page.close()
