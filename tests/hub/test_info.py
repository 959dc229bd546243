"""What `info` tells of a checkpoint is what its files say."""

import json
from pathlib import Path

import pytest
from configs import config_for, network_for

from unetseg import hub
from unetseg.hub.info import description


@pytest.mark.parametrize("name", hub.shipped())
def test_a_shipped_checkpoint_tells_what_it_is_and_how_good(name: str) -> None:
    source = hub.find(name, companions=True)
    config, _ = hub.load(source.folder)
    test = json.loads((source.folder / "scores.json").read_text())["test"]
    text = description(source)
    lines = text.splitlines()
    assert lines[0] == str(source.folder)
    assert f"task: {config.task}" in lines
    assert all(f"{i} {label}" in text for i, label in enumerate(config.labels))
    assert f"{config.parameters:,} parameters" in text
    assert any(line.startswith("license: ") for line in lines)
    assert any(line.startswith("pictures: ") and "(test)" in line for line in lines)
    assert any(line.startswith("scores (test): ") and f"accuracy {test['accuracy']:.3f}" in line for line in lines)


@pytest.mark.parametrize("text", ["[1]", '{"val": {"miou": 1%s}}' % ("0" * 400)])
def test_papers_that_no_run_wrote_are_told(tmp_path: Path, text: str) -> None:
    folder = network_for(config_for("binary")).save_pretrained(tmp_path / "checkpoint")
    assert "scores" not in description(hub.find(folder, companions=True))
    (folder / "scores.json").write_text(text)
    with pytest.raises(ValueError, match=r"scores\.json is not such as a run writes it; get it again$"):
        description(hub.find(folder, companions=True))
