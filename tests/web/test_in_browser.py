"""The page without a server in a real browser, from hosts as they are: what it gives is what Python gives."""

from __future__ import annotations

import contextlib
import os
import shutil
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from configs import KINDS, RGB, config_for, network_for
from playwright.sync_api import Browser, expect
from serving import EXAMPLE, ISOLATED, WEBGPU, Host, Stranger, made
from visiting import VIEWS, aerial, ct, geotiff, nifti, png, series

from unetseg import Predictor, UNet
from unetseg.proof import labels_of
from unetseg.samples import draw_sample

CORES = os.cpu_count() or 1


def float32(network: UNet) -> Predictor:
    return Predictor(network, device="cpu", precision="float32")


def apart(visit: Stranger, predictor: Predictor, path: Path) -> tuple[float, float]:
    """Of what is on the screen: the share of labels that differ from Python's, the largest |difference of p|."""
    expected = predictor(path)
    assert visit.info["shape"] == [len(expected.logits), *expected.labels().shape[1:]]
    first = visit.info["first"]
    found = visit.probabilities(len(predictor.config.outputs))
    wrong = labels_of(found, predictor.config) != expected.labels()[first]
    return float(wrong.mean()), float(np.abs(found - expected.probabilities[first].numpy()).max())


# --- what it gives ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("headers", [ISOLATED, {}], ids=["isolated", "plain"])
def test_it_opens_with_an_example_and_takes_threads_where_they_are_allowed(
    headers: dict[str, str], liver: Path, browser: Browser, tmp_path: Path
) -> None:
    network = UNet.from_pretrained("liver-unet")
    with Host(liver, headers) as host, Stranger(browser, host).open() as visit:
        assert visit.threads == (min(CORES, 8) if headers else 1)
        visit.equals(float32(network)(liver / EXAMPLE))
        path = ct(tmp_path / "slice.png", size=512)
        visit.upload(path)
        wrong, difference = apart(visit, float32(network), path)
        assert wrong <= 1e-4
        assert difference <= 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_every_view_of_each_kind_of_task_is_pythons(
    kind: str, built_page: Path, browser: Browser, tmp_path: Path
) -> None:
    plain = config_for(kind, **RGB)
    temperatures = tuple(0.5 + i for i in range(len(plain.temperatures)))
    network = network_for(plain.model_copy(update={"temperatures": temperatures, "scales": (1.0, 0.5)}))
    path = aerial(tmp_path / "scene.png")
    with Host(made(tmp_path / "page", network, built_page)) as host, Stranger(browser, host).open() as visit:
        visit.upload(path)
        visit.equals(float32(network)(path))


SIZES: dict[str, dict[str, Any]] = {
    "as stored": {},
    "other scales": {"scales": (0.7, 1.5, 1.0)},
    "reduced": {"working_scale": 0.6, "scales": (1.0, 0.5)},
    "smaller": {"working_size": 40, "scales": (1.0, 0.5)},
    "larger": {"working_size": 150},
    "deep": {"widths": (4, 4, 4, 4, 4), "scales": (1.0, 0.5)},
}


@pytest.mark.parametrize("sizes", SIZES)
def test_the_runtime_of_the_browser_runs_whatever_is_exported(
    sizes: str, built_page: Path, browser: Browser, tmp_path: Path
) -> None:
    network = network_for(config_for("binary", temperatures=(1.7,), **SIZES[sizes]))
    with Host(made(tmp_path / "page", network, built_page)) as host, Stranger(browser, host).open() as visit:
        for height, width in ((64, 64), (37, 83), (1, 9)):
            noise = np.random.default_rng(height).integers(0, 256, (height, width), dtype=np.uint8)
            path = png(tmp_path / f"{height}_{width}.png", noise)
            visit.upload(path)
            wrong, difference = apart(visit, float32(network), path)
            assert difference < 1e-4
            assert wrong <= 2 / noise.size


def test_on_a_graphics_card_the_labels_are_those_of_python(
    built_page: Path, launch: Callable[[str], Browser], tmp_path: Path
) -> None:
    """One of software too, which is many times slower than none."""
    network = network_for(config_for("binary", working_size=40, scales=(1.0, 0.5)))
    page = made(tmp_path / "page", network, built_page, float16=True)
    PIL.Image.fromarray(draw_sample("ct", 0, 64)[0]).save(page / EXAMPLE)
    with Host(page) as host, Stranger(launch(WEBGPU), host) as visit:
        visit.open()
        if not visit.page.evaluate("navigator.gpu?.requestAdapter().then(Boolean)"):
            pytest.skip("Chromium has no adapter here, not even one of software")
        assert visit.page.evaluate("window.unetseg.page.result.info.ran.kind") == "webgpu"
        wrong, difference = apart(visit, float32(network), page / EXAMPLE)
        assert wrong <= 1e-3
        assert difference <= 5e-3


