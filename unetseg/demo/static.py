"""The page without a server: what npm makes of `web/`, and beside it a model that runs in the visitor's browser."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import logging
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import PIL.Image

from ..export import as_onnx, metadata
from ..files import BUILT, PAGE, README, one_line, read_json
from ..hub.space import static_readme
from ..model import UNet
from ..predictor import Predictor
from ..samples import draw_sample
from .models import facts, sample_kind

log = logging.getLogger(__name__)

SOURCES = Path(__file__).parents[2] / "web"
"""In a clone."""
CARRIED = Path(__file__).with_name("built")
"""In an installed package, if npm had built the page where its wheel was built."""
_, MODEL, NETWORK, EXAMPLE = PAGE
SHOWN = ("title", "card", "licence", "medical", "source", "commit", "scores", "curve")
KIND = {"kind": "page without a server", "mark": BUILT}
"""What `whole_folder` may replace."""
READABLE = (("gray",), ("red", "green", "blue"))
"""Channels of what a browser opens."""


def page_files(
    network: UNet, built: Path | None = None, *, repo: str | None = None, float16: bool = False
) -> dict[str, bytes]:
    """The files of a page that shows one model, by path; the same again are the same bytes.

    built: the folder of the page; None takes that of `built_page`, once the model's own files are there. repo: of the
    Space, whose title is its name. float16: weights of half the size. ValueError for a model that takes other pictures
    than a browser opens, or for a folder that isn't whole.
    """
    if network.config.channels not in READABLE:
        raise ValueError(
            f"a browser opens grey and RGB pictures, and this model sees {', '.join(network.config.channels)}; "
            "show it with python app.py"
        )
    predictor = Predictor(network, device="cpu", precision="float32")
    known = facts(predictor.model, predictor)
    title = known["title"] if repo is None else repo.rpartition("/")[2]
    readme = static_readme(title, known["source"], known["licence"], on_hub=bool(known["commit"]))
    files = {README: readme, NETWORK: gzip.compress(as_onnx(network, float16=float16), 9, mtime=0)}
    kind = sample_kind(predictor)
    if kind is not None:
        file = io.BytesIO()
        PIL.Image.fromarray(draw_sample(kind, 0)[0]).save(file, "PNG")
        files[EXAMPLE] = file.getvalue()
    return read_built(built or built_page()) | files | {MODEL: _said(files, network, known)}


def built_page() -> Path:
    """The folder of the page: in a clone npm builds it, elsewhere the installed package carries it."""
    if (SOURCES / "package.json").is_file():
        log.info("npm builds the page")
        _npm("ci", "--no-audit", "--no-fund", "--prefer-offline")
        _npm("run", "build")
        return SOURCES / "dist"
    if not (CARRIED / BUILT).is_file():
        raise ValueError(
            "this installation of unetseg carries no page for browsers, for npm was missing where it was built; "
            "run the command in a clone"
        )
    return CARRIED


def read_built(folder: Path) -> dict[str, bytes]:
    """The files of a built page by path, compared with the list among them."""
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    for name, listed in read_json(folder / BUILT).items():
        if name not in files or _sizes(files[name])["sha256"] != listed["sha256"]:
            raise ValueError(f"{folder / name} is not the file that was built; build the page again")
    return dict(sorted(files.items()))


def _npm(*arguments: str) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise ValueError("in a clone npm builds the page, and there is none; install Node.js, which brings it")
    done = subprocess.run([npm, *arguments], cwd=SOURCES, capture_output=True, text=True, check=False)
    if done.returncode:
        command = " ".join(("npm", *(word for word in arguments if not word.startswith("-"))))
        said = one_line(done.stderr.strip() or done.stdout)
        raise ValueError(f"the page was not built: `{command}` failed in {SOURCES} ({said}); try it there")


def _said(files: Mapping[str, bytes], network: UNet, known: Mapping[str, Any]) -> bytes:
    """What the page is told of its model."""
    packed = files[NETWORK]
    unpacked = {f"unpacked_{name}": value for name, value in _sizes(gzip.decompress(packed)).items()}
    said = {
        "config": json.loads(network.config.to_json()),
        **{name: known[name] for name in SHOWN},
        "files": {NETWORK: _sizes(packed) | unpacked},
        "metadata": metadata(network),
        "example": EXAMPLE if EXAMPLE in files else None,
    }
    return json.dumps(said, ensure_ascii=False, allow_nan=False).encode()


def _sizes(data: bytes) -> dict[str, Any]:
    return {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
