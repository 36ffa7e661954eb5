"""Requests as RFC 9110 has them: HEAD, codings, headers in several lines, bodies that never came, other origins."""

import asyncio
import gzip
import io
import json
import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from PIL import Image
from starlette.testclient import TestClient

from dbd_ray.config import ServeConfig, build
from dbd_ray.errors import ConfigError

Client = Callable[..., TestClient]
Headers = list[tuple[str, str]]
JPEG = [("content-type", "image/jpeg")]
H2C = [("connection", "Upgrade, HTTP2-Settings"), ("upgrade", "h2c"), ("http2-settings", "AAMAAABk")]


def _photo() -> bytes:
    file = io.BytesIO()
    Image.linear_gradient("L").convert("RGB").save(file, "PNG")  # 256×256
    return file.getvalue()


PHOTO = _photo()


class Answer(NamedTuple):
    """What came back: the status, the headers and the body."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def _ask(app: Any, method: str, path: str, headers: Headers, *chunks: bytes) -> Answer:
    """Send a request with exactly these headers and chunks of a body, as a server hands it over."""
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(name.encode(), value.encode()) for name, value in headers],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }
    waiting = list(chunks) or [b""]
    said: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        if not waiting:
            return {"type": "http.disconnect"}
        chunk = waiting.pop(0)
        return {"type": "http.request", "body": chunk, "more_body": bool(waiting)}

    async def send(message: Any) -> None:
        said.append(message)

    asyncio.run(app(scope, receive, send))
    start, *rest = said
    answered = {name.decode(): value.decode() for name, value in start["headers"]}
    return Answer(start["status"], answered, b"".join(message.get("body", b"") for message in rest))


def _length(count: int) -> Headers:
    return [("content-length", str(count))]


def _coded(*codings: str) -> Headers:
    return [*JPEG, *(("content-encoding", coding) for coding in codings)]


GZIP = gzip.compress(PHOTO)
FORM = [("content-type", "multipart/form-data; boundary=x")]
NAMELESS = b'--x\r\nContent-Disposition: form-data; name="photo"\r\n\r\n' + PHOTO + b"\r\n--x--\r\n"
NAMED = NAMELESS.replace(b'name="photo"', b'name="photo"; filename="a.png"')


@pytest.mark.parametrize(
    ("headers", "chunks", "status", "reason", "said"),
    [
        (JPEG, [PHOTO], 200, None, ""),
        (JPEG + _length(len(PHOTO)), [PHOTO[:9], PHOTO[9:]], 200, None, ""),
        (_coded("gzip"), [GZIP], 200, None, ""),
        (_coded("GZIP"), [GZIP[:20], GZIP[20:], b""], 200, None, ""),
        (_coded("x-gzip"), [GZIP], 200, None, ""),
        (_coded("identity", "gzip"), [GZIP], 200, None, ""),
        (_coded("identity"), [PHOTO], 200, None, ""),
        (_coded("deflate"), [zlib.compress(PHOTO)], 200, None, ""),
        (_coded("gzip"), [gzip.compress(PHOTO[:50]) + gzip.compress(PHOTO[50:])], 200, None, ""),
        ([*FORM, ("content-encoding", "gzip")], [gzip.compress(NAMED)], 200, None, ""),
        (FORM, [NAMED], 200, None, ""),
        (FORM, [NAMELESS], 422, "invalid_form", 'add filename="photo.jpg"'),
        (_coded("br"), [PHOTO], 415, "unsupported_media_type", "Content-Encoding br: send the body as it is"),
        (_coded("gzip, gzip"), [GZIP], 415, "unsupported_media_type", "gzip, gzip"),
        (_coded("gzip", "gzip"), [GZIP], 415, "unsupported_media_type", "gzip, gzip"),
        (_coded("gzip"), [PHOTO], 400, "invalid_body", "is not gzip"),
        (_coded("gzip"), [GZIP[:-9]], 400, "invalid_body", "ends too early"),
        (_coded("gzip"), [gzip.compress(bytes(200_000))], 413, "too_many_bytes", "100000 bytes"),
        (JPEG + _length(200_000), [b""], 413, "too_many_bytes", "100000 bytes"),
        (JPEG + _length(100), [b""], 400, "invalid_body", "0 of the announced 100 bytes"),
        (JPEG + _length(len(PHOTO)), [PHOTO[:-1]], 400, "invalid_body", "bytes of the body came"),
        (JPEG + _length(0), [b""], 400, "empty_file", ""),
        (JPEG + H2C + _length(100), [b""], 400, "invalid_body", "asks to `Upgrade`"),
        ([*JPEG, *H2C, ("transfer-encoding", "chunked")], [b""], 400, "invalid_body", "asks to `Upgrade`"),
        (FORM + H2C + _length(100), [b""], 400, "invalid_body", "asks to `Upgrade`"),
        (JPEG + H2C, [PHOTO], 200, None, ""),
        ([*JPEG, ("accept", "text/html"), ("accept", "application/json")], [PHOTO], 200, None, ""),
        ([*JPEG, ("content-type", "image/png")], [PHOTO], 415, "unsupported_media_type", "send one"),
        ([*JPEG, *JPEG], [PHOTO], 200, None, ""),
    ],
)
def test_a_body_is_read_as_its_headers_say(
    client: Client, headers: Headers, chunks: list[bytes], status: int, reason: str | None, said: str
) -> None:
    app = client({"limits": {"max_bytes": 100_000}}).app
    answer = _ask(app, "POST", "/v1/focus", headers, *chunks)
    assert answer.status == status, answer.body
    if reason is None:
        assert answer.json["width"] == 256
    else:
        assert answer.json["reason"] == reason
        assert said in answer.json["message"]
    assert (answer.headers.get("accept-encoding") == "gzip, deflate") == (status == 415)


def test_what_a_coding_hides_is_not_made_beyond_the_limit(client: Client) -> None:
    bomb = gzip.compress(bytes(300 * 2**20), 1)
    answer = _ask(client().app, "POST", "/v1/focus", _coded("gzip"), bomb)
    assert answer.json["reason"] == "too_many_bytes"


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/", "/openapi.json", "/v1/model", "/static/style.css"])
def test_head_is_answered_as_get_without_a_body(client: Client, counted: Any, path: str) -> None:
    app = client().app
    asked, headed = _ask(app, "GET", path, []), _ask(app, "HEAD", path, [])
    assert headed == Answer(asked.status, asked.headers, b"")
    assert list(counted.requests.values()) in ([2], [1, 1]), "counted by its route, as GET is"


def test_head_where_there_is_only_post_is_refused(client: Client) -> None:
    answer = _ask(client().app, "HEAD", "/v1/focus", [])
    assert (answer.status, answer.headers["allow"], answer.body) == (405, "POST", b"")
    assert _ask(client().app, "PUT", "/livez", []).headers["allow"] == "GET, HEAD"


def _preflight(app: Any, origin: str) -> Answer:
    headers = [("origin", origin), ("access-control-request-method", "POST")]
    return _ask(app, "OPTIONS", "/v1/focus", [*headers, ("access-control-request-headers", "x-api-key,content-type")])


def test_pages_of_other_websites_ask_only_where_the_operator_names_them(client: Client) -> None:
    closed = _preflight(client().app, "https://app.example")
    assert (closed.status, closed.json["reason"]) == (405, "method_not_allowed")
    assert "cors_origins" in closed.json["message"]
    assert "access-control-allow-origin" not in closed.headers

    app = client({"cors_origins": ["https://app.example"]}, keys=("a key of the operator",)).app
    allowed = _preflight(app, "https://app.example")
    assert (allowed.status, allowed.headers["access-control-allow-origin"]) == (200, "https://app.example")
    assert _preflight(app, "https://other.example").headers.get("access-control-allow-origin") is None
    refused = _ask(app, "POST", "/v1/focus", [*JPEG, ("origin", "https://app.example")], PHOTO)
    assert (refused.status, refused.headers["access-control-allow-origin"]) == (401, "https://app.example")
    key = ("x-api-key", "a key of the operator")
    answer = _ask(app, "POST", "/v1/focus", [*JPEG, key, ("origin", "https://app.example")], PHOTO)
    assert (answer.status, answer.headers["access-control-allow-origin"]) == (200, "https://app.example")


@pytest.mark.parametrize("origin", ["*", "app.example", "https://app.example/", "https://*.example", "null", ""])
def test_an_origin_is_written_as_browsers_send_it(origin: str) -> None:
    with pytest.raises(ConfigError, match="is no origin"):
        build(ServeConfig, {"cors_origins": [origin]}, where="test")
