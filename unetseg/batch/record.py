"""The journal of a folder of results: a line for each input that is done, so that the same command can go on."""

from __future__ import annotations

import hashlib
import json
import os
import re
import threading
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..files import CONFIG, GATE, WEIGHTS, explained
from ..hub.download import Source

FORMAT = 1
JOURNAL = re.compile(r"journal(-.+)?\.jsonl")
"""Their names: each shard and each machine of a cluster has one of its own."""
HEAD = b'{"format": 1, '
"""How every line starts; one that does and isn't whole was cut off when a process or a disk came to its end."""


@dataclass(frozen=True)
class Entry:
    """What a line says: which input, its bytes, the model, what was asked for, and what was written, with its hashes.

    input, series: of the `Job`. place: a hash of where the input lies, which tells inputs of the same name apart.
    outputs: SHA-256 by the name relative to the folder of the journal. network: how it ran. time: when, in UTC.
    """

    input: str
    series: str | None
    place: str
    sha256: str
    model: str
    options: dict[str, Any]
    outputs: dict[str, str] = field(default_factory=dict)
    network: str = ""
    time: str = ""

    def same_result(self, other: Entry) -> bool:
        """Whether another one has the same bytes, model and options, and so the same result."""
        return (self.sha256, self.model, self.options) == (other.sha256, other.model, other.options)


class Journal:
    """The journals of a folder, all of which are read, and one of them that is written to.

    Several processes may write at once, and processes on several machines each to its own. Threads may share one.
    Raises ValueError where a file of this name is no journal, or one of a format that isn't known.
    """

    def __init__(self, folder: Path, name: str = "journal.jsonl") -> None:
        self.folder, self.path = folder, folder / name
        self._read: dict[Path, int] = {}  # bytes of each file
        self._entries: dict[tuple[str, str | None], list[Entry]] = {}
        self._lock = threading.Lock()
        self.refresh()

    def refresh(self) -> None:
        """Read what has been written since, by others too."""
        with self._lock:
            for path in sorted(path for path in self.folder.glob("*") if JOURNAL.fullmatch(path.name)):
                with path.open("rb") as file:
                    file.seek(self._read.get(path, 0))
                    data = file.read()
                *lines, last = data.split(b"\n")
                for line in lines:
                    self._take(line, path)
                if not _begun(last):
                    raise _unknown(path)
                self._read[path] = self._read.get(path, 0) + len(data) - len(last)  # it may still be written

    def find(self, input_: str, series: str | None) -> list[Entry]:
        """The entries of an input, the last one last."""
        with self._lock:
            return sorted(self._entries.get((input_, series), []), key=lambda entry: entry.time)

    def outputs(self) -> set[Path]:
        """All files that the journals know, as absolute paths."""
        folder = self.folder.resolve()
        return {folder / name for entries in self._entries.values() for entry in entries for name in entry.outputs}

    def add(self, entry: Entry) -> None:
        """Write a line, in one piece. OSError in a sentence where there is no room for it."""
        fields = {**asdict(entry), "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
        line = HEAD + json.dumps(fields).encode()[1:] + b"\n"
        try:
            with self._lock, self.path.open("ab+", buffering=0) as file:
                if size := file.seek(0, os.SEEK_END):
                    file.seek(size - 1)
                    line = line if file.read(1) == b"\n" else b"\n" + line  # behind one that was cut off
                written = file.write(line)
                os.fsync(file.fileno())
        except OSError as error:
            raise explained(error, self.path) from None
        if written != len(line):
            raise OSError(f"no room to write {self.path}; what was there is untouched: free some space, go on")

    def _take(self, line: bytes, path: Path) -> None:
        try:
            fields = json.loads(line)
        except (ValueError, RecursionError):
            if _begun(line):  # cut off
                return
            raise _unknown(path) from None
        try:
            assert fields.pop("format") == FORMAT
            entry = Entry(**fields)
        except (ValueError, TypeError, KeyError, AttributeError, AssertionError):
            raise _unknown(path) from None
        self._entries.setdefault((entry.input, entry.series), []).append(entry)


def _begun(line: bytes) -> bool:
    """Whether this may be the beginning of a line, or nothing."""
    return line.startswith(HEAD) or HEAD.startswith(line)


def _unknown(path: Path) -> ValueError:
    return ValueError(
        f"{path} is no journal that this version of unetseg reads, format {FORMAT}; "
        "it is left as it is: move it away, or name another folder with --out"
    )


def file_hash(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def text_hash(text: str) -> str:
    """SHA-256 of a text, which may be the name of a file in no known encoding."""
    return hashlib.sha256(os.fsencode(text)).hexdigest()


def checkpoint_hash(source: Source) -> str:
    """What tells a checkpoint from any other: the commit of a repo on the hub, or the hash of config, weights, gate."""
    files = [source.folder / name for name in (CONFIG, WEIGHTS, GATE)]
    return source.commit or hashlib.sha256(b"".join(path.read_bytes() for path in files if path.exists())).hexdigest()
