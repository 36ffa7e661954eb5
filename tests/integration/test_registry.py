"""MLflow's registry, against the file beside the checkpoints and against a server with PostgreSQL behind it."""

import base64
import json
import os
import sys
import urllib.request
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient

from dbd_ray import Detector
from dbd_ray.checkpoints.files import load_checkpoint, read_card
from dbd_ray.checkpoints.find import find_checkpoint
from dbd_ray.errors import CheckpointError, ConfigError
from dbd_ray.images.decode import decode_photo
from dbd_ray.images.encode import decode_mask, encode_photo
from dbd_ray.registration import log_model, promote, register
from dbd_ray.tracking.registry import RegisteredModel, find_champion
from dbd_ray.tracking.runs import RunLog, tracking_uri

pytestmark = pytest.mark.workers


@pytest.fixture(autouse=True)
def _no_server_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("MLFLOW_REGISTRY_URI", raising=False)


def _train(store: str, checkpoint: Path, name: str) -> tuple[RunLog, RegisteredModel]:
    """What a training run leaves in MLflow."""
    log = RunLog.open(store, "trained")
    log_model(log, checkpoint)
    return log, register(log, read_card(checkpoint), name)


def test_a_run_is_registered_once_and_is_the_candidate_until_the_next_run(store: str, tiny_model: Path) -> None:
    first, version = _train(store, tiny_model, "once")
    assert (version.name, version.version, version.run_id) == ("once", "1", first.run_id)
    log_model(first, tiny_model)  # as a run does that was cut off before it said that it is finished
    assert register(first, read_card(tiny_model), "once") == version

    _, newer = _train(store, tiny_model, "once")
    assert register(first, read_card(tiny_model), "once") == version
    client = MlflowClient(tracking_uri=store)
    assert {str(one.version) for one in client.search_model_versions("name = 'once'")} == {"1", "2"}
    assert client.get_model_version_by_alias("once", "candidate").run_id == newer.run_id


def test_a_registered_model_says_where_it_comes_from(store: str, tiny_model: Path) -> None:
    log, _ = _train(store, tiny_model, "described")
    card = read_card(tiny_model)
    version = MlflowClient(tracking_uri=store).get_model_version("described", "1")
    assert version.tags["fingerprint"] == card.fingerprint
    assert version.description is not None
    assert version.description.startswith("tiny: depth_distillation on mobilenetv2_035, ")
    assert version.run_id == log.run_id


