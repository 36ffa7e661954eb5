// The grid of thumbnails: only the cells in sight exist, so that any number of photos scrolls alike.
"use strict";

{
  const GAP_PX = 12;
  const CAPTION_PX = 52;
  const SPARE_ROWS = 1;
  const SETTLED_MS = 90;
  const { words } = gallery;

  /** A listbox in `scroller`; the keyboard moves through all photos, also those without a cell. */
  class Grid {
    constructor(scroller, list, template, { onOpen }) {
      Object.assign(this, { scroller, list, template, onOpen });
      this.rows = new Uint32Array();
      this.cells = new Map(); // by position
      this.spare = [];
      this.active = 0;
      this.overlays = false;
      this.hovered = null;
      this.lastTop = 0;
      scroller.addEventListener("scroll", () => this.#soon(), { passive: true });
      new ResizeObserver(() => this.#measure()).observe(scroller);
      list.addEventListener("keydown", (event) => this.#key(event));
      list.addEventListener("focus", () => this.#draw());
      list.addEventListener("blur", () => this.#draw());
      list.addEventListener("click", (event) => {
        const cell = event.target.closest("[role=option]");
        if (!cell) return;
        this.activate(Number(cell.dataset.position));
        this.onOpen(this.active);
      });
      list.addEventListener("pointerover", (event) => this.#hover(event.target.closest("[role=option]")));
      list.addEventListener("pointerleave", () => this.#hover(null));
    }

    /** Show these rows from the first on, or with the row `keep` in sight where it is among them. */
    show(rows, keep = null) {
      this.rows = rows;
      const kept = keep === null ? -1 : rows.indexOf(keep);
      this.active = Math.max(0, kept);
      for (const position of [...this.cells.keys()]) this.#release(position);
      this.scroller.scrollTop = 0;
      this.#measure();
      if (kept >= 0) this.activate(kept);
    }

    showOverlays(overlays) {
      this.overlays = overlays;
      this.#draw();
    }

    activate(position) {
      this.active = Math.min(this.rows.length - 1, Math.max(0, position));
      const top = Math.floor(this.active / this.columns) * this.rowPx;
      const seen = this.scroller.scrollTop;
      const height = this.scroller.clientHeight;
      if (top < seen) this.scroller.scrollTop = top;
      else if (top + this.rowPx + GAP_PX > seen + height) this.scroller.scrollTop = top + this.rowPx + GAP_PX - height;
      this.#draw();
    }

    #key(event) {
      if (event.ctrlKey || event.metaKey || event.altKey || !this.rows.length) return;
      const screen = this.columns * Math.max(1, Math.floor(this.scroller.clientHeight / this.rowPx));
      const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -this.columns, ArrowDown: this.columns,
        PageUp: -screen, PageDown: screen, Home: -Infinity, End: Infinity };
      if (event.key === "Enter") {
        event.preventDefault();
        this.onOpen(this.active);
      } else if (Object.hasOwn(steps, event.key)) {
        event.preventDefault();
        this.activate(this.active + steps[event.key]);
      }
    }

    #hover(cell) {
      const position = cell ? Number(cell.dataset.position) : null;
      if (position === this.hovered) return;
      this.hovered = position;
      this.#draw();
    }

    #measure() {
      const width = this.list.clientWidth;
      const least = width < 600 ? 150 : 214;
      this.columns = Math.max(1, Math.floor((width + GAP_PX) / (least + GAP_PX)));
      this.cellPx = Math.floor((width - GAP_PX * (this.columns - 1)) / this.columns);
      this.rowPx = Math.round(this.cellPx * 0.72) + CAPTION_PX + GAP_PX;
      const style = this.list.style;
      style.height = `${Math.ceil(this.rows.length / this.columns) * this.rowPx}px`;
      style.setProperty("--cell", `${this.cellPx}px`);
      style.setProperty("--row", `${this.rowPx - GAP_PX}px`);
      this.#draw();
    }

    #soon() {
      this.waiting ??= requestAnimationFrame(() => {
        this.waiting = null;
        this.#draw();
      });
    }

    #draw() {
      const top = this.scroller.scrollTop;
      const height = this.scroller.clientHeight;
      const first = Math.max(0, Math.floor(top / this.rowPx) - SPARE_ROWS) * this.columns;
      const end = Math.min(this.rows.length, (Math.ceil((top + height) / this.rowPx) + SPARE_ROWS) * this.columns);
      // the active cell stays, for screen readers hold on to it
      const wanted = (position) => (position >= first && position < end) || position === this.active;
      for (const position of [...this.cells.keys()]) if (!wanted(position)) this.#release(position);
      for (let position = first; position < end; position++) this.#place(position);
      if (this.rows.length) this.#place(this.active);
      // while it flies past, nothing is loaded; what it comes to rest on is
      const flying = Math.abs(top - this.lastTop) > 2 * height;
      this.lastTop = top;
      clearTimeout(this.settling);
      if (flying) this.settling = setTimeout(() => this.#load(), SETTLED_MS);
      else this.#load();
      if (this.rows.length) this.list.setAttribute("aria-activedescendant", `photo-${this.active}`);
      else this.list.removeAttribute("aria-activedescendant");
    }

    #place(position) {
      let cell = this.cells.get(position);
      if (!cell) {
        cell = this.spare.pop() ?? this.#newCell();
        this.cells.set(position, cell);
        this.#fill(cell, position);
      }
      const x = (position % this.columns) * (this.cellPx + GAP_PX);
      const y = Math.floor(position / this.columns) * this.rowPx;
      cell.style.transform = `translate(${x}px, ${y}px)`;
      cell.setAttribute("aria-selected", position === this.active);
    }

    #newCell() {
      const cell = this.template.content.firstElementChild.cloneNode(true);
      for (const image of cell.querySelectorAll("img")) {
        image.addEventListener("load", () => (image.hidden = false));
        image.addEventListener("error", () => (image.hidden = true));
      }
      this.list.append(cell);
      return cell;
    }

    #fill(cell, position) {
      const row = this.rows[position];
      const told = words.told(row);
      const name = words.readable(gallery.names[row]);
      const share = gallery.numbers.in_focus_fraction[row];
      const status = gallery.text("status", row);
      cell.id = `photo-${position}`;
      cell.dataset.position = position;
      cell.dataset.status = status === "ok" ? "ok" : "other";
      cell.setAttribute("aria-posinset", position + 1);
      cell.setAttribute("aria-setsize", this.rows.length);
      cell.setAttribute("aria-label", `${name}: ${status === "ok" && told ? `${told} in focus` : told || "no result"}`);
      cell.title = words.readable(gallery.path(row));
      cell.querySelector(".name").textContent = name;
      cell.querySelector(".value").textContent = status === "ok" ? told : words.status(status);
      cell.querySelector(".without").textContent = status === "ok" ? "No thumbnail" : told;
      const meter = cell.querySelector(".meter");
      meter.hidden = Number.isNaN(share);
      meter.firstElementChild.style.transform = `scaleX(${meter.hidden ? 0 : share})`;
      cell.hidden = false;
    }

    #release(position) {
      const cell = this.cells.get(position);
      this.cells.delete(position);
      cell.hidden = true;
      cell.removeAttribute("id");
      for (const image of cell.querySelectorAll("img")) clearImage(image);
      this.spare.push(cell);
    }

    #load() {
      const byKeyboard = this.list.matches(":focus-visible");
      for (const [position, cell] of this.cells) {
        const covered = this.overlays || position === this.hovered || (byKeyboard && position === this.active);
        const [photo, overlay] = cell.querySelectorAll("img");
        setImage(photo, gallery.thumb(this.rows[position], false));
        if (covered) setImage(overlay, gallery.thumb(this.rows[position], true));
        cell.classList.toggle("covered", covered);
      }
    }
  }

  function setImage(image, address) {
    if (address && image.getAttribute("src") !== address) image.src = address;
  }

  function clearImage(image) {
    image.hidden = true;
    image.removeAttribute("src");
  }

  gallery.Grid = Grid;
}
