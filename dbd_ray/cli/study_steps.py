"""What the commands of studies do: settings in, many runs in the package, tables out."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from dbd_ray.cli.console import say, show_table, show_training
from dbd_ray.cli.submitted import require_lasting
from dbd_ray.config import AblateConfig, load_ablate_config, load_tune_config
from dbd_ray.config.study import AnyStudy

if TYPE_CHECKING:
    # brings torch and Ray, for which --help should not wait
    from dbd_ray.tuning.grid import Grid
    from dbd_ray.tuning.sweep import Sweep

Result = TypeVar("Result")

FINISHED = "study {} is finished already, this is its result; choose another name to run it again"


def tune(options: dict[str, Any], config: Path | None, overrides: Sequence[str]) -> None:
    """Search, or go through a grid, and say what came of it."""
    settings = load_tune_config(config, options, overrides)
    require_lasting(**{"train.storage": settings.train.storage})
    from dbd_ray.tuning.paper import check_gamma_grid, finished_gamma_grid, gamma_grid
    from dbd_ray.tuning.sweep import check_sweep, finished_sweep, search

    if settings.grid:
        _show_grid(_finished_or_run(settings, finished_gamma_grid, check_gamma_grid, gamma_grid))
    else:
        sweep = _finished_or_run(settings, finished_sweep, check_sweep, search, dashboard=True)
        _show_sweep(sweep, settings.train.select_by)


def ablate(config: Path | None, overrides: Sequence[str]) -> None:
    """Run an ablation and show its table; exit status 1 if any run failed."""
    settings: AblateConfig = load_ablate_config(config, {}, overrides)
    require_lasting(**{"train.storage": settings.train.storage})
    from dbd_ray.tuning.paper import ablate as run
    from dbd_ray.tuning.paper import check_ablation, finished_ablation

    _show_grid(_finished_or_run(settings, finished_ablation, check_ablation, run))


def _finished_or_run(
    settings: AnyStudy,
    finished: Callable[[AnyStudy], Result | None],
    check: Callable[[AnyStudy], None],
    run: Callable[..., Result],
    *,
    dashboard: bool = False,
) -> Result:
    from dbd_ray.cli.ray_session import local_or_cluster

    result = finished(settings)
    if result:
        say(FINISHED.format(settings.name))
        return result
    check(settings)  # what is wrong with settings and data need not wait for Ray
    with local_or_cluster(dashboard=dashboard), show_training() as on_event:
        return run(settings, on_event=on_event)


def _show_sweep(sweep: "Sweep", metric: str) -> None:
    names = list(sweep.ranking[0].point)
    rows = [
        (
            trial.run,
            trial.status,
            str(trial.epochs),
            "–" if trial.value is None else f"{trial.value:.4f}",
            *(str(trial.point[name]) for name in names),
        )
        for trial in sweep.ranking
    ]
    show_table(("run", "status", "epochs", metric, *names), rows)
    for trial in sweep.ranking:
        if trial.reason:
            say(f"failed: {trial.run}: {trial.reason}", aside=True)
    say(f"winner, trained in full: {sweep.winner.folder}", aside=True)
    _show_files(sweep.files, sweep.run_id, sweep.tracking_uri)


def _show_grid(grid: "Grid") -> None:
    from dbd_ray.tuning.grid import F_BETA, MAE
    from dbd_ray.tuning.tables import plus_minus

    rows = [
        (
            row.backbone,
            row.variant,
            str(len(row.metrics.get(MAE, []))),
            *(plus_minus(row.metrics.get(name, [])) for name in (F_BETA, MAE)),
        )
        for row in grid.rows
    ]
    show_table(("backbone", "variant", "runs", "F", "MAE"), rows)
    failures = {run: reason for row in grid.rows for run, reason in row.failures.items()}
    for run, reason in failures.items():
        say(f"failed: {run}: {reason}; the same command tries it again", aside=True)
    _show_files(grid.files, grid.run_id, grid.tracking_uri)
    if failures:
        raise SystemExit(1)


def _show_files(files: Sequence[str], run_id: str, tracking_uri: str) -> None:
    for file in files:
        say(file, aside=True)
    say(f"MLflow run {run_id}: mlflow ui --backend-store-uri {tracking_uri}", aside=True)
