"""The protocol of both clients, without I/O: each generator yields requests and is sent their answers."""

from collections.abc import Generator, Iterable, Sequence
from typing import TypeAlias, TypeVar, cast

import httpx2

from dbd_ray.client.answers import FocusAnswer, FocusError, FocusRequestError, ModelAnswer
from dbd_ray.client.calls import (
    Call,
    Include,
    Options,
    Photo,
    PhotoSource,
    Query,
    groups,
    load,
    load_group,
    query_of,
    several,
)
from dbd_ray.client.reading import (
    OF_THE_PHOTO,
    PASSING_REASONS,
    largest_batch,
    read_batch,
    read_focus,
    read_object,
    read_picture,
)
from dbd_ray.names import Picture

T = TypeVar("T")
Conversation: TypeAlias = Generator[Call, httpx2.Response, T]
PART_BYTES = 1024  # upper bound of a form's boundary and headers around one photo
Found: TypeAlias = FocusAnswer | FocusError


def focus(photo: PhotoSource, include: Include, options: Options) -> Conversation[FocusAnswer]:
    """Ask for one photo."""
    return (yield from _one(load(photo), query_of(include=include, **options)))


def picture(photo: PhotoSource, output: Picture, options: Options) -> Conversation[bytes]:
    """Ask for one picture as a PNG file."""
    query = query_of(output=output, **options)
    return read_picture((yield Call("POST", "/v1/focus", query, accept="image/png", photo=load(photo))))


def batch(photos: Iterable[PhotoSource], include: Include, options: Options) -> Conversation[list[Found]]:
    """Ask for many photos, in groups of as many as the endpoint takes at once."""
    query = query_of(include=include, **options)
    photos = several(photos)
    size, most_bytes = largest_batch((yield from model()))
    found: list[Found] = []
    for first, group in groups(photos, size):
        loaded = load_group(group, first)
        fine = [photo for photo in loaded if isinstance(photo, Photo)]
        answers = iter((yield from _group(fine, query, most_bytes)))
        found += [next(answers) if isinstance(photo, Photo) else photo for photo in loaded]
    return found


def model() -> Conversation[ModelAnswer]:
    """Ask which model answers."""
    return cast(ModelAnswer, read_object((yield Call("GET", "/v1/model"))))


def _one(photo: Photo, query: Query) -> Conversation[FocusAnswer]:
    return read_focus((yield Call("POST", "/v1/focus", query, photo=photo)))


def _group(photos: Sequence[Photo], query: Query, most_bytes: float) -> Conversation[list[Found]]:
    if not photos:
        return []
    if len(photos) > 1 and sum(len(photo.data) + PART_BYTES for photo in photos) > most_bytes:
        return (yield from _halves(photos, query, most_bytes))
    try:
        found = read_batch((yield Call("POST", "/v1/batch", query, batch=tuple(photos))), photos)
    except FocusRequestError as error:
        if len(photos) == 1 and error.status in OF_THE_PHOTO:
            return [FocusError(photos[0].name, error.reason, error.message)]
        if len(photos) == 1 or error.status != 413:
            raise
        # too much together; a photo that is too large alone is found in the end
        return (yield from _halves(photos, query, most_bytes))
    settled = []
    for photo, result in zip(photos, found, strict=True):
        settled.append((yield from _settled(photo, result, query)))
    return settled


def _halves(photos: Sequence[Photo], query: Query, most_bytes: float) -> Conversation[list[Found]]:
    half = len(photos) // 2
    first = yield from _group(photos[:half], query, most_bytes)
    return first + (yield from _group(photos[half:], query, most_bytes))


def _settled(photo: Photo, result: Found, query: Query) -> Conversation[Found]:
    if isinstance(result, FocusAnswer) or result.reason not in PASSING_REASONS:
        return result
    try:
        return (yield from _one(photo, query))
    except FocusRequestError as error:
        return FocusError(photo.name, error.reason, error.message)
