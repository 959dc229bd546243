// One reader for every file: which family it is of is told by its content. Large readers come when they are wanted.

import { Unreadable } from "../image.js";
import { proposedRange } from "../prepare.js";
import { readDecoded } from "./decoded.js";
import { isPng, readPng } from "./png.js";

/** @typedef {import("../image.js").Image} Image */
/** @typedef {{value_range?: string, bands?: string, hounsfield?: boolean, series?: string}} Said of what a file doesn't say */

const MOST_BYTES = 2e9;

/** @param {File[]} files @param {Said} said @returns {Promise<Image>} */
export async function read(files, said) {
  const [{ name }] = files;
  if (files.reduce((sum, file) => sum + file.size, 0) > MOST_BYTES) {
    throw new Unreadable(
      `${name} is larger than ${MOST_BYTES / 1e9} GB, which is what a browser holds; segment it in Python`,
    );
  }
  const data = await bytes(files[0]);
  if (!data.length) throw new Unreadable(`${name} is empty (0 bytes); give a picture file`);
  return asSaid(await family(files, data, said), said);
}

/** @param {File[]} files @param {Uint8Array<ArrayBuffer>} data of the first @param {Said} said @returns {Promise<Image>} */
async function family(files, data, said) {
  const { name } = files[0];
  const text = String.fromCharCode(...data.subarray(0, 348));
  if (files.length > 1 || text.slice(128, 132) === "DICM") {
    const { isDicom, readDicom } = await import("./dicom.js");
    const all = await Promise.all(
      files.map(async (file, i) => ({ name: file.name, data: i ? await bytes(file) : data })),
    );
    if (all.some((one) => isDicom(one.data))) return readDicom(name, all, said);
    if (files.length > 1) throw new Unreadable(`${name} and others hold no DICOM; give one picture at a time`);
  }
  if (isPng(data)) return readPng(name, data);
  if (text.startsWith("\xff\xd8\xff")) return readDecoded(name, data, "image/jpeg");
  if (/^GIF8[79]a/.test(text)) return readDecoded(name, data, "image/gif");
  if (/^RIFF.{4}WEBP/s.test(text)) return readDecoded(name, data, "image/webp");
  if (/^BM.{4}\0{4}/s.test(text)) return readDecoded(name, data, "image/bmp");
  if (/^(II[*+]\0|MM\0[*+])/.test(text)) return (await import("./tiff.js")).readTiff(name, data, said);
  if (text.startsWith("\x1f\x8b") || /^.{344}(n\+1|ni1)|^.{4}(n\+2|ni2)\0/s.test(text)) {
    return (await import("./nifti.js")).readNifti(name, data, said);
  }
  throw new Unreadable(`${name} is not a readable picture; expected PNG, JPEG, TIFF, DICOM, NIfTI, BMP, GIF or WebP`);
}

/** @param {File} file */
async function bytes(file) {
  return new Uint8Array(await file.arrayBuffer());
}

/** As the visitor says that it is to be read. @param {Image} image @param {Said} said @returns {Image} */
function asSaid(image, { value_range = "", hounsfield = false }) {
  const words = value_range.trim().split(/\s+/).filter(Boolean);
  if (hounsfield && words.length) {
    throw new Unreadable("Hounsfield units go through the model's window; leave out hounsfield or the value range");
  }
  if (hounsfield && image.type === "uint8") {
    throw new Unreadable(`${image.name} holds 8 bits, which are too few for Hounsfield units; leave hounsfield out`);
  }
  if (hounsfield) return { ...image, hounsfield: true, value_range: null };
  if (!words.length) return image;
  const range = words.join() === "auto" ? proposedRange(image) : words.map(Number);
  if (range?.length !== 2 || !(range[0] < range[1])) {
    throw new Unreadable(
      `a value range is two numbers from low to high, such as 0 4095, or auto; got ${value_range.trim()}`,
    );
  }
  return { ...image, value_range: /** @type {[number, number]} */ (range), stated: true, hounsfield: false };
}
