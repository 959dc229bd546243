// What is run next of what was run before: with another model, another reading, an answer, or once more.

/** @typedef {import("./facts.js").Drawn} Drawn */
/** @typedef {import("./facts.js").Model} Model */
/** @typedef {import("./backend.js").Wanted} Wanted */

/**
 * The same again, of the upload that the server keeps under a key, if it does.
 * @param {Wanted} wanted
 * @param {string | undefined} key
 * @returns {Wanted}
 */
export function anew(wanted, key) {
  const { files, again, ...rest } = wanted;
  return key && wanted.example === undefined ? { ...rest, again: key } : wanted;
}

/**
 * The same again without the server's copy of its upload; null where nothing else has it.
 * @param {Wanted} wanted
 * @param {File[] | undefined} files the last ones that were sent
 * @returns {Wanted | null}
 */
export function afresh({ again, ...rest }, files) {
  if (!again) return rest;
  return files ? { ...rest, files } : null;
}

/**
 * What another model is to run: the visitor's own picture; or an example, of the kind of picture that it knows; null
 * where there is none.
 * @param {Wanted | undefined} last
 * @param {string | undefined} key
 * @param {Model | null} before
 * @param {Model} now
 * @returns {Wanted | null}
 */
export function byModel(last, key, before, now) {
  const isOwn = last && (last.files || last.again);
  const fits = last?.example !== undefined && before?.kind === now.kind;
  if (last && (isOwn || (fits && now.examples.length))) return { ...anew(last, key), model: now.name, accept: false };
  return now.examples.length ? { model: now.name, example: 0 } : null;
}

/**
 * How the next result is drawn: as the last one, but at its own thresholds.
 * @param {Drawn} drawn
 * @param {Drawn} first how the next one is drawn at first
 * @param {boolean} sameModel
 * @returns {Drawn}
 */
export function carried(drawn, first, sameModel) {
  const { view, scale, opacity, outline, compare, band } = drawn;
  const classes = sameModel ? { visible: drawn.visible, channel: drawn.channel } : {};
  return { ...first, view, scale, opacity, outline, compare, band, ...classes };
}
