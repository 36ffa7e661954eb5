// One photo with its maps, drawn as layers at a size of its own: for the screen, or for a file.

import { drawDarkened, drawOutline, drawPhoto, drawTint, sizeWithin } from "./layers.js";
import { resized } from "./maps.js";

/** The photo's pixels, upright, or else those of the server's preview; null where there are neither, or none yet. */
export async function decodedPhoto({ file, preview }) {
  return createImageBitmap(preview ?? file).catch(() => null);
}

/** Whether two pictures can lie over each other. */
export function sameShape(one, other) {
  const [across, along] = [one.width * other.height, one.height * other.width];
  return Math.abs(across - along) <= 0.02 * across;
}

/** Layers that follow the settings {look, opacity, threshold, outline}. */
export class Picture {
  constructor({ photo = document.createElement("canvas"), tint, outline } = {}) {
    this.photo = photo;
    this.tint = tint ?? document.createElement("canvas");
    this.outline = outline ?? document.createElement("canvas");
    this.darkened = document.createElement("canvas");
    this.focus = null;
    this.depth = null;
  }

  /** Take a photo and maps, either of which may be null, at about the photo's size but within the bounds given. */
  take({ photo, focus, depth }, { least, most }) {
    const { width, height } = focus ?? photo;
    const size = sizeWithin(width, height, least, most);
    this.focus = focus && resized(focus, size.width, size.height);
    this.depth = depth && resized(depth, size.width, size.height);
    drawPhoto(this.photo, photo, this.focus, size);
    drawDarkened(this.darkened, this.photo);
    for (const layer of [this.tint, this.outline]) Object.assign(layer, size);
  }

  drawTint({ look, threshold }) {
    drawTint(this.tint, look, { darkened: this.darkened, focus: this.focus, depth: this.depth, threshold });
  }

  drawOutline({ outline, threshold }) {
    if (outline) drawOutline(this.outline, this.focus, threshold);
    else this.outline.getContext("2d").clearRect(0, 0, this.outline.width, this.outline.height);
  }

  /** All layers in one PNG. */
  async asPng(settings) {
    this.drawTint(settings);
    this.drawOutline(settings);
    const context = this.photo.getContext("2d");
    context.globalAlpha = settings.opacity;
    context.drawImage(this.tint, 0, 0);
    context.globalAlpha = 1;
    context.drawImage(this.outline, 0, 0);
    const png = await new Promise((resolve) => this.photo.toBlob(resolve, "image/png"));
    if (!png) throw new Error("This browser has no memory left for the picture.");
    return png;
  }
}
