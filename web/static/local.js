// What the page asks, answered in the browser: by a worker, in which the model runs. No picture leaves it.

import { Refused } from "../../unetseg/demo/viewer/backend.js";
import { Profile } from "../../unetseg/demo/viewer/slices.js";
import { taskOf } from "./config.js";

/** @typedef {import("../../unetseg/demo/viewer/backend.js").Backend} Backend */
/** @typedef {import("../../unetseg/demo/viewer/backend.js").Event} Event */
/** @typedef {import("../../unetseg/demo/viewer/backend.js").Region} Region */
/** @typedef {import("../../unetseg/demo/viewer/backend.js").Wanted} Wanted */
/** @typedef {import("../../unetseg/demo/viewer/facts.js").Model} Model */
/** @typedef {import("./config.js").Config} Config */

/**
 * What lies beside the page: the model and what is said of it.
 * @typedef {Pick<Model, "title" | "curve" | "scores" | "licence" | "medical" | "card" | "source" | "commit"> & {
 *   config: Config, example: string | null, files: Record<string, import("./fetching.js").Pinned>}} Beside
 */

/** A file that a browser can hold. */
const MOST_BYTES = 2e9;

/** @implements {Backend} */
export class Local {
  constructor() {
    this.worker = new Worker(new URL("worker.js", location.href), { type: "module" });
    /** @type {Map<number, {done: (answer: any) => void, failed: (error: Error) => void, event?: (event: any) => void}>} */
    this.asked = new Map();
    this.last = 0;
    /** What was sent, by the key of its result. @type {Map<string, File[]>} */
    this.sent = new Map();
    /** @type {Backend["first"]} */
    this.first = null; // no example is solved before somebody comes
    this.worker.onmessage = ({ data }) => this.hear(data);
    this.worker.onerror = () => this.broken("the page's worker could not be started; load the page again");
    /** @type {Beside | null} */
    this.beside = null;
  }

  async models() {
    const [beside, built] = await Promise.all([json("model.json"), json("files.json")]);
    this.beside = beside;
    const model = modelOf(beside);
    void this.ask("start", [{ ...beside, name: model.name }, built]).catch(() => undefined);
    return { models: [model], limits: { bytes: MOST_BYTES, expires_s: null, per_hour_bytes: null } };
  }

  /** @param {string} key @param {(profile: Profile) => void} told */
  profile(key, told) {
    return this.ask("profile", [key], (/** @type {any} */ { kind, shape, values }) =>
      told(new Profile(kind, shape, values)),
    );
  }

  /** @param {string} key @param {number} index */
  slice(key, index) {
    return this.ask("slice", [key, index]);
  }

  /** @param {string} key @param {number} index */
  entropy(key, index) {
    return this.ask("entropy", [key, index]);
  }

  /** @param {string} key @param {number} index @param {Region} where */
  tile(key, index, where) {
    return this.ask("tile", [key, index, where]);
  }

  /** @param {string} key @param {number} index @param {number} x @param {number} y */
  values(key, index, x, y) {
    return this.ask("values", [key, index, x, y]);
  }

  /** @param {string} key @param {number} index @param {number[]} thresholds */
  counts(key, index, thresholds) {
    return this.ask("counts", [key, index, thresholds]);
  }

  /** Calibrated probabilities of a slice (K,H,W), at full size. @param {string} key @param {number} index @returns {Promise<Float32Array>} */
  probabilities(key, index) {
    return this.ask("probabilities", [key, index]);
  }

  /** @param {string} key @param {string} kind @param {Record<string, string | number>} how */
  file(key, kind, how) {
    return this.ask("file", [key, kind, how]);
  }

  /** @param {Wanted} wanted @param {{event: (event: Event) => void}} told */
  run(wanted, { event }) {
    this.last += 1;
    const key = `run-${this.last}`;
    const run = async () => {
      const files = wanted.files ?? this.sent.get(wanted.again ?? "") ?? [await this.example()];
      this.sent.set(key, files);
      for (const oldest of [...this.sent.keys()].slice(0, -2)) this.sent.delete(oldest);
      const said = { ...wanted, files: undefined, synthetic: wanted.example !== undefined };
      await this.ask("run", [key, files, said], event);
    };
    const ended = run().catch((error) => {
      if (!(error instanceof Refused)) throw error;
      event({ state: "error", error: error.message, key: this.sent.has(key) ? key : undefined });
    });
    return { ended, cancel: () => void this.ask("cancel", [key]) };
  }

  /** The picture that lies beside the page. */
  async example() {
    const name = /** @type {string} */ (this.beside?.example);
    const answer = await fetch(new URL(name, location.href)).catch(() => null);
    if (!answer?.ok) throw new Refused(`${name} can't be fetched; open a picture of your own`);
    return new File([await answer.blob()], name);
  }

  /** @param {string} act @param {unknown[]} args @param {(event: any) => void} [event] @returns {Promise<any>} */
  ask(act, args, event) {
    this.last += 1;
    const id = this.last;
    return new Promise((done, failed) => {
      this.asked.set(id, { done, failed, event });
      this.worker.postMessage({ id, act, args });
    });
  }

  /** @param {{id: number, event?: Event, answer?: unknown, refused?: string, gone?: boolean, cancelled?: boolean}} said */
  hear({ id, event, answer, refused, gone = false, cancelled }) {
    const asked = this.asked.get(id);
    if (event) {
      asked?.event?.(event);
      return;
    }
    this.asked.delete(id);
    if (refused !== undefined) asked?.failed(new Refused(refused, { gone }));
    else if (!cancelled) asked?.done(answer); // of what was cancelled nobody waits for the end
  }

  /** @param {string} sentence */
  broken(sentence) {
    for (const { failed } of this.asked.values()) failed(new Refused(sentence));
    this.asked.clear();
  }
}

/** @param {string} name */
async function json(name) {
  const answer = await fetch(new URL(name, location.href), { cache: "no-cache" }).catch(() => null);
  if (!answer?.ok) throw new Refused(`${name} is not beside this page, or the network is down; load the page again`);
  return answer.json();
}

/** @param {Beside} beside @returns {Model} */
function modelOf({ config, title, curve, scores, licence, medical, card, source, commit, example }) {
  const { labels, outputs } = taskOf(config);
  const colour = config.channels.length > 1;
  return {
    name: source.split("/").at(-1)?.split("@")[0] ?? title,
    title,
    kind: config.window ? "ct" : colour ? "aerial" : "other",
    task: config.task,
    outputs,
    labels,
    palette: config.palette,
    background: config.background,
    thresholds: config.thresholds,
    curve,
    scores,
    licence,
    medical,
    card,
    source,
    commit,
    gate: false,
    examples: example ? [{ name: example, thumbnail: example }] : [],
  };
}
