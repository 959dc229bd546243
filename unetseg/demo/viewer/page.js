// The page: it builds its interface into an element, and puts viewer, controls and server together.

import { openAbout } from "./about.js";
import { Ahead } from "./ahead.js";
import { Choice } from "./choice.js";
import { openCode } from "./code.js";
import { atFirst, Controls } from "./controls.js";
import { openDownloads } from "./downloads.js";
import { button, fill, make } from "./element.js";
import { blackNote, gateNotes, note, readerNotes } from "./explain.js";
import { inflated } from "./inflate.js";
import { Intake } from "./intake.js";
import { Reading } from "./reading.js";
import { Running } from "./running.js";
import { Refused, Service } from "./service.js";
import { Profile } from "./slices.js";
import { unpack } from "./unpack.js";
import { Viewer } from "./viewer.js";
import { OWN_NAMES, prefer, preferred, Words } from "./words.js";

/** @typedef {import("./facts.js").Drawn} Drawn */
/** @typedef {import("./facts.js").Info} Info */
/** @typedef {import("./facts.js").Limits} Limits */
/** @typedef {import("./facts.js").Model} Model */
/** @typedef {import("./facts.js").Task} Task */
/** @typedef {import("./service.js").Wanted} Wanted */
/** @typedef {import("./unpack.js").Packed} Packed */
/** @typedef {{info: Info, ahead: Ahead, profile: Profile | null, wanted: Wanted, index: number, packed: Packed}} Shown */

/** More models than this are chosen from a list. */
const SIDE_BY_SIDE = 3;

/**
 * Build the page into an element.
 * @param {HTMLElement} element
 * @param {Service} [service]
 */
export function open(element, service = new Service()) {
  const page = new Page(element, service);
  void page.start();
  return page;
}

export class Page {
  /** @param {HTMLElement} element @param {Service} service */
  constructor(element, service) {
    this.element = element;
    this.service = service;
    this.words = new Words(preferred());
    this.root = make("div", { class: "unetseg" });
    this.stage = make("div", { class: "stage" });
    this.viewer = new Viewer(this.stage, {
      onPoint: (pointed) => this.controls?.point(pointed),
      onChange: (state) => this.tiles(state.tilesWanted ?? []),
    });
    this.live = make("p", { class: "unseen", "aria-live": "polite" });
    this.intake = new Intake((files) => this.take(files));
    this.reading = new Reading((reading) => this.readSo(reading));
    /** @type {Model[]} */
    this.models = [];
    /** @type {Limits} */
    this.limits = { bytes: Number.POSITIVE_INFINITY, expires_s: 0, per_hour_bytes: null };
    /** @type {Controls | null} */
    this.controls = null;
    /** @type {Shown | null} */
    this.shown = null;
    /** @type {Running | null} */
    this.running = null;
    /** @type {{wanted: Wanted, key?: string, build: () => HTMLElement} | null} what stands in the place of a result */
    this.asked = null;
    this.isGone = false;
    this.model = "";
    this.waited = new Set();
    element.replaceChildren(this.root);
    this.build();
  }

  async start() {
    try {
      const { models, limits } = await this.service.models();
      this.models = models;
      this.limits = limits;
      this.model = models[0].name;
      this.build();
      this.say(this.words.say("starting"));
      const info = await this.service.first();
      if (this.running || this.shown || this.asked) return; // the visitor was quicker
      await this.done(info, { model: info.model, example: 0 });
    } catch (error) {
      if (!this.running && !this.shown && !this.asked) this.broken(error, null);
    }
  }

