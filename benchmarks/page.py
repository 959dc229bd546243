"""How long a visitor waits: `python benchmarks/page.py [--visitors N] [--large N]`, when the machine is idle.

Of generated pictures, in seconds unless it says otherwise: importing the package beside torch; from starting `python
app.py` to a page that can be used; from an upload to its picture and to its result; from a change to new pixels, and
what is asked of the server meanwhile; bytes of a result. Then visitors at once, each of whom compares the labels with
Python's, and the server's memory during so many uploads of 64 megapixels and once they have expired. Needs Linux,
Python's playwright and Debian's chromium.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import PIL.Image
from playwright.sync_api import Page, Response, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # a clone works without being installed

from unetseg import Predictor  # noqa: E402
from unetseg.samples import draw_sample  # noqa: E402

PORT = 7999
ADDRESS = f"http://127.0.0.1:{PORT}"
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
KEEP = 1
"""Minutes for which the page keeps a result."""
VIEWS = ("overlay", "probability", "thresholded", "argmax", "entropy", "picture")
PATIENCE = 600
TIMES = 25
SEEN = "name => document.querySelector('.result-name')?.textContent === name && document.querySelector('.legend-rows')"
OWN = "() => document.querySelector('.strip') && !document.querySelector('.stage').classList.contains('is-stale')"
MOVES = """async ([change, times]) => {
    // what is queued in a frame is run once that is painted
    const painted = () => new Promise((done) => requestAnimationFrame(() => {
        const channel = new MessageChannel();
        channel.port1.onmessage = done;
        channel.port2.postMessage(0);
    }));
    const range = (selector) => (i) => {
        const slider = document.querySelector(selector);
        slider.value = Number(slider.min) + (0.1 + 0.8 * ((i * 0.37) % 1)) * (slider.max - slider.min);
        slider.dispatchEvent(new Event("input", { bubbles: true }));
    };
    const radio = (selector) => (i) => {
        const all = [...document.querySelectorAll(selector)];
        all[i % Math.min(4, all.length)].click(); // the fifth view, entropy, is fetched
    };
    const change_ = {
        threshold: range(".threshold input[type=range]"),
        opacity: range(".overlay-row input[type=range]"),
        view: radio(".views input"),
        class: radio(".legend input[type=radio]"),
    }[change];
    const found = [];
    for (let i = 0; i < times; i++) {
        await painted();
        const from = performance.now();
        change_(i);
        await painted();
        found.push(performance.now() - from);
    }
    return found;
}"""


def import_seconds(module: str) -> float:
    """Median of five fresh processes, the interpreter's own start left out."""
    code = f"import time, torch; t = time.perf_counter(); import {module}; print(time.perf_counter() - t)"
    command = [sys.executable, "-c", code]
    return statistics.median(
        float(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout) for _ in range(5)
    )


@contextlib.contextmanager
def page_process(*options: str) -> Iterator[subprocess.Popen[bytes]]:
    """`python app.py`, as soon as it answers."""
    command = [sys.executable, str(ROOT / "app.py"), "--port", str(PORT), "--keep", str(KEEP), *options]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        while True:
            try:
                urllib.request.urlopen(ADDRESS, timeout=1).close()
                break
            except OSError:
                assert server.poll() is None, "the page ended"
                time.sleep(0.05)
        yield server
    finally:
        server.terminate()
        server.wait()


def upload(page: Page, picture: Path) -> tuple[float, float]:
    """Seconds from handing over a file to the picture itself on the screen, and to its result."""
    started = time.perf_counter()
    page.set_input_files(".file-input", picture)
    page.wait_for_function(f"name => ({OWN})() || ({SEEN})(name)", arg=picture.name, polling="raf")
    own = time.perf_counter() - started
    page.wait_for_function(SEEN, arg=picture.name, polling="raf")
    return own, time.perf_counter() - started


def moves(page: Page, title: str, change: str, view: str) -> None:
    """Milliseconds from a change to the frame that shows it, and how much was asked of the server."""
    page.locator(".views input").nth(VIEWS.index(view)).check()
    asked: list[str] = []
    page.wait_for_load_state("networkidle")
    page.on("request", lambda request: asked.append(request.url))
    found = sorted(page.evaluate(MOVES, [change, TIMES]))
    print(f"{title}, {change:10}{statistics.median(found):7.0f} ms (worst {found[-1]:.0f}), {len(asked)} requests")


