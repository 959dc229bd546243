"""A share of what `python -m tests.fuzz` tries: what is damaged ends in one sentence, soon and in little memory."""

import pytest
from attempt import fuzz
from clients import forkserver
from kinds import KINDS

AT_LEAST = 60


@pytest.mark.parametrize("name", KINDS)
def test_whatever_is_damaged_is_read_or_refused_in_one_sentence(name: str) -> None:
    found = fuzz(forkserver, name, range(AT_LEAST * KINDS[name].share))
    assert found.wrong == []
    assert found.counts["refused"] > found.counts.total() / 10, "hardly anything was damaged"
