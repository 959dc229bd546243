// Paper to draw on: with mouse, finger or pen, and by keys, which move a cursor that draws or does not.

import { button, fill, make, unique } from "./element.js";

/** @typedef {import("./ink.js").Point} Point */
/** @typedef {import("./ink.js").Stroke} Stroke */
/** @typedef {import("./words.js").Words} Words */
/**
 * changed: something was drawn; ended: and the pen is up. cleared: nothing is there any more. said: for screen readers.
 * @typedef {{changed: (ended: boolean) => void, cleared: () => void, said: (text: string) => void}} Told
 */

/** Pixels of the canvas a side. */
const SIDE = 560;
/** How wide the line is that one sees, of a side. */
const PEN = 0.06;
/** By which share of a side an arrow moves. */
const STEP = 1 / 28;
const ARROWS = /** @type {Record<string, [number, number]>} */ ({
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
});

export class Pad {
  /** @param {Told} told */
  constructor(told) {
    this.told = told;
    /** @type {Stroke[]} */
    this.strokes = [];
    /** @type {Point} */
    this.cursor = { x: 0.5, y: 0.5 };
    /** Whether the keys draw. */
    this.isDown = false;
    /** @type {number | null} the pointer that draws */
    this.pointer = null;
    /** @type {Set<string>} arrows that are held: two of them move at a slant */
    this.held = new Set();
    this.canvas = make("canvas", { width: SIDE, height: SIDE });
    this.mark = make("span", { class: "pad-cursor" });
    this.hint = make("p", { class: "small", id: unique("hint") });
    // an application: screen readers leave the keys to it
    this.paper = make(
      "div",
      { class: "paper", role: "application", tabindex: 0, "aria-describedby": this.hint.id },
      this.canvas,
      this.mark,
    );
    this.clearButton = button("", () => this.clear());
    this.element = make(
      "section",
      { class: "pad" },
      make("div", { class: "paper-room" }, this.paper),
      make("div", { class: "pad-foot" }, this.hint, this.clearButton),
    );
    this.listen();
    this.draw();
  }

  /** It in a language; what is drawn stays. @param {Words} words */
  build(words) {
    this.words = words;
    this.element.setAttribute("aria-label", words.say("drawing"));
    this.paper.setAttribute("aria-label", words.say("paper"));
    this.hint.textContent = words.say("drawHint");
    fill(this.clearButton, words.say("clear"));
    return this.element;
  }

  get isEmpty() {
    return this.strokes.length === 0;
  }

  clear() {
    const hadFocus = document.activeElement === this.clearButton;
    this.strokes = [];
    this.isDown = false;
    this.draw();
    if (hadFocus) this.paper.focus();
    this.told.cleared();
  }

  listen() {
    const { paper } = this;
    paper.addEventListener("pointerdown", (event) => {
      if (event.button !== 0 || this.pointer !== null) return;
      this.lift();
      paper.classList.remove("is-by-keys");
      paper.setPointerCapture(event.pointerId);
      this.pointer = event.pointerId;
      this.begin(this.placeOf(event));
    });
    paper.addEventListener("pointermove", (event) => {
      if (event.pointerId !== this.pointer) return;
      const moves = event.getCoalescedEvents?.() ?? [];
      this.extend(...(moves.length ? moves : [event]).map((move) => this.placeOf(move)));
    });
    for (const name of /** @type {const} */ (["pointerup", "pointercancel"])) {
      paper.addEventListener(name, (event) => {
        if (event.pointerId !== this.pointer) return;
        this.pointer = null;
        this.told.changed(true);
      });
    }
    paper.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (this.key(event)) event.preventDefault();
    });
    paper.addEventListener("keyup", (event) => this.held.delete(event.key));
    paper.addEventListener("blur", () => {
      this.held.clear();
      this.lift();
    });
  }

  /** Whether a key does anything here. @param {KeyboardEvent} event */
  key(event) {
    const { key } = event;
    if (key in ARROWS) {
      this.held.add(key);
      const [right, down] = [0, 1].map((axis) => [...this.held].reduce((sum, one) => sum + ARROWS[one][axis], 0));
      const moved = (/** @type {number} */ at, /** @type {number} */ by) =>
        Math.min(Math.max(at + by * STEP, STEP / 2), 1 - STEP / 2);
      this.cursor = { x: moved(this.cursor.x, right), y: moved(this.cursor.y, down) };
      if (this.isDown) this.extend(this.cursor);
    } else if (key === " " || key === "Enter") {
      if (event.repeat) return true;
      if (this.isDown) {
        this.lift();
      } else {
        this.isDown = true;
        this.begin(this.cursor);
        this.say("penDown");
      }
    } else if (key === "Escape" && this.isDown) {
      this.lift();
    } else if ((key === "Delete" || key === "Backspace") && !this.isEmpty) {
      this.clear();
    } else {
      return false;
    }
    this.paper.classList.add("is-by-keys");
    this.draw();
    return true;
  }

  /** The pen of the keys. */
  lift() {
    if (!this.isDown) return;
    this.isDown = false;
    this.draw();
    this.say("penUp");
    this.told.changed(true);
  }

  /** @param {Point} at */
  begin(at) {
    this.strokes.push([at]);
    this.draw();
    this.told.changed(false);
  }

  /** @param {...Point} to */
  extend(...to) {
    this.strokes.at(-1)?.push(...to);
    this.draw();
    this.told.changed(false);
  }

  /** @param {{clientX: number, clientY: number}} event @returns {Point} */
  placeOf({ clientX, clientY }) {
    const { left, top, width, height } = this.canvas.getBoundingClientRect();
    const share = (/** @type {number} */ at, /** @type {number} */ size) => Math.min(Math.max(at / size, 0), 1);
    return { x: share(clientX - left, width), y: share(clientY - top, height) };
  }

  draw() {
    const on = /** @type {CanvasRenderingContext2D} */ (this.canvas.getContext("2d"));
    on.fillStyle = "#000";
    on.fillRect(0, 0, SIDE, SIDE);
    on.strokeStyle = "#fff";
    on.lineWidth = PEN * SIDE;
    on.lineCap = "round";
    on.lineJoin = "round";
    for (const stroke of this.strokes) {
      on.beginPath();
      on.moveTo(stroke[0].x * SIDE, stroke[0].y * SIDE);
      for (const { x, y } of stroke) on.lineTo(x * SIDE, y * SIDE); // a dot is a line to itself
      on.stroke();
    }
    this.mark.style.left = `${this.cursor.x * 100}%`;
    this.mark.style.top = `${this.cursor.y * 100}%`;
    this.mark.classList.toggle("is-down", this.isDown);
    this.clearButton.disabled = this.isEmpty;
  }

  /** @param {string} name */
  say(name) {
    if (this.words) this.told.said(this.words.say(name));
  }
}
