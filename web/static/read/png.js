// PNG as its numbers are stored: every depth, interlaced too, with no colour management and no premultiplied alpha.

import { checkSize, damaged, picture, Unreadable } from "../image.js";
import { orientationOf, turned } from "./turning.js";

/** @typedef {import("../image.js").Image} Image */

const SIGNATURE = [137, 80, 78, 71, 13, 10, 26, 10];
const CHANNELS = /** @type {Record<number, number>} */ ({ 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 });
const PALETTE = 3;
/** Of each pass of Adam7 where it starts and its steps. */
const PASSES = [
  [0, 0, 8, 8],
  [4, 0, 8, 8],
  [0, 4, 4, 8],
  [2, 0, 4, 4],
  [0, 2, 2, 4],
  [1, 0, 2, 2],
  [0, 1, 1, 2],
];

/** @param {Uint8Array} data */
export function isPng(data) {
  return SIGNATURE.every((byte, i) => data[i] === byte);
}

/** A PNG, as `formats.read_image` reads it. @param {string} name @param {Uint8Array<ArrayBuffer>} data @returns {Promise<Image>} */
export async function readPng(name, data) {
  const { header, parts, palette, transparency, exif } = chunks(name, data);
  const { width, height, depth, kind } = header;
  const channels = CHANNELS[kind];
  const passes = header.interlaced ? PASSES : [[0, 0, 1, 1]];
  const bits = channels * depth;
  const lines = passes
    .map(([x, y, right, down]) => ({
      x,
      y,
      right,
      down,
      w: Math.max(0, Math.ceil((width - x) / right)),
      h: Math.max(0, Math.ceil((height - y) / down)),
    }))
    .filter(({ w, h }) => w && h);
  const needed = lines.reduce((sum, { w, h }) => sum + h * (1 + Math.ceil((w * bits) / 8)), 0);
  const raw = await inflated(name, parts, needed);
  const values = depth === 16 ? new Uint16Array(width * height * channels) : new Uint8Array(width * height * channels);
  let at = 0;
  for (const { x, y, right, down, w, h } of lines) {
    const bytes = Math.ceil((w * bits) / 8);
    unfiltered(raw, at, bytes, h, Math.max(1, bits >> 3), name);
    for (let row = 0; row < h; row++, at += bytes + 1) {
      put(values, raw, at + 1, {
        depth,
        count: w * channels,
        channels,
        to: ((y + row * down) * width + x) * channels,
        step: right * channels,
      });
    }
  }
  const read = asRead(name, values, header, palette, transparency);
  const [pixels, shape] = turned(read.pixels, [height, width, read.channels], orientationOf(exif));
  const image = picture(name, pixels, shape);
  if (depth === 1 && kind === 0) image.value_range = [0, 1];
  if (depth === 16 && kind === 2) image.value_range = null; // of measurements rather than of a camera
  return {
    ...image,
    notices: read.transparent ? [`${name} is partly transparent; what is transparent is read as black`] : [],
  };
}

/** @param {string} name @param {Uint8Array<ArrayBuffer>} data */
function chunks(name, data) {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const parts = [];
  let header = null;
  let palette = null;
  let transparency = null;
  let exif = null;
  for (let at = 8; at + 12 <= data.length; ) {
    const size = view.getUint32(at);
    const type = String.fromCharCode(...data.subarray(at + 4, at + 8));
    const body = data.subarray(at + 8, Math.min(at + 8 + size, data.length));
    if (type === "IHDR" && body.length >= 13) {
      const [depth, kind, , , interlace] = body.subarray(8);
      header = {
        width: view.getUint32(at + 8),
        height: view.getUint32(at + 12),
        depth,
        kind,
        interlaced: interlace === 1,
      };
      checkSize(name, header.width, header.height);
    } else if (type === "PLTE") palette = body;
    else if (type === "tRNS") transparency = body;
    else if (type === "eXIf") exif = body;
    else if (type === "IDAT") parts.push(body);
    else if (type === "IEND") break;
    at += 12 + size;
  }
  if (!header || !(header.kind in CHANNELS) || ![1, 2, 4, 8, 16].includes(header.depth) || !parts.length)
    throw damaged(name);
  if (header.kind === PALETTE && !palette) throw damaged(name, new Error("it lacks its palette"));
  return { header, parts, palette, transparency, exif };
}

/** @param {string} name @param {Uint8Array<ArrayBuffer>[]} parts @param {number} needed */
async function inflated(name, parts, needed) {
  const raw = new Uint8Array(needed);
  let at = 0;
  try {
    const reader = new Blob(parts).stream().pipeThrough(new DecompressionStream("deflate")).getReader();
    for (let part = await reader.read(); !part.done && at < needed; part = await reader.read()) {
      raw.set(part.value.subarray(0, needed - at), at);
      at += part.value.length;
    }
    await reader.cancel();
  } catch (error) {
    if (at < needed) throw damaged(name, error);
  }
  if (at < needed) throw damaged(name, new Error("rows are missing"));
  return raw;
}

