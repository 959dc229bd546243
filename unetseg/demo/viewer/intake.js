// Pictures from the visitor: chosen, dropped anywhere, a folder too, or pasted.

import { button, make } from "./element.js";

/** @typedef {import("./words.js").Words} Words */

/** A folder that is dropped may be a whole disk. */
const MOST_FILES = 5000;

export class Intake {
  /** @param {(files: File[]) => void} take */
  constructor(take) {
    this.take = take;
    this.depth = 0;
    this.veil = make("div", { class: "veil", hidden: true, "aria-hidden": "true" });
    this.input = make("input", {
      type: "file",
      multiple: true,
      class: "file-input",
      hidden: true,
      onchange: () => {
        const files = [...(this.input.files ?? [])];
        this.input.value = ""; // the same file may be chosen again
        if (files.length) take(files);
      },
    });
    this.listening = new AbortController();
    const { signal } = this.listening;
    document.addEventListener("dragenter", (event) => this.over(event, 1), { signal });
    document.addEventListener("dragleave", (event) => this.over(event, -1), { signal });
    document.addEventListener("dragover", (event) => holdsFiles(event) && event.preventDefault(), { signal });
    document.addEventListener("drop", (event) => this.drop(event), { signal });
    document.addEventListener("paste", (event) => this.paste(event), { signal });
  }

  /** Take nothing any more. */
  close() {
    this.listening.abort();
  }

  /** The button that opens a file. @param {Words} words */
  opener(words) {
    this.veil.textContent = words.say("dropHere");
    this.input.setAttribute("aria-label", words.say("open"));
    return button(words.say("open"), () => this.input.click(), { class: "primary" });
  }

  /** @param {DragEvent} event @param {number} step */
  over(event, step) {
    if (!holdsFiles(event)) return;
    event.preventDefault();
    this.depth = Math.max(0, this.depth + step);
    this.veil.hidden = this.depth === 0;
  }

  /** @param {DragEvent} event */
  async drop(event) {
    if (!event.dataTransfer || !holdsFiles(event)) return;
    event.preventDefault();
    this.depth = 0;
    this.veil.hidden = true;
    // both lists are empty once this function has waited
    const files = [...event.dataTransfer.files];
    const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry?.() ?? null);
    const all = entries.some((entry) => entry?.isDirectory) ? await within(entries) : files;
    if (all.length) this.take(all);
  }

  /** @param {ClipboardEvent} event */
  paste(event) {
    const files = [...(event.clipboardData?.files ?? [])];
    if (!files.length) return;
    event.preventDefault();
    this.take(files);
  }
}

/** @param {DragEvent} event */
function holdsFiles(event) {
  return event.dataTransfer?.types.includes("Files") ?? false;
}

/** All files of dropped entries, however deep. @param {(FileSystemEntry | null)[]} entries */
async function within(entries) {
  /** @type {File[]} */
  const files = [];
  const rest = entries.filter((entry) => entry !== null);
  while (rest.length && files.length < MOST_FILES) {
    const entry = /** @type {FileSystemEntry} */ (rest.shift());
    if (entry.name.startsWith(".")) continue; // what systems leave behind
    if (entry.isDirectory) {
      const reader = /** @type {FileSystemDirectoryEntry} */ (entry).createReader();
      for (let some = await next(reader); some.length; some = await next(reader)) rest.push(...some);
    } else {
      const one = /** @type {FileSystemFileEntry} */ (entry);
      files.push(await new Promise((done, failed) => one.file(done, failed)));
    }
  }
  return files;
}

/** @param {FileSystemDirectoryReader} reader @returns {Promise<FileSystemEntry[]>} */
function next(reader) {
  return new Promise((done, failed) => reader.readEntries(done, failed));
}
