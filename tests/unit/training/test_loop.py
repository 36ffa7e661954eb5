import math
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

from dbd_ray.config import TrainConfig
from dbd_ray.engines import predict_focus
from dbd_ray.errors import ConfigError, TrainingError
from dbd_ray.metrics import METRIC_NAMES
from dbd_ray.models import build_network
from dbd_ray.training.learner import Learner, make_learner
from dbd_ray.training.loop import Progress, train_epoch, train_step, validate
from dbd_ray.training.samples import Batch, EncodedRow, collate, decode_row, eval_batches

MakeConfig = Callable[..., TrainConfig]
MakeLearner = Callable[..., Learner]


@pytest.fixture
def batch(photo_rows: list[EncodedRow]) -> Batch:
    return collate([decode_row(row) for row in photo_rows[:4]])


def _weights(network: nn.Module) -> dict[str, torch.Tensor]:
    return {name: parameter.detach().clone() for name, parameter in network.named_parameters()}


def _differing(network: nn.Module, before: dict[str, torch.Tensor]) -> list[str]:
    return [name for name, parameter in network.named_parameters() if not torch.equal(parameter, before[name])]


@pytest.mark.parametrize("bce", ["plain", "weighted"])
def test_a_few_steps_lower_every_term(
    make_config: MakeConfig, make_tiny_learner: MakeLearner, batch: Batch, bce: str
) -> None:
    objective = {"bce": bce, "iou_weight": 1.0, "depth_weight": 1.0}
    learner = make_tiny_learner(make_config(objective=objective, optimizer={"lr": 3e-3, "schedule": "constant"}))
    learner.objective.train()
    steps = [train_step(learner, batch) for _ in range(12)]
    assert steps[-1]["loss"] < 0.7 * steps[0]["loss"]
    assert all(steps[-1][name] < steps[0][name] for name in ("bce", "iou", "depth"))
    assert learner.step == 12


def test_a_step_reports_every_term_and_their_sum(
    make_config: MakeConfig, make_tiny_learner: MakeLearner, batch: Batch
) -> None:
    learner = make_tiny_learner(make_config(objective={"iou_weight": 0.5}))
    values = train_step(learner, batch)
    assert set(values) == {"bce", "iou", "depth", "loss"}
    assert values["loss"] == pytest.approx(values["bce"] + values["iou"] + values["depth"])


def test_an_epoch_reports_means_the_rate_and_progress(
    make_config: MakeConfig, make_tiny_learner: MakeLearner, batch: Batch
) -> None:
    learner = make_tiny_learner(make_config(epochs=3), steps_per_epoch=2)
    seen: list[Progress] = []
    means = train_epoch(learner, [batch, batch], steps=2, on_progress=seen.append)
    assert set(means) == {"bce", "depth", "loss", "images_per_s", "wait_share", "lr"}
    assert means["images_per_s"] > 0
    assert 0 <= means["wait_share"] <= 1
    assert means["lr"] == learner.objective.optimizer.param_groups[-1]["lr"]
    assert [(at.epoch, at.epochs, at.step, at.steps) for at in seen] == [(1, 3, 1, 2), (1, 3, 2, 2)]
    assert seen[-1].loss == pytest.approx(means["loss"])
    assert seen[0].seconds_left > 0
    assert learner.epoch == 0


def test_a_split_smaller_than_a_batch_is_refused(make_config: MakeConfig, make_tiny_learner: MakeLearner) -> None:
    with pytest.raises(ConfigError, match="batch_size=4: larger than an epoch"):
        make_tiny_learner(make_config(), steps_per_epoch=0)


