"""The viewer in a real headless Chromium: its pixels against `Segmentation.view`, its gestures, what it tells."""

from __future__ import annotations

import base64
import dataclasses
import io
import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from configs import KINDS, config_for, segmented
from numpy.typing import NDArray
from playwright.sync_api import Browser, Page
from scenes import ct, scene
from viewing import Desk, Tab, desk, tab

from unetseg import Segmentation, render
from unetseg.demo.packed import counted, entropy, packed, tile
from unetseg.prepare import scaled

Pixels = NDArray[np.uint8]
SLIDER = [k / 100 for k in range(101)]
STAGE = {"width": 800, "height": 600}


@pytest.fixture(scope="module")
def served() -> Iterator[Desk]:
    with desk() as served:
        yield served


@pytest.fixture(scope="module")
def own(browser: Browser) -> Iterator[Tab]:
    with tab(browser, 800, 640) as own:
        yield own


@pytest.fixture
def page(own: Tab, served: Desk) -> Iterator[Page]:
    with own.at(served) as page:
        yield page


def show(page: Page, served: Desk, shown: Segmentation, full: Segmentation | None = None, index: int = 0) -> None:
    whole = full or shown
    served.packed["one"] = packed(shown, index, whole.shape[1:], counted(whole, 0))
    page.evaluate("async () => viewer.show(await get('one'), { keepZoom: true })")


def drawn(page: Page, *states: dict[str, Any], canvas: str = ".after canvas") -> list[Pixels]:
    """RGB (H,W,3) of the view in each state, one set after the other, read from the canvas on the screen."""
    found = page.evaluate(
        """async ([states, which]) => {
            const frame = () => new Promise((done) => requestAnimationFrame(done));
            const seen = [];
            for (const state of states) {
                viewer.set(state);
                await frame(); // what is set twice before the screen shows it is drawn with the next frame
                const canvas = document.querySelector(which);
                const { data, width, height } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
                seen.push([text(data), height, width]);
            }
            return seen;
        }""",
        [states, canvas],
    )
    images = [np.frombuffer(base64.b64decode(data), np.uint8).reshape(h, w, 4) for data, h, w in found]
    assert all((image[..., 3] == 255).all() for image in images)
    return [image[..., :3] for image in images]


