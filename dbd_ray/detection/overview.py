"""The overview of a run of `dbd-ray predict`: a table and a page of all files that it was given."""

import base64
import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, get_args
from urllib.parse import quote

from dbd_ray.detection.files import Prediction
from dbd_ray.detection.marks import digest
from dbd_ray.errors import DbdRayError
from dbd_ray.readable import csv_text, readable
from dbd_ray.storage import replace_bytes
from dbd_ray.summary import FORMER_NAMES, Kind
from dbd_ray.templates import open_templates

TABLE, PAGE = "index.csv", "index.html"
MOST_SKIPPED = 200  # on the page; the table has them all

COLUMNS = ("path", "status", "focus_kind", "in_focus_fraction", "focus_confidence", "mask_fraction", "message")
"""Columns of the table; behind them stand `FORMER_COLUMNS` with the same values."""

FORMER_COLUMNS: Mapping[str, str] = MappingProxyType({**FORMER_NAMES, "detail": "message"})
"""Columns of today by their names in the version before."""

_KINDS = get_args(Kind)
_MARK = re.compile(rb"<!-- dbd-ray predict (\{.*\}) -->\n")
_DOCTYPE = b"<!doctype html>\n"
_LONGEST_NAME = 120


def write_overview(
    predictions: Sequence[Prediction], passed_over: Mapping[Path, str], out: Path, *, force: bool = False
) -> list[str]:
    """Write `index.csv` and `index.html`, sorted by what was found, over those of an earlier run alone.

    Args:
        predictions: Those of `files.predict_files`.
        passed_over: Files that were not looked at, with the reasons.
        out: Folder of the results.
        force: Replace files of these names that are of others, or were changed, too.

    Returns:
        What was not written, and what to do; empty where both were.

    Raises:
        DbdRayError: The folder cannot be written.
    """
    rows = sorted(predictions, key=_place)
    try:
        mark = {"tables": []} if force else _read_mark(out / PAGE)
        if mark is None:  # which would say whose the table is
            return [_in_the_way(out / PAGE)]
        earlier = _content(out / TABLE)
        writes_table = force or earlier is None or digest(earlier) in mark["tables"]
        table, page = _table(rows, passed_over), _page(rows, passed_over, out)
        # both tables, for a crash may come between page and table
        tables = [digest(table), digest(earlier or b"")] if writes_table else []
        text = json.dumps({"page": digest(page), "tables": tables}).encode()
        marked = _DOCTYPE + b"<!-- dbd-ray predict " + text + b" -->\n" + page.removeprefix(_DOCTYPE)
        replace_bytes(out / PAGE, marked)
        if not writes_table:
            return [_in_the_way(out / TABLE)]
        replace_bytes(out / TABLE, table)
    except OSError as error:
        raise DbdRayError(f"{out}: the overview cannot be written ({error})") from error
    return []


def counts_by_kind(predictions: Sequence[Prediction]) -> dict[str, int]:
    """Count photos by kind, and those that failed as `failed`; what is not there is left out."""
    kinds = [one.summary.focus_kind if one.summary else "failed" for one in predictions]
    return {kind: kinds.count(kind) for kind in (*_KINDS, "failed") if kind in kinds}


def _in_the_way(file: Path) -> str:
    return (
        f"{file} is there already, and no unchanged overview: it stays; choose another --out, or replace it (--force)"
    )


def _place(one: Prediction) -> tuple[Any, ...]:
    if one.summary is None:
        return (len(_KINDS), 0.0, str(one.photo))
    return (_KINDS.index(one.summary.focus_kind), -one.summary.in_focus_fraction, str(one.photo))


def _content(file: Path) -> bytes | None:
    """Read a file; None where there is none, and empty where it is something else."""
    if not os.path.lexists(file):
        return None
    return file.read_bytes() if file.is_file() else b""


def _read_mark(page: Path) -> dict[str, Any] | None:
    """Read whose tables are an earlier page's; None where another's page is there, or one that was changed."""
    content = _content(page)
    if content is None:
        return {"tables": []}
    found = _MARK.search(content)
    try:
        mark: dict[str, Any] = json.loads(found[1]) if found else {}
        whole = found is not None and mark["page"] == digest(content.replace(found[0], b"", 1))
        return mark if whole and isinstance(mark["tables"], list) else None
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _table(rows: Sequence[Prediction], passed_over: Mapping[Path, str]) -> bytes:
    lines: list[dict[str, object]] = []
    for one in rows:
        line: dict[str, object] = {"path": _path(one.photo), "status": "error", "message": one.error}
        if one.summary:
            share, confidence = round(one.summary.in_focus_fraction, 4), round(one.summary.focus_confidence, 4)
            line |= {"status": "ok", "focus_kind": one.summary.focus_kind}
            line |= {"in_focus_fraction": share, "focus_confidence": confidence}
        if one.mask_fraction is not None:
            line["mask_fraction"] = round(one.mask_fraction, 4)
        lines.append(line)
    for path, why in passed_over.items():
        lines.append({"path": _path(path), "status": "skipped", "message": why})
    values = (*COLUMNS, *FORMER_COLUMNS.values())
    cells = [["" if (value := line.get(name)) is None else value for name in values] for line in lines]
    return csv_text([(*COLUMNS, *FORMER_COLUMNS), *cells]).encode("utf-8", "backslashreplace")


def _path(path: Path) -> str:
    # absolute, so that no name can begin a formula of a spreadsheet; bytes that are no UTF-8 as \xNN
    return os.fsencode(path.absolute()).decode(errors="backslashreplace")


def _page(rows: Sequence[Prediction], passed_over: Mapping[Path, str], out: Path) -> bytes:
    environment = open_templates("dbd_ray.detection")
    shown = list(passed_over.items())[:MOST_SKIPPED]
    folders = [one.photo.absolute().parent for one in rows]
    common = os.path.commonpath(folders) if folders else ""
    text = environment.get_template("overview.html.j2").render(
        kinds=[
            (kind, [_shown(one, out, common) for one in rows if one.summary and one.summary.focus_kind == kind])
            for kind in _KINDS
        ],
        failed=[(_name(one.photo), readable(one.error)) for one in rows if one.error],
        skipped=[(_name(path), readable(why)) for path, why in shown],
        more_skipped=len(passed_over) - len(shown),
        table=TABLE,
    )
    return text.encode("utf-8", "backslashreplace")


def _shown(one: Prediction, out: Path, common: str) -> dict[str, Any]:
    assert one.summary
    picture = next((file for file in one.files if file.suffix == ".jpg"), one.files[0])
    # "./", for a name may look like the scheme of an address
    link = "./" + quote(os.fsencode(os.path.relpath(picture, out)))
    return {
        "name": readable(os.path.relpath(one.photo.absolute(), common), _LONGEST_NAME),
        "path": _name(one.photo),
        "link": link,
        "preview": base64.b64encode(one.preview).decode() if one.preview else "",
        "share": f"{one.summary.in_focus_fraction:.1%}",
        "confidence": f"{one.summary.focus_confidence:.2f}",
        "mask": one.mask_words(),
    }


def _name(path: Path) -> str:
    return readable(str(path), 2 * _LONGEST_NAME)
