// What a picture shows as a whole: of each class how likely it is, as a bar in the class's colour.

import { fill, make, unique } from "./element.js";

/** @typedef {import("./facts.js").Task} Task */
/** @typedef {import("./words.js").Words} Words */
/** @typedef {{name: string, color: string, share: number}} Likely */

/** Of more classes than this the likeliest are shown. */
const MOST = 12;

/**
 * Each class with its probability, in the order of the model.
 * @param {Record<string, number>} picture
 * @param {Task} task
 * @returns {Likely[]}
 */
export function likely(picture, task) {
  return task.labels
    .map((name, i) => ({ name, color: task.palette[i], share: picture[name] }))
    .filter(({ share }, i) => share !== undefined && !(i === 0 && task.background !== null));
}

/** The likeliest; the first of those that are. @param {Likely[]} found */
function most(found) {
  return found.reduce((best, one) => (one.share > best.share ? one : best));
}

/**
 * In a sentence: "The picture shows 7 (99.8%)."
 * @param {Record<string, number>} picture
 * @param {Task} task
 * @param {Words} words
 */
export function pictureText(picture, task, words) {
  const { name, share } = most(likely(picture, task));
  return words.say(share < 0.5 ? "mayShow" : "shows", { name: words.name(name), share: words.percent(share) });
}

export class PictureLabel {
  /** @param {Words} words @param {Task} task */
  constructor(words, task) {
    this.words = words;
    this.task = task;
    const heading = make("h2", { id: unique("picture") }, words.say("pictureLabel"));
    this.list = make("ul", { class: "likely" });
    this.element = make(
      "section",
      { class: "picture-label", "aria-labelledby": heading.id, hidden: true },
      heading,
      this.list,
    );
  }

  /** @param {Record<string, number> | null | undefined} picture */
  show(picture) {
    this.element.hidden = !picture;
    if (!picture) return;
    const { words, task } = this;
    const all = likely(picture, task);
    const first = most(all);
    const kept = new Set([...all].sort((a, b) => b.share - a.share).slice(0, MOST));
    const rows = all.filter((one) => kept.has(one)); // in their order: while one draws, each stays in its place
    fill(
      this.list,
      ...rows.map((one) => {
        const swatch = make("span", { class: "swatch", "aria-hidden": "true" });
        swatch.style.background = one.color;
        const filled = make("span", {});
        filled.style.cssText = `width: ${one.share * 100}%; background: ${one.color}`;
        return make(
          "li",
          { class: one === first ? "is-most" : null },
          make("span", { class: "row-head" }, swatch, make("span", { class: "name" }, words.name(one.name))),
          make("span", { class: "likely-bar", "aria-hidden": "true" }, filled),
          make("span", { class: "share" }, words.percent(one.share)),
        );
      }),
    );
  }
}
