#!/usr/bin/env bash
# torch 2.13.0: where warnings are errors, `torch.compile` fails, for its own compiler uses what torch calls deprecated.
#
# Expected: a program that uses nothing deprecated passes its tests under `-W error::DeprecationWarning`.
# Seen: compiling any function imports torch/utils/mkldnn.py, which decorates by `torch.jit.script_method`, and that warns
# to "switch to `torch.compile`". As an error it ends the compilation; the same program without -W gives its result.
# Hurt: whoever tests a model with `torch.compile` under pytest's `filterwarnings = error`: the failure names no line of
# theirs, and comes at the first compilation of a process alone, so it moves with the order of the tests.
# Source: torch/jit/_script.py, script_method; Python's documentation of -W.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check "torch==2.13.0" "numpy==2.4.6"
cd "$work"
cat > program.py << 'PYTHON'
import torch

found = torch.compile(lambda x: x.sin() + 1)(torch.zeros(8))
assert found.tolist() == [1.0] * 8
PYTHON
venv/bin/python program.py
said=$(venv/bin/python -W error::DeprecationWarning program.py 2>&1 || true)
echo "version:  torch $(venv/bin/python -c 'import torch; print(torch.__version__)')"
echo "expected: the program ends well with and without -W error::DeprecationWarning"
echo "seen:     $(tail -n 1 <<< "$said")"
echo "hurt:     whoever compiles in tests in which warnings are errors"
if ! grep -q 'DeprecationWarning: `torch.jit.script_method` is deprecated' <<< "$said"; then
  echo "this has changed: look at it again"
  exit 1
fi
