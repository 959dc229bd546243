#!/usr/bin/env bash
# torch 2.13.0, on a CPU: `argmax(dim=1)` of logits takes many times as long as `max(dim=1).indices`, which is the same.
#
# Expected: the index of the largest of a few channels costs about what the largest costs: each is one pass over memory.
# Seen: for (1,5,512,512) float32 and two threads `argmax` takes 13 to 17 times as long as `max`, which gives both; 50 ms
# a picture is more than the network of many a segmentation takes.
# Hurt: everyone who decodes a multi-class segmentation by `logits.argmax(1)`, which is nearly everyone.
# Source: torch.max documents that of equal values the index of the first is given, as `argmax` does.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check "torch==2.13.0" "numpy==2.4.6"
cd "$work"
venv/bin/python - << 'PYTHON'
import statistics
import sys
import time

import torch

torch.set_num_threads(2)
logits = torch.randn(1, 5, 512, 512, generator=torch.Generator().manual_seed(0))
ways = {"argmax": lambda: logits.argmax(dim=1), "max": lambda: logits.max(dim=1).indices}
taken = {name: [] for name in ways}
for _ in range(20):
    for name, way in ways.items():
        way()
        started = time.perf_counter()
        way()
        taken[name].append((time.perf_counter() - started) * 1e3)
argmax, maximum = (statistics.median(taken[name]) for name in ways)
same = torch.equal(ways["argmax"](), ways["max"]())

print(f"version:  torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}")
print("expected: about the same time for the same indices")
print(f"seen:     argmax {argmax:.1f} ms, max {maximum:.1f} ms, {argmax / maximum:.0f} times; the same indices: {same}")
print("hurt:     whoever decodes logits (B,K,H,W) by argmax")
if not (same and argmax > 4 * maximum):
    sys.exit("this has changed: look at it again")
PYTHON
