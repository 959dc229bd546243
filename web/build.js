// Builds the page into dist/: scripts, the runtime packed by gzip, and files.json with the hash of each.

import { createHash } from "node:crypto";
import { copyFile, mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { gunzipSync, gzipSync } from "node:zlib";
import { build } from "esbuild";

const at = (path) => fileURLToPath(new URL(path, import.meta.url));
const out = at("dist/");
const runtime = at("node_modules/onnxruntime-web/dist/");
const viewer = at("../unetseg/demo/viewer/");

await rm(out, { recursive: true, force: true });
await mkdir(out);
const built = await build({
  entryPoints: [at("static/main.js"), at("static/worker.js"), at("static/offline.js")],
  bundle: true,
  splitting: true,
  minify: true,
  format: "esm",
  target: "es2022",
  outdir: out,
  chunkNames: "part-[name]-[hash]",
  conditions: ["onnxruntime-web-use-extern-wasm"], // the bundles hold their own copy of the glue
  metafile: true,
  logLevel: "warning",
});
const packages = Object.keys(built.metafile.inputs).map((path) => /^node_modules\/((@[^/]+\/)?[^/]+)/.exec(path)?.[1]);
await writeFile(
  `${out}licences.txt`,
  (await Promise.all([...new Set(packages)].filter(Boolean).sort().map(licence))).join("\n"),
);
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
  files[name] = sizes(data);
  if (!name.endsWith(".gz")) continue;
  for (const [fact, value] of Object.entries(sizes(gunzipSync(data)))) files[name][`unpacked_${fact}`] = value;
}
await writeFile(`${out}files.json`, `${JSON.stringify(files, null, 2)}\n`);

function sizes(data) {
  return { sha256: createHash("sha256").update(data).digest("hex"), bytes: data.length };
}

/** What a package says that is to travel with it. @param {string} name */
async function licence(name) {
  const folder = at(`node_modules/${name}/`);
  const { version, license, author } = JSON.parse(await readFile(`${folder}package.json`, "utf8"));
  const file = (await readdir(folder)).find((one) => /^licen[cs]e/i.test(one));
  const text = file ? await readFile(folder + file, "utf8") : `${license}, by ${author?.name ?? author}\n`;
  return `${name} ${version}\n\n${text}`;
}
