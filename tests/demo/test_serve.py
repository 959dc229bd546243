"""The page's own HTTP API, over real sockets."""

from __future__ import annotations

import base64
import json
import socket
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import dicom_files
import httpx
import numpy as np
import PIL.Image
import pytest
from configs import KINDS
from served import Held, events, png, run, served, tiny, written

from unetseg import Predictor
from unetseg.demo import packed, preview
from unetseg.demo.handlers import Page
from unetseg.demo.result import SLIDER
from unetseg.demo.serve import VIEWER
from unetseg.samples import draw_sample

pytestmark = pytest.mark.filterwarnings("ignore")  # of the libraries of the server, which runs in this process


@pytest.fixture(scope="module")
def page() -> Page:
    return Page({"tiny": tiny(window=(-160.0, 240.0)), "other": tiny("multiclass")})


@pytest.fixture(scope="module")
def address(page: Page) -> Iterator[str]:
    with served(page) as address:
        page.start_first()
        yield address


def until(condition: Callable[[], bool]) -> None:
    """Wait for what other threads do."""
    for _ in range(500):
        if condition():
            return
        time.sleep(0.02)
    pytest.fail("it did not come")


def pixels_of(response: httpx.Response, folder: Path) -> np.ndarray:
    assert response.status_code == 200, response.text
    return np.asarray(PIL.Image.open(written(folder, "got.png", response.content)))


def test_a_run_tells_what_it_does_and_its_labels_are_those_of_python(address: str, page: Page, tmp_path: Path) -> None:
    path = written(tmp_path, "picture.png", png(3))
    with httpx.stream(
        "POST", f"{address}/unetseg/runs", data={"model": "tiny"}, files={"file": path.open("rb")}, timeout=60
    ) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        told = [*events(response)]
    assert [event["state"] for event in told if event["state"] != "waiting"] == ["reading", "read", "done"]
    read = next(event for event in told if event["state"] == "read")
    full = page.predictors["tiny"](path)
    drawn = PIL.Image.open(written(tmp_path, "read.png", base64.b64decode(read["picture"])))
    np.testing.assert_array_equal(np.asarray(drawn.convert("RGB")), full.rgb[0])
    assert (read["height"], read["width"]) == full.shape[1:]
    info = told[-1]["result"]
    assert info["shape"] == list(full.shape)
    assert info["description"] == full.description()
    assert info["synthetic"] is False
    assert httpx.get(f"{address}/unetseg/results/{info['key']}").json() == info
    for limits in (None, [0.3]):
        asked = {} if limits is None else {"thresholds": "0.3"}
        got = httpx.get(f"{address}/unetseg/results/{info['key']}/files/labels_png", params=asked)
        np.testing.assert_array_equal(pixels_of(got, tmp_path), full.labels(limits)[0])
        counts = httpx.get(f"{address}/unetseg/results/{info['key']}/counts", params=asked).json()["labels"]
        assert counts == np.bincount(full.labels(limits).ravel(), minlength=2).tolist()
    assert not list(page.folder.glob("*/out-*")), "a file that was sent is gone"


@pytest.mark.parametrize("kind", KINDS)
def test_the_facts_of_a_result_fit_every_task(kind: str, tmp_path: Path) -> None:
    predictor = tiny(kind)
    with served(Page({"tiny": predictor})) as address:
        info = run(address)["result"]
        full = predictor(written(tmp_path, "picture.png", png()))
        assert info["nothing"]["found"] is not full.found_nothing()
        assert [one["output"] for one in info["nothing"]["highest"]] == list(full.config.classes)
        assert info["profile"] is None
        assert info["picture"] is None, "no rule says what the picture shows"
        assert info["gate"] == {"distance": None, "limit": None, "foreign": False, "proposal": None, "accepted": None}
        (model,) = httpx.get(f"{address}/unetseg/models").json()["models"]
        assert model["labels"] == list(full.config.labels)
        assert model["outputs"] == list(full.config.outputs)
        assert (model["curve"], model["scores"], model["licence"], model["card"]) == ({}, [], None, "")


