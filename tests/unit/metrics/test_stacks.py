"""Focus stacks: the sharpest frame is found, and maps are scored by it alone."""

import cv2
import numpy as np
import pytest

from dbd_ray.metrics.stacks import StackMetrics, sharpest_frame


def _stack(share_left: float = 0.5) -> list[np.ndarray]:
    """One scene of noise, sharp on the left in the first frame and on the right in the second."""
    scene = np.random.default_rng(0).integers(0, 256, (120, 200, 1), np.uint8).repeat(3, axis=2)
    blurred = cv2.GaussianBlur(scene, (0, 0), 4)
    left = np.arange(200)[None, :, None] < 200 * share_left
    return [np.where(left, scene, blurred), np.where(left, blurred, scene)]


def _maps(share_left: float = 0.5) -> list[np.ndarray]:
    left = np.broadcast_to(np.arange(200) < 200 * share_left, (120, 200)).astype(np.float32)
    return [left, 1 - left]


def test_the_sharpest_frame_is_found_where_it_is_clear() -> None:
    sharpest, clear = sharpest_frame(_stack())
    assert (sharpest[:, :85] == 0).all() and (sharpest[:, 115:] == 1).all()
    assert clear[:, :85].all() and clear[:, 115:].all()
    assert not sharpest_frame([np.full((40, 40, 3), 90, np.uint8)] * 2)[1].any(), "nothing to see, nothing is clear"


def test_right_maps_score_full_marks_turned_ones_none_and_maps_that_are_alike_none() -> None:
    frames, maps = _stack(), _maps()
    assert StackMetrics().update(frames, maps)["stack_accuracy"] == pytest.approx(1, abs=0.05)
    assert StackMetrics().update(frames, maps[::-1])["stack_accuracy"] == pytest.approx(0, abs=0.05)
    assert StackMetrics().update(frames, [maps[0], maps[0]])["stack_accuracy"] == 0


def test_one_frame_everywhere_scores_what_it_is_the_sharpest_of() -> None:
    found = StackMetrics().update(_stack(0.7), [np.ones((120, 200)), np.zeros((120, 200))])
    assert found["stack_accuracy"] == found["stack_one_frame"] == pytest.approx(0.7, abs=0.05)
    assert 0.8 < found["clear_fraction"] <= 1


def test_merged_parts_equal_one_pass() -> None:
    stacks = [(_stack(share), _maps(0.5)) for share in (0.3, 0.5, 0.8)]
    whole, merged = StackMetrics(), StackMetrics()
    for frames, maps in stacks:
        whole.update(frames, maps)
        part = StackMetrics()
        part.update(frames, maps)
        merged.merge(part)
    assert merged.compute() == whole.compute()


def test_what_is_no_stack_is_refused() -> None:
    with pytest.raises(ValueError, match="two or more frames of one size, not these: 120×200"):
        sharpest_frame(_stack()[:1])
    with pytest.raises(ValueError, match="needs a map of its own size"):
        StackMetrics().update(_stack(), _maps()[:1])
    with pytest.raises(ValueError, match="no focus stacks"):
        StackMetrics().compute()
