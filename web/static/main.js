// The page without a server: the page's own interface, and a worker that computes.

import { Page } from "../../unetseg/demo/viewer/page.js";
import { Local } from "./local.js";

const backend = new Local();
/** For tests, and for whoever looks: what is shown, and what computes. */
export const page = new Page(/** @type {HTMLElement} */ (document.querySelector("main")), backend);
void page.start();
Object.assign(window, { unetseg: { page, backend } });
