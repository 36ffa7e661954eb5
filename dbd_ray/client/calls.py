"""The requests of both clients, built without sending them."""

import io
import os
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias, TypedDict

from dbd_ray.client.answers import FocusError, FocusRequestError
from dbd_ray.errors import ConfigError
from dbd_ray.masking import clean_cause
from dbd_ray.names import Picture, Polarity, Refinement

PhotoSource: TypeAlias = bytes | bytearray | memoryview | str | os.PathLike[str] | BinaryIO
"""A photo: the bytes of its file, the file's path, or the file opened with 'rb'."""

Include: TypeAlias = Picture | Sequence[Picture]
"""Pictures to send along: one, or several."""

Query = tuple[tuple[str, str], ...]
BYTES = "application/octet-stream"  # the endpoint looks into the photo, not at its name


class Options(TypedDict, total=False):
    """Options of detection and of pictures; one that is left out or None has the endpoint's default.

    Attributes:
        threshold: In (0,1]; the mask shows where focus is at least this, default 0.5.
        margin: -256 to 256 px of the photo; grows, or shrinks, the mask's area in focus.
        polarity: Meaning of white in focus map and mask, default focus.
        max_side: 16 to 16384 px; pictures are made no larger than this along their longer side.
        refine: Method of bringing the map to the photo's size, default guided.
        tile: 1 to 8 tiles along the longer side, for subjects that are small in the picture.
    """

    threshold: float | None
    margin: int | None
    polarity: Polarity | None
    max_side: int | None
    refine: Refinement | None
    tile: int | None


@dataclass(frozen=True)
class Photo:
    """A photo's encoded bytes and its file name."""

    name: str
    data: bytes


@dataclass(frozen=True)
class Call:
    """One request, sent again as it is until it is answered.

    Attributes:
        method: HTTP method.
        path: Path below the endpoint's address.
        query: Names and values of the query's parameters.
        accept: Media type of the wanted answer.
        photo: The body, if it is a single photo.
        batch: The files of the body, if it is a form.
        request_id: Name of the request, the same with every attempt, so that the endpoint's log shows them as one.
    """

    method: str
    path: str
    query: Query = ()
    accept: str = "application/json"
    photo: Photo | None = None
    batch: tuple[Photo, ...] = ()
    request_id: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def parts(self) -> dict[str, Any]:
        """Arguments of the HTTP library besides method and address."""
        headers = {"accept": self.accept, "x-request-id": self.request_id}
        if self.photo:
            return {"params": self.query, "headers": headers | {"content-type": BYTES}, "content": self.photo.data}
        files = [("photos", (photo.name, photo.data, BYTES)) for photo in self.batch]
        return {"params": self.query, "headers": headers, "files": files or None}


def query_of(*, include: Include = (), output: Picture | None = None, **options: object) -> Query:
    """Build the query from the options that were given; the endpoint refuses those without effect, so no others go.

    Raises:
        TypeError: There is no such option.
    """
    unknown = options.keys() - Options.__annotations__.keys()
    if unknown:
        raise TypeError(f"unknown option {', '.join(sorted(unknown))}; known: {', '.join(Options.__annotations__)}")
    pictures = (include,) if isinstance(include, str) else include
    given = {"output": output, **options}
    return (*(("include", name) for name in pictures), *((k, str(v)) for k, v in given.items() if v is not None))


def load(photo: PhotoSource) -> Photo:
    """Read a photo from its file, unless its bytes are given.

    Raises:
        FocusRequestError: It cannot be read, or is nothing of this kind; the reason is `unreadable`.
    """
    if isinstance(photo, bytes | bytearray | memoryview):
        return Photo("photo", bytes(photo))
    name = _name_of(photo)
    try:
        data = Path(photo).read_bytes() if isinstance(photo, str | os.PathLike) else photo.read()
    except AttributeError:
        message = f"{type(photo).__name__} is no photo: give a path, bytes, or a file opened with 'rb'"
        raise FocusRequestError("unreadable", message) from None
    except (OSError, ValueError, TypeError) as error:  # a closed file, a path with a null byte, one of bytes
        shown = photo if isinstance(photo, str | os.PathLike) else name
        message = f"{shown}: {getattr(error, 'strerror', None) or error}"
        raise FocusRequestError("unreadable", message) from clean_cause(error)
    if not isinstance(data, bytes):
        raise FocusRequestError("unreadable", f"{name}: is open as text; open it with 'rb'")
    return Photo(name, data)


def load_group(photos: Iterable[PhotoSource], first: int) -> list[Photo | FocusError]:
    """Read the photos of a batch; one that cannot be read harms no other.

    Args:
        photos: Photos of one group.
        first: Position of the group's first photo among all, from 0.
    """
    loaded: list[Photo | FocusError] = []
    for number, photo in enumerate(photos, first):
        name = _name_of(photo, otherwise=f"photo-{number}")
        try:
            loaded.append(Photo(name, load(photo).data))
        except FocusRequestError as error:
            loaded.append(FocusError(name, error.reason, error.message))
    return loaded


def several(photos: Iterable[PhotoSource]) -> Iterable[PhotoSource]:
    """Pass on photos, unless it is one alone.

    Raises:
        ConfigError: It is one photo, or nothing that holds photos.
    """
    # a text or bytes would be taken for as many photos as they have characters
    if isinstance(photos, str | bytes | bytearray | memoryview | io.IOBase) or not isinstance(photos, Iterable):
        raise ConfigError(f"photos: give a list of photos, not {type(photos).__name__}; `focus` asks for one")
    return photos


def groups(photos: Iterable[PhotoSource], size: int) -> Iterator[tuple[int, list[PhotoSource]]]:
    """Cut photos into groups of at most `size`, each with the position of its first; reads no file."""
    waiting = iter(photos)
    first = 0
    while group := list(islice(waiting, max(1, size))):
        yield first, group
        first += len(group)


def _name_of(photo: PhotoSource, *, otherwise: str = "photo") -> str:
    path = os.fspath(photo) if isinstance(photo, str | os.PathLike) else getattr(photo, "name", None)
    if not isinstance(path, str):  # an open file's may be its number
        return otherwise
    # file names on disk need not be UTF-8, names in a form must be
    return Path(path).name.encode("utf-8", "replace").decode() or otherwise
