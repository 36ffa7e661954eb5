"""Whatever is given, or set in the environment, ends in the documented errors, or works."""

import asyncio
import io
import math
import pickle
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dbd_ray.client import AsyncFocusClient, FocusAnswer, FocusClient, FocusError, FocusRequestError
from dbd_ray.errors import ConfigError

KINDS = pytest.mark.parametrize("kind", [FocusClient, AsyncFocusClient])
VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR")
URL = "http://127.0.0.1:9"


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@KINDS
@pytest.mark.parametrize(
    ("url", "arguments", "said"),
    [
        (None, {}, "base_url: give a text"),
        (Path("/endpoint"), {}, "base_url: give a text"),
        ("http://", {}, "has no host"),
        ("http://[::1", {}, "is no address"),
        ("http://host:port", {}, "is no address"),
        ("http://host\x00", {}, "is no address"),
        ("http://host?a=b", {}, "leave out what begins with"),
        (URL, {"api_key": "schlüssel-0123456789"}, "api_key: give one key of printable ASCII"),
        (URL, {"api_key": "first-secret-key\nsecond-secret-key"}, "api_key: give one key"),
        (URL, {"api_key": " \n"}, "api_key: give one key"),
        (URL, {"api_key": b"a-key-of-bytes"}, "api_key: give a text, not bytes"),
        (URL, {"timeout_s": "30"}, "timeout_s: give a number"),
        (URL, {"timeout_s": 0}, "timeout_s=0: give more than 0"),
        (URL, {"timeout_s": math.inf}, "timeout_s: give a number"),
        (URL, {"timeout_s": None}, "timeout_s: give a number"),
        ("http://127.0.0.1:99999", {}, "is no address"),
        ("http://a b", {}, "is no address"),
        (URL, {"timeout_s": 1e10}, "timeout_s=1e+10: give at most 1,000,000 seconds"),
        (URL, {"backoff_s": -1}, "backoff_s=-1: give 0 or more"),
        (URL, {"attempts": 0}, "attempts: give a whole number"),
        (URL, {"attempts": 1.5}, "attempts: give a whole number"),
    ],
)
def test_a_wrong_argument_is_named_and_a_key_is_not_shown(
    kind: Any, url: Any, arguments: dict[str, Any], said: str
) -> None:
    with pytest.raises((ConfigError, FocusRequestError)) as caught:
        kind(url, **arguments)
    assert isinstance(caught.value, FocusRequestError) == ("api_key: give one" in str(caught.value))
    assert said in str(caught.value)
    assert "secret" not in str(caught.value)
    assert "schlüssel" not in str(caught.value)


