// Gray PNGs to levels and back. Not through a canvas: canvases are limited in size, and browsers that guard against
// fingerprinting add noise to what is read from them; a mask has to be exact.

import { checksum } from "./crc.js";

const SIGNATURE = [137, 80, 78, 71, 13, 10, 26, 10];

/** Decode a gray PNG of 8 or 16 bits (of which the upper 8 are kept) to {width, height, levels: Uint8Array}. */
export async function readGray(bytes) {
  const { header, data } = chunks(bytes);
  const width = header.getUint32(0);
  const height = header.getUint32(4);
  const bits = header.getUint8(8);
  const plain = header.getUint8(9) === 0 && header.getUint8(12) === 0 && (bits === 8 || bits === 16);
  if (!plain) throw new Error("The server's map is not a plain gray PNG.");
  const step = bits / 8;
  const rows = await through(new DecompressionStream("deflate"), data);
  if (rows.length !== height * (1 + width * step)) throw new Error("The server's map is incomplete.");
  unfilter(rows, width * step, height, step);
  const levels = new Uint8Array(width * height);
  for (let y = 0, from = 1, to = 0; y < height; y += 1, from += 1) {
    if (step === 1) {
      levels.set(rows.subarray(from, from + width), to);
      to += width;
      from += width;
    } else {
      for (const end = to + width; to < end; to += 1, from += 2) levels[to] = rows[from];
    }
  }
  return { width, height, levels };
}

/** Encode levels as an 8-bit gray PNG. */
export async function writeGray({ width, height, levels }) {
  const rows = new Uint8Array(height * (1 + width));
  for (let y = 0; y < height; y += 1) rows.set(levels.subarray(y * width, (y + 1) * width), y * (1 + width) + 1);
  const header = new Uint8Array(13);
  const view = new DataView(header.buffer);
  view.setUint32(0, width);
  view.setUint32(4, height);
  header[8] = 8;
  const packed = await through(new CompressionStream("deflate"), [rows]);
  const all = [chunk("IHDR", header), chunk("IDAT", packed), chunk("IEND", new Uint8Array())];
  return new Blob([new Uint8Array(SIGNATURE), ...all], { type: "image/png" });
}

function chunks(bytes) {
  if (SIGNATURE.some((value, index) => bytes[index] !== value)) throw new Error("The server's map is not a PNG.");
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const data = [];
  let header = null;
  for (let at = 8; at + 8 <= bytes.length; ) {
    const length = view.getUint32(at);
    const name = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    if (name === "IHDR") header = new DataView(bytes.buffer, bytes.byteOffset + at + 8, length);
    if (name === "IDAT") data.push(bytes.subarray(at + 8, at + 8 + length));
    at += length + 12;
  }
  if (!header) throw new Error("The server's map has no header.");
  return { header, data };
}

async function through(transform, parts) {
  return new Uint8Array(await new Response(new Blob(parts).stream().pipeThrough(transform)).arrayBuffer());
}

// PNG specification, section 9: every byte is stored as its difference from a guess made of its neighbours
function unfilter(rows, stride, height, step) {
  for (let y = 0; y < height; y += 1) {
    const start = y * (stride + 1) + 1;
    const filter = rows[start - 1];
    for (let x = 0; x < stride && filter > 0; x += 1) {
      const at = start + x;
      const left = x >= step ? rows[at - step] : 0;
      const up = y > 0 ? rows[at - stride - 1] : 0;
      const corner = x >= step && y > 0 ? rows[at - stride - 1 - step] : 0;
      rows[at] += guess(filter, left, up, corner);
    }
  }
}

function guess(filter, left, up, corner) {
  if (filter === 1) return left;
  if (filter === 2) return up;
  if (filter === 3) return (left + up) >> 1;
  const toLeft = Math.abs(up - corner);
  const toUp = Math.abs(left - corner);
  const toCorner = Math.abs(left + up - 2 * corner);
  if (toLeft <= toUp && toLeft <= toCorner) return left;
  return toUp <= toCorner ? up : corner;
}

function chunk(name, data) {
  const bytes = new Uint8Array(data.length + 12);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, data.length);
  for (let i = 0; i < 4; i += 1) bytes[4 + i] = name.charCodeAt(i);
  bytes.set(data, 8);
  view.setUint32(data.length + 8, checksum(bytes.subarray(4, data.length + 8)));
  return bytes;
}
