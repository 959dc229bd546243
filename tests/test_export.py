"""The ONNX file of a checkpoint: what any runtime makes of a picture is what the Predictor makes of it."""

from __future__ import annotations

import itertools
import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from configs import KINDS, RGB, config_for, network_for
from numpy.typing import NDArray
from runtimes import Network, Runtime, with_onnxruntime, with_openvino

from unetseg import Image, Predictor, SegmentationConfig, UNet
from unetseg.__main__ import main
from unetseg.export import INPUT, OPSET, OUTPUT, as_onnx, export, metadata
from unetseg.formats import as_image, read_image
from unetseg.prepare import scale
from unetseg.proof import labels_of

RUNTIMES = (with_onnxruntime, with_openvino)


def picture(config: SegmentationConfig, height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    coarse = np.random.default_rng(seed).integers(0, 256, (-(-height // 4), -(-width // 4), 3), dtype=np.uint8)
    pixels = coarse.repeat(4, axis=0).repeat(4, axis=1)[:height, :width]
    return pixels if len(config.channels) == 3 else pixels[..., 0]


def compared(network: UNet, run: Network, image: Image) -> tuple[float, float]:
    """The share of equal labels, and the largest difference of a probability."""
    # in one piece, as the file takes it
    expected = Predictor(network, device="cpu", precision="float32", tile=8192)(image)
    found = run(scale(image, network.config).numpy())
    assert (found.dtype, found.shape) == (np.float32, tuple(expected.probabilities.shape))
    same = labels_of(found[0], network.config) == expected.labels()[0]
    return float(same.mean()), float(np.abs(found - expected.probabilities.numpy()).max())


# --- agreement ----------------------------------------------------------------------------------------------------


SIZES: dict[str, dict[str, Any]] = {
    "as stored": {},
    "two scales": {"scales": (1.0, 0.5)},
    "other scales": {"scales": (0.7, 1.5, 1.0)},
    "reduced": {"working_scale": 0.6, "scales": (1.0, 0.5)},
    "smaller": {"working_size": 40, "scales": (1.0, 0.5)},
    "larger": {"working_size": 150},
    "in colour": RGB,
    "deep": {"widths": (4, 4, 4, 4, 4), "scales": (1.0, 0.5)},
}


@pytest.mark.parametrize("runtime", RUNTIMES, ids=lambda runtime: runtime.__name__)
@pytest.mark.parametrize("sizes", SIZES)
def test_a_runtime_sees_what_the_predictor_sees(sizes: str, runtime: Runtime) -> None:
    network = network_for(config_for("binary", temperatures=(1.7,), **SIZES[sizes]))
    run = runtime(as_onnx(network))
    for height, width in ((64, 64), (37, 83), (96, 50), (1, 9)):
        agreement, difference = compared(network, run, as_image(picture(network.config, height, width)))
        assert difference < 1e-4
        assert agreement >= 1 - 2 / (height * width)


@pytest.mark.parametrize("runtime", RUNTIMES, ids=lambda runtime: runtime.__name__)
@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_task_keeps_its_decision(kind: str, runtime: Runtime) -> None:
    plain = config_for(kind)
    temperatures = tuple(0.5 + i for i in range(len(plain.temperatures)))
    network = network_for(config_for(kind, temperatures=temperatures, thresholds=(0.7,) * len(plain.thresholds)))
    agreement, difference = compared(network, runtime(as_onnx(network)), as_image(picture(plain, 48, 50)))
    assert difference < 1e-4
    assert agreement >= 1 - 2 / (48 * 50)


@pytest.mark.parametrize(
    ("sizes", "height", "width"),
    [
        ({"working_size": 150}, 15, 36),  # 62.5 rows, which float64 calls 62.50000000000001
        ({"working_size": 40}, 10, 16),  # 25 exactly
        ({"working_size": 100}, 3, 8),  # 37.5, to the even one
        ({"working_size": 100}, 1, 8),  # 12.5
        ({"working_scale": 0.5}, 7, 9),  # 3.5 and 4.5
        ({"working_scale": 0.7}, 45, 15),  # 31.499999999999996 and 10.5
        ({"working_scale": 0.01}, 5, 7),
    ],
)
def test_sizes_are_rounded_as_python_rounds_them(sizes: dict[str, Any], height: int, width: int) -> None:
    network = network_for(config_for("binary", **sizes))
    _, difference = compared(
        network, with_onnxruntime(as_onnx(network)), as_image(picture(network.config, height, width))
    )
    assert difference < 1e-4


def test_whole_sizes_need_no_float64_which_the_runtime_for_graphics_cards_lacks() -> None:
    def casts(**sizes: Any) -> set[int]:  # noqa: ANN401, any field
        graph = onnx.load_from_string(as_onnx(network_for(config_for("binary", **sizes)))).graph
        return {node.attribute[0].i for node in graph.node if node.op_type == "Cast"}

    assert onnx.TensorProto.DOUBLE not in casts(working_size=150, scales=(1.0, 0.5, 1.25))
    assert onnx.TensorProto.DOUBLE in casts(working_scale=0.7)


def test_pictures_of_a_batch_are_each_as_alone() -> None:
    network = network_for(config_for("multiclass", scales=(1.0, 0.5)))
    run = with_onnxruntime(as_onnx(network))
    x = np.random.default_rng(0).random((3, 1, 40, 26), dtype=np.float32)
    together = run(x)
    assert together.shape == (3, 3, 40, 26)
    np.testing.assert_allclose(together, np.concatenate([run(x[i : i + 1]) for i in range(3)]), atol=1e-5)


def test_half_of_an_even_size_is_the_strided_filter_renormalised_at_the_border() -> None:
    """1 3 3 1, by the one row of a network that only passes on what it sees at half the size."""
    config = config_for("binary", mean=(0.0,), std=(1.0,), widths=(1, 1), scales=(0.5,))
    network = UNet(config).eval()
    with torch.no_grad():
        for name, value in network.state_dict().items():
            value.zero_()
            if name.endswith("running_var"):
                value.fill_(1 - 1e-5)
        for block in (network.contracting[0], network.expanding[0]):
            for number in (0, 3):
                block[number].weight[0, 0, 1, 1] = 1
                block[number + 1].weight.fill_(1)
        network.head.weight.fill_(1)
    x = np.zeros((1, 1, 8, 8), np.float32)
    x[..., 1, :] = 1  # the second row alone
    p = with_onnxruntime(as_onnx(network))(x)[0, 0, :, 0]
    logits = np.log(p / (1 - p))
    # of the rows of the half one has 3 of 7 parts of it, at the border, and the next 1 of 8
    half = [3 / 7, 1 / 8, 0, 0]
    expected = [
        half[0],
        *(a + w * (b - a) for a, b in itertools.pairwise(half) for w in (0.25, 0.75)),
        half[3],
    ]
    np.testing.assert_allclose(logits, expected, atol=1e-6)


@pytest.mark.parametrize("runtime", RUNTIMES, ids=lambda runtime: runtime.__name__)
@pytest.mark.parametrize(("name", "folder", "count"), [("liver-unet", "liver", 8), ("satellite-unet", "satellite", 9)])
def test_real_pictures_get_the_same_labels(
    name: str, folder: str, count: int, runtime: Runtime, real_data: Path
) -> None:
    network = UNet.from_pretrained(name)
    run = runtime(as_onnx(network))
    paths = sorted((real_data / folder / "images").iterdir())
    seen = 0
    for path in paths[:: len(paths) // count]:
        image = read_image(path)
        if image.pixels.size < 2_500_000:  # memory for larger ones in one piece is not everywhere
            agreement, difference = compared(network, run, image)
            assert agreement >= 0.9999, path.name
            assert difference <= 1e-3, path.name
            seen += 1
    assert seen >= 3


# --- the file -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def liver() -> onnx.ModelProto:
    return onnx.load_from_string(as_onnx(UNet.from_pretrained("liver-unet")))


def facts(model: onnx.ModelProto) -> dict[str, str]:
    return {entry.key: entry.value for entry in model.metadata_props}


def test_it_is_one_file_that_holds_each_weight_once_and_no_norms(liver: onnx.ModelProto) -> None:
    graph = liver.graph
    assert [entry.version for entry in liver.opset_import] == [OPSET]
    assert {node.op_type for node in graph.node}.isdisjoint({"BatchNormalization", "If", "Loop"})
    weights = [constant for constant in graph.initializer if constant.dims and len(constant.dims) == 4]
    config = UNet.from_pretrained("liver-unet").config
    assert sum(math.prod(constant.dims) for constant in weights) == sum(
        math.prod(shape) for shape in config.weights.values() if len(shape) == 4
    )
    assert all(constant.data_location == onnx.TensorProto.DEFAULT for constant in graph.initializer)


def test_names_and_sizes_are_told_and_any_size_is_taken(liver: onnx.ModelProto) -> None:
    def shape(value: onnx.ValueInfoProto) -> list[str | int]:
        return [side.dim_param or side.dim_value for side in value.type.tensor_type.shape.dim]

    (given,), (found,) = liver.graph.input, liver.graph.output
    assert (given.name, shape(given)) == (INPUT, ["batch", 1, "height", "width"])
    assert (found.name, shape(found)) == (OUTPUT, ["batch", 1, "height", "width"])


def test_nothing_of_the_machine_is_in_it(tmp_path: Path) -> None:
    folder = network_for(config_for("binary")).save_pretrained(tmp_path / "checkpoint")
    data = as_onnx(UNet.from_pretrained(folder))
    for word in (str(tmp_path), str(Path.home()), str(Path(__file__).parent.parent), ".py", "forward"):
        assert word.encode() not in data
    assert data == as_onnx(UNet.from_pretrained(folder)), "the same again is the same file"


def test_it_says_all_that_the_config_says_and_how_it_is_used(liver: onnx.ModelProto) -> None:
    network = UNet.from_pretrained("liver-unet")
    said = facts(liver)
    assert SegmentationConfig.model_validate_json(said["config.json"]) == network.config
    assert "Hounsfield units -160 is 0 and 240 1" in said["input"]
    assert "multiple of 32" in said["padding"]
    assert len(said["weights_sha256"]) == 64


def test_half_the_bytes_with_float16(liver: onnx.ModelProto) -> None:
    network = UNet.from_pretrained("liver-unet")
    data = as_onnx(network, float16=True)
    assert len(data) < 0.51 * liver.ByteSize()
    agreement, difference = compared(network, with_onnxruntime(data), read_image(sample("liver-unet")))
    assert agreement >= 0.999
    assert 1e-6 < difference < 5e-3


def sample(name: str) -> Path:
    source = UNet.from_pretrained(name).source
    assert source is not None
    return source.folder / "sample.png"


def test_weights_that_float16_has_no_number_for_are_refused() -> None:
    network = network_for(config_for("binary"))
    with torch.no_grad():
        network.head.bias.fill_(1e5)
    as_onnx(network)
    with pytest.raises(ValueError, match=r"^head.bias holds 100000, and float16 ends at 65504; leave out --float16$"):
        as_onnx(network, float16=True)


# --- QGIS's Deepness ----------------------------------------------------------------------------------------------


def as_deepness_does(p: NDArray[np.float32], said: dict[str, str]) -> NDArray[np.intp]:
    """What it makes of an output (K,H,W): numbers below the threshold are 0, then argmax, or what isn't 0."""
    p = np.where(p < json.loads(said["seg_thresh"]), 0, p)
    return (p[0] != 0).astype(int) if len(p) == 1 else p.argmax(axis=0)


@pytest.mark.parametrize("kind", ["binary", "multiclass", "multiclass with background", "one-vs-rest"])
def test_deepness_finds_the_same_labels_by_what_the_file_says(kind: str) -> None:
    plain = config_for(kind, **RGB)
    network = network_for(config_for(kind, thresholds=(0.7,) * len(plain.thresholds), **RGB))
    data = as_onnx(network, tile=48)
    said = facts(onnx.load_from_string(data))
    assert json.loads(said["model_type"]) == "Segmentor"
    names = json.loads(said["class_names"])
    assert [names[str(i)] for i in range(len(names))] == list(network.config.outputs)
    pixels = picture(network.config, 48, 48)
    mean, std = json.loads(said["standardization_mean"]), json.loads(said["standardization_std"])
    x = np.float32(((np.float32(pixels / 255) - mean) / std).transpose(2, 0, 1)[None])
    found = as_deepness_does(with_onnxruntime(data)(x)[0], said)
    assert np.array_equal(found, Predictor(network, device="cpu", precision="float32")(pixels).labels()[0])


def test_deepness_is_told_a_size_and_whether_the_resolution_is_estimated() -> None:
    network = network_for(config_for("multiclass", format=2, ground_resolution=(0.25, 1.0)))
    said = metadata(network, tile=320)
    assert (said["tile_size"], said["tiles_size"], said["resolution"]) == ("320", "320", "50.0")
    assert "estimated" in said["resolution_is"]
    assert "resolution" not in metadata(network_for(config_for("multiclass")))
    model = onnx.load_from_string(as_onnx(network, tile=320))
    sides = [side.dim_value for side in model.graph.input[0].type.tensor_type.shape.dim]
    assert sides[2:] == [320, 320], "it takes no other files"


def test_deepness_is_told_nothing_of_a_background_that_it_has_no_place_for() -> None:
    said = metadata(network_for(config_for("one-vs-rest with background")))
    assert "config.json" in said
    assert "model_type" not in said


# --- the command --------------------------------------------------------------------------------------------------


def test_export_writes_a_new_file_and_leaves_others_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    checkpoint = str(network_for(config_for("binary")).save_pretrained(tmp_path / "checkpoint"))
    path = tmp_path / "a.onnx"
    assert main(["export", checkpoint, "--out", str(path)]) == 0
    written = path.read_bytes()
    assert main(["export", checkpoint, "--out", str(path), "--float16"]) == 1
    assert f"error: {path} exists; name another file" in caplog.text
    assert path.read_bytes() == written
    assert main(["export", checkpoint, "--out", str(tmp_path / "none" / "a.onnx")]) == 1
    assert "there is no folder" in caplog.text
    assert main(["export", checkpoint, "--out", str(tmp_path / "b.onnx"), "--tile", "0"]) == 1
    assert "a tile has at least one pixel a side, got 0" in caplog.text
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.onnx", "checkpoint"]


def test_without_onnx_the_command_that_brings_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ValueError, match=r"^the export to ONNX needs onnx: pip install 'unetseg\[onnx\]'$"):
        export(network_for(config_for("binary")), tmp_path / "a.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_network_of_no_checkpoint_can_be_exported_too() -> None:
    network = network_for(config_for("binary"))
    assert "weights_sha256" not in metadata(network)