@KINDS
@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("ALL_PROXY", "socks5://user:s3cr3t@127.0.0.1:1080", "pip install socksio"),
        ("HTTP_PROXY", "ftp://127.0.0.1:1", "is no address of a proxy"),
        ("HTTP_PROXY", "http://[::1", "is no address of a proxy"),
        ("SSL_CERT_FILE", "/absent/certificates.pem", "correct SSL_CERT_FILE"),
    ],
)
def test_what_the_environment_says_wrongly_is_named(
    kind: Any, name: str, value: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError) as caught:
        kind(URL)
    assert said in str(caught.value)
    assert f"{name}=" in str(caught.value)
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"), [("ALL_PROXY", "socks5://127.0.0.1:1080"), ("HTTPS_PROXY", "socks5://127.0.0.1:1080")]
)
def test_a_proxy_that_is_not_for_the_endpoint_is_in_nobodys_way(
    server: Any, name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    if name == "ALL_PROXY":
        monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    server.says(server.ok(server.model), server.ok(server.model))
    with FocusClient(server.url) as client:
        assert client.model() == server.model

    async def ask() -> dict[str, Any]:
        async with AsyncFocusClient(server.url) as other:
            return dict(await other.model())

    assert asyncio.run(ask()) == server.model


def _opened(path: Path) -> Any:
    file = tempfile.TemporaryFile()  # noqa: SIM115 - the client reads it
    file.write(path.read_bytes())
    file.seek(0)
    return file


@pytest.mark.parametrize(
    ("given", "name"),
    [
        (lambda path: path, "a.jpg"),
        (str, "a.jpg"),
        (lambda path: path.open("rb"), "a.jpg"),
        (lambda path: path.read_bytes(), "photo-0"),
        (lambda path: bytearray(path.read_bytes()), "photo-0"),
        (lambda path: memoryview(path.read_bytes()), "photo-0"),
        (lambda path: io.BytesIO(path.read_bytes()), "photo-0"),
        (_opened, "photo-0"),
    ],
)
def test_paths_bytes_and_open_files_are_photos(
    server: Any, client: FocusClient, tmp_path: Path, given: Callable[[Path], Any], name: str
) -> None:
    (tmp_path / "a.jpg").write_bytes(b"the file")
    server.says(server.ok(), server.ok(server.model), server.results(server.answer))
    client.focus(given(tmp_path / "a.jpg"))
    assert server.requests[0].body == b"the file"
    assert isinstance(client.batch([given(tmp_path / "a.jpg")])[0], FocusAnswer)
    assert f'filename="{name}"'.encode() in server.requests[2].body


@pytest.mark.parametrize("given", [None, 5, "a\0b", io.StringIO("text"), ["a.jpg"]])
def test_what_is_no_photo_is_told_and_harms_no_other(server: Any, client: FocusClient, given: Any) -> None:
    with pytest.raises(FocusRequestError) as caught:
        client.focus(given)
    assert (caught.value.reason, server.requests) == ("unreadable", [])
    server.says(server.ok(server.model), server.results(server.answer))
    bad, good = client.batch([given, b"a photo"])
    assert isinstance(bad, FocusError)
    assert isinstance(good, FocusAnswer)


@pytest.mark.parametrize("photos", ["photo.jpg", b"a photo", 5, io.BytesIO(b"a photo")])
def test_one_photo_is_no_batch(server: Any, client: FocusClient, photos: Any) -> None:
    with pytest.raises(ConfigError, match="photos: give a list of photos"):
        client.batch(photos)
    assert server.requests == []


@KINDS
def test_a_client_goes_to_another_process_as_a_new_one(kind: Any) -> None:
    client = kind(URL, api_key="a-key", timeout_s=3, attempts=2, backoff_s=0.1)
    copy = pickle.loads(pickle.dumps(client))  # noqa: S301 - our own
    assert type(copy) is kind
    assert copy._http is not client._http
    assert copy._http.headers["authorization"] == "Bearer a-key"
    assert (copy.base_url, copy._arguments) == (client.base_url, client._arguments)


@pytest.mark.parametrize("limits", [[], {"max_photos": "many"}, {"max_photos": None}, None])
def test_limits_of_another_website_are_not_taken_for_the_endpoints(
    server: Any, client: FocusClient, limits: Any
) -> None:
    server.says(server.ok({"limits": limits}))
    with pytest.raises(FocusRequestError, match="is base_url right") as caught:
        client.batch([b"a photo"])
    assert caught.value.reason == "unexpected_answer"


def test_the_scheme_of_an_address_may_be_written_in_capitals(server: Any) -> None:
    server.says(server.ok(server.model))
    assert FocusClient(server.url.replace("http", "HTTP")).model() == server.model


INFINITE = b'{"width": Infinity, "height": 1, "summary": {"sharp_area": null}, "pictures": {}}'


@pytest.mark.parametrize("body", [b"[" * 100_000, INFINITE, b'{"results": [' * 50_000, b"\xff"])
def test_an_answer_that_no_endpoint_gives_is_unexpected(server: Any, client: FocusClient, body: bytes) -> None:
    server.says(server.ok(body), server.ok(server.model), server.ok(body))
    for ask in (lambda: client.focus(b"a photo"), lambda: client.batch([b"a photo"])):
        with pytest.raises(FocusRequestError) as caught:
            ask()
        assert caught.value.reason == "unexpected_answer"


@pytest.mark.parametrize("wait", ["1e999", "nan", "-5", "Fri, 31 Dec 9999 23:59:59 -2359", "9" * 400])
def test_no_wait_that_a_server_asks_for_is_an_error_of_its_own(server: Any, wait: str) -> None:
    server.says(server.refusal(429, "busy", retry_after=wait))
    with FocusClient(server.url, attempts=1) as client, pytest.raises(FocusRequestError, match="because of busy"):
        client.focus(b"a photo")


def test_a_closed_client_says_so(server: Any) -> None:
    with FocusClient(server.url) as client:
        pass
    assert not client.ready()
    with pytest.raises(ConfigError, match="this client was closed"):
        client.model()

    async def ask() -> None:
        async with AsyncFocusClient(server.url) as other:
            pass
        assert not await other.ready()
        await other.model()

    with pytest.raises(ConfigError, match="this client was closed"):
        asyncio.run(ask())
