"""Promises of the endpoint of `dbd-ray serve`, behind Ray's own proxy: the detector's answers, for many at once."""

import io
import json
import re
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
import ray
import schemathesis
import schemathesis.checks
from hypothesis import HealthCheck, given, settings
from PIL import Image
from schemathesis import GenerationMode

from dbd_ray import Detector, FocusPredictor
from dbd_ray.client import FocusRequestError
from dbd_ray.config import AnnotateConfig, PredictConfig
from dbd_ray.detection.files import predict_files
from dbd_ray.images.decode import decode_photo
from dbd_ray.library.job import annotate, open_library, planned
from dbd_ray.library.table import read_library

pytestmark = [pytest.mark.ray, pytest.mark.workers]

JPEG = {"content-type": "image/jpeg"}
PNG = {"accept": "image/png"}
TIMEOUT_S = 120


@pytest.fixture(scope="module")
def photos(cuhk: Path) -> list[Path]:
    return sorted((cuhk / "image").iterdir())[:12]


def _levels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png))).astype(int)


def test_serve_predict_a_dataset_and_the_detector_agree(
    endpoint: str, local_ray: None, photos: list[Path], tmp_path: Path
) -> None:
    chosen = photos[:3]
    data = [path.read_bytes() for path in chosen]
    detector = Detector.load("lite")
    expected = [np.rint(found.focus * 255) for found in detector.detect([decode_photo(one) for one in data])]
    served = [
        _levels(httpx2.post(f"{endpoint}/v1/focus", content=one, headers=JPEG | PNG, timeout=TIMEOUT_S).content)
        for one in data
    ]
    done = predict_files(detector, chosen, PredictConfig(out=tmp_path, save=("focus",)))
    written = [_levels(one.files[0].read_bytes()) for one in done]
    rows = (
        ray.data.from_items([{"bytes": one, "place": place} for place, one in enumerate(data)])
        .map_batches(
            FocusPredictor,
            fn_constructor_kwargs={"model": "lite"},
            batch_size=3,
            compute=ray.data.ActorPoolStrategy(size=1),
        )
        .take_all()
    )
    predicted = [_levels(row["focus"]) for row in sorted(rows, key=lambda row: row["place"])]
    for ways in zip(expected, served, written, predicted, strict=True):
        for way in ways[1:]:
            assert np.abs(way - ways[0]).max() <= 1


def test_a_library_is_annotated_by_the_endpoint_as_by_the_model_here(
    endpoint: str, local_ray: None, photos: list[Path], tmp_path: Path
) -> None:
    library = tmp_path / "photos"
    library.mkdir()
    for photo in photos[:3]:
        shutil.copy(photo, library)
    (library / "broken.jpg").write_bytes(photos[0].read_bytes()[:2000])
    common: dict[str, Any] = {"source": str(library), "long_side": 320, "storage": str(tmp_path / "runs")}
    here = annotate(open_library(AnnotateConfig(out=str(tmp_path / "here"), model="lite", **common)))
    there = AnnotateConfig(out=str(tmp_path / "there"), endpoint=endpoint, actors=2, **common)
    assert annotate(open_library(there)).counts == here.counts == {"ok": 3, "error: truncated": 1}
    rows = [{row["path"]: row for row in read_library(tmp_path / name).to_pylist()} for name in ("here", "there")]
    for path, row in rows[0].items():
        assert rows[1][path]["focus_model"] == row["focus_model"]
        assert rows[1][path]["focus_kind"] == row["focus_kind"]
        assert rows[1][path]["reason"] == row["reason"]
    for name in (photo.name for photo in photos[:3]):
        maps = [_levels((tmp_path / out / f"focus/{name}.focus.png").read_bytes()) for out in ("here", "there")]
        assert np.abs(maps[0] - maps[1]).max() <= 1
    assert planned(open_library(there)).looked_at == 0


