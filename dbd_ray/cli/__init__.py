"""The command line `dbd-ray`: one file per family of commands, each option beside what it does.

What needs torch, Ray or MLflow is imported by the command that runs: `--help` must not wait for it.
"""

from dbd_ray.cli.app import app, main

__all__ = ["app", "main"]
