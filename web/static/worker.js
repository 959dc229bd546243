// The worker: it reads pictures, runs the network and answers what the page asks of its results.

import { opaque } from "../../unetseg/demo/viewer/scale.js";
import { STEPS } from "../../unetseg/demo/viewer/shares.js";
import { strideOf, taskOf } from "./config.js";
import { description, Several, Unreadable } from "./image.js";
import { drawn, entropy, packed, shares, shownShape, tile } from "./packing.js";
import { doubts, ranges, scaled } from "./prepare.js";
import { read } from "./read/reading.js";
import { opened } from "./runtime.js";
import { counted, decide, planesOf } from "./task.js";
import { tiled } from "./tiling.js";
import { written } from "./writing.js";

/** @typedef {import("./config.js").Config} Config */
/** @typedef {import("./image.js").Image} Image */
/** @typedef {import("./packing.js").Found} Found */
/** @typedef {import("./prepare.js").Ranges} Ranges */
/** @typedef {import("./runtime.js").Network} Network */
/** @typedef {import("./runtime.js").Ran} Ran */
/** @typedef {{name: string, config: Config, source: string, commit: string | null, files: Record<string, import("./fetching.js").Pinned>}} Model */
/** @typedef {{image: Image, between: Ranges, slices: Map<number, Promise<Found>>, first: number}} Result */
/** @typedef {{id: number, act: string, args: any[]}} Asked */

/** Bytes of slices that stay, of one result; results that stay. */
const KEPT = 256e6;
const MOST_RESULTS = 2;
/** Milliseconds between two tellings of a profile. */
const OFTEN = 500;
/** So finely a threshold is told that would show something. */
const BINS = 2000;

/** @type {{model: Model, built: Record<string, import("./fetching.js").Pinned>} | null} */
let given = null;
/** @type {Promise<{network: Network, ran: Ran}> | null} */
let runtime = null;
/** @type {((done: number, bytes: number) => void)[]} */
let waiting = [];
/** @type {Map<string, Result>} */
const results = new Map();
/** Runs that were cancelled. @type {Set<string>} */
const cancelled = new Set();
/** The network does one thing at a time. */
let turn = Promise.resolve();

class Cancelled extends Error {}
class Gone extends Error {}

/** @param {(done: number, bytes: number) => void} told */
function network(told) {
  const { model, built } = /** @type {NonNullable<typeof given>} */ (given);
  waiting.push(told);
  runtime ??= opened(model, built, (done, bytes) => {
    for (const tell of waiting) tell(done, bytes);
  }).catch((error) => {
    runtime = null; // the next run tries again
    throw error;
  });
  return runtime.finally(() => {
    waiting = waiting.filter((tell) => tell !== told);
  });
}

