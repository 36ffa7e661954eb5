"""The runs of the paper's tables, laid out before any of them starts."""

import math
import re
from pathlib import Path
from statistics import stdev

import pytest

from dbd_ray.config import load_ablate_config, load_tune_config
from dbd_ray.models import build_network
from dbd_ray.readable import csv_text, markdown_table
from dbd_ray.tuning.grid import F_BETA, MAE, GridRow, grid_tables
from dbd_ray.tuning.paper import TABLE_2, TABLE_3, ablation_plan, gamma_plan
from dbd_ray.tuning.tables import mean_and_deviation, plus_minus

SMALL = ["train.data=[nowhere]", "train.network.backbone=mobilenetv3_small_050", "train.network.reduction=16"]


def test_every_variant_of_table_2_is_the_network_that_its_name_says(tmp_path: Path) -> None:
    config = load_ablate_config(None, {}, ["name=a", f"train.storage={tmp_path}", "seeds=[3]", *SMALL])
    runs = {run.variant: run.config for run in ablation_plan(config).runs}
    assert set(runs) == set(TABLE_2["ResNeXt-101"])
    parts = {}
    for variant, run in runs.items():
        names = {name.split(".")[2] for name, _ in build_network(run.network).named_parameters() if "levels" in name}
        modules = {type(module).__name__ for module in build_network(run.network).modules()}
        blocks = modules & {"SelectiveFieldBlock", "MergedFieldBlock", "SideAttention"}
        parts[variant] = ("depth_head" in names, sorted(blocks))
        assert (run.objective.depth_weight > 0) == ("depth_head" in names)
        assert (run.seed, run.storage) == (3, f"{tmp_path}/a/trials")
    assert parts == {
        "FCN": (False, []),
        "+D": (True, []),
        "+D+SRFB": (True, ["SelectiveFieldBlock"]),
        "+D+RFB+SA": (True, ["MergedFieldBlock", "SideAttention"]),
        "full": (True, ["SelectiveFieldBlock", "SideAttention"]),
    }


def test_an_ablation_has_every_backbone_variant_and_seed_once_with_names_apart() -> None:
    backbones = "backbones={one: {batch_size: 4}, two: {network: {backbone: vgg16}}}"
    config = load_ablate_config(None, {}, ["name=a", "variants=[FCN, full]", "seeds=[0, 1]", backbones, *SMALL])
    runs = ablation_plan(config).runs
    assert [run.config.name for run in runs] == [
        f"a-{backbone}-{variant}-seed{seed}"
        for backbone in ("one", "two")
        for variant in ("FCN", "full")
        for seed in (0, 1)
    ]
    assert {run.config.batch_size for run in runs if run.backbone == "one"} == {4}
    assert {run.config.network.backbone for run in runs if run.backbone == "two"} == {"vgg16"}


def test_rows_of_ones_own_stand_instead_of_table_2() -> None:
    rows = {"alone": {}, "+D": {"objective": {"depth_weight": 0.1}, "network": {"depth": True}}}
    plain = ["train.network.depth=false", "train.objective.depth_weight=0"]
    config = load_ablate_config(None, {"rows": rows}, ["name=a", "seeds=[0]", *SMALL, *plain])
    plan = ablation_plan(config)
    assert [(run.variant, run.config.network.depth, run.config.objective.depth_weight) for run in plan.runs] == [
        ("alone", False, 0),
        ("+D", True, 0.1),
    ]
    assert plan.published == {}


def test_the_gamma_grid_is_that_of_table_3() -> None:
    config = load_tune_config(None, {"grid": "paper-gamma"}, ["name=g", "train.seed=5", *SMALL])
    runs = gamma_plan(config).runs
    assert [run.config.objective.depth_weight for run in runs] == [0.01, 0.05, 0.1, 1, 5]
    assert [run.variant for run in runs] == list(TABLE_3["ResNeXt-101"])
    assert {run.config.seed for run in runs} == {5}


@pytest.mark.parametrize(
    ("values", "text"),
    [([], "–"), ([0.5], "0.5000"), ([0.9, 0.92], "0.9100 ± 0.0141"), ([0.1, 0.1], "0.1000 ± 0.0000")],
)
def test_means_are_told_with_the_deviation_of_the_seeds(values: list[float], text: str) -> None:
    assert plus_minus(values) == text


def test_the_deviation_is_that_of_a_sample() -> None:
    mean, deviation = mean_and_deviation([1.0, 2.0, 4.0])
    assert mean == pytest.approx(7 / 3)
    assert deviation == pytest.approx(stdev([1.0, 2.0, 4.0]))
    assert math.isclose(mean_and_deviation([3.0])[0], 3.0)


def test_tables_survive_the_signs_that_markdown_and_csv_give_a_meaning() -> None:
    assert markdown_table(["a|b"], [["c"]]) == "| a\\|b |\n| --- |\n| c |\n"
    assert csv_text([["a"], ['x,"y"']]) == 'a\n"x,""y"""\n'


def test_the_table_has_spread_failures_and_the_papers_values_beside_ours() -> None:
    config = load_ablate_config(None, {}, ["name=a", "variants=[FCN, +D]", "seeds=[0, 1]", "train.epochs=8", *SMALL])
    plan = ablation_plan(config)
    rows = [
        GridRow("tiny", "FCN", {F_BETA: [0.9, 0.92], MAE: [0.05, 0.07]}, {}),
        GridRow("tiny", "+D", {}, {"a-tiny-+D-seed0": "not finite", "a-tiny-+D-seed1": "not finite"}),
    ]
    texts = grid_tables(plan, rows, [(160, 160)])
    lines = texts["table.md"].splitlines()
    assert "| tiny | FCN | 2 | 0.9100 ± 0.0141 | 0.0600 ± 0.0141 | 0.917 / 0.046 | 0.911 / 0.053 |" in lines
    assert "| tiny | +D | 0, 2 failed | – | – | 0.922 / 0.046 | – |" in lines
    widest = "| MobileNetV2 | +D+RFB+SA | 2 | 0.9100 ± 0.0141 | 0.0600 ± 0.0141 | 0.931 / 0.040 | – |"
    names = [row._replace(backbone="MobileNetV2", variant="+D+RFB+SA") for row in rows[:1]]
    assert widest in grid_tables(plan, names, [(160, 160)])["table.md"].splitlines()
    assert all(len(line) <= 100 for line in [widest, *lines] if line.startswith("|"))
    assert "- a-tiny-+D-seed1 failed: not finite" in lines
    assert "on the test rows of the prepared data at 160×160 px; the networks saw 160×160 px" in texts["table.md"]
    assert "trained for 8 epochs in batches of 8" in texts["table.md"]
    assert "tiny,FCN,mae,2,0.05,0.07" in texts["values.csv"].splitlines()


@pytest.mark.parametrize(
    ("split", "measured"), [("test", "test rows of the prepared data at 160×160 px"), ("val", "val rows of .*96×96 px")]
)
def test_the_table_says_at_what_size_it_was_measured_and_what_the_networks_saw(split: str, measured: str) -> None:
    backbones = "backbones={one: {batch_size: 4}, two: {batch_size: 6}}"
    sizes = [f"split={split}", "train.input_size=[96, 96]"]
    config = load_ablate_config(None, {}, ["name=a", "variants=[FCN]", "seeds=[0]", backbones, *sizes, *SMALL])
    table = grid_tables(ablation_plan(config), [], [(160, 160)])["table.md"]
    assert re.search(f"Measured on the {measured}; the networks saw 96×96 px and .* in batches of 4 or 6", table)
