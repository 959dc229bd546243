"""To the hub, over a real socket: one commit with all that belongs together, or none."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from clients import Client, command
from configs import config_for, network_for
from hub_server import TOKEN, Fault, HubServer

from unetseg import Predictor, UNet
from unetseg.export import as_onnx
from unetseg.files import CONFIG, EXPECTED, ONNX, PICTURE, README, WEIGHTS
from unetseg.hub import companions, model_card
from unetseg.hub.seal import MARKDOWN, is_edited, sealed
from unetseg.hub.upload import Pushed, push
from unetseg.proof import Proof

REPO = "someone/liver"
CARD = """---
license: mit
library_name: unetseg
pipeline_tag: image-segmentation
tags:
- unet
---
![Views](views.png)

    Predictor.from_pretrained("path/to/this/folder")("picture.png")
"""
PAPERS = {
    README: sealed(CARD, MARKDOWN).encode(),
    "calibration.json": b"{}",
    "scores.json": json.dumps({"val": {"miou": 0.75}}).encode(),
    "split.json": json.dumps({"train": {"p1": ["a", "b"]}}).encode(),
    "views.png": bytes(range(256)),
}


@pytest.fixture
def server() -> Iterator[HubServer]:
    with HubServer() as server:
        yield server


@pytest.fixture
def client(server: HubServer, tmp_path: Path) -> Iterator[Client]:
    """One that may write."""
    with Client(server.environment(tmp_path / "home", TOKEN)) as client:
        yield client


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A complete one, with files beside it that do not belong to it."""
    folder = network_for(config_for("binary")).save_pretrained(tmp_path / "my-run")
    for name, data in {**PAPERS, "pytorch_model.bin": b"a pickle", "notes.txt": b"not for you"}.items():
        (folder / name).write_bytes(data)
    return folder


def retrain(folder: Path, by: float = 1.0) -> None:
    """Change the weights of a checkpoint and leave all else."""
    network = UNet.from_pretrained(folder)
    with torch.no_grad():
        network.get_parameter("head.bias").add_(by)
    papers = companions(folder)
    network.save_pretrained(folder)
    for name, data in papers.items():
        (folder / name).write_bytes(data)


def readme(server: HubServer, revision: str = "main") -> str:
    return server.files(REPO, revision)[README].decode()


def state(server: HubServer) -> dict[tuple[str, str], dict[str, str]]:
    """Every branch, tag and pull request of every repo."""
    return {name: dict(repo.refs) for name, repo in server.repos.items()}


# --- what goes up -----------------------------------------------------------------------------------------------


def test_a_push_is_one_commit_with_the_whole_checkpoint_and_the_same_again_is_none(
    server: HubServer, client: Client, checkpoint: Path
) -> None:
    pushed: Pushed = client.call(push, checkpoint, REPO).given()
    assert [commit.title for commit in server.commits(REPO)] == ["Upload my-run with unetseg", "initial commit"]
    assert (pushed.changed, pushed.commit) == (True, server.commits(REPO)[0].oid)
    assert str(pushed) == f"{server.url}/{REPO} at {pushed.commit[:7]}"
    files = server.files(REPO)
    del files[".gitattributes"]
    assert files.keys() == {CONFIG, WEIGHTS, *PAPERS}
    assert all(data == (checkpoint / name).read_bytes() for name, data in files.items() if name != README)
    assert f'Predictor.from_pretrained("{REPO}")' in readme(server)
    assert not is_edited(readme(server), MARKDOWN)
    again: Pushed = client.call(push, checkpoint, REPO).given()
    assert (again.changed, again.commit) == (False, pushed.commit)
    assert str(again).endswith(": it was there already, no commit made")
    assert len(server.commits(REPO)) == 2
    retrain(checkpoint)
    assert client.call(push, checkpoint, REPO, commit_message="Longer").given().changed
    assert [commit.title for commit in server.commits(REPO)][:2] == ["Longer", "Upload my-run with unetseg"]
    assert server.files(REPO)[WEIGHTS] == (checkpoint / WEIGHTS).read_bytes()


