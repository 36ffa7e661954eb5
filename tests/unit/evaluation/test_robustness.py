"""Promises of the robustness curves."""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from dbd_ray.detection.detector import Detector
from dbd_ray.evaluation.robustness import CHANGES, draw_robustness, measure_robustness
from dbd_ray.images.decode import decode_photo
from dbd_ray.metrics import METRIC_NAMES

NEUTRAL = {"exposure, stops": 0, "scale": 1, "rotation, degrees": 0, "black and white, share": 0}


@pytest.fixture(scope="module")
def labelled(cuhk: Path) -> tuple[np.ndarray, np.ndarray]:
    """A real photo and its truth."""
    file = sorted((cuhk / "image").iterdir())[3]
    photo = decode_photo(file.read_bytes())
    blurred = cv2.imread(str(cuhk / "gt" / f"{file.stem}.png"), cv2.IMREAD_GRAYSCALE)
    assert blurred is not None
    return photo, 255 - blurred


@pytest.mark.parametrize("name", CHANGES)
def test_every_change_gives_a_photo_with_a_truth_of_its_size_that_is_still_a_mask(
    name: str, labelled: tuple[np.ndarray, np.ndarray]
) -> None:
    apply, levels = CHANGES[name]
    for level in levels:
        photo, truth = apply(*labelled, level)
        assert photo.dtype == truth.dtype == np.uint8
        assert photo.shape == (*truth.shape, 3)
        assert set(np.unique(truth)) <= {0, 255}
        again, _ = apply(*labelled, level)
        np.testing.assert_array_equal(photo, again)


@pytest.mark.parametrize(("name", "level"), NEUTRAL.items())
def test_a_change_of_no_strength_changes_nothing(
    name: str, level: float, labelled: tuple[np.ndarray, np.ndarray]
) -> None:
    photo, truth = CHANGES[name][0](*labelled, level)
    assert np.abs(photo.astype(int) - labelled[0]).max() <= 1
    np.testing.assert_array_equal(truth, labelled[1])


@pytest.mark.parametrize("name", ["JPEG quality", "sensor noise, ISO"])
def test_stronger_changes_take_more_of_the_photo(name: str, labelled: tuple[np.ndarray, np.ndarray]) -> None:
    apply, levels = CHANGES[name]
    lost = [np.abs(apply(*labelled, level)[0].astype(int) - labelled[0]).mean() for level in levels]
    assert lost == sorted(lost)
    assert lost[-1] > lost[0]


def test_curves_hold_every_metric_and_are_drawn(
    tiny_model: Path, labelled: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    detector, seen = Detector.load(tiny_model), []

    def photos() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        yield labelled

    changes = ("JPEG quality", "rotation, degrees")
    curves = measure_robustness(detector, photos, changes=changes, on_level=lambda *at: seen.append(at))
    assert seen == [(change, level) for change in changes for level in CHANGES[change][1]]
    assert all(tuple(values) == METRIC_NAMES for levels in curves.values() for values in levels.values())
    figure = draw_robustness({"tiny": curves, "again": curves})
    figure.savefig(tmp_path / "curves.png")
    assert decode_photo((tmp_path / "curves.png").read_bytes()).shape[1] > 300
    assert [axes.get_xlabel() for axes in figure.axes[-2:]] == list(changes)
