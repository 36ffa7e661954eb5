"""Several sets at once: one table whose figures are those of each set alone, and one MLflow run."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from mlflow import MlflowClient

from dbd_ray import Detector
from dbd_ray.config import EvaluateConfig, build, read_yaml
from dbd_ray.errors import ConfigError, DatasetError
from dbd_ray.evaluation.bench import Bench, measure_sets
from dbd_ray.evaluation.bench_files import table_rows
from dbd_ray.evaluation.run import evaluate
from dbd_ray.images.decode import decode_photo
from dbd_ray.images.encode import encode_photo
from dbd_ray.metrics import FocusMetrics
from dbd_ray.metrics.stacks import StackMetrics

CONFIGS = Path(__file__).parents[3] / "jobs" / "configs"


@pytest.fixture(scope="module")
def stacks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two stacks of noise, sharp on the left in one frame and on the right in the other."""
    root = tmp_path_factory.mktemp("stacks")
    for seed, name in enumerate(("a", "b")):
        scene = np.random.default_rng(seed).integers(0, 256, (64, 96, 3), np.uint8)
        blurred = cv2.GaussianBlur(scene, (0, 0), 3)
        left = np.arange(96)[None, :, None] < 48
        (root / name).mkdir()
        for frame, photo in enumerate((np.where(left, scene, blurred), np.where(left, blurred, scene))):
            (root / name / f"{frame}.png").write_bytes(encode_photo(photo, format="png"))
    return root


def _config(model: Path, native: Path, prepared: Path, stacks: Path, out: Path) -> EvaluateConfig:
    sets = {
        "native": {"root": str(native)},
        "prepared": {"prepared": str(prepared), "split": "val"},
        "stacks": {"root": str(stacks), "layout": "stacks"},
    }
    settings = {"model": str(model), "out": str(out / "bench"), "storage": str(out), "device": "cpu", "sets": sets}
    return build(EvaluateConfig, settings, where="test")


@pytest.fixture(scope="module")
def measured(
    model: Path, native: Path, prepared: Path, stacks: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[EvaluateConfig, Bench]:
    config = _config(model, native, prepared, stacks, tmp_path_factory.mktemp("bench"))
    return config, measure_sets(config)


def test_the_figures_of_a_set_are_those_of_measuring_it_alone(
    measured: tuple[EvaluateConfig, Bench], model: Path, native: Path, tmp_path: Path
) -> None:
    alone = evaluate(
        EvaluateConfig(model=str(model), out=str(tmp_path / "r"), root=str(native), device="cpu", storage=str(tmp_path))
    )
    found = measured[1].sets["native"]
    assert {name: found.metrics[name] for name in alone.metrics} == pytest.approx(alone.metrics)
    assert set(found.metrics) - set(alone.metrics) <= {"partial_called_all_in_focus"}
    assert found.files["html"].read_text().count("<h1>") == 1


def test_stacks_are_measured_by_the_maps_of_their_frames(
    measured: tuple[EvaluateConfig, Bench], model: Path, stacks: Path
) -> None:
    detector, metrics = Detector.load(model, device="cpu", engine="eager"), StackMetrics()
    for folder in sorted(stacks.iterdir()):
        frames = [decode_photo(path.read_bytes()) for path in sorted(folder.iterdir())]
        metrics.update(frames, [found.focus for found in detector.detect(frames)])
    found = measured[1].sets["stacks"]
    assert found.metrics == pytest.approx(metrics.compute(), abs=1e-3)
    assert [(row["id"], row["frames"]) for row in found.per_stack] == [("a", 2), ("b", 2)]


def test_one_table_names_every_set_and_says_nothing_where_a_metric_does_not(
    measured: tuple[EvaluateConfig, Bench],
) -> None:
    config, found = measured
    head, rows = table_rows(config, found.sets)
    by_name = {row[0]: dict(zip(head, row, strict=True)) for row in rows}
    assert list(by_name) == ["native", "prepared", "stacks"]
    assert by_name["native"]["MAE"] == f"{found.sets['native'].metrics['mae']:.4f}"
    assert by_name["stacks"]["MAE"] == by_name["native"]["stacks"] == "–"
    written = json.loads(found.files["json"].read_text())
    assert written["sets"]["stacks"]["metrics"] == found.sets["stacks"].metrics
    markdown = found.files["markdown"].read_text()
    assert all(f"| {name} |" in markdown for name in by_name)
    assert "[native](native/report.md)" in markdown and "stacks/report.md" not in markdown
    assert "- `stack_accuracy`: Share of the clear pixels" in markdown


def test_all_sets_are_in_one_mlflow_run_by_their_names(measured: tuple[EvaluateConfig, Bench]) -> None:
    config, found = measured
    client = MlflowClient(tracking_uri=f"sqlite:///{config.storage}/mlflow.db")
    run = client.get_run(found.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.metrics == {
        f"{name}/{metric}": pytest.approx(value)
        for name, result in found.sets.items()
        for metric, value in result.metrics.items()
    }
    assert {Path(item.path).name for item in client.list_artifacts(found.run_id, "report")} == {
        *("bench.json", "bench.md", "native", "prepared"),
    }


def test_partial_photos_that_are_called_sharp_throughout_are_counted(
    measured: tuple[EvaluateConfig, Bench], pairs: dict[str, tuple[np.ndarray, np.ndarray]], model: Path
) -> None:
    detector, called, partial = Detector.load(model, device="cpu", engine="eager"), 0, 0
    for photo, truth in pairs.values():
        shares = FocusMetrics().update(detector.detect([photo])[0].focus, truth)
        if 0.02 < shares["in_focus_fraction_truth"] < 0.97:
            partial += 1
            called += shares["in_focus_fraction_map"] >= 0.97
    assert measured[1].sets["native"].metrics["partial_called_all_in_focus"] == pytest.approx(called / partial)


def test_a_set_with_problems_is_named_before_any_is_measured(
    model: Path, native: Path, prepared: Path, tmp_path: Path
) -> None:
    config = _config(model, native, prepared, tmp_path / "absent", tmp_path)
    heard: list[str] = []
    with pytest.raises(DatasetError, match="absent"):
        measure_sets(config, on_photo=lambda name, done, total: heard.append(name))
    assert heard == []
    with pytest.raises(DatasetError, match="exclude: no photo typo; remove it"):
        evaluate(EvaluateConfig(model=str(model), out=str(tmp_path / "r"), root=str(native), exclude=("typo",)))


def test_a_table_replaces_no_file_of_others(
    model: Path, native: Path, prepared: Path, stacks: Path, tmp_path: Path
) -> None:
    config = _config(model, native, prepared, stacks, tmp_path)
    (tmp_path / "bench").mkdir()
    (tmp_path / "bench" / "bench.md").write_text("mine")
    with pytest.raises(ConfigError, match=r"holds bench\.md, but no table of an evaluation"):
        measure_sets(config)
    assert (tmp_path / "bench" / "bench.md").read_text() == "mine"


def test_the_job_file_leaves_out_the_photos_that_the_recipe_leaves_out() -> None:
    config = build(EvaluateConfig, {**read_yaml(CONFIGS / "bench.yaml"), "model": "m", "out": "o"}, where="bench.yaml")
    assert list(config.sets) == ["cuhk_val", "szu_val", "sharp", "stacks"]
    left_out = yaml.safe_load((CONFIGS / "lite" / "sharp.yaml").read_text())["exclude"]
    assert set(config.sets["sharp"].exclude) == {name for name in left_out if name.startswith("test_")}
