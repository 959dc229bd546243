// NIfTI 1 and 2, packed or not, as `unetseg/formats/volume.py` reads it. nifti-reader-js takes the qform where nibabel
// takes the sform, and its header is all that would be used of it.

import { checkSize, damaged, Unreadable } from "../image.js";
import { cross, Grid, looksHounsfield, STEEPEST, volume } from "./grid.js";

/** @typedef {import("../image.js").Numbers} Numbers */
/** @typedef {import("./reading.js").Said} Said */

/** What a browser holds of a volume. */
const MAX_VOXELS = 250_000_000;
/** By the codes of NIfTI: kinds of numbers, and of units in millimetres. */
const KINDS = /** @type {Record<number, {new (buffer: ArrayBuffer): any, BYTES_PER_ELEMENT: number}>} */ ({
  2: Uint8Array,
  4: Int16Array,
  8: Int32Array,
  16: Float32Array,
  64: Float64Array,
  256: Int8Array,
  512: Uint16Array,
  768: Uint32Array,
});
const MILLIMETRES = /** @type {Record<number, number>} */ ({ 1: 1000, 3: 0.001 });

/** @param {string} name @param {Uint8Array<ArrayBuffer>} data @param {Said} said */
export async function readNifti(name, data, said) {
  const bytes = data[0] === 0x1f && data[1] === 0x8b ? await unpacked(name, data) : data;
  const header = parsed(name, bytes);
  const { dims, slope, intercept } = header;
  const shape = dims.slice(1, dims[0] + 1);
  while (shape.length > 3 && shape[shape.length - 1] === 1) shape.pop();
  if (shape.length !== 3) {
    const what = shape.join(" x ");
    throw new Unreadable(`${name} has ${shape.length} dimensions (${what}), expected 3; take one volume out of it`);
  }
  const [I, J, K] = shape;
  const sides = [...shape].sort((a, b) => a - b); // which two are a slice is not known before it is turned
  checkSize(name, sides[0], sides[1]);
  const size = I * J * K;
  if (size > MAX_VOXELS) {
    const most = MAX_VOXELS / 1e6;
    throw new Unreadable(
      `${name} has more than ${most} million voxels, which is what a browser holds; cut it into parts`,
    );
  }
  const kind = KINDS[header.kind];
  if (!kind)
    throw new Unreadable(`${name} holds numbers of the kind ${header.kind}, expected a grey value for each voxel`);
  const start = header.offset;
  const length = size * kind.BYTES_PER_ELEMENT;
  if (bytes.length < start + length) throw damaged(name, new Error("voxels are missing"));
  const part = bytes.slice(start, start + length);
  if (!header.little) swap(part, kind.BYTES_PER_ELEMENT);
  const stored =
    Number.isFinite(slope) && slope !== 0 && Number.isFinite(intercept)
      ? rescaled(new kind(part.buffer), slope, intercept)
      : rescaled(new kind(part.buffer), 1, 0);
  if (stored instanceof Float32Array && !stored.every(Number.isFinite)) {
    throw new Unreadable(`${name} holds values that are not finite; replace them (air is -1000 in a CT)`);
  }
  /** @type {string[]} */
  const notices = [];
  const grid = new Grid([I, J, K], affineOf(name, header, notices));
  if (grid.lean > STEEPEST) {
    notices.push(`${name} leans ${grid.lean.toFixed(0)} degrees off the axial plane; a model of axial slices may fail`);
  }
  const hounsfield = said.hounsfield || (!said.value_range && looksHounsfield(stored, grid.shape));
  if (hounsfield && !said.hounsfield) {
    notices.push(`${name} doesn't name its unit; by its air and soft tissue these are Hounsfield units`);
  }
  const value_range = /** @type {[number, number] | null} */ (
    !hounsfield && stored instanceof Uint8Array ? [0, 255] : null
  );
  return volume(name, stored, grid, { hounsfield, value_range, notices });
}

