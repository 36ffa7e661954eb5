"""The annotation pipeline on Ray Data: photos → pixels (tasks) → focus (actors) → results and rows (tasks)."""

import json
import os
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import ray
import ray.data
from ray.data import ActorPoolStrategy

from dbd_ray.config import AnnotateConfig
from dbd_ray.detection.predictor import FocusPredictor
from dbd_ray.errors import ConfigError
from dbd_ray.library.endpoint import KEY_VARIABLE, EndpointPredictor
from dbd_ray.library.look import HashPhotos, LookAtPhotos
from dbd_ray.library.scan import Found
from dbd_ray.library.write import WriteResults
from dbd_ray.ray_data import deaths_allowed, run_batches, set_limits

ENDPOINT_CPUS = 0.1  # of an actor that encodes photos and waits for an endpoint
_HASHED_AT_ONCE = 64

Group = Sequence[Found]


class Run(NamedTuple):
    """What every stage of a run is told.

    Attributes:
        source: Folder or URI of the photos, absolute.
        out: Folder or URI of the results, absolute.
        model: The model, absolute if it is a folder; empty with an endpoint.
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
        DbdRayError: The model cannot be loaded, the endpoint does not answer, or results cannot be written.
    """
    dataset = _dataset(run, groups, photos_per_task=photos_per_task, drop_crashed=drop_crashed)
    for batch in run_batches(dataset, batch_format="numpy", drop_crashed=drop_crashed):
        on_batch(batch["status"].tolist(), batch["reason"].tolist())
    return str(dataset.stats())


class _Detectors(NamedTuple):
    """What finds focus in batches of photos, and what each of its actors needs."""

    kind: Callable[..., Any]
    arguments: dict[str, Any]
    cpus: float
    gpus: float


def _detectors(run: Run) -> _Detectors:
    config = run.config
    how: dict[str, Any] = {"refine": config.refine, "tile": config.tile}
    if config.endpoint:
        arguments = {"endpoint": config.endpoint, "api_key": os.environ.get(KEY_VARIABLE), **how}
        return _Detectors(EndpointPredictor, arguments, ENDPOINT_CPUS, 0.0)
    gpus = config.gpus_per_actor
    if gpus is None:
        gpus = 1.0 if ray.cluster_resources().get("GPU", 0) else 0.0
    arguments = {"model": run.model, "column": "image", "device": "cuda" if gpus else "cpu", **how}
    return _Detectors(FocusPredictor, arguments, config.cpus_per_actor, gpus)


def _require_room(detectors: _Detectors, config: AnnotateConfig) -> None:
    """Check that the cluster has room for the fewest actors and one task.

    Raises:
        ConfigError: It has not.
    """
    have, actors = ray.cluster_resources(), config.actors[0]
    needs = {"CPU": actors * detectors.cpus + config.cpus_per_task, "GPU": actors * detectors.gpus}
    for kind, need in needs.items():
        if need > have.get(kind, 0):
            fewer = "lower actors" if config.endpoint else f"lower actors, or {kind.lower()}s_per_actor"
            raise ConfigError(
                f"actors: {actors} detectors and one decoder need {need:g} {kind}s, the cluster has "
                f"{have.get(kind, 0):g}: {fewer}"
            )


def _dataset(run: Run, groups: Sequence[Group], *, photos_per_task: int, drop_crashed: bool) -> ray.data.Dataset:
    config, detectors = run.config, _detectors(run)
    _require_room(detectors, config)
    deaths = deaths_allowed(drop_crashed=drop_crashed)
    tasks: dict[str, Any] = {"num_cpus": config.cpus_per_task, "ray_remote_args_fn": lambda: {"max_retries": deaths}}
    low, high = config.actors
    looked_at = _blocks(rows_of(groups), photos_per_task).map_batches(
        LookAtPhotos(run.source, config), batch_size=None, **tasks
    )
    focused = looked_at.map_batches(
        detectors.kind,
        fn_constructor_kwargs=detectors.arguments,
        batch_size=None,
        compute=ActorPoolStrategy(
            min_size=low, max_size=high, max_tasks_in_flight_per_actor=1 if drop_crashed else None
        ),
        num_cpus=detectors.cpus,
        num_gpus=detectors.gpus,
        ray_remote_args_fn=lambda: {"max_task_retries": deaths},
    )
    written = focused.map_batches(WriteResults(run.source, run.out, config, run.parameters), batch_size=None, **tasks)
    set_limits(written, drop_crashed=drop_crashed)
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
