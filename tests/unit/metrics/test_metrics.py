"""Promises of the metrics: each definition on cases done by hand, the reference numbers, exact merging."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from dbd_ray.metrics import METRIC_DEFINITIONS, METRIC_NAMES, FocusMetrics, lower_is_better

Pairs = list[tuple[NDArray[np.uint8], NDArray[np.uint8]]]

# one row of four pixels: 8-bit levels 255, 204, 51, 0, mean 127.5, adaptive threshold 191.25
FOCUS = np.array([[1.0, 0.8, 0.2, 0.0]], np.float32)


def truth_of(*pixels: int) -> NDArray[np.bool_]:
    return np.array([pixels], bool)


def measured(*pairs: tuple[NDArray[np.generic], NDArray[np.generic]]) -> FocusMetrics:
    metrics = FocusMetrics()
    for focus, truth in pairs:
        metrics.update(focus, truth)
    return metrics


def f_beta(precision: float, recall: float) -> float:
    return 1.3 * precision * recall / (0.3 * precision + recall)


@pytest.fixture(scope="module")
def hifst(reference: Path, cuhk: Path) -> Pairs:
    """The HiFST authors' maps of the CUHK test photos with the true masks, both white = in focus."""
    pairs = []
    for path in sorted((reference / "hifst_cuhk100").glob("*.png")):
        with Image.open(path) as focus, Image.open(cuhk / "gt" / path.name) as blurred:
            pairs.append((np.asarray(focus), 255 - np.asarray(blurred.convert("L"))))
    assert len(pairs) == 100
    return pairs


def assert_reproduces(metrics: FocusMetrics, reference: Path) -> None:
    expected = json.loads((reference / "hifst_cuhk100_metrics.json").read_text())
    found = metrics.compute()
    assert {name: found[name] for name in expected["metrics"]} == pytest.approx(expected["metrics"], abs=1e-6)
    ours_alone = {"kind_accuracy", "mae_worst_tenth", "ece"}
    assert found.keys() - expected["metrics"].keys() == ours_alone
    np.testing.assert_allclose(metrics.curve().precision, expected["precision"], rtol=0, atol=1e-6)
    np.testing.assert_allclose(metrics.curve().recall, expected["recall"], rtol=0, atol=1e-6)


def test_every_metric_reproduces_the_reference_on_the_hifst_maps(hifst: Pairs, reference: Path) -> None:
    assert_reproduces(measured(*hifst), reference)


def test_seven_merged_parts_equal_one_pass_to_the_last_bit(hifst: Pairs, reference: Path) -> None:
    whole, merged = measured(*hifst), FocusMetrics()
    for part in reversed(range(7)):
        merged += measured(*hifst[part::7])
    assert_reproduces(merged, reference)
    assert merged.compute() == whole.compute()
    assert merged.images == 100


def test_float_maps_score_like_the_same_maps_in_eight_bits(hifst: Pairs) -> None:
    as_float = measured(*(((focus / np.float32(255)).astype(np.float32), truth) for focus, truth in hifst[:10]))
    assert as_float.compute() == pytest.approx(measured(*hifst[:10]).compute(), abs=1e-6)


def test_names_come_in_the_documented_order_each_with_a_definition() -> None:
    assert tuple(measured((FOCUS, truth_of(1, 1, 0, 0))).compute()) == METRIC_NAMES
    assert len(METRIC_NAMES) == 13
    assert all(METRIC_DEFINITIONS[name].endswith(".") for name in METRIC_NAMES)


@pytest.mark.parametrize(("share_in_focus", "kind"), [(0.97, "all"), (0.96, "part"), (0.02, "none"), (0.03, "part")])
def test_the_kind_of_a_photo_is_right_or_wrong(share_in_focus: float, kind: str) -> None:
    focus = np.zeros((10, 10), np.float32)
    focus.flat[: round(100 * share_in_focus)] = 0.9
    truths = {"all": np.ones((10, 10), bool), "none": np.zeros((10, 10), bool), "part": np.eye(10, dtype=bool)}
    found = {name: measured((focus, truth)).compute()["kind_accuracy"] for name, truth in truths.items()}
    assert found == {name: float(name == kind) for name in truths}


def test_mae_uses_the_float_map_unrounded() -> None:
    focus = np.full((2, 3), 0.501, np.float32)
    assert measured((focus, np.ones((2, 3), bool))).compute()["mae"] == pytest.approx(0.499, abs=1e-7)


