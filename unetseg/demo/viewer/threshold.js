// The threshold: a slider with the validated value marked, and what the validation says of the value it stands at.

import { button, fill, make, unique } from "./element.js";
import { STEPS } from "./shares.js";

/** @typedef {import("./facts.js").Point} Point */
/** @typedef {import("./facts.js").Task} Task */
/** @typedef {import("./words.js").Words} Words */

export class Threshold {
  /**
   * @param {Words} words
   * @param {Task} task
   * @param {number[]} own the validated ones
   * @param {Record<string, Point[]>} curve
   * @param {{move: (k: number, value: number) => void, choose: (k: number) => void, reset: () => void}} act
   */
  constructor(words, task, own, curve, act) {
    this.words = words;
    this.task = task;
    this.own = own;
    this.curve = curve;
    this.active = 0;
    const id = unique("threshold");
    this.slider = make("input", {
      type: "range",
      id,
      min: 0,
      max: 1,
      step: 1 / STEPS,
      oninput: () => act.move(this.active, Math.round(Number(this.slider.value) * STEPS) / STEPS),
    });
    this.output = make("output", { class: "value", for: id });
    this.mark = make("span", { class: "mark", "aria-hidden": "true" });
    this.markText = make("span", { class: "mark-text" });
    this.reset = button(words.say("reset"), act.reset, { class: "quiet" });
    this.scores = make("div", { class: "curve" });
    const several = task.outputs.length > 1;
    this.label = make("label", { for: id }, words.say(several ? "thresholdOf" : "threshold"));
    this.chosen = several
      ? make(
          "select",
          {
            "aria-label": words.say("thresholdOf"),
            onchange: () => act.choose(this.chosen?.selectedIndex ?? 0),
          },
          ...task.outputs.map((name) => make("option", {}, words.name(name))),
        )
      : null;
    this.element = make(
      "section",
      { class: "threshold", "aria-label": words.say("threshold") },
      make("div", { class: "threshold-head" }, this.label, this.chosen, this.output, this.reset),
      make("div", { class: "track" }, this.mark, this.slider, this.markText),
      this.scores,
    );
  }

  /** @param {number[]} thresholds @param {number} active the output whose threshold the slider moves */
  update(thresholds, active) {
    const { words, task } = this;
    this.active = active;
    const value = thresholds[active];
    const own = this.own[active];
    const name = words.name(task.outputs[active]);
    this.slider.value = String(value);
    this.slider.setAttribute("aria-valuetext", words.probability(value));
    this.slider.setAttribute("aria-label", words.say("thresholdFor", { name }));
    if (this.chosen) this.chosen.selectedIndex = active;
    this.output.textContent = words.probability(value);
    this.mark.style.setProperty("--at", String(own));
    this.markText.style.setProperty("--at", String(own));
    this.markText.textContent =
      value === own ? words.say("atValidated") : words.say("validated", { value: words.probability(own) });
    this.element.classList.toggle("is-own", value === own);
    this.reset.disabled = thresholds.every((one, k) => one === this.own[k]);
    fill(this.scores, ...this.said(task.outputs[active], value));
  }

  /** @param {string} output @param {number} value */
  said(output, value) {
    const { words } = this;
    const point = nearest(this.curve[output], value);
    if (!point) return [make("p", { class: "small" }, words.say("noCurve"))];
    /** @type {[string, number | null, string][]} */
    const scores = [
      ["precision", point.precision, "precisionMeans"],
      ["recall", point.recall, "recallMeans"],
      ["dice", point.dice, "diceMeans"],
    ];
    return [
      make(
        "dl",
        {},
        ...scores.map(([name, score, means]) =>
          make(
            "div",
            { title: words.say(means) },
            make("dt", {}, words.say(name)),
            make("dd", {}, score === null ? "–" : words.probability(Math.round(score * 100) / 100)),
          ),
        ),
      ),
      make("p", { class: "small" }, words.say("onValidation")),
    ];
  }
}

/**
 * What the curve says nearest to a threshold.
 * @param {Point[] | undefined} curve
 * @param {number} value
 */
export function nearest(curve, value) {
  if (!curve?.length) return null;
  return curve.reduce((best, point) =>
    Math.abs(point.threshold - value) < Math.abs(best.threshold - value) ? point : best,
  );
}
