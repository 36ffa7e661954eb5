"""What a client is told when its request is refused: a status, a stable reason, and what to do."""

from typing import Literal, get_args

from dbd_ray.errors import PhotoError, PhotoReason

Reason = Literal[
    PhotoReason,
    "unauthorized",
    "not_found",
    "method_not_allowed",
    "not_acceptable",
    "timeout",
    "too_many_photos",
    "unsupported_media_type",
    "invalid_parameter",
    "invalid_form",
    "no_depth",
    "busy",
    "model_unavailable",
    "internal",
]
RETRY_AFTER_S = 1

_STATUS: dict[str, int] = {
    "empty_file": 400,
    "not_an_image": 400,
    "truncated": 400,
    "undecodable": 400,
    "unauthorized": 401,
    "not_found": 404,
    "method_not_allowed": 405,
    "not_acceptable": 406,
    "timeout": 408,
    "too_many_bytes": 413,
    "too_many_pixels": 413,
    "too_many_photos": 413,
    "out_of_memory": 413,
    "unsupported_media_type": 415,
    "needs_extra_heif": 415,
    "needs_extra_raw": 415,
    "invalid_parameter": 422,
    "invalid_form": 422,
    "no_depth": 422,
    "busy": 429,
    "internal": 500,
    "model_unavailable": 503,
}
REASONS: tuple[Reason, ...] = get_args(Reason)


class Refusal(Exception):
    """A request, or one photo of it, is refused.

    Args:
        reason: Stable code, for programs.
        message: What was wrong and what to do, for people.
    """

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(f"{message} [{reason}]")
        self.reason = reason
        self.message = message

    @property
    def status(self) -> int:
        """The HTTP status of the reason."""
        return _STATUS[self.reason]

    @property
    def headers(self) -> dict[str, str]:
        """Headers that belong to the status."""
        if self.status == 401:
            return {"WWW-Authenticate": "Bearer"}
        return {"Retry-After": str(RETRY_AFTER_S)} if self.status in (429, 503) else {}


def refused_photo(error: PhotoError) -> Refusal:
    """Say to a client why its photo cannot be used; what a person at the server could change is left out."""
    limit = {"too_many_pixels": "make the photo smaller", "too_many_bytes": "save it as a smaller file"}
    if error.reason in limit:
        return Refusal(error.reason, f"{error.message.split(':')[0]}: {limit[error.reason]}")
    if error.reason in ("needs_extra_heif", "needs_extra_raw"):
        return Refusal(error.reason, "this server does not read HEIC or camera raw: send the photo as JPEG or PNG")
    return Refusal(error.reason, error.message)
