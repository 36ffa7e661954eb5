// The page: one state, shown by the controls, the grid, the large view and the address.
"use strict";

{
  const { query, Grid, Viewer, makeControls } = gallery;
  const byId = (id) => document.getElementById(id);
  const search = byId("search");
  const overlayButton = byId("overlay");
  const filterButton = byId("show-filters");
  const TYPED_MS = 80;

  let state = query.everything();
  let typing = 0;

  const grid = new Grid(byId("scroller"), byId("photos"), byId("cell"), { onOpen: open });
  const viewer = new Viewer(byId("viewer"), {
    rows: () => grid.rows,
    onMove: (position) => {
      grid.activate(position);
      remember({ photo: gallery.path(grid.rows[position]) });
    },
    onClose: () => {
      remember({ photo: null });
      byId("photos").focus();
    },
    onOverlay: toggleOverlay,
  });
  const showControls = makeControls({ form: byId("filters"), sort: byId("sort"), direction: byId("direction"), onChange: change });

  function open(position) {
    viewer.open(position);
    remember({ photo: gallery.path(grid.rows[position]) });
  }

  function toggleOverlay() {
    remember({ overlay: !state.overlay });
    showOverlay();
  }

  function showOverlay() {
    overlayButton.setAttribute("aria-pressed", state.overlay);
    grid.showOverlays(state.overlay);
    viewer.showOverlay(state.overlay);
  }

  /** Keep a change in the state and in the address, which can then be bookmarked. */
  function remember(changes) {
    state = { ...state, ...changes };
    const hash = query.toHash(state);
    history.replaceState(null, "", hash ? `#${hash}` : "#");
  }

  /** Show other rows, or the same in another order; only an order keeps the photo that the reader was at. */
  function change(changes) {
    const started = performance.now();
    const sorts = "sort" in changes || "down" in changes;
    const at = sorts && grid.active > 0 ? grid.rows[grid.active] : null;
    remember(changes);
    showRows(at);
    performance.measure("gallery-change", { start: started });
  }

  function showRows(keep) {
    const rows = query.find(state);
    grid.show(rows, keep);
    showControls(state);
    if (document.activeElement !== search) search.value = state.q;
    const [shown, all] = [rows.length, gallery.count].map((number) => number.toLocaleString("en-US"));
    byId("count").textContent = rows.length === gallery.count ? `${all} files` : `${shown} of ${all} files`;
    const nothing = byId("nothing");
    nothing.hidden = rows.length > 0;
    nothing.textContent = gallery.count ? "No photo fits all filters." : "No photos were found in this folder.";
    const filters = query.filterCount(state);
    filterButton.textContent = filters ? `Filters (${filters})` : "Filters";
  }

  function readAddress() {
    state = query.fromHash(location.hash);
    search.value = state.q;
    showRows(null);
    showOverlay();
    const position = state.photo === null ? -1 : grid.rows.findIndex((row) => gallery.path(row) === state.photo);
    if (position >= 0) {
      grid.activate(position);
      viewer.open(position);
    } else if (byId("viewer").open) {
      byId("viewer").close();
    }
  }

  search.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(() => change({ q: search.value }), TYPED_MS);
  });
  search.addEventListener("keydown", (event) => {
    if (event.key === "Enter" || event.key === "ArrowDown") {
      event.preventDefault();
      byId("photos").focus();
    }
  });
  overlayButton.addEventListener("click", toggleOverlay);
  filterButton.addEventListener("click", () => {
    const shown = document.body.classList.toggle("filtering");
    filterButton.setAttribute("aria-expanded", shown);
  });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, select")) return;
    if (event.key === "/" && !byId("viewer").open) {
      event.preventDefault();
      search.focus();
      search.select();
    } else if (event.key.toLowerCase() === "o") {
      toggleOverlay();
    }
  });
  addEventListener("hashchange", readAddress);
  readAddress();
  performance.measure("gallery-opened", { start: 0 });
}
