// The page: it builds its interface into an element, and puts viewer, controls and server together.

import { buildActs } from "./acts.js";
import { Refused } from "./backend.js";
import { atFirst, Controls } from "./controls.js";
import { Drawing } from "./drawing.js";
import { button, fill, make, refill } from "./element.js";
import { note } from "./explain.js";
import { Frame } from "./frame.js";
import { Intake } from "./intake.js";
import { errorText, failedNote, resultNotes, runningNotes, seriesNote } from "./notes.js";
import { Reading } from "./reading.js";
import { Result } from "./result.js";
import { Running } from "./running.js";
import { Service } from "./service.js";
import { Viewer } from "./viewer.js";
import { afresh, anew, byModel, carried } from "./wanted.js";
import { prefer, preferred, Words } from "./words.js";

/** @typedef {import("./backend.js").Backend} Backend */
/** @typedef {import("./backend.js").Region} Region */
/** @typedef {import("./backend.js").Wanted} Wanted */
/** @typedef {import("./facts.js").Drawn} Drawn */
/** @typedef {import("./facts.js").Info} Info */
/** @typedef {import("./facts.js").Limits} Limits */
/** @typedef {import("./facts.js").Model} Model */
/** @typedef {import("./facts.js").Pointed} Pointed */
/** @typedef {import("./facts.js").Task} Task */
/**
 * What stands in the place of a result, a question or a fault. key: of the upload, where the server keeps it. drawn:
 * nothing yet, on the paper.
 * @typedef {{wanted: Wanted, key?: string, drawn?: boolean, build: () => HTMLElement}} Asked
 */

/** @type {WeakMap<HTMLElement, Page>} the page that stands in an element */
const standing = new WeakMap();

/**
 * Build the page into an element; one that stood there ends.
 * @param {HTMLElement} element
 * @param {Backend} [service]
 */
export function open(element, service = new Service()) {
  standing.get(element)?.close();
  const page = new Page(element, service);
  standing.set(element, page);
  void page.start();
  return page;
}

export class Page {
  /** @param {HTMLElement} element @param {Backend} service */
  constructor(element, service) {
    this.service = service;
    this.words = new Words(preferred());
    this.frame = new Frame();
    this.viewer = new Viewer(this.frame.stage, {
      onPoint: (/** @type {Pointed | null} */ pointed) => this.controls?.point(pointed),
      onChange: (/** @type {{tilesWanted?: Region[]}} */ { tilesWanted = [] }) => this.tiles(tilesWanted),
    });
    this.intake = new Intake((files) => this.take(files));
    this.reading = new Reading((reading) => this.readSo(reading));
    this.drawing = new Drawing({
      run: (file) => this.sketch(file),
      cleared: () => this.empty(),
      said: (text) => this.say(text),
    });
    /** @type {Model[]} */
    this.models = [];
    /** @type {Limits} */
    this.limits = { bytes: Number.POSITIVE_INFINITY, expires_s: 0, per_hour_bytes: null };
    this.model = "";
    /** @type {Controls | null} */
    this.controls = null;
    /** @type {Drawn | undefined} how the last result was drawn */
    this.drawn = undefined;
    /** @type {Result | null} the last one; it is seen unless there is a run or a question */
    this.result = null;
    /** @type {Running | null} */
    this.running = null;
    /** @type {Running | null} of a drawing: the result before stays until it is done */
    this.sketching = null;
    /** @type {Asked | null} */
    this.asked = null;
    /** Whether no picture is on the stage, and none is on its way. */
    this.isBlank = false;
    /** Whether the run that ended had the focus. */
    this.held = false;
    /** @type {Controls | null} those that the notes speak of */
    this.noted = null;
    /** @type {File[] | undefined} the last ones that were sent */
    this.files = undefined;
    element.replaceChildren(this.frame.root);
    this.build();
  }

