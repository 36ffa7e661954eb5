// Beside the strip, for all photos together: their order, and the download of what was found in them.

import { save } from "./downloads.js";
import { archiveOf, tableOf } from "./results.js";

/** `onOrder(order)` hears of another order; `given()` tells {items, threshold} of what is to be downloaded. */
export class Tools {
  constructor(root, { onOrder, given }) {
    this.parts = Object.fromEntries([...root.querySelectorAll("[data-part]")].map((part) => [part.dataset.part, part]));
    const { order, table, archive } = this.parts;
    this.given = given;
    this.archiving = false;
    order.addEventListener("change", () => onOrder(order.value));
    table.addEventListener("click", () => this.#save("index.csv", tableOf));
    archive.addEventListener("click", () => this.#archive());
  }

  /** Offer what there is of the items. */
  follow(items) {
    this.parts.table.disabled = !items.some(({ state }) => state === "done" || state === "failed");
    this.parts.archive.disabled = this.archiving || !items.some(({ state }) => state === "done");
  }

  async #archive() {
    const button = this.parts.archive;
    const words = button.textContent;
    this.archiving = true;
    button.disabled = true;
    const count = this.given().items.filter(({ state }) => state === "done").length;
    const tell = (done) => {
      button.textContent = `Packing ${done} of ${count}`;
    };
    await this.#save("focus-maps.zip", (items, threshold) => archiveOf(items, threshold, tell));
    button.textContent = words;
    this.archiving = false;
    this.follow(this.given().items);
  }

  async #save(name, make) {
    const { trouble } = this.parts;
    trouble.textContent = "";
    try {
      const { items, threshold } = this.given();
      save(await make(items, threshold), name);
    } catch (error) {
      trouble.textContent = `This could not be saved: ${error.message}`;
    }
  }
}
