// The large view of one photo with all that is known about it.
"use strict";

{
  const { words } = gallery;
  const MOST_BYTES = 64e6; // of an original that is shown in place of its thumbnail
  const SHOWN_TYPES = /\.(jpe?g|png|webp|gif|avif|bmp)$/i;

  /** What is known about a row, as [label, text]; what is unknown is left out. */
  function facts(row, given) {
    const { numbers } = gallery;
    const { readable, number } = words;
    const text = (value) => (value === undefined || value === null ? "" : readable(value));
    const of = (value, shown) => (value === null || value === undefined || Number.isNaN(value) ? "" : shown(value));
    const area = given.sharp_left >= 0 && given.sharp_left !== null;
    return [
      ["Why", text(given.message)],
      ["Confidence", of(given.focus_confidence, (value) => `${Math.round(100 * value)} %`)],
      ["Sharpness", of(numbers.sharpness[row], number)],
      ["Sharp area", area ? `${given.sharp_left}, ${given.sharp_top} to ${given.sharp_right}, ${given.sharp_bottom} px` : ""],
      ["Taken", of(numbers.taken_at[row], words.time)],
      ["Camera", text(gallery.text("camera", row))],
      ["Lens", text(gallery.text("lens", row))],
      ["Focal length", of(given.focal_length_mm, (value) => `${number(value)} mm`)],
      ["Aperture", of(numbers.f_number[row], (value) => `f/${number(value)}`)],
      ["Exposure", of(given.exposure_s, words.exposure)],
      ["ISO", of(numbers.iso[row], String)],
      ["Size", of(given.width, (width) => `${width} × ${given.height} px`)],
      ["File", of(given.size, words.bytes)],
      ["Scanned in", text(given.uri)],
      ["Model", text(given.focus_model)],
    ].filter(([, shown]) => shown !== "");
  }

  /** A dialog; `rows()` are those of the grid, `onMove` and `onClose` tell it where the reader went. */
  class Viewer {
    constructor(dialog, { rows, onMove, onClose, onOverlay }) {
      Object.assign(this, { dialog, rows, onMove, position: 0 });
      this.find = (selector) => dialog.querySelector(selector);
      this.photo = this.find(".photo");
      this.overlay = this.find(".overlay");
      const does = { previous: () => this.#step(-1), next: () => this.#step(1), close: () => dialog.close(), overlay: onOverlay };
      for (const button of dialog.querySelectorAll("[data-does]")) button.addEventListener("click", does[button.dataset.does]);
      dialog.addEventListener("keydown", (event) => {
        const step = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[event.key];
        if (!step || event.ctrlKey || event.metaKey || event.altKey) return;
        event.preventDefault();
        this.#step(step);
      });
      dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
      dialog.addEventListener("close", onClose);
      for (const image of [this.photo, this.overlay]) {
        image.addEventListener("load", () => (image.hidden = false));
        image.addEventListener("error", () => (image.hidden = true));
      }
    }

    showOverlay(covered) {
      this.dialog.classList.toggle("covered", covered);
      this.find('[data-does="overlay"]').setAttribute("aria-pressed", covered);
    }

    open(position) {
      this.position = position;
      if (!this.dialog.open) this.dialog.showModal();
      this.#show(this.rows()[position]);
    }

    #step(step) {
      const position = Math.min(this.rows().length - 1, Math.max(0, this.position + step));
      if (position === this.position) return;
      this.open(position);
      this.onMove(position);
    }

    async #show(row) {
      this.row = row;
      const status = gallery.text("status", row);
      const told = words.told(row);
      const kind = gallery.text("focus_kind", row);
      const name = words.readable(gallery.names[row]);
      this.find("h2").textContent = name;
      this.find(".place").textContent = words.readable(gallery.text("folder", row) ?? "");
      const seen = [kind && words.kind(kind), told].filter(Boolean).join(", ");
      this.find(".verdict").textContent = status === "ok" ? seen : `${words.status(status)}: ${told}`;
      this.find(".without").textContent = status === "ok" ? "No thumbnail" : told;
      this.find(".original").hidden = true;
      this.find("dl").replaceChildren();
      this.photo.alt = name;
      for (const [image, covered] of [[this.photo, false], [this.overlay, true]]) {
        image.hidden = true;
        const address = gallery.thumb(row, covered);
        if (address) image.src = address;
        else image.removeAttribute("src");
      }
      try {
        const details = await gallery.details(row);
        if (this.row !== row) return;
        this.#tell(facts(row, details));
        if (details.link) Object.assign(this.find(".original"), { href: details.link, hidden: false });
        if (details.link && status === "ok" && details.size <= MOST_BYTES && SHOWN_TYPES.test(gallery.names[row])) {
          this.#sharpen(row, details.link);
        }
      } catch (error) {
        if (this.row === row) this.#tell([["Details", error.message]]);
      }
    }

    #tell(pairs) {
      const made = pairs.flatMap(([label, shown]) => [["dt", label], ["dd", shown]]).map(([name, text]) => {
        const element = document.createElement(name);
        element.textContent = text;
        return element;
      });
      this.find("dl").replaceChildren(...made);
    }

    /** Put the original in place of its thumbnail, as soon as it is there. */
    #sharpen(row, address) {
      const original = new Image();
      original.addEventListener("load", () => {
        if (this.row === row && this.dialog.open) this.photo.src = address;
      });
      original.src = address;
    }
  }

  gallery.Viewer = Viewer;
}
