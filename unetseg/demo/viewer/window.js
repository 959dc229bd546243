// The window of a CT: presets as viewers offer them, or level and width of one's own.

import { Choice } from "./choice.js";
import { make } from "./element.js";

/** @typedef {import("./words.js").Words} Words */
/** @typedef {[number, number] | null} Window level and width in Hounsfield units; null: as the model was given it */

/** The keys are names of sentences. @type {Record<string, [number, number]>} */
export const PRESETS = {
  windowSoft: [40, 400],
  windowLiver: [60, 160],
  windowLung: [-600, 1500],
  windowBone: [400, 1800],
};

export class WindowChoice {
  /** @param {Words} words @param {Window} window @param {(window: Window) => void} change */
  constructor(words, window, change) {
    this.change = change;
    this.chosen = nameOf(window);
    const [level, width] = window ?? PRESETS.windowSoft;
    const own = () => this.takeOwn();
    this.level = make("input", { type: "number", value: level, step: 10, oninput: own });
    this.width = make("input", { type: "number", value: width, step: 10, min: 1, oninput: own });
    this.choice = new Choice(
      words.say("window"),
      ["windowModel", ...Object.keys(PRESETS), "windowOwn"].map((name) => ({ value: name, text: words.say(name) })),
      this.chosen,
      (name) => this.take(name),
      { visibleLabel: true, class: "small-choice wrap" },
    );
    this.own = make(
      "div",
      { class: "own-window", hidden: this.chosen !== "windowOwn" },
      make("label", {}, words.say("level"), this.level),
      make("label", {}, words.say("width"), this.width),
      make("span", { class: "small" }, "HU"),
    );
    this.element = make("div", { class: "window-row" }, this.choice.element, this.own);
  }

  /** @param {string} name */
  take(name) {
    this.chosen = name;
    this.own.hidden = name !== "windowOwn";
    const preset = PRESETS[name];
    if (name === "windowOwn") {
      this.takeOwn();
    } else if (preset) {
      this.level.value = String(preset[0]);
      this.width.value = String(preset[1]);
      this.change(preset);
    } else {
      this.change(null);
    }
  }

  takeOwn() {
    const [level, width] = [this.level.valueAsNumber, this.width.valueAsNumber];
    if (Number.isFinite(level) && width >= 1) this.change([level, width]); // else it is being typed
  }
}

/** @param {Window} window */
function nameOf(window) {
  if (window === null) return "windowModel";
  const same = (/** @type {[number, number]} */ preset) => preset[0] === window[0] && preset[1] === window[1];
  return Object.keys(PRESETS).find((name) => same(PRESETS[name])) ?? "windowOwn";
}
