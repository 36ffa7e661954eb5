"""What a column of photos may hold, without Ray."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from dbd_ray import FocusPredictor
from dbd_ray.errors import ConfigError


@pytest.fixture(scope="module")
def predictor(tiny_model: Path) -> FocusPredictor:
    return FocusPredictor(str(tiny_model), device="cpu", engine="eager")


@pytest.fixture(scope="module")
def rgb() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)


def _png(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def _found(predictor: FocusPredictor, photo: Any) -> tuple[bytes, str]:
    column = np.empty(1, object)
    column[0] = photo
    row = predictor({"image": column})
    return row["focus"][0], row["error"][0]


def test_structs_of_bytes_and_path_are_photos(predictor: FocusPredictor, rgb: np.ndarray) -> None:
    expected = _found(predictor, _png(rgb))
    assert expected[0] and not expected[1]
    for path in (None, "a.png"):
        assert _found(predictor, {"bytes": _png(rgb), "path": path}) == expected


def test_a_struct_without_bytes_is_not_looked_for_on_this_machine(
    predictor: FocusPredictor, rgb: np.ndarray, tmp_path: Path
) -> None:
    (tmp_path / "a.png").write_bytes(_png(rgb))
    focus, error = _found(predictor, {"bytes": None, "path": str(tmp_path / "a.png")})
    assert focus == b"" and "read the files first [empty_file]" in error
    assert "the row holds no photo [empty_file]" in _found(predictor, {"bytes": None, "path": None})[1]


def test_gray_arrays_are_photos(predictor: FocusPredictor, rgb: np.ndarray) -> None:
    gray = rgb[:, :, 0]
    expected = _found(predictor, np.dstack([gray] * 3))
    assert expected[0] and not expected[1]
    assert _found(predictor, gray) == _found(predictor, gray[:, :, None]) == expected


def test_transparent_arrays_are_seen_over_white(predictor: FocusPredictor, rgb: np.ndarray) -> None:
    alpha = np.full(rgb.shape[:2], 255, np.uint8)
    assert _found(predictor, np.dstack([rgb, alpha])) == _found(predictor, rgb)
    alpha[:, :30] = 0
    over_white = rgb.copy()
    over_white[:, :30] = 255
    assert _found(predictor, np.dstack([rgb, alpha])) == _found(predictor, over_white)


@pytest.mark.parametrize("photo", [np.zeros((4, 4, 3)), np.zeros((4, 4, 5), np.uint8), np.zeros((0, 4), np.uint8), {}])
def test_what_is_no_photo_says_what_would_be(predictor: FocusPredictor, photo: Any) -> None:
    assert "expected encoded bytes, {bytes, path} or a uint8 array" in _found(predictor, photo)[1]


def test_batches_of_another_format_are_refused_with_the_setting(predictor: FocusPredictor, rgb: np.ndarray) -> None:
    table = pa.table({"bytes": [_png(rgb)]})
    for batch in (table, table.to_pandas()):
        with pytest.raises(ConfigError, match="batch_format='numpy'"):
            predictor(batch)
