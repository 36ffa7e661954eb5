"""Failures that end a run: those that would come again."""

from typing import Any

from ray.train import UserCallback

from dbd_ray.errors import DbdRayError


class StopAtOwnErrors(UserCallback):
    """Ends a run at an error of this package, e.g. a loss that is not finite: from the same epoch it would come again.

    After any other failure Ray Train replaces the workers, and they go on from the last epoch.
    """

    def after_exception(self, run_context: Any, worker_exceptions: dict[int, Exception]) -> None:
        """Raise an error of this package again: Ray Train does not retry what a callback raises."""
        for error in worker_exceptions.values():
            if isinstance(error, DbdRayError):
                raise error