def test_a_model_of_whole_pictures_says_what_one_shows_and_has_no_examples(tmp_path: Path) -> None:
    predictor = tiny("multiclass with background", format=2, picture_rule="mean", picture_temperature=1.0)
    page = Page({"pets": predictor})
    with served(page) as address:
        page.start_first()
        info = run(address, model="pets")["result"]
        assert info["picture"].keys() == {"cat", "dog"}
        assert info["picture"] == predictor(written(tmp_path, "picture.png", png())).named_picture
        report = httpx.get(f"{address}/unetseg/results/{info['key']}/files/report").json()
        assert report["picture"]["classes"] == info["picture"]
        assert httpx.get(f"{address}/unetseg/models").json()["models"][0]["examples"] == []
        assert "pets has no examples" in run(address, model="pets", example="0")["error"]
        assert httpx.get(f"{address}/unetseg/first").status_code == 410


def test_the_first_example_is_solved_at_the_start_through_the_same_handler(
    address: str, page: Page, tmp_path: Path
) -> None:
    info = httpx.get(f"{address}/unetseg/first", timeout=60).json()
    assert info["synthetic"] is True
    assert info["name"] == "synthetic_ct_0.png"
    own = page.predictors["tiny"](written(tmp_path, "a.png", _as_png(draw_sample("ct", 0)[0], tmp_path)))
    got = httpx.get(f"{address}/unetseg/results/{info['key']}/files/labels_png")
    np.testing.assert_array_equal(pixels_of(got, tmp_path), own.labels()[0])
    example = run(address, example="0")["result"]
    assert example["synthetic"] is True
    again = run(address, again=example["key"], model="other")["result"]
    assert (again["synthetic"], again["model"]) == (True, "other")


def _as_png(pixels: np.ndarray, folder: Path) -> bytes:
    PIL.Image.fromarray(pixels).save(folder / "drawn.png")
    return (folder / "drawn.png").read_bytes()


def test_the_shipped_models_are_described_by_their_papers() -> None:
    with served(Page({"liver-unet": Predictor.from_pretrained("liver-unet", device="cpu")})) as address:
        (model,) = httpx.get(f"{address}/unetseg/models", timeout=60).json()["models"]
    assert model["kind"] == "ct"
    assert model["medical"] is True
    assert model["licence"] == "cc-by-sa-4.0"
    assert model["gate"] is True
    half = next(point for point in model["curve"]["liver"] if point["threshold"] == 0.5)
    assert 0.9 < half["dice"] < 1
    assert {score["split"] for score in model["scores"]} == {"val", "test", "synthetic"}
    assert "<table>" in model["card"]
    assert "<details><summary>By group, validation</summary>" in model["card"]
    assert "sha256" not in model["card"]
    assert "<img" not in model["card"]
    assert [example["name"] for example in model["examples"]] == [f"synthetic_ct_{seed}" for seed in range(3)]
    assert all(example["thumbnail"].startswith("data:image/jpeg;base64,") for example in model["examples"])
    assert all(len(example["thumbnail"]) < 10_000 for example in model["examples"])


def test_what_a_file_does_not_say_is_asked_and_the_upload_is_run_again(address: str, tmp_path: Path) -> None:
    path = tmp_path / "deep.png"
    PIL.Image.fromarray(np.random.default_rng(0).random((30, 40), dtype=np.float32) * 5).save(path.with_suffix(".tif"))
    failed = run(address, {"file": ("deep.tif", path.with_suffix(".tif").read_bytes())}, model="other")
    assert failed["state"] == "error"
    assert "deep.tif" in failed["error"]
    assert run(address, again=failed["key"], model="other", value_range="five")["state"] == "error"
    done = run(address, again=failed["key"], model="other", value_range="0 5")
    assert "values 0 to 5" in done["result"]["description"]
    assert done["result"]["name"] == "deep.tif"
    gone = httpx.get(f"{address}/unetseg/results/{failed['key']}")
    assert (gone.status_code, gone.json()["gone"]) == (410, True), "an upload is no result"


