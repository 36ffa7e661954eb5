"""Tables of a study as text, and writing its files."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev

from dbd_ray.storage import replace_text
from dbd_ray.tracking.runs import RunLog

Rows = Sequence[Sequence[str]]


def mean_and_deviation(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean and sample standard deviation; one value alone has none."""
    return fmean(values), stdev(values) if len(values) > 1 else None


def plus_minus(values: Sequence[float]) -> str:
    """Write a mean with its deviation as `.9190 ± .0021`; a dash where there are no values."""
    if not values:
        return "–"
    mean, deviation = mean_and_deviation(values)
    return f"{mean:.4f}" + (f" ± {deviation:.4f}" if deviation is not None else "")


def write_texts(folder: str, texts: Mapping[str, str]) -> list[str]:
    """Write files by name into a folder of any storage, each in one step; returns their paths or URIs."""
    for name, text in texts.items():
        replace_text(f"{folder}/{name}", text)
    return [f"{folder}/{name}" for name in texts]


def log_texts(log: RunLog, texts: Mapping[str, str], *, under: str) -> None:
    """Put the same files into an MLflow run."""
    with tempfile.TemporaryDirectory() as folder:
        for name, text in texts.items():
            (Path(folder) / name).write_text(text, encoding="utf-8")
        log.files(Path(folder), under=under)
