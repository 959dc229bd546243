// What the viewer draws a slice from, as `unetseg/demo/packed.py` packs it: made of probabilities, without the packing.

import { even } from "../../unetseg/demo/viewer/draw.js";
import { evenly } from "../../unetseg/demo/viewer/place.js";
import { taskOf } from "./config.js";
import { argmax, counted, decide, planesOf, ranked } from "./task.js";

/** @typedef {import("../../unetseg/demo/viewer/unpack.js").Packed} Packed */
/** @typedef {import("../../unetseg/demo/viewer/backend.js").Region} Region */
/** @typedef {import("./config.js").Config} Config */
/** @typedef {import("./image.js").Image} Image */
/** @typedef {import("./image.js").Numbers} Numbers */
/** @typedef {import("./prepare.js").Ranges} Ranges */
/**
 * A slice that was segmented. probabilities: (K,H,W). picture: (C,H,W) from 0 to 1, as the network was given it.
 * @typedef {{image: Image, config: Config, index: number, between: Ranges, probabilities: Float32Array,
 *   picture: Float32Array}} Found
 */
/** The cuts of a channel, rising. steps: which are those of the slider; own: the checkpoint's threshold. @typedef {{values: Float32Array, steps: number[], own: number}} Cuts */

/** The longest side at which a picture is shown. */
const SHOWN_SIDE = 768;
const STEPS = 100;
const HALVES = Float32Array.from({ length: 2 * STEPS + 1 }, (_, half) => half / (2 * STEPS));
const ABOVE = Float32Array.of(...HALVES.subarray(1), Number.POSITIVE_INFINITY);

/** @param {number} height @param {number} width @returns {[number, number]} */
export function shownShape(height, width) {
  const longest = Math.max(height, width);
  if (longest <= SHOWN_SIDE) return [height, width];
  const [h, w] = [height, width].map((side) => Math.max(1, even((side * SHOWN_SIDE) / longest)));
  return [h, w];
}

/** A slice at the shown size. @param {Found} found @returns {Packed} */
export function packed(found) {
  const { image, config } = found;
  const [rows, columns] = shownOf(image);
  const planes = planesOf(found.probabilities, taskOf(config).outputs.length);
  const whole = decided(planes, config);
  const shown = part(found, rows, columns, whole);
  return { ...shown, counts: counts(whole, config, image.valid?.(found.index) ?? null) };
}

/** What each slice of a volume shows, as shares: see `Profile` in the viewer. @param {Found} found */
export function shares(found) {
  const { config, image, index, probabilities } = found;
  const whole = decided(planesOf(probabilities, taskOf(config).outputs.length), config);
  const { claims, labels, of } = counts(whole, config, image.valid?.(index) ?? null);
  return (labels ? labels : claims.flat()).map((pixels) => Math.round((65535 * pixels) / (of || 1)));
}

/** A region of it at full size. @param {Found} found @param {Region} region @returns {Packed} */
export function tile(found, { top, left, bottom, right }) {
  const { config, image, probabilities } = found;
  const rows = Int32Array.from({ length: bottom - top }, (_, i) => top + i);
  const columns = Int32Array.from({ length: right - left }, (_, i) => left + i);
  const planes = planesOf(probabilities, taskOf(config).outputs.length);
  const region = decided(
    planes.map((plane) => some(plane, image.width, rows, columns)),
    config,
  );
  return { ...part(found, rows, columns, null), ...region, order: order(found, rows, columns), top, left };
}

/** The rows and columns of the full size that are shown. @param {Image} image */
function shownOf({ height, width }) {
  return shownShape(height, width).map((count, i) => {
    return Int32Array.from({ length: count }, (_, at) => evenly(i ? width : height, count, at));
  });
}

/** What each pixel of planes is. @param {Float32Array[]} planes @param {Config} config */
function decided(planes, config) {
  const cuts = cutsOf(config);
  const isFixed = config.task !== "multiclass" && config.background === null;
  return {
    level: planes.map((plane, k) => levels(plane, cuts[k])),
    argmax: argmax(planes, config),
    labels: isFixed ? decide(planes, config, []) : null,
  };
}

