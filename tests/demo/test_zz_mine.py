"""The viewer in a real browser: what it draws of packed bytes is what Python draws, at every threshold."""

from __future__ import annotations

import binascii
import functools
import http.server
import itertools
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from configs import config_for, segmented
from numpy.typing import NDArray
from playwright.sync_api import Browser, Page

from unetseg import Image, Segmentation, SegmentationConfig
from unetseg.demo import packed as packing
from unetseg.render import View
from unetseg.segmentation import described

VIEWER = Path(packing.__file__).with_name("viewer")
CLOSE = ("probability", "entropy")
"""Views that are equal within one grey level."""
CONFIGS = {
    "binary": config_for("binary", thresholds=(0.37,)),
    "binary off the steps": config_for("binary", thresholds=(0.50321,), temperatures=(1.7,)),
    "multiclass": config_for("multiclass", temperatures=(0.7,), thresholds=(0.24, 0.5, 0.013)),
    "multiclass with background": config_for("multiclass with background"),
    "one-vs-rest": config_for("one-vs-rest", temperatures=(0.5, 1.0, 2.0), thresholds=(0.24, 0.5, 0.013)),
    "one-vs-rest with background": config_for(
        "one-vs-rest with background", temperatures=(0.5, 1.0, 2.0), thresholds=(0.24, 0.5, 0.013)
    ),
}


class _Files(http.server.SimpleHTTPRequestHandler):
    """The viewer's files, and packed bytes by name."""

    held: dict[str, bytes]

    def __init__(self, *args: Any, held: dict[str, bytes], **kwargs: Any) -> None:  # noqa: ANN401
        self.held = held
        super().__init__(*args, directory=str(VIEWER), **kwargs)

    def do_GET(self) -> None:
        name = self.path.lstrip("/")
        if name not in self.held:
            super().do_GET()
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/html" if name.endswith(".html") else "application/octet-stream")
        self.end_headers()
        self.wfile.write(self.held[name])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def held() -> dict[str, bytes]:
    page = (
        '<link rel="stylesheet" href="viewer.css"><body style="margin:0"><div id="v" style="width:400px;height:300px">'
    )
    return {"page.html": page.encode(), "favicon.ico": b""}


@pytest.fixture(scope="module")
def page(browser: Browser, held: dict[str, bytes]) -> Iterator[Page]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Files, held=held))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    page = browser.new_page()
    page.goto(f"http://127.0.0.1:{server.server_port}/page.html")
    page.evaluate(
        """async () => {
            const { Viewer } = await import("./viewer.js");
            const { unpack } = await import("./unpack.js");
            window.get = async (name) => unpack(await (await fetch(name)).arrayBuffer());
            window.base64 = ({ buffer }) =>  // as a list of numbers it takes seconds
                btoa(Array.from(new Uint8Array(buffer), (byte) => String.fromCharCode(byte)).join(""));
            window.told = { points: [], states: [] };
            window.viewer = new Viewer(document.getElementById("v"), {
                onPoint: (point) => told.points.push(point),
                onChange: (state) => told.states.push(state),
            });
        }"""
    )
    yield page
    page.close()
    server.shutdown()
    server.server_close()


def show(page: Page, held: dict[str, bytes], segmentation: Segmentation) -> None:
    """A slice in the viewer, with its entropy, at the thresholds of its config."""
    held["slice"] = packing.packed(segmentation, 0, segmentation.shape[1:], packing.counted(segmentation, 0))
    held["entropy"] = packing.entropy(segmentation)
    thresholds = list(segmentation.config.thresholds)
    page.evaluate(
        """async (thresholds) => {
            viewer.show(await get("slice"), { keepZoom: false });
            viewer.addEntropy(await get("entropy"));
            viewer.set({ view: "overlay", channel: null, thresholds, scale: "grey", opacity: 0.45, outline: false,
                         visible: [], band: 0, window: null, compare: "off" });
        }""",
        thresholds,
    )


