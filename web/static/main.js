// The page without a server: the page's own interface, and a worker that computes.

import { Page } from "../../unetseg/demo/viewer/page.js";
import { Local } from "./local.js";

const backend = new Local();
const page = new Page(/** @type {HTMLElement} */ (document.querySelector("main")), backend);
void page.start();
Object.assign(window, { unetseg: { page, backend } }); // for tests, and for whoever looks
// it is only for the next visit: some browsers and private windows have none
addEventListener("load", () => void navigator.serviceWorker?.register("offline.js").catch(() => undefined));
