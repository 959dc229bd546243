// The page without a network: what was fetched once is kept, and served where the network is not there. The model and
// the runtime, which are large, are kept by their hash (fetching.js) and are none of this.

const KEPT = "unetseg-page";
const worker = /** @type {any} */ (self);

worker.addEventListener("install", (/** @type {any} */ event) => {
  worker.skipWaiting();
  event.waitUntil(install());
});

worker.addEventListener("activate", (/** @type {any} */ event) => event.waitUntil(worker.clients.claim()));

worker.addEventListener("fetch", (/** @type {any} */ event) => {
  const { method, url } = event.request;
  const isOwn = method === "GET" && url.startsWith(worker.registration.scope) && !url.endsWith(".gz");
  if (isOwn) event.respondWith(answer(event.request));
});

/** All of the page but what is large, for it was loaded before this worker was there. */
async function install() {
  const cache = await caches.open(KEPT);
  const [files, { example }] = await Promise.all(
    ["files.json", "model.json"].map(async (name) => (await fetch(name)).json()),
  );
  const small = Object.keys(files).filter((name) => !name.endsWith(".gz") && !/webgpu|asyncify/.test(name));
  const beside = [".", "files.json", "model.json", ...(example ? [example] : [])];
  await cache.addAll([...beside, ...small]);
  const known = new Set(
    [...beside, ...Object.keys(files)].map((name) => new URL(name, worker.registration.scope).href),
  );
  for (const { url } of await cache.keys()) if (!known.has(url)) await cache.delete(url);
}

/** From the network, and as it was before where there is none. @param {Request} request */
async function answer(request) {
  const cache = await caches.open(KEPT);
  try {
    const fresh = await fetch(request);
    if (fresh.ok) await cache.put(request, fresh.clone());
    return fresh;
  } catch (error) {
    const before = await cache.match(request, { ignoreSearch: true });
    if (before) return before;
    throw error;
  }
}
