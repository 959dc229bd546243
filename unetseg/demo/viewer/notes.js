// What is said of a result beside it; and what stands in its place: a question, or what went wrong.

import { Refused } from "./backend.js";
import { button, make } from "./element.js";
import { asSentence, blackNote, gateNotes, note, readerNotes } from "./explain.js";

/** @typedef {import("./controls.js").Controls} Controls */
/** @typedef {import("./explain.js").Acts} Acts */
/** @typedef {import("./facts.js").Info} Info */
/** @typedef {import("./result.js").Result} Result */
/** @typedef {import("./words.js").Words} Words */

/**
 * @param {Words} words
 * @param {Result} result
 * @param {Controls} controls
 * @param {Acts} acts
 * @param {(() => void) | null} again what makes a result that is gone anew
 */
export function resultNotes(words, result, controls, acts, again) {
  const { info } = result;
  const parts = [
    make("h2", { class: "result-name", title: info.name }, info.name),
    make("p", { class: "strong" }, controls.headline()),
    volumesLine(info, words, controls),
    factsLine(info, words),
  ];
  if (result.isGone) {
    const act = again && button(words.say("runAgain"), again, { class: "primary" });
    parts.push(make("div", { role: "alert" }, note("problem", words.say(again ? "gone" : "goneNew"), act)));
  }
  if (controls.nothing()) {
    const best = controls.slices?.most ?? -1;
    const most = best >= 0 && best !== result.index ? best : null;
    const isOwn = controls.drawn.thresholds.every((one, k) => one === controls.model.thresholds[k]);
    parts.push(blackNote(info, words, { task: controls.model.task, most, isOwn }, acts));
  }
  return [...parts.filter((part) => part !== null), ...gateNotes(info, words, acts), ...readerNotes(info)];
}

/** How much of each class all slices have, about: at the size that the network saw. @param {Info} info @param {Words} words @param {Controls} controls */
function volumesLine({ shape, unit }, words, { slices, drawn }) {
  const voxel = unit?.volume_mm3;
  if (!slices?.profile || !voxel) return null;
  const amounts = slices.classes(drawn.thresholds).map(({ name, shares }) => {
    const pixels = shares.reduce((sum, share) => sum + share, 0) * shape[1] * shape[2];
    const share = words.say("about_", { share: words.volume(pixels * voxel) });
    return words.say("shareOf", { name: words.name(name), share });
  });
  return make("p", { class: "small" }, words.say("inAll", { amounts: words.list(amounts) }));
}

/** What the page knows of the picture, and how long it took. @param {Info} info @param {Words} words */
function factsLine(info, words) {
  const [, height, width] = info.shape;
  const metres = info.ground?.metres;
  const facts = [
    info.synthetic && words.say("syntheticResult"),
    metres && words.say("metresPixel", { metres: words.about(metres) }),
    Math.max(height, width) > Math.max(...info.shown) &&
      words.say("shownReduced", { shown: info.shown.join(" × "), full: `${height} × ${width}` }),
    info.agreement !== null && words.say("agreementIs", { agreement: words.percent(info.agreement) }),
    words.say("tookSeconds", { model: info.model, seconds: words.number(info.seconds, info.seconds < 1 ? 2 : 1) }),
    info.ran && ranText(info.ran, words),
  ];
  return make("p", { class: "small" }, facts.filter(Boolean).join(" · "));
}

/** What of the browser computed it. @param {NonNullable<Info["ran"]>} ran @param {Words} words */
function ranText({ kind, threads }, words) {
  if (kind === "webgpu") return words.say("ranWebgpu");
  return threads > 1 ? words.say("ranThreads", { threads }) : words.say("ranThread");
}

/** While a run goes on. @param {Words} words @param {string | undefined} name of its picture */
export function runningNotes(words, name) {
  return [
    name && make("h2", { class: "result-name", title: name }, name),
    make("p", { class: "strong" }, words.say("onItsWay")),
  ];
}

/** A sentence of the server. @param {Words} words @param {string} sentence @param {...(HTMLElement | null)} acts */
export function failedNote(words, sentence, ...acts) {
  const said = make("span", { lang: "en" }, asSentence(sentence));
  return note("problem", make("span", {}, `${words.say("failed")}: `, said), ...acts);
}

/** Which of several series it is. @param {Words} words @param {{uid: string, what: string}[]} series @param {(uid: string) => void} choose */
export function seriesNote(words, series, choose) {
  const rows = series.map(({ uid, what }) => button(what, () => choose(uid), { class: "wide", lang: "en" }));
  return note("info", words.say("severalSeries", { count: series.length }), ...rows);
}

/** An error in words, where the server says none. @param {unknown} error @param {Words} words */
export function errorText(error, words) {
  if (error instanceof Refused && error.gone) return words.say("goneNew");
  if (error instanceof Refused && error.reached) return asSentence(error.message);
  return words.say(error instanceof Refused ? "unreachable" : "brokenOff");
}
