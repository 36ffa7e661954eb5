"""The contact sheet of a teaching run: one picture of some photos beside their depths."""

from collections.abc import Sequence

import cv2
import numpy as np

from dbd_ray.errors import DatasetError, PhotoError
from dbd_ray.images.decode import decode_photo, photo_size
from dbd_ray.images.encode import decode_depth
from dbd_ray.images.resize import within
from dbd_ray.storage import read_bytes
from dbd_ray.teaching.decode_photos import DEPTH_LONG_SIDE_PX
from dbd_ray.teaching.sources import Source, read_pictures
from dbd_ray.teaching.store import Committed, read_depths

PAIRS = 24

TILE_PX = (180, 240)  # height, width
GAP_PX = 8
LABEL_PX = 18
PAIRS_PER_ROW = 3
PAPER, INK = (255, 255, 255), (60, 60, 60)


def contact_sheet(source: Source, folder: str, committed: Committed) -> np.ndarray:
    """Draw photos of a source, evenly spread over those with a depth, beside their depths.

    Args:
        source: The photos; one that cannot be read any more is left out.
        folder: The teacher's folder of depths.
        committed: Photos that have a depth or a failure in that folder.

    Returns:
        uint8 RGB H×W×3, see `draw_pairs`.
    """
    done = [key for key in source.row_keys() if key in committed.files]
    chosen = [done[i] for i in np.unique(np.linspace(0, len(done) - 1, PAIRS).astype(int))] if done else []
    files = {key: committed.files[key] for key in chosen}
    depths = {key: decode_depth(png) for key, png, _ in read_depths(folder, files)}
    rows = source.choose(set(chosen)).to_pylist()
    prepared = read_pictures(rows)
    pairs = []
    for row in rows:
        key = (row["id"], row["digest"])
        try:
            data = prepared.get(key) or read_bytes(row["uri"])
            photo = decode_photo(data, target_size=within(photo_size(data), DEPTH_LONG_SIDE_PX))
            pairs.append((row["id"], photo, depths[key]))
        except (OSError, DatasetError, PhotoError):  # moved away since it was taught
            continue
    return draw_pairs(pairs)


def draw_pairs(pairs: Sequence[tuple[str, np.ndarray, np.ndarray]]) -> np.ndarray:
    """Draw pairs of photo and depth, three to a row.

    Args:
        pairs: Label, photo (uint8 RGB H×W×3) and depth (float32 h×w in [0,1]) of each; the depth may have any size and
            aspect ratio and is drawn in the photo's.

    Returns:
        uint8 RGB H×W×3; near is bright, far is dark.
    """
    height, width = TILE_PX
    row_px, pair_px = height + LABEL_PX + GAP_PX, 2 * width + 2 * GAP_PX
    rows = max(1, -(-len(pairs) // PAIRS_PER_ROW))
    sheet = np.full((rows * row_px + GAP_PX, PAIRS_PER_ROW * pair_px + GAP_PX, 3), PAPER, np.uint8)
    for number, (label, photo, depth) in enumerate(pairs):
        top = GAP_PX + number // PAIRS_PER_ROW * row_px
        left = GAP_PX + number % PAIRS_PER_ROW * pair_px
        small = _fit(photo)
        colours = cv2.applyColorMap(np.rint((1 - depth) * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)[..., ::-1]
        shown = cv2.resize(colours, small.shape[1::-1], interpolation=cv2.INTER_AREA)
        for column, tile in enumerate((small, shown)):
            y, x = top + (height - tile.shape[0]) // 2, left + column * (width + 2) + (width - tile.shape[1]) // 2
            sheet[y : y + tile.shape[0], x : x + tile.shape[1]] = tile
        place = (left, top + height + LABEL_PX - 5)
        cv2.putText(sheet, label[-60:], place, cv2.FONT_HERSHEY_SIMPLEX, 0.4, INK, 1, cv2.LINE_AA)
    return sheet


def _fit(photo: np.ndarray) -> np.ndarray:
    scale = min(TILE_PX[0] / photo.shape[0], TILE_PX[1] / photo.shape[1])
    size = max(1, round(photo.shape[1] * scale)), max(1, round(photo.shape[0] * scale))
    return cv2.resize(photo, size, interpolation=cv2.INTER_AREA)
