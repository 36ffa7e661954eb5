"""Which epoch's model a training keeps."""

from typing import Any

import pytest

from dbd_ray.config import TrainConfig
from dbd_ray.training.trainer import kept_by


def _config(**settings: Any) -> TrainConfig:
    return TrainConfig(name="x", data=("x",), epochs=2, batch_size=2, **settings)


@pytest.mark.parametrize(("metric", "order"), [("mae", "min"), ("iou_at_half_focus", "max")])
def test_the_best_epoch_by_the_chosen_metric_is_kept(metric: str, order: str) -> None:
    assert kept_by(_config(select_by=metric), has_val=True) == (f"val/{metric}", order)


def test_the_last_epoch_is_kept_where_it_is_asked_for_or_nothing_is_measured() -> None:
    assert kept_by(_config(keep="last"), has_val=True) == ("epoch", "max")
    assert kept_by(_config(), has_val=False) == ("epoch", "max")
