// A result on a canvas: views, comparison with the picture, zoom and pan, the pointer. It knows no page and no server.

import { draw, drawLabels, labels } from "./draw.js";

/** @typedef {import("./draw.js").Options} Drawn */
/** @typedef {import("./unpack.js").Packed} Packed */
/** @typedef {Drawn & {compare: "off" | "swipe" | "side" | "blink"}} Options */
/** @typedef {{top: number, left: number, bottom: number, right: number}} Region of the full size */
/** @typedef {{x: number, y: number, label: number, probabilities: number[], hounsfield: number | null}} Pointed */
/**
 * @typedef {object} Told
 * @property {(pointed: Pointed | null) => void} [onPoint] what is under the pointer, in pixels of the full size
 * @property {(state: {zoom: number, x: number, y: number, tilesWanted: Region[]}) => void} [onChange]
 */

/** Pixels a side, of the full size, that are asked for at once. */
const TILE = 512;
const MOST_TILES = 48;
/** Of the screen for one pixel of the full size. */
const CLOSEST = 48;
const BLINK = 700;
/** After the last change of zoom or place before tiles are asked for, in milliseconds. */
const RESTS = 120;
const STEP = 1.25;

export class Viewer {
  /** @param {HTMLElement} element that it fills @param {Told} told */
  constructor(element, told = {}) {
    this.element = element;
    this.told = told;
    this.canvas = document.createElement("canvas");
    this.canvas.className = "viewer-canvas";
    this.canvas.tabIndex = 0;
    this.canvas.setAttribute("role", "img");
    this.swipe = document.createElement("input");
    Object.assign(this.swipe, { type: "range", min: "0", max: "100", step: "1", value: "50", className: "viewer-swipe" });
    this.swipe.hidden = true;
    element.classList.add("viewer");
    element.append(this.canvas, this.swipe);
    /** @type {Options} */
    this.options = {
      view: "overlay",
      channel: null,
      thresholds: [],
      scale: "perceptual",
      opacity: 0.45,
      outline: false,
      visible: [],
      band: 0,
      window: null,
      compare: "off",
    };
    /** @type {Packed | null} */
    this.packed = null;
    /** @type {ImageBitmap | null} */
    this.bitmap = null;
    /** @type {Packed[]} */
    this.tiles = [];
    /** @type {Map<Packed, {view: HTMLCanvasElement | null, picture: HTMLCanvasElement | null}>} */
    this.made = new Map();
    /** @type {{packed: Packed, key: string, labels: Uint8Array} | null} */
    this.decided = null;
    /** @type {HTMLCanvasElement | null} */
    this.rows = null;
    this.center = { x: 0.5, y: 0.5 }; // of height and width
    this.zoom = 0; // of the screen for a pixel of the full size; 0: all of it fits
    this.blinks = false;
    /** @type {number | undefined} */
    this.blinking = undefined;
    /** @type {number | undefined} */
    this.resting = undefined;
    this.painting = 0;
    /** @type {Map<number, {x: number, y: number}>} */
    this.pointers = new Map();
    this.calm = window.matchMedia("(prefers-reduced-motion: reduce)");
    this.calm.addEventListener("change", () => this.blink());
    this.listen();
    new ResizeObserver(() => this.paint()).observe(element);
  }

  /** A slice of a result, or null for nothing. @param {Packed | null} packed @param {{keepZoom?: boolean}} [how] */
  show(packed, { keepZoom = true } = {}) {
    this.packed = packed;
    this.bitmap = null;
    this.rows = null;
    this.tiles = [];
    this.made.clear();
    if (!keepZoom || !packed) this.fit();
    this.told.onPoint?.(null);
    this.paint();
    this.rest();
  }

  /** A picture alone, before there is a result. @param {ImageBitmap} bitmap */
  preview(bitmap) {
    this.show(null);
    this.bitmap = bitmap;
    this.paint();
  }

