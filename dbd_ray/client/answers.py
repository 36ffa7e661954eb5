"""The results of the clients: the endpoint's answer for a photo, and the errors."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self, TypedDict

from dbd_ray.errors import DbdRayError
from dbd_ray.masking import masked
from dbd_ray.summary import SharpArea, Summary, with_new_names


@dataclass(frozen=True)
class FocusAnswer:
    """The endpoint's answer for one photo.

    Attributes:
        width, height: Size of the upright photo, px.
        summary: The focus map in a few numbers; its sharp area is in pixels of the photo.
        pictures: PNG files by name, those that `include` asked for: `focus` 8-bit gray, 255 = in focus; `overlay` RGB;
            `mask` 8-bit, 0 or 255; `depth` 16-bit gray, 0 near.
    """

    width: int
    height: int
    summary: Summary
    pictures: dict[str, bytes]

    @classmethod
    def from_dict(cls, answer: Mapping[str, Any]) -> Self:
        """Read one answer's JSON object; fields that a later server adds to it are left out.

        Raises:
            KeyError, TypeError, ValueError: The object is not such an answer.
        """
        area = answer["summary"]["sharp_area"]
        summary = {
            **with_new_names(answer["summary"]),
            "sharp_area": None if area is None else SharpArea(**_known(SharpArea, area)),
        }
        return cls(
            width=int(answer["width"]),
            height=int(answer["height"]),
            summary=Summary(**_known(Summary, summary)),
            pictures={name: base64.b64decode(text, validate=True) for name, text in answer["pictures"].items()},
        )


@dataclass(frozen=True)
class FocusError:
    """Why one photo of a batch has no answer.

    Attributes:
        name: The photo's file name, or `photo-N` with N its place in the batch, from 0.
        reason: Stable code, e.g. not_an_image; `unreadable` where the file could not be read here.
        message: What was wrong and what to do.
    """

    name: str
    reason: str
    message: str


class RefusedModel(TypedDict):
    """A model that was asked for by user_config and is not used: its name there, why, and since when."""

    source: str
    message: str
    at: str


class LimitsAnswer(TypedDict):
    """What the endpoint takes."""

    max_bytes: int
    max_pixels: int
    max_photos: int
    max_batch_bytes: int
    max_tile: int
    body_timeout_s: float
    needs_key: bool


class ModelAnswer(TypedDict):
    """The endpoint's answer about its model, a plain dictionary; a later server may add to it.

    Attributes:
        name, fingerprint: The model.
        source: What the configuration calls it.
        loaded_at: Time of its loading, ISO 8601.
        engine, device: What runs it.
        input_size: [height, width] of the network's pictures, px.
        has_depth: Whether it draws depth.
        card: Its card.
        refused: Why another one, which was asked for, is not used; None if there is none.
        limits: What the endpoint takes.
    """

    name: str
    fingerprint: str
    source: str
    loaded_at: str
    engine: str
    device: str
    input_size: list[int]
    has_depth: bool
    card: dict[str, Any]
    refused: RefusedModel | None
    limits: LimitsAnswer


class FocusRequestError(DbdRayError):
    """A request was refused, or had no answer after all attempts.

    Args:
        reason: Stable code: the endpoint's own, or `unreachable`, `timeout`, `unreadable` (the photo's file cannot
            be read), `unexpected_answer` (something else than this endpoint answered).
        message: What was wrong and what to do.
        status: HTTP status; None where there was no answer.
        request_id: The request's name in the endpoint's log; None where nothing was sent.
        retry_after_s: Time that the endpoint asks to wait before the next attempt, s; None where it asks for none.
    """

    def __init__(
        self,
        reason: str,
        message: str,
        *,
        status: int | None = None,
        request_id: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        named = f", request {request_id}" if request_id else ""
        super().__init__(f"{message} [{reason}{named}]")
        self.reason = reason
        self.message = masked(message)
        self.status = status
        self.request_id = request_id
        self.retry_after_s = retry_after_s

    def __reduce__(self) -> tuple[Any, ...]:
        # the default would rebuild from the formatted text and lose the reason between processes
        return (_rebuilt, (self.reason, self.message, self.status, self.request_id, self.retry_after_s))


def _rebuilt(
    reason: str, message: str, status: int | None, request_id: str | None, retry_after_s: float | None
) -> FocusRequestError:
    return FocusRequestError(reason, message, status=status, request_id=request_id, retry_after_s=retry_after_s)


def _known(kind: type[Any], values: Mapping[str, Any]) -> dict[str, Any]:
    return {field.name: values[field.name] for field in fields(kind)}