def test_from_the_command_line_to_the_hub_and_back(server: HubServer, checkpoint: Path, tmp_path: Path) -> None:
    def run(*arguments: str | Path, home: str, token: str | None = None) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "unetseg", *map(str, arguments)],
            env={**os.environ, **server.environment(tmp_path / home, token)},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        assert TOKEN not in done.stdout + done.stderr
        return done.stderr

    assert f"{server.url}/{REPO} at " in run("push", checkpoint, REPO, "--tag", "liver", home="one", token=TOKEN)
    assert model_card.front_matter(readme(server))["tags"] == ["liver", "unet"]
    assert f"{REPO} at " in run("pull", REPO, tmp_path / "pulled", home="other")
    for name in {CONFIG, WEIGHTS, *PAPERS} - {README}:
        assert (tmp_path / "pulled" / name).read_bytes() == (checkpoint / name).read_bytes()
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and TOKEN.encode() in path.read_bytes()]


def test_what_was_pulled_goes_up_elsewhere_under_its_new_name(
    server: HubServer, client: Client, checkpoint: Path, tmp_path: Path
) -> None:
    client.call(push, checkpoint, REPO).given()
    client.call(command, "pull", REPO, tmp_path / "pulled").given()
    client.call(push, tmp_path / "pulled", "other/liver", tags=["ct"]).given()
    text = server.files("other/liver")[README].decode()
    assert 'from_pretrained("other/liver")' in text
    assert REPO not in text
    assert model_card.front_matter(text)["tags"] == ["ct", "unet"]
    assert not is_edited(text, MARKDOWN)


def test_papers_that_a_newer_checkpoint_has_not_are_deleted_and_other_files_stay(
    server: HubServer, client: Client, checkpoint: Path
) -> None:
    client.call(push, checkpoint, REPO).given()
    server.push(REPO, {"LICENSE": "as you like"})
    (checkpoint / "scores.json").unlink()
    client.call(push, checkpoint, REPO).given()
    assert server.files(REPO).keys() == {".gitattributes", CONFIG, WEIGHTS, "LICENSE", *PAPERS} - {"scores.json"}
    assert len(server.commits(REPO)) == 4


def push_network(folder: Path, repo: str, change: float) -> Pushed:
    network = UNet.from_pretrained(folder)
    with torch.no_grad():
        network.get_parameter("head.bias").add_(change)
    return network.push_to_hub(repo, tags=["mine"])


def test_a_network_takes_its_papers_along_only_while_it_is_the_same(
    server: HubServer, client: Client, checkpoint: Path
) -> None:
    client.call(push_network, checkpoint, "someone/same", 0.0).given()
    client.call(push_network, checkpoint, "someone/changed", 0.5).given()
    assert server.files("someone/same").keys() == {".gitattributes", CONFIG, WEIGHTS, *PAPERS}
    files = server.files("someone/changed")
    assert files.keys() == {".gitattributes", CONFIG, WEIGHTS, README}
    assert files[WEIGHTS] != (checkpoint / WEIGHTS).read_bytes()
    fields = model_card.front_matter(files[README].decode())
    assert (fields["license"], fields["tags"]) == ("other", ["mine", "image-segmentation", "unet"])
    assert server.commits("someone/changed")[0].title == "Upload changed with unetseg"


def push_from_the_hub(name: str, repo: str) -> Pushed:
    return UNet.from_pretrained(name).push_to_hub(repo)


def test_a_model_of_the_hub_keeps_its_papers_wherever_it_is_pushed(
    server: HubServer, client: Client, checkpoint: Path, tmp_path: Path
) -> None:
    client.call(push, checkpoint, REPO).given()
    before = dict(server.repo(REPO).refs)
    for number, again in enumerate(((push_from_the_hub,), (command, "push"))):
        with Client(server.environment(tmp_path / f"other{number}", TOKEN)) as fresh:  # with nothing in its cache
            fresh.call(*again, REPO, REPO).given()
        assert server.repo(REPO).refs == before
        with Client(server.environment(tmp_path / f"third{number}", TOKEN)) as fresh:
            fresh.call(*again, REPO, f"other/liver{number}").given()
        assert server.files(f"other/liver{number}").keys() == server.files(REPO).keys()


# --- where it goes ----------------------------------------------------------------------------------------------


def test_a_branch_is_made_and_a_pull_request_leaves_main(server: HubServer, client: Client, checkpoint: Path) -> None:
    first = client.call(push, checkpoint, REPO).given().commit
    retrain(checkpoint)
    tried = client.call(push, checkpoint, REPO, branch="tried/more").given()
    retrain(checkpoint)
    proposed = client.call(push, checkpoint, REPO, create_pr=True).given()
    assert proposed.changed
    assert proposed.url == f"{server.url}/{REPO}/discussions/1"
    assert server.repo(REPO).refs == {
        "refs/heads/main": first,
        "refs/heads/tried/more": tried.commit,
        "refs/pr/1": proposed.commit,
    }
    assert server.files(REPO, "refs/pr/1")[WEIGHTS] == (checkpoint / WEIGHTS).read_bytes()
    assert client.call(push, checkpoint, REPO, branch="tried/more").given().changed
    assert len(server.commits(REPO, "tried/more")) == 4