@pytest.mark.parametrize("name", ["liver-unet", "satellite-unet"])
def test_real_pictures_get_the_labels_of_python(
    name: str, built_page: Path, browser: Browser, real_data: Path, tmp_path: Path
) -> None:
    folders = {"liver-unet": ("liver",), "satellite-unet": ("landcover_more", "satellite")}[name]
    paths = [sorted((real_data / folder / "images").iterdir()) for folder in folders]
    network = UNet.from_pretrained(name)
    seen = 0
    with Host(made(tmp_path / "page", network, built_page), ISOLATED) as host, Stranger(browser, host).open() as visit:
        for path in (some[i] for some in paths for i in range(0, len(some), -(-len(some) // 3))):
            pixels = np.asarray(PIL.Image.open(path))
            if pixels.size > 2_500_000:
                continue
            decoded = png(tmp_path / f"{path.stem}.png", pixels)
            for given, most in ((decoded, 1e-4), *([(path, 1e-3)] if path.suffix == ".jpg" else [])):
                visit.upload(given)
                wrong, difference = apart(visit, float32(network), given)
                assert wrong <= most, given.name
                assert difference <= 1e-3 or given is path, given.name
            seen += 1
    assert seen >= 3


def test_a_large_picture_is_tiled_and_the_seams_do_not_show(built_page: Path, browser: Browser, tmp_path: Path) -> None:
    network = network_for(config_for("multiclass", **RGB))
    path = png(tmp_path / "large.png", np.tile(draw_sample("aerial", 3, 512)[0], (3, 4, 1)))
    with Host(made(tmp_path / "page", network, built_page)) as host, Stranger(browser, host).open() as visit:
        visit.upload(path)
        wrong, _ = apart(visit, float32(network), path)
        assert wrong <= 1e-4


# --- files of each kind -------------------------------------------------------------------------------------------


def transparent(path: Path) -> None:
    pixels = draw_sample("aerial", 1, 64)[0]
    alpha = np.linspace(0, 255, 64).astype(np.uint8)[None].repeat(64, axis=0)
    PIL.Image.fromarray(np.dstack([pixels, alpha])).save(path)


def of_a_palette(path: Path) -> None:
    PIL.Image.fromarray(draw_sample("aerial", 1, 64)[0]).quantize(32).save(path)


def with_a_profile(path: Path) -> None:
    """Colours of another space: the numbers are taken as they stand, as Python takes them."""
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    PIL.Image.fromarray(draw_sample("aerial", 1, 64)[0]).save(path, icc_profile=profile)


def of_two_tones(path: Path) -> None:
    PIL.Image.fromarray(draw_sample("ct", 1, 64)[0] > 90).save(path)


def turned(path: Path) -> None:
    exif = PIL.Image.Exif()
    exif[274] = 6
    PIL.Image.fromarray(draw_sample("aerial", 1, 96)[0][:64]).save(path, exif=exif)


def progressive(path: Path) -> None:
    PIL.Image.fromarray(draw_sample("aerial", 1, 96)[0]).save(path, quality=90, progressive=True)


def grey(path: Path) -> None:
    PIL.Image.fromarray(draw_sample("ct", 1, 96)[0]).save(path, quality=90)


def small(path: Path) -> None:
    PIL.Image.fromarray(draw_sample("aerial", 1, 64)[0]).save(path)


KINDS_OF_FILES: dict[str, tuple[Callable[[Path], None], ...]] = {
    "png": (transparent, of_a_palette, with_a_profile, of_two_tones, turned),
    "jpg": (turned, progressive, grey),
    "bmp": (small,),
    "gif": (small,),
}


@pytest.fixture(scope="module")
def tiny(built_page: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, UNet]:
    """A page of a tiny network, and the network."""
    network = network_for(config_for("multiclass", **RGB))
    return made(tmp_path_factory.mktemp("tiny") / "page", network, built_page), network


def test_files_are_read_as_python_reads_them(tiny: tuple[Path, UNet], browser: Browser, tmp_path: Path) -> None:
    page, network = tiny
    with Host(page) as host, Stranger(browser, host).open() as visit:
        for suffix, writers in KINDS_OF_FILES.items():
            for write in writers:
                path = tmp_path / f"{write.__name__}.{suffix}"
                write(path)
                visit.upload(path)
                wrong, difference = apart(visit, float32(network), path)
                assert wrong <= (1e-3 if suffix == "jpg" else 1e-4), path.name
                assert suffix == "jpg" or difference <= 1e-3, path.name


@pytest.fixture(scope="module")
def of_ct(built_page: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, UNet]:
    """A page of a tiny network that knows Hounsfield units, and the network."""
    network = network_for(config_for("binary", window=(-160.0, 240.0)))
    return made(tmp_path_factory.mktemp("ct") / "page", network, built_page), network


def test_volumes_and_series_are_read_as_python_reads_them(
    of_ct: tuple[Path, UNet], browser: Browser, tmp_path: Path
) -> None:
    page, network = of_ct
    with Host(page) as host, Stranger(browser, host).open() as visit:
        for path, files in (
            (nifti(tmp_path / "scan.nii.gz"), None),
            (nifti(tmp_path / "scan.nii"), None),
            (tmp_path / "series", series(tmp_path / "series", 5)),
        ):
            visit.choose(*(files or [path]))
            visit.has(files[0].name if files else path.name)
            assert visit.info["hounsfield"]
            wrong, difference = apart(visit, float32(network), path)
            assert wrong <= 1e-4, path.name
            assert difference <= 1e-3, path.name


def test_rasters_are_read_as_python_reads_them(tiny: tuple[Path, UNet], browser: Browser, tmp_path: Path) -> None:
    page, network = tiny
    plain = tmp_path / "plain.tif"
    PIL.Image.fromarray(draw_sample("aerial", 1, 64)[0]).save(plain, compression="tiff_lzw")
    with Host(page) as host, Stranger(browser, host).open() as visit:
        for path in (geotiff(tmp_path / "scene.tif"), plain):
            visit.upload(path)
            wrong, difference = apart(visit, float32(network), path)
            assert wrong <= 1e-4, path.name
            assert difference <= 1e-3, path.name


def test_labels_are_downloaded_as_python_writes_them(tiny: tuple[Path, UNet], browser: Browser, tmp_path: Path) -> None:
    page, network = tiny
    path = aerial(tmp_path / "scene.png")
    float32(network)(path).save(tmp_path / "expected.png")
    with Host(page) as host, Stranger(browser, host).open() as visit:
        visit.upload(path)
        labels = visit.downloads(tmp_path, "Label map")["Label map"]
    assert labels.name == "scene_labels.png"
    with PIL.Image.open(labels) as found, PIL.Image.open(tmp_path / "expected.png") as expected:
        assert np.array_equal(found, expected)
        assert (found.mode, found.getpalette()) == (expected.mode, expected.getpalette())


# --- where nobody serves, or something else -----------------------------------------------------------------------


def test_a_picture_is_sent_nowhere_and_nothing_is_fetched_for_it(visit: Stranger, tmp_path: Path) -> None:
    asked = visit.counting()
    visit.upload(ct(tmp_path / "slice.png"))
    for view in VIEWS:
        visit.view(view)
    visit.drawn()
    assert [request.url for request in asked if request.url.startswith("http")] == []


def test_without_an_example_it_waits_for_a_picture_and_needs_no_network_either(
    built_page: Path, browser: Browser, tmp_path: Path
) -> None:
    rule = {"format": 2, "picture_rule": "mean", "picture_temperature": 1.0}
    network = network_for(config_for("multiclass", **rule))
    folder = made(tmp_path / "page", network, built_page)
    path = ct(tmp_path / "slice.png")
    with browser.new_context(viewport={"width": 1280, "height": 720}) as context, contextlib.ExitStack() as listens:
        host = listens.enter_context(Host(folder))
        for _ in range(2):
            with Stranger(context, host) as visit:
                visit.page.goto(host.address)
                visit.upload(path)
                assert apart(visit, float32(network), path)[0] <= 1e-4
                visit.page.evaluate("navigator.serviceWorker.ready.then(() => true)")
            listens.close()  # from here on nobody listens


def test_after_the_first_visit_it_needs_no_network(liver: Path, browser: Browser, tmp_path: Path) -> None:
    with browser.new_context(viewport={"width": 1280, "height": 720}) as context:
        with Host(liver, ISOLATED) as host:
            with Stranger(context, host).open() as visit:
                visit.page.wait_for_function("navigator.serviceWorker.ready.then(() => true)")
            with Stranger(context, host).open():  # by now all of it is kept
                pass
            first = host.sent["/model.onnx.gz"]
            assert first == (liver / "model.onnx.gz").stat().st_size, "fetched once"
        # from here on nobody listens
        with Stranger(context, host).open() as visit:
            visit.upload(ct(tmp_path / "slice.png"))
            assert visit.threads == min(CORES, 8)


@pytest.fixture
def spoilt(tiny: tuple[Path, UNet], tmp_path: Path) -> Path:
    """A copy of the page, to be spoilt."""
    return Path(shutil.copytree(tiny[0], tmp_path / "spoilt"))


@pytest.mark.parametrize("name", ["model.onnx.gz", "ort-wasm-simd-threaded.wasm.gz"])
def test_a_file_with_another_hash_is_not_used(name: str, spoilt: Path, browser: Browser) -> None:
    data = bytearray((spoilt / name).read_bytes())
    data[len(data) // 2] ^= 1
    (spoilt / name).write_bytes(data)
    with Host(spoilt) as host, Stranger(browser, host) as visit:
        visit.page.goto(host.address)
        assert f"{name} is not what this page was made with" in visit.told()


def test_a_model_that_is_not_there_is_told(spoilt: Path, browser: Browser) -> None:
    (spoilt / "model.onnx.gz").unlink()
    with Host(spoilt) as host, Stranger(browser, host) as visit:
        visit.expected = ("404",)
        visit.page.goto(host.address)
        assert "model.onnx.gz can't be fetched" in visit.told()


def test_a_host_that_unpacks_on_the_way_is_a_host_too(tiny: tuple[Path, UNet], browser: Browser) -> None:
    with Host(tiny[0], unpacks=True) as host, Stranger(browser, host).open() as visit:
        assert visit.threads == 1


def large(path: Path) -> None:
    """A PNG whose header promises 30,000 x 30,000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 30_000, 30_000, 8, 0, 0, 0, 0))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b""))


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "large.png": (large, "large.png (30000 x 30000) is larger than"),
    "empty.png": (lambda path: path.write_bytes(b""), "empty.png is empty"),
    "words.txt": (lambda path: path.write_text("words"), "words.txt is not a readable picture"),
    "cut.png": (lambda path: (ct(path), path.write_bytes(path.read_bytes()[:200])), "cut.png is damaged or cut off"),
}


@pytest.fixture
def at_tiny(tiny: tuple[Path, UNet], browser: Browser) -> Iterator[Stranger]:
    with Host(tiny[0]) as host, Stranger(browser, host).open() as visit:
        yield visit


def test_what_can_not_be_read_is_a_sentence(at_tiny: Stranger, tmp_path: Path) -> None:
    for name, (write, sentence) in BAD.items():
        write(tmp_path / name)
        at_tiny.choose(tmp_path / name)
        expect(at_tiny.page.get_by_role("alert")).to_contain_text(sentence)
    at_tiny.upload(ct(tmp_path / "slice.png"))  # and it goes on


# --- for everybody ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("locale", ["en-US", "zh-CN"])
def test_it_speaks_both_languages_and_assistive_technology_can_use_it(
    locale: str, liver: Path, browser: Browser, axe: str, tmp_path: Path
) -> None:
    with Host(liver) as host, Stranger(browser, host, locale=locale, reduced_motion="reduce").open() as visit:
        page = visit.page
        page.evaluate(axe)
        assert (page.locator(".unetseg[lang^=zh]").count() == 1) == (locale == "zh-CN")
        assert ("线程" in page.locator(".notes").inner_text()) == (locale == "zh-CN")
        for view in VIEWS:
            visit.view(view)
            visit.accessible(view)
        acts = page.locator(".main-acts button")
        for number in range(acts.count()):
            acts.nth(number).click()
            expect(page.get_by_role("dialog")).to_be_visible()
            visit.accessible(f"dialog {number}")
            page.keyboard.press("Escape")
        large(tmp_path / "large.png")
        visit.choose(tmp_path / "large.png")
        expect(page.get_by_role("alert")).to_be_visible()
        visit.accessible("error")
