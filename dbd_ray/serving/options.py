"""A request's options: the parameters of its query, and its Accept header."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from dbd_ray.names import MOST_TILES, PICTURES, Picture, Polarity, Refinement
from dbd_ray.serving.refusals import Refusal

Answer = Literal["application/json", "image/png"]


class BatchOptions(BaseModel):
    """Parameters of /v1/batch; one without effect is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    include: list[Picture] = Field(
        [], description="Pictures inside the JSON answer, PNG in base64.", max_length=len(PICTURES)
    )
    threshold: float = Field(0.5, gt=0, le=1, description="Of the mask: focus of at least this is in focus.")
    margin: int = Field(0, ge=-256, le=256, description="Of the mask: grow (or shrink) what is in focus, px.")
    polarity: Polarity = Field("focus", description="Of focus map and mask: what white means.")
    max_side: int | None = Field(None, ge=16, le=16384, description="Longest side of the pictures, px.")
    refine: Refinement = Field("guided", description="How the map comes to the photo's size.")
    tile: int = Field(
        1, ge=1, le=MOST_TILES, description="Tiles along the longer side: finds small subjects; no depth then."
    )


class FocusOptions(BatchOptions):
    """Parameters of /v1/focus; one without effect is refused."""

    output: Picture = Field("focus", description="Which picture an image/png answer is.")
    preview: int | None = Field(
        None,
        ge=16,
        le=4096,
        description="Longest side of the photo itself, upright, as JPEG inside the JSON answer, px.",
    )


def accepted(entries: Sequence[str]) -> Answer:
    """Choose how to answer by the entries of an Accept header (RFC 9110, 12.5.1); JSON where the client does not care.

    Raises:
        Refusal: The client accepts neither JSON nor PNG.
    """
    offers: dict[Answer, tuple[str, ...]] = {
        "application/json": ("application/json", "application/*", "*/*"),
        "image/png": ("image/png", "image/*", "*/*"),
    }
    weights = dict(_weights(entries or ("*/*",)))
    best: tuple[float, Answer] | None = None
    for answer, ranges in offers.items():
        weight = next((weights[one] for one in ranges if one in weights), 0.0)  # the most specific range counts
        if weight > 0 and (best is None or weight > best[0]):
            best = (weight, answer)
    if best is None:
        raise Refusal("not_acceptable", "answers are application/json or image/png: send one of them in Accept")
    return best[1]


def wanted_pictures(options: BatchOptions, answer: Answer) -> tuple[Picture, ...]:
    """List the pictures to make.

    Raises:
        Refusal: A parameter would have no effect on this answer.
    """
    given = options.model_fields_set
    if answer == "image/png":
        if "include" in given:
            raise _idle("include", "with Accept: image/png; choose the picture by output")
        if "preview" in given:
            raise _idle("preview", "with Accept: image/png; it stands in a JSON answer")
        pictures: tuple[Picture, ...] = (options.output,) if isinstance(options, FocusOptions) else ()
    else:
        if "output" in given:
            raise _idle("output", "without Accept: image/png; ask for pictures in JSON by include")
        pictures = tuple(dict.fromkeys(options.include))
    needs: dict[str, set[Picture]] = {
        "threshold": {"mask"},
        "margin": {"mask"},
        "polarity": {"focus", "mask"},
        "max_side": set(PICTURES),
    }
    for name, any_of in needs.items():
        if name in given and not any_of.intersection(pictures):
            raise _idle(name, f"on this answer: it is for {', '.join(sorted(any_of))}")
    if "depth" in pictures and options.tile > 1:
        raise Refusal("no_depth", "tiles have no depth: ask for it without tile, or leave depth out")
    return pictures


def check_once(query: Iterable[tuple[str, str]]) -> None:
    """Refuse a parameter that is given twice: which one was meant is not known.

    Args:
        query: Names and values in their order.

    Raises:
        Refusal: One is, other than `include`.
    """
    counts = Counter(name for name, _ in query)
    if several := sorted(name for name, count in counts.items() if count > 1 and name != "include"):
        raise Refusal("invalid_parameter", f"{', '.join(several)}: is given more than once, give it once")


def check_tile(options: BatchOptions, max_tile: int) -> None:
    """Refuse more tiles than this server allows.

    Raises:
        Refusal: There are more.
    """
    if options.tile > max_tile:
        raise Refusal("invalid_parameter", f"tile={options.tile}: this server allows at most {max_tile}")


def _idle(name: str, why: str) -> Refusal:
    return Refusal("invalid_parameter", f"{name} has no effect {why}")


def _weights(entries: Sequence[str]) -> Iterable[tuple[str, float]]:
    for entry in entries:
        kind, *parameters = (part.strip().lower() for part in entry.split(";"))
        quality = next((one[2:] for one in parameters if one.startswith("q=")), "1")
        try:
            yield kind, float(quality)
        except ValueError:
            yield kind, 0.0
