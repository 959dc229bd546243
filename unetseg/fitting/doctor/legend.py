"""Names of mask values, from a file beside the pictures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

LEGENDS = ("classes.json", "labels.json", "legend.json")


def read_legend(folder: Path) -> tuple[str | None, dict[str, str]]:
    """The file that names mask values, and value (`3` or `#3c1098`) to name; None and nothing where there is none.

    It is JSON: a list of names, an object of value to name, or a list of objects with `id`, `name`, and `hex` or `rgb`;
    or an object that has one of these as `classes`.
    """
    for name in LEGENDS:
        try:
            content = json.loads((folder / name).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(content, dict) and "classes" in content:
            content = content["classes"]
        entries = list(content.items()) if isinstance(content, dict) else content
        if isinstance(entries, list) and (legend := _legend(entries)):
            return name, legend
    return None, {}


def _legend(entries: Sequence[Any]) -> dict[str, str]:
    legend: dict[str, str] = {}
    for number, entry in enumerate(entries):
        match entry:
            case str():
                legend[str(number)] = entry
            case (value, str(name)):
                legend[str(value).lower()] = name
            case {"name": str(name), **more}:
                match more:
                    case {"id": int(number)}:
                        legend[str(number)] = name
                match more:
                    case {"hex": str(colour)}:
                        legend[colour.lower()] = name
                    case {"rgb": [int(red), int(green), int(blue)]}:
                        legend[f"#{red << 16 | green << 8 | blue:06x}"] = name
    return {value: " ".join(name.split()) for value, name in legend.items() if name.strip()}