def read(base64: str) -> NDArray[np.uint8]:
    return np.frombuffer(binascii.a2b_base64(base64), dtype=np.uint8)


def drawn(page: Page, height: int, **options: Any) -> NDArray[np.uint8]:  # noqa: ANN401
    """The pixels (H,W,3) of the view with these options."""
    found = page.evaluate("(options) => { viewer.set(options); return base64(viewer.pixels()); }", options)
    pixels = read(found).reshape(height, -1, 4)
    assert (pixels[..., 3] == 255).all()
    return pixels[..., :3]


def difficult(config: SegmentationConfig, height: int = 24, width: int = 31) -> Segmentation:
    """Logits of every size, with ties, zeros, those whose sigmoids saturate, and some at every step of the slider."""
    generator = np.random.default_rng(0)
    logits = generator.normal(0, 3, (1, len(config.outputs), height, width)).astype(np.float32)
    flat = logits.reshape(len(config.outputs), -1)
    steps = np.arange(1, 100) / 100
    for k, temperature in enumerate(itertools.islice(itertools.cycle(config.temperatures), len(config.outputs))):
        some = generator.permutation(flat.shape[1])[:99]
        flat[k, some[: len(some)]] = (np.log(steps / (1 - steps)) * temperature)[: len(some)]
    flat[:, -1], flat[:, -2], flat[:, -3], flat[:, -4] = 0, 40, -40, 1.5
    picture = generator.integers(0, 256, (1, height, width, 3), dtype=np.uint8)
    return segmented(torch.from_numpy(logits), picture, config)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_every_view_is_that_of_python(page: Page, held: dict[str, bytes], config: SegmentationConfig) -> None:
    found = difficult(config)
    height = found.shape[1]
    show(page, held, found)
    views: list[View] = ["probability", "thresholded", "argmax", "overlay", "entropy"]
    for view, channel in itertools.product(views, [None, *range(len(config.outputs))]):
        expected = found.view(view, class_name=None if channel is None else config.outputs[channel]).astype(int)
        most = int(np.abs(drawn(page, height, view=view, channel=channel) - expected).max())
        assert most <= (view in CLOSE), (view, channel)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_decisions_are_those_of_python_at_every_step(
    page: Page, held: dict[str, bytes], config: SegmentationConfig
) -> None:
    found = difficult(config)
    show(page, held, found)
    generator = np.random.default_rng(1)
    steps = [[k / 100] * len(config.outputs) for k in range(101)]
    mixed = generator.choice([*(k / 100 for k in range(101)), *config.thresholds], (40, len(config.outputs))).tolist()
    decided = page.evaluate(
        """async (all) => {
            const { labels, draw } = await import("./draw.js");
            const options = { ...viewer.options, view: "thresholded", channel: null };
            return all.map((thresholds) => [base64(labels(viewer.packed, thresholds).slice()),
                                            base64(draw(viewer.packed, { ...options, thresholds }))]);
        }""",
        steps + mixed,
    )
    for thresholds, (labels, claims) in zip(steps + mixed, decided, strict=True):
        np.testing.assert_array_equal(read(labels).reshape(found.shape[1:]), found.labels(thresholds)[0])
        colours = read(claims).reshape(*found.shape[1:], 4)[..., :3]
        np.testing.assert_array_equal(colours, found.view("thresholded", thresholds=thresholds))


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_counts_are_those_of_the_full_size(config: SegmentationConfig) -> None:
    found = difficult(config)
    counts = packing.counted(found, 0)
    probabilities = found.probabilities[0].numpy()
    for k, claims in enumerate(counts["claims"]):
        steps = np.array([*(step / 100 for step in range(101)), config.thresholds[k]], dtype=np.float32)
        assert claims == [int((probabilities[k] >= step).sum()) for step in steps]
    assert counts["argmax"] == np.bincount(found.argmax().ravel(), minlength=len(config.labels)).tolist()
    fixed = config.exclusive or config.background is None
    expected = np.bincount(found.labels().ravel(), minlength=len(config.labels)).tolist()
    assert counts["labels"] == (expected if fixed else None)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 9), (9, 1), (2, 3)])
