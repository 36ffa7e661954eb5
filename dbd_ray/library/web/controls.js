// The controls of filters and order: they show a state, and change it.
"use strict";

{
  const { words, query } = gallery;
  const MOST_FOLDERS = 200; // suggestions; more are found by typing
  const RANGES = [
    ["share", "Share in focus, %", { min: 0, max: 100, step: "any" }],
    ["sharpness", "Sharpness", { min: 0, step: "any" }],
    ["date", "Date", {}],
    ["aperture", "Aperture, f/", { min: 0, step: "any" }],
    ["iso", "ISO", { min: 0, step: 1 }],
  ];
  const SORTS = { path: "Folder and name", date: "Date", share: "Share in focus", sharpness: "Sharpness", kind: "Kind",
    camera: "Camera", lens: "Lens", aperture: "Aperture", iso: "ISO", status: "Status" };

  function element(name, properties = {}, ...children) {
    const made = Object.assign(document.createElement(name), properties);
    made.append(...children);
    return made;
  }

  function counts(column) {
    const { codes, texts } = gallery.codes[column];
    const found = new Uint32Array(texts.length + 1);
    for (const code of codes) found[code]++;
    return found;
  }

  /** A select whose options stand for the texts of a column; `null` is all of them, "" those without. */
  function choice(column, worded) {
    const { texts } = gallery.codes[column];
    const found = counts(column);
    const given = texts.map((text, code) => [text, `${worded(text)} (${found[code].toLocaleString("en-US")})`]);
    if (found[texts.length]) given.push(["", `none (${found[texts.length].toLocaleString("en-US")})`]);
    return select([[null, "all"], ...given]);
  }

  function statuses() {
    const inOrder = gallery.codes.status.texts.toSorted((a, b) => (b === "ok") - (a === "ok"));
    const pairs = new Map(inOrder.map((status) => [status, new Uint32Array(gallery.codes.reason.texts.length + 1)]));
    const { codes, texts } = gallery.codes.reason;
    for (let row = 0; row < gallery.count; row++) {
      pairs.get(gallery.text("status", row))[codes[row]]++;
    }
    const given = [[null, "all"]];
    for (const [status, found] of pairs) {
      const total = found.reduce((sum, count) => sum + count, 0);
      given.push([status, `${words.status(status)} (${total.toLocaleString("en-US")})`]);
      texts.forEach((reason, code) => {
        if (found[code]) given.push([`${status}:${reason}`, `\u2003${words.reason(reason)} (${found[code].toLocaleString("en-US")})`]);
      });
    }
    return select(given);
  }

  /** Options by what they stand for, since values of `option` are texts alone. */
  function select(given) {
    const made = element("select");
    given.forEach(([, label]) => made.append(element("option", { textContent: label })));
    return {
      element: made,
      read: () => given[made.selectedIndex]?.[0] ?? null,
      write: (value) => (made.selectedIndex = given.findIndex(([own]) => own === value)),
    };
  }

  function folder() {
    const options = element("datalist", { id: "folders" });
    const input = element("input", { type: "text", autocomplete: "off", spellcheck: false, placeholder: "all" });
    input.setAttribute("list", options.id);
    const suggest = () => {
      const typed = input.value.toLowerCase();
      const fitting = gallery.codes.folder.texts.filter((text) => text && text.toLowerCase().includes(typed));
      options.replaceChildren(...fitting.slice(0, MOST_FOLDERS).map((value) => element("option", { value })));
    };
    input.addEventListener("input", suggest);
    input.addEventListener("focus", suggest);
    return { element: input, extra: [options], read: () => input.value, write: (value) => (input.value = value) };
  }

  function range(key, title, limits) {
    const ends = ["from", "to"].map((end) => {
      const input = element("input", { type: key === "date" ? "date" : "number", ...limits });
      if (key !== "date") input.placeholder = end;
      input.setAttribute("aria-label", `${title} ${end}`);
      return input;
    });
    const read = ({ value }) => (value === "" ? null : key === "date" ? value : Number(value));
    return { element: element("span", { className: "range" }, ...ends), read: () => ends.map(read),
      write: (values) => values.forEach((value, at) => {
        if (read(ends[at]) !== value) ends[at].value = value ?? "";
      }) };
  }

  /** Fill the form and the selects; `onChange` gets what changed. */
  function makeControls({ form, sort, direction, onChange }) {
    const fields = {
      status: ["Status", statuses()],
      kind: ["Kind", choice("focus_kind", words.kind)],
      folder: ["Folder", folder()],
      ...Object.fromEntries(RANGES.map(([key, title, limits]) => [key, [title, range(key, title, limits)]])),
      camera: ["Camera", choice("camera", words.readable)],
      lens: ["Lens", choice("lens", words.readable)],
    };
    for (const [key, [title, field]] of Object.entries(fields)) {
      const pair = field.element.className === "range";
      if (!pair) field.element.id = `filter-${key}`;
      form.append(pair ? element("fieldset", {}, element("legend", { textContent: title }), field.element)
        : element("div", {}, element("label", { textContent: title, htmlFor: field.element.id }), field.element, ...(field.extra ?? [])));
      field.element.addEventListener("input", () => onChange({ [key]: field.read() }));
    }
    const clear = element("button", { type: "button", textContent: "Clear filters" });
    clear.addEventListener("click", () => {
      const { sort: _, down, overlay, photo, ...filters } = query.everything();
      onChange(filters);
    });
    form.append(clear);
    form.addEventListener("submit", (event) => event.preventDefault());
    for (const [key, label] of Object.entries(SORTS)) sort.append(element("option", { value: key, textContent: label }));
    sort.addEventListener("change", () => onChange({ sort: sort.value }));
    direction.addEventListener("click", () => onChange({ down: direction.dataset.down !== "true" }));

    return (state) => {
      for (const [key, [, field]] of Object.entries(fields)) field.write(state[key]);
      sort.value = state.sort;
      direction.dataset.down = state.down;
      direction.textContent = state.down ? "↓" : "↑";
      direction.setAttribute("aria-label", state.down ? "Descending; sort ascending" : "Ascending; sort descending");
      direction.title = state.down ? "Descending" : "Ascending";
      clear.disabled = query.filterCount(state) === 0 && state.q === "";
    };
  }

  gallery.makeControls = makeControls;
}
