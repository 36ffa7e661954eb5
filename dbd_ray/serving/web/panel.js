// Beside the photo: what was found, in words, the sliders, and the downloads.

import { saveMask, saveOverlay, saveSummary } from "./downloads.js";
import { shareInFocus } from "./maps.js";
import { confidenceWords, kindWords, percent, placeWords } from "./words.js";

/** Holds the settings {look, opacity, threshold, outline}; `onChange(settings)` is told of every change. */
export class Panel {
  constructor(root, { onChange, onRemove }) {
    this.root = root;
    this.parts = Object.fromEntries([...root.querySelectorAll("[data-part]")].map((part) => [part.dataset.part, part]));
    this.controls = root.querySelector("form");
    this.maps = null;
    this.item = null;
    this.controls.addEventListener("submit", (event) => event.preventDefault());
    this.controls.addEventListener("input", () => {
      this.#tellShare();
      onChange(this.settings);
    });
    this.parts.remove.addEventListener("click", () => onRemove(this.item));
    for (const [name, save] of Object.entries({ mask: saveMask, overlay: saveOverlay, json: saveSummary })) {
      this.parts[name].addEventListener("click", () => this.#save(save));
    }
  }

  get settings() {
    const { look, opacity, threshold, outline } = this.controls.elements;
    return {
      look: look.value,
      opacity: opacity.valueAsNumber / 100,
      threshold: threshold.valueAsNumber / 100,
      outline: outline.checked,
    };
  }

  /** Tell of an item; its maps come later, see `take`. */
  show(item) {
    this.item = item;
    this.root.dataset.state = item.state;
    this.parts.name.textContent = item.name;
    const { answer } = item;
    if (!answer) return;
    const { summary } = answer;
    this.parts.kind.textContent = kindWords(summary);
    const place = placeWords(answer);
    this.parts.place.textContent = place ? `, ${place}.` : ".";
    this.parts.confidence.textContent = confidenceWords(summary);
    this.parts.model.textContent = summary.model;
    this.parts.model.title = summary.model_fingerprint;
    this.parts.size.textContent = `${answer.width} × ${answer.height}`;
  }

  /** Take the maps that the stage shows, or null while there are none. */
  take(maps) {
    this.maps = maps;
    this.root.classList.toggle("ready", Boolean(maps));
    for (const name of ["mask", "overlay", "json"]) this.parts[name].disabled = !maps;
    this.parts["download-trouble"].textContent = "";
    const withDepth = Boolean(maps?.depth);
    this.parts.depth.hidden = !withDepth;
    const { look } = this.controls.elements;
    if (maps && !withDepth && look.value === "depth") look.value = "focus";
    this.#tellShare();
  }

  #tellShare() {
    const { opacity, threshold } = this.controls.elements;
    this.parts.opacity.textContent = `${opacity.value} %`;
    this.parts.threshold.textContent = `${threshold.value} %`;
    const share = this.maps ? percent(shareInFocus(this.maps.counts, this.settings.threshold)) : "–";
    this.parts.share.textContent = share;
    opacity.setAttribute("aria-valuetext", `${opacity.value} %`);
    threshold.setAttribute("aria-valuetext", `${threshold.value} %, then ${share} % of the photo are in focus`);
  }

  async #save(save) {
    try {
      await save(this.maps, this.settings);
    } catch (error) {
      this.parts["download-trouble"].textContent = `This could not be saved: ${error.message}`;
    }
  }
}
