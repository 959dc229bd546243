// What the page is told of models and results, in types only: a server says it, or a page that computes by itself.

/**
 * @typedef {"probability" | "thresholded" | "argmax" | "overlay" | "entropy" | "picture"} View
 * @typedef {"off" | "swipe" | "side" | "blink"} Compare
 */

/**
 * How a view is drawn, as the viewer takes it. channel: of the outputs; null for all of them.
 * @typedef {object} Drawn
 * @property {View} view
 * @property {number | null} channel
 * @property {number[]} thresholds one for each output
 * @property {"perceptual" | "grey"} scale
 * @property {number} opacity
 * @property {boolean} outline
 * @property {boolean[]} visible one for each label
 * @property {number} band
 * @property {[number, number] | null} window level and width
 * @property {Compare} compare
 */

/**
 * @typedef {object} Task
 * @property {string} kind
 * @property {boolean} exclusive
 * @property {string | null} background
 * @property {string[]} labels
 * @property {string[]} outputs
 * @property {string[]} palette
 */

/** @typedef {{threshold: number, precision: number | null, recall: number | null, dice: number | null}} Point */

/**
 * @typedef {object} Model
 * @property {string} name
 * @property {string} title
 * @property {"ct" | "aerial" | "digits" | "other"} kind
 * @property {string} task
 * @property {string[]} outputs
 * @property {string[]} labels
 * @property {string[]} palette
 * @property {string | null} background
 * @property {number[]} thresholds
 * @property {Record<string, Point[]>} curve
 * @property {{split: string, pictures?: number | null, mean_group_dice?: number | null, miou?: number | null,
 *   accuracy?: number | null, picture_accuracy?: number | null}[]} scores
 * @property {string | null} licence
 * @property {boolean} medical
 * @property {string} card HTML that the server made safe
 * @property {string} source
 * @property {string | null} commit
 * @property {boolean} gate
 * @property {{name: string, thumbnail: string}[]} examples
 */

/** expires_s: for which what is sent is kept; null where nothing is sent. @typedef {{bytes: number, expires_s: number | null, per_hour_bytes: number | null}} Limits */

/**
 * @typedef {object} Proposal
 * @property {number} view
 * @property {boolean} inverted
 * @property {[number, number] | null} window
 * @property {number} zoom
 * @property {string} words
 */

/**
 * @typedef {object} GateFacts
 * @property {number | null} distance
 * @property {number | null} limit
 * @property {boolean} foreign
 * @property {Proposal | null} proposal
 * @property {Proposal | null} accepted
 */

/**
 * Why nothing may be found. highest: of each class the highest probability, and the threshold that would show a
 * thousandth. here, there: the 5th, 50th and 95th percentile of the picture and of the training's, from 0 to 1.
 * @typedef {object} Nothing
 * @property {boolean} found
 * @property {{output: string, highest: number, shows: number | null}[]} highest
 * @property {number[] | null} here
 * @property {number[] | null} there
 */

/** @typedef {{area_m2?: number, area_mm2?: number, volume_mm3?: number}} Unit what a pixel or voxel measures */

/**
 * @typedef {object} Info
 * @property {string} key
 * @property {string} model
 * @property {string} name
 * @property {boolean} synthetic
 * @property {string} description
 * @property {[number, number, number]} shape
 * @property {[number, number]} shown
 * @property {number} first
 * @property {boolean} hounsfield
 * @property {[number, number] | null} window
 * @property {number} seconds
 * @property {string} source
 * @property {string | null} commit
 * @property {{kind: "webgpu" | "wasm", threads: number}} [ran] what of the browser computed it
 * @property {string[]} notices
 * @property {GateFacts | null} gate
 * @property {Nothing | null} nothing
 * @property {number | null} agreement
 * @property {Record<string, number> | null} picture what it shows as a whole: probabilities by class
 * @property {{metres: number | null, crs: string, transform: number[]} | null} ground
 * @property {[number, number, number] | null} spacing
 * @property {number[][] | null} affine
 * @property {Unit | null} unit
 * @property {{kind: "claims" | "labels", shape: number[], data: string} | null} profile zlib of uint16 in base64
 * @property {{kind: string, name: string, family: string, names_patient?: boolean}[]} downloads
 * @property {number[]} thresholds
 */

/**
 * What the pointer is over, in pixels of the full size. label: an id.
 * @typedef {{x: number, y: number, label: number, probabilities: number[], hounsfield?: number | null}} Pointed
 */

export {};
