"""Pre- and postprocessing around the network: photos to its input size, its maps back to the photos' size.

`Detector` does both around its engine; an endpoint does them away from it, so that only small pictures travel.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from dbd_ray.detection.focus_map import FocusMap, summarize
from dbd_ray.images.refine import refine_to_photo
from dbd_ray.images.resize import resize_photo
from dbd_ray.images.tiles import blend_tiles, lay_tiles
from dbd_ray.names import Refinement


class PhotoMaps(NamedTuple):
    """The network's maps of n pictures, at its own size.

    Attributes:
        focus: float32 n×h×w in [0,1], 1 = in focus.
        depth: float32 n×h×w in [0,1], 0 near, 1 far; None where the network has no depth.
    """

    focus: np.ndarray
    depth: np.ndarray | None

    def part(self, start: int, stop: int) -> "PhotoMaps":
        """Give the maps of the pictures from `start` up to `stop`, without a copy."""
        return PhotoMaps(self.focus[start:stop], None if self.depth is None else self.depth[start:stop])

    @classmethod
    def join(cls, parts: Sequence["PhotoMaps"]) -> "PhotoMaps":
        """Put maps of one network together, in their order; a single part is given back as it is."""
        if len(parts) == 1:
            return parts[0]
        depths = [part.depth for part in parts if part.depth is not None]
        return cls(np.concatenate([part.focus for part in parts]), np.concatenate(depths) if depths else None)


def network_pictures(photo: np.ndarray, input_size: tuple[int, int], *, tile: int = 1) -> np.ndarray:
    """Resize a photo, or its tiles, to the network's input.

    Args:
        photo: uint8 RGB H×W×3.
        input_size: (height, width) of the network's input.
        tile: Number of overlapping tiles along the photo's longer side; 1: the photo as a whole.

    Returns:
        uint8 n×h×w×3, one picture per tile.

    Raises:
        ValueError: The number of tiles is out of range.
    """
    height, width = photo.shape[:2]
    tiles = lay_tiles(height, width, tile)
    return np.stack([resize_photo(one.cut(photo), input_size) for one in tiles])


def native_map(
    photo: np.ndarray,
    maps: PhotoMaps,
    *,
    model: str,
    model_fingerprint: str,
    refine: Refinement = "guided",
    tile: int = 1,
) -> FocusMap:
    """Bring the network's maps of a photo's pictures to the photo's size.

    Args:
        photo: uint8 RGB H×W×3.
        maps: The network's maps of the photo's `network_pictures`.
        model: Name of the checkpoint that made them.
        model_fingerprint: Fingerprint of that checkpoint.
        refine: "guided" follows the photo's edges (fast guided filter), "bilinear" only interpolates.
        tile: As for `network_pictures`; tiles have no depth, since each has a scale of its own.
    """
    height, width = photo.shape[:2]
    small = maps.focus[0] if tile == 1 else blend_tiles(maps.focus, lay_tiles(height, width, tile), height, width)
    focus = refine_to_photo(small, photo, method=refine)
    depth = None
    if maps.depth is not None and tile == 1:
        depth = refine_to_photo(maps.depth[0], photo, method=refine)
    return FocusMap(focus, depth, summarize(focus, model=model, model_fingerprint=model_fingerprint))