/** Ranks, where thresholds choose among several. @param {Found} found @param {Int32Array} rows @param {Int32Array} columns */
function order({ config, image, probabilities }, rows, columns) {
  const { exclusive, background, outputs } = taskOf(config);
  if (exclusive || background === null || outputs.length === 1) return [];
  return ranked(planesOf(probabilities, outputs.length).map((plane) => some(plane, image.width, rows, columns)));
}

/** How undecided it is, as `render.entropy`: of all outputs and, where they are independent, of each. @param {Found} found @returns {Packed} */
export function entropy(found) {
  const { image, config, probabilities } = found;
  const { exclusive, outputs } = taskOf(config);
  const [rows, columns] = shownOf(image);
  const [h, w] = [rows.length, columns.length];
  const planes = planesOf(probabilities, outputs.length).map((plane) => some(plane, image.width, rows, columns));
  const total = new Float32Array(h * w);
  /** @type {Map<number | null, Uint8Array>} */
  const greys = new Map([[null, new Uint8Array()]]);
  for (const [k, plane] of planes.entries()) {
    const own = plane.map(exclusive ? (p) => -p * log(p) : (p) => -(p * log(p) + (1 - p) * log(1 - p)) / Math.LN2);
    for (let i = 0; i < total.length; i++) total[i] = exclusive ? total[i] + own[i] : Math.max(total[i], own[i]);
    if (!exclusive && planes.length > 1) greys.set(k, own.length ? grey(own) : new Uint8Array());
  }
  greys.set(null, grey(exclusive ? total.map((value) => value / Math.log(planes.length)) : total));
  return { ...header(found, h, w), entropy: greys };
}

/** @param {number} p */
function log(p) {
  return p > 0 ? Math.log(p) : 0;
}

/** @param {Float32Array} values from 0 to 1 */
function grey(values) {
  const found = new Uint8Array(values.length);
  for (let i = 0; i < found.length; i++) found[i] = even(Math.min(Math.max(values[i], 0), 1) * 255);
  return found;
}

/**
 * Some rows and columns of a slice. whole: what each pixel of all of it is; null where that is not asked for.
 * @param {Found} found
 * @param {Int32Array} rows
 * @param {Int32Array} columns
 * @param {ReturnType<typeof decided> | null} whole
 * @returns {Packed}
 */
function part(found, rows, columns, whole) {
  const { image, index } = found;
  const made = header(found, rows.length, columns.length);
  const pick = (/** @type {Uint8Array} */ plane) => some(plane, image.width, rows, columns);
  if (whole) {
    made.level = whole.level.map(pick);
    made.argmax = pick(whole.argmax);
    made.labels = whole.labels && pick(whole.labels);
    made.order = order(found, rows, columns);
  }
  const stored = image.at(index);
  if (image.hounsfield && image.channels === 1 && isShort(stored)) {
    made.hounsfield = Int16Array.from(some(stored, image.width, rows, columns));
  }
  const isReduced = whole !== null && (rows.length < image.height || columns.length < image.width);
  if (!made.hounsfield || isReduced) {
    const [h, w] = [rows.length, columns.length];
    made.picture = drawn(found).map((plane) => (isReduced ? box(plane, image.height, image.width, h, w) : pick(plane)));
  }
  made.bytes = (made.levels.length + 1 + made.order.length + made.picture.length) * rows.length * columns.length;
  return made;
}

/** @param {Found} found @param {number} height @param {number} width @returns {Packed} */
function header({ image, config, index, between }, height, width) {
  const cuts = cutsOf(config);
  return {
    height,
    width,
    full: [image.height, image.width],
    index,
    task: taskOf(config),
    levels: cuts.map(({ values, steps, own }, k) => ({
      at: steps,
      own: { value: config.thresholds[k], level: own },
      grey: greys(values),
    })),
    window: image.hounsfield && between ? between[0] : null,
    counts: /** @type {any} */ (null),
    level: [],
    argmax: new Uint8Array(),
    labels: null,
    order: [],
    picture: [],
    hounsfield: null,
    entropy: new Map(),
    bytes: 0,
  };
}

/** What is counted of all pixels of a slice. @param {ReturnType<typeof decided>} whole @param {Config} config @param {Uint8Array | null} valid */
function counts({ level, argmax: map, labels }, config, valid) {
  const task = taskOf(config);
  const found = counted(map, task.labels.length, valid);
  const claims = cutsOf(config).map((cuts, k) => {
    const sums = counted(level[k], cuts.values.length + 1, valid);
    for (let i = cuts.values.length - 1; i >= 0; i--) sums[i] += sums[i + 1];
    return [...cuts.steps, cuts.own].map((cut) => sums[cut]);
  });
  const by = task.exclusive ? found : labels && counted(labels, task.labels.length, valid);
  return { claims, argmax: found, labels: by, of: found.reduce((sum, pixels) => sum + pixels, 0) };
}

