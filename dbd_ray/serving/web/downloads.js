// What can be kept of a photo: its mask, the picture on the screen, and the summary.

import { maskOf } from "./maps.js";
import { Picture } from "./picture.js";
import { writeGray } from "./png.js";
import { summaryOf } from "./results.js";

// what every browser can still draw in one piece
const OVERLAY_PX = 4096;

/** The mask at the photo's own size: an 8-bit gray PNG, 255 = in focus. */
export async function saveMask({ item, focus }, { threshold }) {
  save(await writeGray(maskOf(focus, threshold)), nameOf(item, "mask.png"));
}

/** The photo with what is laid over it, as on the screen but for the swipe; of a preview at its size. */
export async function saveOverlay(maps, settings) {
  const picture = new Picture();
  const { item, photo } = maps;
  const most = item.preview && photo ? Math.max(photo.width, photo.height) : OVERLAY_PX;
  picture.take(maps, { least: 0, most });
  save(await picture.asPng(settings), nameOf(item, "overlay.png"));
}

/** The server's summary, and the share at the threshold chosen. */
export function saveSummary({ item, counts }, { threshold }) {
  save(summaryOf(item, counts, threshold), nameOf(item, "focus.json"));
}

/** Have the browser keep a file. */
export function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  // not at once: some browsers read it only after the click has been handled
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

function nameOf({ name }, ending) {
  return `${name.replace(/\.[^.]+$/, "")}-${ending}`;
}
