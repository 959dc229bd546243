// What a result can be downloaded as: PNG of the stored size, made when it is asked for.

import { draw } from "../../unetseg/demo/viewer/draw.js";
import { rgb } from "../../unetseg/demo/viewer/scale.js";
import { taskOf } from "./config.js";
import { Unreadable } from "./image.js";
import { tile } from "./packing.js";
import { argmax, decide, planesOf } from "./task.js";

/** @typedef {import("./packing.js").Found} Found */
/** @typedef {Record<string, string | number>} How as the page asks for a file: thresholds, view, opacity, ... */

/** The colour and the number of pixels that hold no data. */
const NOTHING = [150, 150, 150];
const IGNORE = 255;
const [RGB, INDEXED] = [2, 3];

/** @param {Found} found @param {string} kind @param {How} how @returns {Promise<Blob>} */
export async function written(found, kind, how) {
  const { image, config, index, probabilities } = found;
  const { height, width } = image;
  if (kind === "overlay_png") return coloured(overlaid(found, how), height, width);
  const planes = planesOf(probabilities, taskOf(config).outputs.length);
  const map = kind === "colours_png" && how.view === "argmax" ? argmax(planes, config) : labels(planes, found, how);
  const colours = config.palette.map(rgb);
  if (kind === "colours_png") {
    const pixels = new Uint8ClampedArray(4 * map.length);
    for (let i = 0; i < map.length; i++) pixels.set(colours[map[i]], 4 * i);
    return coloured(pixels, height, width);
  }
  if (kind !== "labels_png") throw new Unreadable(`${image.name} can't be had as ${kind} here; take a PNG`);
  const valid = image.valid?.(index) ?? null;
  if (!valid?.includes(0)) return png(map, height, width, INDEXED, colours);
  const rest = Array.from({ length: 256 - colours.length }, () => NOTHING);
  const masked = map.map((label, i) => (valid[i] ? label : IGNORE));
  return png(masked, height, width, INDEXED, [...colours, ...rest]);
}

/** @param {Float32Array[]} planes @param {Found} found @param {How} how */
function labels(planes, { config }, { thresholds }) {
  return decide(planes, config, thresholds ? String(thresholds).split(",").map(Number) : config.thresholds);
}

/** What is on the screen, at full size. @param {Found} found @param {How} how */
function overlaid(found, { thresholds, opacity, outline, hidden, window }) {
  const { config, image } = found;
  const out = new Set(hidden === undefined ? [] : String(hidden).split(",").map(Number));
  const [low, high] = window ? String(window).split(",").map(Number) : [0, 0];
  return draw(tile(found, { top: 0, left: 0, bottom: image.height, right: image.width }), {
    view: "overlay",
    channel: null,
    thresholds: thresholds ? String(thresholds).split(",").map(Number) : config.thresholds,
    scale: "grey",
    opacity: Number(opacity ?? 0.45),
    outline: Number(outline) === 1,
    visible: taskOf(config).labels.map((_, label) => !out.has(label)),
    band: 0,
    window: window && image.hounsfield ? [(low + high) / 2, high - low] : null,
    compare: "off",
  });
}

/** @param {Uint8ClampedArray} rgba @param {number} height @param {number} width */
function coloured(rgba, height, width) {
  const pixels = new Uint8Array(3 * height * width);
  for (let i = 0, j = 0; i < rgba.length; i += 4, j += 3) {
    pixels[j] = rgba[i];
    pixels[j + 1] = rgba[i + 1];
    pixels[j + 2] = rgba[i + 2];
  }
  return png(pixels, height, width, RGB);
}

/**
 * A PNG of 8 bits.
 * @param {Uint8Array} pixels
 * @param {number} height
 * @param {number} width
 * @param {number} kind
 * @param {number[][]} [palette]
 */
async function png(pixels, height, width, kind, palette) {
  const bytes = pixels.length / height;
  const raw = new Uint8Array((bytes + 1) * height); // each row behind its filter: none
  for (let y = 0; y < height; y++) raw.set(pixels.subarray(y * bytes, (y + 1) * bytes), y * (bytes + 1) + 1);
  const packed = new Response(new Blob([raw]).stream().pipeThrough(new CompressionStream("deflate")));
  const header = new Uint8Array(13);
  const view = new DataView(header.buffer);
  view.setUint32(0, width);
  view.setUint32(4, height);
  header.set([8, kind], 8);
  return new Blob(
    [
      Uint8Array.of(137, 80, 78, 71, 13, 10, 26, 10),
      chunk("IHDR", header),
      ...(palette ? [chunk("PLTE", Uint8Array.from(palette.flat()))] : []),
      chunk("IDAT", new Uint8Array(await packed.arrayBuffer())),
      chunk("IEND", new Uint8Array()),
    ],
    { type: "image/png" },
  );
}

/** @param {string} type @param {Uint8Array} body */
function chunk(type, body) {
  const data = new Uint8Array(12 + body.length);
  const view = new DataView(data.buffer);
  view.setUint32(0, body.length);
  data.set(new TextEncoder().encode(type), 4);
  data.set(body, 8);
  view.setUint32(8 + body.length, crc(data.subarray(4, 8 + body.length)));
  return data;
}

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let rest = byte;
  for (let bit = 0; bit < 8; bit++) rest = rest & 1 ? 0xedb88320 ^ (rest >>> 1) : rest >>> 1;
  return rest;
});

/** @param {Uint8Array} data */
function crc(data) {
  let rest = 0xffffffff;
  for (const byte of data) rest = TABLE[(rest ^ byte) & 255] ^ (rest >>> 8);
  return (rest ^ 0xffffffff) >>> 0;
}
