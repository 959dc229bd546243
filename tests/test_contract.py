"""One contract for every way of predicting: the same picture gets the same labels, whichever way it takes."""

from __future__ import annotations

import json
import queue
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from clients import Client, labels_of
from configs import KINDS, config_for, network_for
from hub_server import HubServer
from numpy.typing import NDArray
from runtimes import Runtime, with_onnxruntime, with_openvino
from serving import ISOLATED, Host, Stranger, made

from unetseg import Predictor, UNet, proof
from unetseg.__main__ import main
from unetseg.demo.downloads import Choices
from unetseg.demo.handlers import Asked, Page
from unetseg.demo.jobs import Event, Visitor
from unetseg.demo.uploads import brought
from unetseg.export import as_onnx
from unetseg.fitting.recipe import toml
from unetseg.formats import as_image
from unetseg.prepare import scale

MODEL = "someone/model"


@dataclass(frozen=True)
class Given:
    """A checkpoint, here and on a hub, and a picture, as a file and as an array (H,W), with its expected labels."""

    checkpoint: Path
    hub: HubServer
    picture: Path
    pixels: NDArray[np.uint8]
    expected: NDArray[np.uint8]
    folder: Path  # for what a way writes
    fixture: Callable[[str], Any]  # by its name

    def wrong(self, labels: NDArray[np.uint8]) -> float:
        """The share of labels (H,W) that are not as expected."""
        assert (labels.shape, labels.dtype) == (self.expected.shape, self.expected.dtype)
        return float((labels != self.expected).mean())


def array(given: Given) -> float:
    return given.wrong(Predictor.from_pretrained(given.checkpoint)(given.pixels).labels()[0])


def path(given: Given) -> float:
    return given.wrong(Predictor.from_pretrained(given.checkpoint)(given.picture).labels()[0])


def command_line(given: Given) -> float:
    assert main(["predict", str(given.checkpoint), str(given.picture), "--out", str(given.folder)]) == 0
    return given.wrong(read(given.folder / f"{given.picture.stem}_labels.png"))


def evaluate(given: Given) -> float:
    """With the expected labels as mask."""
    data, config = given.folder / "data", Predictor.from_pretrained(given.checkpoint).config
    for name, pixels in (("images", given.pixels), ("masks", given.expected)):
        (data / name).mkdir(parents=True)
        PIL.Image.fromarray(pixels).save(data / name / "picture.png")
    fields = {name: getattr(config, name) for name in ("task", "classes", "palette", "channels")}
    lines = [f"{name} = {toml(list(v) if isinstance(v, tuple) else v)}" for name, v in fields.items()]
    if config.background is not None:
        lines.append(f"background = {toml(config.background)}")
    lines += ["[data.mask_values]", *(f"{i} = {toml(name)}" for i, name in enumerate(config.labels))]
    recipe, scores = given.folder / "recipe.toml", given.folder / "scores.json"
    recipe.write_text("\n".join(["[data]", *lines]))
    options = ["--recipe", str(recipe), "--data", str(data), "--split", "all", "--json", str(scores)]
    assert main(["evaluate", str(given.checkpoint), *options]) == 0
    return 1 - float(json.loads(scores.read_text())["accuracy"])


def page(given: Given) -> float:
    handlers = Page({"model": Predictor.from_pretrained(given.checkpoint)})
    told: queue.Queue[Event | None] = queue.Queue()
    key = handlers.store.new_key()
    upload = brought(str(given.picture), handlers.folder / key)
    handlers.start(Asked("model", key, upload), Visitor("somewhere"), told.put)
    while told.get(timeout=60) is not None:
        pass
    labels = read(handlers.download(key, "labels_png", Choices())[0])
    handlers.close()
    return given.wrong(labels)


def hub(given: Given) -> float:
    with Client(given.hub.environment(given.folder)) as client:
        return given.wrong(client.call(labels_of, MODEL, given.picture).given()[0])


def onnxruntime(given: Given) -> float:
    return exported(given, with_onnxruntime)


def openvino(given: Given) -> float:
    return exported(given, with_openvino)


def exported(given: Given, runtime: Runtime) -> float:
    network = UNet.from_pretrained(given.checkpoint)
    x = scale(as_image(given.pixels), network.config).numpy()
    return in_float32(given, proof.labels_of(runtime(as_onnx(network))(x)[0], network.config))


def static_page(given: Given) -> float:
    """What a visitor downloads who gives the picture to the page without a server."""
    folder = made(given.folder / "page", UNet.from_pretrained(given.checkpoint), given.fixture("built_page"))
    with Host(folder, ISOLATED) as host, Stranger(given.fixture("browser"), host).open() as visit:
        visit.upload(given.picture)
        return in_float32(given, read(visit.downloads(given.folder, "Label map")["Label map"]))


def in_float32(given: Given, labels: NDArray[np.uint8]) -> float:
    """Beside the labels of float32, whatever the others take here."""
    expected = Predictor.from_pretrained(given.checkpoint, device="cpu", precision="float32")(given.pixels).labels()[0]
    return replace(given, expected=expected).wrong(labels)


# each with the share of labels that may differ: none at one precision and number of threads, some on other runtimes
WAYS: dict[Callable[[Given], float], float] = {array: 0, path: 0, command_line: 0, evaluate: 0, page: 0, hub: 0}
WAYS |= dict.fromkeys((onnxruntime, openvino, static_page), 1e-4)


def read(labels: Path) -> NDArray[np.uint8]:
    return np.asarray(PIL.Image.open(labels))


@pytest.fixture(scope="module", params=KINDS)
def given(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Given]:
    """A picture that is reduced, seen at two scales and tiled, with a threshold and temperature that matter."""
    folder = tmp_path_factory.mktemp("given")
    plain = config_for(request.param)
    config = plain.model_copy(
        update={
            "working_scale": 0.9,
            "scales": (1.0, 0.5),
            "thresholds": (0.7,) * len(plain.thresholds),
            "temperatures": tuple(0.5 + i for i in range(len(plain.temperatures))),
        }
    )
    coarse = PIL.Image.fromarray(np.random.default_rng(3).integers(0, 256, (6, 140), dtype=np.uint8))
    pixels = np.asarray(coarse.resize((700, 30), PIL.Image.Resampling.NEAREST))
    PIL.Image.fromarray(pixels).save(folder / "picture.png")
    network = network_for(config)
    with torch.no_grad():  # as many pixels for a class as against it
        network.head.weight.mul_(50)
        network.head.bias.sub_(Predictor(network)(pixels).logits.mean(dim=(0, 2, 3)))
    checkpoint = network.save_pretrained(folder / "checkpoint")
    expected = Predictor.from_pretrained(checkpoint)(pixels).labels()[0]
    assert all((expected == label).mean() > 0.005 for label in range(len(config.labels))), "a label is hardly there"
    with HubServer() as server:
        server.push(MODEL, {file.name: file.read_bytes() for file in checkpoint.iterdir()})
        yield Given(checkpoint, server, folder / "picture.png", pixels, expected, folder, request.getfixturevalue)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_every_way_gives_the_same_labels(
    way: Callable[[Given], float], given: Given, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    assert way(replace(given, folder=tmp_path, fixture=request.getfixturevalue)) <= WAYS[way]


def test_a_way_that_went_wrong_would_be_seen(given: Given) -> None:
    other = given.expected.copy()
    other[7, 9] = (other[7, 9] + 1) % 2
    assert given.wrong(other) == pytest.approx(1 / other.size)
