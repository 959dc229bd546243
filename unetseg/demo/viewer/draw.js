// The views of a slice as pixels, as unetseg/render.py draws them: the same labels, colours and greys.

/** @typedef {import("./unpack.js").Packed} Packed */
/** @typedef {import("./unpack.js").Levels} Levels */

/**
 * What is drawn and how. channel: of the outputs, null for all of them. visible: of each label. band: how far from its
 * threshold a probability is called uncertain; 0 for none. window: level and width, null as the network saw it.
 * @typedef {object} Options
 * @property {"probability" | "thresholded" | "argmax" | "overlay" | "entropy" | "picture"} view
 * @property {number | null} channel
 * @property {number[]} thresholds
 * @property {"perceptual" | "grey"} scale
 * @property {number} opacity
 * @property {boolean} outline
 * @property {boolean[]} visible
 * @property {number} band
 * @property {[number, number] | null} window
 */

/** @typedef {[number, number, number]} Colour */

const STEPS = 100;
/** Sixteen colours of viridis (matplotlib, CC0), for probabilities from 0 to 1; between them it is linear. */
const VIRIDIS = "440154 481a6c 472f7d 414487 39568c 31688e 2a788e 23888e 1f988b 22a884 35b779 54c568 7ad151 a5db36 d2e21b fde725";
/** Of pixels near their threshold: no scale and few palettes have it. */
const UNCERTAIN = /** @type {Colour} */ ([255, 0, 200]);
/** What an unlabelled or hidden pixel is in views without the picture. */
const BLACK = /** @type {Colour} */ ([0, 0, 0]);
const float = Math.fround;

/** To the nearest, of two alike the even one, as NumPy and torch round. @param {number} x */
export function round(x) {
  const up = Math.round(x);
  return up - x === 0.5 && up % 2 !== 0 ? up - 1 : up;
}

/** @param {string} hex @returns {Colour} */
export function colour(hex) {
  const value = Number.parseInt(hex.replace("#", ""), 16);
  return [value >> 16, (value >> 8) & 255, value & 255];
}

/** Red, green, blue as a number of an RGBA picture in the order of this machine's bytes. @param {ArrayLike<number>} c */
function pixel(c) {
  return ((255 << 24) | (c[2] << 16) | (c[1] << 8) | c[0]) >>> 0;
}

const stops = VIRIDIS.split(" ").map(colour);
const SCALES = {
  grey: Uint32Array.from({ length: 256 }, (_, grey) => pixel([grey, grey, grey])),
  perceptual: Uint32Array.from({ length: 256 }, (_, grey) => {
    const place = (grey / 255) * (stops.length - 1);
    const below = Math.min(Math.floor(place), stops.length - 2);
    return pixel(stops[below].map((low, i) => Math.round(low + (stops[below + 1][i] - low) * (place - below))));
  }),
};

/** A scale from 0 to 1 as a gradient of CSS, to the right. @param {"perceptual" | "grey"} scale */
export function barGradient(scale) {
  const colours = scale === "grey" ? ["#000", "#fff"] : VIRIDIS.split(" ").map((hex) => `#${hex}`);
  return `linear-gradient(to right, ${colours.join(", ")})`;
}

/**
 * The level from which a threshold is reached: of a step of the slider or the checkpoint's own; of another the next step.
 * @param {Levels} levels
 * @param {number} threshold
 */
export function levelOf(levels, threshold) {
  if (threshold === levels.own.value) return levels.own.level;
  const nearest = Math.round(threshold * STEPS);
  const step = Math.abs(threshold * STEPS - nearest) < 1e-6 ? nearest : Math.ceil(threshold * STEPS);
  return step > STEPS ? levels.grey.length : levels.at[Math.max(0, step)];
}

/** The decision, as `task.decode` makes it: an id for each pixel. @param {Packed} packed @param {number[]} thresholds */
export function labels(packed, thresholds) {
  const { task, levels, level, order, argmax } = packed;
  if (packed.labels) return packed.labels;
  if (task.exclusive) return argmax;
  const least = levels.map((one, k) => levelOf(one, thresholds[k]));
  const found = new Uint8Array(argmax.length);
  if (level.length === 1) {
    const [[plane], [from]] = [level, least];
    for (let i = 0; i < found.length; i += 1) found[i] = plane[i] >= from ? 1 : 0;
    return found;
  }
  for (let i = 0; i < found.length; i += 1) {
    for (const ranked of order) {
      const k = ranked[i];
      if (level[k][i] >= least[k]) {
        found[i] = k + 1;
        break;
      }
    }
  }
  return found;
}