def test_gradients_are_clipped_to_the_configured_norm(
    make_config: MakeConfig, make_tiny_learner: MakeLearner, batch: Batch
) -> None:
    settings = {"name": "sgd", "lr": 1.0, "weight_decay": 0, "schedule": "constant"}
    moved = {}
    for clip_norm in (None, 0.01):
        learner = make_tiny_learner(make_config(optimizer={**settings, "clip_norm": clip_norm}))
        before = _weights(learner.bare)
        train_step(learner, batch)
        change = [parameter - before[name] for name, parameter in learner.bare.named_parameters()]
        moved[clip_norm] = torch.stack([one.norm() for one in change]).norm().item()
    assert moved[0.01] == pytest.approx(0.01, rel=1e-2)
    assert moved[None] > 0.1


def test_an_infinite_depth_target_stops_and_names_the_term_with_the_weights_as_before(
    make_config: MakeConfig, make_tiny_learner: MakeLearner, batch: Batch
) -> None:
    learner = make_tiny_learner(make_config(ema_decay=0.9))
    before = _weights(learner.bare)
    depth = batch.depth.clone()
    depth[0, 0, 3, 3] = math.inf
    with pytest.raises(TrainingError, match=r"^step 1: loss term\(s\) depth=inf are not finite; .*optimizer\.lr"):
        train_step(learner, batch._replace(depth=depth))
    assert _differing(learner.bare, before) == []
    assert (learner.step, learner.objective.schedule.last_epoch) == (0, 0)


def test_a_depth_that_no_teacher_gave_may_hold_anything(
    make_config: MakeConfig, make_tiny_learner: MakeLearner, batch: Batch
) -> None:
    depth = batch.depth.clone()
    depth[~batch.has_depth] = math.nan
    learner = make_tiny_learner(make_config())
    assert math.isfinite(train_step(learner, batch._replace(depth=depth))["loss"])


def test_a_learning_rate_that_is_far_too_high_stops_and_names_the_terms(
    make_config: MakeConfig, make_tiny_learner: MakeLearner, batch: Batch
) -> None:
    settings = {"name": "sgd", "lr": 1e30, "schedule": "constant"}
    learner = make_tiny_learner(make_config(optimizer=settings))
    train_step(learner, batch)
    before = _weights(learner.bare)
    with pytest.raises(TrainingError, match=r"^step 2: loss term\(s\) bce=(nan|inf), depth=(nan|inf) are not finite"):
        train_step(learner, batch)
    assert _differing(learner.bare, before) == []


class _BadGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: torch.Tensor) -> torch.Tensor:
        return values.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> torch.Tensor:
        return gradients[0] * math.nan


def test_a_gradient_that_is_not_finite_stops_and_names_term_and_parameter_with_the_weights_as_before(
    make_config: MakeConfig, make_tiny_learner: MakeLearner, batch: Batch
) -> None:
    learner = make_tiny_learner(make_config(ema_decay=0.9, optimizer={"clip_norm": 1.0}))
    train_step(learner, batch)
    learner.bare.get_submodule("depth_fusion").register_forward_hook(
        lambda module, inputs, output: _BadGradient.apply(output)
    )
    before, averaged = _weights(learner.bare), _weights(learner.best_network)
    with pytest.raises(
        TrainingError, match=r"^step 2: the gradient is not finite \(term depth at \d+ parameter"
    ) as error:
        train_step(learner, batch)
    assert "term bce" not in str(error.value)
    assert "the weights are as before the step" in str(error.value)
    assert _differing(learner.bare, before) == _differing(learner.best_network, averaged) == []
    assert learner.step == 1


def test_a_sum_of_finite_terms_that_overflows_is_not_blamed_on_one_term(
    make_config: MakeConfig, make_tiny_learner: MakeLearner, batch: Batch
) -> None:
    learner = make_tiny_learner(make_config())
    # each is finite, but float32 ends at 3.4e38 and so their common norm is not
    for name, gradient_value in (("focus_fusion.bias", 2e38), ("depth_fusion.bias", 3e38)):
        learner.bare.get_parameter(name).register_hook(partial(torch.full_like, fill_value=gradient_value))
    with pytest.raises(TrainingError, match=r"gradient is not finite \(no term of this rank alone"):
        train_step(learner, batch)


