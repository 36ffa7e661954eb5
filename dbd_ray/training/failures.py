"""Which failures end a run: those that would come again."""

from typing import Any

from ray.train import UserCallback

from dbd_ray.errors import DbdRayError


class StopAtOwnErrors(UserCallback):
    """Ends a run at an error of ours, e.g. a loss that is not finite: from the same epoch it would come again.

    Whatever else ends a worker is made up for by new workers, which go on from the last epoch.
    """

    def after_exception(self, run_context: Any, worker_exceptions: dict[int, Exception]) -> None:
        """Raise ours, which Ray Train does not retry."""
        for error in worker_exceptions.values():
            if isinstance(error, DbdRayError):
                raise error