def test_the_champion_is_who_was_promoted_and_loads_by_alias_and_version(
    store: str, tiny_model: Path, tiny_depth_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert find_champion(store, "crowned") is None
    log, first = _train(store, tiny_model, "crowned")
    assert find_champion(store, "crowned") is None
    assert promote(log, tiny_model, "crowned", {"promoted.because": "the first one"}) == first
    assert find_champion(store, "crowned") == first

    other = promote(RunLog.open(store, "evaluated"), tiny_depth_model, "crowned", {})  # registered nowhere yet
    assert (other.version, find_champion(store, "crowned")) == ("2", other)

    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    for uri, folder in (("@champion", tiny_depth_model), ("@candidate", tiny_model), ("/2", tiny_depth_model)):
        assert load_checkpoint(find_checkpoint(f"models:/crowned{uri}"))[1] == read_card(folder)
    detector = Detector.load("models:/crowned@champion", device="cpu")
    assert detector.detect([np.zeros((40, 50, 3), np.uint8)])[0].focus.shape == (40, 50)


def test_mlflow_loads_it_without_our_help_and_its_example_is_one(
    store: str, tiny_model: Path, cuhk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _train(store, tiny_model, "loaded")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    photo = (cuhk / "image" / "out_of_focus0001.jpg").read_bytes()
    model: Any = mlflow.pyfunc.load_model("models:/loaded@candidate", model_config={"engine": "eager"})
    assert list(model.metadata.signature.inputs.input_names()) == ["image"]
    assert model.metadata.metadata["card"] == read_card(tiny_model).model_dump(mode="json")
    found = model.predict(pd.DataFrame({"image": [photo, b"no photo"]}))
    assert list(found.columns) == model.metadata.signature.outputs.input_names()
    expected = Detector.load(tiny_model, device="cpu", engine="eager").detect([decode_photo(photo)])[0]
    assert found["in_focus_fraction"][0] == pytest.approx(expected.summary.in_focus_fraction)
    assert decode_mask(found["focus"][0], polarity="focus").shape == expected.focus.shape
    assert found["error"][0] is None
    assert "not_an_image" in found["error"][1]
    assert found["in_focus_fraction"][1] is None
    example = model.predict(model.input_example)
    assert (example["error"][0], len(example)) == (None, 1)


def test_mlflow_serves_the_champion(mlflow_server: str, tiny_model: Path, tmp_path: Path, services: Any) -> None:
    log, _ = _train(mlflow_server, tiny_model, "served")
    promote(log, tiny_model, "served", {})
    port = services.free_port()
    url = f"http://127.0.0.1:{port}"
    # MLflow starts uvicorn by its name, which is there in an environment that was activated
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", "models:/served@champion"]
    serving = services.start(
        [*command, "--env-manager", "local", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"],
        lambda: services.answers(f"{url}/ping"),
        log=tmp_path / "log.txt",
        env={**os.environ, "MLFLOW_TRACKING_URI": mlflow_server, "PATH": path},
    )
    pixels = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    photo = base64.b64encode(encode_photo(pixels)).decode()
    rows = {"dataframe_records": [{"image": photo}, {"image": base64.b64encode(b"no photo").decode()}]}
    json_type = {"Content-Type": "application/json"}
    asked = urllib.request.Request(f"{url}/invocations", json.dumps(rows).encode(), json_type)
    with urllib.request.urlopen(asked, timeout=300) as answer:
        good, bad = json.load(answer)["predictions"]
    services.stop(serving)
    assert decode_mask(base64.b64decode(good["focus"]), polarity="focus").shape == (48, 64)
    assert good["focus_model"] == f"tiny@{read_card(tiny_model).fingerprint[:16]}"
    assert (good["error"], bad["in_focus_fraction"]) == (None, None)
    assert "not_an_image" in bad["error"]


def test_the_default_store_needs_no_address(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    log, version = _train(tracking_uri("runs"), tiny_model, "dbd-ray")
    promote(log, tiny_model, "dbd-ray", {})
    for uri in ("models:/dbd-ray@champion", version.uri):
        assert Detector.load(uri, device="cpu").card == read_card(tiny_model)
    assert [path.name for path in tmp_path.iterdir()] == ["runs"], "MLflow looked elsewhere"


def test_a_model_that_is_not_registered_or_not_ours_is_named(
    store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    for uri in ("models:/absent@champion", "models:/absent/3"):
        with pytest.raises(CheckpointError, match=f"{uri}: not found in the MLflow registry") as error:
            find_checkpoint(uri)
        assert store in str(error.value)
    (tmp_path / "weights.bin").write_bytes(b"")
    log = RunLog.open(store, "not ours")
    log.files(tmp_path, under="other")
    client = MlflowClient(tracking_uri=store)
    client.create_registered_model("not-ours")
    client.create_model_version("not-ours", f"{client.get_run(log.run_id).info.artifact_uri}/other", log.run_id)
    with pytest.raises(CheckpointError, match=r"models:/not-ours/1: holds no card\.json"):
        find_checkpoint("models:/not-ours/1")


def test_a_registry_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch, services: Any) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    nobody = f"http://127.0.0.1:{services.free_port()}"
    with pytest.raises(ConfigError, match=f"{nobody}: the MLflow registry failed .*correct MLFLOW_TRACKING_URI"):
        find_champion(nobody, "dbd-ray")
