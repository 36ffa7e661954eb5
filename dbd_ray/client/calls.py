"""The requests of both clients, built without sending them."""

import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, TypedDict

from dbd_ray.client.answers import FocusError, FocusRequestError
from dbd_ray.errors import ConfigError
from dbd_ray.names import Picture, Polarity, Refinement

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


def query_of(*, include: Sequence[Picture] = (), output: Picture | None = None, **options: object) -> Query:
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


def load(photo: bytes | Path) -> Photo:
    """Read a photo from its file, unless its bytes are given.

    Raises:
        FocusRequestError: The file cannot be read; the reason is `unreadable`.
    """
    if isinstance(photo, bytes):
        return Photo("photo", photo)
    try:
        return Photo(_sendable(photo), photo.read_bytes())
    except OSError as error:
        raise FocusRequestError("unreadable", f"{photo}: {error.strerror or error}") from error


def load_group(photos: Iterable[bytes | Path], first: int) -> list[Photo | FocusError]:
    """Read the photos of a batch; one that cannot be read harms no other.

    Args:
        photos: Photos of one group.
        first: Position of the group's first photo among all, from 0.
    """
    loaded: list[Photo | FocusError] = []
    for number, photo in enumerate(photos, first):
        try:
            loaded.append(Photo(f"photo-{number}", photo) if isinstance(photo, bytes) else load(photo))
        except FocusRequestError as error:
            loaded.append(FocusError(_sendable(Path(str(photo))), error.reason, error.message))
    return loaded


def groups(photos: Iterable[bytes | Path], size: int) -> Iterator[tuple[int, list[bytes | Path]]]:
    """Cut photos into groups of at most `size`, each with the position of its first; reads no file."""
    waiting = iter(photos)
    first = 0
    while group := list(islice(waiting, max(1, size))):
        yield first, group
        first += len(group)


def address(base_url: str) -> str:
    """Check the endpoint's address, and remove a slash at its end.

    Raises:
        ConfigError: `base_url` is not an address.
    """
    if not base_url.startswith(("http://", "https://")):
        raise ConfigError(f"base_url {base_url}: begin it with http:// or https://")
    return base_url.rstrip("/")


def key_header(api_key: str | None) -> dict[str, str]:
    """Make the header that carries a key, without the line end of a key's file."""
    return {"authorization": f"Bearer {api_key.strip()}"} if api_key else {}


def _sendable(path: Path) -> str:
    # file names on disk need not be UTF-8, names in a form must be
    return path.name.encode("utf-8", "replace").decode()
