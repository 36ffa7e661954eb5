"""Checks of Ray's surroundings: its address, dashboard, ports, tokens, and keys of the endpoint."""

import os
import socket
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from dbd_ray.cli.checkup.finding import Finding
from dbd_ray.cli.session import check_reachable

ANSWER_S = 2.0
PORTS = {
    6379: "another Ray's head: give a further `ray start --head` another --port",
    8265: "another Ray's dashboard: give a further `ray start --head` another --dashboard-port",
    52365: "another Ray's agent: give a further `ray start` --dashboard-agent-listen-port=0",
    10001: "another Ray's client server: give a further `ray start --head` another --ray-client-server-port",
    8000: "an endpoint's usual port: give `dbd-ray serve` another --port",
}


def find_ray() -> Iterator[Finding]:
    """Tell which Ray the commands use, and whether it answers."""
    found = version("ray")
    address = os.environ.get("RAY_ADDRESS")
    if not address:
        yield Finding("Ray", "ok", f"{found}; each command starts one of its own (RAY_ADDRESS is not set)")
        return
    check_reachable(address, ANSWER_S)
    yield Finding("Ray", "ok", f"{found}; commands use the cluster at RAY_ADDRESS={address}, which answers")


def find_dashboards() -> Iterator[Finding]:
    """Tell whether the dashboards that jobs and deployments are sent to answer."""
    from urllib.parse import urlsplit

    for variable in ("RAY_API_SERVER_ADDRESS", "RAY_DASHBOARD_ADDRESS"):
        address = os.environ.get(variable)
        if not address:
            continue
        try:
            parts = urlsplit(address if "://" in address else f"//{address}")
            port = parts.port or (443 if parts.scheme == "https" else 80)
            socket.create_connection((parts.hostname or "", port), timeout=ANSWER_S).close()
        except (OSError, ValueError) as error:
            yield Finding(variable, "fault", f"{address} does not answer ({error}): correct it, or unset it")
        else:
            yield Finding(variable, "ok", f"{address} answers")


def find_ports() -> Iterator[Finding]:
    """Tell which usual ports of Ray and of the endpoint are taken on this machine; commands take free ones."""
    taken = {port: todo for port, todo in PORTS.items() if not _is_free(port)}
    for port, todo in taken.items():
        yield Finding(f"port {port}", "note", f"taken, perhaps by {todo}")
    if free := [str(port) for port in PORTS if port not in taken]:
        yield Finding("Ray's ports", "ok", f"free: {', '.join(free)}")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:  # bound and not listened on
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError:
            return False
        return True


def find_tokens() -> Iterator[Finding]:
    """Tell whether a token is asked for and where it lies, and never what it is."""
    home = Path(os.environ.get("HOME") or "/", ".ray", "auth_token")
    given = os.environ.get("RAY_AUTH_TOKEN_PATH")
    file = Path(given) if given else home
    where = "RAY_AUTH_TOKEN" if os.environ.get("RAY_AUTH_TOKEN") else str(file) if file.is_file() else None
    mode = os.environ.get("RAY_AUTH_MODE")
    asked = f"RAY_AUTH_MODE={mode}" if mode else "RAY_AUTH_MODE is not set"
    if mode == "token" and not where:
        todo = "`ray get-auth-token --generate` makes one, or copy the cluster's"
        yield Finding("Ray's token", "fault", f"{asked}, but there is none in {file}: {todo}")
    elif where and mode != "token":
        todo = "`ray start` asks for it, `ray job submit` and `serve deploy` show it with RAY_AUTH_MODE=token alone"
        yield Finding("Ray's token", "note", f"{asked}, and there is one in {where}: {todo}")
    else:
        yield Finding("Ray's token", "ok", f"{asked}, " + (f"there is one in {where}" if where else "there is none"))


def find_keys() -> Iterator[Finding]:
    """Tell whether the endpoint of this environment would ask for keys."""
    from dbd_ray.serving.keys import load_keys

    keys = load_keys(None)
    told = "asked for, as DBD_RAY_API_KEYS says" if keys else "none: an endpoint without --keys-file lets everybody in"
    yield Finding("endpoint's keys", "ok", told)
