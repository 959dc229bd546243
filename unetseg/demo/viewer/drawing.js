// A drawing that is run while it is drawn: the newest after a moment, and in the end always the last.

import { centred, inked, SIDE } from "./ink.js";
import { Pad } from "./pad.js";
import { greyPng } from "./png.js";

/** Milliseconds after a change, in which others come. */
const SOON = 120;

export class Drawing {
  /** @param {{run: (file: File) => void, cleared: () => void, said: (text: string) => void}} act */
  constructor(act) {
    this.act = act;
    this.isOpen = false;
    /** Whether a run of it goes on. */
    this.isBusy = false;
    /** Whether something was drawn since. */
    this.isBehind = false;
    /** @type {number | undefined} */
    this.waiting = undefined;
    this.pad = new Pad({
      changed: (ended) => this.changed(ended),
      cleared: () => {
        this.forget();
        act.cleared();
      },
      said: act.said,
    });
  }

  /** While the pen is down a run ends before the next begins; a stroke that ended drops the older one. @param {boolean} ended */
  changed(ended) {
    this.isBehind = true;
    if (this.isBusy && !ended) return;
    this.waiting ??= window.setTimeout(() => this.send(), SOON);
  }

  async send() {
    this.waiting = undefined;
    this.isBehind = false;
    this.isBusy = true;
    const { strokes } = this.pad;
    const picture = await greyPng(centred(inked(strokes)), SIDE, SIDE);
    if (this.pad.strokes !== strokes || !this.isOpen) return; // it was cleared, or closed
    this.act.run(new File([picture], "drawing.png", { type: picture.type }));
  }

  /** The run has ended, however. */
  done() {
    this.isBusy = false;
    if (this.isBehind && this.isOpen) this.changed(false);
  }

  /** Nothing is waited for any more. */
  forget() {
    window.clearTimeout(this.waiting);
    this.waiting = undefined;
    this.isBusy = false;
    this.isBehind = false;
  }
}
