// The model at hand: what it is for, its scores, licence and card, and what becomes of the visitor's pictures.

import { openDialog } from "./dialog.js";
import { make } from "./element.js";

/** @typedef {import("./facts.js").Limits} Limits */
/** @typedef {import("./facts.js").Model} Model */
/** @typedef {import("./words.js").Words} Words */

const SPLITS = /** @type {Record<string, string>} */ ({
  val: "splitVal",
  test: "splitTest",
  synthetic: "splitSynthetic",
});
const SCORES = /** @type {const} */ ([
  ["mean_group_dice", "groupDice"],
  ["miou", "miou"],
  ["accuracy", "accuracy"],
  ["picture_accuracy", "pictureAccuracy"],
]);

/** @param {Words} words @param {Limits} limits */
function keptText(words, limits) {
  if (limits.expires_s === null) return words.say("staysHere");
  const size = words.bytes(limits.bytes);
  const upTo = limits.per_hour_bytes
    ? words.say("upToHour", { size, hour: words.bytes(limits.per_hour_bytes) })
    : words.say("upTo", { size });
  return words.after(words.say("keptFor", { time: words.time(limits.expires_s) }), upTo);
}

/** @param {Element} within @param {Words} words @param {Model} model @param {Limits} limits */
export function openAbout(within, words, model, limits) {
  const card = make("div", { class: "card", lang: "en" });
  card.innerHTML = model.card; // the server escapes what a card holds of HTML
  adapt(card);
  openDialog(
    within,
    words,
    words.say("aboutTitle", { model: model.title }),
    make("p", { class: "strong" }, words.say(model.medical ? "notMedical" : "noWarranty")),
    scores(words, model),
    make(
      "p",
      {},
      words.after(
        model.licence && `${words.say("licence", { licence: model.licence })}.`,
        model.commit && `${words.say("commit", { commit: model.commit.slice(0, 12) })}.`,
      ),
    ),
    make("p", {}, keptText(words, limits)),
    make("h3", {}, words.say("card")),
    card,
  );
}

/** @param {Words} words @param {Model} model */
function scores(words, { scores: found }) {
  if (!found.length) return null;
  const known = SCORES.filter(([name]) => name !== "picture_accuracy" || found.some((row) => row[name]));
  const head = [words.say("split"), ...known.map(([, name]) => words.say(name))];
  const rows = found.map((row) => {
    const sentence = SPLITS[row.split];
    const split = sentence ? words.say(sentence, { pictures: row.pictures ?? "?" }) : row.split;
    const cells = known.map(([name]) => {
      const value = row[name];
      return make("td", {}, typeof value === "number" ? words.score(value) : "–");
    });
    return make("tr", {}, make("th", { scope: "row" }, split), ...cells);
  });
  return make(
    "div",
    { class: "scores" },
    make("h3", {}, words.say("scores")),
    make(
      "table",
      {},
      make("thead", {}, make("tr", {}, ...head.map((text) => make("th", { scope: "col" }, text)))),
      make("tbody", {}, ...rows),
    ),
    make("p", { class: "small" }, words.say("scoresNote")),
  );
}

/** A card as part of the dialog: without its title, its corners of tables no headings, what may be too wide in reach. @param {HTMLElement} card */
function adapt(card) {
  card.querySelector("h1")?.remove();
  for (const corner of card.querySelectorAll("th:empty")) corner.replaceWith(make("td"));
  for (const wide of card.querySelectorAll("table, pre")) {
    const scroll = make("div", { class: "scroll", tabindex: 0 });
    wide.replaceWith(scroll);
    scroll.append(wide);
  }
}
