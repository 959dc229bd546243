// What is under the pointer: class, probabilities, value and place; without a pointer, what the view shows.

import { fill, make } from "./element.js";

/** @typedef {import("./facts.js").Info} Info */
/** @typedef {import("./facts.js").Pointed} Pointed */
/** @typedef {import("./facts.js").Task} Task */
/** @typedef {import("./unpack.js").Packed} Packed */
/** @typedef {import("./words.js").Words} Words */
/** @typedef {(x: number, y: number) => Promise<{values: number[], place: unknown}>} Values */

/** Milliseconds that the pointer rests before stored values are asked for. */
const RESTS = 120;

export class Readout {
  /** @param {Words} words @param {Task} task @param {Values | null} values */
  constructor(words, task, values) {
    this.words = words;
    this.task = task;
    this.values = values;
    this.says = make("p", { class: "caption" });
    this.pointed = make("p", { class: "pointed", hidden: true });
    this.element = make("div", { class: "readout" }, this.says, this.pointed);
    /** @type {{info: Info, packed: Packed, index: number} | null} */
    this.shown = null;
    /** @type {number | undefined} */
    this.asking = undefined;
    this.last = "";
  }

  /** @param {string} text */
  caption(text) {
    this.says.textContent = text;
  }

  /** @param {Info} info @param {Packed} packed @param {number} index */
  show(info, packed, index) {
    this.shown = { info, packed, index };
    this.point(null);
  }

  /** @param {Pointed | null} pointed */
  point(pointed) {
    window.clearTimeout(this.asking);
    this.pointed.hidden = !pointed || !this.shown;
    this.says.hidden = !this.pointed.hidden;
    if (!pointed || !this.shown) return;
    const value = pointed.hounsfield ?? null;
    this.say(pointed, value === null ? null : [value]);
    if (value !== null || !this.values) return;
    this.last = `${pointed.x} ${pointed.y}`;
    const asked = this.last;
    this.asking = window.setTimeout(async () => {
      const found = await this.values?.(pointed.x, pointed.y).catch(() => null); // a pointer that rests asks again
      if (found && asked === this.last && !this.pointed.hidden) this.say(pointed, found.values);
    }, RESTS);
  }

  /** @param {Pointed} pointed @param {number[] | null} values */
  say(pointed, values) {
    const { words, task } = this;
    const first = task.labels.length - task.outputs.length;
    const swatch = make("span", { class: "swatch", "aria-hidden": "true" });
    swatch.style.background = task.palette[pointed.label];
    const likely = pointed.probabilities
      .map((value, k) => ({ value, name: words.name(task.labels[k + first]) }))
      .sort((a, b) => b.value - a.value);
    fill(
      this.pointed,
      make("span", { class: "pointed-label" }, swatch, words.name(task.labels[pointed.label])),
      make("span", {}, likely.map(({ name, value }) => `${name} ${words.probability(value)}`).join("  ")),
      values && make("span", {}, this.value(values)),
      make("span", {}, this.place(pointed.x, pointed.y)),
    );
  }

  /** @param {number[]} values */
  value(values) {
    const said = values.map((value) => this.words.number(value, 3)).join(" ");
    return this.shown?.info.hounsfield ? `${said} HU` : this.words.say("value", { value: said });
  }

  /** In millimetres of the patient, in coordinates of the ground, or in pixels. @param {number} x @param {number} y */
  place(x, y) {
    const { info, index } = /** @type {NonNullable<typeof this.shown>} */ (this.shown);
    const pixel = this.words.say("pixel", { x, y });
    if (info.affine) {
      const at = info.affine.slice(0, 3).map((row) => row[0] * index + row[1] * y + row[2] * x + row[3]);
      return `${pixel} · ${sides(at)}`;
    }
    const transform = info.ground?.transform;
    if (!transform) return pixel;
    const [a, b, c, d, e, f] = transform;
    const [column, row] = [x + 0.5, y + 0.5];
    const degrees = Math.abs(a) < 0.01;
    const at = [a * column + b * row + c, d * column + e * row + f].map((one) => one.toFixed(degrees ? 6 : 1));
    return `${pixel} · ${crsName(info.ground?.crs ?? "")} ${at.join(", ")}`;
  }
}

/** Millimetres to the right, front and head (RAS) as radiologists write them: R 12.5, A 30, S 104 mm. @param {number[]} at */
function sides(at) {
  const names = ["RL", "AP", "SI"];
  return `${at.map((one, i) => `${names[i][one >= 0 ? 0 : 1]} ${Math.abs(one).toFixed(1)}`).join(", ")} mm`;
}

/** What a coordinate system is called: by its authority, as EPSG:32632, else by its name. @param {string} crs as WKT, or short already */
export function crsName(crs) {
  const [, authority, code] = /(?:AUTHORITY|ID)\["(\w+)",\s*"?(\w+)"?\]\]$/.exec(crs.trim()) ?? [];
  return authority ? `${authority}:${code}` : (/^\w+\["([^"]+)"/.exec(crs)?.[1] ?? crs);
}