def test_the_averaged_network_differs_from_the_stepped_one_and_follows_it(
    make_config: MakeConfig, make_tiny_learner: MakeLearner, batch: Batch
) -> None:
    learner = make_tiny_learner(make_config(ema_decay=0.5, optimizer={"lr": 1e-2, "schedule": "constant"}))
    assert learner.best_network is not learner.bare
    start = _weights(learner.bare)
    for _ in range(5):
        train_step(learner, batch)
    name = "focus_fusion.weight"
    raw = learner.bare.get_parameter(name).detach()
    averaged = learner.best_network.get_parameter(name).detach()
    assert not torch.equal(raw, averaged)
    assert 0 < (averaged - start[name]).norm() < (raw - start[name]).norm()
    assert not averaged.requires_grad


def test_validation_measures_the_averaged_network(
    make_config: MakeConfig, make_tiny_learner: MakeLearner, batch: Batch, photo_rows: list[EncodedRow]
) -> None:
    learner = make_tiny_learner(make_config(ema_decay=0.9, optimizer={"lr": 3e-2, "schedule": "constant"}))
    for _ in range(6):
        train_step(learner, batch)
    measured = validate(learner, eval_batches(photo_rows, batch_size=4)).compute()
    assert list(measured) == list(METRIC_NAMES)

    def mae(network: Any) -> float:
        every = collate([decode_row(row) for row in photo_rows])
        return float((predict_focus(network, every.photos).focus - every.focus[:, 0]).abs().mean())

    assert measured["mae"] == pytest.approx(mae(learner.best_network), abs=1e-6)
    assert abs(mae(learner.best_network) - mae(learner.bare)) > 1e-4


def test_without_averaging_the_stepped_network_is_kept(make_config: MakeConfig, make_tiny_learner: MakeLearner) -> None:
    learner = make_tiny_learner(make_config())
    assert learner.ema is None
    assert learner.best_network is learner.bare


def test_validation_in_parts_merges_to_the_whole_and_leaves_the_network_training(
    make_config: MakeConfig, make_tiny_learner: MakeLearner, photo_rows: list[EncodedRow]
) -> None:
    learner = make_tiny_learner(make_config())
    learner.objective.train()
    whole = validate(learner, eval_batches(photo_rows, batch_size=4))
    parts = [validate(learner, eval_batches(photo_rows[rank::2], batch_size=4)) for rank in range(2)]
    parts[0].merge(parts[1])
    assert (parts[0].images, whole.images) == (11, 11)
    assert parts[0].compute() == pytest.approx(whole.compute(), abs=1e-4)
    assert learner.bare.training


def test_a_network_without_depth_trains_without_that_term(
    make_config: MakeConfig, make_tiny_learner: MakeLearner, batch: Batch
) -> None:
    network = {"backbone": "mobilenetv3_small_050", "srfb": "none", "reduction": 16, "depth": False}
    learner = make_tiny_learner(make_config(network=network, objective={"depth_weight": 0}))
    assert set(train_step(learner, batch)) == {"bce", "loss"}


def test_a_wrapped_network_is_stepped_and_the_bare_one_kept(make_config: MakeConfig, batch: Batch) -> None:
    class Wrapped(nn.Module):
        def __init__(self, module: nn.Module) -> None:
            super().__init__()
            self.module = module
            self.calls = 0

        def forward(self, photos: torch.Tensor) -> Any:
            self.calls += 1
            return self.module(photos)

    config = make_config()
    learner = make_learner(
        config, build_network(config.network), steps_per_epoch=2, device=torch.device("cpu"), wrap=Wrapped
    )
    before = _weights(learner.bare)
    train_step(learner, batch)
    wrapped = learner.objective.trained["network"]
    assert isinstance(wrapped, Wrapped)
    assert wrapped.calls == 1
    assert len(_differing(learner.bare, before)) > 10
