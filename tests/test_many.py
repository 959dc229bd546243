"""What docs/many.md promises, taken from it."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import PIL.Image
import pytest

from unetseg.__main__ import parser
from unetseg.samples import draw_sample

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "many.md").read_text(encoding="utf-8")
ENVIRONMENT = {
    **os.environ,
    "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
    "SLURM_CPUS_PER_TASK": "1",
}


def block(language: str) -> str:
    (found,) = re.findall(rf"```{language}\n(.*?)```", PAGE, flags=re.DOTALL)
    return str(found)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with three slices in scans/, and a file that is none."""
    for seed in range(3):
        path = tmp_path / "scans" / f"p{seed}" / "a.png"
        path.parent.mkdir(parents=True)
        PIL.Image.fromarray(draw_sample("ct", seed, 64)[0]).save(path)
    (tmp_path / "scans" / "bad.png").write_text("no picture")
    return tmp_path


def inputs(folder: Path) -> list[str]:
    lines = [line for path in (folder / "results").glob("journal*") for line in path.read_text().splitlines()]
    return sorted(json.loads(line)["input"] for line in lines)


def test_the_commands_are_those_of_the_command_line() -> None:
    found = re.findall(r"^python -m unetseg .*$", PAGE, flags=re.MULTILINE)
    assert len(found) == 4
    for command in found:
        options = parser().parse_args(shlex.split(command)[3:])
        assert [str(path) for path in options.inputs] == ["scans"]


def test_the_script_of_slurm_does_its_shard_and_fails_where_an_input_does(folder: Path) -> None:
    task = {"SLURM_ARRAY_TASK_ID": "1", "SLURM_ARRAY_TASK_COUNT": "2"}
    done = subprocess.run(["bash", "-c", block("bash")], cwd=folder, env=ENVIRONMENT | task)
    assert done.returncode == 1
    (line,) = map(json.loads, (folder / "results" / "journal-1-of-2.jsonl").read_text().splitlines())
    assert line["input"] == "p0/a.png"
    shown = json.loads(block("json"))  # is such a line
    assert {name: type(value) for name, value in shown.items()} == {name: type(value) for name, value in line.items()}


@pytest.mark.skipif(shutil.which("snakemake") is None, reason="no snakemake: pip install snakemake")
def test_the_snakefile_does_all_shards(folder: Path) -> None:
    (folder / "Snakefile").write_text(block("python").replace("SHARDS = 8", "SHARDS = 2"))
    command = ["snakemake", "--cores", "1", "--keep-going"]
    assert subprocess.run(command, cwd=folder, env=ENVIRONMENT).returncode == 1
    assert inputs(folder) == ["p0/a.png", "p1/a.png", "p2/a.png"]
    (folder / "scans" / "bad.png").unlink()
    assert subprocess.run(command, cwd=folder, env=ENVIRONMENT).returncode == 0
    assert inputs(folder) == ["p0/a.png", "p1/a.png", "p2/a.png"]
