"""Ablations, that of the first paper's Table 2 (Cun & Pun, ECCV 2020) among them, and its Table 3, the gamma grid."""

from collections.abc import Callable, Sequence
from typing import Any

from dbd_ray.config import PAPER_GAMMAS, VARIANTS, AblateConfig, TrainConfig, TuneConfig, vary
from dbd_ray.training.local_paths import absolute
from dbd_ray.tuning.grid import MAE, Grid, GridPlan, GridRow, GridRun, ReadyGrid, finished_grid, ready_grid, run_grid
from dbd_ray.tuning.plots import gamma_grid_chart
from dbd_ray.tuning.study import absolute_study, folder_of

# (F, MAE) on CUHK
TABLE_2 = {
    "ResNeXt-101": {
        "FCN": (0.917, 0.046),
        "+D": (0.922, 0.046),
        "+D+SRFB": (0.926, 0.045),
        "+D+RFB+SA": (0.931, 0.040),
        "full": (0.927, 0.042),
    },
    "VGG16": {"FCN": (0.911, 0.053), "full": (0.919, 0.048)},
}
TABLE_3 = {
    "ResNeXt-101": {
        "γ 0.01": (0.9253, 0.0438),
        "γ 0.05": (0.9208, 0.0442),
        "γ 0.1": (0.9267, 0.0424),
        "γ 1": (0.9231, 0.0434),
        "γ 5": (0.9222, 0.0430),
    }
}


def open_ablation(config: AblateConfig) -> Grid | ReadyGrid:
    """Look for a finished ablation of this name; if there is none, check everything that can be checked without Ray.

    Args:
        config: The ablation; `train.data` and `train.storage` may be relative to the current folder.

    Raises:
        ConfigError: A study of this name has other settings, or settings do not fit the data, or name weights or
            detectors that are not there.
        DatasetError: A prepared dataset is missing, or has no rows of the split.
    """
    config = absolute_study(config)
    return finished_grid(config) or ready_grid(config, ablation_plan(config))


def ablate(ablation: AblateConfig | ReadyGrid, *, on_event: Callable[[Any], Any] = lambda event: None) -> Grid:
    """Train and measure the rows of an ablation, or go on where that was interrupted.

    Args:
        ablation: What `open_ablation` returned, or settings to open.
        on_event: Called with lines of text now and then.

    Raises:
        ConfigError: A study of this name has other settings, or settings do not fit the data or the cluster.
        DatasetError: A prepared dataset is missing, or has no rows of the split.
        TrainingError: Every run failed.
    """
    opened = open_ablation(ablation) if isinstance(ablation, AblateConfig) else ablation
    return opened if isinstance(opened, Grid) else run_grid(opened, on_event=on_event)


def ablation_plan(config: AblateConfig) -> GridPlan:
    """Lay out the runs of an ablation: backbone by backbone, row by row, seed by seed."""
    backbones = config.backbones or {config.train.network.backbone: {}}
    rows = config.rows or {variant: VARIANTS[variant] for variant in config.variants}
    runs = []
    for backbone, settings in backbones.items():
        base = vary(config.train, settings, where=f"{config.name}, backbones.{backbone}")
        for row, own in rows.items():
            varied = vary(base, own, where=f"{config.name}, {backbone} {row}")
            runs += _seeded(config, varied, backbone, row, config.seeds)
    published = {} if config.rows else TABLE_2
    return GridPlan(runs, config.split, f"Ablation {config.name}", published, lambda found: {})


def open_gamma_grid(config: TuneConfig) -> Grid | ReadyGrid:
    """Look for a finished gamma grid of this name; if there is none, check it (errors as of `open_ablation`)."""
    config = absolute_study(config)
    return finished_grid(config) or ready_grid(config, gamma_plan(config))


def gamma_grid(grid: TuneConfig | ReadyGrid, *, on_event: Callable[[Any], Any] = lambda event: None) -> Grid:
    """Train and measure the gammas of Table 3, or go on where that was interrupted (errors as of `ablate`)."""
    opened = open_gamma_grid(grid) if isinstance(grid, TuneConfig) else grid
    return opened if isinstance(opened, Grid) else run_grid(opened, on_event=on_event)


def gamma_plan(config: TuneConfig) -> GridPlan:
    """Lay out the runs of the gamma grid."""
    backbone = config.train.network.backbone
    runs = []
    for gamma in PAPER_GAMMAS:
        settings = {"objective": {"depth_weight": gamma}}
        varied = vary(config.train, settings, where=f"{config.name}, gamma {gamma:g}")
        runs += _seeded(config, varied, backbone, f"γ {gamma:g}", config.seeds or (config.train.seed,))
    return GridPlan(runs, config.split, f"Gamma grid {config.name}", TABLE_3, _gamma_files)


def _seeded(
    config: AblateConfig | TuneConfig, varied: TrainConfig, backbone: str, variant: str, seeds: Sequence[int]
) -> list[GridRun]:
    runs = []
    for seed in seeds:
        name = "-".join((config.name, backbone, variant.replace("γ ", "gamma"), f"seed{seed}"))
        settings = {"name": name, "seed": seed, "storage": f"{folder_of(config)}/trials"}
        # a backbone may bring weights of its own
        runs.append(GridRun(backbone, variant, absolute(vary(varied, settings, where=name))))
    return runs


def _gamma_files(rows: Sequence[GridRow]) -> dict[str, str]:
    values = dict(zip(PAPER_GAMMAS, (row.metrics.get(MAE, []) for row in rows), strict=True))
    return {"gamma.svg": gamma_grid_chart(values, MAE)}
