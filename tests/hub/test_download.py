"""From the hub, over a real socket: models by name and revision, strict, offline, and whole whatever breaks off."""

from __future__ import annotations

import contextlib
import http.server
import json
import pickle
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from clients import Client, Opened, command, open_model, opened
from configs import config_for, network_for
from hub_server import TOKEN, Fault, HubServer
from safetensors.torch import save

from unetseg import SegmentationConfig, UNet, hub
from unetseg.files import CONFIG, GATE, WEIGHTS
from unetseg.fitting import Recipe, fit
from unetseg.fitting.data.folder import find_examples, pictures_by_split
from unetseg.gate import Gate, features, fitted
from unetseg.hub import download
from unetseg.samples import write_samples

MODEL = "someone/liver"
FOR_WEIGHTS = r"(GET|HEAD) (/storage/|.*\.safetensors$)"
CARD = """---
license: mit
library_name: unetseg
pipeline_tag: image-segmentation
tags:
- unet
---
![Views](views.png) and one that is not there: ![none](none.png)
"""
SAMPLES = Path(__file__).parents[2] / "training" / "recipes" / "samples.toml"
Files = dict[str, bytes | str | None]
PAPERS: Files = {
    "README.md": CARD,
    "calibration.json": "{}",
    "scores.json": json.dumps({"val": {"mean_group_dice": 0.8125, "miou": None}}),
    "split.json": json.dumps({"train": {"p1": ["a", "b"], "p2": ["c"]}}),
    "views.png": bytes(range(256)),
}


def network(change: float = 0.0, *, threshold: float = 0.5) -> UNet:
    """A tiny network; another one for another change."""
    result = network_for(config_for("binary", thresholds=(threshold,)))
    with torch.no_grad():
        result.get_parameter("head.bias").add_(change)
    return result


def files(network: UNet) -> Files:
    """Config and weights as they are saved."""
    return {CONFIG: network.config.to_json(), WEIGHTS: save(network.state_dict())}


@pytest.fixture
def server() -> Iterator[HubServer]:
    with HubServer() as server:
        yield server


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def client(server: HubServer, home: Path) -> Iterator[Client]:
    with Client(server.environment(home)) as client:
        yield client


def same(result: Opened, expected: UNet) -> bool:
    return result.config == expected.config and np.array_equal(result.logits, opened(expected).logits)


def content(folder: Path) -> dict[str, bytes]:
    """Every file below a folder by its path, links left out."""
    paths = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def blob(home: Path, name: str) -> Path:
    """The file in the cache that a name of the one model there is a link to."""
    (link,) = (home / "hub").glob(f"models--*/snapshots/*/{name}")
    return link.resolve()


# --- what is got ------------------------------------------------------------------------------------------------


def test_a_pulled_model_is_the_pushed_one_and_nothing_else_of_the_repo_is_got(
    server: HubServer, client: Client, tmp_path: Path
) -> None:
    other: Files = {"pytorch_model.bin": b"a pickle", "notes.txt": "hello", "unshown.png": b"\x89"}
    server.push(MODEL, files(network()) | PAPERS | other)
    folder = tmp_path / "pulled"
    assert client.call(command, "pull", MODEL, folder).given() == 0
    wanted = {name: data for name, data in server.files(MODEL).items() if name not in (".gitattributes", *other)}
    assert content(folder) == wanted
    assert wanted.keys() == {CONFIG, WEIGHTS, *PAPERS}
    assert not server.requests("|".join(other))
    assert np.array_equal(opened(UNet.from_pretrained(folder)).logits, opened(network()).logits)
    assert same(client.call(open_model, MODEL).given(), network())


def test_to_open_a_model_takes_two_files_and_is_told_once(server: HubServer, client: Client, home: Path) -> None:
    commit = server.push(MODEL, files(network()) | PAPERS)
    result: Opened = client.call(open_model, MODEL).given()
    assert same(result, network())
    assert result.source is not None
    assert str(result.source) == f"{MODEL} at {commit[:7]}"
    assert (result.source.commit, result.source.notice) == (commit, None)
    assert sorted(path.name for path in result.source.folder.iterdir()) == [CONFIG, WEIGHTS]
    assert result.source.folder.is_relative_to(home)
    asked = len(server.log)
    client.call(open_model, MODEL).given()
    assert [f"{request.method} {request.path}" for request in server.log[asked:]] == [
        f"GET /api/models/{MODEL}/revision/main"
    ]


