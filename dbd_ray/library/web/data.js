// The library's data: what the scripts in data/ hand over, as typed columns, and the pages of details as they are needed.
"use strict";

const gallery = {};

{
  const ARRAYS = { u1: Uint8Array, u2: Uint16Array, u4: Uint32Array, f4: Float32Array, f8: Float64Array };
  const pages = new Map();
  const waiting = new Map();

  function bytesOf(base64) {
    const text = atob(base64);
    const bytes = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
    return bytes;
  }

  const arrayOf = ({ type, data }) => new ARRAYS[type](bytesOf(data).buffer);

  function columns(descriptions, make) {
    const made = {};
    for (const name of Object.keys(descriptions)) made[name] = make(descriptions[name]);
    return made;
  }

  // a code that is no place in `texts` stands for none
  const coded = (description) => ({ texts: description.texts, codes: arrayOf(description) });

  /** Called by the script of the index. */
  gallery.index = (given) => {
    gallery.count = given.count;
    gallery.names = given.names;
    gallery.codes = columns(given.codes, coded);
    gallery.numbers = columns(given.numbers, arrayOf);
    gallery.pageRows = given.pageRows;
    gallery.pages = given.pages;
    gallery.hashes = bytesOf(given.hashes);
  };

  /** Called by the script of a page of details. */
  gallery.page = (number, given) => {
    pages.set(number, { codes: columns(given.codes, coded), values: given.values, links: given.links });
  };

  /** The text of a row in a column of codes; undefined where there is none. */
  gallery.text = (column, row) => gallery.codes[column].texts[gallery.codes[column].codes[row]];

  gallery.path = (row) => {
    const folder = gallery.text("folder", row);
    return folder ? `${folder}/${gallery.names[row]}` : gallery.names[row];
  };

  /** Address of a row's thumbnail, or of the same under its focus map; null where the file was not read. */
  gallery.thumb = (row, overlay) => {
    let hash = "";
    for (const byte of gallery.hashes.subarray(16 * row, 16 * row + 16)) hash += byte.toString(16).padStart(2, "0");
    return /^0*$/.test(hash) ? null : `thumbs/${hash.slice(0, 2)}/${hash}${overlay ? ".overlay" : ""}.jpg`;
  };

  /** The details of a row, once its page is there; rejects where the gallery was written anew in the meantime. */
  gallery.details = async (row) => {
    const number = Math.floor(row / gallery.pageRows);
    if (!pages.has(number)) await load(number);
    const page = pages.get(number);
    const at = row % gallery.pageRows;
    const details = { link: page.links[at] };
    for (const [name, values] of Object.entries(page.values)) details[name] = values[at];
    for (const [name, { texts, codes }] of Object.entries(page.codes)) details[name] = texts[codes[at]];
    return details;
  };

  function load(number) {
    if (!waiting.has(number)) {
      waiting.set(number, new Promise((resolve, reject) => {
        const script = document.createElement("script");
        script.addEventListener("load", resolve);
        script.addEventListener("error", () => reject(new Error("This gallery was written anew. Reload the page.")));
        script.src = `data/${gallery.pages[number]}`;
        document.head.append(script);
      }));
    }
    return waiting.get(number);
  }
}
