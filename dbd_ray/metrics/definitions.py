"""Names and definitions of the metrics of defocus blur detection.

Published F values are not comparable: the same maps on the same photos score between .57 and .82 depending on
the definition. Each definition here has a name of its own, and `METRIC_DEFINITIONS` says what it means.
"""

from collections.abc import Mapping

METRIC_DEFINITIONS: Mapping[str, str] = {
    "mae": "Mean absolute difference of map and truth per photo, at the truth's size; mean over photos.",
    "mae_worst_tenth": "Mean of `mae` over the tenth of the photos, rounded up, where it is highest.",
    "f_adaptive_pooled_dd_notebook": (
        "F as in depth distillation's released notebook: 8-bit map above min(1.5 × its mean, 255), the truth "
        "thresholded the same way (so it vanishes where 2/3 or more is in focus), pixels of all photos pooled."
    ),
    "f_adaptive_pooled": "F with the map above min(1.5 × its mean, 255) against the true truth, all pixels pooled.",
    "f_adaptive_per_image": "F with the map above min(1.5 × its mean, 255), per photo; mean over photos.",
    "f_adaptive_of_mean_pr": (
        "F of the mean precision and the mean recall over photos, each map above min(1.5 × its mean, 255)."
    ),
    "f_max_of_mean_curve": (
        "Best F on the mean precision-recall curve: precision and recall at every threshold 0…255 (map at or above "
        "it), mean over photos, precision 0 where nothing is predicted."
    ),
    "f_at_half_focus": "F of the in-focus class at threshold 0.5, per photo; mean over photos.",
    "f_at_half_blur": "F of the blurred class at threshold 0.5, per photo; mean over photos.",
    "iou_at_half_focus": "Intersection over union of the in-focus class at threshold 0.5; mean over photos.",
    "iou_at_half_blur": "Intersection over union of the blurred class at threshold 0.5; mean over photos.",
    "kind_accuracy": (
        "Share of photos whose map at threshold 0.5 is of the truth's kind: all in focus (97 % of the pixels or "
        "more), none (2 % or less), or a part."
    ),
    "ece": (
        "Expected calibration error (Guo et al., ICML 2017): distance between the mean focus value and the share of "
        "pixels in focus, in 15 equal bins of the focus value; mean over the pixels of all photos."
    ),
}
METRIC_NAMES: tuple[str, ...] = tuple(METRIC_DEFINITIONS)
_ERRORS = ("mae", "mae_worst_tenth", "ece")

PER_PHOTO_METRICS: tuple[str, ...] = (
    "mae",
    "f_adaptive_per_image",
    "f_at_half_focus",
    "f_at_half_blur",
    "iou_at_half_focus",
    "iou_at_half_blur",
    "kind_accuracy",
)
"""The metrics that are a plain mean over all photos, by which two models can be compared photo by photo."""


def lower_is_better(name: str) -> bool:
    """Say whether smaller values of a metric are better.

    Args:
        name: One of `METRIC_NAMES`.

    Returns:
        True for `mae`, `mae_worst_tenth` and `ece`, False for all others.

    Raises:
        ValueError: The name is not a metric.
    """
    if name not in METRIC_DEFINITIONS:
        raise ValueError(f"unknown metric {name!r}: choose one of {', '.join(METRIC_NAMES)}")
    return name in _ERRORS
