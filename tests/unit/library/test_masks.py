"""Masks for reconstruction are white where a photo is sharp, in the pixels of its file."""

import io

import numpy as np
import pytest
from PIL import Image, ImageOps

from dbd_ray.detection.result_names import mask_name
from dbd_ray.library.masks import reconstruction_mask


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_mask_lies_as_the_file_stores_its_pixels(orientation: int) -> None:
    stored = np.zeros((40, 60), bool)
    stored[5:15, 8:30] = True
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    Image.fromarray(stored).convert("L").save(file, "PNG", exif=exif)
    upright = np.asarray(ImageOps.exif_transpose(Image.open(file)))
    made = reconstruction_mask(upright, upright.shape, threshold=0.5, margin=0, orientation=orientation)
    np.testing.assert_array_equal(made, stored)


def test_a_margin_is_taken_from_the_sharp_side_but_not_along_the_frame() -> None:
    focus = np.zeros((50, 80), np.uint8)
    focus[:, 40:] = 255
    made = reconstruction_mask(focus, (50, 80), threshold=0.5, margin=5, orientation=1)
    assert made[:, 45:].all()
    assert not made[:, :45].any()


def test_a_small_map_becomes_a_mask_of_the_photos_size() -> None:
    focus = np.zeros((30, 40), np.uint8)
    focus[:15] = 200
    made = reconstruction_mask(focus, (3000, 4000), threshold=0.5, margin=0, orientation=1)
    assert made.shape == (3000, 4000)
    assert made[:1400].all()
    assert not made[1600:].any()


def test_masks_are_named_as_each_program_looks_for_them() -> None:
    assert mask_name("cam1/0001.jpg", "colmap") == "cam1/0001.jpg.png"
    assert mask_name("cam1/0001.jpg", "nerfstudio") == "cam1/0001.png"
