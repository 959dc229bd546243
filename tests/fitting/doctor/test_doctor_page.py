"""`unetseg.fitting.doctor.page`: the report as one HTML page."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Browser

from unetseg.__main__ import main
from unetseg.config import hex_to_rgb
from unetseg.fitting.doctor import Diagnosis, diagnose, draw_sheet, page, write_page
from unetseg.fitting.doctor.choosing import Candidate
from unetseg.fitting.doctor.contact_sheet import concerned
from unetseg.fitting.doctor.findings import Finding

CLASS = np.array(hex_to_rgb("#e4572e"))
EMPTY = {"meta", "img", "br", "link", "input"}


class Parsed(HTMLParser):
    """Tags with their attributes, the text of each element by tag, and what is wrong with the nesting."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.open: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip() and self.open:
            self.texts.append((self.open[-1], data))

    def text_of(self, tag: str) -> list[str]:
        return [text for name, text in self.texts if name == tag]

    def pictures(self) -> dict[str, NDArray[np.uint8]]:
        """By what is said of them, the first of each."""
        found: dict[str, NDArray[np.uint8]] = {}
        for tag, attributes in self.tags:
            if tag == "img":
                head, _, data = (attributes["src"] or "").partition(",")
                assert head == "data:image/jpeg;base64"
                with Image.open(io.BytesIO(base64.b64decode(data))) as picture:
                    assert (str(picture.width), str(picture.height)) == (attributes["width"], attributes["height"])
                    found.setdefault(attributes["alt"] or "", np.asarray(picture.convert("RGB")))
        return found


def put(path: Path, pixels: NDArray[np.generic]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, format="PNG")


def halves(folder: Path, *names: str) -> Path:
    """Grey pictures; of the masks the upper half is 255."""
    mask = np.zeros((40, 60), dtype=np.uint8)
    mask[:20] = 255
    for i, name in enumerate(names or [f"p{i}_0.png" for i in range(6)]):
        image = np.full((40, 60), 128, dtype=np.uint8)
        image[39, i] = 0  # so that no two are the same
        put(folder / "images" / name, image)
        put(folder / "masks" / name, mask)
    return folder


def written(diagnosis: Diagnosis, path: Path) -> Parsed:
    write_page(diagnosis, path, train="python train.py", again="python again.py")
    return Parsed(path.read_text(encoding="utf-8"))