def test_a_gate_comes_with_the_weights(server: HubServer, client: Client, tmp_path: Path) -> None:
    good = files(network())
    weights = good[WEIGHTS]
    assert isinstance(weights, bytes)
    gate = fitted(torch.rand(30, features(network().config)), torch.rand(1, 7)).save(weights)
    server.push(MODEL, good | {GATE: gate} | PAPERS)
    result: Opened = client.call(open_model, MODEL).given()
    assert result.source is not None
    assert sorted(path.name for path in result.source.folder.iterdir()) == [CONFIG, GATE, WEIGHTS]
    assert client.call(command, "pull", MODEL, tmp_path / "pulled").given() == 0
    assert (tmp_path / "pulled" / GATE).read_bytes() == gate
    assert Gate.load(tmp_path / "pulled", network().config) is not None
    assert "gate: 30 windows of training pictures, no limit" in client.call(command, "info", MODEL).output
    server.push(MODEL, {GATE: bytes(2_000_001)})
    answer = client.call(command, "pull", MODEL)
    assert answer.given() == 1
    assert answer.output == f"error: {MODEL}: gate.safetensors has 2,000,001 bytes, expected at most 2,000,000\n"


def test_info_says_what_a_model_is_and_how_good(server: HubServer, client: Client) -> None:
    commit = server.push(MODEL, files(network()) | PAPERS)
    answer = client.call(command, "info", MODEL)
    assert answer.given() == 0
    assert f"{MODEL} at {commit[:7]} in " in answer.output
    for line in ("labels: 0 background, 1 liver", "license: mit", "pictures: 3 pictures of 2 groups (train)"):
        assert line in answer.output
    assert "scores (val): mean group dice 0.812" in answer.output
    assert "progress" not in answer.output


def test_a_model_says_itself_which_pictures_it_was_trained_on(
    server: HubServer, client: Client, tmp_path: Path
) -> None:
    """To `evaluate` and to `--init`, which get its split.json for that."""
    data = tmp_path / "data"
    write_samples(data, "ct", count=10, size=32)
    small = {"model.widths": "[4, 8]", "model.working_size": "32", "train.crop": "32", "train.epochs": "1"}
    recipe = Recipe.from_file(SAMPLES, small)
    known = pictures_by_split([replace(e, split="train") for e in find_examples(recipe.data, data, 0)])
    other = "someone/other"  # what is got for one of them is not there for the other
    for name in (MODEL, other):
        server.push(name, files(network()) | {"split.json": json.dumps(known)})
    answer = client.call(command, "evaluate", MODEL, "--recipe", SAMPLES, "--data", data, "--split", "val")
    assert answer.given() == 0
    assert f"{MODEL} was trained on 2 of these pictures, so the scores flatter" in answer.output
    answer = client.call(fit, recipe, data, tmp_path / "run", init=other, device="cpu")
    assert answer.given() == tmp_path / "run" / "checkpoint"
    assert f"--init {other} was trained on 2 of the pictures that are scored here" in answer.output


# --- names and revisions ----------------------------------------------------------------------------------------


def test_a_revision_gives_its_own_weights_and_its_own_config(server: HubServer, client: Client) -> None:
    old, new, tried = network(threshold=0.3), network(1.0), network(2.0)
    first = server.push(MODEL, files(old), tag="v1")
    server.push(MODEL, files(new))
    server.repo(MODEL).refs["refs/heads/tried/more"] = server.commits(MODEL)[0].oid
    server.push(MODEL, files(tried), branch="tried/more")
    for expected, name, keywords in (
        (new, MODEL, {}),
        (old, f"{MODEL}@v1", {}),
        (old, MODEL, {"revision": "v1"}),
        (old, f"{MODEL}@v1", {"revision": "v1"}),
        (old, f"{MODEL}@{first}", {}),
        (tried, f"{MODEL}@tried/more", {}),
    ):
        assert same(client.call(open_model, name, **keywords).given(), expected), (name, keywords)
    asked = len(server.log)
    message = client.call(open_model, f"{MODEL}@v1", revision="main").refused(ValueError)
    assert message == "'someone/liver@v1' and revision 'main' name two revisions; leave one of them out"
    assert len(server.log) == asked


