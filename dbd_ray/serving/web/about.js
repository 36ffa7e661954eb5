// What runs on the server, its limits, and how well it was measured.

import { megabytes } from "./words.js";

/** Fill the dialog and the places that name the model; `model` is the answer of v1/model. */
export function tellModel(root, model) {
  for (const place of root.querySelectorAll('[data-model="name"]')) place.textContent = model.name;
  const { max_bytes, max_pixels } = model.limits;
  const limits = `${megabytes(max_bytes)} and ${Math.round(max_pixels / 1e6)} megapixels`;
  for (const place of root.querySelectorAll('[data-model="limits"]')) place.textContent = `Up to ${limits} each.`;
  const { metrics = {}, provenance = {}, parameters } = model.card;
  const rows = {
    Model: model.name,
    Weights: model.fingerprint.slice(0, 16),
    Size: parameters && `${(parameters / 1e6).toFixed(1)} million parameters`,
    "Runs on": `${model.device}, ${model.engine}`,
    "Looks at": `${model.input_size.join(" × ")} px; the map is then fitted to the photo's edges`,
    Depth: model.has_depth ? "estimates depth as well" : "no depth",
    "Measured on": provenance.measured_on,
    "Mean error of the map": metrics.mae?.toFixed(3),
    "Overlap with the truth (IoU)": metrics.iou_at_half_focus?.toFixed(2),
    "Largest photo": limits,
  };
  const list = root.querySelector('[data-model="facts"]');
  list.replaceChildren();
  for (const [name, value] of Object.entries(rows)) {
    if (!value) continue;
    const [term, description] = [document.createElement("dt"), document.createElement("dd")];
    term.textContent = name;
    description.textContent = value;
    list.append(term, description);
  }
  const refused = root.querySelector('[data-model="refused"]');
  const { source, message } = model.refused ?? {};
  refused.textContent = source ? `${source} was asked for but is not used: ${message}` : "";
}

/** Let a button open the dialog. */
export function openAbout(dialog, buttons) {
  for (const button of buttons) button.addEventListener("click", () => dialog.showModal());
  // a click beside the box is one on the dialog itself
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });
}
