// A packed result on two canvases, what is drawn of it and its picture: all of it at the shown size, or a tile.

import { draw, pictureOf } from "./draw.js";
import { opaque } from "./scale.js";

/** @typedef {import("./facts.js").Drawn} Drawn */
/** @typedef {import("./place.js").Box} Box */
/** @typedef {import("./unpack.js").Packed} Packed */

export class Layer {
  /**
   * @param {Packed} packed
   * @param {HTMLCanvasElement} [result]
   * @param {HTMLCanvasElement} [picture]
   * @param {{keep?: boolean}} [how] keep: what is on the canvases, until they are drawn
   */
  constructor(packed, result = canvas(), picture = canvas(), { keep = false } = {}) {
    this.packed = packed;
    this.result = result;
    this.picture = picture;
    const [top, left] = [packed.top ?? 0, packed.left ?? 0];
    const whole = packed.top === undefined;
    /** @type {Box} in pixels of the full size */
    this.box = {
      top,
      left,
      bottom: whole ? packed.full[0] : top + packed.height,
      right: whole ? packed.full[1] : left + packed.width,
    };
    this.isDrawn = false;
    this.isPictured = false;
    for (const one of [result, picture]) {
      if (keep && one.width === packed.width && one.height === packed.height) continue;
      one.width = packed.width;
      one.height = packed.height;
    }
  }

  /** Put it where it lies on a sheet of the whole picture at the shown size. @param {Packed} whole */
  put(whole) {
    const [down, right] = [whole.height / whole.full[0], whole.width / whole.full[1]];
    const { top, left, bottom, right: end } = this.box;
    for (const { style } of [this.result, this.picture]) {
      style.top = `${top * down}px`;
      style.left = `${left * right}px`;
      style.height = `${(bottom - top) * down}px`;
      style.width = `${(end - left) * right}px`;
    }
  }

  /** @param {Drawn} drawn */
  draw(drawn) {
    if (!this.isDrawn) this.show(this.result, draw(this.packed, drawn));
    this.isDrawn = true;
    if (!this.isPictured && drawn.compare !== "off") {
      const channels = pictureOf(this.packed, drawn.window);
      const [red, green, blue] = channels.length === 3 ? channels : [channels[0], channels[0], channels[0]];
      const pixels = Uint32Array.from(red, (value, i) => opaque(value, green[i], blue[i]));
      this.show(this.picture, new Uint8ClampedArray(pixels.buffer));
      this.isPictured = true;
    }
  }

  /** @param {HTMLCanvasElement} on @param {Uint8ClampedArray<ArrayBuffer>} pixels */
  show(on, pixels) {
    const { width, height } = this.packed;
    context(on).putImageData(new ImageData(pixels, width, height), 0, 0);
  }

  remove() {
    this.result.remove();
    this.picture.remove();
  }
}

/** @param {HTMLCanvasElement} of */
export function context(of) {
  return /** @type {CanvasRenderingContext2D} */ (of.getContext("2d"));
}

/** A canvas of a tile: what it shows is said by that of the whole. */
function canvas() {
  const made = document.createElement("canvas");
  made.setAttribute("aria-hidden", "true");
  return made;
}
