"""The error that a client is answered when its request is refused: a status, a stable reason, and what to do."""

from typing import Literal, get_args

from dbd_ray.errors import DbdRayError, PhotoError, PhotoReason
from dbd_ray.masking import masked
from dbd_ray.names import MAX_PIXELS, REASON_STATUS, RequestReason

Reason = Literal[PhotoReason, RequestReason]
REASONS: tuple[Reason, ...] = get_args(Reason)
RETRY_AFTER_S = 1


class Refusal(DbdRayError):
    """A request, or one photo of it, is refused.

    Args:
        reason: Stable code, for programs.
        message: What was wrong and what to do, for people.
    """

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(f"{message} [{reason}]")
        self.reason: Reason = reason
        self.message = masked(message)

    def __reduce__(self) -> tuple[type["Refusal"], tuple[Reason, str]]:
        # the default would rebuild from the formatted text, which fails between Ray processes
        return (type(self), (self.reason, self.message))

    @property
    def status(self) -> int:
        """The HTTP status of the reason."""
        return REASON_STATUS[self.reason]

    @property
    def headers(self) -> dict[str, str]:
        """The HTTP headers that the status asks for."""
        if self.status == 401:
            return {"WWW-Authenticate": "Bearer"}
        if self.status == 415:
            return {"Accept-Encoding": "gzip, deflate"}
        return {"Retry-After": str(RETRY_AFTER_S)} if self.status in (429, 503) else {}


def refused_photo(error: PhotoError) -> Refusal:
    """Turn an unusable photo into a refusal; advice that only the server's operator could follow is left out."""
    limit = {
        "too_many_pixels": f"make the photo smaller (`dbd-ray predict` takes up to {MAX_PIXELS})",
        "too_many_bytes": "save it as a smaller file",
    }
    if error.reason in limit:
        return Refusal(error.reason, f"{error.message.split(':')[0]}: {limit[error.reason]}")
    if error.reason in ("needs_extra_heif", "needs_extra_raw", "needs_extra_jxl"):
        return Refusal(
            error.reason, "this server does not read HEIC, camera raw or JPEG XL: send the photo as JPEG or PNG"
        )
    return Refusal(error.reason, error.message)
