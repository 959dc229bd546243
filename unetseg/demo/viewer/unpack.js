// A slice of a result from the bytes that unetseg/demo/packed.py describes.

/**
 * @typedef {object} Task
 * @property {string} kind
 * @property {boolean} exclusive
 * @property {string | null} background
 * @property {string[]} labels
 * @property {string[]} outputs
 * @property {string[]} palette
 */

/**
 * Of a channel: the level that each step of the slider is reached from, the checkpoint's own threshold with its level,
 * and the grey of each level.
 * @typedef {{at: number[], own: {value: number, level: number}, grey: number[]}} Levels
 */

/**
 * A slice, or a part of one at full size, at `top` and `left` of it. full: [height, width] of the slice. Planes have
 * height * width numbers: the levels of each channel; `argmax`; `labels` where no threshold decides them and argmax
 * doesn't either; `order`, the channels from the likeliest on, where several are held against their thresholds.
 * picture: one plane of grey, or three. hounsfield: in its place, drawn between `window` unless another is asked for.
 * @typedef {object} Packed
 * @property {number} height
 * @property {number} width
 * @property {[number, number]} full
 * @property {number} index
 * @property {number} top
 * @property {number} left
 * @property {Task} task
 * @property {Levels[]} levels
 * @property {{claims: number[][], argmax: number[], labels: number[] | null}} counts
 * @property {[number, number] | null} window
 * @property {Uint8Array[]} level
 * @property {Uint8Array[]} order
 * @property {Uint8Array} argmax
 * @property {Uint8Array | null} labels
 * @property {Uint8Array | null} picture
 * @property {Int16Array | null} hounsfield
 * @property {Uint8Array[]} entropy grey, of all channels and then of each, where it was asked for
 */

/** @typedef {{name: string, type: "uint8" | "int16", shape: number[], filter: "up" | "median", offset: number, bytes: number}} Plane */

const VERSION = 1;

/** @param {ArrayBuffer} buffer @returns {Promise<Packed>} */
export async function unpack(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  if (header.version !== VERSION) throw new Error(`the result is of version ${header.version}, not ${VERSION}: reload the page`);
  /** @type {Plane[]} */
  const described = header.planes;
  const planes = await Promise.all(described.map((plane) => opened(plane, new Uint8Array(buffer, 4 + length + plane.offset, plane.bytes))));
  const named = new Map(described.map(({ name }, i) => [name, planes[i]]));
  /** @param {string} name */
  const several = (name) => described.filter((plane) => new RegExp(`^${name}\\d*$`).test(plane.name)).map((plane) => named.get(plane.name));
  return {
    top: 0,
    left: 0,
    ...header,
    level: several("level"),
    order: several("order"),
    argmax: named.get("argmax"),
    labels: named.get("labels") ?? null,
    picture: named.get("picture") ?? null,
    hounsfield: named.get("hounsfield") ?? null,
    entropy: several("entropy"),
  };
}

/** @param {Plane} plane @param {Uint8Array<ArrayBuffer>} packed */
async function opened({ type, shape, filter }, packed) {
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  const raw = new Uint8Array(await new Response(stream).arrayBuffer());
  const [height, width] = shape.slice(-2);
  if (filter === "up") return added(raw, width);
  if (type === "int16") return shorts(raw, height, width);
  const size = height * width;
  for (let start = 0; start < raw.length; start += size) medians(raw.subarray(start, start + size), width);
  if (shape.length === 3) {
    for (let i = 0; i < size; i += 1) {
      raw[i] += raw[size + i];
      raw[2 * size + i] += raw[size + i];
    }
  }
  return raw;
}

/** Each number is what is above it and the rest. @param {Uint8Array} x @param {number} width */
function added(x, width) {
  for (let i = width; i < x.length; i += 1) x[i] += x[i - width];
  return x;
}

/** Low bytes, then high bytes, of rests whose sign was folded in. @param {Uint8Array} raw @param {number} height @param {number} width */
function shorts(raw, height, width) {
  const size = height * width;
  const x = new Int16Array(size);
  for (let i = 0; i < size; i += 1) {
    const folded = raw[i] | (raw[size + i] << 8);
    x[i] = (folded >> 1) ^ -(folded & 1);
  }
  return medians(x, width);
}

/**
 * Each number is the median of left, above, and their sum less that above left; and the rest.
 * @template {Uint8Array | Int16Array} T
 * @param {T} x
 * @param {number} width
 */
function medians(x, width) {
  for (let i = 1; i < width; i += 1) x[i] += x[i - 1];
  for (let start = width; start < x.length; start += width) {
    x[start] += x[start - width];
    for (let i = start + 1; i < start + width; i += 1) {
      const left = x[i - 1];
      const above = x[i - width];
      const corner = x[i - width - 1];
      const low = Math.min(left, above);
      const high = Math.max(left, above);
      x[i] += corner >= high ? low : corner <= low ? high : left + above - corner;
    }
  }
  return x;
}
