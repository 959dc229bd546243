"""What docs/api.md promises to programs, its own lines run; and that they get the labels of the page and of Python."""

from __future__ import annotations

import ast
import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import PIL.Image
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError, AuthenticationError
from served import events, png, served, tiny, written

from unetseg import Predictor
from unetseg.demo.downloads import KINDS
from unetseg.demo.guard import Rules
from unetseg.demo.handlers import Page
from unetseg.demo.jobs import OF_A_PAGE
from unetseg.samples import draw_sample

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
ADDRESS = "http://127.0.0.1:7860"

pytestmark = pytest.mark.filterwarnings("ignore")  # of the libraries of the server, which runs in this process


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", DOCUMENT, flags=re.DOTALL)


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return Predictor.from_pretrained("liver-unet", device="cpu")


@pytest.fixture(scope="module")
def address(predictor: Predictor) -> Iterator[str]:
    with served(Page({"liver-unet": predictor})) as address:
        yield address


@pytest.fixture(scope="module")
def client(address: str) -> Client:
    return Client(address, verbose=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    PIL.Image.fromarray(draw_sample("ct", 7)[0]).save(tmp_path / "picture.png")
    return tmp_path


def done(command: list[str], folder: Path) -> str:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(folder)}
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout


def printed(code: str, folder: Path) -> str:
    """What lines of Python print last."""
    return done([sys.executable, "-c", code], folder).splitlines()[-1]


def test_the_lines_of_python_run_and_give_pythons_labels(address: str, folder: Path, predictor: Predictor) -> None:
    first, second, third = (block.replace(ADDRESS, address) for block in blocks("python"))
    own = predictor(folder / "picture.png")
    said = ast.literal_eval(printed(first, folder))
    assert said == own.report()["labels"]
    assert printed(second, folder) == "{'liver': 0.3} None"
    assert printed(third, folder) == ("liver-unet binary ['background', 'liver'] cc-by-sa-4.0")


def test_the_lines_of_the_shell_run_and_give_pythons_labels(address: str, folder: Path, predictor: Predictor) -> None:
    done(["bash", "-euc", blocks("sh")[0].replace(ADDRESS, address)], folder)
    own = predictor(folder / "picture.png")
    np.testing.assert_array_equal(np.asarray(PIL.Image.open(folder / "labels.png")), own.labels([0.3])[0])
    assert json.loads((folder / "report.json").read_text()) == json.loads(json.dumps(own.report([0.3])))


def test_page_endpoint_and_python_give_the_same_labels(
    address: str, client: Client, folder: Path, predictor: Predictor
) -> None:
    own = predictor(folder / "picture.png")
    labels, probabilities, report = client.predict(handle_file(folder / "picture.png"), api_name="/segment")
    np.testing.assert_array_equal(np.asarray(PIL.Image.open(labels)), own.labels()[0])
    np.testing.assert_array_equal(np.load(probabilities)["probabilities"], own.probabilities.numpy().astype(np.float16))
    assert report == json.loads(json.dumps(own.report()))
    files = {"file": (folder / "picture.png").open("rb")}
    with httpx.stream("POST", f"{address}/unetseg/runs", data={"model": "liver-unet"}, files=files, timeout=60) as told:
        key = [*events(told)][-1]["result"]["key"]
    got = httpx.get(f"{address}/unetseg/results/{key}/files/labels_png").content
    np.testing.assert_array_equal(np.asarray(PIL.Image.open(written(folder, "page.png", got))), own.labels()[0])


def test_what_the_document_lists_is_what_there_is(client: Client) -> None:
    told = client.view_api(return_format="dict", print_info=False)
    assert told["named_endpoints"].keys() == {"/segment", "/models"}
    assert not told["unnamed_endpoints"]
    names = [one["parameter_name"] for one in told["named_endpoints"]["/segment"]["parameters"]]
    assert names == re.findall(r"^\| `(\w+)` \| ", DOCUMENT.partition("## From a shell")[0], flags=re.MULTILINE)
    for kind in KINDS:
        assert f"`{kind}`" in DOCUMENT
    assert f"of one program {OF_A_PAGE} runs wait" in DOCUMENT
    rules = Rules(frozenset())
    assert f"most {rules.largest // 10**9} GB comes at once, {rules.per_hour // 10**9} GB in an hour" in " ".join(
        DOCUMENT.split()
    )


