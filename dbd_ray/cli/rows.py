"""Rows of an answer on stdout: a table for people, CSV or JSON for programs, paths for `xargs -0`."""

import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from math import isfinite
from typing import Any, Literal, get_args

from dbd_ray.cli.console import on_one_line, show_table, shown
from dbd_ray.errors import ConfigError
from dbd_ray.readable import csv_text

RowFormat = Literal["table", "csv", "json"]

# outside the texts of a JSON document there are none, and inside they may be escaped
_NOT_FOR_TERMINALS = re.compile(r"[\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def checked_format(name: str | None, *, print0: bool) -> RowFormat:
    """Check the option `--format`, which has no effect on paths.

    Raises:
        ConfigError: There is no such format, or it would have no effect.
    """
    if name is not None and print0:
        raise ConfigError("format: would have no effect with --print0")
    for known in get_args(RowFormat):
        if known == (name or "table"):
            return known
    raise ConfigError(f"format: {name!r} is unknown, choose one of {', '.join(get_args(RowFormat))}")


def write_rows(columns: Sequence[str], rows: Sequence[Sequence[Any]], form: RowFormat) -> None:
    """Write rows of Python values in one of the formats."""
    if form == "json":
        write_json([dict(zip(columns, row, strict=True)) for row in rows])
    elif form == "csv":
        _write_csv(columns, rows)
    else:
        show_table(columns, [[on_one_line(_cell(value)) for value in row] for row in rows])


def write_json(things: Sequence[Any]) -> None:
    """Write a JSON array, one element a line; NaN is null."""
    lines = ",\n".join(json.dumps(_json_value(thing), ensure_ascii=False, allow_nan=False) for thing in things)
    text = f"[\n{lines}\n]" if things else "[]"
    sys.stdout.write(_NOT_FOR_TERMINALS.sub(lambda found: f"\\u{ord(found[0]):04x}", text) + "\n")


def write_paths(paths: Iterable[bytes]) -> None:
    """Write paths as they are, a zero byte behind each; on a terminal what would steer it is escaped."""
    if sys.stdout.isatty():
        for path in paths:
            sys.stdout.write(on_one_line(shown(path.decode(errors="backslashreplace"))) + "\0")
        return
    sys.stdout.flush()
    sys.stdout.buffer.write(b"".join(path + b"\0" for path in paths))
    sys.stdout.buffer.flush()


def _write_csv(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    cells = [[_plain(value) for value in row] for row in (columns, *rows)]
    if sys.stdout.isatty():
        cells = [[on_one_line(shown(cell)) for cell in row] for row in cells]
    sys.stdout.write(csv_text(cells))


def _plain(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bytes):
        return value.decode(errors="backslashreplace")
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _cell(value: Any) -> str:
    if isinstance(value, float):  # four digits for people, whole numbers whole
        return f"{value:.0f}" if 1e4 <= abs(value) < 1e15 else f"{value:.4g}"
    return value.isoformat(" ") if isinstance(value, datetime) else _plain(value)


def _json_value(value: Any) -> Any:
    if isinstance(value, Decimal):
        value = float(value)
    if isinstance(value, float):
        return value if isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _json_value(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_json_value(one) for one in value]
    return value if value is None or isinstance(value, bool | int | str) else _plain(value)
