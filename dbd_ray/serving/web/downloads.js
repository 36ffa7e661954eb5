// What can be kept of a photo: its mask, the picture on the screen, and the summary.

import { maskOf, shareInFocus } from "./maps.js";
import { Picture } from "./picture.js";
import { writeGray } from "./png.js";

// what every browser can still draw in one piece
const OVERLAY_PX = 4096;

/** The mask at the photo's own size: an 8-bit gray PNG, 255 = in focus. */
export async function saveMask({ item, focus }, { threshold }) {
  save(await writeGray(maskOf(focus, threshold)), item.name, "mask.png");
}

/** The photo with what is laid over it, as on the screen but for the swipe; of a preview at its size. */
export async function saveOverlay(maps, settings) {
  const picture = new Picture();
  const { item, photo } = maps;
  const most = item.preview && photo ? Math.max(photo.width, photo.height) : OVERLAY_PX;
  picture.take(maps, { least: 0, most });
  save(await picture.asPng(settings), item.name, "overlay.png");
}

/** The server's summary, and the share at the threshold chosen. */
export function saveSummary({ item, counts }, { threshold }) {
  const chosen = { threshold, in_focus_fraction: shareInFocus(counts, threshold) };
  const text = JSON.stringify({ name: item.name, ...item.answer, mask: chosen }, null, 2);
  save(new Blob([`${text}\n`], { type: "application/json" }), item.name, "focus.json");
}

function save(blob, photoName, ending) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = `${photoName.replace(/\.[^.]+$/, "")}-${ending}`;
  link.click();
  // not at once: some browsers read it only after the click has been handled
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
