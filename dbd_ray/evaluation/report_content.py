"""The content of a report, which its files show in several forms."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dbd_ray.evaluation.comparison import Comparison
from dbd_ray.evaluation.thumbnails import EvaluatedPhoto
from dbd_ray.metrics import PrCurve, Reliability, worst_tenth


@dataclass(frozen=True)
class Report:
    """The content of a report.

    Args:
        title: Heading of the report.
        dataset: Name of the dataset.
        split: The part of the dataset that was measured: train, val or test.
        model: Facts about the model by label, in order: name, parameters, fingerprint of the checkpoint.
        metrics: Value by metric, from `FocusMetrics.compute`.
        curve: Precision-recall curve, from `FocusMetrics.curve`.
        reliability: Reliability curve, from `FocusMetrics.reliability`.
        per_image: One row per photo: its `id` and the values from `FocusMetrics.update`.
        examples: Photos to show as examples, in order.
        worst: The photos with the highest MAE, as `keep_worst` gives them.
        history: One row per epoch of training (see `loss_chart`), or None.
        settings: Configuration of the run, or None.
        compare_with: `cuhk` or `dut` where these are that set's test photos, to show published results beside.
        comparison: Comparison with another model on the same photos, or None.
    """

    title: str
    dataset: str
    split: str
    model: Mapping[str, str]
    metrics: Mapping[str, float]
    curve: PrCurve
    reliability: Reliability
    per_image: Sequence[Mapping[str, Any]]
    examples: Sequence[EvaluatedPhoto] = ()
    worst: Sequence[EvaluatedPhoto] = ()
    history: Sequence[Mapping[str, float]] | None = None
    settings: Mapping[str, Any] | None = None
    compare_with: str | None = None
    comparison: Comparison | None = None

    @property
    def label(self) -> str:
        """Name of the model."""
        return self.model.get("name", "this model")

    @property
    def worst_tenth(self) -> list[Mapping[str, Any]]:
        """Rows of the tenth of the photos with the highest MAE, the worst first."""
        return sorted(self.per_image, key=lambda row: -float(row["mae"]))[: worst_tenth(len(self.per_image))]


def plain(value: Any) -> Any:
    """Turn a value into what JSON and YAML can hold; a non-finite number becomes null."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, str | bool | int | None):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Sequence | set | frozenset):
        return [plain(item) for item in value]
    return str(value)
