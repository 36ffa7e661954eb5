"""The commands that train: one run (`train`), or many of one study (`tune`, `ablate`)."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from dbd_ray.cli.console import say, say_where_recorded, show_table, show_training
from dbd_ray.cli.options import Config, Set, given, settings_help
from dbd_ray.cli.session import local_or_cluster, require_lasting
from dbd_ray.config import (
    AblateConfig,
    TrainConfig,
    TuneConfig,
    load_ablate_config,
    load_train_config,
    load_tune_config,
)
from dbd_ray.names import HEADLINE_METRICS

if TYPE_CHECKING:
    # brings torch and Ray, for which --help should not wait
    from dbd_ray.tuning.grid import Grid
    from dbd_ray.tuning.sweep import Sweep

Ready = TypeVar("Ready")
Result = TypeVar("Result")

TRAIN_SETTINGS = settings_help(TrainConfig)
TUNE_SETTINGS = settings_help(TuneConfig, options=("grid", "trials"))
ABLATE_SETTINGS = settings_help(AblateConfig)
FINISHED = "study {} is finished already, this is its result; choose another name to run it again"


def train(
    config: Config = None,
    set_: Set = None,
) -> None:
    r"""Train on prepared data with Ray Train; running the same command again resumes an interrupted run.

    dbd-ray train --config jobs/configs/cuhk-mobilenetv2.yaml

    dbd-ray train --set name=mine --set 'data=\[runs/cuhk]' --set workers.count=2
    """
    settings = load_train_config(config, set_ or [])
    require_lasting(storage=settings.storage)
    from dbd_ray.tracking.runs import tracking_uri
    from dbd_ray.tracking.store import require_store
    from dbd_ray.training.open_run import open_run
    from dbd_ray.training.run_folder import TrainedModel
    from dbd_ray.training.trainer import train as run

    trained = open_run(settings)  # what is wrong with settings and data need not wait for Ray
    if isinstance(trained, TrainedModel):
        say(f"run {settings.name} is finished already, this is its result; choose another name to train again")
    else:
        require_store(tracking_uri(settings.storage))
        with local_or_cluster(), show_training() as on_event:
            trained = run(trained, on_event=on_event)
    values = [
        f"{name} {trained.metrics[f'val/{name}']:.4f}" for name in HEADLINE_METRICS if f"val/{name}" in trained.metrics
    ]
    measured = ", ".join(values) or "no validation split"
    say(f"{settings.keep} epoch {trained.metrics['epoch']:.0f} of {settings.epochs}: {measured}")
    say(f"model: {trained.folder}")
    say_where_recorded(trained.run_id, trained.tracking_uri)


def tune(
    grid: Annotated[str | None, typer.Option(help="paper-gamma: Table 3 of the paper instead of a search.")] = None,
    trials: Annotated[int | None, typer.Option(help="How many points a search tries; default 16.")] = None,
    config: Config = None,
    set_: Set = None,
) -> None:
    r"""Search settings of a run (Optuna, ASHA), train the best in full; the same command resumes an interrupted sweep.

    dbd-ray tune --config jobs/configs/sweep.yaml --trials 32

    dbd-ray tune --config jobs/configs/sweep.yaml --grid paper-gamma --set name=gamma
    """
    settings = load_tune_config(config, given(grid=grid, trials=trials), set_ or [])
    require_lasting(**{"train.storage": settings.train.storage})
    from dbd_ray.tuning.grid import Grid, run_grid
    from dbd_ray.tuning.paper import open_gamma_grid
    from dbd_ray.tuning.sweep import Sweep, open_sweep, search

    if settings.grid:
        _show_grid(_finished_or_run(settings.name, open_gamma_grid(settings), Grid, run_grid))
    else:
        sweep = _finished_or_run(settings.name, open_sweep(settings), Sweep, search, dashboard=True)
        _show_sweep(sweep, settings.train.select_by)


def ablate(
    config: Config = None,
    set_: Set = None,
) -> None:
    r"""Train the variants of the paper's Table 2 with several seeds into one table; the same command resumes.

    dbd-ray ablate --config jobs/configs/ablation.yaml --set 'seeds=\[0, 1]'
    """
    settings: AblateConfig = load_ablate_config(config, {}, set_ or [])
    require_lasting(**{"train.storage": settings.train.storage})
    from dbd_ray.tuning.grid import Grid, run_grid
    from dbd_ray.tuning.paper import open_ablation

    _show_grid(_finished_or_run(settings.name, open_ablation(settings), Grid, run_grid))


def _finished_or_run(
    name: str, opened: Result | Ready, finished: type[Result], run: Callable[..., Result], *, dashboard: bool = False
) -> Result:
    if isinstance(opened, finished):
        say(FINISHED.format(name))
        return opened
    with local_or_cluster(dashboard=dashboard), show_training() as on_event:
        return run(opened, on_event=on_event)


def _show_sweep(sweep: "Sweep", metric: str) -> None:
    from dbd_ray.tuning.ranking import short, short_names

    names = list(sweep.ranking[0].point)
    rows = [
        (
            trial.run,
            trial.status,
            str(trial.epochs),
            "–" if trial.value is None else f"{trial.value:.4f}",
            *(short(trial.point[name]) for name in names),
        )
        for trial in sweep.ranking
    ]
    show_table(("run", "status", "epochs", metric, *short_names(names)), rows)
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
    say_where_recorded(run_id, tracking_uri, aside=True)