def in_browser(folder: Path) -> None:
    """What one visitor sees."""
    with sync_playwright() as playwright, contextlib.ExitStack() as stack:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS)
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        started = time.perf_counter()
        stack.enter_context(page_process())
        sizes: list[int] = []
        results: list[str] = []

        def answered(response: Response) -> None:
            result, slices, _ = response.url.partition("/slices/")
            if slices:
                results.append(result)
                sizes.append(int(response.headers["content-length"]))

        page.on("response", answered)
        page.goto(ADDRESS)
        page.wait_for_selector(".file-input", state="attached")
        print(f"page usable after start       {time.perf_counter() - started:6.2f}")
        page.wait_for_selector(".legend-rows")
        print(f"first example seen            {time.perf_counter() - started:6.2f}")
        times = []
        for seed in range(6):
            path = folder / f"slice{seed}.png"
            PIL.Image.fromarray(draw_sample("ct", seed, 512)[0]).save(path)
            times.append(upload(page, path)[1])
        print(f"512 x 512, upload to result   {statistics.median(times[1:]):6.2f} (worst {max(times[1:]):.2f})")
        print(f"512 x 512, bytes of a result  {sizes[-1]:,}")
        for change, view in (("threshold", "overlay"), ("opacity", "overlay"), ("view", "overlay")):
            moves(page, "512 x 512", change, view)
        page.locator(".models").get_by_role("radio", name="satellite-unet").check()
        page.wait_for_load_state("networkidle")
        path = folder / "scene.jpg"
        PIL.Image.fromarray(draw_sample("aerial", 7, 3000)[0][:2000]).save(path, quality=95)
        own, result = upload(page, path)
        key = page.evaluate(
            "performance.getEntriesByType('resource').map((e) => e.name).filter((n) => /slices/.test(n))"
        )
        info = httpx.get(key[-1].rpartition("/slices/")[0]).json()
        print(f"3000 x 2000, own picture      {own:6.2f}")
        print(f"3000 x 2000, result           {result:6.2f} (the network's own {info['seconds']:.2f})")
        print(f"3000 x 2000, bytes of a result {sizes[-1]:,}")
        for change, view in (
            ("threshold", "thresholded"),
            ("opacity", "overlay"),
            ("view", "overlay"),
            ("class", "probability"),
        ):
            moves(page, "3000 x 2000", change, view)
        browser.close()


def run(picture: bytes, name: str, model: str) -> dict[str, str]:
    """What a run found, as its facts."""
    form = {"data": {"model": model}, "files": {"file": (name, picture)}, "headers": {"X-Page": name}}
    sent = httpx.post(f"{ADDRESS}/unetseg/runs", timeout=PATIENCE, **form)
    last = json.loads(sent.text.rpartition("data: ")[2])
    assert last["state"] == "done", last
    return dict(last["result"])


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    PIL.Image.fromarray(pixels).save(file, "PNG", compress_level=1)
    return file.getvalue()


def at_once(count: int) -> None:
    """Visitors who all come at the same moment, two slices to each scene, and compare what they get with Python's."""
    made = [("aerial", "satellite-unet", 768) if i % 3 == 2 else ("ct", "liver-unet", 512) for i in range(count)]
    pictures = [draw_sample(kind, 100 + i, side)[0] for i, (kind, _, side) in enumerate(made)]  # type: ignore[arg-type]
    predictors = {name: Predictor.from_pretrained(name) for name in ("liver-unet", "satellite-unet")}
    expected = [predictors[name](picture).labels()[0] for picture, (_, name, _) in zip(pictures, made, strict=True)]

    def visit(i: int) -> tuple[float, bool]:
        started = time.perf_counter()
        info = run(png(pictures[i]), f"visitor{i}.png", made[i][1])
        labels = httpx.get(f"{ADDRESS}/unetseg/results/{info['key']}/files/labels_png", timeout=PATIENCE).content
        seconds = time.perf_counter() - started
        right = np.array_equal(np.asarray(PIL.Image.open(io.BytesIO(labels))), expected[i])
        return seconds, right and info["name"] == f"visitor{i}.png"

    with page_process(), ThreadPoolExecutor(count) as pool:
        found = list(pool.map(visit, range(count)))
    times = sorted(seconds for seconds, _ in found)
    wrong = sum(not right for _, right in found)
    p95 = times[int(0.95 * count)]
    print(f"{count} visitors at once: {wrong} wrong, median {statistics.median(times):.1f}, p95 {p95:.1f}")


def memory(count: int) -> None:
    """Of the server, in GB: warm, at most during uploads of 64 megapixels, and once they have expired."""
    with page_process() as server:

        def resident() -> float:
            said = Path(f"/proc/{server.pid}/status").read_text()
            return int(said.partition("VmRSS:")[2].split()[0]) / 1e6

        run(png(draw_sample("ct", 0, 512)[0]), "warm.png", "liver-unet")
        time.sleep(60 * KEEP + 5)
        warm, most, ended = resident(), [0.0], threading.Event()

        def watch() -> None:
            while not ended.wait(0.05):
                most[0] = max(most[0], resident())

        watching = threading.Thread(target=watch)
        watching.start()
        for i in range(count):
            run(png(np.tile(draw_sample("ct", i, 512)[0], (16, 16))[:8000, :8000]), f"large{i}.png", "liver-unet")
        ended.set()
        watching.join()
        time.sleep(60 * KEEP + 60)
        print(f"memory in GB: warm {warm:.2f}, at most {most[0]:.2f} during {count} uploads of 64 megapixels, "
              f"{resident():.2f} a minute after they expired")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--visitors", type=int, default=50, help="at once; 0 for none")
    parser.add_argument("--large", type=int, default=11, help="uploads of 64 megapixels; 0 for none")
    options = parser.parse_args()
    print(f"import unetseg beyond torch   {import_seconds('unetseg'):6.2f}")
    with tempfile.TemporaryDirectory() as folder:
        in_browser(Path(folder))
    if options.visitors:
        at_once(options.visitors)
    if options.large:
        memory(options.large)


if __name__ == "__main__":
    main()
