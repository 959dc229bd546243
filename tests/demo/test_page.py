"""The page, served by `python app.py` and driven by a real headless Chromium."""

from __future__ import annotations

import io
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dicom_files
import numpy as np
import PIL.Image
import pytest
import rasterio
from affine import Affine
from configs import config_for, network_for
from playwright.sync_api import Browser, Page, expect

from unetseg import Predictor, read_image
from unetseg.demo.handlers import Page as Handlers
from unetseg.demo.layout import build
from unetseg.formats.dicom import Series
from unetseg.formats.dicom_seg import read_seg
from unetseg.render import VIEWS, View
from unetseg.samples import draw_sample

ROOT = Path(__file__).resolve().parents[2]
SCREENSHOTS = ROOT / "build" / "screenshots"
LABELS = {
    "probability": "Probability",
    "thresholded": "Thresholded",
    "argmax": "Argmax colours",
    "overlay": "Overlay",
}
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
    environment = os.environ | {"OMP_NUM_THREADS": "1", "TMPDIR": str(temporary)}
    with log.open("w") as output:
        server = subprocess.Popen(
            [sys.executable, str(ROOT / "app.py"), "--port", str(port)],
            cwd=folder, env=environment, stdout=output, stderr=output,
        )  # fmt: skip
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
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    outside: list[str] = []
    page.on("request", lambda r: None if r.url.startswith((address, "data:", "blob:")) else outside.append(r.url))
    page.goto(address)
    expect(page.locator("#view")).to_be_visible(timeout=SECONDS)
    yield page
    assert not outside, "the page asked the network"
    page.close()


def upload(page: Page, *paths: Path) -> None:
    page.set_input_files("#upload input[type=file]", paths)


def shown(page: Page, view: str) -> np.ndarray:
    """The pixels of a view as the browser gets them, once it is the one on the screen."""
    page.get_by_label(LABELS[view], exact=True).click()
    image = page.locator(f"#{view} img")
    expect(image).to_be_visible(timeout=SECONDS)
    for other in set(VIEWS) - {view}:
        expect(page.locator(f"#{other}")).to_be_hidden()
    return pixels_of(page, image.get_attribute("src") or "")


def pixels_of(page: Page, source: str) -> np.ndarray:
    return np.asarray(PIL.Image.open(io.BytesIO(page.request.get(source).body())).convert("RGB"))


def keep(page: Page, name: str) -> None:
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)


@pytest.mark.parametrize(
    ("model", "kind", "size"),
    [("liver-unet", "ct", 512), ("satellite-unet", "aerial", 900)],
    ids=["liver", "satellite"],
)
def test_an_upload_is_shown_in_every_view_pixel_for_pixel(
    page: Page, tmp_path: Path, model: str, kind: str, size: int
) -> None:
    file = tmp_path / "upload.png"
    PIL.Image.fromarray(draw_sample(kind, 7, size)[0]).save(file)
    page.get_by_label(model).click()
    upload(page, file)
    expect(page.locator("#status")).to_contain_text(f"{size} x {size} pixels", timeout=SECONDS)
    own = Predictor.from_pretrained(model)(file)
    reduced = own.reduced(768)
    for view in VIEWS:
        np.testing.assert_array_equal(shown(page, view), reduced.view(view), err_msg=view)
        keep(page, f"{model}_{view}")
    share = (own.labels() == 1).mean()
    expect(page.locator(".by-labels li").nth(1)).to_contain_text(f"{share:.1%}")
    with page.expect_download() as download:
        page.locator("#download").click()
    saved = PIL.Image.open(download.value.path())
    assert saved.mode == "P"
    np.testing.assert_array_equal(np.asarray(saved), own.labels()[0])


def test_the_slider_moves_the_threshold_and_what_is_downloaded(page: Page, tmp_path: Path) -> None:
    file = tmp_path / "slice.png"
    PIL.Image.fromarray(draw_sample("ct", 7)[0]).save(file)
    page.get_by_label("liver-unet").click()
    upload(page, file)
    before = shown(page, "thresholded")
    source = page.locator("#thresholded img").get_attribute("src") or ""
    box = page.locator("#slider input[type=number]")
    box.fill("0.97")
    box.press("Enter")
    expect(page.locator("#thresholded img")).not_to_have_attribute("src", source, timeout=SECONDS)
    after = shown(page, "thresholded")
    own = Predictor.from_pretrained("liver-unet")(file)
    np.testing.assert_array_equal(after, own.view("thresholded", thresholds=[0.97]))
    assert (after != before).any()
    keep(page, "slider")
    page.wait_for_timeout(1500)  # the download follows the view
    with page.expect_download() as download:
        page.locator("#download").click()
    saved = np.asarray(PIL.Image.open(download.value.path()))
    np.testing.assert_array_equal(saved, own.labels([0.97])[0])


