"""Sweeps: Optuna proposes settings, ASHA stops hopeless trials early, and the winner is trained at full length."""

import itertools
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

from ray.tune.schedulers import ASHAScheduler
from ray.tune.search import Searcher

from dbd_ray.config import Range, TrainConfig, TuneConfig, flatten, unflatten, vary
from dbd_ray.errors import ConfigError, TrainingError
from dbd_ray.metrics import lower_is_better
from dbd_ray.tracking.runs import PARENT_TAG, RunLog, attempt
from dbd_ray.training.reporting import Event
from dbd_ray.training.run_folder import RESULT_FILE, TrainedModel, find_claim, finished_run, read_record, write_record
from dbd_ray.training.trainer import train
from dbd_ray.tuning.ranking import RankedTrial, ranked, ranking_files, words
from dbd_ray.tuning.recorder import TRIAL_TAG
from dbd_ray.tuning.study import (
    ReadyStudy,
    Study,
    absolute_study,
    end_forgotten,
    ending,
    folder_of,
    ready_study,
    run_trials,
    start_study,
)
from dbd_ray.tuning.tables import log_texts, write_texts
from dbd_ray.tuning.winner import take_trial, winner_run

RANKING_FILE = "ranking.json"


class Sweep(NamedTuple):
    """The result of a sweep.

    Attributes:
        ranking: Its trials: finished ones from the best to the worst, then those stopped early, then the failed.
        winner: The best point's run at full length.
        files: Path or URI of each table and chart.
        run_id: ID of the MLflow run above those of the trials.
        tracking_uri: URI of the MLflow store that holds it.
    """

    ranking: list[RankedTrial]
    winner: TrainedModel
    files: list[str]
    run_id: str
    tracking_uri: str


class ReadySweep(NamedTuple):
    """A sweep that is checked as far as that is possible without Ray.

    Attributes:
        study: The study.
        base: The run that every trial varies.
        optuna: Search algorithm that proposes the points.
    """

    study: ReadyStudy[TuneConfig]
    base: TrainConfig
    optuna: Searcher


def open_sweep(config: TuneConfig) -> Sweep | ReadySweep:
    """Look for a finished sweep of this name; if there is none, check everything that can be checked without Ray.

    Args:
        config: The sweep; `train.data` and `train.storage` may be relative to the current folder.

    Raises:
        ConfigError: A study of this name has other settings, or settings do not fit the data, or name weights or
            detectors that are not there; or Optuna is not installed.
        DatasetError: A prepared dataset is missing, or has no validation rows.
    """
    config = absolute_study(config)
    finished = _finished_sweep(config)
    if finished:
        return finished
    optuna, base = _optuna(config), trial_base(config)
    return ReadySweep(ready_study(config, corners(config, base), split="val"), base, optuna)


def search(sweep: TuneConfig | ReadySweep, *, on_event: Callable[[Event], Any] = lambda event: None) -> Sweep:
    """Search, or go on with the interrupted search of this name; a finished one is not repeated.

    Args:
        sweep: What `open_sweep` returned, or settings to open.
        on_event: Called with lines of text, and with the progress of the winner's training.

    Raises:
        ConfigError: A study of this name has other settings, or settings do not fit the data or the cluster.
        DatasetError: A prepared dataset is missing, or has no validation rows.
        TrainingError: Every trial failed, or the winner's training did.
    """
    opened = open_sweep(sweep) if isinstance(sweep, TuneConfig) else sweep
    if isinstance(opened, Sweep):
        return opened
    config, study = opened.study.config, start_study(opened.study, dashboard=True)
    with ending(study, on_event):
        ranking = _search(opened, study, on_event)
        best = ranking[0]
        if best.status != "finished":
            raise TrainingError(f"sweep {config.name}: no trial of {len(ranking)} finished, one with: {best.reason}")
        write_record(config, RANKING_FILE, {"trials": [trial._asdict() for trial in ranking]})
        on_event(f"the best of {len(ranking)} trials is {best.run}: {words(best.point)}")
        trial = vary(opened.base, {**unflatten(best.point), "name": best.run}, where=best.run)
        full = winner_run(config, best.point)
        winner = take_trial(trial, full, on_event=on_event) or train(full, on_event=on_event)
    return _publish(config, study, ranking, winner, on_event)


def _finished_sweep(config: TuneConfig) -> Sweep | None:
    if not find_claim(config):
        return None
    result, found = read_record(config, RESULT_FILE), read_record(config, RANKING_FILE)
    if not result or not found:
        return None
    ranking = [RankedTrial(**row) for row in found["trials"]]
    winner = finished_run(winner_run(config, ranking[0].point))
    return Sweep(ranking, winner, **result) if winner else None


