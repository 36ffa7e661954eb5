// The layers of a picture, each drawn on its own canvas: the photo, what is laid over it, and the line around the mask.

import { lowestLevel } from "./maps.js";

// black, safelight red, amber: lightness grows with focus, so it reads in black and white as well; never white, under
// which the photo would fade
const FOCUS_COLOURS = ramp([[8, 8, 12], [66, 18, 40], [165, 42, 30], [236, 120, 34], [255, 196, 80]]);
const DEPTH_COLOURS = ramp([[246, 250, 228], [108, 190, 176], [38, 110, 150], [28, 44, 98], [8, 8, 26]]);
const BLACK = packed([0, 0, 0]);
const LINE = packed([255, 208, 0]); // the same as _CONTOUR_RGB in dbd_ray/images/overlay.py
const LINE_EDGE = packed([0, 0, 0], 150);

/** The size to draw at: close to the photo's, its longer side between `least` and `most` pixels. */
export function sizeWithin(width, height, least, most) {
  const longer = Math.max(width, height);
  const scale = Math.min(most, Math.max(least, longer)) / longer;
  return { width: Math.max(1, Math.round(width * scale)), height: Math.max(1, Math.round(height * scale)) };
}

/** Draw the photo; where the browser cannot show it (null), the map in gray stands in for it. */
export function drawPhoto(canvas, photo, focus, size) {
  const context = cleared(canvas, size);
  if (photo) {
    context.imageSmoothingQuality = "high";
    context.drawImage(photo, 0, 0, size.width, size.height);
  } else if (focus) {
    context.putImageData(painted(focus, (level) => packed([level, level, level])), 0, 0);
  }
}

/** Draw the photo as it looks where it is not in focus: gray and dark. */
export function drawDarkened(canvas, base) {
  const context = cleared(canvas, base);
  context.drawImage(base, 0, 0);
  context.globalCompositeOperation = "saturation";
  context.fillStyle = "#808080";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.globalCompositeOperation = "source-over";
  context.fillStyle = "rgb(0 0 0 / 86%)";
  context.fillRect(0, 0, canvas.width, canvas.height);
}

/** Draw what a look lays over the photo: the map or the depth in colours, or darkness on what is not in focus. */
export function drawTint(canvas, look, { darkened, focus, depth, threshold }) {
  const context = cleared(canvas, focus);
  if (look === "mask") {
    const least = lowestLevel(threshold);
    context.putImageData(painted(focus, (level) => (level < least ? BLACK : 0)), 0, 0);
    context.globalCompositeOperation = "source-in";
    context.drawImage(darkened, 0, 0);
  } else {
    const [map, colours] = look === "depth" ? [depth, DEPTH_COLOURS] : [focus, FOCUS_COLOURS];
    context.putImageData(painted(map, (level) => colours[level]), 0, 0);
  }
}

/** Draw a line around what is in focus, with a dark edge so that it shows on bright photos. */
export function drawOutline(canvas, focus, threshold) {
  const context = cleared(canvas, focus);
  const { width, height, levels } = focus;
  const least = lowestLevel(threshold);
  const border = [];
  for (let y = 0, at = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1, at += 1) {
      const inside = levels[at] >= least;
      const besides = x + 1 < width && inside !== levels[at + 1] >= least;
      if (besides || (y + 1 < height && inside !== levels[at + width] >= least)) border.push(at);
    }
  }
  const image = context.createImageData(width, height);
  const pixels = new Uint32Array(image.data.buffer);
  const half = Math.max(1, Math.round(Math.max(width, height) / 1000));
  stamp(pixels, width, height, border, half + 1, LINE_EDGE);
  stamp(pixels, width, height, border, half, LINE);
  context.putImageData(image, 0, 0);
}

function stamp(pixels, width, height, border, reach, colour) {
  for (const at of border) {
    const x = at % width;
    const y = (at - x) / width;
    const right = Math.min(width, x + reach + 1);
    const bottom = Math.min(height, y + reach + 1);
    for (let row = Math.max(0, y - reach + 1); row < bottom; row += 1) {
      pixels.fill(colour, row * width + Math.max(0, x - reach + 1), row * width + right);
    }
  }
}

function cleared(canvas, { width, height }) {
  canvas.width = width;
  canvas.height = height;
  return canvas.getContext("2d");
}

function painted({ width, height, levels }, colourOf) {
  const table = Uint32Array.from({ length: 256 }, (_, level) => colourOf(level));
  const pixels = new Uint32Array(levels.length);
  for (let at = 0; at < levels.length; at += 1) pixels[at] = table[levels[at]];
  return new ImageData(new Uint8ClampedArray(pixels.buffer), width, height);
}

function ramp(stops) {
  return Uint32Array.from({ length: 256 }, (_, level) => {
    const position = (level / 255) * (stops.length - 1);
    const index = Math.min(stops.length - 2, Math.floor(position));
    return packed(stops[index].map((from, i) => from + (stops[index + 1][i] - from) * (position - index)));
  });
}

// in the byte order of image data, whatever the machine's
function packed([red, green, blue], alpha = 255) {
  return new Uint32Array(new Uint8ClampedArray([red, green, blue, alpha]).buffer)[0];
}