  /**
   * Labels over the picture of a run that goes on, from the row `top` of `of` at the shown size.
   * @param {Uint8Array} found
   * @param {number} top
   * @param {number} of
   * @param {{palette: string[], background: string | null}} colours
   */
  partial(found, top, of, colours) {
    if (!this.bitmap || !found.length) return;
    const width = Math.round((this.bitmap.width * of) / this.bitmap.height);
    const height = found.length / width;
    if (!Number.isInteger(height)) return; // it is of another size than the picture, which the result will show
    this.rows ??= sized(width, of);
    put(this.rows, drawLabels(found, colours, this.options.opacity), width, height, top);
    this.paint();
  }

  /** @param {Partial<Options>} changed */
  set(changed) {
    const compared = changed.compare !== undefined && changed.compare !== this.options.compare;
    Object.assign(this.options, changed);
    for (const made of this.made.values()) {
      made.view = null;
      if (changed.window !== undefined) made.picture = null;
    }
    this.swipe.hidden = this.options.compare !== "swipe";
    if (compared) this.blink();
    this.paint();
  }

  /** A part of the slice at full size. @param {Packed} tile */
  addTile(tile) {
    if (tile.index !== this.packed?.index) return;
    this.tiles = [tile, ...this.tiles].slice(0, MOST_TILES);
    for (const one of this.made.keys()) if (one !== this.packed && !this.tiles.includes(one)) this.made.delete(one);
    this.paint();
  }

  /** @param {{entropy: Uint8Array[]}} planes */
  addEntropy({ entropy }) {
    if (!this.packed || entropy[0]?.length !== this.packed.argmax.length) return;
    this.packed.entropy = entropy;
    this.made.delete(this.packed);
    this.paint();
  }

  /** How much of the screen a pixel of the full size takes, and which is in the middle. */
  get state() {
    const [height, width] = this.size;
    return { zoom: this.scale, x: this.center.x * width, y: this.center.y * height };
  }

  /** All of it. */
  fit() {
    this.zoom = 0;
    this.center = { x: 0.5, y: 0.5 };
    this.moved();
  }

  /** @param {number} zoom of the screen for a pixel of the full size @param {number} [x] in the middle @param {number} [y] */
  zoomTo(zoom, x = this.state.x, y = this.state.y) {
    const [height, width] = this.size;
    const least = this.least;
    this.zoom = zoom <= least * 1.001 ? 0 : Math.min(zoom, Math.max(CLOSEST, least));
    // no further than that a side of the picture is at a side of the screen
    const [halfWidth, halfHeight] = [this.room.width, this.room.height].map((side) => side / 2 / this.scale);
    this.center.x = halfWidth * 2 >= width ? 0.5 : Math.min(width - halfWidth, Math.max(halfWidth, x)) / width;
    this.center.y = halfHeight * 2 >= height ? 0.5 : Math.min(height - halfHeight, Math.max(halfHeight, y)) / height;
    this.moved();
  }

  /** The view at the shown size, red, green, blue and alpha. @returns {Uint8ClampedArray | null} */
  pixels() {
    const drawn = this.packed && draw(this.packed, this.options);
    return drawn && new Uint8ClampedArray(drawn.buffer);
  }

  /** [height, width] of the full size. @returns {[number, number]} */
  get size() {
    if (this.packed) return this.packed.full;
    return this.bitmap ? [this.bitmap.height, this.bitmap.width] : [1, 1];
  }

  /** Of the screen, for one picture: half of it side by side. */
  get room() {
    const { clientWidth, clientHeight } = this.element;
    return { width: this.options.compare === "side" ? clientWidth / 2 : clientWidth, height: clientHeight };
  }

  /** The zoom at which all of it fits. */
  get least() {
    const [height, width] = this.size;
    return Math.max(Math.min(this.room.width / width, this.room.height / height), 1e-6);
  }

  get scale() {
    return this.zoom || this.least;
  }

  moved() {
    this.canvas.classList.toggle("is-zoomed", this.zoom > 0);
    this.paint();
    this.rest();
  }

