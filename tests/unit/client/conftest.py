"""An HTTP server that says its lines in order, and what it may say."""

import base64
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from dbd_ray.client import FocusClient
from dbd_ray.summary import SharpArea, Summary

SUMMARY = Summary("partial", 0.31, SharpArea(1, 2, 30, 40, 15.5, 21.0), 0.8, "lite", "abc")
PICTURE = b"\x89PNG a picture"
ANSWER: dict[str, Any] = {
    "width": 640,
    "height": 427,
    "summary": SUMMARY.as_dict(),
    "pictures": {"focus": base64.b64encode(PICTURE).decode()},
}


@dataclass
class Reply:
    """What the server answers once; without a status it closes the connection instead."""

    status: int | None = 200
    body: Any = field(default_factory=lambda: ANSWER)
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Request:
    """What the server was asked."""

    method: str
    path: str
    query: list[tuple[str, str]]
    headers: dict[str, str]
    body: bytes
    at: float


class Server:
    """A small HTTP server that says its lines in order and remembers what it was asked."""

    summary, answer, picture = SUMMARY, ANSWER, PICTURE
    model = {"name": "lite", "limits": {"max_photos": 4}}  # noqa: RUF012

    def __init__(self) -> None:
        self.replies: list[Reply] = []
        self.requests: list[Request] = []
        self.gate: threading.Barrier | None = None  # answers nobody before so many have asked
        script = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                url = urlsplit(self.path)
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                asked = Request(self.command, url.path, parse_qsl(url.query), headers, body, time.monotonic())
                script.requests.append(asked)
                if script.gate:
                    script.gate.wait()
                self._say(script.replies.pop(0))

            do_GET = do_POST

            def _say(self, reply: Reply) -> None:
                if reply.status is None:
                    self.close_connection = True
                    return
                body = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
                self.send_response(reply.status)
                for name, value in {"Content-Type": "application/json", **reply.headers}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None: ...

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def says(self, *replies: Reply) -> None:
        self.replies += replies

    @staticmethod
    def ok(body: Any = ANSWER, **headers: str) -> Reply:
        return Reply(200, body, {name.replace("_", "-"): value for name, value in headers.items()})

    @staticmethod
    def png() -> Reply:
        return Reply(200, PICTURE, {"Content-Type": "image/png"})

    @staticmethod
    def hang_up() -> Reply:
        return Reply(None)

    @staticmethod
    def refusal(status: int, reason: str, *, retry_after: str | None = None) -> Reply:
        body = {"reason": reason, "message": f"because of {reason}", "request_id": "theirs"}
        return Reply(status, body, {"Retry-After": retry_after} if retry_after else {})

    @staticmethod
    def plain(status: int, text: str) -> Reply:
        return Reply(status, text.encode(), {"Content-Type": "text/plain"})

    @staticmethod
    def results(*found: dict[str, Any] | tuple[str, str]) -> Reply:
        entries = [
            {"answer": None, "error": {"reason": one[0], "message": one[1]}}
            if isinstance(one, tuple)
            else {"answer": one, "error": None}
            for one in found
        ]
        return Reply(200, {"results": entries, "failed": sum(isinstance(one, tuple) for one in found)})

    def close(self) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    yield running
    running.close()


@pytest.fixture
def client(server: Server) -> Iterator[FocusClient]:
    with FocusClient(server.url, backoff_s=0.001) as running:
        yield running
