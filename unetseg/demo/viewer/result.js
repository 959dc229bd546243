// A result on the screen, and what is got of it from the server: its slices, tiles of them, entropy, stored values.

import { Ahead } from "./ahead.js";
import { Refused } from "./backend.js";
import { inflated } from "./inflate.js";
import { Profile } from "./slices.js";

/** @typedef {import("./backend.js").Backend} Backend */
/** @typedef {import("./backend.js").Region} Region */
/** @typedef {import("./backend.js").Wanted} Wanted */
/** @typedef {import("./facts.js").Info} Info */
/** @typedef {import("./unpack.js").Packed} Packed */
/** @typedef {import("./viewer.js").Viewer} Viewer */

export class Result {
  /**
   * The result of a run, once its first slice is there.
   * @param {Backend} service
   * @param {Viewer} viewer
   * @param {Info} info
   * @param {Wanted} wanted what made it
   */
  static async open(service, viewer, info, wanted) {
    const ahead = new Ahead((index) => service.slice(info.key, index), info.shape[0]);
    const data = info.profile;
    const [packed, values] = await Promise.all([ahead.get(info.first), data ? inflated(data.data) : null]);
    const profile = data && values ? new Profile(data.kind, data.shape, new Uint16Array(values.buffer)) : null;
    return new Result(service, viewer, info, wanted, { ahead, packed, profile });
  }

  /**
   * @param {Backend} service
   * @param {Viewer} viewer
   * @param {Info} info
   * @param {Wanted} wanted
   * @param {{ahead: Ahead, packed: Packed, profile: Profile | null}} got
   */
  constructor(service, viewer, info, wanted, { ahead, packed, profile }) {
    this.service = service;
    this.viewer = viewer;
    this.info = info;
    this.wanted = wanted;
    this.ahead = ahead;
    this.packed = packed;
    this.profile = profile;
    this.index = info.first;
    this.isGone = false;
    /** @type {(error: unknown) => void} told of what could not be got */
    this.lost = () => undefined;
    /** @type {Set<string>} tiles that are on their way */
    this.waited = new Set();
  }

  /** Another slice, true once it is there and is still the one that is wanted. @param {number} index */
  async go(index) {
    this.index = index;
    const packed = await this.got(this.ahead.get(index));
    if (this.index !== index) return false;
    this.packed = packed;
    return true;
  }

  /** Get tiles that the viewer wants. @param {Region[]} wanted @param {() => boolean} isShown */
  tiles(wanted, isShown) {
    const { index } = this;
    for (const where of this.isGone ? [] : wanted) {
      const name = JSON.stringify([index, where]);
      if (this.waited.has(name)) continue;
      this.waited.add(name);
      this.got(this.service.tile(this.info.key, index, where))
        .then((tile) => isShown() && this.index === index && this.viewer.addTile(tile))
        .catch(() => undefined) // it was told; what is seen stays as coarse as it is
        .finally(() => this.waited.delete(name));
    }
  }

  /** Get the entropy of the slice. @param {() => boolean} isShown */
  async entropy(isShown) {
    const { index } = this;
    const plane = await this.got(this.service.entropy(this.info.key, index));
    if (isShown() && this.index === index) this.viewer.addEntropy(plane);
  }

  /** Find out what each slice of a volume shows, where that is not known yet. @param {() => void} changed */
  async fill(changed) {
    if (this.profile || this.info.shape[0] === 1) return;
    const told = (/** @type {Profile} */ profile) => {
      this.profile = profile;
      changed();
    };
    await this.service.profile?.(this.info.key, told).catch(() => undefined); // its slices tell what goes wrong
  }

  /** @param {number} x @param {number} y */
  values(x, y) {
    return this.got(this.service.values(this.info.key, this.index, x, y));
  }

  /** @param {number[]} thresholds */
  counts(thresholds) {
    return this.got(this.service.counts(this.info.key, this.index, thresholds));
  }

  /** @param {string} kind @param {Record<string, string | number>} how */
  file(kind, how) {
    return this.got(this.service.file(this.info.key, kind, how));
  }

  /** What was asked for; that it is not there is told. @template T @param {Promise<T>} promise @returns {Promise<T>} */
  got(promise) {
    return promise.catch((error) => {
      if (error instanceof Refused && error.gone) this.isGone = true;
      this.lost(error);
      throw error;
    });
  }
}