  async start() {
    const isIdle = () => !this.running && !this.sketching && !this.result && !this.asked;
    try {
      const { models, limits } = await this.service.models();
      this.models = models;
      this.limits = limits;
      this.model = models[0].name;
      this.build();
      if (!models[0].examples.length) {
        this.withoutExample();
        return;
      }
      if (!this.service.first) {
        this.run({ model: this.model, example: 0 });
        return;
      }
      this.say(this.words.say("starting"));
      const info = await this.service.first();
      const result = await Result.open(this.service, this.viewer, info, { model: info.model, example: 0 });
      if (isIdle()) this.show(result); // else the visitor was quicker
    } catch (error) {
      if (isIdle()) this.broken(error, null);
    }
  }

  /** End what goes on: nothing of it is seen any more. */
  close() {
    this.running?.forget();
    this.intake.close();
    this.viewer.close();
  }

  // -- what is on the screen

  /** The whole interface in the language of now; what is shown and what runs goes on. */
  build() {
    const { words, frame, intake } = this;
    const parts = {
      opener: intake.opener(words),
      reading: this.reading.build(words),
      unseen: [intake.input, intake.veil],
    };
    frame.build(words, parts, (language) => {
      prefer(language);
      this.words = new Words(language);
      this.build();
      /** @type {HTMLElement | null} */ (frame.root.querySelector(".language input:checked"))?.focus();
    });
    this.nameViewer();
    frame.buildZoom(words, this.viewer);
    this.sayBlank();
    this.buildModel();
    if (this.running) frame.stage.append(this.running.shown(words));
    if (this.drawn && this.isShown()) this.buildResult(this.drawn);
    this.drawNotes();
  }

  /** What belongs to the model at hand: its choice, its examples, its words. */
  buildModel() {
    const model = this.facts(this.model);
    if (!model) return;
    this.frame.buildModel(this.words, this.models, model, this.limits, {
      choose: (name) => this.chooseModel(name),
      example: (number) => {
        this.closePad();
        this.run({ model: this.model, example: number });
      },
    });
    if (model.kind !== "digits") this.closePad();
    this.buildDrawing();
    this.buildActs();
  }

  buildDrawing() {
    const { words, drawing } = this;
    const canDraw = this.facts(this.model)?.kind === "digits";
    const pad = drawing.isOpen ? drawing.pad.build(words) : null;
    this.frame.buildDrawing(words, pad, canDraw ? () => this.togglePad() : null);
  }

  buildActs() {
    const { result, controls } = this;
    const model = this.facts(this.model);
    const shown = result && controls && this.isShown() ? { result, controls } : null;
    if (model) buildActs(this.frame, this.words, model, this.limits, shown);
  }

  /** The controls of the result. @param {Drawn} drawn */
  buildResult(drawn) {
    const { result, words, frame } = this;
    const model = result && this.facts(result.info.model);
    if (!result || !model) return;
    const isShown = () => this.result === result && this.isShown();
    result.lost = (error) => this.lost(error);
    this.controls = new Controls(
      words,
      this.viewer,
      { task: result.packed.task, thresholds: model.thresholds, curve: model.curve },
      {
        slice: (index) => this.go(index),
        counts: (thresholds) => result.counts(thresholds),
        values: (x, y) => result.values(x, y),
        entropy: () => void result.entropy(isShown).catch(() => undefined), // it was told
        changed: () => this.changed(),
        settled: () => this.settled(),
      },
      drawn,
    );
    fill(frame.bar, this.controls.bar);
    fill(frame.line, this.controls.line);
    fill(frame.below, this.controls.below);
    fill(frame.controls, this.controls.panel);
    this.controls.show(result.info, result.packed, result.index, result.profile);
    this.buildActs();
  }

  /** Whether the last result is seen. */
  isShown() {
    return this.result !== null && !this.running && !this.asked;
  }

  /** @param {string} name */
  facts(name) {
    return this.models.find((model) => model.name === name) ?? null;
  }

