// What is drawn of a packed result: every view equals `Segmentation.view`, pixel by pixel; a probability within a grey.

import { opaque, rgb, SCALES } from "./scale.js";

export { barGradient } from "./scale.js";

/** @typedef {import("./facts.js").Drawn} Drawn */
/** @typedef {import("./unpack.js").Packed} Packed */

const STEPS = 100;
/** A pixel in the uncertain band, and the stripes of it: so many pixels of each period, diagonally. */
const UNCERTAIN = opaque(255, 61, 190);
const [STRIPE, PERIOD] = [2, 5];
const BLACK = opaque(0, 0, 0);
const WHITE = opaque(255, 255, 255);

/**
 * The level from which on a channel reaches a threshold: exactly, of a step of the slider and the checkpoint's own;
 * else of the nearest half step.
 * @param {Packed} packed
 * @param {number} k
 * @param {number} threshold
 */
export function levelOf(packed, k, threshold) {
  const { at, own, grey } = packed.levels[k];
  const value = Math.fround(threshold);
  if (value === Math.fround(own.value)) return own.level;
  const half = Math.round(Math.min(Math.max(value, 0), 1) * 2 * STEPS);
  if (half % 2 === 0) return at[half / 2];
  const extra = grey.length > 2 * STEPS + 1 && half / (2 * STEPS) > own.value;
  return half + (extra ? 1 : 0);
}

/**
 * The middle of what the probability of a level may be.
 * @param {Packed} packed
 * @param {number} k
 * @param {number} level
 */
export function middleOf(packed, k, level) {
  const { own, grey } = packed.levels[k];
  const extra = grey.length > 2 * STEPS + 1;
  const cut = (/** @type {number} */ i) =>
    extra && i === own.level ? own.value : (i - (extra && i > own.level ? 1 : 0)) / (2 * STEPS);
  return level === grey.length - 1 ? 1 : (cut(level) + cut(level + 1)) / 2;
}

/** @type {WeakMap<Packed, {key: string, map: Uint8Array}>} */
const decided = new WeakMap();

/**
 * The labels as `Segmentation.labels` decides on them, one for each pixel; not to be written to.
 * @param {Packed} packed
 * @param {number[]} thresholds
 * @returns {Uint8Array}
 */
export function labels(packed, thresholds) {
  const { task, level, order, argmax } = packed;
  if (task.exclusive || task.background === null) return packed.labels ?? argmax;
  const at = thresholds.map((threshold, k) => levelOf(packed, k, threshold));
  const key = at.join();
  const before = decided.get(packed);
  if (before?.key === key) return before.map;
  const size = argmax.length;
  const map = new Uint8Array(size);
  if (level.length === 1) {
    const [one] = level;
    const [from] = at;
    for (let i = 0; i < size; i++) map[i] = one[i] >= from ? 1 : 0;
  } else {
    for (let j = order.length - 1; j >= 0; j--) {
      const ranked = order[j];
      for (let i = 0; i < size; i++) {
        const k = ranked[i];
        if (level[k][i] >= at[k]) map[i] = k + 1;
      }
    }
  }
  decided.set(packed, { key, map });
  return map;
}

/**
 * A view as RGBA, in order of rows. Of entropy that is not there yet, the picture.
 * @param {Packed} packed
 * @param {Drawn} drawn
 * @returns {Uint8ClampedArray<ArrayBuffer>}
 */
export function draw(packed, drawn) {
  const out = new Uint32Array(packed.height * packed.width);
  const channel = packed.task.outputs.length === 1 ? 0 : drawn.channel;
  const entropy = packed.entropy.get(channel) ?? packed.entropy.get(null);
  if (drawn.view === "probability") probability(out, packed, channel, SCALES[drawn.scale]);
  else if (drawn.view === "thresholded") thresholded(out, packed, channel, drawn);
  else if (drawn.view === "argmax") argmax(out, packed, drawn);
  else if (drawn.view === "overlay") overlay(out, packed, drawn);
  else if (drawn.view === "entropy" && entropy) through(out, entropy, SCALES[drawn.scale]);
  else overlay(out, packed, { ...drawn, opacity: 0, outline: false });
  if (drawn.band > 0) uncertain(out, packed, channel, drawn);
  return new Uint8ClampedArray(out.buffer);
}

