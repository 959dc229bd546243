"""Files that appear whole or not at all, and the names of those of a checkpoint."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

CONFIG, WEIGHTS, README = "config.json", "model.safetensors", "README.md"
GATE = "gate.safetensors"
"""What a checkpoint knows of the pictures that it was trained on; got with the weights."""
GATE_BYTES = 2_000_000
PICTURE, EXPECTED = "sample.png", "expected.safetensors"
"""A test picture, and what the weights make of it."""
EXPECTED_BYTES = 2_000_000
ONNX = "model.onnx"
BUILT = "files.json"
PAGE = (BUILT, "model.json", "model.onnx.gz", "example.png")
"""Of a page without a server: the list of what npm built, and what is of the model."""
COMPANIONS = (GATE, PICTURE, EXPECTED, README, "calibration.json", "scores.json", "split.json")
"""What a run leaves beside config and weights; and the pictures that the README shows."""

MOST_TEXT = 100_000_000
"""Bytes of a JSON file; the split of a million pictures has fewer."""

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextlib.contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A temporary name beside `path` to write to; it becomes `path` at the end, and is removed on any error."""
    # no other process, thread or machine that shares the disk has the same one
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    except OSError as error:
        raise explained(error, path) from None
    finally:
        temporary.unlink(missing_ok=True)


def whole_folder(folder: Path, files: Mapping[str, str | bytes], *, kind: str, mark: str) -> Path:
    """Make these the files of a folder, all or none of them; names may have folders in them.

    A folder that is there already is replaced: if it is empty, or of this kind, by which it holds the file `mark`.
    """
    make_folder(folder.parent)
    check_folder(folder, kind=kind, mark=mark)
    new = folder.with_name(f".{folder.name}.{os.getpid()}.new")
    old = folder.with_name(f".{folder.name}.{os.getpid()}.old")
    try:
        new.mkdir()
        for name, content in files.items():
            (new / name).parent.mkdir(parents=True, exist_ok=True)
            (new / name).write_bytes(content.encode() if isinstance(content, str) else content)
        if folder.exists():
            folder.rename(old)
        new.rename(folder)
    except OSError as error:
        raise explained(error, folder) from None
    finally:
        if old.exists() and not folder.exists():
            old.rename(folder)
        for leftover in (new, old):
            shutil.rmtree(leftover, ignore_errors=True)
    return folder


def check_folder(folder: Path, *, kind: str, mark: str) -> None:
    """ValueError where a folder holds something else than `whole_folder` may replace."""
    if folder.is_file() or (folder.exists() and any(folder.iterdir()) and not (folder / mark).is_file()):
        raise ValueError(f"{folder} exists and is no {kind}; choose another folder or empty it")


def explained(error: OSError, path: Path) -> OSError:
    """An error of writing `path` as a sentence that says what to do."""
    if error.errno is None:
        return error  # a sentence already
    if error.errno not in FULL:
        return OSError(f"{path} can't be written ({error.strerror}); name another file or folder")
    return OSError(f"no room to write {path} ({error.strerror}); what was there is untouched: free some space, go on")


def make_folder(path: Path) -> None:
    """Make a folder and those above it, as far as they are not there; OSError in a sentence where that can't be."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise explained(error, path) from None


def one_line(text: object, most: int = 200) -> str:
    """What a library says, or a file holds, in one line of moderate length."""
    line = " ".join(str(text).split())
    return line if len(line) <= most else f"{line[:most]} ..."


def read_json(path: Path) -> Any:  # noqa: ANN401, whatever JSON holds
    """What a JSON file holds; ValueError of one sentence for what is none."""
    try:
        if (size := path.stat().st_size) > MOST_TEXT:
            raise ValueError(f"it has {size:,} bytes, expected at most {MOST_TEXT:,}")
        return json.loads(path.read_text(encoding="utf-8"))
    except RecursionError:
        raise ValueError(f"{path} is not a readable JSON file: it is nested too deep") from None
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} is not a readable JSON file: {one_line(error)}") from None


def check_target(path: Path) -> None:
    """ValueError where no file can be written by this name: told before the work that it is to hold."""
    if path.is_dir():
        raise ValueError(f"{path} is a folder; name a file to write")
    if not path.parent.is_dir():
        raise ValueError(f"{path} can't be written: there is no folder {path.parent}; make it, or name another file")
