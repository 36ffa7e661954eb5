"""The Ray that a command starts for itself."""

import os
from urllib.parse import urlsplit

import pytest
import ray
from ray.dashboard.utils import get_address_for_submission_client, ray_address_to_api_server_url

from dbd_ray.cli.ray_session import DASHBOARD_VARIABLE, local_or_cluster

pytestmark = [pytest.mark.ray, pytest.mark.cluster, pytest.mark.usefixtures("own_ray")]


def test_a_commands_own_ray_never_asks_another_rays_dashboard_whether_its_training_lives(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with local_or_cluster():
        asked = urlsplit(ray_address_to_api_server_url(ray.get_runtime_context().gcs_address))
        assert asked.port == 0, "a port that nobody can listen at"
    assert not ray.is_initialized()


def test_the_dashboard_of_a_commands_own_ray_is_the_one_that_its_workers_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv(DASHBOARD_VARIABLE, "http://elsewhere:1")

    @ray.remote
    def asked_by_a_worker() -> str:
        return str(get_address_for_submission_client(None))

    with local_or_cluster(dashboard=True):
        own = ray_address_to_api_server_url(ray.get_runtime_context().gcs_address)
        assert urlsplit(own).port
        assert urlsplit(ray.get(asked_by_a_worker.remote())).port == urlsplit(own).port
    assert os.environ[DASHBOARD_VARIABLE] == "http://elsewhere:1", "as it was before"
