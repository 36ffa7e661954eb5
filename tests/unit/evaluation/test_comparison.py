"""Comparing two models photo by photo: what counts as better."""

import numpy as np
import pytest

from dbd_ray.errors import ConfigError
from dbd_ray.evaluation.comparison import Comparison, compare


def _compare(values: np.ndarray, others: np.ndarray, metric: str = "mae", significance: float = 0.05) -> Comparison:
    return compare(list(values), list(others), metric=metric, against="other", significance=significance)


@pytest.fixture
def noise() -> np.ndarray:
    return np.random.default_rng(7).normal(0, 0.02, 40)


@pytest.mark.parametrize(("metric", "verdict"), [("mae", "better"), ("f_at_half_focus", "worse")])
def test_a_clear_difference_is_told_apart_in_the_direction_of_the_metric(
    noise: np.ndarray, metric: str, verdict: str
) -> None:
    found = _compare(0.3 + noise, np.full(40, 0.35), metric)
    assert found.verdict == verdict
    assert found.difference == pytest.approx(-0.05 + noise.mean())
    assert found.low < found.difference < found.high < 0
    assert found.p_value < 0.001
    assert _compare(np.full(40, 0.35), 0.3 + noise, metric).verdict != verdict


def test_the_photos_are_paired(noise: np.ndarray) -> None:
    hard = np.random.default_rng(8).uniform(0, 1, 40)
    assert _compare(hard, hard + 0.01 + noise / 10).verdict == "better"
    assert _compare(hard, np.roll(hard, 1) + 0.01 + noise / 10).verdict == "not told apart"


def test_chance_alone_is_not_better_unless_any_difference_shall_count() -> None:
    values = np.random.default_rng(9).normal(0.3, 0.02, 40)
    others = np.random.default_rng(10).normal(0.3, 0.02, 40)
    found = _compare(values, others)
    assert found.verdict == "not told apart"
    assert found.low < 0 < found.high
    assert _compare(values, others, significance=1).verdict == ("better" if found.difference < 0 else "worse")


def test_the_error_rate_is_about_what_was_asked_for() -> None:
    rng = np.random.default_rng(11)
    said = [_compare(rng.normal(size=30), np.zeros(30)).verdict != "not told apart" for _ in range(200)]
    assert 0.01 < np.mean(said) < 0.11


def test_equal_models_are_equal_and_the_same_photos_give_the_same_answer(noise: np.ndarray) -> None:
    assert _compare(noise, noise).p_value == 1
    assert _compare(noise, noise, significance=1).verdict == "not told apart"
    assert _compare(noise, noise[::-1]) == _compare(noise, noise[::-1])


def test_what_cannot_be_compared_is_refused_with_what_to_do() -> None:
    with pytest.raises(ConfigError, match=r"compare_by: 'f_adaptive_pooled' is no mean over photos.*choose one of mae"):
        _compare(np.zeros(40), np.zeros(40), "f_adaptive_pooled")
    with pytest.raises(ConfigError, match="at least 10 photos, and the split has 9"):
        _compare(np.zeros(9), np.zeros(9))


def test_it_says_everything_in_one_line(noise: np.ndarray) -> None:
    said = str(_compare(0.3 + noise, np.full(40, 0.35)))
    assert said.startswith("mae 0.2921 against")
    for part in ("0.3500 of other: better", "95 % interval -0.0", "p = 0.0002", "bootstrap over 40 photos"):
        assert part in said
