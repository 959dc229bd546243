// One of a few, as radio buttons: the arrows move between them.

import { make, unique } from "./element.js";

/**
 * @template T
 * @typedef {{value: T, text: string, title?: string}} Option
 */

/** @template T */
export class Choice {
  /**
   * @param {string} label
   * @param {Option<T>[]} options
   * @param {T} value
   * @param {(value: T) => void} choose
   * @param {{visibleLabel?: boolean, class?: string}} [how]
   */
  constructor(label, options, value, choose, how = {}) {
    const name = unique("choice");
    this.options = options;
    this.inputs = options.map((option) =>
      make("input", {
        type: "radio",
        name,
        checked: option.value === value,
        onchange: () => choose(option.value),
      }),
    );
    const labels = options.map((option, i) =>
      make("label", { title: option.title }, this.inputs[i], make("span", {}, option.text)),
    );
    const title = how.visibleLabel ? make("span", { class: "choice-label", id: unique("label") }, label) : null;
    this.element = make(
      "div",
      {
        class: `choice ${how.class ?? ""}`.trim(),
        role: "radiogroup",
        "aria-label": title ? null : label,
        "aria-labelledby": title?.id,
      },
      title,
      make("div", { class: "choice-options" }, ...labels),
    );
  }

  /** @param {T} value */
  set value(value) {
    this.options.forEach((option, i) => {
      this.inputs[i].checked = option.value === value;
    });
  }

  /** @param {T} value @param {boolean} shown */
  show(value, shown) {
    const i = this.options.findIndex((option) => option.value === value);
    if (i >= 0) this.inputs[i].parentElement?.toggleAttribute("hidden", !shown);
  }
}
