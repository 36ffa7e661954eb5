"""Masks of any values are what they mean, or are refused by what is true of them."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dbd_ray.datasets.labelled import read_labelled
from dbd_ray.datasets.layouts import LabelledPhoto
from dbd_ray.names import Polarity

SHARP = np.zeros((40, 60), bool)
SHARP[:, :20] = True


def read(folder: Path, mask: Image.Image, name: str, allow: bool, polarity: Polarity) -> np.ndarray | str:
    Image.new("RGB", (60, 40), "gray").save(folder / "photo.png")
    mask.save(folder / name)
    photo = LabelledPhoto("a", "train", "x", str(folder / "photo.png"), str(folder / name), polarity)
    found = read_labelled(photo, allow_constant=allow)
    return found if isinstance(found, str) else found[1]


def two(low: int, high: int, kind: type = np.uint8) -> Image.Image:
    return Image.fromarray(np.where(SHARP, high, low).astype(kind))


def palette() -> Image.Image:
    image = Image.fromarray(SHARP.astype(np.uint8), "L")
    image.putpalette([0, 0, 0, 128, 0, 0])
    return image


def cut_out() -> Image.Image:
    image = Image.new("RGBA", (60, 40), (9, 9, 9, 0))
    image.putalpha(two(0, 128))
    return image


TWO = {
    **{f"{low}/{high}": two(low, high) for low, high in [(0, 1), (0, 128), (1, 2), (100, 101), (200, 255), (0, 255)]},
    **{f"16 bit {low}/{high}": two(low, high, np.uint16) for low, high in [(0, 1), (0, 255), (0, 65535), (7, 128)]},
    **{f"32 bit {low}/{high}": two(low, high, np.int32) for low, high in [(0, 1), (0, 255)]},
    "1 bit": Image.fromarray(SHARP),
    "palette": palette(),
    "cut-out": cut_out(),
}


@pytest.mark.parametrize("polarity", ["focus", "blur"])
@pytest.mark.parametrize("allow", [False, True])
@pytest.mark.parametrize("mask", TWO)
def test_two_levels_are_the_two_classes_however_far_apart(
    mask: str, allow: bool, polarity: Polarity, tmp_path: Path
) -> None:
    truth = read(tmp_path, TWO[mask], "mask.tif" if mask.startswith("32") else "mask.png", allow, polarity)
    assert not isinstance(truth, str), truth
    assert np.array_equal(truth, np.where(SHARP ^ (polarity == "blur"), 255, 0))


@pytest.mark.parametrize("name", ["mask.png", "mask.jpg"])
@pytest.mark.parametrize(("level", "share"), [(0, 0), (255, 255)])
def test_one_class_is_told_from_two(name: str, level: int, share: int, tmp_path: Path) -> None:
    mask = Image.new("L", (60, 40), level)
    found = read(tmp_path, mask, name, False, "focus")
    assert isinstance(found, str) and "empty mask" in found
    assert np.unique(read(tmp_path, mask, name, True, "focus")).tolist() == [share]


@pytest.mark.parametrize("allow", [False, True])
@pytest.mark.parametrize("polarity", ["focus", "blur"])
def test_one_level_that_is_neither_black_nor_white_is_refused_by_its_value(
    allow: bool, polarity: Polarity, tmp_path: Path
) -> None:
    found = read(tmp_path, Image.new("L", (60, 40), 1), "mask.png", allow, polarity)
    assert isinstance(found, str) and "mask.png: its only value is 1 of 255" in found


@pytest.mark.parametrize("allow", [False, True])
@pytest.mark.parametrize("polarity", ["focus", "blur"])
def test_a_soft_mask_of_one_side_is_said_to_be_soft(allow: bool, polarity: Polarity, tmp_path: Path) -> None:
    levels = np.tile(np.arange(60, dtype=np.uint8) + 3, (40, 1))
    found = read(tmp_path, Image.fromarray(levels), "mask.png", allow, polarity)
    assert isinstance(found, str) and "soft mask of 60 values from 3 to 62 of 255, all below the middle" in found


def test_a_soft_mask_keeps_its_values(tmp_path: Path) -> None:
    levels = np.tile(np.arange(60, dtype=np.uint8) * 4, (40, 1))
    assert np.array_equal(read(tmp_path, Image.fromarray(levels), "mask.png", False, "focus"), levels)


def photo_cut_out() -> Image.Image:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 60), np.uint8)).convert("RGB")
    noise.putalpha(two(0, 255))
    return noise


def white_cut_out() -> Image.Image:
    """A white shape with soft edges, black where it is clear, as drawing programs export it."""
    alpha = np.where(SHARP, 255, 0).astype(np.uint8)
    alpha[:, 20] = 90
    return Image.merge("LA", (Image.fromarray(np.where(alpha, 255, 0).astype(np.uint8)), Image.fromarray(alpha)))


def unlabelled() -> Image.Image:
    levels = SHARP.astype(np.uint8)
    levels[0] = 255
    return Image.fromarray(levels)


def photo() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8))


@pytest.mark.parametrize("polarity", ["focus", "blur"])
@pytest.mark.parametrize(
    ("mask", "name", "said"),
    [
        (photo(), "mask.png", "it is a picture in colours, and no mask"),
        (photo_cut_out(), "mask.png", "its brightness is one mask and its transparency another"),
        (
            Image.fromarray(np.arange(2400, dtype=np.uint16).reshape(40, 60) // 800),
            "mask.png",
            "its values from 0 to 2 are one",
        ),
        (two(1, 1, np.uint16), "mask.png", "its values from 1 to 1 are one level"),
        (two(1, 1, np.int32), "mask.tif", "its only value is 1 of 255"),
        (unlabelled(), "mask.png", "its values are 0, 1 and 255"),
    ],
)
@pytest.mark.parametrize("allow", [False, True])
def test_a_mask_that_may_mean_two_things_is_refused(
    mask: Image.Image, name: str, said: str, allow: bool, polarity: Polarity, tmp_path: Path
) -> None:
    found = read(tmp_path, mask, name, allow, polarity)
    assert isinstance(found, str) and f"{name}: {said}" in found


def test_a_mask_whose_transparency_says_the_same_is_read(tmp_path: Path) -> None:
    truth = read(tmp_path, white_cut_out(), "mask.png", False, "focus")
    assert not isinstance(truth, str), truth
    assert np.array_equal(truth[:, 21:] > 127, SHARP[:, 21:])


def test_all_that_is_wrong_with_a_mask_is_said_at_once(tmp_path: Path) -> None:
    found = read(tmp_path, Image.new("L", (30, 40), 0), "mask.png", False, "focus")
    assert isinstance(found, str) and "the mask is 30x40" in found and "empty mask" in found