def test_an_endpoint_that_goes_away_ends_a_run_with_its_own_words(
    local_ray: None, photos: list[Path], tmp_path: Path
) -> None:
    class Going(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps({"name": "lite", "fingerprint": "f" * 64, "limits": {"max_photos": 4}}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            self.send_response(404)
            self.end_headers()

    with ThreadingHTTPServer(("127.0.0.1", 0), Going) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        config = AnnotateConfig(
            source=str(photos[0].parent), out=str(tmp_path / "out"), endpoint=f"http://127.0.0.1:{server.server_port}"
        )
        library = open_library(config.model_copy(update={"storage": str(tmp_path / "runs")}))
        few = library._replace(plan=library.plan._replace(pending=library.plan.pending[:2]))
        with pytest.raises(FocusRequestError, match="not_found") as ended:
            annotate(few)
        server.shutdown()
    assert "Traceback" not in str(ended.value)


def test_tiles_beyond_one_batch_are_answered_as_by_the_detector(endpoint: str, photos: list[Path]) -> None:
    data = photos[0].read_bytes()
    answer = httpx2.post(f"{endpoint}/v1/focus?tile=6", content=data, headers=JPEG | PNG, timeout=TIMEOUT_S)
    (expected,) = Detector.load("lite").detect([decode_photo(data)], tile=6)
    assert np.abs(_levels(answer.content) - np.rint(expected.focus * 255)).max() <= 1


def test_many_at_once_get_each_their_own_answer(endpoint: str, photos: list[Path]) -> None:
    data = [path.read_bytes() for path in photos]
    with httpx2.Client(base_url=endpoint, timeout=TIMEOUT_S) as client, ThreadPoolExecutor(12) as pool:

        def ask(one: bytes) -> float:
            answer = client.post("/v1/focus", content=one, headers=JPEG)
            assert answer.status_code == 200, answer.text
            return float(answer.json()["summary"]["in_focus_fraction"])

        alone = [ask(one) for one in data]
        together = list(pool.map(ask, data * 3))
    assert together == pytest.approx(alone * 3, abs=0.005)  # sums in another order, in a batch
    assert len(set(alone)) > 6


def test_a_request_id_is_echoed_once_or_made(endpoint: str) -> None:
    for path in ("/v1/model", "/nothing", "/livez"):
        echoed = httpx2.get(f"{endpoint}{path}", headers={"x-request-id": "mine"}, timeout=TIMEOUT_S)
        assert echoed.headers.get_list("x-request-id") == ["mine"]
        made = httpx2.get(f"{endpoint}{path}", timeout=TIMEOUT_S)
        assert len(made.headers.get_list("x-request-id")) == 1


def test_a_photo_larger_than_the_limit_is_refused_through_the_proxy(endpoint: str) -> None:
    limit = httpx2.get(f"{endpoint}/v1/model", timeout=TIMEOUT_S).json()["limits"]["max_bytes"]
    for size, reason in ((limit, "not_an_image"), (limit + 1, "too_many_bytes")):
        with httpx2.Client(timeout=TIMEOUT_S) as client:
            answer = client.post(f"{endpoint}/v1/focus", content=bytes(size), headers=JPEG)
        assert answer.json()["reason"] == reason


@pytest.mark.parametrize(
    ("path", "mode"),
    [(path, GenerationMode.POSITIVE) for path in ("/v1/focus", "/v1/batch", "/v1/model", "/livez", "/readyz")]
    + [(path, GenerationMode.NEGATIVE) for path in ("/v1/focus", "/v1/batch")],
)
def test_no_request_of_the_description_or_near_it_ends_in_a_fault_of_proxy_or_endpoint(
    endpoint: str, path: str, mode: GenerationMode
) -> None:
    (operation,) = schemathesis.openapi.from_url(f"{endpoint}/openapi.json")[path].values()

    @settings(max_examples=10, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(generation_mode=mode))
    def check(case: Any) -> None:
        case.call_and_validate(checks=[schemathesis.checks.not_a_server_error], timeout=TIMEOUT_S)

    check()


@pytest.mark.cluster
@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--model", "absent"], "absent: neither a checkpoint folder nor a model of the package"),
        pytest.param(["--keys-file", "absent"], "keys_file=absent: cannot be read", marks=pytest.mark.slow),
        pytest.param(["--set", "batch_wait=3"], "batch_wait", marks=pytest.mark.slow),
        (["--host", "203.0.113.1"], "203.0.113.1:8000 cannot be listened on"),
        (["--haproxy", "--host", "::1"], "--haproxy with --host ::1"),
    ],
)
def test_what_cannot_be_served_is_told_in_one_line(arguments: list[str], complaint: str) -> None:
    command = [sys.executable, "-c", "from dbd_ray.cli import main; main()", "serve", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    *steps, last = done.stderr.splitlines()
    assert last.startswith("error: ")
    assert complaint in last
    assert all(re.match(r" +\d+ s  ", step) for step in steps)


_WITHOUT_PROCESSORS = """
import ray
from dbd_ray.config import ServeConfig
from dbd_ray.errors import ConfigError
from dbd_ray.serving.local import endpoint

ray.init(address="local", num_cpus=0, include_dashboard=False, dashboard_port=0, log_to_driver=False)
try:
    with endpoint(ServeConfig(), port=0):
        pass
except ConfigError as error:
    print(error)
"""


@pytest.mark.cluster
def test_a_ray_without_a_whole_processor_is_told() -> None:
    command = [sys.executable, "-c", _WITHOUT_PROCESSORS]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "no whole processor" in said


_ON_THREE_PROCESSORS = """
import json
import sys
from pathlib import Path

import ray
from ray import serve
from dbd_ray.config import ServeConfig
from dbd_ray.serving.local import APPLICATION, endpoint

ray.init(address="local", num_cpus=3, include_dashboard=False, dashboard_port=0, log_to_driver=False)
with endpoint(ServeConfig(model=sys.argv[1], engine="eager"), port=0):
    details = serve.context._get_global_client().get_serve_details()
    configs = {
        name: one["deployment_config"] for name, one in details["applications"][APPLICATION]["deployments"].items()
    }
    most = {name: config["autoscaling_config"]["max_replicas"] for name, config in configs.items()}
Path(sys.argv[2]).write_text(json.dumps(most))
"""


@pytest.mark.slow
@pytest.mark.cluster
def test_replicas_are_limited_by_the_processors_that_ray_has(tiny_model: Path, tmp_path: Path) -> None:
    found = tmp_path / "most.json"
    command = [sys.executable, "-c", _ON_THREE_PROCESSORS, str(tiny_model), str(found)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(found.read_text()) == {"FocusGateway": 1, "FocusDetector": 3}
