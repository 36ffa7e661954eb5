"""The table of a photo library: one row for every file that a scan found, in `OUT/library.parquet`."""

import os
from collections.abc import Mapping
from types import MappingProxyType

import pyarrow as pa

TABLE = "library.parquet"
"""Name of the table's file in the folder of results."""

PAIR_REASON = "pair"
"""Reason of a camera raw file that was passed over for the picture of the same shot beside it."""

VERSION_KEY = b"dbd_ray.library"
VERSION = 2
"""Of the table's layout; grows when an older package would misread a newer table, and stands in its metadata."""

LIBRARY_SCHEMA = pa.schema(
    [
        # the file
        pa.field("path", pa.string(), nullable=False),  # below the scanned folder; bytes that are no UTF-8 as \xNN
        pa.field("path_bytes", pa.binary(), nullable=False),  # the same as the file system has it
        pa.field("uri", pa.string(), nullable=False),  # of the scanned folder
        pa.field("size", pa.int64()),
        pa.field("mtime_ns", pa.int64()),
        pa.field("content_hash", pa.string()),  # first 32 hexadecimal digits of the sha256; null where not read
        # what became of it
        pa.field("status", pa.string(), nullable=False),  # ok, error, skipped
        pa.field("reason", pa.string()),  # stable word where the status is not ok
        pa.field("message", pa.string()),  # the same for people
        pa.field("focus_model", pa.string()),  # name@fingerprint; null where none saw it
        pa.field("parameters", pa.string()),  # digest of the settings that results depend on
        # what the detector found
        pa.field("width", pa.int32()),  # upright, px
        pa.field("height", pa.int32()),
        pa.field("focus_kind", pa.string()),  # all_in_focus, partial, none_in_focus
        pa.field("in_focus_fraction", pa.float64()),
        pa.field("sharp_left", pa.int32()),  # px of the upright photo; -1 where nothing is sharp
        pa.field("sharp_top", pa.int32()),
        pa.field("sharp_right", pa.int32()),
        pa.field("sharp_bottom", pa.int32()),
        pa.field("focus_confidence", pa.float64()),
        pa.field("sharpness", pa.float64()),  # of the sharp area, see `measures.sharpness`
        pa.field("perceptual_hash", pa.string()),  # 16 hexadecimal digits; near-duplicates differ in few bits
        # what the camera wrote
        pa.field("taken_at", pa.timestamp("ms")),  # by the camera's clock
        pa.field("camera", pa.string()),
        pa.field("lens", pa.string()),
        pa.field("focal_length_mm", pa.float64()),
        pa.field("f_number", pa.float64()),
        pa.field("iso", pa.int32()),
        pa.field("exposure_s", pa.float64()),
    ],
    metadata={VERSION_KEY: str(VERSION)},
)


FORMER_NAMES: Mapping[str, str] = MappingProxyType({"model": "focus_model", "detail": "message"})
"""Names of columns by those of version 1 of the table."""


def with_new_names(table: pa.Table) -> pa.Table:
    """Give the columns of a table that version 1 wrote their names of today."""
    return table.rename_columns([FORMER_NAMES.get(name, name) for name in table.column_names])


def path_text(path: bytes) -> str:
    r"""Write a path for people and tables: bytes that are no UTF-8 as \xNN."""
    return path.decode(errors="backslashreplace")


def path_bytes(path: str) -> bytes:
    """Give a path as the file system has it; Python keeps bytes that are no UTF-8 as lone surrogates."""
    return os.fsencode(path)
