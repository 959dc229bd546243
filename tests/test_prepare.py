"""From what a file stores to what the network sees, and back to the file's size."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from configs import RGB, config_for
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from unetseg import Image, SegmentationConfig
from unetseg.formats import as_image, read_image
from unetseg.prepare import at_working_size, doubts, normalise, prepare, restore, scale, working_shape
from unetseg.samples import draw_sample

GRAY = config_for("binary")
COLOR = config_for("binary", **RGB)
CT = config_for("binary", window=(-160.0, 240.0))
RNG = np.random.default_rng(0)
GRAY_PICTURE = RNG.integers(0, 256, (7, 9), dtype=np.uint8)
COLOR_PICTURE = RNG.integers(0, 256, (7, 9, 3), dtype=np.uint8)
SIDES = st.integers(1, 200)


def hounsfield(*values: float) -> Image:
    return Image(np.array(values, dtype=np.int16)[None, None, :, None], hounsfield=True, name="ct")


# --- the scale --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stored", "config"),
    [
        (GRAY_PICTURE, GRAY),
        (GRAY_PICTURE.astype(np.uint16) * 100, GRAY),
        (GRAY_PICTURE.astype(np.float32) / 300, GRAY),
        (GRAY_PICTURE.astype(np.uint16) * 16, config_for("binary", value_range=((100.0, 4095.0),))),
        (COLOR_PICTURE, COLOR),
    ],
)
def test_the_scale_never_depends_on_the_other_pixels(stored: NDArray[np.generic], config: SegmentationConfig) -> None:
    """A part of a picture, however dark, is scaled like the whole."""
    whole = scale(as_image(stored), config)
    assert 0 <= whole.min() < whole.max() <= 1
    for y, x in np.ndindex(stored.shape[:2]):
        assert torch.equal(scale(as_image(stored[y : y + 1, x : x + 1]), config), whole[:, :, y : y + 1, x : x + 1])


def test_black_and_white_are_those_of_the_stored_type() -> None:
    for array, expected in (
        (np.array([[0, 51, 255]], np.uint8), [0, 0.2, 1]),
        (np.array([[0, 13107, 65535]], np.uint16), [0, 0.2, 1]),
        (np.array([[False, True, True]]), [0, 1, 1]),
        (np.array([[0, 0.2, 1]], np.float64), [0, 0.2, 1]),
    ):
        torch.testing.assert_close(scale(as_image(array), GRAY).flatten(), torch.tensor(expected, dtype=torch.float32))


def test_eight_and_sixteen_bits_of_a_picture_are_the_same_input() -> None:
    wide = as_image(GRAY_PICTURE.astype(np.uint16) * 257)
    torch.testing.assert_close(prepare(wide, GRAY), prepare(as_image(GRAY_PICTURE), GRAY))


def test_hounsfield_units_go_through_the_window() -> None:
    scaled = scale(hounsfield(-1000, -160, 40, 240, 3000), CT)
    torch.testing.assert_close(scaled.flatten(), torch.tensor([0, 0, 0.5, 1, 1]))


def test_a_window_is_for_hounsfield_units_only() -> None:
    """A picture in grey has been through its window already."""
    assert torch.equal(scale(as_image(GRAY_PICTURE), CT), scale(as_image(GRAY_PICTURE), GRAY))
    with pytest.raises(ValueError, match="ct is in Hounsfield units and this model has no window"):
        scale(hounsfield(0), GRAY)


def test_a_value_range_in_the_config_is_one_for_each_channel() -> None:
    config = config_for("binary", **RGB, value_range=((0.0, 4095.0), (0.0, 10000.0), (100.0, 200.0)))
    pixels = np.array([[[4095, 5000, 100], [9999, 0, 150]]], dtype=np.uint16)
    scaled = scale(as_image(pixels), config)[0, :, 0]  # (C,W)
    torch.testing.assert_close(scaled, torch.tensor([[1, 1], [0.5, 0], [0, 0.5]]))


def test_a_value_range_of_the_image_replaces_that_of_its_type() -> None:
    image = as_image(np.array([[0, 4095]], dtype=np.uint16), value_range=(0, 4095))
    assert scale(image, GRAY).flatten().tolist() == [0, 1]


def test_floats_beyond_black_and_white_are_refused() -> None:
    """Guessing a scale from such a picture would change it from picture to picture."""
    with pytest.raises(ValueError, match=r"floats from 0 to 255, expected 0 to 1; .*give value_range"):
        scale(as_image(np.array([[0.0, 255.0]])), GRAY)
    image = as_image(np.array([[0.0, 255.0]]), value_range=(0, 255))
    assert scale(image, GRAY).flatten().tolist() == [0, 1]


def test_wide_integers_need_a_range_of_the_image_or_of_the_model() -> None:
    image = as_image(np.array([[-100, 135]], dtype=np.int32), name="a.tif")
    with pytest.raises(ValueError, match=r"a\.tif: int32 values from -100 to 135 .*give value_range"):
        scale(image, GRAY)
    model = GRAY.model_copy(update={"value_range": ((-100.0, 135.0),)})
    assert scale(image, model).flatten().tolist() == [0, 1]


def test_few_bits_in_sixteen_are_refused_with_the_range_to_type_unless_one_is_stated() -> None:
    """As they are, they would be nearly of one tone."""
    stored = np.linspace(30_000, 33_760, 4000).astype(np.uint16).reshape(40, 100)
    told = r"a\.png: uint16 values from 30000 to 33760 .* nearly all lie within --value-range 30037.* 33722"
    with pytest.raises(ValueError, match=told):
        scale(as_image(stored, name="a.png"), GRAY)
    assert scale(as_image(stored, value_range=(30_000, 33_760)), GRAY).max() == 1
    assert scale(as_image(stored, value_range=(0, 65535)), GRAY).max() < 0.52
    assert scale(as_image(stored), GRAY.model_copy(update={"value_range": ((30_000.0, 33_760.0),)})).max() == 1
    assert scale(as_image(np.array([[0, 40_000]], dtype=np.uint16)), GRAY).min() == 0
    assert scale(as_image(np.zeros((2, 2), dtype=np.uint16)), GRAY).max() == 0


@pytest.mark.parametrize("offset", [1024, 8192, 32768])
def test_hounsfield_units_with_an_offset_get_the_window_of_the_model_proposed(offset: int) -> None:
    """98 % of their values reach from air to bone, and the model knows its window."""
    stored = np.array([-1000] * 40 + [-50, 30, 40, 60] * 10 + [700] * 20).reshape(10, 10) + offset
    image = as_image(stored.astype(np.uint16), name="a.png")
    with pytest.raises(ValueError, match=rf"look like Hounsfield units \+ {offset}: .*--value-range") as refused:
        scale(image, CT)
    low, high = map(float, str(refused.value).partition("--value-range ")[2].partition(")")[0].split())
    assert (low, high) == (offset - 160, offset + 240)
    told = as_image(stored.astype(np.uint16), value_range=(low, high))
    expected = Image((stored - offset).reshape(1, 10, 10, 1), hounsfield=True)
    torch.testing.assert_close(scale(told, CT), scale(expected, CT))


def test_what_was_stated_of_an_image_goes_before_the_range_of_the_model() -> None:
    model = GRAY.model_copy(update={"value_range": ((0.0, 4095.0),)})
    image = as_image(np.array([[0, 100]], dtype=np.uint16), value_range=(0, 100))
    assert scale(image, model).flatten().tolist() == [0, 1]


@pytest.mark.parametrize("modality", ["MR", "PT", "US"])
def test_another_modality_than_ct_is_refused_by_a_model_with_a_window_alone(modality: str) -> None:
    image = dataclasses.replace(as_image(GRAY_PICTURE, name="a.dcm"), modality=modality)
    with pytest.raises(ValueError, match=rf"a\.dcm is of modality {modality}, and this model was trained on CT"):
        scale(image, CT)
    assert torch.equal(scale(image, GRAY), scale(as_image(GRAY_PICTURE), GRAY))


def test_a_picture_of_another_kind_than_the_model_is_doubted(tmp_path: Path) -> None:
    aerial, slice_ = draw_sample("aerial", 0, 128)[0], draw_sample("ct", 0, 128)[0]
    (notice,) = doubts(as_image(aerial, name="a.png"), GRAY)
    assert notice == "a.png is in colour and this model sees grey alone; another model may be meant for it"
    for grey in (slice_, np.stack([slice_] * 3, axis=-1)):
        (notice,) = doubts(as_image(grey, name="g.png"), COLOR)
        assert notice == "g.png is grey and this model was trained on colour; another model may be meant for it"
        assert doubts(as_image(grey), GRAY) == ()
    assert doubts(as_image(aerial), COLOR) == ()
    marked = np.stack([slice_] * 3, axis=-1)
    marked[:6, :16] = 255, 255, 0  # an orientation mark
    PIL.Image.fromarray(marked).save(tmp_path / "marked.jpg", quality=60)
    assert doubts(read_image(tmp_path / "marked.jpg"), GRAY) == ()
    air = Image(np.full((1, 4, 4, 1), -1000, np.int16), hounsfield=True)
    assert doubts(air, GRAY) == ()


@pytest.mark.parametrize(
    "view",
    [
        lambda array: array[:, ::-1],
        lambda array: array[::-1, :, ::-1],
        lambda array: array.transpose(1, 0, 2),
        lambda array: (array / np.float32(255)).astype(">f4"),
    ],
)
def test_any_layout_in_memory_will_do(view: Callable[[NDArray[np.uint8]], NDArray[np.generic]]) -> None:
    """Flipped arrays and BGR turned into RGB are views with steps backwards, which torch does not take."""
    array = view(COLOR_PICTURE)
    array.flags.writeable = False
    copy = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))
    assert torch.equal(scale(as_image(array), COLOR), scale(as_image(copy), COLOR))


# --- channels ---------------------------------------------------------------------------------------------------


def test_grey_is_three_equal_channels() -> None:
    grey = scale(as_image(GRAY_PICTURE), GRAY)
    assert torch.equal(scale(as_image(GRAY_PICTURE), COLOR), grey.repeat(1, 3, 1, 1))


def test_colours_become_their_luminance() -> None:
    pixels = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]]], dtype=np.uint8)
    scaled = scale(as_image(pixels), GRAY).flatten()
    torch.testing.assert_close(scaled, torch.tensor([0.299, 0.587, 0.114, 1.0]))


@pytest.mark.parametrize(
    ("channels", "config", "message"),
    [
        (2, GRAY, r"array has 2 channels, expected 1 \(gray\) in one file or array"),
        (4, COLOR, r"array has 4 channels, expected 3 \(red, green, blue\)"),
        (1, config_for("binary", channels=("near infrared",) * 3, mean=(0.0,) * 3, std=(1.0,) * 3), "has 1 channel,"),
    ],
)
def test_channels_that_do_not_fit_are_refused(channels: int, config: SegmentationConfig, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        scale(as_image(np.zeros((2, 3, channels), dtype=np.uint8)), config)


def test_mean_and_std_are_those_of_each_channel() -> None:
    x = (
        torch.tensor(RGB["mean"])[None, :, None, None]
        + torch.tensor([0.0, 1.0, 2.0]) * torch.tensor(RGB["std"])[None, :, None, None]
    )
    expected = torch.tensor([0.0, 1.0, 2.0]).expand(1, 3, 1, 3)
    torch.testing.assert_close(normalise(x, COLOR), expected, atol=1e-6, rtol=0)


# --- the size ---------------------------------------------------------------------------------------------------


@given(height=SIDES, width=SIDES, working_size=st.integers(16, 96))
def test_the_longer_side_is_the_working_size_and_the_aspect_is_kept(height: int, width: int, working_size: int) -> None:
    config = config_for("binary", working_size=working_size)
    h, w = working_shape(height, width, config)
    assert max(h, w) == working_size
    ratio = working_size / max(height, width)
    for side, stored in ((h, height), (w, width)):
        assert abs(side - stored * ratio) <= 0.5 or (side == 1 and stored * ratio < 1)
    assert at_working_size(torch.zeros(1, 1, height, width), config).shape == (1, 1, h, w)


@given(height=SIDES, width=SIDES)
def test_a_working_scale_reduces_pictures_of_every_size_alike(height: int, width: int) -> None:
    config = config_for("binary", working_scale=0.25)
    h, w = working_shape(height, width, config)
    assert abs(h - height / 4) <= 0.5 or (h == 1 and height < 4)
    assert abs(w - width / 4) <= 0.5 or (w == 1 and width < 4)
    assert at_working_size(torch.zeros(1, 1, height, width), config).shape == (1, 1, h, w)


@given(height=SIDES, width=SIDES)
def test_without_a_working_size_a_picture_stays_as_stored(height: int, width: int) -> None:
    x = torch.rand(1, 1, height, width)
    assert torch.equal(at_working_size(x, GRAY), x)


def test_thin_lines_become_faint_when_a_picture_shrinks() -> None:
    """Every pixel counts; a resize that samples a few of them would lose these lines."""
    lines = (torch.arange(128) % 8 == 0).float().expand(1, 1, 128, 128)
    small = at_working_size(lines, config_for("binary", working_size=16))
    torch.testing.assert_close(small, torch.full((1, 1, 16, 16), 1 / 8), atol=0.06, rtol=0)


@given(height=SIDES, width=SIDES, h=st.integers(1, 40), w=st.integers(1, 40))
def test_logits_come_back_at_the_stored_size(height: int, width: int, h: int, w: int) -> None:
    row = torch.arange(w, dtype=torch.float32)
    logits = torch.stack([torch.full((h, w), -3.0), row.expand(h, w)])[None]  # (1,2,h,w)
    restored = restore(logits, height, width)
    assert restored.shape == (1, 2, height, width)
    torch.testing.assert_close(restored[:, 0], torch.full((1, height, width), -3.0))
    # left and right are treated alike
    torch.testing.assert_close(restored[0, 1] + restored[0, 1].flip(1), torch.full((height, width), w - 1.0))


def test_nothing_moves_on_the_way_to_the_network_and_back() -> None:
    """A slope reduced and restored is the same slope; half a pixel to the side would show."""
    slope = torch.arange(64).float().expand(1, 1, 64, 64) / 64
    config = config_for("binary", working_size=16)
    for picture in (slope, slope.mT):
        back = restore(at_working_size(picture, config), 64, 64)
        torch.testing.assert_close(back[..., 12:-12, 12:-12], picture[..., 12:-12, 12:-12], atol=1e-5, rtol=0)


@pytest.mark.parametrize(("height", "width", "seen"), [(1, 1, (32, 32)), (1, 5000, (1, 32)), (5000, 1, (32, 1))])
def test_extreme_sizes(height: int, width: int, seen: tuple[int, int]) -> None:
    config = config_for("binary", working_size=32)
    x = prepare(as_image(np.full((height, width), 255, dtype=np.uint8)), config)
    assert x.shape == (1, 1, *seen)
    torch.testing.assert_close(x, torch.full((1, 1, *seen), (1 - 0.4) / 0.25))
    assert restore(x, height, width).shape == (1, 1, height, width)


def test_a_picture_that_cannot_reach_the_models_range_is_refused() -> None:
    config = config_for("binary", value_range=((0.0, 4095.0),))
    with pytest.raises(ValueError, match="values up to 255, the model was trained on"):
        scale(as_image(np.zeros((4, 4), np.uint8)), config)
    assert scale(as_image(np.full((4, 4), 4095, np.uint16)), config).min() == 1
