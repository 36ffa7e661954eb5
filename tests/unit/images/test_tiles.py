"""Promises of tiles."""

from pathlib import Path

import numpy as np
import pytest

from dbd_ray.detection.detector import Detector
from dbd_ray.detection.transforms import network_pictures
from dbd_ray.images.decode import decode_photo
from dbd_ray.images.tiles import blend_tiles, lay_tiles


@pytest.mark.parametrize(
    ("size", "tiles", "expected"), [((300, 400), 1, 1), ((300, 400), 4, 12), ((101, 999), 5, 5), ((640, 640), 2, 4)]
)
def test_tiles_cover_the_photo_and_overlap(size: tuple[int, int], tiles: int, expected: int) -> None:
    laid = lay_tiles(*size, tiles)
    assert len(laid) == expected
    seen = np.zeros(size, int)
    for tile in laid:
        assert tile.cut(seen).shape == (tile.height, tile.width), "no tile reaches beyond the photo"
        seen[tile.top : tile.top + tile.height, tile.left : tile.left + tile.width] += 1
    assert seen.min() == 1
    assert (seen.max() > 1) == (tiles > 1)


@pytest.mark.parametrize("size", [(300, 400), (333, 97), (1024, 768)])
def test_maps_of_tiles_are_joined_without_seams(size: tuple[int, int]) -> None:
    height, width = size
    truth = np.linspace(0, 1, height, dtype=np.float32)[:, None] * np.linspace(0.2, 1, width, dtype=np.float32)
    tiles = lay_tiles(height, width, 3)
    # each tile's map at the tile's own resolution: joining must give the whole back
    maps = np.stack([tile.cut(truth) for tile in tiles])
    joined = blend_tiles(maps, tiles, height, width)
    assert joined.shape == truth.shape
    np.testing.assert_allclose(joined, truth, atol=1e-5)


@pytest.mark.parametrize("tiles", [0, 33])
def test_a_number_of_tiles_out_of_range_is_refused_before_the_first_photo(tiny_model: Path, tiles: int) -> None:
    detector = Detector.load(tiny_model)
    with pytest.raises(ValueError, match=f"tile: {tiles} tiles along the longer side, give 1 to 32"):
        detector.detect([np.zeros((64, 64, 3), np.uint8)], tile=tiles)


def test_a_tiled_photo_gives_a_map_of_its_own_size_and_looks_closer(cuhk: Path, tiny_model: Path) -> None:
    photo = decode_photo(sorted((cuhk / "image").iterdir())[0].read_bytes())
    detector = Detector.load(tiny_model, engine="eager")
    whole, tiled = (detector.detect([photo], tile=tile)[0] for tile in (1, 3))
    assert tiled.focus.shape == whole.focus.shape == photo.shape[:2]
    assert 0 <= tiled.focus.min() <= tiled.focus.max() <= 1
    assert tiled.depth is None
    assert not np.array_equal(tiled.focus, whole.focus)
    # tiles are what the detector says of them as photos
    height, width = photo.shape[:2]
    first = lay_tiles(height, width, 3)[0]
    alone = detector.network_maps(network_pictures(first.cut(photo), detector.card.input_size)).focus[0]
    corner = tiled.focus[: first.height // 4, : first.width // 4]
    assert abs(float(corner.mean()) - float(alone[: len(alone) // 4, : len(alone[0]) // 4].mean())) < 0.02
