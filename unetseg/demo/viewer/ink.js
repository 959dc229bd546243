// What a pen drew as a picture such as MNIST's: white ink that fits 20 x 20 of 28 x 28, its centre of mass in the middle.

/** @typedef {{x: number, y: number}} Point from 0 to 1 on the paper, x to the right, y downwards */
/** @typedef {Point[]} Stroke */
/** @typedef {{width: number, height: number, values: Float32Array}} Ink row by row, from 0, paper, to 1 */

/** Pixels a side. */
export const SIDE = 28;
/** Pixels of them that the ink fills, the longer way. */
const FILLED = 20;
/** How wide the pen is, of the longer side of what it drew: a small drawing has no thicker ink than a large one. */
const PEN = 0.12;
/** Pixels of that longer side before it is reduced. */
const FINE = 160;
/** What is smaller on the paper is a dot. */
const DOT = 0.05;

/**
 * Strokes as ink, without the paper around them.
 * @param {Stroke[]} strokes with at least a point
 * @returns {Ink}
 */
export function inked(strokes) {
  const points = strokes.flat();
  const [xs, ys] = [points.map(({ x }) => x), points.map(({ y }) => y)];
  const [left, top] = [Math.min(...xs), Math.min(...ys)];
  const [across, down] = [Math.max(...xs) - left, Math.max(...ys) - top];
  const scale = FINE / Math.max(across, down, DOT);
  const radius = (PEN * FINE) / 2;
  const edge = Math.ceil(radius) + 1;
  const [width, height] = [across, down].map((length) => Math.ceil(length * scale) + 2 * edge);
  const values = new Float32Array(width * height);
  const placed = (/** @type {Point} */ { x, y }) => ({ x: (x - left) * scale + edge, y: (y - top) * scale + edge });
  for (const stroke of strokes) {
    const line = stroke.map(placed);
    line.forEach((to, i) => {
      draw({ width, height, values }, line[Math.max(0, i - 1)], to, radius);
    });
  }
  return { width, height, values };
}

/** A part of a stroke, round at its ends. @param {Ink} ink @param {Point} from @param {Point} to @param {number} radius */
function draw({ width, height, values }, from, to, radius) {
  const [dx, dy] = [to.x - from.x, to.y - from.y];
  const squared = dx * dx + dy * dy || 1;
  const first = (/** @type {number} */ a, /** @type {number} */ b) =>
    Math.max(0, Math.floor(Math.min(a, b) - radius - 1));
  const last = (/** @type {number} */ a, /** @type {number} */ b, /** @type {number} */ size) =>
    Math.min(size, Math.ceil(Math.max(a, b) + radius + 1));
  for (let row = first(from.y, to.y); row < last(from.y, to.y, height); row += 1) {
    for (let column = first(from.x, to.x); column < last(from.x, to.x, width); column += 1) {
      const [x, y] = [column + 0.5 - from.x, row + 0.5 - from.y];
      const along = Math.min(Math.max((x * dx + y * dy) / squared, 0), 1);
      const covered = Math.min(Math.max(radius + 0.5 - Math.hypot(x - along * dx, y - along * dy), 0), 1);
      const i = row * width + column;
      if (covered > values[i]) values[i] = covered;
    }
  }
}

/**
 * Ink as it lies in MNIST's pictures: what surrounds it is scaled to fit 20 x 20, keeping its aspect, and is put by its
 * centre of mass in the middle of 28 x 28, as near to it as leaves all of it inside.
 * @param {Ink} ink
 * @returns {Uint8Array<ArrayBuffer>} of SIDE x SIDE, 255 where there is ink
 */
export function centred(ink) {
  const made = new Uint8Array(SIDE * SIDE);
  const box = bounds(ink);
  if (!box) return made;
  const scale = FILLED / Math.max(box.right - box.left, box.bottom - box.top);
  const [width, height] = [box.right - box.left, box.bottom - box.top].map((side) =>
    Math.max(1, Math.round(side * scale)),
  );
  const small = reduced(ink, box, width, height);
  let [sum, x, y] = [0, 0, 0];
  small.forEach((value, i) => {
    sum += value;
    x += value * ((i % width) + 0.5);
    y += value * (Math.floor(i / width) + 0.5);
  });
  const at = (/** @type {number} */ middle, /** @type {number} */ size) =>
    Math.min(Math.max(Math.round(SIDE / 2 - middle), 0), SIDE - size);
  const [left, top] = [at(x / sum, width), at(y / sum, height)];
  small.forEach((value, i) => {
    made[(top + Math.floor(i / width)) * SIDE + left + (i % width)] = Math.round(255 * value);
  });
  return made;
}

/** What surrounds the ink; null where there is none. @param {Ink} ink */
function bounds({ width, height, values }) {
  let [left, top, right, bottom] = [width, height, 0, 0];
  values.forEach((value, i) => {
    if (value === 0) return;
    const [x, y] = [i % width, Math.floor(i / width)];
    left = Math.min(left, x);
    right = Math.max(right, x + 1);
    top = Math.min(top, y);
    bottom = Math.max(bottom, y + 1);
  });
  return right === 0 ? null : { left, top, right, bottom };
}

/**
 * A part of some ink at another size: of each pixel the mean of what it covers.
 * @param {Ink} ink
 * @param {{left: number, top: number, right: number, bottom: number}} box
 * @param {number} width
 * @param {number} height
 */
function reduced(ink, box, width, height) {
  const columns = shares(box.left, box.right, width);
  const rows = shares(box.top, box.bottom, height);
  return Float32Array.from({ length: width * height }, (_, i) => {
    let sum = 0;
    for (const [y, down] of rows[Math.floor(i / width)]) {
      for (const [x, across] of columns[i % width]) sum += down * across * ink.values[y * ink.width + x];
    }
    return sum;
  });
}

/**
 * Of each of `count` pixels, which of the larger ones from `start` to `end` it covers, and by which share of itself.
 * @param {number} start
 * @param {number} end
 * @param {number} count
 */
function shares(start, end, count) {
  const size = (end - start) / count;
  return Array.from({ length: count }, (_, i) => {
    const [from, to] = [start + i * size, start + (i + 1) * size];
    /** @type {[number, number][]} */
    const found = [];
    for (let at = Math.floor(from); at < Math.min(to, end); at += 1) {
      const share = (Math.min(at + 1, to) - Math.max(at, from)) / size;
      if (share > 0) found.push([at, share]);
    }
    return found;
  });
}
