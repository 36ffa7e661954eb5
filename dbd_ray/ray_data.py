"""What every Ray Data run of this package has in common: its limits, and what becomes of processes that die."""

from collections.abc import Iterator
from typing import Any, Literal

import ray
import ray.data
from ray.data import ExecutionResources

from dbd_ray.errors import own_error

MEMORY_SHARE = 0.5  # of the object store; beyond it Ray spills to disk
MOST_DEATHS = 3  # of processes over one piece of work; Ray's default is to retry without limit


def deaths_allowed(*, drop_crashed: bool) -> int:
    """Return how often a piece of work is begun again after its process died.

    Args:
        drop_crashed: Blocks whose process dies are left out, and looked at again in smaller pieces.
    """
    return 1 if drop_crashed else MOST_DEATHS


def set_limits(dataset: ray.data.Dataset, *, drop_crashed: bool, memory_gib: float | None = None) -> None:
    """Set the limits of a pipeline, in place.

    Args:
        dataset: The whole pipeline.
        drop_crashed: Leave out blocks whose process dies, instead of ending.
        memory_gib: GiB of the object store that it may use; None: half of it.
    """
    context = dataset.context
    context.actor_init_retry_on_errors, context.max_consecutive_actor_init_deaths = False, MOST_DEATHS
    context.raise_original_map_exception = True  # Ray's own, in its place, loses its cause between processes
    context.max_errored_blocks = -1 if drop_crashed else 0
    store = memory_gib * 2**30 if memory_gib else MEMORY_SHARE * ray.cluster_resources().get("object_store_memory", 0)
    context.execution_options.resource_limits = ExecutionResources(object_store_memory=store)


def run_batches(
    dataset: ray.data.Dataset, *, batch_format: Literal["numpy", "pyarrow"], drop_crashed: bool
) -> Iterator[Any]:
    """Run a pipeline and give its batches as they come; those of a run that ends by deaths just end.

    Args:
        dataset: A pipeline with `set_limits`.
        batch_format: As of `Dataset.iter_batches`.
        drop_crashed: As given to `set_limits`: deaths are expected then, and no other error of Ray's is.

    Raises:
        DbdRayError: A stage raised it.
        RayError: Another error, or a death with `drop_crashed`.
    """
    try:
        yield from dataset.iter_batches(batch_size=None, batch_format=batch_format, prefetch_batches=0)
    except ray.exceptions.RayError as error:
        if drop_crashed or isinstance(error, ray.exceptions.RayTaskError):  # raised by code, not by a death
            raise own_error(error) or error from None
