// The exact lines that do in Python and in a shell what the page did.

import { openDialog } from "./dialog.js";
import { button, make, unique } from "./element.js";

/** @typedef {import("./facts.js").Info} Info */
/** @typedef {import("./words.js").Words} Words */
/**
 * What was said of a file that does not say it.
 * @typedef {{series?: string, value_range?: string, bands?: string, hounsfield?: boolean, accept?: boolean}} Reading
 */

/**
 * @typedef {object} Told
 * @property {Info} info
 * @property {string} source
 * @property {string | null} commit
 * @property {number[] | null} thresholds null where none decides the labels
 * @property {Reading} reading
 */

/** @param {Told} told */
export function pythonLines({ info, source, commit, thresholds, reading }) {
  const revision = commit ? `, revision=${string(commit)}` : "";
  const given = [string(info.name)];
  if (reading.accept) given.push("accept_proposals=True");
  if (reading.series) given.push(`series=${string(reading.series)}`);
  const range = (reading.value_range ?? "").split(/\s+/).filter(Boolean);
  if (range.length === 2) given.push(`value_range=(${range.join(", ")})`);
  if (reading.bands) given.push(`bands=(${reading.bands.replaceAll(/\s/g, "").replaceAll(",", ", ")},)`);
  if (reading.hounsfield) given.push("hounsfield=True");
  const limits = thresholds ? `[${thresholds.join(", ")}]` : "";
  return [
    "from unetseg import Predictor",
    "",
    `predictor = Predictor.from_pretrained(${string(source)}${revision})`,
    `segmentation = predictor(${given.join(", ")})`,
    `labels = segmentation.labels(${limits})  # (D, H, W) uint8`,
    `segmentation.save(${string(labelsName(info))}${limits && `, ${limits}`})`,
  ].join("\n");
}

/** @param {Told} told */
export function shellLines({ info, source, commit, thresholds, reading }) {
  const parts = [
    `python -m unetseg predict ${quoted(commit ? `${source}@${commit}` : source)} ${quoted(info.name)} --out results`,
  ];
  if (thresholds) parts.push(`--threshold ${thresholds.join(" ")}`);
  if (reading.accept) parts.push("--accept-proposals");
  if (reading.series) parts.push(`--series ${quoted(reading.series)}`);
  if (reading.value_range?.trim())
    parts.push(`--value-range ${reading.value_range.trim().split(/\s+/).map(quoted).join(" ")}`);
  if (reading.bands) parts.push(`--bands ${quoted(reading.bands.replaceAll(/\s/g, ""))}`);
  if (reading.hounsfield) parts.push("--hounsfield");
  return parts.join(" \\\n  ");
}

/** @param {Element} within @param {Words} words @param {Told} told */
export function openCode(within, words, told) {
  openDialog(
    within,
    words,
    words.say("codeTitle"),
    make("p", { class: "small" }, words.say("codeNote")),
    block(words.say("python"), pythonLines(told), words),
    block(words.say("shell"), shellLines(told), words),
  );
}

/** Lines with a button that copies them. @param {string} title @param {string} lines @param {Words} words */
export function block(title, lines, words) {
  const said = make("span", { class: "small", role: "status" });
  const id = unique("code");
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(lines); // there is none on a page without https
      said.replaceChildren(words.say("copied"));
    } catch {
      said.replaceChildren(words.say("copyFailed"));
    }
  };
  const act = button(words.say("copy"), () => void copy(), { "aria-describedby": id });
  return make(
    "section",
    { class: "code", "aria-labelledby": id },
    make("div", { class: "code-head" }, make("h3", { id }, title), said, act),
    make("pre", { tabindex: 0, "aria-labelledby": id }, make("code", {}, lines)),
  );
}

/** @param {Info} info */
function labelsName({ downloads }) {
  const own = downloads.find(({ kind }) => kind === "own") ?? downloads.find(({ kind }) => kind === "labels_png");
  return own?.name ?? "labels.png";
}

/** A Python string. @param {string} text */
function string(text) {
  return JSON.stringify(text);
}

/** A word of a shell. @param {string} text */
function quoted(text) {
  return /^[\w@%+=:,./-]+$/.test(text) && !text.startsWith("-") ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
