// The controls of a result: they set what the viewer draws, and say what is seen. They know no server.

import { Choice } from "./choice.js";
import { Display } from "./display.js";
import { barGradient, labels } from "./draw.js";
import { fill, make } from "./element.js";
import { amount, Legend, shareText } from "./legend.js";
import { PictureLabel, pictureText } from "./picture.js";
import { Readout } from "./readout.js";
import { decidedByThreshold, rows, STEPS } from "./shares.js";
import { Slices } from "./slices.js";
import { Threshold } from "./threshold.js";

/** @typedef {import("./facts.js").Drawn} Drawn */
/** @typedef {import("./facts.js").Info} Info */
/** @typedef {import("./facts.js").Point} Point */
/** @typedef {import("./facts.js").Pointed} Pointed */
/** @typedef {import("./facts.js").Task} Task */
/** @typedef {import("./facts.js").View} View */
/** @typedef {import("./slices.js").Profile} Profile */
/** @typedef {import("./unpack.js").Packed} Packed */
/** @typedef {import("./viewer.js").Viewer} Viewer */
/** @typedef {import("./words.js").Words} Words */

/** @type {View[]} */
export const VIEWS = ["overlay", "probability", "thresholded", "argmax", "entropy", "picture"];
/** Of more labels than this those that are not found are not listed. */
const MANY = 8;
/** Milliseconds after the last move of a slider, after which it counts as made. */
const SETTLED = 350;

/**
 * What the controls ask of whoever computes. slice: to show another, true once it is there. counts: pixels of each
 * label of the slice at full size at these thresholds. values: stored numbers and place of a pixel. entropy: of the
 * slice, as the viewer takes it. changed: something that was drawn is otherwise now. settled: a move has ended.
 * @typedef {object} Asked
 * @property {(index: number) => Promise<boolean>} slice
 * @property {(thresholds: number[]) => Promise<number[]>} [counts]
 * @property {(x: number, y: number) => Promise<{values: number[], place: unknown}>} [values]
 * @property {() => void} entropy
 * @property {() => void} changed
 * @property {() => void} settled
 */

/** @param {Task} task @param {number[]} thresholds @returns {Drawn} */
export function atFirst(task, thresholds) {
  return {
    view: "overlay",
    channel: task.outputs.length === 1 ? 0 : null,
    thresholds: [...thresholds],
    scale: "perceptual",
    opacity: 0.45,
    outline: false,
    visible: task.labels.map(() => true),
    band: 0,
    window: null,
    compare: "off",
  };
}

/**
 * Which controls do something in a view; the others are not there.
 * @param {Task} task
 * @param {Drawn} drawn
 * @param {boolean} windowed whether the picture can be drawn in another window
 */
export function applying(task, drawn, windowed) {
  const { view, channel, compare } = drawn;
  const decides = view === "thresholded" || (view === "overlay" && decidedByThreshold(task));
  const band = decides || (view === "probability" && channel !== null);
  return {
    threshold: decides || (band && drawn.band > 0),
    scale: view === "probability" || view === "entropy",
    overlay: view === "overlay",
    band,
    window: windowed && (view === "overlay" || view === "picture" || compare !== "off"),
    compare: view !== "picture",
  };
}

export class Controls {
  /**
   * @param {Words} words
   * @param {Viewer} viewer
   * @param {{task: Task, thresholds: number[], curve: Record<string, Point[]>}} model
   * @param {Asked} asked
   * @param {Drawn} [drawn] as it was before
   */
  constructor(words, viewer, model, asked, drawn = atFirst(model.task, model.thresholds)) {
    this.words = words;
    this.viewer = viewer;
    this.model = model;
    this.asked = asked;
    this.drawn = drawn;
    this.active = drawn.channel ?? 0;
    /** @type {{info: Info, packed: Packed, index: number} | null} */
    this.shown = null;
    /** @type {Slices | null} */
    this.slices = null;
    /** @type {{key: string, pixels: number[]} | null} labels as they were counted at full size */
    this.counted = null;
    /** @type {number | undefined} */
    this.settling = undefined;
    this.view = new Choice(
      words.say("view"),
      VIEWS.map((view) => ({ value: view, text: words.say(view) })),
      drawn.view,
      (view) => this.change({ view }),
      { class: "views" },
    );
    this.compare = new Choice(
      words.say("compare"),
      /** @type {Drawn["compare"][]} */ (["off", "swipe", "side", "blink"]).map((value) => ({
        value,
        text: words.say(value),
      })),
      drawn.compare,
      (compare) => this.change({ compare }),
      { class: "compare", visibleLabel: true },
    );
    this.legend = new Legend(words, {
      channel: (channel) => {
        this.active = channel ?? this.active;
        this.change({ channel });
      },
      visible: (label, shown) => this.change({ visible: drawn.visible.map((old, i) => (i === label ? shown : old)) }),
      threshold: (k) => {
        this.choose(k);
        this.threshold.slider.focus();
      },
    });
    this.threshold = new Threshold(words, model.task, model.thresholds, model.curve, {
      move: (k, value) => this.moveTo(k, value),
      choose: (k) => this.choose(k),
      reset: () => this.change({ thresholds: [...model.thresholds] }),
    });
    this.picture = new PictureLabel(words, model.task);
    this.display = new Display(words, drawn, (changed) => this.change(changed), barGradient);
    this.readout = new Readout(words, model.task, asked.values ?? null);
    this.below = make("div", { class: "below" });
    this.setPlaces();
    this.viewer.set({ ...drawn, visible: this.visible() });
    this.update();
  }