def test_small_pictures_are_drawn_too(page: Page, held: dict[str, bytes], height: int, width: int) -> None:
    found = segmented(
        torch.linspace(-3, 3, height * width).reshape(1, 1, height, width),
        np.arange(height * width * 3, dtype=np.uint8).reshape(1, height, width, 3),
        CONFIGS["binary"],
    )
    show(page, held, found)
    for view in ("thresholded", "argmax", "overlay"):
        np.testing.assert_array_equal(drawn(page, height, view=view), found.view(view))


def test_a_ct_is_drawn_in_its_window_and_in_any_other(page: Page, held: dict[str, bytes]) -> None:
    config = config_for("binary", window=(-160.0, 240.0))
    pixels = np.random.default_rng(0).integers(-2000, 3000, (1, 40, 30, 1)).astype(np.int16)
    pixels[0, 0, :4, 0] = -32768, 32767, -160, 240
    image = Image(pixels, None, hounsfield=True)
    found = Segmentation(torch.zeros(1, 1, 40, 30), image, config, between=((-160.0, 240.0),))
    assert "window -160 to 240" in described(image, found.between)
    show(page, held, found)
    np.testing.assert_array_equal(drawn(page, 40, view="picture"), found.picture[0])
    np.testing.assert_array_equal(drawn(page, 40, view="overlay"), found.view("overlay"))
    bone = drawn(page, 40, view="picture", window=[400, 1800])[..., 0]
    expected = ((pixels[0, ..., 0].astype(np.float64) + 500) / 1800).clip(0, 1) * 255
    np.testing.assert_allclose(bone, expected, atol=0.51)


def test_classes_can_be_hidden_outlined_and_marked_where_they_are_uncertain(page: Page, held: dict[str, bytes]) -> None:
    config = CONFIGS["one-vs-rest with background"]
    found = difficult(config)
    show(page, held, found)
    labels = found.labels()[0]
    picture, height = found.picture[0], found.shape[1]
    hidden = drawn(page, height, view="overlay", visible=[True, False, True, True])
    np.testing.assert_array_equal(hidden[labels == 1], picture[labels == 1])
    np.testing.assert_array_equal(hidden[labels != 1], found.view("overlay")[labels != 1])
    assert (drawn(page, height, view="argmax")[found.argmax() == 1] == 0).all()
    outlined = drawn(page, height, view="overlay", visible=[], outline=True)
    padded = np.pad(labels, 1, mode="edge")
    around = [padded[1:-1, :-2], padded[1:-1, 2:], padded[:-2, 1:-1], padded[2:, 1:-1]]
    line = (labels > 0) & np.any([labels != one for one in around], axis=0)
    np.testing.assert_array_equal(outlined[line], found.view("overlay")[line] * 0 + _colours(config)[labels][line])
    np.testing.assert_array_equal(outlined[~line], found.view("overlay")[~line])
    marked = (drawn(page, height, view="probability", channel=1, outline=False, band=0.1) == [255, 0, 200]).all(axis=2)
    p = found.probabilities[0, 1].numpy()
    np.testing.assert_array_equal(marked, (p >= np.float32(0.4)) & (p < np.float32(0.6)))


def _colours(config: SegmentationConfig) -> NDArray[np.uint8]:
    return np.array([[int(color[i : i + 2], 16) for i in (1, 3, 5)] for color in config.palette], dtype=np.uint8)


def large(config: SegmentationConfig) -> tuple[Segmentation, Segmentation]:
    """A picture of 1,400 x 1,100 pixels, and how it is shown."""
    generator = np.random.default_rng(3)
    coarse = torch.from_numpy(generator.normal(0, 3, (1, len(config.outputs), 35, 28)).astype(np.float32))
    logits = torch.nn.functional.interpolate(coarse, (1100, 1400), mode="bilinear")
    picture = generator.integers(0, 256, (1, 1100, 1400, 3), dtype=np.uint8)
    full = segmented(logits, picture, config)
    return full, full.reduced(768)


