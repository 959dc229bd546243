// A picture of any kind, with what its numbers mean (unetseg/formats/image.py).

/** @typedef {Uint8Array | Int8Array | Uint16Array | Int16Array | Uint32Array | Int32Array | Float32Array} Numbers */

/**
 * at: the numbers of a slice, rows of pixels, the channels of a pixel side by side. value_range: what the stored type
 * can span; null where it doesn't say. stated: whether somebody said it. valid: false where a file says that there is
 * nothing. affine: from slice, row and column to millimetres in RAS.
 * @typedef {object} Image
 * @property {string} name
 * @property {number} depth
 * @property {number} height
 * @property {number} width
 * @property {number} channels
 * @property {string} type as NumPy calls it
 * @property {(index: number) => Numbers} at
 * @property {[number, number] | null} value_range
 * @property {boolean} [stated]
 * @property {boolean} [hounsfield]
 * @property {string | null} [modality]
 * @property {string[]} [notices]
 * @property {string[]} [facts]
 * @property {((index: number) => Uint8Array | null) | null} [valid]
 * @property {[number, number, number] | null} [spacing]
 * @property {number[][] | null} [affine]
 */

/** Larger pictures are refused from their header; a browser has less memory than Python. */
export const MAX_PIXELS = 36_000_000;

/** What is wrong with an input, in one sentence. */
export class Unreadable extends Error {}

/** Files hold several series; one is to be chosen. */
export class Several extends Error {
  /** @param {{uid: string, what: string}[]} series */
  constructor(series) {
    super(`${series.length} series`);
    this.series = series;
  }
}

/** @param {string} name @param {number} width @param {number} height */
export function checkSize(name, width, height) {
  if (!width || !height) throw new Unreadable(`${name} has no pixels (${width} x ${height}); give a picture with some`);
  if (width * height > MAX_PIXELS) {
    throw new Unreadable(
      `${name} (${width} x ${height}) is larger than ${MAX_PIXELS / 1e6} megapixels, which is what a browser holds; ` +
        "reduce it or cut it into parts, or segment it in Python",
    );
  }
}

/** @param {string} name @param {unknown} [why] */
export function damaged(name, why) {
  const said = why instanceof Error && why.message ? ` (${why.message.replace(/[.\s]+$/, "")})` : "";
  return new Unreadable(`${name} is damaged or cut off${said}; save or download it again`);
}

/** One picture: pixels of height x width x channels. @param {string} name @param {Numbers} pixels @param {[number, number, number]} shape @returns {Image} */
export function picture(name, pixels, [height, width, channels]) {
  const type = typeOf(pixels);
  const top = { uint8: 255, uint16: 65535 }[type];
  const value_range = /** @type {[number, number] | null} */ (top ? [0, top] : null);
  return { name, depth: 1, height, width, channels, type, at: () => pixels, value_range };
}

/** The type of an array as NumPy calls it. @param {Numbers} numbers */
export function typeOf(numbers) {
  return numbers.constructor.name.replace("Array", "").toLowerCase();
}

/** The lowest and the highest number of all slices. @param {Image} image @returns {[number, number]} */
export function extremes(image) {
  let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (let index = 0; index < image.depth; index++) {
    for (const value of image.at(index)) {
      if (value < low) low = value;
      if (value > high) high = value;
    }
  }
  return [low, high];
}

/** What was read and how, in a few words. @param {Image} image */
export function description({ name, depth, height, width, channels, type, hounsfield, value_range, facts = [] }) {
  const said = [
    `${depth > 1 ? `${depth} slices of ` : ""}${width} x ${height} pixels`,
    `${channels} channel${channels === 1 ? "" : "s"}`,
    type,
  ];
  if (hounsfield) said.push("Hounsfield units");
  else if (value_range) said.push(`values ${value_range[0]} to ${value_range[1]} from black to white`);
  return `${name}: ${[...said, ...facts].join(", ")}`;
}
