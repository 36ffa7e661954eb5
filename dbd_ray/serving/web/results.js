// The results of all photos: a table, and one zip with the maps, masks and summaries of those that are done.

import { countAtLeast, maskOf, shareInFocus } from "./maps.js";
import { fileName } from "./names.js";
import { readGray, writeGray } from "./png.js";
import { makeZip } from "./zip.js";

// the same as in the index.csv of `dbd-ray predict`, see docs/names.md
const COLUMNS = ["path", "status", "focus_kind", "in_focus_fraction", "focus_confidence", "mask_fraction", "message"];
const UNFINISHED = "it was not looked at yet: wait for it and download again";

/** The server's summary, and the share at the threshold chosen, as JSON. */
export function summaryOf(item, counts, threshold) {
  const chosen = { threshold, in_focus_fraction: shareInFocus(counts, threshold) };
  const text = JSON.stringify({ name: item.name, ...item.answer, mask: chosen }, null, 2);
  return new Blob([`${text}\n`], { type: "application/json" });
}

/** One line for each item, also for those that failed or are not finished. */
export async function tableOf(items, threshold) {
  const lines = [COLUMNS];
  for (const item of items) {
    const line = { path: pathOf(item), ...(await lineOf(item, threshold)) };
    lines.push(COLUMNS.map((name) => line[name] ?? ""));
  }
  const text = lines.map((cells) => `${cells.map(cellOf).join()}\n`).join("");
  return new Blob([text], { type: "text/csv" });
}

/** A zip of the table and of all that is done; `tell(count)` hears how many photos are in it. */
export async function archiveOf(items, threshold, tell) {
  async function* files() {
    const done = items.filter(({ answer }) => answer);
    for (const [index, item] of done.entries()) {
      const focus = await readMap(item);
      const name = fileName(item.name);
      yield { name: `${name}.focus.png`, blob: new Blob([item.maps.focus]) };
      yield { name: `${name}.mask.png`, blob: await writeGray(maskOf(focus, threshold)) };
      yield { name: `${name}.json`, blob: summaryOf(item, item.counts, threshold) };
      tell(index + 1);
    }
    yield { name: "index.csv", blob: await tableOf(items, threshold) };
  }
  return makeZip(files());
}

async function lineOf(item, threshold) {
  if (item.state === "failed") return { status: "error", message: item.error.message };
  if (!item.answer) return { status: "skipped", message: UNFINISHED };
  const { focus_kind, in_focus_fraction, focus_confidence } = item.answer.summary;
  if (!item.counts) await readMap(item);
  return {
    status: "ok",
    focus_kind,
    in_focus_fraction: rounded(in_focus_fraction),
    focus_confidence: rounded(focus_confidence),
    mask_fraction: rounded(shareInFocus(item.counts, threshold)),
  };
}

async function readMap(item) {
  const focus = await readGray(item.maps.focus);
  item.counts ??= countAtLeast(focus);
  return focus;
}

// browsers tell no folder; as the path of a file no name begins a formula of a spreadsheet
function pathOf(item) {
  return `./${fileName(item.name)}`;
}

function rounded(share) {
  return Number(share.toFixed(4));
}

// RFC 4180
function cellOf(value) {
  const text = `${value}`;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
