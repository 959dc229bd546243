// DICOM series of single frames, uncompressed: by dicom-parser, as `unetseg/formats/dicom.py` reads them.

import { parseDicom } from "dicom-parser";
import { checkSize, damaged, picture, Several, Unreadable } from "../image.js";
import { cross, Grid, STEEPEST, volume } from "./grid.js";

/** @typedef {import("../image.js").Image} Image */
/** @typedef {import("./reading.js").Said} Said */
/** @typedef {ReturnType<typeof headerOf>} Header */

/** Little endian, without and with types of values; big endian. */
const UNCOMPRESSED = ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"];
/** Segmentations and parametric maps have rows and columns, but no picture of a patient. */
const MAPS = ["1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7", "1.2.840.10008.5.1.4.1.1.30"];
/** Modalities whose numbers measure something, however they are shown. */
const MEASURED = ["CT", "PT"];
/** Steps between slices may differ by this factor; beyond it a slice is missing. */
const GAP = 1.5;
/** Air, in Hounsfield units: where a scanner saw nothing. */
const OUTSIDE = -1000;
const MAX_VOXELS = 250_000_000;

/** @param {Uint8Array} data */
export function isDicom(data) {
  return data.length > 132 && String.fromCharCode(...data.subarray(128, 132)) === "DICM";
}

/** @param {string} name @param {{name: string, data: Uint8Array}[]} files @param {Said} said @returns {Image} */
export function readDicom(name, files, said) {
  const headers = chosen(name, headersOf(name, files), said.series);
  const [first] = headers;
  const wanted = `${first.rows} x ${first.columns} ${first.modality} ${first.samples}`;
  if (headers.some((one) => `${one.rows} x ${one.columns} ${one.modality} ${one.samples}` !== wanted)) {
    throw new Unreadable(`${name} mixes sizes or modalities in one series; give the slices of one kind`);
  }
  checkSize(name, first.columns, first.rows);
  if (headers.length * first.rows * first.columns > MAX_VOXELS) {
    throw new Unreadable(
      `${name} has more than ${MAX_VOXELS / 1e6} million voxels; give a part of it, or segment it in Python`,
    );
  }
  if (first.samples === 3) return colour(name, headers);
  if (first.samples !== 1 || !first.photometric.startsWith("MONOCHROME")) {
    throw new Unreadable(`${name} keeps colours as ${first.photometric}, expected grey or RGB; export it as RGB`);
  }
  const placed = arranged(name, headers);
  /** @type {string[]} */
  const notices = [...placed.notices];
  const hounsfield = isHounsfield(name, headers, said, notices);
  if (isInverted(first, headers)) {
    notices.push(`${name} stores white as its lowest value (MONOCHROME1); it was inverted`);
  }
  const { stored, valid } = numbers(placed.headers, hounsfield);
  const image = volume(name, stored, placed.grid, {
    hounsfield,
    notices,
    modality: first.modality,
    facts: [first.modality],
  });
  if (valid) image.valid = (index) => placed.grid.slice(valid, index);
  return placed.isMeasured ? image : { ...image, spacing: null, affine: null, facts: [first.modality] };
}

/** @param {string} name @param {{name: string, data: Uint8Array}[]} files */
function headersOf(name, files) {
  /** @type {Map<string, Header>} */
  const found = new Map();
  let scouts = 0;
  for (const { name: file, data } of files) {
    if (!isDicom(data)) continue;
    let header;
    try {
      header = headerOf(file, data);
    } catch (error) {
      if (error instanceof Unreadable) throw error;
      throw new Unreadable(`${file} has a damaged header; save or download it again`);
    }
    if (!header.rows || !header.columns || MAPS.includes(header.kind)) continue;
    if (header.isLocalizer) scouts += 1;
    else if (!found.has(header.instance)) found.set(header.instance, header);
  }
  if (found.size) return [...found.values()];
  if (scouts) throw new Unreadable(`${name} holds only localizers (scouts); give a series of axial slices`);
  throw new Unreadable(`${name} holds no DICOM image; give the slices of a series`);
}

