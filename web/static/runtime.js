// The network in the browser: on WebGPU where there is an adapter, else in WebAssembly, on threads where they are allowed.

import { fetched } from "./fetching.js";
import { Unreadable } from "./image.js";

/** @typedef {import("./fetching.js").Pinned} Pinned */
/** @typedef {NonNullable<import("../../unetseg/demo/viewer/facts.js").Info["ran"]>} Ran on what it runs */
/** @typedef {Pick<typeof import("onnxruntime-web"), "InferenceSession" | "Tensor" | "env">} Ort */
/** @typedef {(x: Float32Array, shape: [number, number, number]) => Promise<Float32Array>} Network (C,H,W) to (K,H,W) */

const WASM = "ort-wasm-simd-threaded";
const WEBGPU = "ort-wasm-simd-threaded.asyncify";
const MOST_THREADS = 8;

/**
 * @param {{files: Record<string, Pinned>}} model
 * @param {Record<string, Pinned>} built
 * @param {(done: number, bytes: number) => void} told how much of so many bytes has come
 * @returns {Promise<{network: Network, ran: Ran}>}
 */
export async function opened(model, built, told) {
  const gpu = await adapter();
  try {
    return await open(gpu ? "webgpu" : "wasm", model, built, told);
  } catch (error) {
    if (!gpu || error instanceof Unreadable) throw error;
    return open("wasm", model, built, told); // an adapter that can't run it is none
  }
}

async function adapter() {
  const gpu = /** @type {any} */ (navigator).gpu;
  return (await gpu?.requestAdapter().catch(() => null)) ?? null;
}

/** @param {Ran["kind"]} kind @param {{files: Record<string, Pinned>}} model @param {Record<string, Pinned>} built @param {(done: number, bytes: number) => void} told */
async function open(kind, model, built, told) {
  const glue = kind === "webgpu" ? WEBGPU : WASM;
  const wanted = /** @type {[string, Pinned][]} */ ([
    ["model.onnx.gz", model.files["model.onnx.gz"]],
    [`${glue}.wasm.gz`, built[`${glue}.wasm.gz`]],
  ]);
  const bytes = wanted.reduce((sum, [, pinned]) => sum + pinned.bytes, 0);
  let done = 0;
  const came = (/** @type {number} */ more) => {
    done += more;
    told(done, bytes);
  };
  const [ort, weights, binary] = await Promise.all([
    /** @type {Promise<Ort>} */ (kind === "webgpu" ? import("onnxruntime-web/webgpu") : import("onnxruntime-web/wasm")),
    ...wanted.map(([name, pinned]) => fetched(name, pinned, came)),
  ]);
  const threads = globalThis.crossOriginIsolated ? Math.min(navigator.hardwareConcurrency || 1, MOST_THREADS) : 1;
  ort.env.wasm.numThreads = threads;
  ort.env.wasm.wasmBinary = binary;
  ort.env.wasm.wasmPaths = { mjs: new URL(`${glue}.mjs`, location.href).href };
  ort.env.logLevel = "error"; // that some small nodes stay on the CPU is no news
  const session = await ort.InferenceSession.create(weights, { executionProviders: [kind], logSeverityLevel: 3 });
  /** @type {Network} */
  const network = async (x, shape) => {
    const image = new ort.Tensor("float32", x, [1, ...shape]);
    const { probabilities } = await session.run({ image });
    const found = /** @type {Float32Array} */ (await probabilities.getData());
    probabilities.dispose();
    return found;
  };
  return { network, ran: /** @type {Ran} */ ({ kind, threads }) };
}
