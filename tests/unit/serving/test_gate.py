"""Promises of the gateway's doors: slow bodies, clients that go away, keys, limits."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from dbd_ray.config import ServeConfig, build
from dbd_ray.errors import ConfigError
from dbd_ray.serving.keys import load_keys
from dbd_ray.serving.refusals import Refusal

SCOPE = {
    "type": "http",
    "asgi": {"version": "3.0"},
    "http_version": "1.1",
    "method": "POST",
    "path": "/v1/focus",
    "raw_path": b"/v1/focus",
    "root_path": "",
    "scheme": "http",
    "query_string": b"",
    "server": ("test", 80),
    "client": ("test", 1),
}


def _status(app: Any, headers: list[tuple[bytes, bytes]], receive: Callable[[], Awaitable[Any]]) -> int:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(app({**SCOPE, "headers": headers}, receive, send))
    return int(sent[0]["status"])


@pytest.mark.parametrize("kind", [b"image/jpeg", b"multipart/form-data; boundary=x"])
def test_a_body_that_never_ends_is_given_up(client: Callable[..., TestClient], kind: bytes) -> None:
    app = client({"limits": {"body_timeout_s": 0.05}}).app
    begun = False

    async def drip() -> Any:
        nonlocal begun
        if begun:
            await asyncio.Event().wait()
        begun = True
        return {"type": "http.request", "body": b"--x\r\n", "more_body": True}

    assert _status(app, [(b"content-type", kind)], drip) == 408


@pytest.mark.parametrize(
    "header", [(b"content-length", b"5000000000"), (b"accept", b"text/html"), (b"content-type", b"text/plain")]
)
def test_what_the_headers_forbid_is_refused_before_the_body_is_read(
    client: Callable[..., TestClient], header: tuple[bytes, bytes]
) -> None:
    async def unread() -> Any:
        pytest.fail("the body was read")

    headers = dict([(b"content-type", b"image/jpeg"), header])
    assert _status(client().app, list(headers.items()), unread) in (406, 413, 415)


def test_a_client_that_goes_away_is_no_fault(client: Callable[..., TestClient], counted: Any) -> None:
    async def gone() -> Any:
        return {"type": "http.disconnect"}

    assert _status(client().app, [(b"content-type", b"image/jpeg")], gone) == 499
    assert not counted.reasons


def test_keys_come_from_a_file_or_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DBD_RAY_API_KEYS", raising=False)
    assert not load_keys(None)
    monkeypatch.setenv("DBD_RAY_API_KEYS", "one key that is long, another that is long")
    load_keys(None).check({"x-api-key": "another that is long"})
    (tmp_path / "keys").write_text("  # of the shop 2026\na key out of a file\n\n")
    keys = load_keys(str(tmp_path / "keys"))
    keys.check({"authorization": "Bearer a key out of a file"})
    with pytest.raises(Refusal):
        keys.check({"x-api-key": "# of the shop 2026"})
    monkeypatch.setenv("DBD_RAY_API_KEYS", " ,")
    with pytest.raises(ConfigError, match="holds no key"):
        load_keys(None)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("", "holds no key"),
        ("# nothing\n", "holds no key"),
        ("short\n", "key 1 has fewer than 16"),
        ("ein schöner Schlüssel\n", "ASCII"),
        (None, "read"),
    ],
)
def test_a_file_of_keys_that_would_let_everybody_in_is_refused(
    tmp_path: Path, content: str | None, complaint: str
) -> None:
    if content is not None:
        (tmp_path / "keys").write_text(content)
    with pytest.raises(ConfigError, match=complaint):
        load_keys(str(tmp_path / "keys"))


@pytest.mark.parametrize(
    ("limits", "complaint"),
    [
        ({"max_pixels": 300_000_000}, "could never be decoded"),
        ({"max_bytes": 300_000_000}, "holds no photo of max_bytes"),
        ({"max_tile": 33}, "max_tile"),
        ({"body_timeout": 3}, "body_timeout"),
    ],
)
def test_limits_that_contradict_each_other_are_refused(limits: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        build(ServeConfig, {"limits": limits}, where="test")
