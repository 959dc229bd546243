"""How fast the viewer draws: `python benchmarks/viewer.py [PICTURE ...]`, on a machine that does nothing else.

For a CT slice of 512 x 512 and a satellite picture of 3000 x 2000 (generated), or for pictures of your own (grey ones
go to the liver model): bytes that travel, milliseconds to pack them, to unpack them in the browser, and from a change
(threshold, view, class, opacity) to drawn pixels and to the frame that shows them; zoomed in on tiles too. Needs
Python's playwright and Debian's chromium.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import PIL.Image
from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "demo")]  # a clone works without being installed

from viewing import desk  # noqa: E402

from unetseg import Predictor, Segmentation  # noqa: E402
from unetseg.demo.packed import counted, packed, tile  # noqa: E402
from unetseg.samples import draw_sample  # noqa: E402

FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
SHOWN_SIDE = 768
TIMES = 25
MEASURE = """async ([changes, times]) => {
    const frame = () => new Promise((done) => requestAnimationFrame(done));
    // what is queued in a frame is run once that is painted
    const painted = () => new Promise((done) => requestAnimationFrame(() => {
        const channel = new MessageChannel();
        channel.port1.onmessage = done;
        channel.port2.postMessage(0);
    }));
    const found = [];
    for (let i = 0; i < times * changes.length; i++) {
        await frame(), await frame();
        const from = performance.now();
        viewer.set(changes[i % changes.length]);
        const drawn = performance.now();
        await painted();
        found.push([drawn - from, performance.now() - from]);
    }
    return found;
}"""


def milliseconds(page: Page, changes: list[dict[str, Any]]) -> str:
    """What changes take, one after the other, in turn: to drawn pixels, and to the frame that shows them."""
    found = page.evaluate(MEASURE, [changes, TIMES])
    drawn, on_screen = (sorted(times) for times in zip(*found, strict=True))
    last = int(0.95 * len(drawn))
    return (
        f"drawn {statistics.median(drawn):5.1f} (95 %: {drawn[last]:5.1f}), "
        f"on the screen {statistics.median(on_screen):5.1f} (95 %: {on_screen[last]:5.1f}) ms"
    )


def changes_of(segmentation: Segmentation) -> dict[str, list[dict[str, Any]]]:
    """What a visitor does, each as states that come in turn."""
    count = len(segmentation.config.outputs)
    return {
        "view": [{"view": view} for view in ("probability", "thresholded", "argmax", "overlay", "picture")],
        "threshold, overlay": [{"view": "overlay", "thresholds": [step / 100] * count} for step in range(30, 70, 3)],
        "threshold, thresholded": [{"view": "thresholded", "thresholds": [s / 100] * count} for s in range(30, 70, 3)],
        "class": [{"view": "probability", "channel": channel} for channel in (None, *range(count))],
        "opacity": [{"view": "overlay", "opacity": tenth / 10} for tenth in range(11)],
        "opacity, outline, swipe": [
            {"view": "overlay", "opacity": tenth / 10, "outline": True, "compare": "swipe"} for tenth in range(11)
        ],
        "back": [{"outline": False, "compare": "off", "channel": None}],
    }


def measure(page: Page, folder: dict[str, bytes], full: Segmentation) -> None:
    """Print all of it for one result."""
    shown = full.reduced(SHOWN_SIDE)
    started = time.perf_counter()
    counts = counted(full, 0)
    between = time.perf_counter()
    folder["one"] = packed(shown, 0, full.shape[1:], counts)
    ended = time.perf_counter()
    print(f"{full.name}: {full.shape[2]} x {full.shape[1]}, shown at {shown.shape[2]} x {shown.shape[1]}")
    print(
        f"  {len(folder['one']) / 1e3:.0f} kB, packed in {1e3 * (ended - between):.0f} ms, "
        f"counted in {1e3 * (between - started):.0f} ms"
    )
    unpacking = page.evaluate(
        """async () => {
            const data = await (await fetch("packed/one")).arrayBuffer();
            const times = [];
            for (let i = 0; i < 9; i++) {
                const from = performance.now();
                window.packed = await unpack(data);
                times.push(performance.now() - from);
            }
            viewer.show(window.packed);
            return times.sort((a, b) => a - b)[4];
        }"""
    )
    print(f"  unpacked in {unpacking:.0f} ms")
    for what, changes in changes_of(full).items():
        if what != "back":
            print(f"  {what:24s} {milliseconds(page, changes)}")
        page.evaluate("(state) => viewer.set(state)", changes[-1])
    if shown is not full:
        page.evaluate("() => viewer.zoomTo(4, viewer.base.packed.width / 2, viewer.base.packed.height / 2)")
        page.wait_for_function("() => viewer.state.tilesWanted.length > 0")
        wanted = page.evaluate("() => viewer.state.tilesWanted")
        started = time.perf_counter()
        folder |= {f"tile{i}": tile(full, 0, **box) for i, box in enumerate(wanted)}
        each = (time.perf_counter() - started) / len(wanted)
        size = statistics.median(len(folder[f"tile{i}"]) for i in range(len(wanted)))
        page.evaluate(
            "async (count) => { for (let i = 0; i < count; i++) viewer.addTile(await get(`tile${i}`)); }", len(wanted)
        )
        print(f"  {len(wanted)} tiles of {size / 1e3:.0f} kB, each packed in {1e3 * each:.0f} ms")
        print(f"  {'threshold, tiles':24s} {milliseconds(page, changes_of(full)['threshold, thresholded'])}")
        print(f"  {'opacity, tiles':24s} {milliseconds(page, changes_of(full)['opacity'])}")
        page.evaluate("() => viewer.fit()")


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", nargs="*", type=Path)
    options = parser.parse_args()
    path = shutil.which("chromium")
    with tempfile.TemporaryDirectory() as temporary, desk() as served, sync_playwright() as playwright:
        pictures = options.pictures
        if not pictures:
            pictures = [Path(temporary) / name for name in ("ct_512.png", "aerial_3000_2000.png")]
            PIL.Image.fromarray(draw_sample("ct", 7, 512)[0]).save(pictures[0])
            aerial = PIL.Image.fromarray(draw_sample("aerial", 7, 1000)[0]).resize((3000, 2000))
            aerial.save(pictures[1])
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.goto(served.address)
        page.wait_for_function("window.ready")
        for picture in pictures:
            grey = PIL.Image.open(picture).mode in ("L", "I;16", "1")
            predictor = Predictor.from_pretrained("liver-unet" if grey else "satellite-unet")
            measure(page, served.packed, predictor(picture))
        browser.close()


if __name__ == "__main__":
    main()
