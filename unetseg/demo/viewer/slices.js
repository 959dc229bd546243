// The slices of a volume: a slider along the profile of the classes, and play.

import { button, fill, make, unique } from "./element.js";
import { firstLabel, STEPS, stepOf } from "./shares.js";

/** @typedef {import("./facts.js").Task} Task */
/** @typedef {import("./words.js").Words} Words */

const SVG = "http://www.w3.org/2000/svg";
/** Milliseconds that a slice stays at least while playing. */
const EVERY = 110;

/**
 * Shares of each slice. claims: of each output those that reach each step and, last, its own threshold; labels: of
 * each label, where no threshold decides.
 */
export class Profile {
  /** @param {"claims" | "labels"} kind @param {number[]} shape @param {Uint16Array} values 65535 is all of a slice */
  constructor(kind, shape, values) {
    this.kind = kind;
    this.depth = shape[0];
    this.each = shape[1];
    this.steps = shape[2] ?? 1;
    this.values = values;
  }

  /**
   * Shares of a class in each slice at a threshold. k: an output of claims, a label of labels.
   * @param {number} k
   * @param {number} [threshold]
   */
  of(k, threshold = 0) {
    const step = this.kind === "claims" ? stepOf(threshold) : 0;
    const from = (/** @type {number} */ slice) => (slice * this.each + k) * this.steps + Math.min(step, STEPS + 1);
    return Float64Array.from({ length: this.depth }, (_, slice) => this.values[from(slice)] / 65535);
  }
}

export class Slices {
  /** @param {Words} words @param {Task} task @param {Profile | null} profile @param {number} count @param {(index: number) => Promise<boolean>} go whether the slice came */
  constructor(words, task, profile, count, go) {
    this.words = words;
    this.task = task;
    this.profile = profile;
    this.count = count;
    this.go = go;
    this.index = 0;
    this.most = -1;
    /** @type {object | null} of the playing that goes on */
    this.turn = null;
    const id = unique("slice");
    this.slider = make("input", {
      type: "range",
      id,
      min: 1,
      max: count,
      step: 1,
      oninput: () => {
        this.stop();
        go(Number(this.slider.value) - 1);
      },
    });
    this.drawing = document.createElementNS(SVG, "svg");
    this.drawing.setAttribute("viewBox", `0 0 ${Math.max(1, count - 1)} 40`);
    this.drawing.setAttribute("preserveAspectRatio", "none");
    this.drawing.setAttribute("role", "img");
    this.number = make("output", { class: "value", for: id });
    this.player = button(words.say("play"), () => (this.turn ? this.stop() : this.play()), { class: "play" });
    this.element = make(
      "section",
      { class: "slices", "aria-label": words.say("slice") },
      this.player,
      make("div", { class: "profile" }, this.drawing, this.slider),
      make("div", { class: "slice-number" }, make("label", { for: id }, words.say("slice")), this.number),
    );
  }

  /** @param {number} index */
  at(index) {
    this.index = index;
    this.slider.value = String(index + 1);
    const said = this.words.say("sliceOf", { number: index + 1, count: this.count });
    this.slider.setAttribute("aria-valuetext", said);
    this.number.textContent = `${index + 1} / ${this.count}`;
  }

  /**
   * Each class with its share of every slice, at the size that the network saw.
   * @param {number[]} thresholds
   */
  classes(thresholds) {
    const { profile, task } = this;
    if (!profile) return [];
    const first = firstLabel(task);
    const skip = task.background === null ? 0 : 1;
    return profile.kind === "claims"
      ? task.outputs.map((name, k) => ({ name, color: task.palette[k + first], shares: profile.of(k, thresholds[k]) }))
      : task.labels.map((name, label) => ({ name, color: task.palette[label], shares: profile.of(label) })).slice(skip);
  }

  /** Draw the profile at these thresholds. @param {number[]} thresholds */
  update(thresholds) {
    if (!this.profile) return;
    const { profile, task, words } = this;
    const classes = this.classes(thresholds);
    const top = Math.max(...classes.map((one) => Math.max(...one.shares)));
    const sums = Array.from({ length: profile.depth }, (_, i) => classes.reduce((sum, one) => sum + one.shares[i], 0));
    this.most = top > 0 ? sums.indexOf(Math.max(...sums)) : -1;
    const name = words.name(task.outputs[0]);
    const facts = { name, top: words.percent(top), most: this.most + 1 };
    const said = top === 0 ? "profileNone" : task.outputs.length === 1 ? "profile" : "profileAll";
    this.drawing.setAttribute("aria-label", words.say(said, facts));
    fill(this.drawing, ...(top > 0 ? classes.map((one) => curve(one.shares, top, one.color)) : []));
  }

  async play() {
    const turn = {};
    this.turn = turn;
    this.player.textContent = this.words.say("pause");
    while (this.turn === turn && this.element.isConnected) {
      const [went] = await Promise.all([this.go((this.index + 1) % this.count), pause(EVERY)]);
      if (!went) this.stop();
    }
  }

  stop() {
    this.turn = null;
    this.player.textContent = this.words.say("play");
  }
}

/** @param {number} milliseconds */
function pause(milliseconds) {
  return new Promise((done) => setTimeout(done, milliseconds));
}

/** @param {Float64Array} shares @param {number} top @param {string} color */
function curve(shares, top, color) {
  const polygon = document.createElementNS(SVG, "polygon");
  const points = Array.from(shares, (share, i) => `${i},${(40 - (38 * share) / top).toFixed(2)}`);
  polygon.setAttribute("points", `0,40 ${points.join(" ")} ${shares.length - 1},40`);
  polygon.setAttribute("fill", color);
  polygon.setAttribute("stroke", color);
  return polygon;
}
