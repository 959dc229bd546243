// The viewer: a result and its picture on canvases. It knows no server and no page; what it is given it draws.

import { draw, labels, middleOf } from "./draw.js";
import { context, Layer } from "./layer.js";
import { evenly, meets, seen, tilesOf } from "./place.js";
import { rgb } from "./scale.js";
import { Stage } from "./stage.js";

/** @typedef {import("./facts.js").Drawn} Drawn */
/** @typedef {import("./facts.js").Pointed} Pointed */
/** @typedef {import("./place.js").Box} Box */
/** @typedef {import("./place.js").Zoom} Zoom */
/** @typedef {import("./unpack.js").Packed} Packed */
/** @typedef {{palette: string[], background: string | null}} Colors */
/** @typedef {Drawn & {zoom: Zoom & {fitted: boolean}, divider: number, tilesWanted: Box[]}} State */
/**
 * onPoint: what the pointer is over. onChange: zoom and divider, and the tiles that would show what is seen more finely.
 * @typedef {{onPoint?: (pointed: Pointed | null) => void, onChange?: (state: State) => void}} Told
 */

/** @type {Drawn} */
const AT_FIRST = {
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
/** Milliseconds after the last move before tiles are asked for. */
const SETTLED = 100;
/** Milliseconds for which the view before stands while an entropy is on its way. */
const PATIENCE = 250;
/** Tiles that are kept; the longest unseen go first. */
const MOST_TILES = 32;
/** The longest side of a picture that is shown before its result, as of the result. */
const SHOWN_SIDE = 768;

export class Viewer {
  /** @param {HTMLElement} element @param {Told} [told] */
  constructor(element, told = {}) {
    this.told = told;
    /** @type {Drawn} */
    this.drawn = { ...AT_FIRST };
    /** @type {Layer | null} */
    this.base = null;
    /** @type {Map<string, Layer>} */
    this.tiles = new Map();
    /** @type {Box[]} */
    this.tilesWanted = [];
    /** @type {{bitmap: ImageBitmap, colors: Colors} | null} */
    this.previewed = null;
    this.isHeld = false;
    this.isWaiting = false;
    this.isBehind = false;
    this.stage = new Stage(element, { moved: () => this.moved(), pointed: (at) => this.pointed(at) });
    this.name({ group: "Picture and result", divider: "How much of the picture is shown", picture: "Picture" });
  }

  /** In the language of the page; picture: both panes, until more is known. @param {{group: string, divider: string, picture: string}} names */
  name({ group, divider, picture }) {
    for (const { canvas } of [this.stage.before, this.stage.after]) canvas.setAttribute("aria-label", picture);
    this.stage.element.setAttribute("aria-label", group);
    this.stage.handle.setAttribute("aria-label", divider);
  }

  /** @returns {State} */
  get state() {
    const { zoom, isFitted, divider } = this.stage;
    return { ...this.drawn, zoom: { ...zoom, fitted: isFitted }, divider, tilesWanted: this.tilesWanted };
  }

  /** Show a result, or nothing. @param {Packed | null} packed @param {{keepZoom?: boolean}} [how] */
  show(packed, { keepZoom = false } = {}) {
    const before = this.base?.packed;
    this.clear();
    if (!packed) {
      this.stage.open({ width: 0, height: 0 }, 1, false);
      return;
    }
    const isSame = before !== undefined && before.full.join() === packed.full.join();
    this.suit(packed);
    if (this.drawn.view === "entropy" && isSame && packed.entropy.size === 0) this.hold();
    this.base = new Layer(packed, this.stage.after.canvas, this.stage.before.canvas, { keep: this.isHeld });
    this.base.put(packed);
    this.stage.compare(this.drawn.compare);
    this.stage.open(packed, packed.full[1] / packed.width, keepZoom && isSame);
    this.redraw();
  }

  /** A picture whose result is not there yet; colors: of the labels that `partial` tells. @param {ImageBitmap} bitmap @param {Colors} [colors] */
  preview(bitmap, colors) {
    this.clear();
    const ratio = Math.min(1, SHOWN_SIDE / Math.max(bitmap.width, bitmap.height));
    const [width, height] = [bitmap.width, bitmap.height].map((side) => Math.max(1, Math.round(side * ratio)));
    const { canvas } = this.stage.after;
    canvas.width = width;
    canvas.height = height;
    canvas.style.cssText = `width: ${width}px; height: ${height}px`;
    const on = context(canvas);
    on.imageSmoothingQuality = "high";
    on.drawImage(bitmap, 0, 0, width, height);
    this.previewed = colors ? { bitmap, colors } : null;
    this.stage.compare("off");
    this.stage.open({ width, height }, 1, false);
  }

  /**
   * Rows of labels of a run that goes on, over the picture that is previewed.
   * @param {Uint8Array} map
   * @param {number} top
   * @param {number} of how many rows there are in all
   */
  partial(map, top, of) {
    const { width, height } = this.stage.after.canvas;
    const rows = map.length / width;
    if (!this.previewed || of !== height || !Number.isInteger(rows) || rows === 0 || top + rows > of) return;
    const { bitmap, colors } = this.previewed;
    const palette = colors.palette.map(rgb);
    const over = new OffscreenCanvas(width, rows);
    const on = /** @type {OffscreenCanvasRenderingContext2D} */ (over.getContext("2d"));
    const pixels = new ImageData(width, rows);
    map.forEach((label, i) => {
      pixels.data.set(palette[label], 4 * i);
      pixels.data[4 * i + 3] = label === 0 && colors.background !== null ? 0 : Math.round(255 * this.drawn.opacity);
    });
    on.putImageData(pixels, 0, 0);
    const canvas = context(this.stage.after.canvas);
    const down = bitmap.height / height;
    canvas.drawImage(bitmap, 0, top * down, bitmap.width, rows * down, 0, top, width, rows); // rows may come again
    canvas.drawImage(over, 0, top);
  }

  /** @param {Partial<Drawn>} changed */
  set(changed) {
    const before = this.drawn;
    this.drawn = { ...before, ...changed };
    const isOther = (/** @type {keyof Drawn} */ name) => String(before[name]) !== String(this.drawn[name]);
    if (!(/** @type {(keyof Drawn)[]} */ (Object.keys(changed)).some(isOther))) return;
    for (const layer of this.layers()) {
      layer.isDrawn = false;
      if (isOther("window")) layer.isPictured = false;
    }
    if (isOther("compare") && this.base) this.stage.compare(this.drawn.compare);
    if (this.drawn.view !== "entropy") this.release();
    this.redraw();
    if (isOther("view")) this.settle();
  }

  /** A tile of the slice that is shown. @param {Packed} packed */
  addTile(packed) {
    const whole = this.base?.packed;
    if (!whole || packed.index !== whole.index || packed.full.join() !== whole.full.join()) return;
    const layer = new Layer(packed);
    const name = JSON.stringify(layer.box);
    this.tiles.get(name)?.remove();
    this.tiles.set(name, layer);
    layer.put(whole);
    this.tilesWanted = this.tilesWanted.filter((box) => JSON.stringify(box) !== name);
    this.stage.after.sheet.append(layer.result);
    this.stage.before.sheet.append(layer.picture);
    for (const [oldest, one] of this.tiles) {
      if (this.tiles.size <= MOST_TILES) break;
      one.remove();
      this.tiles.delete(oldest);
    }
    this.redraw();
  }

  /** How undecided the slice is that is shown. @param {Packed} plane */
  addEntropy(plane) {
    const whole = this.base?.packed;
    if (!this.base || !whole || plane.height !== whole.height || plane.width !== whole.width) return;
    whole.entropy = plane.entropy;
    this.base.isDrawn = false;
    this.release();
    this.redraw();
  }

  /** @param {number} scale pixels of the screen for each shown one @param {number} x shown pixel in the middle @param {number} y */
  zoomTo(scale, x, y) {
    this.stage.look({ scale, x, y });
  }

  fit() {
    this.stage.fit();
  }

  /** The view on the screen at the shown size, drawn anew. */
  pixels() {
    if (!this.base) throw new Error("there is no result to draw; show one first");
    const { packed } = this.base;
    return new ImageData(draw(packed, this.drawn), packed.width, packed.height);
  }

  /** The end: it is seen no more. */
  close() {
    this.clear();
    this.stage.close();
  }

  clear() {
    for (const tile of this.tiles.values()) tile.remove();
    this.tiles.clear();
    this.tilesWanted = [];
    this.base = null;
    this.previewed = null;
    this.release();
    this.stage.pointAt(null);
  }

  layers() {
    return this.base ? [this.base, ...this.tiles.values()] : [];
  }

  /** What was set of another result's classes does not hold of this one's. @param {Packed} packed */
  suit({ task, levels }) {
    const { drawn } = this;
    if (drawn.thresholds.length !== task.outputs.length) drawn.thresholds = levels.map(({ own }) => own.value);
    if (drawn.visible.length !== task.labels.length) drawn.visible = task.labels.map(() => true);
    if (drawn.channel !== null && drawn.channel >= task.outputs.length) drawn.channel = null;
  }

  /** Drawn at once, but not twice before the screen shows it. */
  redraw() {
    if (this.isWaiting) {
      this.isBehind = true;
      return;
    }
    this.isWaiting = true;
    this.isBehind = false;
    requestAnimationFrame(() => {
      this.isWaiting = false;
      if (this.isBehind) this.redraw();
    });
    this.paint();
  }

  paint() {
    const { base, drawn, stage } = this;
    if (!base || drawn.thresholds.length !== base.packed.task.outputs.length) return; // its result comes next
    const { full } = base.packed;
    const box = seen(stage.zoom, stage.pane, stage.picture, full);
    const tiles = drawn.view === "entropy" ? [] : tilesOf(box, full);
    const isCovered = tiles.length > 0 && tiles.every((tile) => this.tiles.has(JSON.stringify(tile)));
    if (!this.isHeld && !isCovered) base.draw(drawn);
    for (const [name, tile] of [...this.tiles]) {
      tile.result.hidden = drawn.view === "entropy"; // of a tile there is none
      if (!meets(tile.box, box)) continue;
      if (!tile.result.hidden) tile.draw(drawn);
      this.tiles.delete(name);
      this.tiles.set(name, tile);
    }
  }

  /** The view before stands for a moment rather than that the picture flickers. */
  hold() {
    this.isHeld = true;
    this.holding = window.setTimeout(() => {
      this.release();
      this.redraw();
    }, PATIENCE);
  }

  release() {
    this.isHeld = false;
    window.clearTimeout(this.holding);
  }

  moved() {
    if (this.tiles.size) this.redraw();
    this.settle();
  }

  settle() {
    window.clearTimeout(this.settling);
    this.settling = window.setTimeout(() => {
      this.tilesWanted = this.finer();
      this.told.onChange?.(this.state);
    }, SETTLED);
  }

  /** The tiles that are not there, where shown pixels are larger than those of the screen and hide some. */
  finer() {
    const { stage, base } = this;
    if (!base || stage.isFitted || stage.ratio <= 1 || this.drawn.view === "entropy") return [];
    if (stage.zoom.scale * window.devicePixelRatio <= 1) return [];
    const box = seen(stage.zoom, stage.pane, stage.picture, base.packed.full);
    return tilesOf(box, base.packed.full).filter((tile) => !this.tiles.has(JSON.stringify(tile)));
  }

  /** @param {{x: number, y: number} | null} at a shown pixel */
  pointed(at) {
    if (!this.told.onPoint) return;
    this.told.onPoint(at && this.base ? this.pointedAt(this.base.packed, at.x, at.y) : null);
  }

  /** @param {Packed} whole @param {number} shownX @param {number} shownY @returns {Pointed} */
  pointedAt(whole, shownX, shownY) {
    const [height, width] = whole.full;
    const full = { x: Math.floor((shownX * width) / whole.width), y: Math.floor((shownY * height) / whole.height) };
    const box = { top: full.y, left: full.x, bottom: full.y + 1, right: full.x + 1 };
    const tile =
      this.drawn.view === "entropy" ? undefined : [...this.tiles.values()].find((one) => meets(one.box, box));
    const packed = tile ? tile.packed : whole;
    const [row, column] = tile
      ? [full.y - tile.box.top, full.x - tile.box.left]
      : [Math.floor(shownY), Math.floor(shownX)];
    const i = row * packed.width + column;
    const map = this.drawn.view === "argmax" ? packed.argmax : labels(packed, this.drawn.thresholds);
    return {
      x: tile ? full.x : evenly(width, whole.width, column),
      y: tile ? full.y : evenly(height, whole.height, row),
      label: map[i],
      probabilities: packed.level.map((values, k) => middleOf(packed, k, values[i])),
      hounsfield: packed.hounsfield ? packed.hounsfield[i] : null,
    };
  }
}
