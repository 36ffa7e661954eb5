"""What questions find in a library, and what they cannot reach."""

import math
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dbd_ray.errors import ConfigError, DatasetError
from dbd_ray.library import query
from dbd_ray.library.query import COLUMNS, ask
from dbd_ray.library.schema import TABLE, VERSION_KEY
from dbd_ray.library.table import absolute_path, read_library

Library = Callable[..., pa.Table]


def _paths(table: pa.Table, question: str = "", **options: Any) -> list[str]:
    return [row[0] for row in ask(table, question, columns=["path"], **options).rows]


@pytest.fixture
def photos(library: Library) -> pa.Table:
    return library(
        {"path": "lost.jpg", "focus_kind": "none_in_focus", "f_number": 1.8, "sharpness": math.nan},
        {"path": "sharp.jpg", "focus_kind": "all_in_focus", "f_number": 8.0, "sharpness": 50.0},
        {"path": "it's; ä.jpg", "focus_kind": "none_in_focus", "f_number": None, "sharpness": 5.0},
        {"path": "broken.jpg", "status": "error", "reason": "truncated", "focus_kind": None, "f_number": 1.4},
    )


def test_the_example_of_the_help_finds_what_it_says(photos: pa.Table) -> None:
    for name in ("kind", "focus_kind", "KIND", '"kind"'):
        answer = ask(photos, f"{name} = 'none_in_focus' AND f_number < 2")
        assert answer.columns == COLUMNS
        assert [row[:2] for row in answer.rows] == [("lost.jpg", "none_in_focus")]


def test_null_meets_no_comparison_but_can_be_asked_for(photos: pa.Table) -> None:
    assert _paths(photos, "f_number < 2 OR f_number >= 2") == ["lost.jpg", "sharp.jpg"]
    assert _paths(photos, "f_number IS NULL") == ["it's; ä.jpg"]


def test_nan_is_no_large_number(photos: pa.Table) -> None:
    assert _paths(photos, "sharpness > 1") == ["it's; ä.jpg", "sharp.jpg"]
    assert _paths(photos, sort=["sharpness desc"]) == ["sharp.jpg", "it's; ä.jpg", "lost.jpg"]
    assert _paths(photos, sort=["Sharpness  DESC"], limit=1) == ["sharp.jpg"]
    assert ask(photos, "SELECT max(sharpness) FROM photos").rows == [(50.0,)]


def test_quotes_semicolons_and_comments_in_texts_are_no_syntax(photos: pa.Table) -> None:
    assert _paths(photos, "path = 'it''s; ä.jpg' -- the one with a quote") == ["it's; ä.jpg"]
    assert _paths(photos, "f_number > 7;") == ["sharp.jpg"]


def test_files_without_a_result_are_there_when_they_are_asked_for(photos: pa.Table) -> None:
    assert _paths(photos, "f_number < 1.5") == []
    assert ask(photos, "f_number < 1.5").left_out == 1
    assert _paths(photos, "f_number < 1.5 AND status != 'ok'") == ["broken.jpg"]
    assert _paths(photos, "photos.reason = 'truncated'") == ["broken.jpg"]
    assert _paths(photos, "path = 'status'") == []
    answer = ask(photos, "SELECT status, count(*) FROM photos GROUP BY status ORDER BY status")
    assert (answer.rows, answer.left_out) == ([("error", 1), ("ok", 3)], 0)
    assert ask(photos, "SELECT count(*) FROM photos").rows == [(3,)]


def test_columns_of_one_name_stay_apart(photos: pa.Table) -> None:
    assert ask(photos, "SELECT path, path, 1 AS path_2 FROM photos").columns == ("path", "path_2", "path_2_2")


def test_a_statement_may_begin_with_a_comment(photos: pa.Table) -> None:
    assert ask(photos, "-- how many\n SELECT count(*) FROM photos").rows == [(3,)]