def test_thresholds_at_half_score_each_class_by_hand() -> None:
    values = FocusMetrics().update(FOCUS, truth_of(1, 0, 0, 0))
    assert values["f_at_half_focus"] == pytest.approx(f_beta(1 / 2, 1))
    assert values["iou_at_half_focus"] == pytest.approx(1 / 2)
    assert values["f_at_half_blur"] == pytest.approx(f_beta(1, 2 / 3))
    assert values["iou_at_half_blur"] == pytest.approx(2 / 3)
    assert values["in_focus_fraction_truth"] == pytest.approx(1 / 4)
    assert values["in_focus_fraction_map"] == pytest.approx(1 / 2)


def test_half_itself_counts_as_in_focus_and_just_below_does_not() -> None:
    focus = np.array([[128, 127]], np.uint8)
    assert FocusMetrics().update(focus, truth_of(1, 0))["iou_at_half_focus"] == 1.0


def test_the_adaptive_threshold_is_strict() -> None:
    # mean 170: the threshold is capped at 255, which no level exceeds
    focus = np.array([[255, 255, 0]], np.uint8)
    assert FocusMetrics().update(focus, truth_of(1, 1, 0))["f_adaptive_per_image"] == 0.0
    assert FocusMetrics().update(FOCUS, truth_of(1, 1, 0, 0))["f_adaptive_per_image"] == 1.0


def test_the_notebook_metric_loses_a_truth_that_is_two_thirds_in_focus() -> None:
    mostly_sharp, half_sharp = truth_of(1, 1, 1, 0), truth_of(1, 1, 0, 0)
    values = measured((FOCUS, half_sharp), (FOCUS, mostly_sharp)).compute()
    # both maps predict two pixels, all of them right; the notebook forgets the second photo's three true ones
    assert values["f_adaptive_pooled"] == pytest.approx(f_beta(4 / 4, 4 / 5))
    assert values["f_adaptive_pooled_dd_notebook"] == pytest.approx(f_beta(2 / 4, 2 / 2))
    exactly_two_thirds = (np.array([[255, 0, 0]], np.uint8), truth_of(1, 1, 0))
    assert measured(exactly_two_thirds).compute()["f_adaptive_pooled_dd_notebook"] == 0.0


def test_pooling_weighs_pixels_and_per_image_weighs_photos() -> None:
    # a small photo with its one sharp pixel found, and a large one with one of 100 found
    small = (np.array([[255, 0, 0, 0]], np.uint8), truth_of(1, 0, 0, 0))
    large_focus, large_truth = np.zeros((1, 400), np.uint8), np.zeros((1, 400), bool)
    large_focus[0, 0], large_truth[0, :100] = 255, True
    values = measured(small, (large_focus, large_truth)).compute()
    assert values["f_adaptive_pooled"] == pytest.approx(f_beta(1, 2 / 101))
    assert values["f_adaptive_per_image"] == pytest.approx((1 + f_beta(1, 1 / 100)) / 2)
    assert values["f_adaptive_of_mean_pr"] == pytest.approx(f_beta(1, (1 + 1 / 100) / 2))


def test_the_curve_counts_at_or_above_and_has_precision_zero_where_nothing_is_predicted() -> None:
    metrics = measured((np.array([[100, 50, 0, 0]], np.uint8), truth_of(1, 0, 0, 0)))
    precision, recall = metrics.curve()
    assert precision.shape == recall.shape == (256,)
    assert precision[[0, 1, 50, 51, 100, 101, 255]] == pytest.approx([1 / 4, 1 / 2, 1 / 2, 1, 1, 0, 0])
    assert recall[[0, 100, 101]] == pytest.approx([1, 1, 0])
    assert metrics.compute()["f_max_of_mean_curve"] == pytest.approx(1.0)


def test_a_class_absent_from_truth_and_map_is_right_and_one_invented_is_wrong() -> None:
    nothing_sharp = np.zeros((2, 2), bool)
    right = FocusMetrics().update(np.zeros((2, 2), np.float32), nothing_sharp)
    assert right["f_at_half_focus"] == right["iou_at_half_focus"] == right["f_adaptive_per_image"] == 1.0
    wrong = FocusMetrics().update(np.ones((2, 2), np.float32), nothing_sharp)
    assert wrong["f_at_half_focus"] == wrong["iou_at_half_focus"] == wrong["iou_at_half_blur"] == 0.0
    all_values = measured((np.zeros((2, 2), np.float32), nothing_sharp)).compute()
    assert np.isfinite(list(all_values.values())).all()


