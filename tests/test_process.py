"""How threads wait is set before torch is there to read it, and only where the user has said nothing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ASK = """
import os, runpy, sys
import unetseg.process

said = unetseg.process.set_up


def ask():
    there = "torch" in sys.modules
    said()
    print(there, os.environ.get("GOMP_SPINCOUNT"))
    sys.exit()


unetseg.process.set_up = ask
sys.argv = sys.argv[1:]
run = runpy.run_path if sys.argv[0].endswith(".py") else runpy.run_module
run(sys.argv[0], run_name="__main__")
"""
COMMANDS = [["app.py"], ["training/train.py"], ["unetseg", "info", "liver-unet"]]


def asked(command: list[str], **environment: str) -> list[str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))}
    words = [sys.executable, "-c", ASK, *command]
    return subprocess.run(
        words, cwd=ROOT, env=env | environment, capture_output=True, text=True, check=True
    ).stdout.split()


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_a_command_sets_it_before_torch_is_imported(command: list[str]) -> None:
    assert asked(command) == ["False", "1000"]


@pytest.mark.parametrize("environment", [{"GOMP_SPINCOUNT": "5"}, {"OMP_WAIT_POLICY": "ACTIVE"}])
def test_what_the_user_says_stands(environment: dict[str, str]) -> None:
    assert asked(COMMANDS[2], **environment) == ["False", environment.get("GOMP_SPINCOUNT", "None")]
