"""The body of a request as it comes in: its announced length, its coding (RFC 9110, 8.4), and its limits."""

import asyncio
import zlib
from collections.abc import Callable

from fastapi import Request
from starlette.types import Message, Receive

from dbd_ray.serving.refusals import Refusal

_WINDOW_BITS = {"gzip": 31, "x-gzip": 31, "deflate": 15}  # of zlib: 16 more for gzip's own header
_UPGRADED = (
    "the body was lost on the way, for the request asks to `Upgrade` the connection: ask by HTTP/1.1 without it (Java: "
    "version(HttpClient.Version.HTTP_1_1); curl: --http1.1), or by way of HAProxy (`dbd-ray serve --haproxy`)"
)


def listed(request: Request, name: str) -> list[str]:
    """Read a header that is a list, in lower case: its values may stand in one line or in several (RFC 9110, 5.3)."""
    values = (value.strip().lower() for line in request.headers.getlist(name) for value in line.split(","))
    return [value for value in values if value]


def content_type(request: Request) -> str:
    """Read the media type of a body, in lower case, without its parameters; empty where there is none.

    Raises:
        Refusal: There are several.
    """
    lines = set(request.headers.getlist("content-type"))
    if len(lines) > 1:
        raise Refusal("unsupported_media_type", f"Content-Type is given {len(lines)} times: send one")
    return next(iter(lines), "").split(";")[0].strip().lower()


def limited_body(request: Request, max_bytes: int, timeout_s: float) -> Receive:
    """Wrap a request's `receive` so that its body is decoded, whole, within a size and within a time.

    Args:
        request: The request, whose body nobody has read.
        max_bytes: Limit of the body, both as it is sent and decoded.
        timeout_s: Time for all of it to arrive, s.

    Raises:
        Refusal: Here or from what is returned: it is too large, too slow, not all there, or in an unknown coding.
    """
    stated = request.headers.get("content-length", "")
    announced = int(stated) if stated.isdecimal() else 0
    if announced > max_bytes:
        raise too_many_bytes(max_bytes)
    decode = _decoder(request, max_bytes)
    deadline = asyncio.get_running_loop().time() + timeout_s
    arrived = 0

    async def receive() -> Message:
        nonlocal arrived
        try:
            async with asyncio.timeout_at(deadline):
                message = await request.receive()
        except TimeoutError:
            raise Refusal("timeout", f"the body did not arrive within {timeout_s:g} s: send it again") from None
        if message["type"] != "http.request":
            return message
        body, more = message.get("body", b""), message.get("more_body", False)
        arrived += len(body)
        if arrived > max_bytes:
            raise too_many_bytes(max_bytes)
        if not more and arrived < max(announced, int(not arrived and "transfer-encoding" in request.headers)):
            raise _not_all_there(request, arrived, announced)
        return {**message, "body": decode(body, not more)}

    return receive


def too_many_bytes(limit: int) -> Refusal:
    """Make the refusal of a body that is larger than a limit, bytes."""
    return Refusal("too_many_bytes", f"more than the {limit} bytes that this server takes: save it as a smaller file")


def _not_all_there(request: Request, arrived: int, announced: int) -> Refusal:
    # Ray's proxy reads HTTP with httptools, which takes what follows the headers for the new protocol's
    if not arrived and request.headers.get("upgrade"):
        return Refusal("invalid_body", _UPGRADED)
    return Refusal("invalid_body", f"{arrived} of the announced {announced} bytes of the body came: send it again")


def _decoder(request: Request, max_bytes: int) -> Callable[[bytes, bool], bytes]:
    codings = [coding for coding in listed(request, "content-encoding") if coding != "identity"]
    if not codings:
        return lambda body, last: body
    if len(codings) > 1 or codings[0] not in _WINDOW_BITS:
        raise Refusal(
            "unsupported_media_type", f"Content-Encoding {', '.join(codings)}: send the body as it is, or as gzip"
        )
    coding = codings[0]
    stream = zlib.decompressobj(_WINDOW_BITS[coding])
    given = 0

    def decode(body: bytes, last: bool) -> bytes:
        nonlocal stream, given
        found = bytearray()
        try:
            while body:
                if stream.eof:  # gzip allows several members, one after the other
                    stream = zlib.decompressobj(_WINDOW_BITS[coding])
                # one byte more than allowed, so that what would be larger is not made
                found += stream.decompress(body, max_bytes - given - len(found) + 1)
                if given + len(found) > max_bytes:
                    raise too_many_bytes(max_bytes)
                body = stream.unconsumed_tail or stream.unused_data
        except zlib.error:
            message = f"the body is not {coding}, as its Content-Encoding says: leave that header out, or compress it"
            raise Refusal("invalid_body", message) from None
        given += len(found)
        if last and not stream.eof:
            raise Refusal("invalid_body", f"the {coding} body ends too early: send it again")
        return bytes(found)

    return decode
