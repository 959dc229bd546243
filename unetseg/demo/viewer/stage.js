// The stage: two panes that look at the same place, of a picture and of its result; compared, zoomed and pointed at.

import { listen } from "./gestures.js";
import { fitted, within } from "./place.js";

/** @typedef {import("./facts.js").Compare} Compare */
/** @typedef {import("./place.js").Zoom} Zoom */
/** @typedef {import("./place.js").Size} Size */
/**
 * moved: zoom, size or divider. pointed: at a pixel of the shown size, or at none.
 * @typedef {{moved: () => void, pointed: (at: {x: number, y: number} | null) => void}} Told
 */

const BLINK = 700;
/** Pixels of the screen for one of the picture from which on each is a square. */
const SQUARES = 1.5;

export class Stage {
  /** @param {HTMLElement} element @param {Told} told */
  constructor(element, told) {
    this.told = told;
    this.before = new Pane("before");
    this.after = new Pane("after");
    this.handle = this.makeHandle();
    this.element = document.createElement("div");
    this.element.className = "viewer";
    this.element.tabIndex = 0;
    this.element.setAttribute("role", "group");
    this.element.append(this.before.element, this.after.element, this.handle);
    element.append(this.element);
    /** @type {Size} of the picture, 0 of none */
    this.picture = { width: 0, height: 0 };
    /** Pixels of the full size for each shown one. */
    this.ratio = 1;
    /** @type {Size} */
    this.pane = { width: 0, height: 0 };
    /** @type {Zoom} */
    this.zoom = { scale: 1, x: 0, y: 0 };
    this.isFitted = true;
    this.divider = 0.5;
    /** @type {Compare} */
    this.mode = "off";
    /** @type {{x: number, y: number} | null} */
    this.at = null;
    this.still = window.matchMedia("(prefers-reduced-motion: reduce)");
    this.still.onchange = () => this.compare(this.mode);
    this.compare("off");
    this.divide(0.5);
    this.listen();
    new ResizeObserver(() => this.layout()).observe(this.element);
  }

  /** Nothing moves any more. */
  close() {
    this.still.onchange = null;
    this.compare("off");
  }

  /** Another picture: its shown size, 0 for none. @param {Size} picture @param {number} ratio @param {boolean} keepZoom */
  open(picture, ratio, keepZoom) {
    this.picture = { ...picture };
    this.ratio = ratio;
    this.element.classList.toggle("is-empty", picture.width === 0);
    if (!keepZoom) this.isFitted = true;
    this.layout();
  }

  /** @param {Compare} mode */
  compare(mode) {
    this.mode = mode;
    this.element.dataset.compare = mode;
    this.handle.hidden = mode !== "swipe";
    window.clearInterval(this.blinking);
    this.after.element.classList.remove("is-away");
    if (mode === "blink" && !this.still.matches) this.blinking = window.setInterval(() => this.flip(), BLINK);
    this.divide(this.divider);
    this.layout();
  }

  /** In turn the picture and its result; whether they blink. */
  flip() {
    if (this.mode !== "blink") return false;
    this.after.element.classList.toggle("is-away");
    return true;
  }

  /** A click or a key stops the blinking, and flips from then on. */
  flipByHand() {
    window.clearInterval(this.blinking);
    return this.flip();
  }

  /** How much of the picture is seen, from its left. @param {number} share */
  divide(share) {
    this.divider = Math.min(Math.max(share, 0), 1);
    const percent = Math.round(this.divider * 100);
    this.after.element.style.clipPath = this.mode === "swipe" ? `inset(0 0 0 ${this.divider * 100}%)` : "";
    this.handle.style.left = `${this.divider * 100}%`;
    this.handle.setAttribute("aria-valuenow", String(percent));
    this.handle.setAttribute("aria-valuetext", `${percent} %`);
    this.told.moved();
  }

  /** @param {Zoom} zoom */
  look(zoom) {
    this.isFitted = false;
    this.zoom = zoom;
    this.place();
  }

  fit() {
    this.isFitted = true;
    this.place();
  }

  layout() {
    const { clientWidth: width, clientHeight: height } = this.element;
    const side = this.mode === "side";
    if (side && this.picture.width) {
      const beside = fitted(this.picture, { width: width / 2, height }).scale;
      const below = fitted(this.picture, { width, height: height / 2 }).scale;
      this.element.classList.toggle("is-stacked", below > beside);
    }
    const { clientWidth, clientHeight } = this.after.element;
    this.pane = { width: clientWidth, height: clientHeight };
    this.place();
  }

  /** Put the picture where the zoom says, or all of it in the middle. */
  place() {
    const { picture, pane } = this;
    if (picture.width === 0 || pane.width === 0) return;
    this.zoom = this.isFitted ? fitted(picture, pane) : within(this.zoom, picture, pane, this.ratio);
    const { scale, x, y } = this.zoom;
    if (scale <= fitted(picture, pane).scale) this.isFitted = true;
    const at = `translate(${pane.width / 2 - x * scale}px, ${pane.height / 2 - y * scale}px) scale(${scale})`;
    for (const { sheet } of [this.before, this.after]) sheet.style.transform = at;
    this.element.classList.toggle("is-near", scale * window.devicePixelRatio >= SQUARES);
    this.element.classList.toggle("is-fitted", this.isFitted);
    this.cross();
    this.told.moved();
  }

  /** Zoom around the middle of what is seen. @param {number} factor */
  zoomMiddle(factor) {
    this.look({ ...this.zoom, scale: this.zoom.scale * factor });
  }

