"""The model is exchanged while photos are answered: no request fails, and a bad model changes nothing."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
import torch

from dbd_ray.checkpoints.card import make_card
from dbd_ray.checkpoints.files import load_checkpoint, save_checkpoint
from dbd_ray.config import NetworkConfig
from dbd_ray.models import build_network

pytestmark = [pytest.mark.ray, pytest.mark.chaos]
SWAPS = 20


@pytest.fixture(scope="module")
def other_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small random network that looks at pictures of another size than `tiny` does."""
    folder = tmp_path_factory.mktemp("other-model")
    config = NetworkConfig(backbone="mobilenetv2_035", srfb="none", reduction=8, depth=False)
    torch.manual_seed(4)
    network = build_network(config).eval()
    save_checkpoint(folder, network, make_card(network, config, name="other", input_size=(96, 128)))
    return folder


@pytest.fixture(scope="module")
def corrupt_model(other_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of it that was not copied to its end."""
    folder = shutil.copytree(other_model, tmp_path_factory.mktemp("corrupt") / "model")
    weights = max(folder.iterdir(), key=lambda path: path.stat().st_size)
    weights.write_bytes(weights.read_bytes()[:-1000])
    return folder


def test_no_request_fails_while_the_model_is_exchanged(
    deploy_file: Callable[[dict[str, Any]], str],
    plain_load: Callable[..., Any],
    serve_processes: Callable[[str], list[int]],
    tiny_model: Path,
    other_model: Path,
    corrupt_model: Path,
) -> None:
    def deploy(model: Path) -> str:
        one = {"autoscaling_config": {"min_replicas": 1, "max_replicas": 1}}  # so that all answers are of one model
        return deploy_file(
            {
                "name": "swapped",
                "route_prefix": "/swapped",
                "import_path": "dbd_ray.serving.application:build",
                "args": {"model": str(tiny_model), "engine": "eager"},
                "deployments": [{"name": "FocusDetector", **one, "user_config": {"model": str(model)}}],
            }
        )

    url = deploy(tiny_model)
    before = serve_processes("swapped:FocusDetector")
    prints = {path: load_checkpoint(path)[1].fingerprint for path in (tiny_model, other_model)}

    def used() -> dict[str, Any]:
        answer = httpx2.get(f"{url}/v1/model", timeout=60)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    with plain_load(url, clients=3) as load:
        for number in range(SWAPS):
            present, wanted = (tiny_model, other_model) if number % 2 == 0 else (other_model, tiny_model)
            if number == SWAPS // 2:
                deploy(corrupt_model)
                load.wait_until(lambda: used()["refused"], "the corrupt model to be refused")
                told = used()
                assert (told["source"], told["refused"]["source"]) == (str(present), str(corrupt_model))
                assert told["refused"]["message"]
            deploy(wanted)
            load.wait_until(lambda model=wanted: used()["source"] == str(model), "the model to be exchanged")
            assert used()["refused"] is None
            load.wait_until(
                lambda model=wanted: load.answers[-1:] and load.answers[-1].model == prints[model], "its answer"
            )
    assert {answer.status for answer in load.answers} == {200}
    assert {answer.model for answer in load.answers} == set(prints.values())
    assert serve_processes("swapped:FocusDetector") == before, "the model was exchanged in place"


@pytest.mark.slow
def test_no_request_fails_while_other_replicas_with_another_model_take_over(
    run_endpoint: Callable[..., str], plain_load: Callable[..., Any], tiny_model: Path, other_model: Path
) -> None:
    prints = {path: load_checkpoint(path)[1].fingerprint for path in (tiny_model, other_model)}
    url = run_endpoint({"model": str(tiny_model)}, name="replaced")
    with plain_load(url, clients=6) as load:
        for model in (other_model, tiny_model):
            begun = time.monotonic()
            load.wait_until(lambda since=begun: load.good(since) >= 6, "answers")
            run_endpoint({"model": str(model)}, name="replaced")
            load.wait_until(lambda wanted=model: load.answers[-1].model == prints[wanted], "an answer of the new one")
    assert {answer.status for answer in load.answers} == {200}
    assert {answer.model for answer in load.answers} == set(prints.values())
