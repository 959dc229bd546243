"""What visitors brought and what was found in it, in bounded memory and for a bounded time."""

from __future__ import annotations

import gc
import secrets
import shutil
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from ..process import give_back


class Sized(Protocol):
    """What says how many bytes it holds in memory, now."""

    @property
    def nbytes(self) -> int: ...


Thing = TypeVar("Thing", bound=Sized)
EXPIRES = 30 * 60.0
"""Seconds that a result is kept after it was last looked at."""
LIMIT = 2_000_000_000
MUCH = 2**26
"""Bytes of results that are dropped before memory goes back to the system; what expires does at once."""


class Gone(Exception):  # noqa: N818, what happened, not a fault
    """What is asked for was dropped, or never was."""

    def __init__(self) -> None:
        super().__init__(
            "This result is no longer kept on the server: run the picture again, or bring it again if that fails too."
        )


@dataclass
class _Kept(Generic[Thing]):
    thing: Thing
    files: int
    used: float
    pinned: bool


class Store(Generic[Thing]):
    """Things by a random key, each with a folder of that name: their arrays, and the bytes of the files in it, count.

    The longest unused are dropped beyond `limit` bytes of all, and what nobody looked at for `expires` seconds; then
    memory goes back to the system. What is pinned stays, and the newest.
    """

    def __init__(self, folder: Path, limit: int = LIMIT, expires: float = EXPIRES) -> None:
        self.folder, self.limit, self.expires = folder, limit, expires
        self._kept: OrderedDict[str, _Kept[Thing]] = OrderedDict()
        self._changed = threading.Condition()
        self._closed, self._freed = False, 0
        self._sweeper: threading.Thread | None = None

    def new_key(self) -> str:
        """A key with a folder, for what is being made; see `forget_unless_kept`."""
        key = secrets.token_urlsafe(16)
        (self.folder / key).mkdir()
        return key

    def forget_unless_kept(self, key: str) -> None:
        """Remove the folder of a key under which nothing was put."""
        with self._changed:
            if key not in self._kept:
                shutil.rmtree(self.folder / key, ignore_errors=True)

    def put(self, key: str, thing: Thing, *, pinned: bool = False) -> None:
        """Keep it under a key of `new_key`, instead of what was kept there."""
        with self._changed:
            self._kept[key] = _Kept(thing, _bytes_in(self.folder / key), time.monotonic(), pinned)
            self._kept.move_to_end(key)
            if self._sweeper is None:
                self._sweeper = threading.Thread(target=self._sweep, name="unetseg-store", daemon=True)
                self._sweeper.start()
            self._changed.notify_all()
            self._fit()
        self._give_back()

    def get(self, key: str) -> Thing:
        """What is kept under a key; it counts as used. Raises Gone."""
        with self._changed:
            kept = self._kept.get(key)
            if kept is None:
                raise Gone
            kept.used = time.monotonic()
            self._kept.move_to_end(key)
            return kept.thing

    def drop(self, key: str) -> None:
        """Forget what lies under a key, if anything does."""
        with self._changed:
            if key in self._kept:
                self._drop(key)
        self._give_back()

    def fit(self, key: str) -> None:
        """Drop what is too much, after what lies under a key grew."""
        with self._changed:
            if key in self._kept:
                self._kept[key].files = _bytes_in(self.folder / key)
            self._fit()
        self._give_back()

    @property
    def nbytes(self) -> int:
        """Of all that is kept: arrays and files."""
        with self._changed:
            return sum(kept.thing.nbytes + kept.files for kept in self._kept.values())

    def close(self) -> None:
        """Drop all of it."""
        with self._changed:
            self._closed = True
            for key in [*self._kept]:
                self._drop(key)
            self._changed.notify_all()

    def _fit(self) -> None:
        while self.nbytes > self.limit:
            *older, _ = self._kept
            first = next((key for key in older if not self._kept[key].pinned), None)
            if first is None:
                return
            self._drop(first)

    def _drop(self, key: str) -> None:
        self._freed += self._kept.pop(key).thing.nbytes
        shutil.rmtree(self.folder / key, ignore_errors=True)

    def _sweep(self) -> None:
        """Wait for the next thing to expire, for ever."""
        while True:
            with self._changed:
                if self._closed:
                    return
                now = time.monotonic()
                due = {key: one.used + self.expires for key, one in self._kept.items() if not one.pinned}
                for key, when in due.items():
                    if when <= now:
                        self._drop(key)
                later = [when - now for when in due.values() if when > now]
                if len(later) == len(due):
                    self._changed.wait(min(later, default=None))
                    continue
            self._give_back(least=1)

    def _give_back(self, least: int = MUCH) -> None:
        """Let the system have what was dropped, if it is worth the time that this takes: some 50 ms."""
        with self._changed:
            if self._freed < least:
                return
            self._freed = 0
        gc.collect()
        give_back()


def keep_newest(folder: Path, limit: int) -> None:
    """Remove the oldest files of a folder, however deep, beyond so many bytes of all."""
    files = sorted((path.stat().st_mtime, path.stat().st_size, path) for path in folder.rglob("*") if path.is_file())
    total = sum(size for _, size, _ in files)
    for _, size, path in files:
        if total <= limit:
            return
        path.unlink(missing_ok=True)
        total -= size


def _bytes_in(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
