"""The teaching pipeline: names → pixels (CPU tasks) → depths (actors) → files, and its passes after a crash."""

import time
from collections.abc import Callable, Collection

import ray.data
from ray.data import ActorPoolStrategy

from dbd_ray.config import TeachConfig
from dbd_ray.ray_data import deaths_allowed, run_batches, set_limits
from dbd_ray.teaching.commit_depths import CommitDepths, commit_failures
from dbd_ray.teaching.decode_photos import DecodePhotos
from dbd_ray.teaching.depth_predictor import DepthPredictor
from dbd_ray.teaching.depth_report import Tally
from dbd_ray.teaching.setup import PlacedTeacher
from dbd_ray.teaching.sources import Source
from dbd_ray.teaching.store import ROWS_PER_FILE, Committed, Key, read_committed

CRASHED = "the process died each time that it looked at this photo: out of memory, or a fault in a decoder"


def depths_dataset(
    config: TeachConfig,
    source: Source,
    teacher: PlacedTeacher,
    folder: str,
    pending: Collection[Key],
    *,
    rows_per_task: int,
    drop_crashed: bool = False,
) -> ray.data.Dataset:
    """Build the pipeline; iterating over it runs it, and the rows that it yields are on storage.

    Args:
        config: Number of actors, their batches and their shares of the machines.
        source: The photos.
        teacher: The teacher that the actors load.
        folder: The teacher's folder of depths, see `store.teacher_folder`.
        pending: Keys of the photos to teach.
        rows_per_task: Photos that are read and decoded in one task, and lost together if it crashes.
        drop_crashed: Leave out blocks whose process dies, instead of ending.

    Returns:
        Rows of `commit_depths.DONE_SCHEMA`.
    """
    low, high = config.actors
    deaths = deaths_allowed(drop_crashed=drop_crashed)
    # blocks that wait for the same process are lost with it, and must not be blamed for its death
    in_flight = 1 if drop_crashed else None
    decode = DecodePhotos(teacher.input_size, source.depth_size, config.max_pixels)
    rows = source.dataset(pending, rows_per_task=rows_per_task)
    # on the CPU decoding would wait for the same cores, and pixels would travel for nothing
    in_tasks = config.decode_in == "tasks" or (config.decode_in == "auto" and teacher.gpus > 0)
    if in_tasks:
        rows = rows.map_batches(
            decode,
            batch_format="pyarrow",
            batch_size=None,
            num_cpus=config.cpus_per_decoder,
            ray_remote_args_fn=lambda: {"max_retries": deaths},
        )
    depths = rows.map_batches(
        DepthPredictor,
        fn_constructor_args=(teacher,),
        fn_constructor_kwargs={"decode": None if in_tasks else decode},
        batch_format="pyarrow",
        batch_size=min(config.batch_size, rows_per_task),
        compute=ActorPoolStrategy(min_size=low, max_size=high, max_tasks_in_flight_per_actor=in_flight),
        num_cpus=config.cpus_per_actor,
        num_gpus=teacher.gpus,
        ray_remote_args_fn=lambda: {"max_task_retries": deaths},
    )
    done = depths.map_batches(
        CommitDepths(folder, teacher.column),
        batch_format="pyarrow",
        batch_size=ROWS_PER_FILE,
        num_cpus=config.cpus_per_decoder,
        ray_remote_args_fn=lambda: {"max_retries": deaths},
    )
    set_limits(done, drop_crashed=drop_crashed, memory_gib=config.memory_limit_gib)
    return done


def run_pipeline(
    config: TeachConfig,
    source: Source,
    teacher: PlacedTeacher,
    folder: str,
    before: Committed,
    tally: Tally,
    on_photo: Callable[[int, int, int], None],
) -> tuple[Committed, str]:
    """Teach the pending photos.

    A photo that kills its process (in a decoder, or by its memory) is found in further passes: one over the
    blocks that are left, which leaves out those that crash again, and one over the photos of these, one by one. It gets
    a row with the reason "crashed".

    Args:
        config: As for `depths_dataset`.
        source: As for `depths_dataset`.
        teacher: As for `depths_dataset`.
        folder: As for `depths_dataset`.
        before: What the folder holds before.
        tally: Says which photos are pending; the photos that are done are counted in it.
        on_photo: Called with (done, total, failed) after each committed batch.

    Returns:
        What the folder holds afterwards, and the text of Ray Data's `Dataset.stats()` of the last pass.

    Raises:
        DbdRayError: The teacher or the storage failed.
    """
    started, committed, seen = time.perf_counter(), before, set[str]()
    passes = ((config.rows_per_task, False), (config.rows_per_task, True), (1, True))
    pending, stats = set(tally.pending), ""
    for rows_per_task, drop_crashed in passes:
        dataset = depths_dataset(
            config, source, teacher, folder, pending, rows_per_task=rows_per_task, drop_crashed=drop_crashed
        )
        for rows in run_batches(dataset, batch_format="pyarrow", drop_crashed=drop_crashed):
            tally.add(rows)
            on_photo(min(tally.done, len(tally.pending)), len(tally.pending), tally.failed.total())
            seen.update(rows["id"].to_pylist())
        stats = str(dataset.stats())
        # rows that were committed but not yet reported when a pass broke off are done as well
        committed = read_committed(folder)
        pending -= committed.files.keys() | (committed.failed.keys() - before.failed.keys())
        pending = {key for key in pending if key[0] not in seen}
        if not pending:
            break
    if pending:
        tally.add(commit_failures(folder, teacher.column, sorted(pending), reason="crashed", message=CRASHED))
        committed = read_committed(folder)
    tally.seconds = time.perf_counter() - started
    return committed, stats