/** In place, by the filter of each row. @param {Uint8Array} raw @param {number} at @param {number} bytes @param {number} rows @param {number} back bytes of a pixel @param {string} name */
function unfiltered(raw, at, bytes, rows, back, name) {
  for (let row = 0; row < rows; row++) {
    const filter = raw[at];
    const start = at + 1;
    const above = row ? start - bytes - 1 : -1;
    if (filter > 4) throw damaged(name, new Error(`a row has the filter ${filter}`));
    if (filter === 1) for (let i = start + back; i < start + bytes; i++) raw[i] += raw[i - back];
    else if (filter === 2 && row) for (let i = 0; i < bytes; i++) raw[start + i] += raw[above + i];
    else if (filter === 3) {
      for (let i = 0; i < bytes; i++) {
        raw[start + i] += ((i < back ? 0 : raw[start + i - back]) + (row ? raw[above + i] : 0)) >> 1;
      }
    } else if (filter === 4) paeth(raw, start, above, bytes, back);
    at += bytes + 1;
  }
}

/** @param {Uint8Array} raw @param {number} start @param {number} above -1 for the first row @param {number} bytes @param {number} back */
function paeth(raw, start, above, bytes, back) {
  for (let i = 0; i < bytes; i++) {
    const a = i < back ? 0 : raw[start + i - back];
    const b = above < 0 ? 0 : raw[above + i];
    const c = i < back || above < 0 ? 0 : raw[above + i - back];
    const [pa, pb, pc] = [Math.abs(b - c), Math.abs(a - c), Math.abs(a + b - 2 * c)];
    raw[start + i] += pa <= pb && pa <= pc ? a : pb <= pc ? b : c;
  }
}

/** The numbers of a row. @param {Uint8Array | Uint16Array} values @param {Uint8Array} raw @param {number} at @param {{depth: number, count: number, channels: number, to: number, step: number}} how */
function put(values, raw, at, { depth, count, channels, to, step }) {
  for (let i = 0; i < count; i++) {
    const place = to + Math.floor(i / channels) * step + (i % channels);
    if (depth === 8) values[place] = raw[at + i];
    else if (depth === 16) values[place] = (raw[at + 2 * i] << 8) | raw[at + 2 * i + 1];
    else {
      const bit = i * depth;
      values[place] = (raw[at + (bit >> 3)] >> (8 - depth - (bit & 7))) & ((1 << depth) - 1);
    }
  }
}

/**
 * What Python reads of it: palettes as their colours, grey of few bits spread to 255, what is transparent over black.
 * @param {string} name
 * @param {Uint8Array | Uint16Array} values
 * @param {{width: number, height: number, depth: number, kind: number}} header
 * @param {Uint8Array | null} palette
 * @param {Uint8Array | null} transparency
 */
function asRead(name, values, { width, height, depth, kind }, palette, transparency) {
  const size = width * height;
  const wide = depth === 16;
  if (kind === PALETTE && palette) {
    const found = new Uint8Array(3 * size);
    let transparent = false;
    const colours = Array.from({ length: 256 }, (_, i) => {
      const alpha = transparency && i < transparency.length ? transparency[i] : 255;
      return [0, 1, 2].map((c) => onBlack(palette[3 * i + c] ?? 0, alpha));
    });
    for (let i = 0; i < size; i++) {
      const value = values[i];
      const colour = colours[value];
      for (let c = 0; c < 3; c++) found[3 * i + c] = colour[c];
      transparent ||= transparency !== null && value < transparency.length && transparency[value] < 255;
    }
    return { pixels: found, channels: 3, transparent };
  }
  if (kind === 4 || kind === 6) return withAlpha(name, values, size, kind === 6 ? 3 : 1, wide);
  const spread = kind === 0 && depth > 1 && depth < 8 ? 255 / ((1 << depth) - 1) : 1;
  const channels = CHANNELS[kind];
  const hidden = transparency
    ? Array.from({ length: channels }, (_, c) => (transparency[2 * c] << 8) | transparency[2 * c + 1])
    : null;
  if (spread !== 1) values = values.map((value) => value * spread);
  if (!hidden) return { pixels: values, channels, transparent: false };
  const key = hidden.map((value) => value * spread);
  const wanted = wide ? channels : 3; // of 8 bits Pillow makes colours first
  const found = wide ? values : new Uint8Array(size * wanted);
  let transparent = false;
  for (let i = 0; i < size; i++) {
    const isHidden = key.every((value, c) => values[channels * i + c] === value);
    transparent ||= isHidden;
    for (let c = 0; c < wanted; c++)
      found[wanted * i + c] = isHidden ? 0 : values[channels * i + (channels === 1 ? 0 : c)];
  }
  return { pixels: found, channels: wanted, transparent };
}

/** @param {string} name @param {Uint8Array | Uint16Array} values @param {number} size @param {number} colours @param {boolean} wide */
function withAlpha(name, values, size, colours, wide) {
  if (wide) throw new Unreadable(`${name} has 16 bits and transparency; save it without transparency`);
  const found = new Uint8Array(3 * size);
  const step = colours + 1;
  let transparent = false;
  for (let i = 0; i < size; i++) {
    const alpha = values[step * i + colours];
    transparent ||= alpha < 255;
    for (let c = 0; c < 3; c++) found[3 * i + c] = onBlack(values[step * i + (colours === 1 ? 0 : c)], alpha);
  }
  return { pixels: found, channels: 3, transparent };
}

/** A value over black, in the whole numbers of Pillow's `alpha_composite`. @param {number} value @param {number} alpha */
function onBlack(value, alpha) {
  const sum = value * alpha * 128 + (128 << 7);
  return ((((sum >> 8) + sum) >> 8) >> 7) & 255;
}
