import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any, get_type_hints

import pytest

from dbd_ray.client import AsyncFocusClient, FocusAnswer, FocusClient, FocusRequestError, answers
from dbd_ray.client.calls import Options
from dbd_ray.errors import ConfigError
from dbd_ray.serving import schemas
from dbd_ray.serving.options import BatchOptions, FocusOptions


def test_an_answer_is_read_into_plain_data(server: Any, client: FocusClient) -> None:
    server.says(server.ok())
    found = client.focus(b"a photo", include=["focus"], threshold=0.4, tile=2)
    assert found == FocusAnswer(640, 427, server.summary, {"focus": server.picture})
    (asked,) = server.requests
    assert (asked.method, asked.path, asked.body) == ("POST", "/v1/focus", b"a photo")
    assert asked.query == [("include", "focus"), ("threshold", "0.4"), ("tile", "2")]
    assert (asked.headers["content-type"], asked.headers["accept"]) == ("application/octet-stream", "application/json")


def test_a_photo_without_sharp_pixels_has_no_area_and_later_fields_are_left_out(
    server: Any, client: FocusClient
) -> None:
    summary = {**server.answer["summary"], "sharp_area": None, "focus_kind": "none_in_focus", "mood": "new"}
    server.says(server.ok({**server.answer, "summary": summary, "pictures": {}, "also": "new"}))
    found = client.focus(b"a photo")
    assert (found.summary.focus_kind, found.summary.sharp_area, found.pictures) == ("none_in_focus", None, {})
    assert server.requests[0].query == []


def test_one_picture_to_include_may_be_a_word(server: Any, client: FocusClient) -> None:
    server.says(server.ok())
    client.focus(b"a photo", include="focus")
    assert server.requests[0].query == [("include", "focus")]


def test_files_are_sent_by_path(server: Any, client: FocusClient, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"the file")
    server.says(server.ok())
    client.focus(tmp_path / "a.jpg")
    assert server.requests[0].body == b"the file"


def test_a_file_that_cannot_be_read_is_named_and_nothing_is_sent(
    server: Any, client: FocusClient, tmp_path: Path
) -> None:
    with pytest.raises(FocusRequestError, match=r"gone\.jpg: No such file") as caught:
        client.focus(tmp_path / "gone.jpg")
    assert (caught.value.reason, server.requests) == ("unreadable", [])


def test_a_picture_is_asked_for_as_png(server: Any, client: FocusClient) -> None:
    server.says(server.png())
    assert client.picture(b"a photo", "mask", margin=-3, polarity="blur") == server.picture
    (asked,) = server.requests
    assert asked.headers["accept"] == "image/png"
    assert asked.query == [("output", "mask"), ("margin", "-3"), ("polarity", "blur")]


def test_the_models_answer_is_typed_as_the_endpoint_gives_it() -> None:
    for typed, given in (
        (answers.ModelAnswer, schemas.ModelAnswer),
        (answers.LimitsAnswer, schemas.LimitsAnswer),
        (answers.RefusedModel, schemas.RefusedModel),
    ):
        assert typed.__annotations__.keys() == given.model_fields.keys()
    assert get_type_hints(FocusClient.model)["return"] is answers.ModelAnswer
    assert get_type_hints(AsyncFocusClient.model)["return"] is answers.ModelAnswer


def test_the_model_and_readiness(server: Any, client: FocusClient) -> None:
    server.says(server.ok(server.model), server.ok({"status": "ok"}), server.refusal(503, "model_unavailable"))
    assert client.model() == server.model
    assert client.ready()
    assert not client.ready()
    assert [asked.path for asked in server.requests] == ["/v1/model", "/readyz", "/readyz"]


@pytest.mark.parametrize("body", [b"<html>Welcome</html>", b'{"results": []}', b"[]", b'{"width": 1, "height": 1}'])
def test_another_websites_answer_is_not_taken_for_one(server: Any, client: FocusClient, body: bytes) -> None:
    server.says(server.ok(body))
    with pytest.raises(FocusRequestError, match="is base_url right") as caught:
        client.focus(b"a photo")
    assert (caught.value.reason, len(server.requests)) == ("unexpected_answer", 1)


def test_a_page_is_no_picture(server: Any, client: FocusClient) -> None:
    server.says(server.ok(b"<html>", Content_Type="text/html"))
    with pytest.raises(FocusRequestError, match="is base_url right"):
        client.picture(b"a photo")


def test_the_key_is_sent_and_shown_nowhere(server: Any) -> None:
    server.says(server.refusal(401, "unauthorized"))
    with FocusClient(server.url, api_key="secret\n") as client, pytest.raises(FocusRequestError) as caught:
        client.focus(b"a photo")
    assert server.requests[0].headers["authorization"] == "Bearer secret"
    assert "secret" not in str(caught.value) + repr(vars(caught.value)) + repr(client)


def test_an_endpoint_may_have_a_route_prefix(server: Any) -> None:
    server.says(server.ok())
    with FocusClient(f"{server.url}/focus/") as client:
        client.focus(b"a photo")
    assert server.requests[0].path == "/focus/v1/focus"


def test_an_address_without_a_scheme_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(ConfigError, match="begin it with http"):
        FocusClient("127.0.0.1:8000")


def test_the_client_knows_every_option_of_the_endpoint() -> None:
    assert Options.__annotations__.keys() | {"include"} == BatchOptions.model_fields.keys()
    assert FocusOptions.model_fields.keys() - BatchOptions.model_fields.keys() == {"output", "preview"}


def test_an_unknown_option_is_a_mistake_of_the_program(client: FocusClient) -> None:
    with pytest.raises(TypeError, match="unknown option treshold; known: threshold"):
        client.focus(b"a photo", treshold=0.4)  # type: ignore[call-arg]


def test_an_error_survives_the_way_between_processes() -> None:
    error = FocusRequestError("busy", "full", status=429, request_id="r", retry_after_s=2.0)
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert (str(copy), vars(copy)) == (str(error), vars(error))


def test_the_client_brings_nothing_heavy() -> None:
    script = "import sys, dbd_ray.client; sys.stdout.write(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in done.stdout.split()}
    assert "httpx2" in loaded
    assert not loaded & {"numpy", "cv2", "torch", "ray", "mlflow", "fastapi", "PIL", "pyarrow", "pandas"}
