"""The Space that shows the page: its files, its one commit, and the models that it may name."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest
from clients import Client, command, offered, offered_by
from configs import config_for, network_for
from hub_server import TOKEN, Fault, HubServer
from safetensors.torch import save

import unetseg
from unetseg import demo, hub
from unetseg.files import CONFIG, README, WEIGHTS
from unetseg.hub.model_card import front_matter
from unetseg.hub.seal import MARKDOWN, is_edited
from unetseg.hub.space import PACKAGES, READERS, make_space, space_files
from unetseg.hub.upload import Pushed

PACKAGE = Path(unetseg.__file__).parent
SPACE = "someone/page"
MODELS = ["someone/liver@v1", "other/liver"]


def model(kind: str) -> dict[str, bytes | str]:
    network = network_for(config_for(kind))
    return {CONFIG: network.config.to_json(), WEIGHTS: save(network.state_dict())}


@pytest.fixture
def server() -> Iterator[HubServer]:
    """A hub with MODELS."""
    with HubServer() as server:
        server.push("someone/liver", model("binary"), tag="v1")
        server.push("other/liver", model("multiclass"))
        yield server


@pytest.fixture
def client(server: HubServer, tmp_path: Path) -> Iterator[Client]:
    with Client(server.environment(tmp_path / "home", TOKEN)) as client:
        yield client


# --- its files --------------------------------------------------------------------------------------------------


def test_a_space_has_the_whole_package_and_nothing_else_of_the_clone() -> None:
    files = space_files(SPACE, MODELS)
    package = {path for path in PACKAGE.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    texts = {README, "app.py", "requirements.txt"}
    assert files.keys() == texts | {f"unetseg/{path.relative_to(PACKAGE).as_posix()}" for path in package}
    assert all(files[f"unetseg/{path.relative_to(PACKAGE).as_posix()}"] == path.read_bytes() for path in package)


def test_its_requirements_are_what_is_installed_here_and_can_be_got_anywhere() -> None:
    lines = space_files(SPACE, MODELS)["requirements.txt"].decode().splitlines()
    clone = (PACKAGE.parent / "requirements.txt").read_text().splitlines()
    assert {line.partition("==")[0] for line in lines} == {
        re.split("[<>=]", line)[0] for line in clone if line[:1].isalpha()
    }
    assert len(lines) == len(PACKAGES) + len(READERS)
    for line in lines:
        name, _, number = line.partition("==")
        assert re.fullmatch(r"\d+(\.\d+)+", number), line
        assert version(name).partition("+")[0] == number


def test_its_front_matter_is_such_as_the_hub_needs() -> None:
    text = space_files("someone/1.0", MODELS)[README].decode()
    fields = front_matter(text)
    assert fields["title"] == "1.0"
    assert (fields["sdk"], fields["app_file"], fields["license"]) == ("gradio", "app.py", "apache-2.0")
    assert re.fullmatch(r"\d+\.\d+\.\d+", str(fields["sdk_version"]))
    assert fields["sdk_version"] == version("gradio")
    assert isinstance(fields["python_version"], str)
    assert fields["models"] == ["someone/liver", "other/liver"]
    assert len(str(fields["short_description"])) <= 60
    assert not is_edited(text, MARKDOWN)


def test_its_starter_offers_the_models_and_no_others(client: Client, tmp_path: Path) -> None:
    code = space_files(SPACE, MODELS)["app.py"].decode()
    assert "unetseg.demo" in {node.module for node in ast.walk(ast.parse(code)) if isinstance(node, ast.ImportFrom)}
    (tmp_path / "app.py").write_text(code)
    sources = client.call(offered_by, tmp_path / "app.py").given()
    assert [source.name for source in sources.values()] == MODELS


# --- its commit -------------------------------------------------------------------------------------------------


def test_a_space_is_one_commit_and_the_same_again_is_none(server: HubServer, client: Client) -> None:
    pushed: Pushed = client.call(make_space, SPACE, MODELS, private=True).given()
    assert str(pushed).startswith(f"{server.url}/spaces/{SPACE} at {pushed.commit[:7]}")
    repo = server.repo(SPACE, "space")
    assert (repo.sdk, repo.private) == ("gradio", True)
    assert [commit.title for commit in server.commits(SPACE, kind="space")] == ["The page of unetseg", "initial commit"]
    files = server.files(SPACE, kind="space")
    assert {name: data for name, data in files.items() if name != ".gitattributes"} == space_files(SPACE, MODELS)
    arguments = [word for name in MODELS for word in ("--model", name)]
    assert client.call(command, "space", SPACE, *arguments).given() == 0
    assert len(server.commits(SPACE, kind="space")) == 2
    assert client.call(command, "space", SPACE, "--model", MODELS[1]).given() == 0
    assert b"someone/liver" not in server.files(SPACE, kind="space")["app.py"]
    assert not {("model", SPACE)} & server.repos.keys()


def test_the_card_of_a_space_that_somebody_edited_is_not_lost(server: HubServer, client: Client) -> None:
    client.call(make_space, SPACE, MODELS).given()
    edited = server.files(SPACE, kind="space")[README].decode().replace("Upload a picture", "Come in")
    server.push(SPACE, {README: edited, "unetseg/gone.py": "", "mine.py": ""}, kind="space")
    assert "was edited there" in client.call(make_space, SPACE, MODELS).refused(ValueError)
    assert len(server.commits(SPACE, kind="space")) == 3
    client.call(make_space, SPACE, MODELS, overwrite_card=True).given()
    files = server.files(SPACE, kind="space")
    assert b"Come in" not in files[README]
    assert "unetseg/gone.py" not in files, "a module of an older package"
    assert "mine.py" in files


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("liver-unet", "a Space shows models of the hub, got 'liver-unet'; push it first and name it owner/name"),
        ("checkpoints/liver-unet", "the hub has no repo checkpoints/liver-unet"),
        ("someone/lever", "the hub has no repo someone/lever"),
        ("someone/liver@v2", "someone/liver has no revision 'v2'"),
        ("someone/pickle", "someone/pickle has no model.safetensors"),
    ],
)
def test_no_space_is_made_for_a_model_that_it_could_not_show(
    server: HubServer, client: Client, name: str, message: str
) -> None:
    server.push("someone/pickle", {CONFIG: model("binary")[CONFIG], "pytorch_model.bin": b"a pickle"})
    answer = client.call(command, "space", SPACE, "--model", MODELS[1], "--model", name)
    assert answer.given() == 1
    assert answer.output.startswith(f"error: {message}")
    assert len(answer.output.splitlines()) == 1
    assert not server.requests("POST|PUT")
    assert ("space", SPACE) not in server.repos


# --- the page itself --------------------------------------------------------------------------------------------


def test_the_page_offers_each_model_under_a_name_of_its_own(server: HubServer, client: Client, tmp_path: Path) -> None:
    local = network_for(config_for("binary")).save_pretrained(tmp_path / "mine")
    names = ["someone/liver@v1", "someone/liver", "other/liver", f"{local}/"]
    answer = client.call(offered, *(word for name in names for word in ("--model", name)))
    sources = answer.given()
    assert list(sources) == ["liver@v1", "someone/liver", "other/liver", "mine"]
    assert [source.name for source in sources.values()] == [*names[:3], str(local) + "/"]
    assert f"other/liver: other/liver at {sources['other/liver'].commit[:7]}" in answer.output


def test_the_page_does_not_start_without_one_of_its_models(server: HubServer, client: Client) -> None:
    answer = client.call(offered, "--model", "someone/liver", "--model", "someone/lever")
    assert answer.refused(SystemExit).startswith("error: the hub has no repo someone/lever")


def test_the_page_with_what_is_shipped_asks_nobody(server: HubServer, client: Client) -> None:
    server.faults.append(Fault("", hang=True))
    assert list(client.call(offered).given()) == demo.in_order(hub.shipped())
    assert not server.log