@pytest.mark.parametrize("private", [True, False, None])
def test_a_repo_is_as_private_as_it_was_asked_for(
    server: HubServer, client: Client, checkpoint: Path, private: bool | None
) -> None:
    client.call(push, checkpoint, REPO, private=private).given()
    assert server.repo(REPO).private is (private is True)


def test_without_a_token_that_may_write_nothing_is_made(server: HubServer, checkpoint: Path, tmp_path: Path) -> None:
    with Client(server.environment(tmp_path / "home")) as client:
        message = client.call(push, checkpoint, REPO).refused(PermissionError)
        assert "log in with `hf auth login`" in message
        assert not server.log
        answer = client.call(push, checkpoint, REPO, token="hf_another")
        assert "log in with `hf auth login`" in answer.refused(PermissionError)
        assert "hf_another" not in f"{answer.error} {answer.output}"
        assert not server.repos
        assert client.call(push, checkpoint, REPO, token=TOKEN).given().changed
    assert not any(request.authorized for request in server.requests("/storage/"))


@pytest.mark.parametrize("name", ["liver", "a/b/c", f"{REPO}@v1", "a--b/c"])
def test_what_is_no_name_of_a_repo_is_refused(server: HubServer, client: Client, checkpoint: Path, name: str) -> None:
    assert name.partition("@")[0] in client.call(command, "push", checkpoint, name).output
    assert client.call(command, "push", checkpoint, name).given() == 1
    assert not server.requests("POST|PUT")


# --- the card ---------------------------------------------------------------------------------------------------


def test_a_card_that_was_edited_on_the_hub_is_not_lost(server: HubServer, client: Client, checkpoint: Path) -> None:
    client.call(push, checkpoint, REPO).given()
    edited = readme(server).replace("![Views]", "Read this first.\n\n![Views]")
    server.push(REPO, {README: edited})
    retrain(checkpoint)
    before = state(server)
    message = client.call(push, checkpoint, REPO).refused(ValueError)
    assert message.startswith(f"the README.md of {REPO} was edited there and would be lost; ")
    assert state(server) == before
    (checkpoint / README).write_text(edited)  # its changes taken over, as the sentence says
    assert client.call(push, checkpoint, REPO).given().changed
    assert readme(server) == edited
    (checkpoint / README).write_bytes(PAPERS[README])
    client.call(push, checkpoint, REPO).refused(ValueError)
    assert client.call(command, "push", checkpoint, REPO, "--overwrite-card").given() == 0
    assert "Read this first" not in readme(server)


def test_a_readme_that_is_no_text_is_named(server: HubServer, client: Client, checkpoint: Path) -> None:
    (checkpoint / README).write_bytes(CARD.replace("Views", "Aufsätze").encode("latin-1"))
    assert client.call(push, checkpoint, REPO).refused(ValueError) == (
        f"{checkpoint / README} is not UTF-8 text; save it as UTF-8"
    )
    assert not server.requests("POST|PUT")


def test_a_card_that_the_hub_would_refuse_stops_a_push_before_it_begins(
    server: HubServer, client: Client, checkpoint: Path
) -> None:
    (checkpoint / README).write_text(CARD.replace("license: mit", "license: nonsense"))
    assert "names the license 'nonsense'" in client.call(push, checkpoint, REPO).refused(ValueError)
    (checkpoint / README).write_bytes(PAPERS[README])
    (checkpoint / WEIGHTS).write_bytes(b"half")
    assert "not a whole safetensors file" in client.call(push, checkpoint, REPO).refused(ValueError)
    assert not server.log


# --- what goes wrong --------------------------------------------------------------------------------------------


