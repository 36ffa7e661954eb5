"""The metrics of defocus blur detection: their names, and their values over photos."""

from dbd_ray.metrics.calibration import Reliability
from dbd_ray.metrics.definitions import METRIC_DEFINITIONS, METRIC_NAMES, PER_PHOTO_METRICS, lower_is_better
from dbd_ray.metrics.scores import F_BETA2
from dbd_ray.metrics.streaming import FocusMetrics, PrCurve, worst_tenth

__all__ = [
    "F_BETA2",
    "METRIC_DEFINITIONS",
    "METRIC_NAMES",
    "PER_PHOTO_METRICS",
    "FocusMetrics",
    "PrCurve",
    "Reliability",
    "lower_is_better",
    "worst_tenth",
]
