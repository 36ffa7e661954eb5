// Which rows are shown and in which order, and the same as the part of the address behind #.
"use strict";

{
  const RANGES = { share: "in_focus_fraction", sharpness: "sharpness", aperture: "f_number", iso: "iso", date: "taken_at" };
  const CHOICES = { kind: "focus_kind", camera: "camera", lens: "lens" };
  const SORTS = { path: null, date: "taken_at", share: "in_focus_fraction", sharpness: "sharpness", kind: "focus_kind",
    camera: "camera", lens: "lens", aperture: "f_number", iso: "iso", status: "status" };
  const DAY_S = 86400;
  const orders = new Map();
  let searched = null;

  const foldedCase = (text) => text.normalize("NFC").toLowerCase();

  /** A state that shows everything. Texts are those of the columns, an empty one is "none"; ranges are [from, to]. */
  function everything() {
    return { q: "", status: null, folder: "", kind: null, camera: null, lens: null, share: [null, null],
      sharpness: [null, null], aperture: [null, null], iso: [null, null], date: [null, null],
      sort: "path", down: false, overlay: false, photo: null };
  }

  function fromHash(hash) {
    const state = everything();
    for (const [key, value] of new URLSearchParams(hash.replace(/^#/, ""))) {
      if (Object.hasOwn(RANGES, key)) {
        state[key] = value.split("..", 2).map((end) => (key === "date" ? dayOf(end) : numberOf(end)));
        if (state[key].length < 2) state[key].push(null);
      } else if (key === "sort") {
        state.down = value.startsWith("-");
        const name = value.replace("-", "");
        if (Object.hasOwn(SORTS, name)) state.sort = name;
      } else if (key === "overlay") {
        state.overlay = value === "1";
      } else if (["q", "status", "folder", "photo", ...Object.keys(CHOICES)].includes(key)) {
        state[key] = value;
      }
    }
    return state;
  }

  const numberOf = (text) => (text.trim() === "" || !Number.isFinite(Number(text)) ? null : Number(text));
  const dayOf = (text) => (/^\d{4}-\d\d-\d\d$/.test(text) && !Number.isNaN(Date.parse(text)) ? text : null);

  function toHash(state) {
    const parts = new URLSearchParams();
    for (const [key, value] of Object.entries(state)) {
      if (key === "sort" || key === "down") continue;
      if (key === "overlay") value && parts.set(key, "1");
      else if (Object.hasOwn(RANGES, key)) value.some((end) => end !== null) && parts.set(key, value.map((end) => end ?? "").join(".."));
      else if (value !== null && !(value === "" && !Object.hasOwn(CHOICES, key))) parts.set(key, value);
    }
    if (state.sort !== "path" || state.down) parts.set("sort", (state.down ? "-" : "") + state.sort);
    return parts.toString();
  }

  /** How many filters narrow the rows. */
  function filterCount(state) {
    const chosen = [state.status, ...Object.keys(CHOICES).map((key) => state[key])].filter((value) => value !== null);
    const ranges = Object.keys(RANGES).filter((key) => state[key].some((end) => end !== null));
    return chosen.length + ranges.length + (state.folder ? 1 : 0);
  }

  /** All rows in the state's order; those without a value come last in both directions. */
  function ordered({ sort, down }) {
    const name = `${down}${sort}`;
    if (!orders.has(name)) {
      const column = SORTS[sort];
      const { codes, texts } = gallery.codes[column] ?? {};
      const values = codes ?? gallery.numbers[column] ?? Uint32Array.from({ length: gallery.count }, (_, row) => row);
      const lacks = codes ? (row) => codes[row] >= texts.length : (row) => Number.isNaN(values[row]);
      const known = new Uint32Array(gallery.count);
      const last = [];
      let count = 0;
      for (let row = 0; row < gallery.count; row++) {
        if (lacks(row)) last.push(row);
        else known[count++] = row;
      }
      const sign = down ? -1 : 1;
      known.subarray(0, count).sort((a, b) => sign * (values[a] - values[b]) || a - b);
      known.set(last, count);
      orders.set(name, known);
    }
    return orders.get(name);
  }

  /** The rows that a state shows, in its order, as a Uint32Array. */
  function find(state) {
    const tests = [];
    for (const [key, column] of Object.entries(RANGES)) addRange(tests, gallery.numbers[column], key, state[key]);
    for (const [key, column] of Object.entries(CHOICES)) if (state[key] !== null) addChoice(tests, column, state[key]);
    if (state.status !== null) addStatus(tests, state.status);
    if (state.folder) addFolder(tests, state.folder);
    for (const word of foldedCase(state.q).split(/\s+/).filter(Boolean)) {
      searched ??= Array.from({ length: gallery.count }, (_, row) => foldedCase(gallery.path(row)));
      tests.push((row) => searched[row].includes(word));
    }
    return tests.length ? ordered(state).filter((row) => tests.every((test) => test(row))) : ordered(state);
  }

  function addRange(tests, values, key, [from, to]) {
    // percent as they are shown; the last day is part of the range; shortened numbers equal what was typed
    const scaled = { share: (end) => Math.fround(end / 100), date: (end) => Date.parse(end) / 1000 }[key] ?? Math.fround;
    if (from !== null) {
      const least = scaled(from);
      tests.push((row) => values[row] >= least);
    }
    if (to !== null) {
      const most = scaled(to);
      tests.push(key === "date" ? (row) => values[row] < most + DAY_S : (row) => values[row] <= most);
    }
  }

  function addChoice(tests, column, text) {
    const { codes, texts } = gallery.codes[column];
    const wanted = texts.indexOf(text);
    tests.push((row) => codes[row] === wanted || (text === "" && codes[row] === texts.length));
  }

  function addStatus(tests, value) {
    const [, status, reason] = /^([^:]*):?([^]*)$/.exec(value);
    addChoice(tests, "status", status);
    if (reason) addChoice(tests, "reason", reason);
  }

  /** A folder and those below it; a text that is no folder's name is looked for in all names. */
  function addFolder(tests, folder) {
    const { codes, texts } = gallery.codes.folder;
    const wanted = foldedCase(folder.replace(/\/+$/, ""));
    const folded = texts.map(foldedCase);
    const below = folded.map((text) => text === wanted || text.startsWith(`${wanted}/`));
    const matches = below.includes(true) ? below : folded.map((text) => text.includes(wanted));
    tests.push((row) => matches[codes[row]]);
  }

  gallery.query = { RANGES, CHOICES, SORTS, everything, fromHash, toHash, filterCount, find };
}
