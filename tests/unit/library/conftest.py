"""Tables of photo libraries, made from what matters to a test."""

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest

from dbd_ray.library.schema import LIBRARY_SCHEMA


def _table(*rows: dict[str, Any]) -> pa.Table:
    usual = {"uri": "/photos", "status": "ok", "focus_kind": "partial", "camera": "A"}
    full = [usual | {"path": f"{number}.jpg"} | row for number, row in enumerate(rows)]
    for row in full:
        row.setdefault("path_bytes", row["path"].encode())
    return pa.Table.from_pylist(
        [{name: row.get(name) for name in LIBRARY_SCHEMA.names} for row in full], LIBRARY_SCHEMA
    )


@pytest.fixture
def library() -> Callable[..., pa.Table]:
    """Table of one row for each mapping, whose other columns are usual ones or null."""
    return _table
