import math

import pytest
import torch
from torch import nn

from dbd_ray.config import NetworkConfig, OptimizerConfig
from dbd_ray.models import FocusNetwork, build_network
from dbd_ray.training.optimizer import make_optimizer, make_schedule

SGD = OptimizerConfig(name="sgd", lr=0.1, momentum=0.9, weight_decay=0.01)
ADAMW = OptimizerConfig(name="adamw", lr=0.1, weight_decay=0.01, backbone_lr_scale=0.25)


@pytest.fixture(scope="module")
def network() -> FocusNetwork:
    return build_network(NetworkConfig(backbone="mobilenetv3_small_050", srfb="none", reduction=16))


def _settings_by_name(network: nn.Module, config: OptimizerConfig) -> dict[str, tuple[float, float]]:
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    groups = make_optimizer([network], config).param_groups
    return {names[id(p)]: (group["lr"], group["weight_decay"]) for group in groups for p in group["params"]}


@pytest.mark.parametrize("config", [SGD, ADAMW])
def test_every_parameter_is_optimised_exactly_once(network: FocusNetwork, config: OptimizerConfig) -> None:
    groups = make_optimizer([network], config).param_groups
    optimised = [id(parameter) for group in groups for parameter in group["params"]]
    assert sorted(optimised) == sorted(id(parameter) for parameter in network.parameters())


def test_the_backbone_learns_at_its_own_rate(network: FocusNetwork) -> None:
    settings = _settings_by_name(network, ADAMW)
    assert {lr for name, (lr, _) in settings.items() if name.startswith("encoder.")} == {0.025}
    assert {lr for name, (lr, _) in settings.items() if not name.startswith("encoder.")} == {0.1}


def test_adamw_decays_neither_norms_nor_biases_and_sgd_decays_all(network: FocusNetwork) -> None:
    flat = {name for name, parameter in network.named_parameters() if parameter.ndim <= 1}
    for name, (_, decay) in _settings_by_name(network, ADAMW).items():
        assert decay == (0.0 if name in flat else 0.01), name
    assert {decay for _, decay in _settings_by_name(network, SGD).values()} == {0.01}


def test_the_optimiser_is_the_named_one_with_its_momentum(network: FocusNetwork) -> None:
    sgd = make_optimizer([network], SGD)
    assert isinstance(sgd, torch.optim.SGD)
    assert {group["momentum"] for group in sgd.param_groups} == {0.9}
    plain = make_optimizer([network], OptimizerConfig(name="sgd"))
    assert {group["momentum"] for group in plain.param_groups} == {0.0}
    assert isinstance(make_optimizer([network], ADAMW), torch.optim.AdamW)


def _rates(*, epochs: int = 10, steps: int = 10, **settings: object) -> list[float]:
    config = OptimizerConfig.model_validate({"name": "sgd", "lr": 2.0, **settings})
    optimizer = make_optimizer([nn.Linear(1, 1)], config)
    schedule = make_schedule(optimizer, config, epochs=epochs, steps_per_epoch=steps)
    rates = []
    for _ in range(epochs * steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return [*rates, optimizer.param_groups[0]["lr"]]


def test_a_constant_schedule_keeps_the_rate() -> None:
    assert set(_rates(schedule="constant")) == {2.0}


def test_poly_falls_with_the_power_of_nine_tenths() -> None:
    assert _rates(schedule="poly") == pytest.approx([2 * (1 - step / 100) ** 0.9 for step in range(101)])


def test_cosine_falls_from_the_full_rate_to_zero() -> None:
    rates = _rates(schedule="cosine")
    assert rates == pytest.approx([1 + math.cos(math.pi * step / 100) for step in range(101)])
    assert (rates[0], rates[100]) == (2.0, pytest.approx(0, abs=1e-12))


@pytest.mark.parametrize("schedule", ["constant", "poly", "cosine"])
def test_warm_up_rises_to_the_full_rate_and_the_schedule_takes_over(schedule: str) -> None:
    rates = _rates(schedule=schedule, warmup_epochs=1.5)
    assert rates[:15] == pytest.approx([2 * (step + 1) / 16 for step in range(15)])
    assert rates[15] == 2.0
    assert rates[100] == pytest.approx(2.0 if schedule == "constant" else 0.0, abs=1e-12)
    assert all(rate > 0 for rate in rates[:100])


def test_the_rate_stays_at_its_end_after_the_last_step() -> None:
    config = OptimizerConfig(schedule="poly")
    optimizer = make_optimizer([nn.Linear(1, 1)], config)
    schedule = make_schedule(optimizer, config, epochs=1, steps_per_epoch=2)
    for _ in range(5):
        optimizer.step()
        schedule.step()
    assert optimizer.param_groups[0]["lr"] == 0.0
