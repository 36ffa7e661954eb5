"""The parts of the OpenAPI description that FastAPI cannot derive: bodies that are photos, and errors by status."""

from typing import Any

from dbd_ray.serving.refusals import REASONS, Refusal
from dbd_ray.serving.schemas import ErrorAnswer

_PHOTO = {"type": "string", "format": "binary"}


def _form(field: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"schema": {"type": "object", "required": [field], "properties": {field: schema}}}


FOCUS_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "The photo: JPEG, PNG, WebP, TIFF, BMP, GIF or AVIF; with the server's extras HEIC, JPEG XL "
        "and camera raw.",
        "content": {
            "image/jpeg": {"schema": _PHOTO},
            "image/png": {"schema": _PHOTO},
            "application/octet-stream": {"schema": _PHOTO},
            "multipart/form-data": _form("photo", _PHOTO),
        },
    }
}
BATCH_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"multipart/form-data": _form("photos", {"type": "array", "minItems": 1, "items": _PHOTO})},
    }
}
FOCUS_RESPONSE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The summary, or with `Accept: image/png` the picture that `output` names.",
        "content": {"image/png": {"schema": _PHOTO}},
    }
}

_EXAMPLES = {
    "unauthorized": "this server wants an API key: send it in `Authorization: Bearer KEY`",
    "not_an_image": "these 12 bytes are no photo in a format that dbd_ray reads, whatever the file is called",
    "too_many_pixels": "the photo has 30000x30000 pixels, the limit is 64000000: make the photo smaller "
    "(`dbd-ray predict` takes up to 160000000)",
    "timeout": "the body did not arrive within 30 s: send it again",
    "unsupported_media_type": "Content-Type text/plain: send the photo as image/jpeg (or what it is)",
    "invalid_parameter": "threshold: Input should be less than or equal to 1",
    "busy": "all detectors have enough to do: send it again a little later",
    "model_unavailable": "no detector answers at the moment: send it again a little later",
}


def _errors() -> dict[int | str, dict[str, Any]]:
    by_status: dict[int, list[str]] = {}
    for reason in REASONS:
        by_status.setdefault(Refusal(reason, "").status, []).append(reason)
    described: dict[int | str, dict[str, Any]] = {}
    for status, reasons in sorted(by_status.items()):
        if status in (404, 405):
            continue  # for paths and methods that are not in this API
        examples = {
            reason: {"value": {"reason": reason, "message": _EXAMPLES[reason], "request_id": "5f3c…"}}
            for reason in reasons
            if reason in _EXAMPLES
        }
        described[status] = {
            "model": ErrorAnswer,
            "description": ", ".join(reasons),
            "content": {"application/json": {"examples": examples}} if examples else {},
        }
        if status in (429, 503):
            header = {"description": "Seconds to wait.", "schema": {"type": "integer"}}
            described[status]["headers"] = {"Retry-After": header}
    return described


ERRORS = _errors()
