"""Evaluation of detectors on labelled photos: report, charts, comparison, promotion, robustness."""

from dbd_ray.evaluation.charts import loss_chart, pr_curve_chart, reliability_chart
from dbd_ray.evaluation.published import PUBLISHED, ComparisonRow, Published, comparison_rows
from dbd_ray.evaluation.report import write_report
from dbd_ray.evaluation.report_content import Report
from dbd_ray.evaluation.thumbnails import EvaluatedPhoto, keep_worst, thumbnail

__all__ = [
    "PUBLISHED",
    "ComparisonRow",
    "EvaluatedPhoto",
    "Published",
    "Report",
    "comparison_rows",
    "keep_worst",
    "loss_chart",
    "pr_curve_chart",
    "reliability_chart",
    "thumbnail",
    "write_report",
]
