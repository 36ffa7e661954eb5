// The strip of thumbnails: which photos there are, how far each is, how much of it is in focus, which one is shown.

import { drawPhoto, sizeWithin } from "./layers.js";
import { resized } from "./maps.js";
import { ordered } from "./order.js";
import { decodedPhoto } from "./picture.js";
import { readGray } from "./png.js";
import { percent, shortPercent, stateWords, troubleTitle } from "./words.js";

const THUMB_PX = 240;

/** A listbox: arrows, Home and End go through it, Delete takes a photo out. */
export class Strip {
  constructor(list, template, { onSelect, onRemove }) {
    this.list = list;
    this.template = template;
    this.options = new Map();
    this.order = "added";
    this.drawing = Promise.resolve();
    const itemOf = (element) => [...this.options].find(([, option]) => option === element)?.[0];

    list.addEventListener("click", (event) => {
      const item = itemOf(event.target.closest("[role=option]"));
      if (item) onSelect(item);
    });
    list.addEventListener("keydown", (event) => {
      const items = this.shown;
      const at = items.indexOf(itemOf(document.activeElement));
      if (at < 0) return;
      const last = items.length - 1;
      const targets = { ArrowLeft: at - 1, ArrowUp: at - 1, ArrowRight: at + 1, ArrowDown: at + 1, Home: 0, End: last };
      if (event.key in targets) {
        event.preventDefault();
        const item = items[Math.min(last, Math.max(0, targets[event.key]))];
        onSelect(item);
        this.options.get(item).focus();
      } else if (event.key === "Delete") {
        onRemove(items[at]);
        list.querySelector("[aria-selected=true]")?.focus();
      }
    });
  }

  /** The items in the order in which they are shown. */
  get shown() {
    return ordered(this.options.keys(), this.order);
  }

  /** Show the items in another order, see `ordered`. */
  sort(order) {
    this.order = order;
    this.#arrange();
    this.list.querySelector("[aria-selected=true]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }

  /** Show another item; returns whether the browser can show its photo, when that is known. */
  add(item) {
    const option = this.template.content.firstElementChild.cloneNode(true);
    this.options.set(item, option);
    this.list.append(option);
    this.update(item);
    // one at a time: every photo is decoded in full for it
    this.drawing = this.drawing.then(() => this.#drawPhotoThumb(item));
    return this.drawing;
  }

  update(item) {
    const option = this.options.get(item);
    const words = {
      done: () => `${percent(item.answer.summary.in_focus_fraction)} % in focus`,
      failed: () => troubleTitle(item.error),
    };
    const told = (words[item.state] ?? (() => stateWords(item)))();
    const moved = option.dataset.state !== item.state;
    option.dataset.state = item.state;
    const share = item.state === "done" ? shortPercent(item.answer.summary.in_focus_fraction) : null;
    option.querySelector(".tag").textContent = share && `${share} %`;
    option.setAttribute("aria-label", `${item.name}: ${told}`);
    option.title = `${item.name}\n${told}`;
    option.style.setProperty("--progress", item.state === "sending" ? item.details.progress : 1);
    if (item.state === "done" && !option.classList.contains("drawn")) {
      this.drawing = this.drawing.then(() => this.#drawMapThumb(item));
    }
    if (moved) this.#arrange();
  }

  /** Take an item out; returns the one that is then at its place. */
  remove(item) {
    const at = this.shown.indexOf(item);
    this.options.get(item).remove();
    this.options.delete(item);
    return this.shown[Math.min(at, this.options.size - 1)];
  }

  select(item) {
    for (const [other, option] of this.options) {
      option.setAttribute("aria-selected", other === item);
      option.tabIndex = other === item ? 0 : -1;
    }
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    this.options.get(item)?.scrollIntoView({ block: "nearest", inline: "nearest", behavior: calm ? "auto" : "smooth" });
  }

  #arrange() {
    const focused = document.activeElement;
    this.shown.forEach((item, at) => {
      const option = this.options.get(item);
      if (this.list.children[at] !== option) this.list.insertBefore(option, this.list.children[at]);
    });
    // an element that is moved loses it
    if (this.list.contains(focused)) focused.focus({ preventScroll: true });
  }

  async #drawPhotoThumb(item) {
    const photo = this.options.has(item) && (await decodedPhoto(item));
    if (!photo) return false;
    this.#draw(item, photo, null, sizeWithin(photo.width, photo.height, 0, THUMB_PX));
    photo.close();
    return true;
  }

  async #drawMapThumb(item) {
    if (!this.options.has(item) || this.options.get(item).classList.contains("drawn")) return;
    if (item.preview && (await this.#drawPhotoThumb(item))) return;
    const map = await readGray(item.maps.focus);
    const size = sizeWithin(map.width, map.height, 0, THUMB_PX);
    this.#draw(item, null, resized(map, size.width, size.height), size);
  }

  #draw(item, photo, map, size) {
    const option = this.options.get(item);
    if (!option) return;
    drawPhoto(option.querySelector("canvas"), photo, map, size);
    option.classList.add("drawn");
  }
}