  /** Show a result. @param {Result} result */
  show(result) {
    const before = this.result;
    const { name, ...facts } = { name: result.info.model, ...this.facts(result.info.model) };
    this.forget();
    this.asked = null;
    this.result = result;
    this.seen();
    if (this.model !== name) {
      this.model = name;
      this.buildModel();
    }
    this.reading.tell(result.info.description);
    const first = atFirst(result.packed.task, facts.thresholds ?? result.info.thresholds);
    // the same one again, after a run that was cancelled or failed, is as it was left
    const last = before === result ? this.drawn : this.drawn && carried(this.drawn, first, before?.info.model === name);
    this.buildResult(last ?? first);
    this.drawNotes();
    this.takeFocus();
    if (before !== result) void result.fill(() => this.result === result && this.controls?.fill(result.profile));
  }

  /** Something stands where a result would. @param {Asked} asked */
  stand(asked) {
    const { classList } = this.frame.stage;
    this.forget();
    this.asked = asked;
    this.withoutResult();
    if (classList.contains("is-stale") || !asked.wanted.files) {
      this.viewer.show(null);
      this.isBlank = true;
      this.sayBlank();
    }
    classList.remove("is-stale");
    this.buildActs();
    this.drawNotes();
    this.takeFocus();
  }

  /** A model for which there is no example: what it looks at comes from the visitor. */
  withoutExample() {
    this.stand({ wanted: { model: this.model }, build: () => note("info", this.words.say("bringPicture")) });
  }

  /** Nothing that runs is waited for any more. */
  forget() {
    for (const one of [this.running, this.sketching]) one?.forget();
    this.running = null;
    this.sketching = null;
    this.drawing.done();
  }

  /** A picture is on the stage, of what is at hand. */
  seen() {
    this.frame.stage.classList.remove("is-stale");
    this.isBlank = false;
    this.sayBlank();
  }

  sayBlank() {
    this.frame.sayBlank(this.isBlank ? this.words.say("nothingShown") : null);
  }

  /** While there is no result, nothing says anything of the last one. */
  withoutResult() {
    this.controls = null;
    this.nameViewer();
    this.frame.withoutResult();
  }

  nameViewer() {
    const { words } = this;
    this.viewer.name({ group: words.say("result"), divider: words.say("swipeHandle"), picture: words.say("picture") });
  }

  /** The notes are next for who held the button that is gone with its run. */
  takeFocus() {
    if (this.held) this.frame.notes.focus({ preventScroll: true });
    this.held = false;
  }

  changed() {
    this.drawn = this.controls?.drawn;
    this.drawNotes();
  }

  settled() {
    if (!this.controls || !this.result) return;
    const shares = this.controls.sentence();
    this.say(shares);
    const { view } = this.controls.drawn;
    const said = this.words.say("altView", { view: this.words.say(view), picture: this.result.info.name, shares });
    const { stage } = this.frame;
    stage.querySelector(".after [role=img]")?.setAttribute("aria-label", said);
    const picture = this.words.say("altPicture", { picture: this.result.info.name });
    stage.querySelector(".before [role=img]")?.setAttribute("aria-label", picture);
  }

  /** What a screen reader is to say. @param {string} text */
  say(text) {
    if (this.frame.live.textContent !== text) this.frame.live.textContent = text;
  }

  drawNotes() {
    const { words, result, asked, controls, frame } = this;
    // for tests, and for styles
    frame.root.dataset.state = this.running ? "running" : asked ? "asked" : result && controls ? "shown" : "starting";
    if (this.running) {
      fill(frame.notes, ...runningNotes(words, this.running.wanted.files?.[0].name));
    } else if (asked) {
      fill(frame.notes, make("div", { role: "alert" }, asked.build()));
    } else if (result && controls) {
      const notes = resultNotes(words, result, controls, this.acts(result, controls), this.again(result.wanted));
      // what stays as it is is not announced again, and keeps the focus
      (this.noted === controls ? refill : fill)(frame.notes, ...notes);
      this.noted = controls;
      return;
    } else {
      fill(frame.notes, make("p", { class: "strong" }, words.say("starting")));
    }
    this.noted = null;
  }