def test_per_image_values_average_to_the_totals(hifst: Pairs) -> None:
    metrics = FocusMetrics()
    rows = [metrics.update(focus, truth) for focus, truth in hifst[:5]]
    totals = metrics.compute()
    for name in set(rows[0]) & set(totals):
        assert totals[name] == pytest.approx(np.mean([row[name] for row in rows]), abs=1e-12)


def test_an_all_white_map_does_not_break_the_histogram() -> None:
    values = measured((np.full((3, 3), 255, np.uint8), np.ones((3, 3), bool))).compute()
    assert values["iou_at_half_focus"] == values["f_max_of_mean_curve"] == 1.0


def test_state_has_the_same_size_after_many_photos_and_rebuilds_exactly() -> None:
    rng = np.random.default_rng(0)
    metrics = measured((FOCUS, truth_of(1, 1, 0, 0)))
    size_before = len(pickle.dumps(metrics.state()))
    for _ in range(500):
        metrics.update(rng.random((8, 8), np.float32), rng.random((8, 8)) > 0.5)
    # the integers themselves grow by a few bytes, as the logarithm of the number of photos
    assert len(pickle.dumps(metrics.state())) - size_before < 64
    rebuilt = FocusMetrics.from_state(pickle.loads(pickle.dumps(metrics.state())))  # noqa: S301 - our own bytes
    rebuilt += measured((FOCUS, truth_of(1, 0, 0, 0)))
    metrics.merge(measured((FOCUS, truth_of(1, 0, 0, 0))))
    assert rebuilt.compute() == metrics.compute()
    assert rebuilt.images == 502


def test_merging_leaves_the_other_and_its_state_alone() -> None:
    first, second = measured((FOCUS, truth_of(1, 1, 0, 0))), measured((FOCUS, truth_of(0, 0, 1, 1)))
    before, state = second.compute(), first.state()
    first += second
    first.update(FOCUS, truth_of(1, 0, 0, 0))
    assert second.compute() == before
    assert FocusMetrics.from_state(state).compute() == measured((FOCUS, truth_of(1, 1, 0, 0))).compute()


def test_merging_an_empty_part_changes_nothing() -> None:
    metrics = measured((FOCUS, truth_of(1, 1, 0, 0)))
    before = metrics.compute()
    metrics += FocusMetrics()
    assert metrics.compute() == before


@pytest.mark.parametrize(
    ("focus", "truth", "message"),
    [
        (np.zeros((2, 3), np.float32), np.zeros((3, 2), bool), "2×3 and truth 3×2"),
        (np.zeros((2, 3, 1), np.float32), np.zeros((2, 3, 1), bool), "two-dimensional"),
        (np.zeros((0, 3), np.float32), np.zeros((0, 3), bool), "not empty"),
        (np.array([[0.5, np.nan]], np.float32), np.zeros((1, 2), bool), "1×2 has values from nan"),
        (np.array([[0.5, 1.5]], np.float32), np.zeros((1, 2), bool), "from 0.5 to 1.5"),
        (np.array([[-0.1, 0.5]], np.float32), np.zeros((1, 2), bool), "from -0.1 to 0.5"),
        (np.array([[0, 1]], np.int64), np.zeros((1, 2), bool), "int64"),
        (np.zeros((1, 2), np.float32), np.zeros((1, 2), np.float32), "truth of 1×2 is float32"),
    ],
)
def test_unusable_input_is_named_and_counts_for_nothing(focus: np.ndarray, truth: np.ndarray, message: str) -> None:
    metrics = FocusMetrics()
    with pytest.raises(ValueError, match=message):
        metrics.update(focus, truth)
    assert metrics.images == 0


def test_no_photos_give_no_metrics() -> None:
    with pytest.raises(ValueError, match="no metrics without photos"):
        FocusMetrics().compute()


def test_errors_are_better_when_lower() -> None:
    assert [name for name in METRIC_NAMES if lower_is_better(name)] == ["mae", "mae_worst_tenth", "ece"]
    with pytest.raises(ValueError, match="unknown metric 'accuracy'"):
        lower_is_better("accuracy")
