"""The page of `python app.py` in a process of its own, and what a visitor does there, in a real browser."""

from __future__ import annotations

import base64
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import dicom_files
import nibabel
import numpy as np
import PIL.Image
import rasterio
from affine import Affine
from configs import RGB, config_for, network_for
from numpy.typing import NDArray
from playwright.sync_api import Browser, BrowserContext, Locator, Page, Request, ViewportSize, expect

from unetseg import Segmentation
from unetseg.samples import draw_sample

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 60_000
"""Of patience, in milliseconds: a busy machine is slow."""
VIEWS = ("overlay", "probability", "thresholded", "argmax", "entropy", "picture")
FIRST = "synthetic_ct_0.png"
GROUND = {"crs": "EPSG:32633", "transform": Affine(2, 0, 500_000, 0, -2, 4_600_000)}
SCHEMES = {
    # each pair of language, scheme and width comes once
    "en-US": (("light", 1280), ("dark", 390)),
    "zh-CN": (("dark", 1280), ("light", 390)),
}
IS_IN = """scheme => /(\\d+)/.exec(getComputedStyle(document.querySelector(".unetseg")).color)[0] > 128
    === (scheme === "dark")"""
BROKEN = """async () => (await axe.run(document, { resultTypes: ["violations"] })).violations.map(
    ({ id, help, nodes }) => `${id}: ${help}: ${nodes.map((one) => one.html.slice(0, 200)).join(" | ")}`)"""
SIZE: ViewportSize = {"width": 1280, "height": 720}
Pixels = NDArray[np.uint8]


def votes(folder: Path) -> Path:
    """A checkpoint with a threshold of each class: random weights, one-vs-rest with a background, in colour."""
    config = config_for("one-vs-rest with background", thresholds=(0.3, 0.415, 0.7), **RGB)
    return network_for(config).save_pretrained(folder / "votes")


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextlib.contextmanager
def started(folder: Path, *models: str | Path, port: int | None = None, options: Sequence[str] = ()) -> Iterator[str]:
    """The address of a page, outside the clone's folder; ended by SIGTERM, after which nothing of it is left."""
    port = port or free_port()
    log, temporary = folder / "log", folder / "temporary"
    temporary.mkdir(exist_ok=True)
    # one thread, as in the tests: the same arithmetic, so the same pixels
    environment = os.environ | {"OMP_NUM_THREADS": "1", "TMPDIR": str(temporary)}
    named = [part for model in models for part in ("--model", str(model))]
    command = [sys.executable, str(ROOT / "app.py"), "--port", str(port), "--host", "127.0.0.1", *named, *options]
    with log.open("w") as output:
        server = subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=output)
        try:
            address = f"http://127.0.0.1:{port}"
            _wait_for(address, server, log)
            yield address
            assert list(temporary.rglob("*"))  # what it made for its visitors
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(timeout=30)
        assert not list(temporary.iterdir()), "files are left behind"
        assert "Traceback" not in log.read_text()


