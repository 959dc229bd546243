"""A manifest: a CSV beside the pictures that lists them, with their groups and splits."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

STEM = "stem"


def read_manifest(path: Path, columns: Sequence[str] = ()) -> dict[str, dict[str, str]]:
    """The rows of a manifest by their stem; ValueError where it lacks one of the `columns` or names a stem twice."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:  # spreadsheets write a byte order mark
            reader = csv.DictReader(file, restval="")  # short rows
            there = set(reader.fieldnames or ())
            rows = list(reader)
    except OSError as error:
        raise ValueError(f"manifest {path} can't be read: {error.strerror}") from None
    except csv.Error as error:  # a field without end, say
        raise ValueError(f"manifest {path} is no CSV ({error}); save it as text with commas and one header") from None
    except ValueError as error:  # of another encoding
        raise ValueError(f"manifest {path} is no UTF-8 text ({error}); save it as UTF-8") from None
    for column in (STEM, *columns):
        if column not in there:
            raise ValueError(f"{path.name} has no column {column!r}; it has {', '.join(sorted(there))}")
    by_stem = {row[STEM]: row for row in rows}
    if len(by_stem) < len(rows):
        stem = Counter(row[STEM] for row in rows).most_common(1)[0][0]
        raise ValueError(f"{path.name} lists {stem!r} twice; every picture has one row")
    return by_stem
