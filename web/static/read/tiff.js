// TIFF and GeoTIFF, by geotiff: numbers as stored, of the bands that are a picture.

import { fromArrayBuffer } from "geotiff";
import { checkSize, damaged, picture, Unreadable } from "../image.js";
import { turned } from "./turning.js";

/** @typedef {import("../image.js").Image} Image */
/** @typedef {import("../image.js").Numbers} Numbers */
/** @typedef {import("./reading.js").Said} Said */

/** Of PhotometricInterpretation. */
const [WHITE_IS_ZERO, PALETTE, YCBCR] = [0, 3, 6];
const TRANSPARENCY = [1, 2];

/** @param {string} name @param {Uint8Array<ArrayBuffer>} data @param {Said} said @returns {Promise<Image>} */
export async function readTiff(name, data, said) {
  const opened = await fromArrayBuffer(data.buffer).catch((error) => {
    throw damaged(name, error);
  });
  const file = await opened.getImage().catch((error) => {
    throw damaged(name, error);
  });
  const [width, height, count] = [file.getWidth(), file.getHeight(), file.getSamplesPerPixel()];
  checkSize(name, width, height);
  const tag = (/** @type {any} */ tagName) =>
    file.fileDirectory.hasTag(tagName) ? file.fileDirectory.getValue(tagName) : undefined;
  const photometric = tag("PhotometricInterpretation");
  const extra = [...(tag("ExtraSamples") ?? [])];
  const bits = [...(tag("BitsPerSample") ?? [1])];
  if (bits.some((one) => one % 8)) {
    throw new Unreadable(`${name} keeps ${bits[0]} bits a number, which this page doesn't read; save it as PNG`);
  }
  if (photometric === WHITE_IS_ZERO) {
    throw new Unreadable(
      `${name} stores white as zero, which this page doesn't read; save it with black as zero, or segment it in Python`,
    );
  }
  /** @type {string[]} */
  const notices = [];
  const bands = bandsOf(
    name,
    count,
    extra.some((kind) => TRANSPARENCY.includes(kind)),
    said,
    notices,
  );
  const isMixed = photometric === PALETTE || photometric === YCBCR;
  const read = isMixed
    ? file.readRGB({ interleave: true })
    : file.readRasters({ interleave: true, samples: bands.map((band) => band - 1) });
  const raster = /** @type {Numbers | Float64Array} */ (
    /** @type {unknown} */ (
      await read.catch((error) => {
        throw damaged(name, error);
      })
    )
  );
  const channels = isMixed ? 3 : bands.length;
  const numbers = /** @type {Numbers} */ (raster instanceof Float64Array ? Float32Array.from(raster) : plain(raster));
  const nodata = file.getGDALNoData();
  const valid = nodata === null || isMixed ? null : validOf(numbers, channels, Math.fround(nodata));
  if (valid) for (let i = 0; i < valid.length; i++) if (!valid[i]) numbers.fill(0, i * channels, (i + 1) * channels);
  if (numbers instanceof Float32Array && !numbers.every(Number.isFinite)) {
    throw new Unreadable(`${name} holds values that are not finite; declare them as nodata, or replace them`);
  }
  const isPlaced = tag("ModelPixelScale") !== undefined || tag("ModelTransformation") !== undefined;
  const orientation = isPlaced ? 1 : (tag("Orientation") ?? 1);
  const [pixels, shape] = turned(numbers, [height, width, channels], orientation);
  const image = { ...picture(name, pixels, shape), notices };
  if (isPlaced && image.type !== "uint8") image.value_range = null; // measured, and seldom up to the last number
  if (!isPlaced && (await opened.getImageCount()) > 1) notices.push(`${name} has several frames; the first is used`);
  if (!valid) return image;
  const [turnedValid] = turned(valid, [height, width, 1], orientation);
  return { ...image, valid: () => turnedValid };
}

/** Which bands are the channels; the first is 1. @param {string} name @param {number} count @param {boolean} isTransparent @param {Said} said @param {string[]} notices */
function bandsOf(name, count, isTransparent, said, notices) {
  const wanted = (said.bands ?? "")
    .split(/[\s,]+/)
    .filter(Boolean)
    .map(Number);
  if (wanted.length) {
    if (wanted.every((band) => Number.isInteger(band) && band >= 1 && band <= count)) return wanted;
    throw new Unreadable(`${name} has ${count} bands, the first is 1; got ${said.bands}, choose from 1 to ${count}`);
  }
  const colours = count - (isTransparent ? 1 : 0);
  if (colours === 1) return [1];
  if (colours === 2) throw new Unreadable(`${name} has ${count} bands, which are no picture; choose one or three`);
  if (colours > 3 || isTransparent) {
    notices.push(`${name} has ${count} bands; bands 1, 2, 3 are taken as red, green and blue (others can be said)`);
  }
  return [1, 2, 3];
}

/** An array of its own kind, whatever the decoder made of it. @param {Numbers} raster */
function plain(raster) {
  return raster.slice();
}

/** Where there is data. @param {Numbers} numbers @param {number} channels @param {number} nodata */
function validOf(numbers, channels, nodata) {
  const isNothing = (/** @type {number} */ value) => value === nodata || Number.isNaN(value);
  // 0 and 255 are also numbers of pictures: there is nothing where all bands say so
  const isPicture = numbers instanceof Uint8Array || numbers instanceof Uint16Array;
  const valid = new Uint8Array(numbers.length / channels).fill(1);
  let isAll = true;
  for (let i = 0; i < valid.length; i++) {
    const some = numbers.subarray(i * channels, (i + 1) * channels);
    if (isPicture ? some.every(isNothing) : some.some(isNothing)) {
      valid[i] = 0;
      isAll = false;
    }
  }
  return isAll ? null : valid;
}
