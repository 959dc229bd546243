// Elements of the page, made in one call each. Text is always set as text: names of files and classes never become HTML.

/** @typedef {Node | string | null | undefined | false} Child */
/** @typedef {Record<string, unknown>} Attributes */

/**
 * An element with its attributes and children. `on...` are listeners; true and false set and leave out an attribute,
 * null leaves it out.
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag
 * @param {Attributes} [attributes]
 * @param {...Child} children
 * @returns {HTMLElementTagNameMap[T]}
 */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") {
      element.addEventListener(name.slice(2), /** @type {EventListener} */ (value));
    } else if (value === true) {
      element.setAttribute(name, "");
    } else if (value !== false && value !== null && value !== undefined) {
      element.setAttribute(name, String(value));
    }
  }
  fill(element, ...children);
  return element;
}

/**
 * Replace what an element holds.
 * @param {Element} element
 * @param {...Child} children
 */
export function fill(element, ...children) {
  element.replaceChildren(...children.filter((child) => child !== null && child !== undefined && child !== false));
}

/**
 * Replace what an element holds, but leave what is the same in its place.
 * @param {Element} element
 * @param {...Child} children
 */
export function refill(element, ...children) {
  const next = children.filter((child) => child !== null && child !== undefined && child !== false);
  next.forEach((child, i) => {
    const before = element.childNodes[i];
    if (!before) element.append(child);
    else if (typeof child === "string" ? before.nodeValue !== child : !before.isEqualNode(child))
      before.replaceWith(child);
  });
  while (element.childNodes.length > next.length) element.lastChild?.remove();
}

let made = 0;

/**
 * An id or name that no other element of the page has.
 * @param {string} what
 */
export function unique(what) {
  made += 1;
  return `${what}-${made}`;
}

/**
 * Something that is said to sighted visitors by its place or colour, in words for the others.
 * @param {string} text
 */
export function hidden(text) {
  return make("span", { class: "unseen" }, text);
}

/**
 * @param {string} text
 * @param {() => void} act
 * @param {Attributes} [attributes]
 */
export function button(text, act, attributes = {}) {
  return make("button", { type: "button", onclick: act, ...attributes }, text);
}
