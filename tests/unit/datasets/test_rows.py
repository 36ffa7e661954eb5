"""What becomes of a labelled photo on its way to a row of a prepared dataset, corrections included."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from dbd_ray.datasets.layouts import LabelledPhoto, scan_layout
from dbd_ray.datasets.prepare import corrected
from dbd_ray.datasets.rows import LabelledRows
from dbd_ray.images.decode import decode_photo
from dbd_ray.images.encode import decode_mask
from dbd_ray.images.resize import resize_photo

SIZE = (48, 64)
MAKE_ROW = LabelledRows(SIZE, allow_constant_masks=False)


@pytest.fixture(scope="module")
def photos(cuhk: Path) -> list[LabelledPhoto]:
    """Five labelled photos."""
    found, problems = scan_layout(str(cuhk), "cuhk")
    assert problems == []
    return found[:5]


@pytest.fixture(scope="module")
def sharp(bsds500: Path) -> list[LabelledPhoto]:
    """Photos without masks, of both splits."""
    found, problems = scan_layout(str(bsds500), "sharp")
    assert problems == []
    return [*found[:2], *found[-2:]]


def _focus(photo: LabelledPhoto) -> np.ndarray:
    return decode_mask(MAKE_ROW(asdict(photo))["mask"], polarity="focus")


def test_real_photos_without_masks_become_rows_that_are_wholly_in_focus(sharp: list[LabelledPhoto]) -> None:
    assert [photo.split for photo in sharp] == ["test", "test", "train", "train"]
    for photo in sharp:
        row = MAKE_ROW(asdict(photo))
        assert (row["id"], row["split"], row["source"]) == (photo.id, photo.split, "sharp")
        assert (decode_mask(row["mask"], polarity="focus") == 255).all()
        stored, original = decode_photo(row["image"]), decode_photo(Path(photo.image_uri).read_bytes())
        assert stored.shape == (*SIZE, 3)
        assert np.abs(stored.astype(int) - resize_photo(original, SIZE)).mean() < 4


def test_a_mask_known_to_be_the_wrong_way_round_is_turned_and_no_other(photos: list[LabelledPhoto]) -> None:
    turned, problems = corrected(photos, inverted=[photos[1].id, photos[3].id])
    assert problems == []
    assert [photo.id for photo in turned] == [photo.id for photo in photos]
    for place, (before, after) in enumerate(zip(photos, turned, strict=True)):
        if place in (1, 3):
            np.testing.assert_array_equal(_focus(after), 255 - _focus(before))
        else:
            assert after == before


def test_photos_are_left_out_by_their_ids(photos: list[LabelledPhoto]) -> None:
    kept, problems = corrected(photos, exclude=[photos[0].id, photos[4].id])
    assert (kept, problems) == (photos[1:4], [])
    assert corrected(photos) == (photos, [])


def test_every_correction_that_changes_nothing_is_said(photos: list[LabelledPhoto], sharp: list[LabelledPhoto]) -> None:
    both = [*photos, *sharp]
    _, problems = corrected(
        both, inverted=["nobody", photos[1].id, photos[2].id, sharp[0].id], exclude=[photos[1].id, "nowhere"]
    )
    assert problems == [
        "inverted: no photo nobody; remove it",
        f"inverted: photo {sharp[0].id} has no mask; remove it",
        f"inverted: photo {photos[1].id} is left out by exclude; remove it from one",
        "exclude: no photo nowhere; remove it",
    ]
