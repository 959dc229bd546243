// A network on a picture of any size, in bounded memory: tiles that are blended (unetseg/tiling.py).

/** @typedef {import("./runtime.js").Network} Network */

/** Pixels a side: larger than the Predictor's own tiles, for here a tile has all scales, and a half sees twice as far. */
const TILE = 1280;
const OVERLAP = 256;
/** A probability that is nearer to 0 or 1 has a logit that is. */
const TINY = 1e-30;

/**
 * Probabilities (K,H,W) of a picture (C,H,W). Tiles are averaged by their logits, which is what Python does.
 * @param {Network} network
 * @param {Float32Array} x
 * @param {[number, number, number]} shape
 * @param {{outputs: number, exclusive: boolean, grid: number, whole: boolean}} how grid: pooling sees the same pixels
 *   in a tile that starts at a multiple of it. whole: the network reduces the picture to its size by itself.
 * @param {(done: number) => Promise<void>} told after each tile
 */
export async function tiled(network, x, [channels, height, width], { outputs, exclusive, grid, whole }, told) {
  if (whole || Math.max(height, width) <= TILE) {
    const found = await network(x, [channels, height, width]);
    await told(1);
    return found;
  }
  const [rows, columns] = [layout(height, grid), layout(width, grid)];
  const size = height * width;
  const total = new Float32Array(outputs * size);
  const count = rows.starts.length * columns.starts.length;
  let done = 0;
  for (const top of rows.starts) {
    for (const left of columns.starts) {
      const [h, w] = [Math.min(rows.length, height - top), Math.min(columns.length, width - left)];
      const part = new Float32Array(channels * h * w);
      for (let c = 0, i = 0; c < channels; c++) {
        for (let y = top; y < top + h; y++, i += w) {
          const start = c * size + y * width + left;
          part.set(x.subarray(start, start + w), i);
        }
      }
      const found = await network(part, [channels, h, w]);
      const [down, right] = [rows.weights(top), columns.weights(left)];
      for (let k = 0; k < outputs; k++) {
        for (let y = 0; y < h; y++) {
          const from = (k * h + y) * w;
          const to = k * size + (top + y) * width + left;
          add(total, to, found, from, w, down[y], right, exclusive);
        }
      }
      done += 1;
      await told(done / count);
    }
  }
  if (exclusive) softmax(total, outputs, size);
  else for (let i = 0; i < total.length; i++) total[i] = 1 / (1 + Math.exp(-total[i]));
  return total;
}

/**
 * Logits, weighted; of a softmax but for what all of a pixel have in common.
 * @param {Float32Array} total
 * @param {number} to
 * @param {Float32Array} found
 * @param {number} from
 * @param {number} count
 * @param {number} weight
 * @param {Float32Array} weights
 * @param {boolean} exclusive
 */
function add(total, to, found, from, count, weight, weights, exclusive) {
  for (let i = 0; i < count; i++) {
    const p = found[from + i];
    const high = Math.log(Math.max(p, TINY));
    total[to + i] += weight * weights[i] * (exclusive ? high : high - Math.log(Math.max(1 - p, 6e-8)));
  }
}

/** @param {Float32Array} total @param {number} count @param {number} size */
function softmax(total, count, size) {
  for (let i = 0; i < size; i++) {
    let top = total[i];
    for (let k = 1; k < count; k++) top = Math.max(top, total[k * size + i]);
    let sum = 0;
    for (let k = 0; k < count; k++) sum += total[k * size + i] = Math.exp(total[k * size + i] - top);
    for (let k = 0; k < count; k++) total[k * size + i] /= sum;
  }
}

/** As few tiles as hold a side, evenly spread; and weights that fall towards their edges and add up to 1. @param {number} size @param {number} grid */
function layout(size, grid) {
  const multiple = (/** @type {number} */ side) => Math.ceil(side / grid) * grid;
  const full = multiple(size);
  const count = size <= TILE ? 1 : Math.ceil((size - OVERLAP) / (TILE - OVERLAP));
  const length = count === 1 ? full : multiple(Math.ceil((size + (count - 1) * OVERLAP) / count));
  const starts = Array.from({ length: count }, (_, i) =>
    count === 1 ? 0 : Math.round((i * (full - length)) / (count - 1) / grid) * grid,
  );
  const tent = Float32Array.from({ length }, (_, i) => {
    const ramp = Math.min(i + 1, length - i) - Math.floor(OVERLAP / 4);
    return Math.min(Math.max(ramp, 1e-3), OVERLAP / 2); // the outermost pixels see the least
  });
  const sums = new Float32Array(full);
  for (const start of starts) for (let i = 0; i < length; i++) sums[start + i] += tent[i];
  return { starts, length, weights: (/** @type {number} */ start) => tent.map((one, i) => one / sums[start + i]) };
}
