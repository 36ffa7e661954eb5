"""Questions without code over the table of a photo library, answered by a DuckDB that reaches nothing else."""

import difflib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, wait
from threading import Event, Thread
from types import MappingProxyType
from typing import Any, NamedTuple, NoReturn

import duckdb
import pyarrow as pa

from dbd_ray.errors import ConfigError
from dbd_ray.library.schema import FORMER_NAMES, LIBRARY_SCHEMA

COLUMNS = ("path", "focus_kind", "in_focus_fraction", "sharpness", "f_number", "taken_at")
"""Columns of an answer unless others are asked for."""

OTHER_NAMES: Mapping[str, str] = MappingProxyType({"kind": "focus_kind", **FORMER_NAMES})
"""Columns by other names that questions may use: a short one, and those of the version before."""

_Found = tuple[tuple[str, ...], list[tuple[Any, ...]]]
_ONCE_MORE_S = 0.1
MEMORY = "2GB"
# a question on these is one about the files that no detector saw
_OF_ALL_FILES = {"status", "reason", "message", "detail"}
_STATEMENT = re.compile(r"(?:\s|--[^\n]*\n)*(select|with|from|describe|summarize)\b", re.IGNORECASE)
# of DuckDB's own words those that list tables
_LISTING = re.compile(r"(?:\s|--[^\n]*\n)*(show\b.*|(describe|summarize)\s*;?\s*)", re.IGNORECASE | re.DOTALL)
_UNKNOWN_COLUMN = re.compile(r'column (?:named )?"([^"]+)"', re.IGNORECASE)
_LOCKED: dict[str, str | bool | int | float | list[str]] = {
    "memory_limit": MEMORY,
    "temp_directory": "",  # nothing is written when memory is short
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "allow_community_extensions": "false",
    "python_enable_replacements": "false",  # else a table's name may be a variable of ours
}


class Answer(NamedTuple):
    """What a question found.

    Attributes:
        columns: Their names, each once.
        rows: Python values, one for each column.
        left_out: Files without a result (errors, skipped), which were not among the photos asked.
    """

    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]
    left_out: int


def is_statement(question: str) -> bool:
    """Tell a whole statement from a condition, by its first word."""
    return _STATEMENT.match(question) is not None


def ask(
    table: pa.Table,
    question: str = "",
    *,
    columns: Sequence[str] = (),
    sort: Sequence[str] = (),
    limit: int | None = None,
) -> Answer:
    """Ask the table of a library.

    The question sees one view, `photos`: the table's columns, and other names of some (`OTHER_NAMES`). NaN and
    infinity are NULL there, for DuckDB takes NaN for the greatest number. It holds the photos with a result; if the
    question names status, reason or message, all files.

    Args:
        table: As `read_library` gives it.
        question: SQL condition on one photo, or a whole SELECT statement; empty for all photos.
        columns: Columns of the answer, `*` for all; with a condition.
        sort: Columns to sort by, each as "NAME" or "NAME desc", NULL last; with a condition.
        limit: Most rows; with a condition.

    Raises:
        ConfigError: The question is wrong, wants what a question must not do, or needs too much memory.
    """
    if _LISTING.fullmatch(question):
        raise ConfigError("query: there is one table, `photos`: ask 'DESCRIBE photos' for its columns")
    given = {"columns": columns, "sort": sort, "limit": limit is not None}
    if is_statement(question) and any(given.values()):
        name = next(name for name, value in given.items() if value)
        raise ConfigError(f"query: {name} would have no effect on a whole statement; write it there")
    try:
        question.encode()
        everything = bool(_OF_ALL_FILES & set(_identifiers(question)))
        text = question if is_statement(question) else _statement(question, columns, sort, limit)
        with duckdb.connect(":memory:", config=_LOCKED) as database:
            names, rows = _stoppable(database, lambda: _answer(database, table, text, everything=everything))
    except (duckdb.Error, ValueError, OverflowError, RecursionError) as error:
        _explain(error, question)
    left_out = 0 if everything else len(table) - table["status"].to_pylist().count("ok")
    return Answer(names, rows, left_out)


def _answer(database: duckdb.DuckDBPyConnection, table: pa.Table, text: str, *, everything: bool) -> _Found:
    _load(database, table, everything=everything)
    _require_one_select(database, text)
    answer = database.execute(text)
    return tuple(_each_once([column[0] for column in answer.description])), answer.fetchall()


def _load(database: duckdb.DuckDBPyConnection, table: pa.Table, *, everything: bool) -> None:
    cells = [
        f"CASE WHEN isfinite({field.name}) THEN {field.name} END AS {field.name}"
        if pa.types.is_floating(field.type)
        else field.name
        for field in LIBRARY_SCHEMA
    ]
    others = [f"{column} AS {name}" for name, column in OTHER_NAMES.items()]
    database.register("arrow_table", table.select(LIBRARY_SCHEMA.names))
    database.execute(f"CREATE TABLE files AS SELECT {', '.join((*cells, *others))} FROM arrow_table")
    database.unregister("arrow_table")
    with_result = "" if everything else "WHERE status = 'ok'"
    database.execute(f"CREATE VIEW photos AS SELECT * FROM files {with_result}")
    database.execute("SET enable_progress_bar = false")  # it would stand in the answer
    database.execute("SET enable_external_access = false")
    database.execute("SET lock_configuration = true")