  /** What the buttons of the notes do. @param {Result} result @param {Controls} controls */
  acts(result, controls) {
    return {
      show: (/** @type {string} */ output, /** @type {number} */ value) => controls.showFrom(output, value),
      reset: () => controls.change({ thresholds: [...controls.model.thresholds] }),
      go: (/** @type {number} */ index) => void this.go(index),
      accept: (/** @type {boolean} */ accept) => this.run({ ...anew(result.wanted, this.key()), accept }),
      reading: () => this.reading.show(),
    };
  }

  // -- runs

  /** @param {File[]} files */
  take(files) {
    const size = files.reduce((sum, file) => sum + file.size, 0);
    this.reading.clear();
    this.closePad();
    if (size <= this.limits.bytes) {
      this.run({ model: this.model, files });
      return;
    }
    const build = () => {
      const { words } = this;
      const facts = { name: files[0].name, size: words.bytes(size), limit: words.bytes(this.limits.bytes) };
      return note("problem", words.say("tooLarge", facts), this.backButton());
    };
    this.stand({ wanted: { model: this.model }, build });
  }

  /** @param {string} name */
  chooseModel(name) {
    const now = this.facts(name);
    if (!now || name === this.model) return;
    const isDrawn = this.drawing.isOpen && now.kind !== "digits"; // a drawing is for digits alone
    const last = isDrawn ? undefined : (this.running?.wanted ?? this.asked?.wanted ?? this.result?.wanted);
    const wanted = byModel(last, this.key(), this.facts(this.model), now);
    this.model = name;
    this.buildModel();
    if (wanted) this.run(wanted);
    else this.withoutExample();
  }

  /** Of the upload at hand, where the server keeps it. */
  key() {
    if (this.running) return undefined;
    if (this.asked) return this.asked.key;
    return this.result?.isGone ? undefined : this.result?.info.key;
  }

  /** What makes a result anew that the server does not keep; null if nothing does. @param {Wanted} wanted */
  again(wanted) {
    const same = afresh(wanted, this.files);
    return same && (() => this.run(same));
  }

  /** @param {import("./code.js").Reading} reading */
  readSo(reading) {
    const last = this.asked?.wanted ?? this.result?.wanted;
    if (last) this.run({ ...anew(last, this.key()), ...reading });
  }

  /** @param {Wanted} wanted */
  run(wanted) {
    const { frame } = this;
    this.drawing.forget();
    this.forget();
    this.asked = null;
    this.files = wanted.files ?? (wanted.again ? this.files : undefined);
    this.controls?.slices?.stop();
    const hadFocus = frame.panel.contains(document.activeElement);
    this.withoutResult();
    frame.stage.classList.add("is-stale");
    this.running = new Running(this.service, wanted, {
      picture: (picture) => {
        this.seen();
        this.viewer.preview(picture, this.facts(wanted.model) ?? undefined);
      },
      rows: (rows, top, of) => this.viewer.partial(rows, top, of),
      done: (info) => void this.done(info, wanted),
      series: (series, key) => {
        const choose = (/** @type {string} */ uid) => this.run({ ...anew(wanted, key), series: uid });
        this.stand({ wanted, key, build: () => seriesNote(this.words, series, choose) });
      },
      failed: (sentence, key) => this.failed(sentence, wanted, key),
      broken: (error) => this.broken(error, wanted),
      cancelled: () => this.cancelled(),
      said: (text) => this.say(text),
      held: () => {
        this.held = true;
      },
    });
    frame.stage.append(this.running.shown(this.words));
    this.buildActs();
    this.drawNotes();
    if (hadFocus && !frame.panel.contains(document.activeElement)) this.running.focus();
  }

