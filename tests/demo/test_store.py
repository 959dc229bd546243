"""What is kept, for how long, and that memory and files go."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from served import png, tiny

from unetseg import Image
from unetseg.demo.result import Result
from unetseg.demo.store import Gone, Store, keep_newest
from unetseg.demo.uploads import Upload


@dataclass
class Thing:
    nbytes: int


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store[Thing]]:
    made: Store[Thing] = Store(tmp_path, limit=1000, expires=60)
    yield made
    made.close()


def put(store: Store[Thing], nbytes: int, files: int = 0, *, pinned: bool = False) -> str:
    key = store.new_key()
    (store.folder / key / "deep").mkdir()
    (store.folder / key / "deep" / "file").write_bytes(bytes(files))
    store.put(key, Thing(nbytes), pinned=pinned)
    return key


def test_the_longest_unused_goes_first_with_its_files_and_both_count(store: Store[Thing]) -> None:
    a, b, c = (put(store, 200, 100) for _ in range(3))
    assert store.nbytes == 900
    store.get(a)
    put(store, 10, 200)
    with pytest.raises(Gone, match="run the picture again"):
        store.get(b)
    assert not (store.folder / b).exists()
    assert (store.folder / a).exists()
    store.get(c)


def test_what_grows_counts_as_it_is_now(store: Store[Thing]) -> None:
    a, b = put(store, 100), put(store, 100)
    store.get(b).nbytes = 950
    store.fit(b)
    with pytest.raises(Gone):
        store.get(a)
    (store.folder / b / "download").write_bytes(bytes(70))
    store.fit(b)
    assert store.nbytes == 1020, "the newest stays, however large"


def test_what_is_pinned_stays(store: Store[Thing]) -> None:
    pinned = put(store, 300, pinned=True)
    for _ in range(4):
        last = put(store, 600)
    store.get(pinned)
    store.get(last)
    assert store.nbytes == 900


def test_a_folder_without_a_thing_goes(store: Store[Thing]) -> None:
    key = store.new_key()
    store.forget_unless_kept(key)
    assert not (store.folder / key).exists()
    kept = put(store, 1)
    store.forget_unless_kept(kept)
    assert (store.folder / kept).exists()


def test_what_nobody_looks_at_expires_by_itself(tmp_path: Path) -> None:
    store: Store[Thing] = Store(tmp_path, limit=1000, expires=0.6)
    first, pinned, looked_at = put(store, 1), put(store, 1, pinned=True), put(store, 1)
    deadline = time.monotonic() + 10
    while (tmp_path / first).exists() and time.monotonic() < deadline:
        store.get(looked_at)
        time.sleep(0.05)
    with pytest.raises(Gone):
        store.get(first)
    store.get(looked_at)
    while (tmp_path / looked_at).exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert [path.name for path in tmp_path.iterdir()] == [pinned]
    store.close()
    assert not list(tmp_path.iterdir())


def test_many_threads_put_and_get_within_the_limit(store: Store[Thing]) -> None:
    def work() -> None:
        for _ in range(30):
            key = put(store, 90, 10)
            assert store.nbytes <= 1000
            store.fit(key)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.nbytes == 1000
    assert len(list(store.folder.iterdir())) == 10


def test_the_oldest_files_go_beyond_a_limit(tmp_path: Path) -> None:
    for number in range(4):
        path = tmp_path / f"folder {number}" / "file"
        path.parent.mkdir()
        path.write_bytes(bytes(100))
        os.utime(path, (number, number))
    keep_newest(tmp_path, 250)
    assert sorted(path.parent.name for path in tmp_path.rglob("file")) == ["folder 2", "folder 3"]


def test_a_result_counts_all_that_it_holds_once() -> None:
    pixels = torch.arange(4 * 60 * 50 * 3, dtype=torch.uint8).view(4, 60, 50, 3).numpy()
    image = Image(pixels[1:2, :, :, :1], (0, 255))  # of a larger array, which stays as a whole
    full = tiny()(image)
    result = Result(Upload(Path("a.png"), "a.png"), "tiny", full)
    logits = full.network_logits.untyped_storage().nbytes()
    assert full.features is not None
    expected = pixels.nbytes + logits + full.features.untyped_storage().nbytes()
    assert result.nbytes == expected
    result.packed[0] = bytes(77)
    assert result.nbytes == expected + 77
    assert Result(Upload(Path("a.png"), "a.png")).nbytes == 0


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_memory_is_the_systems_again_when_results_are_dropped(tmp_path: Path) -> None:
    """In a process of its own, set up as the page's is: many middling blocks, which malloc would keep."""
    (tmp_path / "picture.png").write_bytes(png())
    code = f"""
from unetseg.process import set_up
set_up()
from pathlib import Path
import numpy as np
from unetseg.demo.store import Store
def resident():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmRSS"))
class Thing:
    def __init__(self):
        self.arrays = [np.ones(200_000, np.uint8) for _ in range(1000)]
        self.nbytes = 200_000_000
store = Store(Path({str(tmp_path)!r}), limit=500_000_000)
before = resident()
keys = []
for _ in range(2):
    keys.append(store.new_key())
    store.put(keys[-1], Thing())
held = resident() - before
for key in keys:
    store.drop(key)
print(held, resident() - before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    held, left = map(int, done.stdout.split())
    assert held > 380_000
    assert left < 40_000