def trial_base(config: TuneConfig) -> TrainConfig:
    """Make the run that every trial varies: as long as a trial may be, in the sweep's own folder."""
    settings = {"epochs": config.longest_trial, "storage": f"{folder_of(config)}/trials"}
    return vary(config.train, settings, where=f"{config.name}, trial_epochs={config.longest_trial}")


def trial_run(point: Mapping[str, Any], trial_id: str, *, base: TrainConfig, name: str) -> TrainConfig:
    """Make the run of one trial."""
    return vary(base, {**unflatten(point), "name": f"{name}-{trial_id}"}, where=f"trial {trial_id}")


def corners(config: TuneConfig, base: TrainConfig) -> list[TrainConfig]:
    """Make the runs of all choices and of both ends of all ranges, so that errors in them show before any starts.

    Returns:
        The first run, and the last of each combination of detectors and weights that they name.

    Raises:
        ConfigError: Settings that are searched do not fit each other or the run's others.
    """
    names, ends = zip(*((name, domain.ends()) for name, domain in config.space.items()), strict=True)
    points = [dict(zip(names, values, strict=True)) for values in itertools.product(*ends)]
    name = f"{config.name}-trial"
    runs = [
        vary(base, {**unflatten(point), "name": name}, where=f"{config.name}, a trial with {words(point)}")
        for point in points
    ]
    for point in (points[0], points[-1]):
        winner_run(config, point)
    by_files = {(run.start_from, run.network.backbone_weights, run.objective.teacher_checkpoints): run for run in runs}
    return [runs[0], *by_files.values()]


def _search(ready: ReadySweep, study: Study, on_event: Callable[[Event], Any]) -> list[RankedTrial]:
    config = ready.study.config
    found = read_record(config, RANKING_FILE)
    if found:  # the search was over when the winner's training was interrupted
        return [RankedTrial(**row) for row in found["trials"]]
    metric, mode = _aim(config)
    recorder = run_trials(
        study,
        partial(trial_run, base=ready.base, name=config.name),
        metric=metric,
        split="val",
        on_event=on_event,
        resume=True,
        num_samples=config.trials,
        search_alg=ready.optuna,
        scheduler=ASHAScheduler(
            time_attr="epoch",
            metric=metric,
            mode=mode,
            grace_period=config.grace_epochs,
            reduction_factor=config.keep_one_in,
            # a run is never stopped after its last epoch: it would not come to publish its model
            max_t=config.longest_trial - 1,
            stop_last_trials=False,
        ),
    )
    ranking = ranked(list(recorder.records.values()), mode=mode, name=config.name)
    attempt(lambda: end_forgotten(study, {trial.run for trial in ranking}), on_event)
    return ranking


def _publish(
    config: TuneConfig,
    study: Study,
    ranking: list[RankedTrial],
    winner: TrainedModel,
    on_event: Callable[[Event], Any],
) -> Sweep:
    texts = ranking_files(config, ranking)
    sweep = Sweep(ranking, winner, write_texts(study.folder, texts), study.log.run_id, study.log.uri)
    for step in (
        lambda: RunLog(winner.tracking_uri, winner.run_id).tags({PARENT_TAG: study.log.run_id, TRIAL_TAG: "winner"}),
        lambda: study.log.metrics({f"winner/{name}": value for name, value in winner.metrics.items()}),
        lambda: log_texts(study.log, texts, under="sweep"),
        study.log.finish,
    ):
        attempt(step, on_event)
    result = {"files": sweep.files, "run_id": sweep.run_id, "tracking_uri": sweep.tracking_uri}
    write_record(config, RESULT_FILE, result)
    return sweep


def _aim(config: TuneConfig) -> tuple[str, str]:
    return f"val/{config.train.select_by}", "min" if lower_is_better(config.train.select_by) else "max"


def optuna_space(config: TuneConfig) -> dict[str, Any]:
    """Return the distribution that Optuna draws each searched setting from; of integers where it takes no others."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    current = flatten(config.train.model_dump(mode="json"))
    space: dict[str, Any] = {}
    for name, domain in config.space.items():
        if not isinstance(domain, Range):
            space[name] = CategoricalDistribution(domain.values)
        elif domain.of_integers(current.get(name)):
            space[name] = IntDistribution(int(domain.low), int(domain.high), log=domain.log)
        else:
            space[name] = FloatDistribution(domain.low, domain.high, log=domain.log)
    return space


def _optuna(config: TuneConfig) -> Searcher:
    try:
        import optuna
        from ray.tune.search.optuna import OptunaSearch
    except ImportError:
        raise ConfigError("a search needs Optuna: pip install 'dbd-ray[tune]', or take a grid") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    metric, mode = _aim(config)
    first = [flatten(point) for point in config.first]
    return OptunaSearch(optuna_space(config), metric=metric, mode=mode, points_to_evaluate=first, seed=config.seed)
