"""`unetseg.fitting.data.joined`: channels of several files, and masks of several files, read as one."""

from pathlib import Path

import numpy as np
import pytest
from data_folders import Pixels, build
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from unetseg.fitting.data.joined import read_joined, read_stored
from unetseg.fitting.data.layouts import Pair

GREY = np.arange(12, dtype=np.uint8).reshape(3, 4)
NOTHING = np.zeros((3, 4), dtype=np.uint8)


def files(folder: Path, images: list[Pixels], masks: list[Pixels], ids: tuple[int, ...] = ()) -> Pair:
    """The pair of these pictures, written to files."""
    build(
        folder, [(f"{kind}{i}.png", one) for kind, all_ in (("i", images), ("m", masks)) for i, one in enumerate(all_)]
    )
    first, *more = (folder / f"i{i}.png" for i in range(len(images)))
    mask, *others = (folder / f"m{i}.png" for i in range(len(masks)))
    return Pair("a", None, first, tuple(more), mask, tuple(others), ids)


def test_channels_follow_each_other_as_the_files_do(tmp_path: Path) -> None:
    colours = np.stack([GREY + 20, GREY + 40, GREY + 60], axis=-1)
    image = read_joined(files(tmp_path, [GREY, colours], [NOTHING]))
    np.testing.assert_array_equal(image.pixels[0], np.concatenate([GREY[..., None], colours], axis=-1))


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (GREY[:2], r"i0\.png and i1\.png are channels of one image and of another size"),
        (GREY.astype(np.uint16), r"i0\.png and i1\.png are channels of one image and of another type of numbers"),
    ],
)
def test_channels_of_another_kind_are_refused(tmp_path: Path, other: Pixels, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        read_joined(files(tmp_path, [GREY, other], [NOTHING]))


@given(st.lists(arrays(np.uint8, (3, 4), elements=st.sampled_from([0, 1, 255])), min_size=1, max_size=3))
def test_of_masks_laid_over_each_other_the_larger_number_counts(
    tmp_path_factory: pytest.TempPathFactory, masks: list[Pixels]
) -> None:
    stored = read_stored(files(tmp_path_factory.mktemp("masks"), [GREY], masks))
    np.testing.assert_array_equal(stored, np.max(masks, axis=0))


@given(st.lists(arrays(np.uint8, (3, 4), elements=st.sampled_from([0, 255])), min_size=2, max_size=3))
def test_of_masks_of_a_class_each_the_one_that_shows_less_counts(
    tmp_path_factory: pytest.TempPathFactory, masks: list[Pixels]
) -> None:
    """Whatever their order: a class that lies within another is not hidden by it."""
    ids = (1, 3, 4)[: len(masks)]
    stored = read_stored(files(tmp_path_factory.mktemp("masks"), [GREY], masks, ids))
    sizes = {0: 99, **{number: np.count_nonzero(mask) for number, mask in zip(ids, masks, strict=True)}}
    for y, x in np.ndindex(stored.shape):
        there = [0, *(number for number, mask in zip(ids, masks, strict=True) if mask[y, x])]
        assert stored[y, x] in there
        assert sizes[stored[y, x]] == min(sizes[number] for number in there)


def test_a_mask_in_grey_beside_one_in_colour_depth_is_read_alike(tmp_path: Path) -> None:
    one, other = (GREY < 3) * np.uint8(255), np.repeat((GREY > 8)[..., None] * np.uint8(255), 3, axis=-1)
    stored = read_stored(files(tmp_path, [GREY], [one, other]))
    np.testing.assert_array_equal(stored, ((GREY < 3) | (GREY > 8)) * 255)


@pytest.mark.parametrize(
    ("other", "ids", "words"),
    [
        (NOTHING[:2], (), r"m0\.png and m1\.png are masks of one image and of 4 x 3 and 4 x 2 pixels"),
        (np.stack([GREY, GREY, NOTHING], axis=-1), (), r"m1\.png holds colours and other masks of its image numbers"),
        (
            GREY,
            (1, 2),
            r"m1\.png is the mask of one class and holds the numbers 0, 1, 2, 3 and more; expected 0 and one",
        ),
    ],
)
def test_masks_that_do_not_go_together_are_refused(
    tmp_path: Path, other: Pixels, ids: tuple[int, ...], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        read_stored(files(tmp_path, [GREY], [NOTHING, other], ids))