def _statement(condition: str, columns: Sequence[str], sort: Sequence[str], limit: int | None) -> str:
    columns = [*LIBRARY_SCHEMA.names, "kind"] if "*" in columns else columns
    chosen = ", ".join(_known(name) for name in columns or COLUMNS)
    order = [*(_order(one) for one in sort), "uri", "path_bytes"]
    # on lines of its own: the condition may end in a comment
    where = f"WHERE (\n{condition.strip().rstrip(';')}\n)" if condition.strip() else ""
    last = "" if limit is None else f"LIMIT {limit}"
    return f"SELECT {chosen} FROM photos {where} ORDER BY {', '.join(order)} {last}"


def _known(name: str) -> str:
    known = [*LIBRARY_SCHEMA.names, *OTHER_NAMES]
    if name.strip().lower() in known:
        return name.strip().lower()
    raise ConfigError(_no_column(name.strip()))


def _order(text: str) -> str:
    name, _, direction = text.strip().partition(" ")
    if direction.strip().lower() not in ("", "asc", "desc"):
        raise ConfigError(f"query: sort: {text!r} is no COLUMN and no 'COLUMN desc'")
    return f"{_known(name)} {direction.strip()} NULLS LAST"


def _identifiers(question: str) -> Iterator[str]:
    raw = question.encode()  # DuckDB counts bytes
    tokens = duckdb.tokenize(question)
    ends = [start for start, _ in tokens[1:]] + [len(raw)]
    for (start, kind), end in zip(tokens, ends, strict=False):  # no token, no end
        if kind in (duckdb.token_type.identifier, duckdb.token_type.keyword):
            yield raw[start:end].decode(errors="replace").strip().strip('"').lower()


def _require_one_select(database: duckdb.DuckDBPyConnection, text: str) -> None:
    statements = database.extract_statements(text)
    if len(statements) != 1:
        raise ConfigError("query: give one condition or one SELECT statement, without a semicolon inside")
    if statements[0].type != duckdb.StatementType.SELECT:
        raise ConfigError("query: only SELECT is answered; nothing can be changed, loaded or written from here")


def _stoppable(database: duckdb.DuckDBPyConnection, work: Callable[[], _Found]) -> _Found:
    done: Future[_Found] = Future()
    watched = Event()

    def run() -> None:
        watched.wait()
        try:
            done.set_result(work())
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            done.set_exception(error)

    # in the main thread DuckDB sees Ctrl-C late, or swallows it; an executor would wait for ever for a thread that it
    # was starting when Ctrl-C came
    Thread(target=run, daemon=True).start()
    try:
        watched.set()
        return done.result()
    except KeyboardInterrupt:
        while not done.done():  # what interrupts before the question has begun is not seen
            database.interrupt()
            wait([done], timeout=_ONCE_MORE_S)
        raise


def _each_once(names: Sequence[str]) -> Iterator[str]:
    seen: set[str] = set()
    for name in names:
        new, number = name, 2
        while new in seen:
            new, number = f"{name}_{number}", number + 1
        seen.add(new)
        yield new


def _explain(error: Exception, question: str) -> NoReturn:
    first, *others = str(error).splitlines() or [type(error).__name__]
    if isinstance(error, UnicodeError):
        raise ConfigError("query: the question is no UTF-8 text; `path_bytes` holds names that are none") from None
    if isinstance(error, duckdb.OutOfMemoryException):
        raise ConfigError(
            f"query: the answer needs more than {MEMORY} of memory; ask for fewer rows or columns"
        ) from None
    if isinstance(error, duckdb.BinderException) and (found := _UNKNOWN_COLUMN.search(first)):
        raise ConfigError(_no_column(found[1])) from None
    if isinstance(error, duckdb.PermissionException):
        raise ConfigError(f"query: only the view `photos` can be read ({first.partition(': ')[2]})") from None
    if isinstance(error, duckdb.CatalogException) and first.startswith("Catalog Error: Table"):
        raise ConfigError(f"query: {first.partition(': ')[2]} The photos are in `photos`") from None
    if isinstance(error, duckdb.ParserException) and first.endswith('near ")"') and ")" not in question:
        first = "Parser Error: the condition ends too early"  # at a parenthesis that is ours
    near = next((f"; {line[0].lower()}{line[1:]}" for line in others if line.startswith("Did you mean")), "")
    raise ConfigError(f"query: {first.partition(': ')[2] or first}{near}") from None


def _no_column(name: str) -> str:
    known = [*LIBRARY_SCHEMA.names, "kind"]
    near = difflib.get_close_matches(name.lower(), known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"a text stands in single quotes: '{name}'."
    return f"query: there is no column {name}; {hint} Columns: {', '.join(known)}"
