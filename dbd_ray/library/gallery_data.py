"""The table of a library as scripts that a page opened from disk can load: one index, and pages of details.

A page of a file:// address may not fetch files, but it may load scripts; so the data are calls of two functions of the
gallery. Values are never keys of JavaScript objects, and everything beyond ASCII and every `<` is escaped.
"""

import base64
import hashlib
import json
import math
import posixpath
import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

PAGE_ROWS = 1000
"""Rows of details in one script: about 300 KB, which a browser loads in some 10 ms."""

INDEX_CODES = ("status", "reason", "focus_kind", "camera", "lens")
INDEX_NUMBERS = ("in_focus_fraction", "sharpness", "f_number", "iso")
DETAIL_CODES = ("uri", "focus_model", "parameters")
DETAIL_VALUES = (
    *("size", "message", "width", "height", "sharp_left", "sharp_top", "sharp_right", "sharp_bottom"),
    *("focus_confidence", "perceptual_hash", "focal_length_mm", "exposure_s"),
)
_HASH = re.compile("[0-9a-f]{32}")
_DIGITS = re.compile("[0-9]+")
_UNQUOTED = re.compile(rb"[A-Za-z0-9_.~/-]*")


class DataFile(NamedTuple):
    """One script of the gallery; its name tells its content, so an open gallery never meets data of another one."""

    name: str
    content: bytes


def in_folder_order(table: pa.Table) -> pa.Table:
    """Sort rows by folder and then by name, numbers in names by their value: the order in which the gallery counts."""
    folder_keys: dict[str, str] = {}  # made once for all photos of a folder
    keys = []
    for path, raw in zip(table["path"].to_pylist(), table["path_bytes"].to_pylist(), strict=True):
        folder, name = _split(path)
        if folder not in folder_keys:
            folder_keys[folder] = _natural(folder).replace("/", "\0")  # below all that names hold: parents come first
        keys.append((folder_keys[folder], _natural(name), raw))
    return table.take(pa.array(sorted(range(len(keys)), key=keys.__getitem__), pa.int64()))


def _split(path: str) -> tuple[str, str]:
    folder, name = posixpath.split(path.rstrip("/"))
    return folder, f"{name}/" if path.endswith("/") else name  # folders that were not looked into


def index_file(table: pa.Table, pages: Sequence[str]) -> DataFile:
    """Write the columns that the gallery sorts and filters by, of all rows.

    Args:
        table: Rows in the order of `in_folder_order`.
        pages: Names of the scripts of details, in order.

    Returns:
        A script of about 80 bytes per row: numbers as base64 of little-endian arrays, texts as codes into lists.
    """
    parts = [_split(path) for path in table["path"].to_pylist()]
    # photos that failed have no thumbnails
    looked_at = zip(table["content_hash"].to_pylist(), table["status"].to_pylist(), strict=True)
    hashes = [text if status == "ok" else None for text, status in looked_at]
    index = {
        "count": table.num_rows,
        "pageRows": PAGE_ROWS,
        "pages": list(pages),
        "names": [name for _, name in parts],
        "codes": {
            "folder": _coded([folder for folder, _ in parts]),
            **{name: _coded(table[name].to_pylist()) for name in INDEX_CODES},
        },
        "numbers": {
            **{name: _packed(_rounded(name, _floats(table[name]))) for name in INDEX_NUMBERS},
            "taken_at": _packed(_seconds(table["taken_at"])),
        },
        "hashes": _base64(b"".join(_hash_bytes(text) for text in hashes)),
    }
    return _file("index", "index", index)


def page_files(table: pa.Table) -> Iterator[DataFile]:
    """Write what the gallery shows of one photo only, in pages of `PAGE_ROWS` rows of `table`, one after the other."""
    for number, start in enumerate(range(0, table.num_rows, PAGE_ROWS)):
        rows = table.slice(start, PAGE_ROWS)
        links = [
            file_link(uri, raw)
            for uri, raw in zip(rows["uri"].to_pylist(), rows["path_bytes"].to_pylist(), strict=True)
        ]
        page = {
            "codes": {name: _coded(rows[name].to_pylist()) for name in DETAIL_CODES},
            "values": {name: _finite(rows[name]) for name in DETAIL_VALUES},
            "links": links,
        }
        yield _file(f"page-{number:05d}", "page", number, page)


def file_link(root: str, path: bytes) -> str | None:
    """Give the file: URI of a photo below a local folder, every byte of its path as it is; None for other storages."""
    if not root.startswith("/"):
        return None
    whole = root.encode().rstrip(b"/") + b"/" + path
    # most need no quoting, of which `quote` takes longer to find out than all else here
    return "file://" + (whole.decode("ascii") if _UNQUOTED.fullmatch(whole) else quote(whole))


def script_json(value: Any) -> str:
    """Write a value as JSON that can stand in any script: ASCII only, and no `<` that could end or open a tag."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")


def _file(stem: str, function: str, *arguments: Any) -> DataFile:
    content = f"gallery.{function}({','.join(script_json(argument) for argument in arguments)});\n".encode("ascii")
    return DataFile(f"{stem}.{hashlib.sha256(content).hexdigest()[:12]}.js", content)


def _natural(text: str) -> str:
    """Make a text by which names sort, 9 before 10: each number follows the number of its digits."""
    return _DIGITS.sub(_counted_digits, text.casefold())


def _counted_digits(number: re.Match[str]) -> str:
    digits = number[0].lstrip("0")
    return f"{len(digits):04d}{digits}"


def _coded(values: list[str | None]) -> dict[str, Any]:
    """Write texts as places in the sorted list of the different ones; none has the place behind the last."""
    different = sorted({value for value in values if value is not None}, key=lambda text: (_natural(text), text))
    places: dict[str | None, int] = {text: place for place, text in enumerate(different)}
    places[None] = len(different)
    kind = np.min_scalar_type(len(different))
    return {"texts": different, **_packed(np.array([places[value] for value in values], kind))}


def _packed(values: np.ndarray) -> dict[str, str]:
    little = values.astype(values.dtype.newbyteorder("<"))
    return {"type": f"{values.dtype.kind}{values.dtype.itemsize}", "data": _base64(little.tobytes())}


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _floats(column: pa.ChunkedArray) -> np.ndarray:
    """Give a column as float64, where null and what is no finite number are NaN."""
    values = pc.fill_null(pc.cast(column, pa.float64()), math.nan).to_numpy()
    return np.where(np.isfinite(values), values, np.nan)


def _rounded(name: str, values: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        short = values.astype(np.float32)
    if name == "in_focus_fraction":  # 1 means all of the photo: nothing below it may become it
        short = np.where((short == 1) & (values < 1), np.nextafter(np.float32(1), np.float32(0)), short)
    return np.where(np.isfinite(short), short, np.float32(np.nan)).astype(np.float32)


def _seconds(column: pa.ChunkedArray) -> np.ndarray:
    milliseconds: np.ndarray = _floats(pc.cast(column, pa.int64()))
    return np.floor(milliseconds / 1000)


def _hash_bytes(text: str | None) -> bytes:
    return bytes.fromhex(text) if text and _HASH.fullmatch(text) else bytes(16)


def _finite(column: pa.ChunkedArray) -> list[Any]:
    values: list[Any] = column.to_pylist()
    if not pa.types.is_floating(column.type):
        return values
    return [value if value is not None and math.isfinite(value) else None for value in values]
