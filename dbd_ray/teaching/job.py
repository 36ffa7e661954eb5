"""The teaching job: runs a depth teacher over photos, can be restarted, and loses or repeats no photo."""

import logging
from collections.abc import Callable

from dbd_ray.config import TeachConfig
from dbd_ray.errors import TeacherError
from dbd_ray.storage import as_uri
from dbd_ray.teachers import TeacherSpec
from dbd_ray.teaching.depth_report import Tally, TeachReport, publish_report
from dbd_ray.teaching.join import join_depths
from dbd_ray.teaching.pipeline import run_pipeline
from dbd_ray.teaching.setup import find_teacher
from dbd_ray.teaching.sources import open_source
from dbd_ray.teaching.store import Committed, Key, claim_folder, drop_superseded, read_committed, teacher_folder
from dbd_ray.tracking.runs import RunLog, attempt, tracking_uri


def teach(
    config: TeachConfig, *, on_photo: Callable[[int, int, int], None] = lambda done, total, failed: None
) -> TeachReport:
    """Give every photo its depth, and a prepared dataset its depth column.

    Photos that an earlier run committed, even a killed one, are not taught again. Each teacher, version of its weights
    and depth size has a folder of its own.

    Args:
        config: The teacher, the photos, and the actors.
        on_photo: Called with (done, total, failed) while photos are committed.

    Raises:
        ConfigError: The cluster cannot hold so many teachers, or MLflow cannot record.
        TeacherError: The teacher cannot be loaded, or no photo has a depth.
        DatasetError: There are no photos, the dataset or committed depths are damaged, or depths cannot be written.
    """
    source = open_source(config)
    spec = TeacherSpec.parse(config.teacher, absolute=True)  # actors run in folders of their own
    teacher = find_teacher(config, spec)
    folder = teacher_folder(source.depth_root, teacher.column, source.depth_size)
    before = read_committed(folder)
    asked = set(source.row_keys())
    tally = Tally(asked, _pending(asked, before, retry_errors=config.retry_errors), kept=source.kept)
    params = config.model_dump(mode="json") | {"teacher": spec.text}
    log = RunLog.open(tracking_uri(config.storage), f"teach {teacher.column}", params=params)
    log.describe("teach", f"depths of {spec.text} for {config.data or config.photos}")
    try:
        claim_folder(folder, teacher.column)
        after, stats = before, ""
        if tally.pending:
            after, stats = run_pipeline(config, source, teacher, folder, before, tally, on_photo)
        if config.retry_errors:
            after = drop_superseded(folder)
        _check_complete(tally, after)
    except BaseException:
        attempt(lambda: log.finish(failed=True), logging.getLogger(__name__).warning)
        raise
    report = publish_report(log, source, teacher.column, folder, after, tally, stats)
    if config.data:
        join_depths(as_uri(config.data), folder, after, asked, teacher.column)
    return report


def _pending(asked: set[Key], before: Committed, *, retry_errors: bool) -> set[Key]:
    return asked - before.files.keys() - (set() if retry_errors else before.failed.keys())


def _check_complete(tally: Tally, after: Committed) -> None:
    lost = tally.asked - after.files.keys() - after.failed.keys()
    if lost:
        raise TeacherError(f"{len(lost)} photos have no row (e.g. {min(lost)[0]}): run the same command again")
    failed = {key: why for key, why in after.failed.items() if key in tally.asked}
    if tally.asked and len(failed) == len(tally.asked):
        # more likely a folder that moved or a teacher that cannot work than photos that are all bad
        (id, _), (reason, detail) = min(failed.items())
        raise TeacherError(
            f"none of {len(failed)} photos has a depth; {id}: {detail} [{reason}]. The dataset is as it was; when "
            "the cause is mended, run the command again with --retry-errors"
        )
