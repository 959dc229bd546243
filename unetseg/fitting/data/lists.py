"""Published lists of the pictures for training, validation and test, as text: a line each."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from ..recipe import Split
from .layouts import ending, stem


def split_by_lists(lists: Mapping[Split, Path], images: Mapping[str, Path], folder: Path) -> dict[str, Split]:
    """The split of each picture that a list names; `images` are all of them, by their names.

    Raises ValueError for a line that names no picture or several, and for a picture in two lists.
    """
    find = Finder(images, folder)
    found: dict[str, Split] = {}
    for split, path in lists.items():
        for line in read_list(path):
            names = find(line)
            if len(names) != 1:
                what = "no picture" if not names else "several pictures, " + ", ".join(names[:2])
                raise ValueError(
                    f"{path.name} lists {line!r}, which is {what}; each line names one by its name, file or path"
                )
            if found.setdefault(names[0], split) != split:
                raise ValueError(
                    f"{names[0]!r} is in the lists of {found[names[0]]} and of {split}; take it out of one of them"
                )
    return found


def read_list(path: Path) -> list[str]:
    """The lines of a list, without blank ones and comments (#)."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ValueError(f"the list {path} can't be read: {error.strerror}") from None
    except ValueError as error:
        raise ValueError(f"the list {path} is no UTF-8 text ({error}); save it as UTF-8") from None
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


class Finder:
    """Finds pictures by a line of a list: a name, a file or a path, and maybe more (its mask, its kind) behind it."""

    def __init__(self, images: Mapping[str, Path], folder: Path) -> None:
        self.by_name: dict[str, set[str]] = {}
        self.parts: dict[str, list[tuple[str, ...]]] = {}
        for name, path in images.items():
            inside = path.relative_to(folder).parent
            for known in {(*inside.parts, stem(path)), (*inside.parts, *name.split("/")), tuple(name.split("/"))}:
                self.by_name.setdefault(known[-1], set()).add(name)
                self.parts.setdefault(name, []).append(known)

    def __call__(self, line: str) -> list[str]:
        """The names of the pictures that a line may mean; of several those whose folders fit best."""
        for text in _texts(line):
            parts = tuple(part for part in re.split(r"[/\\\\]", text) if part not in ("", "."))
            if not parts:
                continue
            last = stem(Path(parts[-1])) if ending(Path(parts[-1])) else parts[-1]
            found = sorted(self.by_name.get(last, ()) or self.by_name.get(parts[-1], ()))
            if len(found) < 2:
                if found:
                    return found
                continue
            alike = {name: max(_shared_end((*parts[:-1], last), known) for known in self.parts[name]) for name in found}
            return [name for name in found if alike[name] == max(alike.values())]
        return []


def _texts(line: str) -> Iterator[str]:
    """A whole line, which may be a name with blanks, or what stands before the first blank, comma or tab."""
    yield line
    yield re.split(r"[\t,;]", line)[0].strip().strip("\"'")
    yield re.split(r"[\s,;]", line)[0].strip("\"'")


def _shared_end(one: tuple[str, ...], other: tuple[str, ...]) -> int:
    number = 0
    for a, b in zip(reversed(one), reversed(other), strict=False):
        if a != b:
            break
        number += 1
    return number