const acts = {
  /** @param {Model} model @param {Record<string, import("./fetching.js").Pinned>} built */
  async start(model, built) {
    given = { model, built };
    network(() => undefined).catch(() => undefined); // a run tells it
  },

  /** @param {string} key */
  async cancel(key) {
    cancelled.add(key);
  },

  /** Segment files; what happens is told. @param {string} key @param {File[]} files @param {any} said @param {(event: any, transfer?: Transferable[]) => void} tell */
  async run(key, files, said, tell) {
    const { model } = /** @type {NonNullable<typeof given>} */ (given);
    const { config } = model;
    tell({ state: "reading" });
    const image = await read(files, said);
    const between = ranges(image, config);
    const first = Math.floor(image.depth / 2);
    const start = performance.now();
    const result = { image, between, slices: new Map(), first };
    const x = scaled(image, first, between, config);
    const bitmap = await previewed(image, config, x);
    tell({ state: "read", picture: bitmap, height: image.height, width: image.width, description: "" }, [bitmap]);
    const { ran } = await network((done, bytes) => tell({ state: "fetching", done: done / bytes, bytes }));
    tell({ state: "running", done: 0 });
    const network_start = performance.now();
    const isLost = () => cancelled.has(key);
    const found = await segmented(result, first, x, isLost, (done) => tell({ state: "running", done }));
    result.slices.set(first, Promise.resolve(found));
    results.set(key, result);
    for (const oldest of [...results.keys()].slice(0, -MOST_RESULTS)) results.delete(oldest);
    const seconds = (performance.now() - Math.max(start, network_start)) / 1000;
    tell({
      state: "done",
      result: info(key, result, found, { first, seconds, ran, synthetic: said.synthetic === true }),
    });
  },

  /** What each slice shows, told now and then: those beside the first are the likeliest to be looked at. @param {string} key @param {(event: any) => void} tell */
  async profile(key, tell) {
    const { image, first } = kept(key);
    const { config } = /** @type {NonNullable<typeof given>} */ (given).model;
    const { exclusive, background, labels, outputs } = taskOf(config);
    const byLabel = exclusive || background === null;
    const shape = byLabel ? [image.depth, labels.length] : [image.depth, outputs.length, STEPS + 2];
    const each = shape.slice(1).reduce((a, b) => a * b);
    const values = new Uint16Array(image.depth * each);
    const order = Array.from({ length: image.depth }, (_, i) => i).sort(
      (a, b) => Math.abs(a - first) - Math.abs(b - first),
    );
    let last = performance.now();
    for (const index of order) {
      values.set(shares(await slice(key, index)), index * each);
      const now = performance.now();
      if (now - last < OFTEN && index !== order[order.length - 1]) continue;
      tell({ kind: byLabel ? "labels" : "claims", shape, values });
      last = now;
    }
  },

  /** @param {string} key @param {number} index */
  async slice(key, index) {
    return packed(await slice(key, index));
  },

  /** @param {string} key @param {number} index */
  async entropy(key, index) {
    return entropy(await slice(key, index));
  },

  /** @param {string} key @param {number} index @param {import("../../unetseg/demo/viewer/backend.js").Region} where */
  async tile(key, index, where) {
    return tile(await slice(key, index), where);
  },

  /** @param {string} key @param {number} index @param {number} x @param {number} y */
  async values(key, index, x, y) {
    const { image } = kept(key);
    const start = (y * image.width + x) * image.channels;
    return { values: [...image.at(index).subarray(start, start + image.channels)], place: null };
  },

  /** @param {string} key @param {number} index @param {number[]} thresholds */
  async counts(key, index, thresholds) {
    const { config, image, probabilities } = await slice(key, index);
    const { outputs, labels } = taskOf(config);
    const map = decide(planesOf(probabilities, outputs.length), config, thresholds);
    return counted(map, labels.length, image.valid?.(index) ?? null);
  },

  /** @param {string} key @param {number} index */
  async probabilities(key, index) {
    return (await slice(key, index)).probabilities;
  },

  /** @param {string} key @param {string} kind @param {Record<string, string | number>} how */
  async file(key, kind, how) {
    const blob = await written(await slice(key, Number(how.slice ?? 0)), kind, how);
    return { blob, name: names(kept(key).image)[/** @type {keyof ReturnType<typeof names>} */ (kind)] };
  },
};

/** @param {string} key */
function kept(key) {
  const result = results.get(key);
  if (!result) throw new Gone();
  return result;
}

/** A slice of a result, segmented when it is first asked for. @param {string} key @param {number} index */
function slice(key, index) {
  const result = kept(key);
  const { slices, image } = result;
  const before = slices.get(index);
  if (before) {
    slices.delete(index);
    slices.set(index, before);
    return before;
  }
  const { config } = /** @type {NonNullable<typeof given>} */ (given).model;
  const isLost = () => !results.has(key);
  const found = segmented(result, index, scaled(image, index, result.between, config), isLost, () => undefined);
  slices.set(index, found);
  found.catch(() => slices.delete(index));
  const each = 4 * image.height * image.width * (taskOf(config).outputs.length + config.channels.length);
  for (const oldest of [...slices.keys()].slice(0, -Math.max(1, Math.floor(KEPT / each)))) slices.delete(oldest);
  return found;
}

/**
 * @param {Result} result
 * @param {number} index
 * @param {Float32Array} x
 * @param {() => boolean} isLost
 * @param {(done: number) => void} told
 * @returns {Promise<Found>}
 */
async function segmented({ image, between }, index, x, isLost, told) {
  const { config } = /** @type {NonNullable<typeof given>} */ (given).model;
  const { outputs, exclusive } = taskOf(config);
  const { network: run } = await network(() => undefined);
  const mine = turn.then(async () => {
    if (isLost()) throw new Cancelled();
    const how = { outputs: outputs.length, exclusive, grid: 2 * strideOf(config), whole: config.working_size !== null };
    return tiled(run, x, [config.channels.length, image.height, image.width], how, async (done) => {
      if (isLost()) throw new Cancelled();
      told(done);
      await new Promise((next) => setTimeout(next)); // what the page asks meanwhile is heard
    });
  });
  turn = mine.then(
    () => undefined,
    () => undefined,
  );
  return { image, config, index, between, probabilities: await mine, picture: x };
}

