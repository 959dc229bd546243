#!/usr/bin/env bash
# torch 2.13.0: a process group lives on after destroy_process_group, with its threads, once an optimizer was made.
#
# Expected: destroy_process_group "destroys a given process group, and deinitializes the distributed package" (its
# docstring); its own comment says why that matters: a thread that asks for Python after its end crashes the process.
# Seen: the first optimizer imports torch._dynamo, and that torch.distributed.nn.functional, whose functions have
# `group=group.WORLD` as a default. Imported after init_process_group, the default is the group itself, for ever.
# Imported before, it is None, and the threads end.
# Hurt: who trains in several processes on CPUs: a finished run may end by "terminate called without an active
# exception" (exit code -6) on a busy machine, which torchrun reports as a failure.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check torch==2.13.0 numpy==2.4.6
cat > "$work/group.py" << 'PYTHON'
import sys
from pathlib import Path

import torch
import torch.distributed as dist

if "early" in sys.argv:
    import torch.distributed.nn.functional
store = f"file://{sys.argv[1]}"
dist.init_process_group("gloo", init_method=store, rank=0, world_size=1)
total = torch.ones(1)
dist.all_reduce(total)
torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1)
dist.destroy_process_group()
print(sum("gloo" in path.read_text() for path in Path("/proc/self/task").glob("*/comm")))
PYTHON
late=$("$work/venv/bin/python" "$work/group.py" "$work/store1" 2> /dev/null)
early=$("$work/venv/bin/python" "$work/group.py" "$work/store2" early 2> /dev/null)
echo "expected: 0 threads of gloo after destroy_process_group, whatever was imported when"
echo "seen: $late with the import that an optimizer makes, $early if torch.distributed.nn.functional came first"
if [ "$late" -eq 0 ] || [ "$early" -ne 0 ]; then
  echo "this has changed: look at it again"
  exit 1
fi