def test_a_table_of_no_rows_can_be_asked(library: Library) -> None:
    assert ask(library(), "kind = 'partial'").rows == []


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ("fnumber < 2", r"no column fnumber; did you mean f_number\? Columns: path, .*, kind$"),
        ("none_in_focus = kind", "no column none_in_focus; a text stands in single quotes: 'none_in_focus'"),
        ('kind = "all sharp"', "no column all sharp; a text stands in single quotes: 'all sharp'"),
        ("SELECT photos.fnumber FROM photos", "no column fnumber; did you mean f_number"),
        ("f_number <", "the condition ends too early"),
        ("kind = 'partial", "unterminated"),
        ("f_number < 'wide'", "Could not convert string 'wide'"),
        ("sharpnes(path)", "sharpnes does not exist"),
        ("SELECT * FROM photo", "Table with name photo does not exist! The photos are in `photos`"),
        ("f_number < ?", "parameter"),
        ("true) ; DROP TABLE files; SELECT (1", "one condition or one SELECT"),
        ("\udcff = path", "no UTF-8 text"),
    ],
)
def test_a_wrong_question_is_one_clear_line(photos: pa.Table, question: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as failed:
        ask(photos, question)
    assert "\n" not in str(failed.value)


def test_a_question_that_needs_much_memory_ends_alone(photos: pa.Table, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(query._LOCKED, "memory_limit", "100MB")
    with pytest.raises(ConfigError, match="needs more than 2GB of memory; ask for fewer"):
        ask(photos, "SELECT list(a.range || 'x') FROM range(30000000) a")


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Let SIGINT interrupt this process; one that a shell started in its background ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


# before it has begun, too, and while the table is loaded
@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize("after_s", [0.001, 0.002, 0.003, 0.005, 0.007, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1, 0.5])
def test_an_endless_question_can_be_interrupted(photos: pa.Table, after_s: float) -> None:
    timer = threading.Timer(after_s, os.kill, (os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        timer.start()
        ask(photos, "SELECT count(*) FROM range(10000000) a, range(10000000) b WHERE a.range * b.range % 7 = 3")


@pytest.mark.parametrize(
    "question",
    [
        "path IN (SELECT content FROM read_text('{secret}'))",
        "SELECT * FROM read_csv('{secret}')",
        "SELECT * FROM '{secret}'",
        "SELECT * FROM glob('{folder}/*')",
        "SELECT * FROM read_parquet('https://example.org/x.parquet')",
        "SELECT * FROM duckdb_secrets()",
        "SELECT getenv('HOME')",
        "SELECT * FROM table",
        "SELECT * FROM arrow_table",
        "SELECT * FROM question",
        "WITH x AS (SELECT 1) SELECT 1; COPY photos TO '{folder}/out.csv'",
        "true); COPY photos TO '{folder}/out.csv'; SELECT (1",
        "true); ATTACH '{folder}/new.db'; SELECT (1",
        "true); INSTALL httpfs; SELECT (1",
        "true); SET enable_external_access = true; SELECT (1",
    ],
)
def test_a_question_reaches_nothing_but_the_table(photos: pa.Table, question: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_text("hidden")
    with pytest.raises(ConfigError) as failed:
        ask(photos, question.format(secret=secret, folder=tmp_path))
    assert "hidden" not in str(failed.value)
    assert list(tmp_path.iterdir()) == [secret]


@pytest.mark.parametrize("statement", ["COPY photos TO 'x'", "SET threads = 1", "LOAD httpfs", "ATTACH 'x.db'"])
def test_other_statements_are_no_conditions(photos: pa.Table, statement: str) -> None:
    with pytest.raises(ConfigError):
        ask(photos, statement)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"columns": ["path", "iso; DROP"]}, "no column iso; DROP"),
        ({"sort": ["takenat"]}, "did you mean taken_at"),
        ({"sort": ["iso down"]}, "'iso down' is no COLUMN and no 'COLUMN desc'"),
    ],
)
def test_columns_and_order_are_names_alone(photos: pa.Table, options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        ask(photos, **options)
    with pytest.raises(ConfigError, match="would have no effect on a whole statement"):
        ask(photos, "SELECT 1", **options)


def test_a_table_that_cannot_be_used_is_told_by_its_reason(photos: pa.Table, tmp_path: Path) -> None:
    file = tmp_path / TABLE
    with pytest.raises(DatasetError, match="no such file; give the folder that `dbd-ray annotate` wrote"):
        read_library(tmp_path)
    pq.write_table(photos, file)
    assert read_library(str(tmp_path))["path"].equals(photos["path"])
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(DatasetError, match="is damaged, or no Parquet; run `dbd-ray annotate` again"):
        read_library(tmp_path)
    pq.write_table(photos.replace_schema_metadata({VERSION_KEY: "3"}), file)
    with pytest.raises(DatasetError, match="a newer version of dbd_ray wrote it"):
        read_library(tmp_path)
    pq.write_table(photos.drop_columns(["sharpness"]), file)
    with pytest.raises(DatasetError, match="no sharpness; run"):
        read_library(tmp_path)
    pq.write_table(photos.set_column(0, "path", pa.array([[1]] * 4)), file)
    with pytest.raises(DatasetError, match="another version's columns"):
        read_library(tmp_path)


def test_paths_are_the_bytes_of_the_file_system() -> None:
    assert absolute_path("/photos", b"\xff\n/a.jpg") == b"/photos/\xff\n/a.jpg"
    assert absolute_path("/", b"a.jpg") == b"/a.jpg"
    assert absolute_path("s3://bucket/p", b"a.jpg") == b"s3://bucket/p/a.jpg"


@pytest.mark.parametrize("question", ["SHOW TABLES", " show all tables;", "DESCRIBE", "describe ; ", "SHOW photos"])
def test_a_question_for_the_tables_is_told_what_to_ask_instead(photos: pa.Table, question: str) -> None:
    with pytest.raises(ConfigError, match="there is one table, `photos`: ask 'DESCRIBE photos'"):
        ask(photos, question)