  /** The whole interface in the language of now; what is shown and what runs goes on. */
  build() {
    const { words } = this;
    this.root.lang = words.locale;
    this.notes = make("section", { class: "notes", "aria-label": words.say("notes") });
    this.bar = make("div", { class: "bar-place" });
    this.line = make("div", { class: "line-place" });
    this.below = make("div", { class: "below-place" });
    this.set = make("div", { class: "controls-place" });
    this.modelPlace = make("div", { class: "model-place" });
    this.examples = make("section", { class: "examples", "aria-label": words.say("examples") });
    this.acts = make("div", { class: "acts main-acts" });
    fill(
      this.root,
      make("header", { class: "head" }, make("h1", {}, "unetseg"), this.modelPlace, this.intake.opener(words), this.languages()),
      make("section", { class: "work", "aria-label": words.say("result") }, this.bar, this.stage, this.line, this.below),
      make(
        "section",
        { class: "panel", "aria-label": words.say("controls") },
        this.notes,
        this.set,
        this.acts,
        this.examples,
        this.reading.build(words),
        make("p", { class: "foot small" }),
      ),
      this.intake.input,
      this.intake.veil,
      this.live,
    );
    this.buildModel();
    if (this.running) this.stage.append(this.running.shown(words));
    if (this.shown && !this.running && !this.asked) this.buildResult(this.controls?.drawn);
    this.drawNotes();
  }

  languages() {
    const languages = /** @type {(keyof typeof OWN_NAMES)[]} */ (Object.keys(OWN_NAMES));
    const choice = new Choice(
      this.words.say("language"),
      languages.map((value) => ({ value, text: OWN_NAMES[value] })),
      this.words.language,
      (language) => {
        prefer(language);
        this.words = new Words(language);
        this.build();
        /** @type {HTMLElement | null} */ (this.root.querySelector(".language input:checked"))?.focus();
      },
      { class: "language" },
    );
    choice.inputs.forEach((input, i) => input.parentElement?.setAttribute("lang", languages[i]));
    return choice.element;
  }

  /** What belongs to the model at hand: its choice, its examples, its words. */
  buildModel() {
    const { words, models } = this;
    const model = this.facts(this.model);
    if (!model) return;
    const choose = (/** @type {string} */ name) => this.chooseModel(name);
    if (models.length > SIDE_BY_SIDE) {
      const select = make(
        "select",
        { "aria-label": words.say("model"), onchange: () => choose(select.value) },
        ...models.map(({ name, title }) => make("option", { value: name, selected: name === this.model }, title)),
      );
      fill(this.modelPlace, select);
    } else if (models.length > 1) {
      const options = models.map(({ name, title }) => ({ value: name, text: title }));
      fill(this.modelPlace, new Choice(words.say("model"), options, this.model, choose, { class: "models" }).element);
    } else {
      fill(this.modelPlace, make("span", { class: "single-model" }, model.title));
    }
    fill(
      this.examples,
      make("h2", {}, words.say("examples"), make("span", { class: "small" }, ` ${words.say("generated")}`)),
      make("div", { class: "examples-row" }, make(
        "div",
        { class: "thumbnails" },
        ...model.examples.map(({ thumbnail }, number) =>
          make(
            "button",
            { type: "button", class: "thumbnail", onclick: () => this.run({ model: this.model, example: number }) },
            make("img", { src: thumbnail, alt: words.say("example", { number: number + 1 }), width: 48, height: 48 }),
          ),
        ),
      ),
      make("p", { class: "small hint" }, words.say("dropHint"))),
    );
    const foot = /** @type {HTMLElement} */ (this.root.querySelector(".foot"));
    const kept = words.say("keptShort", { time: words.time(this.limits.expires_s) });
    fill(foot, words.after(words.say(model.medical ? "notMedical" : "noWarranty"), kept));
    this.buildActs();
  }

  buildActs() {
    const { words } = this;
    const model = this.facts(this.model);
    const has = this.shown && !this.running && !this.asked;
    fill(
      this.acts,
      has ? button(words.say("download"), () => this.openDownloads(), { "aria-haspopup": "dialog" }) : null,
      has ? button(words.say("code"), () => this.openCode(), { "aria-haspopup": "dialog" }) : null,
      model
        ? button(words.say("aboutShort"), () => openAbout(this.root, words, model, this.limits), {
            "aria-haspopup": "dialog",
            "aria-label": words.say("about"),
          })
        : null,
    );
  }

