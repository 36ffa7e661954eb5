"""What the commands of studies do: settings in, many runs in the package, tables out."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from dbd_ray.cli.console import say, show_table, show_training
from dbd_ray.cli.submitted import require_lasting
from dbd_ray.config import AblateConfig, load_ablate_config, load_tune_config

if TYPE_CHECKING:
    # brings torch and Ray, for which --help should not wait
    from dbd_ray.tuning.grid import Grid
    from dbd_ray.tuning.sweep import Sweep

Ready = TypeVar("Ready")
Result = TypeVar("Result")

FINISHED = "study {} is finished already, this is its result; choose another name to run it again"


def tune(options: dict[str, Any], config: Path | None, overrides: Sequence[str]) -> None:
    """Search, or go through a grid, and say what came of it."""
    settings = load_tune_config(config, options, overrides)
    require_lasting(**{"train.storage": settings.train.storage})
    from dbd_ray.tuning.grid import Grid, run_grid
    from dbd_ray.tuning.paper import open_gamma_grid
    from dbd_ray.tuning.sweep import Sweep, open_sweep, search

    if settings.grid:
        _show_grid(_finished_or_run(settings.name, open_gamma_grid(settings), Grid, run_grid))
    else:
        sweep = _finished_or_run(settings.name, open_sweep(settings), Sweep, search, dashboard=True)
        _show_sweep(sweep, settings.train.select_by)


def ablate(config: Path | None, overrides: Sequence[str]) -> None:
    """Run an ablation and show its table; exit status 1 if any run failed."""
    settings: AblateConfig = load_ablate_config(config, {}, overrides)
    require_lasting(**{"train.storage": settings.train.storage})
    from dbd_ray.tuning.grid import Grid, run_grid
    from dbd_ray.tuning.paper import open_ablation

    _show_grid(_finished_or_run(settings.name, open_ablation(settings), Grid, run_grid))


def _finished_or_run(
    name: str, opened: Result | Ready, finished: type[Result], run: Callable[..., Result], *, dashboard: bool = False
) -> Result:
    from dbd_ray.cli.ray_session import local_or_cluster

    if isinstance(opened, finished):
        say(FINISHED.format(name))
        return opened
    with local_or_cluster(dashboard=dashboard), show_training() as on_event:
        return run(opened, on_event=on_event)


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
