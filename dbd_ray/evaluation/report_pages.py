"""Pages of a report: Markdown for reviews, one HTML page for people."""

import html
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import yaml

from dbd_ray.evaluation.charts import loss_chart, pr_curve_chart, reliability_chart
from dbd_ray.evaluation.published import COMPARISON_REMARK, ComparisonRow
from dbd_ray.evaluation.report_content import Report, plain
from dbd_ray.evaluation.thumbnails import EvaluatedPhoto, data_uri, panels, picture_uri
from dbd_ray.metrics import METRIC_DEFINITIONS, lower_is_better
from dbd_ray.names import F_BETA
from dbd_ray.templates import open_templates

CALIBRATION_REMARK = (
    "Of the pixels that were given one focus value, the share that is in focus: on the diagonal a value says how "
    "often it is right. 15 equal bins (Guo et al., ICML 2017), pixels of all photos pooled; their mean distance from "
    "the diagonal is the metric ece."
)


def markdown_page(report: Report, rows: Sequence[ComparisonRow], worst_files: Mapping[str, EvaluatedPhoto]) -> str:
    """Write a report for reviews, as Markdown.

    Args:
        report: Content of the report.
        rows: Table beside published results, or none.
        worst_files: Photos by the names of their pictures in the folder `worst`, the worst first.
    """
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
    lines += ["## Calibration", "", f"{_md(CALIBRATION_REMARK)}", "", "![Reliability curve](reliability.svg)", ""]
    of_all = f"{len(report.worst_tenth)} of {len(report.per_image)} photos"
    lines += [
        "## Worst tenth",
        "",
        f"{of_all}, mean MAE {report.metrics['mae_worst_tenth']:.4f}.",
        "",
        "| photo | MAE | in focus, map | in focus, truth |",
        "|---|---|---|---|",
        *(
            f"| {_md(str(row['id']))} | {row['mae']:.4f} | {row['in_focus_fraction_map']:.0%} "
            f"| {row['in_focus_fraction_truth']:.0%} |"
            for row in report.worst_tenth
        ),
        "",
    ]
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


def html_page(report: Report, rows: Sequence[ComparisonRow], worst: Sequence[EvaluatedPhoto]) -> str:
    """Write a report for people, as one HTML page that needs no other file.

    Args:
        report: Content of the report.
        rows: Table beside published results, or none.
        worst: Photos whose pictures are shown, the worst first.
    """
    environment = open_templates("dbd_ray.evaluation")
    environment.filters["three"] = _three
    settings = plain(report.settings) if report.settings else None
    return environment.get_template("report.html.j2").render(
        report=report,
        headline_f=F_BETA,
        definitions=METRIC_DEFINITIONS,
        lower_is_better=lower_is_better,
        rows=rows,
        remark=COMPARISON_REMARK,
        sources=list(dict.fromkeys(row.source for row in rows if not row.ours)),
        pr_chart=_chart_uris(lambda dark: pr_curve_chart({report.label: report.curve}, dark)),
        calibration_remark=CALIBRATION_REMARK,
        reliability_chart=_chart_uris(lambda dark: reliability_chart({report.label: report.reliability}, dark)),
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
