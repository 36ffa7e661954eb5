"""The columns that a pipeline stage adds to a dataset of photos, whoever found the focus maps."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from dbd_ray.names import AREA_COLUMNS, OUTPUT_COLUMNS
from dbd_ray.summary import Summary


def found_row(summary: Summary, focus: bytes) -> dict[str, Any]:
    """Give the values of `OUTPUT_COLUMNS` of a photo.

    Args:
        summary: Its focus map in a few numbers.
        focus: The map as an 8-bit PNG.
    """
    area = summary.sharp_area
    box = (-1, -1, -1, -1) if area is None else (area.left, area.top, area.right, area.bottom)
    return {
        "focus": focus,
        "focus_kind": summary.focus_kind,
        "in_focus_fraction": summary.in_focus_fraction,
        **dict(zip(AREA_COLUMNS, box, strict=True)),
        "focus_confidence": summary.focus_confidence,
        "focus_model": summary.focus_model,
        "error": None,
    }


def failed_row(error: str) -> dict[str, Any]:
    """Give the values of `OUTPUT_COLUMNS` of a photo without a focus map: the reason, and empty values."""
    # of each column's own type: an all-null block would get another schema than its neighbours
    empty = {name: kind() for name, kind in OUTPUT_COLUMNS.items()}
    nothing = {**dict.fromkeys(AREA_COLUMNS, -1), "in_focus_fraction": np.nan, "focus_confidence": np.nan}
    return {**empty, **nothing, "error": error}


def columns_of(rows: Sequence[dict[str, Any]]) -> dict[str, np.ndarray]:
    """Make columns of rows, each of its own type."""
    columns: dict[str, np.ndarray] = {
        # NumPy's own strings of bytes would lose zeros at their ends
        name: np.array([row[name] for row in rows], dtype=object if kind is bytes else kind)
        for name, kind in OUTPUT_COLUMNS.items()
        if name != "error"
    }
    return {**columns, "error": _Texts.of([row["error"] for row in rows])}


class _Texts(np.ndarray[Any, Any]):
    """Texts or None, which Arrow takes for texts also where all are None.

    Ray Data gives a column the type of its values, and one of None alone has none: the files of one data set would
    differ in it. So the elements are Arrow's texts, of which null is one, and Python sees str and None.
    """

    @classmethod
    def of(cls, texts: Sequence[str | None]) -> "_Texts":
        values = np.empty(len(texts), object)
        values[:] = [pa.scalar(text, pa.string()) for text in texts]
        return values.view(cls)

    def __getitem__(self, place: Any) -> Any:
        found = super().__getitem__(place)
        return found.as_py() if isinstance(found, pa.Scalar) else found

    def __iter__(self) -> Any:
        return iter(self.tolist())

    def tolist(self) -> Any:
        return [one.as_py() for one in super().tolist()]
