import json

import numpy as np
import pytest

from dbd_ray.detection.focus_map import summarize
from dbd_ray.summary import SharpArea, Summary


def _summary(focus: np.ndarray) -> Summary:
    return summarize(focus.astype(np.float32), model="some-model", model_fingerprint="abc")


def test_the_sharp_area_is_the_bounding_box_and_centre_of_the_pixels_in_focus() -> None:
    focus = np.zeros((10, 20))
    focus[2:5, 6:14] = 1
    summary = _summary(focus)
    assert summary.sharp_area == SharpArea(left=6, top=2, right=14, bottom=5, centroid_x=9.5, centroid_y=3.0)
    assert summary.in_focus_fraction == pytest.approx(24 / 200)
    assert summary.kind == "partial"


def test_the_centre_weighs_every_sharp_pixel_alike() -> None:
    focus = np.zeros((4, 9))
    focus[0, [0, 8]] = 1
    focus[3, 8] = 1
    area = _summary(focus).sharp_area
    assert area is not None
    assert (area.left, area.top, area.right, area.bottom) == (0, 0, 9, 4)
    assert (area.centroid_x, area.centroid_y) == pytest.approx((16 / 3, 1.0))


def test_one_sharp_pixel_is_an_area_of_one_pixel() -> None:
    focus = np.zeros((30, 30))
    focus[29, 0] = 1
    assert _summary(focus).sharp_area == SharpArea(0, 29, 1, 30, 0.0, 29.0)


def test_a_photo_without_sharp_pixels_has_no_area() -> None:
    summary = _summary(np.full((6, 7), 0.49))
    assert (summary.kind, summary.in_focus_fraction, summary.sharp_area) == ("none_in_focus", 0.0, None)


def test_a_half_counts_as_in_focus() -> None:
    assert _summary(np.full((6, 7), 0.5)).in_focus_fraction == 1.0


@pytest.mark.parametrize(
    ("sharp", "kind"),
    [(2, "none_in_focus"), (3, "partial"), (96, "partial"), (97, "all_in_focus"), (100, "all_in_focus")],
)
def test_the_kind_follows_the_share_in_focus(sharp: int, kind: str) -> None:
    assert _summary((np.arange(100) < sharp).reshape(10, 10)).kind == kind


@pytest.mark.parametrize(("value", "confidence"), [(0.0, 1.0), (1.0, 1.0), (0.5, 0.0), (0.75, 0.5)])
def test_confidence_is_the_distance_from_undecided(value: float, confidence: float) -> None:
    assert _summary(np.full((3, 3), value)).confidence == pytest.approx(confidence)


def test_a_summary_is_plain_json() -> None:
    focus = np.zeros((10, 20))
    focus[2:5, 6:14] = 1
    for summary in (_summary(focus), _summary(np.zeros((3, 3)))):
        read = json.loads(json.dumps(summary.as_dict()))
        assert read == summary.as_dict()
        assert (read["model"], read["model_fingerprint"]) == ("some-model", "abc")
