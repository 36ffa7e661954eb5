"""Reading HTTP answers into results and errors, and the policy of which errors are tried again."""

import time
from collections.abc import Mapping, Sequence
from email.utils import parsedate_to_datetime
from typing import Any

import httpx2
from tenacity import RetryCallState, retry_if_exception, stop_after_attempt, wait_random_exponential

from dbd_ray.client.answers import FocusAnswer, FocusError, FocusRequestError
from dbd_ray.client.calls import Call, Photo
from dbd_ray.names import REASON_STATUS

PASSING = frozenset({408, 429, 500, 502, 503, 504})  # requests are idempotent: these may go better the next time
PASSING_REASONS = frozenset(reason for reason, status in REASON_STATUS.items() if status in PASSING)
OF_THE_PHOTO = frozenset({400, 413, 415})
LONGEST_BACKOFF_S = 8.0
LONGEST_RETRY_AFTER_S = 60.0  # a client that is told to wait longer should hear of it, not hang
LONGEST_TEXT = 300
# what reading JSON of another server raises: other fields, other types, too deep, numbers without an end
_OTHERWISE = (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError)
# Ray's proxy and reverse proxies answer in plain text
_REASONS = {401: "unauthorized", 404: "not_found", 405: "method_not_allowed", 408: "timeout", 413: "too_many_bytes"}
_REASONS |= {429: "busy", 500: "internal", 502: "model_unavailable", 503: "model_unavailable", 504: "timeout"}


def retry_policy(attempts: int, backoff_s: float) -> dict[str, Any]:
    """Settings of tenacity: back-off with full jitter on top of what the endpoint asks for.

    Args:
        attempts: Limit of attempts per request.
        backoff_s: Longest wait after the first attempt, s; it doubles with every further one.
    """
    backoff = wait_random_exponential(multiplier=backoff_s, max=LONGEST_BACKOFF_S)

    def wait(state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        asked = error.retry_after_s if isinstance(error, FocusRequestError) else None
        # added and not the larger of both: else all who were sent away come back in the same moment
        return backoff(state) + (asked or 0.0)

    return {
        "stop": stop_after_attempt(attempts),
        "wait": wait,
        "retry": retry_if_exception(_worth_another),
        "reraise": True,
    }


def _worth_another(error: BaseException) -> bool:
    if not isinstance(error, FocusRequestError) or (error.retry_after_s or 0.0) > LONGEST_RETRY_AFTER_S:
        return False
    return error.status in PASSING or (error.status is None and error.reason in ("unreachable", "timeout"))


def checked(answer: httpx2.Response, call: Call) -> httpx2.Response:
    """Pass on an answer of status 200.

    Raises:
        FocusRequestError: The status is another one.
    """
    if answer.status_code == 200:
        return answer
    try:
        said = answer.json()
        reason, message = str(said["reason"]), str(said["message"])
    except _OTHERWISE:
        reason = _REASONS.get(answer.status_code, f"http_{answer.status_code}")
        message = f"{answer.url} answered {answer.status_code}: {_text(answer)}"
    raise FocusRequestError(
        reason,
        message,
        status=answer.status_code,
        request_id=answer.headers.get("x-request-id", call.request_id),
        retry_after_s=_retry_after(answer.headers.get("retry-after")),
    )


def no_answer(error: Exception, base_url: str, call: Call) -> FocusRequestError:
    """Make the error of a request that was not answered."""
    what = str(error) or type(error).__name__
    if isinstance(error, httpx2.TimeoutException):
        message = f"{base_url} did not answer in time ({what}): raise timeout_s, or send smaller photos"
        return FocusRequestError("timeout", message, request_id=call.request_id)
    if isinstance(error, httpx2.NetworkError | httpx2.RemoteProtocolError | httpx2.ProxyError):
        message = f"{base_url} does not answer ({what}): is the endpoint running there?"
        return FocusRequestError("unreachable", message, request_id=call.request_id)
    return FocusRequestError("unexpected_answer", f"{base_url}: {what}", request_id=call.request_id)


def read_focus(answer: httpx2.Response) -> FocusAnswer:
    """Read the answer for one photo."""
    try:
        return FocusAnswer.from_dict(answer.json())
    except _OTHERWISE as error:
        raise _unexpected(answer) from error


def read_batch(answer: httpx2.Response, photos: Sequence[Photo]) -> list[FocusAnswer | FocusError]:
    """Read the answers for the photos of a form, in their order."""
    try:
        results = answer.json()["results"]
        return [_read_result(result, photo) for result, photo in zip(results, photos, strict=True)]
    except _OTHERWISE as error:
        raise _unexpected(answer) from error


def _read_result(result: dict[str, Any], photo: Photo) -> FocusAnswer | FocusError:
    if result["answer"] is not None:
        return FocusAnswer.from_dict(result["answer"])
    return FocusError(photo.name, str(result["error"]["reason"]), str(result["error"]["message"]))


def read_picture(answer: httpx2.Response) -> bytes:
    """Read a PNG file."""
    if not answer.headers.get("content-type", "").startswith("image/png"):
        raise _unexpected(answer)
    return answer.content


def read_object(answer: httpx2.Response) -> dict[str, Any]:
    """Read a JSON object."""
    try:
        return dict(answer.json())
    except _OTHERWISE as error:
        raise _unexpected(answer) from error


def largest_batch(model: Mapping[str, Any]) -> tuple[int, float]:
    """Read from the answer of /v1/model how many photos, and how many bytes, one batch may have.

    Raises:
        FocusRequestError: They are no numbers.
    """
    limits = model.get("limits", {})
    try:
        return int(limits.get("max_photos", 1)), float(limits.get("max_batch_bytes", "inf"))
    except _OTHERWISE:
        message = "/v1/model answered limits that are none of dbd_ray's: is base_url right?"
        raise FocusRequestError("unexpected_answer", message) from None


def _unexpected(answer: httpx2.Response) -> FocusRequestError:
    message = f"{answer.url} answered otherwise than dbd_ray does ({_text(answer)}): is base_url right?"
    return FocusRequestError(
        "unexpected_answer",
        message,
        status=answer.status_code,
        request_id=answer.headers.get("x-request-id"),
    )


def _text(answer: httpx2.Response) -> str:
    words = " ".join(answer.text[: 4 * LONGEST_TEXT].split())
    return words[:LONGEST_TEXT] or "an empty body"


def _retry_after(header: str | None) -> float | None:
    if header is None:
        return None
    try:
        return max(0.0, float(header))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(header).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None
