"""The commands of training/, which belong to no package."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

TRAINING = Path(__file__).parents[2] / "training"


def load(name: str) -> ModuleType:
    """A command as a module."""
    spec = importlib.util.spec_from_file_location(name, TRAINING / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    path = list(sys.path)
    spec.loader.exec_module(module)
    sys.path[:] = path
    return module
