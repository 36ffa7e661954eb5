"""The annotation pipeline on Ray Data: photos → pixels (tasks) → focus (actors) → results and rows (tasks)."""

import json
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import ray
import ray.data
from ray.data import ActorPoolStrategy, ExecutionResources

from dbd_ray.config import AnnotateConfig
from dbd_ray.detection.predictor import FocusPredictor
from dbd_ray.errors import ConfigError, own_error
from dbd_ray.library.look import HashPhotos, LookAtPhotos
from dbd_ray.library.scan import Found
from dbd_ray.library.write import WriteResults

MEMORY_SHARE = 0.5  # of the object store; beyond it Ray spills to disk
MOST_DEATHS = 3  # of processes over one piece of work; Ray's default is to retry without limit
_HASHED_AT_ONCE = 64

Group = Sequence[Found]


class Run(NamedTuple):
    """What every stage of a run is told.

    Attributes:
        source: Folder or URI of the photos, absolute.
        out: Folder or URI of the results, absolute.
        model: The model, absolute if it is a folder.
        parameters: Digest of the settings that results depend on.
        config: The settings.
    """

    source: str
    out: str
    model: str
    parameters: str
    config: AnnotateConfig


def hash_photos(run: Run, photos: Sequence[Found]) -> dict[bytes, str]:
    """Hash photos in tasks; those that cannot be read are left out."""
    if not photos:
        return {}
    rows = pa.table({"path": pa.array([found.path for found in photos], pa.binary())})
    hashed = _blocks(rows, _HASHED_AT_ONCE).map_batches(
        HashPhotos(run.source), batch_size=None, num_cpus=run.config.cpus_per_task
    )
    found: dict[bytes, str] = {}
    for batch in hashed.iter_batches(batch_size=None, batch_format="numpy"):
        found |= {path: digest for path, digest in zip(batch["path"], batch["content_hash"], strict=True) if digest}
    return found


def annotate_groups(
    run: Run,
    groups: Sequence[Group],
    *,
    photos_per_task: int,
    drop_crashed: bool,
    on_batch: Callable[[Sequence[str], Sequence[str]], None],
) -> str:
    """Look at one photo of each group and commit the rows of all.

    Args:
        run: The run.
        groups: Photos of the same content together.
        photos_per_task: Photos that are decoded in one task, and lost together if it crashes.
        drop_crashed: Leave out blocks whose process dies, instead of ending.
        on_batch: Called with the statuses and reasons of the rows of each committed batch.

    Returns:
        The text of Ray Data's `Dataset.stats()`.

    Raises:
        ConfigError: The cluster has no room for so many detectors.
        DbdRayError: The model cannot be loaded, or results cannot be written.
    """
    dataset = _dataset(run, groups, photos_per_task=photos_per_task, drop_crashed=drop_crashed)
    try:
        for batch in dataset.iter_batches(batch_size=None, batch_format="numpy", prefetch_batches=0):
            on_batch(batch["status"].tolist(), batch["reason"].tolist())
    except ray.exceptions.RayError as error:
        if drop_crashed or isinstance(error, ray.exceptions.RayTaskError):  # raised by code, not by a death
            raise own_error(error) or error from None
    return str(dataset.stats())


def _gpus_per_actor(config: AnnotateConfig) -> float:
    """Tell how much of a GPU each detector gets, and that the cluster has room for all.

    Raises:
        ConfigError: It has not.
    """
    have = ray.cluster_resources()
    gpus = config.gpus_per_actor
    if gpus is None:
        gpus = 1.0 if have.get("GPU", 0) else 0.0
    needs = {"CPU": config.actors[0] * config.cpus_per_actor + config.cpus_per_task, "GPU": config.actors[0] * gpus}
    for kind, need in needs.items():
        if need > have.get(kind, 0):
            raise ConfigError(
                f"actors: {config.actors[0]} detectors and one decoder need {need:g} {kind}s, the cluster has "
                f"{have.get(kind, 0):g}: lower actors, or {kind.lower()}s_per_actor"
            )
    return gpus


def _dataset(run: Run, groups: Sequence[Group], *, photos_per_task: int, drop_crashed: bool) -> ray.data.Dataset:
    config, gpus = run.config, _gpus_per_actor(run.config)
    deaths = 1 if drop_crashed else MOST_DEATHS  # dropped photos are looked at again, in smaller pieces
    tasks: dict[str, Any] = {"num_cpus": config.cpus_per_task, "ray_remote_args_fn": lambda: {"max_retries": deaths}}
    low, high = config.actors
    looked_at = _blocks(rows_of(groups), photos_per_task).map_batches(
        LookAtPhotos(run.source, config), batch_size=None, **tasks
    )
    focused = looked_at.map_batches(
        FocusPredictor,
        fn_constructor_args=(run.model,),
        fn_constructor_kwargs={
            "column": "image",
            "refine": config.refine,
            "tile": config.tile,
            "device": "cuda" if gpus else "cpu",
        },
        batch_size=None,
        compute=ActorPoolStrategy(
            min_size=low, max_size=high, max_tasks_in_flight_per_actor=1 if drop_crashed else None
        ),
        num_cpus=config.cpus_per_actor,
        num_gpus=gpus,
        ray_remote_args_fn=lambda: {"max_task_retries": deaths},
    )
    written = focused.map_batches(WriteResults(run.source, run.out, config, run.parameters), batch_size=None, **tasks)
    context = written.context
    context.actor_init_retry_on_errors, context.max_consecutive_actor_init_deaths = False, MOST_DEATHS
    context.max_errored_blocks = -1 if drop_crashed else 0
    store = MEMORY_SHARE * ray.cluster_resources().get("object_store_memory", 0)
    context.execution_options.resource_limits = ExecutionResources(object_store_memory=store)
    return written


def rows_of(groups: Sequence[Group]) -> pa.Table:
    """Make the pipeline's first rows: one photo of each group, with all files of its content."""
    # paths as hexadecimal digits, for JSON has no bytes
    firsts = [group[0] for group in groups]
    targets = [
        json.dumps([{"path": one.path.hex(), "size": one.size, "mtime_ns": one.mtime_ns} for one in group])
        for group in groups
    ]

    def numbers(values: list[int | None]) -> np.ndarray:
        return np.array([-1 if value is None else value for value in values], np.int64)

    return pa.table(
        {
            "path": pa.array([found.path for found in firsts], pa.binary()),
            "size": numbers([found.size for found in firsts]),
            "mtime_ns": numbers([found.mtime_ns for found in firsts]),
            "targets": targets,
        }
    )


def _blocks(rows: pa.Table, rows_per_block: int) -> ray.data.Dataset:
    return ray.data.from_arrow([rows.slice(at, rows_per_block) for at in range(0, len(rows), rows_per_block)])
