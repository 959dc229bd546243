"""The hub that other tests talk to: the real client, in a process of its own, finds it as it finds the real one."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hub_server import TOKEN, Fault, HubServer

ROUND_TRIP = """
import sys
from pathlib import Path
from huggingface_hub import HfApi, hf_hub_download, snapshot_download
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError

def refused(kind, call, *arguments, **keywords):
    try:
        call(*arguments, **keywords)
    except kind as error:
        return error.response.status_code
    raise AssertionError(f"{call} was not refused")

folder, hub = Path(sys.argv[1]), HfApi()
assert hub.create_repo("a/b", private=True).repo_id == "a/b"
assert refused(HfHubHTTPError, hub.create_repo, "a/b") == 409
first = hub.upload_folder(repo_id="a/b", folder_path=folder)
assert hub.upload_folder(repo_id="a/b", folder_path=folder).oid == first.oid
hub.create_tag("a/b", tag="v1")
upload = {"repo_id": "a/b", "path_in_repo": "config.json", "path_or_fileobj": b"2"}
hub.upload_file(**upload)
stale = {**upload, "path_or_fileobj": b"3"}
assert refused(HfHubHTTPError, hub.upload_file, **stale, parent_commit=first.oid) == 412
proposed = hub.upload_file(**stale, create_pr=True).pr_revision
assert Path(hf_hub_download("a/b", "config.json", revision=proposed)).read_bytes() == b"3"
pulled = Path(snapshot_download("a/b", revision="v1"))
assert all((pulled / path.name).read_bytes() == path.read_bytes() for path in folder.iterdir())
assert refused(RepositoryNotFoundError, snapshot_download, "a/b", token=False) == 401
assert refused(RepositoryNotFoundError, snapshot_download, "a/c") == 404
assert refused(RevisionNotFoundError, snapshot_download, "a/b", revision="v2") == 404
assert refused(EntryNotFoundError, hf_hub_download, "a/b", "none.json") == 404
hub.create_repo("a/page", repo_type="space", space_sdk="gradio")
hub.upload_folder(repo_id="a/page", repo_type="space", folder_path=folder)
assert Path(hf_hub_download("a/page", "config.json", repo_type="space")).read_bytes() == b"1"
"""

# the client resumes in steps of 10 MB: smaller ones make a small file enough
RESUMED = """
from huggingface_hub import constants, hf_hub_download
constants.DOWNLOAD_CHUNK_SIZE = 1000
hf_hub_download("a/b", "model.safetensors")
"""


def run(script: str, *arguments: str, hub: HubServer, home: Path) -> None:
    """The script in a process that knows the hub and its token."""
    command = [sys.executable, "-c", script, *arguments]
    done = subprocess.run(
        command, env={**os.environ, **hub.environment(home, TOKEN)}, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr


def test_the_real_client_pushes_and_pulls(tmp_path: Path) -> None:
    files = {"config.json": b"1", "model.safetensors": bytes(range(256)) * 40, "README.md": b"---\nlicense: mit\n---\n"}
    (tmp_path / "model").mkdir()
    for name, content in files.items():
        (tmp_path / "model" / name).write_bytes(content)
    with HubServer() as hub:
        run(ROUND_TRIP, str(tmp_path / "model"), hub=hub, home=tmp_path / "home")
        assert [commit.title for commit in hub.commits("a/b", "v1")][1:] == ["initial commit"]
        assert len(hub.commits("a/b")) == 3
        assert hub.files("a/b", "v1").items() >= files.items()
        stored = hub.requests(" /storage/")
        assert {request.host for request in stored} == {"localhost"}
        assert not any(request.authorized for request in stored)


def test_a_download_that_breaks_off_is_resumed_where_it_ended(tmp_path: Path) -> None:
    weights = bytes(range(256)) * 40
    with HubServer() as hub:
        hub.push("a/b", {"model.safetensors": weights}, private=True)
        hub.faults.append(Fault("GET /storage/", cut_response=3000, times=1))
        run(RESUMED, hub=hub, home=tmp_path)
        first, second = hub.requests("GET /storage/")
        assert (first.range, first.sent) == (None, 3000)
        assert (second.range, second.status, second.sent) == ("bytes=3000-", 206, len(weights) - 3000)


@pytest.mark.parametrize("fault", [Fault("GET", hang=True), Fault("GET", cut_request=0), Fault("GET", status=500)])
def test_it_ends_at_once_whatever_goes_wrong(fault: Fault, tmp_path: Path) -> None:
    with HubServer() as hub:
        hub.push("a/b", {"config.json": "{}"})
        hub.faults.append(fault)
        script = f"import urllib.request; urllib.request.urlopen('{hub.url}/a/b/resolve/main/config.json')"
        client = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 20
        while not hub.log and time.monotonic() < deadline:
            time.sleep(0.01)
        started = time.monotonic()
    assert time.monotonic() - started < 1
    assert client.wait(10) != 0
    assert hub.log[0].status == fault.status
