"""A run looks at what is new or changed, and at nothing else."""

from typing import Any

import pytest

from dbd_ray.library.parts import table_of
from dbd_ray.library.plan import Before, grouped, make_plan, may_be_equal
from dbd_ray.library.scan import Found

MODEL, PARAMETERS = "lite@1", "p"


def row(path: bytes, *, size: int = 5, mtime_ns: int = 7, **values: Any) -> dict[str, Any]:
    made: dict[str, Any] = {"path": path.decode(), "path_bytes": path, "uri": "/p", "size": size, "mtime_ns": mtime_ns}
    made |= {"content_hash": "h", "status": "ok", "focus_model": MODEL, "parameters": PARAMETERS}
    return made | values


def before(*rows: dict[str, Any], **options: bool) -> Before:
    return Before(table_of(rows), model=MODEL, parameters=PARAMETERS, **options)


@pytest.mark.parametrize(
    ("change", "stays"),
    [
        ({}, True),
        ({"size": 6}, False),
        ({"mtime_ns": 8}, False),
        ({"focus_model": "lite@2"}, False),
        ({"parameters": "q"}, False),
        ({"status": "error", "reason": "truncated", "focus_model": None}, True),
        ({"status": "error", "reason": "unreadable", "focus_model": None}, False),
        ({"status": "skipped", "reason": "no_photo", "focus_model": None}, False),
    ],
)
def test_a_row_stays_while_the_photo_the_model_and_the_settings_do(change: dict[str, Any], stays: bool) -> None:
    plan = make_plan([Found(b"a", 5, 7)], before(row(b"a", **change)))
    assert (plan.kept, len(plan.pending)) == (([0], 0) if stays else ([], 1))


def test_photos_that_failed_are_tried_again_if_wanted() -> None:
    failed = row(b"a", status="error", reason="truncated", focus_model=None)
    assert make_plan([Found(b"a", 5, 7)], before(failed, retry_errors=True)).pending


def test_a_photo_without_a_time_is_looked_at_again() -> None:
    assert make_plan([Found(b"a", 5, None)], before(row(b"a", mtime_ns=None))).pending  # type: ignore[arg-type]


def test_the_first_row_of_a_photo_counts() -> None:
    rows = before(row(b"a", size=9), row(b"a"))
    assert make_plan([Found(b"a", 5, 7)], rows).pending
    assert make_plan([Found(b"a", 9, 7)], rows).kept == [0]


def test_only_photos_of_a_size_that_another_has_are_hashed_before() -> None:
    photos = [Found(b"a", 1), Found(b"b", 2), Found(b"c", 2), Found(b"d", 3)]
    assert [found.path for found in may_be_equal(photos, {3})] == [b"b", b"c", b"d"]
    assert before(row(b"a", size=3)).sizes() == {3}


def test_photos_of_one_content_are_looked_at_once() -> None:
    photos = [Found(b"a"), Found(b"b"), Found(b"c"), Found(b"d")]
    groups = grouped(photos, {b"b": "same", b"d": "same"})
    assert [[found.path for found in group] for group in groups] == [[b"a"], [b"b", b"d"], [b"c"]]
