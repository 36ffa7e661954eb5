"""A search over settings of a run: Optuna proposes, ASHA stops the hopeless, the winner is trained at full length."""

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
from dbd_ray.training.run_folder import RESULT_FILE, TrainedModel, find_claim, read_record, write_record
from dbd_ray.training.trainer import finished_run, train
from dbd_ray.tuning.ranking import RankedTrial, ranked, ranking_files, words
from dbd_ray.tuning.recorder import TRIAL_TAG
from dbd_ray.tuning.study import (
    Study,
    absolute_study,
    check_study,
    end_forgotten,
    ending,
    folder_of,
    open_study,
    run_trials,
)
from dbd_ray.tuning.tables import log_texts, write_texts

RANKING_FILE = "ranking.json"


class Sweep(NamedTuple):
    """What a sweep leaves.

    Attributes:
        ranking: Its trials: finished ones from the best to the worst, then those stopped early, then the failed.
        winner: The best point's run at full length.
        files: Path or URI of each table and chart.
        run_id: The MLflow run above those of the trials.
        tracking_uri: Where it is.
    """

    ranking: list[RankedTrial]
    winner: TrainedModel
    files: list[str]
    run_id: str
    tracking_uri: str


def search(config: TuneConfig, *, on_event: Callable[[Event], Any] = lambda event: None) -> Sweep:
    """Search, or go on with the interrupted search of this name; a finished one is not repeated.

    Args:
        config: The sweep; `train.data` and `train.storage` may be relative to the current folder.
        on_event: Called with lines of text, and with the progress of the winner's training.

    Raises:
        ConfigError: A study of this name has other settings, or settings do not fit the data or the cluster.
        DatasetError: A prepared dataset is missing, or has no validation rows.
        TrainingError: Every trial failed, or the winner's training did.
    """
    config = absolute_study(config)
    finished = finished_sweep(config)
    if finished:
        return finished
    base, optuna = trial_base(config), _optuna(config)
    study = open_study(config, corners(config, base), split="val", dashboard=True)
    with ending(study, on_event):
        ranking = _search(config, base, study, optuna, on_event)
        best = ranking[0]
        if best.status != "finished":
            raise TrainingError(f"sweep {config.name}: no trial of {len(ranking)} finished, one with: {best.reason}")
        write_record(config, RANKING_FILE, {"trials": [trial._asdict() for trial in ranking]})
        on_event(f"the best of {len(ranking)} trials is {best.run}: {words(best.point)}; training it in full")
        winner = train(winner_run(config, best.point), on_event=on_event)
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


def check_sweep(config: TuneConfig) -> None:
    """Find, without Ray, what is wrong with a sweep (arguments and errors as of `search`)."""
    config = absolute_study(config)
    _optuna(config)
    check_study(config, corners(config, trial_base(config)), split="val")


def finished_sweep(config: TuneConfig) -> Sweep | None:
    """Read what a finished sweep of this name left; None if it is new, or was interrupted.

    Raises:
        ConfigError: A study of this name has other settings.
    """
    config = absolute_study(config)
    if not find_claim(config):
        return None
    result, found = read_record(config, RESULT_FILE), read_record(config, RANKING_FILE)
    if not result or not found:
        return None
    ranking = [RankedTrial(**row) for row in found["trials"]]
    winner = finished_run(winner_run(config, ranking[0].point))
    return Sweep(ranking, winner, **result) if winner else None


def trial_base(config: TuneConfig) -> TrainConfig:
    """The run that every trial varies: as long as a trial may be, in the sweep's own folder."""
    settings = {"epochs": config.longest_trial, "storage": f"{folder_of(config)}/trials"}
    return vary(config.train, settings, where=f"{config.name}, trial_epochs={config.longest_trial}")


def trial_run(point: Mapping[str, Any], trial_id: str, *, base: TrainConfig, name: str) -> TrainConfig:
    """The run of one trial."""
    return vary(base, {**unflatten(point), "name": f"{name}-{trial_id}"}, where=f"trial {trial_id}")


def winner_run(config: TuneConfig, point: Mapping[str, Any]) -> TrainConfig:
    """The run of the best point at full length: an ordinary one, beside the sweep's folder."""
    return vary(config.train, {**unflatten(point), "name": f"{config.name}-winner"}, where=f"{config.name}, winner")


def corners(config: TuneConfig, base: TrainConfig) -> list[TrainConfig]:
    """Make the runs of all choices and of both ends of all ranges: what is wrong with one shows before any starts.

    Returns:
        The first, and the last of each combination of detectors and weights that they name.

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


def _search(
    config: TuneConfig, base: TrainConfig, study: Study, optuna: Searcher, on_event: Callable[[Event], Any]
) -> list[RankedTrial]:
    found = read_record(config, RANKING_FILE)
    if found:  # the search was over when the winner's training was interrupted
        return [RankedTrial(**row) for row in found["trials"]]
    metric, mode = _aim(config)
    recorder = run_trials(
        study,
        partial(trial_run, base=base, name=config.name),
        metric=metric,
        split="val",
        on_event=on_event,
        resume=True,
        num_samples=config.trials,
        search_alg=optuna,
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


def _aim(config: TuneConfig) -> tuple[str, str]:
    return f"val/{config.train.select_by}", "min" if lower_is_better(config.train.select_by) else "max"


def optuna_space(config: TuneConfig) -> dict[str, Any]:
    """What Optuna may draw for each searched setting: whole numbers where the setting takes no others."""
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
