import subprocess
import sys

import pytest

FREED_AND_TAKEN_AGAIN = """
import resource
import torch
from unetseg.fitting.memory import keep_freed_memory

assert keep_freed_memory()

def write() -> None:
    torch.empty(2**24).fill_(1)  # 64 MB

write()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    write()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="it is glibc that is told")
def test_memory_that_is_freed_and_taken_again_is_not_got_from_linux_anew() -> None:
    """Else each of these 64 MB would be 16,384 page faults, or 32 of large pages."""
    done = subprocess.run([sys.executable, "-c", FREED_AND_TAKEN_AGAIN], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 30
