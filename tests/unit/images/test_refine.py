"""Refinement brings small maps to the photo's size, along its edges."""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from dbd_ray.images.decode import decode_photo
from dbd_ray.images.encode import decode_mask
from dbd_ray.images.refine import refine_to_photo
from dbd_ray.names import Refinement


def labelled(cuhk: Path, count: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    names = [line.strip().rsplit(".", 1)[0] for line in (cuhk / "test.txt").read_text().split()][:count]
    images = {path.stem: path for path in (cuhk / "image").iterdir()}
    masks = {path.stem: path for path in (cuhk / "gt").iterdir()}
    for name in names:
        truth = decode_mask(masks[name].read_bytes(), polarity="blur") / np.float32(255)
        yield decode_photo(images[name].read_bytes()), truth


@pytest.mark.parametrize("side", [320, 80])
def test_guided_maps_are_closer_to_the_truth_than_bilinear_ones(cuhk: Path, side: int) -> None:
    errors: dict[Refinement, list[float]] = {"guided": [], "bilinear": []}
    for photo, truth in labelled(cuhk, 20):
        small = cv2.resize(truth, (side, side), interpolation=cv2.INTER_AREA)
        for method, values in errors.items():
            values.append(np.abs(refine_to_photo(small, photo, method=method) - truth).mean())
    assert np.mean(errors["guided"]) < 0.95 * np.mean(errors["bilinear"])


def step_photo(height: int = 256, width: int = 256, edge: int = 131) -> tuple[np.ndarray, np.ndarray]:
    photo = np.full((height, width, 3), 40, np.uint8)
    photo[:, edge:] = 220
    return photo, (np.arange(width) >= edge).astype(np.float32)[None].repeat(height, axis=0)


def test_the_maps_edge_moves_to_the_photos() -> None:
    photo, truth = step_photo()
    small = cv2.resize(truth, (32, 32), interpolation=cv2.INTER_AREA)
    refined = refine_to_photo(small, photo)
    assert refined[128, 130] < 0.2 < 0.8 < refined[128, 131]


@pytest.mark.parametrize("scale", [1, 2])
def test_a_map_that_is_not_smaller_than_the_photo_loses_nothing(cuhk: Path, scale: int) -> None:
    for photo, truth in labelled(cuhk, 3):
        small = cv2.resize(photo, (320, 320), interpolation=cv2.INTER_AREA)
        focus = cv2.resize(truth, (320, 320), interpolation=cv2.INTER_AREA)
        enlarged = cv2.resize(focus, None, fx=scale, fy=scale, interpolation=cv2.INTER_NEAREST)
        np.testing.assert_allclose(refine_to_photo(enlarged, small), focus, atol=1e-6)


@pytest.mark.parametrize("longest", [321, 330, 400])
def test_guided_maps_are_closer_than_bilinear_ones_also_where_the_photo_is_little_larger(
    cuhk: Path, longest: int
) -> None:
    errors: dict[Refinement, list[float]] = {"guided": [], "bilinear": []}
    for photo, truth in labelled(cuhk, 20):
        scale = longest / max(truth.shape)
        size = (round(truth.shape[1] * scale), round(truth.shape[0] * scale))
        small = cv2.resize(truth, (320, 320), interpolation=cv2.INTER_AREA)
        photo, truth = (cv2.resize(picture, size, interpolation=cv2.INTER_AREA) for picture in (photo, truth))
        for method, values in errors.items():
            values.append(np.abs(refine_to_photo(small, photo, method=method) - truth).mean())
    assert np.mean(errors["guided"]) < np.mean(errors["bilinear"])


@pytest.mark.parametrize("method", ["guided", "bilinear"])
@pytest.mark.parametrize("level", [0.0, 0.3, 1.0])
def test_texture_does_not_shine_through_a_flat_map(method: Refinement, level: float) -> None:
    photo = np.random.default_rng(0).integers(0, 256, (90, 130, 3), np.uint8)
    refined = refine_to_photo(np.full((20, 20), level, np.float32), photo, method=method)
    assert refined == pytest.approx(level, abs=1e-4)


@pytest.mark.parametrize("method", ["guided", "bilinear"])
@pytest.mark.parametrize("size", [(1, 1), (2, 3), (40, 40), (57, 91), (320, 320), (40, 320)])
def test_any_size_of_map_gives_the_photos_size(method: Refinement, size: tuple[int, int]) -> None:
    random = np.random.default_rng(0)
    photo = random.integers(0, 256, (57, 91, 3), np.uint8)
    refined = refine_to_photo(random.random(size, dtype=np.float32), photo, method=method)
    assert refined.shape == (57, 91)
    assert refined.dtype == np.float32
    assert 0 <= refined.min() <= refined.max() <= 1


def test_strips_of_a_large_photo_join_without_seams() -> None:
    """A photo high enough for several strips, with a map that only changes from left to right."""
    photo, truth = step_photo(height=3000, width=1024, edge=517)
    small = cv2.resize(truth, (64, 64), interpolation=cv2.INTER_AREA)
    refined = refine_to_photo(small, photo)
    assert np.ptp(refined, axis=0).max() < 1e-4


def test_strips_interpolate_as_the_whole_would() -> None:
    random = np.random.default_rng(0)
    small = random.random((31, 17), dtype=np.float32)
    flat_photo = np.full((3000, 1000, 3), 99, np.uint8)
    whole = cv2.resize(small, (1000, 3000), interpolation=cv2.INTER_LINEAR)
    assert np.abs(refine_to_photo(small, flat_photo) - whole).max() < 1e-4


def test_the_given_map_and_photo_are_left_as_they_were() -> None:
    photo, truth = step_photo()
    before = photo.copy(), truth.copy()
    refine_to_photo(truth, photo)
    assert np.array_equal(photo, before[0])
    assert np.array_equal(truth, before[1])