def test_of_several_series_one_is_asked_for(address: str, tmp_path: Path) -> None:
    packed = tmp_path / "study.zip"
    with zipfile.ZipFile(packed, "w") as file:
        for uid, count, what in (("1.2.3.44", 2, "thick"), ("1.2.3.55", 3, "thin")):
            made = dicom_files.slices(count, shape=(24, 24), RescaleIntercept=-1024)
            for dataset in made:
                dataset.SeriesInstanceUID, dataset.SeriesDescription = uid, what
            for path in dicom_files.written(tmp_path / what, made).iterdir():
                file.write(path, f"{what}/{path.name}")
    asked = run(address, {"file": ("study.zip", packed.read_bytes())})
    assert asked["state"] == "series"
    assert {one["uid"] for one in asked["series"]} == {"1.2.3.44", "1.2.3.55"}
    done = run(address, again=asked["key"], series="1.2.3.55")["result"]
    assert done["shape"] == [3, 24, 24]
    assert done["hounsfield"] is True
    assert done["window"] == [-160, 240]
    assert done["spacing"] is not None
    assert done["unit"].keys() == {"area_mm2", "volume_mm3"}
    profile = done["profile"]
    assert (profile["kind"], profile["shape"]) == ("claims", [3, 1, len(SLIDER) + 1])
    shares = np.frombuffer(zlib.decompress(base64.b64decode(profile["data"])), "<u2").reshape(profile["shape"])
    assert (shares[:, :, 0] == 65535).all()
    assert (np.diff(shares[:, 0, :-1].astype(int)) <= 0).all()
    several = [("file", (path.name, path.read_bytes())) for path in sorted((tmp_path / "thick").iterdir())]
    info = run(address, several)["result"]
    assert info["name"] == "DICOM series"
    place = httpx.get(f"{address}/unetseg/results/{info['key']}/values/1", params={"y": 3, "x": 4}).json()
    assert place["place"]["kind"] == "patient"
    mixed = run(address, [*several, ("file", ("a.png", png()))])
    assert (mixed["status"], "a.png is no DICOM" in mixed["error"]) == (400, True)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"model": "nobody"}, "this page offers tiny, other, not 'nobody'"),
        ({"model": "tiny", "example": "9"}, "has the examples 0 to 2"),
        ({"model": "tiny", "example": "../x"}, "has the examples 0 to 2"),
        ({"model": "tiny"}, "nothing to run: send a file"),
        ({"model": "x" * 20_000}, "longer than 10000 bytes"),
    ],
)
def test_what_can_not_be_run_is_refused_in_a_sentence(
    address: str, page: Page, fields: dict[str, str], said: str
) -> None:
    before = set(page.folder.iterdir())
    sent = {name: (None, value) for name, value in fields.items()}
    response = httpx.post(f"{address}/unetseg/runs", files=sent)
    assert response.status_code == 400
    assert said in response.json()["error"]
    assert httpx.post(f"{address}/unetseg/runs", json={"model": "tiny"}).status_code == 400
    cut = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\nhalf'
    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    assert "cut off" in httpx.post(f"{address}/unetseg/runs", content=cut, headers=kind).json()["error"]
    assert set(page.folder.iterdir()) == before, "nothing is left of it"


def test_what_is_dropped_or_never_was_is_gone_in_every_route(address: str) -> None:
    for key in ("nobody", "..", "%2e%2e", "a/b"):
        for rest in ("", "/values/0?y=0&x=0", "/counts", "/files/labels_png", "/files/zip"):
            response = httpx.get(f"{address}/unetseg/results/{key}{rest}")
            assert response.status_code in (404, 410), key + rest
    answer = httpx.get(f"{address}/unetseg/results/nobody/files/report")
    assert answer.status_code == 410
    assert answer.json()["gone"] is True
    assert "again" in answer.json()["error"]
    again = run(address, again="nobody")
    assert (again["status"], again["gone"]) == (410, True)


def test_results_expire_in_words_and_the_first_example_stays() -> None:
    page = Page({"tiny": tiny()}, expires=1.0)
    with served(page) as address:
        page.start_first()
        first = httpx.get(f"{address}/unetseg/first", timeout=60).json()
        key = run(address)["result"]["key"]
        assert httpx.get(f"{address}/unetseg/results/{key}").status_code == 200
        until(lambda: not (page.folder / key).exists())
        assert httpx.get(f"{address}/unetseg/results/{key}").json()["gone"] is True
        assert httpx.get(f"{address}/unetseg/results/{first['key']}").status_code == 200


