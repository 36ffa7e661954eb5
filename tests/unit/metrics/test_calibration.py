"""The worst tenth and the calibration of maps, against the same computed another way."""

import numpy as np
import pytest

from dbd_ray.metrics import FocusMetrics, worst_tenth


def _photos(count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(5)
    photos = []
    for _ in range(count):
        truth = rng.random((20, 30)) < rng.random()
        photos.append(((truth * 0.6 + 0.4 * rng.random(truth.shape)).astype(np.float32), truth))
    return photos


def test_the_worst_tenth_is_the_mean_of_the_photos_that_sorting_finds() -> None:
    for count in (1, 10, 11, 37):
        metrics = FocusMetrics()
        errors = sorted((metrics.update(*photo)["mae"] for photo in _photos(count)), reverse=True)
        assert worst_tenth(count) == {1: 1, 10: 1, 11: 2, 37: 4}[count]
        expected = np.mean(errors[: worst_tenth(count)])
        assert metrics.compute()["mae_worst_tenth"] == pytest.approx(expected, abs=1 / 4096)


def test_reliability_is_what_sorting_all_pixels_into_bins_gives() -> None:
    metrics = FocusMetrics()
    photos = _photos(9)
    for photo in photos:
        metrics.update(*photo)
    values = np.concatenate([np.rint(focus * 255).ravel() / 255 for focus, _ in photos])
    truths = np.concatenate([truth.ravel() for _, truth in photos])
    bins = np.minimum((values * 15 + 1e-9).astype(int), 14)
    found = metrics.reliability()
    error = 0.0
    for number in range(15):
        inside = bins == number
        assert found.pixels[number] == inside.sum()
        if inside.any():
            assert found.predicted[number] == pytest.approx(values[inside].mean())
            assert found.actual[number] == pytest.approx(truths[inside].mean())
            error += inside.mean() * abs(values[inside].mean() - truths[inside].mean())
    assert metrics.compute()["ece"] == pytest.approx(error)


def test_a_map_that_says_how_often_it_is_right_has_no_calibration_error() -> None:
    focus = np.full((10, 10), 51, np.uint8)  # .2
    truth = np.arange(100).reshape(10, 10) < 20
    metrics = FocusMetrics()
    metrics.update(focus, truth)
    assert metrics.compute()["ece"] == pytest.approx(0)
    metrics.update(np.full((10, 10), 255, np.uint8), np.zeros((10, 10), bool))
    assert metrics.compute()["ece"] == pytest.approx(0.5)
    assert np.isnan(metrics.reliability().actual[1])


def test_parts_that_are_merged_in_any_order_equal_one_pass_to_the_last_bit() -> None:
    whole, merged = FocusMetrics(), FocusMetrics()
    photos = _photos(23)
    for photo in photos:
        whole.update(*photo)
    for part in reversed(range(4)):
        mine = FocusMetrics()
        for photo in photos[part::4]:
            mine.update(*photo)
        merged += FocusMetrics.from_state(mine.state())
    assert merged.compute() == whole.compute()
    np.testing.assert_array_equal(merged.reliability(), whole.reliability())
