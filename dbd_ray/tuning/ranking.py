"""Ranking of a sweep's trials, as rows, as a table and as charts."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from dbd_ray.config import TuneConfig
from dbd_ray.readable import csv_text, markdown_table
from dbd_ray.tuning.plots import GAMMA, gamma_chart, parallel_chart
from dbd_ray.tuning.recorder import TrialRecord

_ORDER = ("finished", "stopped", "failed")


class RankedTrial(NamedTuple):
    """One trial of a sweep.

    Attributes:
        run: Name of its training run, in the folder `trials` of the sweep.
        status: "finished", "stopped" (early, by ASHA) or "failed".
        epochs: Number of epochs that it was trained for.
        value: Metric of its best epoch; None if it failed before its first epoch was over.
        point: Values of the settings that it tried, by dotted name.
        reason: Reason of its failure, or empty.
    """

    run: str
    status: str
    epochs: int
    value: float | None
    point: dict[str, Any]
    reason: str


def ranked(records: list[TrialRecord], *, mode: str, name: str) -> list[RankedTrial]:
    """Rank trials: those that finished by their best epoch, then those stopped early, then the failed.

    Args:
        records: Their records.
        mode: "min" if lower values are better, else "max".
        name: The sweep's name.
    """
    best = min if mode == "min" else max
    trials = [
        RankedTrial(
            f"{name}-{record.id}",
            record.status,
            record.epochs,
            best(record.values.values()) if record.values else None,
            record.point,
            record.reason,
        )
        for record in records
    ]
    sign = 1 if mode == "min" else -1
    return sorted(trials, key=lambda t: (_ORDER.index(t.status), t.value is None, sign * (t.value or 0), t.run))


def ranking_files(config: TuneConfig, ranking: list[RankedTrial]) -> dict[str, str]:
    """Write a ranking as a table and as charts; texts by file name."""
    metric = config.train.select_by
    names = list(config.space)
    head = ("rank", "run", "status", "epochs", metric)
    rows = [
        (
            str(place),
            trial.run,
            trial.status,
            str(trial.epochs),
            "–" if trial.value is None else f"{trial.value:.4f}",
            *(short(trial.point[name]) for name in names),
            trial.reason,
        )
        for place, trial in enumerate(ranking, 1)
    ]
    failed = "".join(f"\n- {trial.run} failed: {trial.reason}" for trial in ranking if trial.reason)
    table = markdown_table((*head, *short_names(names)), [row[:-1] for row in rows])  # reasons have lines of their own
    return {
        "ranking.md": f"# Sweep {config.name}\n\n{table}{failed}",
        "ranking.csv": csv_text([(*head, *names, "reason"), *rows]),
        "parallel.svg": parallel_chart(config.space, ranking, metric),
        **({"gamma.svg": gamma_chart(config.space[GAMMA], ranking, metric)} if GAMMA in config.space else {}),
    }


def short_names(names: Sequence[str]) -> list[str]:
    """Leave out the sections of settings' names (`lr` of `optimizer.lr`) where no two become the same."""
    last = [name.rpartition(".")[2] for name in names]
    return last if len(set(last)) == len(names) else list(names)


def words(point: Mapping[str, Any]) -> str:
    """Write a point for people."""
    return ", ".join(f"{name}={short(value)}" for name, value in point.items())


def short(value: Any) -> str:
    """Write the value of a setting, numbers with four digits."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
