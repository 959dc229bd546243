"""What a prediction says of a picture that its model has not seen the like of, and what a change gives back."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from configs import RGB, config_for, network_for
from hypothesis import given, settings
from hypothesis import strategies as st
from test_gate import intensities

from unetseg import Image, Predictor, SegmentationConfig
from unetseg.__main__ import main
from unetseg.change import Change
from unetseg.files import GATE, WEIGHTS
from unetseg.formats import Raster, as_image
from unetseg.gate import INVERTED, fitted
from unetseg.measure import Cleaning
from unetseg.samples import draw_sample

UTM = "EPSG:32633"


def pictures(count: int = 12) -> list[Image]:
    return [as_image(draw_sample("ct", seed, 32)[0], name=f"{seed}.png") for seed in range(count)]


def predictor_with_gate(config: SegmentationConfig, *, limit: float | None = None) -> Predictor:
    """Of a tiny network, with a gate of some generated slices; the limit is the farthest of them unless given."""
    predictor = Predictor(network_for(config), device="cpu", precision="float32")
    found = [predictor(image) for image in pictures()]
    gate = fitted(torch.cat([one.features[0] for one in found if one.features is not None]), intensities(config))
    distances = [float(gate.distances(one.features)[0]) for one in found if one.features is not None]
    predictor.gate = replace(gate, limit=max(distances) * 1.01 if limit is None else limit)
    return predictor


def negative() -> Image:
    return as_image(255 - pictures(1)[0].pixels[0, ..., 0], name="a.png")


def test_a_foreign_picture_is_told_and_a_familiar_one_is_not() -> None:
    predictor = predictor_with_gate(config_for("binary", scales=(1.0, 0.5)))
    familiar, foreign = predictor(pictures(1)[0]), predictor(negative())
    assert familiar.distance is not None
    assert foreign.distance is not None
    assert familiar.limit is not None
    assert familiar.distance <= familiar.limit < foreign.distance
    assert familiar.notices == ()
    assert foreign.notices[0].startswith("a.png is unlike the pictures that this model was trained on (distance ")
    assert foreign.proposal == Change(inverted=True)
    assert foreign.notices[1].startswith("a.png would be nearer")
    assert foreign.notices[1].endswith(" if it were inverted")
    told = foreign.report()
    assert (told["distance"], told["limit"], told["agreement"]) == (foreign.distance, foreign.limit, foreign.agreement)
    assert (told["proposal"], told["accepted"]) == ("inverted", None)


@pytest.mark.parametrize("working_size", [None, 16])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.float64])
def test_a_grey_picture_of_any_type_is_looked_at_as_colour(dtype: type[np.generic], working_size: int | None) -> None:
    """Grey is shown to a network of three channels; what is proposed of it is looked at in the same way."""
    predictor = predictor_with_gate(config_for("binary", **RGB, working_size=working_size), limit=0.0)
    top = np.iinfo(dtype).max if np.issubdtype(dtype, np.integer) else 1
    grey = np.round(pictures(1)[0].pixels[0, ..., 0] / 255 * top).astype(dtype)
    found, colour = predictor(grey), predictor(np.repeat(grey[..., None], 3, axis=2))
    assert torch.equal(found.logits, colour.logits)
    assert found.distance == colour.distance


def test_an_accepted_proposal_gives_the_labels_of_the_changed_picture() -> None:
    predictor = predictor_with_gate(config_for("binary"))
    found = predictor(negative(), accept_proposals=True)
    assert (found.accepted, found.proposal) == (Change(inverted=True), None)
    assert found.notices == ("a.png was inverted before it was segmented, as was proposed",)
    expected = predictor(pictures(1)[0])
    assert (found.labels() == expected.labels()).all()
    assert (found.rgb == expected.rgb).all()
    assert predictor(pictures(1)[0], accept_proposals=True).accepted is None


@settings(max_examples=20)
@given(
    view=st.integers(0, INVERTED - 1), height=st.integers(17, 40), width=st.integers(17, 40), depth=st.integers(1, 3)
)
def test_labels_come_back_as_the_picture_lies(view: int, height: int, width: int, depth: int) -> None:
    predictor = Predictor(network_for(config_for("multiclass")), device="cpu", precision="float32")
    pixels = np.random.default_rng(view).integers(0, 256, (depth, height, width, 1), dtype=np.uint8)
    change = Change(view=view)
    (found,) = predictor._segmented([Image(pixels, (0, 255))], change)
    turned = predictor(Image(np.ascontiguousarray(change.pixels(pixels)), (0, 255)))
    assert found.shape == (depth, height, width)
    expected = change.pixels(found.labels()[..., None])[..., 0]
    assert (turned.labels() == expected).all()


def test_a_checkpoint_without_a_gate_says_nothing(tmp_path: Path) -> None:
    network_for(config_for("binary")).save_pretrained(tmp_path / "a")
    found = Predictor.from_pretrained(tmp_path / "a", device="cpu")(negative())
    assert (found.distance, found.limit, found.proposal, found.notices) == (None, None, None, ())
    assert "percentiles" not in found.explain()


def test_a_gate_of_other_weights_is_named_and_not_used(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = network_for(config_for("binary")).save_pretrained(tmp_path / "a")
    gate = predictor_with_gate(config_for("binary")).gate
    assert gate is not None
    (folder / GATE).write_bytes(gate.save(b"others"))
    assert Predictor.from_pretrained(folder, device="cpu").gate is None
    assert "gate.safetensors belongs to other weights than model.safetensors beside it, and is not used" in caplog.text
    (folder / GATE).write_bytes(gate.save((folder / WEIGHTS).read_bytes()))
    assert Predictor.from_pretrained(folder, device="cpu").gate is not None


def test_a_volume_is_judged_by_the_median_of_its_slices_and_each_slice_by_itself() -> None:
    predictor = predictor_with_gate(config_for("binary"))
    some = [*pictures(2), negative()]
    volume = predictor(Image(np.concatenate([image.pixels for image in some]), (0, 255)))
    each = [predictor(image).distance for image in some]
    assert volume.distance == pytest.approx(sorted(d for d in each if d is not None)[1], rel=1e-4)
    assert volume.alone(2).distance == pytest.approx(each[2], rel=1e-4)
    assert volume.notices == ()


def test_one_scale_has_no_agreement_and_two_have_that_of_their_labels() -> None:
    assert Predictor(network_for(config_for("binary")), device="cpu")(pictures(1)[0]).agreement is None
    config = config_for("multiclass", scales=(1.0, 0.5))
    found = Predictor(network_for(config), device="cpu")(pictures(1)[0])
    assert found.agreement is not None
    assert 0 <= found.agreement <= 1
    assert found.alone(0).agreement == found.agreement


def test_a_thorough_agreement_looks_once_more_and_changes_no_label() -> None:
    for scales in ((1.0,), (1.0, 0.5)):
        network = network_for(config_for("binary", scales=scales))
        plain, thorough = (
            Predictor(network, device="cpu", precision="float32", agreement=how)(pictures(1)[0])
            for how in ("scales", "thorough")  # type: ignore[arg-type]
        )
        assert torch.equal(plain.network_logits, thorough.network_logits)
        assert thorough.agreement is not None
        assert 0 < thorough.agreement <= 1
        assert thorough.agreement != plain.agreement
    with pytest.raises(ValueError, match="unknown agreement 'some'; choose scales or thorough"):
        Predictor(network, agreement="some")  # type: ignore[arg-type]


def test_why_it_is_black_is_explained() -> None:
    predictor = predictor_with_gate(config_for("binary", thresholds=(1.0,)))
    found = predictor(pictures(1)[0])
    assert found.found_nothing()
    assert not found.found_nothing([0.1])
    assert found.report([0.1])["explanation"] is None
    said = found.explain()
    highest = float(found.probabilities.max())
    assert said.startswith(f"The highest probability of liver is {highest:.2g}; a threshold of ")
    limit = float(said.partition("a threshold of ")[2].partition(" ")[0])
    assert found.labels([limit * 0.98]).any()
    assert "those of the training pictures were 0.17, 0.50, 0.83." in said
    assert found.report()["explanation"] == said
    assert found.explain(index=0) == said


def test_where_there_is_no_background_something_is_always_found() -> None:
    found = Predictor(network_for(config_for("multiclass")), device="cpu")(pictures(1)[0])
    assert not found.found_nothing()
    assert found.report()["explanation"] is None
    assert "threshold" not in found.explain()


def at(metres: float) -> Image:
    image = as_image(draw_sample("ct", 0, 32)[0], name="a.tif")
    return replace(image, place=Raster(UTM, (metres, 0, 500_000, 0, -metres, 5_000_000), (32, 32)))


def test_what_is_cleaned_away_or_lies_where_nothing_is_counts_as_not_found() -> None:
    predictor = predictor_with_gate(config_for("binary", thresholds=(0.0,)))
    image = pictures(1)[0]
    found = predictor(image)
    assert not found.found_nothing()
    assert found.found_nothing(cleaning=Cleaning(minimum=32 * 32 + 1))
    nowhere = predictor(replace(image, valid=np.zeros((1, 32, 32), dtype=np.bool_)))
    assert nowhere.found_nothing()
    assert "percentiles" not in nowhere.explain()
    half = replace(image, valid=np.arange(32)[None, None, :].repeat(32, axis=1) < 16)
    assert "percentiles" in predictor(half).explain()


def test_empty_tiles_count_as_windows_and_neighbours_change_nothing() -> None:
    """A volume of more than a tile with an empty slice; each slice is judged as it is alone."""
    config = config_for("binary", scales=(1.0, 0.5))
    predictor = Predictor(network_for(config), device="cpu", tile=64, overlap=8)
    predictor.gate = predictor_with_gate(config).gate
    pixels = np.random.default_rng(0).integers(0, 256, (3, 90, 150, 1), dtype=np.uint8)
    pixels[1], pixels[2, :, 70:] = 0, 0
    volume = predictor(Image(pixels, (0, 255)))
    each = [predictor(Image(one[None], (0, 255))) for one in pixels]
    assert volume.features is not None
    for index, alone in enumerate(each):
        assert alone.features is not None
        torch.testing.assert_close(volume.features[index], alone.features[0], atol=1e-3, rtol=1e-2)
        assert volume.alone(index).distance == pytest.approx(alone.distance, rel=1e-2)


def test_the_window_that_was_accepted_is_told() -> None:
    predictor = Predictor(network_for(config_for("binary")), device="cpu")
    (found,) = predictor._segmented([pictures(1)[0]], Change(window=(0.2, 0.4), inverted=True))
    assert found.description().endswith("values 102 to 51")
    assert "values 102" not in predictor(pictures(1)[0]).description()


def test_with_a_working_size_the_ground_is_told_and_nothing_proposed() -> None:
    config = config_for("binary", format=2, ground_resolution=(0.2, 1.0), working_size=32)
    found = Predictor(network_for(config), device="cpu")(at(5.0))
    assert found.notices[0].startswith("a.tif has 5 m a pixel on the ground")
    assert found.proposal is None


@pytest.mark.parametrize(("metres", "zoom"), [(3.0, 3.0), (2.0, 2.0), (0.1, 0.5)])
def test_a_raster_of_another_resolution_gets_a_proposal(metres: float, zoom: float) -> None:
    config = config_for("binary", format=2, ground_resolution=(0.2, 1.0))
    predictor = Predictor(network_for(config), device="cpu", precision="float32")
    image = at(metres)
    found = predictor(image)
    assert found.proposal is not None
    assert found.proposal.zoom == pytest.approx(zoom, rel=0.01)
    assert found.notices[0].startswith(
        f"a.tif has {metres:g} m a pixel on the ground, and this model was trained on 0.2 to"
    )
    accepted = predictor(image, accept_proposals=True)
    assert accepted.shape == found.shape
    assert accepted.network_logits.shape[-1] == round(32 * accepted.accepted.zoom)  # type: ignore[union-attr]
    assert predictor(at(0.5)).notices == ()
    assert Predictor(network_for(config_for("binary")), device="cpu")(image).notices == ()


def test_the_command_explains_a_single_empty_result_and_not_each_of_many(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = network_for(config_for("binary", working_size=32, thresholds=(1.0,))).save_pretrained(tmp_path / "model")
    (tmp_path / "in").mkdir()
    for image in pictures(2):
        PIL.Image.fromarray(image.pixels[0, ..., 0]).save(tmp_path / "in" / image.name)

    def said(place: str, out: str) -> str:
        assert main(["predict", str(folder), str(tmp_path / place), "--out", str(tmp_path / out), "--report"]) == 0
        return capsys.readouterr().err

    assert "note: nothing is found in 0.png: The highest probability of liver is" in said("in/0.png", "one")
    assert "nothing is found" not in said("in", "many")
    reports = [json.loads((tmp_path / "many" / f"{n}_report.json").read_text()) for n in (0, 1)]
    assert all(one["explanation"].startswith("The highest probability of liver is") for one in reports)


def test_the_command_accepts_proposals(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = config_for("binary", working_size=32)
    predictor = predictor_with_gate(config)
    folder = network_for(config).save_pretrained(tmp_path / "model")
    assert predictor.gate is not None
    (folder / GATE).write_bytes(predictor.gate.save((folder / WEIGHTS).read_bytes()))
    PIL.Image.fromarray(negative().pixels[0, ..., 0]).save(tmp_path / "a.png")

    def told(out: str, *more: str) -> dict[str, Any]:
        words = ["predict", str(folder), str(tmp_path / "a.png"), "--out", str(tmp_path / out), "--report", *more]
        assert main([*words, "--device", "cpu"]) == 0
        found: dict[str, Any] = json.loads((tmp_path / out / "a_report.json").read_text())
        return found

    assert told("plain")["proposal"] == "inverted"
    assert "note: --accept-proposals segments a.png inverted\n" in capsys.readouterr().err
    assert told("plain", "--accept-proposals", "--overwrite")["accepted"] == "inverted"
