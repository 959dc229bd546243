"""Checkpoints: what is saved comes back, what does not fit is refused, and nothing is ever half written."""

import json
import pickle
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from configs import config_for, network_for
from safetensors.torch import load, load_file, save_file
from torch import Tensor

from unetseg import Predictor, SegmentationConfig, UNet, hub
from unetseg.files import CONFIG, WEIGHTS

ROOT = Path(__file__).resolve().parents[2]
MEGABYTES = 2**20


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return network_for(config_for("binary")).save_pretrained(tmp_path / "checkpoint")


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, also hidden ones, by its path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def change_weights(checkpoint: Path, **changes: Tensor | None) -> None:
    """Replace some weights of a checkpoint, `_` standing for a dot; None takes one away."""
    weights = load((checkpoint / WEIGHTS).read_bytes())
    for name, weight in changes.items():
        weights.pop(name.replace("_", "."), None)
        if weight is not None:
            weights[name.replace("_", ".")] = weight
    save_file(weights, checkpoint / WEIGHTS)


# --- there and back ---------------------------------------------------------------------------------------------


def test_a_saved_network_predicts_the_same(config: SegmentationConfig, tmp_path: Path) -> None:
    network = network_for(config)
    folder = network.save_pretrained(tmp_path / "deep" / "checkpoint")
    assert contents(tmp_path).keys() == {"deep/checkpoint/config.json", "deep/checkpoint/model.safetensors"}
    again = UNet.from_pretrained(folder)
    assert (again.config, again.training) == (config, False)
    picture = np.random.default_rng(0).integers(0, 256, (20, 31), dtype=np.uint8)
    expected = Predictor(network, device="cpu")(picture)
    result = Predictor.from_pretrained(str(folder), device="cpu")(picture)
    assert torch.equal(result.logits, expected.logits)
    assert (result.labels() == expected.labels()).all()


def test_a_channels_last_network_is_saved(tmp_path: Path) -> None:
    network = network_for(config_for("binary"))
    expected = {name: value.clone() for name, value in network.state_dict().items()}
    folder = network.to(memory_format=torch.channels_last).save_pretrained(tmp_path / "checkpoint")  # type: ignore[call-overload]
    assert all(torch.equal(value, expected[name]) for name, value in load_file(folder / WEIGHTS).items())


def test_a_newer_checkpoint_replaces_the_whole_older_one(checkpoint: Path) -> None:
    network = network_for(config_for("multiclass"))
    hub.save(checkpoint, network.config, network.state_dict(), {"split.json": "{}", "views.png": b"\x89"})
    assert contents(checkpoint.parent).keys() == {
        f"checkpoint/{name}" for name in ("config.json", "model.safetensors", "split.json", "views.png")
    }
    assert UNet.from_pretrained(checkpoint).config == network.config


def test_who_may_read_the_config_may_read_the_weights(checkpoint: Path) -> None:
    assert len({path.stat().st_mode for path in checkpoint.iterdir()}) == 1


# --- whole or not at all ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("there_already", [True, False])
@pytest.mark.parametrize("failing", ["a file", "weights"])
def test_a_checkpoint_that_can_not_be_written_leaves_the_old_one_and_nothing_else(
    tmp_path: Path, failing: str, there_already: bool
) -> None:
    network = network_for(config_for("binary"))
    folder = tmp_path / "checkpoint"
    if there_already:
        network.save_pretrained(folder)
    before = contents(tmp_path)
    weights, files = network.state_dict(), {"README.md": "new"}
    if failing == "weights":  # two names for one tensor, which safetensors refuses
        weights["upsampling.0.bias"] = weights["head.bias"] = torch.zeros(8)
    else:
        files["README.md/in_a_file.txt"] = "new"
    with pytest.raises((OSError, RuntimeError)):
        hub.save(folder, network.config, weights, files)
    assert contents(tmp_path) == before
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"] * there_already


def test_what_is_no_checkpoint_is_not_overwritten(tmp_path: Path) -> None:
    network = network_for(config_for("binary"))
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.tex").write_text("years of work")
    (tmp_path / "notes").write_text("more work")
    before = contents(tmp_path)
    for name in ("thesis", "notes"):
        with pytest.raises(ValueError, match=f"{name} exists and is no checkpoint; choose another folder"):
            network.save_pretrained(tmp_path / name)
    assert contents(tmp_path) == before


def test_a_folder_that_can_not_be_made_is_named(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    place = tmp_path / "file" / "runs"
    words = rf"^{place} can't be written \(Not a directory\); name another file or folder$"
    with pytest.raises(OSError, match=words):
        UNet.from_pretrained(checkpoint).save_pretrained(place / "checkpoint")
    with pytest.raises(OSError, match=words):
        hub.copy(checkpoint, place / "checkpoint")


# --- what does not fit ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"head_bias": None}, "lacks 1 of the network's weights, first 'head.bias'"),
        ({"tail_bias": torch.zeros(1)}, "has unknown 1 of the network's weights, first 'tail.bias'"),
        ({"head_bias": torch.zeros(2)}, "head.bias is float32 (2,), expected float32 (1,)"),
        ({"head_bias": torch.zeros(1).half()}, "head.bias is float16 (1,), expected float32 (1,)"),
    ],
)
def test_weights_that_do_not_belong_to_the_config_are_refused(
    checkpoint: Path, changes: dict[str, Tensor | None], message: str
) -> None:
    change_weights(checkpoint, **changes)
    with pytest.raises(
        ValueError, match=rf"model\.safetensors:? {re.escape(message)}; it does not belong to this config\.json$"
    ):
        hub.load(checkpoint)