  /** Where the parts are to be put. */
  setPlaces() {
    this.bar = make("div", { class: "bar" }, this.view.element, this.compare.element);
    this.line = make("div", { class: "line" }, this.readout.element);
    const parts = [this.picture, this.threshold, this.legend, this.display];
    this.panel = make("div", { class: "controls" }, ...parts.map(({ element }) => element));
  }

  /**
   * Show a slice of a result.
   * @param {Info} info
   * @param {Packed} packed
   * @param {number} index
   * @param {Profile | null} profile
   */
  show(info, packed, index, profile) {
    const other = this.shown?.info.key !== info.key;
    this.shown = { info, packed, index };
    if (other) {
      this.slices?.stop();
      const [count] = info.shape;
      this.slices = count > 1 ? new Slices(this.words, this.model.task, profile, count, this.asked.slice) : null;
      fill(this.below, this.slices?.element);
    }
    this.slices?.at(index);
    this.readout.show(info, packed, index);
    this.picture.show(info.picture);
    this.viewer.show(packed, { keepZoom: !other });
    if (this.drawn.view === "entropy") this.asked.entropy();
    this.update();
    this.settle();
  }

  /** More is known of the slices. @param {Profile | null} profile */
  fill(profile) {
    if (!this.slices) return;
    this.slices.profile = profile;
    this.slices.update(this.drawn.thresholds);
    this.asked.changed();
  }

  /** @param {Partial<Drawn>} changed */
  change(changed) {
    Object.assign(this.drawn, changed);
    this.viewer.set({ ...changed, visible: this.visible() });
    if (changed.view === "entropy") this.asked.entropy();
    this.update();
    this.settle();
  }

  /** Which labels are drawn: all of them, where the legend has no switches. */
  visible() {
    const hasSwitches = this.drawn.view === "overlay" || this.drawn.view === "argmax";
    return hasSwitches ? this.drawn.visible : this.drawn.visible.map(() => true);
  }

  /** @param {number} k @param {number} value */
  moveTo(k, value) {
    this.active = k;
    this.change({ thresholds: this.drawn.thresholds.map((old, i) => (i === k ? value : old)) });
  }

  /** The slider moves the threshold of this output; where one class is drawn, it is that one. @param {number} k */
  choose(k) {
    this.active = k;
    if (this.drawn.channel === null) this.update();
    else this.change({ channel: k });
  }

  /** What the pointer is over. @param {Pointed | null} pointed */
  point(pointed) {
    this.readout.point(pointed);
  }

  /** The rows of the legend as they are now. */
  rows() {
    if (!this.shown) return [];
    const { packed } = this.shown;
    return rows(packed, this.drawn.view, this.drawn.thresholds, this.found(packed));
  }

  /** Those of the legend: of many labels the ones that are found, unless the legend chooses which one is drawn. */
  listed() {
    const all = this.rows();
    const chooses = this.drawn.view === "probability" || this.drawn.view === "thresholded";
    return chooses || all.length <= MANY ? all : all.filter((row) => row.pixels > 0);
  }

  /** @param {Packed} packed */
  found(packed) {
    const { task } = this.model;
    if (packed.counts.labels || task.outputs.length === 1 || !decidedByThreshold(task)) return null;
    if (this.counted?.key === this.countsKey())
      return { pixels: this.counted.pixels, of: packed.counts.of || 1, about: false };
    const pixels = new Array(task.labels.length).fill(0);
    const map = labels(packed, this.drawn.thresholds);
    for (const label of map) pixels[label] += 1;
    return { pixels, of: map.length, about: map.length !== packed.counts.of };
  }

  countsKey() {
    return JSON.stringify([this.shown?.info.key, this.shown?.index, this.drawn.thresholds]);
  }

