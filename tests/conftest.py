"""Fixtures shared by all tests: where the real photos and reference numbers are."""

import logging
import os
import re
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
import torch

from dbd_ray.checkpoints.card import make_card
from dbd_ray.checkpoints.files import save_checkpoint
from dbd_ray.config import NetworkConfig
from dbd_ray.models import build_network

os.environ.setdefault("RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S", "60")  # see `cli.session`
SHARED = Path(os.environ.get("DBD_SHARED", Path(__file__).parents[2] / "shared"))
DATA = Path(os.environ.get("DBD_DATA", SHARED / "data"))


def _present(path: Path) -> Path:
    if not path.exists():
        if os.environ.get("CI"):
            pytest.fail(f"{path} is absent, but CI must have it")
        pytest.skip(f"{path} is absent; set DBD_DATA or DBD_SHARED to where it is")
    return path


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Folder where engines keep what takes seconds to make: one for all processes of these tests, not the user's."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("DBD_RAY_CACHE", str(folder / "cache"))
        yield folder / "cache"


@pytest.fixture(scope="session")
def cuhk() -> Path:
    """The CUHK blur detection set, 704 photos (image/, gt/, test.txt)."""
    return _present(DATA / "cuhk")


@pytest.fixture(scope="session")
def bsds500() -> Path:
    """Mostly all-in-focus photos of the Berkeley segmentation set (train/, val/)."""
    return _present(DATA / "bsds500")


@pytest.fixture(scope="session")
def camera_files() -> Path:
    """Files of cameras, phones and programs in many formats: HEIC, camera raw, TIFF, MPO."""
    return _present(DATA / "camera_files")


@pytest.fixture(scope="session")
def reference() -> Path:
    """Numbers to reproduce: authors' outputs, parameter names, HiFST maps and metrics."""
    return _present(SHARED / "reference")


@pytest.fixture(scope="session")
def mobilenet_weights() -> Path:
    """ImageNet weights of MobileNetV2."""
    return _present(SHARED / "weights" / "mobilenetv2_100.imagenet.safetensors")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run what shares a Ray first, what asks the endpoint next, and what starts a Ray of its own last.

    So the shared Ray starts once, and no idle endpoint takes a part of the processor from the others.
    """
    items.sort(key=lambda item: [name in getattr(item, "fixturenames", ()) for name in ("own_ray", "endpoint")])


@pytest.fixture(scope="module")
def local_ray(request: pytest.FixtureRequest, s3: str) -> Iterator[None]:
    """A Ray of two CPUs, started by the first file that asks for it; its workers know the address of the S3 server."""
    import ray.data

    if not ray.is_initialized():
        # dashboard_port: see `cli.session`
        ray.init(address="local", num_cpus=2, include_dashboard=False, dashboard_port=0, logging_level=logging.WARNING)
    ray.data.DataContext.get_current().enable_progress_bars = False
    yield
    if any(item.path == request.path and item.get_closest_marker("chaos") for item in request.session.items):
        ray.shutdown()  # what was killed may still hold processors that the next file needs


@pytest.fixture(scope="module")
def own_ray() -> Iterator[None]:
    """No Ray before and none after, for files that start a Ray of their own."""
    import ray

    ray.shutdown()
    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def training_ray(local_ray: None) -> Iterator[None]:
    """A shared Ray of two CPUs for training runs, with one thread of torch here and without MLFLOW_TRACKING_URI."""
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        yield


@pytest.fixture(scope="session")
def s3() -> Iterator[str]:
    """URI of a bucket on a local S3 server; whoever starts Ray asks for it first, since workers inherit the address."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    address = {"AWS_ENDPOINT_URL": f"http://{host}:{port}"}
    account = {"AWS_ACCESS_KEY_ID": "somebody", "AWS_SECRET_ACCESS_KEY": "secret"}
    region = {"AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1"}
    with pytest.MonkeyPatch.context() as environment:
        for name, value in {**address, **account, **region}.items():
            environment.setenv(name, value)
        bucket = f"bucket-{uuid.uuid4().hex[:8]}"
        boto3.client("s3").create_bucket(Bucket=bucket)
        yield f"s3://{bucket}"
    server.stop()


