"""`dbd-ray COMMAND`: a thin layer over the package; user mistakes end in one clear line, not in a traceback."""

import os
import sys
from collections.abc import Sequence

from dbd_ray.cli.app import app
from dbd_ray.cli.console import accept_any_text
from dbd_ray.errors import DbdRayError

__all__ = ["app", "main"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command line.

    Args:
        arguments: Command and options; those of this process by default.
    """
    accept_any_text()
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")  # read when MLflow is imported; else it lists its tables
    try:
        app(args=None if arguments is None else list(arguments), prog_name="dbd-ray")
    except DbdRayError as error:
        sys.stderr.write(f"error: {error}\n")
        raise SystemExit(2) from None