  /** The controls of the result that is shown. @param {Drawn} [drawn] as it was */
  buildResult(drawn) {
    const { shown, words } = this;
    const model = shown && this.facts(shown.info.model);
    if (!shown || !model) return;
    this.controls = new Controls(
      words,
      this.viewer,
      { task: shown.packed.task, thresholds: model.thresholds, curve: model.curve },
      {
        slice: (index) => this.go(index),
        counts: (thresholds) => this.service.counts(shown.info.key, shown.index, thresholds),
        values: (x, y) => this.kept(this.service.values(shown.info.key, shown.index, x, y)),
        entropy: () => this.entropy(),
        changed: () => this.changed(),
        settled: () => this.settled(),
      },
      drawn,
    );
    fill(this.bar, this.controls.bar);
    fill(this.line, this.controls.line);
    fill(this.below, this.controls.below);
    fill(this.set, this.controls.panel);
    this.controls.show(shown.info, shown.packed, shown.index, shown.profile);
    this.buildActs();
  }

  /** @param {string} name */
  facts(name) {
    return this.models.find((model) => model.name === name) ?? null;
  }

  /** @param {File[]} files */
  take(files) {
    const size = files.reduce((sum, file) => sum + file.size, 0);
    this.reading.clear();
    if (size > this.limits.bytes) {
      const { words } = this;
      const facts = { name: files[0].name, size: words.bytes(size), limit: words.bytes(this.limits.bytes) };
      this.stand({ wanted: { model: this.model, files }, build: () => note("problem", this.words.say("tooLarge", facts)) });
      return;
    }
    this.run({ model: this.model, files });
  }

  /** @param {string} name */
  chooseModel(name) {
    if (name === this.model) return;
    const [before, now] = [this.facts(this.model), this.facts(name)];
    this.model = name;
    this.buildModel();
    const last = this.running?.wanted ?? this.asked?.wanted ?? this.shown?.wanted ?? { example: 0 };
    const sameKind = before?.kind === now?.kind;
    if (last.example !== undefined && !sameKind) this.run({ model: name, example: 0 });
    else this.run({ ...this.anew(last), model: name, accept: false });
  }

  /** What was wanted, with the upload that the server keeps instead of the files, if it does. @param {Wanted} wanted @returns {Wanted} */
  anew(wanted) {
    const key = this.running || this.isGone ? undefined : this.asked ? this.asked.key : this.shown?.info.key;
    const { files, again, ...rest } = wanted;
    if (key && wanted.example === undefined) return { ...rest, again: key };
    return wanted;
  }

  /** @param {import("./code.js").Reading} reading */
  readSo(reading) {
    const last = this.asked?.wanted ?? this.shown?.wanted;
    if (last) this.run({ ...this.anew(last), ...reading });
  }

  /** @param {Wanted} wanted */
  run(wanted) {
    this.running?.forget();
    this.asked = null;
    this.isGone = false;
    const before = this.shown;
    this.controls?.slices?.stop();
    this.stage.classList.add("is-stale");
    let seen = false;
    const own = new Running(this.service, wanted, {
      picture: (picture) => {
        if (!seen) this.withoutResult();
        seen = true;
        this.stage.classList.remove("is-stale");
        this.viewer.preview(picture);
      },
      rows: (rows, top, of) => this.viewer.partial(rows, top, of),
      done: (info) => void this.done(info, remembered(wanted, this.files)).catch((error) => this.broken(error, wanted)),
      series: (series, key) => this.stand({ wanted, key, build: () => this.seriesNote(series, wanted, key) }),
      failed: (sentence, key) => this.failed(sentence, wanted, key),
      broken: (error) => this.broken(error, wanted),
      cancelled: () => {
        this.running = null;
        this.stage.classList.remove("is-stale");
        if (before) this.restore(before);
        else this.viewer.show(null);
        const { words } = this;
        this.say(words.say("cancelled", { what: words.say(before ? "lastStays" : "nothingShown") }));
      },
      said: (text) => this.say(text),
    });
    if (wanted.files) this.files = wanted.files;
    this.running = own;
    this.stage.append(own.shown(this.words));
    this.buildActs();
    this.drawNotes();
  }

