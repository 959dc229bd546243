"""How long a visitor waits: `python benchmarks/page.py [PICTURE]`, on a machine that does nothing else.

Prints seconds: importing the package beside importing torch, from starting `python app.py` to a page that can be used,
from an upload to its first view, from a click on a view to its picture on the screen. Needs Python's playwright and
Debian's chromium.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import PIL.Image
from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # a clone works without being installed

from unetseg.samples import draw_sample  # noqa: E402

PORT = 7999
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
ON_SCREEN = "id => { const i = document.querySelector(`#${id} img`); return i && i.complete && i.offsetWidth > 0; }"


def import_seconds(module: str) -> float:
    """Median of five fresh processes, the interpreter's own start left out."""
    code = f"import time, torch; t = time.perf_counter(); import {module}; print(time.perf_counter() - t)"
    command = [sys.executable, "-c", code]
    return statistics.median(
        float(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout) for _ in range(5)
    )


def first_view(page: Page, picture: Path) -> float:
    """Seconds from handing over a file to the probability view on the screen."""
    page.reload()
    page.wait_for_selector("#view")
    page.wait_for_timeout(1000)
    started = time.perf_counter()
    page.set_input_files("#upload input[type=file]", picture)
    page.wait_for_function(ON_SCREEN, arg="probability")
    return time.perf_counter() - started


def switch(page: Page, label: str, view: str) -> float:
    """Seconds from a click on a view to its picture on the screen."""
    page.wait_for_timeout(500)
    started = time.perf_counter()
    page.get_by_label(label, exact=True).click()
    page.wait_for_function(ON_SCREEN, arg=view)
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture", nargs="?", type=Path, help="to upload; a generated slice unless given")
    options = parser.parse_args()
    print(f"import unetseg beyond torch  {import_seconds('unetseg'):.2f}")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        picture = options.picture or Path(folder) / "slice.png"
        if options.picture is None:
            PIL.Image.fromarray(draw_sample("ct", 7, 512)[0]).save(picture)
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        started = time.perf_counter()
        server = subprocess.Popen(
            [sys.executable, str(ROOT / "app.py"), "--port", str(PORT)], stdout=subprocess.DEVNULL
        )
        try:
            while True:
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{PORT}", timeout=1).close()
                    break
                except OSError:
                    time.sleep(0.05)
            page.goto(f"http://127.0.0.1:{PORT}")
            page.wait_for_selector("#view")
            print(f"page usable after start      {time.perf_counter() - started:.2f}")
            times = [first_view(page, picture) for _ in range(5)]
            print(f"upload to first view         {statistics.median(times):.2f} (worst {max(times):.2f})")
            views = [("Thresholded", "thresholded"), ("Argmax colours", "argmax"), ("Overlay", "overlay")]
            times = [switch(page, *view) for view in views * 3]
            print(f"click to other view          {statistics.median(times):.3f} (worst {max(times):.3f})")
        finally:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    main()
