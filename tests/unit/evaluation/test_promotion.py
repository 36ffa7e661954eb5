"""Who becomes champion: the first model, then only one that is better on the same photos."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from mlflow import MlflowClient

from dbd_ray import Detector
from dbd_ray.checkpoints.files import load_checkpoint, save_checkpoint
from dbd_ray.config import EvaluateConfig
from dbd_ray.errors import CheckpointError, ConfigError
from dbd_ray.evaluation.run import Evaluation, evaluate
from dbd_ray.tracking.registry import find_champion


@pytest.fixture(scope="module")
def constant(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that calls everything in focus."""
    network, card = load_checkpoint(model)
    with torch.no_grad():
        network.get_parameter("focus_fusion.weight").zero_()
        network.get_parameter("focus_fusion.bias").fill_(20.0)
    folder = tmp_path_factory.mktemp("constant")
    save_checkpoint(folder, network, card.model_copy(update={"name": "constant"}))
    return folder


def _evaluate(model: str | Path, native: Path, **settings: Any) -> Evaluation:
    return evaluate(EvaluateConfig(model=str(model), out="report", root=str(native), device="cpu", **settings))


def test_the_first_is_champion_and_the_next_only_if_it_is_better(
    model: Path, constant: Path, native: Path, tmp_path: Path
) -> None:
    mae = {name: _evaluate(folder, native).metrics["mae"] for name, folder in (("tiny", model), ("all", constant))}
    better, worse = (model, constant) if mae["tiny"] < mae["all"] else (constant, model)
    uri = f"sqlite:///{tmp_path}/runs/mlflow.db"
    client = MlflowClient(tracking_uri=uri)

    first = _evaluate(worse, native, promote=True)
    assert first.comparison is None
    assert first.decision == ("models:/dbd-ray/1 is @champion now: the first one, there was none to compare with")
    assert Detector.load("models:/dbd-ray@champion", device="cpu").card == load_checkpoint(worse)[1]

    again = _evaluate("models:/dbd-ray@champion", native, promote=True)
    assert (again.comparison, again.decision) == (None, "models:/dbd-ray/1 is @champion already: it is this model")

    second = _evaluate(better, native, promote=True)
    assert second.comparison is not None
    assert (second.comparison.verdict, second.comparison.against) == ("better", "models:/dbd-ray/1 (@champion)")
    assert second.comparison.value == pytest.approx(min(mae.values()), abs=1e-5)
    assert second.comparison.other_value == pytest.approx(max(mae.values()), abs=1e-5)
    assert second.decision == "models:/dbd-ray/2 is @champion now, in place of models:/dbd-ray/1"
    version = client.get_model_version("dbd-ray", "2")
    assert version.tags["promoted.because"] == str(second.comparison)
    assert version.tags["promoted.by_run"] == second.run_id == version.run_id

    third = _evaluate("models:/dbd-ray/1", native, promote=True)
    assert third.comparison is not None
    assert (third.comparison.verdict, third.decision) == ("worse", "models:/dbd-ray/2 stays @champion")
    champion = find_champion(uri, "dbd-ray")
    assert champion is not None
    assert (champion.version, champion.fingerprint) == ("2", load_checkpoint(better)[1].fingerprint)
    assert len(client.search_model_versions("name = 'dbd-ray'")) == 2, "what was registered is not registered again"

    tags = client.get_run(third.run_id).data.tags
    assert (tags["comparison.verdict"], tags["promotion"]) == ("worse", third.decision)
    assert float(tags["comparison.p_value"]) == third.comparison.p_value
    assert json.loads(third.files["metrics"].read_text())["comparison"]["verdict"] == "worse"
    assert "against" in third.files["markdown"].read_text()
    assert "Beside another model" in third.files["html"].read_text()


def test_any_two_models_are_compared_without_promoting(
    model: Path, constant: Path, native: Path, tmp_path: Path
) -> None:
    found = _evaluate(model, native, against=str(constant), compare_by="iou_at_half_focus")
    assert found.comparison is not None
    assert (found.comparison.metric, found.comparison.photos) == ("iou_at_half_focus", 13)
    assert found.comparison.value == pytest.approx(found.metrics["iou_at_half_focus"])
    assert found.decision is None
    assert find_champion(f"sqlite:///{tmp_path}/runs/mlflow.db", "dbd-ray") is None


def test_comparisons_that_say_nothing_are_refused_before_measuring(
    model: Path, constant: Path, native: Path, prepared: Path
) -> None:
    with pytest.raises(ConfigError, match=r"against: .* is the same model"):
        _evaluate(model, native, against=str(model))
    with pytest.raises(ConfigError, match="compare_by: 'f_max_of_mean_curve' is no mean over photos"):
        _evaluate(model, native, against=str(constant), compare_by="f_max_of_mean_curve")
    with pytest.raises(CheckpointError, match="absent: neither a checkpoint folder nor a model of the package"):
        _evaluate(model, native, against="absent")
    few = EvaluateConfig(model=str(model), out="report", prepared=str(prepared), against=str(constant))
    with pytest.raises(ConfigError, match="at least 10 photos, and the split has 4"):
        evaluate(few)
    assert not Path("report", "metrics.json").exists()
