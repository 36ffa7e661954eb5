"""Comparison of two models on the same photos by a paired bootstrap."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from scipy.stats import bootstrap

from dbd_ray.errors import ConfigError
from dbd_ray.metrics import PER_PHOTO_METRICS, lower_is_better

RESAMPLES = 10_000
FEWEST_PHOTOS = 10  # a bootstrap over fewer calls differences certain that are not
INTERVAL = 0.95
_AT_ONCE = 2_000_000  # resampled values that are in memory at a time

Verdict = Literal["better", "worse", "not told apart"]


@dataclass(frozen=True)
class Comparison:
    """A paired two-sided bootstrap over photos of the difference between two models.

    Args:
        metric: One of `PER_PHOTO_METRICS`.
        against: Name of the other model.
        photos: Number of photos that both models were measured on.
        value: Mean of the metric for this model.
        other_value: Mean of the metric for the other model.
        difference: `value` - `other_value`.
        low: Lower end of the 95 % percentile interval of the difference.
        high: Upper end of that interval.
        p_value: Two-sided: how often chance alone would give such a difference, in (0,1].
        significance: Largest `p_value` that counts as a difference.
    """

    metric: str
    against: str
    photos: int
    value: float
    other_value: float
    difference: float
    low: float
    high: float
    p_value: float
    significance: float

    @property
    def verdict(self) -> Verdict:
        """Whether this model is better or worse than the other one, or not told apart from it."""
        if self.p_value > self.significance or self.difference == 0:
            return "not told apart"
        return "better" if (self.difference < 0) == lower_is_better(self.metric) else "worse"

    def __str__(self) -> str:
        return (
            f"{self.metric} {self.value:.4f} against {self.other_value:.4f} of {self.against}: {self.verdict} "
            f"(difference {self.difference:+.4f}, 95 % interval {self.low:+.4f} to {self.high:+.4f}, "
            f"p = {self.p_value:.4f}, it counts up to {self.significance:g}; "
            f"two-sided bootstrap over {self.photos} photos)"
        )

    def facts(self) -> dict[str, Any]:
        """Give the fields and the verdict by name, for JSON and for MLflow."""
        return {**asdict(self), "verdict": self.verdict}


def check_metric(metric: str) -> None:
    """Refuse, with a ConfigError, a metric that is not a mean over photos."""
    if metric not in PER_PHOTO_METRICS:
        raise ConfigError(
            f"compare_by: {metric!r} is no mean over photos, and only those are compared photo by photo; "
            f"choose one of {', '.join(PER_PHOTO_METRICS)}"
        )


def check_photos(photos: int) -> None:
    """Refuse, with a ConfigError, fewer photos than a comparison needs."""
    if photos < FEWEST_PHOTOS:
        raise ConfigError(
            f"comparing needs at least {FEWEST_PHOTOS} photos, and the split has {photos}: "
            "fewer say nothing about others; measure on more"
        )


def compare(
    values: Sequence[float], other_values: Sequence[float], *, metric: str, against: str, significance: float
) -> Comparison:
    """Compare two models photo by photo.

    Args:
        values: The metric of each photo for this model.
        other_values: The metric of each photo for the other model, in the same order.
        metric: One of `PER_PHOTO_METRICS`.
        against: Name of the other model.
        significance: Largest p-value that counts as a difference.

    Raises:
        ConfigError: The metric is not a mean over photos, or the photos are too few.
    """
    check_metric(metric)
    check_photos(len(values))
    differences = np.subtract(values, other_values)
    found = bootstrap(
        (differences,),
        np.mean,
        n_resamples=RESAMPLES,
        batch=max(1, _AT_ONCE // len(differences)),
        confidence_level=INTERVAL,
        method="percentile",
        rng=np.random.default_rng(0),  # the same photos give the same answer
    )
    resampled = found.bootstrap_distribution
    # with one more on either side: none among RESAMPLES is not never
    tail = min(np.count_nonzero(resampled <= 0), np.count_nonzero(resampled >= 0))
    return Comparison(
        metric=metric,
        against=against,
        photos=len(differences),
        value=float(np.mean(values)),
        other_value=float(np.mean(other_values)),
        difference=float(differences.mean()),
        low=float(found.confidence_interval.low),
        high=float(found.confidence_interval.high),
        p_value=float(min(1.0, 2 * (tail + 1) / (RESAMPLES + 1))),
        significance=significance,
    )