def test_a_branch_that_moved_is_got_anew_and_stays_without_the_hub(
    server: HubServer, client: Client, home: Path
) -> None:
    server.push(MODEL, files(network()))
    assert same(client.call(open_model, MODEL).given(), network())
    server.push(MODEL, files(network(1.0)))
    assert same(client.call(open_model, MODEL).given(), network(1.0))
    assert same(client.call(open_model, MODEL, local_files_only=True).given(), network(1.0))


def test_what_the_hub_has_not_is_one_sentence(server: HubServer, client: Client) -> None:
    server.push(MODEL, files(network()))
    message = client.call(open_model, f"{MODEL}@v9").refused(ValueError)
    assert message == f"{MODEL} has no revision 'v9'; name a branch, a tag or a commit of it"
    message = client.call(open_model, "someone/lever").refused(FileNotFoundError)
    assert message.startswith("the hub has no repo someone/lever that this login may see, and there is no such folder")
    message = client.call(open_model, "a--b/c").refused(ValueError)
    assert message == "'a--b/c' is no name of a repo on the hub; expected owner/name"


@pytest.mark.parametrize("revision", ["../../refs", "a/../b", "/v1", "-v1", "v1 v2"])
def test_a_revision_never_leaves_the_cache(revision: str) -> None:
    with pytest.raises(ValueError, match=r"is no revision; name a branch, a tag or a commit hash$"):
        download.parse(MODEL, revision)


@pytest.mark.parametrize("name", ["liver", "a/b/c", "a/b@", "../b", "/a/b", "a/", "https://a/b", "a b/c", "a/b c"])
def test_what_is_no_name_of_a_repo_is_not_asked_for(name: str) -> None:
    assert download.parse(name) is None
    with pytest.raises(FileNotFoundError, match=r"expected a folder with .*, or owner/name on the hub$"):
        hub.find(name)


def test_a_folder_here_comes_before_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    network().save_pretrained(Path(MODEL))
    source = hub.find(MODEL)
    assert (source.folder, source.commit, str(source)) == (Path(MODEL), None, MODEL)
    with pytest.raises(ValueError, match=r"is a folder here and has no revision 'v1'; leave revision out$"):
        hub.find(MODEL, revision="v1")


# --- who may see it ---------------------------------------------------------------------------------------------


def test_a_private_model_needs_the_token_and_the_token_stays_where_it_is(server: HubServer, tmp_path: Path) -> None:
    home, told = tmp_path / "home", []
    server.push(MODEL, files(network()) | PAPERS, private=True)
    with Client(server.environment(home)) as client:
        told += [client.call(open_model, MODEL), client.call(open_model, MODEL, token="hf_another")]
        assert told[0].refused(FileNotFoundError).endswith("or log in with `hf auth login` or HF_TOKEN")
        assert "log in" in told[1].refused(PermissionError)
        assert not (home / "hub").exists()
        told.append(client.call(open_model, MODEL, token=TOKEN, cache_dir=tmp_path / "cache"))
        assert same(told[-1].given(), network())
    with Client(server.environment(home, TOKEN)) as client:
        for fault in (Fault("GET /storage/", status=404), Fault("GET .*/README.md", status=503)):
            server.faults = [fault]
            told.append(client.call(command, "pull", MODEL, tmp_path / "pulled"))
            assert told[-1].given() == 1
        server.faults.clear()
        told += [client.call(command, "pull", MODEL, tmp_path / "pulled"), client.call(command, "info", MODEL)]
        assert told[-1].given() == told[-2].given() == 0
    assert all(TOKEN not in f"{answer.error} {answer.output} {answer.value}" for answer in told)
    assert not [name for name, data in content(tmp_path).items() if TOKEN.encode() in data]
    assert any(request.authorized for request in server.requests("/resolve/"))
    assert not any(request.authorized for request in server.requests("/storage/"))


def test_the_hubs_own_login_opens_a_private_model(server: HubServer, client: Client, home: Path) -> None:
    server.push(MODEL, files(network()), private=True)
    home.mkdir()
    (home / "token").write_text(TOKEN)
    assert same(client.call(open_model, MODEL).given(), network())
    client.call(open_model, MODEL, token=False, force_download=True).refused(FileNotFoundError)


# --- hostile repos ----------------------------------------------------------------------------------------------

