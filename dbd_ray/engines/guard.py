"""What is true of every engine: it belongs to the process that loaded it, and says in one way that memory ran out."""

import os

from torch import Tensor

from dbd_ray.engines.base import Engine, NetworkMaps
from dbd_ray.errors import DbdRayError, out_of_memory


class GuardedEngine:
    """Passes photos on to an engine.

    Args:
        engine: The engine, loaded by this process.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._process = os.getpid()

    @property
    def name(self) -> str:
        """One of `engines.ENGINES`."""
        return self._engine.name

    def check_process(self) -> None:
        """Refuse to run in a forked copy of the process that loaded the engine, whose threads were not copied.

        Raises:
            DbdRayError: This is another process; a pass would wait for ever for threads that it does not have.
        """
        if os.getpid() != self._process:
            raise DbdRayError(
                f"this detector was loaded by process {self._process} and cannot run in its forked copy {os.getpid()}: "
                'load a detector in each process, or start processes by multiprocessing.get_context("spawn")'
            )

    def __call__(self, photos: Tensor) -> NetworkMaps:
        """Turn uint8 N×3×h×w RGB in main memory into maps there; any number of threads may call at the same time.

        Raises:
            DbdRayError: See `check_process`.
            MemoryError: There is not enough memory for so many photos, or a pass of several failed for a reason that a
                pass of one will say.
        """
        self.check_process()
        try:
            return self._engine(photos)
        except Exception as error:
            # a failure with several photos may be memory's in words that nobody knows: each alone says what it is
            if out_of_memory(error) or len(photos) > 1:
                raise MemoryError(f"the network's pass: {error}") from error
            raise

    def __reduce__(self) -> tuple[type["GuardedEngine"], tuple[Engine]]:
        return (type(self), (self._engine,))  # whoever unpickles it has loaded it
