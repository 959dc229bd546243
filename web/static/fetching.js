// Large files, by their hash: kept in the browser, got with progress where they are not, and never used unchecked.

import { Unreadable } from "./image.js";

/** What a file is that is packed by gzip, and what is in it. @typedef {{sha256: string, bytes: number, unpacked_sha256: string, unpacked_bytes: number}} Pinned */
/** @typedef {(bytes: number) => void} Came told of bytes as they come */

const KEPT = "unetseg-files";

/**
 * The bytes in a packed file.
 * @param {string} name
 * @param {Pinned} pinned
 * @param {Came} came
 */
export async function fetched(name, pinned, came) {
  if (!globalThis.crypto?.subtle) {
    throw new Unreadable(
      "this page checks what it runs, which browsers allow at https: and localhost only; open it there",
    );
  }
  const cache = await globalThis.caches?.open(KEPT).catch(() => null); // there is none in some private windows
  const key = `${name}?sha256=${pinned.sha256}`;
  const kept = await cache?.match(key);
  let data = kept && new Uint8Array(await kept.arrayBuffer());
  if (data && (await isIt(data, pinned))) came(pinned.bytes);
  else {
    data = await download(name, pinned, came);
    if (!(await isIt(data, pinned))) {
      throw new Unreadable(`${name} is not what this page was made with (its SHA-256 differs); load the page again`);
    }
    await keep(cache, name, key, data);
  }
  return isPacked(data) ? unpacked(data) : data;
}

/** Some hosts say that a packed file only travels so, and the browser unpacks it. @param {Uint8Array} data */
function isPacked(data) {
  return data[0] === 0x1f && data[1] === 0x8b;
}

/** @param {Uint8Array<ArrayBuffer>} data @param {Pinned} pinned */
async function isIt(data, { sha256, unpacked_sha256 }) {
  return (await hash(data)) === (isPacked(data) ? sha256 : unpacked_sha256);
}

/** @param {Uint8Array<ArrayBuffer>} data */
async function unpacked(data) {
  const stream = new Blob([data]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** @param {string} name @param {Pinned} pinned @param {Came} came */
async function download(name, { bytes, unpacked_bytes }, came) {
  const data = new Uint8Array(Math.max(bytes, unpacked_bytes));
  let at = 0;
  try {
    const answer = await fetch(new URL(name, location.href), { cache: "no-cache" });
    if (!answer.ok || !answer.body) throw new Error(`the server answers ${answer.status}`);
    const reader = answer.body.getReader();
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      if (at + part.value.length > data.length) break; // another file: its hash will tell
      data.set(part.value, at);
      at += part.value.length;
      const share = isPacked(data) ? 1 : bytes / unpacked_bytes;
      came(part.value.length * share);
    }
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new Unreadable(`${name} can't be fetched (${why}); try again when the network is there`);
  }
  return data.subarray(0, at);
}

/** @param {Cache | null | undefined} cache @param {string} name @param {string} key @param {Uint8Array<ArrayBuffer>} data */
async function keep(cache, name, key, data) {
  try {
    for (const old of (await cache?.keys()) ?? []) {
      if (new URL(old.url).pathname.endsWith(`/${name}`)) await cache?.delete(old);
    }
    await cache?.put(key, new Response(data));
  } catch {
    // no room: it is fetched again next time
  }
}

/** @param {Uint8Array<ArrayBuffer>} data */
async function hash(data) {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", data));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
