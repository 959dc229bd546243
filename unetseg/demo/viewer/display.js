// How a view is drawn: scale and colour bar, opacity and outline, the uncertain band, the window of a CT.

import { Choice } from "./choice.js";
import { fill, make, unique } from "./element.js";
import { WindowChoice } from "./window.js";

/** @typedef {import("./facts.js").Drawn} Drawn */
/** @typedef {import("./words.js").Words} Words */

/** How far from the threshold counts as uncertain, until it is chosen. */
const BAND = 0.1;

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
      make(
        "div",
        { class: "bar-box" },
        this.bar,
        make("div", { class: "bar-ends", "aria-hidden": "true" }, this.barLow, this.barHigh),
      ),
      this.scale.element,
    );
    this.opacity = range(words.say("opacity"), 0, 1, 0.05, (opacity) => change({ opacity }));
    this.outline = box(words.say("outline"), (outline) => change({ outline }));
    this.overlayRow = make("div", { class: "overlay-row" }, this.opacity.element, this.outline.element);
    const stripes = make("span", { class: "swatch stripes", "aria-hidden": "true" });
    this.band = box(words.say("band"), (on) => change({ band: on ? BAND : 0 }), stripes);
    this.bandWidth = range(words.say("bandWidth", { value: "" }).trim(), 0.01, 0.5, 0.01, (band) => change({ band }));
    this.bandRow = make("div", { class: "band-row" }, this.band.element, this.bandWidth.element);
    this.window = new WindowChoice(words, drawn.window, (window) => change({ window }));
    this.element = make(
      "section",
      { class: "display", "aria-label": words.say("display") },
      this.scaleRow,
      this.overlayRow,
      this.bandRow,
      this.window.element,
    );
  }

  /** @param {Drawn} drawn @param {{scale: boolean, overlay: boolean, band: boolean, window: boolean}} applies @param {string} top of the scale */
  update(drawn, applies, top) {
    const { words } = this;
    this.scaleRow.hidden = !applies.scale;
    this.overlayRow.hidden = !applies.overlay;
    this.bandRow.hidden = !applies.band;
    this.window.element.hidden = !applies.window;
    this.element.hidden = !Object.values(applies).some(Boolean);
    this.bar.style.background = this.gradient(drawn.scale, drawn.view);
    const low = drawn.view === "entropy" ? words.say("certain") : "0";
    this.bar.setAttribute("aria-label", words.say("colourBar", { low, high: top }));
    fill(this.barLow, low);
    fill(this.barHigh, top);
    this.scale.value = drawn.scale;
    this.opacity.set(drawn.opacity, `${words.number(drawn.opacity * 100)}%`);
    this.outline.input.checked = drawn.outline;
    this.band.input.checked = drawn.band > 0;
    this.bandWidth.element.hidden = drawn.band === 0;
    if (drawn.band > 0)
      this.bandWidth.set(drawn.band, words.say("bandShort", { value: words.probability(drawn.band) }));
  }
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

/** @param {string} text @param {(on: boolean) => void} change @param {HTMLElement} [swatch] */
function box(text, change, swatch) {
  const input = make("input", { type: "checkbox", onchange: () => change(input.checked) });
  return { element: make("label", { class: "box" }, input, swatch, text), input };
}
