"""A Space, from `unetseg space` to a picture in the browser: with its own requirements in an environment of its own.

The hub is the one of the tests; the folder of the Space is pulled from it, and nothing of the clone is beside it.
"""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

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
            expect(page.locator("#view")).to_be_visible(timeout=SECONDS)
            page.set_input_files("#upload input[type=file]", picture)
            commit = hub.commits("someone/liver")[0].oid[:7]
            for words in ("upload.png: 300 x 300 pixels, ", f"binary model liver (someone/liver at {commit})"):
                expect(page.locator("#status")).to_contain_text(words, timeout=SECONDS)
            expect(page.locator("#probability img")).to_be_visible(timeout=SECONDS)
            browser.close()
    finally:
        server.terminate()
        server.wait(timeout=30)