/** @param {string} file @param {Uint8Array} data */
function headerOf(file, data) {
  const set = parseDicom(data);
  const text = (/** @type {string} */ tag) => (set.string(tag) ?? "").trim();
  const floats = (/** @type {string} */ tag, /** @type {number} */ count) => {
    const values = text(tag).split("\\").map(Number);
    return text(tag) && values.length === count && values.every(Number.isFinite) ? values : null;
  };
  const number = (/** @type {string} */ tag) => set.uint16(tag);
  const allocated = number("x00280100") ?? 16;
  const isSigned = number("x00280103") === 1;
  const signed = (/** @type {number} */ value) =>
    isSigned && value >> (allocated - 1) === 1 ? value - 2 ** allocated : value;
  const padding = set.elements.x00280120 && number("x00280120");
  const limit = set.elements.x00280121 && number("x00280121");
  const [slope, intercept] = ["x00281053", "x00281052"].map((tag) => floats(tag, 1)?.[0] ?? null);
  const thickness = floats("x00180088", 1) ?? floats("x00180050", 1);
  const name = [text("x00100010"), text("x00100020")]
    .join(" ")
    .toLowerCase()
    .split(/[\s^=,]+/);
  return {
    file,
    data,
    set,
    kind: text("x00080016"),
    instance: text("x00080018") || file,
    series: text("x0020000e"),
    seriesNumber: Number(text("x00200011")) || 0,
    // free text, without the words of the patient's name
    description: text("x0008103e")
      .split(" ")
      .filter((word) => !name.includes(word.toLowerCase()))
      .join(" "),
    modality: text("x00080060") || "no modality",
    isLocalizer: text("x00080008").split("\\").includes("LOCALIZER"),
    syntax: text("x00020010"),
    frames: Number(text("x00280008")) || 1,
    rows: number("x00280010") ?? 0,
    columns: number("x00280011") ?? 0,
    samples: number("x00280002") ?? 1,
    isPlanar: number("x00280006") === 1,
    photometric: text("x00280004"),
    allocated,
    bits: number("x00280101") ?? allocated,
    isSigned,
    padding: padding === undefined ? null : [signed(padding), signed(limit ?? padding)].sort((a, b) => a - b),
    position: floats("x00200032", 3),
    orientation: floats("x00200037", 6),
    spacing: floats("x00280030", 2),
    rescale: slope === null || intercept === null ? null : { slope, intercept },
    unit: text("x00281054").toUpperCase(),
    thickness: thickness && thickness[0] > 0 ? thickness[0] : null,
  };
}

/** The series that is asked for; the only one, if there is one. @param {string} name @param {Header[]} headers @param {string} [uid] */
function chosen(name, headers, uid) {
  /** @type {Map<string, Header[]>} */
  const each = new Map();
  for (const header of headers) each.set(header.series, [...(each.get(header.series) ?? []), header]);
  const [only] = each.values();
  const found = uid ? each.get(uid) : each.size === 1 ? only : null;
  if (found) {
    for (const { file, syntax, frames } of found) {
      if (!UNCOMPRESSED.includes(syntax)) {
        throw new Unreadable(
          `${file} is compressed (${syntax || "in an unnamed way"}), which this page doesn't read; save it uncompressed, or segment it in Python`,
        );
      }
      if (frames > 1) {
        throw new Unreadable(
          `${file} has ${frames} frames in one file, which this page doesn't read; give single frames, or segment it in Python`,
        );
      }
    }
    return found;
  }
  if (uid) throw new Unreadable(`${name} holds no series ${uid}; choose another`);
  const ordered = [...each.values()].sort(([a], [b]) => a.seriesNumber - b.seriesNumber);
  throw new Several(
    ordered.map((some) => {
      const { series, modality, description } = some[0];
      const slices = `${some.length} slice${some.length === 1 ? "" : "s"}`;
      return { uid: series, what: [modality, slices, description && `'${description}'`].filter(Boolean).join(", ") };
    }),
  );
}

