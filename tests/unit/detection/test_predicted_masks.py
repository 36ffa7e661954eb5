"""Masks of `predict`: the focus map cut as the endpoint cuts it, under the name and in the pixels that are wanted."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dbd_ray import Detector
from dbd_ray.config import PredictConfig
from dbd_ray.detection.files import Prediction, predict_files
from dbd_ray.images.decode import decode_photo
from dbd_ray.images.masks import cut_mask

TURNED = 6  # the camera was held upright


@pytest.fixture(scope="module")
def detector(tiny_model: Path) -> Detector:
    return Detector.load(tiny_model, device="cpu")


@pytest.fixture
def photo(cuhk: Path, tmp_path: Path) -> Path:
    """A real photo whose EXIF says that it is to be turned."""
    exif = Image.Exif()
    exif[0x0112] = TURNED
    (tmp_path / "cam1").mkdir()
    with Image.open(min((cuhk / "image").iterdir())) as picture:
        picture.save(tmp_path / "cam1" / "0001.jpg", exif=exif, quality=95)
    return tmp_path / "cam1" / "0001.jpg"


def _predict(detector: Detector, photo: Path, out: Path, **settings: object) -> Prediction:
    config = PredictConfig.model_validate({"out": out, "save": ("mask",), **settings})
    return predict_files(detector, [photo], config, names={photo: f"{photo.parent.name}/{photo.name}"})[0]


def _mask(done: Prediction) -> np.ndarray:
    assert done.error is None
    with Image.open(done.files[0]) as picture:
        return np.asarray(picture)


@pytest.mark.parametrize("margin", [-6, 0, 6])
def test_a_mask_is_the_map_cut_at_the_threshold_and_grown_by_the_margin(
    detector: Detector, photo: Path, tmp_path: Path, margin: int
) -> None:
    found = detector.detect([decode_photo(photo.read_bytes())])[0]
    threshold = float(np.median(found.focus))  # both sides have pixels, whatever the small network thinks
    done = _predict(detector, photo, tmp_path / "out", threshold=threshold, margin=margin)
    expected = cut_mask(found.focus, threshold=threshold, margin=margin)
    assert (_mask(done) == np.where(expected, 255, 0)).mean() > 0.999
    assert done.mask_fraction == pytest.approx(expected.mean(), abs=1e-3)
    inverted = _predict(detector, photo, tmp_path / "blur", threshold=threshold, margin=margin, polarity="blur")
    np.testing.assert_array_equal(_mask(inverted), 255 - _mask(done))
    assert inverted.mask_fraction == done.mask_fraction


@pytest.mark.parametrize(
    ("settings", "name", "stored"),
    [
        ({}, "cam1/0001.jpg.mask.png", False),
        ({"orientation": "stored"}, "cam1/0001.jpg.mask.png", True),
        ({"layout": "colmap"}, "masks/cam1/0001.jpg.png", True),
        ({"layout": "nerfstudio"}, "masks/cam1/0001.png", True),
        ({"layout": "nerfstudio", "orientation": "displayed"}, "masks/cam1/0001.png", False),
    ],
)
def test_masks_are_named_and_turned_as_the_program_reads_them(
    detector: Detector, photo: Path, tmp_path: Path, settings: dict[str, str], name: str, stored: bool
) -> None:
    found = detector.detect([decode_photo(photo.read_bytes())])[0]
    threshold = float(np.median(found.focus))
    done = _predict(detector, photo, tmp_path / "out", threshold=threshold, **settings)
    assert done.files == (tmp_path / "out" / name,)
    upright = np.where(found.focus >= threshold, 255, 0)
    expected = np.rot90(upright) if stored else upright  # 6: shown turned clockwise
    with Image.open(photo) as picture:
        assert (_mask(done).shape == (picture.height, picture.width)) is stored
    assert (_mask(done) == expected).mean() > 0.999


def test_two_photos_with_one_mask_name_are_told_apart_by_another_layout(
    detector: Detector, photo: Path, tmp_path: Path
) -> None:
    other = photo.with_suffix(".png")
    with Image.open(photo) as picture:
        picture.save(other)
    config = PredictConfig(out=tmp_path / "out", save=("mask",), layout="nerfstudio")
    first, second = predict_files(detector, [photo, other], config)
    assert first.error is None
    assert f"the name of that of {photo}" in str(second.error)
    assert "use --layout colmap" in str(second.error)
