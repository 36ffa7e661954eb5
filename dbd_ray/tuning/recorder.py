"""Recorder of a study's trials: keeps their records and reports on them while Ray Tune runs them."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from ray.tune import Callback
from ray.tune.experiment import Trial
from ray.tune.schedulers import ASHAScheduler

from dbd_ray.tracking.runs import RunLog, attempt
from dbd_ray.training.run_folder import find_claim
from dbd_ray.training.trainer import cause_of
from dbd_ray.tuning.trial import Plan

TRIAL_TAG = "dbd_ray.trial"
Status = Literal["running", "finished", "stopped", "failed"]


@dataclass
class TrialRecord:
    """The record of one trial.

    Attributes:
        id: Its ID in Ray Tune.
        point: Values of the settings that the study varies, by dotted name.
        values: The study's metric by epoch.
        status: Its state; "stopped": the scheduler ended it early.
        reason: Reason of its failure, or empty.
    """

    id: str
    point: dict[str, Any]
    values: dict[int, float] = field(default_factory=dict)
    status: Status = "running"
    reason: str = ""

    @property
    def epochs(self) -> int:
        """Epochs that it was trained for."""
        return max(self.values, default=0)


class Recorder(Callback):
    """Callback that records every trial; Ray Tune saves and restores the records together with its own state.

    Args:
        plan: Makes a trial's run from its point and its ID.
        log: The study's MLflow run.
        metric: Name of the reported value that is recorded, e.g. val/mae.
        on_event: Called with a line of text now and then.
        scheduler: Scheduler that stops trials early, or None. It is saved here, since Ray Tune restores searchers and
            callbacks after an interruption, but no scheduler, which would have nothing to compare trials with.
    """

    def __init__(
        self,
        plan: Plan,
        log: RunLog,
        *,
        metric: str,
        on_event: Callable[[str], Any],
        scheduler: ASHAScheduler | None = None,
    ) -> None:
        self.records: dict[str, TrialRecord] = {}
        self._plan = plan
        self._log = log
        self._metric = metric
        self._on_event = on_event
        self._scheduler = scheduler

    def unfinished(self) -> list[TrialRecord]:
        """Trials that Ray Tune left before their end."""
        return [record for record in self.records.values() if record.status == "running"]

    def get_state(self) -> dict[str, Any]:
        """Return the state that Ray Tune keeps for `set_state`."""
        return {"records": [asdict(record) for record in self.records.values()], "scheduler": self._saved_scheduler()}

    def set_state(self, state: dict[str, Any]) -> None:
        """Restore the records and the scheduler of an interrupted study."""
        self.records = {record["id"]: TrialRecord(**record) for record in state["records"]}
        if self._scheduler is not None and state["scheduler"] is not None:
            with TemporaryDirectory() as folder:
                path = Path(folder) / "scheduler"
                path.write_bytes(state["scheduler"])
                self._scheduler.restore(str(path))

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Record the trial's point; a failed trial that is tried again is as new."""
        record = self._record(trial)
        record.status, record.reason = "running", ""

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        """Record an epoch."""
        record, epoch, value = self.records[trial.trial_id], result.get("epoch"), result.get(self._metric)
        if epoch is None or value is None or epoch in record.values:  # Ray Tune repeats the last one when a run ends
            return
        record.values[epoch] = float(value)
        run = self._run(trial)
        self._on_event(f"{run.name}: epoch {epoch}/{run.epochs}  {self._metric} {value:.4f}")

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Record the end; the MLflow run of a trial that was stopped has nobody else left to end it."""
        record, run = self._record(trial), self._run(trial)
        # without a scheduler nothing stops a run, which on data without validation rows reports no values
        whole = self._scheduler is None or record.epochs >= run.epochs
        record.status = "finished" if whole else "stopped"
        if record.status == "stopped":
            self._on_event(f"{run.name}: stopped early after epoch {record.epochs}")
            self._end(trial, failed=False)

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Record a failure; the study goes on."""
        record = self._record(trial)  # a process that cannot even be started fails without having begun
        record.status = "failed"
        told = Path(trial.error_file).read_text(encoding="utf-8") if trial.error_file else "its process was lost"
        record.reason = cause_of(told)
        self._on_event(f"{self._run(trial).name}: failed, the others go on: {record.reason}")
        self._end(trial, failed=True)

    def _record(self, trial: Trial) -> TrialRecord:
        return self.records.setdefault(trial.trial_id, TrialRecord(trial.trial_id, dict(trial.config)))

    def _saved_scheduler(self) -> bytes | None:
        if self._scheduler is None:
            return None
        with TemporaryDirectory() as folder:
            path = Path(folder) / "scheduler"
            self._scheduler.save(str(path))
            return path.read_bytes()

    def _run(self, trial: Trial) -> Any:
        return self._plan(trial.config, trial.trial_id)

    def _end(self, trial: Trial, *, failed: bool) -> None:
        def end() -> None:
            run = self._run(trial)
            key = find_claim(run)
            if key:  # else it never began
                log = RunLog.open(self._log.uri, run.name, key=key)
                log.tags({TRIAL_TAG: "failed" if failed else "stopped early"})
                log.finish(failed=failed)

        attempt(end, lambda problem: self._on_event(f"{problem}; the study goes on"))