GOOD = files(network())
FIELDS = json.loads(network().config.to_json())
STORED = network().state_dict()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({CONFIG: None}, f"{MODEL} has no config.json, so it is no checkpoint of unetseg"),
        ({WEIGHTS: None}, f"{MODEL} has no model.safetensors, so it is no checkpoint of unetseg"),
        (
            {WEIGHTS: None, "pytorch_model.bin": pickle.dumps({})},
            "so it is no checkpoint of unetseg; pytorch_model.bin is a pickle, which is never opened",
        ),
        ({CONFIG: "{" + " " * 1_000_000 + "}"}, "config.json has 1,000,002 bytes, expected at most 1,000,000"),
        ({CONFIG: "no JSON"}, "config.json is not a readable JSON file"),
        ({CONFIG: json.dumps({**FIELDS, "treshold": 0.4})}, "unknown field 'treshold'; did you mean 'thresholds'?"),
        ({CONFIG: json.dumps({**FIELDS, "format": 7})}, "has format 7, this unetseg reads formats up to 2"),
        ({CONFIG: json.dumps({**FIELDS, "widths": [1024] * 7})}, "parameters, expected at most 100,000,000"),
        ({WEIGHTS: bytes(1_200_000)}, "model.safetensors has 1,200,000 bytes, expected at most 1,0"),
    ],
)
def test_the_weights_of_a_repo_that_is_no_model_are_never_got(
    server: HubServer, client: Client, changes: dict[str, bytes | str | None], message: str
) -> None:
    server.push(MODEL, {name: data for name, data in {**GOOD, **changes}.items() if data is not None})
    answer = client.call(command, "pull", MODEL)
    assert answer.given() == 1
    assert message in answer.output
    assert len(answer.output.splitlines()) == 1
    assert not server.requests(FOR_WEIGHTS)
    assert not server.requests("pytorch_model")


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (save(STORED)[:-7], "is not a whole safetensors file"),
        (pickle.dumps({}), "is not a whole safetensors file"),
        (save({**STORED, "head.bias": torch.zeros(2)}), "head.bias is float32 (2,), expected float32 (1,)"),
        (save({**STORED, "tail": torch.zeros(2)}), "has unknown 1 of the network's weights, first 'tail'"),
    ],
)
def test_weights_that_do_not_fit_are_refused(server: HubServer, client: Client, weights: bytes, message: str) -> None:
    server.push(MODEL, {**GOOD, WEIGHTS: weights})
    assert message in client.call(open_model, MODEL).refused(ValueError)


@pytest.mark.parametrize("name", ["scores.json", "split.json"])
def test_papers_that_no_run_wrote_are_told_not_shown(server: HubServer, client: Client, name: str) -> None:
    server.push(MODEL, GOOD | PAPERS | {name: b"[\xff]"})
    server.push("someone/other", GOOD | PAPERS | {name: "[1, 2]"})
    for repo in (MODEL, "someone/other"):
        answer = client.call(command, "info", repo)
        assert answer.given() == 1
        assert name in answer.output
        assert len(answer.output.splitlines()) == 1


def test_a_readme_of_ones_own_need_not_name_a_license(server: HubServer, client: Client) -> None:
    server.push(MODEL, GOOD | PAPERS | {"README.md": b"[\xff]"})
    answer = client.call(command, "info", MODEL)
    assert answer.given() == 0
    assert "scores (val)" in answer.output
    assert "license" not in answer.output


def test_a_readme_can_neither_be_endless_nor_take_endless_time(server: HubServer, client: Client) -> None:
    server.push(MODEL, GOOD | {"README.md": "![" * 100_000})
    answer = client.call(command, "pull", MODEL)
    assert answer.given() == 0
    assert answer.seconds < 5
    server.push(MODEL, {"README.md": "x" * 20_000_001})
    answer = client.call(command, "pull", MODEL)
    assert answer.given() == 1
    assert answer.output == f"error: {MODEL}: README.md has 20,000,001 bytes, expected at most 20,000,000\n"


# --- what breaks off --------------------------------------------------------------------------------------------


def test_a_download_that_breaks_off_goes_on_where_it_ended(server: HubServer, home: Path) -> None:
    server.push(MODEL, GOOD)
    server.faults.append(Fault("GET /storage/", cut_response=3000, times=1))
    with Client(server.environment(home), hurry=True, chunk=1000) as client:
        assert same(client.call(open_model, MODEL).given(), network())
    assert [request.range for request in server.requests("GET /storage/")] == [None, "bytes=3000-"]


