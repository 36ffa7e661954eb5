"""The commands that train many runs: sweeps and ablations."""

from typing import Annotated

import typer

from dbd_ray.cli import study_steps
from dbd_ray.cli.options import Config, Set, given


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
    study_steps.tune(given(grid=grid, trials=trials), config, set_ or [])


def ablate(
    config: Config = None,
    set_: Set = None,
) -> None:
    r"""Train the variants of the paper's Table 2 with several seeds into one table; the same command resumes.

    dbd-ray ablate --config jobs/configs/ablation.yaml --set 'seeds=\[0, 1]'
    """
    study_steps.ablate(config, set_ or [])
