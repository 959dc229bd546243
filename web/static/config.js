// What a checkpoint says of itself: config.json, and what follows from it (unetseg/config.py).

/**
 * @typedef {object} Config
 * @property {"binary" | "multiclass" | "one-vs-rest"} task
 * @property {string[]} classes
 * @property {string | null} background
 * @property {string[]} palette
 * @property {string[]} channels
 * @property {[number, number][] | null} value_range
 * @property {[number, number] | null} window
 * @property {number | null} working_size
 * @property {number} [working_scale]
 * @property {number[]} widths
 * @property {number[]} temperatures
 * @property {number[]} thresholds
 */

/** @param {Config} config @returns {import("../../unetseg/demo/viewer/facts.js").Task} */
export function taskOf({ task, classes, background, palette }) {
  const labels = background === null ? classes : [background, ...classes];
  const exclusive = task === "multiclass";
  return { kind: task, exclusive, background, labels, outputs: exclusive ? labels : classes, palette };
}

/** Height and width of what the network sees are multiples of this many pixels. @param {Config} config */
export function strideOf({ widths }) {
  return 2 ** (widths.length - 1);
}