/** @param {string} name @param {Uint8Array<ArrayBuffer>} data */
async function unpacked(name, data) {
  const stream = new Blob([data]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(
    await new Response(stream).arrayBuffer().catch((error) => {
      throw damaged(name, error);
    }),
  );
}

/** What is looked at of a header, by its places in NIfTI-1 and NIfTI-2. @param {string} name @param {Uint8Array<ArrayBuffer>} bytes */
function parsed(name, bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 348) throw damaged(name);
  const little = [348, 540].includes(view.getInt32(0, true));
  const isSecond = view.getInt32(0, little) === 540;
  if (isSecond && bytes.length < 540) throw damaged(name);
  if (bytes[isSecond ? 5 : 345] === 105) {
    throw new Unreadable(`${name} is one of two files (.hdr, .img), expected one; save it as .nii or .nii.gz`);
  }
  const short = (/** @type {number} */ at) => view.getInt16(at, little);
  const int = (/** @type {number} */ at) => view.getInt32(at, little);
  const long = (/** @type {number} */ at) => Number(view.getBigInt64(at, little));
  const float = (/** @type {number} */ at) => (isSecond ? view.getFloat64(at, little) : view.getFloat32(at, little));
  const each = isSecond ? 8 : 4;
  const floats = (/** @type {number} */ at, /** @type {number} */ count) =>
    Array.from({ length: count }, (_, i) => float(at + i * each));
  const srow = isSecond ? 400 : 280;
  return {
    little,
    dims: Array.from({ length: 8 }, (_, i) => (isSecond ? long(16 + 8 * i) : short(40 + 2 * i))),
    kind: short(isSecond ? 12 : 70),
    zooms: floats(isSecond ? 104 : 76, 4),
    offset: isSecond ? long(168) : float(108),
    slope: float(isSecond ? 176 : 112),
    intercept: float(isSecond ? 184 : 116),
    units: isSecond ? int(500) : bytes[123],
    hasQform: (isSecond ? int(344) : short(252)) > 0,
    hasSform: (isSecond ? int(348) : short(254)) > 0,
    quaternion: floats(isSecond ? 352 : 256, 6),
    sform: [0, 1, 2].map((row) => floats(srow + 4 * row * each, 4)),
  };
}

/** Other byte order. @param {Uint8Array} bytes @param {number} each */
function swap(bytes, each) {
  for (let i = 0; i < bytes.length; i += each) bytes.subarray(i, i + each).reverse();
}

/** As `volume.rescaled`: 16 bits where that is exact and fits, else float32. @param {Numbers | Float64Array} raw @param {number} slope @param {number} intercept @returns {Numbers} */
function rescaled(raw, slope, intercept) {
  if (raw instanceof Float64Array || raw instanceof Float32Array) {
    return slope === 1 && intercept === 0
      ? Float32Array.from(raw)
      : Float32Array.from(raw, (value) => value * slope + intercept);
  }
  if (Number.isInteger(slope) && Number.isInteger(intercept)) {
    if (slope === 1 && intercept === 0 && raw.BYTES_PER_ELEMENT <= 2) return raw;
    let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
    for (const value of raw) {
      const one = value * slope + intercept;
      if (one < low) low = one;
      if (one > high) high = one;
    }
    if (low >= -32768 && high <= 32767) return Int16Array.from(raw, (value) => value * slope + intercept);
  }
  const [by, more] = [Math.fround(slope), Math.fround(intercept)];
  return Float32Array.from(raw, (value) => Math.fround(Math.fround(value) * by) + more);
}

/** Where voxels lie, by the sform, else the qform, else by nothing. @param {string} name @param {ReturnType<typeof parsed>} header @param {string[]} notices */
function affineOf(name, header, notices) {
  const { hasQform, hasSform, sform, zooms } = header;
  const millimetres = MILLIMETRES[header.units & 7] ?? 1;
  const qform = ofQuaternion(header);
  if (!hasQform && !hasSform) {
    notices.push(`${name} doesn't say how it lies; its axes are taken to run to left, front and head`);
  } else if (hasQform && hasSform && sform.some((row, i) => row.some((one, j) => Math.abs(one - qform[i][j]) > 0.5))) {
    const apart = Math.max(...sform.map((row, i) => Math.abs(row[3] - qform[i][3]))) * millimetres;
    notices.push(`${name} has two places (sform and qform, ${apart.toFixed(0)} mm apart); the sform is taken`);
  }
  const plain = [-1, 1, 1].map((sign, i) => [0, 1, 2, 3].map((j) => (i === j ? sign * zooms[1 + i] : 0)));
  const rows = (hasSform ? sform : hasQform ? qform : plain).map((row) => row.map((one) => one * millimetres));
  const [first, second, third] = rows.map((row) => row.slice(0, 3));
  const volume = Math.abs(cross(first, second).reduce((sum, one, i) => sum + one * third[i], 0));
  if (!(volume >= 1e-9 && Number.isFinite(volume))) {
    throw new Unreadable(`${name} has an affine that makes no volume; write it again with the program it came from`);
  }
  return [...rows, [0, 0, 0, 1]];
}

/** By the formula of the NIfTI-1 header (method 2). @param {{quaternion: number[], zooms: number[]}} header */
function ofQuaternion({ quaternion: [b, c, d, ...offset], zooms }) {
  const a = Math.sqrt(Math.max(0, 1 - b * b - c * c - d * d));
  const [x, y, z] = [zooms[1], zooms[2], (zooms[0] < 0 ? -1 : 1) * zooms[3]];
  return [
    [(a * a + b * b - c * c - d * d) * x, 2 * (b * c - a * d) * y, 2 * (b * d + a * c) * z, offset[0]],
    [2 * (b * c + a * d) * x, (a * a + c * c - b * b - d * d) * y, 2 * (c * d - a * b) * z, offset[1]],
    [2 * (b * d - a * c) * x, 2 * (c * d + a * b) * y, (a * a + d * d - c * c - b * b) * z, offset[2]],
  ];
}