@pytest.mark.parametrize("kind", ["binary", "one-vs-rest with background"])
def test_zoomed_in_the_pixels_of_the_full_size_are_asked_for_and_drawn(
    page: Page, held: dict[str, bytes], kind: str
) -> None:
    full, shown = large(CONFIGS[kind])
    show(page, held, shown)
    held["slice"] = packing.packed(shown, 0, full.shape[1:])
    page.evaluate("async () => { viewer.show(await get('slice'), { keepZoom: false }); told.states.length = 0; }")
    page.wait_for_function("told.states.length > 0")
    assert page.evaluate("told.states.at(-1).tilesWanted") == []
    page.evaluate("told.states.length = 0; viewer.zoomTo(4, 700, 300)")
    page.wait_for_function("told.states.length > 0")
    wanted = page.evaluate("told.states.at(-1).tilesWanted")
    assert wanted == [{"top": 0, "left": 512, "bottom": 512, "right": 1024}]
    held["tile"] = packing.tile(full, 0, **wanted[0])
    page.evaluate("async () => viewer.addTile(await get('tile'))")
    seen = page.evaluate(
        """async () => {
            const { draw } = await import("./draw.js");
            return base64(draw(viewer.tiles[0], { ...viewer.options, view: "thresholded" }));
        }"""
    )
    pixels = read(seen).reshape(512, 512, 4)[..., :3]
    np.testing.assert_array_equal(pixels, full.view("thresholded")[:512, 512:1024])
    for region in ((0, 0, 0, 5), (0, 0, 5, 1401), (-1, 0, 5, 5)):
        with pytest.raises(ValueError, match="a tile lies within 1100 x 1400 pixels"):
            packing.tile(full, 0, *region)


def screen(page: Page) -> NDArray[np.uint8]:
    """What stands on the canvas (300,400,4)."""
    found = page.evaluate(
        """() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => {
            const { canvas } = viewer;
            done(base64(canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data));
        })))"""
    )
    return read(found).reshape(300, 400, 4)


def halves() -> Segmentation:
    """A picture of 40 x 30 pixels, whose left half is liver, and a picture in blue."""
    logits = torch.full((1, 1, 30, 40), -9.0)
    logits[..., :20] = 9
    picture = np.zeros((1, 30, 40, 3), dtype=np.uint8)
    picture[..., 2] = 255
    return segmented(logits, picture, config_for("binary"))


def test_zoom_keeps_what_is_under_the_pointer_and_shows_single_pixels_without_blur(
    page: Page, held: dict[str, bytes]
) -> None:
    show(page, held, halves())
    page.evaluate("viewer.set({ view: 'thresholded', channel: 0 })")
    fitting = screen(page)
    assert (fitting[:, :200, :3] == 255).all()
    assert (fitting[:, 200:, :3] == 0).all()
    page.mouse.move(205, 155)  # in the pixel (15, 20), the first that is black
    for _ in range(20):
        page.mouse.wheel(0, -120)
    assert page.evaluate("viewer.state.zoom") == 48
    page.wait_for_timeout(100)
    point = page.evaluate("told.points.at(-1)")
    assert (point["x"], point["y"], point["label"]) == (20, 15, 0)
    zoomed = screen(page)
    assert set(np.unique(zoomed[..., :3]).tolist()) == {0, 255}, "blurred"
    kept = page.evaluate("viewer.set({ view: 'argmax' }); viewer.show(viewer.packed); viewer.state.zoom")
    assert kept == 48
    page.evaluate("viewer.fit()")
    assert page.evaluate("viewer.state") == {"zoom": 10, "x": 20, "y": 15}


def test_a_keyboard_zooms_pans_and_points(page: Page, held: dict[str, bytes]) -> None:
    show(page, held, halves())
    page.locator(".viewer-canvas").focus()
    for _ in range(5):
        page.keyboard.press("+")
    before = page.evaluate("viewer.state")
    assert before["zoom"] == pytest.approx(10 * 1.25**5)
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowUp")
    after = page.evaluate("viewer.state")
    assert after["x"] > before["x"]
    assert after["y"] < before["y"]
    assert page.evaluate("told.points.at(-1).x") == int(after["x"])
    page.keyboard.press("0")
    assert page.evaluate("viewer.state.zoom") == 10


