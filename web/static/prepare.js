// A picture to the network's input, float32 from 0 to 1 (unetseg/prepare.py); what it does next is inside the network.

import { extremes, Unreadable } from "./image.js";

/** @typedef {import("./config.js").Config} Config */
/** @typedef {import("./image.js").Image} Image */
/** @typedef {[number, number][] | null} Ranges low and high of each channel; null for numbers that are scaled already */

/** Numbers of 16 bits that span fewer tones are nearly of one tone as they are. */
const FEW_TONES = 65536 / 4;
/** ITU-R BT.601. */
const LUMINANCE = [0.299, 0.587, 0.114].map(Math.fround);

/**
 * What is black and what is white, for each channel of the config: never the picture's own minimum and maximum.
 * @param {Image} image
 * @param {Config} config
 * @returns {Ranges}
 */
export function ranges(image, config) {
  checkChannels(image, config);
  const { name, hounsfield, stated, value_range, modality } = image;
  const all = (/** @type {[number, number]} */ range) => config.channels.map(() => range);
  if (config.window && modality && modality !== "CT") {
    throw new Unreadable(`${name} is of modality ${modality}, and this model was trained on CT; give a CT`);
  }
  if (hounsfield) {
    if (config.window) return all(config.window);
    throw new Unreadable(`${name} is in Hounsfield units and this model has no window for them; give a picture`);
  }
  if (stated && value_range) return all(value_range);
  if (config.value_range) {
    const top = Math.min(...config.value_range.map(([, high]) => high));
    if (value_range && value_range[1] < top) {
      const trained = JSON.stringify(config.value_range);
      throw new Unreadable(
        `${name} has values up to ${value_range[1]}, the model was trained on ${trained}; give a picture of the same kind`,
      );
    }
    return config.value_range;
  }
  const [low, high] = value_range && value_range[1] === 255 ? value_range : extremes(image);
  if (image.type.startsWith("float") && !value_range) {
    if (low >= 0 && high <= 1) return null;
    throw new Unreadable(
      `${name} holds floats from ${low} to ${high}, expected 0 to 1; ${proposal(image, config, low)}`,
    );
  }
  const fewTones = value_range?.[1] === 65535 && high > low && high - low < FEW_TONES;
  if (value_range && !fewTones) return all(value_range);
  throw new Unreadable(
    `${name}: ${image.type} values from ${low} to ${high} have no natural black and white; ${proposal(image, config, low)}`,
  );
}

/** @param {Image} image @param {Config} config @param {number} lowest */
function proposal(image, config, lowest) {
  const hounsfield = config.window && lowest < 0 ? "say so if these are Hounsfield units, or " : "";
  const [low, high] = proposedRange(image) ?? extremes(image);
  return `${hounsfield}give the value range, its low and high: nearly all lie within ${low} ${high}`;
}

/** The values between which nearly all pixels (98 %) lie; null where they are all alike. @param {Image} image @returns {[number, number] | null} */
export function proposedRange(image) {
  const pixels = image.at(Math.floor(image.depth / 2));
  const step = Math.max(1, Math.floor(pixels.length / 250_000));
  const some = Float32Array.from({ length: Math.floor(pixels.length / step) }, (_, i) => pixels[i * step]).sort();
  const [low, high] = [0.01, 0.99].map((share) => some[Math.round(share * (some.length - 1))]);
  return low < high ? [low, high] : null;
}

/** Whether a picture may be of another kind than the model's. @param {Image} image @param {Config} config */
export function doubts(image, config) {
  const { name, channels, depth, type, stated } = image;
  const colour = config.channels.join() === "red,green,blue";
  const asGrey = `${name} is grey and this model was trained on colour; another model may be meant for it`;
  if (config.window && depth > 1 && type === "uint8" && !stated) {
    return [`${name} is a volume of 8 bits, which are no Hounsfield units; it may be labels, not a CT`];
  }
  if (channels === 1) return colour ? [asGrey] : [];
  const pixels = image.at(0);
  let [apart, highest] = [0, 0];
  for (let i = 0; i < pixels.length; i += channels) {
    let [low, high] = [pixels[i], pixels[i]];
    for (let c = 1; c < channels; c++) {
      const value = pixels[i + c];
      if (value < low) low = value;
      if (value > high) high = value;
    }
    apart += high - low;
    if (high > highest) highest = high;
  }
  if (config.channels.join() === "gray" && (apart * channels) / pixels.length > 0.01 * highest) {
    return [`${name} is in colour and this model sees grey alone; another model may be meant for it`];
  }
  return colour && apart === 0 ? [asGrey] : [];
}

/**
 * A slice as (C,H,W) from 0 to 1, in the channels of the config; all of it in float32, as Python has it.
 * @param {Image} image
 * @param {number} index
 * @param {Ranges} between
 * @param {Config} config
 */
export function scaled(image, index, between, config) {
  const { height, width, channels } = image;
  const size = height * width;
  const pixels = image.at(index);
  const x = new Float32Array(config.channels.length * size);
  if (channels === 3 && config.channels.length === 1) {
    luminance(x, pixels);
    stretch(x, x, 0, 1, size, between?.[0]);
    return x;
  }
  config.channels.forEach((_, c) => {
    const from = channels === 1 ? 0 : c;
    stretch(x.subarray(c * size, (c + 1) * size), pixels, from, channels, size, between?.[c]);
  });
  return x;
}

/** @param {Float32Array} x @param {import("./image.js").Numbers} pixels red, green and blue side by side */
function luminance(x, pixels) {
  const [r, g, b] = LUMINANCE;
  const { fround } = Math;
  for (let i = 0, j = 0; i < x.length; i++, j += 3) {
    const two = fround(fround(fround(pixels[j]) * r) + fround(fround(pixels[j + 1]) * g));
    x[i] = fround(two + fround(fround(pixels[j + 2]) * b));
  }
}

/**
 * @param {Float32Array} x
 * @param {import("./image.js").Numbers} pixels
 * @param {number} from
 * @param {number} step
 * @param {number} size
 * @param {[number, number] | undefined} between
 */
function stretch(x, pixels, from, step, size, between) {
  if (!between) {
    for (let i = 0, j = from; i < size; i++, j += step) x[i] = pixels[j];
    return;
  }
  const { fround } = Math;
  const low = fround(between[0]);
  const span = fround(fround(between[1]) - low);
  for (let i = 0, j = from; i < size; i++, j += step) {
    const value = fround(fround(fround(pixels[j]) - low) / span);
    x[i] = Math.min(Math.max(value, 0), 1);
  }
}

/** @param {Image} image @param {Config} config */
function checkChannels({ name, channels }, { channels: expected }) {
  const colour = expected.join() === "red,green,blue";
  if (channels === expected.length || (channels === 1 && colour)) return;
  if (channels === 3 && expected.join() === "gray") return;
  throw new Unreadable(
    `${name} has ${channels} channel${channels === 1 ? "" : "s"}, expected ${expected.length} (${expected.join(", ")}) in one file`,
  );
}
