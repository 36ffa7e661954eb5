"""What `engine="auto"` promises: the fastest that was measured on this machine."""

import json
import logging
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from dbd_ray.checkpoints.files import load_checkpoint
from dbd_ray.engines import Engine, load_engine
from dbd_ray.engines.base import NetworkMaps

Load = Callable[[], Engine]


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for what engines keep."""
    monkeypatch.setenv("DBD_RAY_CACHE", str(tmp_path))
    return tmp_path


@pytest.fixture
def tiny(tiny_model: Path) -> Load:
    """Load a small network's engine, as chosen."""
    network, card = load_checkpoint(tiny_model)
    return lambda: load_engine(network.eval(), input_size=card.input_size, device=torch.device("cpu"))


class _Paced:
    """An engine whose passes take as long as it is told."""

    def __init__(self, name: str, seconds: float) -> None:
        self.name = name
        self.seconds = seconds
        self.passes = 0

    def __call__(self, photos: torch.Tensor) -> NetworkMaps:
        self.passes += 1
        threading.Event().wait(self.seconds)
        return NetworkMaps(torch.zeros(len(photos), 1, 1), None)


@pytest.fixture
def paced(monkeypatch: pytest.MonkeyPatch) -> dict[str, _Paced]:
    """The engines that `auto` chooses from, their speeds known."""
    engines = {"fused": _Paced("fused", 0.02), "onnx": _Paced("onnx", 0.01), "openvino": _Paced("openvino", 0.001)}

    def load(name: str, *_: object) -> _Paced:
        if name not in engines:
            raise ImportError(f"{name}: libtbb.so.12: cannot open shared object file")
        return engines[name]

    monkeypatch.setattr("dbd_ray.engines.choose._load", load)
    return engines


@pytest.mark.usefixtures("own_cache")
def test_auto_measures_once_takes_the_fastest_and_says_why(
    tiny: Load, paced: dict[str, _Paced], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        assert tiny().name == "openvino"
    assert re.search(
        r"engine openvino: photos/s of this DepthDistillation on .+: openvino \d.*, onnx .*, fused", caplog.text
    )
    passes = {name: engine.passes for name, engine in paced.items()}
    assert tiny().name == "openvino"
    assert {name: engine.passes for name, engine in paced.items()} == passes, "measured again"


@pytest.mark.usefixtures("own_cache")
def test_auto_measures_anew_where_the_machine_or_the_engines_are_others(
    tiny: Load, paced: dict[str, _Paced], monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny()
    paced["fused"].seconds = 0.0001
    monkeypatch.setattr("dbd_ray.engines.measure.describe_device", lambda device: "another processor")
    assert tiny().name == "fused"
    paced["onnx"].seconds = 0.0
    monkeypatch.setattr("dbd_ray.engines.measure.version", lambda library: "99")
    assert tiny().name == "onnx"


@pytest.mark.usefixtures("own_cache")
def test_auto_passes_over_an_engine_that_is_installed_and_broken(
    tiny: Load, paced: dict[str, _Paced], caplog: pytest.LogCaptureFixture
) -> None:
    del paced["openvino"]
    assert tiny().name == "onnx"
    assert "engine openvino is installed but does not load: openvino: libtbb.so.12" in caplog.text


@pytest.mark.parametrize("kept", ["", "{}", '{"photos_per_s": 3}', '{"photos_per_s": {"fused": "fast"}}'])
def test_damaged_figures_are_measured_anew(tiny: Load, paced: dict[str, _Paced], own_cache: Path, kept: str) -> None:
    tiny()
    (figures,) = own_cache.glob("speeds/*.json")
    figures.write_text(kept)
    assert tiny().name == "openvino"
    assert json.loads(figures.read_bytes())["photos_per_s"].keys() == paced.keys()


@pytest.mark.slow
def test_processes_that_load_at_the_same_time_wait_for_one_measurement(tiny_model: Path, own_cache: Path) -> None:
    command = [
        sys.executable,
        "-c",
        f"from dbd_ray import Detector; print(Detector.load({str(tiny_model)!r}).engine.name)",
    ]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    assert len({process.communicate()[0] for process in processes}) == 1
    assert len(list(own_cache.glob("speeds/*.json"))) == 1


@pytest.mark.usefixtures("own_cache")
def test_auto_spends_its_passes_on_engines_that_are_close(tiny: Load, paced: dict[str, _Paced]) -> None:
    paced["openvino"].seconds = paced["onnx"].seconds * 0.95
    tiny()
    assert paced["onnx"].passes == paced["openvino"].passes > paced["fused"].passes
