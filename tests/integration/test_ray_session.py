"""The Ray that a command starts for itself."""

from urllib.parse import urlsplit

import pytest
import ray
from ray.dashboard.utils import ray_address_to_api_server_url

from dbd_ray.cli.ray_session import local_or_cluster

pytestmark = pytest.mark.ray


def test_a_commands_own_ray_never_asks_another_rays_dashboard_whether_its_training_lives(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with local_or_cluster():
        asked = urlsplit(ray_address_to_api_server_url(ray.get_runtime_context().gcs_address))
        assert asked.port == 0, "a port that nobody can listen at"
    assert not ray.is_initialized()
