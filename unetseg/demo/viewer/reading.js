// How a file was read; and what it does not say: value range, bands, Hounsfield units. It is read again so.

import { fill, make, unique } from "./element.js";

/** @typedef {import("./words.js").Words} Words */

export class Reading {
  /** @param {(reading: {value_range: string, bands: string, hounsfield: boolean}) => void} read */
  constructor(read) {
    this.range = make("input", { type: "text", id: unique("range"), autocomplete: "off" });
    this.bands = make("input", { type: "text", id: unique("bands"), autocomplete: "off" });
    this.hounsfield = make("input", { type: "checkbox" });
    this.element = make("details", { class: "reading" });
    this.read = make("p", { class: "small", lang: "en" });
    this.submit = (/** @type {Event} */ event) => {
      event.preventDefault();
      read({
        value_range: this.range.value.trim(),
        bands: this.bands.value.trim(),
        hounsfield: this.hounsfield.checked,
      });
    };
  }

  /** @param {Words} words */
  build(words) {
    const ask = (/** @type {HTMLInputElement} */ input, /** @type {string} */ name) => {
      const hint = make("span", { class: "small", id: unique("hint") }, words.say(`${name}Hint`));
      input.setAttribute("aria-describedby", hint.id);
      return make("div", { class: "field" }, make("label", { for: input.id }, words.say(name)), input, hint);
    };
    fill(
      this.element,
      make("summary", {}, words.say("howRead")),
      this.read,
      make("p", { class: "small" }, words.say("readWrongly")),
      make(
        "form",
        { onsubmit: this.submit },
        ask(this.range, "valueRange"),
        ask(this.bands, "bands"),
        make("label", { class: "box" }, this.hounsfield, words.say("hounsfield")),
        make("button", { type: "submit" }, words.say("readSo")), // so that Enter reads, too
      ),
    );
    return this.element;
  }

  /** What the reader says of a file that could be read. @param {string} description */
  tell(description) {
    this.read.textContent = description;
    this.element.open = false;
  }

  /** Open the form, and go there. */
  show() {
    this.element.open = true;
    this.element.scrollIntoView({ block: "nearest" });
    this.range.focus();
  }

  /** What was said of one file holds for it alone. */
  clear() {
    this.range.value = "";
    this.bands.value = "";
    this.hounsfield.checked = false;
    this.tell("");
  }
}