  /** @param {Info} info @param {Wanted} wanted */
  async done(info, wanted) {
    const { running, sketching } = this;
    const isLast = () => this.running === running && this.sketching === sketching;
    try {
      const result = await Result.open(this.service, this.viewer, info, wanted);
      if (isLast()) this.show(result);
    } catch (error) {
      if (isLast()) this.broken(error, wanted);
    }
  }

  cancelled() {
    const { words } = this;
    this.running = null;
    const what = words.say(this.result ? "lastStays" : "nothingShown");
    if (this.result) this.show(this.result);
    else this.stand({ wanted: { model: this.model }, build: () => note("info", words.say("nothingShown")) });
    this.say(words.say("cancelled", { what }));
  }

  /** @param {string} sentence @param {Wanted} wanted @param {string | undefined} key */
  failed(sentence, wanted, key) {
    const build = () => {
      const read = key ? button(this.words.say("sayReading"), () => this.reading.show()) : null;
      return failedNote(this.words, sentence, read, this.backButton());
    };
    this.stand({ wanted, key, build });
  }

  /** No answer, or none of the API. @param {unknown} error @param {Wanted | null} wanted null: the page did not start */
  broken(error, wanted) {
    if (error instanceof Refused && error.reached && !error.gone) {
      this.failed(error.message, wanted ?? { model: this.model }, undefined);
      return;
    }
    const again = wanted ? this.again(wanted) : () => void this.start();
    const build = () => {
      const act = again && button(this.words.say("tryAgain"), again, { class: "primary" });
      return note("problem", errorText(error, this.words), act, this.backButton());
    };
    this.stand({ wanted: wanted ?? { model: this.model }, build });
  }

  /** Back to the result before. */
  backButton() {
    const { result } = this;
    return result ? button(this.words.say("lastResult"), () => this.show(result)) : null;
  }

  // -- drawings

  togglePad() {
    if (!this.drawing.isOpen) {
      this.drawing.isOpen = true;
      this.buildDrawing();
      if (this.drawing.pad.isEmpty) this.empty();
      else this.drawing.changed(true);
      this.drawing.pad.paper.focus({ preventScroll: true });
      return;
    }
    this.closePad();
    if (this.asked?.drawn && this.result) this.show(this.result);
    else if (this.asked?.drawn) this.run({ model: this.model, example: 0 });
  }

  closePad() {
    this.drawing.forget();
    this.drawing.isOpen = false;
    this.buildDrawing();
  }

  /** Nothing is on the paper yet. */
  empty() {
    const build = () => note("info", this.words.say("drawSomething"));
    this.stand({ wanted: { model: this.model }, drawn: true, build });
  }

  /** Run a drawing, while what was found before stays on the screen. @param {File} file */
  sketch(file) {
    const wanted = { model: this.model, files: [file] };
    const nothing = () => undefined;
    this.running?.forget();
    this.running = null;
    this.sketching?.forget();
    this.files = wanted.files;
    // it is never shown, and so says nothing while it goes on
    this.sketching = new Running(this.service, wanted, {
      picture: nothing,
      rows: nothing,
      done: (info) => void this.done(info, wanted),
      series: nothing,
      failed: (sentence, key) => this.failed(sentence, wanted, key),
      broken: (error) => this.broken(error, wanted),
      cancelled: nothing,
      said: nothing,
      held: nothing,
    });
  }

  // -- what a result wants of the server

  /** Another slice, true once it is shown. @param {number} index */
  async go(index) {
    const { result, controls } = this;
    if (!result || !controls) return false;
    controls.slices?.at(index);
    const came = await result.go(index).catch(() => null); // it was told
    if (came && this.controls === controls) controls.show(result.info, result.packed, index, result.profile);
    return came !== null;
  }

  /** @param {Region[]} wanted */
  tiles(wanted) {
    const { result } = this;
    if (result && this.isShown()) result.tiles(wanted, () => this.result === result && this.isShown());
  }

  /** What is on the screen stays, but the server says no more of it. @param {unknown} error */
  lost(error) {
    this.say(errorText(error, this.words));
    this.drawNotes();
  }
}
