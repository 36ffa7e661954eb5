"""Which photos make a burst, which of them is the best, and what is never offered for rejection."""

import math
import os
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from dbd_ray.library.cull import beyond_best, cull_page, several_shots
from dbd_ray.library.schema import LIBRARY_SCHEMA
from dbd_ray.library.table import only_files_of_their_own

Library = Callable[..., pa.Table]
NOON = datetime(2024, 10, 27, 12)
LOOK, OTHER = 0x0F0F_3C3C_5A5A_9669, 0xF0F0_C3C3_A5A5_1234


def _shot(second: float | None, look: int = LOOK, **more: Any) -> dict[str, Any]:
    taken_at = None if second is None else NOON + timedelta(seconds=second)
    return {"taken_at": taken_at, "perceptual_hash": f"{look:016x}", **more}


def _differing(bits: int) -> int:
    return LOOK ^ ((1 << bits) - 1)


def test_a_burst_is_what_one_camera_took_in_a_moment_and_looks_alike(library: Library) -> None:
    table = library(
        _shot(0, sharpness=1.0),
        _shot(2.9, sharpness=3.0),
        _shot(5.9, sharpness=2.0),
        _shot(9, sharpness=9.0),
        _shot(1, OTHER),
        _shot(1, camera="B"),
    )
    assert cull_page(table) == [[1, 2, 0]]
    assert cull_page(table, seconds=3.1) == [[3, 1, 2, 0]]
    assert cull_page(table, seconds=1) == []


def test_moments_are_not_cut_by_the_clock(library: Library) -> None:
    # 13:14:05.945 and 13:14:06.328 lie on two sides of a multiple of three seconds
    assert cull_page(library(_shot(5.945), _shot(6.328)), seconds=0.5) == [[0, 1]]
    midnight = 12 * 3600
    assert cull_page(library(_shot(midnight - 1), _shot(midnight + 1))) == [[0, 1]]


def test_a_clock_of_whole_seconds_is_enough(library: Library) -> None:
    assert cull_page(library(_shot(7), _shot(7), _shot(8)), seconds=0) == [[0, 1]]


def test_the_hour_that_a_clock_repeats_mixes_no_bursts(library: Library) -> None:
    table = library(_shot(0), _shot(0.5, OTHER), _shot(1), _shot(1.5, OTHER))
    assert cull_page(table) == [[0, 2], [1, 3]]


def test_a_clock_that_stands_still_makes_no_burst_of_what_looks_different(library: Library) -> None:
    generator = np.random.default_rng(0)
    looks = generator.integers(1, 2**63, 300, dtype=np.uint64)
    assert cull_page(library(*(_shot(0, int(look)) for look in looks)), distance=4) == []


def test_the_distance_counts_bits(library: Library) -> None:
    table = library(_shot(0), _shot(1, _differing(10)), _shot(10), _shot(11, _differing(11)))
    assert cull_page(table) == [[0, 1]]
    assert cull_page(table, distance=11) == [[0, 1], [2, 3]]
    assert cull_page(library(_shot(0), _shot(1, LOOK ^ (2**64 - 1))), distance=64) == [[0, 1]]


def test_the_best_has_the_sharpest_subject_then_the_larger_sharp_area_then_the_first_name(library: Library) -> None:
    table = library(
        _shot(0, sharpness=None),
        _shot(0, sharpness=math.nan),
        _shot(0, sharpness=2.0, in_focus_fraction=0.1),
        _shot(0, sharpness=2.0, in_focus_fraction=0.4),
        _shot(0, sharpness=7.0, path="z.jpg"),
        _shot(0, sharpness=7.0, path="a.jpg"),
    )
    assert cull_page(table) == [[5, 4, 3, 2, 0, 1]]
    assert beyond_best(table, [[5, 4, 3, 2, 0, 1]], keep=4) == [0, 1]
    assert beyond_best(table, [[5, 4, 3, 2, 0, 1]], keep=9) == []


def test_photos_without_a_time_are_compared_when_asked(library: Library) -> None:
    table = library(_shot(None), _shot(None, _differing(8), camera=None), _shot(0))
    assert cull_page(table) == []
    assert cull_page(table, without_time=True) == [[0, 1]]


def test_looks_alone_make_no_chains_and_no_burst_of_flat_pictures(library: Library) -> None:
    chain = library(_shot(None, sharpness=3.0), _shot(None, _differing(8)), _shot(None, _differing(16)))
    assert cull_page(chain, without_time=True) == [[0, 1]]
    assert cull_page(library(_shot(None, 0), _shot(None, 0), _shot(None, 2**64 - 1)), without_time=True) == []


def test_the_same_content_is_one_burst_wherever_and_whenever(library: Library) -> None:
    table = library(
        _shot(0, content_hash="1"),
        {"content_hash": "1", "camera": None, "path": "copies/0.jpg"},
        _shot(500, OTHER, content_hash=None),
        {"content_hash": None},
        {"content_hash": "1", "status": "skipped"},
    )
    assert cull_page(table) == [[0, 1]]


def test_damaged_hashes_and_failed_photos_are_not_compared(library: Library) -> None:
    damaged = {"taken_at": NOON, "perceptual_hash": "xyz"}
    failed = _shot(0, status="error")
    assert cull_page(library(_shot(0), damaged, damaged, failed, {"taken_at": NOON})) == []


