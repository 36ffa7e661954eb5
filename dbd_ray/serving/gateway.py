"""The gateway: a Serve deployment around the HTTP API."""

import logging

import cv2
from fastapi import FastAPI
from ray import serve
from ray.serve.handle import DeploymentHandle

from dbd_ray.config.serve import ServeConfig
from dbd_ray.serving.api import build_api
from dbd_ray.serving.keys import load_keys
from dbd_ray.serving.measures import GatewayMeasures
from dbd_ray.serving.memory import keep_freed_memory
from dbd_ray.serving.refusals import RETRY_AFTER_S
from dbd_ray.serving.remote import RemoteDetector

_log = logging.getLogger(__name__)

AUTOSCALING = {
    "min_replicas": 1,
    "max_replicas": 2,
    "target_ongoing_requests": 16,
    "upscale_delay_s": 5,
    "downscale_delay_s": 60,
}


@serve.deployment(
    # one CPU with a detector: room for both on one core, and on two for those of before and after a change
    ray_actor_options={"num_cpus": 0.2},
    # many, for a client that sends slowly costs little; how many photos are worked on is `limits.photos_at_once`
    max_ongoing_requests=256,
    max_queued_requests=64,
    backpressure_config={"status_code": 429, "retry_after_s": RETRY_AFTER_S},
    max_surge_percent=100,
    max_constructor_retry_count=3,
    health_check_period_s=2,  # a replica that died is replaced when it is asked next
    graceful_shutdown_timeout_s=100,  # longer than a body and its answer may take
    autoscaling_config=AUTOSCALING,
)
@serve.ingress()
class FocusGateway:
    """Speaks HTTP: validates, decodes, asks the detector, encodes answers.

    Args:
        config: Of the endpoint.
        detector: A bound `FocusDetector`.

    Raises:
        ConfigError: The file of API keys is missing or wrong.
    """

    def __init__(self, config: ServeConfig, detector: DeploymentHandle) -> None:
        # photos share the processors: several threads on each of many photos only wait for each other
        cv2.setNumThreads(1)
        keep_freed_memory()
        self._config = config
        self._detector = RemoteDetector(
            detector,
            batch_megapixels=config.batch_megapixels,
            calls_at_once=config.calls_at_once,
            longest_wait_s=config.share_wait_ms / 1000,
        )
        self._keys = load_keys(config.keys_file)
        if not self._keys:
            _log.warning("no API keys: whoever reaches the endpoint may use it; see docs/operations.md")

    def __serve_build_asgi_app__(self) -> FastAPI:
        return build_api(self._config, self._detector, self._keys, GatewayMeasures())