/** Greys of the picture, one plane or three. @param {Packed} packed @param {[number, number] | null} window @returns {Uint8Array} */
function picture(packed, window) {
  if (packed.picture || !packed.hounsfield) return packed.picture ?? new Uint8Array(packed.height * packed.width);
  const [level, width] = window ?? [0, 0];
  const [low, high] = window ? [level - width / 2, level + width / 2] : (packed.window ?? [0, 1]);
  const span = float(float(high) - float(low));
  const table = new Uint8Array(2 ** 16);
  for (let value = -(2 ** 15); value < 2 ** 15; value += 1) {
    const part = float(float(value - float(low)) / span);
    table[value & 0xffff] = round(float(Math.min(1, Math.max(0, part)) * 255));
  }
  return Uint8Array.from(packed.hounsfield, (value) => table[value & 0xffff]);
}

/**
 * The pixels of a view, RGBA in the order of this machine's bytes; null where it needs entropy that isn't there.
 * @param {Packed} packed
 * @param {Options} options
 * @returns {Uint32Array<ArrayBuffer> | null}
 */
export function draw(packed, options) {
  const drawn = new Uint32Array(packed.height * packed.width);
  const channel = packed.level.length === 1 ? 0 : options.channel;
  switch (options.view) {
    case "probability":
      drawProbability(drawn, packed, channel, SCALES[options.scale]);
      break;
    case "thresholded":
      if (channel === null) drawClaims(drawn, packed, options);
      else drawClaim(drawn, packed, channel, options.thresholds[channel]);
      break;
    case "argmax": {
      const colours = palette(packed, options.visible).map(pixel);
      for (let i = 0; i < drawn.length; i += 1) drawn[i] = colours[packed.argmax[i]];
      break;
    }
    case "overlay":
      drawOverlay(drawn, packed, options);
      break;
    case "entropy": {
      const plane = packed.entropy[channel === null || packed.entropy.length === 1 ? 0 : channel + 1];
      if (!plane) return null;
      for (let i = 0; i < drawn.length; i += 1) drawn[i] = SCALES[options.scale][plane[i]];
      break;
    }
    case "picture":
      drawPicture(drawn, picture(packed, options.window));
      break;
  }
  if (options.band > 0) drawBand(drawn, packed, channel, options);
  return drawn;
}

/** The colours of all labels, black where one is hidden. @param {Packed} packed @param {boolean[]} visible */
function palette(packed, visible) {
  return packed.task.palette.map((hex, label) => (visible[label] === false ? BLACK : colour(hex)));
}

/** @param {Uint32Array} drawn @param {Packed} packed @param {number | null} channel @param {Uint32Array} scale */
function drawProbability(drawn, packed, channel, scale) {
  if (channel !== null) {
    const table = Uint32Array.from(packed.levels[channel].grey, (grey) => scale[grey]);
    const plane = packed.level[channel];
    for (let i = 0; i < drawn.length; i += 1) drawn[i] = table[plane[i]];
    return;
  }
  const most = new Uint8Array(drawn.length);
  packed.level.forEach((plane, k) => {
    const grey = Uint8Array.from(packed.levels[k].grey);
    for (let i = 0; i < most.length; i += 1) {
      const one = grey[plane[i]];
      if (one > most[i]) most[i] = one;
    }
  });
  for (let i = 0; i < drawn.length; i += 1) drawn[i] = scale[most[i]];
}

/** @param {Uint32Array} drawn @param {Packed} packed @param {number} channel @param {number} threshold */
function drawClaim(drawn, packed, channel, threshold) {
  const from = levelOf(packed.levels[channel], threshold);
  const plane = packed.level[channel];
  for (let i = 0; i < drawn.length; i += 1) drawn[i] = plane[i] >= from ? 0xffffffff : 0xff000000;
}

