// What to know of a result, in sentences with buttons: why nothing is found, what the gate says, what readers say.

import { button, make } from "./element.js";

/** @typedef {import("./facts.js").Info} Info */
/** @typedef {import("./facts.js").Nothing} Nothing */
/** @typedef {import("./facts.js").Proposal} Proposal */
/** @typedef {import("./facts.js").Task} Task */
/** @typedef {import("./words.js").Words} Words */

/**
 * What the buttons do. show: move a class's threshold. go: to a slice. accept: run again with or without the
 * proposal. reading: open the form of what the file doesn't say.
 * @typedef {object} Acts
 * @property {(output: string, value: number) => void} show
 * @property {() => void} reset
 * @property {(index: number) => void} go
 * @property {(accept: boolean) => void} accept
 * @property {() => void} reading
 */

/** A change as the gate proposes it, in words: "turned upside down and inverted". @param {Proposal} change @param {Words} words */
export function changeText(change, words) {
  const parts = [];
  if (change.view) parts.push(words.say(`change${change.view}`));
  if (change.inverted) parts.push(words.say("inverted"));
  if (change.window) {
    const [low, high] = change.window.map((value) => `${words.number(value * 100)}%`);
    parts.push(words.say("contrast", { low, high }));
  }
  if (change.zoom !== 1) {
    parts.push(words.say(change.zoom > 1 ? "enlarged" : "reduced", { zoom: Number(change.zoom.toPrecision(2)) }));
  }
  return parts.join(words.say("and"));
}

/** What the gate says of a picture, as elements. @param {Info} info @param {Words} words @param {Acts} acts */
export function gateNotes({ gate }, words, acts) {
  if (!gate) return [];
  const found = [];
  if (gate.accepted) {
    const text = words.say("wasChanged", { change: changeText(gate.accepted, words) });
    found.push(
      note(
        "info",
        text,
        button(words.say("undo"), () => acts.accept(false)),
      ),
    );
  }
  const { proposal } = gate;
  if (!gate.foreign && !proposal) return found;
  const change = proposal ? changeText(proposal, words) : "";
  const numbers =
    gate.foreign && gate.distance !== null && gate.limit !== null
      ? words.say("foreignBy", { distance: words.number(gate.distance, 1), limit: words.number(gate.limit, 1) })
      : null;
  const text = gate.foreign
    ? words.after(words.say("foreign"), numbers, proposal && words.say("wouldBeNearer", { change }))
    : words.say("proposed", { change });
  const act = proposal
    ? button(capital(words.say("accept", { change })), () => acts.accept(true), { class: "primary" })
    : null;
  found.push(note("warning", text, act));
  return found;
}

/**
 * Why it is black. most: the slice with most of the classes, if another shows some.
 * @param {Info} info
 * @param {Words} words
 * @param {{task: Task, most: number | null, isOwn: boolean}} now
 * @param {Acts} acts
 */
export function blackNote(info, words, { task, most, isOwn }, acts) {
  const isSlice = info.shape[0] > 1;
  const body = [make("p", {}, words.say(isSlice && most !== null ? "nothingHere" : "nothingFound"))];
  const acting = [];
  if (most !== null)
    acting.push(button(words.say("goToMost", { number: most + 1 }), () => acts.go(most), { class: "primary" }));
  const why = info.nothing;
  for (const { output, highest, shows } of why && most === null ? why.highest : []) {
    const name = words.name(output);
    // the step of the slider below it, which shows no less
    const step = shows === null ? null : Math.max(1, Math.floor(shows * 100)) / 100;
    const said = words.say("highest", { name, value: words.probability(highest) });
    body.push(
      make("p", {}, words.after(said, step !== null && words.say("wouldShow", { value: words.probability(step) }))),
    );
    if (step !== null && !task.exclusive) {
      const text = words.say("setThreshold", { name, value: words.probability(step) });
      acting.push(button(text, () => acts.show(output, step), { class: acting.length ? "" : "primary" }));
    }
  }
  if (!isOwn) acting.unshift(button(words.say("resetThresholds"), acts.reset));
  if (why?.here && why.there) {
    const [here, there] = [why.here, why.there].map((values) =>
      words.list(values.map((value) => words.probability(Math.round(value * 100) / 100))),
    );
    body.push(make("p", {}, words.say("tones", { here, there })));
    acting.push(button(words.say("sayReading"), acts.reading));
  }
  return make(
    "div",
    { class: "note warning black" },
    make("h3", {}, words.say("whyBlack")),
    ...body,
    make("div", { class: "acts" }, ...acting),
  );
}

/** What readers of the file say: in English as they say it. @param {Info} info */
export function readerNotes(info) {
  if (!info.notices.length) return [];
  const sentences = info.notices.map((notice) => make("p", { lang: "en" }, asSentence(notice)));
  return [make("div", { class: "note info" }, ...sentences)];
}

/**
 * @param {"info" | "warning" | "problem"} kind
 * @param {string | HTMLElement} text
 * @param {...(HTMLElement | null)} acts
 */
export function note(kind, text, ...acts) {
  const held = acts.filter((act) => act !== null);
  return make(
    "div",
    { class: `note ${kind}` },
    make("p", {}, text),
    held.length ? make("div", { class: "acts" }, ...held) : null,
  );
}

/** What Python says: a capital, unless a file's name comes first, and a full stop. @param {string} text */
export function asSentence(text) {
  const begun = /^[a-z]+[ ,]/.test(text) ? capital(text) : text;
  return /[.?!]$/.test(begun) ? begun : `${begun}.`;
}

/** @param {string} text */
function capital(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
