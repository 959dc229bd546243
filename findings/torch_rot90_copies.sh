#!/usr/bin/env bash
# torch 2.13.0: `torch.rot90` always copies, also by no quarter at all; `numpy.rot90` gives a view.
#
# Expected: as of numpy.rot90, whose name and arguments it has, and of torch's own transpose and t: a view that shares the
# memory, at least where nothing is turned. (`torch.flip` copies too, and its documentation says so; that of rot90
# doesn't.)
# Seen: `torch.rot90(x, 0)` and by any other number have memory of their own; writing to it doesn't reach x.
# Hurt: test-time augmentation over four turns and the way back, which holds every volume of logits twice, also for the
# turn by nothing; and code from NumPy that writes into the turned array.
# Source: torch.rot90.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check "torch==2.13.0" "numpy==2.4.6"
cd "$work"
venv/bin/python - << 'PYTHON'
import sys

import numpy
import torch

array = numpy.zeros((3, 5))
tensor = torch.zeros(3, 5)
shared = [bool(numpy.shares_memory(numpy.rot90(array, k), array)) for k in range(4)]
kept = [torch.rot90(tensor, k).untyped_storage().data_ptr() == tensor.untyped_storage().data_ptr() for k in range(4)]
torch.rot90(tensor, 0).fill_(1)

print(f"version:  torch {torch.__version__}, numpy {numpy.__version__}")
print(f"expected: by 0 to 3 quarters the memory is shared, as in NumPy: {shared}")
print(f"seen:     {kept}; what is written to the turn by nothing arrives: {bool(tensor.any())}")
print("hurt:     whoever turns large tensors, or writes into a turned one")
if not all(shared) or any(kept) or bool(tensor.any()):
    sys.exit("this has changed: look at it again")
PYTHON
