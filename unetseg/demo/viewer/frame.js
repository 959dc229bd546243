// The frame of the page: where its parts are, the choice of language and model, the examples. No state of a result.

import { Choice } from "./choice.js";
import { button, fill, make } from "./element.js";
import { OWN_NAMES } from "./words.js";

/** @typedef {import("./facts.js").Limits} Limits */
/** @typedef {import("./facts.js").Model} Model */
/** @typedef {import("./words.js").Language} Language */
/** @typedef {import("./viewer.js").Viewer} Viewer */
/** @typedef {import("./words.js").Words} Words */

/** More models than this are chosen from a list. */
const SIDE_BY_SIDE = 3;
const THUMBNAIL = 48;
/** What a click zooms by. */
const STEP = 1.5;

export class Frame {
  constructor() {
    this.root = make("div", { class: "unetseg" });
    this.stage = make("div", { class: "stage" });
    this.live = make("p", { class: "unseen", "aria-live": "polite" });
    this.zoom = make("div", { class: "zoom" });
    this.blank = make("p", { class: "blank", hidden: true });
    this.stage.append(this.zoom, this.blank);
    this.model = make("div", { class: "model-place" });
    this.draw = make("div", { class: "draw-place" });
    this.pad = make("div", { class: "pad-place" });
    this.bar = make("div", { class: "bar-place" });
    this.line = make("div", { class: "line-place" });
    this.below = make("div", { class: "below-place" });
    this.controls = make("div", { class: "controls-place" });
    this.notes = make("section", { class: "notes", tabindex: -1 });
    this.panel = make("section", { class: "panel" });
    this.acts = make("div", { class: "acts main-acts" });
    this.examples = make("section", { class: "examples" });
    this.foot = make("p", { class: "foot small" });
  }

  /**
   * All of it in a language; what is in its places stays.
   * @param {Words} words
   * @param {{opener: HTMLElement, reading: HTMLElement, unseen: HTMLElement[]}} parts
   * @param {(language: Language) => void} choose
   */
  build(words, { opener, reading, unseen }, choose) {
    this.root.lang = words.locale;
    this.notes.setAttribute("aria-label", words.say("notes"));
    this.panel.setAttribute("aria-label", words.say("controls"));
    fill(this.panel, this.notes, reading, this.controls, this.acts, this.examples, this.foot);
    fill(
      this.root,
      make(
        "header",
        { class: "head" },
        make("h1", {}, "unetseg"),
        this.model,
        this.draw,
        opener,
        languages(words, choose),
      ),
      make(
        "section",
        { class: "work", "aria-label": words.say("result") },
        this.bar,
        this.pad,
        this.stage,
        this.line,
        this.below,
      ),
      this.panel,
      ...unseen,
      this.live,
    );
  }

  /** Buttons for what wheel, fingers and keys do, too. @param {Words} words @param {Viewer} viewer */
  buildZoom(words, viewer) {
    const by = (/** @type {number} */ factor) => {
      const { scale, x, y } = viewer.state.zoom;
      viewer.zoomTo(scale * factor, x, y);
    };
    const act = (/** @type {string} */ sign, /** @type {string} */ name, /** @type {() => void} */ then) =>
      button(sign, then, { "aria-label": words.say(name), title: words.say(name) });
    fill(
      this.zoom,
      act("+", "zoomIn", () => by(STEP)),
      act("−", "zoomOut", () => by(1 / STEP)),
      act("⤢", "zoomFit", () => viewer.fit()),
    );
  }

  /** What stands where a picture would; null where there is one. @param {string | null} text */
  sayBlank(text) {
    this.blank.textContent = text ?? "";
    this.blank.hidden = text === null;
    this.zoom.hidden = text !== null;
  }

  /**
   * The button of the paper, where one may draw for the model at hand, and the paper while it is open.
   * @param {Words} words
   * @param {HTMLElement | null} pad
   * @param {(() => void) | null} toggle
   */
  buildDrawing(words, pad, toggle) {
    const hadFocus = this.draw.contains(document.activeElement);
    const pressed = { "aria-pressed": String(pad !== null), class: "draw" };
    fill(this.draw, toggle && button(words.say("draw"), toggle, pressed));
    if (this.pad.firstChild !== pad) fill(this.pad, pad);
    if (hadFocus) this.draw.querySelector("button")?.focus();
  }

  /** No result is there, and none of its controls. */
  withoutResult() {
    for (const place of [this.bar, this.line, this.below, this.controls]) fill(place);
  }

  /**
   * The choice of a model, and what belongs to the one that is chosen.
   * @param {Words} words
   * @param {Model[]} models
   * @param {Model} model
   * @param {Limits} limits
   * @param {{choose: (name: string) => void, example: (number: number) => void}} act
   */
  buildModel(words, models, model, limits, act) {
    fill(this.model, modelChoice(words, models, model, act.choose));
    const thumbnails = model.examples.map(({ thumbnail }, number) => {
      const alt = words.say("example", { number: number + 1 });
      const image = make("img", { src: thumbnail, alt, width: THUMBNAIL, height: THUMBNAIL });
      return make("button", { type: "button", class: "thumbnail", onclick: () => act.example(number) }, image);
    });
    const { expires_s } = limits;
    const here = expires_s === null ? "dropHintHere" : "dropHint";
    const title = make("h2", {}, words.say("examples"), make("span", { class: "small" }, ` ${words.say("generated")}`));
    const hint = make("p", { class: "small hint" }, words.say(thumbnails.length ? here : "dropHintAlone"));
    const row = make("div", { class: "examples-row" }, make("div", { class: "thumbnails" }, ...thumbnails), hint);
    fill(this.examples, ...(thumbnails.length ? [title, row] : [hint]));
    this.examples.setAttribute("aria-label", words.say(thumbnails.length ? "examples" : "open"));
    const kept = expires_s === null ? words.say("staysShort") : words.say("keptShort", { time: words.time(expires_s) });
    fill(this.foot, words.after(words.say(model.medical ? "notMedicalShort" : "noWarranty"), kept));
  }
}

/** @param {Words} words @param {Model[]} models @param {Model} model @param {(name: string) => void} choose */
function modelChoice(words, models, model, choose) {
  if (models.length === 1) return make("span", { class: "single-model" }, model.title);
  if (models.length <= SIDE_BY_SIDE) {
    const options = models.map(({ name, title }) => ({ value: name, text: title }));
    return new Choice(words.say("model"), options, model.name, choose, { class: "models" }).element;
  }
  const options = models.map(({ name, title }) =>
    make("option", { value: name, selected: name === model.name }, title),
  );
  const select = make("select", { "aria-label": words.say("model"), onchange: () => choose(select.value) }, ...options);
  return select;
}

/** @param {Words} words @param {(language: Language) => void} choose */
function languages(words, choose) {
  const names = /** @type {Language[]} */ (Object.keys(OWN_NAMES));
  const options = names.map((value) => ({ value, text: OWN_NAMES[value] }));
  const choice = new Choice(words.say("language"), options, words.language, choose, { class: "language" });
  choice.inputs.forEach((input, i) => {
    input.parentElement?.setAttribute("lang", names[i]);
  });
  return choice.element;
}
