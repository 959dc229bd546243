"""Who may import whom: CONTRIBUTING.md, "Who may import whom"."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import unetseg

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "unetseg"
# a room, or a module beside the rooms, imports from its own layer and from those before it
LAYERS = {
    "unetseg": (
        {"config", "files", "gate", "proof", "process", "version"},
        {"hub"},
        {
            "agreement",
            "change",
            "export",
            "model",
            "task",
            "prepare",
            "tiling",
            "render",
            "measure",
            "scores",
            "formats",
            "samples",
        },
        {"segmentation"},
        {"predictor"},
        {"verify"},
        {"batch", "fitting", "demo", "__main__"},
        {"__init__"},
    ),
    "unetseg.batch": (
        {"inputs", "record", "output"},
        {"shard", "work"},
        {"telling", "cluster"},
        {"__init__"},
    ),
    "unetseg.fitting": (
        {"recipe", "words", "memory", "distributed", "lock", "stopping"},
        {"data"},
        {"doctor", "report", "losses", "optimisation", "state", "journal"},
        {"loop", "run"},
        {"__init__"},
    ),
}


def name_of(path: Path) -> str:
    """The full name of the module in a file; a package is its own `__init__`."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


MODULES = {name_of(path): path for path in PACKAGE.rglob("*.py")}


def imported_modules(path: Path) -> Iterator[str]:
    """The full names of all modules that a file imports anywhere, `from . import x` resolved to x."""
    here = path.relative_to(ROOT).parts[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join([*here[: len(here) - node.level + 1]] if node.level else [])
            module = ".".join(part for part in (base, node.module) if part)
            for alias in node.names:
                full = f"{module}.{alias.name}"
                yield full if known(full) else module


def known(module: str) -> str | None:
    """The key in MODULES of a module of the package, or of a package in it; None for all else."""
    return next((key for key in (module, f"{module}.__init__") if key in MODULES), None)


def graph_of_modules() -> dict[str, set[str]]:
    """For each module of the package, those of it that it imports anywhere, inside functions too."""
    return {name: {key for key in map(known, imported_modules(path)) if key} - {name} for name, path in MODULES.items()}


def part_of(module: str, package: str) -> str | None:
    """The room, or the module beside the rooms, of a package in which a module lies; None for one from elsewhere."""
    return module.removeprefix(f"{package}.").split(".")[0] if module.startswith(f"{package}.") else None


def graph_of_parts(package: str) -> dict[str, set[str]]:
    """For each part of a package, the other parts that it imports."""
    graph: dict[str, set[str]] = {}
    for module, others in graph_of_modules().items():
        if part := part_of(module, package):
            parts = {other for other in (part_of(name, package) for name in others) if other}
            graph.setdefault(part, set()).update(parts - {part})
    return graph


@pytest.mark.parametrize("package", LAYERS)
def test_every_part_has_its_layer_and_imports_none_above_it(package: str) -> None:
    graph = graph_of_parts(package)
    layer_of = {part: number for number, parts in enumerate(LAYERS[package]) for part in parts}
    assert graph.keys() == layer_of.keys(), "a new part: give it a place in LAYERS"
    assert any(graph.values()), "the test sees no imports"
    assert {
        (part, other) for part, others in graph.items() for other in others if layer_of[other] > layer_of[part]
    } == set()


@pytest.mark.parametrize("package", LAYERS)
def test_no_part_imports_in_a_circle(package: str) -> None:
    TopologicalSorter(graph_of_parts(package)).prepare()


def test_no_module_imports_in_a_circle() -> None:
    """Imports inside functions and for types alone count too."""
    graph = graph_of_modules()
    assert "unetseg.config" in graph["unetseg.task"], "the test sees no imports"
    assert "unetseg.hub.upload" in graph["unetseg.__main__"], "the test sees no imports inside functions"
    TopologicalSorter(graph).prepare()
    with pytest.raises(CycleError):
        TopologicalSorter(graph | {"unetseg.config": {"unetseg.task"}}).prepare()


def test_only_the_page_imports_gradio() -> None:
    sources = [*ROOT.glob("*.py"), *(path for name in ("unetseg", "training") for path in (ROOT / name).rglob("*.py"))]
    users = {path for path in sources if any(name.split(".")[0] == "gradio" for name in imported_modules(path))}
    assert users
    assert all(path == ROOT / "app.py" or PACKAGE / "demo" in path.parents for path in users)


def test_the_config_imports_no_torch() -> None:
    assert not any(name.split(".")[0] == "torch" for name in imported_modules(PACKAGE / "config.py"))


def loaded(code: str, *names: str) -> str:
    """Which of these modules a process has loaded after some lines, which write nothing else on the terminal."""
    code += f"\nimport sys; print(*(name for name in {names} if name in sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stderr == ""
    return result.stdout.strip()


def test_importing_the_package_is_cheap_and_silent() -> None:
    """Neither the page nor the hub's client, each of them slow, and no word on the terminal."""
    assert loaded("from unetseg import *", "gradio", "huggingface_hub") == ""


@pytest.mark.parametrize("code", ["import unetseg", "from unetseg.__main__ import parser; parser()"])
def test_threads_can_be_set_before_torch_is_imported(code: str) -> None:
    assert loaded(code, "torch") == ""


def test_public_names_come_when_they_are_asked_for() -> None:
    assert dir(unetseg) == sorted(unetseg.__all__)
    assert all(getattr(unetseg, name) is getattr(unetseg, name) for name in unetseg.__all__)
    with pytest.raises(AttributeError, match=r"^module 'unetseg' has no attribute 'Unet'$"):
        unetseg.Unet  # type: ignore[attr-defined]  # noqa: B018