def test_a_commit_of_somebody_else_in_between_is_not_overwritten(
    server: HubServer, client: Client, checkpoint: Path
) -> None:
    client.call(push, checkpoint, REPO).given()
    retrain(checkpoint)
    server.faults.append(Fault("POST .*/commit/", wait=0.4))
    asked = len(server.log)
    client.begin(push, checkpoint, REPO)
    while not any(request.matches("POST .*/commit/") for request in server.log[asked:]):
        time.sleep(0.01)
    theirs = server.push(REPO, {"scores.json": "theirs"})
    message = client.end().refused(ValueError)
    assert message == f"{REPO} was changed by someone else meanwhile; nothing was written, look at it and try again"
    assert server.commits(REPO)[0].oid == theirs
    assert client.call(push, checkpoint, REPO).given().changed


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (Fault("POST .*/commit/", cut_request=0, reset=True), f"the connection to the hub broke off at {REPO} ("),
        (Fault("POST .*/commit/", status=503), f"the hub has trouble with {REPO} (503); nothing was changed"),
        (Fault("POST .*/commit/", status=400), f"the hub refused this for {REPO} (400: fault 400)"),
        (Fault("PUT /storage/", cut_request=100), f"the connection to the hub broke off at {REPO} ("),
        (Fault("PUT /storage/", status=503), "the hub "),
    ],
)
def test_a_push_that_breaks_off_leaves_the_repo_as_it_was(
    server: HubServer, checkpoint: Path, tmp_path: Path, fault: Fault, message: str
) -> None:
    server.push(REPO, {"notes.txt": "here before"})
    before = state(server)
    server.faults.append(fault)
    with Client(server.environment(tmp_path / "home", TOKEN), hurry=True) as client:
        answer = client.call(push, checkpoint, REPO)
        assert answer.error is not None
        name, _, sentence = answer.error.partition(": ")
        assert name in ("ConnectionError", "ValueError")
        assert message in sentence
        assert len(sentence.splitlines()) == 1
        assert TOKEN not in f"{answer.error} {answer.output}"
        assert fault.count
        assert state(server) == before
        server.faults.clear()
        assert client.call(push, checkpoint, REPO).given().changed


def test_an_upload_that_breaks_off_once_is_tried_again(server: HubServer, checkpoint: Path, tmp_path: Path) -> None:
    server.faults.append(Fault("PUT /storage/", cut_request=100, times=1))
    with Client(server.environment(tmp_path / "home", TOKEN), hurry=True) as client:
        assert client.call(push, checkpoint, REPO).given().changed
    assert len(server.requests("PUT /storage/")) == 2
    assert server.files(REPO)[WEIGHTS] == (checkpoint / WEIGHTS).read_bytes()


def test_no_hub_is_one_sentence(server: HubServer, client: Client, checkpoint: Path) -> None:
    server.close()
    message = client.call(push, checkpoint, REPO).refused(ConnectionError)
    assert message.startswith(f"the connection to the hub broke off at {REPO} (ConnectionRefusedError: ")


# --- what proves it, and what runs elsewhere --------------------------------------------------------------------


def test_the_test_picture_and_the_onnx_file_go_up_and_the_picture_comes_back(
    server: HubServer, client: Client, checkpoint: Path, tmp_path: Path
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (24, 24), dtype=np.uint8)
    file = io.BytesIO()
    PIL.Image.fromarray(pixels).save(file, "PNG")
    found = Predictor.from_pretrained(checkpoint, device="cpu", precision="float32")(pixels)
    proof = Proof(file.getvalue(), found.labels()[0], found.probabilities[0].numpy())
    for name, data in proof.files((checkpoint / WEIGHTS).read_bytes()).items():
        (checkpoint / name).write_bytes(data)
    assert client.call(command, "push", checkpoint, REPO, "--onnx").given() == 0
    files = server.files(REPO)
    assert files.keys() == {".gitattributes", CONFIG, WEIGHTS, ONNX, PICTURE, EXPECTED, *PAPERS}
    assert files[ONNX] == as_onnx(UNet.from_pretrained(checkpoint))
    assert client.call(command, "verify", REPO, "--only", "float32").given() == 0
    assert "test picture: 24 x 24 pixels" in client.call(command, "info", REPO).output
    assert client.call(command, "pull", REPO, tmp_path / "pulled").given() == 0
    assert sorted(path.name for path in (tmp_path / "pulled").iterdir()) == sorted({*files} - {".gitattributes", ONNX})
    answer = client.call(command, "verify", REPO, "--write")
    assert answer.given() == 1
    assert "lies in the cache of the hub; pull it to a folder, and name that one" in answer.output
    retrain(checkpoint)  # an old file would be another network than the weights beside it
    client.call(push, checkpoint, REPO).given()
    assert ONNX not in server.files(REPO)
