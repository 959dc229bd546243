// The colours of numbers from 0 to 1: grey, or viridis, which rises evenly in lightness and is told apart by the
// colour-blind.

/** Every fifth colour of viridis: Stéfan van der Walt and Nathaniel Smith, 2015, in the public domain (CC0). */
const VIRIDIS =
  "44015446085c471063481769481d6f482475472a7a46307e453781433d844142873f48893d4e8a" +
  "3a538b38598c355e8d33638d31688e2e6d8e2c718e2a768e297b8e27808e25848e23898e218e8d" +
  "20928c1f978b1e9c891fa18821a58524aa8328ae802eb37c35b7793dbc7446c06f50c46a5ac864" +
  "65cb5e70cf577cd25089d54895d840a2da37b0dd2fbddf26cae11fd8e219e5e419f1e51dfde725";
const EACH = 5;

/** A colour of the palette, `#rrggbb`, as three numbers. @param {string} color @returns {[number, number, number]} */
export function rgb(color) {
  const number = Number.parseInt(color.slice(1), 16);
  return [number >> 16, (number >> 8) & 255, number & 255];
}

/** A pixel as it lies in memory. @param {number} red @param {number} green @param {number} blue */
export function opaque(red, green, blue) {
  return ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0;
}

/** The pixel of each grey from 0 to 255. @type {{grey: Uint32Array, perceptual: Uint32Array}} */
export const SCALES = {
  grey: Uint32Array.from({ length: 256 }, (_, grey) => opaque(grey, grey, grey)),
  perceptual: Uint32Array.from({ length: 256 }, (_, grey) => {
    const [low, part] = [Math.floor(grey / EACH), (grey % EACH) / EACH];
    const [from, to] = [low, Math.min(low + 1, 255 / EACH)].map((i) => rgb(`#${VIRIDIS.slice(6 * i, 6 * i + 6)}`));
    const [red, green, blue] = from.map((value, i) => Math.round(value + part * (to[i] - value)));
    return opaque(red, green, blue);
  }),
};

/** A colour bar as CSS. @param {"grey" | "perceptual"} scale */
export function barGradient(scale) {
  const stops = Array.from({ length: 18 }, (_, i) => SCALES[scale][i * 15]);
  const colors = stops.map((pixel) => `rgb(${pixel & 255} ${(pixel >> 8) & 255} ${(pixel >> 16) & 255})`);
  return `linear-gradient(to right, ${colors.join(", ")})`;
}
