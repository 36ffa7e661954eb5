"""The client for asyncio."""

from collections.abc import Iterable
from types import TracebackType
from typing import Self, TypeVar, Unpack

import httpx2
from tenacity import AsyncRetrying

from dbd_ray.client import conversations
from dbd_ray.client.answers import FocusAnswer, FocusError, FocusRequestError, ModelAnswer
from dbd_ray.client.calls import Call, Include, Options, PhotoSource
from dbd_ray.client.connection import Connection
from dbd_ray.client.reading import checked, no_answer
from dbd_ray.errors import ConfigError
from dbd_ray.masking import clean_cause
from dbd_ray.names import Picture

T = TypeVar("T")


class AsyncFocusClient(Connection[httpx2.AsyncClient]):
    """`FocusClient` for asyncio; its arguments, methods and errors are the same.

    Files are read where the event loop runs: hand over bytes where a slow disk would hold it up.
    """

    _kind = httpx2.AsyncClient

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def focus(self, photo: PhotoSource, *, include: Include = (), **options: Unpack[Options]) -> FocusAnswer:
        """Find what is in focus in a photo; see `FocusClient.focus`."""
        return await self._hold(conversations.focus(photo, include, options))

    async def picture(self, photo: PhotoSource, output: Picture = "focus", **options: Unpack[Options]) -> bytes:
        """Ask for one picture as a PNG file; see `FocusClient.picture`."""
        return await self._hold(conversations.picture(photo, output, options))

    async def batch(
        self, photos: Iterable[PhotoSource], *, include: Include = (), **options: Unpack[Options]
    ) -> list[FocusAnswer | FocusError]:
        """Ask for many photos, a bad one harms only itself; see `FocusClient.batch`."""
        return await self._hold(conversations.batch(photos, include, options))

    async def model(self) -> ModelAnswer:
        """Ask which model answers, and for the endpoint's limits."""
        return await self._hold(conversations.model())

    async def ready(self) -> bool:
        """Tell whether the endpoint can answer now; sent once, and raises nothing."""
        try:
            await self._attempt(Call("GET", "/readyz"))
        except (FocusRequestError, ConfigError):
            return False
        return True

    async def _hold(self, conversation: conversations.Conversation[T]) -> T:
        try:
            call = next(conversation)
            while True:
                try:
                    answer: httpx2.Response = await AsyncRetrying(**self._policy)(self._attempt, call)
                except FocusRequestError as error:
                    call = conversation.throw(error)
                else:
                    call = conversation.send(answer)
        except StopIteration as end:
            result: T = end.value
            return result

    async def _attempt(self, call: Call) -> httpx2.Response:
        self._require_open()
        try:
            answer = await self._http.request(call.method, self.base_url + call.path, **call.parts)
        except (httpx2.RequestError, httpx2.InvalidURL, OSError, ValueError) as error:
            raise no_answer(error, self.base_url, call) from clean_cause(error)
        return checked(answer, call)
