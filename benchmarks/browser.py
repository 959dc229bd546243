"""How fast the page without a server is: `python benchmarks/browser.py [--times N] [--pictures N]`, on an idle machine.

For each checkpoint, in headless Chromium on two cores, from a host that packs nothing: bytes that travel until the
example is seen, seconds of the first and of a later visit until then; seconds from giving a picture of 512 x 512 to
the frame that shows its result, and of the network alone, in WebAssembly on threads and on one. Then the labels and
probabilities of real pictures (`../shared/data`; generated ones where there are none), each as PNG and, if it is one,
as JPEG, against torch in float32. The same on WebGPU where Chromium has an adapter, small if that is of software.

Needs the page (`npm ci && npm run build` in web/), `unetseg[onnx,demo]`, Python's playwright and Debian's chromium.
"""

from __future__ import annotations

import argparse
import base64
import io
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
from playwright.sync_api import Browser, BrowserContext, expect, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
# a clone works without being installed
sys.path[:0] = [str(ROOT), *(str(ROOT / "tests" / name) for name in ("", "demo", "web"))]

from serving import EXAMPLE, ISOLATED, WEBGPU, Host, Stranger, made  # noqa: E402

from unetseg import Predictor, UNet  # noqa: E402
from unetseg.proof import labels_of  # noqa: E402
from unetseg.samples import draw_sample  # noqa: E402

BUILT = ROOT / "web" / "dist"
REAL = ROOT.parent / "shared" / "data"
KINDS = {"liver-unet": ("ct", ("liver",)), "satellite-unet": ("aerial", ("landcover_more", "satellite"))}
FLAGS = ["--headless", "--no-sandbox", "--no-first-run", "--disable-background-networking", "--disable-quic"]
LARGEST = 2_500_000
"""Numbers of a picture that torch takes in one piece."""
ADAPTER = "async () => (await navigator.gpu?.requestAdapter())?.info.architecture ?? null"
GIVE = """async ([data, name]) => {
    const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
    const files = new DataTransfer();
    files.items.add(new File([bytes], name));
    const input = document.querySelector(".file-input");
    input.files = files.files;
    const shown = () => document.querySelector(".unetseg").dataset.state === "shown"
        && document.querySelector(".result-name").textContent === name;
    const frame = () => new Promise((done) => requestAnimationFrame(done));
    const from = performance.now();
    input.dispatchEvent(new Event("change", { bubbles: true }));
    while (!shown()) await frame();
    await frame(); // what was drawn is painted before the next one
    return [(performance.now() - from) / 1000, window.unetseg.page.result.info.seconds];
}"""


def given(visit: Stranger, data: bytes, name: str) -> tuple[float, float]:
    """Seconds from giving a picture to its result on the screen, and of the network alone."""
    whole, network = visit.page.evaluate(GIVE, [base64.b64encode(data).decode(), name])
    return whole, network


def opened(at: Browser | BrowserContext, host: Host) -> tuple[Stranger, float]:
    """A visitor who sees the example, and after how many seconds."""
    started = time.perf_counter()
    visit = Stranger(at, host)
    visit.page.goto(host.address)
    visit.has(EXAMPLE)
    return visit, time.perf_counter() - started


def where(visit: Stranger) -> str:
    """On what the model ran."""
    ran = visit.page.evaluate("window.unetseg.page.result.info.ran")
    return "WebGPU" if ran["kind"] == "webgpu" else f"{ran['threads']} thread{'s' * (ran['threads'] > 1)}"


def png(pixels: np.ndarray) -> bytes:
    """A picture as a file."""
    file = io.BytesIO()
    PIL.Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def times(visit: Stranger, kind: str, count: int) -> str:
    """Medians of pictures that differ, after two that don't count."""
    found = []
    for seed in range(count + 2):
        data = png(draw_sample(kind, seed, 512)[0])  # type: ignore[arg-type]
        found.append(given(visit, data, f"{kind}{seed}.png"))
    whole, network = zip(*found[2:], strict=True)
    return (
        f"512 x 512, upload to result {statistics.median(whole):5.2f} s (worst {max(whole):.2f}), "
        f"the network {statistics.median(network):.2f}"
    )


