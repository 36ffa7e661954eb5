"""The chart of a training: which lines it holds, and its ticks."""

import re
from xml.etree import ElementTree

import pytest

from dbd_ray.evaluation import loss_chart

History = list[dict[str, float]]


def test_the_loss_chart_draws_losses_and_metrics_but_not_the_learning_rate(history: History) -> None:
    svg = loss_chart(history)
    ElementTree.fromstring(svg)
    for shown in ("train/loss", "train/bce", "mae", "f_adaptive_pooled", "Epoch"):
        assert f">{shown}<" in svg
    assert "train/lr" not in svg
    assert svg != loss_chart(history, dark=True)
    for nothing in ([], [{"epoch": 1}]):
        with pytest.raises(ValueError, match="nothing to draw"):
            loss_chart(nothing)


def test_the_loss_chart_holds_losses_only(history: History) -> None:
    others = ("effective_batch", "workers", "map_spread", "gradient_norm/networks", "maps/accuracy", "wait_share")
    svg = loss_chart([history[0] | {f"train/{name}": 8.0 for name in others} | {"train/maps/loss": 0.5}])
    assert re.findall(r">(train/[^<]+)<", svg) == ["train/loss", "train/maps/loss", "train/bce"]


def test_a_chart_of_one_epoch_has_one_tick_and_plain_numbers() -> None:
    texts = re.findall(r">([^<>]+)</text>", loss_chart([{"epoch": 1, "train/loss": 1e5 + 0.001}]))
    before_the_axis = texts[: texts.index("Epoch")]
    assert before_the_axis == ["1"]
    assert all(re.fullmatch(r"\d+(\.\d+)?", text) for text in texts[texts.index("Epoch") + 1 : texts.index("Loss")])
