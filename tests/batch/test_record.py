"""The journal of a folder."""

from __future__ import annotations

import json
import re
import resource
from dataclasses import replace
from pathlib import Path

import pytest

from unetseg.batch.record import Entry, Journal

ENTRY = Entry("p1/ä.png", None, "place", "bytes", "model", {"view": "labels"}, {"p1/ä_labels.png": "hash"})
LINES = 3


def entries(folder: Path) -> list[Entry | None]:
    journal = Journal(folder)
    return [journal.find(f"{number}.png", None) for number in range(LINES)]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    journal = Journal(tmp_path_factory.mktemp("written"))
    for number in range(LINES):
        journal.add(replace(ENTRY, input=f"{number}.png"))
    return journal.path.read_bytes()


def test_what_was_added_is_found_and_a_line_is_plain_json(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.add(ENTRY)
    (line,) = journal.path.read_text().splitlines()
    fields = json.loads(line)
    assert list(fields) == [
        "format",
        "input",
        "series",
        "place",
        "sha256",
        "model",
        "options",
        "outputs",
        "network",
        "time",
    ]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", fields["time"])
    assert Journal(tmp_path).find("p1/ä.png", None) == [replace(ENTRY, time=fields["time"])]
    assert Journal(tmp_path).find("p1/ä.png", "1.2.3") == []
    assert Journal(tmp_path).outputs() == {tmp_path / "p1" / "ä_labels.png"}


def test_a_journal_that_was_cut_off_anywhere_goes_on_after_its_last_whole_line(written: bytes, tmp_path: Path) -> None:
    first = written.index(b"\n") + 1
    second = written.index(b"\n", first) + 1
    for length in range(second):  # behind each byte of the first two lines, closing brackets too
        folder = tmp_path / str(length)
        folder.mkdir()
        (folder / "journal.jsonl").write_bytes(written[:length])
        whole = written[:length].count(b"\n")
        assert [bool(found) for found in entries(folder)][:whole] == [True] * whole
        journal = Journal(folder)
        journal.add(ENTRY)
        assert Journal(folder).find(ENTRY.input, None)
        assert [bool(found) for found in entries(folder)][:whole] == [True] * whole
        assert journal.path.read_bytes().startswith(written[:length])


def test_a_line_for_which_there_is_no_room_is_a_sentence_and_the_next_one_stands(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.add(ENTRY)
    size = journal.path.stat().st_size
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    for room in (20, 0):
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + room, before[1]))
        try:
            with pytest.raises(OSError, match=r"^no room to write .*journal\.jsonl"):
                journal.add(replace(ENTRY, input="b.png"))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        size = journal.path.stat().st_size
    journal.add(replace(ENTRY, input="c.png"))
    found = Journal(tmp_path)
    assert [bool(found.find(name, None)) for name in (ENTRY.input, "b.png", "c.png")] == [True, False, True]


@pytest.mark.parametrize(
    "content",
    [
        b"a table of mine\n",
        b"no line of a journal",
        b'{"format": 2, "input": "a.png"}\n',
        b'{"format": 1, "input": "a.png"}\n',
        b'{"format": 1, "input": "a.png", "more": 1}\n',
        b"[1]\n",
        b"\xff\xfe\n",
    ],
)
def test_what_is_no_journal_is_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "journal-of-x.jsonl").write_bytes(content)
    with pytest.raises(
        ValueError, match=r"journal-of-x\.jsonl is no journal that this version of unetseg reads"
    ) as error:
        Journal(tmp_path)
    assert len(str(error.value).splitlines()) == 1
    assert (tmp_path / "journal-of-x.jsonl").read_bytes() == content


def test_all_journals_of_a_folder_are_read_and_the_latest_line_counts(tmp_path: Path) -> None:
    one, two = Journal(tmp_path, "journal-1-of-2.jsonl"), Journal(tmp_path, "journal-2-of-2.jsonl")
    two.add(replace(ENTRY, sha256="first"))
    one.add(replace(ENTRY, sha256="second"))
    for path, time in ((two.path, "2026-01-01T00:00:00Z"), (one.path, "2026-01-02T00:00:00Z")):
        path.write_text(re.sub(r'"time": "[^"]+"', f'"time": "{time}"', path.read_text()))
    found = Journal(tmp_path).find(ENTRY.input, None)
    assert [entry.sha256 for entry in found] == ["first", "second"]
    two.refresh()
    other = replace(ENTRY, input="b.png")
    one.add(other)
    assert two.find("b.png", None) == []
    two.refresh()
    assert two.find("b.png", None)
