"""A packaged model's card has the metrics of that model, and of no other."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

from dbd_ray.checkpoints.files import read_card
from dbd_ray.detection.detector import Detector
from dbd_ray.evaluation.measure import describe

JOB = Path(__file__).parents[2] / "jobs" / "package.py"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The job, with a folder of its own to write to."""
    spec = importlib.util.spec_from_file_location("package_job", JOB)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "WEIGHTS", tmp_path / "weights")
    return module


def _report(folder: Path, model: Path, mae: float) -> str:
    facts = describe(Detector.load(model, device="cpu", engine="eager"))
    content = {"model": facts, "metrics": {"mae": mae}, "dataset": "cuhk", "images": 100}
    (folder / "metrics.json").write_text(json.dumps(content))
    return str(folder / "metrics.json")


def test_metrics_of_the_model_and_then_of_what_was_packaged_come_into_the_card(
    package: ModuleType, tiny_model: Path, tmp_path: Path
) -> None:
    packaged = tmp_path / "weights" / "small"
    for measured, mae in ((tiny_model, 0.1), (packaged, 0.2)):
        package.main([str(tiny_model), "--name", "small", "--metrics", _report(tmp_path, measured, mae)])
        card = read_card(packaged)
        assert (card.name, card.metrics) == ("small", {"mae": mae})
        assert card.provenance["measured_on"] == "cuhk, 100 photos"
    assert card.fingerprint != read_card(tiny_model).fingerprint


def test_metrics_of_another_model_are_refused(
    package: ModuleType, tiny_model: Path, tiny_depth_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        package.main([str(tiny_model), "--metrics", _report(tmp_path, tiny_depth_model, 0.1)])
    said = capsys.readouterr().err
    assert f"was measured on tiny@{read_card(tiny_depth_model).fingerprint[:16]}" in said
    assert f"neither {tiny_model} (@{read_card(tiny_model).fingerprint[:16]}) nor what is packaged" in said
    assert not (tmp_path / "weights").exists()


@pytest.mark.parametrize("content", [None, "no JSON", "[]", '{"metrics": {"mae": 0.1}}'])
def test_what_is_no_report_is_named(
    content: str | None, package: ModuleType, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if content is not None:
        (tmp_path / "metrics.json").write_text(content)
    with pytest.raises(SystemExit):
        package.main([str(tiny_model), "--metrics", str(tmp_path / "metrics.json")])
    assert f"--metrics: {tmp_path}/metrics.json is no metrics.json of `dbd-ray evaluate`" in capsys.readouterr().err
