// Voxels in a patient: how a volume lies as stored, and its axial slices, which run to head, back and left (grid.py).

/** @typedef {import("../image.js").Image} Image */
/** @typedef {import("../image.js").Numbers} Numbers */
/** @typedef {number[][]} Matrix 4 x 4: from the index of a voxel's middle to millimetres in RAS */

/** Degrees by which a slice may lean off the axial plane. */
export const STEEPEST = 30;
/** Hounsfield units. */
const [AIR, SOFT_TISSUE] = [
  [-1100, -850],
  [-150, 250],
];
const ORDERS = [
  [0, 1, 2],
  [0, 2, 1],
  [1, 0, 2],
  [1, 2, 0],
  [2, 0, 1],
  [2, 1, 0],
];

export class Grid {
  /** @param {[number, number, number]} shape I, J, K, the first runs fastest @param {Matrix} affine */
  constructor(shape, affine) {
    this.shape = shape;
    this.affine = affine;
    this.spacing = [0, 1, 2].map((axis) => Math.hypot(...this.step(axis)));
    // of each axis the way that it runs, in LPS
    const unit = [0, 1, 2].map((axis) =>
      this.step(axis).map((one, i) => ((i < 2 ? -1 : 1) * one) / this.spacing[axis]),
    );
    const kept = (/** @type {number[]} */ order) =>
      order.reduce((sum, axis, i) => sum + Math.abs(unit[axis][2 - i]), 0);
    /** The stored axes that become slices, rows and columns. */
    this.axes = ORDERS.reduce((best, order) => (kept(order) > kept(best) + 1e-12 ? order : best));
    this.flipped = this.axes.map((axis, i) => unit[axis][2 - i] < 0);
  }

  /** Millimetres in RAS from voxel to voxel. @param {number} axis */
  step(axis) {
    return this.affine.slice(0, 3).map((row) => row[axis]);
  }

  /** Slices, rows, columns. */
  get turnedShape() {
    return this.axes.map((axis) => this.shape[axis]);
  }

  /** Degrees between the slices' plane and the axial one. */
  get lean() {
    const [, rows, columns] = this.axes.map((axis) => this.step(axis));
    const normal = cross(rows, columns);
    return (Math.acos(Math.min(1, Math.abs(normal[2]) / Math.hypot(...normal))) * 180) / Math.PI;
  }

  /** Spacing and orientation in words. */
  description() {
    const [slices, rows, columns] = this.axes;
    const spacing = [columns, rows, slices].map((axis) => Number(this.spacing[axis].toPrecision(3)));
    const letters = [0, 1, 2].map((axis) => {
      const world = 2 - this.axes.indexOf(axis);
      const step = this.affine[world][axis] * (world < 2 ? -1 : 1);
      return "RLAPIS"[2 * world + (step > 0 ? 1 : 0)];
    });
    const lean = this.lean >= 1 ? `, ${this.lean.toFixed(0)} degrees off axial` : "";
    return `spacing ${spacing.join(" x ")} mm, stored as ${letters.join("")}${lean}`;
  }

  /** From slice, row and column to millimetres in RAS. */
  turnedAffine() {
    const turned = [0, 1, 2, 3].map((i) => [0, 0, 0, this.affine[i][3]]);
    for (const [column, axis] of this.axes.entries()) {
      for (const [i, one] of this.step(axis).entries()) {
        turned[i][column] = this.flipped[column] ? -one : one;
        if (this.flipped[column]) turned[i][3] += one * (this.shape[axis] - 1);
      }
    }
    return turned;
  }

  /** A slice as it is turned, of numbers as stored. @template {Numbers} T @param {T} stored @param {number} index @returns {T} */
  slice(stored, index) {
    const [I, J] = this.shape;
    const strides = [1, I, I * J];
    const [, height, width] = this.turnedShape;
    const [first, down, right] = this.axes.map((axis, i) => {
      const stride = strides[axis];
      return this.flipped[i] ? { start: (this.shape[axis] - 1) * stride, by: -stride } : { start: 0, by: stride };
    });
    const kind = /** @type {new (length: number) => T} */ (stored.constructor);
    const found = new kind(height * width);
    const start = first.start + index * first.by + down.start + right.start;
    for (let y = 0, i = 0; y < height; y++) {
      for (let x = 0, at = start + y * down.by; x < width; x++, at += right.by) found[i++] = stored[at];
    }
    return found;
  }
}

/**
 * A volume as an Image of axial slices.
 * @param {string} name
 * @param {Numbers} stored
 * @param {Grid} grid
 * @param {Omit<Partial<Image>, "at">} facts
 * @returns {Image}
 */
export function volume(name, stored, grid, facts) {
  const [depth, height, width] = grid.turnedShape;
  const [slices, rows, columns] = grid.axes;
  return {
    name,
    depth,
    height,
    width,
    channels: 1,
    type: stored.constructor.name.replace("Array", "").toLowerCase(),
    at: (index) => grid.slice(stored, index),
    value_range: null,
    spacing: [grid.spacing[slices], grid.spacing[rows], grid.spacing[columns]],
    affine: grid.turnedAffine(),
    ...facts,
    facts: [...(facts.facts ?? []), grid.description()],
  };
}

/** Whether numbers are Hounsfield units by their air and soft tissue. @param {Numbers} stored @param {number[]} shape */
export function looksHounsfield(stored, [I, J, K]) {
  const [i, j, k] = [I, J, K].map((side) => Math.max(1, Math.floor(side / 64)));
  let [count, air, tissue, lowest] = [0, 0, 0, Number.POSITIVE_INFINITY];
  for (let z = 0; z < K; z += k) {
    for (let y = 0; y < J; y += j) {
      for (let x = 0; x < I; x += i) {
        const value = stored[x + I * (y + J * z)];
        count += 1;
        if (value >= AIR[0] && value <= AIR[1]) air += 1;
        if (value >= SOFT_TISSUE[0] && value <= SOFT_TISSUE[1]) tissue += 1;
        if (value < lowest) lowest = value;
      }
    }
  }
  return Math.min(air, tissue) > 0.01 * count && lowest >= -8192;
}

/** @param {number[]} a @param {number[]} b */
export function cross(a, b) {
  return [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
}
