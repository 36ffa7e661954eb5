"""Error handlers, and the middleware that counts requests and adds the headers of every answer."""

import asyncio
import time
import uuid

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dbd_ray.serving.measures import GatewayMeasures
from dbd_ray.serving.refusals import Refusal

# the page loads nothing from other hosts, and nothing inside it runs or is drawn that is not in its own files
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)
_CLOSED_BY_CLIENT = 499


def add_handlers(app: FastAPI, measures: GatewayMeasures) -> None:
    """Answer every error as JSON with a reason, and count what was answered."""

    async def refused(request: Request, refusal: Refusal) -> Response:
        measures.refused(refusal.reason)
        body = {"reason": refusal.reason, "message": refusal.message, "request_id": _request_id(request)}
        return JSONResponse(body, refusal.status, refusal.headers)

    async def invalid(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"][1:]) or "the query"
        return await refused(request, Refusal("invalid_parameter", f"{name}: {first['msg']}"))

    async def no_route(request: Request, error: HTTPException) -> Response:
        if "access-control-request-method" in request.headers:
            message = "pages of other websites may not ask here: its operator can name their origins in cors_origins"
            refusal = Refusal("method_not_allowed", message)
        elif error.status_code == 405:
            refusal = Refusal("method_not_allowed", f"{request.method} is not possible here: see openapi.json")
        else:
            refusal = Refusal("not_found", "there is nothing here: see openapi.json for what is there")
        response = await refused(request, refusal)
        response.headers.update(error.headers or {})
        if response.headers.get("allow") == "GET":
            response.headers["allow"] = "GET, HEAD"
        return response

    async def gone(request: Request, error: ClientDisconnect) -> Response:
        return Response(status_code=_CLOSED_BY_CLIENT)  # nobody reads it; it keeps the log free of a traceback

    async def failed(request: Request, error: Exception) -> Response:
        # Starlette logs the error itself
        return await refused(request, Refusal("internal", "the server failed, which is its mistake: report request_id"))

    app.add_exception_handler(Refusal, refused)  # type: ignore[arg-type]
    app.add_exception_handler(RequestValidationError, invalid)  # type: ignore[arg-type]
    app.add_exception_handler(HTTPException, no_route)  # type: ignore[arg-type]
    app.add_exception_handler(ClientDisconnect, gone)  # type: ignore[arg-type]
    app.add_exception_handler(Exception, failed)
    app.add_middleware(_HeadAsGet)
    app.add_middleware(_Counted, measures=measures)


def _request_id(request: Request) -> str:
    return request.headers.get("x-request-id") or uuid.uuid4().hex  # Serve's proxy has set it for every request


class _HeadAsGet:
    """Answers HEAD as GET without its body (RFC 9110, 9.3.2), which FastAPI's routes do not."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def send_without_body(message: Message) -> None:
            await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

        # the same mapping: `_Counted` finds the route in it
        scope["method"] = "GET"
        await self._app(scope, receive, send_without_body)


class _Counted:
    """Counts and times requests, and adds the headers that all answers have."""

    def __init__(self, app: ASGIApp, measures: GatewayMeasures) -> None:
        self._app = app
        self._measures = measures

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 500

        async def send_counted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                private = [(b"cache-control", b"no-store")] if "/v1/" in scope["path"] else []
                message = {**message, "headers": [*message.get("headers", []), *_HEADERS, *private]}
            await send(message)

        try:
            await self._app(scope, receive, send_counted)
        except asyncio.CancelledError:
            status = _CLOSED_BY_CLIENT
            raise
        finally:
            route = getattr(scope.get("route"), "path", "other")  # never what a client wrote
            self._measures.answered(route, status, (time.perf_counter() - started) * 1000)
