"""Ports of this machine that nobody uses."""

import socket
from contextlib import ExitStack


def free_ports(count: int) -> list[int]:
    """Find different ports that are free on all interfaces, until somebody takes them."""
    with ExitStack() as probes:
        found = [probes.enter_context(socket.socket()) for _ in range(count)]
        for probe in found:
            probe.bind(("", 0))
        return [probe.getsockname()[1] for probe in found]