  /** Where on the picture a place of the screen is. @param {number} x @param {number} y */
  placeOf(x, y) {
    const panes = [this.after, this.before].map(({ element }) => element.getBoundingClientRect());
    const box = panes.find((one) => x >= one.left && x < one.right && y >= one.top && y < one.bottom) ?? panes[0];
    return {
      x: this.zoom.x + (x - box.left - box.width / 2) / this.zoom.scale,
      y: this.zoom.y + (y - box.top - box.height / 2) / this.zoom.scale,
    };
  }

  /** @param {{x: number, y: number} | null} at @param {boolean} [marked] with a cross: the pointer does not show it */
  pointAt(at, marked = false) {
    const inside = at && at.x >= 0 && at.y >= 0 && at.x < this.picture.width && at.y < this.picture.height;
    this.at = inside ? at : null;
    this.element.classList.toggle("is-marked", marked && this.at !== null);
    this.cross();
    this.told.pointed(this.at);
  }

  cross() {
    if (!this.at) return;
    const { scale, x, y } = this.zoom;
    const left = `${this.pane.width / 2 + (this.at.x - x) * scale}px`;
    const top = `${this.pane.height / 2 + (this.at.y - y) * scale}px`;
    for (const { cross } of [this.before, this.after]) cross.style.translate = `${left} ${top}`;
  }

  listen() {
    listen(this.element, {
      zoom: (factor, x, y) => {
        const at = this.placeOf(x, y);
        const before = this.zoom.scale;
        const { scale } = within({ ...this.zoom, scale: before * factor }, this.picture, this.pane, this.ratio);
        const held = (/** @type {number} */ middle, /** @type {number} */ point) =>
          point + ((middle - point) * before) / scale;
        this.look({ scale, x: held(this.zoom.x, at.x), y: held(this.zoom.y, at.y) });
      },
      pan: (dx, dy) => {
        if (this.isFitted) return false;
        this.look({ ...this.zoom, x: this.zoom.x - dx / this.zoom.scale, y: this.zoom.y - dy / this.zoom.scale });
        return true;
      },
      hover: (x, y) => this.pointAt(this.placeOf(x, y), this.mode === "side"),
      leave: () => this.pointAt(null),
      step: (dx, dy) => this.step(dx, dy),
      zoomMiddle: (factor) => this.zoomMiddle(factor),
      toggle: (x, y) => {
        if (this.isFitted) this.look({ ...this.placeOf(x, y), scale: Math.max(3 * this.zoom.scale, 3) });
        else this.fit();
      },
      fit: () => this.fit(),
      flip: () => this.flipByHand(),
    });
  }

  /** The next pixel of the picture is pointed at, and stays in sight. @param {number} dx @param {number} dy */
  step(dx, dy) {
    const { picture, zoom, pane } = this;
    const from = this.at ?? zoom;
    const to = (/** @type {number} */ at, /** @type {number} */ size) =>
      Math.min(Math.max(Math.floor(at), 0), size - 1) + 0.5;
    const at = { x: to(from.x + dx, picture.width), y: to(from.y + dy, picture.height) };
    const [right, down] = [pane.width / zoom.scale / 2, pane.height / zoom.scale / 2];
    const seen = Math.abs(at.x - zoom.x) < right && Math.abs(at.y - zoom.y) < down;
    if (!seen) this.look({ ...at, scale: zoom.scale });
    this.pointAt(at, true);
  }

  /** The divider of a swipe: a slider by pointer and keys. */
  makeHandle() {
    const handle = document.createElement("div");
    handle.className = "divider";
    handle.tabIndex = 0;
    const facts = { role: "slider", "aria-valuemin": "0", "aria-valuemax": "100", "aria-orientation": "horizontal" };
    for (const [name, value] of Object.entries(facts)) handle.setAttribute(name, value);
    handle.append(document.createElement("span"));
    handle.addEventListener("pointerdown", (event) => {
      event.stopPropagation();
      handle.setPointerCapture(event.pointerId);
    });
    handle.addEventListener("pointermove", (event) => {
      event.stopPropagation();
      if (!handle.hasPointerCapture(event.pointerId)) return;
      const { left, width } = this.element.getBoundingClientRect();
      this.divide((event.clientX - left) / width);
    });
    handle.addEventListener("dblclick", (event) => event.stopPropagation());
    handle.addEventListener("keydown", (event) => {
      const small = /** @type {Record<string, number>} */ ({
        ArrowLeft: -1,
        ArrowDown: -1,
        ArrowRight: 1,
        ArrowUp: 1,
        PageDown: -10,
        PageUp: 10,
      })[event.key];
      const end = /** @type {Record<string, number>} */ ({ Home: 0, End: 1 })[event.key];
      if (small === undefined && end === undefined) return;
      event.preventDefault();
      this.divide(end ?? this.divider + small / 100);
    });
    return handle;
  }
}

/** What looks at the picture, or at the result: a sheet of canvases that moves behind a frame. */
class Pane {
  /** @param {string} name */
  constructor(name) {
    this.element = document.createElement("div");
    this.element.className = `pane ${name}`;
    this.sheet = document.createElement("div");
    this.sheet.className = "sheet";
    this.canvas = document.createElement("canvas");
    this.canvas.setAttribute("role", "img");
    this.cross = document.createElement("div");
    this.cross.className = "cross";
    this.sheet.append(this.canvas);
    this.element.append(this.sheet, this.cross);
  }
}
