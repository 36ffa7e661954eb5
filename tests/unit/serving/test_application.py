"""Promises about the replicas of the application."""

from typing import Any

import pytest
from ray.serve import Application, Deployment
from ray.serve.config import AutoscalingConfig

from dbd_ray.config import ServeConfig
from dbd_ray.serving.application import build, build_for_one_machine


def _deployments(application: Application) -> list[Deployment]:
    gateway = application._bound_deployment
    (detector,) = [one for one in gateway.init_args if isinstance(one, Application)]
    return [gateway, detector._bound_deployment]


def _autoscaling(deployment: Deployment) -> AutoscalingConfig:
    config = deployment._deployment_config.autoscaling_config
    assert config is not None
    return config


def _most(application: Application) -> list[int]:
    return [_autoscaling(one).max_replicas for one in _deployments(application)]


def _others(application: Application) -> list[tuple[Any, ...]]:
    return [
        (
            one.name,
            one._deployment_config.model_dump(exclude={"autoscaling_config"}),
            _autoscaling(one).model_dump(exclude={"max_replicas"}),
        )
        for one in _deployments(application)
    ]


@pytest.mark.parametrize(("cpus", "gateways", "detectors"), [(1, 1, 1), (2, 1, 2), (3, 1, 3), (4, 2, 4), (64, 2, 4)])
def test_one_machine_gets_no_more_replicas_than_its_processors_have_work_for(
    cpus: int, gateways: int, detectors: int
) -> None:
    assert _most(build_for_one_machine(ServeConfig(), cpus)) == [gateways, detectors]


def test_all_else_about_replicas_is_the_same_on_one_machine_and_on_clusters() -> None:
    assert _others(build_for_one_machine(ServeConfig(), 1)) == _others(build(ServeConfig()))
