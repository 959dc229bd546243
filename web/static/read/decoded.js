// Pictures that the browser decodes: JPEG, WebP, GIF, BMP; turned by their EXIF, their colours as stored.

import { checkSize, damaged, picture } from "../image.js";

/** @typedef {import("../image.js").Image} Image */

/** @param {string} name @param {Uint8Array<ArrayBuffer>} data @param {string} type @returns {Promise<Image>} */
export async function readDecoded(name, data, type) {
  const blob = new Blob([data], { type });
  const bitmap = await createImageBitmap(blob, { colorSpaceConversion: "none" }).catch((error) => {
    throw damaged(name, error);
  });
  const { width, height } = bitmap;
  checkSize(name, width, height);
  const canvas = new OffscreenCanvas(width, height);
  const on = /** @type {OffscreenCanvasRenderingContext2D} */ (canvas.getContext("2d", { willReadFrequently: true }));
  on.fillRect(0, 0, width, height); // what is transparent is black
  on.drawImage(bitmap, 0, 0);
  bitmap.close();
  const rgba = on.getImageData(0, 0, width, height).data;
  const channels = type === "image/jpeg" && components(data) === 1 ? 1 : 3;
  const pixels = new Uint8Array(width * height * channels);
  for (let i = 0, j = 0; j < pixels.length; i += 4) {
    for (let c = 0; c < channels; c++, j++) pixels[j] = rgba[i + c];
  }
  return picture(name, pixels, [height, width, channels]);
}

/** How many channels a JPEG has, by its frame header. @param {Uint8Array} data */
function components(data) {
  for (let at = 2; at + 9 < data.length && data[at] === 0xff; ) {
    const marker = data[at + 1];
    const isFrame = marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker);
    if (isFrame) return data[at + 9];
    at += 2 + ((data[at + 2] << 8) | data[at + 3]);
  }
  return 3;
}
