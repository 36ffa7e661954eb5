"""One evaluation as files: JSON and CSV for programs, Markdown for reviews, one HTML page for people."""

import html
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from dbd_ray.evaluation.charts import loss_chart, pr_curve_chart
from dbd_ray.evaluation.comparison import Comparison
from dbd_ray.evaluation.published import COMPARISON_REMARK, ComparisonRow, comparison_rows
from dbd_ray.evaluation.report_folder import REPORT_FILES, require_report_folder
from dbd_ray.evaluation.thumbnails import EvaluatedPhoto, data_uri, panels, picture_uri, strip_png
from dbd_ray.metrics import METRIC_DEFINITIONS, METRIC_NAMES, PrCurve, lower_is_better
from dbd_ray.names import F_BETA
from dbd_ray.readable import csv_text
from dbd_ray.storage import replace_bytes
from dbd_ray.templates import open_templates

_JSON_FORMAT = 1
_SAME_MAE = 1e-6
_WORST_NAME = re.compile(r"\d{2,}_.*\.png")


@dataclass(frozen=True)
class Report:
    """The content of a report.

    Args:
        title: Heading of the report.
        dataset: Name of the dataset.
        split: The part of the dataset that was measured: train, val or test.
        model: Facts about the model by label, in order: name, parameters, fingerprint of the checkpoint.
        metrics: Value by metric, from `FocusMetrics.compute`.
        curve: Precision-recall curve, from `FocusMetrics.curve`.
        per_image: One row per photo: its `id` and the values from `FocusMetrics.update`.
        examples: Photos to show as examples, in order.
        worst: The photos with the highest MAE, as `keep_worst` gives them.
        history: One row per epoch of training (see `loss_chart`), or None.
        settings: Configuration of the run, or None.
        compare_with: `cuhk` or `dut` where these are that set's test photos, to show published results beside.
        comparison: Comparison with another model on the same photos, or None.
    """

    title: str
    dataset: str
    split: str
    model: Mapping[str, str]
    metrics: Mapping[str, float]
    curve: PrCurve
    per_image: Sequence[Mapping[str, Any]]
    examples: Sequence[EvaluatedPhoto] = ()
    worst: Sequence[EvaluatedPhoto] = ()
    history: Sequence[Mapping[str, float]] | None = None
    settings: Mapping[str, Any] | None = None
    compare_with: str | None = None
    comparison: Comparison | None = None


def write_report(report: Report, folder: Path) -> dict[str, Path]:
    """Write a report's files, each of which is at any time either the old one or the new one.

    Args:
        report: Content of the report.
        folder: Folder of the files; made when absent. Files of an earlier report in it are replaced.

    Returns:
        Path by name: `metrics`, `per_image`, `pr_curve`, `markdown`, `html`, and `worst`, the folder of pictures
        (photo, truth, prediction, absolute error).

    Raises:
        ConfigError: The folder has files of these names that are no report.
        ValueError: A metric is missing, `worst` are not the worst, or `compare_with` is set although split is not test.
    """
    _check(report)
    worst = sorted(report.worst, key=lambda photo: photo.mae, reverse=True)
    worst_files = {f"{rank:02d}_{_file_stem(photo.id)}.png": photo for rank, photo in enumerate(worst, 1)}
    rows = comparison_rows(report.compare_with, report.metrics, _label(report)) if report.compare_with else []
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
        "pr_curve": pr_curve_chart({_label(report): report.curve}),
        "markdown": _markdown(report, rows, worst_files),
        "html": _html(report, rows, worst),
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


