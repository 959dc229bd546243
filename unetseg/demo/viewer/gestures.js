// Wheel, drag, pinch and keys, as what they ask of a viewer.

/**
 * What gestures ask for; x and y are where on the screen.
 * @typedef {object} Asked
 * @property {(factor: number, x: number, y: number) => void} zoom around a point that stays
 * @property {(dx: number, dy: number) => boolean} pan by pixels of the screen; whether there was anything to move
 * @property {(x: number, y: number) => void} hover
 * @property {() => void} leave
 * @property {(dx: number, dy: number) => void} step the point that is told of, by pixels of the picture
 * @property {(factor: number) => void} zoomMiddle
 * @property {(x: number, y: number) => void} toggle between all of it and a part
 * @property {() => void} fit
 * @property {() => boolean} flip whether there was anything to flip
 */

const WHEEL = 0.0016;
const KEY = 1.25;
/** Share of the view that an arrow moves. */
const ARROW = 0.1;
/** Pixels of the screen up to which a press is no drag. */
const STILL = 4;
const ARROWS = /** @type {Record<string, [number, number]>} */ ({
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
});

/** @param {HTMLElement} element @param {Asked} asked */
export function listen(element, asked) {
  /** @type {Map<number, {x: number, y: number}>} */
  const pressed = new Map();
  let moved = 0;

  element.addEventListener(
    "wheel",
    (event) => {
      event.preventDefault();
      const pixels = event.deltaY * (event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 16 : 1) * (event.ctrlKey ? 4 : 1);
      asked.zoom(Math.exp(-Math.max(-400, Math.min(400, pixels)) * WHEEL), event.clientX, event.clientY);
    },
    { passive: false },
  );
  element.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    if (pressed.size === 0) moved = 0;
    pressed.set(event.pointerId, { x: event.clientX, y: event.clientY });
    if (event.pointerType === "mouse" || pressed.size === 2) element.setPointerCapture(event.pointerId);
  });
  element.addEventListener("pointermove", (event) => {
    const before = pressed.get(event.pointerId);
    const now = { x: event.clientX, y: event.clientY };
    asked.hover(now.x, now.y);
    if (!before) return;
    const [dx, dy] = [now.x - before.x, now.y - before.y];
    moved += Math.abs(dx) + Math.abs(dy);
    const other = [...pressed].find(([id]) => id !== event.pointerId)?.[1];
    pressed.set(event.pointerId, now);
    if (other) {
      const apart = (/** @type {{x: number, y: number}} */ one) => Math.hypot(one.x - other.x, one.y - other.y) || 1;
      asked.zoom(apart(now) / apart(before), (now.x + other.x) / 2, (now.y + other.y) / 2);
      asked.pan(dx / 2, dy / 2);
    } else {
      asked.pan(dx, dy);
    }
  });
  for (const name of /** @type {const} */ (["pointerup", "pointercancel"])) {
    element.addEventListener(name, (event) => {
      const pressing = pressed.delete(event.pointerId);
      if (!pressing || name === "pointercancel" || pressed.size > 0 || moved > STILL) return;
      asked.hover(event.clientX, event.clientY); // a finger does not hover
      asked.flip();
    });
  }
  element.addEventListener("pointerleave", (event) => {
    if (event.pointerType === "mouse") asked.leave();
  });
  element.addEventListener("dblclick", (event) => asked.toggle(event.clientX, event.clientY));
  element.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target !== element) return;
    if (key(event, element, asked)) event.preventDefault();
  });
}

/** Whether a key asked for anything. @param {KeyboardEvent} event @param {HTMLElement} element @param {Asked} asked */
function key(event, element, asked) {
  const arrow = ARROWS[event.key];
  if (arrow && event.shiftKey) asked.step(...arrow);
  else if (arrow) return asked.pan(-arrow[0] * ARROW * element.clientWidth, -arrow[1] * ARROW * element.clientHeight);
  else if (event.key === "+" || event.key === "=") asked.zoomMiddle(KEY);
  else if (event.key === "-") asked.zoomMiddle(1 / KEY);
  else if (event.key === "0") asked.fit();
  else if (event.key === "Escape") asked.leave();
  else if (event.key === " ") return asked.flip();
  else return false;
  return true;
}
