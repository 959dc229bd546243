import os
import subprocess
import sys
from pathlib import Path

import pytest

RECIPE = Path(__file__).parents[2] / "training" / "recipes" / "liver.toml"
LARGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")

# `fit` refuses a folder that is not there; tensors as a training step makes them, several at once, come after it
AFTER_FIT = """
import resource, sys
from pathlib import Path
import torch
from unetseg.fitting import Recipe, fit

try:
    fit(Recipe.from_file(Path(sys.argv[1])), Path("absent"), Path("absent_too"), device="cpu")
except ValueError as error:
    assert "absent" in str(error), error

def step():
    return [torch.empty(10 * 2**20).fill_(1) for _ in range(4)]  # 40 MB each

for _ in range(10):  # until the freed pieces fit
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
held = step()
print(next(line.split()[1] for line in Path("/proc/self/smaps_rollup").open() if line.startswith("AnonHugePages")))
"""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it is glibc that is told")


def faults_and_large_pages(*, large: bool) -> tuple[int, int]:
    """Page faults of 10 steps that each take and free 160 MB, and how many kB lie in large pages at the end."""
    env = os.environ | {"THP_MEM_ALLOC_ENABLE": "0"} if not large else None
    command = [sys.executable, "-c", AFTER_FIT, str(RECIPE)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=env)
    faults, pages = map(int, done.stdout.split())
    return faults, pages


def test_training_keeps_the_memory_that_it_frees() -> None:
    """Without the setting each of the 10 steps gets its 160 MB (40,960 pages) from Linux anew."""
    faults, _ = faults_and_large_pages(large=False)
    assert faults < 40_960


@pytest.mark.skipif(
    not LARGE_PAGES.exists() or "[never]" in LARGE_PAGES.read_text(), reason="this Linux has no large pages"
)
def test_training_asks_for_large_pages() -> None:
    _, kilobytes = faults_and_large_pages(large=True)
    assert kilobytes > 0
