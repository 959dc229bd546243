import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor

from unetseg.config import IGNORE
from unetseg.fitting.data.augment import NUDGE, Cut, carry_out, collate, draw_crop
from unetseg.fitting.recipe import Augment

seeds = st.integers(0, 2**32)
intensities = st.builds(
    Augment,
    narrow_window=st.floats(0, 0.5),
    wide_window=st.floats(0, 1),
    curve=st.floats(0, 1),
    gamma=st.floats(1, 4),
    contrast=st.floats(1, 4),
    brightness=st.floats(0, 0.5),
    color=st.floats(1, 4),
    saturation=st.floats(1, 4),
    haze=st.floats(0, 0.9),
    noise=st.floats(0, 0.5),
    blur=st.floats(0, 4),
)
PLACES = ("flip", "rotate", "scale", "translate", "aspect", "elastic")
places = st.builds(
    Augment,
    flip=st.sampled_from([(), ("horizontal",), ("vertical",), ("horizontal", "vertical")]),
    rotate=st.floats(0, 180),
    scale=st.floats(1, 4),
    translate=st.floats(0, 0.5),
    aspect=st.floats(1, 2),
    elastic=st.floats(0, 0.1),
)


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random_crop(
    picture: Tensor, known: Tensor, size: int, chosen: Augment, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """One crop, through a batch of one."""
    batch = collate([draw_crop(picture, known, size, chosen, generator)])
    images, labels = carry_out(batch, size, chosen)
    return images[0], labels[0]


def random_intensity(picture: Tensor, chosen: Augment, generator: torch.Generator) -> Tensor:
    """A crop of the whole of a square picture."""
    return random_crop(picture, torch.zeros(picture.shape[1:], dtype=torch.uint8), picture.shape[1], chosen, generator)[
        0
    ]


def noise(*shape: int) -> Tensor:
    return torch.rand(shape, generator=generator(0))


def label_noise(*shape: int) -> Tensor:
    """Labels 0 to 2 and, inside the picture, IGNORE."""
    return torch.tensor([0, 1, 2, IGNORE], dtype=torch.uint8)[torch.randint(4, shape, generator=generator(1))]


def test_without_augmentation_a_crop_of_the_pictures_size_is_the_picture() -> None:
    picture, known = noise(3, 20, 20), label_noise(20, 20)
    image, labels = random_crop(picture, known, 20, Augment(), generator(5))
    torch.testing.assert_close(image, picture, atol=1e-5, rtol=0)
    assert torch.equal(labels, known)
    torch.testing.assert_close(random_intensity(picture, Augment(), generator(5)), picture, atol=1e-6, rtol=0)


@pytest.mark.parametrize(("flip", "possible"), [(("horizontal",), "-h"), (("vertical",), "-v"), (None, "-hvb")])
def test_a_mirrored_crop_is_the_picture_mirrored(flip: tuple[str, ...] | None, possible: str) -> None:
    picture, known = noise(2, 16, 16), label_noise(16, 16)
    mirrored = {
        known.numpy().tobytes(): ("-", picture),
        known.flip(1).numpy().tobytes(): ("h", picture.flip(2)),
        known.flip(0).numpy().tobytes(): ("v", picture.flip(1)),
        known.rot90(2).numpy().tobytes(): ("b", picture.rot90(2, dims=(1, 2))),  # both: turned by 180 degrees
    }
    mirrored_by = Augment(flip=flip or ("horizontal", "vertical"))  # type: ignore[arg-type]
    seen = set()
    for seed in range(40):
        image, labels = random_crop(picture, known, 16, mirrored_by, generator(seed))
        name, expected = mirrored[labels.numpy().tobytes()]
        torch.testing.assert_close(image, expected, atol=1e-5, rtol=0)
        seen.add(name)
    assert seen == set(possible)


def test_outside_the_picture_is_black_and_ignored() -> None:
    picture, known = 0.5 + noise(1, 8, 12) / 2, label_noise(8, 12)
    image, labels = random_crop(picture, known, 16, Augment(), generator(0))
    inside = torch.zeros(16, 16, dtype=torch.bool)
    inside[4:12, 2:14] = True
    torch.testing.assert_close(image[:, inside].view(1, 8, 12), picture, atol=1e-5, rtol=0)
    assert torch.equal(labels[inside].view(8, 12), known)
    assert image[:, ~inside].max() < 1e-5
    assert (labels[~inside] == IGNORE).all()


@given(chosen=places, seed=seeds)
def test_the_rim_of_a_picture_is_as_bright_as_the_rest(chosen: Augment, seed: int) -> None:
    white = (torch.ones(1, 20, 30), torch.zeros(20, 30, dtype=torch.uint8))
    other = (torch.zeros(1, 90, 90), torch.zeros(90, 90, dtype=torch.uint8))
    cuts = [draw_crop(*white, 32, chosen, generator(seed)), draw_crop(*other, 32, chosen, generator(seed + 1))]
    images, labels = carry_out(collate(cuts), 32, chosen)
    torch.testing.assert_close(images[0, 0], (labels[0] == 0).float(), atol=1e-5, rtol=0)


def test_labels_right_between_the_pixels_of_a_crop_fall_to_both_sides() -> None:
    """A picture of odd size in the middle of a crop of even size."""
    known = torch.arange(31, dtype=torch.uint8).expand(31, 31)
    image, labels = random_crop(known[None] / 255, known, 32, Augment(), generator(0))
    beside = (labels.float() - 255 * image[0])[labels != IGNORE]
    assert beside.abs().max() > 0.4
    assert abs(beside.mean().item()) < 0.05


@pytest.mark.parametrize("height", [31, 44, 63])
@pytest.mark.parametrize("width", [31, 45, 62])
def test_the_labels_of_a_crop_do_not_depend_on_what_else_is_in_its_batch(height: int, width: int) -> None:
    """Centred in a crop of even size, a picture of odd size has its pixels between those of the crop."""
    other = (noise(1, 97, 101), label_noise(97, 101))
    picture, known = noise(1, height, width), label_noise(height, width)
    cut = draw_crop(picture, known, 32, Augment(), generator(3))
    image, labels = carry_out(collate([cut]), 32, Augment())
    images, both = carry_out(collate([cut, draw_crop(*other, 96, Augment(), generator(4))]), 32, Augment())
    assert torch.equal(both[0], labels[0])
    torch.testing.assert_close(images[0], image[0], atol=1e-4, rtol=0)


def blobs(height: int, width: int) -> Tensor:
    """Two labels in large patches, uint8 (height,width)."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return ((x / 9).sin() + (y / 7 + x / 20).cos() > 0).to(torch.uint8)


@given(chosen=places, seed=seeds)
def test_image_and_labels_stay_aligned(chosen: Augment, seed: int) -> None:
    known = blobs(50, 70)
    image, labels = random_crop(known[None].float(), known, 32, chosen, generator(seed))
    assert set(labels.unique().tolist()) <= {0, 1, IGNORE}
    inside = labels != IGNORE
    assert (image[0, ~inside] <= 0.5 + 2 * NUDGE).all()  # the border itself may be half inside
    # where no edge is blurred in, the picture of the labels is the labels
    clear = inside & ((image[0] < 0.02) | (image[0] > 0.98))
    assert torch.equal(image[0, clear] > 0.5, labels[clear] == 1)
    assert clear.sum() >= 0.4 * inside.sum()


@given(seed=seeds, rotate=st.floats(0, 180), scale=st.floats(1, 4), translate=st.floats(0, 0.5))
def test_turn_zoom_and_shift_stay_within_the_settings(seed: int, rotate: float, scale: float, translate: float) -> None:
    """Read off a crop of two ramps, whose values are the coordinates of the picture."""
    size = 200
    chosen = Augment(rotate=rotate, scale=scale, translate=translate)
    unknown = torch.zeros(size, size, dtype=torch.uint8)
    image, labels = random_crop(ramps(size), unknown, 8, chosen, generator(seed))
    image *= size
    right = (image[:, 4, 4] - image[:, 4, 3]).tolist()  # one crop pixel to the right, in stored pixels
    down = (image[:, 4, 4] - image[:, 3, 4]).tolist()
    assume((labels == 0).all())  # a corner may reach out of the picture
    assert down == pytest.approx([-right[1], right[0]], abs=1e-3)
    assert 1 / scale - 1e-3 <= math.hypot(*right) <= scale + 1e-3
    assert abs(math.degrees(math.atan2(right[1], right[0]))) <= rotate + 0.1
    for centre in image[:, 3:5, 3:5].mean(dim=(1, 2)).tolist():
        half = 4 * math.hypot(*right)
        assert half - translate * 8 - 0.01 <= centre <= size - half + translate * 8 + 0.01


def ramps(size: int) -> Tensor:
    """A picture (2,size,size) whose values are its own coordinates x and y, as shares of its size."""
    y, x = torch.meshgrid(torch.arange(size) + 0.5, torch.arange(size) + 0.5, indexing="ij")
    return torch.stack([x, y]) / size


def test_aspect_makes_a_square_wider_or_higher_and_keeps_its_area() -> None:
    ratios = []
    for seed in range(60):
        crop, _ = random_crop(ramps(64), torch.zeros(64, 64), 8, Augment(aspect=1.5), generator(seed))
        wide, high = ((crop[:, 4, 4] - crop[:, y, x]).norm().item() * 64 for y, x in ((4, 3), (3, 4)))
        assert wide * high == pytest.approx(1, abs=1e-3)
        ratios.append(wide / high)
    assert 1 / 1.5 - 1e-3 <= min(ratios) < 0.7
    assert 1.4 < max(ratios) <= 1.5 + 1e-3


@given(seed=seeds, elastic=st.floats(0.01, 0.1))
def test_elastic_bends_smoothly_and_not_further_than_it_says(seed: int, elastic: float) -> None:
    """The same seed places the crop alike, so that what differs is the bending."""
    size, side = 300, 64
    known = torch.zeros(size, size, dtype=torch.uint8)
    (plain, _), (bent, labels) = (
        random_crop(ramps(size), known, side, Augment(elastic=value), generator(seed)) for value in (0, elastic)
    )
    reach = 2 * elastic * side  # at most, with what bicubic interpolation overshoots
    inner = ((plain * size > reach) & (plain * size < size - reach)).all(dim=0)
    assert (labels[inner] == 0).all()  # the part that is passed on is large enough
    moved = ((bent - plain) * size).where(inner, 0)
    assert 0.1 * elastic * side < moved.abs().max() < reach
    both = inner[:, 1:] & inner[:, :-1]
    assert (moved[:, :, 1:] - moved[:, :, :-1]).where(both, 0).abs().max() < 0.2 * reach


def test_place_turn_zoom_and_shift_use_all_of_their_range() -> None:
    size = 400
    y, x = torch.meshgrid(torch.arange(size) + 0.5, torch.arange(size) + 0.5, indexing="ij")
    unknown = torch.zeros(size, size, dtype=torch.uint8)
    turns, zooms, places, shifts = [], [], [], []
    for seed in range(60):
        chosen = Augment(rotate=30, scale=2)
        image, _ = random_crop(torch.stack([x, y]) / size, unknown, 8, chosen, generator(seed))
        image *= size
        right = (image[:, 4, 4] - image[:, 4, 3]).tolist()
        turns.append(math.degrees(math.atan2(right[1], right[0])))
        zooms.append(math.log2(math.hypot(*right)))
        places.append(image[0, 3:5, 3:5].mean().item())
        # a crop as large as the picture has one place, so that nothing but the shift moves it
        ramp, chosen = x[None, :40, :40] / 40, Augment(translate=0.25)
        image, _ = random_crop(ramp, unknown[:40, :40], 40, chosen, generator(seed))
        shifts.append(image[0, 19:21, 19:21].mean().item() * 40 - 20)
    for values, low, high in ((turns, -30, 30), (zooms, -1, 1), (places, 0, size), (shifts, -10, 10)):
        assert low - 0.01 <= min(values) < low + 0.15 * (high - low)
        assert high + 0.01 >= max(values) > high - 0.15 * (high - low)


@given(chosen=intensities, seed=seeds)
def test_intensities_stay_between_0_and_1_and_come_from_the_generator_alone(chosen: Augment, seed: int) -> None:
    picture = noise(3, 12, 12)
    before = picture.clone()
    image = random_intensity(picture, chosen, generator(seed))
    assert image.shape == picture.shape
    assert image.isfinite().all()
    assert 0 <= image.min() <= image.max() <= 1
    assert torch.equal(picture, before)  # it may be the one in the cache
    torch.rand(1)
    assert torch.equal(random_intensity(picture, chosen, generator(seed)), image)


def spread(image: Tensor) -> float:
    return image.std().item()


def level(image: Tensor) -> float:
    return image.mean().item()


def colourfulness(image: Tensor) -> float:
    return image.std(dim=0).mean().item()


def tint(image: Tensor) -> float:
    return (image[0] - image[1]).mean().item()


@pytest.mark.parametrize(
    ("chosen", "measure", "lower", "higher"),
    [
        (Augment(narrow_window=0.5), spread, False, True),
        (Augment(wide_window=1), spread, True, False),
        (Augment(curve=0.5), level, True, True),
        (Augment(gamma=2), level, True, True),
        (Augment(contrast=2), spread, True, True),
        (Augment(brightness=0.3), level, True, True),
        (Augment(color=1.5), tint, True, True),
        (Augment(saturation=2), colourfulness, True, True),
        (Augment(haze=0.9), spread, True, False),
        (Augment(noise=0.3), spread, False, True),
        (Augment(blur=2), spread, True, False),
    ],
    ids=[
        "narrow_window",
        "wide_window",
        "curve",
        "gamma",
        "contrast",
        "brightness",
        "color",
        "saturation",
        "haze",
        "noise",
        "blur",
    ],
)
def test_each_setting_changes_what_it_is_named_for(
    chosen: Augment, measure: Callable[[Tensor], float], lower: bool, higher: bool
) -> None:
    picture = 0.3 + 0.4 * noise(2, 32, 32)
    before = measure(picture)
    after = [measure(random_intensity(picture, chosen, generator(seed))) for seed in range(60)]
    assert (min(after) < before - 0.02) == lower
    assert (max(after) > before + 0.02) == higher


@given(st.floats(0.01, 1), seeds)
def test_a_curve_keeps_black_white_and_the_order_of_values(spread: float, seed: int) -> None:
    ramp = torch.linspace(0, 1, 64 * 64).view(1, 64, 64)
    curved = random_intensity(ramp, Augment(curve=spread), generator(seed)).flatten()
    assert curved[0] == 0
    assert curved[-1] == pytest.approx(1, abs=1e-5)
    assert torch.all(curved.diff() > -1e-6)


def test_a_wider_window_squeezes_what_it_knows_and_parts_it_from_what_was_cut_off() -> None:
    """Between black and white a straight line, flatter than before; the two ends lie beyond it, in 8 bits."""
    ramp = torch.linspace(0, 1, 256).view(1, 16, 16)
    apart = 0
    for seed in range(40):
        wide = random_intensity(ramp, Augment(wide_window=1), generator(seed)).flatten()
        torch.testing.assert_close(wide, (wide * 255).round() / 255)
        inner = wide[1:-1].diff()
        assert (inner >= 0).all()
        assert inner.sum() < 1
        assert wide[0] <= wide[1]
        assert wide[-2] <= wide[-1]
        apart += bool(wide[1] - wide[0] > 0.02 and wide[-1] - wide[-2] > 0.02)
    assert apart > 5


def test_a_blur_keeps_an_even_tone_and_the_edges_of_the_picture() -> None:
    flat = torch.full((1, 9, 9), 0.7)
    for seed in range(20):
        torch.testing.assert_close(random_intensity(flat, Augment(blur=4), generator(seed)), flat)


def changes_of(count: int, chosen: Augment) -> list[Cut]:
    """Crops of 16 x 16 pixels of one picture, each with a generator of its own."""
    picture, known = noise(3, 40, 50), label_noise(40, 50)
    return [draw_crop(picture, known, 16, chosen, generator(seed)) for seed in range(count)]


@given(one=intensities, other=places)
def test_a_crop_does_not_depend_on_the_others_of_its_batch(one: Augment, other: Augment) -> None:
    chosen = one.model_copy(update=other.model_dump(include=set(PLACES)))
    cuts = changes_of(4, chosen)
    images, labels = carry_out(collate(cuts), 16, chosen)
    for i, cut in enumerate(cuts):
        image, alone = carry_out(collate([cut]), 16, chosen)
        torch.testing.assert_close(images[i], image[0], atol=2e-4, rtol=0)
        assert (labels[i] != alone[0]).float().mean() < 0.02  # a pixel centre on an edge may fall either way


def test_only_the_part_of_a_picture_that_a_crop_needs_is_passed_on() -> None:
    for image, labels, changes in changes_of(20, Augment(rotate=180, scale=1.5)):
        assert image.shape[1:] == labels.shape
        reach = changes.place[:, :2].norm() * math.sqrt(2)  # of a corner from the centre, at least
        assert max(labels.shape) <= 2 * reach + 5
    sizes = {labels.shape for _, labels, _ in changes_of(20, Augment())}
    assert all(16 <= side <= 20 for size in sizes for side in size)


def test_a_batch_moves_to_a_device_with_all_of_its_changes() -> None:
    batch = collate(changes_of(2, Augment(noise=0.1))).to(torch.device("meta"))
    assert {x.device.type for x in (batch.images, batch.labels, *batch.changes)} == {"meta"}


def test_a_background_crop_shows_an_enlarged_window_without_any_class() -> None:
    """A square in the corner is the class; the ramp tells where a crop looks and how much it is enlarged."""
    size = 60
    x = (torch.arange(size) + 0.5).expand(size, size) / size
    known = torch.zeros(size, size, dtype=torch.uint8)
    known[:20, :20] = 1
    zooms = set()
    for seed in range(60):
        image, labels = random_crop(x[None], known, size, Augment(background_crop=1), generator(seed))
        enlargement = 1 / ((image[0, 30, 40] - image[0, 30, 20]).item() * size / 20)
        if labels.any():  # ten tries found no such window: the picture itself
            assert enlargement == pytest.approx(1, abs=1e-3)
        else:
            assert (labels == 0).all()
            assert 1 / 0.83 <= enlargement <= 1 / 0.29
            zooms.add(round(enlargement, 1))
    assert len(zooms) > 8
    whole = [random_crop(x[None], known, size, Augment(background_crop=0.3), generator(s))[1].any() for s in range(100)]
    assert 0.55 < sum(map(bool, whole)) / 100 < 0.9


def test_a_picture_full_of_objects_has_no_background_crop() -> None:
    full = torch.ones(30, 30, dtype=torch.uint8)
    _, labels = random_crop(noise(1, 30, 30), full, 30, Augment(background_crop=1), generator(0))
    assert (labels == 1).all()