/** @param {Config} config @returns {Cuts[]} */
function cutsOf(config) {
  return config.thresholds.map((threshold) => {
    const own = Math.fround(threshold);
    const values = HALVES.includes(own) ? HALVES : Float32Array.of(...HALVES, own).sort();
    const steps = Array.from({ length: STEPS + 1 }, (_, step) => values.indexOf(HALVES[2 * step]));
    return { values, steps, own: values.indexOf(own) };
  });
}

/** The number of the last cut that each probability reaches. @param {Float32Array} plane @param {Cuts} cuts */
function levels(plane, { values, own }) {
  const found = new Uint8Array(plane.length);
  const extra = values.length > HALVES.length ? values[own] : Number.POSITIVE_INFINITY;
  for (let i = 0; i < found.length; i++) {
    const p = plane[i];
    let level = Math.floor(p * 2 * STEPS);
    if (p < HALVES[level]) level -= 1;
    else if (p >= ABOVE[level]) level += 1;
    found[i] = p >= extra ? level + 1 : level;
  }
  return found;
}

/** The grey in the middle of what each level may be. @param {Float32Array} values */
function greys(values) {
  const below = values.slice(1);
  const bits = new Uint32Array(below.buffer);
  for (let i = 0; i < bits.length; i++) bits[i] -= 1; // the next number towards 0
  return Array.from(values, (low, i) => {
    const high = i < below.length ? below[i] : 1;
    return (even(Math.fround(low * 255)) + even(Math.fround(high * 255))) >> 1;
  });
}

/** The picture as it is drawn: a plane of grey, or red, green and blue. @param {Pick<Found, "image" | "config" | "picture">} found */
export function drawn({ config, picture, image }) {
  const size = image.height * image.width;
  const count = image.channels === 1 || config.channels.length < 3 ? 1 : 3;
  return Array.from({ length: count }, (_, c) => grey(picture.subarray(c * size, (c + 1) * size)));
}

/**
 * Some rows and columns of a plane.
 * @template {Numbers} T
 * @param {T} plane
 * @param {number} width
 * @param {Int32Array} rows
 * @param {Int32Array} columns
 * @returns {T}
 */
function some(plane, width, rows, columns) {
  if (rows.length * columns.length === plane.length) return plane; // all of it
  const kind = /** @type {new (length: number) => T} */ (plane.constructor);
  const found = new kind(rows.length * columns.length);
  let i = 0;
  for (const row of rows) {
    const start = row * width;
    for (let x = 0; x < columns.length; x++) found[i++] = plane[start + columns[x]];
  }
  return found;
}

/** A plane at a smaller size, each pixel the mean of those whose middles it covers: as Pillow's BOX. @param {Uint8Array} plane @param {number} height @param {number} width @param {number} h @param {number} w */
function box(plane, height, width, h, w) {
  const across = new Uint8Array(height * w);
  for (const [x, [first, end]] of covers(width, w).entries()) {
    for (let y = 0; y < height; y++) {
      let sum = 0;
      for (let i = y * width + first; i < y * width + end; i++) sum += plane[i];
      across[y * w + x] = Math.round(sum / (end - first));
    }
  }
  const found = new Uint8Array(h * w);
  for (const [y, [first, end]] of covers(height, h).entries()) {
    for (let x = 0; x < w; x++) {
      let sum = 0;
      for (let row = first; row < end; row++) sum += across[row * w + x];
      found[y * w + x] = Math.round(sum / (end - first));
    }
  }
  return found;
}

/** From and to which of `size` pixels each of `count` equal parts of a row covers. @param {number} size @param {number} count */
function covers(size, count) {
  return Array.from({ length: count }, (_, i) => [i, i + 1].map((edge) => Math.floor((edge * size) / count + 0.5)));
}

/** Whether 16 bits hold all numbers. @param {Numbers} stored */
function isShort(stored) {
  return stored.every((value) => value >= -32768 && value <= 32767 && Number.isInteger(value));
}