def pictures(kind: str, folders: tuple[str, ...], count: int) -> Iterator[tuple[str, bytes, np.ndarray]]:
    """Name and bytes of a file, and its pixels as Python reads them."""
    for folder in folders:
        paths = sorted((REAL / folder / "images").glob("*"))
        for path in paths[:: max(1, len(paths) // max(1, count // len(folders)))]:
            pixels = np.asarray(PIL.Image.open(path))
            if pixels.size <= LARGEST:
                yield f"{path.stem}.png", png(pixels), pixels
                if path.suffix == ".jpg":
                    yield path.name, path.read_bytes(), pixels
    if not REAL.is_dir():
        for seed in range(count):
            pixels = draw_sample(kind, seed, 512)[0]  # type: ignore[arg-type]
            yield f"synthetic_{kind}_{seed}.png", png(pixels), pixels


def agreement(visit: Stranger, predictor: Predictor, some: Iterator[tuple[str, bytes, np.ndarray]]) -> None:
    """Labels and probabilities on the screen beside Python's, of PNG and of JPEG."""
    found: dict[str, list[tuple[float, float]]] = {}
    for name, data, pixels in some:
        given(visit, data, name)
        expected = predictor(pixels)
        p = visit.probabilities(len(predictor.config.outputs))
        same = float((labels_of(p, predictor.config) == expected.labels()[0]).mean())
        difference = float(np.abs(p - expected.probabilities[0].numpy()).max())
        found.setdefault(Path(name).suffix, []).append((same, difference))
    for suffix, all_ in found.items():
        same, difference = zip(*all_, strict=True)
        print(
            f"    {len(all_)} pictures as {suffix}: labels equal on {statistics.mean(same):.4%} of the pixels, "
            f"of the worst {min(same):.4%}; |difference of p| at most {max(difference):.1e}"
        )


def measured(browser: Browser, host: Host, name: str, options: argparse.Namespace) -> None:
    """What one visitor sees, twice, and what the pictures become."""
    kind, folders = KINDS[name]
    with browser.new_context(viewport={"width": 1280, "height": 720}) as context:
        first, seconds = opened(context, host)
        first.page.evaluate("navigator.serviceWorker.ready.then(() => true)")  # which keeps the page for offline days
        sent = sum(host.sent.values())
        first.page.close()
        visit, again = opened(context, host)
        print(f"  {where(visit)}: {sent:,} bytes, example seen after {seconds:.1f} s, at a later visit {again:.1f} s")
        print(f"    {times(visit, kind, options.times)}")
        predictor = Predictor.from_pretrained(name, device="cpu", precision="float32")
        if host.headers:  # on one thread it is the same arithmetic
            agreement(visit, predictor, pictures(kind, folders, options.pictures))
        visit.page.close()


def on_a_graphics_card(browser: Browser, host: Host, name: str, options: argparse.Namespace) -> None:
    """The same by WebGPU; by an adapter of software a small picture, for its times say nothing."""
    page = browser.new_page()
    page.goto(f"{host.address}licences.txt")
    adapter = page.evaluate(ADAPTER)
    page.close()
    if adapter is None:
        print("  WebGPU: Chromium has no adapter here, so it is unmeasured")
    elif adapter != "swiftshader":
        measured(browser, host, name, options)
    else:
        kind = KINDS[name][0]
        small = draw_sample(kind, 0, 96)[0]  # type: ignore[arg-type]
        data = png(small)
        (host.folder / EXAMPLE).write_bytes(data)
        visit, _ = opened(browser, host)
        print(f"  {where(visit)}, of software (SwiftShader): many times slower than WebAssembly, so no seconds")
        predictor = Predictor.from_pretrained(name, device="cpu", precision="float32")
        agreement(visit, predictor, iter([(f"{kind}_96.png", data, small)]))
        visit.page.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=15, help="pictures of 512 x 512; %(default)s")
    parser.add_argument("--pictures", type=int, default=12, help="real ones; %(default)s")
    parser.add_argument("--float16", action="store_true", help="weights of half the size")
    options = parser.parse_args()
    if not (BUILT / "files.json").is_file():
        sys.exit(f"there is no page in {BUILT}; run npm ci && npm run build in web/")
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
    expect.set_options(timeout=600_000)  # milliseconds
    path = shutil.which("chromium")
    pinned: dict[str, Any] = {"executable_path": path}
    with tempfile.TemporaryDirectory() as temporary, sync_playwright() as playwright:
        for name in KINDS:
            print(name)
            folder = made(Path(temporary) / name, UNet.from_pretrained(name), BUILT, float16=options.float16)
            browser = playwright.chromium.launch(args=[*FLAGS, "--disable-gpu"], **pinned)
            for headers in (ISOLATED, {}):
                with Host(folder, headers) as host:
                    measured(browser, host, name, options)
            browser.close()
            browser = playwright.chromium.launch(args=WEBGPU.split(), **pinned)
            with Host(folder, ISOLATED) as host:
                on_a_graphics_card(browser, host, name, options)
            browser.close()


if __name__ == "__main__":
    main()