/** The slices sorted along their normal, and where they lie. @param {string} name @param {Header[]} headers */
function arranged(name, headers) {
  /** @type {string[]} */
  const notices = [];
  const [first] = headers;
  if (headers.some(({ position, orientation, spacing }) => !position || !orientation || !spacing)) {
    if (headers.length > 1) {
      throw new Unreadable(
        `${name} has ${headers.length} slices and not every one says its position, orientation and spacing; give one of them`,
      );
    }
    notices.push(`${name} doesn't say where it lies or how thick it is; volumes are not known`);
    const plain = [0, 1, 2, 3].map((i) => [0, 1, 2, 3].map((j) => (i === j ? (i < 2 ? -1 : 1) : 0)));
    return { grid: new Grid([first.columns, first.rows, 1], plain), headers, notices, isMeasured: false };
  }
  const places = headers.map((header) => ({
    header,
    position: /** @type {number[]} */ (header.position),
    orientation: /** @type {number[]} */ (header.orientation),
    spacing: /** @type {number[]} */ (header.spacing),
  }));
  const [{ orientation, spacing }] = places;
  const [along, down] = [orientation.slice(0, 3), orientation.slice(3)];
  const isOther = places.some(
    (one) =>
      one.orientation.some((value, i) => Math.abs(value - orientation[i]) > 0.01) ||
      one.spacing.some((value, i) => Math.abs(value / spacing[i] - 1) > 0.01),
  );
  if (isOther)
    throw new Unreadable(`${name} mixes slices of several orientations or spacings; give one kind of slices`);
  const normal = cross(along, down);
  if (Math.abs(Math.hypot(...normal) - 1) > 0.02 || !(Math.min(...spacing) > 1e-6)) {
    throw new Unreadable(`${name} has an orientation or a spacing that is none; export it again`);
  }
  const lean = (Math.acos(Math.min(1, Math.abs(normal[2]))) * 180) / Math.PI;
  if (lean > STEEPEST + 0.01) {
    throw new Unreadable(
      `${name} has slices ${lean.toFixed(0)} degrees off the axial plane, expected at most ${STEEPEST}; give an axial series`,
    );
  }
  const height = (/** @type {number[]} */ at) => at.reduce((sum, one, i) => sum + one * normal[i], 0);
  places.sort((a, b) => height(a.position) - height(b.position));
  const [start, end] = [places[0].position, places[places.length - 1].position];
  let step = normal.map((one) => one * (first.thickness ?? 1));
  if (places.length > 1) {
    const spread = checkedSteps(
      name,
      places.map(({ position }) => height(position)),
    );
    if (spread > 1.01) {
      notices.push(
        `${name} has slices at uneven steps (up to ${Number(spread.toPrecision(3))} times one another); taken as even`,
      );
    }
    step = end.map((one, i) => (one - start[i]) / (places.length - 1));
  }
  const isMeasured = places.length > 1 || first.thickness !== null;
  if (!isMeasured) notices.push(`${name} doesn't say where it lies or how thick it is; volumes are not known`);
  const affine = [0, 1, 2].map((i) => {
    const sign = i < 2 ? -1 : 1; // from LPS to RAS
    return [along[i] * spacing[1], down[i] * spacing[0], step[i], start[i]].map((one) => sign * one);
  });
  const grid = new Grid([first.columns, first.rows, places.length], [...affine, [0, 0, 0, 1]]);
  return { grid, headers: places.map(({ header }) => header), notices, isMeasured };
}

/** That slices go in steps without gaps; the ratio of the largest to the smallest. @param {string} name @param {number[]} heights in order */
function checkedSteps(name, heights) {
  const steps = heights.slice(1).map((one, i) => one - heights[i]);
  const sorted = [...steps].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const median = sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
  if (sorted[0] < Math.max(0.01, median / 100)) {
    throw new Unreadable(
      `${name} has two slices at one position, as series of several phases or echoes have; give one of them`,
    );
  }
  const gap = steps.findIndex((one) => one / median >= GAP || one / median <= 1 / GAP);
  if (gap >= 0) {
    const [low, high, usual, here] = [heights[gap], heights[gap + 1], median, steps[gap]].map((one) =>
      Number(one.toFixed(2)),
    );
    throw new Unreadable(
      `${name} has steps of ${usual} mm between slices, but ${here} mm between ${low} and ${high} mm; add the missing slices, or give a part at even steps`,
    );
  }
  return sorted[sorted.length - 1] / sorted[0];
}

