"""Libraries that a format needs and not everybody has."""

from __future__ import annotations

import importlib
from typing import Any


def imported(module: str, name: str, *, extra: str = "geo") -> Any:  # noqa: ANN401, a module
    """A module; ValueError that says what a file (or what else is called `name`) needs, and how to get it."""
    try:
        return importlib.import_module(module)
    except ImportError:
        raise ValueError(f"{name} needs {module.partition('.')[0]}: pip install 'unetseg[{extra}]'") from None