def test_when_the_hub_dies_in_a_download_no_half_model_stays(tmp_path: Path) -> None:
    with HubServer() as first:
        first.push(MODEL, GOOD)
        first.faults += [Fault("GET /storage/", cut_response=3000, times=1), Fault("GET /storage/", hang=True)]
        with Client(first.environment(tmp_path), hurry=True, chunk=1000) as client:
            client.begin(open_model, MODEL)
            while len(first.requests("GET /storage/")) < 2:
                time.sleep(0.01)
            first.close()
            answer = client.end()
            message = answer.refused(ConnectionError)
            assert f"the connection to the hub broke off at {MODEL} (" in message
            assert message.endswith("; try again, what is whole is kept")
            assert "Traceback" not in answer.output
            assert not [name for name in content(tmp_path) if name.endswith(".incomplete")]
            assert not list(tmp_path.rglob(WEIGHTS))
            client.call(open_model, MODEL, local_files_only=True).refused(FileNotFoundError)
    with HubServer() as second:
        second.push(MODEL, GOOD)
        with Client(second.environment(tmp_path)) as client:
            assert same(client.call(open_model, MODEL).given(), network())
        assert not second.requests("GET .*/config.json")


def test_a_file_that_ends_early_or_goes_away_is_one_sentence(server: HubServer, home: Path) -> None:
    server.push(MODEL, GOOD)
    with Client(server.environment(home), hurry=True) as client:
        for pattern, message in (
            (r"HEAD .*\.safetensors", f"{MODEL} could not be got whole ("),
            ("GET /storage/", f"the hub refused this for {MODEL} (404: fault 404)"),
        ):
            server.faults = [Fault(pattern, status=404)]
            answer = client.call(open_model, MODEL)
            assert answer.error is not None
            assert message in answer.error
            assert len(answer.error.splitlines()) == 1
        server.faults = [Fault(r"HEAD .*\.safetensors", status=404)]
        client.call(open_model, MODEL, force_download=True).refused(ConnectionError)
        server.faults.clear()
        stored = server.objects
        server.objects = {name: data[:-10] for name, data in stored.items()}
        assert "try again" in client.call(open_model, MODEL).refused(ConnectionError)
        server.objects = stored
        assert same(client.call(open_model, MODEL).given(), network())


def test_two_processes_get_the_same_model_at_once(server: HubServer, home: Path) -> None:
    server.push(MODEL, GOOD)
    server.faults.append(Fault("GET /storage/", wait=0.3))
    with Client(server.environment(home)) as one, Client(server.environment(home)) as other:
        one.begin(open_model, MODEL)
        other.begin(open_model, MODEL)
        assert same(one.end().given(), network())
        assert same(other.end().given(), network())
    assert len(list((home / "hub").glob("models--*/blobs/*"))) == 2


# --- the cache --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [CONFIG, WEIGHTS])
def test_a_damaged_file_in_the_cache_is_named_and_can_be_got_again(
    server: HubServer, client: Client, home: Path, name: str
) -> None:
    server.push(MODEL, GOOD)
    client.call(open_model, MODEL).given()
    path = blob(home, name)
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)
    for keywords in ({}, {"local_files_only": True}):
        message = client.call(open_model, MODEL, **keywords).refused(ValueError)
        assert f"{name} is damaged: its content is not what the hub sent; get it again with force_download" in message
    if name == CONFIG:
        assert client.call(command, "pull", MODEL, "--force").given() == 0
    assert same(client.call(open_model, MODEL, force_download=name == WEIGHTS).given(), network())


def test_a_store_that_several_repos_share_is_no_damage(server: HubServer, client: Client, home: Path) -> None:
    """As the hub's client keeps what it got by its faster protocol: a blob is a link to a file of another name."""
    server.push(MODEL, GOOD)
    client.call(open_model, MODEL).given()
    path = blob(home, WEIGHTS)
    shared = home / "hub" / "blobs" / "ab" / ("ab" * 32)
    shared.parent.mkdir(parents=True)
    path.rename(shared)
    path.symlink_to(shared)
    assert same(client.call(open_model, MODEL).given(), network())
    shared.write_bytes(shared.read_bytes()[:-1] + b"?")
    assert "model.safetensors is damaged" in client.call(open_model, MODEL).refused(ValueError)


# --- offline ----------------------------------------------------------------------------------------------------


