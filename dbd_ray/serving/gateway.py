"""The gateway deployment: the HTTP API as a Ray Serve replica."""

import ctypes
import logging
import sys

import cv2
from fastapi import FastAPI
from ray import serve
from ray.serve.handle import DeploymentHandle

from dbd_ray.config.serve import ServeConfig
from dbd_ray.serving.api import build_api
from dbd_ray.serving.keys import load_keys
from dbd_ray.serving.measures import GatewayMeasures
from dbd_ray.serving.refusals import RETRY_AFTER_S
from dbd_ray.serving.remote import RemoteDetector

KEPT_BYTES = 32 * 2**20  # at most at the end of each heap, of which every thread has one of 64 MiB
LARGE_BYTES = 32 * 2**20  # what is larger, as a map of 8 megapixels is, goes back to the system at once

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # parameters of mallopt, see malloc.h
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
    """Serves the HTTP API: validates, decodes, asks the detector, encodes answers.

    Args:
        config: Settings of the endpoint.
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


def keep_freed_memory() -> None:
    """Keep the memory of photos for the next ones, where the C library is glibc; elsewhere nothing happens.

    A photo's pixels and maps are allocated and freed some hundred times a second, and glibc gives most of them back to
    the system in between, which then clears every page of them again.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt:
        mallopt(_TRIM_THRESHOLD, KEPT_BYTES)
        mallopt(_MMAP_THRESHOLD, LARGE_BYTES)
