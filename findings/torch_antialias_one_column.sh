#!/usr/bin/env bash
# torch 2.13.0, on a CPU: the antialiased resize of a picture that is one column wide repeats its first row.
#
# Expected: `interpolate(x, (h, 1), mode="bilinear", antialias=True)` of a column is that of the same column in a picture
# of two equal ones, and of the row that it is turned by 90 degrees: each output is a weighted mean around its place.
# Seen: every output is the first one. No warning; without `antialias`, and two columns wide, all is well.
# Hurt: who resizes profiles, spectra or series kept as (N,C,L,1), and pictures that a fixed longer side makes a line.
# Source: torch.nn.functional.interpolate.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check "torch==2.13.0" "numpy==2.4.6"
cd "$work"
venv/bin/python - << 'PYTHON'
import sys

import torch
from torch.nn.functional import interpolate


def resized(x, shape, antialias=True):
    return interpolate(x, shape, mode="bilinear", antialias=antialias, align_corners=False)


column = (torch.arange(12.0) ** 2).reshape(1, 1, 12, 1)
alone = resized(column, (3, 1)).flatten().tolist()
beside = resized(column.repeat(1, 1, 1, 2), (3, 2))[..., 0].flatten().tolist()
turned = resized(column.transpose(2, 3).contiguous(), (1, 3)).flatten().tolist()

print(f"version:  torch {torch.__version__}")
print(f"expected: {[round(value, 2) for value in beside]}, as beside an equal column; turned {[round(value, 2) for value in turned]}")
print(f"seen:     {[round(value, 2) for value in alone]}")
print("hurt:     whoever makes a picture of one column smaller")
wrong = max(alone) - min(alone) < 1e-6 and abs(alone[0] - beside[0]) < 1e-4
if not (wrong and torch.allclose(torch.tensor(beside), torch.tensor(turned)) and max(beside) > 10 * min(beside)):
    sys.exit("this has changed: look at it again")
PYTHON
