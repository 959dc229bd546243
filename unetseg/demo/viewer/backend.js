// What the page asks of whoever computes: a server, or the browser itself.

/** @typedef {import("./facts.js").Info} Info */
/** @typedef {import("./facts.js").Limits} Limits */
/** @typedef {import("./facts.js").Model} Model */
/** @typedef {import("./slices.js").Profile} Profile */
/** @typedef {import("./unpack.js").Packed} Packed */

/**
 * What a run tells as it goes on.
 * @typedef {{state: "waiting", place: number, seconds?: number | null}
 *   | {state: "fetching", done: number, bytes: number}
 *   | {state: "reading"}
 *   | {state: "read", picture: Blob | ImageBitmap, height: number, width: number, description: string}
 *   | {state: "running", done: number, seconds?: number | null,
 *      rows?: {top: number, bottom: number, of: number, labels: string} | null}
 *   | {state: "done", result: Info}
 *   | {state: "series", series: {uid: string, what: string}[], key: string}
 *   | {state: "error", error: string, key?: string}} Event
 */

/**
 * What is to be run: files, the upload of a result again, or an example; and what their files don't say.
 * @typedef {object} Wanted
 * @property {string} model
 * @property {File[]} [files]
 * @property {string} [again]
 * @property {number} [example]
 * @property {string} [series]
 * @property {string} [value_range]
 * @property {string} [bands]
 * @property {boolean} [hounsfield]
 * @property {boolean} [accept]
 */

/** @typedef {{top: number, left: number, bottom: number, right: number}} Region in pixels of the full size */

/**
 * Results are asked for by their key, slices by their number. first: an example that is solved already, if there is
 * one. profile: of a volume whose result comes without one; told now and then, until all slices are in it. run: its promise ends with the run; cancel ends it, and the promise then stays open.
 * @typedef {object} Backend
 * @property {() => Promise<{models: Model[], limits: Limits}>} models
 * @property {(() => Promise<Info>) | null} first
 * @property {((key: string, told: (profile: Profile) => void) => Promise<void>) | null} profile
 * @property {(key: string, index: number) => Promise<Packed>} slice
 * @property {(key: string, index: number) => Promise<Packed>} entropy
 * @property {(key: string, index: number, where: Region) => Promise<Packed>} tile
 * @property {(key: string, index: number, x: number, y: number) => Promise<{values: number[], place: unknown}>} values
 * @property {(key: string, index: number, thresholds: number[]) => Promise<number[]>} counts
 * @property {(key: string, kind: string, how: Record<string, string | number>) =>
 *   Promise<{blob: Blob, name: string}>} file
 * @property {(wanted: Wanted, told: {uploading: (share: number) => void, event: (event: Event) => void}) =>
 *   {ended: Promise<void>, cancel: () => void}} run
 */

/** An answer that is none. gone: the result is kept no more. reached: whether there was an answer at all. */
export class Refused extends Error {
  /** @param {string} sentence @param {{gone?: boolean, reached?: boolean}} [how] */
  constructor(sentence, { gone = false, reached = true } = {}) {
    super(sentence);
    this.gone = gone;
    this.reached = reached;
  }
}
