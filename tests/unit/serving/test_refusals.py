"""Promises of what the API refuses: the status, a stable reason, what to do, and nothing read or decoded before."""

import asyncio
import io
import pickle
import struct
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image
from ray import cloudpickle
from ray.exceptions import RayTaskError
from starlette.testclient import TestClient

from dbd_ray.config.serve import LimitsConfig
from dbd_ray.errors import DbdRayError
from dbd_ray.names import REASON_STATUS
from dbd_ray.serving.options import BatchOptions
from dbd_ray.serving.refusals import REASONS, Refusal
from dbd_ray.serving.work import PhotoWork

Client = Callable[..., TestClient]
JPEG = {"content-type": "image/jpeg"}
PNG = {"accept": "image/png"}


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def _bomb(side: int) -> bytes:
    """A PNG file of a few bytes that says it has side × side pixels."""
    header = _chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + _chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + _chunk(b"IEND", b"")


def _refused(answer: Any, status: int, reason: str) -> str:
    assert (answer.status_code, answer.json()["reason"]) == (status, reason), answer.text
    assert answer.json().keys() == {"reason", "message", "request_id"}
    return str(answer.json()["message"])


@pytest.mark.parametrize(
    ("data", "status", "reason"),
    [
        (b"", 400, "empty_file"),
        (b"GIF? no", 400, "not_an_image"),
        (b"\xff\xd8\xff\xe0" + bytes(100), 400, "truncated"),
        (_bomb(100_000), 413, "too_many_pixels"),
    ],
)
def test_a_photo_that_cannot_be_used_is_refused(
    client: Client, counted: Any, data: bytes, status: int, reason: str
) -> None:
    message = _refused(client().post("/v1/focus", content=data, headers=JPEG), status, reason)
    assert ("`dbd-ray predict` takes up to 160000000" in message) is (reason == "too_many_pixels")
    assert counted.reasons == {reason: 1}
    assert counted.requests == {("/v1/focus", status): 1}


def test_a_damaged_photo_is_undecodable(client: Client, photo_bytes: bytes) -> None:
    png = io.BytesIO()
    Image.new("RGB", (64, 64)).save(png, "PNG")
    broken = png.getvalue().replace(b"IDAT", b"IDAX")
    _refused(client().post("/v1/focus", content=broken, headers=JPEG), 400, "undecodable")


@pytest.mark.parametrize("form", [False, True])
def test_the_limit_of_bytes_is_exact(client: Client, photo_bytes: bytes, form: bool) -> None:
    def post(limit: int) -> Any:
        endpoint = client({"limits": {"max_bytes": limit}})
        if form:
            return endpoint.post("/v1/focus", files={"photo": ("a.jpg", photo_bytes, "image/jpeg")})
        return endpoint.post("/v1/focus", content=photo_bytes, headers=JPEG)

    assert post(len(photo_bytes)).status_code == 200
    _refused(post(len(photo_bytes) - 1), 413, "too_many_bytes")


def test_bytes_are_counted_where_their_number_is_not_stated(client: Client, photo_bytes: bytes) -> None:
    def chunks() -> Any:
        yield from (photo_bytes[at : at + 1000] for at in range(0, len(photo_bytes), 1000))

    short = client({"limits": {"max_bytes": 5000}})
    _refused(short.post("/v1/focus", content=chunks(), headers=JPEG), 413, "too_many_bytes")
    assert client().post("/v1/focus", content=chunks(), headers=JPEG).status_code == 200


def test_the_limit_of_pixels_is_exact(client: Client) -> None:
    photo = io.BytesIO()
    Image.linear_gradient("L").convert("RGB").save(photo, "PNG")  # 256×256
    for limit, status in ((65536, 200), (65535, 413)):
        answer = client({"limits": {"max_pixels": limit}}).post("/v1/focus", content=photo.getvalue(), headers=JPEG)
        assert answer.status_code == status


@pytest.mark.parametrize(
    ("query", "headers", "named"),
    [
        ("threshold=2", {}, "threshold"),
        ("treshold=0.5", {}, "treshold"),
        ("include=depths", {}, "include"),
        ("margin=3", {}, "margin has no effect"),
        ("include=focus&threshold=0.3", {}, "threshold has no effect"),
        ("max_side=100", {}, "max_side has no effect"),
        ("polarity=blur&include=overlay", {}, "polarity has no effect"),
        ("output=mask", {}, "output has no effect"),
        ("include=mask", PNG, "include has no effect"),
        ("preview=300", PNG, "preview has no effect"),
        ("preview=9000", {}, "preview"),
        ("tile=1&tile=2", {}, "tile: is given more than once"),
        ("tile=9", {}, "tile=9: this server allows at most 8"),
    ],
)
def test_parameters_that_are_wrong_or_without_effect_are_refused(
    client: Client, photo_bytes: bytes, query: str, headers: dict[str, str], named: str
) -> None:
    answer = client().post(f"/v1/focus?{query}", content=photo_bytes, headers=JPEG | headers)
    assert named in _refused(answer, 422, "invalid_parameter")


