// A grey picture as the bytes of a PNG, exactly: some browsers change a little of what is read back from a canvas.

const SIGNATURE = [137, 80, 78, 71, 13, 10, 26, 10];
const CRC = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit += 1) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  return crc;
});

/** @param {Uint8Array} pixels row by row, 8 bits each @param {number} width @param {number} height */
export async function greyPng(pixels, width, height) {
  const header = new Uint8Array([...number(width), ...number(height), 8, 0, 0, 0, 0]);
  const rows = new Uint8Array((width + 1) * height); // each begins with a 0: it is not filtered
  for (let y = 0; y < height; y += 1) rows.set(pixels.subarray(y * width, (y + 1) * width), y * (width + 1) + 1);
  const packed = new Blob([rows]).stream().pipeThrough(new CompressionStream("deflate"));
  const data = new Uint8Array(await new Response(packed).arrayBuffer());
  const chunks = [chunk("IHDR", header), chunk("IDAT", data), chunk("IEND", new Uint8Array())];
  return new Blob([new Uint8Array(SIGNATURE), ...chunks], { type: "image/png" });
}

/** @param {string} name @param {Uint8Array} data */
function chunk(name, data) {
  const body = new Uint8Array([...new TextEncoder().encode(name), ...data]);
  const crc = ~body.reduce((sum, byte) => CRC[(sum ^ byte) & 255] ^ (sum >>> 8), 0xffffffff);
  return new Uint8Array([...number(data.length), ...body, ...number(crc)]);
}

/** In four bytes, the highest first. @param {number} value */
function number(value) {
  return [24, 16, 8, 0].map((bits) => (value >>> bits) & 255);
}
