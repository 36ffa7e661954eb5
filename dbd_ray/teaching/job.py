"""Running a depth teacher over photos with Ray Data: restartable, and nothing is lost or taught twice."""

import time
from collections.abc import Callable
from typing import NamedTuple

import ray
import ray.data
from ray.data import ActorPoolStrategy, ExecutionResources

from dbd_ray.config import TeachConfig
from dbd_ray.datasets.prepared import as_uri
from dbd_ray.errors import ConfigError, DbdRayError, TeacherError
from dbd_ray.teachers import load_teacher, resolve_spec
from dbd_ray.teaching.committer import CommitDepths
from dbd_ray.teaching.decode import DecodePhotos
from dbd_ray.teaching.join import join_depths
from dbd_ray.teaching.predictor import DepthPredictor
from dbd_ray.teaching.sources import Source, open_source
from dbd_ray.teaching.store import ROWS_PER_FILE, Committed, Key, read_committed, teacher_folder
from dbd_ray.teaching.summary import Tally, TeachReport, publish_report

MEMORY_SHARE = 0.5  # of the object store; beyond it Ray spills to disk


class TeacherInfo(NamedTuple):
    """A teacher as its actors will load it."""

    key: str  # name@fingerprint
    column: str  # what `depth_teacher` says
    input_size: tuple[int, int] | None


def teach(config: TeachConfig, *, on_photo: Callable[[int, int], None] = lambda done, total: None) -> TeachReport:
    """Give every photo its depth, and a prepared dataset its depth column.

    What an earlier, even a killed run committed is not done again; another teacher, other weights or another depth
    size are other work, in a folder of their own.

    Args:
        config: What to teach with which teacher.
        on_photo: Called with (done, total) while photos are committed.

    Raises:
        ConfigError: The cluster cannot hold so many teachers.
        TeacherError: The teacher cannot be loaded, or fails on everything.
        DatasetError: There are no photos, or what lies there is damaged.
    """
    config = config.model_copy(update={"teacher": resolve_spec(config.teacher)})
    gpus = _gpus_per_actor(config)
    _check_room(config, gpus)
    source = open_source(config)
    teacher = inspect_teacher(config, gpus)
    folder = teacher_folder(source.depth_root, teacher.column, source.depth_size)
    before = read_committed(folder)
    pending = _pending(source, before, retry_errors=config.retry_errors)
    tally = Tally(total=len(source.rows), pending=len(pending), kept=source.kept)
    stats = ""
    if pending:
        stats = _run(config, source, teacher, folder, gpus, pending, tally, on_photo)
    after = read_committed(folder)
    _check_complete(source, after)
    report = publish_report(config, source, teacher.column, folder, after, tally, stats)
    if config.data:
        join_depths(as_uri(config.data), folder, after, source.row_keys(), teacher.column)
    return report


def inspect_teacher(config: TeachConfig, gpus: float) -> TeacherInfo:
    """Load the teacher once where its actors will run, so that what is wrong with it shows before anything starts.

    Raises:
        TeacherError: It cannot be loaded.
    """

    def look() -> TeacherInfo:
        teacher = load_teacher(config.teacher, precision=config.precision)
        # a small picture stretched is another preprocessing than the photo itself
        seen = "+prepared" if config.pictures == "prepared" else ""
        return TeacherInfo(teacher.key, teacher.key + seen, teacher.input_size)

    try:
        task = ray.remote(look).options(num_cpus=config.cpus_per_actor, num_gpus=gpus, max_retries=0)
        found: TeacherInfo = ray.get(task.remote())
    except ray.exceptions.RayError as error:
        raise _ours(error) or TeacherError(f"{config.teacher}: loading it ended in {error}") from None
    return found


def depths_dataset(
    config: TeachConfig, source: Source, teacher: TeacherInfo, folder: str, gpus: float, pending: set[Key]
) -> ray.data.Dataset:
    """Build the pipeline; iterating it runs it, and every row that it yields is on storage (`DONE_SCHEMA`)."""
    low, high = config.actors
    decode = DecodePhotos(teacher.input_size, source.depth_size, config.max_pixels)
    rows = source.dataset(pending, rows_per_task=config.rows_per_task)
    pixels = rows.map_batches(decode, batch_format="pyarrow", batch_size=None, num_cpus=config.cpus_per_decoder)
    depths = pixels.map_batches(
        DepthPredictor,
        fn_constructor_args=(config.teacher,),
        fn_constructor_kwargs={"key": teacher.key, "precision": config.precision},
        batch_format="pyarrow",
        batch_size=config.batch_size,
        compute=ActorPoolStrategy(min_size=low, max_size=high),
        num_cpus=config.cpus_per_actor,
        num_gpus=gpus,
    )
    done = depths.map_batches(
        CommitDepths(folder, teacher.column),
        batch_format="pyarrow",
        batch_size=ROWS_PER_FILE,
        num_cpus=config.cpus_per_decoder,
    )
    context = done.context
    context.actor_init_retry_on_errors, context.max_consecutive_actor_init_deaths = False, 3
    limit = config.memory_limit_gib
    store = limit * 2**30 if limit else MEMORY_SHARE * ray.cluster_resources().get("object_store_memory", 0)
    context.execution_options.resource_limits = ExecutionResources(object_store_memory=store)
    return done


def _run(
    config: TeachConfig,
    source: Source,
    teacher: TeacherInfo,
    folder: str,
    gpus: float,
    pending: set[Key],
    tally: Tally,
    on_photo: Callable[[int, int], None],
) -> str:
    dataset = depths_dataset(config, source, teacher, folder, gpus, pending)
    started = time.perf_counter()
    try:
        for done in dataset.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
            tally.add(done)
            on_photo(min(tally.done, len(pending)), len(pending))
    except (ray.exceptions.RayError, ray.data.exceptions.UserCodeException) as error:
        raise _ours(error) or error from None
    tally.seconds = time.perf_counter() - started
    return str(dataset.stats())


def _pending(source: Source, before: Committed, *, retry_errors: bool) -> set[Key]:
    done = before.files.keys() if retry_errors else before.files.keys() | before.failed.keys()
    return set(source.row_keys()) - done


def _check_complete(source: Source, after: Committed) -> None:
    lost = set(source.row_keys()) - after.files.keys() - after.failed.keys()
    if lost:
        raise TeacherError(f"{len(lost)} photos have no row (e.g. {min(lost)[0]}): run the same command again")


def _gpus_per_actor(config: TeachConfig) -> float:
    if config.gpus_per_actor is not None:
        return config.gpus_per_actor
    return 1.0 if ray.cluster_resources().get("GPU", 0) else 0.0


def _check_room(config: TeachConfig, gpus: float) -> None:
    low, _ = config.actors
    have = ray.cluster_resources()
    needs = {"CPU": low * config.cpus_per_actor + config.cpus_per_decoder, "GPU": low * gpus}
    for kind, need in needs.items():
        if need > have.get(kind, 0):
            raise ConfigError(
                f"actors: {low} teachers and one decoder need {need:g} {kind}s, the cluster has {have.get(kind, 0):g}: "
                f"lower actors, {kind.lower()}s_per_actor or cpus_per_decoder, or add nodes first"
            )


def _ours(error: BaseException | None) -> DbdRayError | None:
    # Ray wraps what a task raised, sometimes more than once
    while error is not None and not isinstance(error, DbdRayError):
        error = getattr(error, "cause", None) or error.__cause__
    return error
