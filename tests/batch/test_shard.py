"""Parts of all inputs."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unetseg.batch import Job, Shard


def job(name: str, series: str | None = None) -> Job:
    return Job(Path(name), name, series, input=name)


@given(st.text(), st.none() | st.text(), st.integers(1, 20))
def test_every_input_is_in_one_shard(name: str, series: str | None, count: int) -> None:
    assert sum(job(name, series) in Shard(number, count) for number in range(1, count + 1)) == 1


def test_a_shard_follows_from_the_path_alone_on_any_machine() -> None:
    names = [f"p{number}/slice.png" for number in range(12)]
    assert [next(n for n in range(1, 5) if job(name) in Shard(n, 4)) for name in names] == [
        1,
        1,
        4,
        4,
        4,
        3,
        3,
        2,
        2,
        1,
        1,
        4,
    ]
    assert job("ct", "1.2.3") in Shard(1, 2)


def test_shards_are_about_as_large() -> None:
    sizes = [sum(job(f"{name}.png") in Shard(number, 8) for name in range(8000)) for number in range(1, 9)]
    assert sum(sizes) == 8000
    assert 900 < min(sizes) <= max(sizes) < 1100


@pytest.mark.parametrize("text", ["2", "0/8", "9/8", "a/b", "1/0", "-1/8", "2/8/3", "2 / 8", "٢/٨x"])
def test_what_is_no_shard_is_a_sentence(text: str) -> None:
    with pytest.raises(ValueError, match=r"^a shard is a number of a count, such as 2/8, from 1/8 to 8/8; got "):
        Shard.parse(text)


def test_a_shard_has_a_journal_of_its_own() -> None:
    assert [Shard.parse(text).journal for text in ("2/8", "1/1")] == ["journal-2-of-8.jsonl", "journal.jsonl"]
