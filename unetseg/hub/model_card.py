"""The README.md of a model repo on the hub: what its front matter must say, and how the model is called there."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Literal, get_args

import yaml

from ..config import SegmentationConfig
from .seal import MARKDOWN, is_edited, sealed, unsealed

License = Literal[
    "apache-2.0",
    "mit",
    "bsd-3-clause",
    "cc0-1.0",
    "cc-by-4.0",
    "cc-by-sa-3.0",
    "cc-by-sa-4.0",
    "cc-by-nc-4.0",
    "cc-by-nc-sa-4.0",
    "gpl-3.0",
    "openrail",
    "other",
]
LICENSES: tuple[License, ...] = get_args(License)
"""Identifiers of the hub that a card may name; `other` for all else, with a word on it in the text."""
PIPELINE_TAG = "image-segmentation"
_PICTURE = re.compile(r"!\[[^\[\]]*\]\(([\w-][\w.-]*\.(?:png|jpe?g|webp|gif))\)")
_CALL = re.compile(r'(from_pretrained\()"[^"\n]*"')
_COMMAND = re.compile(r"(python -m unetseg (?:verify|export|space --static --model) )\S+")


def pictures(text: str) -> tuple[str, ...]:
    """The names of the picture files beside a README that it shows."""
    return tuple(dict.fromkeys(_PICTURE.findall(text)))


def check(text: str, where: str = "README.md") -> None:
    """Raise ValueError, in one sentence, for front matter that the hub would not take or that says too little."""
    fields = front_matter(text, where)
    for name in ("license", "library_name", "pipeline_tag", "tags"):
        if not fields.get(name):
            raise ValueError(f"{where} has no {name} in its front matter; add one")
    if fields["license"] not in LICENSES:
        raise ValueError(f"{where} names the license {fields['license']!r}, expected one of {', '.join(LICENSES)}")
    if fields["pipeline_tag"] != PIPELINE_TAG:
        raise ValueError(f"{where} has the pipeline_tag {fields['pipeline_tag']!r}, expected {PIPELINE_TAG}")
    for name in ("tags", "datasets", "metrics"):
        values = fields.get(name, [])
        if not isinstance(values, list) or not all(isinstance(value, str) and value for value in values):
            raise ValueError(f"{where} has {name} {values!r} in its front matter, expected a list of words")


def front_matter(text: str, where: str = "README.md") -> dict[str, object]:
    """The fields between the two `---` lines that a README begins with; ValueError where there are none."""
    parts = re.match(r"---\n(.*?\n)---\n", text, re.DOTALL)
    try:
        fields = yaml.safe_load(parts[1]) if parts else None
    except yaml.YAMLError as error:
        raise ValueError(f"{where}: its front matter is no YAML ({' '.join(str(error).split())})") from None
    if not isinstance(fields, dict):
        raise ValueError(f"{where} does not begin with front matter, fields between two lines of ---")
    return fields


def for_repo(text: str, repo: str, tags: Sequence[str] = ()) -> str:
    """A README as it stands in a repo: its lines of code open that repo, and its front matter has these tags too.

    A text that the project wrote is sealed anew; one that a person changed stays theirs.
    """
    edited = is_edited(text, MARKDOWN)
    text = _CALL.sub(rf'\1"{repo}"', text if edited else unsealed(text, MARKDOWN))
    text = _COMMAND.sub(rf"\1{repo}", text)
    known = front_matter(text).get("tags") or []
    new = [tag for tag in dict.fromkeys(tags) if not isinstance(known, list) or tag not in known]
    if new:
        text = text.replace("\ntags:\n", "\ntags:\n" + "".join(f"- {json.dumps(tag)}\n" for tag in new), 1)
    return text if edited else sealed(text, MARKDOWN)


def elsewhere(config: SegmentationConfig) -> str:
    """The section on how a checkpoint proves itself, and runs without torch and in the browser."""
    read = {
        ("gray",): 'np.asarray(Image.open("picture.png").convert("L"), dtype=np.float32)[None, None] / 255',
        ("red", "green", "blue"): (
            'np.moveaxis(np.asarray(Image.open("picture.png").convert("RGB"), dtype=np.float32), 2, 0)[None] / 255'
        ),
    }
    pixels = read.get(config.channels, f"...  # (1,{len(config.channels)},H,W): {', '.join(config.channels)}")
    if config.exclusive or config.background is None:
        decision = "probabilities.argmax(axis=0)"
    elif len(config.outputs) == 1:
        decision = f"probabilities[0] >= {config.thresholds[0]:g}"
    else:
        decision = f"probabilities >= np.array({list(config.thresholds)})[:, None, None]  # a mask of each class"
    in_browser = (
        "python -m unetseg space --static --model path/to/this/folder --out page  # it runs in a browser\n"
        if config.channels in read
        else ""
    )
    return f"""## Elsewhere

```sh
python -m unetseg verify path/to/this/folder  # does it give here what it gave where it was trained?
python -m unetseg export path/to/this/folder --out model.onnx
{in_browser}```

`model.onnx` runs in any program with ONNX Runtime or OpenVINO. It takes pictures of any size, float32 (N,C,H,W) from
0 to 1, and gives calibrated probabilities of the same size; resizing, mean and std, scales and temperature are inside,
and its metadata hold the rest. Without torch:

```python
import numpy as np
import onnxruntime
from PIL import Image

x = {pixels}
probabilities = onnxruntime.InferenceSession("model.onnx").run(None, {{"image": x}})[0][0]  # (K,H,W)
labels = {decision}
```
{_in_qgis(config)}"""


def _in_qgis(config: SegmentationConfig) -> str:
    if config.window is not None:
        return ""
    if not config.exclusive and config.background is not None and len(config.classes) > 1:
        return (
            "\nIn QGIS: its plugin Deepness has no place for a background beside several sigmoids, so it can't show "
            "the labels of this model.\n"
        )
    resolution = "; the resolution is estimated" if config.ground_resolution else ", but for the resolution"
    return (
        "\nIn QGIS: export with `--tile 512`, for its plugin Deepness takes squares of one size alone, and choose the\n"
        f"file there as the model. Classes, tiles and threshold stand in it{resolution}.\n"
    )


def plain(config: SegmentationConfig) -> str:
    """A README for weights of which nothing is known but their config."""
    labels = "\n".join(
        f"| {i} | {name} | `{color}` |"
        for i, (name, color) in enumerate(zip(config.labels, config.palette, strict=True))
    )
    return sealed(
        f"""---
license: other
library_name: unetseg
pipeline_tag: {PIPELINE_TAG}
tags:
- {PIPELINE_TAG}
- unet
---
# A U-Net for {", ".join(config.classes)}

Nobody has written down what these weights were trained on, how good they are, or under which licence they stand.

```python
from unetseg import Predictor

segmentation = Predictor.from_pretrained("path/to/this/folder")("picture.png")
segmentation.save("labels.png")
```

Task: {config.task}. Input: {", ".join(config.channels)}.

| id | label | colour |
|---|---|---|
{labels}

{elsewhere(config)}""",
        MARKDOWN,
    )