  /** While there is no result, nothing says anything of the last one. */
  withoutResult() {
    this.controls = null;
    fill(this.bar);
    fill(this.line);
    fill(this.below);
    fill(this.set);
  }

  /** @param {Info} info @param {Wanted} wanted */
  async done(info, wanted) {
    const ahead = new Ahead((index) => this.service.slice(info.key, index), info.shape[0]);
    const data = info.profile;
    const [packed, values] = await Promise.all([ahead.get(info.first), data ? inflated(data.data) : null]);
    const profile = data && values ? new Profile(data.kind, data.shape, new Uint16Array(values.buffer)) : null;
    this.running = null;
    this.restore({ info, ahead, profile, wanted, index: info.first, packed });
  }

  /** @param {Shown} shown */
  restore(shown) {
    const before = this.shown ? this.facts(this.shown.info.model) : null;
    const drawn = this.lastDrawn;
    this.shown = shown;
    this.asked = null;
    this.stage.classList.remove("is-stale");
    if (this.model !== shown.info.model) {
      this.model = shown.info.model;
      this.buildModel();
    }
    const model = this.facts(shown.info.model);
    const task = shown.packed.task;
    const thresholds = model?.thresholds ?? shown.info.thresholds;
    this.buildResult(drawn ? carried(drawn, task, thresholds, before?.name === model?.name) : atFirst(task, thresholds));
    this.drawNotes();
  }

  /** Something stands where a result would: a question or a fault. @param {NonNullable<Page["asked"]>} asked */
  stand(asked) {
    this.running?.forget();
    this.running = null;
    this.asked = asked;
    this.withoutResult();
    if (this.stage.classList.contains("is-stale")) this.viewer.show(null);
    this.stage.classList.remove("is-stale");
    this.buildActs();
    this.drawNotes();
  }

  /** @param {string} sentence @param {Wanted} wanted @param {string | undefined} key */
  failed(sentence, wanted, key) {
    const said = sentence.replace(/^./, (first) => first.toUpperCase()).replace(/\.?$/, ".");
    this.stand({
      wanted,
      key,
      build: () => {
        const { words } = this;
        const text = make("span", {}, `${words.say("failed")}: `, make("span", { lang: "en" }, said));
        const read = key ? button(words.say("sayReading"), () => this.reading.show()) : null;
        return note("problem", text, read, this.backButton());
      },
    });
  }

  /** No answer, or none of the API. @param {unknown} error @param {Wanted | null} wanted */
  broken(error, wanted) {
    const gone = error instanceof Refused && error.gone;
    if (error instanceof Refused && error.reached && !gone) {
      this.failed(error.message, wanted ?? { model: this.model }, undefined);
      return;
    }
    const says = gone ? "goneNew" : error instanceof Refused ? "unreachable" : "brokenOff";
    this.stand({
      wanted: wanted ?? { model: this.model },
      build: () => {
        const { words } = this;
        const again = wanted ? () => this.run(wanted.again && this.files ? filesAgain(wanted, this.files) : wanted) : () => void this.start();
        const can = !gone || !wanted?.again || this.files;
        return note("problem", words.say(says), can ? button(words.say("tryAgain"), again, { class: "primary" }) : null, this.backButton());
      },
    });
  }

  /** Back to the result before. */
  backButton() {
    const before = this.shown;
    return before ? button(`${this.words.say("lastResult")}`, () => this.restore(before)) : null;
  }

