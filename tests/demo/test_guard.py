"""What the guard lets through: hosts, login, amounts, paths; and what it tells browsers."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from served import png, run, served, tiny, written

from unetseg.demo.guard import Guard, Quota, Rules, _nearest
from unetseg.demo.handlers import Page

pytestmark = pytest.mark.filterwarnings("ignore")  # of the libraries of the server, which runs in this process


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with served(Page({"tiny": tiny()})) as address:
        yield address


def asked(address: str, path: str, method: str = "GET", **headers: str) -> tuple[int, str]:
    """Status and body, the request as it stands: no client that tidies paths or headers up."""
    place = urlsplit(address)
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=20)
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.putrequest(method, path, skip_host="Host" in names)
    for name, value in names.items():
        connection.putheader(name, value)
    connection.endheaders()
    response = connection.getresponse()
    found = response.status, response.read().decode(errors="replace")
    connection.close()
    return found


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:7860", "127.0.0.1:1", "[::1]:7860", "10.0.0.7", "a.localhost"]
)
def test_its_own_names_and_addresses_are_known(address: str, host: str) -> None:
    assert asked(address, "/unetseg/models", Host=host)[0] == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:7860", "localhost.evil.example", "127.0.0.1.evil.example", ""]
)
def test_a_strangers_name_that_leads_here_is_refused(address: str, host: str) -> None:
    status, said = asked(address, "/unetseg/models", Host=host)
    assert status == 421
    assert "UNETSEG_HOSTS" in said


def test_more_hosts_are_named_by_the_environment() -> None:
    rules = Rules.of("pages.example", {"UNETSEG_HOSTS": "one.example, Two.example", "SPACE_HOST": "me-page.hf.space"})
    for host in ("pages.example", "one.example:80", "two.example", "me-page.hf.space"):
        assert rules.knows(host)
    assert not rules.knows("other.example")


def test_a_login_is_wanted_everywhere_but_for_what_gradio_asks_of_itself() -> None:
    rules = Rules.of(None, {"UNETSEG_AUTH": "anna:rosa:1"})
    with served(Page({"tiny": tiny()}), rules) as address:
        for path in ("/", "/unetseg/models", "/unetseg/viewer/page.js", "/config", "/gradio_api/info", "/nowhere"):
            assert httpx.get(address + path).status_code == 401, path
            assert httpx.get(address + path, auth=("anna", "rosa")).status_code == 401, path
        assert httpx.get(address).headers["www-authenticate"].startswith("Basic ")
        assert httpx.get(address, headers={"Authorization": "Basic ???"}).status_code == 401
        assert httpx.get(address, headers={"Authorization": "Bearer YW5uYTpyb3NhOjE="}).status_code == 401
        assert httpx.get(f"{address}/unetseg/models", auth=("anna", "rosa:1")).status_code == 200
        assert httpx.get(f"{address}/gradio_api/startup-events").status_code == 200


@pytest.mark.parametrize("login", ["anna", "anna:", ":rosa"])
def test_a_login_that_lets_everybody_in_is_refused_at_the_start(login: str) -> None:
    with pytest.raises(ValueError, match="UNETSEG_AUTH is user:password"):
        Rules.of(None, {"UNETSEG_AUTH": login})


def test_headers_tell_browsers_what_the_page_may_do(address: str) -> None:
    for path in ("/", "/unetseg/models", "/unetseg/results/none", "/gradio_api/info", "/nowhere"):
        headers = httpx.get(address + path).headers
        policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
        assert policy["default-src"] == "'none'"
        assert policy["frame-ancestors"] == "'self'"
        assert "unsafe-inline" not in policy["script-src"]
        assert ("sha256-" in policy["script-src"]) == (path == "/")
        # a hash is base64, in which // may stand
        sources = [one for some in policy.values() for one in some.split() if not one.startswith("'sha256-")]
        assert not [source for source in sources if "//" in source or "*" in source]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"
        assert headers["x-frame-options"] == "SAMEORIGIN"


def test_a_space_may_be_shown_in_the_frame_of_the_hub() -> None:
    rules = Rules.of(None, {"SPACE_ID": "me/page", "SPACE_HOST": "me-page.hf.space"})
    assert "frame-ancestors 'self' https://huggingface.co https://*.hf.space" in rules.policy()
    with served(Page({"tiny": tiny()}), rules) as address:
        headers = httpx.get(address).headers
        assert "x-frame-options" not in headers
        assert "https://huggingface.co" in headers["content-security-policy"]


def test_no_file_of_the_server_is_readable(address: str, tmp_path: Path) -> None:
    secret = written(tmp_path, "secret.txt", b"the secret")
    here = Path(__file__)
    paths = [
        *(f"/gradio_api/file={path}" for path in (secret, "/etc/passwd", "app.py", "../../etc/passwd", here)),
        *(f"/file={path}" for path in (secret, "/etc/passwd")),
        f"/unetseg/viewer/{here}",
        "/unetseg/viewer/../__init__.py",
        "/unetseg/viewer/..%2f__init__.py",
        "/unetseg/viewer/%2e%2e%2f%2e%2e%2fconfig.py",
        "/static/../../../../../../etc/passwd",
        "/assets/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
        f"/gradio_api/file={secret}%00.png",
    ]
    for path in paths:
        status, said = asked(address, path)
        assert status in (400, 403, 404), path
        assert "the secret" not in said
        assert "root:" not in said
        assert "import" not in said


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/proxy=http://localhost/",
        "/gradio_api/file=http://127.0.0.1:1/x",
        "/monitoring",
        "/monitoring/summary",
        "/gradio_api/vibe-code/",
        "/gradio_api/runs",
        "/login",
        "/gradio_api/component_server",
        "/gradio_api/dev/reload",
    ],
)
def test_what_the_page_has_no_use_for_does_not_answer(address: str, path: str) -> None:
    assert asked(address, path)[0] in (403, 404)
    assert asked(address, path, "POST")[0] in (403, 404)


def test_another_page_can_not_post_here(address: str) -> None:
    for origin in ("http://evil.example", "https://localhost.evil.example", "null"):
        response = run(address, headers={"Origin": origin})
        assert response["status"] == 403, origin
    assert run(address, headers={"Origin": address})["state"] == "done"


def test_an_upload_that_is_too_large_is_refused_by_what_it_says_and_by_what_comes() -> None:
    page = Page({"tiny": tiny()})
    rules = Rules(frozenset({"localhost"}), largest=50_000)
    with served(page, rules) as address:
        limits = httpx.get(f"{address}/unetseg/models").json()["limits"]
        assert limits["bytes"] == 50_000
        status, said = asked(address, "/unetseg/runs", "POST", Content_Length="50001")
        assert status == 413
        assert "more than 0.05 MB came" in said

        def endless() -> Iterator[bytes]:
            yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n'
            for _ in range(100):
                yield bytes(10_000)

        kind = {"Content-Type": "multipart/form-data; boundary=x"}
        response = httpx.post(f"{address}/unetseg/runs", content=endless(), headers=kind)
        assert response.status_code == 413
        assert not list(page.folder.iterdir()), "what came of it is gone"
        assert run(address)["state"] == "done"


def test_a_visitor_sends_so_much_an_hour_and_others_go_on() -> None:
    data = png(height=200, width=200)
    with served(Page({"tiny": tiny()}), Rules(frozenset(), per_hour=2 * len(data))) as address:
        picture = {"file": ("a.png", data)}
        assert run(address, picture)["state"] == "done"
        again = run(address, picture)
        assert again["status"] == 429
        assert "within an hour; try again later" in again["error"]
        with socket.create_connection(("127.0.0.1", urlsplit(address).port), source_address=("127.0.0.2", 0)) as other:
            other.sendall(
                b"POST /unetseg/runs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 30000\r\n\r\n" + bytes(30000)
            )
            assert b" 400 " in other.recv(100), "it may; but it sends no form"


def test_the_quota_forgets_what_is_an_hour_old() -> None:
    quota = Quota(100)
    quota.add("a", 30, now=10.0)
    quota.add("a", 30, now=50.0)
    quota.add("a", 30, now=1800.0)
    assert quota.left("a", now=1800.0) == 10
    assert quota.left("b", now=1800.0) == 100
    assert quota.left("a", now=3599.0) == 10
    assert quota.left("a", now=3601.0) == 70
    assert quota.left("a", now=5401.0) == 100
    assert not quota._sent


@pytest.mark.parametrize(
    ("forwarded", "address"),
    [
        ("", "10.0.0.1"),
        ("8.8.8.8", "8.8.8.8"),
        ("1.2.3.4, 8.8.8.8, 10.1.2.3", "8.8.8.8"),
        ("8.8.8.8, nonsense", "10.0.0.1"),
        ("2001:4860:4860::8888", "2001:4860:4860::8888"),
    ],
)
def test_of_a_space_the_nearest_public_address_is_the_visitors(forwarded: str, address: str) -> None:
    assert _nearest(forwarded, "10.0.0.1") == address


def test_websockets_are_closed() -> None:
    sent = []

    async def send(message: object) -> None:
        sent.append(message)

    async def nothing() -> None: ...

    guard = Guard(nothing, Rules(frozenset()))  # type: ignore[arg-type]
    asyncio.run(guard({"type": "websocket"}, nothing, send))  # type: ignore[arg-type]
    assert sent == [{"type": "websocket.close", "code": 1008}]


def test_refusals_are_sentences(address: str) -> None:
    assert json.loads(asked(address, "/nowhere")[1]) == {"error": "there is nothing at this address"}
