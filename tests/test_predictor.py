"""A picture in, a Segmentation out: the one path of every prediction."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from configs import RGB, config_for, network_for, segmented
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from unetseg import Image, Predictor, Segmentation, SegmentationConfig, UNet, read_image
from unetseg.formats import as_image, read_mask
from unetseg.model import fused, packed
from unetseg.prepare import prepare, restore
from unetseg.render import View
from unetseg.task import activate, argmax, decode

PICTURE = np.random.default_rng(0).integers(0, 256, (37, 53), dtype=np.uint8)
VIEWS_OF_PIXELS: tuple[View, ...] = ("probability", "thresholded", "argmax")


def predictor_for(config: SegmentationConfig, **options: Any) -> Predictor:  # noqa: ANN401, those of Predictor
    return Predictor(network_for(config), device="cpu", precision="float32", **options)


def segmentation_of(config: SegmentationConfig, height: int, width: int, slices: int = 1) -> Segmentation:
    """Logits without two alike, so that a pixel of a view can be told from every other."""
    generator = torch.Generator().manual_seed(0)
    shape = (slices, len(config.outputs), height, width)
    logits = torch.randperm(int(np.prod(shape)), generator=generator).reshape(shape).float()
    picture = np.random.default_rng(0).integers(0, 256, (slices, height, width, 3), dtype=np.uint8)
    return segmented((logits - logits.mean()) / logits.std() * 3, picture, config)


# --- the path ---------------------------------------------------------------------------------------------------


def test_the_path_is_prepare_network_restore(config: SegmentationConfig) -> None:
    network = network_for(config)
    picture = PICTURE[:32, :48]
    with torch.no_grad():
        expected = network(prepare(as_image(picture), config))
    result = Predictor(network, device="cpu", precision="float32")(picture)
    torch.testing.assert_close(result.logits, expected, atol=1e-4, rtol=1e-4)
    assert len(np.unique(result.labels())) > 1


def test_with_a_working_size_logits_come_back_at_the_stored_size() -> None:
    config = config_for("binary", working_size=16)
    network = network_for(config)
    picture = PICTURE[:32, :]  # 32 x 53 pixels, 10 x 16 for the network
    with torch.no_grad():
        expected = restore(network(prepare(as_image(picture), config)), 32, 53)
    result = Predictor(network, device="cpu", precision="float32")(picture)
    assert result.logits.shape == (1, 1, 32, 53)
    torch.testing.assert_close(result.logits, expected, atol=1e-4, rtol=1e-4)


def test_the_logits_of_all_scales_are_averaged() -> None:
    config = config_for("multiclass", scales=(1.0, 0.5, 1.5))
    network = network_for(config)
    picture = as_image(PICTURE[:32, :32])
    x = prepare(picture, config)  # (1,1,32,32)
    with torch.no_grad():
        at_each = [restore(network(_resized(x, side)), 32, 32) for side in (32, 16, 48)]
    expected = torch.stack(at_each).mean(dim=0)
    result = Predictor(network, device="cpu", precision="float32")(picture)
    torch.testing.assert_close(result.logits, expected, atol=1e-4, rtol=1e-4)
    assert (at_each[0] - expected).abs().mean() > 0.05


def test_every_slice_is_seen_at_all_scales() -> None:
    predictor = predictor_for(config_for("binary", scales=(1.0, 0.5)))
    slices = np.stack([PICTURE, PICTURE[::-1]])[..., None]  # (2,37,53,1)
    together = predictor(replace(as_image(PICTURE), pixels=slices)).logits
    each = torch.cat([predictor(part).logits for part in (PICTURE, PICTURE[::-1])])
    torch.testing.assert_close(together, each, atol=1e-5, rtol=1e-5)


def _resized(x: torch.Tensor, side: int) -> torch.Tensor:
    return functional.interpolate(x, (side, side), mode="bilinear", antialias=True)


def test_everything_is_derived_from_the_logits(config: SegmentationConfig) -> None:
    result = predictor_for(config)(PICTURE)
    assert result.logits.dtype == torch.float32
    assert not result.logits.is_inference()
    assert torch.equal(result.probabilities, activate(result.logits, config))
    labels = result.labels()
    assert (labels.dtype, labels.shape) == (np.uint8, (1, 37, 53))
    assert (labels == decode(result.logits, config).numpy()).all()
    other = [0.9] * len(config.outputs)
    assert (result.labels(other) == decode(result.logits, config, other).numpy()).all()


def test_a_path_an_array_and_an_image_give_the_same(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    PIL.Image.fromarray(PICTURE).save(path)
    predictor = predictor_for(config_for("binary"))
    expected = predictor(PICTURE)
    assert expected.name == "array"
    for source in (path, str(path), read_image(path), np.asfortranarray(PICTURE)):
        result = predictor(source)
        assert torch.equal(result.logits, expected.logits)
        assert (result.rgb == expected.rgb).all()
    assert predictor(path).name == "a.png"


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 5000), (5000, 1), (33, 65), (7, 1)])
@pytest.mark.parametrize("working_size", [None, 24])
def test_pictures_of_any_size(height: int, width: int, working_size: int | None) -> None:
    config = config_for("one-vs-rest with background", **RGB, working_size=working_size)
    result = predictor_for(config, tile=32, overlap=8)(np.full((height, width, 3), 200, dtype=np.uint8))
    assert result.logits.shape == (1, 3, height, width)
    assert result.logits.isfinite().all()
    assert result.rgb.shape == (1, height, width, 3)
    assert (result.rgb == 200).all()


def test_a_prediction_is_repeatable_and_leaves_the_network_alone() -> None:
    network = network_for(config_for("multiclass")).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    first, second = (Predictor(network, device="cpu")(PICTURE) for _ in range(2))
    assert torch.equal(first.logits, second.logits)
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_half_the_bits_give_nearly_the_same_labels() -> None:
    network = network_for(config_for("multiclass"))
    full, half = (Predictor(network, device="cpu", precision=p)(PICTURE) for p in ("float32", "bfloat16"))
    assert half.logits.dtype == torch.float32
    assert (full.labels() == half.labels()).mean() > 0.95
    assert not torch.equal(full.logits, half.logits)


def test_small_tiles_change_little() -> None:
    network = network_for(config_for("binary"))
    whole, parts = (
        Predictor(network, device="cpu", precision="float32", tile=tile, overlap=12)(PICTURE) for tile in (64, 32)
    )
    assert (whole.labels() == parts.labels()).mean() > 0.95
    assert not torch.equal(whole.logits, parts.logits)


def test_notices_reach_the_result(tmp_path: Path) -> None:
    path = tmp_path / "coloured.png"
    PIL.Image.fromarray(np.dstack([PICTURE, PICTURE // 2, PICTURE // 3])).save(path)
    (notice,) = predictor_for(config_for("binary"))(path).notices
    assert "coloured.png is in colour" in notice


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        ("missing.png", "missing.png can't be read"),
        (np.zeros((4, 5, 4), np.uint8), "has 4 channels, expected 1"),
        (np.zeros(7, np.uint8), "got an array of shape"),
        (PICTURE.astype(np.float32), "holds floats from 0 to 255"),
    ],
)
def test_what_does_not_fit_is_said(picture: str | NDArray[np.generic], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        predictor_for(config_for("binary"))(picture)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_logits_that_are_no_numbers_are_an_error_that_names_the_picture(tmp_path: Path, precision: Any) -> None:  # noqa: ANN401
    """Weights that are numbers, but so large that what the network makes of them is none."""
    network = network_for(config_for("binary", **RGB))
    network.head.weight.data.fill_(3e38)
    network.expanding[-1][4].bias.data.fill_(100)
    predictor = Predictor(network, device="cpu", precision=precision)
    path = tmp_path / "a.tif"
    PIL.Image.fromarray(np.repeat(PICTURE[..., None], 3, axis=2)).save(path)
    words = rf"^of a\.tif the network makes numbers that are not finite \({precision} on cpu\): "
    with pytest.raises(ValueError, match=words):
        predictor(path)
    with pytest.raises(ValueError, match=words):
        predictor.write(path, tmp_path / "labels.tif")
    assert [file.name for file in tmp_path.iterdir()] == ["a.tif"]


# --- views ------------------------------------------------------------------------------------------------------


def test_views_are_rgb_pictures(config: SegmentationConfig) -> None:
    result = segmentation_of(config, 9, 11)
    for kind in (*VIEWS_OF_PIXELS, "overlay"):
        view = result.view(kind)
        assert (view.dtype, view.shape) == (np.uint8, (9, 11, 3))


def test_the_views_of_a_class_are_its_probability_and_its_threshold(config: SegmentationConfig) -> None:
    result = segmentation_of(config, 9, 11)
    thresholds = [0.2 + 0.1 * k for k in range(len(config.outputs))]
    for k, name in enumerate(config.outputs):
        p = result.probabilities[0, k].numpy()
        assert (result.view("probability", class_name=name) == np.rint(p * 255)[..., None]).all()
        claimed = p >= np.float32(thresholds[k])
        assert 0 < claimed.mean() < 1
        view = result.view("thresholded", class_name=name, thresholds=thresholds)
        assert (view == 255 * claimed[..., None]).all()


@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.5, 0.95, 1.0])
def test_a_binary_mask_is_its_labels_in_black_and_white(threshold: float) -> None:
    result = segmentation_of(config_for("binary", temperatures=(2.0,)), 9, 11)
    view = result.view("thresholded", thresholds=[threshold])
    assert (view == 255 * result.labels([threshold])[0][..., None]).all()


def test_the_argmax_view_paints_the_largest_logit(config: SegmentationConfig) -> None:
    result = segmentation_of(config, 9, 11)
    colors = np.array([[int(color[i : i + 2], 16) for i in (1, 3, 5)] for color in config.palette])
    assert (result.view("argmax") == colors[argmax(result.logits, config)[0].numpy()]).all()


def test_the_overlay_shows_the_labels_at_the_thresholds_given() -> None:
    result = segmentation_of(config_for("binary"), 9, 11)
    for threshold in (0.1, 0.9):
        changed = (result.view("overlay", thresholds=[threshold]) != result.rgb[0]).any(axis=-1)
        assert (changed == (result.labels([threshold])[0] == 1)).all()


def test_each_slice_has_its_own_views() -> None:
    result = segmentation_of(config_for("multiclass"), 4, 5, slices=2)
    for kind in (*VIEWS_OF_PIXELS, "overlay"):
        alone = segmented(result.logits[1:], result.rgb[1:], result.config)
        assert (result.view(kind, index=1) == alone.view(kind)).all()
        assert (result.view(kind, index=1) != result.view(kind)).any()


def test_unknown_views_and_classes_are_answered_with_the_known_ones() -> None:
    result = segmentation_of(config_for("one-vs-rest with background"), 2, 2)
    with pytest.raises(
        ValueError, match="unknown view 'heat'; choose one of probability, thresholded, argmax, overlay"
    ):
        result.view("heat")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="unknown class 'nothing'; choose one of cat, dog, bird"):
        result.view("probability", class_name="nothing")
    with pytest.raises(ValueError, match="one number from 0 to 1 for each of cat, dog, bird"):
        result.view("thresholded", thresholds=[0.5])


# --- the reduced copy -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("height", "width", "small"), [(40, 60, (13, 20)), (61, 33, (20, 11)), (1, 100, (1, 20)), (21, 20, (20, 19))]
)
def test_views_of_the_reduced_copy_are_pixels_of_the_full_views(
    config: SegmentationConfig, height: int, width: int, small: tuple[int, int]
) -> None:
    full = segmentation_of(config, height, width)
    reduced = full.reduced(20)
    assert reduced.logits.shape[2:] == small
    assert reduced.rgb.shape == (1, *small, 3)
    # no two logits are alike, so each tells the pixel that it came from
    pixel_of = {value: number for number, value in enumerate(full.logits[0, 0].flatten().tolist())}
    pixels = np.vectorize(pixel_of.__getitem__)(reduced.logits[0, 0].numpy())
    rows, columns = pixels[:, 0] // width, pixels[0] % width
    assert (pixels == rows[:, None] * width + columns).all()
    for indices, size, count in ((rows, height, small[0]), (columns, width, small[1])):
        middles = (np.arange(count) + 0.5) * size / count
        assert np.abs(indices + 0.5 - middles).max() <= 1
    for kind in VIEWS_OF_PIXELS:
        assert (reduced.view(kind) == full.view(kind)[rows][:, columns]).all()


def test_a_small_result_is_not_reduced() -> None:
    result = segmentation_of(config_for("binary"), 20, 12)
    assert result.reduced(20) is result


# --- files ------------------------------------------------------------------------------------------------------


def test_saved_labels_come_back(config: SegmentationConfig, tmp_path: Path) -> None:
    result = segmentation_of(config, 9, 11)
    path = result.save(tmp_path / "labels.png")
    assert (read_mask(path) == result.labels()[0]).all()
    thresholds = [0.99] * len(config.outputs)
    assert (read_mask(result.save(str(path), thresholds)) == result.labels(thresholds)[0]).all()


def test_labels_are_saved_as_what_keeps_them_where_the_picture_has_a_place_for_it(tmp_path: Path) -> None:
    result = segmentation_of(config_for("binary"), 2, 2)
    for name, message in (
        ("labels.jpg", r"written as \.png, .*, got 'labels\.jpg'; choose a name with such an ending"),
        ("labels.nii.gz", r"array is no volume with a place in a patient; write its labels as \.png"),
        ("labels.dcm", r"array is no DICOM series, which DICOM-SEG refers to; write \.nii\.gz or \.png"),
        ("labels.tif", r"array has no place on the ground; write its labels as \.png"),
        ("labels.gpkg", r"array has no place on the ground; write its labels as \.png"),
    ):
        with pytest.raises(ValueError, match=message):
            result.save(tmp_path / name)
    with pytest.raises(ValueError, match=r"cog is written as \.tif or \.tiff, got 'labels\.png'"):
        result.save(tmp_path / "labels.png", kind="cog")
    with pytest.raises(ValueError, match=r"array has 2 slices, and \.png holds one; write \.nii\.gz or \.dcm"):
        segmentation_of(config_for("binary"), 2, 2, slices=2).save(tmp_path / "labels.png")
    assert not list(tmp_path.iterdir())


# --- the files beside the repository ----------------------------------------------------------------------------


def test_a_real_photograph_is_segmented_at_its_size(real_data: Path) -> None:
    path = min((real_data / "satellite" / "images").iterdir(), key=lambda path: path.stat().st_size)
    with PIL.Image.open(path) as picture:
        width, height = picture.size
    result = predictor_for(config_for("one-vs-rest", **RGB, working_size=64))(path)
    assert result.labels().shape == (1, height, width)
    assert (result.rgb[0] == read_image(path).pixels[0]).all()


def test_a_real_elevation_model_is_no_picture(real_data: Path) -> None:
    with pytest.raises(ValueError, match=r"dsm_float32_nodata\.tif"):
        predictor_for(config_for("binary"))(real_data / "uploads" / "dsm_float32_nodata.tif")


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown precision 'half'"):
        Predictor(network_for(config_for("binary")), precision="half")  # type: ignore[arg-type]


# --- how the network runs ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_network_that_predicts_is_the_fused_one_in_fewer_passes(config: SegmentationConfig, precision: Any) -> None:  # noqa: ANN401
    dtype = getattr(torch, precision)
    plain = fused(network_for(config)).to(dtype).to(memory_format=torch.channels_last)
    x = torch.randn(2, len(config.channels), 32, 48).to(dtype).to(memory_format=torch.channels_last)
    with torch.no_grad():
        found, expected = packed(plain)(x), plain(x)
    tolerance = 1e-5 if precision == "float32" else 0.0
    torch.testing.assert_close(found, expected, atol=tolerance, rtol=tolerance)
    assert not any(isinstance(layer, nn.ReLU | nn.MaxPool2d) for layer in packed(plain).modules())


def test_slices_that_run_together_are_those_that_run_alone() -> None:
    network = network_for(config_for("multiclass"))
    volume = Image(np.random.default_rng(0).integers(0, 256, (6, 37, 53, 1), dtype=np.uint8), (0, 255))
    predictor = Predictor(network, device="cpu", precision="bfloat16")
    assert predictor.together > 1
    together = predictor(volume).network_logits
    alone = [predictor(volume.alone(index)).network_logits for index in range(6)]
    assert torch.equal(together, torch.cat(alone))


def test_a_compiled_network_is_taken_for_the_shapes_that_it_meets_first(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, ...]] = []

    def compiled(network: UNet, **_: object) -> Callable[[torch.Tensor], torch.Tensor]:
        def run(x: torch.Tensor) -> torch.Tensor:
            asked.append(tuple(x.shape))
            found: torch.Tensor = network(x)
            return found

        return run

    monkeypatch.setattr(torch, "compile", compiled)
    network = network_for(config_for("binary"))
    predictor = Predictor(network, device="cpu", precision="float32", compiled="always")
    plainly = Predictor(network, device="cpu", precision="float32")
    for side in (16, 24, 16, 32, 40, 48):
        picture = np.random.default_rng(side).integers(0, 256, (side, side), dtype=np.uint8)
        assert (predictor(picture).labels() == plainly(picture).labels()).all()
    assert [shape[2] for shape in asked] == [16, 16, 24, 24, 16, 32, 32, 40, 40], (
        "met first, then used; 48 is the fifth"
    )
    assert predictor.runs == ("float32 on cpu, compiled for 1x1x16x16, 1x1x24x24, 1x1x32x32, 1x1x40x40")
    assert plainly.runs == plainly(PICTURE).network == "float32 on cpu"


def test_what_can_not_be_compiled_runs_as_it_is_or_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_compiler(*_: object, **__: object) -> Callable[[torch.Tensor], torch.Tensor]:
        def run(x: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("no C++ compiler\nand much more")

        return run

    monkeypatch.setattr(torch, "compile", no_compiler)
    network = network_for(config_for("binary"))
    faster = Predictor(network, device="cpu", precision="float32", compiled="faster")
    assert faster(PICTURE).network == "float32 on cpu, compiled for nothing, it was no faster"
    with pytest.raises(ValueError, match=r"can't be compiled here \(no C\+\+ compiler\); leave out --compile always"):
        Predictor(network, device="cpu", precision="float32", compiled="always")(PICTURE)


@pytest.mark.parametrize("shape", [(1, 1100, 40), (3, 64, 48)], ids=["rows", "slices"])
def test_what_is_found_is_told_as_it_is_found_and_can_be_ended(shape: tuple[int, int, int]) -> None:
    """Of a picture with more rows than are worked on at once, and of slices."""
    predictor = predictor_for(config_for("binary"), tile=256, overlap=32)
    pixels = np.random.default_rng(0).integers(0, 256, (*shape, 1), dtype=np.uint8)
    image = replace(as_image(pixels[0, ..., 0]), pixels=pixels)
    whole = predictor(image).network_logits
    joined = torch.full_like(whole, torch.nan)
    told = []

    def tell(logits: Tensor, first: int, top: int, slices: int, rows: int) -> None:
        assert (slices, rows) == (shape[0], shape[1])
        joined[first : first + len(logits), :, top : top + logits.shape[2]] = logits
        told.append((first, top))

    assert torch.equal(predictor(image, progress=tell).network_logits, whole)
    assert torch.equal(joined, whole)
    assert len(set(told)) > 1

    def stop(*_: object) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        predictor(image, progress=stop)
