"""Promises of `dbd-ray serve --haproxy`: the same answers without Ray's own proxy, beside other endpoints."""

import io
import mmap
import platform
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import psutil
import pytest
from PIL import Image

from dbd_ray import Detector
from dbd_ray.cli.serve import HAPROXY_FOLDER, ONE_MACHINE
from dbd_ray.images.decode import decode_photo

pytestmark = [pytest.mark.ray, pytest.mark.cluster, pytest.mark.slow]

JPEG = {"content-type": "image/jpeg"}
TIMEOUT_S = 120


def _folders() -> set[Path]:
    return set(Path("/tmp").glob(f"{HAPROXY_FOLDER}*"))


@pytest.fixture(scope="module")
def served(served_endpoint: Any) -> Any:
    before = _folders()
    served = served_endpoint("--model", "lite", "--haproxy")
    (folder,) = _folders() - before
    assert folder.stat().st_mode & 0o077 == 0, "others could tell HAProxy where to send photos"
    assert list(folder.rglob("haproxy.cfg"))
    yield served
    assert served.stop() == 0
    assert not folder.exists()


def _listeners(served: Any) -> set[str]:
    """Names of the processes that listen at an endpoint's port."""
    port = int(served.url.rsplit(":", 1)[1])
    names = set()
    for process in psutil.Process(served.process.pid).children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            connections = process.net_connections("tcp")
            if any(one.status == psutil.CONN_LISTEN and one.laddr.port == port for one in connections):
                names.add(process.name())
    return names


def test_haproxy_takes_the_requests_and_answers_are_the_detectors(served: Any, cuhk: Path) -> None:
    assert _listeners(served) == {"haproxy"}
    photos = [path.read_bytes() for path in sorted((cuhk / "image").glob("*.jpg"))[:6]]
    expected = Detector.load("lite").detect([decode_photo(photo) for photo in photos])

    def ask(photo: bytes) -> np.ndarray:
        url = f"{served.url}/v1/focus"
        answer = httpx2.post(url, content=photo, headers=JPEG | {"accept": "image/png"}, timeout=TIMEOUT_S)
        assert answer.status_code == 200, answer.text
        return np.asarray(Image.open(io.BytesIO(answer.content))).astype(int)

    with ThreadPoolExecutor(6) as clients:
        for found, wanted in zip(clients.map(ask, photos), expected, strict=True):
            assert np.abs(found - np.rint(wanted.focus * 255)).max() <= 1


def test_limits_and_request_ids_are_as_behind_rays_own_proxy(served: Any) -> None:
    limit = httpx2.get(f"{served.url}/v1/model", timeout=TIMEOUT_S).json()["limits"]["max_bytes"]
    for size, status, reason in ((limit, 400, "not_an_image"), (limit + 1, 413, "too_many_bytes")):
        headers = JPEG | {"x-request-id": f"mine{size}"}
        answer = httpx2.post(f"{served.url}/v1/focus", content=bytes(size), headers=headers, timeout=TIMEOUT_S)
        assert (answer.status_code, answer.json()["reason"]) == (status, reason)
        assert answer.json()["request_id"] == f"mine{size}"
        assert answer.headers.get_list("x-request-id") == [f"mine{size}"]


def _replicas(served: Any) -> dict[str, list[psutil.Process]]:
    """Processes of an endpoint's replicas, by their deployments."""
    replicas = defaultdict(list)
    for process in psutil.Process(served.process.pid).children(recursive=True):
        with suppress(psutil.Error):
            if (title := " ".join(process.cmdline())).startswith("ray::ServeReplica"):
                replicas[title.split(":")[4].split(".")[0].strip()].append(process)
    return replicas


def test_its_replicas_work_with_the_settings_of_one_machine(served: Any) -> None:
    replicas = _replicas(served)
    assert {"FocusDetector", "FocusGateway"} <= replicas.keys()
    for process in chain.from_iterable(replicas.values()):
        assert ONE_MACHINE.items() <= process.environ().items()


def _page_faults(process: psutil.Process) -> int:
    """How often a process touched a page of memory that it had to be given first (minflt of proc(5))."""
    return int(Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()[7])


def _kernel_gives_single_pages() -> bool:
    before = _page_faults(psutil.Process())
    with mmap.mmap(-1, 200 * mmap.PAGESIZE) as fresh:
        for start in range(0, len(fresh), mmap.PAGESIZE):
            fresh[start] = 1
    return _page_faults(psutil.Process()) - before >= 200


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a matter of glibc")
def test_the_gateway_keeps_the_memory_of_a_photo_for_the_next(served: Any, cuhk: Path) -> None:
    if not _kernel_gives_single_pages():
        pytest.skip("this kernel gives memory in larger pieces, which cannot be counted")
    gateways = _replicas(served)["FocusGateway"]
    photos = [path.read_bytes() for path in sorted((cuhk / "image").glob("*.jpg"))[:10]]

    def faults() -> int:
        before = sum(map(_page_faults, gateways))
        for photo in photos:
            answer = httpx2.post(f"{served.url}/v1/focus", content=photo, headers=JPEG, timeout=TIMEOUT_S)
            assert answer.status_code == 200
        return sum(map(_page_faults, gateways)) - before

    # a photo's pixels alone are 800,000 bytes, and with glibc's own settings the work on it takes four million anew;
    # the least of some passes, for each thread of the gateway keeps what it met first
    assert min(faults() for _ in range(6)) * mmap.PAGESIZE < 400_000 * len(photos)


def test_a_second_endpoint_finds_ports_of_its_own(served: Any, served_endpoint: Any, tiny_model: Path) -> None:
    second = served_endpoint("--model", str(tiny_model), "--set", "engine=eager", "--haproxy")
    try:
        names = [httpx2.get(f"{one.url}/v1/model", timeout=TIMEOUT_S).json()["name"] for one in (served, second)]
    finally:
        assert second.stop() == 0
    assert names == ["lite", "tiny"]
