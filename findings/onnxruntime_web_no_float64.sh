#!/usr/bin/env bash
# onnxruntime-web 1.30.0 (node 20; onnx 1.23.2): the build with WebGPU has no float64, on the CPU neither.
#
# Expected: its WebAssembly backend compiles "the native ONNX Runtime CPU engine" with "full ONNX operator coverage", and
# supports "all operators in ai.onnx" (README of the package, Introduction and Operators), whichever entry of one package
# it is taken from: WebGPU runs what it can, the CPU the rest.
# Seen: a model of one Mul of float64 runs by the entry `onnxruntime-web/wasm`. By `onnxruntime-web/webgpu`, with the
# execution provider `wasm` alone, no session is made: "Could not find an implementation for Mul". In float32 both run.
# Hurt: who tests a model without a graphics card and ships it for WebGPU: shapes computed in float64 (a size divided by
# another one), which exporters write, keep it from opening on every machine that has a card, and on no other.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check onnx==1.23.2 numpy==2.4.6
cd "$work"
npm install --silent --no-audit --no-fund onnxruntime-web@1.30.0
venv/bin/python - << 'PYTHON'
import onnx
from onnx import TensorProto, helper

for name, kind in ("float32", TensorProto.FLOAT), ("float64", TensorProto.DOUBLE):
    graph = helper.make_graph(
        [helper.make_node("Mul", ["x", "x"], ["y"])], "square",
        [helper.make_tensor_value_info("x", kind, [2])], [helper.make_tensor_value_info("y", kind, [2])])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, f"{name}.onnx")
PYTHON
cat > run.mjs << 'JAVASCRIPT'
import { readFileSync } from "node:fs";

const kinds = { float32: Float32Array, float64: Float64Array };
const { version } = JSON.parse(readFileSync("node_modules/onnxruntime-web/package.json", "utf8"));
console.log(`versions: onnxruntime-web ${version}, node ${process.version}`);
console.log("expected: both kinds of numbers from both entries, for the CPU computes what WebGPU doesn't");
const ran = {};
for (const entry of ["wasm", "webgpu"]) {
  const ort = await import(`onnxruntime-web/${entry}`);
  ort.env.wasm.numThreads = 1;
  for (const [kind, Numbers] of Object.entries(kinds)) {
    let said;
    try {
      const session = await ort.InferenceSession.create(readFileSync(`${kind}.onnx`), { executionProviders: ["wasm"] });
      const { y } = await session.run({ x: new ort.Tensor(kind, Numbers.from([3, 4]), [2]) });
      said = [...y.data].join(" ");
    } catch (error) {
      said = /Could not find an implementation for \w+/.exec(error.message)?.[0] ?? error.message;
    }
    ran[`${entry} ${kind}`] = said;
    console.log(`seen:     onnxruntime-web/${entry}, ${kind}: ${said}`);
  }
}
console.log("hurt:     whoever tests without a graphics card what visitors open with one");
const right = "9 16";
const same = ["wasm float32", "wasm float64", "webgpu float32"].every((name) => ran[name] === right);
if (!same || !/^Could not find/.test(ran["webgpu float64"])) throw new Error("this has changed: look at it again");
JAVASCRIPT
node run.mjs 2> errors || { tail -3 errors; exit 1; }
