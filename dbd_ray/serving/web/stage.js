// The main view: the selected photo with its map, or why there is none.

import { countAtLeast } from "./maps.js";
import { decodedPhoto, Picture, sameShape } from "./picture.js";
import { readGray } from "./png.js";
import { makeSwipe } from "./swipe.js";
import { stateWords, troubleTitle, worthRetrying } from "./words.js";

const SCREEN_PX = { least: 1400, most: 2048 };
const CANNOT_SHOW = "Your browser cannot show this kind of file, so you see";
const MASK_FITS = "The mask fits your photo all the same.";

/** Shows one item at a time; `onMaps` is told {item, photo, focus, depth, counts} when they are there, else null. */
export class Stage {
  constructor(root, { onMaps, onRetry }) {
    this.parts = Object.fromEntries([...root.querySelectorAll("[data-part]")].map((part) => [part.dataset.part, part]));
    this.frame = this.parts.frame;
    this.picture = new Picture(this.parts);
    this.onMaps = onMaps;
    this.settings = {};
    this.clear();
    makeSwipe(this.frame, this.parts.swipe);
    this.parts.retry.addEventListener("click", () => onRetry(this.item));
  }

  /** Show an item, or what is new of it. */
  async show(item) {
    if (item !== this.item) this.clear();
    this.item = item;
    this.#tellState();
    const goal = item.state === "failed" ? "nothing" : item.answer ? "maps" : "photo";
    if (goal === this.goal) return;
    this.goal = goal;
    if (item.preview) this.photo = null; // there was none before it came
    this.photo ??= decodedPhoto(item);
    const late = () => this.item !== item || this.goal !== goal;
    try {
      const photo = await this.photo;
      if (goal === "photo" && photo && !late()) this.#draw({ photo, focus: null, depth: null });
      if (goal !== "maps") return;
      const focus = await readGray(item.maps.focus);
      const depth = item.maps.depth && (await readGray(item.maps.depth));
      if (late()) return;
      this.maps = { item, photo: photo && sameShape(photo, focus) ? photo : null, focus, depth };
      this.#draw(this.maps);
      const instead = this.maps.photo ? item.preview && "a preview from the server" : "the map alone";
      this.parts.remark.textContent = instead ? `${CANNOT_SHOW} ${instead}. ${MASK_FITS}` : "";
      this.onMaps({ ...this.maps, counts: countAtLeast(focus) });
    } catch (error) {
      if (!late()) this.parts.remark.textContent = error.message;
    }
  }

  /** Follow the settings {look, opacity, threshold, outline}. */
  apply(settings) {
    const tintIsOld = settings.look !== this.settings.look || settings.look === "mask";
    this.settings = { ...settings };
    this.frame.style.setProperty("--opacity", settings.opacity);
    this.tintIsOld ||= tintIsOld;
    this.redrawing ??= requestAnimationFrame(() => {
      this.redrawing = null;
      this.#drawMaps();
    });
  }

  /** Show nothing. */
  clear() {
    this.photo?.then((photo) => photo?.close());
    Object.assign(this, { item: null, goal: null, photo: null, maps: null });
    this.frame.hidden = true;
    this.frame.classList.remove("mapped");
    for (const name of ["trouble", "swipe"]) this.parts[name].hidden = true;
    for (const name of ["remark", "state"]) this.parts[name].textContent = "";
    this.onMaps(null);
  }

  #draw({ photo, focus, depth }) {
    this.picture.take({ photo, focus, depth }, SCREEN_PX);
    const { width, height } = this.parts.photo;
    this.frame.style.setProperty("--ratio", width / height);
    this.frame.hidden = false;
    this.parts.photo.setAttribute("aria-label", `${this.item.name}, ${photo ? "photo" : "focus map"}`);
    this.parts.swipe.hidden = !focus;
    this.frame.classList.toggle("mapped", Boolean(focus));
    this.tintIsOld = true;
    this.#drawMaps();
  }

  #drawMaps() {
    if (!this.maps) return;
    if (this.tintIsOld) this.picture.drawTint(this.settings);
    this.picture.drawOutline(this.settings);
    this.tintIsOld = false;
  }

  #tellState() {
    const { state, error } = this.item;
    const failed = state === "failed";
    this.parts.trouble.hidden = !failed;
    if (failed) {
      this.frame.hidden = true;
      this.parts["trouble-title"].textContent = troubleTitle(error);
      this.parts["trouble-message"].textContent = error.message;
      const details = [this.item.name, error.reason, error.requestId].filter(Boolean);
      this.parts["trouble-detail"].textContent = details.join(" · ");
      this.parts.retry.hidden = !worthRetrying(error);
    }
    this.parts.state.textContent = failed || state === "done" ? "" : stateWords(this.item);
  }
}