  update() {
    const { words, drawn, shown } = this;
    const { task } = this.model;
    this.view.value = drawn.view;
    this.compare.value = drawn.compare;
    const applies = applying(task, drawn, Boolean(shown?.packed.hounsfield));
    this.compare.element.hidden = !applies.compare;
    this.threshold.element.hidden = !applies.threshold;
    if (drawn.channel !== null) this.active = drawn.channel;
    this.threshold.update(drawn.thresholds, this.active);
    this.display.update(drawn, applies, drawn.view === "entropy" ? words.say("undecided") : "1");
    this.readout.caption(this.caption());
    this.legend.element.hidden = !shown;
    if (!shown) return;
    this.legend.update({
      rows: this.listed(),
      task,
      drawn,
      unit: shown.info.unit,
      what: this.what(),
      active: this.active,
    });
    this.slices?.update(drawn.thresholds);
    this.asked.changed();
  }

  settle() {
    window.clearTimeout(this.settling);
    this.settling = window.setTimeout(async () => {
      this.asked.settled();
      if (!this.shown || !this.asked.counts || !this.found(this.shown.packed)?.about) return;
      const key = this.countsKey();
      const pixels = await this.asked.counts(this.drawn.thresholds).catch(() => null); // then "about" stays there
      if (pixels && key === this.countsKey()) {
        this.counted = { key, pixels };
        this.update();
      }
    }, SETTLED);
  }

  /** What the view shows, in a sentence. */
  caption() {
    const { words, drawn, model } = this;
    const { task } = model;
    const { view, channel } = drawn;
    const name = words.name(task.outputs[channel ?? 0]);
    const all = channel === null;
    const says = {
      overlay: !decidedByThreshold(task)
        ? "saysOverlayArgmax"
        : task.outputs.length > 1
          ? "saysOverlayThresholds"
          : "saysOverlayThreshold",
      probability: all ? "saysProbabilityAll" : "saysProbability",
      thresholded: all ? "saysThresholdedAll" : "saysThresholded",
      argmax: task.background !== null && !task.exclusive ? "saysArgmaxBackground" : "saysArgmax",
      entropy: "saysEntropy",
      picture: this.shown?.packed.hounsfield ? "saysPicture" : "saysPicturePlain",
    };
    return words.say(says[view], { name });
  }

  /** The classes that are found in the picture or slice on the screen, the largest first. */
  classes() {
    if (!this.shown) return [];
    const { packed } = this.shown;
    const { task } = this.model;
    return rows(packed, "overlay", this.drawn.thresholds, this.found(packed))
      .filter((row) => task.background === null || row.label > 0)
      .sort((a, b) => b.pixels - a.pixels);
  }

  /** What the picture shows as a whole, in words; null where the model labels pixels only. */
  pictureText() {
    const picture = this.shown?.info.picture;
    return picture ? pictureText(picture, this.model.task, this.words) : null;
  }

  /** What is found, in words: all of it. */
  sentence() {
    return this.words.after(this.pictureText(), this.sharesText());
  }

  sharesText() {
    const { words, shown } = this;
    const found = this.classes().filter((row, _, all) => row.pixels > 0 || all.length <= MANY);
    const what = this.what();
    if (!shown) return "";
    if (found.every((row) => row.pixels === 0)) return words.say("none", { what });
    const shares = found.map((row) => {
      const area = amount(row.pixels, shown.info.unit, words);
      const share = words.say("shareOf", { name: words.name(row.name), share: shareText(row, words) });
      return area ? `${share} (${area})` : share;
    });
    return words.say("announced", { shares: words.list(shares), what });
  }

  /** The same for eyes, which see the legend beside it. */
  headline() {
    const { words } = this;
    const shows = this.pictureText();
    if (shows) return shows;
    const [most, ...others] = this.classes();
    if (!most?.pixels || others.length < 2) return this.sentence();
    return words.say("mostly", { name: words.name(most.name), share: shareText(most, words), what: this.what() });
  }

  what() {
    return this.words.say(this.shown && this.shown.info.shape[0] > 1 ? "ofSlice" : "ofPicture");
  }

  /** Whether the labels on the screen hold no class. */
  nothing() {
    return (
      this.shown !== null && this.model.task.background !== null && this.classes().every((row) => row.pixels === 0)
    );
  }

  /** The slider's step that is at least so low. @param {string} output @param {number} value */
  showFrom(output, value) {
    const k = this.model.task.outputs.indexOf(output);
    if (k >= 0) this.moveTo(k, Math.max(1, Math.floor(value * STEPS)) / STEPS);
  }
}
