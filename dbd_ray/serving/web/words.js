// What the page says, in plain words.

const KINDS = {
  all_in_focus: "The whole photo is in focus",
  partial: "A part of the photo is in focus",
  none_in_focus: "Nothing in this photo is in focus",
};

const TROUBLES = {
  empty_file: "This file is empty",
  not_an_image: "This is not a photo",
  truncated: "This photo is cut short",
  undecodable: "This photo cannot be read",
  invalid_body: "This photo did not arrive whole",
  too_many_bytes: "This file is too large",
  too_many_pixels: "This photo is too large",
  out_of_memory: "This photo is too large for the server",
  unsupported_media_type: "Photos of this kind cannot be read",
  needs_extra_heif: "This server does not read HEIC",
  needs_extra_raw: "This server does not read camera raw",
  needs_extra_jxl: "This server does not read JPEG XL",
  busy: "The server is busy",
  timeout: "This took too long",
  model_unavailable: "The model is not there yet",
};

const STATUSES = {
  0: "The server did not answer. See whether it runs and this device is online, then try again.",
  408: "The server waited too long for the photo. Try again, or with a smaller copy.",
  413: "The server does not take files of this size. Try a smaller copy.",
  429: "Many photos are being looked at right now. Try again in a minute.",
  500: "Something went wrong on the server. Try again; if it stays so, its log says why.",
  503: "The server is not ready or has too much to do. Try again in a minute.",
};

const TROUBLES_BY_STATUS = { 0: "The server did not answer", 408: "This took too long", 429: "The server is busy" };

/** A share in [0, 1] as a number of percent, which is 0 or 100 only when it is exact. */
export function percent(share) {
  const shown = (100 * share).toFixed(1);
  if (share > 0 && shown === "0.0") return "< 0.1";
  return share < 1 && shown === "100.0" ? "> 99.9" : shown;
}

/** The same in whole percents, for where there is little room. */
export function shortPercent(share) {
  const shown = Math.round(100 * share);
  if (share > 0 && shown === 0) return "< 1";
  return share < 1 && shown === 100 ? "> 99" : `${shown}`;
}

export function kindWords({ focus_kind }) {
  return KINDS[focus_kind] ?? focus_kind;
}

/** Where the sharp part lies; empty where that says nothing. */
export function placeWords({ width, height, summary }) {
  const area = summary.sharp_area;
  if (!area || summary.focus_kind !== "partial") return "";
  const third = (value, size) => Math.min(2, Math.floor((3 * value) / size));
  const column = ["left", "", "right"][third(area.centroid_x, width)];
  const row = ["top", "", "bottom"][third(area.centroid_y, height)];
  const place = row && column ? `at the ${row} ${column}` : row || column ? `at the ${row || column}` : "in the middle";
  return `most of it ${place}`;
}

export function confidenceWords({ focus_confidence }) {
  const sure = focus_confidence >= 0.85 ? "sure" : focus_confidence >= 0.7 ? "fairly sure" : "unsure";
  return `${sure} (${Math.round(100 * focus_confidence)} %)`;
}

/** What is happening to an item that is neither done nor failed. */
export function stateWords({ state, details }) {
  if (state === "sending") return `Sending, ${Math.round(100 * details.progress)} %`;
  if (state === "pausing") return `The server is busy, trying again in ${Math.ceil(details.seconds)} s`;
  const waiting = { waiting: "Waiting for its turn", locked: "Waiting for the key" };
  return waiting[state] ?? "Looking for what is sharp";
}

export function troubleTitle({ reason, status }) {
  return TROUBLES[reason] ?? TROUBLES_BY_STATUS[status] ?? "This photo could not be looked at";
}

/** Whether the same photo may go through another time. */
export function worthRetrying({ status }) {
  return status === 0 || status === 408 || status === 429 || status >= 500;
}

export function statusWords(status) {
  return STATUSES[status] ?? `The server answered ${status} and did not say why. Try again later.`;
}

/** How far it is with all photos together. */
export function progressWords(items) {
  const count = (...states) => items.filter(({ state }) => states.includes(state)).length;
  const failed = count("failed");
  const done = count("done");
  const trouble = failed ? `, ${failed} failed` : "";
  return items.length ? `${done} of ${items.length} done${trouble}` : "";
}

/** Bytes in megabytes, for limits. */
export function megabytes(bytes) {
  return `${Math.round(bytes / 2 ** 20)} MB`;
}
