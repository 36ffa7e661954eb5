"""Promises of serve/config.yaml on a cluster: deployed, measured, and given other models while it answers."""

import re
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml

pytestmark = [pytest.mark.ray, pytest.mark.cluster, pytest.mark.timeout(1200)]

ROOT = Path(__file__).parents[2]
SERVE = Path(sys.executable).parent / "serve"
TIMEOUT_S = 120
PNG = {"accept": "image/png"}

Deploy = Callable[..., str]


@pytest.fixture(scope="module")
def cluster(start_cluster: Any) -> Iterator[Any]:
    with start_cluster({"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0123456789abcdef0123456789abcdef"}) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def deploy(cluster: Any, services: Any, tmp_path_factory: pytest.TempPathFactory) -> Deploy:
    """Deploy the file of the repository with another port and model, and give the endpoint's URL."""
    folder = tmp_path_factory.mktemp("deployed")
    port = services.free_port()

    def run(model: Path, user_config: dict[str, Any] | None = None) -> str:
        config = yaml.safe_load((ROOT / "serve" / "config.yaml").read_text())
        config["http_options"]["port"] = port
        (application,) = config["applications"]
        application["args"] |= {"model": str(model), "engine": "eager"}
        if user_config is not None:
            application["deployments"][1]["user_config"] = user_config
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
        command = [SERVE, "deploy", "--address", cluster.address, str(folder / "config.yaml")]
        done = subprocess.run(command, env=cluster.environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return f"http://127.0.0.1:{port}"

    return run


def _model(url: str, until: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Ask until the answer is as it should be; pytest's limit of time ends the wait."""
    while True:
        try:
            answer = httpx2.get(f"{url}/v1/model", timeout=TIMEOUT_S)
        except httpx2.TransportError:
            continue
        if answer.status_code == 200 and until(answer.json()):
            found: dict[str, Any] = answer.json()
            return found


def test_the_config_file_is_deployed_and_its_model_exchanged(
    cluster: Any, deploy: Deploy, tiny_model: Path, tiny_depth_model: Path, tmp_path: Path, cuhk: Path
) -> None:
    url = deploy(tiny_model)
    first = _model(url, lambda model: True)
    assert first["source"] == str(tiny_model)
    assert not first["has_depth"]

    deploy(tiny_model, {"model": str(tiny_depth_model)})
    assert _model(url, lambda model: model["source"] == str(tiny_depth_model))["has_depth"]

    deploy(tiny_model, {"model": str(tmp_path)})
    kept = _model(url, lambda model: model["refused"] is not None)
    assert kept["source"] == str(tiny_depth_model)
    assert kept["refused"]["source"] == str(tmp_path)
    assert "card.json" in kept["refused"]["message"]

    deploy(tiny_model, {"model": str(tiny_model)})
    back = _model(url, lambda model: model["refused"] is None and model["source"] == str(tiny_model))
    assert back["fingerprint"] == first["fingerprint"]

    photo = sorted((cuhk / "image").iterdir())[0].read_bytes()
    for data, status in ((photo, 200), (photo[:500], 400)):
        answer = httpx2.post(f"{url}/v1/focus", content=data, headers={"content-type": "image/jpeg"}, timeout=TIMEOUT_S)
        assert answer.status_code == status
    body: dict[str, Any] = {"content": photo, "headers": {"content-type": "image/jpeg"}, "timeout": TIMEOUT_S}
    with ThreadPoolExecutor(24) as pool:
        answers = list(pool.map(lambda _: httpx2.post(f"{url}/v1/focus", **body).status_code, range(120)))
    assert set(answers) <= {200, 429}
    wanted = (
        "ray_dbd_requests_total{",
        "ray_dbd_errors_total{",
        "ray_dbd_latency_ms_bucket{",
        "ray_dbd_batch_pictures_bucket{",
        "ray_dbd_model_info{",
        'reason="truncated"',
        'route="/v1/focus"',
    )
    exported = ""
    while not all(name in exported for name in wanted):  # Ray exports every few seconds
        with urllib.request.urlopen(f"http://127.0.0.1:{cluster.ports['metrics-export-port']}/metrics") as metrics:
            exported = metrics.read().decode()
    passes = re.findall(r'ray_dbd_batch_pictures_bucket{[^}]*le="([^"]+)"[^}]*} (\S+)', exported)
    alone, all_of_them = (sum(float(count) for bound, count in passes if bound == one) for one in ("1.0", "+Inf"))
    assert alone < all_of_them, "no two pictures shared a pass"


@pytest.mark.slow
def test_the_clones_import_path_is_run_beside_and_nothing_of_photos_is_in_any_log(
    cluster: Any, deploy: Deploy, tiny_model: Path, cuhk: Path
) -> None:
    url = deploy(tiny_model)
    address = f"127.0.0.1:{cluster.ports['port']}"
    options = ["--non-blocking", "--name", "imported", "--route-prefix", "/imported", "--address", address]
    command: list[str | Path] = [SERVE, "run", *options, "serve.app:build", f"model={tiny_model}", "engine=eager"]
    done = subprocess.run(command, env=cluster.environment, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr

    photo = sorted((cuhk / "image").iterdir())[0].read_bytes()
    private = b"a private remark in a photo"
    remark = b"\xff\xfe" + (len(private) + 2).to_bytes(2, "big") + private  # a JPEG comment
    for data, status in ((photo[:2] + remark + photo[2:], 200), (photo[:2] + remark + photo[2:500], 400)):
        for path in ("/v1/focus", "/imported/v1/focus"):
            files = {"photo": (f"{private.decode()}.jpg", data)}
            answer = httpx2.post(f"{url}{path}?output=mask", files=files, headers=PNG, timeout=TIMEOUT_S)
            assert answer.status_code == status
        files = {"photos": (f"{private.decode()}.jpg", data)}
        assert httpx2.post(f"{url}/v1/batch", files=files, timeout=TIMEOUT_S).status_code == 200
    written: dict[Path, bytes] = {}
    for path in cluster.folder.rglob("*"):
        with suppress(FileNotFoundError):  # Ray goes on working there
            written |= {path: path.read_bytes()} if path.is_file() else {}
    assert any(b"POST /v1/batch" in said for said in written.values()), "the requests were logged"
    assert [path for path, said in written.items() if private in said] == []