def test_view_and_picture_are_compared_side_by_side_by_a_swipe_and_in_turn(page: Page, held: dict[str, bytes]) -> None:
    show(page, held, halves())
    blue, white = [0, 0, 255, 255], [255, 255, 255, 255]
    page.evaluate("viewer.set({ view: 'thresholded', channel: 0, compare: 'side' })")
    seen = screen(page)
    assert seen[150, 50].tolist() == seen[150, 150].tolist() == blue
    assert seen[150, 250].tolist() == white
    page.evaluate("viewer.set({ compare: 'swipe' })")
    swipe = page.locator(".viewer-swipe")
    swipe.focus()
    page.keyboard.press("Home")
    assert screen(page)[150, 100].tolist() == white
    page.keyboard.press("End")
    assert screen(page)[150, 100].tolist() == blue
    page.evaluate("viewer.set({ compare: 'blink' })")
    seen_colours = set()
    for _ in range(16):
        seen_colours.add(tuple(screen(page)[150, 100].tolist()))
        page.wait_for_timeout(100)
    assert seen_colours == {tuple(blue), tuple(white)}
    page.emulate_media(reduced_motion="reduce")
    still = {tuple(screen(page)[150, 100].tolist()) for _ in range(10) if page.wait_for_timeout(100) is None}
    assert still == {tuple(white)}
    page.mouse.click(100, 150)
    assert screen(page)[150, 100].tolist() == blue
    page.emulate_media(reduced_motion="no-preference")


def test_a_run_that_goes_on_is_seen_over_its_picture(page: Page) -> None:
    page.evaluate(
        """async () => {
            const data = new ImageData(40, 30);
            new Uint32Array(data.data.buffer).fill(0xffff0000);
            viewer.set({ compare: "off", opacity: 1 });
            viewer.preview(await createImageBitmap(data));
            const colours = { palette: ["#000000", "#ff0000"], background: "none" };
            viewer.partial(new Uint8Array(40 * 10).fill(1), 10, 30, colours);
        }"""
    )
    seen = screen(page)
    assert seen[50, 200].tolist() == seen[250, 200].tolist() == [0, 0, 255, 255]
    assert seen[150, 200].tolist() == [255, 0, 0, 255]


def test_no_change_asks_anyone(page: Page, held: dict[str, bytes]) -> None:
    show(page, held, difficult(CONFIGS["multiclass"]))
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    for view in ("probability", "thresholded", "argmax", "overlay", "entropy", "picture"):
        drawn(page, 24, view=view, channel=1, thresholds=[0.1, 0.2, 0.3], opacity=0.7, outline=True, band=0.2)
    page.evaluate("viewer.zoomTo(20, 3, 4)")
    page.wait_for_timeout(300)
    assert not asked


def test_a_result_of_another_version_is_an_error(page: Page, held: dict[str, bytes]) -> None:
    show(page, held, halves())
    held["other"] = held["slice"].replace(b'"version": 1', b'"version": 9')
    said = page.evaluate("get('other').catch((error) => error.message)")
    assert said == "the result is of version 9, not 1: reload the page"


def test_pictures_of_whole_hounsfield_units_alone_go_as_such() -> None:
    config = config_for("binary", window=(-160.0, 240.0))
    pixels = np.full((1, 4, 4, 1), 20.5, dtype=np.float32)
    half = Segmentation(torch.zeros(1, 1, 4, 4), Image(pixels, None, hounsfield=True), config, between=((-160, 240),))
    assert b'"picture"' in packing.packed(half, 0, (4, 4))
    whole = replace(half, image=replace(half.image, pixels=np.rint(pixels)))
    assert b'"hounsfield"' in packing.packed(whole, 0, (4, 4))