def _label(report: Report) -> str:
    return report.model.get("name", "this model")


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
        "comparison": report.comparison.facts() if report.comparison else None,
        "history": report.history,
        "settings": report.settings,
    }
    return json.dumps(_plain(content), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _plain(value: Any) -> Any:
    """Turn a value into what JSON and YAML can hold; a non-finite number becomes null."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, str | bool | int | None):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Sequence | set | frozenset):
        return [_plain(item) for item in value]
    return str(value)


def _per_image_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    columns = list(dict.fromkeys(["id", *(name for row in rows for name in row)]))
    return csv_text([columns, *([row.get(name, "") for name in columns] for row in rows)])


def _markdown(report: Report, rows: Sequence[ComparisonRow], worst_files: Mapping[str, EvaluatedPhoto]) -> str:
    lines = [
        f"# {_md(report.title)}",
        "",
        f"**Fβ {report.metrics[F_BETA]:.4f} · MAE {report.metrics['mae']:.4f}** "
        f"on {len(report.per_image)} photos of {_md(report.dataset)}, {_md(report.split)} split",
        "",
        *(f"- {_md(label)}: {_md(value)}" for label, value in report.model.items()),
        "",
        "## Metrics",
        "",
        "| metric | value | definition |",
        "|---|---|---|",
        *(
            f"| `{name}` {'↓' if lower_is_better(name) else '↑'} | {report.metrics[name]:.4f} | {_md(definition)} |"
            for name, definition in METRIC_DEFINITIONS.items()
        ),
        "",
    ]
    if report.comparison:
        lines += ["## Beside another model", "", f"{_md(str(report.comparison))}.", ""]
    if rows:
        lines += ["## Beside published results", "", "| method | Fβ | MAE | note |", "|---|---|---|---|"]
        for row in rows:
            method = f"**{_md(row.method)}**" if row.ours else _md(row.method)
            lines.append(f"| {method} | {_three(row.f_beta)} | {_three(row.mae)} | {_md(row.note)} |")
        lines += ["", COMPARISON_REMARK, ""]
    lines += ["## Precision and recall", "", "![Precision-recall curve](pr_curve.svg)", ""]
    if worst_files:
        lines += ["## Worst cases", "", "Photo, truth, prediction, absolute error.", ""]
        for name, photo in worst_files.items():
            lines += [f"{_md(photo.id)}: MAE {photo.mae:.4f}", "", f"![](worst/{name})", ""]
    return "\n".join(lines)


def _md(text: str) -> str:
    escaped = html.escape(" ".join(text.split()), quote=False)
    return re.sub(r"([\\`*_\[\]|])", r"\\\1", escaped)


def _three(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _html(report: Report, rows: Sequence[ComparisonRow], worst: Sequence[EvaluatedPhoto]) -> str:
    environment = open_templates("dbd_ray.evaluation")
    environment.filters["three"] = _three
    settings = _plain(report.settings) if report.settings else None
    return environment.get_template("report.html.j2").render(
        report=report,
        headline_f=F_BETA,
        definitions=METRIC_DEFINITIONS,
        lower_is_better=lower_is_better,
        rows=rows,
        remark=COMPARISON_REMARK,
        sources=list(dict.fromkeys(row.source for row in rows if not row.ours)),
        pr_chart=_chart_uris(lambda dark: pr_curve_chart({_label(report): report.curve}, dark)),
        loss_chart=_chart_uris(lambda dark: loss_chart(report.history or [], dark)) if report.history else None,
        examples=[_shown(photo) for photo in report.examples],
        worst=[_shown(photo) for photo in worst],
        settings=yaml.safe_dump(settings, sort_keys=False, allow_unicode=True) if settings else None,
    )


def _chart_uris(draw: Callable[[bool], str]) -> dict[str, str]:
    return {name: data_uri(draw(name == "dark").encode(), "image/svg+xml") for name in ("light", "dark")}


def _shown(photo: EvaluatedPhoto) -> dict[str, Any]:
    pictures = {name: picture_uri(picture, lossy=name != "truth") for name, picture in panels(photo).items()}
    return {"id": photo.id, "values": photo.values, "pictures": pictures}


def _file_stem(photo_id: str) -> str:
    return re.sub(r"[^A-Za-z0-9.-]+", "_", photo_id).strip("._")[:80] or "photo"
