"""What `dbd-ray serve` does."""

import ipaddress
import os
import signal
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from dbd_ray.cli.console import say
from dbd_ray.cli.haproxy import haproxy
from dbd_ray.cli.one_machine import suit_one_machine
from dbd_ray.config import ServeConfig, build, layered
from dbd_ray.config.serve import KEYS_VARIABLE
from dbd_ray.errors import ConfigError


def serve(
    options: dict[str, Any], config: Path | None, overrides: Sequence[str], *, host: str, port: int, by_haproxy: bool
) -> None:
    """Serve until this process is told to stop."""
    settings = build(ServeConfig, layered(config, options, overrides), where=str(config or "serve"))
    if os.environ.get("RAY_ADDRESS"):
        raise ConfigError(
            "RAY_ADDRESS names a cluster, and `dbd-ray serve` is for one machine: unset it, or deploy there with "
            "`serve deploy serve/config.yaml`"
        )
    suit_one_machine()
    with haproxy(host) if by_haproxy else nullcontext():  # before anything of Ray is imported
        _serve(settings, host, port)


def _serve(settings: ServeConfig, host: str, port: int) -> None:
    from dbd_ray.checkpoints.find import opened_checkpoint
    from dbd_ray.cli.ray_session import local_or_cluster
    from dbd_ray.serving.keys import load_keys
    from dbd_ray.serving.local import endpoint

    with opened_checkpoint(settings.model):
        pass  # what is missing need not wait for Ray
    open_to_all = not load_keys(settings.keys_file) and not _is_loopback(host)
    try:
        with local_or_cluster(), endpoint(settings, host=host, port=port) as url:
            # as from the keyboard, so that Serve and Ray are shut down; only now, for ray.init sets its own handler
            signal.signal(signal.SIGTERM, signal.default_int_handler)
            page = "the page is there too; " if settings.page else ""
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
