// What can be said and drawn of a map of 8-bit levels {width, height, levels}.

/** The lowest level that counts as in focus at a threshold in (0, 1]. */
export function lowestLevel(threshold) {
  return Math.ceil(threshold * 255);
}

/** How many pixels have at least each level: with it, the share at any threshold costs nothing. */
export function countAtLeast({ levels }) {
  const counts = new Float64Array(257);
  for (const level of levels) counts[level] += 1;
  for (let level = 255; level >= 0; level -= 1) counts[level] += counts[level + 1];
  return counts;
}

/** Share of the pixels that are in focus at a threshold, in [0, 1]. */
export function shareInFocus(counts, threshold) {
  return counts[lowestLevel(threshold)] / counts[0];
}

/** The mask at the map's own size: 255 where it is in focus. */
export function maskOf({ width, height, levels }, threshold) {
  const least = lowestLevel(threshold);
  return { width, height, levels: levels.map((level) => (level >= least ? 255 : 0)) };
}

/** The map at another size: means of areas on the way down, interpolation on the way up. */
export function resized(map, width, height) {
  if (width === map.width && height === map.height) return map;
  const levels = new Uint8Array(width * height);
  if (width <= map.width && height <= map.height) average(map, levels, width, height);
  else interpolate(map, levels, width, height);
  return { width, height, levels };
}

function average(map, levels, width, height) {
  for (let y = 0; y < height; y += 1) {
    const top = Math.floor((y * map.height) / height);
    const bottom = Math.max(top + 1, Math.floor(((y + 1) * map.height) / height));
    for (let x = 0; x < width; x += 1) {
      const left = Math.floor((x * map.width) / width);
      const right = Math.max(left + 1, Math.floor(((x + 1) * map.width) / width));
      let sum = 0;
      for (let row = top; row < bottom; row += 1) {
        for (let at = row * map.width + left; at < row * map.width + right; at += 1) sum += map.levels[at];
      }
      levels[y * width + x] = Math.round(sum / ((bottom - top) * (right - left)));
    }
  }
}

function interpolate(map, levels, width, height) {
  const columns = Array.from({ length: width }, (_, x) => between(x, width, map.width));
  for (let y = 0; y < height; y += 1) {
    const row = between(y, height, map.height);
    const upper = row.low * map.width;
    const lower = row.high * map.width;
    for (let x = 0; x < width; x += 1) {
      const { low, high, share } = columns[x];
      const above = map.levels[upper + low] * (1 - share) + map.levels[upper + high] * share;
      const below = map.levels[lower + low] * (1 - share) + map.levels[lower + high] * share;
      levels[y * width + x] = Math.round(above * (1 - row.share) + below * row.share);
    }
  }
}

function between(position, size, sourceSize) {
  const centre = Math.min(sourceSize - 1, Math.max(0, ((position + 0.5) * sourceSize) / size - 0.5));
  const low = Math.floor(centre);
  return { low, high: Math.min(sourceSize - 1, low + 1), share: centre - low };
}
