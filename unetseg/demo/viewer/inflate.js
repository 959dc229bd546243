// Bytes that travel in base64, packed by zlib or not. A fetch of a data: address is refused by the page's policy.

/** @param {string} base64 */
export function bytes(base64) {
  return Uint8Array.from(atob(base64), (one) => one.charCodeAt(0));
}

/** @param {string} base64 */
export async function inflated(base64) {
  const stream = new Blob([bytes(base64)]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}
