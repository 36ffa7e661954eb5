"""One evaluation as files: JSON and CSV for programs, Markdown for reviews, one HTML page for people."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dbd_ray.evaluation.charts import pr_curve_chart, reliability_chart
from dbd_ray.evaluation.published import comparison_rows
from dbd_ray.evaluation.report_content import Report, plain
from dbd_ray.evaluation.report_folder import REPORT_FILES, require_report_folder
from dbd_ray.evaluation.report_pages import html_page, markdown_page
from dbd_ray.evaluation.thumbnails import strip_png
from dbd_ray.metrics import METRIC_NAMES
from dbd_ray.readable import csv_text
from dbd_ray.storage import replace_bytes

_JSON_FORMAT = 1
_SAME_MAE = 1e-6
_WORST_NAME = re.compile(r"\d{2,}_.*\.png")


def write_report(report: Report, folder: Path) -> dict[str, Path]:
    """Write a report's files, each of which is at any time either the old one or the new one.

    Args:
        report: Content of the report.
        folder: Folder of the files; made when absent. Files of an earlier report in it are replaced.

    Returns:
        Path by name: `metrics`, `per_image`, `pr_curve`, `reliability`, `markdown`, `html`, and `worst`, the folder
        of pictures (photo, truth, prediction, absolute error).

    Raises:
        ConfigError: The folder has files of these names that are no report.
        ValueError: A metric is missing, `worst` are not the worst, or `compare_with` is set although split is not test.
    """
    _check(report)
    worst = sorted(report.worst, key=lambda photo: photo.mae, reverse=True)
    worst_files = {f"{rank:02d}_{_file_stem(photo.id)}.png": photo for rank, photo in enumerate(worst, 1)}
    rows = comparison_rows(report.compare_with, report.metrics, report.label) if report.compare_with else []
    require_report_folder(folder)
    paths = {name: folder / file for name, file in REPORT_FILES.items()}
    # first, for it tells that the others are of a report, should this one end before them
    replace_bytes(paths["metrics"], _metrics_json(report).encode(), sync=True)
    paths["worst"].mkdir(exist_ok=True)
    for stale in paths["worst"].iterdir():
        if _WORST_NAME.fullmatch(stale.name) and stale.name not in worst_files:
            stale.unlink()
    for name, photo in worst_files.items():
        replace_bytes(paths["worst"] / name, strip_png(photo), sync=True)
    texts = {
        "per_image": _per_image_csv(report.per_image),
        "pr_curve": pr_curve_chart({report.label: report.curve}),
        "reliability": reliability_chart({report.label: report.reliability}),
        "markdown": markdown_page(report, rows, worst_files),
        "html": html_page(report, rows, worst),
    }
    for name, text in texts.items():
        replace_bytes(paths[name], text.encode(), sync=True)
    return paths


def _check(report: Report) -> None:
    missing = [name for name in METRIC_NAMES if name not in report.metrics]
    if missing:
        raise ValueError(f"report {report.title!r} lacks {', '.join(missing)}: give all that FocusMetrics.compute gave")
    if report.compare_with and report.split != "test":
        raise ValueError(f"report {report.title!r}: published results are of test photos: leave compare_with out")
    highest = sorted((float(row["mae"]) for row in report.per_image), reverse=True)[: len(report.worst)]
    given = sorted((photo.mae for photo in report.worst), reverse=True)
    if len(given) != len(highest) or any(abs(a - b) > _SAME_MAE for a, b in zip(given, highest, strict=True)):
        raise ValueError(
            f"report {report.title!r}: worst has MAE {[round(v, 4) for v in given]}, but the highest in per_image are "
            f"{[round(v, 4) for v in highest]}: choose them by keep_worst over all photos"
        )


def _metrics_json(report: Report) -> str:
    content = {
        "format": _JSON_FORMAT,
        "title": report.title,
        "dataset": report.dataset,
        "split": report.split,
        "images": len(report.per_image),
        "model": report.model,
        "metrics": {name: report.metrics[name] for name in METRIC_NAMES},
        "pr_curve": {"precision": report.curve.precision, "recall": report.curve.recall},
        "reliability": report.reliability._asdict(),
        "worst_tenth": [row["id"] for row in report.worst_tenth],
        "comparison": report.comparison.facts() if report.comparison else None,
        "history": report.history,
        "settings": report.settings,
    }
    return json.dumps(plain(content), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _per_image_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    columns = list(dict.fromkeys(["id", *(name for row in rows for name in row)]))
    return csv_text([columns, *([row.get(name, "") for name in columns] for row in rows)])


def _file_stem(photo_id: str) -> str:
    return re.sub(r"[^A-Za-z0-9.-]+", "_", photo_id).strip("._")[:80] or "photo"
