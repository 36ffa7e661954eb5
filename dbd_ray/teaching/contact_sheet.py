"""One picture of many photos beside their depths."""

from collections.abc import Sequence

import cv2
import numpy as np

TILE_PX = (180, 240)  # height, width
GAP_PX = 8
LABEL_PX = 18
PAIRS_PER_ROW = 3
PAPER, INK = (255, 255, 255), (60, 60, 60)


def contact_sheet(pairs: Sequence[tuple[str, np.ndarray, np.ndarray]]) -> np.ndarray:
    """Draw photos and depths side by side, three pairs to a row.

    Args:
        pairs: Label, photo (uint8 RGB H×W×3), depth (float32 H×W in [0,1]; of any size, in the photo's aspect ratio
            or stretched: it is drawn in the photo's).

    Returns:
        uint8 RGB; near is drawn bright, far dark.
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
