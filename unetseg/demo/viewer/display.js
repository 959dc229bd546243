// How a view is drawn: scale and colour bar, opacity and outline, the uncertain band, the window of a CT.

import { Choice } from "./choice.js";
import { fill, make, unique } from "./element.js";

/** @typedef {import("./facts.js").Drawn} Drawn */
/** @typedef {import("./words.js").Words} Words */

/** Level and width in Hounsfield units, as viewers offer them; the keys are names of sentences. */
export const WINDOWS = /** @type {const} */ ({
  windowSoft: [40, 400],
  windowLiver: [60, 160],
  windowLung: [-600, 1500],
  windowBone: [400, 1800],
});
export const BAND = 0.1;

export class Display {
  /**
   * @param {Words} words
   * @param {Drawn} drawn as it is at first
   * @param {(changed: Partial<Drawn>) => void} change
   * @param {(scale: Drawn["scale"], view: Drawn["view"]) => string} gradient a colour bar as CSS
   */
  constructor(words, drawn, change, gradient) {
    this.words = words;
    this.gradient = gradient;
    this.bar = make("div", { class: "colour-bar", role: "img" });
    this.barLow = make("span");
    this.barHigh = make("span");
    this.scale = new Choice(
      words.say("scale"),
      [
        { value: /** @type {Drawn["scale"]} */ ("perceptual"), text: words.say("perceptual") },
        { value: /** @type {Drawn["scale"]} */ ("grey"), text: words.say("grey") },
      ],
      drawn.scale,
      (scale) => change({ scale }),
      { class: "small-choice" },
    );
    this.scaleRow = make(
      "div",
      { class: "scale-row" },
      make("div", { class: "bar-box" }, this.bar, make("div", { class: "bar-ends", "aria-hidden": "true" }, this.barLow, this.barHigh)),
      this.scale.element,
    );
    this.opacity = range(words.say("opacity"), 0, 1, 0.05, (opacity) => change({ opacity }));
    this.outline = box(words.say("outline"), (outline) => change({ outline }));
    this.overlayRow = make("div", { class: "overlay-row" }, this.opacity.element, this.outline.element);
    this.band = box(words.say("band"), (on) => change({ band: on ? BAND : 0 }));
    this.bandWidth = range(words.say("bandWidth", { value: "" }).trim(), 0.01, 0.5, 0.01, (band) => change({ band }));
    this.bandRow = make("div", { class: "band-row" }, this.band.element, this.bandWidth.element);
    this.makeWindow(drawn, change);
    this.element = make(
      "section",
      { class: "display", "aria-label": words.say("display") },
      this.scaleRow,
      this.overlayRow,
      this.bandRow,
      this.windowRow,
    );
  }

  /** @param {Drawn} drawn @param {(changed: Partial<Drawn>) => void} change */
  makeWindow(drawn, change) {
    const { words } = this;
    const [level, width] = drawn.window ?? WINDOWS.windowSoft;
    const own = () => {
      const [l, w] = [this.level.valueAsNumber, this.width.valueAsNumber];
      if (Number.isFinite(l) && w >= 1) change({ window: [l, w] });
    };
    this.level = make("input", { type: "number", value: level, step: 10, "aria-label": `${words.say("level")} (HU)`, oninput: own });
    this.width = make("input", { type: "number", value: width, step: 10, min: 1, "aria-label": `${words.say("width")} (HU)`, oninput: own });
    const names = /** @type {(keyof typeof WINDOWS)[]} */ (Object.keys(WINDOWS));
    this.window = new Choice(
      words.say("window"),
      ["windowModel", ...names, "windowOwn"].map((name) => ({ value: name, text: words.say(name) })),
      windowName(drawn.window),
      (name) => {
        this.windowChosen = name;
        this.ownWindow.hidden = name !== "windowOwn";
        if (name === "windowModel") change({ window: null });
        else if (name === "windowOwn") own();
        else {
          const [l, w] = WINDOWS[/** @type {keyof typeof WINDOWS} */ (name)];
          this.level.value = String(l);
          this.width.value = String(w);
          change({ window: [l, w] });
        }
      },
      { visibleLabel: true, class: "small-choice wrap" },
    );
    this.windowChosen = windowName(drawn.window);
    this.ownWindow = make(
      "div",
      { class: "own-window" },
      make("label", {}, words.say("level"), this.level),
      make("label", {}, words.say("width"), this.width),
      make("span", { class: "small" }, "HU"),
    );
    this.windowRow = make("div", { class: "window-row" }, this.window.element, this.ownWindow);
  }

  /** @param {Drawn} drawn @param {{scale: boolean, overlay: boolean, band: boolean, window: boolean}} applies @param {string} top of the scale */
  update(drawn, applies, top) {
    const { words } = this;
    this.scaleRow.hidden = !applies.scale;
    this.overlayRow.hidden = !applies.overlay;
    this.bandRow.hidden = !applies.band;
    this.windowRow.hidden = !applies.window;
    this.element.hidden = !Object.values(applies).some(Boolean);
    this.bar.style.background = this.gradient(drawn.scale, drawn.view);
    const low = drawn.view === "entropy" ? words.say("certain") : "0";
    this.bar.setAttribute("aria-label", words.say("colourBar", { low, high: top }));
    fill(this.barLow, low);
    fill(this.barHigh, top);
    this.scale.value = drawn.scale;
    this.opacity.set(drawn.opacity, words.number(drawn.opacity * 100) + " %");
    this.outline.input.checked = drawn.outline;
    this.band.input.checked = drawn.band > 0;
    this.bandWidth.element.hidden = drawn.band === 0;
    if (drawn.band > 0) this.bandWidth.set(drawn.band, words.say("bandShort", { value: words.probability(drawn.band) }));
    if (windowName(drawn.window) !== "windowOwn" && this.windowChosen !== "windowOwn") {
      this.windowChosen = windowName(drawn.window);
      this.window.value = this.windowChosen;
    }
    this.ownWindow.hidden = this.windowChosen !== "windowOwn";
  }
}

/** The name of a window's preset. @param {[number, number] | null} window @returns {string} */
function windowName(window) {
  if (window === null) return "windowModel";
  const found = Object.entries(WINDOWS).find(([, [level, width]]) => level === window[0] && width === window[1]);
  return found ? found[0] : "windowOwn";
}

/**
 * A slider with its label and its value.
 * @param {string} text
 * @param {number} min
 * @param {number} max
 * @param {number} step
 * @param {(value: number) => void} change
 */
function range(text, min, max, step, change) {
  const id = unique("range");
  const input = make("input", { type: "range", id, min, max, step, oninput: () => change(Number(input.value)) });
  const output = make("output", { class: "value", for: id });
  return {
    element: make("div", { class: "range" }, make("label", { for: id }, text), input, output),
    /** @param {number} value @param {string} said */
    set(value, said) {
      input.value = String(value);
      input.setAttribute("aria-valuetext", said);
      output.textContent = said;
    },
  };
}

/** @param {string} text @param {(on: boolean) => void} change */
function box(text, change) {
  const input = make("input", { type: "checkbox", onchange: () => change(input.checked) });
  return { element: make("label", { class: "box" }, input, text), input };
}
