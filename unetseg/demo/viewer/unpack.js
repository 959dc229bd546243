// Packed results as `unetseg/demo/packed.py` makes them: a header, and planes that are inflated and summed up again.

/** @typedef {import("./facts.js").Task} Task */
/** @typedef {import("./shares.js").Counts} Counts */

/**
 * What decides of a channel. at: the smallest level of each step of the slider, 0.00 to 1.00. own: the checkpoint's
 * threshold and its level. grey: of each level, 0 to 255.
 * @typedef {{at: number[], own: {value: number, level: number}, grey: number[]}} Levels
 */

/**
 * A slice at the shown size, or a tile of it at the full one, or what is undecided about it; of K outputs.
 * @typedef {object} Packed
 * @property {number} height
 * @property {number} width
 * @property {[number, number]} full height and width
 * @property {number} index of the slice
 * @property {number} [top] of a tile, in pixels of the full size
 * @property {number} [left]
 * @property {Task} task
 * @property {Levels[]} levels one for each output
 * @property {[number, number] | null} window from black to white, as the network saw Hounsfield units
 * @property {Counts} counts
 * @property {Uint8Array[]} level of each output, the level of each pixel
 * @property {Uint8Array} argmax
 * @property {Uint8Array | null} labels where neither levels nor argmax decide
 * @property {Uint8Array[]} order outputs from the likeliest to the least likely; empty where it does not matter
 * @property {Uint8Array[]} picture red, green and blue, or grey; empty where it is drawn from `hounsfield`
 * @property {Int16Array | null} hounsfield
 * @property {Map<number | null, Uint8Array>} entropy its grey by output, null is all of them
 * @property {number} bytes of its planes
 */

/** @typedef {{name: string, type: "uint8" | "int16", shape: number[], filter: "plane" | "median", offset: number,
 *   bytes: number}} Plane */

const VERSION = 1;

/**
 * Planes and header of packed bytes; an Error for bytes that are none.
 * @param {ArrayBuffer} data
 * @returns {Promise<Packed>}
 */
export async function unpack(data) {
  const length = data.byteLength < 4 ? 0 : new DataView(data).getUint32(0, true);
  if (length === 0 || 4 + length > data.byteLength) throw new Error(`got ${data.byteLength} bytes, expected a result`);
  const { planes, ...header } = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, length)));
  if (header.version !== VERSION) {
    throw new Error(`got a result of version ${header.version}, expected ${VERSION}; load the page again`);
  }
  const start = 4 + length;
  /** @type {Packed} */
  const packed = {
    ...header,
    level: [],
    argmax: new Uint8Array(),
    labels: null,
    order: [],
    picture: [],
    hounsfield: null,
    entropy: new Map(),
    bytes: 0,
  };
  const found = await Promise.all(
    planes.map((/** @type {Plane} */ plane) => inflated(new Uint8Array(data, start + plane.offset, plane.bytes))),
  );
  for (const [i, plane] of planes.entries()) {
    put(packed, plane, summed(plane, found[i]));
    packed.bytes += found[i].length;
  }
  return packed;
}

/** @param {Uint8Array<ArrayBuffer>} packed */
async function inflated(packed) {
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** @param {Packed} packed @param {Plane} plane @param {(Uint8Array | Int16Array)[]} values one, or red, green and blue */
function put(packed, { name }, values) {
  const [, kind, number] = /^([a-z]+)(\d*)$/.exec(name) ?? [];
  const one = /** @type {Uint8Array} */ (values[0]);
  if (kind === "level" || kind === "order") packed[kind][Number(number)] = one;
  else if (kind === "entropy") packed.entropy.set(number ? Number(number) : null, one);
  else if (kind === "picture") packed.picture = /** @type {Uint8Array[]} */ (values);
  else if (kind === "hounsfield") packed.hounsfield = /** @type {Int16Array} */ (values[0]);
  else if (kind === "argmax" || kind === "labels") packed[kind] = one;
}

/**
 * The values of a plane of what its filter left of them.
 * @param {Plane} plane
 * @param {Uint8Array} bytes
 * @returns {(Uint8Array | Int16Array)[]}
 */
function summed({ name, type, shape, filter }, bytes) {
  const [height, width] = shape.slice(-2);
  const count = shape.length === 3 ? shape[0] : 1;
  const size = height * width;
  if (bytes.length !== size * count * (type === "int16" ? 2 : 1)) {
    throw new Error(`plane ${name} has ${bytes.length} bytes, expected ${shape.join(" x ")}; load the result again`);
  }
  if (type === "int16") {
    const values = unfolded(bytes);
    medians(values, width);
    return [values];
  }
  const each = Array.from({ length: count }, (_, i) => bytes.subarray(i * size, (i + 1) * size));
  for (const values of each) (filter === "median" ? medians : planes)(values, width);
  if (count === 3) {
    const [red, green, blue] = each;
    for (let i = 0; i < size; i++) {
      red[i] += green[i];
      blue[i] += green[i];
    }
  }
  return each;
}

/** Low bytes, then high ones, of numbers whose sign is their lowest bit. @param {Uint8Array} bytes */
function unfolded(bytes) {
  const size = bytes.length / 2;
  const values = new Int16Array(size);
  for (let i = 0; i < size; i++) {
    const folded = bytes[i] | (bytes[size + i] << 8);
    values[i] = (folded >> 1) ^ -(folded & 1);
  }
  return values;
}

/** To each what lies on the plane of its neighbours: left and above, less above left. @param {Uint8Array} values @param {number} width */
function planes(values, width) {
  for (let i = 1; i < width; i++) values[i] += values[i - 1];
  for (let i = width; i < values.length; ) {
    let sum = 0;
    for (const end = i + width; i < end; i++) {
      sum += values[i];
      values[i] = values[i - width] + sum;
    }
  }
}

/** To each the median of left, above, and their sum less that above left. @param {Uint8Array | Int16Array} values @param {number} width */
function medians(values, width) {
  for (let x = 1; x < width; x++) values[x] += middle(values[x - 1], 0, 0);
  for (let i = width; i < values.length; ) {
    let left = 0;
    let corner = 0;
    for (const end = i + width; i < end; i++) {
      const above = values[i - width];
      values[i] += middle(left, above, corner);
      left = values[i];
      corner = above;
    }
  }
}

/** @param {number} left @param {number} above @param {number} corner */
function middle(left, above, corner) {
  const low = Math.min(left, above);
  const high = Math.max(left, above);
  return corner >= high ? low : corner <= low ? high : left + above - corner;
}
