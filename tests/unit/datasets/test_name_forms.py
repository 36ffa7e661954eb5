"""Names that look the same are the same, whichever Unicode form their letters are written in."""

import unicodedata
from itertools import product
from pathlib import Path

import pytest
from PIL import Image

from dbd_ray.datasets.layouts import LabelledPhoto, scan_layout
from dbd_ray.datasets.prepare import corrected

FORMS = ("NFC", "NFD")
NAME = "Grüße"


def named(form: str, suffix: str = ".png") -> str:
    return unicodedata.normalize(form, NAME) + suffix  # type: ignore[arg-type]


def layout(root: Path, photos: list[str], masks: list[str], tests: str | None = None) -> Path:
    for folder, names in (("image", photos), ("mask", masks)):
        (root / folder).mkdir()
        for name in names:
            Image.new("L", (4, 4)).save(root / folder / name)
    if tests is not None:
        (root / "test.txt").write_text(tests, "utf-8")
    return root


@pytest.mark.parametrize(("photo", "mask", "line"), product(FORMS, FORMS, FORMS))
def test_photo_mask_and_test_list_match_in_any_form(photo: str, mask: str, line: str, tmp_path: Path) -> None:
    root = layout(tmp_path, [named(photo)], [named(mask)], named(line))
    photos, problems = scan_layout(str(root), "folder", polarity="focus")
    assert problems == []
    assert [(found.id, found.split) for found in photos] == [(unicodedata.normalize("NFC", NAME), "test")]
    assert Path(photos[0].image_uri).exists() and Path(photos[0].mask_uri or "").exists()


@pytest.mark.parametrize("suffix", [".png", ".bmp"])
def test_two_photos_of_one_name_in_two_forms_are_a_problem(suffix: str, tmp_path: Path) -> None:
    root = layout(tmp_path, [named("NFC"), named("NFD", suffix)], [named("NFC")])
    _, problems = scan_layout(str(root), "folder", polarity="focus")
    assert len(problems) == 1 and "but for the Unicode form of its letters, keep one of them" in problems[0]


def test_a_photo_named_twice_in_two_forms_is_named_twice(tmp_path: Path) -> None:
    root = layout(tmp_path, [named("NFD")], [named("NFD")], f"{named('NFC')}\n{named('NFD')}\n")
    _, problems = scan_layout(str(root), "folder", polarity="focus")
    assert len(problems) == 1 and "is named twice" in problems[0]


@pytest.mark.parametrize("form", FORMS)
def test_ids_to_leave_out_or_turn_match_in_any_form(form: str) -> None:
    photo = LabelledPhoto(unicodedata.normalize("NFC", NAME), "train", "x", "a.png", "b.png", "focus")
    assert corrected([photo], exclude=[named(form, "")]) == ([], [])
    assert corrected([photo], inverted=[named(form, "")])[0][0].polarity == "blur"
