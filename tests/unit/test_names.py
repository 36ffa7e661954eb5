"""The page of names, and the names that tables, files and answers have."""

import json
import re
from collections import defaultdict
from pathlib import Path

import numpy as np
import pyarrow as pa

from dbd_ray.client import FocusAnswer, FocusError
from dbd_ray.datasets.prepared import SCHEMA
from dbd_ray.detection.columns import columns_of, failed_row, found_row
from dbd_ray.detection.marks import Origin, read_mark, with_mark
from dbd_ray.detection.overview import COLUMNS, FORMER_COLUMNS
from dbd_ray.library.query import OTHER_NAMES
from dbd_ray.library.schema import LIBRARY_SCHEMA
from dbd_ray.library.schema import with_new_names as with_new_columns
from dbd_ray.names import OUTPUT_COLUMNS
from dbd_ray.serving import schemas
from dbd_ray.summary import FORMER_NAMES, SharpArea, Summary, with_new_names
from dbd_ray.teaching.store import DEPTH_SCHEMA

PAGE = Path(__file__).resolve().parents[2] / "docs" / "names.md"
SUMMARY = Summary("partial", 0.5, SharpArea(0, 0, 4, 4, 2.0, 2.0), 0.9, "tiny", "0123456789abcdef0123")
ABOUT = {"photo": "a.jpg", "width": 4, "height": 4, **SUMMARY.as_dict()}
ORIGIN = Origin("/a.jpg", "f00d")


def _told() -> dict[str, set[str]]:
    told: dict[str, set[str]] = defaultdict(set)
    page = PAGE.read_text(encoding="utf-8").partition("## Former names")[0]
    for name, places in re.findall(r"^\| `(\w+)` \|.*\| ([^|]+) \|$", page, re.MULTILINE):
        for place in places.split(", "):
            told[place].add(name)
    return told


def _of_models(*models: type[schemas.BaseModel]) -> set[str]:
    return {name for model in models for name in model.model_fields} - {"summary", "answer"}


def test_the_page_names_what_tables_files_and_answers_hold() -> None:
    written = json.loads(with_mark(json.dumps(ABOUT).encode(), ORIGIN))
    answers = _of_models(schemas.FocusAnswer, schemas.SummaryAnswer, schemas.BatchResult, schemas.PhotoErrorAnswer)
    attributes = {*FocusAnswer.__dataclass_fields__, *Summary.__dataclass_fields__, *FocusError.__dataclass_fields__}
    assert _told() == {
        "CSV": set(COLUMNS),
        "JSON": written.keys() - FORMER_NAMES.keys(),
        "Parquet": set(LIBRARY_SCHEMA.names),
        "Ray Data": set(OUTPUT_COLUMNS),
        "endpoint": answers - FORMER_NAMES.keys(),
        "client": (attributes | {"focus_model"}) - {"summary"},
        "prepared": set(SCHEMA.names),
        "depths": set(DEPTH_SCHEMA.names),
    }


def test_the_table_of_the_endpoints_page_has_the_columns_of_predict() -> None:
    script = Path(schemas.__file__).parent / "web" / "results.js"
    (columns,) = re.findall(r"^const COLUMNS = (\[.*\]);$", script.read_text(encoding="utf-8"), re.MULTILINE)
    assert tuple(json.loads(columns)) == tuple(COLUMNS)


def test_former_names_have_the_same_values_and_are_on_the_page() -> None:
    page = PAGE.read_text(encoding="utf-8").partition("## Former names")[2]
    for old, new in {**FORMER_COLUMNS, **OTHER_NAMES}.items():
        assert re.search(rf"^\| `{old}`[^|]*\| `{new}` \|", page, re.MULTILINE), old
    for old, new in FORMER_NAMES.items():
        assert getattr(SUMMARY, old) == getattr(SUMMARY, new) == ABOUT[old] == ABOUT[new]


def test_results_and_answers_of_the_version_before_are_read() -> None:
    before = {name: value for name, value in ABOUT.items() if not name.startswith("focus_")}
    assert read_mark(with_mark(json.dumps(before).encode(), ORIGIN)) == ORIGIN
    before = {name: value for name, value in SUMMARY.as_dict().items() if not name.startswith("focus_")}
    assert with_new_names(before) == {n: v for n, v in SUMMARY.as_dict().items() if n in Summary.__dataclass_fields__}
    assert FocusAnswer.from_dict({"width": 4, "height": 4, "summary": before, "pictures": {}}).summary == SUMMARY
    assert with_new_columns(pa.table({"path": ["a"], "model": ["m"], "detail": ["d"]})).column_names == [
        "path",
        "focus_model",
        "message",
    ]


def test_no_error_is_null_and_of_the_type_of_text() -> None:
    errors = columns_of([found_row(SUMMARY, b""), found_row(SUMMARY, b"")])["error"]
    assert isinstance(errors, np.ndarray) and errors.tolist() == [None, None]
    assert pa.array(errors).type == pa.infer_type(errors) == pa.string()
    assert errors[0] is None and list(errors) == [None, None]
    assert columns_of([failed_row("cut [truncated]")])["error"].tolist() == ["cut [truncated]"]
