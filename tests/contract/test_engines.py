"""What every engine promises: the same maps, from the same call."""

import json
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from dbd_ray.checkpoints.files import load_checkpoint
from dbd_ray.checkpoints.find import packaged_models
from dbd_ray.engines import ENGINES, installed_engines, load_engine, openvino_engine, predict_focus
from dbd_ray.engines.base import NetworkMaps
from dbd_ray.engines.onnx_engine import kept_onnx, onnx_difference
from dbd_ray.errors import ConfigError
from dbd_ray.images.decode import decode_photo
from dbd_ray.models import FocusNetwork
from dbd_ray.names import EngineName

CPU = torch.device("cpu")
SIZE = (320, 320)
# compiling takes minutes
NAMES = [pytest.param(name, marks=[pytest.mark.slow] if name == "compiled" else []) for name in ENGINES]


class Given(NamedTuple):
    """A network and what engines want to know of it."""

    network: FocusNetwork
    settings: dict[str, Any]

    def kept(self) -> bytes:
        """Give its ONNX file, which is written once for all tests."""
        with kept_onnx(self.network, self.settings["input_size"], self.settings["fingerprint"]) as path:
            return path.read_bytes()


def _given(folder: Path, input_size: tuple[int, int] | None = None) -> Given:
    network, card = load_checkpoint(folder)
    settings = {"input_size": input_size or card.input_size, "device": CPU, "fingerprint": card.fingerprint}
    return Given(network.eval(), settings)


@pytest.fixture(scope="module", params=sorted(packaged_models()))
def shipped(request: pytest.FixtureRequest) -> Given:
    """A network that comes with the package."""
    return _given(packaged_models()[request.param], SIZE)


@pytest.fixture
def tiny(tiny_model: Path) -> Given:
    """A network of which a pass takes a moment."""
    return _given(tiny_model)


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for what engines keep."""
    monkeypatch.setenv("DBD_RAY_CACHE", str(tmp_path))
    return tmp_path


@pytest.fixture
def exports(tiny: Given, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Where the tiny network's ONNX file was written, in a test that writes it in a moment."""
    whole, written = tiny.kept(), list[Path]()

    def export(network: FocusNetwork, path: Path, **_: object) -> None:
        path.write_bytes(whole)
        written.append(path)

    monkeypatch.setattr("dbd_ray.engines.onnx_engine.export_onnx", export)
    return written


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
        self, name: EngineName, shipped: Given, photos: torch.Tensor
    ) -> None:
        expected = predict_focus(shipped.network, photos)
        engine = load_engine(shipped.network, engine=name, **shipped.settings)
        found = engine(photos)
        assert engine.name == name
        assert found.focus.shape == (len(photos), *SIZE)
        assert found.focus.dtype == torch.float32
        assert float((found.focus - expected.focus).abs().mean()) <= 0.01
        assert (found.depth is None) == (expected.depth is None)

    @pytest.mark.parametrize("name", NAMES)
    def test_it_takes_any_number_of_photos_and_keeps_what_it_gave(
        self, name: EngineName, tiny: Given, photos: torch.Tensor
    ) -> None:
        small = _small(photos, tiny)
        engine = load_engine(tiny.network, engine=name, **tiny.settings)
        first = engine(small[:1]).focus
        kept = first.clone()
        everything = engine(small).focus
        assert len(everything) == len(small)
        assert torch.equal(first, kept)
        assert torch.allclose(everything[:1], first, atol=0.02)

    @pytest.mark.parametrize("name", NAMES)
    def test_every_one_of_many_threads_gets_its_own_photos_maps(self, name: EngineName, tiny: Given) -> None:
        engine = load_engine(tiny.network, engine=name, **tiny.settings)
        shape = (24, 1, 3, *tiny.settings["input_size"])
        photos = torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(2))
        alone = [engine(photo).focus for photo in photos]
        assert all(float((one - alone[0]).abs().max()) > 0.01 for one in alone[1:]), "the photos must differ"
        with ThreadPoolExecutor(6) as pool:
            found = list(pool.map(lambda turn: engine(photos[turn % 24]).focus, range(240)))
        for turn, focus in enumerate(found):
            torch.testing.assert_close(focus, alone[turn % 24], rtol=0, atol=1e-3)

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="a matter of POSIX")
    @pytest.mark.parametrize("name", ["fused", "openvino"])
    def test_a_forked_copy_says_so_at_once(self, name: EngineName, tiny_model: Path) -> None:
        script = f"""
import os
import numpy as np
from dbd_ray import Detector, DbdRayError
detector = Detector.load({str(tiny_model)!r}, engine={name!r}, device="cpu")
photo = np.zeros((80, 90, 3), np.uint8)
detector.detect([photo])
child = os.fork()
if child == 0:
    try:
        detector.detect([photo])
    except DbdRayError as error:
        os._exit(7 if "load a detector in each process" in str(error) else 8)
    os._exit(9)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
"""
        subprocess.run([sys.executable, "-c", script], check=True, timeout=300)

    @pytest.mark.parametrize("name", NAMES)
    def test_the_network_stays_as_it_was(self, name: EngineName, tiny: Given) -> None:
        before = {key: value.clone() for key, value in tiny.network.state_dict().items()}
        load_engine(tiny.network, engine=name, **(tiny.settings | {"fingerprint": None}))
        after = tiny.network.state_dict()
        assert list(after) == list(before)
        assert all(torch.equal(after[key], value) for key, value in before.items())