@pytest.mark.parametrize("how", ["closed", "newer"])
def test_a_run_that_nobody_waits_for_ends_between_two_bands(how: str) -> None:
    predictor = tiny(type_=Held)
    page = Page({"tiny": predictor})
    with served(page) as address:
        headers = {"X-Page": "one"}
        files = {"file": ("a.png", png())}
        with httpx.stream(
            "POST", f"{address}/unetseg/runs", data={"model": "tiny"}, files=files, headers=headers, timeout=60
        ) as response:
            told = events(response)
            while next(told)["state"] != "read":
                pass
            predictor.entered.acquire()
            if how == "newer":
                with httpx.stream(
                    "POST", f"{address}/unetseg/runs", data={"model": "tiny"}, files=files, headers=headers, timeout=60
                ) as newer:
                    assert [*told] == [], "the older one ended"
                    predictor.go.set()
                    assert [*events(newer)][-1]["state"] == "done"
                return
        until(lambda: not list(page.folder.iterdir()))  # ended, and its upload is gone
        predictor.go.set()
        assert run(address)["state"] == "done"


def test_who_waits_is_told_a_place_and_a_slice_overtakes_a_large_raster() -> None:
    predictor = tiny(type_=Held)
    page = Page({"tiny": predictor, "fast": tiny()})
    large = {"file": ("a.png", png(height=1500, width=1500))}
    with served(page) as address:
        streams = [
            httpx.stream(
                "POST", f"{address}/unetseg/runs", data={"model": "tiny"}, files=large, headers={"X-Page": f"{n}"}
            )
            for n in range(2)
        ]
        with streams[0]:
            predictor.entered.acquire()
            with streams[1] as second:
                waiting = next(events(second))
                assert (waiting["state"], waiting["place"]) == ("waiting", 1)
                assert run(address, model="fast")["state"] == "done"
        predictor.go.set()


def test_a_high_picture_tells_its_rows_as_they_are_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(preview, "OFTEN", 0.0)
    predictor = tiny("multiclass")
    path = written(tmp_path, "high.png", png(height=1200, width=100))
    with (
        served(Page({"tiny": predictor})) as address,
        httpx.stream(
            "POST", f"{address}/unetseg/runs", data={"model": "tiny"}, files={"file": path.open("rb")}, timeout=60
        ) as response,
    ):
        told = [event for event in events(response) if event["state"] == "running"]
    rows = [event["rows"] for event in told if "rows" in event]
    assert len(rows) > 5
    assert [one["top"] for one in rows] == [0, *[one["bottom"] for one in rows[:-1]]]
    assert rows[-1]["bottom"] == rows[-1]["of"] == 768
    assert [event["done"] for event in told] == sorted(event["done"] for event in told)
    found = b"".join(zlib.decompress(base64.b64decode(one["labels"])) for one in rows)
    shown = np.frombuffer(found, np.uint8).reshape(768, 64)
    agree = (shown == predictor(path).reduced(768).labels()[0]).mean()
    assert agree > 0.9, "the nearest pixels, not quite those of the shown copy"


def test_the_viewer_gets_slices_entropy_and_tiles_as_they_are_packed(page: Page, address: str, tmp_path: Path) -> None:
    path = written(tmp_path, "wide.png", png(height=500, width=1000))
    key = run(address, {"file": ("wide.png", path.read_bytes())})["result"]["key"]
    full = page.predictors["tiny"](path)
    at = f"{address}/unetseg/results/{key}"
    expected = packed.packed(full.reduced(768), 0, (500, 1000), packed.counted(full, 0))
    for _ in range(2):
        got = httpx.get(f"{at}/slices/0")
        assert got.content == expected
        assert got.headers["cache-control"] == "no-store"
    assert httpx.get(f"{at}/entropy/0").content == packed.entropy(full.reduced(768))
    where = {"top": 10, "left": 700, "bottom": 200, "right": 1000}
    assert httpx.get(f"{at}/tiles/0", params=where).content == packed.tile(full, 0, 10, 700, 200, 1000)
    for wrong in (
        "slices/1",
        "slices/x",
        "entropy/-1",
        "tiles/0",
        "tiles/0?top=0&left=0&bottom=501&right=5",
        "values/0?y=500&x=0",
    ):
        answer = httpx.get(f"{at}/{wrong}")
        assert answer.status_code == 400, wrong
        assert answer.json()["error"]
    assert httpx.get(f"{address}/unetseg/results/nobody/slices/0").status_code == 410


