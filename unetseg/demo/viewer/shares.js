// How much of a picture or slice each class has in a view, counted at the full size.

/** @typedef {import("./facts.js").Task} Task */
/** @typedef {import("./facts.js").View} View */
/**
 * Counts of pixels at the full size: of each output those that reach each step of the slider, and at the end its own
 * threshold; of each label by argmax, and by the labels where no threshold decides; `of` how many, all that are valid.
 * @typedef {{claims: ArrayLike<number>[], argmax: ArrayLike<number>, labels?: ArrayLike<number> | null,
 *   of: number}} Counts
 */
/**
 * A row of the legend. label: an id, or null of a class that has none in this view. about: of the shown size alone.
 * @typedef {{name: string, color: string, label: number, output: number | null, pixels: number, share: number,
 *   about: boolean}} Row
 */

export const STEPS = 100;

/** Whether thresholds decide the labels. @param {Task} task */
export function decidedByThreshold(task) {
  return !task.exclusive && task.background !== null;
}

/** How many labels come before that of the first output. @param {Task} task */
export function firstLabel(task) {
  return task.labels.length - task.outputs.length;
}

/**
 * Where in counts a threshold lies: its step, or the one after the last, the checkpoint's own.
 * @param {number} threshold
 */
export function stepOf(threshold) {
  const step = Math.round(threshold * STEPS);
  return Math.abs(threshold - step / STEPS) < 1e-9 ? step : STEPS + 1;
}

/**
 * The rows of the legend of a view. found: pixels of each label at these thresholds, where counts don't tell them;
 * `about` says that they were counted at the shown size.
 * @param {{task: Task, counts: Counts}} packed
 * @param {View} view
 * @param {number[]} thresholds
 * @param {{pixels: ArrayLike<number>, of: number, about: boolean} | null} [found]
 * @returns {Row[]}
 */
export function rows(packed, view, thresholds, found = null) {
  const { task, counts } = packed;
  const total = counts.of || 1;
  const first = firstLabel(task);
  if (view === "thresholded") {
    return task.outputs.map((name, k) => {
      const pixels = counts.claims[k][stepOf(thresholds[k])];
      const color = task.palette[k + first];
      return { name, color, label: k + first, output: k, pixels, share: pixels / total, about: false };
    });
  }
  const { pixels, of, about } = labelled(packed, view, thresholds, found);
  return task.labels.map((name, label) => ({
    name,
    color: task.palette[label],
    label,
    output: label < first ? null : label - first,
    pixels: (pixels[label] * total) / of,
    share: pixels[label] / of,
    about,
  }));
}

/**
 * @param {{task: Task, counts: Counts}} packed
 * @param {View} view
 * @param {number[]} thresholds
 * @param {{pixels: ArrayLike<number>, of: number, about: boolean} | null} found
 * @returns {{pixels: ArrayLike<number>, of: number, about: boolean}}
 */
function labelled({ task, counts }, view, thresholds, found) {
  const of = counts.of || 1;
  if (view === "argmax") return { pixels: counts.argmax, of, about: false };
  if (counts.labels) return { pixels: counts.labels, of, about: false };
  if (task.outputs.length === 1) {
    const claimed = counts.claims[0][stepOf(thresholds[0])];
    return { pixels: [of - claimed, claimed], of, about: false };
  }
  return found ?? { pixels: task.labels.map(() => 0), of, about: true };
}

/** Whether the rows show no class but a background. @param {Row[]} found @param {Task} task */
export function isEmpty(found, task) {
  return found.every((row) => row.pixels === 0 || (task.background !== null && row.label === 0));
}
