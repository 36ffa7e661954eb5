"""What `dbd-ray query` and `dbd-ray cull` print: for people, for programs, and for xargs."""

import csv
import io
import json
import re
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dbd_ray.cli import main
from dbd_ray.library.schema import LIBRARY_SCHEMA, TABLE

HOSTILE = "\x1b[31mred\nline\u202egpj.jpg"


def _write(out: Path, *rows: dict[str, Any]) -> None:
    usual: dict[str, Any] = {"status": "ok", "focus_kind": "none_in_focus", "taken_at": datetime(2024, 5, 1, 12)}
    usual |= {"perceptual_hash": "0f" * 8, "uri": str(out / "photos")}
    full = [usual | row for row in rows]
    for row in full:
        row.setdefault("path_bytes", row["path"].encode())
    rows_of_all = [{name: row.get(name) for name in LIBRARY_SCHEMA.names} for row in full]
    pq.write_table(pa.Table.from_pylist(rows_of_all, LIBRARY_SCHEMA), out / TABLE)
    (out / "photos").mkdir(exist_ok=True)


def _run(*arguments: str | Path) -> int:
    with pytest.raises(SystemExit) as stopped:
        main([str(argument) for argument in arguments])
    return int(stopped.value.code or 0)


def test_query_prints_a_table_and_says_what_it_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _write(
        tmp_path,
        {"path": "a.jpg", "f_number": 1.8, "sharpness": 12345.678},
        {"path": "b.jpg", "f_number": 4.0},
        {"path": "c.jpg", "status": "error", "f_number": 1.2},
    )
    assert _run("query", tmp_path, "kind = 'none_in_focus' AND f_number < 2") == 0
    said = capsys.readouterr()
    assert said.out == (
        "path\tfocus_kind\tin_focus_fraction\tsharpness\tf_number\ttaken_at\n"
        "a.jpg\tnone_in_focus\t\t12346\t1.8\t2024-05-01 12:00:00\n"
    )
    assert said.err == "1 files without a result are not among the photos; name status to see them\n"


