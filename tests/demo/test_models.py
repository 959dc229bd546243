"""What the page says of its models: their kind, from config and card, and which examples they have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from configs import RGB, config_for, network_for, picture_config

from unetseg import SegmentationConfig, demo
from unetseg.demo import models
from unetseg.demo.later import Later


@pytest.mark.parametrize(
    ("config", "tags", "kind", "drawn"),
    [
        (config_for("binary"), [], "other", "ct"),
        (config_for("binary", window=(-160.0, 240.0)), [], "ct", "ct"),
        (config_for("multiclass", **RGB), ["satellite"], "aerial", "aerial"),
        (config_for("multiclass", **RGB), [], "other", "aerial"),
        # one draws for a grey model that labels small pictures, and whose card says that these are digits
        (picture_config(), ["mnist", "digits"], "digits", "digits"),
        (picture_config(), ["clothes"], "other", None),
        (config_for("multiclass with background"), ["digits"], "other", "ct"),
        (picture_config(working_size=64), ["digits"], "other", None),
        (picture_config(window=(-160.0, 240.0)), ["digits"], "ct", "ct"),
        (picture_config(**RGB), ["digits"], "other", None),
    ],
)
def test_kind_and_examples(
    config: SegmentationConfig, tags: list[str], kind: str, drawn: str | None, tmp_path: Path
) -> None:
    folder = network_for(config).save_pretrained(tmp_path / "mine")
    lines = "".join(f"- {tag}\n" for tag in tags)
    (folder / "README.md").write_text(f"---\nlicense: mit\ntags:\n{lines or '- unet'}\n---\n# Mine\n")
    said: dict[str, Any] = models.facts("mine", Later(str(folder)))
    assert said["kind"] == kind
    names = [] if drawn is None else [f"synthetic_{drawn}_{seed}" for seed in range(3)]
    assert [example["name"] for example in said["examples"]] == names
    assert models.sample_kind(Later(str(folder))) == drawn
    # small pictures stay squares
    form = "png" if drawn == "digits" else "jpeg"
    assert all(example["thumbnail"].startswith(f"data:image/{form};base64,") for example in said["examples"])


def test_a_card_on_the_page_has_no_pictures_and_no_words_below_them() -> None:
    text = "# One\n\nBefore.\n\n![What it is](views.png)\n\n*A picture of it.*\n\n*After* it.\n"
    assert models.card_html(text) == "<h1>One</h1>\n<p>Before.</p>\n<p><em>After</em> it.</p>\n"


def test_the_page_begins_with_liver_and_satellite() -> None:
    shipped = ["clothes-unet", "digits-unet", "liver-unet", "pets-unet", "satellite-unet"]
    assert demo.in_order(shipped) == ["liver-unet", "satellite-unet", "clothes-unet", "digits-unet", "pets-unet"]
    assert demo.in_order(["b", "satellite-unet", "a"]) == ["satellite-unet", "a", "b"]
