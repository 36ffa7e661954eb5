"""Grids: runs that are all trained at full length with several seeds, as in the paper's ablation and gamma grid."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from ray import tune

from dbd_ray.config import MeasuredSplit, StudyConfig, TrainConfig
from dbd_ray.datasets.prepared import read_info
from dbd_ray.errors import TrainingError
from dbd_ray.names import F_BETA, MAE
from dbd_ray.readable import csv_text, markdown_table
from dbd_ray.tracking.runs import attempt
from dbd_ray.training.run_folder import RESULT_FILE, find_claim, read_record, write_record
from dbd_ray.tuning.study import ReadyStudy, Study, ending, ready_study, run_trials, start_study
from dbd_ray.tuning.tables import log_texts, plus_minus, write_texts
from dbd_ray.tuning.trial import metrics_of


class GridRun(NamedTuple):
    """One run.

    Attributes:
        backbone: The part of the table that it belongs to.
        variant: The table's row that it belongs to.
        config: The run; its seed differs from those of the same row.
    """

    backbone: str
    variant: str
    config: TrainConfig


class GridRow(NamedTuple):
    """One row of the table.

    Attributes:
        backbone: The part of the table that it belongs to.
        variant: Its name in the table.
        metrics: One value per run that finished, by metric.
        failures: Reason of failure of every other run, by the run's name.
    """

    backbone: str
    variant: str
    metrics: dict[str, list[float]]
    failures: dict[str, str]


class Grid(NamedTuple):
    """The result of a grid.

    Attributes:
        rows: The table.
        files: Path or URI of each table and chart.
        run_id: ID of the MLflow run above those of the runs.
        tracking_uri: URI of the MLflow store that holds it.
    """

    rows: list[GridRow]
    files: list[str]
    run_id: str
    tracking_uri: str


class GridPlan(NamedTuple):
    """The plan of a grid: its runs and its table.

    Attributes:
        runs: All runs; their names differ.
        split: The split on whose rows they are measured.
        title: Heading of the table.
        published: (F, MAE) of the paper by its backbone and the row's variant.
        charts: Makes more files of the rows, texts by file name.
    """

    runs: list[GridRun]
    split: MeasuredSplit
    title: str
    published: Mapping[str, Mapping[str, tuple[float, float]]]
    charts: Callable[[Sequence[GridRow]], dict[str, str]]


class ReadyGrid(NamedTuple):
    """A grid that is checked as far as that is possible without Ray."""

    study: ReadyStudy[Any]
    plan: GridPlan


def ready_grid(config: StudyConfig, plan: GridPlan) -> ReadyGrid:
    """Check, without Ray, a grid's settings and data (arguments and errors as of `ready_study`)."""
    return ReadyGrid(ready_study(config, [run.config for run in plan.runs], split=plan.split), plan)


def run_grid(ready: ReadyGrid, *, on_event: Callable[[Any], Any]) -> Grid:
    """Train the runs that are not trained yet, measure them, and write the table.

    Args:
        ready: The grid.
        on_event: Called with lines of text now and then.

    Raises:
        ConfigError: Settings do not fit the cluster.
        TrainingError: Every run failed.
    """
    config, plan = ready.study.config, ready.plan
    study = start_study(ready.study)
    with ending(study, on_event):
        failures = _train_missing(study, plan, on_event)
        rows = collect(plan, failures)
        if not any(row.metrics for row in rows):
            reason = next(iter(failures.values()))
            raise TrainingError(f"{config.name}: all {len(plan.runs)} runs failed, one with: {reason}")
    infos = [read_info(location) for location in config.data]
    prepared = sorted({info.input_size for info in infos if info.rows.get(plan.split)})
    texts = {**grid_tables(plan, rows, prepared), **plan.charts(rows)}
    grid = Grid(rows, write_texts(study.folder, texts), study.log.run_id, study.log.uri)
    for step in (lambda: log_texts(study.log, texts, under="table"), study.log.finish):
        attempt(step, on_event)
    if not failures:  # else the same command tries the failed ones again
        write_record(config, RESULT_FILE, {**grid._asdict(), "rows": [row._asdict() for row in rows]})
    return grid


def finished_grid(config: StudyConfig) -> Grid | None:
    """Read the table of a finished study; None if it is new, was interrupted, or some of its runs failed.

    Args:
        config: The study, with absolute paths.

    Raises:
        ConfigError: A study of this name has other settings.
    """
    result = read_record(config, RESULT_FILE) if find_claim(config) else None
    return Grid(**{**result, "rows": [GridRow(**row) for row in result["rows"]]}) if result else None


