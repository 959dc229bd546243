// A run as it goes on: upload, queue, reading, rows that are found so far; and its end.

import { button, fill, make } from "./element.js";
import { inflated } from "./inflate.js";

/** @typedef {import("./backend.js").Backend} Backend */
/** @typedef {import("./backend.js").Event} Event */
/** @typedef {import("./backend.js").Wanted} Wanted */
/** @typedef {import("./facts.js").Info} Info */
/** @typedef {import("./words.js").Words} Words */

/**
 * What the page does as a run goes on.
 * @typedef {object} Ends
 * @property {(picture: ImageBitmap) => void} picture its own picture, before the network has run
 * @property {(rows: Uint8Array, top: number, of: number) => void} rows labels at the shown width
 * @property {(info: Info) => void} done
 * @property {(series: {uid: string, what: string}[], key: string) => void} series
 * @property {(sentence: string, key: string | undefined) => void} failed a sentence of the server, in English
 * @property {(error: unknown) => void} broken there is no answer, or none of the API
 * @property {() => void} cancelled
 * @property {(text: string) => void} said what a screen reader is to say
 * @property {() => void} held the run ends with the focus on its button, before that goes
 */

export class Running {
  /** @param {Backend} service @param {Wanted} wanted @param {Ends} ends */
  constructor(service, wanted, ends) {
    this.wanted = wanted;
    this.ends = ends;
    this.ended = false;
    /** @type {{say: string, facts: Record<string, string | number>, done: number | null, seconds: number | null}} */
    this.now = { say: "uploading", facts: {}, done: 0, seconds: null };
    this.text = make("span", { class: "strip-text" });
    this.meter = make("progress", { max: 1 });
    this.element = make("div", { class: "strip" });
    /** @type {Words | null} */
    this.words = null;
    this.last = "";
    if (!wanted.files) this.now = { say: "waitingSoon", facts: {}, done: null, seconds: null };
    const run = service.run(wanted, {
      uploading: (share) => {
        if (share < 1) this.tell("uploading", {}, share);
        else this.tell("uploaded", {}, null);
      },
      event: (event) => this.event(event),
    });
    this.stop = run.cancel;
    run.ended.then(
      () => this.end(() => ends.broken(new Error("the stream ended before the run"))),
      (error) => this.end(() => ends.broken(error)),
    );
    this.preview();
  }

  /** The strip that shows it. @param {Words} words */
  shown(words) {
    this.words = words;
    fill(
      this.element,
      make(
        "div",
        { class: "strip-row" },
        this.text,
        button(words.say("cancel"), () => this.cancel(), { class: "cancel" }),
      ),
      this.meter,
    );
    this.draw();
    return this.element;
  }

  /** What the browser can open itself is seen at once. */
  async preview() {
    const { files } = this.wanted;
    if (files?.length !== 1) return;
    try {
      const picture = await createImageBitmap(files[0]);
      if (!this.ended && !this.read) this.ends.picture(picture);
    } catch {
      // the server reads more than a browser does
    }
  }

  /** @param {Event} event */
  event(event) {
    if (this.ended) return;
    switch (event.state) {
      case "waiting":
        if (event.place > 0) this.tell("waiting", { place: event.place }, null, event.seconds);
        else this.tell("waitingSoon", {}, null, event.seconds);
        break;
      case "fetching":
        if (event.done < 1) this.tell("fetching", { size: this.words?.bytes(event.bytes) ?? "" }, event.done);
        else this.tell("fetched", {}, null);
        break;
      case "reading":
        this.tell("reading", {}, null);
        break;
      case "read":
        this.read = true;
        createImageBitmap(event.picture)
          .then((picture) => !this.ended && this.ends.picture(picture))
          .catch(() => undefined); // the result comes anyway
        this.tell("running", {}, 0);
        break;
      case "running":
        this.tell("running", {}, event.done, event.seconds);
        if (event.rows) this.rows(event.rows);
        break;
      case "done":
        this.end(() => this.ends.done(event.result));
        break;
      case "series":
        this.end(() => this.ends.series(event.series, event.key));
        break;
      case "error":
        this.end(() => this.ends.failed(event.error, event.key));
        break;
    }
  }

  /** @param {{top: number, of: number, labels: string}} rows */
  async rows({ top, of, labels }) {
    const found = await inflated(labels);
    if (!this.ended) this.ends.rows(found, top, of);
  }

  /** @param {string} say @param {Record<string, string | number>} facts @param {number | null} done @param {number | null} [seconds] */
  tell(say, facts, done, seconds = null) {
    this.now = { say, facts, done, seconds };
    this.draw();
  }

  draw() {
    const { words, now } = this;
    if (!words) return;
    const percent = now.done === null ? "" : `${words.number(now.done * 100)}%`;
    const said = words.say(now.say, { ...now.facts, percent });
    const left =
      now.seconds === null || now.seconds < 1 ? "" : words.say("seconds", { seconds: words.time(now.seconds) });
    this.text.textContent = left ? words.list([said, left]) : said;
    this.meter.setAttribute("aria-label", said);
    if (now.done === null) this.meter.removeAttribute("value");
    else this.meter.value = now.done;
    if (now.say !== this.last) {
      this.last = now.say;
      this.ends.said(said);
    }
  }

  focus() {
    this.element.querySelector("button")?.focus();
  }

  cancel() {
    this.stop();
    this.end(() => this.ends.cancelled());
  }

  /** Nothing that comes later counts. */
  forget() {
    this.stop();
    this.end(() => undefined);
  }

  /** @param {() => void} then */
  end(then) {
    if (this.ended) return;
    this.ended = true;
    if (this.element.contains(document.activeElement)) this.ends.held();
    this.element.remove();
    then();
  }
}