/** @param {string} name @param {Header[]} headers @param {Said} said @param {string[]} notices */
function isHounsfield(name, headers, said, notices) {
  if (said.hounsfield) return true;
  if (headers[0].modality !== "CT" || said.value_range) return false;
  const unit = headers.map((header) => header.unit).find((one) => one !== "" && one !== "HU");
  if (!unit && headers.every(({ rescale }) => rescale)) return true;
  const what = unit ? `in the unit '${unit}'` : "without a rescale";
  notices.push(`${name} is CT ${what}, so not taken as Hounsfield units; if it is, say so`);
  return false;
}

/** Whether white is low and numbers that measure nothing are turned round. @param {Header} header @param {Header[]} headers */
function isInverted({ photometric, modality }, headers) {
  return photometric === "MONOCHROME1" && !(MEASURED.includes(modality) && headers.every(({ rescale }) => rescale));
}

/** The numbers of all slices, rescaled; and where they are valid. @param {Header[]} headers @param {boolean} hounsfield */
function numbers(headers, hounsfield) {
  const size = headers[0].rows * headers[0].columns;
  const isWhole = headers.every(
    ({ rescale }) => !rescale || (Number.isInteger(rescale.slope) && Number.isInteger(rescale.intercept)),
  );
  const wide = new Float32Array(size * headers.length);
  let valid = null;
  let isShort = isWhole;
  for (const [k, header] of headers.entries()) {
    const { slope, intercept } = header.rescale ?? { slope: 1, intercept: 0 };
    const top = (header.isSigned ? 0 : 2 ** header.bits) - 1;
    const raw = pixelsOf(header);
    const inverted = isInverted(header, headers);
    for (let i = 0, at = k * size; i < size; i++, at++) {
      const value = raw[i];
      const isPadded = header.padding !== null && value >= header.padding[0] && value <= header.padding[1];
      if (isPadded) {
        valid ??= new Uint8Array(wide.length).fill(1);
        valid[at] = 0;
      }
      wide[at] =
        isPadded && hounsfield
          ? OUTSIDE
          : (inverted ? (header.isSigned ? -1 : top) - value : value) * slope + intercept;
      isShort &&= wide[at] >= -32768 && wide[at] <= 32767;
    }
  }
  return { stored: isShort ? Int16Array.from(wide) : wide, valid };
}

/** Numbers as stored, of so many bits. @param {Header} header */
function pixelsOf({ file, data, set, rows, columns, samples, allocated, bits, isSigned, syntax }) {
  const element = set.elements.x7fe00010;
  const count = rows * columns * samples;
  if (![8, 16].includes(allocated) || bits > allocated) {
    throw new Unreadable(
      `${file} keeps ${bits} bits in ${allocated}, which this page doesn't read; export it with 12 or 16 bits in 16`,
    );
  }
  if (!element || element.length < (count * allocated) / 8) throw damaged(file, new Error("pixels are missing"));
  const view = new DataView(data.buffer, data.byteOffset + element.dataOffset, element.length);
  const little = syntax !== UNCOMPRESSED[2];
  const found = new Int32Array(count);
  const shift = 32 - bits;
  for (let i = 0; i < count; i++) {
    const value = allocated === 8 ? view.getUint8(i) : view.getUint16(2 * i, little);
    found[i] = isSigned ? (value << shift) >> shift : (value << shift) >>> shift; // what lies above the bits is no number
  }
  return found;
}

/** A single picture in colour. @param {string} name @param {Header[]} headers */
function colour(name, headers) {
  const [header] = headers;
  const { rows, columns, photometric, allocated, isPlanar, modality } = header;
  if (headers.length > 1)
    throw new Unreadable(`${name} is in colour (${headers.length} files), expected grey slices; give one of them`);
  if (photometric !== "RGB" || allocated !== 8) {
    throw new Unreadable(
      `${name} keeps colours as ${photometric} of ${allocated} bits, expected RGB of 8; export it so`,
    );
  }
  const raw = Uint8Array.from(pixelsOf(header));
  const size = rows * columns;
  const pixels = isPlanar ? raw.map((_, i) => raw[(i % 3) * size + Math.floor(i / 3)]) : raw;
  return { ...picture(name, pixels, [rows, columns, 3]), modality, facts: [modality] };
}
