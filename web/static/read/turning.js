// Pictures turned as their EXIF says.

/** @typedef {import("../image.js").Numbers} Numbers */

/**
 * @template {Numbers} T
 * @param {T} pixels
 * @param {[number, number, number]} shape height, width, channels
 * @param {number} orientation 1 to 8
 * @returns {[T, [number, number, number]]}
 */
export function turned(pixels, [height, width, channels], orientation) {
  if (!(orientation >= 2 && orientation <= 8)) return [pixels, [height, width, channels]];
  const isLaid = orientation >= 5; // rows become columns
  const [fromBottom, fromRight] = [
    [3, 4, 6, 7],
    [2, 3, 7, 8],
  ].map((some) => some.includes(orientation));
  const [h, w] = isLaid ? [width, height] : [height, width];
  const found = pixels.slice();
  for (let y = 0, i = 0; y < h; y++) {
    for (let x = 0; x < w; x++) {
      const [down, right] = isLaid ? [x, y] : [y, x];
      const row = fromBottom ? height - 1 - down : down;
      const start = (row * width + (fromRight ? width - 1 - right : right)) * channels;
      for (let c = 0; c < channels; c++, i++) found[i] = pixels[start + c];
    }
  }
  return [/** @type {T} */ (found), [h, w, channels]];
}

/** What a block of EXIF says of how a picture is to be turned; 1, upright, where it says nothing. @param {Uint8Array | null} tiff */
export function orientationOf(tiff) {
  if (!tiff) return 1;
  const view = new DataView(tiff.buffer, tiff.byteOffset, tiff.byteLength);
  try {
    const little = view.getUint16(0) === 0x4949;
    const at = view.getUint32(4, little);
    for (let i = 0; i < view.getUint16(at, little); i++) {
      if (view.getUint16(at + 2 + 12 * i, little) === 274) return view.getUint16(at + 10 + 12 * i, little);
    }
  } catch {
    // cut off: as if it said nothing
  }
  return 1;
}
