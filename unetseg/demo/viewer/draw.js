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
/** A level that none reaches, and how many classes are looked at together. */
const NEVER = 256;
const FEW = 5;
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
  const map = new Uint8Array(argmax.length);
  if (level.length === 1) {
    reach(map, level[0], at[0]);
  } else {
    for (const ranked of order.toReversed()) take(map, ranked, level, at);
  }
  decided.set(packed, { key, map });
  return map;
}

/** @param {Uint8Array} map @param {Uint8Array} values @param {number} from */
function reach(map, values, from) {
  for (let i = 0; i < map.length; i++) map[i] = values[i] >= from ? 1 : 0;
}

/** @param {Uint8Array} map @param {Uint8Array} ranked @param {Uint8Array[]} level @param {number[]} at */
function take(map, ranked, level, at) {
  for (let i = 0; i < map.length; i++) {
    const k = ranked[i];
    if (level[k][i] >= at[k]) map[i] = k + 1;
  }
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
  for (const [k, values] of level.entries()) raise(highest, values, Uint8Array.from(levels[k].grey));
  through(out, highest, scale);
}

// Loops over all pixels are functions of their own: in a closure, and of arrays of several types, they are slow.

/** @param {Uint8Array} highest @param {Uint8Array} values @param {Uint8Array} grey of each value */
function raise(highest, values, grey) {
  for (let i = 0; i < highest.length; i++) {
    const one = grey[values[i]];
    if (one > highest[i]) highest[i] = one;
  }
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
  const claims = level.map((values, k) => ({
    values,
    from: visible[k + first] ? at[k] : NEVER,
    color: [...rgb(task.palette[k + first]), 1],
  }));
  const sets = new Uint32Array(out.length);
  /** @type {number[][]} sums of red, green and blue, and of how many */
  const mixed = [[0, 0, 0, 0]];
  for (let k = 0; k < claims.length; k += FEW) join(sets, mixed, claims.slice(k, k + FEW));
  const pixels = Uint32Array.from(mixed, ([red, green, blue, n]) =>
    n ? opaque(even(red / n), even(green / n), even(blue / n)) : BLACK,
  );
  for (let i = 0; i < out.length; i++) out[i] = pixels[sets[i]];
}

/**
 * Which classes claim a pixel is the number of a set, 0 of none: there are few of them, and a colour is mixed for each.
 * A few classes are joined at once, without a branch that nobody foresees: a third of the time.
 * @param {Uint32Array} sets
 * @param {number[][]} mixed of each set
 * @param {{values: Uint8Array, from: number, color: number[]}[]} claims at most FEW
 */
function join(sets, mixed, claims) {
  const joined = new Uint32Array(mixed.length << FEW); // of each set and those that claim a pixel too
  const more = (/** @type {number} */ at) => {
    const colors = claims.filter((_, bit) => at & (1 << bit)).map(({ color }) => color);
    return mixed.push(colors.reduce((sum, color) => sum.map((v, c) => v + color[c]), mixed[at >> FEW])) - 1;
  };
  const [a, b, c, d, e] = Array.from({ length: FEW }, (_, i) => claims[i] ?? { values: claims[0].values, from: NEVER });
  const [va, vb, vc, vd, ve] = [a.values, b.values, c.values, d.values, e.values];
  const [fa, fb, fc, fd, fe] = [a.from, b.from, c.from, d.from, e.from];
  for (let i = 0; i < sets.length; i++) {
    const few =
      (va[i] >= fa ? 1 : 0) |
      (vb[i] >= fb ? 2 : 0) |
      (vc[i] >= fc ? 4 : 0) |
      (vd[i] >= fd ? 8 : 0) |
      (ve[i] >= fe ? 16 : 0);
    if (few === 0) continue;
    const at = (sets[i] << FEW) | few;
    if (joined[at] === 0) joined[at] = more(at);
    sets[i] = joined[at];
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
    tint(out, map, grey, whole);
  } else {
    const [r, g, b] = picture;
    blend(out, map, r, g, b, red, green, blue);
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

/** @param {Uint32Array} out @param {Uint8Array} map @param {Uint8Array} grey @param {Uint32Array} pixels of each label and grey */
function tint(out, map, grey, pixels) {
  for (let i = 0; i < out.length; i++) out[i] = pixels[(map[i] << 8) | grey[i]];
}

/**
 * @param {Uint32Array} out
 * @param {Uint8Array} map
 * @param {Uint8Array} r
 * @param {Uint8Array} g
 * @param {Uint8Array} b
 * @param {Uint8Array} red of each label and red
 * @param {Uint8Array} green
 * @param {Uint8Array} blue
 */
function blend(out, map, r, g, b, red, green, blue) {
  for (let i = 0; i < out.length; i++) {
    const at = map[i] << 8;
    out[i] = 0xff000000 | (blue[at | b[i]] << 16) | (green[at | g[i]] << 8) | red[at | r[i]];
  }
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
export function even(value) {
  const low = Math.floor(value);
  const part = value - low;
  return part > 0.5 || (part === 0.5 && low % 2 === 1) ? low + 1 : low;
}
