// The HTTP API of the page (docs/api.md): the only module that knows it.

import { Refused } from "./backend.js";
import { bytes } from "./inflate.js";
import { unpack } from "./unpack.js";

/** @typedef {import("./backend.js").Event} Event */
/** @typedef {import("./backend.js").Region} Region */
/** @typedef {import("./backend.js").Wanted} Wanted */
/** @typedef {import("./facts.js").Info} Info */
/** @typedef {import("./facts.js").Limits} Limits */
/** @typedef {import("./facts.js").Model} Model */

export class Service {
  /** @param {URL} [base] where the API is; beside this module unless given, whatever a proxy puts before it */
  constructor(base = new URL("../", import.meta.url)) {
    this.base = base;
    /** @type {import("./backend.js").Backend["profile"]} */
    this.profile = null; // a result comes with it
    this.page = crypto.getRandomValues(new Uint32Array(4)).join("-");
  }

  /** @returns {Promise<{models: Model[], limits: Limits, version: string}>} */
  async models() {
    return (await this.get("models")).json();
  }

  /** The example that was solved at the start. @returns {Promise<Info>} */
  async first() {
    return (await this.get("first")).json();
  }

  /** @param {string} key @returns {Promise<Info>} */
  async info(key) {
    return (await this.get(`results/${key}`)).json();
  }

  /** @param {string} key @param {number} index */
  async slice(key, index) {
    return unpack(await (await this.get(`results/${key}/slices/${index}`)).arrayBuffer());
  }

  /** @param {string} key @param {number} index */
  async entropy(key, index) {
    return unpack(await (await this.get(`results/${key}/entropy/${index}`)).arrayBuffer());
  }

  /** @param {string} key @param {number} index @param {Region} where */
  async tile(key, index, { top, left, bottom, right }) {
    return unpack(await (await this.get(`results/${key}/tiles/${index}`, { top, left, bottom, right })).arrayBuffer());
  }

  /** @param {string} key @param {number} index @param {number} x @param {number} y @returns {Promise<{values: number[], place: unknown}>} */
  async values(key, index, x, y) {
    return (await this.get(`results/${key}/values/${index}`, { y, x })).json();
  }

  /** @param {string} key @param {number} index @param {number[]} thresholds @returns {Promise<number[]>} */
  async counts(key, index, thresholds) {
    const found = await (
      await this.get(`results/${key}/counts`, { thresholds: thresholds.join(), slice: index })
    ).json();
    return found.labels ?? found;
  }

  /**
   * A download: its bytes, and the name that the server gives it.
   * @param {string} key
   * @param {string} kind
   * @param {Record<string, string | number>} how
   */
  async file(key, kind, how) {
    const answer = await this.get(`results/${key}/files/${kind}`, how);
    const named = answer.headers.get("content-disposition") ?? "";
    const name = /filename\*=utf-8''([^;]+)/i.exec(named)?.[1] ?? /filename="([^"]+)"/.exec(named)?.[1];
    return { blob: await answer.blob(), name: decodeURIComponent(name ?? kind) };
  }

  /**
   * Run a model; the promise ends with the run. cancel ends it, and the promise then stays open.
   * @param {Wanted} wanted
   * @param {{uploading: (share: number) => void, event: (event: Event) => void}} told
   */
  run(wanted, told) {
    const form = new FormData();
    const { files = [], ...fields } = wanted;
    for (const [name, value] of Object.entries(fields)) {
      if (value === true) form.append(name, "1");
      else if (value !== undefined && value !== false && value !== "") form.append(name, String(value));
    }
    for (const file of files) form.append("file", file, file.name);
    const request = new XMLHttpRequest();
    request.open("POST", this.at("runs"));
    request.setRequestHeader("X-Page", this.page);
    request.upload.onprogress = (event) => told.uploading(event.lengthComputable ? event.loaded / event.total : 0);
    let read = 0;
    const more = () => {
      for (
        let end = request.responseText.indexOf("\n\n", read);
        end >= 0;
        end = request.responseText.indexOf("\n\n", read)
      ) {
        const line = request.responseText.slice(read, end);
        read = end + 2;
        if (line.startsWith("data: ")) told.event(asEvent(JSON.parse(line.slice(6))));
      }
    };
    /** @type {Promise<void>} */
    const ended = new Promise((done, failed) => {
      request.onprogress = () => {
        if (request.status === 200) more();
      };
      request.onload = () => {
        if (request.status !== 200) {
          failed(refusal(request.status, request.responseText));
          return;
        }
        more();
        done();
      };
      request.onerror = () => failed(new Refused("", { reached: false }));
    });
    request.send(form);
    return { ended, cancel: () => request.abort() };
  }

  /** @param {string} path @param {Record<string, string | number>} [query] */
  at(path, query = {}) {
    const url = new URL(path, this.base);
    for (const [name, value] of Object.entries(query)) url.searchParams.set(name, String(value));
    return url.href;
  }

  /** @param {string} path @param {Record<string, string | number>} [query] */
  async get(path, query) {
    let answer;
    try {
      answer = await fetch(this.at(path, query), { headers: { "X-Page": this.page } });
    } catch {
      throw new Refused("", { reached: false });
    }
    if (!answer.ok) throw refusal(answer.status, await answer.text());
    return answer;
  }
}

/** A picture comes as PNG in base64. @param {any} said @returns {Event} */
function asEvent(said) {
  return said.state === "read" ? { ...said, picture: new Blob([bytes(said.picture)], { type: "image/png" }) } : said;
}

/** @param {number} status @param {string} text */
function refusal(status, text) {
  try {
    const { error, gone } = JSON.parse(text);
    return new Refused(String(error), { gone: gone === true || status === 410 });
  } catch {
    return new Refused(`The server answers ${status}`, { gone: status === 410 });
  }
}