def test_errors_are_sentences_and_name_no_path(client: Client, folder: Path) -> None:
    (folder / "bad.png").write_bytes(png()[:200])
    for arguments, said in (
        ((handle_file(folder / "bad.png"),), r"bad\.png is damaged or cut off"),
        ((handle_file(folder / "picture.png"), "nobody"), "this page offers liver-unet, not 'nobody'"),
        ((handle_file(folder / "picture.png"), "liver-unet", "0.1,0.2"), "thresholds need one number"),
        ((handle_file(folder / "picture.png"), "liver-unet", "half"), "thresholds are numbers such as 0.5,0.25"),
    ):
        with pytest.raises(AppError, match=said) as caught:
            client.predict(*arguments, api_name="/segment")
        assert "/tmp" not in str(caught.value)


def test_nothing_is_fetched_from_elsewhere_and_nothing_of_the_server_is_taken_for_a_file(
    address: str, folder: Path
) -> None:
    for path in (
        "http://127.0.0.1:1/a.png",
        "https://example.org/a.png",
        f"http://127.0.0.1/gradio_api/file={folder / 'picture.png'}",
        str(folder / "picture.png"),
        "/etc/passwd",
    ):
        told = _called(address, {"path": path, "meta": {"_type": "gradio.FileData"}})
        assert "event: error" in told, path


def _called(address: str, file: dict[str, Any]) -> str:
    event = httpx.post(f"{address}/gradio_api/call/segment", json={"data": [file, "", "", "", "", "", False, False]})
    return httpx.get(f"{address}/gradio_api/call/segment/{event.json()['event_id']}", timeout=60).text


def test_what_a_program_got_is_kept_no_longer(folder: Path) -> None:
    page = Page({"tiny": tiny()})
    with served(page) as address:
        Client(address, verbose=False).predict(handle_file(folder / "picture.png"), api_name="/segment")
        assert not list(page.folder.iterdir())
        assert page.store.nbytes == 0


def test_a_program_logs_in(folder: Path) -> None:
    rules = Rules.of(None, {"UNETSEG_AUTH": "anna:rosa"})
    with served(Page({"tiny": tiny()}), rules) as address:
        with pytest.raises(AuthenticationError):
            Client(address, verbose=False)
        client = Client(address, headers={"Authorization": "Basic YW5uYTpyb3Nh"}, verbose=False)
        assert client.predict(api_name="/models")[0]["name"] == "tiny"


def test_agents_find_the_tools_and_use_them(folder: Path) -> None:
    pytest.importorskip("mcp", reason="pip install 'unetseg[mcp]'")
    from mcp import ClientSession
    from mcp.client.streamable_http import streamablehttp_client

    async def ask(address: str) -> tuple[list[str], Any, Any]:
        at = f"{address}/gradio_api"
        async with streamablehttp_client(f"{at}/mcp/") as (read, write, _), ClientSession(read, write) as session:
            await session.initialize()
            tools = [tool.name for tool in (await session.list_tools()).tools]
            sent = httpx.post(f"{at}/upload", files={"files": (folder / "picture.png").open("rb")}).json()
            found = await session.call_tool("segment", {"file": f"{at}/file={sent[0]}", "thresholds": "0.3"})
            return tools, found, await session.call_tool("segment", {"file": "https://example.org/a.png"})

    with served(Page({"tiny": tiny()}), mcp=True) as address:
        tools, found, refused = asyncio.run(ask(address))
    assert tools == ["segment", "models"]
    assert not found.isError
    assert '"decided_by": {"liver": 0.3}' in str(found.content).replace("'", '"')
    assert refused.isError
    assert "fetches nothing from elsewhere" in str(refused.content)


def test_an_absent_package_for_agents_is_named() -> None:
    code = "import sys; sys.modules['mcp'] = None; from unetseg.demo import main; main(['--mcp'])"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 2
    assert "pip install 'unetseg[mcp]'" in result.stderr