  /** Once it stays where it is, what lies there is asked for at full size. */
  rest() {
    window.clearTimeout(this.resting);
    this.resting = window.setTimeout(() => {
      this.told.onChange?.({ ...this.state, tilesWanted: this.wanted() });
    }, RESTS);
  }

  /** Tiles that are on the screen, finer than what is shown, and not there. @returns {Region[]} */
  wanted() {
    const { packed } = this;
    const [height, width] = this.size;
    if (!packed || !this.zoom || (packed.height === height && packed.width === width)) return [];
    if ((this.scale * window.devicePixelRatio * width) / packed.width < 1.2) return []; // what is shown is fine enough
    const { x, y } = this.state;
    const [halfWidth, halfHeight] = [this.room.width, this.room.height].map((side) => side / 2 / this.scale);
    const wanted = [];
    for (let top = TILE * Math.max(0, Math.floor((y - halfHeight) / TILE)); top < Math.min(height, y + halfHeight); top += TILE) {
      for (let left = TILE * Math.max(0, Math.floor((x - halfWidth) / TILE)); left < Math.min(width, x + halfWidth); left += TILE) {
        if (this.tiles.some((tile) => tile.top === top && tile.left === left)) continue;
        wanted.push({ top, left, bottom: Math.min(height, top + TILE), right: Math.min(width, left + TILE) });
      }
    }
    return wanted.length > MOST_TILES / 2 ? [] : wanted;
  }

  /** View and picture of a slice or tile, drawn when they are needed. @param {Packed} packed @param {"view" | "picture"} what */
  canvasOf(packed, what) {
    let made = this.made.get(packed);
    if (!made) {
      made = { view: null, picture: null };
      this.made.set(packed, made);
    }
    made[what] ??= this.drawnOf(packed, what);
    return made[what];
  }

  /** @param {Packed} packed @param {"view" | "picture"} what */
  drawnOf(packed, what) {
    const options = what === "view" ? this.options : /** @type {Options} */ ({ ...this.options, view: "picture", band: 0 });
    const drawn = draw(packed, options);
    if (!drawn) return null;
    const canvas = sized(packed.width, packed.height);
    put(canvas, drawn, packed.width, packed.height, 0);
    return canvas;
  }

  /** Before the browser shows the next frame. */
  paint() {
    if (!this.painting) this.painting = requestAnimationFrame(() => this.painted());
  }

