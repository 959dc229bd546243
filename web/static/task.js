// What probabilities mean: labels, argmax, ranks (unetseg/task.py). Shapes: K outputs, n pixels, planes one by one.

/** @typedef {import("./config.js").Config} Config */

/**
 * The plane of each output.
 * @param {Float32Array} probabilities (K,n)
 * @param {number} count K
 */
export function planesOf(probabilities, count) {
  const size = probabilities.length / count;
  return Array.from({ length: count }, (_, k) => probabilities.subarray(k * size, (k + 1) * size));
}

/**
 * The decision: the likeliest, or the likeliest that reaches its threshold.
 * @param {Float32Array[]} planes
 * @param {Config} config
 * @param {ArrayLike<number>} thresholds
 */
export function decide(planes, config, thresholds) {
  if (config.task === "multiclass" || config.background === null) return largest(planes);
  const map = new Uint8Array(planes[0].length);
  const best = new Float32Array(map.length).fill(-1);
  for (const [k, plane] of planes.entries()) claim(map, best, plane, Math.fround(thresholds[k]), k + 1);
  return map;
}

/** @param {Uint8Array} map @param {Float32Array} best @param {Float32Array} plane @param {number} threshold @param {number} label */
function claim(map, best, plane, threshold, label) {
  for (let i = 0; i < map.length; i++) {
    const p = plane[i];
    if (p >= threshold && p > best[i]) {
      best[i] = p;
      map[i] = label;
    }
  }
}

/** The index of the largest logit, for which an independent task with a background has a zero first. @param {Float32Array[]} planes @param {Config} config */
export function argmax(planes, config) {
  const { task, background, temperatures } = config;
  if (task === "multiclass") return largest(planes);
  const alike = temperatures.every((one) => one === temperatures[0]);
  const logits = alike ? planes : planes.map((plane, k) => plane.map((p) => temperatures[k] * Math.log(p / (1 - p))));
  if (background === null) return largest(logits);
  const map = new Uint8Array(planes[0].length);
  const best = new Float32Array(map.length).fill(alike ? 0.5 : 0);
  for (const [k, plane] of logits.entries()) {
    for (let i = 0; i < map.length; i++) {
      if (plane[i] > best[i]) {
        best[i] = plane[i];
        map[i] = k + 1;
      }
    }
  }
  return map;
}

/** Outputs from the likeliest to the least likely, a plane for each rank. @param {Float32Array[]} planes */
export function ranked(planes) {
  const order = planes.map(() => new Uint8Array(planes[0].length));
  for (let i = 0; i < planes[0].length; i++) {
    for (let k = 0; k < planes.length; k++) {
      const p = planes[k][i];
      let rank = k; // those before it that are as likely stay before it
      for (; rank > 0 && planes[order[rank - 1][i]][i] < p; rank--) order[rank][i] = order[rank - 1][i];
      order[rank][i] = k;
    }
  }
  return order;
}

/** @param {Float32Array[]} planes */
function largest(planes) {
  const map = new Uint8Array(planes[0].length);
  const best = planes[0].slice();
  for (let k = 1; k < planes.length; k++) raise(map, best, planes[k], k);
  return map;
}

/** @param {Uint8Array} map @param {Float32Array} best @param {Float32Array} plane @param {number} k */
function raise(map, best, plane, k) {
  for (let i = 0; i < map.length; i++) {
    if (plane[i] > best[i]) {
      best[i] = plane[i];
      map[i] = k;
    }
  }
}

/** How many pixels each label has. valid: 1, or 0 where there is nothing. @param {Uint8Array} map @param {number} labels @param {Uint8Array | null} [valid] */
export function counted(map, labels, valid = null) {
  const counts = new Uint32Array(labels);
  if (valid) for (let i = 0; i < map.length; i++) counts[map[i]] += valid[i];
  else for (let i = 0; i < map.length; i++) counts[map[i]] += 1;
  return [...counts];
}
