// Where things lie: the pixels that are shown of the full size, the part that is seen when zoomed, tiles of it.

/** Where a pane looks. scale: pixels of the screen's own measure for each shown pixel; x, y: shown pixel in its middle. */
/** @typedef {{scale: number, x: number, y: number}} Zoom */
/** @typedef {{width: number, height: number}} Size */
/** @typedef {{top: number, left: number, bottom: number, right: number}} Box */

export const TILE = 512;
/** So many tiles are seen at most when they are asked for: further out the shown size is nearly as fine. */
const MOST_TILES = 12;
/** A pixel of the full size is at most so large. */
const LARGEST = 40;

/**
 * All of a picture in a pane.
 * @param {Size} picture
 * @param {Size} pane
 * @returns {Zoom}
 */
export function fitted(picture, pane) {
  const scale = Math.min(pane.width / picture.width, pane.height / picture.height) || 1;
  return { scale, x: picture.width / 2, y: picture.height / 2 };
}

/**
 * The nearest to a zoom that leaves nothing empty that could be filled.
 * @param {Zoom} zoom
 * @param {Size} picture
 * @param {Size} pane
 * @param {number} ratio pixels of the full size for each shown one
 * @returns {Zoom}
 */
export function within(zoom, picture, pane, ratio) {
  const least = fitted(picture, pane).scale;
  const scale = Math.min(Math.max(zoom.scale, least), Math.max(least, LARGEST * ratio));
  const held = (/** @type {number} */ at, /** @type {number} */ size, /** @type {number} */ room) => {
    const half = room / scale / 2;
    return 2 * half >= size ? size / 2 : Math.min(Math.max(at, half), size - half);
  };
  return {
    scale,
    x: held(zoom.x, picture.width, pane.width),
    y: held(zoom.y, picture.height, pane.height),
  };
}

/**
 * The pixel of `size` in a row that the shown pixel `at` of `count` is: as `prepare.evenly`.
 * @param {number} size
 * @param {number} count
 * @param {number} at
 */
export function evenly(size, count, at) {
  const middle = (2 * at + 1) * size;
  const between = middle % (2 * count) === 0 && at % 2 === 0;
  return Math.floor(middle / (2 * count)) - (between ? 1 : 0);
}

/**
 * What a pane sees, in pixels of the full size.
 * @param {Zoom} zoom
 * @param {Size} pane
 * @param {Size} picture
 * @param {[number, number]} full
 * @returns {Box}
 */
export function seen({ scale, x, y }, pane, picture, [height, width]) {
  const [down, right] = [height / picture.height, width / picture.width];
  const [halfWidth, halfHeight] = [pane.width / scale / 2, pane.height / scale / 2];
  return {
    top: Math.max(0, Math.floor((y - halfHeight) * down)),
    left: Math.max(0, Math.floor((x - halfWidth) * right)),
    bottom: Math.min(height, Math.ceil((y + halfHeight) * down)),
    right: Math.min(width, Math.ceil((x + halfWidth) * right)),
  };
}

/** @param {Box} a @param {Box} b */
export function meets(a, b) {
  return a.top < b.bottom && b.top < a.bottom && a.left < b.right && b.left < a.right;
}

/**
 * The tiles of what is seen, those in the middle first; none where there are too many.
 * @param {Box} box
 * @param {[number, number]} full
 * @returns {Box[]}
 */
export function tilesOf(box, [height, width]) {
  const [top, left] = [Math.floor(box.top / TILE), Math.floor(box.left / TILE)];
  const rows = Math.ceil(box.bottom / TILE) - top;
  const columns = Math.ceil(box.right / TILE) - left;
  if (rows * columns > MOST_TILES) return [];
  const tiles = Array.from({ length: rows * columns }, (_, i) => {
    const [y, x] = [(top + Math.floor(i / columns)) * TILE, (left + (i % columns)) * TILE];
    return { top: y, left: x, bottom: Math.min(y + TILE, height), right: Math.min(x + TILE, width) };
  });
  const away = (/** @type {Box} */ tile) =>
    Math.hypot(tile.top + tile.bottom - box.top - box.bottom, tile.left + tile.right - box.left - box.right);
  return tiles.sort((a, b) => away(a) - away(b));
}