/** @param {Uint32Array} out @param {Packed} packed @param {number | null} channel @param {Uint32Array} scale */
function probability(out, packed, channel, scale) {
  const { levels, level } = packed;
  if (channel !== null) {
    const pixels = Uint32Array.from(levels[channel].grey, (grey) => scale[grey]);
    through(out, level[channel], pixels);
    return;
  }
  const highest = new Uint8Array(out.length);
  level.forEach((values, k) => {
    const grey = Uint8Array.from(levels[k].grey);
    for (let i = 0; i < highest.length; i++) {
      const one = grey[values[i]];
      if (one > highest[i]) highest[i] = one;
    }
  });
  through(out, highest, scale);
}

/** @param {Uint32Array} out @param {Uint8Array} values @param {Uint32Array} pixels of each value */
function through(out, values, pixels) {
  for (let i = 0; i < out.length; i++) out[i] = pixels[values[i]];
}

/** @param {Uint32Array} out @param {Packed} packed @param {number | null} channel @param {Drawn} drawn */
function thresholded(out, packed, channel, { thresholds, visible }) {
  const { task, level, levels } = packed;
  const at = thresholds.map((threshold, k) => levelOf(packed, k, threshold));
  if (channel !== null) {
    const pixels = Uint32Array.from(levels[channel].grey, (_, one) => (one >= at[channel] ? WHITE : BLACK));
    through(out, level[channel], pixels);
    return;
  }
  const first = task.labels.length - task.outputs.length;
  const colors = task.palette.map(rgb);
  const sums = new Uint16Array(3 * out.length);
  const claims = new Uint8Array(out.length);
  level.forEach((values, k) => {
    if (!visible[k + first]) return;
    const [red, green, blue] = colors[k + first];
    const from = at[k];
    for (let i = 0; i < out.length; i++) {
      if (values[i] < from) continue;
      claims[i]++;
      sums[3 * i] += red;
      sums[3 * i + 1] += green;
      sums[3 * i + 2] += blue;
    }
  });
  for (let i = 0; i < out.length; i++) {
    const n = claims[i];
    const at = 3 * i;
    if (n === 0) out[i] = BLACK;
    else if (n === 1) out[i] = opaque(sums[at], sums[at + 1], sums[at + 2]);
    else out[i] = opaque(even(sums[at] / n), even(sums[at + 1] / n), even(sums[at + 2] / n));
  }
}

/** @param {Uint32Array} out @param {Packed} packed @param {Drawn} drawn */
function argmax(out, packed, { visible }) {
  const { palette } = packed.task;
  const pixels = Uint32Array.from(palette, (color, label) => (visible[label] ? opaque(...rgb(color)) : BLACK));
  through(out, packed.argmax, pixels);
}

/** The labels in colour over the picture, as `render.overlay`; their outline in full colour. @param {Uint32Array} out @param {Packed} packed @param {Drawn} drawn */
function overlay(out, packed, { thresholds, opacity, outline, visible, window }) {
  const { task } = packed;
  const map = labels(packed, thresholds);
  const picture = pictureOf(packed, window);
  const colors = task.palette.map(rgb);
  const painted = task.labels.map((_, label) => visible[label] && !(label === 0 && task.background !== null));
  /** Of each label and value of a channel, what is drawn. @type {Uint8Array[]} */
  const mixed = [0, 1, 2].map((channel) => {
    const table = new Uint8Array(256 * colors.length);
    colors.forEach((color, label) => {
      const weight = Math.fround(painted[label] ? opacity : 0);
      const rest = Math.fround(1 - weight);
      const tint = Math.fround(color[channel] * weight);
      for (let value = 0; value < 256; value++) {
        table[256 * label + value] = even(Math.fround(Math.fround(value * rest) + tint));
      }
    });
    return table;
  });
  const [red, green, blue] = mixed;
  if (picture.length === 1) {
    const [grey] = picture;
    const whole = Uint32Array.from(red, (value, i) => opaque(value, green[i], blue[i])); // of each label and grey
    for (let i = 0; i < out.length; i++) out[i] = whole[(map[i] << 8) | grey[i]];
  } else {
    const [r, g, b] = picture;
    for (let i = 0; i < out.length; i++) {
      const at = map[i] << 8;
      out[i] = 0xff000000 | (blue[at | b[i]] << 16) | (green[at | g[i]] << 8) | red[at | r[i]];
    }
  }
  if (outline)
    outlined(
      out,
      map,
      packed.width,
      colors.map((color) => opaque(...color)),
      painted,
    );
}

