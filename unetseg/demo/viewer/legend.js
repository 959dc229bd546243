// The legend, which is the control of the classes: colour, on and off or which is drawn, threshold, share, area.

import { button, fill, hidden, make, unique } from "./element.js";
import { isEmpty } from "./shares.js";

/** @typedef {import("./facts.js").Drawn} Drawn */
/** @typedef {import("./facts.js").Task} Task */
/** @typedef {import("./facts.js").Unit} Unit */
/** @typedef {import("./shares.js").Row} Row */
/** @typedef {import("./words.js").Words} Words */

/**
 * What an area of so many pixels is called; "" where the file doesn't say what a pixel measures.
 * @param {number} pixels
 * @param {Unit | null} unit
 * @param {Words} words
 */
export function amount(pixels, unit, words) {
  if (unit?.area_m2) return words.ground(pixels * unit.area_m2);
  return unit?.area_mm2 ? words.area(pixels * unit.area_mm2) : "";
}

/** A share, "about" where it was not counted at the full size. @param {Row} row @param {Words} words */
export function shareText(row, words) {
  const share = words.percent(row.share);
  return row.about ? words.say("about_", { share }) : share;
}

export class Legend {
  /**
   * @param {Words} words
   * @param {{channel: (k: number | null) => void, visible: (label: number, shown: boolean) => void,
   *   threshold: (k: number) => void}} act
   */
  constructor(words, act) {
    this.words = words;
    this.act = act;
    this.heading = make("h2", { id: unique("legend") });
    /** @type {HTMLElement} */
    this.list = make("ul", { class: "legend-rows" });
    this.element = make("section", { class: "legend", "aria-labelledby": this.heading.id }, this.heading, this.list);
    /** @type {{made: string, shares: HTMLElement[], chips: (HTMLButtonElement | null)[]}} */
    this.last = { made: "", shares: [], chips: [] };
  }

  /**
   * Rows as they are now; what a reader holds in the hand, a focused radio or box, stays while only numbers change.
   * @param {{rows: Row[], task: Task, drawn: Drawn, unit: Unit | null, what: string, active: number}} facts
   */
  update({ rows, task, drawn, unit, what, active }) {
    const { words } = this;
    const { view } = drawn;
    const many = task.outputs.length > 1;
    const by = view === "thresholded" ? "sharesClaims" : view === "argmax" ? "sharesArgmax" : "sharesLabels";
    this.heading.textContent = words.say(by, { what });
    const kind = many && (view === "probability" || view === "thresholded") ? "radio" : switches(view);
    const limits = view === "thresholded" && many;
    const made = JSON.stringify([view, kind, rows.map((row) => [row.name, row.color]), words.language]);
    if (made !== this.last.made) this.build(rows, { kind, limits, view, made, drawn });
    rows.forEach((row, i) => {
      const area = amount(row.pixels, unit, words);
      fill(
        this.last.shares[i],
        make("span", { class: "share" }, shareText(row, words)),
        area && make("span", { class: "area" }, area),
      );
      const chip = this.last.chips[i];
      if (chip && row.output !== null) {
        const value = words.probability(drawn.thresholds[row.output]);
        chip.textContent = `≥ ${value}`;
        chip.setAttribute("aria-label", words.say("thresholdChip", { name: words.name(row.name), value }));
        chip.setAttribute("aria-pressed", String(row.output === active));
      }
    });
    this.element.classList.toggle("is-empty", isEmpty(rows, task));
  }

  /**
   * @param {Row[]} rows
   * @param {{kind: "radio" | "checkbox" | null, limits: boolean, view: string, made: string, drawn: Drawn}} how
   */
  build(rows, { kind, limits, view, made, drawn }) {
    const { words, act } = this;
    const name = unique("class");
    /** @type {HTMLElement[]} */
    const shares = [];
    /** @type {(HTMLButtonElement | null)[]} */
    const chips = [];
    const radios = kind === "radio";
    /** @param {...import("./element.js").Child} parts */
    const line = (...parts) => make(radios ? "div" : "li", { class: "legend-row" }, ...parts);
    const lines = rows.map((row) => {
      const said = words.name(row.name);
      /** @type {HTMLInputElement | null} */
      let input = null;
      if (kind === "radio" && row.output !== null) {
        const k = row.output;
        input = make("input", { type: "radio", name, onchange: () => act.channel(k), checked: drawn.channel === k });
      } else if (kind === "checkbox" && !(view === "overlay" && row.output === null)) {
        input = make("input", { type: "checkbox", checked: drawn.visible[row.label] });
        input.addEventListener("change", (event) => {
          act.visible(row.label, /** @type {HTMLInputElement} */ (event.target).checked);
        });
      }
      const swatch = make("span", { class: "swatch", "aria-hidden": "true" });
      swatch.style.background = row.color;
      const title = make(
        "span",
        { class: "name", title: said },
        kind === "checkbox" && input ? hidden(`${words.say("showLabel", { name: "" }).trim()} `) : null,
        said,
      );
      const share = make("span", { class: "shares" });
      shares.push(share);
      const output = row.output;
      const chip =
        limits && output !== null
          ? button("", () => act.threshold(output), { class: "chip", "aria-pressed": "false" })
          : null;
      chips.push(chip);
      const head = make(input ? "label" : "span", { class: "row-head" }, input, swatch, title);
      return line(head, chip, share);
    });
    if (kind === "radio") {
      const text = words.say(view === "probability" ? "likeliest" : "allClaims");
      const all = make("input", {
        type: "radio",
        name,
        onchange: () => act.channel(null),
        checked: drawn.channel === null,
      });
      lines.unshift(line(make("label", { class: "row-head" }, all, make("span", { class: "name" }, text))));
    }
    const list = radios
      ? make("div", { class: "legend-rows", role: "radiogroup", "aria-label": words.say("showClass") }, ...lines)
      : make("ul", { class: "legend-rows" }, ...lines);
    this.list.replaceWith(list);
    this.list = list;
    this.last = { made, shares, chips };
  }
}

/** @param {import("./facts.js").View} view @returns {"checkbox" | null} */
function switches(view) {
  return view === "overlay" || view === "argmax" ? "checkbox" : null;
}
