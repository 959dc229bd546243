// The buttons of what can be done with a result, and with the model at hand: download, code, the card.

import { openAbout } from "./about.js";
import { openCode } from "./code.js";
import { openDownloads } from "./downloads.js";
import { button, fill } from "./element.js";
import { errorText } from "./notes.js";
import { decidedByThreshold } from "./shares.js";

/** @typedef {import("./controls.js").Controls} Controls */
/** @typedef {import("./facts.js").Limits} Limits */
/** @typedef {import("./facts.js").Model} Model */
/** @typedef {import("./frame.js").Frame} Frame */
/** @typedef {import("./result.js").Result} Result */
/** @typedef {import("./words.js").Words} Words */

const DIALOG = { "aria-haspopup": "dialog" };

/**
 * @param {Frame} frame
 * @param {Words} words
 * @param {Model} model
 * @param {Limits} limits
 * @param {{result: Result, controls: Controls} | null} shown
 */
export function buildActs(frame, words, model, limits, shown) {
  const about = () => openAbout(frame.root, words, model, limits);
  fill(
    frame.acts,
    shown && button(words.say("download"), () => download(frame.root, words, shown.result, shown.controls), DIALOG),
    shown && button(words.say("code"), () => code(frame.root, words, model, shown.result, shown.controls), DIALOG),
    button(words.say("aboutShort"), about, { ...DIALOG, title: words.say("about") }),
  );
}

/** @param {Element} within @param {Words} words @param {Result} result @param {Controls} controls */
function download(within, words, result, controls) {
  const { thresholds, view, opacity, outline, visible, window } = controls.drawn;
  /** @type {Record<string, string | number>} */
  const how = { thresholds: thresholds.join(), view, slice: result.index, opacity, outline: Number(outline) };
  const hidden = visible.flatMap((shown, label) => (shown ? [] : [label]));
  if (hidden.length) how.hidden = hidden.join();
  if (window) how.window = `${window[0] - window[1] / 2},${window[0] + window[1] / 2}`;
  const get = (/** @type {string} */ kind) => result.file(kind, how);
  openDownloads(within, words, result.info, get, (error) => errorText(error, words));
}

/** @param {Element} within @param {Words} words @param {Model} model @param {Result} result @param {Controls} controls */
function code(within, words, { source, commit }, { info, wanted }, controls) {
  const thresholds = decidedByThreshold(controls.model.task) ? controls.drawn.thresholds : null;
  openCode(within, words, { info, source, commit, thresholds, reading: wanted });
}
