"""The sharpness of what is sharp, and the hash of a look."""

import cv2
import numpy as np

from dbd_ray.library.measures import perceptual_hash, sharpness

PHOTO = cv2.resize(np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8), (640, 480))


def bits_apart(one: str, other: str) -> int:
    return (int(one, 16) ^ int(other, 16)).bit_count()


def test_only_the_sharp_part_is_measured() -> None:
    left = np.zeros(PHOTO.shape[:2], np.float32)
    left[:, :320] = 1
    blurred = PHOTO.copy()
    blurred[:, 330:] = cv2.GaussianBlur(PHOTO, (0, 0), 6)[:, 330:]
    assert sharpness(blurred, left) == sharpness(PHOTO, left)
    assert sharpness(cv2.GaussianBlur(PHOTO, (0, 0), 9), left) < sharpness(PHOTO, left) / 2
    assert sharpness(PHOTO, np.zeros_like(left)) == 0


def test_photos_are_compared_at_one_size() -> None:
    large = cv2.resize(PHOTO, (4096, 3072), interpolation=cv2.INTER_CUBIC)
    small = cv2.resize(PHOTO, (1024, 768), interpolation=cv2.INTER_CUBIC)
    whole = [np.full(photo.shape[:2], 255, np.uint8) for photo in (large, small)]
    assert abs(sharpness(large, whole[0]) / sharpness(small, whole[1]) - 1) < 0.15


def test_near_duplicates_differ_in_few_bits() -> None:
    brighter = cv2.convertScaleAbs(PHOTO, alpha=0.9, beta=20)
    smaller = cv2.resize(PHOTO, (200, 150), interpolation=cv2.INTER_AREA)
    other = cv2.resize(np.random.default_rng(1).integers(0, 256, (60, 80, 3), np.uint8), (640, 480))
    mine = perceptual_hash(PHOTO)
    assert len(mine) == 16
    assert max(bits_apart(mine, perceptual_hash(near)) for near in (brighter, smaller)) <= 6
    assert bits_apart(mine, perceptual_hash(other)) > 16