def screen(page: Page) -> Pixels:
    """RGB of what is seen of the stage."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    shot = page.screenshot(clip={"x": 0, "y": 0, **STAGE})
    return np.asarray(PIL.Image.open(io.BytesIO(shot)).convert("RGB"))


def zoom(page: Page) -> dict[str, Any]:
    return dict(page.evaluate("() => viewer.state.zoom"))


def label_image(height: int, width: int) -> Segmentation:
    """A picture of one grey in which every other pixel is another class: what is blurred or displaced is seen."""
    logits = torch.zeros(1, 3, height, width)
    logits[:, 1:] = -9
    logits[:, 1, ::2, ::2] = 9
    logits[:, 2, 1::2, 1::2] = 9
    return segmented(logits, np.full((1, height, width, 3), 90, np.uint8), config_for("multiclass"))


# -- pixels


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(61, 83), (1, 1), (1, 9), (9, 1), (2, 3)])
def test_every_view_is_pythons_pixel_by_pixel(page: Page, served: Desk, kind: str, size: tuple[int, int]) -> None:
    segmentation = scene(kind, *size)
    config = segmentation.config
    count = len(config.outputs)
    random = np.random.default_rng(0)
    mixed = [[*(random.choice([*SLIDER, own]) for own in config.thresholds)] for _ in range(5)]
    limits = [list(config.thresholds), *([step] * count for step in (0.0, 0.29, 0.57, 1.0)), *mixed]
    channels = [None, *range(count)]
    show(page, served, segmentation)
    wanted = [
        {"view": view, "channel": channel, "thresholds": list(map(float, some)), "scale": "grey"}
        for view, channel, some in itertools.product(("thresholded", "overlay"), channels, limits)
    ]
    wanted.append({**wanted[0], "view": "argmax"})
    for state, found in zip(wanted, drawn(page, *wanted), strict=True):
        name = None if state["channel"] is None else config.outputs[state["channel"]]
        expected = segmentation.view(state["view"], class_name=name, thresholds=state["thresholds"])
        np.testing.assert_array_equal(found, expected, str(state))
    greys = drawn(page, *({"view": "probability", "channel": channel} for channel in channels))
    for channel, found in zip(channels, greys, strict=True):
        name = None if channel is None else config.outputs[channel]
        assert np.abs(found.astype(int) - segmentation.view("probability", class_name=name)).max() <= 1
    np.testing.assert_array_equal(drawn(page, {"view": "picture"})[0], segmentation.rgb[0])


def test_many_classes_may_claim_a_pixel(page: Page, served: Desk) -> None:
    names = tuple("abcdefghijkl")
    random = np.random.default_rng(0)
    palette = tuple(f"#{''.join(f'{part:02x}' for part in color)}" for color in random.integers(0, 256, (13, 3)))
    changes = {"classes": names, "palette": palette, "thresholds": (0.5,) * 12, "temperatures": (1.0,) * 12}
    segmentation = scene("one-vs-rest with background", 61, 83, **changes)
    show(page, served, segmentation)
    limits = [0.02 * step for step in range(1, 13)]
    for view in ("thresholded", "overlay"):
        expected = segmentation.view(view, thresholds=limits)
        np.testing.assert_array_equal(drawn(page, {"view": view, "thresholds": limits})[0], expected)
    off = segmentation.probabilities[0].numpy() >= np.array(limits, dtype=np.float32)[:, None, None]
    claims = off[::2].astype(np.float32)  # every other class is on
    colors = render.palette(segmentation.config)[1::2].astype(np.float32)
    mean = np.einsum("khw,kc->hwc", claims, colors) / np.maximum(claims.sum(axis=0), 1)[..., None]
    on = [True, *(k % 2 == 0 for k in range(12))]
    np.testing.assert_array_equal(drawn(page, {"view": "thresholded", "visible": on})[0], np.rint(mean))


def test_the_drawn_labels_follow_a_wild_slider(page: Page, served: Desk) -> None:
    segmentation = scene("binary", 61, 83)
    show(page, served, segmentation)
    steps = np.random.default_rng(3).choice(SLIDER, 200).tolist()
    for step in steps:
        page.evaluate("(step) => viewer.set({ view: 'overlay', thresholds: [step] })", step)
    np.testing.assert_array_equal(drawn(page, {})[0], segmentation.view("overlay", thresholds=steps[-1:]))


def test_a_threshold_between_the_steps_is_the_nearest_half_step(page: Page, served: Desk) -> None:
    segmentation = scene("binary", 61, 83)  # its own threshold, 0.4375123, lies between two of them
    show(page, served, segmentation)
    near = {0.33412: 0.335, 0.4374: 0.435, 0.4381: 0.44, 0.0001: 0.0, 0.9999: 1.0}
    found = drawn(page, *({"view": "thresholded", "thresholds": [given]} for given in near))
    for pixels, drawn_at in zip(found, near.values(), strict=True):
        np.testing.assert_array_equal(pixels, segmentation.view("thresholded", thresholds=[drawn_at]), str(drawn_at))


def test_the_perceptual_scale_is_the_same_grey_in_other_colours(page: Page, served: Desk) -> None:
    show(page, served, scene("binary", 61, 83))
    grey, colours = drawn(page, *({"view": "probability", "scale": scale} for scale in ("grey", "perceptual")))
    table = np.zeros((256, 3), int)
    table[grey[..., 0]] = colours
    np.testing.assert_array_equal(colours, table[grey[..., 0]])
    present = np.unique(grey)
    assert len(np.unique(table[present], axis=0)) > 190
    lightness = table[present] @ (0.2126, 0.7152, 0.0722)
    assert (np.diff(lightness) > -0.5).all()  # even for who sees no hue
    assert table[0].tolist() == [0x44, 0x01, 0x54]
    assert table[255].tolist() == [0xFD, 0xE7, 0x25]
    assert "rgb(68 1 84)" in page.evaluate("() => drawing.barGradient('perceptual')")


@pytest.mark.parametrize("kind", KINDS)
def test_entropy_is_drawn_once_it_is_there(page: Page, served: Desk, kind: str) -> None:
    segmentation = scene(kind, 61, 83)
    outputs = segmentation.config.outputs
    show(page, served, segmentation)
    picture = drawn(page, {"view": "entropy", "scale": "grey"})[0]
    np.testing.assert_array_equal(picture, segmentation.rgb[0])
    served.packed["entropy"] = entropy(segmentation)
    page.evaluate("async () => viewer.addEntropy(await get('entropy'))")
    channels = [None, *range(len(outputs))]
    for channel, found in zip(channels, drawn(page, *({"channel": channel} for channel in channels)), strict=True):
        name = None if channel is None else outputs[channel]
        np.testing.assert_array_equal(found, segmentation.view("entropy", class_name=name), str(name))


def test_hounsfield_units_are_drawn_in_any_window(page: Page, served: Desk) -> None:
    values = np.random.default_rng(0).integers(-1200, 3000, (61, 83), dtype=np.int16)
    values[0, :2] = (-(2**15), 2**15 - 1)
    segmentation = ct(values, (-137.3, 245.9))
    show(page, served, segmentation)
    windows = [(40, 400), (60, 160), (-600, 1500), (400, 1800), (33, 71)]
    as_seen, *others = drawn(page, *({"view": "picture", "window": w} for w in (None, *windows)))
    np.testing.assert_array_equal(as_seen, segmentation.rgb[0])
    for (level, width), found in zip(windows, others, strict=True):
        between = [(level - width / 2, level + width / 2)]
        expected = render.as_rgb(scaled(segmentation.image.pixels, between, segmentation.config))
        np.testing.assert_array_equal(found, expected[0], str((level, width)))
    np.testing.assert_array_equal(drawn(page, {"view": "overlay", "window": None})[0], segmentation.view("overlay"))


@pytest.mark.parametrize("kind", ["binary", "multiclass", "one-vs-rest with background"])
def test_opacity_and_the_classes_that_are_on(page: Page, served: Desk, kind: str) -> None:
    segmentation = scene(kind, 61, 83)
    config = segmentation.config
    labels, picture = segmentation.labels(index=0), segmentation.rgb[0]
    show(page, served, segmentation)
    found = drawn(page, *({"view": "overlay", "opacity": opacity} for opacity in (0, 0.1, 0.45, 0.7, 1)))
    for opacity, pixels in zip((0, 0.1, 0.45, 0.7, 1), found, strict=True):
        np.testing.assert_array_equal(pixels, render.overlay(picture, labels, config, opacity), str(opacity))
    on = [True] * len(config.labels)
    last = len(on) - 1
    off = {"opacity": 0.45, "visible": [*on[:-1], False]}
    overlay, argmax = drawn(page, off, {"view": "argmax"})
    as_it_is = np.where((labels == last)[..., None], picture, render.overlay(picture, labels, config))
    np.testing.assert_array_equal(overlay, as_it_is)
    black = np.where((segmentation.argmax() == last)[..., None], 0, segmentation.view("argmax"))
    np.testing.assert_array_equal(argmax, black)


def test_an_outline_is_where_another_label_begins(page: Page, served: Desk) -> None:
    segmentation = scene("one-vs-rest with background", 61, 83)
    labels, picture = segmentation.labels(index=0), segmentation.rgb[0]
    show(page, served, segmentation)
    found = drawn(page, {"view": "overlay", "opacity": 0, "outline": True})[0]
    around = np.pad(labels, 1, mode="edge")
    others = [around[1:-1, :-2], around[1:-1, 2:], around[:-2, 1:-1], around[2:, 1:-1]]
    edge = (labels > 0) & np.any([other != labels for other in others], axis=0)
    colours = render.colourised(labels, segmentation.config)
    np.testing.assert_array_equal(found, np.where(edge[..., None], colours, picture))
    some = drawn(page, {"opacity": 0.3, "visible": [True, True, False, True]})[0]
    wanted = render.overlay(picture, labels, segmentation.config, 0.3, hidden=[2], outline=True)
    np.testing.assert_array_equal(some, wanted)


def test_the_uncertain_band_is_striped(page: Page, served: Desk) -> None:
    segmentation = scene("binary", 61, 83)
    show(page, served, segmentation)
    plain, striped = drawn(page, *({"view": "thresholded", "thresholds": [0.4], "band": band} for band in (0, 0.1)))
    p = segmentation.probabilities[0, 0].numpy()
    in_band = (p >= np.float32(0.3)) & (p < np.float32(0.5))
    differs = (plain != striped).any(axis=2)
    assert not (differs & ~in_band).any()
    y, x = np.indices(p.shape)
    np.testing.assert_array_equal(differs, in_band & ((x + y) % 5 < 2))


def test_pixels_are_those_on_the_screen(page: Page, served: Desk) -> None:
    show(page, served, scene("multiclass", 20, 30))
    on_screen = drawn(page, {"view": "argmax"})[0]
    found = page.evaluate("() => { const one = viewer.pixels(); return [text(one.data), one.height, one.width]; }")
    rgba = np.frombuffer(base64.b64decode(found[0]), np.uint8).reshape(*found[1:], 4)
    np.testing.assert_array_equal(rgba[..., :3], on_screen)


def test_nothing_is_asked_of_a_server_by_any_change(page: Page, served: Desk) -> None:
    show(page, served, scene("one-vs-rest with background", 61, 83))
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    every = [{"view": view} for view in ("probability", "thresholded", "argmax", "overlay", "picture", "entropy")]
    other = [{"channel": 1}, {"thresholds": [0.1, 0.2, 0.3]}, {"scale": "perceptual"}, {"opacity": 0.2}]
    more = [{"outline": True}, {"visible": [True, False, True, True]}, {"band": 0.2}, {"window": [40, 400]}]
    drawn(page, *every, *other, *more, *({"compare": mode} for mode in ("swipe", "side", "blink", "off")))
    page.evaluate("() => { viewer.zoomTo(9, 10, 10); viewer.fit(); }")
    page.mouse.move(300, 300)
    page.mouse.wheel(0, -300)
    page.wait_for_timeout(300)
    assert not asked


def test_bytes_that_are_no_result_are_refused_in_a_sentence(page: Page, served: Desk) -> None:
    whole = packed(scene("binary", 20, 30), 0, (20, 30))
    served.packed |= {"nothing": b"", "cut": whole[:40], "text": b"<html>not found</html>"}
    served.packed["newer"] = whole.replace(b'"version": 1', b'"version": 2')
    served.packed["smaller"] = whole.replace(b'"shape": [20, 30]', b'"shape": [20, 31]')
    said = page.evaluate(
        """(names) => Promise.all(names.map((name) => get(name).then(() => "taken", (error) => error.message)))""",
        ["nothing", "cut", "text", "newer", "smaller"],
    )
    assert said[0] == "got 0 bytes, expected a result"
    assert said[1:3] == ["got 40 bytes, expected a result", "got 22 bytes, expected a result"]
    assert said[3] == "got a result of version 2, expected 1; load the page again"
    assert said[4].startswith("plane level0 has 600 bytes, expected 20 x 31")


# -- zoom


def test_all_of_a_picture_is_seen_at_first_and_again_with_0(page: Page, served: Desk) -> None:
    show(page, served, label_image(100, 50))
    assert zoom(page) == {"scale": 6, "x": 25, "y": 50, "fitted": True}
    page.locator(".viewer").focus()
    page.keyboard.press("+")
    page.keyboard.press("+")
    assert zoom(page) == pytest.approx({"scale": 6 * 1.25**2, "x": 25, "y": 50, "fitted": False})
    page.keyboard.press("ArrowDown")
    assert zoom(page)["y"] == pytest.approx(50 + 60 / 9.375)
    page.keyboard.press("-")
    assert zoom(page)["scale"] == pytest.approx(7.5)
    page.keyboard.press("0")
    assert zoom(page)["fitted"]


def test_pixels_are_squares_without_blur_when_zoomed(page: Page, served: Desk) -> None:
    segmentation = label_image(40, 40)
    show(page, served, segmentation)
    drawn(page, {"view": "argmax"})
    page.evaluate("() => viewer.zoomTo(40, 20, 20)")
    expected = segmentation.view("argmax")[12:28, 10:30].repeat(40, axis=0).repeat(40, axis=1)
    np.testing.assert_array_equal(screen(page), expected[20:620])  # half a pixel above and below


def test_a_wheel_zooms_to_the_pointer_and_a_drag_moves(page: Page, served: Desk) -> None:
    show(page, served, label_image(60, 80))
    assert zoom(page)["scale"] == 10
    page.mouse.move(200, 150)  # at the pixel 20, 15
    page.mouse.wheel(0, -500)
    page.wait_for_function("() => viewer.state.zoom.scale > 10")
    at = zoom(page)
    assert at["x"] + (200 - 400) / at["scale"] == pytest.approx(20)
    assert at["y"] + (150 - 300) / at["scale"] == pytest.approx(15)
    page.mouse.down()
    page.mouse.move(260, 190, steps=3)
    page.mouse.up()
    moved = zoom(page)
    assert (at["x"] - moved["x"]) * at["scale"] == pytest.approx(60, abs=0.01)
    assert (at["y"] - moved["y"]) * at["scale"] == pytest.approx(40, abs=0.01)
    page.mouse.move(400, 300)
    for _ in range(20):
        page.mouse.wheel(0, 1000)
    page.wait_for_function("() => viewer.state.zoom.fitted")


def test_two_fingers_zoom_around_their_middle(browser: Browser, served: Desk) -> None:
    with tab(browser, 800, 640, has_touch=True) as touched, touched.at(served) as page:
        show(page, served, label_image(60, 80))
        client = page.context.new_cdp_session(page)

        def touch(kind: str, *at: tuple[int, int], client: Any = client) -> None:  # noqa: ANN401, untyped
            points = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(at)]
            client.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

        touch("touchStart", (170, 150), (230, 150))
        for away in range(40, 91, 10):
            touch("touchMove", (200 - away, 150), (200 + away, 150))
        touch("touchEnd")
        at = zoom(page)
        assert at["scale"] == pytest.approx(30, rel=0.01)  # three times as far apart
        assert at["x"] + (200 - 400) / at["scale"] == pytest.approx(20, abs=0.3)
        assert at["y"] + (150 - 300) / at["scale"] == pytest.approx(15, abs=0.3)


def test_a_double_click_zooms_in_and_out_again(page: Page, served: Desk) -> None:
    show(page, served, label_image(60, 80))
    page.mouse.dblclick(200, 150)
    assert zoom(page)["scale"] == 30
    assert zoom(page)["x"] == pytest.approx(20)
    page.mouse.dblclick(200, 150)
    assert zoom(page)["fitted"]


def test_the_zoom_stays_when_view_or_slice_change_and_goes_with_another_picture(page: Page, served: Desk) -> None:
    show(page, served, label_image(60, 80))
    page.evaluate("() => viewer.zoomTo(20, 30, 20)")
    kept = zoom(page)
    drawn(page, {"view": "argmax"}, {"view": "probability", "channel": 1}, {"compare": "swipe"}, {"compare": "off"})
    assert zoom(page) == kept
    show(page, served, scene("multiclass", 60, 80), index=1)
    assert zoom(page) == kept
    show(page, served, label_image(60, 90))
    assert zoom(page)["fitted"]


def test_nothing_beside_a_picture_is_seen_while_it_could_fill_the_stage(page: Page, served: Desk) -> None:
    show(page, served, label_image(60, 80))
    page.evaluate("() => viewer.zoomTo(20, -500, 900)")
    assert zoom(page) == {"scale": 20, "x": 20, "y": 45, "fitted": False}
    page.evaluate("() => viewer.zoomTo(10_000, 20, 20)")
    assert zoom(page)["scale"] == 40


def test_a_picture_that_is_smaller_than_the_window_follows_it(page: Page, served: Desk) -> None:
    show(page, served, label_image(60, 80))
    page.set_viewport_size({"width": 400, "height": 640})
    page.wait_for_function("() => viewer.state.zoom.scale === 5")


# -- comparing


def test_a_swipe_shows_the_picture_to_the_left_of_its_divider(page: Page, served: Desk) -> None:
    segmentation = label_image(60, 80)
    show(page, served, segmentation)
    drawn(page, {"view": "argmax", "compare": "swipe"})
    np.testing.assert_array_equal(drawn(page, {}, canvas=".before canvas")[0], segmentation.rgb[0])
    handle = page.get_by_role("slider", name="How much of the picture is shown")
    handle.focus()
    for _ in range(20):
        page.keyboard.press("ArrowLeft")
    assert handle.get_attribute("aria-valuenow") == "30"
    assert page.evaluate("() => viewer.state.divider") == pytest.approx(0.3)
    large = segmentation.view("argmax").repeat(10, axis=0).repeat(10, axis=1)
    left = segmentation.rgb[0].repeat(10, axis=0).repeat(10, axis=1)
    seen = screen(page)
    np.testing.assert_array_equal(seen[:200, :210], left[:200, :210])
    np.testing.assert_array_equal(seen[:200, 270:], large[:200, 270:])
    page.keyboard.press("End")
    assert handle.get_attribute("aria-valuenow") == "100"
    page.keyboard.press("PageDown")
    page.keyboard.press("Home")
    assert handle.get_attribute("aria-valuenow") == "0"


def test_the_divider_is_dragged_and_the_picture_stays(page: Page, served: Desk) -> None:
    show(page, served, label_image(60, 80))
    drawn(page, {"compare": "swipe"})
    page.evaluate("() => viewer.zoomTo(20, 30, 20)")
    kept = zoom(page)
    page.mouse.move(400, 100)
    page.mouse.down()
    page.mouse.move(600, 140, steps=4)
    page.mouse.up()
    assert page.evaluate("() => viewer.state.divider") == pytest.approx(0.75)
    assert zoom(page) == kept


def test_side_by_side_both_look_at_the_same_place(page: Page, served: Desk) -> None:
    segmentation = label_image(60, 80)
    show(page, served, segmentation)
    drawn(page, {"view": "argmax", "compare": "side"})
    page.evaluate("() => viewer.zoomTo(20, 40, 30)")
    places = page.evaluate("() => [...document.querySelectorAll('.sheet')].map((one) => one.style.transform)")
    assert places[0] == places[1]
    boxes = [page.locator(f".{name}").bounding_box() for name in ("before", "after")]
    assert all(boxes)
    assert boxes[0]["width"] == boxes[1]["width"] == 399
    assert boxes[0]["x"] < boxes[1]["x"]
    page.mouse.move(100, 300)
    page.mouse.wheel(0, -300)
    page.wait_for_function("() => viewer.state.zoom.scale > 20")
    places = page.evaluate("() => [...document.querySelectorAll('.sheet')].map((one) => one.style.transform)")
    assert places[0] == places[1]


def test_side_by_side_becomes_one_below_the_other_where_that_is_larger(page: Page, served: Desk) -> None:
    show(page, served, label_image(20, 80))
    drawn(page, {"compare": "side"})
    boxes = [page.locator(f".{name}").bounding_box() for name in ("before", "after")]
    assert all(boxes)
    assert boxes[0]["x"] == boxes[1]["x"]
    assert boxes[0]["y"] < boxes[1]["y"]


def test_blinking_shows_picture_and_result_in_turn_until_it_is_stopped(page: Page, served: Desk) -> None:
    show(page, served, label_image(60, 80))
    drawn(page, {"compare": "blink"})
    page.locator(".after.is-away").wait_for(state="attached")
    page.locator(".after:not(.is-away)").wait_for(state="attached")
    page.locator(".viewer").focus()
    page.keyboard.press("Space")
    now = page.locator(".after").get_attribute("class")
    page.wait_for_timeout(900)
    assert page.locator(".after").get_attribute("class") == now
    page.keyboard.press("Space")
    assert page.locator(".after").get_attribute("class") != now
    drawn(page, {"compare": "off"})
    assert "is-away" not in (page.locator(".after").get_attribute("class") or "")


def test_nothing_blinks_for_who_wants_nothing_to_move(browser: Browser, served: Desk) -> None:
    with tab(browser, 800, 640, reduced_motion="reduce") as still, still.at(served) as page:
        show(page, served, label_image(60, 80))
        drawn(page, {"compare": "blink"})
        page.wait_for_timeout(900)
        assert page.locator(".after.is-away").count() == 0
        page.mouse.click(300, 300)
        assert page.locator(".after.is-away").count() == 1


# -- tiles


@pytest.mark.parametrize("kind", ["multiclass", "one-vs-rest with background"])
def test_tiles_show_what_the_shown_size_leaves_out(page: Page, served: Desk, kind: str) -> None:
    full = scene(kind, 700, 1400)
    shown = full.reduced(350)  # a quarter of it
    show(page, served, shown, full)
    page.wait_for_timeout(200)
    assert page.evaluate("() => viewer.state.tilesWanted") == []
    page.evaluate("() => { viewer.set({ view: 'argmax' }); viewer.zoomTo(20, 60, 100); }")
    page.wait_for_function("() => viewer.state.tilesWanted.length > 0")
    wanted = page.evaluate("() => told.states.at(-1).tilesWanted")
    assert wanted == [{"top": 0, "left": 0, "bottom": 512, "right": 512}]
    (box,) = wanted
    served.packed["tile"] = tile(full, 0, **box)
    page.evaluate("async () => viewer.addTile(await get('tile'))")
    expected = full.view("argmax")
    np.testing.assert_array_equal(drawn(page, {}, canvas=".after canvas[aria-hidden]")[0], expected[:512, :512])
    # 20 pixels of the screen for each shown one are 5 for each of the full size; the middle is 240, 400 of it
    part = expected[400 - 60 : 400 + 60, 240 - 80 : 240 + 80].repeat(5, axis=0).repeat(5, axis=1)
    np.testing.assert_array_equal(screen(page), part)
    page.wait_for_timeout(200)
    assert page.evaluate("() => viewer.state.tilesWanted") == []
    limits = [0.3] * len(full.config.outputs)
    state = {"view": "overlay", "thresholds": limits}
    found = drawn(page, state, canvas=".after canvas[aria-hidden]")[0]
    np.testing.assert_array_equal(found, full.view("overlay", thresholds=limits)[:512, :512])
    picture = drawn(page, {"compare": "swipe"}, canvas=".before canvas[aria-hidden]")[0]
    np.testing.assert_array_equal(picture, full.rgb[0, :512, :512])


def test_tiles_of_another_slice_are_not_taken(page: Page, served: Desk) -> None:
    full = scene("binary", 700, 1400)
    show(page, served, full.reduced(350), full, index=3)
    served.packed["tile"] = tile(full, 0, 0, 0, 512, 512)  # of slice 0
    page.evaluate("async () => viewer.addTile(await get('tile'))")
    assert page.locator("canvas").count() == 2


def test_of_a_large_picture_that_is_hardly_enlarged_no_tiles_are_wanted(page: Page, served: Desk) -> None:
    full = scene("binary", 4000, 4000)
    show(page, served, full.reduced(400), full)
    page.evaluate("() => viewer.zoomTo(2, 200, 200)")  # 4000 x 3000 of its pixels are seen
    page.wait_for_timeout(200)
    assert page.evaluate("() => viewer.state.tilesWanted") == []
    page.evaluate("() => viewer.zoomTo(8, 200, 200)")
    page.wait_for_function("() => viewer.state.tilesWanted.length > 0")
    assert len(page.evaluate("() => viewer.state.tilesWanted")) <= 12


# -- what is under the pointer


@pytest.mark.parametrize("kind", KINDS)
def test_the_pointer_tells_what_is_under_it(page: Page, served: Desk, kind: str) -> None:
    segmentation = scene(kind, 60, 80)
    show(page, served, segmentation)
    labels, probabilities = segmentation.labels(index=0), segmentation.probabilities[0].numpy()
    for x, y in ((0, 0), (79, 59), (31, 7), (32, 8), (33, 9)):
        page.mouse.move(10 * x + 5, 10 * y + 5)
        told = page.evaluate("() => told.points.at(-1)")
        assert (told["x"], told["y"], told["label"]) == (x, y, labels[y, x])
        np.testing.assert_allclose(told["probabilities"], probabilities[:, y, x], atol=0.0026)
        assert told["hounsfield"] is None
    drawn(page, {"view": "argmax"})
    page.mouse.move(325, 85)
    assert page.evaluate("() => told.points.at(-1).label") == segmentation.argmax()[8, 32]
    page.mouse.move(400, 630)
    assert page.evaluate("() => told.points.at(-1)") is None


def test_the_pointer_tells_hounsfield_units_and_pixels_of_the_full_size(page: Page, served: Desk) -> None:
    values = np.random.default_rng(0).integers(-1000, 1000, (240, 320), dtype=np.int16)
    full = ct(values)
    show(page, served, full.reduced(80), full)
    page.mouse.move(325, 85)
    told = page.evaluate("() => told.points.at(-1)")
    assert told["hounsfield"] == values[told["y"], told["x"]]
    assert abs(told["x"] - 130) <= 2
    assert abs(told["y"] - 34) <= 2


def test_the_point_moves_by_keys_one_pixel_at_a_time(page: Page, served: Desk) -> None:
    show(page, served, scene("binary", 60, 80))
    page.locator(".viewer").focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowUp"):
        page.keyboard.press(f"Shift+{key}")
    told = page.evaluate("() => told.points.at(-1)")
    assert (told["x"], told["y"]) == (42, 29)
    assert page.locator(".after .cross").is_visible()
    page.keyboard.press("Escape")
    assert page.evaluate("() => told.points.at(-1)") is None
    assert not page.locator(".after .cross").is_visible()


# -- before there is a result


def test_a_picture_is_seen_before_its_result_and_rows_of_labels_over_it(page: Page, served: Desk) -> None:
    page.evaluate(
        """async () => {
            const bitmap = await createImageBitmap(new ImageData(new Uint8ClampedArray(40 * 30 * 4).fill(255), 40, 30));
            viewer.preview(bitmap, { palette: ["#000000", "#ff0000"], background: "nothing" });
            const rows = new Uint8Array(40 * 10).fill(1, 0, 200);
            viewer.partial(rows, 10, 30);
            viewer.partial(rows, 10, 30);
            viewer.partial(rows, 10, 31);  // of another size: not drawn
        }"""
    )
    found = drawn(page, {})[0].astype(int)
    assert (found[:10] == 255).all()
    assert (found[15:] == 255).all()
    assert np.abs(found[10:15] - [255, 140, 140]).max() <= 2


def test_a_large_picture_is_shown_no_larger_than_its_result_will_be(page: Page) -> None:
    size = page.evaluate(
        """async () => {
            viewer.preview(await createImageBitmap(new ImageData(1536, 1000)));
            const { width, height } = document.querySelector(".after canvas");
            return [width, height];
        }"""
    )
    assert size == [768, 500]


def test_another_models_result_does_not_take_over_thresholds_and_classes(page: Page, served: Desk) -> None:
    show(page, served, scene("multiclass", 20, 30))
    drawn(page, {"channel": 2, "visible": [True, False, True], "thresholds": [0.1, 0.2, 0.3], "view": "overlay"})
    other = scene("binary", 20, 30)
    show(page, served, other)
    state = page.evaluate("() => viewer.state")
    assert (state["thresholds"], state["visible"], state["channel"]) == ([0.4375123], [True, True], None)
    np.testing.assert_array_equal(drawn(page, {})[0], other.view("overlay"))


def test_nothing_is_left_of_a_result_that_is_taken_away(page: Page, served: Desk) -> None:
    show(page, served, label_image(60, 80))
    page.mouse.move(100, 100)
    page.evaluate("() => viewer.show(null)")
    assert (screen(page) == (0x11, 0x22, 0x33)).all()
    assert page.evaluate("() => told.points.at(-1)") is None


def test_a_new_slice_does_not_show_the_entropy_of_the_last_one(page: Page, served: Desk) -> None:
    one, other = scene("binary", 20, 30), scene("binary", 20, 30, temperatures=(5.0,))
    show(page, served, one)
    served.packed["entropy"] = entropy(one)
    page.evaluate("async () => viewer.addEntropy(await get('entropy'))")
    drawn(page, {"view": "entropy", "scale": "grey"})
    other = dataclasses.replace(other, drawn=255 - one.rgb)
    show(page, served, other, index=1)
    page.wait_for_timeout(400)
    np.testing.assert_array_equal(drawn(page, {})[0], other.rgb[0])


def test_whoever_uses_assistive_technology_finds_names_and_roles(page: Page, served: Desk, axe: str) -> None:
    show(page, served, label_image(60, 80))
    page.evaluate("() => viewer.name({ group: 'Ergebnis', divider: 'Anteil des Bildes' })")
    page.add_script_tag(content=axe)
    for mode in ("off", "swipe", "side", "blink"):
        drawn(page, {"compare": mode})
        broken = page.evaluate("async () => (await axe.run()).violations.map(({ id, nodes }) => [id, nodes[0].html])")
        assert broken == [], mode
    drawn(page, {"compare": "swipe"})
    assert page.get_by_role("group", name="Ergebnis").is_visible()
    assert page.get_by_role("slider", name="Anteil des Bildes").is_visible()
