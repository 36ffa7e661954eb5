"""Ray Serve on one machine: what Ray takes from the environment, once, when it is imported."""

import os

SETTINGS = {
    # gateway and detector leave their event loops free, so that one loop does for them and for Serve
    "RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD": "0",
    "RAY_SERVE_RUN_ROUTER_IN_SEPARATE_LOOP": "0",
    # between two looks of the controller at the replicas; Ray's tenth of a second takes 4 % of a processor
    "RAY_SERVE_CONTROL_LOOP_INTERVAL_S": "0.5",
}


def suit_one_machine() -> None:
    """Let the Ray that this process starts spend less on Serve itself; what the environment says already stays."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