def collect(plan: GridPlan, failures: Mapping[str, str]) -> list[GridRow]:
    """Gather the metrics of all runs into rows, in the order of the plan."""
    rows: dict[tuple[str, str], GridRow] = {}
    for run in plan.runs:
        row = rows.setdefault((run.backbone, run.variant), GridRow(run.backbone, run.variant, {}, {}))
        for name, value in (metrics_of(run.config, plan.split) or {}).items():
            row.metrics.setdefault(name, []).append(value)
        if run.config.name in failures:
            row.failures[run.config.name] = failures[run.config.name]
    return list(rows.values())


class _ByName:
    """The plan of a grid's trials: each has the name of its run in its point."""

    def __init__(self, configs: dict[str, TrainConfig]) -> None:
        self._configs = configs

    def __call__(self, point: Mapping[str, Any], trial_id: str) -> TrainConfig:
        return self._configs[point["run"]]


def _train_missing(study: Study, plan: GridPlan, on_event: Callable[[Any], Any]) -> dict[str, str]:
    missing = {run.config.name: run.config for run in plan.runs if metrics_of(run.config, plan.split) is None}
    if len(missing) < len(plan.runs):
        on_event(f"{len(plan.runs) - len(missing)} of {len(plan.runs)} runs are finished already")
    if not missing:
        return {}
    recorder = run_trials(
        study,
        _ByName(missing),
        metric=f"val/{next(iter(missing.values())).select_by}",
        split=plan.split,
        on_event=on_event,
        resume=False,
        config={"run": tune.grid_search(list(missing))},
    )
    return {record.point["run"]: record.reason for record in recorder.records.values() if record.status == "failed"}


def grid_tables(plan: GridPlan, rows: Sequence[GridRow], prepared: Sequence[tuple[int, int]]) -> dict[str, str]:
    """Write the table beside the paper's values, and every run's metrics.

    Args:
        plan: The grid's plan.
        rows: The table's rows, from `collect`.
        prepared: Each (height, width) in px that rows of the split were prepared at.

    Returns:
        Texts by file name.
    """
    papers = list(plan.published)
    head = ["backbone", "variant", "runs", "Fβ", "MAE", *(f"paper, {paper}: Fβ / MAE" for paper in papers)]
    cells = []
    for row in rows:
        of_papers = [plan.published[paper].get(row.variant) for paper in papers]
        f_beta, mae = (row.metrics.get(name, []) for name in (F_BETA, MAE))
        cells.append(
            [
                row.backbone,
                row.variant,
                f"{len(mae)}" + (f", {len(row.failures)} failed" if row.failures else ""),
                plus_minus(f_beta),
                plus_minus(mae),
                *(" / ".join(map(_published, pair)) if pair else "–" for pair in of_papers),
            ]
        )
    runs = [run.config for run in plan.runs]
    # a backbone may have settings of its own
    epochs, batch_size = _each(run.epochs for run in runs), _each(run.batch_size for run in runs)
    seen = _each(_px(size) for run in runs for size in ([run.input_size] if run.input_size else prepared))
    # validation looks at what training looks at; a finished model is measured as it will be used
    measured = _each(map(_px, prepared)) if plan.split == "test" else seen
    remark = (
        f"Measured on the {plan.split} rows of the prepared data at {measured}; the networks saw {seen} and were "
        f"trained for {epochs} epochs in batches of {batch_size}. Mean ± sample standard deviation over seeds. Fβ is "
        f"{F_BETA}. The paper's values are of its own training on 320×320 px, one run each."
    )
    failed = "".join(f"\n- {run} failed: {why}" for row in rows for run, why in row.failures.items())
    long_rows = [
        [row.backbone, row.variant, name, str(len(values)), *map(repr, values)]
        for row in rows
        for name, values in row.metrics.items()
    ]
    seeds = max((len(row) - 4 for row in long_rows), default=0)
    long_head = ["backbone", "variant", "metric", "runs", *(f"run {n}" for n in range(1, seeds + 1))]
    return {
        "table.md": f"# {plan.title}\n\n{markdown_table(head, cells)}\n{remark}\n{failed}",
        "table.csv": csv_text([head, *cells]),
        "values.csv": csv_text([long_head, *long_rows]),
    }


def _each(values: Iterable[Any]) -> str:
    return " or ".join(dict.fromkeys(map(str, values)))


def _published(value: float) -> str:
    return f"{value:.4f}".removesuffix("0")  # with as many digits as the paper's table has


def _px(size: Sequence[int]) -> str:
    return "×".join(map(str, size)) + " px"