@pytest.mark.parametrize("kind", ["text/plain", "application/json", "application/x-www-form-urlencoded", ""])
def test_a_body_that_is_no_photo_is_refused_by_its_type(client: Client, photo_bytes: bytes, kind: str) -> None:
    answer = client().post("/v1/focus", content=photo_bytes, headers={"content-type": kind})
    _refused(answer, 415, "unsupported_media_type")
    answer = client().post("/v1/batch", content=photo_bytes, headers={"content-type": kind})
    _refused(answer, 415, "unsupported_media_type")


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", "application/json"),
        ("*/*", "application/json"),
        ("image/*", "image/png"),
        ("image/png;q=0.5, application/json;q=0.4", "image/png"),
        ("image/png;q=0, */*", "application/json"),
        ("text/html, image/png;q=oops", None),
        ("text/html", None),
        ("application/json;q=0", None),
    ],
)
def test_the_accept_header_decides(client: Client, photo_bytes: bytes, accept: str, expected: str | None) -> None:
    answer = client().post("/v1/focus", content=photo_bytes, headers=JPEG | {"accept": accept})
    if expected is None:
        _refused(answer, 406, "not_acceptable")
    else:
        assert answer.headers["content-type"] == expected


@pytest.mark.parametrize(
    "form",
    [
        {"files": {"image": ("a.jpg", b"1", "image/jpeg")}},
        {"files": [("photo", ("a.jpg", b"1", "image/jpeg"))] * 2},
        {"files": {"photo": ("a.jpg", b"1", "image/jpeg")}, "data": {"more": "x"}},
        {"content": b"no form", "headers": {"content-type": "multipart/form-data; boundary=x"}},
        {"content": b"--x\r\nbroken", "headers": {"content-type": "multipart/form-data; boundary=x"}},
        {"content": b"no form", "headers": {"content-type": "multipart/form-data"}},
        {"content": b"no form", "headers": {"content-type": "multipart/form-data; boundary=x; charset=undefined"}},
    ],
)
def test_a_form_that_cannot_be_meant_is_refused(client: Client, form: dict[str, Any]) -> None:
    _refused(client().post("/v1/focus", **form), 422, "invalid_form")


