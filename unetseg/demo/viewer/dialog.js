// A dialog of the page: a title, a button that closes it, and what it holds.

import { button, make, unique } from "./element.js";

/** @typedef {import("./words.js").Words} Words */

/**
 * Open a dialog in an element of the page, whose styles it takes; it goes when it is closed, and the focus returns.
 * @param {Element} within
 * @param {Words} words
 * @param {string} title
 * @param {...import("./element.js").Child} children
 */
export function openDialog(within, words, title, ...children) {
  const heading = make("h2", { id: unique("dialog") }, title);
  const close = button("×", () => dialog.close(), { class: "close", "aria-label": words.say("close") });
  const dialog = make(
    "dialog",
    {
      "aria-labelledby": heading.id,
      onclose: () => dialog.remove(),
      // a click on what lies behind is one on the dialog itself
      onclick: (/** @type {MouseEvent} */ event) => event.target === dialog && dialog.close(),
    },
    make("div", { class: "dialog-body" }, make("div", { class: "dialog-head" }, heading, close), ...children),
  );
  within.append(dialog);
  dialog.showModal();
  return dialog;
}
