"""Overlapping tiles of a photo and the blending of their maps, for subjects that are small in the photo."""

from typing import NamedTuple

import numpy as np

from dbd_ray.names import MOST_TILES

OVERLAP = 0.25  # of a tile with the next


class Tile(NamedTuple):
    """A rectangle of a photo.

    Attributes:
        top, left: First row and column, px.
        height, width: Size, px.
    """

    top: int
    left: int
    height: int
    width: int

    def cut(self, photo: np.ndarray) -> np.ndarray:
        """Cut this rectangle out of an H×W×C photo, as a view."""
        return photo[self.top : self.top + self.height, self.left : self.left + self.width]


def lay_tiles(height: int, width: int, tiles: int) -> list[Tile]:
    """Cover a photo with tiles that overlap by a quarter and are as square as the photo allows.

    Args:
        height: Height of the photo, px.
        width: Width of the photo, px.
        tiles: Number of tiles along the longer side.

    Returns:
        Tiles of one size, row by row.

    Raises:
        ValueError: The number is not in 1…MOST_TILES.
    """
    if not 1 <= tiles <= MOST_TILES:
        raise ValueError(f"tile: {tiles} tiles along the longer side, give 1 to {MOST_TILES}")
    longer = max(height, width)
    (tops, tall), (lefts, wide) = (_along(side, max(1, round(tiles * side / longer))) for side in (height, width))
    return [Tile(top, left, tall, wide) for top in tops for left in lefts]


def blend_tiles(maps: np.ndarray, tiles: list[Tile], height: int, width: int) -> np.ndarray:
    """Join the maps of tiles by a weighted mean; a pixel weighs more the farther it is from its tile's border.

    Args:
        maps: float32 N×h×w, one per tile.
        tiles: Tiles in the same order, see `lay_tiles`.
        height: Height of the photo, px.
        width: Width of the photo, px.

    Returns:
        float32 H'×W', the photo's proportions at the maps' resolution.
    """
    own_height, own_width = maps.shape[1:]
    down, across = own_height / tiles[0].height, own_width / tiles[0].width
    total = np.zeros((round(height * down), round(width * across)), np.float32)
    weights = np.zeros_like(total)
    window = np.outer(_window(own_height), _window(own_width))
    for tile, one in zip(tiles, maps, strict=True):
        top = min(round(tile.top * down), total.shape[0] - own_height)
        left = min(round(tile.left * across), total.shape[1] - own_width)
        place = (slice(top, top + own_height), slice(left, left + own_width))
        total[place] += one * window
        weights[place] += window
    return total / weights


def _along(side: int, count: int) -> tuple[list[int], int]:
    length = min(side, int(np.ceil(side / (count - (count - 1) * OVERLAP))))
    return [round(start) for start in np.linspace(0, side - length, count)], length


def _window(length: int) -> np.ndarray:
    # never 0: at the photo's own border a tile is alone
    place = (np.arange(length, dtype=np.float32) + 0.5) / length
    return np.minimum(np.minimum(place, 1 - place) / OVERLAP, 1) + np.float32(1e-3)