@pytest.mark.parametrize("charset", ["undefined", "utf-7", "unicode_escape", "punycode", "utf-16", "hex"])
def test_names_in_forms_are_utf_8_whatever_the_client_says(client: Client, photo_bytes: bytes, charset: str) -> None:
    name = rb"+2AA-\ud800\xff.jpg" + b"\xff\xfe"
    head = b'--x\r\nContent-Disposition: form-data; name="photos"; filename="' + name + b'"\r\n\r\n'
    headers = {"content-type": f"multipart/form-data; charset={charset}; boundary=x; Charset={charset}"}
    answer = client().post("/v1/batch", content=head + photo_bytes + b"\r\n--x--\r\n", headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.json()["failed"] == 0


def test_a_batch_has_its_own_limits(client: Client, photo_bytes: bytes) -> None:
    endpoint = client({"limits": {"max_photos": 2, "max_batch_bytes": 2_000_000, "max_bytes": 1_000_000}})

    def post(*sizes: int) -> Any:
        files = [("photos", (f"{place}.jpg", bytes(size), "image/jpeg")) for place, size in enumerate(sizes)]
        return endpoint.post("/v1/batch", files=files or None, data=None if files else {})

    _refused(post(10, 10, 10), 413, "too_many_photos")
    _refused(post(1_000_000, 1_000_000), 413, "too_many_bytes")
    one_too_large = post(1_000_001, 10).json()["results"]
    assert [one["error"]["reason"] for one in one_too_large] == ["too_many_bytes", "not_an_image"]
    form = {"content-type": "multipart/form-data; boundary=x"}
    _refused(endpoint.post("/v1/batch", content=b"--x--\r\n", headers=form), 422, "invalid_form")
    answer = endpoint.post("/v1/batch", headers=PNG, files={"photos": ("a", b"1", "image/jpeg")})
    _refused(answer, 406, "not_acceptable")


def test_without_a_right_key_nothing_is_answered(client: Client, photo_bytes: bytes) -> None:
    endpoint = client(keys=("first key of several", "second key of several"))
    for headers in ({}, {"x-api-key": "wrong"}, {"authorization": "Basic second key of several"}, {"x-api-key": ""}):
        answer = endpoint.post("/v1/focus", content=photo_bytes, headers=JPEG | headers)
        _refused(answer, 401, "unauthorized")
        assert answer.headers["www-authenticate"] == "Bearer"
    for headers in ({"x-api-key": "first key of several"}, {"authorization": "bearer second key of several"}):
        assert endpoint.post("/v1/focus", content=photo_bytes, headers=JPEG | headers).status_code == 200
    for path in ("/livez", "/readyz", "/openapi.json", "/"):
        assert endpoint.get(path).status_code == 200


def test_a_path_or_method_that_is_not_there_is_told_in_json(client: Client, counted: Any) -> None:
    _refused(client().get("/v1/nothing"), 404, "not_found")
    answer = client().put("/v1/focus")
    _refused(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "POST"
    assert ("other", 404) in counted.requests, "what a client wrote must not become a metric's tag"


class _Stuck:
    async def answer(self, *arguments: Any, **options: Any) -> Any:
        await asyncio.Event().wait()

    model = answer


class _Broken:
    async def answer(self, *arguments: Any, **options: Any) -> Any:
        raise ZeroDivisionError

    async def model(self) -> Any:
        raise Refusal("model_unavailable", "no detector answers at the moment: send it again a little later")


def test_an_answer_that_takes_too_long_is_given_up(client: Client, photo_bytes: bytes) -> None:
    endpoint = client({"limits": {"answer_timeout_s": 0.05}}, detector=_Stuck())
    _refused(endpoint.post("/v1/focus", content=photo_bytes, headers=JPEG), 408, "timeout")


def test_more_photos_than_can_be_worked_on_are_turned_away(photo_bytes: bytes) -> None:
    async def run() -> None:
        work = PhotoWork(_Stuck(), LimitsConfig(photos_at_once=2))
        stuck = [asyncio.create_task(work.answer(photo_bytes, BatchOptions(), ())) for _ in range(2)]
        await asyncio.sleep(0)  # they begin
        with pytest.raises(Refusal, match="busy"):
            await work.answer(photo_bytes, BatchOptions(), ())
        for task in stuck:
            task.cancel()
        await asyncio.gather(*stuck, return_exceptions=True)
        with pytest.raises(Refusal, match="empty_file"):
            await work.answer(b"", BatchOptions(), ())

    asyncio.run(run())


def test_a_fault_of_the_server_says_nothing_of_its_inside(client: Client, photo_bytes: bytes) -> None:
    endpoint = client(detector=_Broken())
    message = _refused(endpoint.post("/v1/focus", content=photo_bytes, headers=JPEG), 500, "internal")
    assert "ZeroDivision" not in message
    answer = endpoint.get("/readyz")
    _refused(answer, 503, "model_unavailable")
    assert answer.headers["retry-after"] == "1"


def test_a_request_id_comes_back(client: Client) -> None:
    answer = client().post("/v1/focus", content=b"", headers=JPEG | {"x-request-id": "mine"})
    assert answer.json()["request_id"] == "mine"


@pytest.mark.parametrize("reason", REASONS)
def test_every_reason_has_a_status(reason: Any) -> None:
    assert 400 <= Refusal(reason, "why").status < 600


def test_every_status_is_of_a_reason() -> None:
    assert REASON_STATUS.keys() == set(REASONS)


def test_a_refusal_is_an_error_of_ours_and_keeps_reason_and_message_between_processes() -> None:
    refusal = Refusal("busy", "all detectors have enough to do: send it again a little later")
    assert isinstance(refusal, DbdRayError)
    for copy in (pickle.dumps(refusal), cloudpickle.dumps(refusal)):
        read = pickle.loads(copy)  # noqa: S301 - our own
        assert type(read) is Refusal
        assert (read.reason, read.message, str(read)) == (refusal.reason, refusal.message, str(refusal))
        assert (read.status, read.headers) == (429, {"Retry-After": "1"})


def test_what_ray_raises_for_a_refusal_of_another_process_is_one() -> None:
    refusal = Refusal("model_unavailable", "no detector answers at the moment: send it again a little later")
    with pytest.raises(Refusal) as caught:
        raise RayTaskError("answer", "its traceback", refusal).as_instanceof_cause()
    assert (caught.value.reason, caught.value.message, caught.value.status) == (refusal.reason, refusal.message, 503)
