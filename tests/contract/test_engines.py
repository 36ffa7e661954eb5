"""What every engine promises: the same maps, from the same call."""

import json
import logging
import os
import threading
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dbd_ray.checkpoints.files import load_checkpoint
from dbd_ray.checkpoints.find import packaged_models
from dbd_ray.engines import ENGINES, installed_engines, load_engine, openvino_engine, predict_focus
from dbd_ray.engines.base import NetworkMaps
from dbd_ray.engines.choose import choose_engine, measurements
from dbd_ray.engines.onnx_engine import export_onnx, onnx_difference
from dbd_ray.errors import ConfigError
from dbd_ray.images.decode import decode_photo
from dbd_ray.models import FocusNetwork
from dbd_ray.names import EngineName

CPU = torch.device("cpu")
SIZE = (320, 320)
# compiling takes minutes
NAMES = [pytest.param(name, marks=[pytest.mark.slow] if name == "compiled" else []) for name in ENGINES]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for what engines keep."""
    monkeypatch.setenv("DBD_RAY_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module", params=sorted(packaged_models()))
def shipped(request: pytest.FixtureRequest) -> FocusNetwork:
    """A network that comes with the package."""
    return load_checkpoint(packaged_models()[request.param])[0].eval()


@pytest.fixture(scope="module")
def photos(cuhk: Path, bsds500: Path) -> torch.Tensor:
    """Real photos, partly and wholly in focus."""
    files = sorted((cuhk / "image").iterdir())[:4] + sorted((bsds500 / "val").iterdir())[:2]
    pixels = [decode_photo(file.read_bytes(), target_size=SIZE) for file in files]
    return torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2)


class TestEngine:
    """Promises that every engine keeps."""

    @pytest.mark.parametrize("name", NAMES)
    def test_its_maps_are_those_of_the_network_within_a_hundredth(
        self, name: EngineName, shipped: FocusNetwork, photos: torch.Tensor
    ) -> None:
        expected = predict_focus(shipped, photos)
        engine = load_engine(shipped, input_size=SIZE, device=CPU, engine=name)
        found = engine(photos)
        assert engine.name == name
        assert found.focus.shape == (len(photos), *SIZE)
        assert found.focus.dtype == torch.float32
        assert float((found.focus - expected.focus).abs().mean()) <= 0.01
        assert (found.depth is None) == (expected.depth is None)

    @pytest.mark.parametrize("name", NAMES)
    def test_it_takes_any_number_of_photos_and_keeps_what_it_gave(
        self, name: EngineName, tiny_model: Path, photos: torch.Tensor
    ) -> None:
        network, card = load_checkpoint(tiny_model)
        small = torch.nn.functional.interpolate(photos.float(), card.input_size).to(torch.uint8)
        engine = load_engine(network.eval(), input_size=card.input_size, device=CPU, engine=name)
        first = engine(small[:1]).focus
        kept = first.clone()
        everything = engine(small).focus
        assert len(everything) == len(small)
        assert torch.equal(first, kept)
        assert torch.allclose(everything[:1], first, atol=0.02)

    @pytest.mark.parametrize("name", NAMES)
    def test_the_network_stays_as_it_was(self, name: EngineName, tiny_model: Path) -> None:
        network, card = load_checkpoint(tiny_model)
        before = {key: value.clone() for key, value in network.state_dict().items()}
        load_engine(network.eval(), input_size=card.input_size, device=CPU, engine=name)
        after = network.state_dict()
        assert list(after) == list(before)
        assert all(torch.equal(after[key], value) for key, value in before.items())


def test_a_network_with_depth_shows_it_by_every_engine(tiny_depth_model: Path, photos: torch.Tensor) -> None:
    network, card = load_checkpoint(tiny_depth_model)
    small = torch.nn.functional.interpolate(photos.float(), card.input_size).to(torch.uint8)
    expected = predict_focus(network.eval(), small).depth
    assert expected is not None
    names: tuple[EngineName, ...] = ("fused", "onnx", "openvino")
    for name in names:
        engine = load_engine(network, input_size=card.input_size, device=CPU, engine=name)
        depth = engine(small).depth
        assert depth is not None
        assert float((depth - expected).abs().mean()) <= 0.02


def test_what_took_seconds_is_kept_for_the_next_time(
    tiny_model: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, card = load_checkpoint(tiny_model)
    settings: dict[str, Any] = {"input_size": card.input_size, "device": CPU, "fingerprint": card.fingerprint}
    load_engine(network.eval(), engine="onnx", **settings)
    (kept,) = cache.glob("*.onnx")
    assert kept.name.startswith(card.fingerprint[:32])

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("written again")

    monkeypatch.setattr("dbd_ray.engines.onnx_engine.export_onnx", refuse)
    load_engine(network, engine="onnx", **settings)
    load_engine(network, engine="openvino", **settings)


def test_a_cache_that_cannot_be_written_does_no_harm(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("DBD_RAY_CACHE", str(tmp_path / "file"))
    network, card = load_checkpoint(tiny_model)
    load_engine(network, input_size=card.input_size, device=CPU, engine="onnx", fingerprint=card.fingerprint)


def test_auto_takes_the_fastest_that_was_measured_here_and_says_why(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    speeds = {"eager": 10.0, "fused": 20.0, "onnx": 30.0, "compiled": 90.0, "openvino": 40.0}
    found = {"cpu test": {"DepthDistillation": speeds}}
    monkeypatch.setattr("dbd_ray.engines.choose.measurements", lambda: found)
    monkeypatch.setattr("dbd_ray.engines.choose.describe_device", lambda device: "cpu test")
    assert choose_engine("DepthDistillation", CPU, ENGINES)[0] == "openvino", "compiling is never a surprise"
    assert choose_engine("DepthDistillation", CPU, ("eager", "fused", "onnx"))[0] == "onnx"
    assert choose_engine("Other", CPU, ENGINES) == ("fused", "nothing was measured of Other on cpu test")
    network, card = load_checkpoint(tiny_model)
    with caplog.at_level(logging.INFO):
        load_engine(network, input_size=card.input_size, device=CPU)
    assert "engine openvino: frames/s measured of DepthDistillation on cpu test: openvino 40, onnx 30" in caplog.text


def test_what_was_measured_names_engines_that_exist() -> None:
    for networks in measurements().values():
        for speeds in networks.values():
            assert speeds.keys() <= set(ENGINES)


def test_engines_that_cannot_run_here_say_what_to_do(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network, card = load_checkpoint(tiny_model)
    with pytest.raises(ConfigError, match="engine=tensorrt: unknown, choose one of auto, eager"):
        load_engine(network, input_size=card.input_size, device=CPU, engine="tensorrt")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="engine=onnx runs on the CPU only"):
        load_engine(network, input_size=card.input_size, device=torch.device("cuda"), engine="onnx")
    monkeypatch.setitem(__import__("sys").modules, "openvino", None)
    with pytest.raises(ConfigError, match="pip install openvino"):
        load_engine(network, input_size=card.input_size, device=CPU, engine="openvino")
    assert installed_engines(torch.device("cuda")) == ("eager", "fused", "compiled")


def test_an_exported_file_needs_nothing_of_ours(shipped: FocusNetwork, photos: torch.Tensor, tmp_path: Path) -> None:
    import onnxruntime

    path = tmp_path / "model.onnx"
    export_onnx(shipped, path, input_size=SIZE, facts={"name": "shipped"})
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    assert json.loads(session.get_modelmeta().custom_metadata_map["input_size"]) == list(SIZE)
    assert session.get_modelmeta().custom_metadata_map["name"] == "shipped"
    for several in (1, 3):
        (focus,) = session.run(["focus"], {"photos": photos[:several].numpy()})
        expected = predict_focus(shipped, photos[:several]).focus.numpy()
        assert np.abs(focus - expected).max() <= 1e-3
    assert onnx_difference(shipped, path, input_size=SIZE) <= 1e-3


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="a matter of Linux")
def test_openvino_meets_others_of_its_kind_neither_on_a_processor_nor_in_its_first_pass(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    locked: list[bool] = []
    run = openvino_engine.OpenVinoEngine.__call__

    def watched(self: openvino_engine.OpenVinoEngine, photos: torch.Tensor) -> NetworkMaps:
        locked.append(openvino_engine._FIRST_PASS.locked())
        return run(self, photos)

    monkeypatch.setattr(openvino_engine.OpenVinoEngine, "__call__", watched)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in a worker of Ray, of which a machine has several
    try:
        network, card = load_checkpoint(tiny_model)
        engine = load_engine(network.eval(), input_size=card.input_size, device=CPU, engine="openvino")
        photos = torch.zeros(4, 3, *card.input_size, dtype=torch.uint8)
        with ThreadPoolExecutor(1) as pool:
            worker = pool.submit(threading.get_native_id).result()
            passes = pool.submit(lambda: [engine(photos) for _ in range(300)])
            seen = set()
            while wait([passes], timeout=0.001).not_done:
                seen.add(frozenset(os.sched_getaffinity(worker)))
            passes.result()
    finally:
        torch.set_num_threads(threads)
    assert locked == [True] + [False] * 300, "the first pass belongs to the constructor, which makes them in turn"
    assert seen == {frozenset(os.sched_getaffinity(0))}
