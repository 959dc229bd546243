"""The test picture of a checkpoint: what is written and read back, what is refused, and how labels are decided."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import torch
from configs import config_for, network_for

from unetseg import SegmentationConfig, UNet, task
from unetseg.files import EXPECTED, PICTURE, WEIGHTS
from unetseg.proof import Proof, labels_of

CONFIG = config_for("multiclass")


def proof(seed: int = 0) -> Proof:
    logits = torch.randn(1, 3, 6, 8, generator=torch.Generator().manual_seed(seed))
    probabilities = task.activate(logits, CONFIG)[0].numpy()
    return Proof(b"a picture", task.decode(logits, CONFIG)[0].numpy(), probabilities)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkpoint with a proof."""
    folder = network_for(CONFIG).save_pretrained(tmp_path / "checkpoint")
    for name, data in proof().files((folder / WEIGHTS).read_bytes()).items():
        (folder / name).write_bytes(data)
    return folder


def test_what_is_written_is_read_back(folder: Path) -> None:
    back = Proof.load(folder, CONFIG)
    assert back is not None
    assert back.picture == b"a picture"
    assert np.array_equal(back.labels, proof().labels)
    np.testing.assert_allclose(back.probabilities, proof().probabilities, atol=1e-5)
    assert (back.agreement(proof().labels), back.difference(proof().probabilities) < 1e-5) == (1, True)
    assert back.agreement(proof(1).labels) < 0.9
    assert back.difference(proof(1).probabilities) > 0.1
    assert back.difference(proof().probabilities * np.float32(np.nan)) == np.inf


def test_it_is_written_the_same_again() -> None:
    assert proof().files(b"weights") == proof().files(b"weights")


def test_a_checkpoint_without_it_opens_and_has_none(tmp_path: Path) -> None:
    folder = network_for(CONFIG).save_pretrained(tmp_path / "old")
    assert Proof.load(folder, CONFIG) is None
    assert UNet.from_pretrained(folder).config == CONFIG


def test_it_goes_with_the_checkpoint_as_long_as_the_weights_are_the_same(folder: Path, tmp_path: Path) -> None:
    network = UNet.from_pretrained(folder)
    assert Proof.load(network.save_pretrained(tmp_path / "same"), CONFIG) is not None
    with torch.no_grad():
        network.head.bias += 1
    assert Proof.load(network.save_pretrained(tmp_path / "changed"), CONFIG) is None


def test_other_weights_or_another_picture_are_named(folder: Path) -> None:
    weights = (folder / WEIGHTS).read_bytes()
    with torch.no_grad():
        network = UNet.from_pretrained(folder)
        network.head.bias += 1
    (folder / WEIGHTS).write_bytes(safetensors.numpy.save({k: v.numpy() for k, v in network.state_dict().items()}))
    with pytest.raises(ValueError, match=r"belongs to another model\.safetensors than the one beside it$"):
        Proof.load(folder, CONFIG)
    (folder / WEIGHTS).write_bytes(weights)
    (folder / PICTURE).write_bytes(b"another")
    with pytest.raises(ValueError, match=r"belongs to another sample\.png than the one beside it$"):
        Proof.load(folder, CONFIG)


@pytest.mark.parametrize(("lacking", "other"), [(PICTURE, EXPECTED), (EXPECTED, PICTURE)])
def test_half_of_it_is_refused(folder: Path, lacking: str, other: str) -> None:
    (folder / lacking).unlink()
    with pytest.raises(ValueError, match=rf"has {other} and no {lacking}, which belong together"):
        Proof.load(folder, CONFIG)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"more": np.zeros(1)}, "is no test of a checkpoint: 'more' is lacking or unknown"),
        ({"labels": np.zeros((0, 4), np.uint8)}, r"labels are \(0, 4\), expected some rows and columns"),
        ({"labels": np.zeros(5, np.uint8)}, r"labels are \(5,\), expected some rows and columns"),
        ({"labels": np.zeros((1, 300), np.uint8)}, r"labels are \(1, 300\), expected some rows and columns"),
        ({"labels": np.zeros((6, 8))}, r"labels is float64 \(6, 8\), expected uint8 \(6, 8\)"),
        (
            {"probabilities": np.zeros((2, 6, 8), np.uint16)},
            r"probabilities is uint16 \(2, 6, 8\), expected uint16 \(3",
        ),
        ({"labels": np.full((6, 8), 3, np.uint8)}, r"is damaged: it holds the label 3, expected 0\.\.2"),
    ],
)
def test_what_is_no_test_of_the_network_is_refused(folder: Path, change: dict[str, Any], message: str) -> None:
    tensors = safetensors.numpy.load((folder / EXPECTED).read_bytes())
    (folder / EXPECTED).write_bytes(safetensors.numpy.save(tensors | change))
    with pytest.raises(ValueError, match=message):
        Proof.load(folder, CONFIG)


def test_damaged_and_too_large_files_are_refused(folder: Path) -> None:
    (folder / EXPECTED).write_bytes(b"no safetensors")
    with pytest.raises(ValueError, match="is not a whole safetensors file"):
        Proof.load(folder, CONFIG)
    (folder / EXPECTED).write_bytes(bytes(2_000_001))
    with pytest.raises(ValueError, match="has 2,000,001 bytes, expected at most 2,000,000"):
        Proof.load(folder, CONFIG)


def test_labels_of_probabilities_are_those_of_logits(config: SegmentationConfig) -> None:
    config = config.model_copy(update={"thresholds": (0.6,) * len(config.thresholds)})
    logits = torch.randn(1, len(config.outputs), 20, 30, generator=torch.Generator().manual_seed(0))
    found = labels_of(task.activate(logits, config)[0].numpy(), config)
    assert np.array_equal(found, task.decode(logits, config)[0].numpy())
    assert len(np.unique(found)) == len(config.labels)