def test_names_are_only_ever_sent_back(address: str, page: Page) -> None:
    for name in (
        "../../evil.png",
        "a/b\\c.png",
        '<img src=x onerror="alert(1)">.png',
        "con\x01trol.png",
        "名字.png",
        ".png",
        "..",
    ):
        info = run(address, {"file": (name, png())})["result"]
        (upload,) = (page.folder / info["key"]).iterdir()
        assert upload.name in ("00000.png", "00000")
        got = httpx.get(f"{address}/unetseg/results/{info['key']}/files/labels_png")
        said = got.headers["content-disposition"]
        assert "/" not in said.split("filename", 1)[1].replace("%2F", "")
        assert "<" not in said
        assert got.headers["content-type"] == "image/png"
        assert "/" not in info["name"]


def test_the_viewers_files_are_served_and_nothing_else(address: str) -> None:
    name = next(path.name for path in VIEWER.iterdir() if path.suffix == ".js")
    got = httpx.get(f"{address}/unetseg/viewer/{name}")
    assert got.content == (VIEWER / name).read_bytes()
    assert got.headers["content-type"].startswith("text/javascript")
    assert got.headers["cache-control"] == "no-cache"
    same = httpx.get(f"{address}/unetseg/viewer/{name}", headers={"If-None-Match": got.headers["etag"]})
    assert (same.status_code, same.content) == (304, b"")
    for other in ("__init__.py", ".", "nothing.js", "%2e%2e%2f__init__.py"):
        assert httpx.get(f"{address}/unetseg/viewer/{other}").status_code == 404


def test_a_failure_of_the_machine_is_a_sentence_and_the_page_goes_on() -> None:
    class Full(Predictor):
        full = True

        def __call__(self, *args: object, **options: object) -> object:  # type: ignore[override]
            if self.full:
                raise MemoryError("no room")
            return super().__call__(*args, **options)  # type: ignore[arg-type]

    predictor = tiny(type_=Full)
    with served(Page({"tiny": predictor})) as address:
        failed = run(address)
        assert (
            failed["error"] == "picture.png could not be segmented (no room); try a smaller picture, or try again later"
        )
        predictor.full = False
        assert run(address, again=failed["key"])["state"] == "done"


def test_a_download_that_fails_is_a_sentence_and_leaves_nothing(
    address: str, page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> Path:
        raise OSError(28, "No space left on device")

    key = run(address)["result"]["key"]
    monkeypatch.setattr("unetseg.demo.handlers.write", full)
    answer = httpx.get(f"{address}/unetseg/results/{key}/files/zip")
    assert answer.status_code == 500
    assert "this could not be made" in answer.json()["error"]
    assert not list((page.folder / key).glob("out-*"))


def test_an_upload_that_is_broken_off_leaves_nothing(address: str, page: Page) -> None:
    before = set(page.folder.iterdir())
    place = urlsplit(address)
    with socket.create_connection((place.hostname or "", place.port or 0)) as visitor:
        head = b"POST /unetseg/runs HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=x\r\n"
        visitor.sendall(head + b"Content-Length: 9000000\r\n\r\n--x\r\n" + bytes(100_000))
        until(lambda: set(page.folder.iterdir()) != before)
    until(lambda: set(page.folder.iterdir()) == before)


def test_a_broken_file_gets_a_sentence(address: str) -> None:
    failed = run(address, {"file": ("broken.png", png()[:300])})
    assert "broken.png is damaged or cut off" in failed["error"]


def test_files_go_with_the_page(tmp_path: Path) -> None:
    page = Page({"tiny": tiny()})
    folder = page.folder
    with served(page) as address:
        run(address)
        assert list(folder.iterdir())
    assert not folder.exists()


def test_the_page_itself_is_one_element_that_opens_the_viewer(address: str) -> None:
    text = httpx.get(address).text
    config = json.loads(text.split("window.gradio_config = ", 1)[1].split(";</script>", 1)[0])
    shown = [one for one in config["components"] if one["props"].get("visible") is not False]
    assert [one["type"] for one in shown if one["type"] == "html"] == ["html"]
    named = [one["api_name"] for one in config["dependencies"] if one["api_visibility"] != "private"]
    assert named == ["segment", "models"]
