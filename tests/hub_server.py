"""A small Hugging Face hub for tests: what huggingface_hub asks of the real one, over a real socket, kept in memory.

In a test, with the client in a process of its own (it reads HF_ENDPOINT and HF_HUB_DISABLE_XET at import):

    with HubServer() as hub:
        hub.push("someone/model", {"config.json": "{}", "model.safetensors": weights}, tag="v1")
        hub.faults.append(Fault("GET /storage/", cut_response=1000, times=1))
        subprocess.run(command, env={**os.environ, **hub.environment(tmp_path)})
        assert not any(request.authorized for request in hub.requests("GET /storage/"))

As a process: `python tests/hub_server.py --port 0` prints its address on the first line and serves until it is ended.
Large files lie under `/storage/` of another host name (localhost) on the same socket, as the hub's do at its storage.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import codecs
import fnmatch
import hashlib
import json
import math
import re
import socket
import struct
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import uvicorn
import yaml
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

TOKEN = "hf_opensTheTestHub"  # the one token it knows, unless told another
LARGE = ("*.safetensors", "*.bin", "*.pt", "*.pth", "*.pkl", "*.ckpt", "*.onnx", "*.npy", "*.npz", "*.zip", "*.gz")
COLOURS = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}
FRONT_MATTER = {  # what the hub refuses when a README names something else
    "license": {"apache-2.0", "mit", "bsd-3-clause", "cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0", "cc-by-nc-4.0"}
    | {"cc-by-nc-sa-4.0", "cc-by-nc-nd-4.0", "openrail", "unknown", "other"},
    "sdk": {"gradio", "streamlit", "docker", "static"},
    "colorFrom": COLOURS,
    "colorTo": COLOURS,
}
STALE = "A commit has happened since. Please refresh and try again."
WRONG_TOKEN, NO_TOKEN = "Invalid credentials in Authorization header", "Invalid username or password."


class HubError(Exception):
    """An answer other than success, in the hub's form: its code and message in headers, the message in the body."""

    def __init__(self, status: int, code: str | None, message: str, commit: str | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.commit = status, code, message, commit


@dataclass(frozen=True)
class Blob:
    """A file. To git, one that lies in the large file storage is a pointer to it."""

    data: bytes
    lfs: bool

    @cached_property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    @cached_property
    def pointer(self) -> bytes:
        version = "version https://git-lfs.github.com/spec/v1"
        return f"{version}\noid sha256:{self.sha256}\nsize {len(self.data)}\n".encode()

    @cached_property
    def oid(self) -> str:
        content = self.pointer if self.lfs else self.data
        return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()

    @property
    def etag(self) -> str:
        return self.sha256 if self.lfs else self.oid

    def described(self, digest: str) -> dict[str, Any]:
        """Its size, and where it is large the entry `lfs` with the sha256 under the name `digest`."""
        large = {digest: self.sha256, "size": len(self.data), "pointerSize": len(self.pointer)}
        return {"size": len(self.data)} | ({"lfs": large} if self.lfs else {})


@dataclass(frozen=True)
class Commit:
    oid: str
    parent: str | None
    title: str
    date: str
    files: Mapping[str, Blob]


@dataclass
class Repo:
    """`refs` maps full names (refs/heads/main, refs/tags/v1, refs/pr/1) to commits."""

    kind: str  # model or space
    id: str
    private: bool = False
    sdk: str | None = None
    refs: dict[str, str] = field(default_factory=dict)
    history: dict[str, Commit] = field(default_factory=dict)

    def at(self, revision: str) -> Commit:
        """The commit of a branch, a tag, a full reference or a full hash. Raises HubError."""
        names = (f"refs/heads/{revision}", f"refs/tags/{revision}", revision)
        oid = next((self.refs[name] for name in names if name in self.refs), revision)
        if oid not in self.history:
            raise HubError(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return self.history[oid]

    def commit(self, ref: str, parent: Commit | None, title: str, files: Mapping[str, Blob]) -> Commit:
        date = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
        content = [self.id, len(self.history), title, sorted((path, blob.oid) for path, blob in files.items())]
        oid = hashlib.sha1(json.dumps(content).encode()).hexdigest()
        self.history[oid] = Commit(oid, parent.oid if parent else None, title, date, dict(files))
        self.refs[ref] = oid
        return self.history[oid]

    def named(self, prefix: str) -> list[dict[str, str]]:
        refs = [(ref, oid) for ref, oid in self.refs.items() if ref.startswith(prefix)]
        return [{"name": ref.removeprefix(prefix), "ref": ref, "targetCommit": oid} for ref, oid in refs]


@dataclass
class Logged:
    """A request as it came, and the answer: `status` is None while none began, `sent` counts the bytes of its body."""

    method: str
    path: str  # decoded, without the query
    query: str
    headers: dict[str, str] = field(repr=False)  # names in lower case
    host: str  # without the port
    range: str | None
    authorized: bool  # whether any token came
    status: int | None = None
    sent: int = 0

    def matches(self, pattern: str) -> bool:
        """Whether "METHOD /path" contains a regular expression."""
        return re.search(pattern, f"{self.method} {self.path}") is not None


@dataclass
class Fault:
    """What goes wrong with requests whose "METHOD /path" contains a regular expression; the first that fits happens.

    times: with so many of them, None with all. wait: s before anything else. hang: never answer. status: of an answer
    instead of the real one. cut_request: close the socket once so many bytes of the body came in (0: at once), without
    an answer. cut_response: answer, but close it after so many bytes of the body. reset: close it by RST, not FIN.
    """

    pattern: str
    times: int | None = None
    wait: float = 0.0
    hang: bool = False
    status: int | None = None
    cut_request: int | None = None
    cut_response: int | None = None
    reset: bool = False
    count: int = 0  # of the requests it happened to


class HubServer:
    """The hub, served by a thread of its own within `with`. Its methods may be called from any thread."""

    def __init__(self, *, token: str = TOKEN, port: int = 0) -> None:
        self.token = token
        self.log: list[Logged] = []
        self.faults: list[Fault] = []
        self.repos: dict[tuple[str, str], Repo] = {}
        self.objects: dict[str, bytes] = {}  # the large file storage, by sha256
        self._lock = threading.RLock()
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(("127.0.0.1", port))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._routes = Starlette(routes=self._table(), exception_handlers={HubError: _refused})
        plain: dict[str, Any] = {
            "http": "h11",
            "loop": "asyncio",
            "interface": "asgi3",
            "ws": "none",
            "lifespan": "off",
        }
        quiet: dict[str, Any] = {"log_config": None, "log_level": "error", "timeout_graceful_shutdown": 2}
        config = uvicorn.Config(self._serve, **plain, **quiet)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]}, daemon=True)

    def __enter__(self) -> HubServer:
        self._thread.start()
        while not self._server.started and self._thread.is_alive():
            time.sleep(0.005)
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End it, also while requests hang: from here on its address refuses connections."""
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()

    def environment(self, home: Path, token: str | None = None) -> dict[str, str]:
        """What makes the client in another process use this hub, with caches and logins below `home` alone."""
        settings = {"HF_ENDPOINT": self.url, "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
        cache = str(home / "hub")  # named as well, for a setting of its own would win over HF_HOME
        settings |= {"HF_HOME": str(home), "HF_HUB_CACHE": cache, "HF_HUB_OFFLINE": "0", "HF_TOKEN": token or ""}
        return settings | {"NO_PROXY": "127.0.0.1,localhost"}

    # --- what a test does to it -------------------------------------------------------------------------------------

    def push(
        self,
        repo_id: str,
        files: Path | Mapping[str, bytes | str | None],
        *,
        kind: str = "model",
        branch: str = "main",
        tag: str | None = None,
        private: bool = False,
    ) -> str:
        """Commit files by path (None takes one away) or all below a folder, past the socket; gives the commit's hash.

        A repository that isn't there is made, public or private.
        """
        if isinstance(files, Path):
            paths = [path for path in files.rglob("*") if path.is_file()]
            files = {path.relative_to(files).as_posix(): path.read_bytes() for path in paths}
        with self._lock:
            repo = self.repos.get((kind, repo_id)) or self._create(kind, repo_id, private, None)
            parent = repo.at(branch)
            contents = {path: blob for path, blob in parent.files.items() if path not in files}
            for path, content in files.items():
                if content is not None:
                    data = content.encode() if isinstance(content, str) else content
                    contents[path] = Blob(data, lfs=_is_large(path, data[:512], len(data)))
                    self.objects[contents[path].sha256] = data
            commit = repo.commit(f"refs/heads/{branch}", parent, "push", contents)
            if tag is not None:
                repo.refs[f"refs/tags/{tag}"] = commit.oid
        return commit.oid

    def repo(self, repo_id: str, kind: str = "model") -> Repo:
        return self.repos[kind, repo_id]

    def files(self, repo_id: str, revision: str = "main", kind: str = "model") -> dict[str, bytes]:
        """The content of every file of a revision by its path, .gitattributes of the first commit among them."""
        with self._lock:
            return {path: blob.data for path, blob in self.repo(repo_id, kind).at(revision).files.items()}

    def commits(self, repo_id: str, revision: str = "main", kind: str = "model") -> list[Commit]:
        """The history of a revision, newest first; the last is the "initial commit" that came with the repository."""
        with self._lock:
            repo = self.repo(repo_id, kind)
            commits = [repo.at(revision)]
            while commits[-1].parent is not None:
                commits.append(repo.history[commits[-1].parent])
        return commits

    def requests(self, pattern: str) -> list[Logged]:
        """The logged requests whose "METHOD /path" contains a regular expression, oldest first."""
        return [logged for logged in self.log if logged.matches(pattern)]

    # --- the socket, the log and the faults -------------------------------------------------------------------------

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {name.decode(): value.decode("latin-1") for name, value in scope["headers"]}
        raw, query = scope["raw_path"].decode(), scope["query_string"].decode()
        host, authorized = headers["host"].partition(":")[0], "authorization" in headers
        logged = Logged(scope["method"], unquote(raw), query, headers, host, headers.get("range"), authorized)
        self.log.append(logged)
        fault = self._happening(logged)
        connection: Any = receive.__self__  # type: ignore[attr-defined]  # uvicorn's: ASGI has no way to cut one

        async def cut() -> None:
            if fault.reset:
                linger = socket.SO_LINGER, struct.pack("ii", 1, 0)
                connection.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, *linger)
            connection.transport.close()
            while (await receive())["type"] != "http.disconnect":
                pass

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                logged.status = message["status"]
            left, body = fault.cut_response, message.get("body", b"")
            if left is not None and message["type"] == "http.response.body" and len(body) >= left:
                message = {**message, "body": body[:left], "more_body": True}
            logged.sent += 0 if scope["method"] == "HEAD" else len(message.get("body", b""))
            await send(message)
            if message.get("more_body"):
                await cut()

        until = time.monotonic() + (math.inf if fault.hang else fault.wait)
        while time.monotonic() < until and not self._server.should_exit:
            await asyncio.sleep(0.02)
            if connection.disconnected:
                return
        if fault.hang or fault.cut_request is not None:
            received, more = 0, True
            while more and received < (fault.cut_request or 0):
                message = await receive()
                received, more = received + len(message.get("body", b"")), message.get("more_body", False)
            await cut()
        elif fault.status is not None:
            await JSONResponse({"error": f"fault {fault.status}"}, fault.status)(scope, receive, answer)
        else:  # branches and folders come quoted in one segment (refs%2Fpr%2F1): the routes see the path as it was sent
            await self._routes({**scope, "path": raw}, receive, answer)

    def _happening(self, logged: Logged) -> Fault:
        for fault in list(self.faults):
            if (fault.times is None or fault.count < fault.times) and logged.matches(fault.pattern):
                fault.count += 1
                return fault
        return Fault("nothing goes wrong")

    # --- the interface of the hub -----------------------------------------------------------------------------------

    def _table(self) -> list[Route]:
        repo = "/api/{kinds}/{owner}/{name}"
        table: list[tuple[str, str, Callable[[Request, bytes], Response]]] = [
            ("GET", "/api/whoami-v2", self._whoami),
            ("POST", "/api/validate-yaml", self._validate),
            ("POST", "/api/repos/create", self._create_repo),
            ("GET", repo, self._info),
            ("GET", repo + "/revision/{revision}", self._info),
            ("GET", repo + "/tree/{revision}", self._tree),
            ("GET", repo + "/tree/{revision}/{folder}", self._tree),
            ("GET", repo + "/refs", self._refs),
            ("POST", repo + "/preupload/{revision}", self._preupload),
            ("POST", repo + "/commit/{revision}", self._commit),
            ("POST", repo + "/{what}/{revision}", self._create_ref),
            ("DELETE", repo + "/{what}/{revision}", self._delete_ref),
            ("GET", "/storage/{sha256}", self._stored),
            ("PUT", "/storage/{sha256}", self._store),
        ]
        for repo in ("/spaces/{owner}/{name}", "/{owner}/{name}"):
            table.append(("POST", repo + ".git/info/lfs/objects/batch", self._batch))
            table.append(("POST", repo + ".git/info/lfs/objects/verify", self._verify))
            table.append(("GET", repo + "/resolve/{revision}/{path:path}", self._resolve))

        def endpoint(answer: Callable[[Request, bytes], Response]) -> Callable[[Request], Awaitable[Response]]:
            async def answered(request: Request) -> Response:
                body = await request.body()
                with self._lock:
                    return answer(request, body)

            return answered

        return [Route(path, endpoint(answer), methods=[method]) for method, path, answer in table]

    def _authorized(self, request: Request, *, needed: bool = False) -> bool:
        """Whether the token came. Raises HubError if another did, or if none did where one is needed."""
        sent = request.headers.get("authorization")
        if sent is not None and sent != f"Bearer {self.token}":
            raise HubError(401, None, WRONG_TOKEN)
        if sent is None and needed:
            raise HubError(401, None, NO_TOKEN)
        return sent is not None

    def _repo(self, request: Request, *, write: bool = False) -> Repo:
        authorized = self._authorized(request)
        kind = "space" if request.url.path.startswith(("/spaces/", "/api/spaces/")) else "model"
        repo = self.repos.get((kind, f"{_in_path(request, 'owner')}/{_in_path(request, 'name')}"))
        if not authorized and (repo is None or repo.private or write):
            raise HubError(401, "RepoNotFound", NO_TOKEN)
        if repo is None:
            raise HubError(404, "RepoNotFound", "Repository not found")
        return repo

    def _home(self, repo: Repo) -> str:
        return f"{self.url}/{'spaces/' if repo.kind == 'space' else ''}{repo.id}"

    def _elsewhere(self, request: Request, sha256: str) -> str:
        host = "localhost" if request.url.hostname == "127.0.0.1" else "127.0.0.1"
        return f"http://{host}:{request.url.port}/storage/{sha256}"

    def _whoami(self, request: Request, body: bytes) -> Response:
        self._authorized(request, needed=True)
        return JSONResponse({"type": "user", "id": "1", "name": "tester", "orgs": [], "auth": {"type": "access_token"}})

    def _validate(self, request: Request, body: bytes) -> Response:
        front = re.match(r"---\r?\n(.*?)\n---", json.loads(body)["content"], re.DOTALL)
        try:
            data = yaml.safe_load(front[1]) if front else None
        except yaml.YAMLError as error:
            return JSONResponse({"errors": [{"message": f"bad YAML: {error}"}], "warnings": []}, 400)
        if not isinstance(data, dict):
            warning = "empty or missing yaml metadata in repo card"
            return JSONResponse({"errors": [], "warnings": [{"message": warning}]})
        errors = [
            {"message": f'"{key}" must be one of [{", ".join(sorted(allowed))}]'}
            for key, allowed in FRONT_MATTER.items()
            if key in data and not set(data[key] if isinstance(data[key], list) else [data[key]]) <= allowed
        ]
        return JSONResponse({"errors": errors, "warnings": []}, 400 if errors else 200)

    def _create_repo(self, request: Request, body: bytes) -> Response:
        self._authorized(request, needed=True)
        asked = json.loads(body)
        kind, repo_id = asked.get("type") or "model", f"{asked.get('organization') or 'tester'}/{asked['name']}"
        if kind not in ("model", "space") or (kind == "space" and "sdk" not in asked):
            raise HubError(400, None, "expected a model, or a space with its sdk")
        if (kind, repo_id) in self.repos:
            home = self._home(self.repos[kind, repo_id])
            return JSONResponse({"error": "You already created this repo", "url": home}, 409)
        repo = self._create(kind, repo_id, asked.get("visibility") == "private", asked.get("sdk"))
        return JSONResponse({"url": self._home(repo), "name": repo_id, "id": repo_id})

    def _create(self, kind: str, repo_id: str, private: bool, sdk: str | None) -> Repo:
        repo = self.repos[kind, repo_id] = Repo(kind, repo_id, private, sdk)
        attributes = "".join(f"{pattern} filter=lfs diff=lfs merge=lfs -text\n" for pattern in LARGE)
        repo.commit("refs/heads/main", None, "initial commit", {".gitattributes": Blob(attributes.encode(), lfs=False)})
        return repo

    def _info(self, request: Request, body: bytes) -> Response:
        repo = self._repo(request)
        commit = repo.at(_in_path(request, "revision", "main"))
        detailed = request.query_params.get("blobs", "false").lower() in ("true", "1")
        siblings = [
            {"rfilename": path} | ({"blobId": blob.oid, **blob.described("sha256")} if detailed else {})
            for path, blob in sorted(commit.files.items())
        ]
        about: dict[str, Any] = {"id": repo.id, "author": repo.id.partition("/")[0], "sha": commit.oid}
        about |= {"lastModified": commit.date, "private": repo.private, "siblings": siblings, "tags": []}
        return JSONResponse(about | ({"sdk": repo.sdk} if repo.kind == "space" else {}))

    def _tree(self, request: Request, body: bytes) -> Response:
        commit = self._repo(request).at(_in_path(request, "revision"))
        folder = _in_path(request, "folder", "").rstrip("/")
        inside = f"{folder}/" if folder else ""
        below = {path: blob for path, blob in commit.files.items() if path.startswith(inside)}
        if not below:
            raise HubError(404, "EntryNotFound", f'{folder} does not exist on "{commit.oid}"', commit.oid)
        parents = {str(parent) for path in below for parent in Path(path).parents if len(str(parent)) > len(inside)}
        entries = [
            {"type": "directory", "oid": hashlib.sha1(path.encode()).hexdigest(), "size": 0, "path": path}
            for path in parents - {"."}
        ]
        entries += [
            {"type": "file", "oid": blob.oid, "path": path, **blob.described("oid")} for path, blob in below.items()
        ]
        if request.query_params.get("recursive", "false").lower() not in ("true", "1"):
            entries = [entry for entry in entries if "/" not in str(entry["path"]).removeprefix(inside)]
        return JSONResponse(sorted(entries, key=lambda entry: str(entry["path"])))

    def _refs(self, request: Request, body: bytes) -> Response:
        repo = self._repo(request)
        answer = {"branches": repo.named("refs/heads/"), "tags": repo.named("refs/tags/"), "converts": []}
        pulls = [{**pull, "name": pull["ref"]} for pull in repo.named("refs/pr/")]
        return JSONResponse(answer | ({"pullRequests": pulls} if "include_prs" in request.query_params else {}))

    def _create_ref(self, request: Request, body: bytes) -> Response:
        """A branch is named in the path, and in the body is where it starts; with a tag it is the other way round."""
        repo, asked, named = self._repo(request, write=True), json.loads(body), _in_path(request, "revision")
        if _in_path(request, "what") == "tag":
            ref, commit = f"refs/tags/{asked['tag']}", repo.at(named)
        else:
            ref, commit = f"refs/heads/{named}", repo.at(asked.get("startingPoint", "main"))
        if ref in repo.refs:
            raise HubError(409, None, f"Reference {ref} already exists")
        repo.refs[ref] = commit.oid
        return JSONResponse({}, 201)

    def _delete_ref(self, request: Request, body: bytes) -> Response:
        repo, name = self._repo(request, write=True), _in_path(request, "revision")
        ref = f"refs/{'tags' if _in_path(request, 'what') == 'tag' else 'heads'}/{name}"
        if ref == "refs/heads/main":
            raise HubError(403, None, "Cannot delete the default branch")
        if repo.refs.pop(ref, None) is None:
            raise HubError(404, "RevisionNotFound", f"Invalid rev id: {name}")
        return JSONResponse({})

    def _preupload(self, request: Request, body: bytes) -> Response:
        present = self._repo(request, write=True).at(_in_path(request, "revision")).files
        answers: list[dict[str, Any]] = []
        for file in json.loads(body)["files"]:
            path, sample = file["path"], base64.b64decode(file["sample"])
            mode = "lfs" if _is_large(path, sample, file["size"]) else "regular"
            known = {"oid": present[path].etag} if path in present else {}
            answers.append({"path": path, "uploadMode": mode, "shouldIgnore": False, **known})
        return JSONResponse({"files": answers})

    def _batch(self, request: Request, body: bytes) -> Response:
        home = self._home(self._repo(request, write=True))
        objects = [{"oid": item["oid"], "size": item["size"]} for item in json.loads(body)["objects"]]
        for item in objects:
            if item["oid"] not in self.objects:
                upload = {"href": self._elsewhere(request, item["oid"]), "header": {}}
                item["actions"] = {"upload": upload, "verify": {"href": f"{home}.git/info/lfs/objects/verify"}}
        return JSONResponse({"transfer": "basic", "objects": objects}, media_type="application/vnd.git-lfs+json")

    def _verify(self, request: Request, body: bytes) -> Response:
        self._repo(request, write=True)
        asked = json.loads(body)
        if len(self.objects.get(asked["oid"], b"")) != asked["size"]:
            raise HubError(404, None, f"no object {asked['oid']} of {asked['size']} bytes")
        return JSONResponse({})

    def _store(self, request: Request, body: bytes) -> Response:
        sha256 = self._signed(request)
        if hashlib.sha256(body).hexdigest() != sha256:
            raise HubError(400, None, "The body is not what was announced")
        self.objects[sha256] = body
        return Response(headers={"ETag": f'"{sha256}"'})

    def _stored(self, request: Request, body: bytes) -> Response:
        sha256 = self._signed(request)
        if sha256 not in self.objects:
            raise HubError(404, None, "The specified key does not exist")
        return _part(request, self.objects[sha256], {"ETag": f'"{sha256}"'})

    def _signed(self, request: Request) -> str:
        """The object that is asked for. A storage takes signed addresses, and refuses a token on top of it."""
        if "authorization" in request.headers:
            raise HubError(400, None, "Only one auth mechanism allowed")
        return _in_path(request, "sha256")

    def _commit(self, request: Request, body: bytes) -> Response:
        repo, revision = self._repo(request, write=True), _in_path(request, "revision")
        header, *operations = [json.loads(line) for line in body.splitlines() if line.strip()]
        parent = repo.at(revision)
        if header["value"].get("parentCommit", parent.oid) != parent.oid:
            raise HubError(412, None, STALE)
        files = dict(parent.files)
        for operation in operations:
            what, value = operation["key"], operation["value"]
            path = value["path"]
            if what == "file":
                files[path] = Blob(base64.b64decode(value["content"]), lfs=False)
            elif what == "lfsFile" and value["oid"] in self.objects:
                files[path] = Blob(self.objects[value["oid"]], lfs=True)
            elif what == "lfsFile":
                raise HubError(400, None, "Your push was rejected because an LFS pointer pointed to no file")
            else:
                gone = [name for name in files if name == path or name.startswith(path.rstrip("/") + "/")]
                if not gone:
                    raise HubError(404, "EntryNotFound", f"A file with this name doesn't exist: {path}")
                for name in gone:
                    del files[name]
        number = 1 + len(repo.named("refs/pr/")) if request.query_params.get("create_pr") == "1" else None
        ref = f"refs/heads/{revision}" if f"refs/heads/{revision}" in repo.refs else revision
        commit = repo.commit(ref if number is None else f"refs/pr/{number}", parent, header["value"]["summary"], files)
        home = self._home(repo)
        answer = {"success": True, "commitOid": commit.oid, "commitUrl": f"{home}/commit/{commit.oid}"}
        return JSONResponse(answer | ({"pullRequestUrl": f"{home}/discussions/{number}"} if number else {}))

    def _resolve(self, request: Request, body: bytes) -> Response:
        commit = self._repo(request).at(_in_path(request, "revision"))
        blob = commit.files.get(_in_path(request, "path"))
        if blob is None:
            raise HubError(404, "EntryNotFound", "Entry not found", commit.oid)
        headers = {"X-Repo-Commit": commit.oid, "ETag": f'"{blob.etag}"'}
        if not blob.lfs:
            return _part(request, blob.data, headers)
        large = {"X-Linked-Etag": f'"{blob.sha256}"', "X-Linked-Size": str(len(blob.data))}
        return Response(status_code=302, headers=headers | large | {"Location": self._elsewhere(request, blob.sha256)})


def _in_path(request: Request, name: str, default: str | None = None) -> str:
    """A part of the path, decoded."""
    return unquote(str(request.path_params.get(name, default)))


def _is_large(path: str, sample: bytes, size: int) -> bool:
    """Whether the hub keeps a file of `size` bytes that begins with `sample` outside of git."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(sample)  # which may end within a character
        text = b"\0" not in sample
    except UnicodeDecodeError:
        text = False
    by_name = any(fnmatch.fnmatch(Path(path).name, pattern) for pattern in LARGE)
    return size > 0 and (by_name or size > (10_000_000 if text else 4096))


def _part(request: Request, data: bytes, headers: dict[str, str]) -> Response:
    """The whole of a file, or what the header Range asks of it."""
    headers = {**headers, "Accept-Ranges": "bytes"}
    asked = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("range", ""))
    if asked is None:
        return Response(data, headers=headers, media_type="application/octet-stream")
    start, end = int(asked[1]), min(int(asked[2] or len(data)), len(data) - 1)
    if start > end:
        return Response(status_code=416, headers={**headers, "Content-Range": f"bytes */{len(data)}"})
    headers["Content-Range"] = f"bytes {start}-{end}/{len(data)}"
    return Response(data[start : end + 1], 206, headers, "application/octet-stream")


def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HubError)
    headers = {"X-Error-Code": error.code, "X-Error-Message": error.message, "X-Repo-Commit": error.commit}
    return JSONResponse({"error": error.message}, error.status, {k: v for k, v in headers.items() if v is not None})


def main() -> None:
    """Serve until the process is ended; the first line says where."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 takes any that is free")
    parser.add_argument("--token", default=TOKEN, help=f"that opens private repositories and writes; {TOKEN}")
    arguments = parser.parse_args()
    with HubServer(token=arguments.token, port=arguments.port) as hub:
        print(hub.url, flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