/** @param {Uint32Array} out @param {Uint8Array} map @param {number} width @param {number[]} pixels @param {boolean[]} painted */
function outlined(out, map, width, pixels, painted) {
  const last = map.length - width;
  for (let i = 0, x = 0; i < map.length; i++, x = x === width - 1 ? 0 : x + 1) {
    const label = map[i];
    if (!painted[label]) continue;
    const edge =
      (x > 0 && map[i - 1] !== label) ||
      (x < width - 1 && map[i + 1] !== label) ||
      (i >= width && map[i - width] !== label) ||
      (i < last && map[i + width] !== label);
    if (edge) out[i] = pixels[label];
  }
}

/** Stripes where a probability is so near to a threshold that matters in the view. @param {Uint32Array} out @param {Packed} packed @param {number | null} channel @param {Drawn} drawn */
function uncertain(out, packed, channel, { view, thresholds, band }) {
  const { task, level, width } = packed;
  const decides = view === "thresholded" || (view === "overlay" && !task.exclusive && task.background !== null);
  if (!decides && !(view === "probability" && channel !== null)) return;
  level.forEach((values, k) => {
    if (channel !== null && channel !== k) return;
    const from = thresholds[k] - band <= 0 ? 0 : levelOf(packed, k, thresholds[k] - band);
    const to = levelOf(packed, k, thresholds[k] + band);
    for (let i = 0; i < out.length; i++) {
      if (values[i] < from || values[i] >= to) continue;
      const [x, y] = [i % width, Math.floor(i / width)];
      if ((x + y) % PERIOD < STRIPE) out[i] = UNCERTAIN;
    }
  });
}

/** @type {WeakMap<Packed, {low: number, high: number, grey: Uint8Array}>} */
const windowed = new WeakMap();

/**
 * The picture: red, green and blue, or grey; of Hounsfield units in a window, or as the network saw it.
 * @param {Packed} packed
 * @param {[number, number] | null} window level and width
 * @returns {Uint8Array[]}
 */
export function pictureOf(packed, window) {
  const { hounsfield, picture } = packed;
  if (!hounsfield || (window === null && picture.length)) return picture;
  const half = window && Math.max(window[1], 1) / 2;
  const [low, high] = half ? [window[0] - half, window[0] + half] : (packed.window ?? [0, 1]);
  const before = windowed.get(packed);
  if (before?.low === low && before.high === high) return [before.grey];
  const table = windowTable(low, high);
  const grey = new Uint8Array(hounsfield.length);
  for (let i = 0; i < grey.length; i++) grey[i] = table[hounsfield[i] + 32768];
  windowed.set(packed, { low, high, grey });
  return [grey];
}

/** The grey of each Hounsfield unit from -32768 on, in the float32 of `prepare.scaled` and `render.as_rgb`. @param {number} low @param {number} high */
function windowTable(low, high) {
  const [from, span] = [Math.fround(low), Math.fround(Math.fround(high) - Math.fround(low))];
  const table = new Uint8Array(65536);
  for (let i = 0; i < table.length; i++) {
    const share = Math.fround(Math.fround(i - 32768 - from) / span);
    table[i] = even(Math.fround(Math.min(Math.max(share, 0), 1) * 255));
  }
  return table;
}

/** Rounded, a half to the even neighbour, as NumPy and torch round. @param {number} value */
function even(value) {
  const low = Math.floor(value);
  const part = value - low;
  return part > 0.5 || (part === 0.5 && low % 2 === 1) ? low + 1 : low;
}
