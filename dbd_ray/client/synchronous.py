"""The blocking client."""

from collections.abc import Iterable
from types import TracebackType
from typing import Self, TypeVar, Unpack

import httpx2
from tenacity import Retrying

from dbd_ray.client import conversations
from dbd_ray.client.answers import FocusAnswer, FocusError, FocusRequestError, ModelAnswer
from dbd_ray.client.calls import Call, Include, Options, PhotoSource
from dbd_ray.client.connection import Connection
from dbd_ray.client.reading import checked, no_answer
from dbd_ray.errors import ConfigError
from dbd_ray.masking import clean_cause
from dbd_ray.names import Picture

T = TypeVar("T")


class FocusClient(Connection[httpx2.Client]):
    """Asks an endpoint for focus maps; requests that fail temporarily are sent again.

    Lost connections, timeouts and the statuses 408, 429, 500, 502, 503 and 504 are tried again after a growing random
    wait, and after what `Retry-After` asks for; other errors are raised at once. May be used from several threads, and
    sent to other processes.

    Args:
        base_url: Address of the endpoint, e.g. http://127.0.0.1:8000, with its route prefix if it has one.
        api_key: One of the endpoint's keys, if it asks for them.
        timeout_s: Longest silence of one attempt while sending or waiting for an answer, s.
        attempts: How often a request is sent at most.
        backoff_s: Longest wait after the first attempt, s; it doubles with every further one, up to 8 s.

    Raises:
        ConfigError: An argument is wrong, base_url is not an address, or the environment names a proxy or certificates
            that cannot be used.
        FocusRequestError: No header can carry the key; the reason is `unauthorized`.
    """

    _kind = httpx2.Client

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def focus(self, photo: PhotoSource, *, include: Include = (), **options: Unpack[Options]) -> FocusAnswer:
        """Find what is in focus in a photo.

        Args:
            photo: The bytes of its file, the file's path, or the file opened with 'rb'.
            include: Picture or pictures to send along: focus, overlay, mask, depth.
            options: threshold, margin, polarity, max_side, refine, tile: see `dbd_ray.client.calls.Options`.

        Raises:
            FocusRequestError: The request was refused, or all attempts failed.
        """
        return self._hold(conversations.focus(photo, include, options))

    def picture(self, photo: PhotoSource, output: Picture = "focus", **options: Unpack[Options]) -> bytes:
        """Ask for one picture as a PNG file.

        Args:
            photo: The bytes of its file, the file's path, or the file opened with 'rb'.
            output: Picture to ask for: focus, overlay, mask, depth.
            options: threshold, margin, polarity, max_side, refine, tile: see `dbd_ray.client.calls.Options`.

        Raises:
            FocusRequestError: The request was refused, or all attempts failed.
        """
        return self._hold(conversations.picture(photo, output, options))

    def batch(
        self, photos: Iterable[PhotoSource], *, include: Include = (), **options: Unpack[Options]
    ) -> list[FocusAnswer | FocusError]:
        """Ask for many photos, in groups of as many as the endpoint takes at once; a bad photo harms only itself.

        Args:
            photos: Any number, each as for `focus`; files are read group by group.
            include: Picture or pictures to send along: focus, overlay, mask, depth.
            options: threshold, margin, polarity, max_side, refine, tile: see `dbd_ray.client.calls.Options`.

        Returns:
            One answer or error per photo, in their order.

        Raises:
            FocusRequestError: A group was refused or not answered as a whole, which is no photo's fault.
        """
        return self._hold(conversations.batch(photos, include, options))

    def model(self) -> ModelAnswer:
        """Ask which model answers, and for the endpoint's limits.

        Raises:
            FocusRequestError: The request was refused, or all attempts failed.
        """
        return self._hold(conversations.model())

    def ready(self) -> bool:
        """Tell whether the endpoint can answer now; sent once, and raises nothing."""
        try:
            self._attempt(Call("GET", "/readyz"))
        except (FocusRequestError, ConfigError):
            return False
        return True

    def _hold(self, conversation: conversations.Conversation[T]) -> T:
        try:
            call = next(conversation)
            while True:
                try:
                    answer = Retrying(**self._policy)(self._attempt, call)
                except FocusRequestError as error:
                    call = conversation.throw(error)
                else:
                    call = conversation.send(answer)
        except StopIteration as end:
            result: T = end.value
            return result

    def _attempt(self, call: Call) -> httpx2.Response:
        self._require_open()
        try:
            answer = self._http.request(call.method, self.base_url + call.path, **call.parts)
        except (httpx2.RequestError, httpx2.InvalidURL, OSError, ValueError) as error:
            raise no_answer(error, self.base_url, call) from clean_cause(error)
        return checked(answer, call)
