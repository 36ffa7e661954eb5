"""Promises about the replicas of the application."""

from typing import Any

import pytest
from ray.serve import Application

from dbd_ray.config import ServeConfig
from dbd_ray.serving.application import build, build_for


def _most(application: Application) -> dict[str, Any]:
    gateway = application._bound_deployment
    (detector,) = [one for one in gateway.init_args if isinstance(one, Application)]
    deployments = [gateway, detector._bound_deployment]
    return {one.name: one._deployment_config.autoscaling_config.max_replicas for one in deployments}


@pytest.mark.parametrize(
    ("cpus", "gateways", "detectors"),
    [(1, 1, 1), (2, 1, 2), (4, 2, 4), (16, 8, 16)],
)
def test_one_machine_gets_as_many_replicas_as_it_has_processors_for(cpus: int, gateways: int, detectors: int) -> None:
    assert _most(build_for(ServeConfig(), cpus)) == {"FocusGateway": gateways, "FocusDetector": detectors}


def test_other_settings_of_the_replicas_are_the_same_everywhere() -> None:
    applications = build_for(ServeConfig(), cpus=4), build(ServeConfig())
    here, cluster = (one._bound_deployment._deployment_config for one in applications)
    assert here.model_dump(exclude={"autoscaling_config"}) == cluster.model_dump(exclude={"autoscaling_config"})
    assert here.autoscaling_config.model_dump(exclude={"max_replicas"}) == cluster.autoscaling_config.model_dump(
        exclude={"max_replicas"}
    )
