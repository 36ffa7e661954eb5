"""Small photo libraries for the tests of annotation."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from dbd_ray.library.parts import read_table


def save_photo(path: Path, seed: int, **options: Any) -> None:
    """Write a JPEG of 160×120 px, another one for each seed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    coarse = np.random.default_rng(seed).integers(0, 256, (15, 20, 3), np.uint8)
    photo = cv2.resize(coarse, (160, 120), interpolation=cv2.INTER_CUBIC)
    Image.fromarray(photo).save(path, "JPEG", quality=90, **options)


def make_library(folder: Path) -> Path:
    """Four photos, one that was turned by the camera, and a text."""
    exif = Image.Exif()
    exif[0x0112] = 6
    for number in range(4):
        save_photo(folder / "a" / f"{number}.jpg", number)
    save_photo(folder / "b" / "IMG_1.JPG", 9, exif=exif.tobytes())
    (folder / "notes.txt").write_text("not a photo")
    return folder


def rows_of(out: Path | str) -> dict[str, dict[str, Any]]:
    """The rows of the table of results, by path."""
    table = read_table(str(out))
    assert table is not None
    return {row["path"]: row for row in table.to_pylist()}