def test_a_page_says_first_that_training_may_start_and_how_then_what_is_there(tmp_path: Path) -> None:
    diagnosis = diagnose(halves(tmp_path / "data"))
    found = written(diagnosis, tmp_path / "report.html")
    assert found.tags[0] == ("html", {"lang": "en"})
    assert found.text_of("title") == ["data: what the doctor found"]
    assert found.text_of("h1") == ["data: 6 pictures, with masks"]
    assert "Training may start." in found.text_of("p")
    assert found.text_of("pre") == ["python train.py", (diagnosis.recipe or "").rstrip()]
    levels = [int(tag[1]) for tag, _ in found.tags if re.fullmatch(r"h\d", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert found.text_of("dd")[1].startswith("60 x 40 pixels, grey uint8, values 0 to 128")
    assert found.text_of("th")[-2:] == ["background", "class1"]
    assert {"7,200", "50.0 %", "6 of 6"} <= set(found.text_of("td"))
    bars = [a["style"] for tag, a in found.tags if tag == "span" and "style" in a]
    assert bars == ["width:50.00%;background:#000000", "width:50.00%;background:#e4572e"]
    anchors = {a["href"] for tag, a in found.tags if tag == "a"}
    assert anchors <= {f"#{a['id']}" for _, a in found.tags if "id" in a}
    assert "val" in " ".join(found.text_of("span"))
    assert len(list(tmp_path.iterdir())) == 2  # nothing temporary is left


def test_a_picture_and_its_mask_over_it_are_drawn_where_they_lie(tmp_path: Path) -> None:
    pictures = written(diagnose(halves(tmp_path / "data")), tmp_path / "report.html").pictures()
    assert len(pictures) == 12
    alone = pictures["images/p1_0.png"].astype(int)
    both = pictures["images/p1_0.png with its mask over it"].astype(int)
    height, width = both.shape[:2]
    assert (width, height) == (page.SIDE, round(page.SIDE * 40 / 60))
    assert abs(alone[height // 4] - 128).max() < 6
    assert both[height // 4, width // 2] == pytest.approx(0.45 * CLASS + 0.55 * 128, abs=6)
    assert both[height // 2 - 1, width // 2] == pytest.approx(CLASS, abs=25)  # the line around the class
    assert abs(both[3 * height // 4, : width // 2] - 128).max() < 6


def test_questions_come_with_pictures_of_the_files_that_they_name_and_both_commands(tmp_path: Path) -> None:
    folder = halves(tmp_path / "data")
    (folder / "masks/p0_0.png").unlink()
    (folder / "images/p1_0.png").write_bytes(b"no")
    put(folder / "masks/p2_0.png", np.full((30, 60), 255, dtype=np.uint8))
    (folder / "images/p3_0.png").unlink()
    found = written(diagnose(folder), tmp_path / "report.html")
    assert found.text_of("p")[0] == "Not yet: 3 questions to answer first."
    assert found.text_of("pre")[:2] == ["python again.py", "python train.py"]
    assert [text for text in found.text_of("div") if "mask" in text or "readable" in text][:2] == [
        "no mask",
        "p1_0.png is not a readable picture",
    ]
    assert "the image is 60 x 40 pixels, its mask 60 x 30" in found.text_of("span")
    pictures = found.pictures()
    assert (pictures["images/p2_0.png (60 x 40, mask 60 x 30) its mask"] > 30).any()
    assert pictures["masks/p3_0.png"][0, 0].min() > 240  # a mask without an image, as it is stored
    # nothing is asked where nothing can be proposed, but to examine it again
    shutil.rmtree(folder / "masks")
    assert written(diagnose(folder), tmp_path / "report.html").text_of("pre") == ["python again.py"]


def test_names_of_files_and_classes_are_text_whatever_they_hold(tmp_path: Path) -> None:
    evil = "<img src=x onerror=alert(1)>", '"><script>alert(2)<', "a&amp;b' style='", "turn\u202eed\x1b[31m", "\udcff_1"
    folder = halves(tmp_path / "<b>data", *(f"{name}.png" for name in evil))
    name = "</pre><script>alert(3)</script>"
    (folder / "classes.json").write_text(json.dumps({"0": "nothing", "255": name}))
    (folder / os.fsdecode(b"images/lone\xfe.png")).write_bytes((folder / "images" / f"{evil[0]}.png").read_bytes())
    found = written(diagnose(folder), tmp_path / "report.html")
    assert found.text_of("title")[0].startswith("<b>data")
    assert found.text_of("script") == [page.SCRIPT]
    assert {"html", "main", "script", "style"} <= {tag for tag, _ in found.tags}
    handlers = {key for _, a in found.tags for key in a if key.startswith("on")}
    assert handlers == set()
    names = {text.removeprefix("images/") for text in found.text_of("b")}
    assert {f"{evil[i]}.png" for i in range(3)} <= names
    assert {"turn\ufffded\ufffd[31m.png", "?_1.png", "lone?.png"} <= names
    assert name in found.text_of("th")
    assert all(a["alt"] for tag, a in found.tags if tag == "img")


def test_a_page_fetches_nothing_and_stays_within_its_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    for i in range(20):
        put(tmp_path / f"data/images/p{i}.png", random.integers(0, 256, (320, 320, 3), dtype=np.uint8))
        put(tmp_path / f"data/masks/p{i}.png", np.triu(np.full((320, 320), 255, dtype=np.uint8), i))
    monkeypatch.setattr(page, "MOST_BYTES", 2_000_000)
    diagnosis, path = diagnose(tmp_path / "data"), tmp_path / "report.html"
    found = written(diagnosis, path)
    shown = len(found.pictures()) // 2
    assert 2 < shown < 20
    assert f"{shown} of 20 are shown, spread over the groups; {20 - shown} are left out." in " ".join(
        found.text_of("p")
    )
    assert 1_500_000 < path.stat().st_size < 2_100_000
    text = re.sub(r'src="data:[^"]*"', "", path.read_text(encoding="utf-8"))
    assert "//" not in text.replace(diagnosis.recipe or "", "")
    assert "url(" not in text
    assert "default-src 'none'" in text


def test_of_many_files_that_a_finding_names_a_few_are_drawn_and_all_are_named(tmp_path: Path) -> None:
    diagnosis = diagnose(halves(tmp_path / "data"))
    names = tuple(f"masks/p{i}_0.png" for i in range(6))
    many = replace(diagnosis, findings=(Finding("warning", "six masks", "look", names * 100),))
    found = written(many, tmp_path / "report.html")
    assert found.text_of("summary") == ["4 of 6 are shown. All names"]
    assert [text for text in found.text_of("li") if text.startswith("masks")] == list(names * 100)[: page.MOST_NAMES]
    assert "and 100 more" in found.text_of("li")


def test_a_name_with_brackets_and_one_with_a_size_after_it_are_both_found(tmp_path: Path) -> None:
    diagnosis = diagnose(halves(tmp_path / "data", "a (1).png", "b.png", "c.png"))
    names = ["images/a (1).png", "masks/a (1).png", "images/b.png (60 x 40, mask 2 x 2)", "group7"]
    assert [*concerned(diagnosis, names)] == [names[0], names[2]]


def test_folders_that_fit_alike_are_shown_with_a_picture_of_each(tmp_path: Path) -> None:
    folder = halves(tmp_path / "data")
    for name, tone in (("depth", 0), ("rgb", 200)):
        put(folder / name / "p0_0.png", np.repeat(np.uint8([[tone, 255]]), 30, axis=1))
    candidates = tuple(Candidate("images", name, folder / name / "p0_0.png") for name in ("depth", "rgb"))
    names = tuple(f"{name}/p0_0.png" for name in ("depth", "rgb"))
    others = Finding("question", "another thing", "mend it", ("images/p0_0.png",))
    asked = Finding("question", "two sets of images fit the same masks", "take one out", names)
    diagnosis = replace(diagnose(folder), candidates=candidates, findings=(others, asked))
    found = written(diagnosis, tmp_path / "report.html")
    assert found.text_of("b")[:3] == ["images/p0_0.png", "images: depth", "images: rgb"]
    assert found.pictures()["images: depth"].shape[1] == page.SIDE
    draw_sheet(diagnosis, tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as sheet:
        with_them = sheet.height
    draw_sheet(replace(diagnosis, candidates=()), tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert with_them > sheet.height  # eight cells in rows of three, not six


def test_the_command_writes_a_page_over_one_of_its_own_and_over_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    halves(tmp_path / "the data")
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        assert main(["doctor", "the data", "--html", "report.html"]) == 0
    found = Parsed(Path("report.html").read_text(encoding="utf-8"))
    assert found.text_of("pre")[0] == "python training/train.py 'the data.toml' --data 'the data'"
    assert "report: report.html" in caplog.messages
    Path("report.html").write_bytes(b"<html>mine\xff</html>")
    Path("the data.toml").unlink()
    assert main(["doctor", "the data", "--html", "report.html"]) == 1
    assert caplog.messages[-1].startswith("error: report.html is there already and is no report of the doctor")
    assert Path("report.html").read_bytes() == b"<html>mine\xff</html>"
    assert not Path("the data.toml").exists()  # it is told before anything is read
    assert main(["doctor", "the data", "--html", "nowhere/report.html"]) == 1
    assert "there is no folder nowhere" in caplog.messages[-1]


CONTRAST = """() => {
  const numbers = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = (rgb) => {
    const [r, g, b] = rgb.slice(0, 3).map((c) => (c /= 255) <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const paper = (element) => {
    const colour = numbers(getComputedStyle(element).backgroundColor);
    return colour.length > 3 && colour[3] === 0 ? paper(element.parentElement) : colour;
  };
  const low = [];
  for (const element of document.querySelectorAll("main *")) {
    if (![...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim())) continue;
    const pair = [light(numbers(getComputedStyle(element).color)), light(paper(element))];
    const ratio = (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
    if (ratio < 4.5) low.push([element.outerHTML.slice(0, 80), ratio]);
  }
  return low;
}"""


def test_a_browser_shows_it_without_errors_on_a_phone_light_and_dark(browser: Browser, tmp_path: Path) -> None:
    long = "a_name_without_a_place_to_break_" * 4
    folder = halves(tmp_path / "data", *(f"{long}{i}.png" for i in range(6)))
    (folder / "masks" / f"{long}0.png").unlink()
    put(folder / "masks" / f"{long}1.png", np.zeros((40, 60), dtype=np.uint8))
    (folder / "classes.json").write_text(json.dumps({"0": "background", "255": f"<script>alert(1)</script>{long}"}))
    written(diagnose(folder), tmp_path / "report.html")
    told: list[str] = []
    for scheme in ("light", "dark"):
        shown = browser.new_page(viewport={"width": 390, "height": 844}, color_scheme=scheme)  # type: ignore[arg-type]
        shown.on("console", lambda message: told.append(message.text))
        shown.on("pageerror", lambda error: told.append(str(error)))
        shown.on("request", lambda r: None if r.url.startswith(("file:", "data:")) else told.append(r.url))
        shown.goto((tmp_path / "report.html").as_uri())
        assert shown.evaluate("document.documentElement.scrollWidth") == 390
        assert shown.evaluate("[...document.images].every((image) => image.naturalWidth > 0)")
        assert shown.evaluate(CONTRAST) == []
        shown.locator("button").first.click()
        assert shown.locator("button").first.text_content() == "Copied"
        assert shown.evaluate("getSelection().toString()").strip() == "python again.py"
        shown.close()
    assert told == []
