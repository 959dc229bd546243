"""What setting pictures aside is worth: laws of the risk-coverage curve."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unetseg.scores.coverage import SET_ASIDE, Judged, error_left, judged

errors = st.lists(st.floats(0.01, 1), min_size=10, max_size=40)


@given(errors, st.sampled_from(SET_ASIDE))
def test_trust_that_knows_nothing_leaves_what_chance_does(errors: list[float], share: float) -> None:
    assert error_left(errors, [0.5] * len(errors), share) == pytest.approx(1 - share, abs=1e-4)


@given(errors, st.sampled_from(SET_ASIDE))
def test_no_trust_is_better_than_the_truth_or_worse_than_its_opposite(errors: list[float], share: float) -> None:
    best = error_left(errors, [-error for error in errors], share)
    worst = error_left(errors, errors, share)
    some = error_left(errors, [hash(error) % 7 for error in errors], share)
    assert best is not None
    assert worst is not None
    assert some is not None
    assert best - 1e-4 <= some <= worst + 1e-4
    assert best <= 1 - share + 1e-4 <= worst + 2e-4


def test_without_error_there_is_nothing_to_leave() -> None:
    assert error_left([0.0, 0.0], [1.0, 0.0], 0.5) is None


def test_foreign_pictures_and_others_are_told_apart() -> None:
    some = [Judged(0.2, 0.8, 0.5, 3.0, True), Judged(0.9, 0.1, 0.9, 1.0, False), Judged(None, None, 1.0, 4.0, True)]
    found = judged(some)
    assert found["foreign"] == {"foreign": {"pictures": 2, "dice": 0.2}, "others": {"pictures": 1, "dice": 0.9}}
    assert found["error_left"]["0.5"] == pytest.approx(1 / 9, abs=1e-4)
    unknown = judged([Judged(0.5, 0.5, None, None, None)])
    assert unknown == {"error_left": None, "error_left_at_best": None, "foreign": None}
