"""Reading photos out of a request's body, raw or as a form, within limits of size and time."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import Request
from python_multipart.exceptions import FormParserError
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.types import Scope

from dbd_ray.config.serve import LimitsConfig
from dbd_ray.serving.incoming import content_type, limited_body, too_many_bytes
from dbd_ray.serving.refusals import Refusal

_FORM = "multipart/form-data"
_FORM_OVERHEAD_BYTES = 16 * 1024  # for the boundaries and headers of a form with one photo


async def read_photo(request: Request, limits: LimitsConfig) -> bytes:
    """Read the one photo of /v1/focus.

    Args:
        request: Request whose body is a photo (image/*, application/octet-stream) or a form with the file field
            `photo`.
        limits: The server's limits of size and time.

    Returns:
        The photo's encoded bytes.

    Raises:
        Refusal: The body is no photo, too large, or too slow.
    """
    kind = content_type(request)
    if kind == _FORM:
        async with _form(request, "photo", limits.max_bytes + _FORM_OVERHEAD_BYTES, limits, most=1) as files:
            if len(files) != 1:
                raise Refusal("invalid_form", f"the form has {len(files)} files `photo`: send exactly one")
            return await read_file(files[0], limits)
    if not (kind.startswith("image/") or kind == "application/octet-stream"):
        raise Refusal(
            "unsupported_media_type",
            f"Content-Type {kind or '(none)'}: send the photo as image/jpeg (or what it is), as "
            "application/octet-stream, or in a multipart/form-data field `photo`",
        )
    receive = limited_body(request, limits.max_bytes, limits.body_timeout_s)
    chunks = [chunk async for chunk in Request(request.scope, receive).stream()]
    return b"".join(chunks)


@asynccontextmanager
async def read_photos(request: Request, limits: LimitsConfig) -> AsyncIterator[list[UploadFile]]:
    """Open the photos of /v1/batch: the file fields `photos` of a form, kept on disk where they are large.

    Args:
        request: Request whose body is the form.
        limits: The server's limits of number, size and time.

    Yields:
        The files, which are deleted afterwards.

    Raises:
        Refusal: There are none or too many, the body is too large or too slow.
    """
    if content_type(request) != _FORM:
        raise Refusal("unsupported_media_type", "send the photos as multipart/form-data, in file fields `photos`")
    async with _form(request, "photos", limits.max_batch_bytes, limits, most=limits.max_photos) as files:
        if not files:
            raise Refusal("invalid_form", "the form has no file field `photos`: send at least one photo")
        yield files


async def read_file(file: UploadFile, limits: LimitsConfig) -> bytes:
    """Read one photo of a form.

    Raises:
        Refusal: The file is larger than one photo may be.
    """
    if (file.size or 0) > limits.max_bytes:
        raise too_many_bytes(limits.max_bytes)
    return await file.read()


@asynccontextmanager
async def _form(
    request: Request, field: str, max_bytes: int, limits: LimitsConfig, *, most: int
) -> AsyncIterator[list[UploadFile]]:
    inner = Request(_in_utf8(request.scope), limited_body(request, max_bytes, limits.body_timeout_s))
    try:
        # one file more than allowed, so that too many is told from a broken form
        form = await inner.form(max_files=most + 1, max_fields=0)
    except (HTTPException, FormParserError) as error:
        detail = error.detail if isinstance(error, HTTPException) else str(error)
        if "Too many files" in detail and most > 1:
            raise _too_many_photos(most) from None
        if "Too many fields" in detail:
            advice = f'add filename="photo.jpg" to its Content-Disposition (curl: -F {field}=@photo.jpg)'
            raise Refusal(
                "invalid_form", f"a part of the form has no file name, so that it is no file: {advice}"
            ) from None
        raise Refusal("invalid_form", f"the form cannot be read ({detail}): only files `{field}` go in") from None
    try:
        others = [name for name, value in form.multi_items() if name != field or not isinstance(value, UploadFile)]
        if others:
            raise Refusal("invalid_form", f"the form has other fields ({len(others)}): only files `{field}` go in")
        files = [value for value in form.getlist(field) if isinstance(value, UploadFile)]
        if len(files) > most > 1:
            raise _too_many_photos(most)
        yield files
    finally:
        await form.close()


def _in_utf8(scope: Scope) -> Scope:
    """Remove the charset from the Content-Type: file names would be decoded by any codec of Python that it names."""

    def cleaned(name: bytes, value: bytes) -> tuple[bytes, bytes]:
        if name != b"content-type":
            return name, value
        parts = value.split(b";")
        return name, b";".join(part for part in parts if not part.strip().lower().startswith(b"charset"))

    return {**scope, "headers": [cleaned(name, value) for name, value in scope["headers"]]}


def _too_many_photos(limit: int) -> Refusal:
    return Refusal("too_many_photos", f"more than {limit} photos in one request: send several requests")
