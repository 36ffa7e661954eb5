"""Measuring a detector on focus stacks, which need no masks."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from dbd_ray.config import EvaluateConfig
from dbd_ray.datasets.stacks import FocusStack, read_stack
from dbd_ray.detection.detector import Detector
from dbd_ray.errors import DatasetError
from dbd_ray.metrics.stacks import StackMetrics


class MeasuredStacks(NamedTuple):
    """Result on focus stacks.

    Attributes:
        metrics: Values by the names in `metrics.stacks.STACK_METRIC_DEFINITIONS`.
        per_stack: One row per stack: its `id`, number of `frames`, and the values from `StackMetrics.update`.
    """

    metrics: dict[str, float]
    per_stack: list[dict[str, Any]]


def measure_stacks(
    config: EvaluateConfig,
    detector: Detector,
    stacks: Sequence[FocusStack],
    *,
    on_stack: Callable[[int, int], Any] = lambda done, total: None,
) -> MeasuredStacks:
    """Measure a detector on focus stacks.

    Args:
        config: How the detector looks.
        detector: The model.
        stacks: From `scan_stacks`.
        on_stack: Called with (done, total) after every stack.

    Raises:
        DatasetError: Photos of stacks cannot be used, all listed, or no pixel tells the frames apart.
    """
    metrics = StackMetrics()
    rows: list[dict[str, Any]] = []
    problems: list[str] = []
    for done, stack in enumerate(stacks, 1):
        frames = read_stack(stack)
        if isinstance(frames, str):
            problems.append(frames)
        elif not problems:
            maps = [found.focus for found in detector.detect_each(frames, refine=config.refine)]
            rows.append({"id": stack.id, "frames": len(frames), **metrics.update(frames, maps)})
        on_stack(done, len(stacks))
    try:
        values = {} if problems else metrics.compute()
    except ValueError as error:
        problems.append(str(error))
    if problems:
        raise DatasetError(str(config.root), problems)
    return MeasuredStacks(values, rows)
