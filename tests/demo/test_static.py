"""The files of a page without a server: what npm built, the model beside it, and what is said where one is missing."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import sys
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from clients import Client, command
from configs import KINDS, RGB, config_for, network_for
from hub_server import TOKEN, Fault, HubServer
from runtimes import with_onnxruntime

from unetseg import Predictor, SegmentationConfig, UNet, hub
from unetseg.__main__ import main
from unetseg.demo import static
from unetseg.demo.models import facts
from unetseg.demo.static import built_page, page_files, read_built
from unetseg.export import as_onnx, metadata
from unetseg.files import BUILT, PAGE, README
from unetseg.formats import as_image
from unetseg.hub.model_card import front_matter
from unetseg.hub.seal import MARKDOWN, is_edited
from unetseg.prepare import scale
from unetseg.samples import draw_sample

SPACE = "someone/page"
CODE = {"index.html": b"<main></main>", "main.js": b"open()", "parts/some.js": b"more()"}


def write_built(folder: Path, code: dict[str, bytes]) -> Path:
    """A folder such as npm leaves it."""
    listed = {name: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)} for name, data in code.items()}
    for name, data in (code | {BUILT: json.dumps(listed).encode()}).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


@pytest.fixture
def built(tmp_path: Path) -> Path:
    return write_built(tmp_path / "dist", CODE)


@pytest.fixture
def described(tmp_path: Path) -> UNet:
    """A tiny network with the papers of the shipped one for livers."""
    network = network_for(config_for("binary", window=(-160.0, 240.0)))
    names = (README, "calibration.json", "scores.json")
    papers = {name: (Path(hub.__file__).parents[2] / "checkpoints" / "liver-unet" / name).read_text() for name in names}
    return UNet.from_pretrained(hub.save(tmp_path / "described", network.config, network.state_dict(), papers))


@pytest.fixture
def carried(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """As in an installed package that carries the page."""
    monkeypatch.setattr(static, "SOURCES", tmp_path / "no clone")
    monkeypatch.setattr(static, "CARRIED", built)
    return built


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """As in a clone, with an npm that notes how it is called and builds CODE; one that fails says why."""
    web = tmp_path / "web"
    web.mkdir()
    (web / "package.json").write_text("{}")
    write_built(web / "made", CODE)
    npm = tmp_path / "bin" / "npm"
    npm.parent.mkdir()
    npm.write_text(
        '#!/bin/sh\necho "$@" >> called\nif [ -e "fails at $1" ]; then echo "npm error no such host" >&2; exit 1; fi\n'
        'if [ "$1" = run ]; then cp -r made dist; fi\n'
    )
    npm.chmod(0o755)
    monkeypatch.setattr(static, "SOURCES", web)
    monkeypatch.setenv("PATH", f"{npm.parent}{os.pathsep}{os.environ['PATH']}")
    return web


def said(files: dict[str, bytes]) -> dict[str, object]:
    return json.loads(files["model.json"])  # type: ignore[no-any-return]


# --- the files ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_page_is_what_was_built_and_a_model_that_gives_the_probabilities_of_python(kind: str, built: Path) -> None:
    network = network_for(config_for(kind))
    files = page_files(network, built)
    assert files.keys() == {*CODE, *PAGE, README}
    assert {name: files[name] for name in CODE} == CODE
    pinned = said(files)["files"]["model.onnx.gz"]  # type: ignore[index]
    data = gzip.decompress(files["model.onnx.gz"])
    assert pinned == {
        "sha256": hashlib.sha256(files["model.onnx.gz"]).hexdigest(),
        "bytes": len(files["model.onnx.gz"]),
        "unpacked_sha256": hashlib.sha256(data).hexdigest(),
        "unpacked_bytes": len(data),
    }
    assert data == as_onnx(network)
    image = as_image(draw_sample("ct", 1, 40)[0])
    expected = Predictor(network, device="cpu", precision="float32")(image).probabilities.numpy()
    np.testing.assert_allclose(with_onnxruntime(data)(scale(image, network.config).numpy()), expected, atol=1e-4)


def test_what_is_said_of_the_model_is_what_the_page_of_python_says(built: Path, described: UNet) -> None:
    found = said(page_files(described, built))
    whole = facts("described", Predictor(described, device="cpu"))
    shared = ("title", "card", "licence", "medical", "source", "commit", "scores", "curve")
    assert {name: found[name] for name in shared} == {name: whole[name] for name in shared}
    assert found["curve"]
    assert found["medical"] is True
    assert SegmentationConfig.model_validate_json(json.dumps(found["config"])) == described.config
    assert found["metadata"] == metadata(described)
    assert found.keys() == {*shared, "config", "files", "metadata", "example"}


@pytest.mark.parametrize(("colours", "mode"), [({}, "L"), (RGB, "RGB")])
def test_its_example_is_a_generated_picture_that_fits(colours: dict[str, object], mode: str, built: Path) -> None:
    files = page_files(network_for(config_for("multiclass", **colours)), built)
    with PIL.Image.open(io.BytesIO(files[str(said(files)["example"])])) as picture:
        assert picture.mode == mode


def test_a_model_of_whole_pictures_has_no_example(built: Path) -> None:
    rule = {"format": 2, "picture_rule": "mean", "picture_temperature": 1.0}
    files = page_files(network_for(config_for("multiclass", **rule)), built)
    assert said(files)["example"] is None, "it labels garments or animals, which nothing here draws"
    assert "example.png" not in files


def test_the_same_again_is_the_same_and_nothing_of_the_machine_is_in_it(built: Path, tmp_path: Path) -> None:
    folder = network_for(config_for("binary")).save_pretrained(tmp_path / "checkpoint")
    files = page_files(UNet.from_pretrained(folder), built)
    assert files == page_files(UNet.from_pretrained(folder), built)
    data = gzip.decompress(files.pop("model.onnx.gz")) + b"".join(files.values())
    for word in (str(tmp_path), str(Path.home()), str(Path(static.__file__).parent)):
        assert word.encode() not in data


def test_half_the_weights_with_float16(built: Path) -> None:
    network = network_for(config_for("binary", widths=(16, 32, 64, 128)))
    whole, half = (len(page_files(network, built, float16=float16)["model.onnx.gz"]) for float16 in (False, True))
    assert half < 0.55 * whole


def test_its_readme_makes_the_hub_serve_it_with_the_headers_that_threads_need(built: Path, described: UNet) -> None:
    text = page_files(described, built, repo="someone/1.0")[README].decode()
    fields = front_matter(text)
    assert (fields["title"], fields["sdk"], fields["app_file"]) == ("1.0", "static", "index.html")
    assert fields["custom_headers"] == {
        "cross-origin-embedder-policy": "require-corp",
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-resource-policy": "cross-origin",
    }
    assert fields["license"] == "cc-by-sa-4.0", "the model's, which travels with it"
    assert "models" not in fields, "the hub has no such repo"
    assert len(str(fields["short_description"])) <= 60
    assert not is_edited(text, MARKDOWN)
    assert front_matter(page_files(described, built)[README].decode())["title"] == "liver-unet"


def test_a_model_that_sees_what_no_browser_opens_is_refused(built: Path) -> None:
    four = {"channels": ("red", "green", "blue", "infrared"), "mean": (0.5,) * 4, "std": (0.5,) * 4}
    with pytest.raises(ValueError, match=r"^a browser opens grey and RGB pictures, .* sees red, .*infrared;"):
        page_files(network_for(config_for("multiclass", **four)), built)


def test_a_built_page_that_is_not_whole_is_refused(built: Path) -> None:
    (built / "main.js").write_text("other()")
    with pytest.raises(ValueError, match=r"main\.js is not the file that was built; build the page again$"):
        read_built(built)
    (built / "main.js").unlink()
    with pytest.raises(ValueError, match=r"main\.js is not the file that was built"):
        read_built(built)


# --- where the page is from ---------------------------------------------------------------------------------------


def test_in_a_clone_npm_builds_the_page(clone: Path) -> None:
    assert read_built(built_page()).keys() == {*CODE, BUILT}
    calls = (clone / "called").read_text().splitlines()
    assert [call.split(" --")[0] for call in calls] == ["ci", "run build"]


@pytest.mark.parametrize(("fails", "said"), [("ci", "npm ci"), ("run", "npm run build")])
def test_what_npm_can_not_do_is_a_sentence(clone: Path, fails: str, said: str) -> None:
    (clone / f"fails at {fails}").touch()
    with pytest.raises(ValueError, match=rf"not built: `{said}` failed in .*web \(npm error no such host\); try it"):
        built_page()


def test_what_is_missing_is_told_before_npm_works(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert clone.is_dir()
    monkeypatch.setattr(static, "_npm", lambda *_: pytest.fail("npm was asked"))
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ValueError, match=r"pip install 'unetseg\[onnx\]'"):
        page_files(network_for(config_for("binary")))


def test_without_npm_a_clone_says_so(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ValueError, match=r"^in a clone npm builds the page, and there is none; install Node\.js"):
        built_page()


def test_an_installed_package_gives_what_it_carries_or_says_that_it_carries_none(carried: Path) -> None:
    assert built_page() == carried
    (carried / BUILT).unlink()
    with pytest.raises(ValueError, match=r"^this installation .* carries no page .*; run the command in a clone$"):
        built_page()


# --- the command --------------------------------------------------------------------------------------------------


def test_the_command_writes_a_folder_and_replaces_an_older_page_alone(
    carried: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    checkpoint = str(network_for(config_for("binary")).save_pretrained(tmp_path / "checkpoint"))
    folder = tmp_path / "some" / "page"
    arguments = ["space", "--static", "--model", checkpoint, "--out", str(folder)]
    assert main(arguments) == 0
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert names == {*CODE, *PAGE, README}
    (folder / "old.js").touch()
    assert main(arguments) == 0
    assert not (folder / "old.js").exists()
    assert [path.name for path in folder.parent.iterdir()] == ["page"], "nothing is left beside it"
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "picture.png").touch()
    assert main([*arguments[:-1], str(tmp_path / "mine")]) == 1
    assert "mine exists and is no page without a server; choose another folder" in caplog.text
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["picture.png"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "a/b", "--out", "page"], "--out and --float16 are of a page without a server; add --static"),
        (["x/y", "--model", "a/b", "--float16"], "--out and --float16 are of a page without a server; add --static"),
        (["--model", "a/b"], "a Space needs a name; say owner/name first"),
        (["--model", "a/b", "--static"], "a page without a server goes to a Space, owner/name, or to a folder"),
        (["x/y", "--model", "a/b", "--static", "--out", "page"], "a page without a server goes to a Space"),
        (["--model", "a/b", "--model", "c/d", "--static", "--out", "page"], "shows one model, got 2; make a page"),
        (["--model", "lever-unet", "--static", "--out", "page"], "no checkpoint 'lever-unet'"),
    ],
)
def test_what_does_not_go_together_is_a_sentence(
    arguments: list[str], message: str, carried: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(carried.parent)
    assert main(["space", *arguments]) == 1
    assert message in caplog.text
    assert not Path("page").exists()


# --- a Space ------------------------------------------------------------------------------------------------------


def space(built: Path, *arguments: str) -> int:
    """The command, where an installed package carries this page."""
    static.SOURCES, static.CARRIED = built / "no clone", built
    return command("space", *arguments)


def test_a_space_is_one_commit_and_what_an_older_page_left_goes(built: Path, tmp_path: Path) -> None:
    network = network_for(config_for("binary"))
    model = {path.name: path.read_bytes() for path in network.save_pretrained(tmp_path / "checkpoint").iterdir()}
    arguments = (SPACE, "--static", "--model", "someone/liver@v1")
    with HubServer() as server, Client(server.environment(tmp_path / "home", TOKEN)) as client:
        commit = server.push("someone/liver", model, tag="v1")
        assert client.call(command, "space", SPACE, "--model", "someone/liver").given() == 0
        assert "app.py" in server.files(SPACE, kind="space")
        server.push(SPACE, {"mine.txt": "mine"}, kind="space")

        assert client.call(space, built, *arguments, "--private").given() == 0
        files = server.files(SPACE, kind="space")
        assert files.keys() - {".gitattributes"} == {*CODE, *PAGE, README, "mine.txt"}
        assert (said(files)["source"], said(files)["commit"]) == ("someone/liver@v1", commit)
        fields = front_matter(files[README].decode())
        assert (fields["sdk"], fields["models"]) == ("static", ["someone/liver"])
        made = len(server.commits(SPACE, kind="space"))
        assert client.call(space, built, *arguments).given() == 0
        assert len(server.commits(SPACE, kind="space")) == made, "the same again is no commit"

        other = write_built(tmp_path / "other", {"index.html": b"<main></main>", "new.js": b"new()"})
        assert client.call(space, other, *arguments).given() == 0
        assert server.files(SPACE, kind="space").keys() - {".gitattributes"} == {
            *("index.html", "new.js", "mine.txt"),
            *PAGE,
            README,
        }
        assert client.call(command, "space", SPACE, "--model", "someone/liver").given() == 0
        assert not {"index.html", "new.js", *PAGE} & server.files(SPACE, kind="space").keys()

        assert client.call(space, built, "someone/new", *arguments[1:]).given() == 0
        assert server.repo("someone/new", "space").sdk == "static"


@pytest.mark.parametrize("name", ["someone", "https://someone/page"])
def test_a_space_that_can_not_be_is_told_before_anything_is_done(name: str, built: Path, tmp_path: Path) -> None:
    with HubServer() as server, Client(server.environment(tmp_path, TOKEN)) as client:
        server.faults.append(Fault("", hang=True))
        answer = client.call(space, built, name, "--static", "--model", "liver-unet")
        assert answer.given() == 1
        assert answer.output.startswith(f"error: {name!r} is no name of a repo on the hub; expected owner/name")
        assert not server.log


def test_a_space_of_a_model_that_the_hub_lacks_is_not_made(built: Path, tmp_path: Path) -> None:
    with HubServer() as server, Client(server.environment(tmp_path, TOKEN)) as client:
        answer = client.call(space, built, SPACE, "--static", "--model", "someone/lever")
        assert answer.given() == 1
        assert answer.output.startswith("error: the hub has no repo someone/lever")
        assert not server.requests("POST|PUT")
