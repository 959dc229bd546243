"""Who may import whom: DESIGN.md, "Layout"."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "unetseg"
# a part of the package imports parts of its own layer and of those before it
LAYERS = (
    {"config", "files", "seal"},
    {"model", "task", "prepare", "tiling", "render", "metrics", "surface", "calibration", "formats", "samples"},
    {"model_card", "remote"},
    {"hub", "upload", "space", "info"},
    {"predictor"},
    {"fitting", "__main__", "demo"},
    {"__init__"},
)
LAYER_OF = {part: number for number, parts in enumerate(LAYERS) for part in parts}
# inside methods: the verbs of UNet that find, load, save and push; remote only for a type
EXCEPTIONS = {("model", "hub"), ("model", "upload"), ("model", "remote")}


def part_of(path: Path) -> str:
    """The first name below the package: a module, or a folder of modules."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_modules(path: Path) -> Iterator[str]:
    """The full names of all modules that a file imports anywhere, `from . import x` resolved to x."""
    here = path.relative_to(ROOT).parts[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = [*here[: len(here) - node.level + 1]] if node.level else []
            if node.module:
                yield ".".join([*base, node.module])
            else:
                yield from (".".join([*base, alias.name]) for alias in node.names)


def imported_parts() -> dict[str, set[str]]:
    """For each part of the package, the other parts that it imports."""
    graph: dict[str, set[str]] = {}
    for path in PACKAGE.rglob("*.py"):
        part = part_of(path)
        names = (name.split(".") for name in imported_modules(path))
        parts = {name[1] if len(name) > 1 else "__init__" for name in names if name[0] == "unetseg"}
        graph.setdefault(part, set()).update(parts - {part})
    return graph


def test_every_part_has_its_layer_and_imports_none_above_it() -> None:
    graph = imported_parts()
    assert not graph.keys() - LAYER_OF.keys(), "a new part: give it a place in LAYERS"
    assert "config" in graph["task"], "the test sees no imports"
    upwards = {(part, other) for part, others in graph.items() for other in others if LAYER_OF[other] > LAYER_OF[part]}
    assert upwards == EXCEPTIONS


def test_nothing_imports_in_a_circle() -> None:
    graph = imported_parts()
    graph["model"] -= {other for part, other in EXCEPTIONS}
    TopologicalSorter(graph).prepare()


def test_the_network_imports_the_hub_inside_methods_only() -> None:
    tree = ast.parse((PACKAGE / "model.py").read_text(encoding="utf-8"))
    importers = {
        function.name
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.ImportFrom) and {node.module, *(alias.name for alias in node.names)} & {"hub", "upload"}
    }
    assert importers
    assert importers == {"from_pretrained", "save_pretrained", "push_to_hub", "_papers"}
    assert not any(isinstance(node, ast.ImportFrom) and node.module == "hub" for node in tree.body)


def test_only_the_page_imports_gradio() -> None:
    sources = [*ROOT.glob("*.py"), *(path for name in ("unetseg", "training") for path in (ROOT / name).rglob("*.py"))]
    users = {path for path in sources if any(name.split(".")[0] == "gradio" for name in imported_modules(path))}
    assert users
    assert all(path == ROOT / "app.py" or PACKAGE / "demo" in path.parents for path in users)


def test_the_config_imports_no_torch() -> None:
    assert not any(name.split(".")[0] == "torch" for name in imported_modules(PACKAGE / "config.py"))


def test_importing_the_package_is_cheap_and_silent() -> None:
    """Neither the page nor the hub's client, each of them slow, and no word on the terminal."""
    code = "import sys, unetseg; print(*(name for name in ('gradio', 'huggingface_hub') if name in sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert (result.stdout.strip(), result.stderr) == ("", "")
