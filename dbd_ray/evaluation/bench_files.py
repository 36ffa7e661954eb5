"""The table of a model on several sets, as rows, JSON and Markdown."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from dbd_ray.config import EvaluateConfig
from dbd_ray.evaluation.report_content import plain
from dbd_ray.evaluation.report_folder import require_folder
from dbd_ray.masking import masked_values
from dbd_ray.metrics import METRIC_DEFINITIONS
from dbd_ray.metrics.stacks import STACK_METRIC_DEFINITIONS
from dbd_ray.names import F_BETA
from dbd_ray.readable import markdown_table
from dbd_ray.storage import replace_bytes

BENCH_FILES = {"json": "bench.json", "markdown": "bench.md"}
COLUMNS = {
    "F": F_BETA,
    "MAE": "mae",
    "worst tenth": "mae_worst_tenth",
    "ECE": "ece",
    "sharp pixels": "iou_at_half_focus",
    "kind": "kind_accuracy",
    "false sharp": "partial_called_all_in_focus",
    "stacks": "stack_accuracy",
}
"""Metric by the head of its column."""
_OF_SHARP = ("mae", "iou_at_half_focus", "kind_accuracy")
_FORMAT = "dbd-ray bench 1"
_REMARK = (
    "F is f_adaptive_pooled_dd_notebook; worst tenth: mae_worst_tenth; false sharp: the share of photos in focus in "
    "part that are called all_in_focus; kind: kind_accuracy. Of photos that are sharp throughout, sharp pixels is the "
    "share of pixels called sharp and kind the share of photos called all_in_focus; F and the others say nothing there."
)


class Measured(Protocol):
    """What the table shows of a set, see `bench.SetResult`."""

    @property
    def photos(self) -> int: ...
    @property
    def metrics(self) -> dict[str, float]: ...
    @property
    def per_stack(self) -> list[dict[str, Any]]: ...


def table_rows(config: EvaluateConfig, results: Mapping[str, Measured]) -> tuple[list[str], list[list[str]]]:
    """Give the table of a model: its head, and one row of texts per set; a dash where a metric says nothing."""
    rows = []
    for name, result in results.items():
        sharp = config.sets[name].layout == "sharp"
        shown = {
            metric: f"{result.metrics[metric]:.4f}"
            for metric in COLUMNS.values()
            if metric in result.metrics and (metric in _OF_SHARP if sharp else metric != "iou_at_half_focus")
        }
        rows.append([name, str(result.photos), *(shown.get(metric, "–") for metric in COLUMNS.values())])
    return ["set", "photos", *COLUMNS], rows


def require_bench_folder(folder: Path) -> None:
    """Make a folder, and check that a table may be written there (errors as of `require_folder`)."""
    require_folder(folder, BENCH_FILES, "json", "table", lambda content: content.get("format") == _FORMAT)


def write_bench(
    folder: Path, model: Mapping[str, str], config: EvaluateConfig, results: Mapping[str, Measured]
) -> dict[str, Path]:
    """Write the table, each file in one step.

    Args:
        folder: Checked by `require_bench_folder`.
        model: Facts about the model by label.
        config: What was measured.
        results: Result by the set's name.

    Returns:
        Path by name: `json`, `markdown`.
    """
    paths = {name: folder / file for name, file in BENCH_FILES.items()}
    content = {
        "format": _FORMAT,
        "model": model,
        "sets": {
            name: {"photos": result.photos, "metrics": result.metrics, "per_stack": result.per_stack}
            for name, result in results.items()
        },
        "settings": masked_values(config.model_dump(mode="json")),
    }
    replace_bytes(paths["json"], (json.dumps(plain(content), indent=1, ensure_ascii=False) + "\n").encode(), sync=True)
    replace_bytes(paths["markdown"], _markdown(model, config, results).encode(), sync=True)
    return paths


def _markdown(model: Mapping[str, str], config: EvaluateConfig, results: Mapping[str, Measured]) -> str:
    head, rows = table_rows(config, results)
    text = f"# {model['name']} on {len(rows)} sets\n\n{markdown_table(head, rows)}\n{_REMARK}\n"
    reports = [name for name, result in results.items() if not result.per_stack]
    text += "\nReports: " + ", ".join(f"[{name}]({name}/report.md)" for name in reports) + "\n" if reports else ""
    for name, result in results.items():
        if result.per_stack:
            columns = ("id", "frames", "clear_fraction", *STACK_METRIC_DEFINITIONS)
            cells = [[_cell(row[column]) for column in columns] for row in result.per_stack]
            text += f"\n## {name}\n\n{markdown_table(columns, cells)}"
    used = {metric for result in results.values() for metric in result.metrics}
    known = {**METRIC_DEFINITIONS, **STACK_METRIC_DEFINITIONS}.items()
    definitions = "".join(f"- `{metric}`: {definition}\n" for metric, definition in known if metric in used)
    return f"{text}\n## Definitions\n\n{definitions}"


def _cell(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)