@pytest.fixture
def cached(server: HubServer, home: Path) -> str:
    """The commit of a model that is in the cache, got by a process that has ended."""
    commit = server.push(MODEL, GOOD, tag="v1")
    with Client(server.environment(home)) as client:
        client.call(open_model, MODEL).given()
        client.call(open_model, f"{MODEL}@v1").given()
    server.log.clear()
    return commit


def test_a_cached_commit_opens_without_any_question(server: HubServer, client: Client, cached: str) -> None:
    source = client.call(open_model, f"{MODEL}@{cached}").given().source
    assert (source.commit, source.notice) == (cached, None)
    assert not server.log


@pytest.mark.parametrize("way", ["HF_HUB_OFFLINE", "local_files_only"])
def test_offline_the_hub_is_never_asked(server: HubServer, home: Path, cached: str, way: str) -> None:
    environment = server.environment(home) | ({"HF_HUB_OFFLINE": "1"} if way == "HF_HUB_OFFLINE" else {})
    keywords = {"local_files_only": way == "local_files_only"}
    with Client(environment) as client:
        for name in (MODEL, f"{MODEL}@v1", f"{MODEL}@{cached}"):
            result = client.call(open_model, name, **keywords).given()
            assert same(result, network())
            assert (result.source.commit, result.source.notice) == (cached, None)
        for name in ("someone/other", f"{MODEL}@v2"):
            message = client.call(open_model, name, **keywords).refused(FileNotFoundError)
            assert message.startswith(f"{name} is not in the cache and the hub may not be asked")
            assert message.endswith("get it once with a network, or copy its folder here")
        message = client.call(open_model, MODEL, force_download=True, **keywords).refused(FileNotFoundError)
        assert message.startswith(f"{MODEL} is to be got anew and the hub may not be asked")
    assert not server.log


@pytest.mark.parametrize("name", [MODEL, f"{MODEL}@v1"])
def test_when_the_hub_hangs_the_cache_serves_after_two_seconds_and_says_so(
    server: HubServer, client: Client, cached: str, name: str
) -> None:
    server.faults.append(Fault("", hang=True))
    answer = client.call(open_model, name)
    result = answer.given()
    assert same(result, network())
    assert result.source.commit == cached
    notice = f"the hub can't be reached (no answer within 2 seconds): {name} is the cached commit {cached[:7]}"
    assert result.source.notice == notice
    assert answer.output == f"note: {notice}\n"
    assert answer.seconds < 4


def test_when_the_hub_is_gone_the_cache_serves_at_once(server: HubServer, client: Client, cached: str) -> None:
    for status in (503, 429):
        server.faults = [Fault("", status=status)]
        assert f"(it answered {status})" in client.call(open_model, MODEL).given().source.notice
    server.close()
    answer = client.call(open_model, MODEL)
    assert same(answer.given(), network())
    assert "note: the hub can't be reached" in answer.output
    assert answer.seconds < 2


@pytest.mark.parametrize("trouble", ["refuses", "hangs", "is closed"])
def test_nothing_cached_and_no_hub_ends_soon_with_a_sentence(server: HubServer, client: Client, trouble: str) -> None:
    server.push(MODEL, GOOD)
    server.faults.append(Fault("", hang=trouble == "hangs", status=503 if trouble == "refuses" else None))
    if trouble == "is closed":
        server.close()
    answer = client.call(open_model, MODEL)
    message = answer.refused(ConnectionError)
    assert message.startswith(f"{MODEL} is not in the cache and the hub can't be reached (")
    assert message.endswith("); try again with a network, or copy its folder here")
    assert answer.seconds < 5


@contextlib.contextmanager
def portal() -> Iterator[str]:
    """The address of what answers all questions with a page to log in, as networks of hotels and clinics do."""

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!doctype html><title>Welcome</title>")

        do_POST = do_HEAD = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_what_answers_but_is_no_hub_is_told_from_one(server: HubServer, home: Path, cached: str) -> None:
    with portal() as address, Client(server.environment(home) | {"HF_ENDPOINT": address}) as client:
        assert same(client.call(open_model, MODEL).given(), network())
        message = client.call(open_model, "someone/other").refused(ConnectionError)
        assert "the hub can't be reached (what answered is no hub" in message


def test_configs_are_compared_as_they_are() -> None:
    """So that `same` in this file is worth something."""
    assert network(threshold=0.3).config != network().config
    assert isinstance(network().config, SegmentationConfig)
    assert not same(opened(network(1.0)), network())
