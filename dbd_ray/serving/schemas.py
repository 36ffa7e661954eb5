"""The JSON answers of the API, as pydantic models; OpenAPI shows their docstrings and descriptions."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from dbd_ray.detection.focus_map import FocusMap
from dbd_ray.serving.refusals import Reason
from dbd_ray.summary import Kind

_SUMMARY = {
    "focus_kind": "partial",
    "in_focus_fraction": 0.31,
    "sharp_area": {"left": 120, "top": 34, "right": 410, "bottom": 427, "centroid_x": 268.2, "centroid_y": 251.7},
    "focus_confidence": 0.87,
    "model": "lite",
    "model_fingerprint": "b35c…",
    "focus_model": "lite@b35c…",
    "kind": "partial",
    "confidence": 0.87,
}
_FOCUS = {"width": 640, "height": 427, "summary": _SUMMARY, "pictures": {}}
_FORMER: dict[str, JsonValue] = {"deprecated": True}
_ERROR = {"reason": "truncated", "message": "this JPEG file ends before its picture does: copy it again"}


def _example(example: dict[str, Any]) -> ConfigDict:
    return ConfigDict(json_schema_extra={"example": example})


class SharpAreaAnswer(BaseModel):
    """Where the in-focus pixels lie, px of the photo; right and bottom are exclusive."""

    left: int
    top: int
    right: int
    bottom: int
    centroid_x: float
    centroid_y: float


class SummaryAnswer(BaseModel):
    """A focus map in a few numbers."""

    focus_kind: Kind = Field(description="Whether all, a part, or none of the photo is in focus.")
    in_focus_fraction: float = Field(ge=0, le=1, description="Share of pixels in focus.")
    sharp_area: SharpAreaAnswer | None = Field(description="Where they lie; null if there are none.")
    focus_confidence: float = Field(ge=0, le=1, description="Low where the network was undecided.")
    model: str
    model_fingerprint: str
    focus_model: str = Field(description="name@fingerprint, of this the first 16 digits.")
    kind: Kind = Field(description="The former name of focus_kind.", json_schema_extra=_FORMER)
    confidence: float = Field(description="The former name of focus_confidence.", json_schema_extra=_FORMER)


class FocusAnswer(BaseModel):
    """What the detector says of one photo."""

    model_config = _example(_FOCUS)

    width: int = Field(description="Of the upright photo, px.")
    height: int
    summary: SummaryAnswer
    pictures: dict[str, str] = Field(
        description="Those asked for by include, PNG in base64: focus (8 bit, 255 = in focus), overlay (RGB), "
        "mask (0 or 255), depth (16 bit, 0 = near); and by the parameter preview the photo itself, JPEG in base64."
    )


class PhotoErrorAnswer(BaseModel):
    """Why one photo of a batch has no answer."""

    model_config = _example(_ERROR)

    reason: Reason
    message: str


class ErrorAnswer(PhotoErrorAnswer):
    """Why a request was refused, and what to do."""

    model_config = _example({**_ERROR, "request_id": "5f3c…"})

    request_id: str = Field(description="Also in the header x-request-id.")


class BatchResult(BaseModel):
    """One photo of a batch: an answer or an error."""

    name: str = Field(description="The file's name as the client sent it.")
    answer: FocusAnswer | None
    error: PhotoErrorAnswer | None


class BatchAnswer(BaseModel):
    """Results in the order of the photos."""

    model_config = _example(
        {
            "results": [
                {"name": "a.jpg", "answer": _FOCUS, "error": None},
                {"name": "b.jpg", "answer": None, "error": _ERROR},
            ],
            "failed": 1,
        }
    )

    results: list[BatchResult]
    failed: int = Field(description="How many photos have an error.")


class RefusedModel(BaseModel):
    """A model that was asked for by user_config and is not used."""

    source: str
    message: str
    at: str


class LimitsAnswer(BaseModel):
    """What this server takes."""

    max_bytes: int
    max_pixels: int
    max_photos: int
    max_batch_bytes: int
    max_tile: int
    body_timeout_s: float
    needs_key: bool


class ModelAnswer(BaseModel):
    """The model of the replica that answered, its card, and the server's limits."""

    name: str
    fingerprint: str
    source: str = Field(description="What the configuration calls it.")
    loaded_at: str
    engine: str
    device: str
    input_size: tuple[int, int]
    has_depth: bool
    card: dict[str, Any]
    refused: RefusedModel | None = Field(description="Why another one, which was asked for, is not used.")
    limits: LimitsAnswer


class StatusAnswer(BaseModel):
    """All is well."""

    status: str = "ok"


def focus_answer(found: FocusMap, pictures: dict[str, str]) -> FocusAnswer:
    """Make the answer for a photo.

    Args:
        found: The focus map, at the photo's size.
        pictures: Pictures by name, PNG (a preview: JPEG) in base64.
    """
    height, width = found.focus.shape
    summary = SummaryAnswer.model_validate(found.summary.as_dict())
    return FocusAnswer(width=width, height=height, summary=summary, pictures=pictures)