/** Every claim in its colour; of several the mean. @param {Uint32Array} drawn @param {Packed} packed @param {Options} options */
function drawClaims(drawn, packed, { thresholds, visible }) {
  const { level, levels, task } = packed;
  const first = task.labels.length - level.length;
  const size = drawn.length;
  const sums = new Uint16Array(3 * size);
  const claims = new Uint8Array(size);
  level.forEach((plane, k) => {
    if (visible[k + first] === false) return;
    const from = levelOf(levels[k], thresholds[k]);
    const [red, green, blue] = colour(task.palette[k + first]);
    for (let i = 0; i < size; i += 1) {
      if (plane[i] < from) continue;
      claims[i] += 1;
      sums[3 * i] += red;
      sums[3 * i + 1] += green;
      sums[3 * i + 2] += blue;
    }
  });
  for (let i = 0; i < size; i += 1) {
    const count = claims[i] || 1;
    const [r, g, b] = [3 * i, 3 * i + 1, 3 * i + 2];
    drawn[i] = 0xff000000 | (round(sums[b] / count) << 16) | (round(sums[g] / count) << 8) | round(sums[r] / count);
  }
}

/** @param {Uint32Array} drawn @param {Uint8Array} greys one plane or three */
function drawPicture(drawn, greys) {
  const size = drawn.length;
  const [green, blue] = greys.length === size ? [0, 0] : [size, 2 * size];
  for (let i = 0; i < size; i += 1) {
    drawn[i] = 0xff000000 | (greys[i + blue] << 16) | (greys[i + green] << 8) | greys[i];
  }
}

/** @param {Uint32Array} drawn @param {Packed} packed @param {Options} options */
function drawOverlay(drawn, packed, { thresholds, visible, opacity, outline, window }) {
  const { task, height, width } = packed;
  const size = drawn.length;
  const found = labels(packed, thresholds);
  const greys = picture(packed, window);
  const [green, blue] = greys.length === size ? [0, 0] : [size, 2 * size];
  // what each grey becomes under each label, a table for each of red, green and blue
  const tables = task.palette.map((hex, label) => {
    const bare = visible[label] === false || (label === 0 && task.background !== null);
    const weight = bare ? 0 : float(opacity);
    return colour(hex).map((c) =>
      Uint8Array.from({ length: 256 }, (_, grey) => round(float(float(grey * float(1 - weight)) + float(c * weight)))),
    );
  });
  for (let i = 0; i < size; i += 1) {
    const [r, g, b] = tables[found[i]];
    drawn[i] = 0xff000000 | (b[greys[i + blue]] << 16) | (g[greys[i + green]] << 8) | r[greys[i]];
  }
  if (!outline) return;
  const lines = palette(packed, visible).map(pixel);
  for (let y = 0, i = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1, i += 1) {
      const own = found[i];
      if ((own === 0 && task.background !== null) || visible[own] === false) continue;
      const inside =
        (x === 0 || found[i - 1] === own) &&
        (x === width - 1 || found[i + 1] === own) &&
        (y === 0 || found[i - width] === own) &&
        (y === height - 1 || found[i + width] === own);
      if (!inside) drawn[i] = lines[own];
    }
  }
}

/** Pixels whose probability is near the threshold. @param {Uint32Array} drawn @param {Packed} packed @param {number | null} channel @param {Options} options */
function drawBand(drawn, packed, channel, { thresholds, band, visible }) {
  const first = packed.task.labels.length - packed.level.length;
  const mark = pixel(UNCERTAIN);
  packed.level.forEach((plane, k) => {
    if (channel === null ? visible[k + first] === false : k !== channel) return;
    const low = levelOf(packed.levels[k], Math.max(0, thresholds[k] - band));
    const high = levelOf(packed.levels[k], thresholds[k] + band);
    for (let i = 0; i < drawn.length; i += 1) if (plane[i] >= low && plane[i] < high) drawn[i] = mark;
  });
}

/** Labels of a run that goes on in colour, and nothing where there is background. @param {Uint8Array} found @param {{palette: string[], background: string | null}} of @param {number} opacity */
export function drawLabels(found, of, opacity) {
  const alpha = Math.round(opacity * 255) << 24;
  const colours = Uint32Array.from(of.palette, (hex, label) =>
    label === 0 && of.background !== null ? 0 : (pixel(colour(hex)) & 0xffffff) | alpha,
  );
  return Uint32Array.from(found, (label) => colours[label]);
}
