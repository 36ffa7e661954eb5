// Zip files (APPNOTE 6.3) whose files are stored as they are: PNGs would hardly become smaller.

import { checksum } from "./crc.js";

const VERSION = 20;
const NAMES_ARE_UTF8 = 1 << 11;
const MOST_FILES = 0xffff;
const MOST_BYTES = 0xffffffff;

/** Make one zip of `files`, {name, blob} each, which may come one by one. */
export async function makeZip(files) {
  const [time, date] = clock(new Date());
  const [parts, directory] = [[], []];
  let offset = 0;
  for await (const { name, blob } of files) {
    const path = new TextEncoder().encode(name);
    const crc = checksum(new Uint8Array(await blob.arrayBuffer()));
    const about = [
      ...[[2, VERSION], [2, NAMES_ARE_UTF8], [2, 0], [2, time], [2, date]],
      ...[[4, crc], [4, blob.size], [4, blob.size], [2, path.length], [2, 0]],
    ];
    const head = record([[4, 0x04034b50], ...about]);
    parts.push(head, path, blob);
    // no comment, first disk, no attributes
    directory.push(record([[4, 0x02014b50], [2, VERSION], ...about, [2, 0], [2, 0], [2, 0], [4, 0], [4, offset]]), path);
    offset += head.length + path.length + blob.size;
    if (directory.length > 2 * MOST_FILES || offset > MOST_BYTES) {
      throw new Error("it is more than one zip file can hold (4 GB). Remove some photos, and keep them in parts.");
    }
  }
  const count = directory.length / 2;
  const size = directory.reduce((sum, { length }) => sum + length, 0);
  const end = record([[4, 0x06054b50], [2, 0], [2, 0], [2, count], [2, count], [4, size], [4, offset], [2, 0]]);
  return new Blob([...parts, ...directory, end], { type: "application/zip" });
}

// fields of 2 or 4 bytes, the lowest byte first
function record(fields) {
  const bytes = new Uint8Array(fields.reduce((sum, [size]) => sum + size, 0));
  const view = new DataView(bytes.buffer);
  let at = 0;
  for (const [size, value] of fields) {
    if (size === 2) view.setUint16(at, value, true);
    else view.setUint32(at, value, true);
    at += size;
  }
  return bytes;
}

// as MS-DOS wrote it: in steps of two seconds, from 1980 on
function clock(now) {
  const time = (now.getHours() << 11) | (now.getMinutes() << 5) | (now.getSeconds() >> 1);
  return [time, ((now.getFullYear() - 1980) << 9) | ((now.getMonth() + 1) << 5) | now.getDate()];
}
