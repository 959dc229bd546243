#!/usr/bin/env bash
# Gradio 6.31.0: importing a module that subclasses a component writes a `.pyi` file beside it.
#
# Expected: an import changes no files but caches.
# Seen: after `import mine`, mine.pyi lies beside mine.py: a copy of the module as it was, the class with the arguments of
# its events. What is added to mine.py afterwards never gets into it.
# Hurt: whoever makes a small subclass of gr.File: the stub is committed and packed, type checkers read it instead of
# the module and miss all that is newer, linters stumble over it.
# Source: gradio/component_meta.py, create_or_modify_pyi.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check "gradio==6.31.0"
mkdir "$work/project"
cat > "$work/project/mine.py" << 'PYTHON'
import gradio as gr


class Upload(gr.File):
    def get_block_name(self):
        return "file"
PYTHON
cd "$work/project"
export GRADIO_ANALYTICS_ENABLED=False
../venv/bin/python -c "import mine"
printf '\n\ndef later():\n    return 1\n' >> mine.py
../venv/bin/python - << 'PYTHON'
import sys
from pathlib import Path

import gradio
import mine

stub = Path("mine.pyi")
text = stub.read_text() if stub.exists() else ""
print(f"version:  gradio {gradio.__version__}")
print("expected: mine.py is the only file beside the program")
print(f"seen:     {sorted(path.name for path in Path('.').glob('mine.*'))}; later() in the stub: {'def later' in text}")
print("hurt:     whoever subclasses a component in a module of their own")
if not text or "def later" in text or mine.later() != 1:
    sys.exit("this has changed: look at it again")
PYTHON