  painted() {
    this.painting = 0;
    const { clientWidth, clientHeight } = this.element;
    const ratio = window.devicePixelRatio;
    const [width, height] = [Math.round(clientWidth * ratio), Math.round(clientHeight * ratio)];
    if (this.canvas.width !== width || this.canvas.height !== height) Object.assign(this.canvas, { width, height });
    const context = context2d(this.canvas);
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, width, height);
    context.scale(ratio, ratio);
    const { compare } = this.options;
    const all = { left: 0, width: clientWidth };
    if (compare === "side") {
      this.layer(context, "picture", { left: 0, width: clientWidth / 2 }, all);
      this.layer(context, "view", { left: clientWidth / 2, width: clientWidth / 2 }, all);
    } else if (compare === "swipe") {
      const at = (clientWidth * Number(this.swipe.value)) / 100;
      this.layer(context, "picture", all, { left: 0, width: at });
      this.layer(context, "view", all, { left: at, width: clientWidth - at });
      context.fillStyle = "#fff";
      context.fillRect(at - 1, 0, 2, clientHeight);
    } else {
      this.layer(context, compare === "blink" && this.blinks ? "picture" : "view", all, all);
    }
  }

  /**
   * @param {CanvasRenderingContext2D} context
   * @param {"view" | "picture"} what
   * @param {{left: number, width: number}} room in which it lies in the middle
   * @param {{left: number, width: number}} clip what of it is seen
   */
  layer(context, what, room, clip) {
    const [height, width] = this.size;
    const { scale } = this;
    const [wide, high] = [width * scale, height * scale];
    const left = room.left + room.width / 2 - this.center.x * wide;
    const top = this.room.height / 2 - this.center.y * high;
    context.save();
    context.beginPath();
    context.rect(Math.max(room.left, clip.left), 0, Math.min(room.width, clip.width), this.room.height);
    context.clip();
    /** @param {CanvasImageSource & {width: number}} image @param {number[]} place @param {number} pixels of the full size */
    const drawImage = (image, [x, y, w, h], pixels) => {
      context.imageSmoothingEnabled = (w / image.width) * window.devicePixelRatio < 1;
      context.imageSmoothingQuality = "high";
      if (pixels > 0) context.drawImage(image, x, y, w, h);
    };
    const whole = this.packed ? (this.canvasOf(this.packed, what) ?? this.canvasOf(this.packed, "picture")) : this.bitmap;
    if (whole) drawImage(whole, [left, top, wide, high], width);
    if (this.rows && what === "view") drawImage(this.rows, [left, top, wide, high], width);
    if (this.zoom > 0 && this.options.view !== "entropy") {
      for (const tile of this.tiles) {
        const canvas = this.canvasOf(tile, what);
        const place = [left + tile.left * scale, top + tile.top * scale, tile.width * scale, tile.height * scale];
        if (canvas) drawImage(canvas, place, tile.width);
      }
    }
    context.restore();
  }

  /** Picture and view in turn, by itself or, where motion is to be little, when it is clicked. */
  blink() {
    window.clearInterval(this.blinking);
    this.blinks = false;
    this.paint();
    if (this.options.compare !== "blink" || this.calm.matches) return;
    this.blinking = window.setInterval(() => {
      this.blinks = !this.blinks;
      this.paint();
    }, BLINK);
  }

  listen() {
    const { canvas } = this;
    this.swipe.addEventListener("input", () => this.paint());
    canvas.addEventListener("wheel", (event) => this.wheeled(event), { passive: false });
    canvas.addEventListener("keydown", (event) => this.pressed(event));
    canvas.addEventListener("dblclick", () => (this.zoom ? this.fit() : this.zoomTo(this.scale * 4)));
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      this.pointers.set(event.pointerId, { x: event.offsetX, y: event.offsetY });
      if (this.options.compare === "blink" && this.calm.matches) {
        this.blinks = !this.blinks;
        this.paint();
      }
    });
    canvas.addEventListener("pointermove", (event) => this.dragged(event));
    for (const end of /** @type {const} */ (["pointerup", "pointercancel"])) {
      canvas.addEventListener(end, (event) => this.pointers.delete(event.pointerId));
    }
    canvas.addEventListener("pointerleave", () => this.told.onPoint?.(null));
    canvas.addEventListener("blur", () => this.told.onPoint?.(null));
  }

  /** Where a place on the screen lies in the full size. @param {number} x @param {number} y */
  under(x, y) {
    const { room, scale, state } = this;
    const inside = this.options.compare === "side" ? x % room.width : x;
    return { x: state.x + (inside - room.width / 2) / scale, y: state.y + (y - room.height / 2) / scale };
  }

  /** Zoom so that what is under a place on the screen stays there. @param {number} factor @param {number} x @param {number} y */
  zoomAt(factor, x, y) {
    const { state } = this;
    const fixed = this.under(x, y);
    const zoom = Math.min(this.scale * factor, Math.max(CLOSEST, this.least));
    const part = 1 - this.scale / zoom;
    this.zoomTo(zoom, state.x + (fixed.x - state.x) * part, state.y + (fixed.y - state.y) * part);
  }

  /** @param {WheelEvent} event */
  wheeled(event) {
    event.preventDefault();
    const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 24 : 1;
    this.zoomAt(2 ** ((-event.deltaY * lines) / 240), event.offsetX, event.offsetY);
    this.point(event.offsetX, event.offsetY);
  }

  /** @param {PointerEvent} event */
  dragged(event) {
    const { pointers } = this;
    const before = pointers.get(event.pointerId);
    const now = { x: event.offsetX, y: event.offsetY };
    if (before) {
      const [other] = [...pointers].filter(([id]) => id !== event.pointerId).map(([, place]) => place);
      if (other) {
        const [far, near] = [now, before].map((place) => Math.hypot(place.x - other.x, place.y - other.y));
        if (near > 0) this.zoomAt(far / near, (now.x + other.x) / 2, (now.y + other.y) / 2);
      } else {
        const { state, scale } = this;
        this.zoomTo(this.scale, state.x - (now.x - before.x) / scale, state.y - (now.y - before.y) / scale);
      }
      pointers.set(event.pointerId, now);
    }
    this.point(now.x, now.y);
  }

  /** @param {KeyboardEvent} event */
  pressed(event) {
    const { state, room, scale } = this;
    const step = Math.min(room.width, room.height) / 8 / scale;
    /** @type {Record<string, () => void>} */
    const keys = {
      "+": () => this.zoomTo(scale * STEP),
      "=": () => this.zoomTo(scale * STEP),
      "-": () => this.zoomTo(scale / STEP),
      0: () => this.fit(),
      ArrowLeft: () => this.zoomTo(scale, state.x - step, state.y),
      ArrowRight: () => this.zoomTo(scale, state.x + step, state.y),
      ArrowUp: () => this.zoomTo(scale, state.x, state.y - step),
      ArrowDown: () => this.zoomTo(scale, state.x, state.y + step),
    };
    const act = event.ctrlKey || event.metaKey || event.altKey ? undefined : keys[event.key];
    if (!act || !(this.packed || this.bitmap)) return;
    event.preventDefault();
    act();
    this.point(room.width / 2, room.height / 2); // what is in the middle is what a keyboard points at
  }

  /** @param {number} x @param {number} y of the screen */
  point(x, y) {
    const { packed } = this;
    if (!packed || !this.told.onPoint) return;
    const [height, width] = packed.full;
    const place = this.under(x, y);
    const [column, row] = [Math.floor(place.x), Math.floor(place.y)];
    if (column < 0 || row < 0 || column >= width || row >= height) {
      this.told.onPoint(null);
      return;
    }
    const tile = this.tiles.find(
      (one) => row >= one.top && row < one.top + one.height && column >= one.left && column < one.left + one.width,
    );
    const part = tile ?? packed;
    const i = tile
      ? (row - tile.top) * tile.width + (column - tile.left)
      : Math.floor((place.y * packed.height) / height) * packed.width + Math.floor((place.x * packed.width) / width);
    this.told.onPoint({
      x: column,
      y: row,
      label: this.labelsOf(part)[i],
      probabilities: part.level.map((plane, k) => part.levels[k].grey[plane[i]] / 255),
      hounsfield: part.hounsfield ? part.hounsfield[i] : null,
    });
  }

  /** The decision, once for thresholds. @param {Packed} packed */
  labelsOf(packed) {
    const key = this.options.thresholds.join();
    if (this.decided?.packed !== packed || this.decided.key !== key) {
      this.decided = { packed, key, labels: labels(packed, this.options.thresholds) };
    }
    return this.decided.labels;
  }
}

/** @param {number} width @param {number} height */
function sized(width, height) {
  return Object.assign(document.createElement("canvas"), { width, height });
}

/** @param {HTMLCanvasElement} canvas */
function context2d(canvas) {
  const context = canvas.getContext("2d");
  if (!context) throw new Error("this browser draws on no canvas; take another");
  return context;
}

/** @param {HTMLCanvasElement} canvas @param {Uint32Array<ArrayBuffer>} drawn @param {number} width @param {number} height @param {number} top */
function put(canvas, drawn, width, height, top) {
  context2d(canvas).putImageData(new ImageData(new Uint8ClampedArray(drawn.buffer), width, height), 0, top);
}
