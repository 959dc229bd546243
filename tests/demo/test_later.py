"""Models of a page that are loaded when they are chosen."""

from __future__ import annotations

from pathlib import Path
from queue import Queue

import numpy as np
import pytest
from configs import config_for, network_for

from unetseg import Predictor
from unetseg.demo.handlers import Page
from unetseg.demo.jobs import Event, Visitor
from unetseg.demo.later import Later
from unetseg.files import WEIGHTS
from unetseg.formats import as_image
from unetseg.gate import Gate
from unetseg.samples import draw_sample


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return network_for(config_for("binary")).save_pretrained(tmp_path / "mine")


def outcome(page: Page, model: str) -> Event:
    """The last event of an example's run."""
    told: Queue[Event | None] = Queue()
    page.start(page.example(model, 0, page.store.new_key()), Visitor(""), told.put)
    *_, last = iter(lambda: told.get(timeout=60), None)
    return last


def test_it_says_what_a_predictor_says_and_labels_as_one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own, image = Predictor.from_pretrained(folder, device="cpu"), as_image(draw_sample("ct", 0, 64)[0])
    loaded: list[object] = []
    load = Predictor.from_pretrained
    monkeypatch.setattr(Predictor, "from_pretrained", lambda *name, **how: loaded.append(name) or load(*name, **how))
    later = Later(str(folder), device="cpu")
    assert (later.config, later.source, later.model, later.gate) == (own.config, own.source, "mine", None)
    assert not loaded
    for _ in range(2):
        found = later(image)
        assert found.model == own(image).model
        np.testing.assert_array_equal(found.labels(), own(image).labels())
    assert len(loaded) == 1
    shipped = Later("liver-unet")
    assert isinstance(shipped.gate, Gate)


def test_what_is_no_checkpoint_is_refused_at_once_and_a_damaged_one_when_it_is_chosen(folder: Path) -> None:
    page = Page({"whole": Later(str(folder), device="cpu"), "damaged": Later(str(folder), device="cpu")})
    try:
        assert outcome(page, "whole")["state"] == "done"
        (folder / WEIGHTS).write_bytes(b"damaged")
        failed = outcome(page, "damaged")
        assert failed["state"] == "error"
        assert "is not a whole safetensors file" in failed["error"]
        assert outcome(page, "whole")["state"] == "done", "it is in memory"
    finally:
        page.close()
    (folder / WEIGHTS).unlink()
    with pytest.raises(ValueError, match=f"has no {WEIGHTS}"):
        Later(str(folder))
    with pytest.raises(FileNotFoundError, match="no checkpoint"):
        Later("nowhere")