def test_formats_for_programs_keep_every_character_and_no_nan(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _write(tmp_path, {"path": HOSTILE, "path_bytes": b"\xff.jpg"}, {"path": 'b, "quoted".jpg'})
    assert _run("query", tmp_path, "--columns", "path,path_bytes", "--sort", "path desc", "--format", "csv") == 0
    read = list(csv.reader(io.StringIO(capsys.readouterr().out)))
    assert read[0] == ["path", "path_bytes"]
    assert read[1:] == [['b, "quoted".jpg', 'b, "quoted".jpg'], [HOSTILE, "\\xff.jpg"]]
    statement = "SELECT path, taken_at, 'nan'::double AS x, [1.5] AS list FROM photos ORDER BY path LIMIT 1"
    assert _run("query", tmp_path, statement, "--format", "json") == 0
    said = capsys.readouterr().out
    assert "\u202e" not in said
    assert json.loads(said) == [{"path": HOSTILE, "taken_at": "2024-05-01T12:00:00", "x": None, "list": [1.5]}]
    assert _run("query", tmp_path, "false", "--format", "json") == 0
    assert json.loads(capsys.readouterr().out) == []


@pytest.mark.parametrize("options", [[], ["--format", "csv"], ["--format", "json"], ["-0"]])
def test_hostile_names_steer_no_terminal(
    tmp_path: Path, options: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _write(tmp_path, {"path": HOSTILE})
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("COLUMNS", "300")
    for command in ("query", "cull"):
        assert _run(command, tmp_path, *options) == 0
        out = capsys.readouterr().out
        assert not re.search("[\x1b\u202e]", out)
        assert "red\nline" not in out


def test_print0_gives_the_bytes_of_the_file_system(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    _write(tmp_path, {"path": "\\xff\nx.jpg", "path_bytes": b"\xff\nx.jpg", "sharpness": 1.0}, {"path": "y.jpg"})
    whole = str(tmp_path / "photos").encode()
    for question in ("sharpness > 0", "SELECT path_bytes, uri FROM photos WHERE sharpness > 0"):
        assert _run("query", tmp_path, question, "-0") == 0
        assert capfdbinary.readouterr().out == whole + b"/\xff\nx.jpg\0"
    assert _run("query", tmp_path, "--print0", "--sort", "path desc", "--limit", "1") == 0
    assert capfdbinary.readouterr().out == whole + b"/y.jpg\0"


def test_photos_of_several_folders_are_told_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _write(tmp_path, {"path": "a.jpg"}, {"path": "a.jpg", "uri": "s3://other"})
    assert _run("query", tmp_path) == 0
    assert [line.split("\t")[0] for line in capsys.readouterr().out.splitlines()] == [
        "uri",
        f"{tmp_path}/photos",
        "s3://other",
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["query", "OUT", "fnumber < 2"], "error: query: there is no column fnumber; did you mean f_number? Columns: "),
        (["query", "OUT", "--sort", "sharpness", "desc"], 'error: sort: put the order into the quotes: --sort "COLUMN'),
        (["query", "OUT", "--format", "xml"], "error: format: 'xml' is unknown, choose one of table, csv, json"),
        (["query", "OUT", "-0", "--format", "csv"], "error: format: would have no effect with --print0"),
        (["query", "OUT", "-0", "--columns", "path"], "error: columns: would have no effect with --print0"),
        (["query", "OUT", "SELECT path FROM photos", "-0"], "error: print0: needs the columns uri and path_bytes"),
        (["query", "OUT", "SELECT 1", "--limit", "3"], "error: query: limit would have no effect on a whole statement"),
        (["query", "OUT/nowhere"], "library.parquet: 1 problem(s):\n  - no such file; give the folder that"),
        (["cull", "OUT/nowhere"], "library.parquet: 1 problem(s):\n  - no such file; give the folder that"),
        (["cull", "OUT", "--keep", "0"], "Invalid value for '--keep'"),
        (["cull", "OUT", "--distance", "65"], "Invalid value for '--distance'"),
        (["cull", "OUT", "--seconds", "inf"], "error: seconds: give a time"),
    ],
)
def test_mistakes_are_told_in_one_line(
    arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _write(tmp_path, {"path": "a.jpg"})
    assert _run(*(one.replace("OUT", str(tmp_path)) for one in arguments)) == 2
    assert said in capsys.readouterr().err


def test_cull_lists_bursts_and_touches_no_photo(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    _write(
        tmp_path,
        {"path": "a.jpg", "sharpness": 1.0},
        {"path": "b.jpg", "sharpness": 2.5},
        {"path": "c.jpg", "sharpness": float("nan")},
        {"path": "alone.jpg", "taken_at": None},
    )
    for name in ("a.jpg", "b.jpg", "c.jpg", "alone.jpg"):
        (tmp_path / "photos" / name).write_text(name)
    assert _run("cull", tmp_path) == 0
    said = capfd.readouterr()
    assert [line.split("\t")[:4] for line in said.out.splitlines()] == [
        ["burst", "keep", "path", "sharpness"],
        ["1", "keep", "b.jpg", "2.5"],
        ["1", "", "a.jpg", "1"],
        ["1", "", "c.jpg", "nan"],
    ]
    assert said.err == (
        "1 bursts of 3 photos, 2 beyond the best of each\n1 without a time were not compared (--without-time does)\n"
    )
    assert _run("cull", tmp_path, "--keep", "2", "--format", "json") == 0
    (burst,) = json.loads(capfd.readouterr().out)
    assert [(one["path"], one["keep"], one["sharpness"]) for one in burst] == [
        ("b.jpg", True, 2.5),
        ("a.jpg", True, 1.0),
        ("c.jpg", False, None),
    ]
    assert _run("cull", tmp_path, "--format", "csv") == 0
    assert capfd.readouterr().out.splitlines()[1] == "1,keep,b.jpg,2.5,,2024-05-01T12:00:00"
    assert _run("cull", tmp_path, "-0") == 0
    assert capfd.readouterr().out == "".join(f"{tmp_path}/photos/{name}\0" for name in ("a.jpg", "c.jpg"))
    assert sorted(path.read_text() for path in (tmp_path / "photos").iterdir()) == [
        "a.jpg",
        "alone.jpg",
        "b.jpg",
        "c.jpg",
    ]


def test_cull_lists_no_last_copy(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    _write(tmp_path, {"path": "best.jpg", "sharpness": 9.0}, {"path": "second.jpg", "sharpness": 1.0})
    (tmp_path / "photos" / "second.jpg").touch()  # the best one was removed since
    assert _run("cull", tmp_path, "--print0") == 0
    said = capfd.readouterr()
    assert said.out == ""
    assert said.err == "1 left out: gone since `dbd-ray annotate`, or links to others of their burst\n"


def test_masks_that_are_not_saved_are_refused_and_not_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "photos").mkdir()
    assert _run("annotate", tmp_path / "photos", tmp_path / "out", "--masks", "colmap") == 2
    assert "masks: has no effect, for no masks are saved: give --save masks as well" in capsys.readouterr().err
