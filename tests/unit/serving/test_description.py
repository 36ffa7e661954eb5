"""Promises of the API's own description and of the page's delivery."""

import re
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import schemathesis
import schemathesis.checks
import yaml
from hypothesis import HealthCheck, given, settings
from ray.serve.schema import ServeDeploySchema
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from starlette.testclient import TestClient

from dbd_ray.config import ServeConfig, build
from dbd_ray.images.containers import PHOTO_SUFFIXES
from dbd_ray.serving.schemas import SharpAreaAnswer, SummaryAnswer
from dbd_ray.summary import SharpArea, Summary

ROOT = Path(__file__).parents[3]
CHECKS = [
    schemathesis.checks.not_a_server_error,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
]
WEB = ROOT / "dbd_ray" / "serving" / "web"


def test_openapi_is_complete(client: Callable[..., TestClient]) -> None:
    described = client().get("/openapi.json").json()
    assert described["paths"].keys() == {"/v1/focus", "/v1/batch", "/v1/model", "/livez", "/readyz"}
    for path, methods in described["paths"].items():
        for operation in methods.values():
            assert operation["summary"], path
            assert operation["description"], path
            if path.startswith("/v1/"):
                assert operation["security"], "keys are told"
                assert {"401", "429", "503"} <= operation["responses"].keys()
    for path in ("/v1/focus", "/v1/batch"):
        operation = described["paths"][path]["post"]
        assert "multipart/form-data" in operation["requestBody"]["content"]
        assert all(parameter["description"] for parameter in operation["parameters"])
        assert {"400", "408", "413", "415", "422"} <= operation["responses"].keys()
    for answer in ("FocusAnswer", "BatchAnswer", "ErrorAnswer"):
        assert described["components"]["schemas"][answer]["example"]


def test_answers_have_all_that_a_summary_has() -> None:
    assert set(SummaryAnswer.model_fields) == Summary("partial", 0.5, None, 0.9, "tiny", "f00d").as_dict().keys()
    assert list(SharpAreaAnswer.model_fields) == [field.name for field in fields(SharpArea)]


@pytest.mark.parametrize(
    ("path", "mode"),
    [(path, GenerationMode.POSITIVE) for path in ("/v1/focus", "/v1/batch", "/v1/model", "/livez", "/readyz")]
    # the others take nothing that could be wrong
    + [(path, GenerationMode.NEGATIVE) for path in ("/v1/focus", "/v1/batch")],
)
def test_no_request_of_the_description_or_near_it_ends_in_a_fault(
    client: Callable[..., TestClient], path: str, mode: GenerationMode
) -> None:
    schema = schemathesis.openapi.from_asgi("/openapi.json", client().app)
    (operation,) = schema[path].values()

    @settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(generation_mode=mode))
    def check(case: Any) -> None:
        case.call_and_validate(checks=CHECKS)

    check()


def test_the_page_has_a_strict_policy_and_loads_nothing_from_elsewhere(
    client: Callable[..., TestClient],
) -> None:
    page = client().get("/")
    assert page.headers["content-type"].startswith("text/html")
    policy = (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    for path in ("/", "/static/index.html", "/v1/model"):
        assert client().get(path).headers["content-security-policy"] == policy
    for file in WEB.iterdir():
        assert not re.search(r"(?:src|href|url|import|fetch)\W{1,3}https?://", file.read_text()), file.name
        if file.name != "index.html":
            assert client().get(f"/static/{file.name}").status_code == 200
    for name in re.findall(r'(?:src|href)="(static/[^"]+)"', page.text):
        assert client().get(f"/{name}").status_code == 200
    assert client().get("/static/../api.py").status_code == 404


def test_the_page_takes_the_files_that_the_package_reads() -> None:
    script = (WEB / "intake.js").read_text()
    lists = [re.findall(rf'const {name} = "(.*)";', script) for name in ("PICTURES", "CAMERA_RAW")]
    suffixes = [f".{suffix}" for (names,) in lists for suffix in names.split()]
    assert sorted(suffixes) == sorted(PHOTO_SUFFIXES)


def test_the_page_can_be_left_out(client: Callable[..., TestClient]) -> None:
    assert client({"page": False}).get("/").status_code == 404


def test_answers_are_not_kept_by_caches(client: Callable[..., TestClient]) -> None:
    assert client().get("/v1/model").headers["cache-control"] == "no-store"
    assert client().get("/v1/model").headers["x-content-type-options"] == "nosniff"


def test_the_config_file_is_one_for_rays_own_schema_and_ours() -> None:
    deployed = ServeDeploySchema.model_validate(yaml.safe_load((ROOT / "serve" / "config.yaml").read_text()))
    (application,) = deployed.applications
    assert application.import_path == "dbd_ray.serving.application:build"
    assert build(ServeConfig, application.args, where="serve/config.yaml")
    limits = ServeConfig(**application.args).limits
    longest_s = limits.body_timeout_s + limits.answer_timeout_s
    assert deployed.http_options.request_timeout_s is not None
    assert deployed.http_options.request_timeout_s > longest_s
    for deployment in application.deployments:
        assert deployment.max_queued_requests > 0, "unlimited queues turn overload into timeouts"
        assert deployment.max_surge_percent > 0
        assert deployment.graceful_shutdown_timeout_s > longest_s