def _wait_for(address: str, server: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(1200):
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except OSError:
            assert server.poll() is None, log.read_text()
            time.sleep(0.05)
    raise AssertionError(f"the page did not come up: {log.read_text()}")


AGAIN = """async () => {
    localStorage.clear();
    scrollTo(0, 0);
    const { open } = await import(new URL("./unetseg/viewer/page.js", document.baseURI).href);
    open(document.querySelector(".unetseg").parentElement);
}"""


class Visit:
    """A visitor's tab. requests: what it asked for since `counting` was called."""

    def __init__(self, at: Browser | BrowserContext, address: str, **options: Any) -> None:  # noqa: ANN401, as they are
        options = {"viewport": SIZE, **options} if isinstance(at, Browser) else {}
        self.page: Page = at.new_page(**options)
        self.address = address
        self.problems: list[str] = []
        self.expected: tuple[str, ...] = ()
        self.requests: list[Request] = []
        page = self.page
        page.set_default_timeout(SECONDS)
        page.on("request", self._requested)
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on("console", lambda told: self.problems.append(told.text) if told.type == "error" else None)
        # policies that a page breaks in silence, too
        page.add_init_script(
            "addEventListener('securitypolicyviolation', (e) => console.error('policy', e.violatedDirective));"
        )

    def _requested(self, request: Request) -> None:
        if not request.url.startswith((self.address, "data:", "blob:")):
            self.problems.append(f"it asked {request.url}")
        self.requests.append(request)

    def __enter__(self) -> Visit:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self.page.close()
        if kind is None:
            self.without_problems()

    def without_problems(self) -> None:
        """Nothing was asked for elsewhere, and nothing but what is expected is an error in the console."""
        found = [said for said in self.problems if not any(part in said for part in self.expected)]
        assert not found, found

    def open(self) -> Visit:
        """Go there, and wait for the first example."""
        self.page.goto(self.address)
        self.has(FIRST)
        return self

    @contextlib.contextmanager
    def again(self) -> Iterator[Visit]:
        """Open the page anew within its document, in a tenth of the time: for who sees it for the first time."""
        self.page.set_viewport_size(SIZE)
        self.page.mouse.move(0, 0)
        self.page.evaluate(AGAIN)
        self.has(FIRST)
        self.requests.clear()
        yield self
        self.page.unroute_all()
        self.without_problems()
        self.problems.clear()
        self.expected = ()

    # -- pictures in

    def upload(self, *paths: Path, name: str | None = None) -> None:
        """Choose files; wait for the result of the first, or of what they are called."""
        self.choose(*paths)
        self.has(name or paths[0].name)

    def choose(self, *paths: Path) -> None:
        """Choose files."""
        self.page.set_input_files(".file-input", paths)

    def has(self, name: str) -> None:
        """Wait until the result of a picture is seen, drawn and told."""
        expect(self.page.locator(".legend-rows")).to_be_visible()
        expect(self.page.locator(".result-name")).to_have_text(name)
        self.drawn()

    def model(self, title: str) -> None:
        """Choose a model, whose result then comes."""
        self.page.locator(".models").get_by_role("radio", name=title).check()

    # -- what is seen

    def view(self, name: str) -> None:
        """Choose a view."""
        self.page.locator(".views input").nth(VIEWS.index(name)).check()

    def drawn(self) -> None:
        """Wait until the screen shows what was set."""
        self.page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def pixels(self, pane: str = "after") -> Pixels:
        """RGB (H,W,3) of the canvas on the screen."""
        self.drawn()
        data, height, width = self.page.evaluate(
            """(pane) => {
                const canvas = document.querySelector(`.stage .${pane} canvas`);
                const { data, width, height } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
                let text = "";
                for (let i = 0; i < data.length; i += 32768)
                    text += String.fromCharCode(...data.subarray(i, i + 32768));
                return [btoa(text), height, width];
            }""",
            pane,
        )
        image = np.frombuffer(base64.b64decode(data), np.uint8).reshape(height, width, 4)
        assert (image[..., 3] == 255).all()
        return image[..., :3]

    def equals(self, found: Segmentation, *views: str, **how: Any) -> None:  # noqa: ANN401, as `Segmentation.view` has it
        """Each view (all unless named) is that of Python, pixel by pixel; probability and entropy within a grey."""
        shown = found.reduced(768)
        for view in views or VIEWS:
            self.view(view)
            if view in ("probability", "entropy"):
                self.page.get_by_role("radio", name="Grey", exact=True).check()
            index = how.get("index", 0)
            wanted = shown.rgb[index] if view == "picture" else shown.view(view, **how)  # type: ignore[arg-type]
            most = int(view in ("probability", "entropy"))
            patience = time.monotonic() + SECONDS / 1000
            # entropy is fetched when it is chosen
            while (apart := self._apart(wanted)) > most and view == "entropy" and time.monotonic() < patience:
                self.page.wait_for_timeout(50)
            assert apart <= most, (view, apart)

    def _apart(self, wanted: Pixels) -> int:
        """By how much the canvas differs."""
        got = self.pixels()
        assert got.shape == wanted.shape
        return int(np.abs(got.astype(int) - wanted).max())

    @property
    def slider(self) -> Locator:
        """Of the threshold."""
        return self.page.locator(".threshold input[type=range]")

    def shares(self) -> list[str]:
        """Of the legend, once the server was asked where it must be."""
        expect(self.page.locator(".legend")).not_to_contain_text("about")
        return self.page.locator(".legend .share").all_inner_texts()

    def accessible(self, state: str) -> None:
        """The state on the screen has no violation that axe-core finds, in each of the schemes of the language."""
        self.drawn()
        page = self.page
        for scheme, width in SCHEMES["zh-CN" if page.locator(".unetseg[lang^=zh]").count() else "en-US"]:
            page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
            page.set_viewport_size({"width": width, "height": 720 if width > 400 else 844})
            page.wait_for_function(IS_IN, arg=scheme)
            broken = page.evaluate(BROKEN)
            assert not broken, (state, scheme, width)

    def counting(self) -> list[Request]:
        """What is asked for from now on."""
        self.page.wait_for_load_state("networkidle")
        self.requests.clear()
        return self.requests

    # -- out

    def downloads(self, folder: Path, *kinds: str) -> dict[str, Path]:
        """Files of these kinds, by the words of their buttons, under the names that they come with."""
        self.page.get_by_role("button", name="Download…").click()
        dialog = self.page.get_by_role("dialog")
        found = {}
        for kind in kinds:
            with self.page.expect_download(timeout=SECONDS) as download:
                dialog.get_by_role("button", name=kind).click()
            found[kind] = folder / download.value.suggested_filename
            download.value.save_as(found[kind])
            expect(dialog.get_by_text(f"{found[kind].name} is saved.")).to_be_visible()
        self.page.keyboard.press("Escape")
        expect(dialog).to_have_count(0)
        return found


def said(share: float) -> str:
    """A share as the page says it."""
    if 0 < share < 0.0005:
        return "<0.1%"
    if 0.9995 <= share < 1:
        return ">99.9%"
    return f"{share:.0%}" if share in (0, 1) else f"{np.floor(share * 1000 + 0.5) / 10:.1f}%"


# -- files


def png(path: Path, pixels: Pixels) -> Path:
    """A picture at a path."""
    PIL.Image.fromarray(pixels).save(path)
    return path


def ct(path: Path, seed: int = 7, size: int = 128) -> Path:
    """A drawn slice as a picture."""
    return png(path, draw_sample("ct", seed, size)[0])


def aerial(path: Path, seed: int = 7, size: int = 128) -> Path:
    """A drawn scene as a picture."""
    return png(path, draw_sample("aerial", seed, size)[0])


def hounsfield(seed: int, size: int = 128) -> NDArray[np.int16]:
    """A drawn slice in Hounsfield units: what is black is air."""
    drawn = draw_sample("ct", seed, size)[0].astype(np.int32)
    return np.where(drawn == 0, -1000, drawn * 400 // 255 - 160).astype(np.int16)


def series(folder: Path, count: int = 6, **attributes: str) -> list[Path]:
    """Files of a CT series of drawn slices."""
    made = dicom_files.slices(count, shape=(128, 128), RescaleIntercept=-1024, **attributes)
    for seed, dataset in enumerate(made):
        dicom_files.with_pixels(dataset, hounsfield(seed).astype(np.int32) + 1024)
    return sorted(dicom_files.written(folder, made).iterdir())


def zipped(path: Path, *folders: Path) -> Path:
    """Folders in one file."""
    with zipfile.ZipFile(path, "w") as packed:
        for file in sorted(file for folder in folders for file in folder.iterdir()):
            packed.write(file, file.relative_to(path.parent))
    return path


def nifti(path: Path, count: int = 3) -> Path:
    """A volume of drawn slices in Hounsfield units, of which the first is air."""
    drawn = [np.full((128, 128), -1000, np.int16), *(hounsfield(seed) for seed in range(count - 1))]
    slices = [one[::-1, ::-1].T for one in drawn]  # to the right and front
    image = nibabel.Nifti1Image(np.stack(slices, axis=2), np.diag([1.5, 2.0, 3.0, 1.0]))
    image.header.set_xyzt_units("mm")
    nibabel.save(image, path)
    return path


def geotiff(path: Path, factor: int = 1, size: int = 128) -> Path:
    """A drawn scene on the ground: 8 bits, or more by a factor."""
    dtype = np.uint8 if factor == 1 else np.uint16
    pixels = np.moveaxis(draw_sample("aerial", 7, size)[0], 2, 0).astype(dtype) * factor
    profile = {"driver": "GTiff", "count": 3, "height": size, "width": size, "dtype": dtype, **GROUND}
    with rasterio.open(path, "w", **profile) as dataset:
        dataset.write(pixels)
    return path
