"""What travels to the browser decides as Python does."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from configs import KINDS, config_for, segmented
from numpy.typing import NDArray
from scenes import ct, scene
from unpacked import unpacked

from unetseg import Segmentation, render
from unetseg.demo.packed import counted, entropy, packed, tile

SLIDER = [k / 100 for k in range(101)]
SIZES = [(1, 1), (1, 9), (9, 1), (37, 41)]


def sent(segmentation: Segmentation) -> tuple[dict, dict[str, NDArray]]:
    return unpacked(packed(segmentation, 0, segmentation.shape[1:]))


def decided(header: dict, planes: dict[str, NDArray], thresholds: list[float]) -> NDArray:
    """The labels, from what was sent alone."""
    task, outputs = header["task"], len(header["task"]["outputs"])
    if task["exclusive"] or task["background"] is None:
        return planes.get("labels", planes["argmax"])
    claimed = np.stack([planes[f"level{k}"] >= from_level(header, k, thresholds[k]) for k in range(outputs)])
    labels = np.zeros(claimed.shape[1:], dtype=int)
    ranked = [planes[f"order{j}"] for j in range(outputs)] if outputs > 1 else [np.zeros_like(planes["level0"])]
    for order in reversed(ranked):
        labels = np.where(np.take_along_axis(claimed, order[None], 0)[0], order.astype(int) + 1, labels)
    return labels


def from_level(header: dict, k: int, threshold: float) -> int:
    levels = header["levels"][k]
    if threshold == levels["own"]["value"]:
        return levels["own"]["level"]
    return levels["at"][SLIDER.index(threshold)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", SIZES)
def test_levels_reach_every_step_and_the_own_threshold_as_probabilities_do(kind: str, size: tuple[int, int]) -> None:
    segmentation = scene(kind, *size)
    header, planes = sent(segmentation)
    probabilities = segmentation.probabilities[0].numpy()
    for k, own in enumerate(segmentation.config.thresholds):
        for threshold in (*SLIDER, own):
            reached = planes[f"level{k}"] >= from_level(header, k, threshold)
            np.testing.assert_array_equal(reached, probabilities[k] >= np.float32(threshold), f"{threshold}")


@pytest.mark.parametrize("kind", KINDS)
def test_greys_are_within_one_and_what_is_sure_is_black_or_white(kind: str) -> None:
    segmentation = scene(kind, 61, 83)
    header, planes = sent(segmentation)
    for k, levels in enumerate(header["levels"]):
        grey = np.array(levels["grey"])[planes[f"level{k}"]]
        exact = render.probability(segmentation.probabilities[0].numpy(), k)[..., 0].astype(int)
        assert np.abs(grey - exact).max() <= 1
        assert levels["grey"][0] == 0
        assert levels["grey"][-1] == 255


@pytest.mark.parametrize("own", [0.0, 0.005, 0.12, 0.1234, 0.9999, 1.0])
def test_greys_are_within_one_of_any_probability(own: float) -> None:
    config = config_for("binary", thresholds=(own,))
    logits = torch.logit(torch.linspace(0, 1, 100_000)).clamp(-90, 90).reshape(1, 1, 100, 1000)
    segmentation = segmented(logits, np.zeros((1, 100, 1000, 3), np.uint8), config)
    header, planes = sent(segmentation)
    grey = np.array(header["levels"][0]["grey"])[planes["level0"]]
    assert np.abs(grey - segmentation.view("probability")[..., 0].astype(int)).max() <= 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", SIZES)
def test_decisions_follow_for_all_thresholds_also_mixed(kind: str, size: tuple[int, int]) -> None:
    segmentation = scene(kind, *size)
    config = segmentation.config
    header, planes = sent(segmentation)
    np.testing.assert_array_equal(planes["argmax"], segmentation.argmax())
    random = np.random.default_rng(1)
    mixed = [random.choice([*SLIDER, own], 60).tolist() for own in config.thresholds]
    same = [[step] * 60 for step in (0.0, 0.5, 1.0)]
    for limits in [*zip(*mixed, strict=True), *(step[: len(config.outputs)] for step in same), config.thresholds]:
        expected = segmentation.labels(limits, index=0)
        np.testing.assert_array_equal(decided(header, planes, list(limits)), expected, str(limits))


def test_labels_are_sent_only_where_nothing_else_tells_them() -> None:
    names = {kind: set(sent(scene(kind, 30, 40))[1]) for kind in KINDS}
    assert names["binary"] == {"level0", "argmax", "picture"}
    assert names["multiclass"] == {"level0", "level1", "level2", "argmax", "picture"}
    assert "labels" in names["one-vs-rest"]
    assert "labels" not in sent(scene("one-vs-rest", 30, 40, temperatures=(1.0,) * 3))[1]
    assert {"order0", "order1", "order2"} <= names["one-vs-rest with background"]


@pytest.mark.parametrize("size", SIZES)
def test_a_picture_is_as_python_draws_it(size: tuple[int, int]) -> None:
    segmentation = scene("multiclass", *size)
    _, planes = sent(segmentation)
    np.testing.assert_array_equal(np.moveaxis(planes["picture"], 0, 2), segmentation.rgb[0])
    grey = dataclasses.replace(segmentation, drawn=np.repeat(segmentation.rgb[..., :1], 3, axis=3))
    np.testing.assert_array_equal(sent(grey)[1]["picture"], grey.rgb[0, ..., 0])


def test_hounsfield_units_are_sent_themselves_with_the_window_in_which_the_network_saw_them() -> None:
    values = np.random.default_rng(0).integers(-(2**15), 2**15, (23, 31), dtype=np.int16)
    values[0, :2] = (-(2**15), 2**15 - 1)  # differences that 16 bits don't hold
    header, planes = sent(ct(values))
    np.testing.assert_array_equal(planes["hounsfield"], values)
    assert header["window"] == [-160, 240]
    assert "picture" not in planes


@pytest.mark.parametrize("wrong", [40.5, 40_000.0])
def test_hounsfield_units_that_are_no_whole_numbers_of_16_bits_are_sent_as_a_picture(wrong: float) -> None:
    segmentation = ct(np.array([[0.0, wrong]], dtype=np.float32))
    _, planes = sent(segmentation)
    assert "hounsfield" not in planes
    np.testing.assert_array_equal(planes["picture"], segmentation.rgb[0, ..., 0])


def test_a_reduced_ct_is_sent_as_it_is_drawn_and_as_numbers_for_other_windows() -> None:
    values = np.random.default_rng(0).integers(-300, 300, (40, 60), dtype=np.int16)
    shown = ct(values).reduced(30)
    _, planes = sent(shown)
    np.testing.assert_array_equal(planes["picture"], shown.rgb[0, ..., 0])
    np.testing.assert_array_equal(planes["hounsfield"], shown.image.pixels[0, ..., 0])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("network", [(50, 30), (100, 60)], ids=["enlarged", "its own size"])
def test_a_tile_is_a_part_of_the_full_size(kind: str, network: tuple[int, int]) -> None:
    full = scene(kind, 100, 60)
    full = dataclasses.replace(full, network_logits=scene(kind, *network).network_logits)
    _, whole = sent(full)
    header, part = unpacked(tile(full, 0, 20, 7, 61, 60))
    assert (header["top"], header["left"], header["height"], header["width"]) == (20, 7, 41, 53)
    assert header["full"] == [100, 60]
    for name, plane in part.items():
        assert np.array_equal(plane, whole[name][..., 20:61, 7:60]), name


def test_a_tile_of_a_high_picture_is_a_part_of_it() -> None:
    drawn = np.random.default_rng(0).integers(0, 256, (1, 1100, 5, 3), dtype=np.uint8)
    full = segmented(torch.randn(1, 3, 550, 3), drawn, config_for("multiclass"))
    levels = sent(full)[1]["level1"]
    np.testing.assert_array_equal(unpacked(tile(full, 0, 1000, 1, 1090, 4))[1]["level1"], levels[1000:1090, 1:4])


def test_a_tile_of_a_ct_has_its_numbers() -> None:
    values = np.arange(-200, 400, dtype=np.int16).reshape(20, 30)
    np.testing.assert_array_equal(unpacked(tile(ct(values), 0, 3, 4, 9, 30))[1]["hounsfield"], values[3:9, 4:30])


@pytest.mark.parametrize("place", [(-1, 0, 5, 5), (0, 0, 0, 5), (0, 0, 5, 61), (0, 7, 5, 7)])
def test_a_tile_lies_within_its_picture(place: tuple[int, int, int, int]) -> None:
    with pytest.raises(ValueError, match="a tile lies within 100 x 60 pixels"):
        tile(scene("binary", 100, 60), 0, *place)


@pytest.mark.parametrize("kind", KINDS)
def test_entropy_is_sent_as_python_draws_it(kind: str) -> None:
    segmentation = scene(kind, 20, 30)
    header, planes = unpacked(entropy(segmentation))
    assert (header["height"], header["width"]) == (20, 30)
    np.testing.assert_array_equal(planes.pop("entropy"), segmentation.view("entropy")[..., 0])
    for name, plane in planes.items():
        output = segmentation.config.outputs[int(name.removeprefix("entropy"))]
        np.testing.assert_array_equal(plane, segmentation.view("entropy", class_name=output)[..., 0])
    assert len(planes) == (3 if kind.startswith("one-vs-rest") else 0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("has_void", [False, True])
def test_counts_are_those_of_all_valid_pixels(kind: str, has_void: bool) -> None:
    full = scene(kind, 1040, 9)  # high enough for several bands
    valid = np.ones(full.shape, dtype=bool)
    if has_void:
        valid[0, 70:900, 2:] = False
        full = dataclasses.replace(full, image=dataclasses.replace(full.image, valid=valid))
    config, seen = full.config, valid[0]
    counts = counted(full, 0)
    assert counts["of"] == seen.sum()
    size = len(config.labels)
    assert counts["argmax"] == np.bincount(full.argmax()[seen], minlength=size).tolist()
    if config.exclusive or config.background is None:
        assert counts["labels"] == np.bincount(full.labels(index=0)[seen], minlength=size).tolist()
    else:
        assert counts["labels"] is None
    probabilities = full.probabilities[0].numpy()
    for k, own in enumerate(config.thresholds):
        steps = np.array([*SLIDER, own], dtype=np.float32)
        assert counts["claims"][k] == [int((probabilities[k][seen] >= step).sum()) for step in steps]


def test_a_slice_of_a_volume_is_its_own() -> None:
    one, other = (scene("binary", 20, 30), scene("binary", 20, 30, temperatures=(9.0,)))
    volume = dataclasses.replace(
        one,
        network_logits=torch.cat([one.network_logits, -other.network_logits]),
        image=dataclasses.replace(one.image, pixels=np.concatenate([one.image.pixels, 255 - other.image.pixels])),
        drawn=None,
        between=((0, 255),),
        config=config_for("binary", channels=("red", "green", "blue"), mean=(0.4,) * 3, std=(0.2,) * 3),
    )
    header, planes = unpacked(packed(volume.alone(1), 1, (20, 30), counted(volume, 1)))
    assert header["index"] == 1
    np.testing.assert_array_equal(np.moveaxis(planes["picture"], 0, 2), volume.rgb[1])
    np.testing.assert_array_equal(planes["argmax"], volume.argmax(1))
    assert header["counts"]["argmax"][1] == int(volume.argmax(1).sum())
    np.testing.assert_array_equal(unpacked(tile(volume, 1, 2, 3, 9, 9))[1]["argmax"], volume.argmax(1)[2:9, 3:9])
