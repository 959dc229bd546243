"""A Space on the hub that serves the page, and what the hub must know of it.

Either this package, a starter and its requirements; or the files of a page without a server.
"""

from __future__ import annotations

import contextlib
import json
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from . import checkpoint, download
from .seal import MARKDOWN, sealed
from .upload import Pushed, commit

PACKAGES = ("torch", "huggingface_hub", "safetensors", "numpy", "pillow", "gradio")
READERS = ("pydicom", "python-gdcm", "highdicom", "nibabel", "rasterio", "scipy")
"""A Space opens the medical and geographic files that the place where it is made opens."""


def make_space(
    repo: str,
    models: Sequence[str],
    *,
    private: bool | None = None,
    token: str | bool | None = None,
    overwrite_card: bool = False,
) -> Pushed:
    """Put up a Space `owner/name` whose page offers models of the hub, each `owner/name[@revision]`.

    Each is opened first, so that no Space is made for a model that it could not show. All else as in `upload.push`.
    """
    for model in models:
        name = download.parse(model)
        if name is None:
            raise ValueError(f"a Space shows models of the hub, got {model!r}; push it first and name it owner/name")
        checkpoint.load(download.fetch(*name, token=token).folder)
    return commit(
        repo,
        space_files(repo, models),
        kind="space",
        sdk="gradio",
        message="The page of unetseg",
        private=private,
        token=token,
        overwrite_card=overwrite_card,
    )


def make_static_space(
    repo: str,
    files: Mapping[str, bytes],
    *,
    private: bool | None = None,
    token: str | bool | None = None,
    overwrite_card: bool = False,
) -> Pushed:
    """Put up a Space `owner/name` of a page without a server, of which these are all files."""
    return commit(
        repo,
        files,
        kind="space",
        sdk="static",
        message="The page of unetseg, without a server",
        private=private,
        token=token,
        overwrite_card=overwrite_card,
    )


def space_files(repo: str, models: Sequence[str]) -> dict[str, bytes]:
    """The files of a Space by path: README.md, app.py, requirements.txt and the package, as they are installed here."""
    package = Path(__file__).parents[1]
    carried = package / "demo" / "built"  # of a wheel: the page without a server
    code = sorted(
        path
        for path in package.rglob("*")
        if path.suffix in (".py", ".css", ".js", ".svg") and carried not in path.parents
    )
    files = {f"unetseg/{path.relative_to(package).as_posix()}": path.read_bytes() for path in code}
    texts = {
        "README.md": _readme(repo, models),
        "app.py": _starter(models),
        # a local part as in 2.13.0+cpu names a build that only some registries have
        "requirements.txt": "".join(f"{name}=={version(name).partition('+')[0]}\n" for name in _installed()),
    }
    return files | {name: text.encode() for name, text in texts.items()}


def _installed() -> list[str]:
    found = list(PACKAGES)
    for name in READERS:
        with contextlib.suppress(PackageNotFoundError):
            version(name)
            found.append(name)
    return found


def _starter(models: Sequence[str]) -> str:
    arguments = [argument for model in models for argument in ("--model", model)]
    return f'''"""The page of unetseg with the models of this Space."""

from unetseg.demo import main

if __name__ == "__main__":
    main({arguments!r})
'''


def _readme(repo: str, models: Sequence[str]) -> str:
    repos = [model.partition("@")[0] for model in models]
    listed = "\n".join(f"- {name}" for name in dict.fromkeys(repos))
    python = ".".join(platform.python_version_tuple()[:2])
    return sealed(
        f"""---
title: "{repo.rpartition("/")[2]}"
sdk: gradio
sdk_version: {version("gradio")}
python_version: "{python}"
app_file: app.py
license: apache-2.0
short_description: A U-Net labels every pixel of your picture
tags:
- image-segmentation
- unet
models:
{listed}
---
Upload a picture and switch between probability, thresholded and argmax-colourised output. What is shown:
{", ".join(f"[{name}](https://huggingface.co/{name})" for name in dict.fromkeys(repos))}. A model's card says what
it was trained on, how good it is and where it fails. None is a medical device.
""",
        MARKDOWN,
    )


def static_readme(title: str, model: str, licence: str | None, *, on_hub: bool) -> bytes:
    """The README of a page without a server, which makes the hub serve it.

    model: what it shows; on_hub: whether by this name it is a repo of the hub. licence: of the model.
    """
    repo = model.partition("@")[0]
    models = f"models:\n- {repo}\n" if on_hub else ""
    link = f"[{repo}](https://huggingface.co/{repo})" if on_hub else f"`{model}`"
    return sealed(
        f"""---
title: {json.dumps(title, ensure_ascii=False)}
sdk: static
app_file: index.html
license: {licence or "other"}
short_description: A U-Net in your browser labels every pixel
tags:
- image-segmentation
- unet
{models}custom_headers:
  cross-origin-embedder-policy: require-corp
  cross-origin-opener-policy: same-origin
  cross-origin-resource-policy: cross-origin
---
{link} in the browser of whoever opens this page: pictures stay on their machine, nothing is sent anywhere, and after
the first visit it works without a network. The card of the model, on the page, says what it was trained on, how good it
is and where it fails. It is no medical device. The custom headers allow the model several threads; without them it
takes one. The licence is that of the model; the code of the page is under Apache-2.0.
""",
        MARKDOWN,
    ).encode()
