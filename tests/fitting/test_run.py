from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unetseg.fitting.data.folder import Example
from unetseg.fitting.run import split_folds


def examples(sizes: list[int], test: int = 0) -> list[Example]:
    """Groups of so many pictures each, in training but for the last ones, which are for testing."""
    return [
        Example(Path(f"{group}_{i}.png"), Path(f"m{group}_{i}.png"), f"g{group}", "test" if group < test else "train")
        for group, size in enumerate(sizes)
        for i in range(size)
    ]


@given(sizes=st.lists(st.integers(1, 9), min_size=4, max_size=20), count=st.integers(2, 3), seed=st.integers(0, 9))
def test_every_group_is_held_out_once_and_whole_and_none_of_the_test(sizes: list[int], count: int, seed: int) -> None:
    found = examples(sizes, test=1)
    folds = split_folds(found, count, seed)
    assert len(folds) == count
    held_out = [{e.group for e in fold if e.split == "val"} for fold in folds]
    assert sorted(name for names in held_out for name in names) == sorted(f"g{i}" for i in range(1, len(sizes)))
    for fold, names in zip(folds, held_out, strict=True):
        assert {e.image for e in fold} == {e.image for e in found if e.split != "test"}
        assert {e.group for e in fold if e.split == "train"}.isdisjoint(names)
    pictures = [sum(e.split == "val" for e in fold) for fold in folds]
    assert max(pictures) - min(pictures) <= max(sizes)
    assert split_folds(found, count, seed) == folds


@pytest.mark.parametrize("count", [1, 5, -1])
def test_too_few_groups_for_the_folds_are_told(count: int) -> None:
    with pytest.raises(ValueError, match=rf"--folds is {count}, expected 2 to 4"):
        split_folds(examples([2, 2, 2, 2, 2], test=1), count, 0)


def test_of_named_groups_each_is_held_out_once_and_the_others_are_always_trained_on() -> None:
    folds = split_folds(examples([1, 5, 2, 3], test=1), 2, 0, ["g3", "g2"])
    assert [{e.group for e in fold if e.split == "val"} for fold in folds] == [{"g3"}, {"g2"}]
    assert [{e.group for e in fold if e.split == "train"} for fold in folds] == [{"g1", "g2"}, {"g1", "g3"}]


@pytest.mark.parametrize("name", ["g0", "g9"])
def test_a_group_for_the_folds_that_is_for_testing_or_not_there_is_told(name: str) -> None:
    with pytest.raises(ValueError, match=rf"fold_groups names '{name}', expected some of .*: g1, g2"):
        split_folds(examples([2, 2, 2], test=1), 2, 0, ["g1", name])


def test_more_folds_than_named_groups_are_told() -> None:
    with pytest.raises(ValueError, match=r"--folds is 3, expected 2 to 2, the number of fold_groups"):
        split_folds(examples([2, 2, 2, 2]), 3, 0, ["g1", "g2"])
