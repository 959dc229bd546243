// Slices on their way: those beside the one that is seen are got ahead, and the last ones stay.

/** @typedef {import("./unpack.js").Packed} Packed */

/** Bytes of unpacked slices that stay; one slice stays in any case. */
const KEPT = 200e6;
const BESIDE = 3;

export class Ahead {
  /** @param {(index: number) => Promise<Packed>} get @param {number} count of the slices */
  constructor(get, count) {
    this.load = get;
    this.count = count;
    /** @type {Map<number, {slice: Promise<Packed>, bytes: number}>} the longest unused first */
    this.kept = new Map();
  }

  /** A slice; those that are likely next are on their way from now on. @param {number} index @returns {Promise<Packed>} */
  async get(index) {
    const slice = await this.one(index);
    for (let step = 1; step <= BESIDE; step += 1) {
      for (const next of [index + step, index - step]) {
        if (next >= 0 && next < this.count) this.one(next).catch(() => undefined); // asked for again when it is seen
      }
    }
    return slice;
  }

  /** Whether a slice is there without waiting, as far as is known. @param {number} index */
  has(index) {
    return (this.kept.get(index)?.bytes ?? 0) > 0;
  }

  /** @param {number} index */
  one(index) {
    const before = this.kept.get(index);
    if (before) {
      this.kept.delete(index);
      this.kept.set(index, before);
      return before.slice;
    }
    const entry = { slice: this.load(index), bytes: 0 };
    this.kept.set(index, entry);
    entry.slice.then(
      (packed) => {
        entry.bytes = packed.bytes;
        this.drop();
      },
      () => this.kept.delete(index),
    );
    return entry.slice;
  }

  drop() {
    let bytes = [...this.kept.values()].reduce((sum, entry) => sum + entry.bytes, 0);
    for (const [index, entry] of this.kept) {
      if (bytes <= KEPT || this.kept.size <= 2 * BESIDE + 1) return;
      this.kept.delete(index);
      bytes -= entry.bytes;
    }
  }
}