  /** @param {{uid: string, what: string}[]} series @param {Wanted} wanted @param {string} key */
  seriesNote(series, wanted, key) {
    const { files, again, ...rest } = wanted;
    const rows = series.map(({ uid, what }) =>
      button(what, () => this.run({ ...rest, again: key, series: uid }), { class: "wide", lang: "en" }),
    );
    return note("info", this.words.say("severalSeries", { count: series.length }), ...rows);
  }

  /** Another slice of the result, true once it is shown. @param {number} index */
  async go(index) {
    const { shown, controls } = this;
    if (!shown || !controls) return false;
    shown.index = index;
    controls.slices?.at(index);
    try {
      const packed = await shown.ahead.get(index);
      if (this.shown !== shown || shown.index !== index || this.controls !== controls) return true;
      shown.packed = packed;
      controls.show(shown.info, packed, index, shown.profile);
      return true;
    } catch (error) {
      this.lost(error);
      return false;
    }
  }

  /** @param {{top: number, left: number, bottom: number, right: number}[]} wanted */
  tiles(wanted) {
    const { shown } = this;
    if (!shown || this.isGone) return;
    for (const where of wanted) {
      const name = JSON.stringify([shown.info.key, shown.index, where]);
      if (this.waited.has(name)) continue;
      this.waited.add(name);
      this.kept(this.service.tile(shown.info.key, shown.index, where))
        .then(unpack)
        .then((tile) => this.shown === shown && this.viewer.addTile(tile))
        .catch(() => undefined) // what is shown stays as coarse as it is
        .finally(() => this.waited.delete(name));
    }
  }

  async entropy() {
    const { shown } = this;
    if (!shown) return;
    const { index } = shown;
    try {
      const plane = await unpack(await this.service.entropy(shown.info.key, index));
      if (this.shown === shown && shown.index === index) this.viewer.addEntropy(plane);
    } catch (error) {
      this.lost(error);
    }
  }

  /** A promise, whose failure is told if the result is gone. @template T @param {Promise<T>} promise @returns {Promise<T>} */
  kept(promise) {
    return promise.catch((error) => {
      if (error instanceof Refused && error.gone) this.lost(error);
      throw error;
    });
  }

  /** What is on the screen stays, but the server says no more of it. @param {unknown} error */
  lost(error) {
    if (error instanceof Refused && error.gone) {
      this.isGone = true;
      this.drawNotes();
    } else {
      this.say(this.sentence(error));
    }
  }

  /** An error as a sentence. @param {unknown} error */
  sentence(error) {
    if (error instanceof Refused && error.reached) return error.message;
    return this.words.say(error instanceof Refused ? "unreachable" : "brokenOff");
  }

  changed() {
    this.lastDrawn = this.controls?.drawn;
    this.drawNotes();
  }

  settled() {
    const text = this.controls?.sentence();
    if (!text || !this.shown) return;
    this.say(text);
    const picture = this.shown.info.name;
    const view = this.words.say(this.controls?.drawn.view ?? "overlay");
    const said = this.words.say("altView", { view, picture, shares: text });
    for (const canvas of this.stage.querySelectorAll("canvas")) canvas.setAttribute("aria-label", said);
  }

  /** @param {string} text */
  say(text) {
    if (this.live.textContent !== text) this.live.textContent = text;
  }