def test_a_raw_file_and_its_jpeg_stay_together(library: Library) -> None:
    pair = [_shot(0, path="IMG_1.CR3", sharpness=1.0), _shot(0, path="IMG_1.JPG", sharpness=4.0)]
    assert cull_page(library(*pair)) == []
    table = library(*pair, _shot(1, path="IMG_2.JPG", sharpness=3.0), _shot(1, path="IMG_2.CR3", sharpness=2.0))
    bursts = cull_page(table)
    assert bursts == [[1, 0, 2, 3]]
    assert beyond_best(table, bursts) == [2, 3]


def test_one_file_below_two_scanned_folders_is_no_duplicate_of_itself(library: Library) -> None:
    twice = library(
        _shot(0, uri="/p", path="a/b.jpg", content_hash="1"), _shot(0, uri="/p/a", path="b.jpg", content_hash="1")
    )
    assert cull_page(twice) == []


def test_no_photo_is_listed_whose_better_one_is_gone_or_is_a_link_to_it(library: Library, tmp_path: Path) -> None:
    for name in ("b.jpg", "c.jpg"):
        (tmp_path / name).touch()
    (tmp_path / "a.jpg").symlink_to(tmp_path / "b.jpg")
    names = ("gone.jpg", "a.jpg", "b.jpg", "c.jpg")
    table = library(*(_shot(0, uri=str(tmp_path), path=name, content_hash="1") for name in names))
    there, left_out = only_files_of_their_own(table, [[0, 1, 2, 3]])
    assert (there, left_out) == ([[1, 3]], 2)
    assert os.path.realpath(tmp_path / "a.jpg") == str(tmp_path / "b.jpg")
    remote = library(_shot(0, uri="s3://x"), _shot(0, uri="s3://x"))
    assert only_files_of_their_own(remote, [[0, 1]]) == ([[0, 1]], 0)


def test_hard_links_of_one_file_are_one_photo(library: Library, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    (tmp_path / "b.jpg").hardlink_to(tmp_path / "a.jpg")
    names = ("a.jpg", "b.jpg", "gone.jpg")
    table = library(*(_shot(0, uri=str(tmp_path), path=name, content_hash="1") for name in names))
    assert only_files_of_their_own(table, [[0, 1, 2]], keep_gone=True) == ([[0, 2]], 1)
    assert several_shots(table, only_files_of_their_own(table, [[0, 1], [0, 2]], keep_gone=True)[0]) == [[0, 2]]


def test_an_empty_library_has_no_bursts(library: Library) -> None:
    assert cull_page(library(), without_time=True) == []


@pytest.mark.parametrize("seconds_apart", [0.0, 1.0, 600.0], ids=["one time", "one a second", "rare"])
def test_a_hundred_thousand_photos_take_seconds(seconds_apart: float) -> None:
    count = 100_000
    generator = np.random.default_rng(1)
    looks = generator.integers(0, 2**63, count, dtype=np.uint64)
    columns: dict[str, Any] = {name: [None] * count for name in LIBRARY_SCHEMA.names}
    names = [f"{number:06}.jpg" for number in range(count)]
    columns |= {"path": names, "path_bytes": [name.encode() for name in names], "uri": ["/photos"] * count}
    columns |= {"status": ["ok"] * count, "perceptual_hash": [f"{look:016x}" for look in looks]}
    columns |= {"taken_at": [NOON + timedelta(seconds=seconds_apart * number) for number in range(count)]}
    table = pa.table(columns, schema=LIBRARY_SCHEMA)
    started = time.perf_counter()
    cull_page(table)
    assert time.perf_counter() - started < 10


def test_a_raw_file_without_a_result_goes_where_its_jpeg_goes(library: Library) -> None:
    raw: dict[str, Any] = {"status": "skipped", "reason": "pair", "focus_kind": None}
    table = library(
        _shot(0, sharpness=1.0, path="1.JPG"),
        _shot(1, sharpness=5.0, path="2.JPG"),
        {"path": "1.cr3", **raw},
        {"path": "2.CR3", **raw, "status": "error", "reason": "undecodable"},
        {"path": "1.xmp", **raw, "reason": "sidecar"},
    )
    bursts = cull_page(table)
    assert [[table["path"][row].as_py() for row in burst] for burst in bursts] == [["2.JPG", "2.CR3", "1.JPG", "1.cr3"]]
    assert [table["path"][row].as_py() for row in beyond_best(table, bursts)] == ["1.JPG", "1.cr3"]


def test_raw_and_jpeg_that_look_different_are_one_shot(library: Library) -> None:
    table = library(
        _shot(0, LOOK, sharpness=1.0, path="1.JPG"),
        _shot(0, OTHER, sharpness=9.0, path="1.CR3"),
        _shot(1, LOOK, sharpness=5.0, path="2.jpg"),
        _shot(1, OTHER, sharpness=2.0, path="2.CR3"),
    )
    (burst,) = cull_page(table)
    assert [table["path"][row].as_py() for row in burst] == ["1.CR3", "1.JPG", "2.jpg", "2.CR3"]
