"""A Space, from `unetseg space` to a picture in the browser: with its own requirements in an environment of its own.

The hub is the one of the tests; the folder of the Space is pulled from it, and nothing of the clone is beside it.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import httpx
import PIL.Image
from playwright.sync_api import expect, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from conftest import FLAGS  # noqa: E402
from hub_server import TOKEN, HubServer  # noqa: E402

from unetseg.samples import draw_sample  # noqa: E402

SECONDS = 60_000  # of patience, in milliseconds

with HubServer() as hub, tempfile.TemporaryDirectory() as temporary:
    work = Path(temporary)
    plain = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    owner = plain | hub.environment(work / "owner", TOKEN)
    for arguments in (["push", "liver-unet", "someone/liver"], ["space", "someone/page", "--model", "someone/liver"]):
        subprocess.run([sys.executable, "-m", "unetseg", *arguments], env=owner, cwd=ROOT, check=True)

    space = work / "space"
    pull = ["hf", "download", "someone/page", "--repo-type", "space", "--local-dir", str(space), "--quiet"]
    subprocess.run(pull, env=owner, cwd=work, check=True)
    subprocess.run([sys.executable, "-m", "venv", str(work / "venv")], check=True)
    python = str(work / "venv" / "bin" / "python")
    install = ["-m", "pip", "install", "-q", "--disable-pip-version-check", "-r", "requirements.txt"]
    subprocess.run([python, *install], cwd=space, env=plain, check=True)

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    # as on the hub: the address and the port come from the environment
    visitor = plain | hub.environment(work / "visitor") | {"GRADIO_SERVER_PORT": str(port)}
    server = subprocess.Popen([python, "app.py"], cwd=space, env=visitor)
    try:
        for _ in range(1200):
            try:
                urllib.request.urlopen(address, timeout=5).close()
                break
            except OSError:
                assert server.poll() is None, "the Space ended"
                time.sleep(0.1)
        picture = work / "upload.png"
        PIL.Image.fromarray(draw_sample("ct", 7, 300)[0]).save(picture)
        with sync_playwright() as playwright:
            path = shutil.which(os.environ.get("UNETSEG_BROWSER", "chromium"))
            browser = playwright.chromium.launch(executable_path=path, args=FLAGS.split())
            page = browser.new_page()
            page.goto(address)
            # the example that is solved at the start, then the visitor's own
            expect(page.get_by_role("heading", name="synthetic_ct_0.png")).to_be_visible(timeout=SECONDS)
            page.locator("#unetseg input[type=file]").first.set_input_files(picture)
            expect(page.get_by_role("heading", name="upload.png")).to_be_visible(timeout=SECONDS)
            browser.close()
        commit = hub.commits("someone/liver")[0].oid
        with picture.open("rb") as file:
            told = httpx.post(f"{address}/unetseg/runs", data={"model": "liver"}, files={"file": file}, timeout=60).text
        result = json.loads(told.rpartition("data: ")[2])["result"]
        assert result["description"].startswith("upload.png: 300 x 300 pixels, "), result
        assert (result["source"], result["commit"]) == (f"someone/liver at {commit[:7]}", commit), result
        (model,) = httpx.get(f"{address}/unetseg/models").json()["models"]
        assert model["card"], "the card of the hub"
    finally:
        server.terminate()
        server.wait(timeout=30)