def _small(photos: torch.Tensor, given: Given) -> torch.Tensor:
    return torch.nn.functional.interpolate(photos.float(), given.settings["input_size"]).to(torch.uint8)


def test_a_network_with_depth_shows_it_by_every_engine(tiny_depth_model: Path, photos: torch.Tensor) -> None:
    given = _given(tiny_depth_model)
    small = _small(photos, given)
    expected = predict_focus(given.network, small).depth
    assert expected is not None
    names: tuple[EngineName, ...] = ("fused", "onnx", "openvino")
    for name in names:
        engine = load_engine(given.network, engine=name, **given.settings)
        depth = engine(small).depth
        assert depth is not None
        assert float((depth - expected).abs().mean()) <= 0.02


def test_what_took_seconds_is_kept_for_the_next_time(tiny: Given, exports: list[Path], own_cache: Path) -> None:
    names: tuple[EngineName, ...] = ("onnx", "onnx", "openvino")
    for name in names:
        load_engine(tiny.network, engine=name, **tiny.settings)
    assert len(exports) == 1
    (kept,) = own_cache.glob("*.onnx")
    assert kept.name.startswith(tiny.settings["fingerprint"][:32])


def test_a_cache_that_cannot_be_written_does_no_harm(
    tiny: Given, exports: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("DBD_RAY_CACHE", str(tmp_path / "file"))
    load_engine(tiny.network, engine="onnx", **tiny.settings)
    assert exports


def test_engines_that_cannot_run_here_say_what_to_do(tiny: Given, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="engine=tensorrt: unknown, choose one of auto, eager"):
        load_engine(tiny.network, engine="tensorrt", **tiny.settings)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="engine=onnx runs on the CPU only"):
        load_engine(tiny.network, engine="onnx", **(tiny.settings | {"device": torch.device("cuda")}))
    monkeypatch.setitem(__import__("sys").modules, "openvino", None)
    with pytest.raises(ConfigError, match="pip install openvino"):
        load_engine(tiny.network, engine="openvino", **tiny.settings)
    assert installed_engines(torch.device("cuda")) == ("eager", "fused", "compiled")


def test_an_exported_file_needs_nothing_of_ours(shipped: Given, photos: torch.Tensor, tmp_path: Path) -> None:
    import onnxruntime

    path = tmp_path / "model.onnx"
    path.write_bytes(shipped.kept())
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    assert json.loads(session.get_modelmeta().custom_metadata_map["input_size"]) == list(SIZE)
    for several in (1, 3):
        (focus,) = session.run(["focus"], {"photos": photos[:several].numpy()})
        expected = predict_focus(shipped.network, photos[:several]).focus.numpy()
        assert np.abs(focus - expected).max() <= 1e-3
    assert onnx_difference(shipped.network, path, input_size=SIZE) <= 1e-3


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="a matter of Linux")
def test_openvino_meets_others_of_its_kind_neither_on_a_processor_nor_in_its_first_pass(
    tiny: Given, monkeypatch: pytest.MonkeyPatch
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
        engine = load_engine(tiny.network, engine="openvino", **tiny.settings)
        photos = torch.zeros(4, 3, *tiny.settings["input_size"], dtype=torch.uint8)
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