/** @param {Image} image @param {Config} config @param {Float32Array} x */
function previewed(image, config, x) {
  const planes = drawn({ image, config, picture: x });
  const [red, green, blue] = planes.length === 3 ? planes : [planes[0], planes[0], planes[0]];
  const rgba = new Uint32Array(red.length);
  for (let i = 0; i < red.length; i++) rgba[i] = opaque(red[i], green[i], blue[i]);
  const pixels = new ImageData(new Uint8ClampedArray(rgba.buffer), image.width, image.height);
  const [h, w] = shownShape(image.height, image.width);
  return createImageBitmap(pixels, { resizeWidth: w, resizeHeight: h, resizeQuality: "high" });
}

/**
 * The facts of a result; see `unetseg/demo/result.py`.
 * @param {string} key
 * @param {Result} result
 * @param {Found} found
 * @param {{first: number, seconds: number, ran: Ran, synthetic: boolean}} how
 */
function info(key, { image, between }, found, { first, seconds, ran, synthetic }) {
  const { config, name, source, commit } = /** @type {NonNullable<typeof given>} */ (given).model;
  const { depth, height, width } = image;
  return {
    key,
    model: name,
    name: image.name,
    synthetic,
    description: description(image),
    shape: [depth, height, width],
    shown: shownShape(height, width),
    first,
    hounsfield: Boolean(image.hounsfield),
    window: image.hounsfield && between ? between[0] : null,
    seconds,
    source,
    commit,
    ran,
    notices: [...(image.notices ?? []), ...doubts(image, config)],
    gate: null,
    nothing: nothing(found),
    agreement: null,
    ground: null,
    spacing: image.spacing ?? null,
    affine: image.affine ?? null,
    unit: unitOf(image),
    profile: null,
    thresholds: config.thresholds,
    downloads: Object.entries(names(image)).map(([kind, file]) => ({ kind, name: file, family: "PNG" })),
  };
}

/** What each download is called. @param {Image} image */
function names({ name, depth }) {
  const stem = name.replace(/(\.nii)?\.[^.]+$/, "").replaceAll(/[/\\:*?"<>|]/g, "_"); // no system has these in a name
  const many = depth > 1 ? "_slice" : "";
  return {
    labels_png: `${stem}${many}_labels.png`,
    colours_png: `${stem}${many}_colours.png`,
    overlay_png: `${stem}${many}_overlay.png`,
  };
}

/** @param {Image} image */
function unitOf({ spacing }) {
  if (!spacing) return null;
  const [between, down, across] = spacing;
  return { volume_mm3: between * down * across, area_mm2: down * across };
}

/** Why nothing may be found: the highest probability of each class, and the threshold that shows a thousandth. @param {Found} found */
function nothing({ config, probabilities }) {
  const { outputs, exclusive } = taskOf(config);
  const planes = planesOf(probabilities, outputs.length);
  const first = outputs.length - config.classes.length;
  if (config.background === null) return { found: true, highest: [], here: null, there: null };
  const highest = config.classes.map((output, k) => {
    const plane = planes[k + first];
    const bins = new Uint32Array(BINS + 1);
    let top = 0;
    for (let i = 0; i < plane.length; i++) {
      if (plane[i] > top) top = plane[i];
      bins[Math.floor(plane[i] * BINS)] += 1;
    }
    let bin = BINS;
    for (let more = bins[bin]; more < plane.length / 1000; more += bins[bin]) bin -= 1;
    return { output, highest: top, shows: bin / BINS >= 0.005 && !exclusive ? bin / BINS : null };
  });
  const isFound = decide(planes, config, config.thresholds).some((label) => label > 0);
  return { found: isFound, highest, here: null, there: null };
}

self.onmessage = async (/** @type {MessageEvent<Asked>} */ { data: { id, act, args } }) => {
  const post = /** @type {(message: unknown, transfer?: Transferable[]) => void} */ (self.postMessage.bind(self));
  const tell = (/** @type {unknown} */ event, /** @type {Transferable[]} */ transfer = []) =>
    post({ id, event }, transfer);
  try {
    const answer = await /** @type {Record<string, (...args: any[]) => Promise<unknown>>} */ (acts)[act](...args, tell);
    post({ id, answer });
  } catch (error) {
    if (error instanceof Cancelled) post({ id, cancelled: true });
    else if (error instanceof Several) post({ id, event: { state: "series", series: error.series, key: args[0] } });
    else if (error instanceof Gone) post({ id, refused: "", gone: true });
    else if (error instanceof Unreadable) post({ id, refused: error.message });
    else post({ id, refused: troubled(error) });
  }
};

/** @param {unknown} error */
function troubled(error) {
  const said = error instanceof Error ? error.message : String(error);
  if (/memory|allocation|bad_alloc|RangeError/i.test(said) || error instanceof RangeError) {
    return "the browser has not enough memory for this picture; reduce it, close other tabs, or segment it in Python";
  }
  return `it could not be segmented here (${said.split("\n")[0].slice(0, 200)}); try again, or another picture`;
}