def test_a_class_is_shown_alone(page: Page, tmp_path: Path) -> None:
    file = tmp_path / "scene.png"
    PIL.Image.fromarray(draw_sample("aerial", 7)[0]).save(file)
    page.get_by_label("satellite-unet").click()
    upload(page, file)
    shown(page, "probability")
    source = page.locator("#probability img").get_attribute("src") or ""
    page.get_by_label("water", exact=True).click()
    expect(page.locator("#probability img")).not_to_have_attribute("src", source, timeout=SECONDS)
    own = Predictor.from_pretrained("satellite-unet")(file)
    np.testing.assert_array_equal(shown(page, "probability"), own.view("probability", class_name="water"))
    expect(page.locator("#captions .view-probability")).to_contain_text("Probability of water")
    keep(page, "one_class")


@pytest.mark.filterwarnings("ignore")  # of the libraries of the server, which runs in this process
def test_what_is_chosen_while_another_class_is_drawn_is_shown_in_the_end(
    browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRADIO_ANALYTICS_ENABLED", "False")
    config = config_for("one-vs-rest")
    slow, fast = config.classes[:2]

    class Slow(Handlers):
        def view(self, key: str, kind: View, class_name: str, *how: Any) -> str:  # noqa: ANN401, as they are
            if class_name == slow:
                time.sleep(0.5)
            return super().view(key, kind, class_name, *how)

    PIL.Image.new("RGB", (64, 64)).save(tmp_path / "picture.png")
    blocks = build(Slow({"tiny": Predictor(network_for(config), device="cpu")}))
    _, address, _ = blocks.launch(prevent_thread_lock=True, quiet=True)
    page = browser.new_page()
    try:
        page.goto(address)
        expect(page.locator("#view")).to_be_visible(timeout=SECONDS)
        upload(page, tmp_path / "picture.png")
        expect(page.locator("#probability img")).to_be_visible(timeout=SECONDS)
        page.get_by_label(slow, exact=True).click()
        page.wait_for_timeout(500)
        page.get_by_label(fast, exact=True).click()
        caption = page.locator("#captions .view-probability")
        expect(caption).to_contain_text(f"Probability of {fast}", timeout=SECONDS)
    finally:
        page.close()
        blocks.close()


def done(page: Page, text: str) -> None:
    """Wait until a result is said and shown, and its download made."""
    expect(page.locator("#status")).to_contain_text(text, timeout=SECONDS)
    expect(page.locator("#download")).to_be_enabled(timeout=SECONDS)


def downloaded(page: Page, button: str, folder: Path) -> Path:
    with page.expect_download() as download:
        page.locator(button).click()
    target = folder / download.value.suggested_filename
    download.value.save_as(target)
    return target


def ct_files(folder: Path, count: int = 6, **attributes: str) -> list[Path]:
    """A series of drawn slices of 128 x 128 pixels, in Hounsfield units."""
    made = dicom_files.slices(count, shape=(128, 128), RescaleIntercept=-1024, **attributes)
    for seed, dataset in enumerate(made):
        drawn = draw_sample("ct", seed, 128)[0].astype(np.int32)
        dicom_files.with_pixels(dataset, np.where(drawn == 0, 24, drawn * 400 // 255 + 864))
    return sorted(dicom_files.written(folder, made).iterdir())


def test_a_volume_has_a_slider_over_its_slices_and_a_window_that_changes_the_picture_alone(
    page: Page, tmp_path: Path
) -> None:
    files = ct_files(tmp_path / "series")
    image = read_image(tmp_path / "series")
    own = Predictor.from_pretrained("liver-unet")(image)
    assert len({int(found) for found in own.labels().sum(axis=(1, 2))} - {0}) > 2, "too little to see"
    page.get_by_label("liver-unet").click()
    upload(page, *files)
    done(page, "6 slices of 128 x 128 pixels, 1 channel, int16, Hounsfield units, CT, spacing 2 x 1.5 x 3 mm")
    number = page.locator("#slice input[type=number]")
    first = int(number.input_value()) - 1
    assert first == (own.labels() > 0).sum(axis=(1, 2)).argmax()
    expect(page.locator("#profile polygon")).to_have_count(1)
    np.testing.assert_array_equal(shown(page, "thresholded"), own.view("thresholded", index=first))
    picture = page.locator("#picture img")
    np.testing.assert_array_equal(pixels_of(page, picture.get_attribute("src") or ""), own.picture[first])
    before = picture.get_attribute("src") or ""
    number.fill("3")
    number.press("Enter")
    expect(picture).not_to_have_attribute("src", before, timeout=SECONDS)
    np.testing.assert_array_equal(pixels_of(page, picture.get_attribute("src") or ""), own.picture[2])
    np.testing.assert_array_equal(shown(page, "probability"), own.view("probability", index=2))
    page.locator("#level input").fill("")  # half typed, it changes nothing
    before = picture.get_attribute("src") or ""
    page.get_by_label("bone", exact=True).click()
    expect(picture).not_to_have_attribute("src", before, timeout=SECONDS)
    level, width = 400, 1800
    expected = ((image.pixels[2, :, :, 0] - (level - width / 2)) / width * 255).clip(0, 255)
    drawn = pixels_of(page, picture.get_attribute("src") or "")[..., 0]
    np.testing.assert_allclose(drawn, expected, atol=1)
    np.testing.assert_array_equal(shown(page, "probability"), own.view("probability", index=2))
    keep(page, "series")
    labels = downloaded(page, "#download", tmp_path)
    assert labels.suffix == ".dcm"
    assert isinstance(image.place, Series)
    np.testing.assert_array_equal(read_seg(labels, image.place), own.labels())
    report = json.loads(downloaded(page, "#report", tmp_path).read_text())
    assert report["labels"][1]["pixels"] == own.labels().sum()


def test_of_several_series_one_is_asked_for_and_nobody_is_named(page: Page, tmp_path: Path) -> None:
    ct_files(tmp_path / "a", 2, SeriesInstanceUID="1.2.3.44", SeriesDescription="thick")
    ct_files(tmp_path / "b", 3, SeriesInstanceUID="1.2.3.55", SeriesDescription="thin")
    packed = tmp_path / "study.zip"
    with zipfile.ZipFile(packed, "w") as file:
        for path in sorted([*(tmp_path / "a").iterdir(), *(tmp_path / "b").iterdir()]):
            file.write(path, path.relative_to(tmp_path))
    page.get_by_label("liver-unet").click()
    upload(page, packed)
    expect(page.locator("#status")).to_contain_text("This holds 2 series: choose one.", timeout=SECONDS)
    page.get_by_label("CT, 3 slices, 'thin'").click()
    done(page, "study.zip: 3 slices of 128 x 128 pixels")
    keep(page, "several_series")
    said = page.content() + downloaded(page, "#report", tmp_path).read_text()
    private = [part for value in dicom_files.PATIENT.values() for part in value.split("^")]
    assert not [part for part in private if part in said]


def test_a_raster_comes_back_on_its_ground_and_what_it_does_not_say_is_asked(page: Page, tmp_path: Path) -> None:
    source = tmp_path / "scene.tif"
    pixels = np.moveaxis(draw_sample("aerial", 7, 128)[0], 2, 0).astype(np.uint16) * 14
    place = {"crs": "EPSG:32633", "transform": Affine(2, 0, 500_000, 0, -2, 4_600_000)}
    profile = {"driver": "GTiff", "count": 3, "height": 128, "width": 128, "dtype": "uint16", **place}
    with rasterio.open(source, "w", **profile) as dataset:
        dataset.write(pixels)
    page.get_by_label("satellite-unet").click()
    upload(page, source)
    expect(page.locator("#status [role=alert]")).to_contain_text("no natural black and white", timeout=SECONDS)
    page.get_by_text("What the file does not say").click()
    page.locator("#values textarea, #values input").fill("0 3570")
    page.locator("#values textarea, #values input").press("Tab")
    page.wait_for_timeout(2000)  # what is typed is taken over, on a busy machine too
    page.get_by_role("button", name="Read it so").click()
    done(page, "EPSG:32633, 2 m a pixel")
    keep(page, "raster")
    own = Predictor.from_pretrained("satellite-unet")(source, value_range=(0, 3570))
    with rasterio.open(downloaded(page, "#download", tmp_path)) as result:
        assert (result.read(1) == own.labels()[0]).all()
        assert (result.crs, result.transform) == (place["crs"], place["transform"])
    plain = tmp_path / "plain.png"
    PIL.Image.fromarray(draw_sample("aerial", 8, 96)[0]).save(plain)
    upload(page, plain)  # what was said of the raster doesn't hold for it
    done(page, "plain.png: 96 x 96 pixels, 3 channels, uint8, values 0 to 255 from black to white")
    expect(page.locator("#values textarea, #values input")).to_have_value("")


def test_an_example_is_one_click(page: Page) -> None:
    page.get_by_label("liver-unet").click()
    page.locator("#examples button").first.click()
    expect(page.locator("#status")).to_contain_text("synthetic_ct_0", timeout=SECONDS)
    assert shown(page, "overlay").shape == (256, 256, 3)
    page.get_by_label("satellite-unet").click()
    expect(page.locator("#status")).to_contain_text("satellite-unet", timeout=SECONDS)
    expect(page.locator("#status")).to_contain_text("multiclass", timeout=SECONDS)
    keep(page, "example")


def test_a_picture_that_lies_otherwise_gets_a_proposal_that_is_taken_by_a_click(page: Page, tmp_path: Path) -> None:
    """Mirrored, a generated slice gets the labels of the upright one, mirrored; a sentence says so before and after."""
    upright = draw_sample("ct", 0)[0]
    PIL.Image.fromarray(upright[:, ::-1]).save(tmp_path / "mirrored.png")
    upload(page, tmp_path / "mirrored.png")
    done(page, "if it were mirrored left to right")
    accept = page.locator("#accept")
    expect(accept).to_have_text("Look at it mirrored left to right")
    keep(page, "proposal")
    accept.click()
    done(page, "mirrored.png was mirrored left to right before it was segmented")
    expect(accept).to_be_hidden()
    predictor = Predictor.from_pretrained("liver-unet", device="cpu")
    assert np.array_equal(
        np.asarray(PIL.Image.open(downloaded(page, "#download", tmp_path))), predictor(upright).labels()[0][:, ::-1]
    )
    keep(page, "proposal_accepted")


def test_a_picture_of_something_else_is_called_foreign_and_black_is_explained(page: Page, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (200, 240), dtype=np.uint8)
    PIL.Image.fromarray(noise).save(tmp_path / "noise.png")
    upload(page, tmp_path / "noise.png")
    done(page, "noise.png is unlike the pictures that this model was trained on (distance ")
    expect(page.locator("#status")).to_contain_text("Nothing is found. The highest probability of liver is")
    expect(page.locator("#status")).to_contain_text("those of the training pictures were")
    expect(page.locator("#accept")).to_be_hidden()
    keep(page, "foreign")


def test_a_failure_of_the_machine_is_a_sentence(tmp_path: Path) -> None:
    class Full:
        def __init__(self) -> None:
            self.config, self.source = config_for("binary"), None

        def __call__(self, image: object, **_: object) -> None:
            raise MemoryError("no room")

    PIL.Image.fromarray(draw_sample("ct", 7)[0]).save(tmp_path / "a.png")
    handlers = Handlers({"full": Full()})  # type: ignore[dict-item]
    with pytest.raises(ValueError, match=r"a\.png could not be segmented \(no room\); try a smaller picture"):
        handlers.segment("full", str(tmp_path / "a.png"))
    handlers._folder.cleanup()


def test_a_broken_file_gets_a_sentence_and_the_page_goes_on(page: Page, tmp_path: Path) -> None:
    whole = tmp_path / "whole.png"
    PIL.Image.fromarray(draw_sample("ct", 7)[0]).save(whole)
    broken = tmp_path / "broken.png"
    broken.write_bytes(whole.read_bytes()[:500])
    page.get_by_label("liver-unet").click()
    upload(page, broken)
    problem = page.locator("#status [role=alert]")
    expect(problem).to_contain_text("broken.png is damaged or cut off", timeout=SECONDS)
    keep(page, "broken")
    expect(page.locator("#probability img")).to_have_count(0)
    upload(page, whole)
    assert shown(page, "probability").shape == (256, 256, 3)
    expect(problem).to_have_count(0)
