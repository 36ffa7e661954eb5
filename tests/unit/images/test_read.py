"""One import reads a photo from wherever it is, and what goes wrong names the file."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import dbd_ray
from dbd_ray import errors


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "a::b.jpg"
    pixels = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its side
    Image.fromarray(pixels).save(path, exif=exif)
    return path


def test_a_photo_is_the_same_by_name_path_bytes_and_open_file(photo: Path) -> None:
    expected = dbd_ray.read_photo(photo)
    assert (expected.shape, expected.dtype) == ((40, 30, 3), np.uint8)
    data = photo.read_bytes()
    for given in (str(photo), data, io.BytesIO(data)):
        np.testing.assert_array_equal(dbd_ray.read_photo(given), expected)


def test_a_file_that_is_missing_or_a_folder_is_named(tmp_path: Path) -> None:
    absent = tmp_path / "absent.jpg"
    with pytest.raises(dbd_ray.DbdRayError) as missing:
        dbd_ray.read_photo(absent)
    assert str(missing.value) == f"{absent}: cannot be read (No such file or directory)"
    with pytest.raises(dbd_ray.DbdRayError, match=r"cannot be read \(Is a directory\)"):
        dbd_ray.read_photo(tmp_path)


def test_a_photo_that_cannot_be_used_is_named_and_keeps_its_reason(photo: Path) -> None:
    photo.write_text("no photo")
    with pytest.raises(dbd_ray.PhotoError) as caught:
        dbd_ray.read_photo(photo)
    assert caught.value.reason == "not_an_image"
    assert str(caught.value).startswith(f"{photo}: these 8 bytes are no photo")
    assert str(caught.value).endswith("[not_an_image]")
    with pytest.raises(dbd_ray.PhotoError) as empty:
        dbd_ray.read_photo(b"")
    assert empty.value.reason == "empty_file"


def test_the_pixel_limit_can_be_set(photo: Path) -> None:
    assert dbd_ray.read_photo(photo, max_pixels=1200).size == 3600
    for given in (photo, photo.read_bytes()):
        with pytest.raises(dbd_ray.PhotoError) as caught:
            dbd_ray.read_photo(given, max_pixels=1199)
        assert caught.value.reason == "too_many_pixels"


def test_every_error_is_a_public_name_of_the_package() -> None:
    known = {one.__name__ for one in vars(errors).values() if isinstance(one, type) and issubclass(one, Exception)}
    assert set(errors.__all__) == known
    assert known <= set(dbd_ray.__all__)
    assert all(getattr(dbd_ray, name) is getattr(errors, name) for name in known)


def test_what_is_no_photo_of_any_kind_is_told_by_its_type(photo: Path) -> None:
    for given in (bytearray(photo.read_bytes()), memoryview(photo.read_bytes())):
        assert (dbd_ray.read_photo(given) == dbd_ray.read_photo(photo)).all()
    wrong: Any
    for wrong in (None, 3, np.zeros((4, 4, 3), np.uint8)):
        with pytest.raises(TypeError, match=f"expected the path, .* got {type(wrong).__name__}"):
            dbd_ray.read_photo(wrong)


def test_a_file_of_text_and_a_path_that_cannot_be_are_told(photo: Path) -> None:
    with photo.open(encoding="latin-1") as text, pytest.raises(TypeError, match='open it with mode "rb"'):
        dbd_ray.read_photo(text)  # type: ignore[arg-type]
    with pytest.raises(dbd_ray.DbdRayError, match="cannot be read"):
        dbd_ray.read_photo("a\0b.jpg")


def test_the_lazy_names_are_listed() -> None:
    assert set(dbd_ray.__all__) <= set(dir(dbd_ray))
