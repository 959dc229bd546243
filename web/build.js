// Builds the page into dist/: scripts, the runtime packed by gzip, and files.json with the hash of each.

import { createHash } from "node:crypto";
import { copyFile, mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const at = (path) => fileURLToPath(new URL(path, import.meta.url));
const out = at("dist/");
const runtime = at("node_modules/onnxruntime-web/dist/");
const viewer = at("../unetseg/demo/viewer/");

await rm(out, { recursive: true, force: true });
await mkdir(out);
await build({
  entryPoints: [at("static/main.js"), at("static/worker.js"), at("static/offline.js")],
  bundle: true,
  splitting: true,
  minify: true,
  format: "esm",
  target: "es2022",
  outdir: out,
  chunkNames: "part-[name]-[hash]",
  conditions: ["onnxruntime-web-use-extern-wasm"], // the bundles hold their own copy of the glue
  legalComments: "none",
  logLevel: "warning",
});
for (const name of ["viewer.css", "page.css"]) await copyFile(viewer + name, out + name);
await copyFile(at("static/index.html"), `${out}index.html`);
for (const name of ["ort-wasm-simd-threaded", "ort-wasm-simd-threaded.asyncify"]) {
  await copyFile(`${runtime}${name}.mjs`, `${out}${name}.mjs`);
  // hosts of static pages don't pack what they send
  await writeFile(`${out}${name}.wasm.gz`, gzipSync(await readFile(`${runtime}${name}.wasm`), { level: 9 }));
}

const files = {};
for (const name of (await readdir(out)).sort()) {
  const data = await readFile(out + name);
  files[name] = { sha256: createHash("sha256").update(data).digest("hex"), bytes: data.length };
}
await writeFile(`${out}files.json`, `${JSON.stringify(files, null, 2)}\n`);
