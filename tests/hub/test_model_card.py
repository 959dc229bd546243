import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from configs import config_for
from huggingface_hub import ModelCard

from unetseg import Predictor, SegmentationConfig, hub
from unetseg.__main__ import main, parser
from unetseg.hub.model_card import check, elsewhere, for_repo, front_matter, pictures, plain
from unetseg.hub.seal import MARKDOWN, is_edited, sealed

GOOD = """---
license: cc0-1.0
library_name: unetseg
pipeline_tag: image-segmentation
tags:
- unet
---
# A card
![One](one.png) and ![two](two.jpg), ![not ours](https://example.org/three.png) ![nor this](../four.png)

    Predictor.from_pretrained("path/to/this/folder")("picture.png")
"""


@pytest.mark.parametrize("name", hub.shipped())
def test_the_cards_of_shipped_checkpoints_are_such_as_the_hub_takes(name: str) -> None:
    text = (hub.find(name).folder / "README.md").read_text(encoding="utf-8")
    check(text)
    data = ModelCard(text).data
    assert data.library_name == "unetseg"
    assert data.datasets
    assert data.eval_results
    assert not is_edited(text, MARKDOWN)
    assert (
        {"views.png", "reliability.png", "thresholds.png"}
        <= set(pictures(text))
        <= set(hub.companions(hub.find(name).folder))
    )


def test_a_plain_card_is_complete_and_names_the_labels(config: SegmentationConfig) -> None:
    text = plain(config)
    check(text)
    assert not is_edited(text, MARKDOWN)
    for number, (name, color) in enumerate(zip(config.labels, config.palette, strict=True)):
        assert f"| {number} | {name} | `{color}` |" in text


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("---\n", "", "does not begin with front matter"),
        ("license: cc0-1.0", "license: nonsense", "names the license 'nonsense', expected one of apache-2.0, "),
        ("license: cc0-1.0\n", "", "has no license in its front matter"),
        ("pipeline_tag: image-segmentation", "pipeline_tag: text", "has the pipeline_tag 'text', expected image-seg"),
        ("tags:\n- unet\n", "", "has no tags"),
        ("- unet", "- 7", r"has tags \[7\]"),
        ("license: cc0-1.0", "license: [", "its front matter is no YAML"),
    ],
)
def test_front_matter_that_the_hub_would_refuse_is_told(old: str, new: str, message: str) -> None:
    check(GOOD)
    with pytest.raises(ValueError, match=rf"^a/README\.md:? {message}[^\n]*$"):
        check(GOOD.replace(old, new, 1), "a/README.md")


def test_the_pictures_of_a_card_are_files_beside_it() -> None:
    assert pictures(GOOD) == ("one.png", "two.jpg")


def test_in_a_repo_a_card_opens_that_repo_and_is_still_the_projects_own() -> None:
    result = for_repo(sealed(GOOD, MARKDOWN), "someone/model", ["liver", "unet", "liver"])
    assert 'Predictor.from_pretrained("someone/model")("picture.png")' in result
    assert front_matter(result)["tags"] == ["liver", "unet"]
    assert not is_edited(result, MARKDOWN)
    assert for_repo(result, "someone/model", ["liver"]) == result
    with_quote = for_repo(sealed(GOOD, MARKDOWN), "someone/model", ['a "b": c'])
    assert front_matter(with_quote)["tags"] == ['a "b": c', "unet"]


def test_a_card_that_a_person_wrote_stays_theirs() -> None:
    result = for_repo(GOOD, "someone/model")
    assert result == re.sub("path/to/this/folder", "someone/model", GOOD)
    assert is_edited(result, MARKDOWN)


def test_a_tag_finds_its_place_only_in_the_front_matter() -> None:
    config = config_for("binary")
    text = sealed(plain(config) + "\ntags:\n- no tag\n", MARKDOWN)
    assert for_repo(text, "a/b", ["new"]).count('- "new"') == 1
    assert front_matter(for_repo(text, "a/b", ["new"]))["tags"] == ["new", "image-segmentation", "unet"]


@pytest.mark.parametrize("name", hub.shipped())
def test_the_lines_without_torch_give_the_labels_of_the_predictor(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of the card, with the file that its command writes."""
    monkeypatch.chdir(tmp_path)
    folder = hub.find(name).folder
    shutil.copy(folder / "sample.png", "picture.png")
    text = (folder / "README.md").read_text(encoding="utf-8")
    (commands,) = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    *_, code = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    verify, export, page = (shlex.split(line, comments=True)[3:] for line in commands.splitlines())
    assert all(callable(parser().parse_args(words).run) for words in (verify, page))
    assert main([argument.replace("path/to/this/folder", str(folder)) for argument in export]) == 0
    found: dict[str, Any] = {}
    exec(code, found)
    expected = Predictor.from_pretrained(folder, device="cpu", precision="float32")("picture.png").labels()[0]
    assert np.array_equal(found["labels"], expected)


def test_the_code_of_a_card_is_that_of_its_task(config: SegmentationConfig) -> None:
    text = elsewhere(config)
    assert ("argmax" in text) == (config.exclusive or config.background is None)
    assert ("no place for a background" in text) == (len(config.outputs) > 1 and "argmax" not in text)
    assert "QGIS" not in elsewhere(config.model_copy(update={"window": (-160.0, 240.0)}))
    assert "space --static --model path/to/this/folder --out page  # it runs in a browser" in text
    names = ("red", "green", "blue", "infrared")
    assert "browser" not in elsewhere(config.model_copy(update={"channels": names})), "which opens no such pictures"
    assert "(1,4,H,W): red, green, blue, infrared" in elsewhere(config.model_copy(update={"channels": names}))


def test_commands_of_a_card_name_the_repo_that_it_lies_in() -> None:
    text = for_repo(plain(config_for("binary")), "someone/liver")
    assert "python -m unetseg verify someone/liver " in text
    assert "python -m unetseg space --static --model someone/liver --out" in text
    assert "python -m unetseg export other/liver --out" in for_repo(text, "other/liver")
    assert "path/to/this/folder" not in text