  drawNotes() {
    const { words, shown, asked, running, controls } = this;
    const notes = /** @type {HTMLElement} */ (this.notes);
    if (running) {
      fill(notes);
      return;
    }
    if (asked) {
      fill(notes, make("div", { role: "alert" }, asked.build()));
      return;
    }
    if (!shown || !controls) {
      fill(notes, make("p", { class: "strong" }, words.say("starting")));
      return;
    }
    const { info } = shown;
    const parts = [
      make("h2", { class: "result-name", title: info.name }, info.name),
      make("p", { class: "strong" }, controls.headline()),
      this.factsLine(info),
    ];
    if (this.isGone) {
      const again = shown.wanted.files || shown.wanted.example !== undefined;
      const act = again ? button(words.say("runAgain"), () => this.run(shown.wanted), { class: "primary" }) : null;
      parts.push(make("div", { role: "alert" }, note("problem", words.say(again ? "gone" : "goneNew"), act)));
    }
    const acts = {
      show: (/** @type {string} */ output, /** @type {number} */ value) => controls.showFrom(output, value),
      reset: () => controls.change({ thresholds: [...controls.model.thresholds] }),
      go: (/** @type {number} */ index) => void this.go(index),
      accept: (/** @type {boolean} */ accept) => this.run({ ...this.anew(shown.wanted), accept }),
      reading: () => this.reading.show(),
    };
    if (controls.nothing()) {
      const most = controls.slices && controls.slices.most !== shown.index && controls.slices.most >= 0 ? controls.slices.most : null;
      const isOwn = controls.drawn.thresholds.every((one, k) => one === controls.model.thresholds[k]);
      parts.push(blackNote(info, words, { task: controls.model.task, most, isOwn }, acts));
    }
    parts.push(...gateNotes(info, words, acts), ...readerNotes(info));
    fill(notes, ...parts);
  }

  /** What was read and how long it took. @param {Info} info */
  factsLine(info) {
    const { words } = this;
    const [, height, width] = info.shape;
    const facts = [
      info.synthetic ? words.say("syntheticResult") : null,
      info.ground?.metres ? words.say("metresPixel", { metres: words.about(info.ground.metres) }) : null,
      Math.max(height, width) > Math.max(...info.shown)
        ? words.say("shownReduced", { shown: info.shown.join(" × "), full: `${height} × ${width}` })
        : null,
    ];
    return make(
      "p",
      { class: "small" },
      words.after(...facts.filter(Boolean)),
      " ",
      make("span", { lang: "en" }, info.description.startsWith(`${info.name}: `) ? info.description.slice(info.name.length + 2) : info.description),
      ` · ${words.say("tookSeconds", { model: info.model, seconds: words.number(info.seconds, 1) })}`,
    );
  }

  openDownloads() {
    const { shown, controls, words } = this;
    if (!shown || !controls) return;
    const how = () => ({
      thresholds: controls.drawn.thresholds.join(),
      view: controls.drawn.view,
      slice: shown.index,
      opacity: controls.drawn.opacity,
    });
    openDownloads(
      this.root,
      words,
      shown.info,
      (kind) => this.kept(this.service.file(shown.info.key, kind, how())),
      (error) => this.sentence(error),
    );
  }

  openCode() {
    const { shown, controls, words } = this;
    const model = shown && this.facts(shown.info.model);
    if (!shown || !controls || !model) return;
    openCode(this.root, words, {
      info: shown.info,
      source: model.source,
      commit: model.commit,
      thresholds: controls.drawn.thresholds,
      own: model.thresholds,
      reading: shown.wanted,
    });
  }
}

/** What runs the same again: the files rather than a key that may be gone. @param {Wanted} wanted @param {File[] | undefined} files @returns {Wanted} */
function remembered(wanted, files) {
  return wanted.again && files ? filesAgain(wanted, files) : wanted;
}

/** @param {Wanted} wanted @param {File[]} files @returns {Wanted} */
function filesAgain({ again, ...rest }, files) {
  return { ...rest, files };
}

/**
 * How the next result is drawn: as the last one, but at its own thresholds.
 * @param {Drawn} drawn
 * @param {Task} task
 * @param {number[]} thresholds
 * @param {boolean} sameModel
 * @returns {Drawn}
 */
function carried(drawn, task, thresholds, sameModel) {
  const { view, scale, opacity, outline, compare, band } = drawn;
  const kept = { view, scale, opacity, outline, compare, band };
  return { ...atFirst(task, thresholds), ...kept, ...(sameModel ? { visible: drawn.visible, channel: drawn.channel } : {}) };
}