@pytest.fixture(scope="session")
def part_of_cuhk(cuhk: Path) -> Callable[..., None]:
    """Function that copies the first photos and masks of CUHK into a folder in its layout, `test` of them for tests."""

    def copy(folder: Path, *, photos: int, test: int) -> None:
        chosen = sorted((cuhk / "image").iterdir())[:photos]
        for name in ("image", "gt"):
            (folder / name).mkdir(parents=True)
        for source in chosen:
            shutil.copy(source, folder / "image")
            shutil.copy(cuhk / "gt" / f"{source.stem}.png", folder / "gt")
        (folder / "test.txt").write_text("\n".join(source.name for source in chosen[:test]))

    return copy


@pytest.fixture(scope="session")
def kill_once() -> Callable[..., None]:
    """Function that starts a driver as a process of its own and kills it as soon as a condition holds."""

    def kill(condition: Callable[[], bool], command: list[str], env: Mapping[str, str] | None = None) -> None:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=env)
        try:
            while not condition():
                try:
                    _, complaint = process.communicate(timeout=0.1)
                except subprocess.TimeoutExpired:
                    continue
                pytest.fail(f"it ended before it could be interrupted: {complaint}")
        finally:
            process.kill()
            process.wait()

    return kill


def _save_tiny_model(folder: Path, *, depth: bool) -> Path:
    config = NetworkConfig(backbone="mobilenetv2_035", srfb="none", reduction=8, depth=depth)
    torch.manual_seed(3)
    network = build_network(config)
    with torch.no_grad():  # an untrained network's maps are nearly constant; these must differ between photos
        network.train()(torch.randn(8, 3, 64, 64))
        network.get_parameter("focus_fusion.weight").mul_(5)
    save_checkpoint(folder, network, make_card(network, config, name="tiny", input_size=(64, 64)))
    return folder


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Checkpoint folder of a small random network named `tiny`, for 64×64 pictures, without depth."""
    torch.set_num_threads(1)
    return _save_tiny_model(tmp_path_factory.mktemp("tiny-model"), depth=False)


@pytest.fixture(scope="session")
def tiny_depth_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Checkpoint folder of a small random network like `tiny_model`'s, with depth."""
    torch.set_num_threads(1)
    return _save_tiny_model(tmp_path_factory.mktemp("tiny-depth-model"), depth=True)


class ServedEndpoint:
    """`dbd-ray serve` as a process of its own.

    Args:
        arguments: Arguments of the command beside `--port`; it listens on a free port.
        env: Variables added to this process's environment.
    """

    def __init__(self, *arguments: str, env: Mapping[str, str] | None = None) -> None:
        clean = {name: value for name, value in os.environ.items() if name not in ("RAY_ADDRESS", "DBD_RAY_API_KEYS")}
        command = [sys.executable, "-c", "from dbd_ray.cli import main; main()", "serve", "--port", "0", *arguments]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**clean, **(env or {})}
        )
        self.said: list[str] = []
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said.append(line)
            if found := re.search(r"answers at (http://\S+)", line):
                self.url = found[1]
                return
        pytest.fail(f"the endpoint did not start: {''.join(self.said)}")

    def stop(self) -> int:
        """Stop it as a service manager does; gives the exit status."""
        self.process.terminate()  # and not as Ctrl-C does, which processes in the background of a shell ignore
        self.process.communicate(timeout=120)
        return self.process.returncode


@pytest.fixture(scope="session")
def served_endpoint() -> type[ServedEndpoint]:
    """The class that starts an endpoint with given arguments."""
    return ServedEndpoint


@pytest.fixture(scope="session")
def endpoint() -> Iterator[str]:
    """URL of an endpoint with the packaged model."""
    served = ServedEndpoint("--model", "lite")
    yield served.url
    assert served.stop() == 0