NO_NUMBERS = {
    "a NaN": ("head.weight", torch.nan, "holds numbers that are not finite"),
    "an infinity": ("contracting.0.0.weight", -torch.inf, "holds numbers that are not finite"),
    "a NaN of a norm": ("expanding.0.1.running_mean", torch.nan, "holds numbers that are not finite"),
    "a negative variance": ("contracting.1.4.running_var", -0.5, r"holds a negative variance \(-0\.5\)"),
}


@pytest.mark.parametrize("opened", [hub.load, UNet.from_pretrained, Predictor.from_pretrained])
@pytest.mark.parametrize("kind", NO_NUMBERS)
def test_weights_that_no_network_can_have_are_neither_loaded_nor_saved(
    checkpoint: Path, kind: str, opened: Callable[[Path], object]
) -> None:
    name, value, words = NO_NUMBERS[kind]
    weights = load((checkpoint / WEIGHTS).read_bytes())
    weights[name].view(-1)[-1] = value
    save_file(weights, checkpoint / WEIGHTS)
    with pytest.raises(ValueError, match=rf"model\.safetensors is damaged: {name} {words}; get or save it again$"):
        opened(checkpoint)
    before = contents(checkpoint.parent)
    with pytest.raises(ValueError, match=rf"checkpoint is not written: {name} {words}, which no one could load; "):
        hub.save(checkpoint, SegmentationConfig.from_file(checkpoint / CONFIG), weights)
    assert contents(checkpoint.parent) == before


def test_weights_of_another_network_are_refused(checkpoint: Path) -> None:
    other = config_for("binary", widths=(4, 8, 16))
    (checkpoint / CONFIG).write_text(other.to_json())
    with pytest.raises(ValueError, match=r"model\.safetensors lacks \d+ of the network's weights"):
        UNet.from_pretrained(checkpoint)


def test_an_unknown_field_of_the_config_is_refused(checkpoint: Path) -> None:
    fields = json.loads((checkpoint / CONFIG).read_text())
    (checkpoint / CONFIG).write_text(json.dumps({**fields, "treshold": 0.4}))
    with pytest.raises(ValueError, match=r"config\.json: unknown field 'treshold'; did you mean 'thresholds'\?$"):
        UNet.from_pretrained(checkpoint)


@pytest.mark.parametrize("damage", ["empty", "cut off", "a pickle", "a zipped pickle"])
def test_what_is_no_whole_safetensors_file_is_refused(checkpoint: Path, damage: str) -> None:
    path = checkpoint / WEIGHTS
    data = path.read_bytes()
    if damage == "a zipped pickle":
        torch.save(load(data), path)
    else:
        path.write_bytes({"empty": b"", "cut off": data[:-7], "a pickle": pickle.dumps({"head.bias": [0.0]})}[damage])
    with pytest.raises(ValueError, match=r"model\.safetensors is not a whole safetensors file [^\n]*$"):
        hub.load(checkpoint)


class Trap:
    """Unpickling it creates a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.safetensors"])
def test_a_pickle_is_never_opened(checkpoint: Path, name: str) -> None:
    sprung = checkpoint / "sprung"
    trap = pickle.dumps(Trap(sprung))
    pickle.loads(trap)
    assert sprung.exists()  # so the trap works
    sprung.unlink()
    (checkpoint / WEIGHTS).unlink()
    (checkpoint / name).write_bytes(trap)
    with pytest.raises(
        ValueError, match=r"pytorch_model\.bin is a pickle, which is never opened|not a whole safetensors"
    ):
        hub.load(checkpoint)
    assert not sprung.exists()


def test_a_checkpoint_without_weights_is_refused(checkpoint: Path) -> None:
    (checkpoint / WEIGHTS).unlink()
    with pytest.raises(ValueError, match=r"checkpoint has no model\.safetensors; save the checkpoint again$"):
        hub.load(checkpoint)


# --- names ------------------------------------------------------------------------------------------------------


def test_an_unknown_name_is_answered_with_the_known_ones(tmp_path: Path) -> None:
    for name in ("no-such-model", str(tmp_path)):
        with pytest.raises(FileNotFoundError, match=re.escape(f"no checkpoint {name!r}: expected a folder")) as caught:
            hub.find(name)
        assert all(known in str(caught.value) for known in hub.shipped())
        assert "in checkpoints/" in str(caught.value)


def test_a_folder_is_found_by_its_path(checkpoint: Path) -> None:
    assert hub.find(checkpoint).folder == hub.find(str(checkpoint)).folder == checkpoint


@pytest.mark.parametrize("opened", [UNet, Predictor])
def test_a_misspelt_option_is_refused_for_a_folder_too(opened: type[UNet | Predictor], checkpoint: Path) -> None:
    known = "known are revision, token, cache_dir, local_files_only, force_download"
    with pytest.raises(TypeError, match=f"^unknown option 'revison' of opening a checkpoint; {known}$"):
        opened.from_pretrained(checkpoint, revison="v1")


@pytest.mark.parametrize("name", hub.shipped())
def test_a_shipped_checkpoint_is_found_by_name_and_complete(name: str) -> None:
    folder = hub.find(name).folder
    assert folder == ROOT / "checkpoints" / name
    network = UNet.from_pretrained(name)
    assert all(value.isfinite().all() for value in network.state_dict().values())
    files = contents(folder)
    assert {"config.json", "model.safetensors", "README.md", "split.json"} <= files.keys()
    assert all(files.values()), "an empty file"
    assert sum(map(len, files.values())) <= 32 * MEGABYTES
    assert json.loads(files["split.json"])
